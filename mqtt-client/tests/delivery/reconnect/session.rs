//! What is sent first on a new connection: with the session kept, and with the session lost.

use std::time::Duration;

use mqtt_client::{Error, QoS, Version};
use mqtt_codec::{Ack, Packet, Property, Publish, PublishQoS, ReasonCode};

use super::connected;
use crate::fake_broker::{FakeBroker, Link, Session, id};
use crate::parties::builder;
use crate::soon;

const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5];

/// What the next PUBLISH says: topic, packet identifier, DUP.
async fn next_publish(link: &mut Link) -> (String, u16, bool) {
    let publish: Publish = link.publish().await;
    let number = publish.qos.packet_id().map_or(0, |id| id.get());
    let topic = publish
        .topic
        .as_ref()
        .expect("no alias yet")
        .as_str()
        .to_owned();
    (topic, number, publish.dup)
}

/// `[MQTT-4.4.0-1]` `[MQTT-3.3.1-1]`
#[tokio::test]
async fn a_kept_session_is_gone_on_with() {
    for version in VERSIONS {
        let broker = FakeBroker::start();
        let (client, mut link) = connected(&broker, version).await;
        let _stream = client.subscribe("t").start().unwrap();
        link.subscribed().await;
        let mut sent = Vec::new();
        let mut receipts = Vec::new();
        for (topic, qos) in [
            ("a", QoS::AtLeastOnce),
            ("b", QoS::ExactlyOnce),
            ("c", QoS::ExactlyOnce),
            ("d", QoS::AtLeastOnce),
        ] {
            receipts.push(client.publish(topic, "x").qos(qos).try_enqueue().unwrap());
            sent.push(next_publish(&mut link).await);
        }
        assert!(sent.iter().all(|(_, _, dup)| !dup));
        // The server has taken one of them.
        let released = id(sent[2].1);
        link.send(&Packet::PubRec(Ack::new(released, ReasonCode::Success)))
            .await;
        let pubrel = link.packet().await;
        assert!(matches!(&pubrel, Packet::PubRel(ack) if ack.packet_id == released));
        link.close().await;
        receipts.push(client.publish("e", "x").try_enqueue().unwrap());

        let mut link = broker.accept(Session::Present).await;
        let mut again = Vec::new();
        let mut released_again = 0;
        while again.len() < 4 {
            match link.packet().await {
                Packet::PubRel(ack) => {
                    assert_eq!(ack.packet_id, released);
                    released_again += 1;
                    link.answer(&Packet::PubRel(ack)).await;
                }
                Packet::Publish(publish) => {
                    let number = publish.qos.packet_id().unwrap().get();
                    let topic = publish.topic.as_ref().unwrap().as_str().to_owned();
                    again.push((topic, number, publish.dup));
                    link.answer(&Packet::Publish(publish)).await;
                }
                other => panic!("{other:?}: the subscription is there"),
            }
        }
        // In their order, with their identifiers, before anything new.
        sent.remove(2);
        for ((topic, number, dup), (former_topic, former_number, _)) in again.iter().zip(&sent) {
            assert_eq!((topic, number, *dup), (former_topic, former_number, true));
        }
        assert_eq!((again[3].0.as_str(), again[3].2), ("e", false));
        assert_eq!(released_again, 1);
        let pubrel = link.packet().await;
        link.answer(&pubrel).await;
        for receipt in receipts {
            soon("an answer", receipt).await.unwrap();
        }
    }
}

/// `[MQTT-3.2.2-5]`
#[tokio::test]
async fn a_lost_session_is_subscribed_to_again() {
    for version in VERSIONS {
        let broker = FakeBroker::start();
        let (client, mut link) = connected(&broker, version).await;
        let _exact = client.subscribe("t").qos(QoS::ExactlyOnce).start().unwrap();
        assert_eq!(
            link.subscribed().await,
            [("t".to_owned(), QoS::ExactlyOnce)]
        );
        let _wild = client.subscribe("w/#").start().unwrap();
        link.subscribed().await;
        let gone = client.subscribe("gone").start().unwrap();
        link.subscribed().await;
        let unsubscribing = tokio::spawn(gone.unsubscribe());
        let unsubscribe = link.packet().await;
        assert!(
            matches!(unsubscribe, Packet::Unsubscribe(_)),
            "{unsubscribe:?}"
        );
        link.answer(&unsubscribe).await;
        soon("the UNSUBACK", unsubscribing).await.unwrap().unwrap();
        link.close().await;
        let _message = client.publish("a", "x").try_enqueue().unwrap();

        let mut link = broker.accept(Session::New).await;
        // The subscriptions come first: so what is published by others meanwhile is not missed.
        let mut filters = link.subscribed().await;
        while filters.len() < 2 {
            filters.extend(link.subscribed().await);
        }
        filters.sort();
        let expected = [("t", QoS::ExactlyOnce), ("w/#", QoS::AtLeastOnce)];
        assert_eq!(
            filters,
            expected.map(|(filter, qos)| (filter.to_owned(), qos))
        );
        link.publish().await;
    }
}

