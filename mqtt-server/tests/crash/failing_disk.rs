//! A disk that fails once, and the place of each sync before what it promises.

use std::collections::HashSet;
use std::time::Duration;

use fastrand::Rng;
use mqtt_codec::QoS;
use mqtt_codec::Version::{V3_1_1, V5};

use crate::client::{Client, Clock, Life};
use crate::flood::{self, Away};
use crate::journal::{Change, Event};
use crate::power::{Disk, Failure, Unsynced};
use crate::publisher::Publisher;
use crate::rounds::command;
use crate::server::{Got, Peer, SOON, Server};
use crate::subscriber::{Habit, Subscriber};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// A failed sync is not tried again: on Linux a second one may succeed although the data is gone.
#[test]
fn a_sync_that_fails_is_the_end() {
    for number in [25, 26, 47] {
        fails_once("fdatasync", number, EIO, "Input/output error");
    }
}

#[test]
fn a_write_that_fails_is_the_end() {
    for (errno, why) in [
        (EIO, "Input/output error"),
        (ENOSPC, "No space left on device"),
    ] {
        fails_once("write", 40, errno, why);
    }
}

/// Nothing is acknowledged any more once the disk has failed, and what was is there afterwards.
fn fails_once(call: &'static str, number: u32, errno: i32, why: &str) {
    let mut disk = Disk::new();
    let mut failing = command(&disk.data(), "disk");
    let failure = Failure {
        call,
        number,
        errno,
    };
    disk.watch_and_fail(&mut failing, failure);
    let mut server = Server::run(failing, 1);
    let away = Away::new(&server);
    let mut idle = Peer::connect(server.address(), V5, "idle");
    let acknowledged = flood::publish(&server, 1, |number| number.to_string());
    println!(
        "{call} {number}: {} messages acknowledged",
        acknowledged.len()
    );
    assert!(!acknowledged.is_empty());
    assert!(matches!(idle.next(SOON), Got::Closed));
    flood::ends_with(&mut server, why);
    assert_eq!(promises_after_failure(&disk.events()), 0);

    disk.lose_power(Unsynced::Lost, &mut Rng::with_seed(1));
    let server = Server::run(command(&disk.data(), "disk"), 1);
    away.check(&server, acknowledged);
}

/// How many acknowledgements left after a call had failed.
fn promises_after_failure(events: &[Event]) -> usize {
    let failed = events
        .iter()
        .position(|event| matches!(event, Event::Failed { .. }));
    let after = &events[failed.expect("a call has failed")..];
    after.iter().filter(|event| is_promise(event)).count()
}

/// True if something that promises durability is sent: CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP,
/// SUBACK.
fn is_promise(event: &Event) -> bool {
    let Event::Sent { start } = event else {
        return false;
    };
    matches!(start[0] >> 4, 2 | 4 | 5 | 6 | 7 | 9)
}

/// With one request at a time, there is a sync of the log before each answer.
#[test]
fn each_promise_follows_a_sync_of_the_log() {
    let mut disk = Disk::new();
    let mut command = command(&disk.data(), "disk");
    disk.watch(&mut command);
    let server = Server::run(command, 1);
    let clock = Clock::default();
    let life = Life {
        round: 0,
        address: server.address(),
        clock: &clock,
    };
    let client = Client::new(V5, "away");
    let (qos, random) = (QoS::ExactlyOnce, Rng::with_seed(1));
    Subscriber::new(client, Habit::Never, "t", qos, random.clone()).begin(&life);
    for (number, qos) in [QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().enumerate() {
        let topics = vec!["t".to_owned()];
        let random = random.clone();
        let mut publisher = Publisher::new(V3_1_1, number, qos, topics, Duration::ZERO, random);
        for _ in 0..20 {
            publisher.publish_one(&life);
        }
    }
    let (promises, unsynced) = promises(&disk.events());
    println!("{promises} promises");
    // CONNACK and SUBACK, twenty times CONNACK and PUBACK, and CONNACK, PUBREC and PUBCOMP.
    assert_eq!((promises, unsynced), (2 + 20 * 2 + 20 * 3, 0));
}

/// How many promises were sent, and how many of them without a sync since the one before.
fn promises(events: &[Event]) -> (usize, usize) {
    let mut logs = HashSet::new();
    let mut begun = HashSet::new();
    let mut synced = false;
    let (mut promises, mut unsynced) = (0, 0);
    for event in events {
        match event {
            Event::Changed(Change::Created { file, path }) if path.ends_with(".log") => {
                logs.insert(*file);
            }
            Event::Syncing { file, token, .. } if logs.contains(file) => {
                begun.insert(*token);
            }
            Event::Synced { token } => synced |= begun.remove(token),
            event if is_promise(event) => {
                promises += 1;
                unsynced += usize::from(!synced);
                synced = false;
            }
            _ => {}
        }
    }
    (promises, unsynced)
}
