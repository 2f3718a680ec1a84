//! The receiving side: nothing is acknowledged and then dropped, and what is not acknowledged comes again.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use mqtt_client::{Client, QoS, Version};
use mqtt_codec::{Ack, Packet, PublishQoS, ReasonCode};

use crate::broker::{Broker, Kind};
use crate::fake_broker::{FakeBroker, Link, Session, id};
use crate::ledger::Promise;
use crate::parties::{Book, Load, builder, publish_all};
use crate::proxy::{Plan, Proxy};
use crate::seeds::seeds;
use crate::soon;

/// How many connections a proxy cuts.
const CUT: usize = 4;
const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5];

/// A subscriber that is slower than the publisher gets everything: the server has to wait.
#[tokio::test]
async fn a_slow_subscriber_gets_all() {
    for kind in Kind::ALL {
        for seed in seeds(1) {
            for version in VERSIONS {
                println!("seed {seed}, {kind}, {version:?}");
                slow_subscriber(kind, version, seed).await;
            }
        }
    }
}

async fn slow_subscriber(kind: Kind, version: Version, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let Some(broker) = Broker::start(kind).await else {
        return;
    };
    let proxy = Proxy::start(broker.address(), Plan::random(random.u64(..), CUT));
    let subscriber = builder(proxy.address(), version, "subscriber")
        .receive_maximum(5)
        .start()
        .unwrap();
    let subscribe = subscriber
        .subscribe("t/#")
        .qos(QoS::ExactlyOnce)
        .capacity(1);
    let mut stream = soon("the SUBACK", subscribe.into_future()).await.unwrap();
    let book = Book::new(QoS::ExactlyOnce);
    let publisher = builder(broker.address(), version, "publisher")
        .start()
        .unwrap();
    let load = Load {
        messages: 200,
        pause: Duration::ZERO,
        payload_bytes_max: 1000,
    };
    publish_all(publisher, book.clone(), load, random.fork()).await;
    let reading = async {
        while book.open().missing() > 0 {
            let message = stream.next().await.expect("the client lives");
            let (number, _) = message.text().unwrap().split_once(' ').unwrap();
            book.open()
                .receive(message.topic(), number.parse().unwrap());
            if random.u8(..4) == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    };
    // What is missing, the ledger tells.
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await;
    let broken = book.open().broken(Promise::Kept);
    assert!(broken.is_empty(), "not as promised:\n{broken}");
    // It is not the client that ends connections.
    let connections = proxy.seen().connections;
    assert!(connections <= CUT + 1, "{connections}");
}

/// A message that nobody has taken is not acknowledged, and the window is closed by that.
#[tokio::test]
async fn what_is_not_taken_is_not_acknowledged() {
    for version in VERSIONS {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let broker = FakeBroker::start();
            let client = builder(broker.address(), version, "client")
                .receive_maximum(3)
                .start()
                .unwrap();
            let mut link = broker.connection().await;
            let receive_maximum = link.connect.properties.receive_maximum();
            assert_eq!(receive_maximum, (version == Version::V5).then_some(3));
            link.welcome(Session::New, &[]).await;
            let mut stream = client.subscribe("t").qos(qos).start().unwrap();
            link.subscribed().await;
            for number in 1..=3 {
                link.deliver(with_id(qos, number), "t", "x").await;
            }
            link.is_quiet(Duration::from_millis(50)).await;
            for number in 1..=3 {
                soon("a message", stream.next()).await.unwrap();
                assert_eq!(acknowledged(&mut link).await, number);
            }
        }
    }
}

fn with_id(qos: QoS, number: u16) -> PublishQoS {
    match qos {
        QoS::AtMostOnce => PublishQoS::AtMostOnce,
        QoS::AtLeastOnce => PublishQoS::AtLeastOnce(id(number)),
        QoS::ExactlyOnce => PublishQoS::ExactlyOnce(id(number)),
    }
}