/// A new session knows no former packet: nothing is sent again as such.
#[tokio::test]
async fn what_a_lost_session_had_not_taken_is_new() {
    for version in VERSIONS {
        let broker = FakeBroker::start();
        let (client, mut link) = connected(&broker, version).await;
        let publish = |topic, qos| client.publish(topic, "x").qos(qos).try_enqueue().unwrap();
        let sent = publish("a", QoS::AtLeastOnce);
        next_publish(&mut link).await;
        let unknown = publish("b", QoS::ExactlyOnce);
        next_publish(&mut link).await;
        let taken = publish("c", QoS::ExactlyOnce);
        let (_, number, _) = next_publish(&mut link).await;
        let pubrec = Ack::new(id(number), ReasonCode::Success);
        link.send(&Packet::PubRec(pubrec)).await;
        link.packet().await;
        link.close().await;
        let new = publish("d", QoS::AtLeastOnce);

        let mut link = broker.accept(Session::New).await;
        for expected in ["a", "d"] {
            let publish = link.publish().await;
            assert_eq!(publish.topic.as_ref().unwrap().as_str(), expected);
            assert!(!publish.dup);
            link.answer(&Packet::Publish(publish)).await;
        }
        soon("an answer", sent).await.unwrap();
        soon("an answer", new).await.unwrap();
        soon("an answer", taken)
            .await
            .expect("the server had taken it");
        let error = soon("an answer", unknown).await.unwrap_err();
        assert!(matches!(error, Error::DeliveryUnknown), "{error}");
    }
}

#[tokio::test]
async fn what_was_subscribed_to_meanwhile_is_made_good() {
    for version in VERSIONS {
        let broker = FakeBroker::start();
        let (client, mut link) = connected(&broker, version).await;
        let _stays = client.subscribe("stays").start().unwrap();
        link.subscribed().await;
        let goes = client.subscribe("goes").start().unwrap();
        link.subscribed().await;
        link.close().await;
        let unsubscribing = tokio::spawn(goes.unsubscribe());
        let _comes = client.subscribe("comes").start().unwrap();

        let mut link = broker.accept(Session::Present).await;
        let (mut subscribed, mut unsubscribed) = (Vec::new(), Vec::new());
        while subscribed.is_empty() || unsubscribed.is_empty() {
            let packet = link.packet().await;
            match &packet {
                Packet::Subscribe(packet) => {
                    let filters = packet.subscriptions.iter();
                    subscribed.extend(filters.map(|one| one.filter.as_str().to_owned()));
                }
                Packet::Unsubscribe(packet) => {
                    unsubscribed.extend(packet.filters.iter().map(|one| one.as_str().to_owned()));
                }
                other => panic!("{other:?}"),
            }
            link.answer(&packet).await;
        }
        soon("the UNSUBACK", unsubscribing).await.unwrap().unwrap();
        assert_eq!(
            (subscribed, unsubscribed),
            (vec!["comes".to_owned()], vec!["goes".to_owned()])
        );
    }
}

/// An alias is known to one connection only: what is sent again has its topic.
#[tokio::test]
async fn a_topic_alias_does_not_outlive_its_connection() {
    let broker = FakeBroker::start();
    let client = builder(broker.address(), Version::V5, "client")
        .start()
        .unwrap();
    let mut link = broker.connection().await;
    link.welcome(Session::New, &[Property::TopicAliasMaximum(10)])
        .await;
    // Whatever makes the client use aliases: the same topic, often.
    for _ in 0..20 {
        let receipt = client.publish("a/long/topic", "x").try_enqueue().unwrap();
        let publish = link.packet().await;
        link.answer(&publish).await;
        soon("the PUBACK", receipt).await.unwrap();
    }
    let _receipt = client.publish("a/long/topic", "x").try_enqueue().unwrap();
    let publish = link.publish().await;
    assert!(publish.topic.is_none(), "it uses aliases: {publish:?}");
    link.close().await;

    let mut link = broker.accept(Session::Present).await;
    let publish = link.publish().await;
    assert_eq!(
        publish.topic.as_ref().map(|topic| topic.as_str()),
        Some("a/long/topic")
    );
    assert_eq!(
        publish.properties.topic_alias(),
        None,
        "this server takes none"
    );
}

