//! Rows that cannot be read are set aside, each said once, and the rest goes on as if they had never
//! been there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

mod contents;
mod directory;
#[path = "damage/errors.rs"]
mod errors;
mod everything;
mod raw;

use std::sync::{Mutex, PoisonError};

use mqtt_broker_core::ClientId;
use mqtt_broker_core::store::{Change, Model, SessionRecord};
use mqtt_codec::{QoS, TopicFilter, TopicName};
use mqtt_store_rocksdb::{Check, Durability, Options, RocksStore, SetAside};

use crate::contents::{Contents, assert_same};
use crate::directory::Directory;
use crate::everything::{commit, commit_all, deliver, message, receive, subscribe};
use crate::raw::Raw;

/// A row that is damaged, and what comes of it.
#[derive(Clone, Copy)]
struct Case {
    table: &'static str,
    key: &'static [u8],
    value: &'static [u8],
    /// What is said, once everything has been read.
    said: &'static [&'static str],
    /// What is lost.
    lost: fn() -> Vec<Change>,
}

/// One for each table, and several where rows can be damaged in several ways.
#[allow(clippy::too_many_lines, reason = "it is a list")]
fn cases() -> Vec<Case> {
    let nothing: fn() -> Vec<Change> = Vec::new;
    let row = |table, key, value| Case {
        table,
        key,
        value,
        said: &[],
        lost: nothing,
    };
    vec![
        Case {
            said: &["sess 1: the bytes are damaged"],
            lost: || vec![Change::DeleteSession { client: a() }],
            ..row("sess", &[1, 1], b"\x01\x01a\x01")
        },
        Case {
            said: &["sess \\x03: the key has no form that there is"],
            ..row("sess", &[3], b"")
        },
        Case {
            said: &["sub of session 1, u: the bytes are damaged"],
            lost: || {
                vec![Change::DeleteSubscription {
                    client: a(),
                    filter: TopicFilter::from_text("u").unwrap(),
                }]
            },
            ..row("sub", b"\x01\x01u", b"\x01\x03\x00")
        },
        Case {
            said: &["sub of session 1, a/#/b: the key has no form that there is"],
            ..row("sub", b"\x01\x01a/#/b", b"\x01\x01\x00")
        },
        Case {
            said: &["sub \\xff: the key has no form that there is"],
            ..row("sub", &[0xFF], b"")
        },
        Case {
            said: &[
                "msg 3: the bytes are damaged",
                "ref of session 1, 3: its message, 3, is missing or damaged",
            ],
            lost: || lost_deliveries(&[("a", 3)]),
            ..row("msg", &[1, 3], b"\x01\xFF")
        },
        Case {
            said: &[
                "msg 1: the bytes are damaged",
                "ref of session 1, 1: its message, 1, is missing or damaged",
                "ref of session 2, 1: its message, 1, is missing or damaged",
            ],
            lost: || lost_deliveries(&[("a", 1), ("b", 1)]),
            ..row("msg", &[1, 1], b"")
        },
        Case {
            said: &["ref of session 1, 3: the bytes are damaged"],
            lost: || lost_deliveries(&[("a", 3)]),
            ..row("ref", &[1, 1, 1, 3], b"\x20")
        },
        Case {
            said: &["ref of session 1, 2: the bytes are damaged"],
            lost: || lost_deliveries(&[("a", 2)]),
            ..row("ref", &[1, 1, 1, 2], b"")
        },
        Case {
            said: &[
                "ref of session 2, 2: version 7 of the form is later than 1, the last one known here",
            ],
            lost: || lost_deliveries(&[("b", 2)]),
            ..row("ref", &[1, 2, 1, 2], b"\xFF\xFF")
        },
        Case {
            said: &["ref \\x01\\x01\\x00\\x00: the key has no form that there is"],
            ..row("ref", &[1, 1, 0, 0], b"")
        },
        Case {
            said: &["rel \\x01\\x01\\t: the key has no form that there is"],
            ..row("rel", &[1, 1, 9], b"")
        },
        Case {
            said: &["in2 of session 1, 0: the key has no form that there is"],
            ..row("in2", &[1, 1, 0, 0], b"")
        },
        Case {
            said: &["ret r: the bytes are damaged"],
            lost: || {
                vec![Change::DeleteRetained {
                    topic: TopicName::from_text("r").unwrap(),
                }]
            },
            ..row("ret", b"r", b"\x00")
        },
        Case {
            said: &["ret other: the message is of another topic"],
            ..row("ret", b"other", b"\x01\x00\x00\x01r")
        },
        Case {
            said: &["due \\x01: the key has no form that there is"],
            ..row("due", &[1], b"")
        },
    ]
}

