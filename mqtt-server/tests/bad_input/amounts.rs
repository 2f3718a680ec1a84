//! Too much of something: subscriptions, levels, connections, messages for one that does not read.

use std::time::Duration;

use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce};
use mqtt_codec::Version::{V3_1_1, V5};
use mqtt_codec::{Packet, QoS, ReasonCode, TopicName, Version, Will};

use crate::MIB;
use crate::server::{
    Got, Pair, Peer, SOON, Server, beside_others, eventually, hello, post, subscribe,
};

#[test]
fn ten_thousand_subscriptions_work_and_are_gone_afterwards() {
    beside_others(|server| {
        let mut resident = Vec::new();
        for _ in 0..6 {
            let mut peer = Peer::connect(server.address(), V5, "collector");
            for hundred in 0..100 {
                let filters: Vec<_> = (0..100)
                    .map(|number| match number % 4 {
                        0 => format!("many/{hundred}/{number}/+"),
                        1 => format!("many/{hundred}/{number}/#"),
                        2 => format!("$share/group/many/{hundred}/{number}/x"),
                        _ => format!("many/{hundred}/{number}/x"),
                    })
                    .collect();
                let filters: Vec<_> = filters.iter().map(String::as_str).collect();
                peer.send(&subscribe(&filters, AtMostOnce));
                let Packet::SubAck(ack) = peer.packet() else {
                    panic!("no SUBACK");
                };
                assert!(
                    ack.reasons
                        .iter()
                        .all(|reason| reason == ReasonCode::Success)
                );
                assert_eq!(ack.reasons.iter().count(), 100);
            }
            for number in 0..100 {
                let message = post(&format!("many/99/{number}/x"), "x", None);
                peer.send(&message);
                assert_eq!(peer.packet(), message);
            }
            drop(peer);
            // The server has noticed once this one is let in.
            Peer::connect(server.address(), V5, "collector");
            resident.push(server.resident_bytes());
        }
        println!("resident after each round of 10,000 subscriptions: {resident:?}");
        let grown = resident[5].saturating_sub(resident[1]);
        assert!(grown < MIB, "{resident:?}");
    });
}

// [MQTT-4.7.3-3]: 65,535 bytes are the longest topic there is.
#[test]
fn topics_of_very_many_levels_are_refused() {
    let deep = "/".repeat(65_535);
    beside_others(|server| {
        let mut peer = Peer::connect(server.address(), V5, "deep");
        let mut base = 0;
        for round in 0..50 {
            peer.send(&subscribe(&[&deep, "t"], AtMostOnce));
            let Packet::SubAck(ack) = peer.packet() else {
                panic!("no SUBACK");
            };
            let reasons: Vec<_> = ack.reasons.iter().collect();
            let expected = [ReasonCode::TopicFilterInvalid, ReasonCode::Success];
            assert_eq!(reasons, expected);
            if round == 10 {
                base = server.resident_bytes();
            }
        }
        for version in [V5, V3_1_1] {
            for id in [None, Some(1)] {
                let mut peer = Peer::connect(server.address(), version, "deep");
                peer.send(&post(&deep, "x", id));
                let expected = if version == V5 { "DISCONNECT 90" } else { "" };
                assert_eq!(peer.last_words(), expected);
            }
        }
        let mut peer = Peer::open(server.address(), V5);
        peer.send(&Packet::Connect(with_will(V5, "deep", &deep)));
        assert_eq!(peer.last_words(), "CONNACK 90");
        let grown = server.resident_bytes().saturating_sub(base);
        assert!(grown < MIB, "{grown} bytes");
    });
}

/// Nobody waits for a subscriber that does not read, and what waits for it is bounded: at QoS 0 by
/// its outbox of 1 MiB, at QoS 1 by its queue of 256 MiB.
#[test]
fn a_subscriber_that_never_reads_holds_up_nobody() {
    beside_others(|server| {
        for (qos, bound) in [(AtMostOnce, 4 * MIB), (AtLeastOnce, 290 * MIB)] {
            let before = server.resident_bytes();
            let mut never = Peer::connect(server.address(), V5, "never reads");
            never.subscribe("flood/#", qos);
            let overflowed = flood(server, qos, 300 * MIB);
            assert_eq!(overflowed, qos == AtLeastOnce);
            let grown = server.peak_bytes().saturating_sub(before);
            println!("memory for a subscriber that never reads at {qos:?}: {grown} bytes");
            assert!(grown < bound, "{grown} bytes at {qos:?}");
        }
    });
}

/// Publishes so many bytes; true if some were not queued since the queue was full.
fn flood(server: &Server, qos: QoS, bytes: usize) -> bool {
    let payload = vec![b'x'; 100_000];
    let mut publisher = Peer::connect(server.address(), V5, "publisher");
    let mut overflowed = false;
    for _ in 0..bytes / payload.len() {
        let id = (qos == AtLeastOnce).then_some(1);
        publisher.send(&post("flood/t", payload.as_slice(), id));
        if id.is_some() {
            let Packet::PubAck(ack) = publisher.packet() else {
                panic!("no PUBACK");
            };
            overflowed |= ack.reason == ReasonCode::QuotaExceeded;
        }
    }
    publisher.send(&Packet::<&[u8]>::PingReq);
    assert!(matches!(publisher.packet(), Packet::PingResp));
    overflowed
}

