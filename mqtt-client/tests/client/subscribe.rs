//! Making and ending subscriptions.

use std::time::Duration;

use mqtt_client::{Error, QoS, ReasonCode, RetainHandling, testing};
use mqtt_codec::{Packet, Properties, SubAck, Subscribe};

use crate::{Pair, SECOND, settle};

fn suback(subscribe: &Subscribe, reasons: impl IntoIterator<Item = ReasonCode>) -> Packet {
    Packet::SubAck(SubAck {
        packet_id: subscribe.packet_id,
        properties: Properties::default(),
        reasons: reasons.into_iter().collect(),
    })
}

#[tokio::test(start_paused = true)]
async fn it_resolves_with_what_was_granted() {
    let mut pair = Pair::new().await;
    let filters = [("a/+", QoS::ExactlyOnce), ("b", QoS::AtMostOnce)];
    let subscribing = pair
        .client
        .subscribe(filters)
        .no_local()
        .retain_as_published()
        .retain_handling(RetainHandling::DoNotSend)
        .user_property("who", "me");
    let subscribing = tokio::spawn(subscribing.into_future());
    let subscribe = pair.connection.expect_subscribe().await;
    let asked: Vec<_> = subscribe
        .subscriptions
        .iter()
        .map(|one| (one.filter.as_str().to_owned(), one.options.to_byte()))
        .collect();
    assert_eq!(asked, [("a/+".to_owned(), 0x2E), ("b".to_owned(), 0x2C)]);
    assert_eq!(subscribe.properties.user_properties().count(), 1);
    settle().await;
    assert!(!subscribing.is_finished());
    let reasons = [ReasonCode::GrantedQoS1, ReasonCode::Success];
    pair.connection.send(suback(&subscribe, reasons)).await;
    let subscription = subscribing.await.unwrap().unwrap();
    assert_eq!(
        subscription.granted(),
        [Ok(QoS::AtLeastOnce), Ok(QoS::AtMostOnce)]
    );
    let filters: Vec<_> = subscription
        .filters()
        .iter()
        .map(|one| one.as_str())
        .collect();
    assert_eq!(filters, ["a/+", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_an_error_with_its_reason() {
    let mut pair = Pair::new().await;
    let subscribing = tokio::spawn(pair.client.subscribe("a").into_future());
    let subscribe = pair.connection.expect_subscribe().await;
    pair.connection
        .send(suback(&subscribe, [ReasonCode::NotAuthorized]))
        .await;
    let error = subscribing.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::Refused(refusal) if refusal.reason == ReasonCode::NotAuthorized),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_refusal_of_several_fails_it_and_the_others_are_unsubscribed() {
    let mut pair = Pair::new().await;
    let subscribing = tokio::spawn(pair.client.subscribe(["a", "b"]).into_future());
    let subscribe = pair.connection.expect_subscribe().await;
    let reasons = [ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized];
    pair.connection.send(suback(&subscribe, reasons)).await;
    let error = subscribing.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
    let unsubscribe = pair.connection.expect_unsubscribe().await;
    let filters: Vec<_> = unsubscribe
        .filters
        .iter()
        .map(|one| one.as_str().to_owned())
        .collect();
    assert_eq!(filters, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn refusals_may_be_allowed_unless_all_are() {
    let mut pair = Pair::new().await;
    let subscribing = pair.client.subscribe(["a", "b"]).allow_refusals();
    let subscribing = tokio::spawn(subscribing.into_future());
    let subscribe = pair.connection.expect_subscribe().await;
    let reasons = [ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized];
    pair.connection.send(suback(&subscribe, reasons)).await;
    let subscription = subscribing.await.unwrap().unwrap();
    assert_eq!(
        subscription.granted(),
        [Ok(QoS::AtLeastOnce), Err(ReasonCode::NotAuthorized)]
    );

    let subscribing = pair.client.subscribe(["c", "d"]).allow_refusals();
    let subscribing = tokio::spawn(subscribing.into_future());
    let subscribe = pair.connection.expect_subscribe().await;
    let reasons = [ReasonCode::NotAuthorized, ReasonCode::QuotaExceeded];
    pair.connection.send(suback(&subscribe, reasons)).await;
    let error = subscribing.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_filter_fails_and_nothing_is_sent() {
    let mut pair = Pair::new().await;
    let wrong = pair.client.subscribe("a/#/b").await;
    assert!(matches!(wrong, Err(Error::Invalid(_))), "{wrong:?}");
    let none = pair.client.subscribe(Vec::<String>::new()).await;
    assert!(matches!(none, Err(Error::Encode(_))), "{none:?}");
    let shared = pair.client.subscribe("$share/g/a").no_local().start();
    assert!(matches!(shared, Err(Error::Encode(_))), "{shared:?}");
    pair.connection.expect_nothing(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn it_can_be_started_without_a_connection() {
    let (builder, mut broker) = testing::pair();
    let client = builder.start().unwrap();
    let mut subscription = client.subscribe("a").start().unwrap();
    assert_eq!(subscription.granted(), []);
    let mut connection = broker.accept().await;
    connection.expect_and_grant().await;
    assert_eq!(subscription.ready().await.unwrap(), [Ok(QoS::AtLeastOnce)]);
    assert_eq!(subscription.granted(), [Ok(QoS::AtLeastOnce)]);
    connection.publish("a", "1", QoS::AtLeastOnce).await;
    assert_eq!(subscription.next().await.unwrap().payload, "1");
}

#[tokio::test(start_paused = true)]
async fn a_started_one_that_is_refused_ends_its_stream() {
    let mut pair = Pair::new().await;
    let mut subscription = pair.client.subscribe(["a", "b"]).start().unwrap();
    let subscribe = pair.connection.expect_subscribe().await;
    let reasons = [ReasonCode::NotAuthorized, ReasonCode::NotAuthorized];
    let (next, ()) = tokio::join!(
        subscription.next(),
        pair.connection.send(suback(&subscribe, reasons))
    );
    assert!(next.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_was_pre_subscribed_is_there_before_the_first_message() {
    let (builder, mut broker) = testing::pair();
    let client = builder
        .pre_subscribe(["early", "later"], QoS::AtMostOnce)
        .session_expiry(SECOND)
        .client_id("c")
        .start()
        .unwrap();
    let mut connection = broker.resume().await;
    connection.publish("early", "0", QoS::AtMostOnce).await;
    let subscribe = connection.expect_and_grant().await;
    assert_eq!(subscribe.subscriptions.iter().count(), 2);
    assert!(client.pre_subscribed("another").is_none());
    let mut subscription = client.pre_subscribed("later").unwrap();
    assert!(client.pre_subscribed("early").is_none());
    assert_eq!(subscription.next().await.unwrap().topic(), "early");
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_unsubscribes_again() {
    let mut pair = Pair::new().await;
    let subscribing = tokio::spawn(pair.client.subscribe("a").into_future());
    let subscribe = pair.connection.expect_subscribe().await;
    subscribing.abort();
    let unsubscribe = pair.connection.expect_unsubscribe().await;
    assert_eq!(unsubscribe.filters.iter().count(), 1);
    pair.connection.grant(&subscribe).await;
    pair.connection.release(&unsubscribe).await;
    // Its identifiers are free again.
    let _again = pair.subscribe("a", QoS::AtLeastOnce).await;
}

#[tokio::test(start_paused = true)]
async fn a_future_that_was_not_polled_sends_nothing() {
    let mut pair = Pair::new().await;
    drop(pair.client.subscribe("a").into_future());
    drop(pair.client.publish("a", "x").into_future());
    drop(pair.client.disconnect().into_future());
    pair.connection.expect_nothing(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_dropped_is_unsubscribed() {
    let mut pair = Pair::new().await;
    let subscription = pair.subscribe("a", QoS::AtLeastOnce).await;
    pair.connection.publish("a", "1", QoS::AtLeastOnce).await;
    settle().await;
    drop(subscription);
    // What it had not taken is acknowledged: nobody will.
    pair.connection
        .expect_ack(mqtt_codec::PacketType::PubAck)
        .await;
    pair.connection.expect_unsubscribe().await;
}

#[tokio::test(start_paused = true)]
async fn in_a_session_that_stays_it_remains_and_its_messages_wait() {
    let mut pair = Pair::with(|builder| builder.session_expiry(Duration::MAX).client_id("c")).await;
    let subscription = pair.subscribe("a", QoS::AtLeastOnce).await;
    pair.connection.publish("a", "1", QoS::AtLeastOnce).await;
    settle().await;
    drop(subscription);
    pair.connection.publish("a", "2", QoS::AtLeastOnce).await;
    pair.connection.expect_nothing(SECOND).await;
    let mut next = pair.subscribe("a", QoS::AtLeastOnce).await;
    assert_eq!(next.next().await.unwrap().payload, "1");
    assert_eq!(next.next().await.unwrap().payload, "2");
    for _ in 0..2 {
        pair.connection
            .expect_ack(mqtt_codec::PacketType::PubAck)
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_resolves_with_the_unsuback() {
    let mut pair = Pair::new().await;
    let subscription = pair.subscribe("a", QoS::AtLeastOnce).await;
    let leaving = tokio::spawn(subscription.unsubscribe());
    let unsubscribe = pair.connection.expect_unsubscribe().await;
    settle().await;
    assert!(!leaving.is_finished());
    pair.connection.release(&unsubscribe).await;
    leaving.await.unwrap().unwrap();
    pair.connection.expect_nothing(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_goes_on_without_its_future() {
    let mut pair = Pair::new().await;
    let subscription = pair.subscribe("a", QoS::AtLeastOnce).await;
    let leaving = tokio::spawn(subscription.unsubscribe());
    settle().await;
    leaving.abort();
    pair.connection.expect_unsubscribe().await;
    pair.connection.expect_nothing(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_subscribed_to_again_and_a_kept_one_is_not() {
    let mut pair = Pair::new().await;
    let mut subscription = pair.subscribe("a", QoS::AtLeastOnce).await;
    pair.connection.close();
    let mut connection = pair.broker.resume().await;
    connection.expect_nothing(SECOND).await;
    connection.close();
    let mut connection = pair.broker.accept().await;
    connection.expect_and_grant().await;
    connection.publish("a", "1", QoS::AtLeastOnce).await;
    assert_eq!(subscription.next().await.unwrap().payload, "1");
    assert_eq!(pair.client.metrics().session.sessions_lost, 1);
}
