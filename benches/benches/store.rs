//! What a commit costs, by the number of messages in it and by what it is to survive, beside what the
//! disk takes to append and sync as many bytes.
//!
//! A message has 256 bytes and is for one session; each commit also removes those of the commit
//! before, as when subscribers acknowledge in time. `BENCH_DIR` is where the files are: by default
//! below the directory for temporary files, which may be in memory.

#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a store that fails ends the bench; criterion's macros document nothing"
)]

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use benches::{Directory, batch, client, delete, message, put, session};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mqtt_broker_core::ClientId;
use mqtt_broker_core::store::{Batch, SessionStore};
use mqtt_store_memory::MemoryStore;
use mqtt_store_rocksdb::{Durability, Options, RocksStore};

const PAYLOAD_BYTES: usize = 256;
const MESSAGES: [u64; 4] = [1, 16, 128, 1024];
/// Bytes of the log that one message and its removal take, about.
const LOGGED_BYTES: usize = 350;

fn parent() -> PathBuf {
    std::env::var_os("BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// Batches of so many messages, each with the removal of those of the one before.
struct Batches {
    client: ClientId,
    messages: u64,
    next_seq: u64,
}

impl Batches {
    fn next(&mut self) -> Batch {
        let seqs = self.next_seq..self.next_seq + self.messages;
        self.next_seq = seqs.end;
        let mut changes = Vec::with_capacity(2 * self.messages as usize);
        for seq in seqs {
            changes.push(put(&self.client, seq, &message(seq, PAYLOAD_BYTES)));
            if seq > self.messages {
                changes.push(delete(&self.client, seq - self.messages));
            }
        }
        batch(changes)
    }
}

fn commit(c: &mut Criterion, name: &str, store: &dyn SessionStore) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().expect("a runtime");
    let mut group = c.benchmark_group(format!("commit {name}"));
    for (number, messages) in (0..).zip(MESSAGES) {
        let made = runtime.block_on(store.commit(batch(session(number).into())));
        made.expect("the session is made");
        let mut batches = Batches {
            client: client(number),
            messages,
            next_seq: 1,
        };
        group.throughput(Throughput::Elements(messages));
        group.bench_function(format!("{messages}"), |b| {
            b.iter_batched(
                || batches.next(),
                |batch| {
                    runtime
                        .block_on(store.commit(batch))
                        .expect("it is committed")
                },
                BatchSize::PerIteration,
            );
        });
    }
}

fn stores(c: &mut Criterion) {
    commit(c, "memory", &MemoryStore::default());
    for (name, durability) in [("process", Durability::Process), ("disk", Durability::Disk)] {
        let directory = Directory::new(&parent(), name);
        let options = Options {
            durability,
            ..Options::default()
        };
        let store = RocksStore::open(directory.path(), &options).expect("it is opened");
        commit(c, name, &store);
    }
}

/// The floor: a file that is appended to, and synced.
fn disk(c: &mut Criterion) {
    let directory = Directory::new(&parent(), "floor");
    let mut group = c.benchmark_group("append and fdatasync");
    for messages in MESSAGES {
        let mut file = File::create(directory.path().join("log")).expect("a file");
        let bytes = vec![b'x'; LOGGED_BYTES * messages as usize];
        group.throughput(Throughput::Elements(messages));
        group.bench_function(format!("{messages}"), |b| {
            b.iter(|| {
                file.write_all(&bytes).expect("it is written");
                file.sync_data().expect("it is synced");
            });
        });
    }
}

criterion_group!(benches, stores, disk);
criterion_main!(benches);
