//! Ten thousand clients that have nothing to say.

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

use std::time::Instant;

use mqtt_codec::QoS::AtLeastOnce;
use mqtt_codec::Version::{V3_1_1, V5};
use mqtt_codec::{Packet, PublishQoS};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::server::{Peer, Server, hello, post};

const CLIENTS: usize = 10_000;
/// Files that the processes need for other things.
const OTHER_FILES: usize = 200;
/// The bound; about a quarter of it is what we aim at.
const BYTES_MAX: usize = 4000;

#[test]
fn ten_thousand_idle_connections_take_little_memory() {
    let clients = raise_limit();
    if clients < CLIENTS {
        println!("too few files may be open: {clients} clients instead of {CLIENTS}");
    }
    let server = Server::start();
    // What is allocated once, at the first connection, is not counted.
    drop(Peer::connect(server.address(), V5, "first"));
    let before = server.resident_bytes();
    let start = Instant::now();
    let mut peers = Vec::new();
    for number in 0..clients {
        let version = [V5, V3_1_1][number % 2];
        let mut hello = hello(version, &format!("idle-{number:05}"));
        hello.keep_alive = 600;
        peers.push(Peer::connect_as(server.address(), hello));
    }
    let took = start.elapsed();
    let bytes = server.resident_bytes().saturating_sub(before) / clients;
    println!("{clients} connections in {took:?}, {bytes} bytes for each");
    assert!(bytes < BYTES_MAX, "{bytes} bytes for each connection");

    let chosen = clients / 2;
    peers[chosen].subscribe("news", AtLeastOnce);
    peers[0].send(&post("news", "hello", Some(1)));
    let Packet::Publish(publish) = peers[chosen].packet() else {
        panic!("it gets no message");
    };
    assert_eq!(publish.payload, b"hello".as_slice());
    assert!(matches!(publish.qos, PublishQoS::AtLeastOnce(_)));
    assert!(matches!(peers[0].packet(), Packet::PubAck(_)));
}

/// Lets this process and the servers that it starts open as many files as they may. Returns how
/// many clients that is enough for.
fn raise_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("it is within the hard limit");
    let files = limit.current.map_or(usize::MAX, |files| files as usize);
    CLIENTS.min(files.saturating_sub(OTHER_FILES))
}
