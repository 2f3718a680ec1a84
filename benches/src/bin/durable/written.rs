//! Bytes written for each message: the log, and what is written of it to table files later.

use std::path::Path;

use benches::{Directory, batch, client, delete, message, put, session};
use mqtt_broker_core::store::SessionStore;
use mqtt_store_rocksdb::{Durability, Options, RocksStore};

const PAYLOAD_BYTES: u64 = 256;
const MESSAGES: u64 = 500_000;
/// Messages in a batch.
const BATCH: u64 = 100;

pub(crate) fn run(dir: &Path) {
    println!(
        "{MESSAGES} messages of {PAYLOAD_BYTES} bytes, {BATCH} in a batch; bytes for each message"
    );
    println!("fan-out | acknowledged after | log | tables | compaction | together / payload");
    for fan_out in [1, 10] {
        for lag in [BATCH, 100_000, MESSAGES] {
            measure(dir, fan_out, lag);
        }
    }
}

/// Commits messages for so many sessions each; they acknowledge a message `lag` messages later.
fn measure(dir: &Path, fan_out: u64, lag: u64) {
    let directory = Directory::new(dir, "written");
    let options = Options {
        durability: Durability::Process,
        statistics: true,
        ..Options::default()
    };
    let store = RocksStore::open(directory.path(), &options).expect("it is opened");
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().expect("a runtime");
    let commit = |changes| {
        let committed = runtime.block_on(store.commit(batch(changes)));
        committed.expect("it is committed");
    };
    commit((0..fan_out).flat_map(session).collect());
    let clients: Vec<_> = (0..fan_out).map(client).collect();
    for first in (1..=MESSAGES + lag).step_by(BATCH as usize) {
        let mut changes = Vec::new();
        for seq in first..first + BATCH {
            if seq <= MESSAGES {
                let message = message(seq, PAYLOAD_BYTES as usize);
                changes.extend(clients.iter().map(|client| put(client, seq, &message)));
            }
            if (lag + 1..=MESSAGES + lag).contains(&seq) {
                changes.extend(clients.iter().map(|client| delete(client, seq - lag)));
            }
        }
        commit(changes);
    }
    let written = store.written();
    let each = |bytes: u64| bytes as f64 / MESSAGES as f64;
    let all = written.log + written.tables + written.compaction;
    println!(
        "{fan_out} | {lag} | {:.0} | {:.0} | {:.0} | {:.2}",
        each(written.log),
        each(written.tables),
        each(written.compaction),
        each(all) / PAYLOAD_BYTES as f64
    );
}
