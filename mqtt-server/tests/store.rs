//! `mqttd store`: data directories as lines of JSON, and back.

#![cfg(feature = "rocksdb")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a test may stop at what it did not expect, and measures real time"
)]

mod server;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use mqtt_codec::Packet;
use mqtt_codec::QoS::AtLeastOnce;
use mqtt_codec::Version::V3_1_1;
use rustix::process::Signal;

use crate::server::{Directory, Peer, SOON, Server, mqttd, post};

/// Something of every kind.
const LINES: [&str; 8] = [
    r#"{"format":"mqtt-store","version":1}"#,
    r#"{"session":{"client":"a","expiry_interval":4294967295,"disconnected_ms":1700000000000,"sent_before":3,"identity":"somebody","will":{"delay_interval":5,"message":{"topic":"gone","qos":2,"retain":true,"payload":""}}}}"#,
    r#"{"subscription":{"client":"a","filter":"t/#","qos":1,"no_local":true,"retain_as_published":false,"retain_handling":"send_if_new","identifier":7}}"#,
    r#"{"received":{"client":"a","packet_id":65535}}"#,
    r#"{"delivery":{"client":"a","seq":2,"qos":2,"retain":true,"released":true,"subscription_identifiers":[7],"message":{"topic":"t/a","qos":2,"retain":false,"expires_ms":18000000000000,"properties":[{"user_property":["a","b"]},{"content_type":"text"}],"payload":"hi"}}}"#,
    r#"{"delivery":{"client":"a","seq":3,"qos":1,"retain":false,"released":false,"message":{"topic":"t","qos":1,"retain":false,"payload_base64":"/w=="}}}"#,
    r#"{"retained":{"topic":"t","qos":0,"retain":true,"payload":"on"}}"#,
    r#"{"end":{"sessions":1,"subscriptions":1,"received":1,"deliveries":2,"retained":1}}"#,
];

fn text() -> String {
    LINES.map(|line| format!("{line}\n")).concat()
}

#[test]
fn what_is_imported_is_exported() {
    let directory = Directory::new();
    let (data, file, copy) = (
        directory.path("data"),
        directory.path("state.json"),
        directory.path("copy.json"),
    );
    fs::write(&file, text()).unwrap();
    let counts = "sessions: 1, subscriptions: 1, deliveries: 2, received packet identifiers: 1, retained messages: 1";
    let imported = succeeds(&["import", &data, &file]);
    assert_eq!(imported.stdout, b"");
    says(&imported, &format!("imported into {data}: {counts}"));

    let exported = succeeds(&["export", &data]);
    assert_eq!(String::from_utf8(exported.stdout.clone()).unwrap(), text());
    says(&exported, &format!("exported from {data}: {counts}"));

    fs::write(&copy, "an older copy").unwrap();
    let exported = succeeds(&["export", &data, &copy]);
    assert_eq!(exported.stdout, b"");
    assert_eq!(fs::read_to_string(&copy).unwrap(), text());
    assert_eq!(directory.names(), ["copy.json", "data", "state.json"]);
}

#[test]
fn standard_input_is_read() {
    let directory = Directory::new();
    let data = directory.path("data");
    let mut child = mqttd(&["store", "import", &data])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(succeeds(&["export", &data]).stdout, text().as_bytes());
}

#[test]
fn a_store_is_filled_once() {
    let directory = Directory::new();
    let (data, file) = (directory.path("data"), directory.path("state.json"));
    fs::write(&file, text()).unwrap();
    succeeds(&["import", &data, &file]);
    let twice = format!("cannot import into {data}: the store is not empty");
    fails(&["import", &data, &file], &twice);
    assert_eq!(succeeds(&["export", &data]).stdout, text().as_bytes());
}

#[test]
fn what_cannot_be_imported_is_explained() {
    let directory = Directory::new();
    let (data, file) = (directory.path("data"), directory.path("state.json"));
    fails(
        &["import", &data, &file],
        &format!("cannot read {file}: No such file"),
    );
    assert_eq!(
        directory.names(),
        [""; 0],
        "nothing is made for what is mistyped"
    );

    let wrong = text().replace("\"qos\":1,\"no_local\"", "\"qos\":4,\"no_local\"");
    fs::write(&file, wrong).unwrap();
    let expected = format!(
        "cannot import {file}: line 3: subscription.qos: 4, expected QoS 0, 1 or 2 (column 52); what was read before is in {data}: remove it before you try again"
    );
    fails(&["import", &data, &file], &expected);

    let cut_off = text();
    fs::write(&file, &cut_off[..cut_off.len() / 2]).unwrap();
    let data = directory.path("other");
    fails(
        &["import", &data, &file],
        &format!("cannot import {file}: line 5: "),
    );
}

#[test]
fn what_is_no_store_is_not_made_one() {
    let directory = Directory::new();
    let data = directory.path("data");
    for command in ["export", "stats", "check"] {
        fails(&[command, &data], &format!("there is no store in {data}"));
        assert!(!Path::new(&data).exists());
    }
    let file = directory.path("none/copy.json");
    fs::write(directory.path("state.json"), text()).unwrap();
    succeeds(&["import", &data, &directory.path("state.json")]);
    fails(
        &["export", &data, &file],
        &format!("cannot write {file}: No such file"),
    );
}

