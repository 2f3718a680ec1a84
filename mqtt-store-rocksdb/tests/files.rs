//! Damaged files: a damaged block is an error that names its file, never another content; of a
//! damaged log, all is there that was committed before the damage.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at what it did not expect"
)]

mod contents;
mod directory;
mod everything;
mod raw;

use std::fs;
use std::path::{Path, PathBuf};

use mqtt_broker_core::store::{Batch, Model, SessionStore};
use mqtt_store_rocksdb::{Durability, Options, RocksStore, Severity};

use crate::contents::{Contents, assert_same};
use crate::directory::Directory;
use crate::everything::{commit, commit_all, retain};
use crate::raw::Raw;

fn options() -> Options {
    Options {
        durability: Durability::Process,
        ..Options::default()
    }
}

/// Opens the store, and reads all. The error is what a person gets to see.
async fn read(directory: &Path) -> Result<Contents, String> {
    let store = RocksStore::open(directory, &options()).map_err(|cause| cause.to_string())?;
    let contents = Contents::read(&store).await;
    let contents = contents.map_err(|cause| cause.to_string())?;
    let set_aside = store.set_aside().await;
    let set_aside = set_aside.map_err(|cause| cause.to_string())?;
    assert_eq!(
        set_aside,
        Default::default(),
        "what has a checksum is no garbage"
    );
    // The writer has read what it needs, too.
    let committed = store.commit(Batch::default()).await;
    committed.map_err(|cause| cause.to_string())?;
    Ok(contents)
}

/// True if an error names a file. If its statistics are damaged, RocksDB names the list of all files.
fn names(cause: &str, file: &str) -> bool {
    cause.contains(file) || cause.contains("Corruption: ") && cause.contains("MANIFEST-")
}

fn files(directory: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let extension = path.extension().and_then(|it| it.to_str());
            extension.is_some_and(|it| extensions.contains(&it))
        })
        .collect();
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn a_damaged_block_is_an_error_that_names_its_file() {
    let sound = Directory::new("blocks-sound");
    let store = RocksStore::open(sound.path(), &options()).unwrap();
    let expected = Contents::of(&commit_all(&store).await);
    drop(store);
    Raw::open(sound.path()).compact();
    let parent = Directory::new("blocks");
    let directory = parent.path().join("data");
    let (mut failed, mut harmless) = (0, 0);
    for file in files(sound.path(), &["sst", "blob"]) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(&file).unwrap();
        for part in 0..12 {
            let at = bytes.len() * part / 12;
            let mut bytes = bytes.clone();
            for byte in &mut bytes[at..][..8] {
                *byte ^= 0x55;
            }
            copy(sound.path(), &directory);
            fs::write(directory.join(name), bytes).unwrap();
            let case = format!("{name}, {at} of {}", file.metadata().unwrap().len());
            let check = RocksStore::check(&directory);
            match read(&directory).await {
                // It was in a part that has no rows, such as statistics.
                Ok(contents) => {
                    harmless += 1;
                    assert_same(&contents, &expected, &case);
                }
                Err(cause) => {
                    failed += 1;
                    assert!(names(&cause, name), "{case}: {cause}");
                    let check = check.unwrap_or_else(|cause| panic!("{case}: {cause}"));
                    let mut damage = check
                        .findings
                        .iter()
                        .filter(|finding| finding.severity == Severity::Damage);
                    let told = damage.any(|finding| names(&finding.what, name));
                    assert!(told, "{case}: {check:?}");
                    // One file is of one table: nothing else seems to be damaged.
                    let mut tables: Vec<_> = check.findings.iter().map(|it| it.table).collect();
                    tables.dedup();
                    assert_eq!(tables.len(), 1, "{case}: {check:?}");
                }
            }
        }
    }
    assert!(failed > 20, "{failed} failed, {harmless} did not");
}

