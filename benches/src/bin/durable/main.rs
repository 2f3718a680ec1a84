//! What durability costs: bytes written for each message, the start with a million sessions, and
//! messages through a whole server. Prints tables.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a program that measures: it prints, reads the clock, and ends at what it did not expect"
)]

mod publish;
mod recovery;
mod server;
mod written;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures the RocksDB store, alone and in a server.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Where the files are: on the disk that is measured.
    #[arg(long, value_name = "DIR", default_value = "target", global = true)]
    dir: PathBuf,

    /// The server's program.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/release/mqttd",
        global = true
    )]
    mqttd: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bytes written for each message, at a fan-out of 1 and 10.
    Written,
    /// The start of a server with many sessions, a subscription and a queued message each.
    Recovery {
        /// How many.
        #[arg(long, default_value_t = 1_000_000)]
        sessions: u64,
    },
    /// QoS 1 messages to a session that stays: rate, latency of PUBACK, CPU time.
    Publish {
        /// Seconds of each run.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
}

fn main() {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Written => written::run(&arguments.dir),
        Command::Recovery { sessions } => {
            recovery::run(&arguments.dir, &arguments.mqttd, sessions);
        }
        Command::Publish { seconds } => {
            publish::run(&arguments.dir, &arguments.mqttd, seconds);
        }
    }
}
