//! Subscriptions that come and go while connections are cut and sessions lost: in the end the server has those that the
//! application has, and no others.

use std::time::Duration;

use fastrand::Rng;
use mqtt_client::{Client, Subscription, Version};
use mqtt_codec::Packet;
use tokio::task::JoinSet;

use crate::broker::{Broker, Kind, Sessions};
use crate::fake_broker::{FakeBroker, Session};
use crate::parties::{builder, tell_states};
use crate::proxy::{Plan, Proxy};
use crate::seeds::seeds;
use crate::soon;

/// Filters overlap, and each may be subscribed to twice.
const FILTERS: [&str; 6] = ["a/1", "a/1", "a/+", "a/#", "b/1", "b/#"];
const TOPICS: [&str; 3] = ["a/1", "a/2", "b/1"];

#[tokio::test]
async fn the_server_has_the_subscriptions_of_the_application() {
    for seed in seeds(3) {
        for kind in Kind::ALL {
            for version in [Version::V3_1_1, Version::V5] {
                println!("seed {seed}, {kind}, {version:?}");
                come_and_go(kind, version, seed).await;
            }
        }
    }
}

async fn come_and_go(kind: Kind, version: Version, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let Some(mut broker) = Broker::start(kind).await else {
        return;
    };
    let proxy = Proxy::start(broker.address(), Plan::random(random.u64(..), 8));
    let client = builder(proxy.address(), version, "subscriber")
        .start()
        .unwrap();
    tell_states("subscriber", &client);
    let mut streams: [Option<Subscription>; 6] = Default::default();
    let mut leaving = JoinSet::new();
    for step in 0..60 {
        let at = random.usize(..FILTERS.len());
        match streams[at].take() {
            None => streams[at] = Some(client.subscribe(FILTERS[at]).start().unwrap()),
            Some(stream) => {
                leaving.spawn(stream.unsubscribe());
            }
        }
        if random.bool() {
            tokio::time::sleep(Duration::from_millis(random.u64(..12))).await;
        }
        if step == 30 && random.bool() {
            broker.kill(Sessions::Lost).await;
            broker.restart().await;
        }
    }
    soon("all answers", async {
        while let Some(left) = leaving.join_next().await {
            left.unwrap().unwrap();
        }
        for stream in streams.iter().flatten() {
            let granted = stream.ready().await.unwrap();
            assert!(granted.iter().all(Result::is_ok), "{granted:?}");
        }
    })
    .await;
    println!("subscribed to {:?}", subscribed(&streams));
    check(&broker, &client, version, &mut streams).await;
}

fn subscribed(streams: &[Option<Subscription>]) -> Vec<&'static str> {
    let both = FILTERS.iter().zip(streams);
    both.filter(|(_, stream)| stream.is_some())
        .map(|(filter, _)| *filter)
        .collect()
}

/// Each stream gets what its filter matches, and the client gets nothing that it has no stream for.
async fn check(
    broker: &Broker,
    client: &Client,
    version: Version,
    streams: &mut [Option<Subscription>],
) {
    let publisher = builder(broker.address(), version, "publisher")
        .start()
        .unwrap();
    let unwanted = client.metrics().session.messages_unwanted;
    for topic in TOPICS {
        soon("an answer", publisher.publish(topic, topic).into_future())
            .await
            .unwrap();
    }
    for (filter, stream) in FILTERS.iter().zip(streams) {
        let Some(stream) = stream else { continue };
        let wanted = TOPICS.iter().filter(|topic| matches(filter, topic));
        let mut wanted: Vec<&str> = wanted.copied().collect();
        while !wanted.is_empty() {
            let message = soon("a message", stream.next()).await.unwrap();
            // It may come more than once.
            wanted.retain(|topic| *topic != message.topic());
            assert!(matches(filter, message.topic()), "{filter}: {message:?}");
        }
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(client.metrics().session.messages_unwanted, unwanted);
    assert_eq!(client.metrics().session.unclaimed, 0);
}

fn matches(filter: &str, topic: &str) -> bool {
    filter == topic
        || filter
            .strip_suffix(['+', '#'])
            .is_some_and(|start| topic.starts_with(start))
}

/// The server knows a filter by the identifier that was sent last, also when that subscription is gone and an older one
/// still reads the filter.
#[tokio::test]
async fn an_identifier_outlives_its_subscription() {
    let broker = FakeBroker::start();
    let client = builder(broker.address(), Version::V5, "client")
        .start()
        .unwrap();
    let mut link = broker.accept(Session::New).await;
    let mut first = client.subscribe("a/1").start().unwrap();
    link.subscribed().await;
    let second = client.subscribe("a/1").start().unwrap();
    let last_identifier = identifier(&link.packet_answered().await);
    let mut wild = client.subscribe("a/+").start().unwrap();
    let wild_identifier = identifier(&link.packet_answered().await);
    soon("the end of the second", second.unsubscribe())
        .await
        .unwrap();

    // One message for both, or one for each: either is allowed.
    link.deliver_for("a/1", "both", &[last_identifier, wild_identifier])
        .await;
    link.deliver_for("a/1", "first", &[last_identifier]).await;
    link.deliver_for("a/1", "wild", &[wild_identifier]).await;
    // Of an earlier process: nobody knows whom it means.
    link.deliver_for("a/1", "unknown", &[1234]).await;
    for (stream, own) in [(&mut first, "first"), (&mut wild, "wild")] {
        for expected in ["both", own, "unknown"] {
            let message = soon("a message", stream.next()).await.unwrap();
            assert_eq!(message.text().unwrap(), expected);
        }
        assert!(stream.try_next().is_none());
    }
}

fn identifier(packet: &Packet) -> u32 {
    let Packet::Subscribe(subscribe) = packet else {
        panic!("{packet:?} instead of a SUBSCRIBE");
    };
    subscribe
        .properties
        .subscription_identifiers()
        .next()
        .unwrap()
}
