//! What a server keeps in memory for each connection, subscription, session and message. Starts a
//! server afresh for each, makes many, and divides the growth of its resident memory. Prints a table.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a program that measures: it prints, waits, and ends at what it did not expect"
)]

mod client;
mod server;

use std::path::{Path, PathBuf};

use benches::Directory;
use clap::Parser;

use client::{Client, Transport};
use server::Server;

/// Measures the resident memory of a server, in bytes for each thing it keeps.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the directory of the RocksDB store is made.
    #[arg(long, value_name = "DIR", default_value = "target")]
    dir: PathBuf,

    /// The server's program.
    #[arg(long, value_name = "FILE", default_value = "target/release/mqttd")]
    mqttd: PathBuf,

    /// Connections. Each takes a file of this program, and one of the server.
    #[arg(long, default_value_t = 15_000)]
    connections: u32,

    /// Subscriptions, retained messages and queued messages.
    #[arg(long, default_value_t = 1_000_000)]
    count: u32,

    /// Sessions that are offline.
    #[arg(long, default_value_t = 200_000)]
    sessions: u32,
}

/// Clients that share many subscriptions.
const CLIENTS: u32 = 100;

fn main() {
    let arguments = Arguments::parse();
    let (mqttd, dir) = (&*arguments.mqttd, &*arguments.dir);
    println!(
        "{:44} {:>9} {:>9} {:>12}",
        "", "number", "bytes", "left, bytes"
    );
    start_up(mqttd, dir);
    connections(mqttd, Transport::Tcp, arguments.connections);
    connections(mqttd, Transport::WebSocket, arguments.connections);
    for (name, pattern) in [("exact", "dev/N/command"), ("wildcard", "dev/N/cmd/#")] {
        subscriptions(
            mqttd,
            &format!("subscription, {name}"),
            pattern,
            arguments.count,
        );
    }
    sessions(mqttd, arguments.sessions);
    retained(mqttd, arguments.count);
    queued(mqttd, None, arguments.count);
    queued(mqttd, Some(dir), arguments.count);
}

/// Runs a scenario on a server: `make` returns what keeps the things alive, `end` makes them go away.
fn measure<T>(
    server: &Server,
    name: &str,
    number: u32,
    make: impl FnOnce(&Server) -> T,
    end: impl FnOnce(&Server, T),
) {
    let before = server.resident_bytes();
    let made = make(server);
    let grown = server.resident_bytes() - before;
    end(server, made);
    let left = server.resident_bytes() - before;
    let each = |bytes: i64| bytes / i64::from(number.max(1));
    println!(
        "{name:44} {number:>9} {:>9} {:>12}",
        each(grown),
        each(left)
    );
}

fn start_up(mqttd: &Path, dir: &Path) {
    let server = Server::start(mqttd, &[]);
    let bytes = server.resident_bytes();
    println!("{:44} {:>9} {bytes:>9}", "start-up, in memory", 1);
    let directory = Directory::new(dir, "memory");
    let path = directory.path().to_str().expect("a path is text");
    let server = Server::start(mqttd, &["--data-dir", path]);
    let bytes = server.resident_bytes();
    println!("{:44} {:>9} {bytes:>9}", "start-up, RocksDB", 1);
}

fn connections(mqttd: &Path, transport: Transport, number: u32) {
    let server = Server::start(mqttd, &[]);
    let make = |server: &Server| -> Vec<_> {
        (0..number)
            .map(|id| Client::connect(server, transport, id))
            .collect()
    };
    measure(&server, transport.name(), number, make, |_, clients| {
        drop(clients)
    });
}

fn subscriptions(mqttd: &Path, name: &str, pattern: &str, number: u32) {
    let server = Server::start(mqttd, &[]);
    let make = |server: &Server| -> Vec<_> {
        let clients = 0..CLIENTS;
        clients
            .map(|id| {
                let mut client = Client::connect(server, Transport::Tcp, id);
                let own = (id..number).step_by(CLIENTS as usize);
                client.subscribe(own.map(|n| pattern.replace('N', &format!("{n:07}"))));
                client
            })
            .collect()
    };
    measure(&server, name, number, make, |_, clients| drop(clients));
}

fn sessions(mqttd: &Path, number: u32) {
    let server = Server::start(mqttd, &[]);
    let make = |server: &Server| {
        for id in 0..number {
            let mut client = Client::connect(server, Transport::Session, id);
            client.subscribe(std::iter::once(format!("dev/{id:07}/command")));
            client.disconnect();
        }
    };
    // Connecting once more with a clean session ends it. [MQTT-3.1.2-4]
    let end = |server: &Server, ()| {
        (0..number).for_each(|id| Client::connect(server, Transport::Tcp, id).disconnect());
    };
    measure(
        &server,
        "offline session with a subscription",
        number,
        make,
        end,
    );
}

fn retained(mqttd: &Path, number: u32) {
    let server = Server::start(mqttd, &[]);
    let topics = || (0..number).map(|n| format!("dev/{n:07}/state"));
    let make = |server: &Server| {
        Client::connect(server, Transport::Tcp, 0).publish(topics(), client::RETAIN, &[b'x'; 64]);
    };
    // [MQTT-3.3.1-6]
    let end = |server: &Server, ()| {
        Client::connect(server, Transport::Tcp, 0).publish(topics(), client::RETAIN, b"");
    };
    measure(&server, "retained message of 64 B", number, make, end);
}

/// 1,000 messages for each session, so that no limit of a queue is met.
fn queued(mqttd: &Path, dir: Option<&Path>, number: u32) {
    let sessions = number.div_ceil(1_000);
    let directory = dir.map(|dir| Directory::new(dir, "memory"));
    let path = directory
        .as_ref()
        .and_then(|directory| directory.path().to_str());
    let arguments: Vec<_> = path
        .into_iter()
        .flat_map(|path| ["--data-dir", path])
        .collect();
    let server = Server::start(mqttd, &arguments);
    for id in 1..=sessions {
        let mut client = Client::connect(&server, Transport::Session, id);
        client.subscribe(std::iter::once(format!("dev/{id:07}/command")));
        client.disconnect();
    }
    let make = |server: &Server| {
        let topics = (0..number).map(|n| format!("dev/{:07}/command", 1 + n % sessions));
        let mut publisher = Client::connect(server, Transport::Tcp, 0);
        publisher.publish(topics, client::AT_LEAST_ONCE, &[b'x'; 64]);
    };
    let end = |server: &Server, ()| {
        (1..=sessions).for_each(|id| Client::connect(server, Transport::Tcp, id).disconnect());
    };
    let name = match dir {
        None => "queued message of 64 B, in memory",
        Some(_) => "queued message of 64 B, RocksDB",
    };
    measure(&server, name, number, make, end);
}