#[tokio::test]
async fn a_missing_file_is_an_error_that_names_it() {
    let sound = Directory::new("missing-sound");
    let store = RocksStore::open(sound.path(), &options()).unwrap();
    commit_all(&store).await;
    drop(store);
    Raw::open(sound.path()).compact();
    let parent = Directory::new("missing");
    let directory = parent.path().join("data");
    for file in files(sound.path(), &["sst", "blob"]) {
        let name = file.file_name().unwrap().to_str().unwrap();
        copy(sound.path(), &directory);
        fs::remove_file(directory.join(name)).unwrap();
        let check = RocksStore::check(&directory).unwrap();
        assert!(check.damage > 0, "{name}");
        let told = check.findings.iter().any(|it| it.what.contains(name));
        assert!(told, "{name}: {check:?}");
        let cause = read(&directory).await.unwrap_err();
        assert!(cause.contains(name), "{name}: {cause}");
    }
    // Without the file that names all others, it looks like no store, and is not made a new one.
    copy(sound.path(), &directory);
    fs::remove_file(directory.join("CURRENT")).unwrap();
    let count = fs::read_dir(&directory).unwrap().count();
    let cause = read(&directory).await.unwrap_err();
    assert!(cause.contains("has other files"), "{cause}");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), count);
}

/// A store with one commit after the other, and nothing but a log.
async fn commits(name: &str) -> (Directory, Vec<Contents>) {
    let directory = Directory::new(name);
    let store = RocksStore::open(directory.path(), &options()).unwrap();
    let mut model = Model::default();
    let mut after = vec![Contents::of(&model)];
    for number in 0..20_u8 {
        let topics = [format!("t/{number}"), format!("u/{number}")];
        let payload = vec![number; usize::from(number) * 20];
        let changes = topics.iter().map(|topic| retain(topic, &payload));
        commit(&store, &mut model, changes.collect()).await;
        after.push(Contents::of(&model));
    }
    drop(store);
    (directory, after)
}

fn log(directory: &Path) -> PathBuf {
    let logs = files(directory, &["log"]).into_iter();
    let longest = logs.max_by_key(|path| path.metadata().unwrap().len());
    longest.unwrap()
}

#[tokio::test]
async fn a_log_that_is_cut_off_has_what_was_before() {
    let (sound, after) = commits("cut-sound").await;
    let log = log(sound.path());
    let (name, bytes) = (log.file_name().unwrap(), fs::read(&log).unwrap());
    let parent = Directory::new("cut");
    let directory = parent.path().join("data");
    let mut seen = 0;
    let cuts = (0..bytes.len()).step_by(bytes.len() / 60);
    for len in cuts.chain([bytes.len() - 1, bytes.len()]) {
        copy(sound.path(), &directory);
        fs::write(directory.join(name), &bytes[..len]).unwrap();
        let contents = read(&directory).await.unwrap();
        let count = after.iter().position(|after| *after == contents);
        let count = count.unwrap_or_else(|| panic!("cut at {len}: no commit ends like this"));
        assert!(
            count >= seen,
            "cut at {len}: {count} commits, and {seen} before"
        );
        seen = count;
        assert_eq!(RocksStore::check(&directory).unwrap().findings, []);
    }
    assert_eq!(seen, 20);
}

#[tokio::test]
async fn what_is_behind_the_log_is_not_read() {
    let (sound, after) = commits("behind-sound").await;
    let log = log(sound.path());
    let (name, bytes) = (log.file_name().unwrap(), fs::read(&log).unwrap());
    let parent = Directory::new("behind");
    let directory = parent.path().join("data");
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = random.usize(1..100_000);
        let garbage = std::iter::repeat_with(|| random.u8(..)).take(count);
        copy(sound.path(), &directory);
        let bytes = bytes.iter().copied().chain(garbage);
        fs::write(directory.join(name), bytes.collect::<Vec<_>>()).unwrap();
        let contents = read(&directory).await.unwrap();
        assert_same(&contents, &after[20], &format!("seed {seed}"));
    }
}

/// What was committed after the damage is lost with it: nothing is there that was not before.
#[tokio::test]
async fn a_log_that_is_damaged_in_the_middle_has_what_was_before() {
    let (sound, after) = commits("middle-sound").await;
    let log = log(sound.path());
    let (name, bytes) = (log.file_name().unwrap(), fs::read(&log).unwrap());
    let parent = Directory::new("middle");
    let directory = parent.path().join("data");
    for part in 0..20 {
        let at = bytes.len() * part / 20;
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        copy(sound.path(), &directory);
        fs::write(directory.join(name), &bytes).unwrap();
        // Or it is an error.
        if let Ok(contents) = read(&directory).await {
            assert!(after.contains(&contents), "byte {at}");
        }
    }
}
