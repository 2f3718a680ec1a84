//! A disk that can lose power: the directory of a program that has `power.c` loaded.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use fastrand::Rng;

use crate::journal::{Event, History, events};
use crate::server::Directory;

/// The directory of a program, on a disk that can lose power.
pub(crate) struct Disk {
    root: PathBuf,
    /// Removes it in the end.
    _directory: Directory,
    /// What was there when the program started; all of it is durable.
    start: Vec<Start>,
}

/// A file that was there when the program started.
pub(crate) struct Start {
    /// Its path in the directory; empty for the directory itself.
    pub(crate) path: String,
    /// Its number.
    pub(crate) file: u64,
    pub(crate) bytes: u64,
}

/// What is left of what was written after the last sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsynced {
    /// Nothing.
    Lost,
    /// Of each file some, and some changes of names: what a disk does by itself in the meantime.
    Torn,
}

/// A call that is to fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) call: &'static str,
    /// Which call of this name on a write-ahead log it is, counted from 1.
    pub(crate) number: u32,
    /// Why, as a number of the system.
    pub(crate) errno: i32,
}

/// What the power took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loss {
    /// Bytes at the ends of files.
    pub(crate) bytes: u64,
    /// Changes of names.
    pub(crate) names: usize,
}

impl Loss {
    pub(crate) fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.names += other.names;
    }
}

impl Disk {
    pub(crate) fn new() -> Self {
        let directory = Directory::new();
        // As the program finds it when it looks where it is.
        let root = fs::canonicalize(directory.path("")).expect("it is there");
        let disk = Self {
            root,
            _directory: directory,
            start: Vec::new(),
        };
        fs::create_dir(disk.data()).expect("the directory is empty");
        fs::create_dir(disk.removed()).expect("the directory is empty");
        disk
    }

    /// The directory that is watched.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    fn removed(&self) -> PathBuf {
        self.root.join("removed")
    }

    fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// Watches what this program will do, from its start.
    pub(crate) fn watch(&mut self, command: &mut Command) {
        let _ = fs::remove_file(self.journal());
        fs::remove_dir_all(self.removed()).expect("it is there");
        fs::create_dir(self.removed()).expect("it is gone");
        let mut paths = vec![self.data()];
        paths.extend(walk(&self.data()));
        self.start = paths.iter().map(|path| self.start_of(path)).collect();
        command
            .env("LD_PRELOAD", library())
            .env("POWER_DIRECTORY", self.data())
            .env("POWER_JOURNAL", self.journal())
            .env("POWER_REMOVED", self.removed());
    }

    /// As [`Disk::watch`], and lets each sync take longer.
    pub(crate) fn watch_slowly(&mut self, command: &mut Command, longer: Duration) {
        self.watch(command);
        command.env("POWER_SLOW_US", longer.as_micros().to_string());
    }

    /// As [`Disk::watch`], and lets one call fail.
    pub(crate) fn watch_and_fail(&mut self, command: &mut Command, failure: Failure) {
        self.watch(command);
        let Failure {
            call,
            number,
            errno,
        } = failure;
        command.env("POWER_FAILURE", format!("{call} {number} {errno}"));
    }

    /// What the program has done.
    pub(crate) fn events(&self) -> Vec<Event> {
        events(&fs::read(self.journal()).unwrap_or_default())
    }

    /// Takes from the directory what is not durable. The program has to have ended.
    pub(crate) fn lose_power(&self, unsynced: Unsynced, random: &mut Rng) -> Loss {
        let mut history = History::new(&self.start);
        history.replay(self.events());
        let sources = self.files();
        let (entries, names) = history.entries(unsynced, random);
        let mut loss = Loss { bytes: 0, names };
        let rest = self.root.join("rest");
        for (name, file) in entries {
            let path = rest.join(&name);
            let Some(source) = sources.get(&file) else {
                continue;
            };
            if source.is_dir() {
                fs::create_dir_all(&path).expect("it can be written");
                continue;
            }
            // Without its directory there is no file.
            if path.parent().is_some_and(Path::is_dir) {
                let now = fs::read(source).expect("it is there");
                let bytes = now.len();
                let then = history.content(file, now, unsynced, random);
                loss.bytes += bytes.saturating_sub(then.len()) as u64;
                fs::write(path, then).expect("it can be written");
            }
        }
        fs::remove_dir_all(self.data()).expect("it is there");
        fs::rename(rest, self.data()).expect("it is there");
        loss
    }

    /// Where each file is now, by its number, those that were removed included.
    fn files(&self) -> HashMap<u64, PathBuf> {
        let mut files = HashMap::new();
        for directory in [self.removed(), self.data()] {
            let mut paths = walk(&directory);
            paths.push(directory);
            files.extend(paths.into_iter().map(|path| (number(&path), path)));
        }
        files
    }

    fn start_of(&self, path: &Path) -> Start {
        let name = path.strip_prefix(self.data()).expect("it is below");
        Start {
            path: name.to_str().expect("all are plain").to_owned(),
            file: number(path),
            bytes: fs::metadata(path).expect("it is there").len(),
        }
    }
}

/// Everything in the directory, directories before what is in them.
fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).expect("it is there") {
        let path = entry.expect("it can be read").path();
        let below = if path.is_dir() {
            walk(&path)
        } else {
            Vec::new()
        };
        paths.push(path);
        paths.extend(below);
    }
    paths
}

fn number(path: &Path) -> u64 {
    fs::metadata(path).expect("it is there").ino()
}

/// The library made of `power.c`.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let library = target.join(format!("power-{}.so", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/power.c");
        let compiled = Command::new("cc")
            .args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(source)
            .status()
            .expect("there is a C compiler");
        assert!(compiled.success(), "power.c does not compile");
        // Another run of the tests may be about to load it.
        let shared = target.join("power.so");
        fs::rename(library, &shared).expect("it is there");
        shared
    })
}