/// The packet identifier of the PUBACK or PUBREC that comes next.
async fn acknowledged(link: &mut Link) -> u16 {
    match link.packet().await {
        Packet::PubAck(Ack {
            packet_id, reason, ..
        })
        | Packet::PubRec(Ack {
            packet_id, reason, ..
        }) => {
            assert_eq!(reason, ReasonCode::Success);
            packet_id.get()
        }
        other => panic!("{other:?} instead of an acknowledgement"),
    }
}

/// A server that sends more than it may is told so; but not in a session that it goes on with, where Mosquitto 2.0.11 does
/// not count what it sends again: closing the connection for that would begin it anew, for ever.
#[tokio::test]
async fn a_server_may_send_too_much_again() {
    let broker = FakeBroker::start();
    let client = builder(broker.address(), Version::V5, "client")
        .receive_maximum(2)
        .start()
        .unwrap();
    let mut link = broker.accept(Session::New).await;
    let mut stream = client.subscribe("t").start().unwrap();
    link.subscribed().await;
    for number in 1..=3 {
        link.deliver(with_id(QoS::AtLeastOnce, number), "t", "x")
            .await;
    }
    let last = link.ends().await.pop();
    let Some(Packet::Disconnect(disconnect)) = last else {
        panic!("{last:?} instead of a DISCONNECT");
    };
    assert_eq!(disconnect.reason, ReasonCode::ReceiveMaximumExceeded);

    let mut link = broker.accept(Session::Present).await;
    for number in 1..=5 {
        link.deliver_again(with_id(QoS::AtLeastOnce, number), "t", "x")
            .await;
    }
    for number in 1..=5 {
        soon("a message", stream.next()).await.unwrap();
        assert_eq!(acknowledged(&mut link).await, number);
    }
}

/// Mosquitto 2.0.11 takes a PUBREC for the end of a message, which only the PUBCOMP is. That is no reason to close, either.
#[tokio::test]
async fn a_server_may_count_to_the_pubrec() {
    let broker = FakeBroker::start();
    let client = builder(broker.address(), Version::V5, "client")
        .receive_maximum(2)
        .start()
        .unwrap();
    let mut link = broker.accept(Session::New).await;
    let mut stream = client.subscribe("t").qos(QoS::ExactlyOnce).start().unwrap();
    link.subscribed().await;
    for number in 1..=6 {
        link.deliver(with_id(QoS::ExactlyOnce, number), "t", "x")
            .await;
        soon("a message", stream.next()).await.unwrap();
        assert_eq!(acknowledged(&mut link).await, number);
    }
}

/// However the application acknowledges, it is told in the order in which the messages came.
/// `[MQTT-4.6.0-2]` `[MQTT-4.6.0-3]`
#[tokio::test]
async fn manual_acknowledgements_leave_in_order() {
    for version in VERSIONS {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let broker = FakeBroker::start();
            let client = builder(broker.address(), version, "client")
                .start()
                .unwrap();
            let mut link = broker.accept(Session::New).await;
            let mut stream = client.subscribe("t").qos(qos).manual_ack().start().unwrap();
            link.subscribed().await;
            let mut taken = Vec::new();
            for number in 1..=3 {
                link.deliver(with_id(qos, number), "t", "x").await;
                taken.push(soon("a message", stream.next()).await.unwrap());
            }
            taken.pop().unwrap().ack();
            taken.pop().unwrap().ack();
            link.is_quiet(Duration::from_millis(30)).await;
            taken.pop().unwrap().ack();
            for number in 1..=3 {
                assert_eq!(acknowledged(&mut link).await, number);
            }
        }
    }
}

/// A message that was dropped without an acknowledgement is in its stream again, before those behind it.
#[tokio::test]
async fn a_message_that_is_dropped_is_there_again() {
    let broker = FakeBroker::start();
    let client = builder(broker.address(), Version::V5, "client")
        .start()
        .unwrap();
    let mut link = broker.accept(Session::New).await;
    let mut stream = client.subscribe("t").manual_ack().start().unwrap();
    link.subscribed().await;
    link.deliver(with_id(QoS::AtLeastOnce, 1), "t", "first")
        .await;
    link.deliver(with_id(QoS::AtLeastOnce, 2), "t", "second")
        .await;
    for _ in 0..3 {
        let message = soon("a message", stream.next()).await.unwrap();
        assert_eq!(message.text().unwrap(), "first");
        drop(message);
    }
    for (number, text) in [(1, "first"), (2, "second")] {
        let message = soon("a message", stream.next()).await.unwrap();
        assert_eq!(message.text().unwrap(), text);
        message.ack();
        assert_eq!(acknowledged(&mut link).await, number);
    }
}

