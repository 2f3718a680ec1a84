//! The outbox in a file: what it holds after whatever may happen to the process and the file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may stop at what it did not expect, and says what it found"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use mqtt_client::outbox::{
    Durability, NotOpened, OutboxChange, Outgoing, RedbOutbox, Stored, testkit,
};
use mqtt_client::{Outbox, OutboxError};

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn cause(opened: Result<RedbOutbox, OutboxError>) -> NotOpened {
    match opened {
        Err(OutboxError::Open { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_is_a_fold_over_changes() {
    let directory = Directory::new("fold");
    for durability in [Durability::Disk, Durability::Process] {
        let path = directory.file(&format!("{durability:?}"));
        testkit::check(|| RedbOutbox::open_with(&path, durability).unwrap()).unwrap();
    }
}

/// An outbox in memory that forgets the changes for which this is true.
struct Wrong(Arc<Mutex<Stored>>, Forgets);

type Forgets = fn(&OutboxChange) -> bool;

impl Outbox for Wrong {
    fn load(&mut self) -> Result<Stored, OutboxError> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn commit(&mut self, changes: &[OutboxChange]) -> Result<(), OutboxError> {
        let mut changes = changes.to_vec();
        changes.retain(|change| !(self.1)(change));
        self.0.lock().unwrap().apply(&changes);
        Ok(())
    }
}

#[test]
fn the_testkit_finds_what_is_wrong() {
    let check = |wrong| {
        let kept = Arc::default();
        testkit::check(|| Wrong(Arc::clone(&kept), wrong))
    };
    check(|_| false).unwrap();
    let wrong: [(Forgets, &str); 8] = [
        (
            |change| matches!(change, OutboxChange::Connecting),
            "has no CONNECT without an answer, not a",
        ),
        (
            |change| matches!(change, OutboxChange::Sending { .. }),
            "may have sent what is below 0, not",
        ),
        (
            |change| matches!(change, OutboxChange::NewSession { .. }),
            "has the client identifier None",
        ),
        (
            |change| matches!(change, OutboxChange::Put { sequence: 42, .. }),
            "has nothing of number 42, not a",
        ),
        (
            |change| matches!(change, OutboxChange::Release { .. }),
            "not a release",
        ),
        (
            |change| matches!(change, OutboxChange::Remove { .. }),
            "not nothing",
        ),
        (
            |change| matches!(change, OutboxChange::Received { .. }),
            "has received {}",
        ),
        (
            |change| matches!(change, OutboxChange::Completed { .. }),
            "has received {PacketId",
        ),
    ];
    for (wrong, expected) in wrong {
        let error = check(wrong).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    // And one that survives nothing.
    let error = testkit::check(|| Wrong(Arc::default(), |_| false)).unwrap_err();
    assert!(error.starts_with("after batch 0, opened again,"), "{error}");
}

#[test]
fn what_is_kept_of_a_message() {
    let directory = Directory::new("kept");
    let path = directory.file("outbox");
    let batches: Vec<_> = (0..40)
        .flat_map(|number| testkit::batch(number).unwrap())
        .collect();
    RedbOutbox::open(&path).unwrap().commit(&batches).unwrap();
    let stored = RedbOutbox::open(&path).unwrap().load().unwrap();
    let mut expected = Stored::default();
    expected.apply(&batches);
    assert!(stored == expected);
    let kinds =
        |wanted: fn(&Outgoing) -> bool| stored.outgoing.values().filter(|o| wanted(o)).count();
    assert_ne!(kinds(|outgoing| matches!(outgoing, Outgoing::Released)), 0);
    assert_ne!(
        kinds(|outgoing| matches!(outgoing, Outgoing::Message(_))),
        0
    );
}

#[test]
fn one_at_a_time_has_it_open() {
    let directory = Directory::new("in-use");
    let path = directory.file("outbox");
    let first = RedbOutbox::open(&path).unwrap();
    let error = RedbOutbox::open(&path).unwrap_err();
    let expected = format!("cannot open {}: another client uses it", path.display());
    assert_eq!(error.to_string(), expected);
    drop(first);
    drop(RedbOutbox::open(&path).unwrap());

    // Another process, too.
    let mut child = Kind::Idle.spawn(&path, 0);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines
        .find(|line| line.as_ref().unwrap().contains("opened"))
        .unwrap()
        .unwrap();
    let error = RedbOutbox::open(&path).unwrap_err();
    assert_eq!(error.to_string(), expected);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(RedbOutbox::open(&path).unwrap());
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let directory = Directory::new("other");
    let zeros_and_more = [vec![0; 8000], b"something".to_vec()].concat();
    for content in [
        &b"?"[..],
        b"[client]\nname = 1\n",
        &zeros_and_more,
        &[7; 100_000],
    ] {
        let path = directory.file("other");
        fs::write(&path, content).unwrap();
        let error = RedbOutbox::open(&path).unwrap_err();
        let expected = format!(
            "cannot open {}: it is no outbox of an MQTT client",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    let cause = cause(RedbOutbox::open(&directory.0));
    assert!(matches!(cause, NotOpened::Failed(_)), "{cause}");
    let cause = self::cause(RedbOutbox::open(directory.file("missing/outbox")));
    assert!(matches!(cause, NotOpened::Failed(_)), "{cause}");
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new("mode");
    let path = directory.file("outbox");
    drop(RedbOutbox::open(&path).unwrap());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Whatever was cut off, and whatever was changed: what is opened holds what was committed, or nothing opens.
#[test]
fn a_damaged_file_is_noticed() {
    let directory = Directory::new("damaged");
    let path = directory.file("outbox");
    let mut expected = Stored::default();
    let mut outbox = RedbOutbox::open(&path).unwrap();
    for number in 0..30 {
        let batch = testkit::batch(number).unwrap();
        outbox.commit(&batch).unwrap();
        expected.apply(&batch);
    }
    drop(outbox);
    let sound = fs::read(&path).unwrap();
    let (mut noticed, mut harmless) = (0, 0);
    for seed in 0..300 {
        let random = &mut Rng::with_seed(seed);
        let mut bytes = sound.clone();
        // Half of them in the header, where each byte counts.
        let range = if random.bool() { 400 } else { bytes.len() };
        let at = random.usize(..range);
        match seed % 3 {
            0 => bytes.truncate(random.usize(..bytes.len())),
            1 => bytes[at] ^= 1 << random.u8(..8),
            _ => {
                let end = bytes.len().min(at + random.usize(1..9000));
                bytes[at..end].fill_with(|| random.u8(..));
            }
        }
        fs::write(&path, &bytes).unwrap();
        match RedbOutbox::open(&path).and_then(|mut outbox| outbox.load()) {
            Ok(stored) => {
                // A file cut off at nothing is a new one.
                let emptied = bytes.is_empty() && stored == Stored::default();
                assert!(emptied || stored == expected, "seed {seed}");
                harmless += 1;
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                noticed += 1;
            }
        }
    }
    assert!(noticed > 100 && harmless > 10, "{noticed} {harmless}");
}

#[test]
fn a_file_whose_making_was_interrupted_is_made_anew() {
    let directory = Directory::new("unfinished");
    let path = directory.file("outbox");
    drop(RedbOutbox::open(&path).unwrap());
    let mut made = fs::read(&path).unwrap();
    // As redb leaves it: the first bytes come last.
    made[..9].fill(0);
    made[4096..].fill(0);
    for unfinished in [&made[..], &[0; 100], &[0; 70_000]] {
        fs::write(&path, unfinished).unwrap();
        let mut outbox = RedbOutbox::open(&path).unwrap();
        assert_eq!(outbox.load().unwrap(), Stored::default());
        outbox.commit(&testkit::batch(0).unwrap()).unwrap();
    }
}

#[test]
fn a_file_that_is_mostly_empty_shrinks() {
    let directory = Directory::new("shrinks");
    let path = directory.file("outbox");
    let mut outbox = RedbOutbox::open_with(&path, Durability::Process).unwrap();
    let mut expected = Stored::default();
    let mut changes = Vec::new();
    for number in 0..4000 {
        changes.extend(testkit::batch(number).unwrap());
    }
    outbox.commit(&changes).unwrap();
    expected.apply(&changes);
    let removed: Vec<_> = (10..1_004_000)
        .map(|sequence| OutboxChange::Remove { sequence })
        .collect();
    outbox.commit(&removed).unwrap();
    expected.apply(&removed);
    drop(outbox);
    let before = fs::metadata(&path).unwrap().len();
    let mut outbox = RedbOutbox::open(&path).unwrap();
    let after = fs::metadata(&path).unwrap().len();
    assert!(
        before > 3 << 20 && after < 1 << 20,
        "{before} to {after} bytes"
    );
    assert!(outbox.load().unwrap() == expected);
}

/// What a child process does. It is this test program, asked to run a single test.
#[derive(Clone, Copy)]
enum Kind {
    Committing(Durability),
    Idle,
}

const PATH: &str = "MQTT_CLIENT_OUTBOX_PATH";
const START: &str = "MQTT_CLIENT_OUTBOX_START";
const KIND: &str = "MQTT_CLIENT_OUTBOX_KIND";

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Committing(Durability::Disk) => "disk",
            Self::Committing(Durability::Process) => "process",
            Self::Idle => "idle",
        }
    }

    fn spawn(self, path: &Path, start: u64) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(PATH, path)
            .env(START, start.to_string())
            .env(KIND, self.name())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// Does nothing, except as a child of the tests here.
#[test]
fn child() {
    let (Some(path), Ok(start)) = (std::env::var_os(PATH), std::env::var(START)) else {
        return;
    };
    let kind = std::env::var(KIND).unwrap();
    let durability = if kind == Kind::Committing(Durability::Process).name() {
        Durability::Process
    } else {
        Durability::Disk
    };
    let mut outbox = RedbOutbox::open_with(path, durability).unwrap();
    say("opened");
    if kind == Kind::Idle.name() {
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    // Bounded, should nobody come to kill it.
    for number in start.parse().unwrap()..start.parse::<u64>().unwrap() + 20_000 {
        outbox.commit(&testkit::batch(number).unwrap()).unwrap();
        say(&format!("committed {number}"));
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

/// Kills a process that commits, again and again, and looks at what the next one finds. `OUTBOX_KILLS` is how often.
#[test]
fn what_was_committed_survives_a_kill() {
    let kills = std::env::var("OUTBOX_KILLS").map_or(15, |kills| kills.parse().unwrap());
    let directory = Directory::new("kill");
    for durability in [Durability::Disk, Durability::Process] {
        let seed = std::env::var("OUTBOX_SEED")
            .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
        println!("{durability:?}: OUTBOX_SEED={seed}");
        let random = &mut Rng::with_seed(seed);
        let mut survivor = Survivor::new(durability, directory.file("outbox"));
        let mut commits = 0;
        for kill in 0..kills {
            // Now and then it is killed while it makes the file.
            if random.u8(..5) == 0 {
                let _ = fs::remove_file(&survivor.path);
                survivor = Survivor::new(durability, survivor.path);
            }
            let before = survivor.next;
            survivor.kill(random);
            survivor.check(kill);
            commits += survivor.next - before;
        }
        fs::remove_file(&survivor.path).unwrap();
        println!("{durability:?}: {commits} commits survived {kills} kills");
        assert_ne!(commits, 0, "nothing was committed before a kill");
    }
}

/// An outbox whose process is killed, and what must be in it.
struct Survivor {
    durability: Durability,
    path: PathBuf,
    expected: Stored,
    /// The number of the next commit.
    next: u64,
}

impl Survivor {
    fn new(durability: Durability, path: PathBuf) -> Self {
        Self {
            durability,
            path,
            expected: Stored::default(),
            next: 0,
        }
    }

    /// Lets a child commit for a while, and kills it.
    fn kill(&mut self, random: &mut Rng) {
        let mut child = Kind::Committing(self.durability).spawn(&self.path, self.next);
        let micros = if random.bool() { 10_000 } else { 100_000 };
        std::thread::sleep(Duration::from_micros(random.u64(..micros)));
        child.kill().unwrap();
        child.wait().unwrap();
        let told = BufReader::new(child.stdout.take().unwrap()).lines();
        // The last line may be a part of one. What it says is not believed, and need not be.
        let lines: Vec<String> = told.map_while(Result::ok).collect();
        for number in lines
            .iter()
            .filter_map(|line| line.strip_prefix("committed "))
        {
            if number.parse() == Ok(self.next) {
                self.commit();
            }
        }
    }

    fn commit(&mut self) {
        self.expected.apply(&testkit::batch(self.next).unwrap());
        self.next += 1;
    }

    fn check(&mut self, kill: u32) {
        let found = RedbOutbox::open_with(&self.path, self.durability)
            .and_then(|mut outbox| outbox.load())
            .unwrap_or_else(|error| panic!("after kill {kill}: {error}"));
        // The commit that was under way is there, or is not.
        if found != self.expected {
            self.commit();
        }
        assert!(
            found == self.expected,
            "after kill {kill}, {} commits",
            self.next
        );
    }
}
