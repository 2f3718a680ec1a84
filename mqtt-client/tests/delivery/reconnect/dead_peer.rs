//! Servers that say nothing: to a CONNECT, to a PINGREQ.

use std::time::{Duration, Instant};

use mqtt_client::{ConnectionError, State, Version};
use mqtt_codec::Packet;

use crate::fake_broker::{FakeBroker, MemoryBroker, Session};
use crate::parties::builder;
use crate::soon;
use crate::wire::Got;

#[tokio::test]
async fn a_connect_is_answered_in_time_or_made_anew() {
    let broker = FakeBroker::start();
    let client = builder(broker.address(), Version::V5, "client")
        .connect_timeout(Duration::from_millis(50))
        .start()
        .unwrap();
    let mut state = client.state();
    let _silent = broker.connection().await;
    let error = soon("the loss", async {
        loop {
            if let State::Connecting {
                last_error: Some(error),
                ..
            } = state.changed().await
            {
                return error;
            }
        }
    })
    .await;
    assert!(matches!(error, ConnectionError::ConnectTimeout), "{error}");
    let _link = broker.accept(Session::New).await;
    soon("a connection", async {
        while !state.changed().await.is_connected() {}
    })
    .await;
}

/// `[MQTT-3.1.2-20]`
#[tokio::test]
async fn a_server_that_answers_no_pingreq_is_given_up() {
    let broker = FakeBroker::start();
    let _client = builder(broker.address(), Version::V5, "client")
        .keep_alive(Duration::from_secs(1))
        .start()
        .unwrap();
    let mut link = broker.accept(Session::New).await;
    assert_eq!(link.connect.keep_alive, 1);
    let start = Instant::now();
    for _ in 0..2 {
        let packet = link.packet().await;
        assert!(matches!(packet, Packet::PingReq), "{packet:?}");
        link.answer(&packet).await;
    }
    // Once in a keep alive, at the least, and not all the time.
    let elapsed = start.elapsed();
    assert!(elapsed > Duration::from_millis(500), "{elapsed:?}");
    assert!(elapsed < Duration::from_millis(2500), "{elapsed:?}");

    let packet = link.packet().await;
    assert!(matches!(packet, Packet::PingReq), "{packet:?}");
    let start = Instant::now();
    link.ends().await;
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_secs(4), "{elapsed:?}");
    broker.accept(Session::Present).await;
}

/// What the client sends does not show that the server is there.
#[tokio::test]
async fn a_silent_server_is_found_while_messages_are_sent() {
    let broker = FakeBroker::start();
    let client = builder(broker.address(), Version::V5, "client")
        .keep_alive(Duration::from_secs(1))
        .start()
        .unwrap();
    let mut link = broker.accept(Session::New).await;
    let publishing = tokio::spawn(async move {
        loop {
            let _ = client.publish("t", "x").enqueue().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let packets = link.ends().await;
    let pings = packets
        .iter()
        .filter(|packet| matches!(packet, Packet::PingReq));
    assert!(pings.count() > 0);
    publishing.abort();
}

/// With an ordinary keep alive, and a clock that jumps.
#[tokio::test(start_paused = true)]
async fn a_pingreq_is_sent_within_each_keep_alive() {
    let keep_alive = Duration::from_secs(60);
    let client =
        builder("127.0.0.1:1".parse().unwrap(), Version::V5, "client").keep_alive(keep_alive);
    let (mut broker, _client) = MemoryBroker::new(client);
    let mut link = broker.accept(Session::New).await;
    for _ in 0..5 {
        let start = tokio::time::Instant::now();
        let Got::Packet(packet) = link.next(keep_alive).await else {
            panic!("nothing in a keep alive");
        };
        assert!(matches!(packet, Packet::PingReq), "{packet:?}");
        assert!(start.elapsed() > keep_alive / 2, "{:?}", start.elapsed());
        link.answer(&packet).await;
    }
    // No answer from here on.
    let Got::Packet(Packet::PingReq) = link.next(keep_alive).await else {
        panic!("nothing in a keep alive");
    };
    let start = tokio::time::Instant::now();
    while let Got::Packet(_) = link.next(2 * keep_alive).await {}
    // One and a half keep alives of silence, as seen from here.
    assert!(start.elapsed() <= keep_alive, "{:?}", start.elapsed());
    broker.accept(Session::Present).await;
}
