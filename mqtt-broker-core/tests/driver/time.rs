//! What the driver's clock brings about. The clock is paused: it jumps when all tasks wait.

use std::time::Duration;

use mqtt_broker_core::Limits;
use tokio::time::{Instant, sleep};

use crate::net::Net;
use crate::script::{post, v5, v311};
use crate::{Q0, Q1};

#[tokio::test(start_paused = true)]
async fn who_sends_no_connect_in_time_is_closed() {
    let net = Net::new().await;
    let starts: [&[u8]; 3] = [b"", b"\x10", b"\x10\x10\x00\x04MQTT\x05"];
    for start in starts {
        let mut client = net.open("a");
        client.write(start).await;
        let opened = now();
        client.expect("CLOSED").await;
        assert_near(opened.elapsed(), Duration::from_secs(10));
    }
}

/// Each byte may come late, as long as the last one does not.
#[tokio::test(start_paused = true)]
async fn a_slow_connect_is_served_within_its_time() {
    let net = Net::new().await;
    let packet = mqtt_codec::Packet::Connect(v5().packet("a"));
    let bytes = packet.to_vec(v5().version).unwrap();
    let pause = Duration::from_millis(9900) / bytes.len() as u32;
    let mut client = net.open("a");
    for byte in &bytes {
        sleep(pause).await;
        client.write(&[*byte]).await;
    }
    client.expect("CONNACK Success").await;

    let mut client = net.open("b");
    for byte in &bytes[..bytes.len() - 1] {
        sleep(pause * 2).await;
        if client.is_closed().await {
            return;
        }
        client.write(&[*byte]).await;
    }
    panic!("it was let in too late");
}

// [MQTT-3.1.2-22]
#[tokio::test(start_paused = true)]
async fn who_keeps_silent_is_closed_after_the_keep_alive() {
    let net = Net::new().await;
    let mut watcher = net.connect("watcher", v5()).await;
    watcher.subscribe("will", Q0).await;
    for (hello, told) in [(v5(), Some("DISCONNECT KeepAliveTimeout")), (v311(), None)] {
        let hello = hello.keep_alive(10).will(post("will", "x"));
        let mut client = net.connect("a", hello).await;
        sleep(Duration::from_secs(12)).await;
        client.ping().await;
        client.expect("PINGRESP").await;
        let last = now();
        // A packet that has not come whole is none.
        sleep(Duration::from_secs(5)).await;
        client.write(&[0x30, 100]).await;
        if let Some(told) = told {
            client.expect(told).await;
        }
        client.expect("CLOSED").await;
        assert_near(last.elapsed(), Duration::from_secs(15));
        watcher.expect("PUBLISH will x q0").await;
    }
}

/// A deadline that is set while the driver waits for a later one comes first.
#[tokio::test(start_paused = true)]
async fn the_earliest_deadline_comes_first() {
    let net = Net::new().await;
    let mut late = net.connect("late", v5().keep_alive(40)).await;
    sleep(Duration::from_secs(20)).await;
    let mut early = net.connect("early", v5().keep_alive(2)).await;
    let start = now();
    early.expect("DISCONNECT KeepAliveTimeout").await;
    assert_near(start.elapsed(), Duration::from_secs(3));
    late.expect("DISCONNECT KeepAliveTimeout").await;
    assert_near(start.elapsed(), Duration::from_secs(40));
}

#[tokio::test(start_paused = true)]
async fn wills_and_sessions_end_when_their_time_comes() {
    let net = Net::new().await;
    let mut watcher = net.connect("watcher", v5()).await;
    watcher.subscribe("will", Q1).await;
    let hello = v5().expires(100).will(post("will", "x").delay(30));
    drop(net.connect("a", hello.clone()).await);
    let lost = now();
    watcher.expect("PUBLISH will x q0").await;
    assert_near(lost.elapsed(), Duration::from_secs(30));
    sleep(Duration::from_secs(69)).await;
    let mut a = net.open("a");
    a.hello(&hello).await;
    a.expect("CONNACK Success present").await;
    drop(a);
    sleep(Duration::from_secs(101)).await;
    net.connect("a", hello).await;
}

/// One that is told why it is closed gets time to read that, but not for ever.
#[tokio::test(start_paused = true)]
async fn a_closed_connection_lingers_for_its_time() {
    let limits = Limits {
        linger_ms: 700,
        ..Limits::default()
    };
    let net = Net::with(limits).await;
    let mut client = net.connect("a", v5()).await;
    let start = now();
    client.write(&[0, 0]).await;
    client.expect("DISCONNECT MalformedPacket").await;
    client.expect("CLOSED").await;
    sleep(Duration::from_millis(650)).await;
    assert!(!client.is_cut_off().await);
    sleep(Duration::from_millis(100)).await;
    assert!(client.is_cut_off().await);
    assert_near(start.elapsed(), Duration::from_millis(750));
}

#[allow(
    clippy::disallowed_methods,
    reason = "it is the paused clock of the test"
)]
fn now() -> Instant {
    Instant::now()
}

/// What is due is handled in the next whole second of the wall clock, and never early.
fn assert_near(is: Duration, expected: Duration) {
    let most = expected + Duration::from_millis(1100);
    assert!(
        (expected..most).contains(&is),
        "{is:?} instead of {expected:?}"
    );
}