/// What the next server does not take fails by itself, and the rest goes on.
#[tokio::test]
async fn a_server_that_takes_less_gets_less() {
    let broker = FakeBroker::start();
    let (client, mut link) = connected(&broker, Version::V5).await;
    let large = client.publish("t", vec![0; 1000]).try_enqueue().unwrap();
    link.publish().await;
    let small = client.publish("t", "x").try_enqueue().unwrap();
    link.publish().await;
    link.close().await;
    let exact = client
        .publish("t", "x")
        .qos(QoS::ExactlyOnce)
        .try_enqueue()
        .unwrap();
    let retained = client.publish("t", "x").retain().try_enqueue().unwrap();
    let last = client.publish("t", "last").try_enqueue().unwrap();

    let mut link = broker.connection().await;
    let limits = [
        Property::MaximumPacketSize(500),
        Property::MaximumQoS(QoS::AtLeastOnce),
        Property::RetainAvailable(false),
    ];
    link.welcome(Session::Present, &limits).await;
    for payload in ["x", "last"] {
        let publish = link.publish().await;
        assert_eq!(publish.payload, payload);
        link.answer(&Packet::Publish(publish)).await;
    }
    let error = soon("an answer", large).await.unwrap_err();
    assert!(
        matches!(error, Error::TooLarge { bytes_max: 500, .. }),
        "{error:?}"
    );
    for refused in [exact, retained] {
        let error = soon("an answer", refused).await.unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)), "{error:?}");
    }
    soon("an answer", small).await.unwrap();
    soon("an answer", last).await.unwrap();
}

/// A message of QoS 2 that was taken before the connection broke comes once, though the server sends it
/// again; with a QoS 1 message that the application still has, the same.
#[tokio::test]
async fn what_comes_again_is_known() {
    for version in VERSIONS {
        let broker = FakeBroker::start();
        let (client, mut link) = connected(&broker, version).await;
        let mut stream = client.subscribe("t").qos(QoS::ExactlyOnce).start().unwrap();
        link.subscribed().await;
        link.deliver(PublishQoS::ExactlyOnce(id(7)), "t", "once")
            .await;
        assert_eq!(
            soon("it", stream.next()).await.unwrap().text().unwrap(),
            "once"
        );
        let pubrec = link.packet().await;
        assert!(matches!(pubrec, Packet::PubRec(_)), "{pubrec:?}");
        link.reset();

        let mut link = broker.accept(Session::Present).await;
        link.deliver_again(PublishQoS::ExactlyOnce(id(7)), "t", "once")
            .await;
        let pubrec = link.packet().await;
        assert!(matches!(pubrec, Packet::PubRec(_)), "{pubrec:?}");
        link.answer(&pubrec).await;
        let pubcomp = link.packet().await;
        assert!(matches!(pubcomp, Packet::PubComp(_)), "{pubcomp:?}");
        // From here on, the identifier is free.
        link.deliver(PublishQoS::ExactlyOnce(id(7)), "t", "another")
            .await;
        assert_eq!(
            soon("it", stream.next()).await.unwrap().text().unwrap(),
            "another"
        );
    }
}

/// The server's Receive Maximum holds for what is sent again, too; and what was released counts until its PUBCOMP.
/// `[MQTT-3.3.4-7]`
#[tokio::test]
async fn what_is_sent_again_waits_for_its_turn() {
    let broker = FakeBroker::start();
    let client = builder(broker.address(), Version::V5, "client")
        .start()
        .unwrap();
    let mut link = broker.accept(Session::New).await;
    for _ in 0..5 {
        let publish = client.publish("t", "x").qos(QoS::ExactlyOnce);
        drop(publish.try_enqueue().unwrap());
        link.publish().await;
    }
    let pubrec = Ack::new(id(1), ReasonCode::Success);
    link.send(&Packet::PubRec(pubrec)).await;
    let pubrel = link.packet().await;
    assert!(matches!(pubrel, Packet::PubRel(_)), "{pubrel:?}");
    // It has lasted: nobody is suspected.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    link.close().await;

    let mut link = broker.connection().await;
    link.welcome(Session::Present, &[Property::ReceiveMaximum(2)])
        .await;
    let mut under_way = Vec::new();
    let pubrel = link.packet().await;
    assert!(matches!(pubrel, Packet::PubRel(_)), "{pubrel:?}");
    under_way.push(pubrel);
    for number in 2..=5 {
        let publish = link.publish().await;
        assert_eq!(publish.qos.packet_id(), Some(id(number)));
        under_way.push(Packet::Publish(publish));
        link.is_quiet(Duration::from_millis(20)).await;
        // The oldest is completed.
        let oldest = under_way.remove(0);
        link.answer(&oldest).await;
        if matches!(oldest, Packet::Publish(_)) {
            let pubrel = link.packet().await;
            link.is_quiet(Duration::from_millis(20)).await;
            link.answer(&pubrel).await;
        }
    }
}