fn a() -> ClientId {
    ClientId::new("a")
}

fn lost_deliveries(deliveries: &[(&str, u64)]) -> Vec<Change> {
    let lost = deliveries.iter().map(|&(client, seq)| {
        let client = ClientId::new(client);
        Change::DeleteDelivery { client, seq }
    });
    lost.collect()
}

fn open(directory: &Directory) -> RocksStore {
    let options = Options {
        durability: Durability::Process,
        ..Options::default()
    };
    RocksStore::open(directory.path(), &options).unwrap()
}

/// Runs one test at a time, since what is logged is of all.
fn alone(test: impl Future<Output = ()>) {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    errors::take();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(test);
    drop(one);
}

async fn is(store: &RocksStore, expected: &Contents, name: &str) {
    assert_same(&Contents::read(store).await.unwrap(), expected, name);
}

/// A store with everything, in which some rows were damaged while nobody had it open.
async fn damaged(directory: &Directory, damage: impl FnOnce(&Raw)) -> Model {
    let store = open(directory);
    let model = commit_all(&store).await;
    is(&store, &Contents::of(&model), "damaged").await;
    drop(store);
    assert_eq!(RocksStore::check(directory.path()).unwrap().findings, []);
    let raw = Raw::open(directory.path());
    damage(&raw);
    model
}

async fn test(name: &str, cases: &[Case]) {
    let directory = Directory::new(name);
    let mut model = damaged(&directory, |raw| {
        for case in cases {
            raw.put(case.table, case.key, case.value);
        }
    })
    .await;
    let before = RocksStore::check(directory.path()).unwrap();
    assert!(before.damage > 0, "{name}: {before:?}");
    for case in cases {
        (case.lost)()
            .into_iter()
            .for_each(|change| model.apply(change));
    }
    let expected = Contents::of(&model);
    let mut said: Vec<_> = cases
        .iter()
        .flat_map(|case| case.said)
        .map(|line| format!("set aside, since it cannot be read: {line}"))
        .collect();
    said.sort();
    said.dedup();
    let count = said.len() as u64;

    let store = open(&directory);
    let first = Contents::read(&store).await.unwrap().without_forecast();
    assert_same(&first, &Contents::of(&model).without_forecast(), name);
    let set_aside = store.set_aside().await.unwrap();
    is(&store, &expected, name).await;
    let mut lines = errors::take();
    lines.sort();
    assert_eq!(lines, said, "{name}");
    let (now, earlier) = (count, 0);
    assert_eq!(set_aside, SetAside { now, earlier }, "{name}");
    drop(store);
    for case in cases {
        let raw = Raw::open(directory.path());
        let key = [case.table.as_bytes(), &[0], case.key].concat();
        assert_eq!(
            raw.get("aside", &key).as_deref(),
            Some(case.value),
            "{name}"
        );
        assert_eq!(raw.get(case.table, case.key), None, "{name}");
    }

    let store = open(&directory);
    is(&store, &expected, name).await;
    let set_aside = store.set_aside().await.unwrap();
    let (now, earlier) = (0, count);
    assert_eq!(set_aside, SetAside { now, earlier }, "{name}");
    go_on(&store, &mut model, name).await;
    drop(store);
    assert_eq!(errors::take(), [""; 0], "{name}");
    is_sound_but_for_what_was_set_aside(&RocksStore::check(directory.path()).unwrap(), name);
}