/// The answers to one that asks and asks, and reads none, are bounded.
#[test]
fn answers_that_nobody_reads_are_bounded() {
    // PUBREL of nothing: its answer is longer than the question.
    let questions = b"\x62\x02\0\x01".repeat(25_000);
    beside_others(|server| {
        let before = server.resident_bytes();
        let mut peer = Peer::connect(server.address(), V5, "asks");
        let timeout = Some(Duration::from_secs(1));
        peer.stream.set_write_timeout(timeout).unwrap();
        let mut sent = 0;
        // The server stops to read at some time.
        while peer.try_write(&questions).is_ok() {
            sent += questions.len();
            assert!(sent < 60 * MIB, "it takes any number");
        }
        let grown = server.peak_bytes().saturating_sub(before);
        println!("memory for unread answers: {grown} bytes");
        assert!(grown < 30 * MIB, "{grown} bytes");
    });
}

#[test]
fn thousands_of_connections_may_come_and_go_at_once() {
    beside_others(|server| {
        let files = server.open_files();
        let mut resident = Vec::new();
        for round in 0..4 {
            for number in 0..500 {
                let mut peer = Peer::open(server.address(), V5);
                if number % 2 == 0 {
                    let hello = hello(V5, &format!("visitor {round} {number}"));
                    peer.send(&Packet::Connect(hello));
                }
                if number % 3 == 0 {
                    // Gone without a goodbye of TCP.
                    let socket = socket2::SockRef::from(&peer.stream);
                    socket.set_linger(Some(Duration::ZERO)).unwrap();
                }
            }
            eventually("all have gone", || server.open_files() <= files);
            resident.push(server.resident_bytes());
        }
        let grown = resident[3].saturating_sub(resident[0]);
        assert!(grown < MIB, "{resident:?}");
    });
}

/// A client that sends no more is lost, even if it still reads.
// [MQTT-3.1.2-8]
#[test]
fn the_will_of_a_half_closed_connection_is_published() {
    beside_others(|server| {
        let mut watcher = Peer::connect(server.address(), V5, "watcher");
        watcher.subscribe("will", AtMostOnce);
        for version in [V5, V3_1_1] {
            let mut peer = Peer::connect_as(server.address(), with_will(version, "half", "will"));
            peer.finish();
            assert_eq!(watcher.packet(), post("will", "x", None));
            assert_eq!(peer.last_words(), "");
        }
    });
}

/// There is no file for one more connection: it waits until there is, and the others go on.
#[test]
fn a_server_without_files_serves_those_it_has() {
    let mut server = Server::start_with_files(40);
    let pair = Pair::start(server.address());
    let mut peers: Vec<_> = (0..60)
        .map(|number| {
            let mut peer = Peer::open(server.address(), V5);
            let hello = hello(V5, &format!("{number}"));
            peer.send(&Packet::Connect(hello));
            peer
        })
        .collect();
    server.wait_for("cannot accept a connection");
    let late = peers.split_off(20);
    for peer in &mut peers {
        assert!(matches!(peer.packet(), Packet::ConnAck(_)));
    }
    drop(peers);
    // Those that come first make room for those behind them.
    for mut peer in late {
        assert!(matches!(peer.packet(), Packet::ConnAck(_)));
    }
    assert!(pair.end().slowest < SOON);
    server.is_alive();
}

/// A packet that has not come whole takes no more memory than has come of it, and is gone with its
/// connection.
#[test]
fn half_packets_take_what_they_have() {
    beside_others(|server| {
        let before = server.resident_bytes();
        let mut peers: Vec<_> = (0..20)
            .map(|number| Peer::connect(server.address(), V5, &format!("half {number}")))
            .collect();
        for peer in &mut peers {
            // 10 MiB are announced, and one comes.
            peer.write(b"\x30\xF0\xFF\xFF\x04\0\x01t\0");
            peer.write(&vec![b'x'; MIB]);
        }
        let half = || server.resident_bytes().saturating_sub(before);
        let arrived = |bytes| bytes > 15 * MIB || server.resident_bytes() == 0;
        eventually("all is read", || arrived(half()));
        assert!(half() < 45 * MIB, "{} bytes", half());
        for peer in &mut peers {
            assert!(matches!(peer.next(Duration::from_millis(1)), Got::Nothing));
        }
        drop(peers);
        eventually("it is free again", || half() < 5 * MIB);
    });
}

/// A client with a QoS 0 will.
fn with_will(version: Version, client_id: &str, topic: &str) -> mqtt_codec::Connect {
    let will = Will {
        qos: AtMostOnce,
        retain: false,
        properties: mqtt_codec::Properties::default(),
        topic: TopicName::from_text(topic).unwrap(),
        payload: b"x".as_slice().into(),
    };
    mqtt_codec::Connect {
        will: Some(will),
        ..hello(version, client_id)
    }
}