/// What a client has not acknowledged, the next one with its session gets; and nothing else.
#[tokio::test]
async fn what_is_not_acknowledged_comes_again() {
    for kind in Kind::ALL {
        let Some(broker) = Broker::start(kind).await else {
            continue;
        };
        for version in VERSIONS {
            for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                println!("{kind}, {version:?}, {qos:?}");
                let topic = format!("{version:?}/{qos:?}");
                comes_again(&broker, version, qos, &topic).await;
            }
        }
    }
}

async fn comes_again(broker: &Broker, version: Version, qos: QoS, topic: &str) {
    let subscriber = |address| {
        builder(address, version, &format!("subscriber {topic}"))
            .start()
            .unwrap()
    };
    let proxy = Proxy::start(broker.address(), Plan::calm());
    let client = subscriber(proxy.address());
    let subscribe = client.subscribe(topic).qos(qos).manual_ack();
    let mut stream = soon("the SUBACK", subscribe.into_future()).await.unwrap();
    let publisher = builder(broker.address(), version, &format!("publisher {topic}"))
        .start()
        .unwrap();
    for number in 0..6 {
        let publish = publisher.publish(topic, number.to_string()).qos(qos);
        soon("an answer", publish.into_future()).await.unwrap();
    }
    // Those in front are acknowledged, those behind are in the application's hands.
    let mut hands = Vec::new();
    for number in 0..6 {
        let message = soon("a message", stream.next()).await.unwrap();
        assert_eq!(message.text().unwrap(), number.to_string());
        if number < 3 {
            message.ack();
        } else {
            hands.push(message);
        }
    }
    wait_for_acknowledgements(&client).await;
    // The client dies: it says and does nothing more.
    proxy.refuse();
    proxy.reset_all();
    drop(proxy);
    drop((hands, stream, client));

    let client = subscriber(broker.address());
    let subscribe = client.subscribe(topic).qos(qos).manual_ack();
    let mut stream = soon("the SUBACK", subscribe.into_future()).await.unwrap();
    let mut again = BTreeSet::new();
    while let Ok(message) = tokio::time::timeout(Duration::from_millis(300), stream.next()).await {
        let message = message.unwrap();
        again.insert(message.text().unwrap().to_owned());
        message.ack();
    }
    assert_eq!(again, ["3", "4", "5"].map(str::to_owned).into());
}

/// Waits until the server has what was acknowledged: its answer to something that came after.
async fn wait_for_acknowledgements(client: &Client) {
    let publish = client.publish("nobody/cares", "x").into_future();
    soon("an answer", publish).await.unwrap();
}

/// Acknowledged in any order, after a while, or not at all and dropped, through a bad proxy: everything is seen, what was
/// acknowledged at QoS 2 is not seen again, and in the end nothing is left at the server.
#[tokio::test]
async fn manual_acknowledgements_survive_bad_connections() {
    for seed in seeds(3) {
        for version in VERSIONS {
            println!("seed {seed}, {version:?}");
            acknowledges_at_random(version, seed).await;
        }
    }
}

