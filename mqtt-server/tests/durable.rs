//! A server that keeps its state on disk: what its clients can rely on, and what that costs it.

#![cfg(feature = "rocksdb")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a test may stop at what it did not expect, and measures real time"
)]

mod server;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use mqtt_broker_core::ClientId;
use mqtt_broker_core::store::{Change, SessionRecord, SessionStore, SubscriptionRecord};
use mqtt_codec::QoS::AtLeastOnce;
use mqtt_codec::Version::{V3_1_1, V5};
use mqtt_codec::{Packet, PublishQoS, ReasonCode, SubscriptionOptions, TopicFilter};
use mqtt_store_rocksdb::{Options, RocksStore};

use crate::server::{Directory, Got, Peer, SOON, Server, mqttd, post};

fn start(data: &str) -> Server {
    let level = ["--durability", "process"];
    let mut arguments = vec!["--listen", "127.0.0.1:0", "--data-dir", data];
    arguments.extend(level);
    Server::start_with(&arguments)
}

/// Publishes so many messages of so many bytes, and waits for all acknowledgements.
fn publish(peer: &mut Peer, count: usize, payload_bytes: usize) {
    let payload = "x".repeat(payload_bytes - 6);
    let mut acknowledged = 0;
    for number in 0..count {
        let id = (number % 60_000) as u16 + 1;
        let text = format!("{number:06}{payload}");
        peer.send(&post("t", text, Some(id)));
        if number % 100 == 99 || number + 1 == count {
            while acknowledged <= number {
                let packet = peer.packet();
                assert!(matches!(packet, Packet::PubAck(_)), "{packet:?}");
                acknowledged += 1;
            }
        }
    }
}

/// Whoever is away for long does not take the memory of those who are there.
#[test]
fn a_queue_on_disk_takes_no_memory() {
    const COUNT: usize = 60_000;
    const BYTES: usize = 4000;
    const QUEUE_MB: usize = COUNT * BYTES / 1_000_000;
    /// What the store gathers before it writes table files, with what is being written.
    const MOST_MB: usize = 150;
    let directory = Directory::new();
    let server = start(&directory.path("data"));
    let mut away = Peer::persistent(server.address(), "away", false);
    away.subscribe("t", AtLeastOnce);
    drop(away);
    let mut publisher = Peer::connect(server.address(), V3_1_1, "publisher");
    publish(&mut publisher, COUNT, BYTES);
    let queued = server.private_bytes() / 1_000_000;
    println!("{QUEUE_MB} MB wait, {queued} MB are in memory");
    assert!(queued < MOST_MB, "{queued} MB for a queue of {QUEUE_MB}");

    let mut back = Peer::persistent(server.address(), "away", true);
    for number in 0..COUNT {
        let payload = back.payload();
        assert_eq!(payload[..6], *format!("{number:06}").as_bytes());
    }
    let read = server.private_bytes() / 1_000_000;
    println!("{read} MB when all is read");
    assert!(read < MOST_MB, "{read} MB after a queue of {QUEUE_MB}");
}

/// A store with many sessions; the last one to be restored has subscribed to `t`.
fn fill(data: &str, sessions: u32) {
    let store = RocksStore::open(data, &Options::default()).unwrap();
    let session = |number: u32| {
        let client = ClientId::new(&format!("client {number}"));
        let record = SessionRecord {
            expiry_interval: u32::MAX,
            ..SessionRecord::default()
        };
        let text = if number + 1 == sessions {
            "t".to_owned()
        } else {
            format!("other/{number}")
        };
        let subscription = SubscriptionRecord {
            options: SubscriptionOptions::of_qos(AtLeastOnce),
            identifier: None,
        };
        [
            Change::PutSession {
                client: client.clone(),
                record,
            },
            Change::PutSubscription {
                client,
                filter: TopicFilter::from_text(&text).unwrap(),
                subscription,
            },
        ]
    };
    let changes: Vec<_> = (0..sessions).flat_map(session).collect();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    runtime.block_on(store.commit(changes.into())).unwrap();
}

/// The first message that gets through already finds all subscriptions.
#[test]
fn nobody_gets_through_before_all_sessions_are_restored() {
    let directory = Directory::new();
    let data = directory.path("data");
    fill(&data, 50_000);
    let address = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let listen = address.to_string();
    let mut command = mqttd(&["--listen", &listen, "--data-dir", &data]);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let refused = wait_for(address);
    let mut publisher = Peer::connect(address, V5, "publisher");
    publisher.send(&post("t", "first", Some(1)));
    let ack = publisher.packet();
    // It may have ended because of what has failed here.
    let _ = child.kill();
    child.wait().unwrap();
    let Packet::PubAck(ack) = ack else {
        panic!("{ack:?} instead of a PUBACK");
    };
    assert_eq!(ack.reason, ReasonCode::Success, "somebody has subscribed");
    println!("refused {refused} times before");
    assert!(refused > 0, "it was there before it was looked for");
}

/// Tries to connect until somebody listens. Returns how often nobody did.
fn wait_for(address: SocketAddr) -> u32 {
    let (start, mut refused) = (Instant::now(), 0);
    while TcpStream::connect(address).is_err() {
        assert!(start.elapsed() < 4 * SOON, "it does not listen");
        refused += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    refused
}

/// What is acknowledged is there after kill -9, and after a clean end.
#[test]
fn a_session_goes_on_after_any_end() {
    let directory = Directory::new();
    let data = directory.path("data");
    let mut server = start(&data);
    let mut reader = Peer::persistent(server.address(), "reader", false);
    reader.subscribe("t", AtLeastOnce);
    for round in 0..4 {
        drop(reader);
        let mut publisher = Peer::connect(server.address(), V3_1_1, "publisher");
        publisher.send(&post("t", round.to_string(), Some(7)));
        assert!(matches!(publisher.packet(), Packet::PubAck(_)));
        if round % 2 == 0 {
            drop(server);
        } else {
            server.signal(rustix::process::Signal::TERM);
            assert!(server.wait(2 * SOON).success());
        }
        server = start(&data);
        let restored = "restored, sessions: 1, retained messages: 0";
        let said = server.lines.iter().any(|line| line.contains(restored));
        assert!(said, "{:#?}", server.lines);
        reader = Peer::persistent(server.address(), "reader", true);
        let packet = reader.packet();
        let Packet::Publish(publish) = packet else {
            panic!("{packet:?} instead of a PUBLISH");
        };
        assert_eq!(publish.payload, round.to_string().as_bytes());
        let PublishQoS::AtLeastOnce(id) = publish.qos else {
            panic!("{:?}", publish.qos);
        };
        // Once acknowledged, it does not come again. The removal waits for company for a while.
        let ack = mqtt_codec::Ack::new(id, ReasonCode::Success);
        reader.send(&Packet::<&[u8]>::PubAck(ack));
        let nothing = reader.next(Duration::from_millis(300));
        assert!(matches!(nothing, Got::Nothing), "{nothing:?}");
    }
}
