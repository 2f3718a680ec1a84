//! `disconnect().drain(..)`: the report is exactly what was not delivered.

use std::time::Duration;

use mqtt_client::{QoS, Version};
use mqtt_codec::{Ack, Packet, ReasonCode};

use crate::broker::{Broker, Kind};
use crate::fake_broker::{FakeBroker, Session};
use crate::parties::builder;
use crate::proxy::{Plan, Proxy, Way};
use crate::soon;

const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5];

/// The server acknowledges some, and the report is the others, in order; their futures fail.
#[tokio::test]
async fn the_report_is_what_was_not_acknowledged() {
    for version in VERSIONS {
        let broker = FakeBroker::start();
        let client = builder(broker.address(), version, "client")
            .start()
            .unwrap();
        let mut link = broker.accept(Session::New).await;
        let mut receipts = Vec::new();
        for number in 0..6 {
            let qos = if number % 2 == 0 {
                QoS::AtLeastOnce
            } else {
                QoS::ExactlyOnce
            };
            let publish = client.publish("t", number.to_string()).qos(qos);
            receipts.push(publish.try_enqueue().unwrap());
        }
        for number in 0..6 {
            let publish = link.publish().await;
            let id = publish.qos.packet_id().unwrap();
            let ack = Ack::new(id, ReasonCode::Success);
            match number {
                0 => link.send(&Packet::PubAck(ack)).await,
                // Taken by the server, though not complete: it is delivered.
                3 => link.send(&Packet::PubRec(ack)).await,
                _ => {}
            }
        }
        let drain = client.disconnect().drain(Duration::from_millis(100));
        let report = soon("the report", drain.into_future()).await.unwrap();
        let undelivered = report.undelivered.iter();
        let texts: Vec<_> = undelivered.map(|message| message.text().unwrap()).collect();
        assert_eq!(texts, ["1", "2", "4", "5"]);
        for (number, receipt) in receipts.into_iter().enumerate() {
            let answer = soon("an answer", receipt).await;
            assert_eq!(
                answer.is_ok(),
                matches!(number, 0 | 3),
                "{number}: {answer:?}"
            );
        }
        let last = link.ends().await.pop();
        assert!(matches!(last, Some(Packet::Disconnect(_))), "{last:?}");
    }
}

/// With time enough, everything is delivered first, and the report is empty.
#[tokio::test]
async fn what_is_under_way_is_delivered_first() {
    for kind in Kind::ALL {
        let Some(broker) = Broker::start(kind).await else {
            continue;
        };
        for version in VERSIONS {
            let proxy = Proxy::start(broker.address(), Plan::calm());
            let subscriber = builder(broker.address(), version, &format!("s {version:?}"))
                .start()
                .unwrap();
            let subscribe = subscriber.subscribe("t").qos(QoS::ExactlyOnce);
            let mut stream = soon("the SUBACK", subscribe.into_future()).await.unwrap();
            let client = builder(proxy.address(), version, &format!("p {version:?}"))
                .start()
                .unwrap();
            soon(
                "a first answer",
                client.publish("t", "0").qos(QoS::ExactlyOnce).into_future(),
            )
            .await
            .unwrap();
            proxy.hold(Way::ToBroker);
            for number in 1..100 {
                let publish = client
                    .publish("t", number.to_string())
                    .qos(QoS::ExactlyOnce);
                drop(publish.try_enqueue().unwrap());
            }
            // It has to survive the loss of its connection, too.
            proxy.refuse();
            proxy.reset_all();
            proxy.release();
            let disconnecting = tokio::spawn(
                client
                    .disconnect()
                    .drain(Duration::from_secs(10))
                    .into_future(),
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
            proxy.accept_again();
            let report = soon("the report", disconnecting).await.unwrap().unwrap();
            assert!(report.undelivered.is_empty(), "{report:?}");
            for number in 0..100 {
                let message = soon("a message", stream.next()).await.unwrap();
                assert_eq!(message.text().unwrap(), number.to_string());
            }
        }
    }
}

/// Without a connection there is nothing to wait for but the time given.
#[tokio::test]
async fn without_a_server_everything_is_reported() {
    let mut broker = FakeBroker::start();
    broker.deafen();
    let client = builder(broker.address(), Version::V5, "client")
        .start()
        .unwrap();
    for number in 0..3 {
        drop(
            client
                .publish("t", number.to_string())
                .try_enqueue()
                .unwrap(),
        );
    }
    let drain = client.disconnect().drain(Duration::from_millis(50));
    let report = soon("the report", drain.into_future()).await.unwrap();
    assert_eq!(report.undelivered.len(), 3);
}

/// A client that is dropped delivers what it has accepted, and says goodbye: nobody has to wait for that.
#[tokio::test]
async fn a_client_that_is_dropped_delivers_first() {
    for version in VERSIONS {
        let broker = FakeBroker::start();
        let client = builder(broker.address(), version, "client")
            .start()
            .unwrap();
        for number in 0..3 {
            drop(
                client
                    .publish("t", number.to_string())
                    .try_enqueue()
                    .unwrap(),
            );
        }
        drop(client);
        let mut link = broker.accept(Session::New).await;
        for number in 0..3 {
            let publish = link.publish().await;
            assert_eq!(publish.payload, number.to_string());
            link.answer(&Packet::Publish(publish)).await;
        }
        let packets = link.ends().await;
        assert!(
            matches!(packets[..], [Packet::Disconnect(_)]),
            "{packets:?}"
        );
    }
}