/// New deliveries, the end of all that are there, the end of sessions, and new ones in their place.
async fn go_on(store: &RocksStore, model: &mut Model, name: &str) {
    let clients = [a(), ClientId::new("b")];
    let put_sessions = || {
        let put = |client: &ClientId| Change::PutSession {
            client: client.clone(),
            record: SessionRecord::default(),
        };
        clients.iter().map(put).collect::<Vec<_>>()
    };
    commit(store, model, put_sessions()).await;
    // As after a crash, the numbers of what was lost may come again.
    let mut changes = Vec::new();
    let new = message("t/new", b"new", Some(7000));
    for client in &clients {
        let there = model.deliveries(client, None, 100);
        let free = (1..=4).filter(|seq| there.iter().all(|(there, _)| there != seq));
        changes.extend(free.map(|seq| deliver(client.as_str(), seq, &new, QoS::ExactlyOnce, &[])));
        changes.push(subscribe(client.as_str(), "new", 3));
        changes.push(receive(client.as_str(), 99));
    }
    commit(store, model, changes).await;
    is(store, &Contents::of(model), name).await;
    let all = model.deliveries(&clients[0], None, 100).into_iter();
    let deleted = all.map(|(seq, _)| Change::DeleteDelivery { client: a(), seq });
    commit(store, model, deleted.collect()).await;
    is(store, &Contents::of(model), name).await;
    for client in &clients {
        let client = client.clone();
        commit(store, model, vec![Change::DeleteSession { client }]).await;
    }
    commit(store, model, put_sessions()).await;
    is(store, &Contents::of(model), name).await;
}

fn is_sound_but_for_what_was_set_aside(check: &Check, name: &str) {
    let damage = check.findings.iter().filter(|finding| {
        finding.severity == mqtt_store_rocksdb::Severity::Damage && finding.table != "aside"
    });
    let damage: Vec<_> = damage.map(ToString::to_string).collect();
    assert_eq!(damage, [""; 0], "{name}");
}

#[test]
fn each_alone() {
    for (at, case) in cases().into_iter().enumerate() {
        alone(test(&format!("alone-{at}-{}", case.table), &[case]));
    }
}

#[test]
fn all_at_once() {
    // Not what is lost with another: all of a session, and a delivery whose message is damaged.
    let mut cases = cases();
    cases.retain(|case| case.key != [1, 1] || case.table != "sess");
    cases.retain(|case| case.key != [1, 1, 1, 3]);
    alone(test("all", &cases));
}

/// The highest numbers are those that would come again.
#[test]
fn what_a_lost_session_has_left_behind_is_nobodys() {
    alone(async {
        let directory = Directory::new("lost-session");
        let mut model = damaged(&directory, |raw| raw.put("sess", &[1, 2], b"?")).await;
        model.apply(Change::DeleteSession {
            client: ClientId::new("b"),
        });
        for _ in 0..2 {
            let store = open(&directory);
            is(
                &store,
                &Contents::of(&model),
                "what a lost session has left behind is nobodys",
            )
            .await;
        }
        let store = open(&directory);
        go_on(&store, &mut model, "lost session").await;
        drop(store);
        let check = RocksStore::check(directory.path()).unwrap();
        let findings: Vec<_> = check.findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            findings,
            [
                "damage: aside sess 2: it was set aside, since it could not be read",
                "waste: ref of session 2, 1: its session was set aside",
                "waste: ref of session 2, 2: its session was set aside",
                "waste: sub of session 2, $share/g/t/+: its session was set aside",
                "waste: in2 of session 2, 1: its session was set aside",
                "waste: due of session 2, 1, at 5000 ms: its session was set aside",
            ]
        );
    });
}

