//! What an earlier version has written can be read: each format has a sample, which stays as it is.
//!
//! `WRITE_SAMPLE=DIRECTORY cargo test -p mqtt-store-rocksdb --test format` writes new ones there, for a
//! new format. RocksDB notes the name of the machine in its files: give it one that says nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

mod contents;
mod directory;
mod everything;
mod raw;

use std::fs;
use std::path::Path;

use mqtt_broker_core::ClientId;
use mqtt_broker_core::store::{Change, Model, SessionRecord};
use mqtt_codec::QoS;
use mqtt_store_rocksdb::{Options, RocksStore, SetAside};

use crate::contents::{Contents, assert_same};
use crate::directory::Directory;
use crate::everything::{
    batches, commit, commit_all, deliver, message, receive, retain, subscribe,
};
use crate::raw::Raw;

/// What is in the files of the tables, since the store was opened again after it.
fn early() -> Vec<Vec<Change>> {
    let mut batches = batches();
    let ended = ClientId::new("ended");
    // Something that is gone again.
    batches.push(vec![
        Change::PutSession {
            client: ended,
            record: SessionRecord::default(),
        },
        subscribe("ended", "#", 1),
        receive("ended", 5),
        deliver(
            "ended",
            1,
            &message("t", b"gone", Some(1)),
            QoS::AtLeastOnce,
            &[],
        ),
        retain("gone", b"gone"),
    ]);
    batches
}

/// What is in the log alone.
fn late() -> Vec<Vec<Change>> {
    let b = ClientId::new("b");
    let shared = message("t/late", b"late", Some(12_345));
    vec![
        vec![
            Change::DeleteSession {
                client: ClientId::new("ended"),
            },
            Change::DeleteRetained {
                topic: message("gone", b"", None).topic(),
            },
            Change::ReleaseDelivery {
                client: b.clone(),
                seq: 1,
            },
            Change::DeleteDelivery { client: b, seq: 2 },
        ],
        vec![
            deliver("a", 4, &shared, QoS::ExactlyOnce, &[3, 4]),
            deliver("b", 3, &shared, QoS::AtLeastOnce, &[]),
            subscribe("b", "late/#", 9),
            receive("b", 9),
            retain("r", b"another"),
        ],
    ]
}

fn has(directory: &Path, extension: &str) -> bool {
    fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        path.extension().is_some_and(|it| it == extension)
    })
}

async fn write(directory: &Path) {
    let mut model = Model::default();
    for batches in [early(), late()] {
        let store = RocksStore::open(directory, &Options::default()).unwrap();
        for changes in batches {
            commit(&store, &mut model, changes).await;
        }
    }
    remove_what_says_nothing(directory);
}

/// A store with a message for two sessions, and a subscription, that cannot be read. The tests of
/// programs that use stores have it, too.
async fn write_damaged(directory: &Path) {
    let store = RocksStore::open(directory, &Options::default()).unwrap();
    commit_all(&store).await;
    drop(store);
    let raw = Raw::open(directory);
    raw.put("msg", &[1, 1], b"\x01");
    raw.put("sub", b"\x01\x01u", b"\x01");
    drop(raw);
    remove_what_says_nothing(directory);
}

/// What RocksDB has said and been told, and locks.
fn remove_what_says_nothing(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let names = ["LOG", "OPTIONS", "LOCK", "lock"];
        if names.iter().any(|it| name.starts_with(it)) {
            fs::remove_file(path).unwrap();
        }
    }
}

/// A copy of a sample, which can be opened and changed.
fn copy(sample: &str) -> Directory {
    let directory = Directory::new(sample);
    let sample = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sample")
        .join(sample);
    for entry in fs::read_dir(sample).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    directory
}

#[tokio::test]
async fn format_1_can_be_read() {
    if let Some(path) = std::env::var_os("WRITE_SAMPLE") {
        write(&Path::new(&path).join("format-1")).await;
        return write_damaged(&Path::new(&path).join("damaged")).await;
    }
    let directory = copy("format-1");
    for extension in ["sst", "blob", "log"] {
        assert!(has(directory.path(), extension), "{extension}");
    }
    let check = RocksStore::check(directory.path()).unwrap();
    assert_eq!(check.findings, []);

    let mut model = Model::default();
    for changes in early().into_iter().chain(late()).flatten() {
        model.apply(changes);
    }
    for _ in 0..2 {
        let store = RocksStore::open(directory.path(), &Options::default()).unwrap();
        let read = Contents::read(&store).await.unwrap();
        assert_same(&read, &Contents::of(&model), "format 1");
        assert_eq!(store.set_aside().await.unwrap(), SetAside::default());
        for client in ["a", "b"] {
            let client = ClientId::new(client);
            let (seq, _) = model.deliveries(&client, None, 100)[0];
            commit(
                &store,
                &mut model,
                vec![Change::DeleteDelivery { client, seq }],
            )
            .await;
        }
    }
    let check = RocksStore::check(directory.path()).unwrap();
    assert_eq!(check.findings, []);
}

#[tokio::test]
async fn the_damaged_sample_is_damaged() {
    if std::env::var_os("WRITE_SAMPLE").is_some() {
        return;
    }
    let directory = copy("damaged");
    let check = RocksStore::check(directory.path()).unwrap();
    let findings: Vec<_> = check.findings.iter().map(ToString::to_string).collect();
    let expected = [
        "damage: msg 1: the bytes are damaged",
        "damage: sub of session 1, u: the bytes are damaged",
    ];
    assert_eq!(findings, expected);
}
