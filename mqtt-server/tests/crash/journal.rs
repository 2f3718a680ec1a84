//! The journal of `power.c`: what a program has done to a directory, and what of it is durable.
//!
//! The model is described there.

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;

use crate::power::{Start, Unsynced};

/// A record of the journal.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    Changed(Change),
    Overwritten {
        file: u64,
        offset: u64,
        before: Vec<u8>,
    },
    Syncing {
        file: u64,
        bytes: u64,
        token: u64,
    },
    Synced {
        token: u64,
    },
    Sent {
        start: Vec<u8>,
    },
    Failed {
        call: String,
    },
}

/// A change of names.
#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    Created { file: u64, path: String },
    Renamed { old: String, new: String },
    Removed { path: String },
}

/// All records of a journal; one that is not whole is the last, and was never finished.
pub(crate) fn events(mut journal: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some((event, rest)) = event(journal) {
        events.push(event);
        journal = rest;
    }
    events
}

/// The first record, and what is behind it.
fn event(journal: &[u8]) -> Option<(Event, &[u8])> {
    let (header, rest) = journal.split_at_checked(40)?;
    let small = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
    let large = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
    let (first, rest) = rest.split_at_checked(small(4) as usize)?;
    let (second, rest) = rest.split_at_checked(small(8) as usize)?;
    let [file, number, token] = [16, 24, 32].map(large);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("all paths are plain");
    let event = match header[0] {
        b'C' => Event::Changed(Change::Created {
            file,
            path: text(first),
        }),
        b'R' => Event::Changed(Change::Renamed {
            old: text(first),
            new: text(second),
        }),
        b'U' => Event::Changed(Change::Removed { path: text(first) }),
        b'O' => Event::Overwritten {
            file,
            offset: number,
            before: second.to_vec(),
        },
        b'B' => Event::Syncing {
            file,
            bytes: number,
            token,
        },
        b'S' => Event::Synced { token },
        b'A' => Event::Sent {
            start: second.to_vec(),
        },
        b'F' => Event::Failed { call: text(first) },
        other => panic!("a record of kind {other}"),
    };
    Some((event, rest))
}

/// Paths, and the numbers of the files that they lead to.
type Entries = BTreeMap<String, u64>;

/// What has happened to a directory.
pub(crate) struct History {
    start: Entries,
    /// The changes of names, in their order.
    changes: Vec<Recorded>,
    contents: HashMap<u64, Content>,
}

struct Recorded {
    change: Change,
    /// Its place among all events.
    at: usize,
    durable: bool,
}

/// What is durable of a file's content.
#[derive(Default)]
struct Content {
    bytes: u64,
    /// What was overwritten since it was durable.
    overwritten: Vec<Overwritten>,
}

struct Overwritten {
    at: usize,
    offset: usize,
    before: Vec<u8>,
}

/// A sync that has begun.
struct Sync {
    at: usize,
    file: u64,
    bytes: u64,
}

impl History {
    pub(crate) fn new(start: &[Start]) -> Self {
        let entries = start.iter().map(|start| (start.path.clone(), start.file));
        let contents = start.iter().map(|start| {
            let content = Content {
                bytes: start.bytes,
                ..Content::default()
            };
            (start.file, content)
        });
        Self {
            start: entries.collect(),
            changes: Vec::new(),
            contents: contents.collect(),
        }
    }

    pub(crate) fn replay(&mut self, events: Vec<Event>) {
        let mut paths = self.start.clone();
        let mut syncs = HashMap::new();
        for (at, event) in events.into_iter().enumerate() {
            match event {
                Event::Changed(change) => {
                    apply(&mut paths, &change);
                    self.changes.push(Recorded {
                        change,
                        at,
                        durable: false,
                    });
                }
                Event::Overwritten {
                    file,
                    offset,
                    before,
                } => self
                    .contents
                    .entry(file)
                    .or_default()
                    .overwritten
                    .push(Overwritten {
                        at,
                        offset: offset as usize,
                        before,
                    }),
                Event::Syncing { file, bytes, token } => {
                    syncs.insert(token, Sync { at, file, bytes });
                }
                Event::Synced { token } => {
                    let sync = syncs.remove(&token).expect("it has begun");
                    self.sync(&sync, &paths);
                }
                Event::Sent { .. } | Event::Failed { .. } => {}
            }
        }
    }

    /// What had happened when the sync began is durable from now on.
    fn sync(&mut self, sync: &Sync, paths: &Entries) {
        let content = self.contents.entry(sync.file).or_default();
        content.bytes = sync.bytes;
        content
            .overwritten
            .retain(|overwritten| overwritten.at > sync.at);
        let directory = paths.iter().find(|(_, file)| **file == sync.file);
        let earlier = self.changes.iter_mut().filter(|change| change.at < sync.at);
        for recorded in earlier {
            let (created, path) = match &recorded.change {
                Change::Created { file, path } => (*file == sync.file, path),
                Change::Renamed { new, .. } => (false, new),
                Change::Removed { path } => (false, path),
            };
            let in_directory = directory.is_some_and(|(name, _)| parent(path) == name);
            recorded.durable |= created || in_directory;
        }
    }

    /// The names that are left, and how many changes of names are not.
    pub(crate) fn entries(&self, unsynced: Unsynced, random: &mut Rng) -> (Entries, usize) {
        // A file system with a journal keeps the order of such changes, whatever else it loses.
        let kept = match unsynced {
            Unsynced::Lost => 0,
            Unsynced::Torn => random.usize(..=self.changes.len()),
        };
        let mut entries = self.start.clone();
        let mut lost = 0;
        for (index, recorded) in self.changes.iter().enumerate() {
            if recorded.durable || index < kept {
                apply(&mut entries, &recorded.change);
            } else {
                lost += 1;
            }
        }
        (entries, lost)
    }

    /// What is left of a file that has this content now.
    pub(crate) fn content(
        &self,
        file: u64,
        mut content: Vec<u8>,
        unsynced: Unsynced,
        random: &mut Rng,
    ) -> Vec<u8> {
        let nothing = Content::default();
        let durable = self.contents.get(&file).unwrap_or(&nothing);
        for overwritten in durable.overwritten.iter().rev() {
            let end = overwritten.offset + overwritten.before.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[overwritten.offset..end].copy_from_slice(&overwritten.before);
        }
        let synced = content.len().min(durable.bytes as usize);
        let kept = match unsynced {
            Unsynced::Lost => synced,
            Unsynced::Torn => random.usize(synced..=content.len()),
        };
        content.truncate(kept);
        content
    }
}

/// The directory that a path is in; empty for the one that is watched.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn apply(entries: &mut Entries, change: &Change) {
    match change {
        Change::Created { file, path } => {
            entries.insert(path.clone(), *file);
        }
        Change::Renamed { old, new } => {
            if let Some(file) = entries.remove(old) {
                entries.insert(new.clone(), file);
            }
        }
        Change::Removed { path } => {
            entries.remove(path);
        }
    }
}
