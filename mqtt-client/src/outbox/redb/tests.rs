//! What a failing disk, and one that forgets, does to an outbox.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use redb::StorageBackend;

use super::*;
use crate::outbox::testkit;

/// Bytes that a disk writes as a whole.
const SECTOR_BYTES: usize = 512;

/// A disk in memory. A clone is the same disk.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platters>>);

#[derive(Debug, Default)]
struct Platters {
    /// What a reader sees.
    content: Vec<u8>,
    /// What is there after a loss of power, whatever else may be.
    synced: Vec<u8>,
    /// What was done since.
    since: VecDeque<Done>,
    syncs: usize,
    /// How many writes and syncs succeed before each fails.
    left: Option<usize>,
}

#[derive(Debug)]
enum Done {
    Sector(usize, Vec<u8>),
    Length(usize),
}

impl Platters {
    fn take_one(&mut self) -> io::Result<()> {
        match &mut self.left {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the disk is broken")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().content.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platters = self.0.lock().unwrap();
        let from = offset as usize;
        let bytes = platters.content.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut platters = self.0.lock().unwrap();
        platters.take_one()?;
        platters.content.resize(len as usize, 0);
        platters.since.push_back(Done::Length(len as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platters = self.0.lock().unwrap();
        platters.take_one()?;
        platters.synced = platters.content.clone();
        platters.since.clear();
        platters.syncs += 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platters = self.0.lock().unwrap();
        platters.take_one()?;
        let from = offset as usize;
        platters.content[from..from + data.len()].copy_from_slice(data);
        for (index, sector) in data.chunks(SECTOR_BYTES).enumerate() {
            let at = from + index * SECTOR_BYTES;
            platters.since.push_back(Done::Sector(at, sector.to_vec()));
        }
        Ok(())
    }
}

impl Disk {
    /// The disk after a loss of power: what was synced, and of what came after that anything, in any order.
    fn without_power(&self, random: &mut Rng) -> Self {
        let platters = self.0.lock().unwrap();
        let mut content = platters.synced.clone();
        let survives = random.u8(..=100);
        let mut since: Vec<&Done> = platters.since.iter().collect();
        if random.bool() {
            random.shuffle(&mut since);
        }
        for done in since {
            if random.u8(..100) >= survives {
                continue;
            }
            match done {
                Done::Length(len) => content.resize(*len, 0),
                Done::Sector(at, bytes) => {
                    let end = at + bytes.len();
                    content.resize(content.len().max(end), 0);
                    content[*at..end].copy_from_slice(bytes);
                }
            }
        }
        Self(Arc::new(Mutex::new(Platters {
            synced: content.clone(),
            content,
            ..Platters::default()
        })))
    }

    fn fails_after(&self, left: usize) {
        self.0.lock().unwrap().left = Some(left);
    }

    fn syncs(&self) -> usize {
        self.0.lock().unwrap().syncs
    }

    fn open(&self) -> RedbOutbox {
        RedbOutbox::open_backend(self.clone()).unwrap()
    }
}

fn model(batches: std::ops::Range<u64>) -> Stored {
    let mut stored = Stored::default();
    for number in batches {
        stored.apply(&testkit::batch(number).unwrap());
    }
    stored
}

#[test]
fn a_commit_is_on_the_disk_when_it_returns() {
    let disk = Disk::default();
    let mut outbox = disk.open();
    let opened = disk.syncs();
    for number in 0..20 {
        outbox.commit(&testkit::batch(number).unwrap()).unwrap();
        assert!(disk.0.lock().unwrap().since.is_empty());
    }
    // One for each, and few more: after opening, and when the file grows.
    assert!((20..25).contains(&(disk.syncs() - opened)));
    let before = disk.syncs();
    outbox.commit(&[]).unwrap();
    assert_eq!(disk.syncs(), before, "nothing to commit costs nothing");
}

#[test]
fn a_loss_of_power_takes_nothing_that_was_committed() {
    for seed in 0..150 {
        let random = &mut Rng::with_seed(seed);
        let mut disk = Disk::default();
        let mut committed = 0;
        for _ in 0..3 {
            let mut outbox = disk.open();
            for _ in 0..random.u64(..12) {
                outbox.commit(&testkit::batch(committed).unwrap()).unwrap();
                committed += 1;
            }
            // The power may go in the middle of a commit, which then is there or is not.
            disk.fails_after(random.usize(..40));
            let interrupted = outbox.commit(&testkit::batch(committed).unwrap());
            let after = disk.without_power(random);
            drop(outbox);
            let found = after.open().load().unwrap();
            if found == model(0..committed + 1) {
                committed += 1;
            } else {
                assert!(interrupted.is_err(), "seed {seed}");
                assert!(
                    found == model(0..committed),
                    "seed {seed}: not what was committed"
                );
            }
            disk = after;
        }
    }
}

#[test]
fn nothing_is_taken_after_an_error() {
    for left in 0..12 {
        let disk = Disk::default();
        let mut outbox = disk.open();
        outbox.commit(&testkit::batch(0).unwrap()).unwrap();
        disk.fails_after(left);
        let mut taken = 1;
        let error = loop {
            match outbox.commit(&testkit::batch(taken).unwrap()) {
                Ok(()) => taken += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, OutboxError::Failed(_)), "{error}");
        // The disk is sound again, but nobody knows what it has missed.
        disk.0.lock().unwrap().left = None;
        let error = outbox.commit(&testkit::batch(taken).unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "nothing more is taken since a commit failed"
        );
        drop(outbox);
        let found = disk.open().load().unwrap();
        assert!(found == model(0..taken) || found == model(0..taken + 1));
    }
}

#[test]
fn records_of_other_kinds_are_damage() {
    for (record, what) in [
        (&[][..], "a record ends too early"),
        (&[3], "a record is of no known kind"),
        (&[2, 0, 0], "a record ends too early"),
        (&[1, 0x30, 5], "a record ends too early"),
        (
            &[1, 0xC0, 0],
            "a record holds another packet than a PUBLISH",
        ),
        (
            &[1, 0x30, 3, 0, 1, b'+'],
            "a record holds a wrong PUBLISH: ",
        ),
    ] {
        let disk = Disk::default();
        let mut outbox = disk.open();
        let writing = outbox.database.begin_write().unwrap();
        writing
            .open_table(OUTGOING)
            .unwrap()
            .insert(7, record)
            .unwrap();
        writing.commit().unwrap();
        let error = outbox.load().unwrap_err().to_string();
        let expected = format!("what is stored is damaged: {what}");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn another_format_is_refused_and_left_alone() {
    let disk = Disk::default();
    drop(disk.open());
    let write = |value: &[u8]| {
        let database = Builder::new().create_with_backend(disk.clone()).unwrap();
        let writing = database.begin_write().unwrap();
        let mut about = writing.open_table(ABOUT).unwrap();
        about.insert(FORMAT_KEY, value).unwrap();
        drop(about);
        writing.commit().unwrap();
    };
    write(&[2, 0, 0, 0]);
    let error = RedbOutbox::open_backend(disk.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it has format 2, and this version knows format 1"
    );
    write(b"?");
    let error = RedbOutbox::open_backend(disk.clone()).unwrap_err();
    assert!(matches!(error, NotOpened::NoOutbox), "{error}");
}

#[test]
fn a_database_of_another_program_is_refused() {
    let disk = Disk::default();
    let database = Builder::new().create_with_backend(disk.clone()).unwrap();
    let writing = database.begin_write().unwrap();
    writing.open_table(OUTGOING).unwrap();
    writing.commit().unwrap();
    drop(database);
    let error = RedbOutbox::open_backend(disk).unwrap_err();
    assert!(matches!(error, NotOpened::NoOutbox), "{error}");
}
