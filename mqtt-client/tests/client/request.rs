//! Request and response.

use std::time::Duration;

use mqtt_client::{Error, ReasonCode, Version};
use mqtt_codec::{Ack, Packet, Properties, Property, Publish, PublishQoS};

use crate::{Pair, SECOND};

/// What a responder sends.
fn response(request: &Publish, payload: &'static str) -> Packet {
    let data = request.properties.correlation_data().unwrap();
    let topic = request.properties.response_topic().unwrap();
    Packet::Publish(Publish {
        dup: false,
        qos: PublishQoS::AtMostOnce,
        retain: false,
        topic: Some(mqtt_codec::TopicName::from_text(topic.to_str()).unwrap()),
        properties: Properties::new([Property::CorrelationData(data)]).unwrap(),
        payload: payload.into(),
    })
}

#[tokio::test(start_paused = true)]
async fn requests_share_a_subscription_and_get_their_own_responses() {
    let mut pair = Pair::new().await;
    let one = tokio::spawn(pair.client.request("svc", "1").into_future());
    let two = tokio::spawn(pair.client.request("svc", "2").into_future());
    pair.connection.expect_and_grant().await;
    let first = pair.connection.expect_publish().await;
    pair.connection.acknowledge(&first).await;
    let second = pair.connection.expect_publish().await;
    pair.connection.acknowledge(&second).await;
    assert_eq!(first.properties.message_expiry_interval(), Some(10));
    pair.connection.send(response(&second, "to 2")).await;
    pair.connection.send(response(&first, "to 1")).await;
    // A second response is nobody's.
    pair.connection.send(response(&first, "again")).await;
    assert_eq!(two.await.unwrap().unwrap().payload, "to 2");
    assert_eq!(one.await.unwrap().unwrap().payload, "to 1");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_is_subscribed_to_fails_at_once() {
    let mut pair = Pair::new().await;
    let request = tokio::spawn(pair.client.request("svc", "1").into_future());
    pair.connection.expect_and_grant().await;
    let publish = pair.connection.expect_publish().await;
    pair.connection
        .send(Packet::PubAck(Ack {
            packet_id: publish.qos.packet_id().unwrap(),
            reason: ReasonCode::NoMatchingSubscribers,
            properties: Properties::default(),
        }))
        .await;
    assert!(matches!(request.await.unwrap(), Err(Error::NoResponder)));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_response_times_out() {
    let mut pair = Pair::new().await;
    let request = pair.client.request("svc", "1").timeout(2 * SECOND);
    let request = tokio::spawn(request.into_future());
    pair.connection.expect_and_grant().await;
    let publish = pair.connection.expect_publish().await;
    pair.connection.acknowledge(&publish).await;
    let answer = tokio::time::timeout(Duration::from_secs(3), request).await;
    assert!(matches!(answer.unwrap().unwrap(), Err(Error::Timeout)));
}

#[tokio::test(start_paused = true)]
async fn an_older_version_has_no_requests() {
    let pair = Pair::with(|builder| builder.version(Version::V3_1_1)).await;
    let answer = pair.client.request("svc", "1").await;
    assert!(matches!(answer, Err(Error::Unsupported(_))), "{answer:?}");
    drop(pair.connection);
}

#[tokio::test(start_paused = true)]
async fn a_reply_goes_where_the_request_wants_it() {
    let mut pair = Pair::new().await;
    let serving = tokio::spawn(pair.client.serve("svc").into_future());
    pair.connection.expect_and_grant().await;
    let mut requests = serving.await.unwrap().unwrap();
    let topic = mqtt_codec::TopicName::new(&b"answers/7"[..]).unwrap();
    let wants = [
        Property::ResponseTopic(topic),
        Property::CorrelationData(b"id"),
    ];
    pair.connection
        .send(Packet::Publish(Publish {
            dup: false,
            qos: PublishQoS::AtMostOnce,
            retain: false,
            topic: Some(mqtt_codec::TopicName::from_text("svc").unwrap()),
            properties: Properties::new(wants).unwrap(),
            payload: "ping".into(),
        }))
        .await;
    let request = requests.next().await.unwrap();
    assert_eq!(request.payload, "ping");
    request.reply("pong").await.unwrap();
    let reply = pair.connection.expect_publish().await;
    assert_eq!(*reply.topic.unwrap(), "answers/7");
    assert_eq!(reply.properties.correlation_data(), Some(&b"id"[..]));

    pair.connection
        .publish("svc", "mute", mqtt_client::QoS::AtMostOnce)
        .await;
    let mute = requests.next().await.unwrap();
    assert!(matches!(mute.reply("x").await, Err(Error::NoResponseTopic)));
}
