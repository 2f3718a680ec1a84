//! Publishing.

use std::time::Duration;

use bytes::Bytes;
use mqtt_client::{Error, Offline, QoS, ReasonCode, WhenFull, testing};
use mqtt_codec::{Ack, Packet, PacketType, Properties, PublishQoS};

use crate::{Pair, SECOND, settle};

#[tokio::test(start_paused = true)]
async fn a_publish_resolves_with_the_puback() {
    let mut pair = Pair::new().await;
    let published = tokio::spawn(pair.client.publish("lamp", "on").into_future());
    let publish = pair.connection.expect_publish().await;
    assert_eq!(publish.qos.level(), QoS::AtLeastOnce);
    settle().await;
    assert!(!published.is_finished());
    pair.connection.acknowledge(&publish).await;
    assert_eq!(
        published.await.unwrap().unwrap().reason,
        ReasonCode::Success
    );
}

#[tokio::test(start_paused = true)]
async fn at_qos_2_it_resolves_with_the_pubcomp() {
    let mut pair = Pair::new().await;
    let publish = pair.client.publish("lamp", "on").qos(QoS::ExactlyOnce);
    let published = tokio::spawn(publish.into_future());
    let publish = pair.connection.expect_publish().await;
    let PublishQoS::ExactlyOnce(packet_id) = publish.qos else {
        panic!("{publish:?}");
    };
    let pubrec = Ack {
        packet_id,
        reason: ReasonCode::Success,
        properties: Properties::default(),
    };
    pair.connection.send(Packet::PubRec(pubrec.clone())).await;
    pair.connection.expect_ack(PacketType::PubRel).await;
    settle().await;
    assert!(!published.is_finished());
    pair.connection.send(Packet::PubComp(pubrec)).await;
    published.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn at_qos_0_it_resolves_when_it_is_written() {
    let mut pair = Pair::new().await;
    let published = pair.client.publish("lamp", "on").qos(QoS::AtMostOnce).await;
    assert_eq!(published.unwrap().reason, ReasonCode::Success);
    let publish = pair.connection.expect_publish().await;
    assert_eq!(publish.qos, PublishQoS::AtMostOnce);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_an_error_with_its_reason() {
    let mut pair = Pair::new().await;
    let published = tokio::spawn(pair.client.publish("lamp", "on").into_future());
    let publish = pair.connection.expect_publish().await;
    pair.connection
        .send(Packet::PubAck(Ack {
            packet_id: publish.qos.packet_id().unwrap(),
            reason: ReasonCode::QuotaExceeded,
            properties: Properties::default(),
        }))
        .await;
    let error = published.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::Refused(refusal) if refusal.reason == ReasonCode::QuotaExceeded),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_builder_says_is_in_the_packet() {
    let mut pair = Pair::new().await;
    let receipt = pair
        .client
        .publish("lamp", "on")
        .retain()
        .expiry(Duration::from_millis(59_500))
        .content_type("text/plain")
        .content_type("text/html")
        .utf8()
        .response_topic("answers")
        .correlation_data(b"7")
        .user_property("a", "1")
        .user_property("a", "2")
        .enqueue()
        .await
        .unwrap();
    let publish = pair.connection.expect_publish().await;
    assert!(publish.retain);
    let properties = &publish.properties;
    assert_eq!(properties.message_expiry_interval(), Some(60));
    assert_eq!(properties.content_type().unwrap().to_str(), "text/html");
    assert_eq!(properties.payload_format_indicator(), Some(true));
    assert_eq!(*properties.response_topic().unwrap(), "answers");
    assert_eq!(properties.correlation_data(), Some(&b"7"[..]));
    let values: Vec<_> = properties
        .user_properties()
        .map(|property| property.value.to_str().to_owned())
        .collect();
    assert_eq!(values, ["1", "2"]);
    drop(receipt);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_fails_and_nothing_is_sent() {
    let mut pair = Pair::new().await;
    let client = &pair.client;
    let wildcard = client.publish("lamp/#", "on").await;
    assert!(matches!(wildcard, Err(Error::Invalid(_))), "{wildcard:?}");
    let empty = client.publish("", "on").try_enqueue();
    assert!(matches!(empty, Err(Error::Invalid(_))), "{empty:?}");
    let null = client
        .publish("lamp", "on")
        .content_type("a\0b")
        .retain()
        .await;
    assert!(matches!(null, Err(Error::Encode(_))), "{null:?}");
    let topic = client
        .publish("lamp", "on")
        .response_topic("+")
        .utf8()
        .enqueue()
        .await;
    assert!(matches!(topic, Err(Error::Invalid(_))), "{topic:?}");
    pair.connection.expect_nothing(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_qos_0_fails_and_the_others_wait() {
    let (builder, mut broker) = testing::pair();
    let client = builder.start().unwrap();
    let refused = client.publish("lamp", "0").qos(QoS::AtMostOnce).await;
    assert!(matches!(refused, Err(Error::Offline)), "{refused:?}");
    let first = client.publish("lamp", "1").enqueue().await.unwrap();
    let second = client
        .publish("lamp", "2")
        .qos(QoS::ExactlyOnce)
        .try_enqueue()
        .unwrap();
    let mut connection = broker.accept().await;
    for payload in ["1", "2"] {
        let publish = connection.expect_publish().await;
        assert_eq!(publish.payload, payload);
        connection.acknowledge(&publish).await;
    }
    first.await.unwrap();
    second.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn qos_0_waits_if_it_shall() {
    let (builder, mut broker) = testing::pair();
    let client = builder.offline_qos0(Offline::Queue).start().unwrap();
    let receipt = client
        .publish("lamp", "0")
        .qos(QoS::AtMostOnce)
        .try_enqueue()
        .unwrap();
    let mut connection = broker.accept().await;
    assert_eq!(connection.expect_publish().await.payload, "0");
    receipt.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_accepted_message_is_delivered_without_its_receipt() {
    let mut pair = Pair::new().await;
    drop(pair.client.publish("lamp", "1").try_enqueue().unwrap());
    let mut published = tokio::spawn(pair.client.publish("lamp", "2").into_future());
    settle().await;
    published.abort();
    (&mut published).await.unwrap_err();
    for payload in ["1", "2"] {
        let publish = pair.connection.expect_publish().await;
        assert_eq!(publish.payload, payload);
        pair.connection.acknowledge(&publish).await;
    }
    settle().await;
    assert_eq!(pair.client.metrics().session.messages_acknowledged, 2);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_waits_for_whoever_asks_and_tells_once() {
    let mut pair = Pair::new().await;
    let mut receipt = pair.client.publish("lamp", "on").try_enqueue().unwrap();
    let publish = pair.connection.expect_publish().await;
    assert!(receipt.try_answer().is_none());
    pair.connection.acknowledge(&publish).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    receipt.try_answer().unwrap().unwrap();
    assert!(receipt.try_answer().is_none());
    assert!(tokio::time::timeout(SECOND, receipt).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_lets_messages_in_in_the_order_of_asking() {
    let (builder, mut broker) = testing::pair();
    let client = builder
        .queue(1, usize::MAX)
        .in_flight_max(1)
        .start()
        .unwrap();
    drop(client.publish("lamp", "0").enqueue().await.unwrap());
    let full = client.publish("lamp", "no").try_enqueue();
    assert!(matches!(full, Err(Error::QueueFull)), "{full:?}");
    let mut waiting = Vec::new();
    for number in 1..=5 {
        let payload = number.to_string();
        waiting.push(tokio::spawn(client.publish("lamp", payload).into_future()));
        settle().await;
    }
    // Who gives up while it waits has sent nothing, and holds up nobody.
    waiting.remove(2).abort();
    waiting.remove(0).abort();
    let mut connection = broker.accept().await;
    for payload in ["0", "2", "4", "5"] {
        let publish = connection.expect_publish().await;
        assert_eq!(publish.payload, payload);
        connection.acknowledge(&publish).await;
    }
    connection.expect_nothing(SECOND).await;
    for published in waiting {
        published.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_message_has_its_turn_among_small_ones() {
    let (builder, mut broker) = testing::pair();
    let client = builder.queue(100, 1000).in_flight_max(1).start().unwrap();
    for _ in 0..3 {
        drop(
            client
                .publish("a", Bytes::from(vec![0; 300]))
                .enqueue()
                .await
                .unwrap(),
        );
    }
    let large = tokio::spawn(client.publish("a", Bytes::from(vec![1; 900])).into_future());
    settle().await;
    let small = client.publish("a", Bytes::from(vec![2; 10])).try_enqueue();
    assert!(matches!(small, Err(Error::QueueFull)), "{small:?}");
    let small = tokio::spawn(client.publish("a", Bytes::from(vec![2; 10])).into_future());
    let mut connection = broker.accept().await;
    for expected in [0, 0, 0, 1, 2] {
        let publish = connection.expect_publish().await;
        assert_eq!(publish.payload.first(), Some(&expected));
        connection.acknowledge(&publish).await;
    }
    large.await.unwrap().unwrap();
    small.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_rejects_does_not_wait() {
    let (builder, _broker) = testing::pair();
    let client = builder
        .queue(1, usize::MAX)
        .when_full(WhenFull::Reject)
        .start()
        .unwrap();
    drop(client.publish("lamp", "0").try_enqueue().unwrap());
    let full = client.publish("lamp", "1").await;
    assert!(matches!(full, Err(Error::QueueFull)), "{full:?}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_may_give_up_the_oldest_qos_0_message() {
    let (builder, _broker) = testing::pair();
    let client = builder
        .queue(2, usize::MAX)
        .when_full(WhenFull::DropOldestQoS0)
        .offline_qos0(Offline::Queue)
        .start()
        .unwrap();
    let oldest = client
        .publish("a", "0")
        .qos(QoS::AtMostOnce)
        .try_enqueue()
        .unwrap();
    let kept = client.publish("a", "1").try_enqueue().unwrap();
    let newest = client.publish("a", "2").try_enqueue().unwrap();
    let displaced = oldest.await;
    assert!(matches!(displaced, Err(Error::Displaced)), "{displaced:?}");
    let full = client.publish("a", "3").try_enqueue();
    assert!(matches!(full, Err(Error::QueueFull)), "{full:?}");
    drop((kept, newest));
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_lifetime_is_over_is_not_sent() {
    let (builder, mut broker) = testing::pair();
    let client = builder.start().unwrap();
    broker.unreachable();
    let expired = client.publish("a", "old").expiry(SECOND).await;
    assert!(matches!(expired, Err(Error::Expired)), "{expired:?}");
    broker.reachable();
    // The first transport was open before.
    drop(broker.connection().await);
    let mut connection = broker.accept().await;
    connection.expect_nothing(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_acknowledged_is_sent_again_to_a_session_that_is_there() {
    let mut pair = Pair::new().await;
    let published = tokio::spawn(pair.client.publish("lamp", "on").into_future());
    let first = pair.connection.expect_publish().await;
    pair.connection.close();
    let mut connection = pair.broker.resume().await;
    let again = connection.expect_publish().await;
    assert!(again.dup);
    assert_eq!(again.qos, first.qos);
    connection.acknowledge(&again).await;
    published.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_gets_qos_1_anew_and_tells_of_qos_2() {
    let mut pair = Pair::new().await;
    let once = pair
        .client
        .publish("a", "2")
        .qos(QoS::ExactlyOnce)
        .try_enqueue()
        .unwrap();
    let least = pair.client.publish("a", "1").try_enqueue().unwrap();
    pair.connection.expect_publish().await;
    pair.connection.expect_publish().await;
    pair.connection.close();
    let mut connection = pair.broker.accept().await;
    let unknown = once.await;
    assert!(
        matches!(unknown, Err(Error::DeliveryUnknown)),
        "{unknown:?}"
    );
    let again = connection.expect_publish().await;
    assert_eq!((again.dup, &again.payload[..]), (false, &b"1"[..]));
    connection.acknowledge(&again).await;
    least.await.unwrap();
}
