//! A CONNECT of ours that was given up, and that the server gets all the same: perhaps later than the next.

use std::time::Duration;

use mqtt_client::{Builder, Error, QoS, Version};
use mqtt_codec::{Packet, ReasonCode};

use crate::fake_broker::{FakeBroker, Link, Session};
use crate::parties::builder;
use crate::soon;

fn impatient(broker: &FakeBroker) -> Builder {
    builder(broker.address(), Version::V5, "client").connect_timeout(Duration::from_millis(50))
}

/// The next connection, after one whose CONNECT was not answered in time.
async fn second(broker: &FakeBroker) -> (Link, Link) {
    let ghost = broker.connection().await;
    let link = broker.accept(Session::New).await;
    (ghost, link)
}

/// A proxy accepts connections and forwards them late. The server then ends the connection that works for the one that
/// was given up: that is no other client with our identifier, and no reason to stop. A second time, it is.
#[tokio::test]
async fn a_client_is_not_thrown_out_by_itself() {
    let broker = FakeBroker::start();
    let client = impatient(&broker).start().unwrap();
    let (_ghost, link) = second(&broker).await;
    link.disconnect(ReasonCode::SessionTakenOver).await;
    let link = broker.accept(Session::Present).await;
    link.disconnect(ReasonCode::SessionTakenOver).await;
    let error = soon("the end", client.publish("t", "x").into_future())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Ended(_)), "{error:?}");
}

/// The first CONNECT asks for a new session. If it comes after the second, it ends the session that the client is in, and
/// what is present after that is an empty one.
#[tokio::test]
async fn a_late_clean_start_is_reckoned_with() {
    let broker = FakeBroker::start();
    let client = impatient(&broker).clean_start(true).start().unwrap();
    let (ghost, mut link) = second(&broker).await;
    assert!(ghost.connect.clean_start);
    let _stream = client.subscribe("t").start().unwrap();
    link.subscribed().await;
    link.disconnect(ReasonCode::SessionTakenOver).await;
    let mut link = broker.accept(Session::Present).await;
    assert!(!link.connect.clean_start);
    assert_eq!(
        link.subscribed().await,
        [("t".to_owned(), QoS::AtLeastOnce)]
    );
}

/// A server that has lost the session says so in a CONNACK that does not arrive: what is present then is a new session.
#[tokio::test]
async fn a_session_that_was_lost_unheard_is_built_up_again() {
    for connack in [
        &[][..],
        &[0x20],
        &[0x20, 3, 0, 0],
        &[0x20, 3, 0x77, 0, 0],
        &[0xFF; 10],
    ] {
        let broker = FakeBroker::start();
        let client = impatient(&broker).start().unwrap();
        let mut link = broker.accept(Session::New).await;
        let _stream = client.subscribe("t").start().unwrap();
        link.subscribed().await;
        let unknown = client
            .publish("t", "x")
            .qos(QoS::ExactlyOnce)
            .try_enqueue()
            .unwrap();
        link.publish().await;
        link.close().await;
        let mut link = broker.connection().await;
        link.write(connack).await;
        link.close().await;

        let mut link = broker.accept(Session::Present).await;
        println!("{connack:02x?}");
        // The server may have the message, or its identifier: it can forget both.
        let pubrel = link.packet().await;
        assert!(matches!(pubrel, Packet::PubRel(_)), "{pubrel:?}");
        link.answer(&pubrel).await;
        assert_eq!(
            link.subscribed().await,
            [("t".to_owned(), QoS::AtLeastOnce)]
        );
        let error = soon("an answer", unknown).await.unwrap_err();
        assert!(matches!(error, Error::DeliveryUnknown), "{error:?}");
    }
}
