//! A check finds what is wrong, says where, and changes nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

mod directory;
mod everything;
mod raw;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mqtt_store_rocksdb::{Check, Options, RocksStore};

use crate::directory::Directory;
use crate::everything::commit_all;
use crate::raw::Raw;

async fn store(directory: &Directory) {
    let store = RocksStore::open(directory.path(), &Options::default()).unwrap();
    commit_all(&store).await;
}

/// What is found once a store with everything was changed behind its back.
async fn after(name: &str, change: impl FnOnce(&Raw)) -> Check {
    let directory = Directory::new(name);
    store(&directory).await;
    change(&Raw::open(directory.path()));
    let before = files(directory.path());
    let check = RocksStore::check(directory.path()).unwrap();
    assert_eq!(files(directory.path()), before, "{name}");
    check
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        // Who has locked it is noted there.
        .filter(|(name, _)| name != "lock")
        .collect()
}

fn lines(check: &Check) -> Vec<String> {
    check.findings.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_sound_store_is_counted() {
    let check = after("sound", |_| {}).await;
    assert_eq!(lines(&check), [""; 0]);
    assert_eq!((check.damage, check.waste), (0, 0));
    let rows: Vec<_> = check.tables.iter().map(|it| (it.name, it.rows)).collect();
    let expected = [
        ("meta", 1),
        ("aside", 0),
        ("sess", 2),
        ("msg", 4),
        ("ref", 5),
        ("sub", 3),
        ("in2", 3),
        ("rel", 1),
        ("due", 3),
        ("ret", 2),
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "it is a list")]
async fn each_thing_that_can_be_wrong_is_found() {
    type Change = fn(&Raw);
    let cases: [(&str, Change, &[&str]); 17] = [
        (
            "unshared",
            |raw| {
                let mut value = raw.get("ref", &[1, 1, 1, 1]).unwrap();
                value[0] &= !(1 << 2);
                raw.put("ref", &[1, 1, 1, 1], &value);
            },
            &["damage: msg 1: 2 deliveries have it, 1 of which would delete it for the others"],
        ),
        (
            "undated",
            |raw| raw.delete("due", &[2, 0x23, 0x28, 1, 1, 1, 3]),
            &["damage: ref of session 1, 3: it is not noted when its lifetime ends"],
        ),
        (
            "misdated",
            |raw| raw.put("due", &[1, 9, 1, 1, 1, 3], b""),
            &["damage: due of session 1, 3, at 9 ms: the lifetime of the delivery is another"],
        ),
        (
            "endless",
            |raw| raw.put("due", &[1, 9, 1, 1, 1, 2], b""),
            &["damage: due of session 1, 2, at 9 ms: the lifetime of the delivery is another"],
        ),
        (
            "due-of-none",
            |raw| raw.put("due", &[1, 9, 1, 1, 1, 9], b""),
            &["damage: due of session 1, 9, at 9 ms: there is no such delivery"],
        ),
        (
            "other-lifetime",
            |raw| {
                let mut value = raw.get("msg", &[1, 3]).unwrap();
                value[9] ^= 1;
                raw.put("msg", &[1, 3], &value);
            },
            &["damage: ref of session 1, 3: its lifetime is another than that of its message"],
        ),
        (
            "released-of-none",
            |raw| raw.put("rel", &[1, 1, 1, 9], b""),
            &["damage: rel of session 1, 9: there is no such delivery"],
        ),
        (
            "no-message",
            |raw| raw.delete("msg", &[1, 2]),
            &["damage: ref of session 1, 2: its message, 2, is missing or damaged"],
        ),
        (
            "no-delivery",
            |raw| raw.delete("ref", &[1, 2, 1, 2]),
            &["waste: msg 4: no delivery has it"],
        ),
        (
            "no-session",
            |raw| raw.delete("sess", &[1, 2]),
            &[
                "damage: ref of session 2, 1: there is no such session",
                "damage: ref of session 2, 2: there is no such session",
                "damage: sub of session 2, $share/g/t/+: there is no such session",
                "damage: in2 of session 2, 1: there is no such session",
                "damage: due of session 2, 1, at 5000 ms: there is no such session",
            ],
        ),
        (
            "twice",
            |raw| {
                let value = raw.get("sess", &[1, 1]).unwrap();
                raw.put("sess", &[1, 3], &value);
            },
            &["damage: sess 1: session 3 has the same client identifier, and is newer"],
        ),
        (
            "values",
            |raw| {
                raw.put("in2", &[1, 1, 0, 7], b"?");
                raw.put("rel", &[1, 1, 1, 2], b"?");
                raw.put("due", &[2, 0x23, 0x28, 1, 1, 1, 3], b"?");
            },
            &[
                "waste: in2 of session 1, 7: it has a value, which nobody reads",
                "waste: rel of session 1, 2: it has a value, which nobody reads",
                "waste: due of session 1, 3, at 9000 ms: it has a value, which nobody reads",
            ],
        ),
        (
            "meta",
            |raw| raw.put("meta", b"other", b""),
            &["damage: meta other: the key has no form that there is"],
        ),
        (
            "no-format",
            |raw| raw.delete("meta", b"format"),
            &["damage: meta: the version of the format is not noted"],
        ),
        (
            "aside",
            |raw| {
                raw.put("aside", b"msg\0\x01\x09", b"?");
                raw.put("aside", b"?", b"?");
            },
            &[
                "damage: aside ?: the key has no form that there is",
                "damage: aside msg 9: it was set aside, since it could not be read",
            ],
        ),
        (
            "keys",
            |raw| {
                raw.put("sess", &[2, 0, 1], b"");
                raw.put("msg", &[9], b"");
                raw.put("sub", b"\x01\x01#/#", b"\x01\x01\x00");
                raw.put("in2", &[1, 1], b"");
                raw.put("due", b"", b"");
            },
            &[
                r"damage: sess \x02\x00\x01: the key has no form that there is",
                r"damage: msg \t: the key has no form that there is",
                "damage: sub of session 1, #/#: the key has no form that there is",
                r#"damage: in2 of session 1, "": the key has no form that there is"#,
                r#"damage: due "": the key has no form that there is"#,
            ],
        ),
        (
            "records",
            |raw| {
                raw.put("sess", &[1, 1], b"\x01\x01a");
                raw.put("msg", &[1, 2], b"\x02");
                raw.put("ref", &[1, 1, 1, 3], b"");
                raw.put("sub", b"\x01\x01u", b"\x01\x03\x00");
                raw.put("ret", b"r", b"");
                raw.put("ret", b"x", b"\x01\x00\x00\x01r");
            },
            &[
                "damage: sess 1: the bytes are damaged",
                "damage: msg 2: version 2 of the form is later than 1, the last one known here",
                "damage: ref of session 1, 3: the bytes are damaged",
                "waste: msg 3: no delivery has it",
                "damage: sub of session 1, u: the bytes are damaged",
                "damage: ret r: the bytes are damaged",
                "damage: ret x: the message is of another topic",
            ],
        ),
    ];
    for (name, change, expected) in cases {
        let check = after(name, change).await;
        assert_eq!(lines(&check), expected, "{name}");
        let waste = expected.iter().filter(|line| line.starts_with("waste"));
        let waste = waste.count() as u64;
        assert_eq!(check.waste, waste, "{name}");
        assert_eq!(check.damage, expected.len() as u64 - waste, "{name}");
    }
}

#[tokio::test]
async fn the_first_thousand_of_each_kind_are_listed() {
    let check = after("thousand", |raw| {
        for number in 0..3000_u16 {
            let [high, low] = number.to_be_bytes();
            raw.put("msg", &[3, 1, high, low], b"\x01\x00\x00\x01t");
            raw.put("rel", &[1, 1, 3, 1, high, low], b"");
        }
    })
    .await;
    assert_eq!((check.damage, check.waste), (3000, 3000));
    assert_eq!(check.findings.len(), 2000);
    let first = "damage: rel of session 1, 65536: there is no such delivery";
    assert!(lines(&check).iter().any(|line| line == first));
}

#[test]
fn where_there_is_nothing_nothing_is_made() {
    let directory = Directory::new("nothing");
    let path = directory.path();
    let message = RocksStore::check(path).unwrap_err().to_string();
    assert_eq!(message, format!("there is no store in {}", path.display()));
    assert_eq!(files(path), BTreeMap::new());
    assert!(!path.join("lock").exists());
    let absent = path.join("absent");
    RocksStore::check(&absent).unwrap_err();
    assert!(!absent.exists());
}
