//! What the outbox in a file costs: commits in a second, bytes on the disk.
//!
//! `cargo bench -p mqtt-client --bench outbox -- DIRECTORY` measures the disk of that directory.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock, and stops at what it did not expect"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mqtt_client::outbox::{Durability, OutboxChange, RedbOutbox, StoredMessage};
use mqtt_client::{Message, Outbox};

/// Bytes of a payload.
const PAYLOAD_BYTES: usize = 64;

/// How long each is measured.
const MEASURED: Duration = Duration::from_secs(3);

fn main() {
    let directory = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let directory = directory.map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    let path = directory.join(format!("outbox-bench-{}", std::process::id()));
    for durability in [Durability::Disk, Durability::Process] {
        for messages in [1, 100] {
            commits(&path, durability, messages);
        }
    }
    sizes(&path);
    turnover(&path);
    reopened(&path);
    std::fs::remove_file(&path).unwrap();
}

/// Commits of so many messages, each with the removal of as many that were delivered.
fn commits(path: &Path, durability: Durability, messages: u64) {
    let mut outbox = fresh(path, durability);
    let (mut commits, mut slowest) = (0, Duration::ZERO);
    let start = Instant::now();
    while start.elapsed() < MEASURED {
        let began = Instant::now();
        outbox.commit(&window(commits, messages, 10)).unwrap();
        slowest = slowest.max(began.elapsed());
        commits += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = u64_to_f64(commits) / seconds;
    println!(
        "{durability:?}, {messages} of {PAYLOAD_BYTES} bytes: {rate:.0} commits/s, {:.0} messages/s, slowest {slowest:.1?}",
        rate * u64_to_f64(messages),
    );
}

/// Bytes on the disk for each message of a full outbox, and how long it takes to open.
fn sizes(path: &Path) {
    const MESSAGES: u64 = 100_000;
    let mut outbox = fresh(path, Durability::Process);
    for first in (0..MESSAGES).step_by(100) {
        let batch: Vec<_> = (first..first + 100).map(put).collect();
        outbox.commit(&batch).unwrap();
    }
    drop(outbox);
    let bytes = bytes(path);
    let start = Instant::now();
    let mut outbox = RedbOutbox::open(path).unwrap();
    let opened = start.elapsed();
    let stored = outbox.load().unwrap();
    println!(
        "{} messages of {PAYLOAD_BYTES} bytes: {:.0} bytes each on the disk, opened in {opened:.1?}, and read in {:.1?}",
        stored.outgoing.len(),
        u64_to_f64(bytes) / u64_to_f64(MESSAGES),
        start.elapsed() - opened,
    );
}

/// The size of the file after a million messages have come and gone, 1,000 at a time in it.
fn turnover(path: &Path) {
    let mut outbox = fresh(path, Durability::Process);
    let mut largest = 0;
    for number in 0..10_000 {
        outbox.commit(&window(number, 100, 10)).unwrap();
        largest = largest.max(bytes(path));
    }
    println!(
        "a million put and removed, 1000 at a time: {} KiB, at most {} KiB",
        bytes(path) >> 10,
        largest >> 10
    );
}

/// The size of a file that has held 100,000 messages and holds none, before and after it is opened.
fn reopened(path: &Path) {
    let mut outbox = fresh(path, Durability::Process);
    for first in (0..100_000).step_by(1000) {
        let batch: Vec<_> = (first..first + 1000).map(put).collect();
        outbox.commit(&batch).unwrap();
    }
    for first in (0..100_000).step_by(1000) {
        let batch: Vec<_> = (first..first + 1000)
            .map(|sequence| OutboxChange::Remove { sequence })
            .collect();
        outbox.commit(&batch).unwrap();
    }
    let emptied = bytes(path);
    drop(outbox);
    let closed = bytes(path);
    drop(RedbOutbox::open(path).unwrap());
    println!(
        "emptied of 100000 messages: {} KiB, closed {} KiB, opened again {} KiB",
        emptied >> 10,
        closed >> 10,
        bytes(path) >> 10
    );
}

fn fresh(path: &Path, durability: Durability) -> RedbOutbox {
    let _ = std::fs::remove_file(path);
    RedbOutbox::open_with(path, durability).unwrap()
}

fn bytes(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

/// The messages of this commit, and the removal of those of `behind` commits before.
fn window(commit: u64, messages: u64, behind: u64) -> Vec<OutboxChange> {
    let first = commit * messages;
    let mut changes: Vec<_> = (first..first + messages).map(put).collect();
    if let Some(first) = first.checked_sub(behind * messages) {
        changes.extend((first..first + messages).map(|sequence| OutboxChange::Remove { sequence }));
    }
    changes
}

fn put(sequence: u64) -> OutboxChange {
    let message = Message::new("site/7/temperature", vec![b'x'; PAYLOAD_BYTES]).unwrap();
    OutboxChange::Put {
        sequence,
        message: StoredMessage {
            message,
            expires: None,
        },
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
const fn u64_to_f64(number: u64) -> f64 {
    number as f64
}