async fn acknowledges_at_random(version: Version, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let broker = Broker::start(Kind::Embedded).await.unwrap();
    let proxy = Proxy::start(broker.address(), Plan::random(random.u64(..), 8));
    let client = builder(proxy.address(), version, "subscriber")
        .receive_maximum(20)
        .start()
        .unwrap();
    let subscribe = client.subscribe("t/#").qos(QoS::ExactlyOnce).manual_ack();
    let mut stream = soon("the SUBACK", subscribe.into_future()).await.unwrap();
    let publisher = builder(broker.address(), version, "publisher")
        .start()
        .unwrap();
    let book = Book::new(QoS::ExactlyOnce);
    book.open().ignore_order();
    let load = Load {
        messages: 150,
        pause: Duration::from_millis(2),
        payload_bytes_max: 100,
    };
    let publishing = tokio::spawn(publish_all(publisher, book.clone(), load, random.fork()));
    let mut hands = Vec::new();
    let work = async {
        while !publishing.is_finished() || book.open().missing() > 0 {
            let next = tokio::time::timeout(Duration::from_millis(5), stream.next()).await;
            if let Ok(message) = next {
                hands.push(message.expect("the client lives"));
            }
            while hands.len() > 10 || (next_is_late(&mut random) && !hands.is_empty()) {
                let message = hands.swap_remove(random.usize(..hands.len()));
                if random.u8(..8) == 0 && message.qos != QoS::AtMostOnce {
                    drop(message);
                    continue;
                }
                let (number, _) = message.text().unwrap().split_once(' ').unwrap();
                book.open()
                    .receive(message.topic(), number.parse().unwrap());
                message.ack();
            }
        }
    };
    // What is missing, the ledger tells.
    let _ = tokio::time::timeout(Duration::from_secs(20), work).await;
    publishing.await.unwrap();
    let broken = book.open().broken(Promise::Kept);
    assert!(broken.is_empty(), "not as promised:\n{broken}");
    drop((hands, stream));
    let drain = client.disconnect().drain(Duration::from_secs(5));
    soon("the end", drain.into_future()).await.unwrap();
}

fn next_is_late(random: &mut Rng) -> bool {
    random.u8(..3) == 0
}

/// An acknowledgement of a message of a lost session is none of the message that has its packet identifier now.
#[tokio::test]
async fn what_a_lost_session_has_sent_is_not_acknowledged() {
    for version in VERSIONS {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let broker = FakeBroker::start();
            let client = builder(broker.address(), version, "client")
                .start()
                .unwrap();
            let mut link = broker.accept(Session::New).await;
            let mut stream = client.subscribe("t").qos(qos).manual_ack().start().unwrap();
            link.subscribed().await;
            link.deliver(with_id(qos, 1), "t", "old").await;
            let old = soon("a message", stream.next()).await.unwrap();
            link.close().await;

            let mut link = broker.accept(Session::New).await;
            link.subscribed().await;
            link.deliver(with_id(qos, 1), "t", "new").await;
            let new = soon("a message", stream.next()).await.unwrap();
            assert_eq!(new.text().unwrap(), "new");
            old.ack();
            link.is_quiet(Duration::from_millis(30)).await;
            new.ack();
            assert_eq!(acknowledged(&mut link).await, 1);
        }
    }
}

/// Messages of a session that goes on may come before anybody subscribes: they are kept for whoever does.
#[tokio::test]
async fn messages_wait_for_their_stream() {
    for kind in Kind::ALL {
        let Some(broker) = Broker::start(kind).await else {
            continue;
        };
        for version in VERSIONS {
            let name = format!("{version:?}");
            let subscriber = || {
                builder(broker.address(), version, &format!("s {name}"))
                    .start()
                    .unwrap()
            };
            let client = subscriber();
            let subscribe = client.subscribe(&name).qos(QoS::ExactlyOnce);
            let stream = soon("the SUBACK", subscribe.into_future()).await.unwrap();
            soon("the end", client.disconnect().into_future())
                .await
                .unwrap();
            drop((stream, client));
            let publisher = builder(broker.address(), version, &format!("p {name}"))
                .start()
                .unwrap();
            for number in 0..10 {
                let publish = publisher
                    .publish(&name, number.to_string())
                    .qos(QoS::ExactlyOnce);
                soon("an answer", publish.into_future()).await.unwrap();
            }

            let client = subscriber();
            soon("the messages", async {
                while client.metrics().session.unclaimed < 10 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            })
            .await;
            let mut stream = client
                .subscribe(&name)
                .qos(QoS::ExactlyOnce)
                .start()
                .unwrap();
            for number in 0..10 {
                let message = soon("a message", stream.next()).await.unwrap();
                assert_eq!(message.text().unwrap(), number.to_string(), "{kind}");
            }
        }
    }
}
