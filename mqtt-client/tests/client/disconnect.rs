//! The end: wanted, or because the last handle is gone, or the runtime.

use std::time::Duration;

use mqtt_client::{Ended, Error, QoS, ReasonCode, testing};

use crate::{Pair, SECOND, settle};

#[tokio::test(start_paused = true)]
async fn it_delivers_what_was_accepted_first() {
    let mut pair = Pair::new().await;
    let receipt = pair.client.publish("a", "1").try_enqueue().unwrap();
    let leaving = tokio::spawn(pair.client.disconnect().into_future());
    let publish = pair.connection.expect_publish().await;
    settle().await;
    let late = pair.client.publish("a", "2").try_enqueue();
    assert!(matches!(late, Err(Error::Ended(_))), "{late:?}");
    assert!(!leaving.is_finished());
    pair.connection.acknowledge(&publish).await;
    let disconnect = pair.connection.expect_disconnect().await;
    assert_eq!(disconnect.reason, ReasonCode::Success);
    drop(pair.connection);
    let report = leaving.await.unwrap().unwrap();
    assert!(report.undelivered.is_empty());
    assert!(matches!(report.ended, Ended::Disconnected));
    receipt.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_reports_what_was_not_delivered_in_time() {
    let mut pair = Pair::new().await;
    let receipt = pair.client.publish("a", "1").try_enqueue().unwrap();
    let leaving = tokio::spawn(
        pair.client
            .disconnect()
            .drain(SECOND)
            .with_will()
            .into_future(),
    );
    pair.connection.expect_publish().await;
    let disconnect = pair.connection.expect_disconnect().await;
    assert_eq!(disconnect.reason, ReasonCode::DisconnectWithWill);
    drop(pair.connection);
    let report = leaving.await.unwrap().unwrap();
    let undelivered: Vec<_> = report
        .undelivered
        .iter()
        .map(|one| &one.payload[..])
        .collect();
    assert_eq!(undelivered, [b"1"]);
    assert!(matches!(
        receipt.await,
        Err(Error::Ended(Ended::Disconnected))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_reads_nothing_cannot_hold_it_up() {
    let pair = Pair::new().await;
    for _ in 0..30 {
        let payload = vec![0; 10_000];
        drop(pair.client.publish("a", payload).try_enqueue().unwrap());
    }
    let leaving = pair.client.disconnect().drain(SECOND).into_future();
    let report = tokio::time::timeout(Duration::from_secs(4), leaving).await;
    assert_eq!(report.unwrap().unwrap().undelivered.len(), 30);
    drop(pair.connection);
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_it_ends_too() {
    let (builder, mut broker) = testing::pair();
    broker.unreachable();
    let client = builder.start().unwrap();
    let report = client.disconnect().await.unwrap();
    assert!(report.undelivered.is_empty());
    // And once more, when it has ended.
    client.disconnect().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_disconnects_and_a_subscription_is_one() {
    let mut pair = Pair::new().await;
    let mut stream = pair.subscribe("a", QoS::AtLeastOnce).await;
    let receipt = pair.client.publish("b", "kept").try_enqueue().unwrap();
    let another = pair.client.clone();
    drop(pair.client);
    drop(another);
    let publish = pair.connection.expect_publish().await;
    pair.connection.publish("a", "1", QoS::AtMostOnce).await;
    assert_eq!(stream.next().await.unwrap().payload, "1");
    drop(stream);
    // The receipt is no handle; what was accepted is delivered all the same.
    let unsubscribe = pair.connection.expect_unsubscribe().await;
    pair.connection.release(&unsubscribe).await;
    pair.connection.acknowledge(&publish).await;
    pair.connection.expect_disconnect().await;
    receipt.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_gives_what_it_has_and_ends_with_the_client() {
    let mut pair = Pair::new().await;
    let mut stream = pair.subscribe("a", QoS::ExactlyOnce).await;
    pair.connection.publish("a", "0", QoS::AtMostOnce).await;
    pair.connection.publish("a", "1", QoS::AtLeastOnce).await;
    pair.connection.publish("a", "2", QoS::ExactlyOnce).await;
    settle().await;
    let leaving = tokio::spawn(pair.client.disconnect().into_future());
    pair.connection.expect_disconnect().await;
    drop(pair.connection);
    leaving.await.unwrap().unwrap();
    assert_eq!(stream.next().await.unwrap().payload, "0");
    assert_eq!(stream.next().await.unwrap().payload, "1");
    assert!(stream.next().await.is_none());
    assert!(stream.next().await.is_none());
}

#[test]
fn the_end_of_the_runtime_lets_nobody_wait_in_vain() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (builder, broker) = testing::pair();
    let theirs = runtime();
    let (client, receipt, stream) = theirs.block_on(async {
        let client = builder.start().unwrap();
        let receipt = client.publish("a", "1").try_enqueue().unwrap();
        let stream = client.subscribe("a").start().unwrap();
        (client, receipt, stream)
    });
    drop(theirs);
    runtime().block_on(async {
        let mut stream = stream;
        assert!(matches!(receipt.await, Err(Error::Ended(_))));
        assert!(stream.next().await.is_none());
        assert!(matches!(
            client.publish("a", "2").await,
            Err(Error::Ended(_))
        ));
        assert!(client.subscribe("b").await.is_err());
        assert_eq!(client.disconnect().await.unwrap().undelivered.len(), 1);
    });
    drop(broker);
}
