//! A message that kills the connection each time it is sent is given up, and nothing else.

use std::time::Duration;

use mqtt_client::{Error, QoS, Version};
use mqtt_codec::Packet;

use crate::fake_broker::{FakeBroker, Session};
use crate::parties::builder;
use crate::soon;

/// The server closes whenever it gets the message in the middle.
#[tokio::test]
async fn the_guilty_message_fails_and_the_others_do_not() {
    for version in [Version::V3_1_1, Version::V5] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let broker = FakeBroker::start();
            let client = builder(broker.address(), version, "client")
                .start()
                .unwrap();
            let send = |payload: &'static str| {
                client.publish("t", payload).qos(qos).try_enqueue().unwrap()
            };
            let (before, poison, after) = (send("before"), send("poison"), send("after"));
            let serving = tokio::spawn(async move {
                let mut sent = 0;
                let mut session = Session::New;
                loop {
                    let mut link = broker.accept(session).await;
                    session = Session::Present;
                    loop {
                        let packet = link.packet().await;
                        let Packet::Publish(publish) = &packet else {
                            link.answer(&packet).await;
                            continue;
                        };
                        if publish.payload == "poison" {
                            sent += 1;
                            break;
                        }
                        link.answer(&packet).await;
                        if publish.payload == "after" {
                            return (sent, link);
                        }
                    }
                    link.reset();
                }
            });
            let error = soon("an answer", poison).await.unwrap_err();
            assert!(matches!(error, Error::Poison), "{error:?}");
            let (sent, mut link) = soon("the message behind it", serving).await.unwrap();
            assert_eq!(sent, 3, "given up after three attempts");
            let answering = tokio::spawn(async move {
                loop {
                    let packet = link.packet().await;
                    link.answer(&packet).await;
                }
            });
            soon("an answer", before).await.unwrap();
            soon("an answer", after).await.unwrap();
            answering.abort();
        }
    }
}

/// Each connection dies young, whatever is sent on it: no message is to blame for that.
#[tokio::test]
async fn a_network_that_flaps_makes_no_message_guilty() {
    let broker = FakeBroker::start();
    let client = builder(broker.address(), Version::V5, "client")
        .start()
        .unwrap();
    let message = client.publish("t", "innocent").try_enqueue().unwrap();
    let serving = tokio::spawn(async move {
        let mut session = Session::New;
        for _ in 0..12 {
            let mut link = broker.accept(session).await;
            session = Session::Present;
            // With or without the message.
            let _ = tokio::time::timeout(Duration::from_millis(100), link.packet()).await;
            link.reset();
        }
        let mut link = broker.accept(session).await;
        loop {
            let packet = link.packet().await;
            link.answer(&packet).await;
        }
    });
    soon("an answer", message).await.unwrap();
    serving.abort();
}
