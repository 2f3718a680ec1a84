//! One broker ends, the next one goes on with its store.

use std::time::Duration;

use mqtt_store_memory::MemoryStore;
use std::sync::Arc;

use crate::net::Net;
use crate::script::{post, v5, v311};
use crate::{Q0, Q1, Q2};

#[tokio::test]
async fn the_next_broker_goes_on_with_the_store() {
    let store = MemoryStore::default();
    let first = Net::on(Arc::new(store.clone())).await;
    let mut a = first.connect("a", v5().stays()).await;
    a.subscribe("t/#", Q2).await;
    let mut old = first.connect("old", v311().stays()).await;
    old.subscribe("t/+", Q1).await;
    let mut short = first.connect("short", v5()).await;
    short.subscribe("t/#", Q1).await;
    // One is there and leaves a message unanswered, one is away.
    old.goodbye().await;
    old.expect("CLOSED").await;
    let mut b = first.connect("b", v5()).await;
    b.publish(post("t/1", "one").qos(Q2)).await;
    b.publish(post("t/2", "two").qos(Q1).retain()).await;
    b.expect("PUBREC id1").await;
    b.expect("PUBACK id2").await;
    a.expect("PUBLISH t/1 one q2 id1").await;
    first.broker.shutdown(Duration::ZERO).await.unwrap();

    let second = Net::on(Arc::new(store)).await;
    let mut c = second.connect("c", v5()).await;
    c.publish(post("t/3", "three").qos(Q1)).await;
    c.expect("PUBACK id1").await;
    c.subscribe("#", Q0).await;
    c.expect("PUBLISH t/2 two q0 retain").await;
    let mut a = second.open("a");
    a.hello(&v5().stays()).await;
    a.expect("CONNACK Success present").await;
    a.expect("PUBLISH t/1 one q2 id1 dup").await;
    a.expect("PUBLISH t/2 two q1 id2 dup").await;
    a.expect("PUBLISH t/3 three q1 id3").await;
    let mut old = second.open("old");
    old.hello(&v311().stays()).await;
    old.expect("CONNACK Success present").await;
    old.expect("PUBLISH t/1 one q1 id1").await;
    old.expect("PUBLISH t/2 two q1 id2").await;
    old.expect("PUBLISH t/3 three q1 id3").await;
    let mut short = second.open("short");
    short.hello(&v5().stays()).await;
    short.expect("CONNACK Success").await;
}

/// There are more of everything than are read at a time.
#[tokio::test]
async fn many_sessions_and_retained_messages_are_restored() {
    const COUNT: usize = 2500;
    let store = MemoryStore::default();
    let first = Net::on(Arc::new(store.clone())).await;
    for number in 0..COUNT {
        let mut client = first.connect(&format!("c{number}"), v5().stays()).await;
        client.subscribe(&format!("t/{number}"), Q1).await;
        let message = post(&format!("r/{number}"), "x").retain().qos(Q1);
        client.publish(message).await;
        client.expect("PUBACK id2 NoMatchingSubscribers").await;
    }
    first.broker.shutdown(Duration::ZERO).await.unwrap();

    let second = Net::on(Arc::new(store)).await;
    let mut reader = second.connect("reader", v5()).await;
    reader.subscribe("r/#", Q0).await;
    assert_eq!(reader.take_messages(COUNT).await.len(), COUNT);
    let mut publisher = second.connect("publisher", v5()).await;
    for number in [0, 999, 1000, 1001, COUNT - 1] {
        publisher
            .publish(post(&format!("t/{number}"), "x").qos(Q1))
            .await;
        let line = publisher.line().await;
        assert!(line.starts_with("PUBACK") && !line.ends_with("Subscribers"));
        let mut client = second.open(&format!("c{number}"));
        client.hello(&v5().stays()).await;
        client.expect("CONNACK Success present").await;
        client.expect(&format!("PUBLISH t/{number} x q1 id1")).await;
    }
}
