//! More than the server has memory for: it stays within its budget, and others do not notice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at what it did not expect"
)]

mod server;

use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce};
use mqtt_codec::Version::{V3_1_1, V5};
use mqtt_codec::{Packet, ReasonCode};

use crate::server::{Pair, Peer, Server, post};

const MIB: usize = 1024 * 1024;
/// The budget, and what the server may have besides: its program and what is not counted, such as the pools
/// of its threads, and what the allocator has not given back.
const BUDGET: usize = 64 * MIB;
const SLACK: usize = 32 * MIB;

/// Runs an attack beside a pair that exchanges messages, none of which may be lost or late.
fn beside_others(attack: impl FnOnce(&Server)) {
    let mut server = Server::start_with(&["--listen", "127.0.0.1:0", "--max-memory", "64M"]);
    let said = server
        .lines
        .iter()
        .any(|line| line.contains("memory for what waits: 64 MiB"));
    assert!(said, "{:?}", server.lines);
    let base = server.resident_bytes();
    let pair = Pair::start(server.address());
    attack(&server);
    let exchanged = pair.end();
    assert!(exchanged.messages > 0);
    let grown = server.peak_bytes().saturating_sub(base);
    println!(
        "{} MiB at most, the slowest exchange took {:?}",
        grown / MIB,
        exchanged.slowest
    );
    assert!(grown < BUDGET + SLACK, "{grown} bytes");
    server.is_alive();
}

/// Publishes so many bytes; true if the publisher was told that some were not queued.
fn flood(server: &Server, topic: &str, acknowledged: bool, bytes: usize) -> bool {
    let payload = vec![b'x'; 10_000];
    let mut publisher = Peer::connect(server.address(), V5, "publisher");
    let mut told = false;
    for _ in 0..bytes / payload.len() {
        publisher.send(&post(topic, payload.as_slice(), acknowledged.then_some(1)));
        if acknowledged {
            let Packet::PubAck(ack) = publisher.packet() else {
                panic!("no PUBACK");
            };
            told |= ack.reason == ReasonCode::QuotaExceeded;
        }
    }
    publisher.send(&Packet::<&[u8]>::PingReq);
    assert_eq!(publisher.packet(), Packet::PingResp);
    told
}

/// Each of them alone may have a megabyte.
#[test]
fn a_thousand_subscribers_that_do_not_read() {
    beside_others(|server| {
        let stuck: Vec<_> = (0..1000)
            .map(|number| {
                let mut peer = Peer::connect(server.address(), V3_1_1, &format!("stuck {number}"));
                peer.subscribe("flood", AtMostOnce);
                peer
            })
            .collect();
        flood(server, "flood", false, 20 * MIB);
        assert_eq!(stuck.len(), 1000);
    });
}

/// Their queues are in memory, and hold other messages each.
#[test]
fn queues_of_sessions_that_are_away() {
    beside_others(|server| {
        for number in 0..20 {
            let name = format!("away {number}");
            let mut peer = Peer::persistent(server.address(), &name, false);
            peer.subscribe(&name, AtLeastOnce);
        }
        let told = (0..20).filter(|number| {
            let topic = format!("away {number}");
            flood(server, &topic, true, 10 * MIB)
        });
        assert!(told.count() > 10);
    });
}

#[test]
fn packets_that_do_not_end() {
    beside_others(|server| {
        let clients: Vec<_> = (0..200)
            .map(|number| {
                let mut peer = Peer::connect(server.address(), V5, &format!("large {number}"));
                // 10,000,000 bytes are to come; two million do.
                peer.write(&[0x30, 0x80, 0xAD, 0xE2, 0x04]);
                for _ in 0..20 {
                    if peer.try_write(&[b'x'; 100_000]).is_err() {
                        break;
                    }
                }
                peer
            })
            .collect();
        assert_eq!(clients.len(), 200);
    });
}

#[test]
fn a_flood_of_retained_messages() {
    beside_others(|server| {
        let mut peer = Peer::connect(server.address(), V5, "retains");
        for number in 0..20_000 {
            let Packet::Publish(mut publish) =
                post(&format!("t/{number}"), vec![b'x'; 10_000], None)
            else {
                unreachable!("it is one");
            };
            publish.retain = true;
            peer.send(&Packet::Publish(publish));
        }
        peer.send(&Packet::<&[u8]>::PingReq);
        assert_eq!(peer.packet(), Packet::PingResp);
    });
}