#[test]
fn it_is_told_how_much_there_is() {
    let directory = Directory::new();
    let (data, file) = (directory.path("data"), directory.path("state.json"));
    fs::write(&file, text()).unwrap();
    succeeds(&["import", &data, &file]);
    let for_people = "\
sessions: 1, of which 0 connected
subscriptions: 1, of which 0 shared
received packet identifiers: 1
deliveries: 2, of which 1 released, 21 bytes
longest queue: 2 deliveries, of \"a\"
retained messages: 1, 3 bytes
rows set aside: 0
bytes of the log: ";
    let stats = succeeds(&["stats", &data]);
    let stats = String::from_utf8(stats.stdout).unwrap();
    assert!(stats.starts_with(for_people), "{stats}");
    assert_eq!(stats.lines().count(), 19, "a line for each table: {stats}");
    let for_programs = concat!(
        r#"{"sessions":1,"sessions_connected":0,"subscriptions":1,"subscriptions_shared":0,"received":1,"#,
        r#""deliveries":2,"deliveries_released":1,"deliveries_bytes":21,"#,
        r#""longest_queue":{"client":"a","deliveries":2},"retained":1,"retained_bytes":3,"set_aside":0,"log_bytes":"#,
    );
    let stats = succeeds(&["stats", "--json", &data]);
    let stats = String::from_utf8(stats.stdout).unwrap();
    assert!(stats.starts_with(for_programs), "{stats}");
    let sessions = r#"{"name":"sess","rows_estimated":1,"live_bytes":"#;
    assert!(stats.contains(sessions), "{stats}");
}

#[test]
fn a_sound_store_is_called_so() {
    let directory = Directory::new();
    let (data, file) = (directory.path("data"), directory.path("state.json"));
    fs::write(&file, text()).unwrap();
    succeeds(&["import", &data, &file]);
    let check = succeeds(&["check", &data]);
    assert_eq!(String::from_utf8(check.stdout).unwrap(), "sound: 11 rows\n");
    let check = succeeds(&["check", "--json", &data]);
    let for_programs = concat!(
        r#"{"damage":0,"waste":0,"findings":[],"tables":{"meta":1,"aside":0,"sess":1,"msg":2,"ref":2,"#,
        r#""sub":1,"in2":1,"rel":1,"due":1,"ret":1}}"#,
        "\n"
    );
    assert_eq!(String::from_utf8(check.stdout).unwrap(), for_programs);
}

/// Everything that can be read is exported, and that it is not everything is said, each time.
#[test]
fn what_cannot_be_read_is_not_left_out_silently() {
    let directory = Directory::new();
    let (data, copy) = (directory.path("data"), directory.path("copy.json"));
    copy_sample("damaged", &data);
    let check = store(&["check", &data]);
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    let findings = "\
damage: msg 1: the bytes are damaged
damage: sub of session 1, u: the bytes are damaged
damaged: 24 rows; 2 damaged, 0 wasted
";
    assert_eq!(String::from_utf8(check.stdout.clone()).unwrap(), findings);
    says(&check, &format!("ERROR the store in {data} is damaged: "));
    let check = store(&["check", "--json", &data]);
    let finding = r#"{"damage":2,"waste":0,"findings":[{"severity":"damage","table":"msg","key":"1","what":"the bytes are damaged"},"#;
    assert!(check.stdout.starts_with(finding.as_bytes()), "{check:?}");

    // The message was for two sessions.
    let lost = |earlier| {
        format!(
            "ERROR 4 rows in {data} cannot be read, {earlier} of them since earlier: what they held is missing"
        )
    };
    let export = store(&["export", &data]);
    assert_eq!(export.status.code(), Some(1), "{export:?}");
    says(&export, "set aside, since it cannot be read: msg 1: ");
    says(&export, &lost(0));
    let lines = String::from_utf8(export.stdout).unwrap();
    let end =
        r#"{"end":{"sessions":2,"subscriptions":2,"received":3,"deliveries":3,"retained":2}}"#;
    assert_eq!(lines.lines().last(), Some(end));
    let export = store(&["export", &data, &copy]);
    assert_eq!(export.status.code(), Some(1), "{export:?}");
    says(&export, &lost(4));
    assert_eq!(fs::read_to_string(&copy).unwrap(), lines);

    // In a new directory it is all there is.
    let new = directory.path("new");
    succeeds(&["import", &new, &copy]);
    succeeds(&["check", &new]);
    let again = String::from_utf8(succeeds(&["export", &new]).stdout).unwrap();
    // Sessions come in any order.
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(ToOwned::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&again), sorted(&lines));
}

/// The server says so, and has what is left.
#[test]
fn a_server_starts_with_what_can_be_read() {
    let directory = Directory::new();
    let data = directory.path("data");
    copy_sample("damaged", &data);
    let mut server = on_disk(&data);
    let mut reader = Peer::connect(server.address(), V3_1_1, "reader");
    reader.subscribe("r", AtLeastOnce);
    assert_eq!(reader.payload(), b"kept");
    drop(reader);
    ends(&mut server);
}