/// Even if it is the last one, has left nothing behind, and nobody has looked at it: what is set
/// aside keeps its place.
#[test]
fn the_number_of_a_lost_session_is_not_given_away() {
    alone(async {
        let directory = Directory::new("number");
        let put = |client: &str| Change::PutSession {
            client: ClientId::new(client),
            record: SessionRecord::default(),
        };
        let c = ClientId::new("c");
        let mut model = damaged(&directory, |_| {}).await;
        let store = open(&directory);
        commit(&store, &mut model, vec![put("c")]).await;
        drop(store);
        let raw = Raw::open(directory.path());
        raw.put("sess", &[1, 3], b"\x01\x01c\x01");
        drop(raw);
        // The client is known, and its session is new all the same.
        let store = open(&directory);
        commit(&store, &mut model, vec![put("c")]).await;
        is(&store, &Contents::of(&model), "a new session").await;
        commit(
            &store,
            &mut model,
            vec![Change::DeleteSession { client: c }],
        )
        .await;
        drop(store);
        let store = open(&directory);
        commit(&store, &mut model, vec![put("c")]).await;
        drop(store);
        let raw = Raw::open(directory.path());
        assert_eq!(raw.get("sess", &[1, 3]), None);
        assert!(raw.get("sess", &[1, 4]).is_some());
        let aside = raw.get("aside", b"sess\0\x01\x03");
        assert_eq!(aside.as_deref(), Some(&b"\x01\x01c\x01"[..]));
    });
}

/// A row that has vanished leaves its number behind, too.
#[test]
fn what_points_to_nothing_points_to_nothing_new() {
    alone(async {
        let directory = Directory::new("vanished");
        let mut model = damaged(&directory, |raw| {
            raw.delete("msg", &[1, 4]);
            raw.delete("sess", &[1, 2]);
        })
        .await;
        model.apply(Change::DeleteSession {
            client: ClientId::new("b"),
        });
        let store = open(&directory);
        go_on(&store, &mut model, "vanished").await;
        drop(store);
        let directory = Directory::new("vanished-message");
        let mut model = damaged(&directory, |raw| raw.delete("msg", &[1, 4])).await;
        let store = open(&directory);
        let new = message("t", b"new", None);
        let changes = vec![deliver("a", 4, &new, QoS::AtLeastOnce, &[])];
        commit(&store, &mut model, changes).await;
        lost_deliveries(&[("b", 2)])
            .into_iter()
            .for_each(|change| model.apply(change));
        Contents::read(&store).await.unwrap();
        store.set_aside().await.unwrap();
        is(
            &store,
            &Contents::of(&model),
            "what points to nothing points to nothing new",
        )
        .await;
    });
}

/// A delivery that nobody has read yet may be damaged, and expire, or end with its session.
#[test]
fn what_is_damaged_can_be_deleted() {
    alone(async {
        let directory = Directory::new("deleted");
        let mut model = damaged(&directory, |raw| {
            raw.put("ref", &[1, 1, 1, 2], b"?");
            raw.put("ref", &[1, 1, 1, 3], b"?");
            raw.put("ref", &[1, 2, 1, 1], b"?");
        })
        .await;
        let store = open(&directory);
        commit(&store, &mut model, lost_deliveries(&[("a", 2), ("a", 3)])).await;
        let client = ClientId::new("b");
        commit(&store, &mut model, vec![Change::DeleteSession { client }]).await;
        is(
            &store,
            &Contents::of(&model),
            "what is damaged can be deleted",
        )
        .await;
        go_on(&store, &mut model, "deleted").await;
        drop(store);
        let check = RocksStore::check(directory.path()).unwrap();
        assert_eq!(check.damage, 0, "{check:?}");
        // The messages of deliveries that could not be read.
        assert!(check.findings.iter().all(|finding| finding.table == "msg"));
    });
}
