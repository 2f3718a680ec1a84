//! The server is killed again and again, and has to keep all promises of all its lives.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::client::{Clock, Life};
use crate::findings::{Findings, Kind};
use crate::load::{Clients, LIFE_MAX};
use crate::power::{Disk, Loss, Unsynced};
use crate::server::{Server, mqttd};

/// How much longer a sync takes on a slow disk.
const SLOW: Duration = Duration::from_millis(5);

/// A start that is cut short lasts no longer than this.
const START_MAX: Duration = Duration::from_millis(60);

/// What ends the lives of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kill,
    /// It is killed, and the disk forgets what was not synced.
    PowerLoss,
}

#[test]
fn kill_loses_nothing_at_level_disk() {
    let findings = run("disk", End::Kill, rounds(20));
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn kill_loses_nothing_at_level_process() {
    let findings = run("process", End::Kill, rounds(20));
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn power_loss_loses_nothing_at_level_disk() {
    let findings = run("disk", End::PowerLoss, rounds(20));
    assert!(findings.is_empty(), "{findings:?}");
}

/// The counter-proof: this level does not sync, so the tests above would notice if one were missing.
#[test]
fn power_loss_does_lose_messages_at_level_process() {
    let findings = run("process", End::PowerLoss, 2);
    assert!(findings.count(Kind::Lost) > 0, "{findings:?}");
}

/// Also the very first start, in which everything is made, can be cut short and tried again.
#[test]
fn a_start_that_is_cut_short_is_no_obstacle() {
    let seed = seed();
    println!("CRASH_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    for _ in 0..rounds(20) {
        let mut machine = Machine {
            disk: Disk::new(),
            durability: "disk",
            end: End::PowerLoss,
            random: random.fork(),
            loss: Loss::default(),
        };
        for _ in 0..3 {
            machine.start_in_vain();
        }
        Server::run(machine.command(), 1);
    }
}

/// How often the server dies: `CRASH_ROUNDS`, or `usual`.
fn rounds(usual: usize) -> usize {
    let wanted = std::env::var("CRASH_ROUNDS").ok();
    wanted.map_or(usual, |text| text.parse().expect("a number of rounds"))
}

/// `CRASH_SEED`, or another one each time.
fn seed() -> u64 {
    let wanted = std::env::var("CRASH_SEED").ok();
    wanted.map_or_else(|| fastrand::u64(..), |text| text.parse().expect("a number"))
}

/// Lets the server live and die so often on one directory, and checks what clients have seen.
fn run(durability: &'static str, end: End, rounds: usize) -> Findings {
    let seed = seed();
    println!("CRASH_SEED={seed} CRASH_ROUNDS={rounds} durability {durability}, {end:?}");
    let begun = Instant::now();
    let mut random = Rng::with_seed(seed);
    let mut clients = Clients::new(&mut random, rounds);
    let mut machine = Machine {
        disk: Disk::new(),
        durability,
        end,
        random,
        loss: Loss::default(),
    };
    let clock = Clock::default();
    for round in 0..=rounds {
        if machine.random.u8(..4) == 0 {
            machine.start_in_vain();
        }
        let mut server = Server::run(machine.command(), 1);
        let life = Life {
            round,
            address: server.address(),
            clock: &clock,
        };
        clients.begin(&life);
        if round == rounds {
            clients.finish(&life);
            break;
        }
        let span = LIFE_MAX.mul_f64(0.4 + 0.6 * machine.random.f64());
        clients.live(&life, || {
            thread::sleep(span);
            server.is_alive();
            let now = Instant::now();
            server.kill();
            now
        });
        machine.stop();
    }
    let findings = clients.check();
    println!("{} in {:?}", clients.summary(), begun.elapsed());
    if end == End::PowerLoss {
        println!("the power took {:?}", machine.loss);
    }
    findings
}

/// What the server runs on.
struct Machine {
    disk: Disk,
    durability: &'static str,
    end: End,
    random: Rng,
    /// What was lost so far.
    loss: Loss,
}

impl Machine {
    /// The server, ready to be started.
    fn command(&mut self) -> Command {
        let mut command = command(&self.disk.data(), self.durability);
        // A slow disk has more under way, and so more to lose.
        if self.random.bool() {
            self.disk.watch_slowly(&mut command, SLOW);
        } else if self.end == End::PowerLoss {
            self.disk.watch(&mut command);
        }
        command
    }

    /// Starts the server, and kills it while it restores what the last life has left.
    fn start_in_vain(&mut self) {
        let mut command = self.command();
        let command = command.stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the server starts");
        thread::sleep(START_MAX.mul_f64(self.random.f64()));
        child.kill().expect("it runs");
        child.wait().expect("it was killed");
        self.stop();
    }

    /// The server is dead.
    fn stop(&mut self) {
        if self.end == End::PowerLoss {
            let unsynced = match self.random.bool() {
                true => Unsynced::Lost,
                false => Unsynced::Torn,
            };
            let loss = self.disk.lose_power(unsynced, &mut self.random);
            self.loss.add(loss);
        }
    }
}

/// The server with its state in this directory.
pub(crate) fn command(data: &Path, durability: &str) -> Command {
    let data = data.to_str().expect("the path is plain");
    mqttd(&[
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        data,
        "--durability",
        durability,
    ])
}
