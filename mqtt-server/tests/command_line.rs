//! The program from outside: arguments, exit codes, the log, signals.

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

use std::process::Output;
use std::time::{Duration, Instant};

use mqtt_codec::QoS::AtMostOnce;
use mqtt_codec::Version::{V3_1, V3_1_1, V5};
use rustix::process::Signal;

use crate::server::{Peer, SOON, Server, mqttd, post};

#[test]
fn help_and_version_go_to_stdout() {
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert_eq!(text(&help.stderr), "");
    for word in [
        "Usage: mqttd",
        "--listen",
        "--log",
        "--threads",
        "--max-memory",
        "127.0.0.1:1883",
    ] {
        assert!(text(&help.stdout).contains(word), "{word}");
    }
    let wide = text(&help.stdout).lines().find(|line| line.len() > 100);
    assert_eq!(wide, None);

    let version = run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    let expected = format!("mqttd {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&version.stdout), expected);
    assert_eq!(text(&version.stderr), "");
}

#[test]
fn a_wrong_argument_is_explained_in_one_line() {
    let wrong: [&[&str]; 21] = [
        &["--nonsense"],
        &["stray"],
        &["--listen"],
        &["--listen", "1883"],
        &["--listen", "127.0.0.1"],
        &["--listen", ":1883"],
        &["--listen", "::1:1883"],
        &["--listen", "localhost:65536"],
        &["--listen", "localhost:mqtt"],
        &["--log", "loud"],
        &["--threads", "0"],
        &["--threads", "65"],
        &["--threads", "two"],
        &["--max-memory", "1T"],
        &["--max-memory", "5"],
        &["--log", "info", "--log", "debug"],
        &["store"],
        &["store", "stray"],
        &["store", "export", "a", "b", "c"],
        &["--listen", "127.0.0.1:0", "store", "export", "a"],
        &["store", "export", "a", "--listen", "127.0.0.1:0"],
    ];
    for arguments in wrong {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        let lines: Vec<_> = text(&output.stderr).lines().collect();
        let [line] = lines[..] else {
            panic!("{arguments:?}: {lines:?}");
        };
        assert!(line.starts_with("mqttd: "), "{line}");
        assert!(line.ends_with("(see mqttd --help)"), "{line}");
        let named = arguments.iter().any(|word| line.contains(word));
        assert!(named, "{arguments:?}: {line}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let server = Server::start();
    let address = server.address().to_string();
    let output = run(&["--listen", "127.0.0.1:0", "--listen", &address]);
    fails_with(
        &output,
        &format!("cannot listen on {address}: another program listens there"),
    );
    // The one that was there is well.
    Peer::connect(server.address(), V5, "a");
}

#[test]
fn an_address_that_does_not_exist_is_named() {
    let output = run(&["--listen", "no-such-host.invalid:1883"]);
    fails_with(&output, "cannot listen on no-such-host.invalid:1883: ");
    // An address of nobody, from those for documentation.
    let output = run(&["--listen", "192.0.2.1:1883"]);
    fails_with(&output, "cannot listen on 192.0.2.1:1883: ");
}

#[test]
fn all_listeners_are_served() {
    let server = Server::start_with(&["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    let [one, two] = server.addresses[..] else {
        panic!("{:?}", server.addresses);
    };
    assert_ne!(one, two);
    let mut a = Peer::connect(one, V5, "a");
    a.subscribe("t", AtMostOnce);
    Peer::connect(two, V3_1, "b").send(&post("t", "x", None));
    assert_eq!(a.packet(), post("t", "x", None));
}

#[test]
fn the_log_says_where_state_is_kept() {
    let mut server = Server::start();
    let start = server.lines.first().unwrap();
    assert!(start.contains(env!("CARGO_PKG_VERSION")), "{start}");
    assert!(start.contains("keeps its state in memory"), "{start}");
    server.signal(Signal::TERM);
    assert!(server.wait(SOON).success());
    let colours = server.lines.iter().find(|line| line.contains('\x1b'));
    assert_eq!(colours, None, "stderr is no terminal");
}

// [MQTT-3.14.2-1]: 0x8B, Server shutting down. Before 5.0, a server cannot say why it closes.
#[test]
fn signals_end_it_and_clients_are_told() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start();
        let silent = Peer::open(server.address(), V5);
        let mut told = Vec::new();
        for version in [V5, V3_1_1, V3_1] {
            told.push(Peer::connect(
                server.address(),
                version,
                &format!("{version:?}"),
            ));
        }
        server.signal(signal);
        for (peer, expected) in told.iter_mut().zip(["DISCONNECT 8B", "", ""]) {
            assert_eq!(peer.last_words(), expected);
        }
        drop((silent, told));
        assert_eq!(server.wait(SOON).code(), Some(0), "{:#?}", server.lines);
    }
}

/// A client that does not go gets some seconds to read what it was told, and a second signal ends
/// even that.
#[test]
fn who_does_not_go_is_not_waited_for() {
    let start = Instant::now();
    let mut patient = Server::start();
    let mut hurried = Server::start();
    let _clients = [&patient, &hurried].map(|server| Peer::connect(server.address(), V5, "a"));
    for server in [&mut patient, &mut hurried] {
        server.signal(Signal::TERM);
        server.wait_for("shutting down");
    }
    hurried.signal(Signal::INT);
    assert_eq!(hurried.wait(SOON).code(), Some(1));
    let status = patient.wait(Duration::from_secs(9));
    assert_eq!(status.code(), Some(0), "{:#?}", patient.lines);
    assert!(start.elapsed() > Duration::from_secs(4));
}

#[test]
fn a_new_server_is_small() {
    let server = Server::start();
    let kilobytes = server.private_bytes() / 1024;
    println!("private memory after the start: {kilobytes} kB");
    assert!(kilobytes < 5000, "{kilobytes} kB");
}

fn run(arguments: &[&str]) -> Output {
    mqttd(arguments).output().expect("the program is there")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it writes text")
}

/// The start has failed, and one line says why.
fn fails_with(output: &Output, expected: &str) {
    assert_eq!(output.status.code(), Some(1));
    let errors: Vec<_> = text(&output.stderr)
        .lines()
        .filter(|line| line.contains("ERROR"))
        .collect();
    let [line] = errors[..] else {
        panic!("{}", text(&output.stderr));
    };
    assert!(line.contains(expected), "{line}");
    assert_eq!(text(&output.stdout), "");
}
