//! After random batches, restarts and ends of sessions there is nothing in a directory that should
//! not be there, and nothing is missing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

mod contents;
mod directory;
mod script;

use mqtt_broker_core::store::{Batch, Change, SessionStore};
use mqtt_store_rocksdb::{Durability, Options, RocksStore};

use crate::contents::Contents;
use crate::directory::Directory;
use crate::script::Script;

#[tokio::test]
async fn nothing_is_left_behind() {
    let options = Options {
        durability: Durability::Process,
        ..Options::default()
    };
    for seed in 0..20 {
        let directory = Directory::new(&format!("random-{seed}"));
        let mut script = Script::new(seed);
        for _ in 0..6 {
            let store = RocksStore::open(directory.path(), &options).unwrap();
            for _ in 0..script.random.usize(1..12) {
                commit_some(&store, &mut script).await;
            }
            let read = Contents::read(&store).await.unwrap();
            assert_eq!(read, Contents::of(&script.model), "seed {seed}");
            drop(store);
            let check = RocksStore::check(directory.path()).unwrap();
            assert_eq!(check.findings, [], "seed {seed}");
        }
    }
}

/// Several commits wait at a time, so that the writer sums them up.
async fn commit_some(store: &RocksStore, script: &mut Script) {
    let batches: Vec<Vec<Change>> = (0..script.random.usize(1..4))
        .map(|_| script.batch())
        .collect();
    let commits: Vec<_> = batches
        .into_iter()
        .map(|changes| store.commit(Batch::from(changes)))
        .collect();
    // Polled for the first time, each is sent to the writer, in this order.
    let mut commits: Vec<_> = commits;
    let first = std::future::poll_fn(|cx| {
        let pending = commits.iter_mut().map(|commit| commit.as_mut().poll(cx));
        std::task::Poll::Ready(pending.collect::<Vec<_>>())
    })
    .await;
    for (commit, polled) in commits.into_iter().zip(first) {
        match polled {
            std::task::Poll::Ready(done) => done.unwrap(),
            std::task::Poll::Pending => commit.await.unwrap(),
        }
    }
}
