//! The start of a server whose directory has many sessions, with a subscription and a queued message
//! each.

use std::path::Path;
use std::time::Instant;

use benches::{Directory, batch, client, message, put, session};
use mqtt_broker_core::store::{Change, SessionStore};
use mqtt_store_rocksdb::{Durability, Options, RocksStore};

use crate::server::Server;

/// Sessions in a batch.
const BATCH: u64 = 1000;

pub(crate) fn run(dir: &Path, mqttd: &Path, sessions: u64) {
    let directory = Directory::new(dir, "recovery");
    let path = directory.path().to_str().expect("it is text");
    let began = Instant::now();
    fill(directory.path(), sessions);
    println!(
        "{sessions} sessions, each with a subscription and a message of 64 bytes, made in {:.1?}",
        began.elapsed()
    );
    println!("start | listening after | resident | of it private | private for each session");
    let empty = Server::start(mqttd, &[]);
    let base = empty.memory_mb("RssAnon");
    empty.stop();
    // The first start comes after a crash, as far as the log is concerned: it was not written out.
    for start in ["first", "second", "after kill -9"] {
        let server = Server::start(mqttd, &["--data-dir", path]);
        let private = server.memory_mb("RssAnon");
        println!(
            "{start} | {:.2?} | {:.0} MB | {private:.0} MB | {:.0} bytes",
            server.start,
            server.memory_mb("VmRSS"),
            (private - base) * 1024.0 * 1024.0 / sessions as f64,
        );
        if start == "first" {
            server.stop();
        }
    }
}

fn fill(directory: &Path, sessions: u64) {
    let options = Options {
        durability: Durability::Process,
        ..Options::default()
    };
    let store = RocksStore::open(directory, &options).expect("it is opened");
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().expect("a runtime");
    for first in (0..sessions).step_by(BATCH as usize) {
        let mut changes: Vec<Change> = Vec::new();
        for number in first..(first + BATCH).min(sessions) {
            changes.extend(session(number));
            changes.push(put(&client(number), 1, &message(number, 64)));
        }
        let committed = runtime.block_on(store.commit(batch(changes)));
        committed.expect("it is committed");
    }
}
