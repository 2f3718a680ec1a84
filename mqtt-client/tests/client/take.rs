//! Taking messages out of a stream, and acknowledging them.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use mqtt_client::{QoS, ReasonCode, StreamFull};
use mqtt_codec::{Packet, PacketType};

use crate::{Pair, SECOND, settle};

#[tokio::test(start_paused = true)]
async fn a_message_is_acknowledged_when_it_is_taken_and_not_before() {
    let mut pair = Pair::new().await;
    let mut stream = pair.subscribe("a", QoS::ExactlyOnce).await;
    let first = pair.connection.publish("a", "1", QoS::AtLeastOnce).await;
    pair.connection.publish("a", "2", QoS::AtMostOnce).await;
    let last = pair.connection.publish("a", "3", QoS::ExactlyOnce).await;
    pair.connection.expect_nothing(SECOND).await;
    assert_eq!(stream.next().await.unwrap().payload, "1");
    let puback = pair.connection.expect_ack(PacketType::PubAck).await;
    assert_eq!(Some(puback.packet_id), first);
    pair.connection.expect_nothing(SECOND).await;
    assert_eq!(stream.try_next().unwrap().payload, "2");
    assert_eq!(stream.try_next().unwrap().payload, "3");
    assert!(stream.try_next().is_none());
    let pubrec = pair.connection.expect_ack(PacketType::PubRec).await;
    assert_eq!(Some(pubrec.packet_id), last);
}

#[tokio::test(start_paused = true)]
async fn it_is_a_stream() {
    let mut pair = Pair::new().await;
    let mut stream = pair.subscribe("a", QoS::AtLeastOnce).await;
    pair.connection.publish("a", "1", QoS::AtLeastOnce).await;
    let next = std::future::poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await;
    assert_eq!(next.unwrap().payload, "1");
}

