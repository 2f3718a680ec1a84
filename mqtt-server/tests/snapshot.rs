//! `--snapshot`: what a server without a data directory keeps from a clean end to the next start.

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

use std::fs;

use mqtt_codec::Packet;
use mqtt_codec::QoS::{AtLeastOnce, ExactlyOnce};
use mqtt_codec::Version::V3_1_1;
use rustix::process::Signal;

use crate::server::{Directory, Peer, SOON, Server, mqttd, post};

const EMPTY: &str = concat!(
    r#"{"format":"mqtt-store","version":1}"#,
    "\n",
    r#"{"end":{"sessions":0,"subscriptions":0,"received":0,"deliveries":0,"retained":0}}"#,
    "\n",
);

#[test]
fn sessions_and_messages_are_there_again() {
    let directory = Directory::new();
    let file = directory.path("state.json");
    let mut server = start(&file);
    let line = server.lines.join("\n");
    assert!(line.contains("is not there yet"), "{line}");
    assert!(
        line.contains("keeps its state in memory, and saves it to"),
        "{line}"
    );
    assert!(line.contains("a crash loses"), "{line}");

    let mut subscriber = Peer::persistent(server.address(), "subscriber", false);
    subscriber.subscribe("news/#", ExactlyOnce);
    drop(subscriber);
    let mut publisher = Peer::connect(server.address(), V3_1_1, "publisher");
    let Packet::Publish(mut retained) = post("news/now", "on", Some(1)) else {
        unreachable!();
    };
    retained.retain = true;
    publisher.send(&Packet::Publish(retained));
    assert!(matches!(publisher.packet(), Packet::PubAck(_)));
    publisher.send(&post("news/more", [0xFF, 0x00], Some(2)));
    assert!(matches!(publisher.packet(), Packet::PubAck(_)));
    // One that is there at the end.
    let mut connected = Peer::persistent(server.address(), "connected", false);
    connected.subscribe("other", AtLeastOnce);
    server.signal(Signal::TERM);
    drop((publisher, connected));
    assert!(server.wait(SOON).success(), "{:#?}", server.lines);
    let saved = "saved to";
    assert!(server.lines.iter().any(|line| line.contains(saved)));
    assert_eq!(directory.names(), ["state.json"]);

    // Twice, since what was read is saved as well.
    for _ in 0..2 {
        let mut server = start(&file);
        assert!(
            server
                .lines
                .iter()
                .any(|line| line.contains("sessions: 2, "))
        );
        let mut reader = Peer::connect(server.address(), V3_1_1, "reader");
        reader.subscribe("news/now", AtLeastOnce);
        assert_eq!(reader.payload(), b"on");
        drop(reader);
        server.signal(Signal::INT);
        assert!(server.wait(SOON).success(), "{:#?}", server.lines);
    }
    let server = start(&file);
    Peer::persistent(server.address(), "connected", true);
    let mut subscriber = Peer::persistent(server.address(), "subscriber", true);
    assert_eq!(subscriber.payload(), b"on");
    assert_eq!(subscriber.payload(), [0xFF, 0x00]);
}

/// The state is of the last clean end.
#[test]
fn a_crash_loses_what_has_changed() {
    let directory = Directory::new();
    let file = directory.path("state.json");
    fs::write(&file, EMPTY).unwrap();
    let server = start(&file);
    Peer::persistent(server.address(), "a", false);
    server.signal(Signal::KILL);
    drop(server);
    assert_eq!(fs::read_to_string(&file).unwrap(), EMPTY);
    Peer::persistent(start(&file).address(), "a", false);
}

/// Whoever does not wait for clients still wants the state.
#[test]
fn a_second_signal_does_not_lose_it() {
    let directory = Directory::new();
    let file = directory.path("state.json");
    let mut server = start(&file);
    let _client = Peer::persistent(server.address(), "a", false);
    server.signal(Signal::INT);
    server.wait_for("shutting down");
    server.signal(Signal::INT);
    assert_eq!(server.wait(SOON).code(), Some(1));
    Peer::persistent(start(&file).address(), "a", true);
}