#[test]
fn a_server_does_not_start_with_damaged_files() {
    let directory = Directory::new();
    let data = directory.path("data");
    let mut names = Vec::new();
    copy_sample("format-1", &data);
    for entry in fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "sst") {
            let mut bytes = fs::read(&path).unwrap();
            bytes[10] ^= 1;
            fs::write(&path, bytes).unwrap();
            names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    let arguments = ["--listen", "127.0.0.1:0", "--data-dir", &data];
    let output = mqttd(&arguments).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let log = String::from_utf8(output.stderr).unwrap();
    let last = log.lines().last().unwrap();
    assert!(names.iter().any(|name| last.contains(name)), "{log}");
    assert!(last.contains("Corruption: "), "{log}");
    assert!(!log.contains("panicked"), "{log}");

    let check = store(&["check", &data]);
    assert_eq!(check.status.code(), Some(1));
    let findings = String::from_utf8(check.stdout).unwrap();
    for name in &names {
        assert!(findings.contains(name), "{name}: {findings}");
    }
}

/// Copies a store that the tests of stores have, too.
fn copy_sample(name: &str, data: &str) {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mqtt-store-rocksdb/tests/sample");
    fs::create_dir(data).unwrap();
    for entry in fs::read_dir(samples.join(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), Path::new(data).join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_directory_that_is_in_use_is_left_alone() {
    let directory = Directory::new();
    let data = directory.path("data");
    let server = on_disk(&data);
    let process = server.process();
    let expected = format!("the store in {data}: {data} is in use by process {process}");
    for command in ["export", "import", "stats", "check"] {
        fails(&[command, &data], &expected);
    }
    Peer::connect(server.address(), V3_1_1, "a");
}

/// From memory to a file, to a directory, to a file, and back to memory.
#[test]
fn state_moves_between_file_and_directory() {
    let directory = Directory::new();
    let (data, file) = (directory.path("data"), directory.path("state.json"));
    let mut server = in_memory(&file);
    let mut subscriber = Peer::persistent(server.address(), "subscriber", false);
    subscriber.subscribe("news", AtLeastOnce);
    drop(subscriber);
    publish_retained(&server, "one");
    ends(&mut server);

    succeeds(&["import", &data, &file]);
    let mut server = on_disk(&data);
    let mut reader = Peer::connect(server.address(), V3_1_1, "reader");
    reader.subscribe("news", AtLeastOnce);
    assert_eq!(reader.payload(), b"one");
    drop(reader);
    publish_retained(&server, "two");
    ends(&mut server);

    succeeds(&["export", &data, &file]);
    let server = in_memory(&file);
    let mut subscriber = Peer::persistent(server.address(), "subscriber", true);
    assert_eq!(subscriber.payload(), b"one");
    assert_eq!(subscriber.payload(), b"two");
    let mut reader = Peer::connect(server.address(), V3_1_1, "reader");
    reader.subscribe("news", AtLeastOnce);
    assert_eq!(reader.payload(), b"two");
}

#[test]
fn one_place_for_state_is_enough() {
    let output = mqttd(&["--data-dir", "data", "--snapshot", "file"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.contains("cannot be used with"), "{line}");
}

fn in_memory(file: &str) -> Server {
    Server::start_with(&["--listen", "127.0.0.1:0", "--snapshot", file])
}

fn on_disk(data: &str) -> Server {
    Server::start_with(&["--listen", "127.0.0.1:0", "--data-dir", data])
}

fn ends(server: &mut Server) {
    server.signal(Signal::TERM);
    assert!(server.wait(SOON).success(), "{:#?}", server.lines);
}

fn publish_retained(server: &Server, payload: &str) {
    let mut publisher = Peer::connect(server.address(), V3_1_1, "publisher");
    let Packet::Publish(mut publish) = post("news", payload, Some(1)) else {
        unreachable!();
    };
    publish.retain = true;
    publisher.send(&Packet::Publish(publish));
    assert!(matches!(publisher.packet(), Packet::PubAck(_)));
}

fn store(arguments: &[&str]) -> Output {
    let mut command = mqttd(&["store"]);
    command.args(arguments).stdin(Stdio::null());
    command.output().expect("the program is there")
}

fn succeeds(arguments: &[&str]) -> Output {
    let output = store(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    output
}

fn says(output: &Output, expected: &str) {
    let log = std::str::from_utf8(&output.stderr).unwrap();
    assert!(log.contains(expected), "{log}");
}

/// The command fails with one line, and no data.
fn fails(arguments: &[&str], expected: &str) {
    let output = store(arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(output.stdout, b"");
    let log = String::from_utf8(output.stderr).unwrap();
    let [line] = log.lines().collect::<Vec<_>>()[..] else {
        panic!("{arguments:?}: {log}");
    };
    assert!(line.contains("ERROR") && line.contains(expected), "{line}");
}
