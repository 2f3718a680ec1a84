//! The queue of messages to send: bounded, and fair to those who wait for room, or stop waiting.

use std::time::Duration;

use fastrand::Rng;
use mqtt_client::session::{Offline, WhenFull};
use mqtt_client::{Client, Error, QoS, Version};
use mqtt_codec::Packet;
use tokio::task::JoinSet;

use crate::broker::{Broker, Kind};
use crate::fake_broker::{FakeBroker, Session};
use crate::ledger::{Outcome, Promise};
use crate::parties::{Book, Reader, builder, outcome, settle};
use crate::proxy::{Plan, Proxy};
use crate::seeds::seeds;
use crate::soon;

/// Tasks that publish at the same time, each on its own topic.
const TASKS: u64 = 8;
const MESSAGES: u64 = 40;

/// Some of those who wait for room give up: what they gave up is never sent, or was accepted; and nobody waits for ever.
#[tokio::test]
async fn whoever_gives_up_leaves_the_line() {
    for seed in seeds(2) {
        for version in [Version::V3_1_1, Version::V5] {
            println!("seed {seed}, {version:?}");
            some_give_up(version, seed).await;
        }
    }
}

async fn some_give_up(version: Version, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let broker = Broker::start(Kind::Embedded).await.unwrap();
    // Too few cuts for a message to be given up, and none before the CONNACK.
    let plan = Plan::random(random.u64(..), 2).after(200);
    let proxy = Proxy::start(broker.address(), plan);
    let book = Book::new(QoS::ExactlyOnce);
    let subscriber = builder(broker.address(), version, "subscriber")
        .start()
        .unwrap();
    let _reader = Reader::start(&subscriber, book.clone()).await;
    let publisher = builder(proxy.address(), version, "publisher")
        .queue(3, 1000)
        .in_flight_max(4)
        .start()
        .unwrap();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(publish_or_give_up(
            publisher.clone(),
            book.clone(),
            task,
            random.fork(),
        ));
    }
    soon("the end of all tasks", async {
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
    })
    .await;
    let drain = publisher.disconnect().drain(Duration::from_secs(10));
    let report = soon("the report", drain.into_future()).await.unwrap();
    assert!(report.undelivered.is_empty(), "{report:?}");
    settle(&book, Promise::Exact).await;
    let broken = book.open().broken(Promise::Exact);
    assert!(broken.is_empty(), "not as promised:\n{broken}");
}

async fn publish_or_give_up(client: Client, book: Book, task: u64, mut random: Rng) {
    for number in 1..=MESSAGES {
        let qos = random.choice([QoS::AtLeastOnce, QoS::ExactlyOnce]).unwrap();
        let topic = format!("t/{task}/{}", qos as u8);
        let index = book.open().accept(&topic, number, qos);
        let publish = client
            .publish(topic.as_str(), format!("{number} "))
            .qos(qos);
        let patience = match random.u8(..3) {
            0 => Duration::from_micros(random.u64(..3000)),
            _ => crate::SOON,
        };
        let outcome = match tokio::time::timeout(patience, publish.into_future()).await {
            Ok(result) => outcome(result),
            // It may have been accepted.
            Err(_) => Outcome::Offered,
        };
        book.open().settle(index, outcome);
    }
}

/// What is done with a message for which there is no room is what was asked for.
#[tokio::test]
async fn a_full_queue_does_as_it_was_told() {
    for when_full in [WhenFull::Block, WhenFull::Reject, WhenFull::DropOldestQoS0] {
        let mut broker = FakeBroker::start();
        broker.deafen();
        let client = builder(broker.address(), Version::V5, "client")
            .queue(3, 1000)
            .when_full(when_full)
            .offline_qos0(Offline::Queue)
            .start()
            .unwrap();
        let publish = |payload: &'static str, qos| client.publish("t", payload).qos(qos);
        let first = publish("1", QoS::AtMostOnce).try_enqueue().unwrap();
        let _second = publish("2", QoS::AtLeastOnce).try_enqueue().unwrap();
        let _third = publish("3", QoS::AtLeastOnce).try_enqueue().unwrap();
        let fourth = publish("4", QoS::AtLeastOnce);
        let mut expected = vec!["1", "2", "3"];
        let mut waiting = None;
        match when_full {
            WhenFull::Block => {
                let error = fourth.clone().try_enqueue().unwrap_err();
                assert!(matches!(error, Error::QueueFull), "{error:?}");
                waiting = Some(tokio::spawn(fourth.into_future()));
                expected.push("4");
            }
            WhenFull::Reject => {
                let error = soon("an answer", fourth.into_future()).await.unwrap_err();
                assert!(matches!(error, Error::QueueFull), "{error:?}");
            }
            WhenFull::DropOldestQoS0 => {
                let _fourth = fourth.try_enqueue().unwrap();
                let error = soon("an answer", first).await.unwrap_err();
                assert!(matches!(error, Error::Displaced), "{error:?}");
                expected = vec!["2", "3", "4"];
                // There is no other one of QoS 0.
                let error = publish("5", QoS::AtLeastOnce).try_enqueue().unwrap_err();
                assert!(matches!(error, Error::QueueFull), "{error:?}");
            }
        }
        broker.listen();
        let mut link = broker.accept(Session::New).await;
        for payload in expected {
            let publish = link.publish().await;
            assert_eq!(publish.payload, payload, "{when_full:?}");
            link.answer(&Packet::Publish(publish)).await;
        }
        if let Some(waiting) = waiting {
            soon("an answer", waiting).await.unwrap().unwrap();
        }
    }
}

/// Those who wait for room when the client ends are told so.
#[tokio::test]
async fn those_who_wait_for_room_hear_of_the_end() {
    let mut broker = FakeBroker::start();
    broker.deafen();
    let client = builder(broker.address(), Version::V5, "client")
        .queue(1, 1000)
        .start()
        .unwrap();
    let _first = client.publish("t", "x").try_enqueue().unwrap();
    let waiting = tokio::spawn(client.publish("t", "y").into_future());
    tokio::time::sleep(Duration::from_millis(20)).await;
    let drain = client.disconnect().drain(Duration::ZERO);
    let report = soon("the report", drain.into_future()).await.unwrap();
    // The one that waited was never accepted.
    assert_eq!(report.undelivered.len(), 1);
    let error = soon("an answer", waiting).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Ended(_)), "{error:?}");
}