/// A file may have been written by anybody: no number in it may bring the server down.
#[test]
fn the_largest_numbers_are_served() {
    const MAX: u64 = i64::MAX as u64;
    let directory = Directory::new();
    let file = directory.path("state.json");
    for (sent_before, seqs) in [
        (0, [1, 10_000_001]),
        (3, [2, 3]),
        (10_000_001, [1, 100_000]),
        (0, [MAX - 1, MAX]),
        (MAX, [MAX - 1, MAX]),
    ] {
        let deliveries = seqs.map(|seq| delivery("a", seq));
        let text = [
            r#"{"format":"mqtt-store","version":1}"#,
            &session("a", u64::MAX, sent_before),
            &deliveries[0],
            &deliveries[1],
            r#"{"end":{"sessions":1,"subscriptions":0,"received":0,"deliveries":2,"retained":0}}"#,
        ];
        fs::write(&file, text.join("\n")).unwrap();
        let mut server = start(&file);
        let mut peer = Peer::persistent(server.address(), "a", true);
        for seq in seqs {
            assert_eq!(peer.payload(), seq.to_string().as_bytes());
        }
        peer.subscribe("t", AtLeastOnce);
        peer.send(&post("t", "more", Some(1)));
        let mut more = [peer.packet(), peer.packet()];
        more.sort_by_key(|packet| matches!(packet, Packet::Publish(_)));
        let expected = matches!(more, [Packet::PubAck(_), Packet::Publish(_)]);
        assert!(expected, "{more:?}");
        drop(peer);
        server.signal(Signal::TERM);
        assert!(server.wait(SOON).success(), "{:#?}", server.lines);
    }
}

fn session(client: &str, disconnected_ms: u64, sent_before: u64) -> String {
    format!(
        r#"{{"session":{{"client":"{client}","expiry_interval":1,"disconnected_ms":{disconnected_ms},"sent_before":{sent_before}}}}}"#
    )
}

/// A delivery whose payload is its number.
fn delivery(client: &str, seq: u64) -> String {
    let message = format!(r#"{{"topic":"t","qos":1,"retain":false,"payload":"{seq}"}}"#);
    format!(
        r#"{{"delivery":{{"client":"{client}","seq":{seq},"qos":1,"retain":false,"released":false,"message":{message}}}}}"#
    )
}

#[test]
fn a_file_that_cannot_be_read_stops_the_start_and_stays() {
    let directory = Directory::new();
    let file = directory.path("state.json");
    let cases = [
        (
            "",
            "line 1: the file is empty, expected {\"format\":\"mqtt-store\",\"version\":1}",
        ),
        (
            "{\"format\":\"mqtt-store\",\"version\":2}\n",
            "line 1: version: 2, expected 1",
        ),
        (
            EMPTY.lines().next().unwrap(),
            "line 2: the file is cut off here, expected an `end` record",
        ),
    ];
    for (text, expected) in cases {
        fs::write(&file, text).unwrap();
        stops(
            &file,
            &format!("cannot read the snapshot {file}: {expected}"),
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    assert_eq!(directory.names(), ["state.json"]);
}

/// It shows at the start, and not at the end.
#[test]
fn a_place_that_cannot_be_written_stops_the_start() {
    let directory = Directory::new();
    let file = directory.path("none/state.json");
    stops(
        &file,
        &format!("cannot write the snapshot {file}: No such file"),
    );
    let file = directory.path("");
    stops(&file, &format!("cannot read the snapshot {file}: "));
    stops(
        "/dev/null",
        "cannot read the snapshot /dev/null: line 1: the file is empty",
    );
}

/// A server that cannot save its state says so, and ends as one that has failed.
#[test]
fn a_save_that_fails_is_told() {
    let directory = Directory::new();
    let file = directory.path("below/state.json");
    fs::create_dir(directory.path("below")).unwrap();
    let mut server = start(&file);
    fs::remove_dir(directory.path("below")).unwrap();
    server.signal(Signal::TERM);
    assert_eq!(server.wait(SOON).code(), Some(1));
    let last = server.lines.last().unwrap();
    assert!(last.contains("ERROR cannot write the snapshot"), "{last}");
}

fn start(file: &str) -> Server {
    Server::start_with(&["--listen", "127.0.0.1:0", "--snapshot", file])
}

/// The start fails with one line.
fn stops(file: &str, expected: &str) {
    let output = mqttd(&["--listen", "127.0.0.1:0", "--snapshot", file])
        .output()
        .expect("the program is there");
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(errors.len(), 1, "{log}");
    assert!(errors[0].contains(expected), "{log}");
}
