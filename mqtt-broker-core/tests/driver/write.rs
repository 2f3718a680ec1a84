//! What is written: behind pipes that hold little, to clients that read slowly or never.

use std::time::Duration;

use mqtt_broker_core::{Limits, Stream};
use tokio::io::BufStream;

use crate::net::{Client, Net, rest};
use crate::script::{post, v5, v311};
use crate::{Q0, Q1};

/// The task of a connection saw what was appended to its outbox only when it took it. While it
/// waited for the transport it did not look, and when it had written all it had, it did not look
/// either: what came meanwhile stayed, and nobody was told any more.
#[tokio::test]
async fn what_comes_while_a_write_waits_is_written_after_it() {
    let net = Net::new().await;
    let mut slow = narrow(&net, "slow").await;
    let mut other = net.connect("other", v5()).await;
    for payload in ["1".repeat(1000), "2".repeat(1000), "3".repeat(1000)] {
        other.publish(post("t", payload)).await;
        rest().await;
    }
    for _ in 0..3 {
        slow.expect("PUBLISH t (1000 bytes) q0").await;
    }
}

/// A task that waited for the transport did not look whether its connection was to be closed: a
/// client that never read was there for ever.
#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_gone_after_the_linger_time() {
    let net = Net::new().await;
    let mut slow = narrow(&net, "slow").await;
    let mut other = net.connect("other", v5()).await;
    other.publish(post("t", "1".repeat(1000))).await;
    rest().await;
    other.publish(post("t", "2".repeat(1000))).await;
    // The next connection with this client identifier ends the one before.
    let _next = net.connect("slow", v5()).await;
    tokio::time::sleep(Duration::from_millis(4900)).await;
    assert!(!slow.is_cut_off().await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(slow.is_cut_off().await);
}

/// Reading at last, it gets what was sent to it and why it is closed.
#[tokio::test(start_paused = true)]
async fn what_was_sent_to_a_client_is_still_written_when_it_is_closed() {
    let net = Net::new().await;
    let mut slow = narrow(&net, "slow").await;
    let mut other = net.connect("other", v5()).await;
    other.publish(post("t", "1".repeat(1000))).await;
    rest().await;
    other.publish(post("t", "2".repeat(1000))).await;
    let _next = net.connect("slow", v5()).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    slow.expect("PUBLISH t (1000 bytes) q0").await;
    slow.expect("PUBLISH t (1000 bytes) q0").await;
    slow.expect("DISCONNECT SessionTakenOver").await;
    slow.expect("CLOSED").await;
}

/// What was written to a transport that buffers, as those of TLS and WebSockets do while a socket is
/// full, stayed in its buffer: nobody flushed it.
#[tokio::test(start_paused = true)]
async fn a_transport_that_buffers_is_flushed() {
    let net = Net::new().await;
    let buffered = |far| Stream::new(BufStream::new(far), "a");
    // The flush has to wait, too: the pipe holds a small part of a message.
    let mut client = net.open_through("a", 100, buffered);
    client.hello(&v5()).await;
    client.expect("CONNACK Success").await;
    client.subscribe("t", Q0).await;
    let mut other = net.connect("other", v5()).await;
    other.publish(post("t", "1".repeat(1000))).await;
    client.expect("PUBLISH t (1000 bytes) q0").await;
}

/// Answers were appended to the outbox of a client that did not read them for as long as it asked.
#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_not_read_from() {
    let limits = Limits {
        outbox_bytes_max: 10_000,
        packet_bytes_max: 20_000,
        ..Limits::default()
    };
    let net = Net::with(limits).await;
    let mut client = net.open_narrow("a", 1000);
    client.hello(&v5()).await;
    client.expect("CONNACK Success").await;
    let mut sent = 0;
    let mut before = None;
    while before != Some(sent) {
        before = Some(sent);
        while client.try_ping().await {
            sent += 1;
        }
        assert!(sent < 100_000, "the broker takes any number");
        rest().await;
    }
    assert!(sent > 10_000, "{sent} are within the bounds");
    for _ in 0..sent {
        client.expect("PINGRESP").await;
    }
    client.ping().await;
    client.expect("PINGRESP").await;
}

/// QoS 0 is dropped beyond the bound of the outbox; QoS 1 waits, and comes in its order.
#[tokio::test]
async fn a_slow_client_gets_all_of_qos_1_in_order() {
    let limits = Limits {
        outbox_bytes_max: 1000,
        ..Limits::default()
    };
    let net = Net::with(limits).await;
    let mut slow = net.open_narrow("slow", 64);
    slow.hello(&v311()).await;
    slow.expect("CONNACK Success").await;
    slow.subscribe("#", Q1).await;
    let mut other = net.connect("other", v5()).await;
    for number in 0..200 {
        other
            .publish(post("t", format!("{number:0100}")).qos(Q1))
            .await;
        other.publish(post("u", format!("{number:0100}"))).await;
    }
    for id in 1..=200 {
        other.expect(&format!("PUBACK id{id}")).await;
    }
    let mut numbers = Vec::new();
    for _ in 0..200 {
        numbers.push(slow.take_message("t").await);
    }
    let expected: Vec<_> = (0..200).map(|number| format!("{number:0100}")).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn a_message_larger_than_all_buffers_arrives_whole() {
    let net = Net::new().await;
    let mut slow = narrow(&net, "slow").await;
    let mut other = net.connect("other", v5()).await;
    let payload: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
    other.publish(post("t", &payload)).await;
    assert_eq!(slow.take_messages(1).await, [payload]);
}

/// A client that publishes to itself without reading waits for itself alone.
#[tokio::test]
async fn one_that_never_reads_holds_up_nobody() {
    let net = Net::new().await;
    let _slow = narrow(&net, "slow").await;
    let mut reader = net.connect("reader", v5()).await;
    reader.subscribe("t", Q0).await;
    let mut other = net.connect("other", v5()).await;
    for _ in 0..100 {
        other.publish(post("t", "x".repeat(100_000))).await;
        reader.expect("PUBLISH t (100000 bytes) q0").await;
    }
    let counters = net.broker.counters();
    assert!(counters.dropped_slow > 50, "{counters:?}");
}

/// A client behind a pipe that holds 64 bytes, subscribed to `t` with QoS 0.
async fn narrow(net: &Net, name: &str) -> Client {
    let mut client = net.open_narrow(name, 64);
    client.hello(&v5()).await;
    client.expect("CONNACK Success").await;
    client.subscribe("t", Q0).await;
    client
}
