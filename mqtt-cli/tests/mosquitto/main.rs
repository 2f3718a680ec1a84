//! The same command lines with Mosquitto's programs and with ours, against a broker each: what they print, how they end, and what
//! arrives at a subscriber must be the same.
//!
//! Without Debian's packages `mosquitto` and `mosquitto-clients` nothing can be compared, and the test says so and passes. With the
//! environment variable `MQTTD`, the path of our server, the command lines that do not need a certain broker are run against it, too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::too_many_lines,
    reason = "a test may stop at what it did not expect, measures real time, says what it left out, and has tables"
)]

mod broker;
mod case;
mod files;
mod native;
mod play;
mod socks;
mod table;
#[allow(dead_code, reason = "others need more of it")]
#[path = "../terminal/mod.rs"]
mod terminal;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::broker::{Broker, Kind};
use crate::case::{Case, Needs};
use crate::files::Files;
use crate::play::{Side, play};

/// Cases mostly wait, so more of them run at once than there are processors.
const AT_ONCE: usize = 8;

#[test]
fn command_lines_do_what_they_do_with_mosquitto() {
    let Some(programs) = programs() else { return };
    let cases = table::cases();
    assert!(cases.len() >= 400, "{} command lines", cases.len());
    run(&programs, &cases, &Kind::Mosquitto);
}

#[test]
fn command_lines_do_the_same_with_our_server() {
    let Some(programs) = programs() else { return };
    let Some(server) = std::env::var_os("MQTTD") else {
        eprintln!("LEFT OUT: MQTTD does not say where our server is");
        return;
    };
    let cases: Vec<Case> = table::cases()
        .into_iter()
        .filter(|case| case.needs == Needs::AnyBroker)
        .collect();
    run(&programs, &cases, &Kind::Mqttd(server.into()));
}

/// The two sets of programs that are compared.
struct Programs {
    theirs: PathBuf,
    ours: PathBuf,
    files: Files,
}

/// Mosquitto's programs and ours, or nothing where Mosquitto's are missing.
fn programs() -> Option<Programs> {
    let missing: Vec<&str> = [
        "mosquitto",
        "mosquitto_pub",
        "mosquitto_sub",
        "mosquitto_rr",
    ]
    .into_iter()
    .filter(|name| files::program(name).is_none())
    .collect();
    if !missing.is_empty() {
        eprintln!("LEFT OUT: not installed: {}", missing.join(", "));
        return None;
    }
    let theirs = files::program("mosquitto_pub")?.parent()?.to_owned();
    let files = Files::new();
    let ours = files.called_like_mosquitto(env!("CARGO_BIN_EXE_mqtt").as_ref());
    Some(Programs {
        theirs,
        ours,
        files,
    })
}

fn run(programs: &Programs, cases: &[Case], kind: &Kind) {
    let (together, alone): (Vec<_>, Vec<_>) =
        cases.iter().enumerate().partition(|(_, case)| !case.alone);
    let mut differences = Vec::new();
    let brokers = [
        Broker::start(kind, &programs.files),
        Broker::start(kind, &programs.files),
    ];
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((index, case)) = together.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let difference = compare(programs, case, *index, &brokers);
                    found.lock().unwrap().extend(difference);
                }
            });
        }
    });
    differences.append(&mut found.lock().unwrap());
    for (index, case) in alone {
        let brokers = [
            Broker::start(kind, &programs.files),
            Broker::start(kind, &programs.files),
        ];
        differences.extend(compare(programs, case, index, &brokers));
    }
    assert!(
        differences.is_empty(),
        "{} of {} command lines differ:\n\n{}",
        differences.len(),
        cases.len(),
        differences.join("\n")
    );
}

/// Plays a case on both sides at the same time; what differs, as text.
fn compare(
    programs: &Programs,
    case: &Case,
    index: usize,
    brokers: &[Broker; 2],
) -> Option<String> {
    let [first, second] = brokers;
    let side = |directory, broker| Side {
        reference: &programs.theirs,
        directory,
        broker,
        files: &programs.files,
    };
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| play(&side(&programs.theirs, first), case, index));
        let ours = play(&side(&programs.ours, second), case, index);
        (theirs.join().unwrap(), ours)
    });
    let differences = theirs.differences(case, &ours);
    (!differences.is_empty()).then(|| format!("{}\n{differences}", case.line))
}