#[tokio::test(start_paused = true)]
async fn a_next_that_is_dropped_has_taken_nothing() {
    let mut pair = Pair::new().await;
    let mut stream = pair.subscribe("a", QoS::AtLeastOnce).await;
    for number in 0..10 {
        let next = tokio::time::timeout(SECOND, stream.next()).await;
        assert!(next.is_err());
        let payload = number.to_string();
        pair.connection
            .publish("a", payload.clone(), QoS::AtLeastOnce)
            .await;
        let message = stream.next().await.unwrap();
        assert_eq!(message.payload, payload);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_for_two_streams_is_acknowledged_when_both_have_taken_it() {
    let mut pair = Pair::new().await;
    let mut one = pair.subscribe("a/+", QoS::AtLeastOnce).await;
    let mut other = pair.subscribe("a/b", QoS::AtLeastOnce).await;
    pair.connection.publish("a/b", "x", QoS::AtLeastOnce).await;
    assert_eq!(one.next().await.unwrap().payload, "x");
    pair.connection.expect_nothing(SECOND).await;
    assert_eq!(other.next().await.unwrap().payload, "x");
    pair.connection.expect_ack(PacketType::PubAck).await;
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_by_hand_leave_in_the_order_of_the_messages() {
    let mut pair = Pair::new().await;
    let mut stream = pair.subscribe_manually("a", QoS::AtLeastOnce).await;
    let mut ids = Vec::new();
    for payload in ["1", "2", "3"] {
        ids.extend(
            pair.connection
                .publish("a", payload, QoS::AtLeastOnce)
                .await,
        );
    }
    let first = stream.next().await.unwrap();
    let second = stream.next().await.unwrap();
    let third = stream.next().await.unwrap();
    assert_eq!(second.message().payload, "2");
    third.ack();
    second.reject(ReasonCode::NotAuthorized);
    pair.connection.expect_nothing(SECOND).await;
    first.ack();
    let mut acks = Vec::new();
    for _ in 0..3 {
        acks.push(pair.connection.expect_ack(PacketType::PubAck).await);
    }
    let acked: Vec<_> = acks.iter().map(|ack| ack.packet_id).collect();
    assert_eq!(acked, ids);
    let reasons: Vec<_> = acks.iter().map(|ack| ack.reason).collect();
    let (success, refused) = (ReasonCode::Success, ReasonCode::NotAuthorized);
    assert_eq!(reasons, [success, refused, success]);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_with_what_is_no_reason_is_an_unspecified_error() {
    let mut pair = Pair::new().await;
    let mut stream = pair.subscribe_manually("a", QoS::AtLeastOnce).await;
    for reason in [ReasonCode::Success, ReasonCode::Banned] {
        pair.connection.publish("a", "1", QoS::AtLeastOnce).await;
        stream.next().await.unwrap().reject(reason);
        let ack = pair.connection.expect_ack(PacketType::PubAck).await;
        assert_eq!(ack.reason, ReasonCode::UnspecifiedError);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_dropped_is_the_next_again() {
    let mut pair = Pair::new().await;
    let mut stream = pair.subscribe_manually("a", QoS::AtLeastOnce).await;
    for payload in ["1", "2"] {
        pair.connection
            .publish("a", payload, QoS::AtLeastOnce)
            .await;
    }
    let first = stream.next().await.unwrap();
    let waiting = tokio::spawn(async move {
        let second = stream.next().await.unwrap();
        assert_eq!(second.payload, "2");
        let again = stream.next().await.unwrap();
        assert_eq!(again.payload, "1");
        (again, second, stream)
    });
    settle().await;
    assert!(!waiting.is_finished());
    drop(first);
    let (again, second, _stream) = waiting.await.unwrap();
    pair.connection.expect_nothing(SECOND).await;
    again.ack();
    second.ack();
    pair.connection.expect_ack(PacketType::PubAck).await;
    pair.connection.expect_ack(PacketType::PubAck).await;
}

#[tokio::test(start_paused = true)]
async fn at_qos_0_nothing_goes_back() {
    let mut pair = Pair::new().await;
    let mut stream = pair.subscribe_manually("a", QoS::AtMostOnce).await;
    pair.connection.publish("a", "1", QoS::AtMostOnce).await;
    drop(stream.next().await.unwrap());
    settle().await;
    assert!(stream.try_next().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_delivery_outlives_its_stream_and_its_client() {
    let mut pair = Pair::new().await;
    let mut stream = pair.subscribe_manually("a", QoS::AtLeastOnce).await;
    pair.connection.publish("a", "1", QoS::AtLeastOnce).await;
    let delivery = stream.next().await.unwrap();
    drop(stream);
    drop(pair.client);
    settle().await;
    delivery.ack();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_again_while_it_waits_is_taken_once() {
    let mut pair = Pair::new().await;
    let mut stream = pair.subscribe("a", QoS::ExactlyOnce).await;
    let id = pair.connection.publish("a", "1", QoS::ExactlyOnce).await;
    settle().await;
    pair.connection.close();
    let mut connection = pair.broker.resume().await;
    connection
        .send(Packet::Publish(mqtt_codec::Publish {
            dup: true,
            qos: mqtt_codec::PublishQoS::ExactlyOnce(id.unwrap()),
            retain: false,
            topic: Some(mqtt_codec::TopicName::from_text("a").unwrap()),
            properties: mqtt_codec::Properties::default(),
            payload: Bytes::from("1"),
        }))
        .await;
    assert_eq!(stream.next().await.unwrap().payload, "1");
    connection.expect_ack(PacketType::PubRec).await;
    assert!(stream.try_next().is_none());
    assert_eq!(pair.client.metrics().session.duplicates_suppressed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_stream_drops_what_is_newest_at_qos_0_and_counts_it() {
    let mut pair = Pair::new().await;
    let subscribing = pair.client.subscribe("a").capacity(2);
    let subscribing = tokio::spawn(subscribing.into_future());
    pair.connection.expect_and_grant().await;
    let mut stream = subscribing.await.unwrap().unwrap();
    for payload in ["1", "2", "3"] {
        pair.connection.publish("a", payload, QoS::AtMostOnce).await;
    }
    // These need none of its room.
    pair.connection.publish("a", "4", QoS::AtLeastOnce).await;
    settle().await;
    for payload in ["1", "2", "4"] {
        assert_eq!(stream.try_next().unwrap().payload, payload);
    }
    assert_eq!(pair.client.metrics().qos0_dropped, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_full_by_bytes_too() {
    let mut pair = Pair::with(|builder| builder.received_bytes_max(1000)).await;
    let mut stream = pair.subscribe("a", QoS::AtMostOnce).await;
    for _ in 0..3 {
        let payload = vec![0; 600];
        pair.connection.publish("a", payload, QoS::AtMostOnce).await;
    }
    settle().await;
    assert_eq!(pair.client.metrics().qos0_dropped, 1);
    assert_eq!(std::iter::from_fn(|| stream.try_next()).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_have_the_server_wait() {
    let mut pair = Pair::with(|builder| builder.keep_alive(Duration::from_secs(10))).await;
    let subscribing = pair
        .client
        .subscribe("a")
        .capacity(3)
        .when_full(StreamFull::Wait);
    let subscribing = tokio::spawn(subscribing.into_future());
    pair.connection.expect_and_grant().await;
    let mut stream = subscribing.await.unwrap().unwrap();
    let (client, mut connection) = (pair.client, pair.connection);
    let flood = tokio::spawn(async move {
        // More than all buffers on the way hold.
        for number in 0_u32..40 {
            let mut payload = vec![0; 10_000];
            payload.splice(..4, number.to_be_bytes());
            connection.publish("a", payload, QoS::AtMostOnce).await;
        }
        connection
    });
    // While nothing is read, the server's silence is not held against it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!flood.is_finished());
    assert!(client.state().now().is_connected());
    for number in 0_u32..40 {
        let message = stream.next().await.unwrap();
        assert_eq!(message.payload.get(..4), Some(&number.to_be_bytes()[..]));
    }
    let mut connection = flood.await.unwrap();
    assert_eq!(client.metrics().qos0_dropped, 0);
    // It reads again.
    connection.publish("a", "x", QoS::AtMostOnce).await;
    assert_eq!(stream.next().await.unwrap().payload, "x");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_waited_has_its_time_to_answer_a_ping() {
    let mut pair = Pair::with(|builder| builder.keep_alive(Duration::from_secs(10))).await;
    let subscribing = pair
        .client
        .subscribe("a")
        .capacity(1)
        .when_full(StreamFull::Wait);
    let subscribing = tokio::spawn(subscribing.into_future());
    pair.connection.expect_and_grant().await;
    let mut stream = subscribing.await.unwrap().unwrap();
    pair.connection.ignore_pings();
    pair.connection.publish("a", "1", QoS::AtMostOnce).await;
    assert_eq!(pair.connection.receive().await, Packet::PingReq);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(pair.client.state().now().is_connected());
    assert_eq!(stream.next().await.unwrap().payload, "1");
    tokio::time::sleep(Duration::from_secs(4)).await;
    pair.connection.send(Packet::PingResp).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(pair.client.state().now().is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_full_stream_that_is_dropped_lets_the_others_read() {
    let mut pair = Pair::new().await;
    let subscribing = pair
        .client
        .subscribe("a")
        .capacity(1)
        .when_full(StreamFull::Wait);
    let subscribing = tokio::spawn(subscribing.into_future());
    pair.connection.expect_and_grant().await;
    let full = subscribing.await.unwrap().unwrap();
    let mut other = pair.subscribe("b", QoS::AtMostOnce).await;
    pair.connection.publish("a", "1", QoS::AtMostOnce).await;
    settle().await;
    pair.connection.publish("b", "2", QoS::AtMostOnce).await;
    settle().await;
    assert!(other.try_next().is_none());
    drop(full);
    assert_eq!(other.next().await.unwrap().payload, "2");
}

#[tokio::test(start_paused = true)]
async fn the_order_is_that_of_receiving() {
    let mut pair = Pair::new().await;
    let mut stream = pair.subscribe("#", QoS::ExactlyOnce).await;
    let mut sent = Vec::new();
    for number in 0_u8..100 {
        let qos = QoS::from_number(number % 3).unwrap();
        let topic = format!("t/{}", number % 7);
        pair.connection.publish(&topic, vec![number], qos).await;
        sent.push(vec![number]);
    }
    let mut taken = Vec::new();
    while taken.len() < sent.len() {
        taken.push(stream.next().await.unwrap().payload.to_vec());
    }
    assert_eq!(taken, sent);
}

#[tokio::test(start_paused = true)]
async fn a_large_message_arrives_in_one_piece() {
    let mut pair = Pair::new().await;
    let mut stream = pair.subscribe("a", QoS::AtLeastOnce).await;
    let large: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
    let payload = large.clone();
    let mut connection = pair.connection;
    let sending = tokio::spawn(async move {
        connection.publish("a", payload, QoS::AtLeastOnce).await;
        connection.publish("a", "small", QoS::AtLeastOnce).await;
        connection
    });
    assert!(stream.next().await.unwrap().payload == large);
    assert_eq!(stream.next().await.unwrap().payload, "small");
    drop(sending.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_goes_back_is_ahead_of_what_waits() {
    let mut pair = Pair::new().await;
    let mut stream = pair.subscribe_manually("a", QoS::AtLeastOnce).await;
    for payload in ["1", "2"] {
        pair.connection
            .publish("a", payload, QoS::AtLeastOnce)
            .await;
    }
    drop(stream.next().await.unwrap());
    for payload in ["1", "2"] {
        let delivery = stream.next().await.unwrap();
        assert_eq!(delivery.payload, payload);
        delivery.ack();
    }
}
