//! What is not opened, and what is said then. Nothing of it is changed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at what it did not expect"
)]

mod directory;
mod raw;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use mqtt_store_rocksdb::{Options, RocksStore};
use rocksdb::DB;

use crate::directory::Directory;
use crate::raw::Raw;

fn refused(directory: &Path) -> String {
    match RocksStore::open(directory, &Options::default()) {
        Ok(_) => panic!("{} was opened", directory.display()),
        Err(cause) => cause.to_string(),
    }
}

fn refused_by_check(directory: &Path) -> String {
    RocksStore::check(directory).unwrap_err().to_string()
}

/// A store with nothing in it.
fn empty(name: &str) -> Directory {
    let directory = Directory::new(name);
    drop(RocksStore::open(directory.path(), &Options::default()).unwrap());
    directory
}

/// The files of a directory, without those that say what has been done, and to whom.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .filter(|(name, _)| !name.starts_with("LOG") && name != "lock")
        .collect()
}

#[test]
fn a_later_format() {
    let directory = empty("later");
    let later = "its format 2 is later than 1, the last one known here: a newer mqttd wrote it, and can export it";
    Raw::open(directory.path()).put("meta", b"format", &2_u32.to_be_bytes());
    assert_eq!(refused(directory.path()), later);
    assert_eq!(refused_by_check(directory.path()), later);
    // With a table that is not known here.
    let mut raw = Raw::open(directory.path());
    raw.0
        .create_cf("new", &rocksdb::Options::default())
        .unwrap();
    drop(raw);
    let before = files(directory.path());
    assert_eq!(refused(directory.path()), later);
    assert_eq!(refused_by_check(directory.path()), later);
    assert_eq!(files(directory.path()), before);
}

#[test]
fn a_format_that_never_was() {
    let directory = empty("never");
    Raw::open(directory.path()).put("meta", b"format", b"old");
    let never = "it is a database of another program, or damaged: old";
    assert_eq!(refused(directory.path()), never);
    assert_eq!(refused_by_check(directory.path()), never);
}

#[test]
fn tables_that_are_not_known() {
    let directory = empty("tables");
    let mut raw = Raw::open(directory.path());
    raw.0
        .create_cf("new", &rocksdb::Options::default())
        .unwrap();
    drop(raw);
    let unknown = "it is a database of another program, or damaged: it has a table new";
    let before = files(directory.path());
    assert_eq!(refused(directory.path()), unknown);
    assert_eq!(refused_by_check(directory.path()), unknown);
    assert_eq!(files(directory.path()), before);
}

#[test]
fn a_table_that_is_missing() {
    let directory = empty("missing-table");
    let mut raw = Raw::open(directory.path());
    raw.0.drop_cf("sub").unwrap();
    drop(raw);
    let missing = "it is a database of another program, or damaged: it has no table sub";
    assert_eq!(refused(directory.path()), missing);
    assert_eq!(refused_by_check(directory.path()), missing);
}

#[test]
fn the_database_of_another_program() {
    let directory = Directory::new("another");
    let db = DB::open_default(directory.path()).unwrap();
    // Nothing in it: as after a crash, when it was being made.
    drop(db);
    drop(RocksStore::open(directory.path(), &Options::default()).unwrap());

    let directory = Directory::new("another-filled");
    let db = DB::open_default(directory.path()).unwrap();
    db.put("a", "b").unwrap();
    drop(db);
    let before = files(directory.path());
    let theirs =
        "it is a database of another program, or damaged: it has something in its table default";
    assert_eq!(refused(directory.path()), theirs);
    assert_eq!(refused_by_check(directory.path()), theirs);
    assert_eq!(files(directory.path()), before);
}

#[test]
fn the_files_of_others() {
    let directory = Directory::new("files");
    fs::write(directory.path().join("letter.txt"), "Dear").unwrap();
    let path = directory.path().display();
    let theirs = format!(
        "{path} has other files, such as letter.txt, and no store: name a directory that is empty or not there yet"
    );
    assert_eq!(refused(directory.path()), theirs);
    assert_eq!(
        refused_by_check(directory.path()),
        format!("there is no store in {path}")
    );
    let names = fs::read_dir(directory.path()).unwrap();
    assert_eq!(names.count(), 1, "nothing is made there");
    // What nobody misses is in nobody's way.
    fs::remove_file(directory.path().join("letter.txt")).unwrap();
    fs::write(directory.path().join(".gitkeep"), "").unwrap();
    fs::create_dir(directory.path().join("lost+found")).unwrap();
    drop(RocksStore::open(directory.path(), &Options::default()).unwrap());
}

#[test]
fn a_file() {
    let directory = Directory::new("file");
    let file = directory.path().join("data");
    fs::write(&file, "").unwrap();
    let message = refused(&file);
    let expected = format!("{}: Not a directory", file.display());
    assert!(message.starts_with(&expected), "{message}");
    let below = file.join("data");
    assert!(refused(&below).contains("Not a directory"));
}

#[cfg(unix)]
#[test]
fn a_directory_that_may_not_be_written() {
    use std::os::unix::fs::PermissionsExt;

    let directory = Directory::new("read-only");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(directory.path().join("anything"), "").is_ok() {
        // The superuser may.
        return;
    }
    let message = refused(directory.path());
    let lock = directory.path().join("lock");
    let expected = format!("{}: Permission denied", lock.display());
    assert!(message.starts_with(&expected), "{message}");
}

#[test]
fn one_that_is_in_use_here() {
    let directory = Directory::new("here");
    let store = RocksStore::open(directory.path(), &Options::default()).unwrap();
    let path = directory.path().display();
    let expected = format!("{path} is in use by process {}", std::process::id());
    assert_eq!(refused(directory.path()), expected);
    assert_eq!(refused_by_check(directory.path()), expected);
    drop(store);
    drop(RocksStore::open(directory.path(), &Options::default()).unwrap());
}

/// This test runs itself as another process, which waits for the end of its input.
#[test]
fn one_that_is_in_use_by_another_process() {
    if let Some(path) = std::env::var_os("HOLD_STORE") {
        let store = RocksStore::open(path, &Options::default()).unwrap();
        println!("\nopen");
        let _ = std::io::stdin().read_line(&mut String::new());
        return drop(store);
    }
    let directory = Directory::new("process");
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "one_that_is_in_use_by_another_process",
            "--nocapture",
        ])
        .env("HOLD_STORE", directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = std::io::BufReader::new(other.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(output);
    assert!(lines.any(|line| line.unwrap() == "open"));
    let path = directory.path().display();
    let expected = format!("{path} is in use by process {}", other.id());
    assert_eq!(refused(directory.path()), expected);
    assert_eq!(refused_by_check(directory.path()), expected);
    drop(other.stdin.take());
    assert!(other.wait().unwrap().success());
    drop(RocksStore::open(directory.path(), &Options::default()).unwrap());
}
