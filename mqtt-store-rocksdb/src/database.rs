//! The database: opened, checked, locked, and who has which number in it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use foldhash::fast::RandomState;
use mqtt_broker_core::ClientId;
use mqtt_broker_core::store::{RecordError, StoreError};
use rocksdb::properties::ESTIMATE_NUM_KEYS;
use rocksdb::statistics::Ticker;
use rocksdb::{Cache, ColumnFamilyDescriptor, DB, WriteBatch, WriteOptions};

use crate::aside::Unreadable;
use crate::options::Options;
use crate::record::take_client;
use crate::scan::{Rows, Scan};
use crate::table::{Table, handle};
use crate::{OpenError, key};

/// The version of the format that is written: the tables, their keys and their values.
pub(crate) const FORMAT: u32 = 1;
/// Where it is noted.
const FORMAT_KEY: &[u8] = b"format";
/// The file that is locked while the database is open.
const LOCK_FILE: &str = "lock";

/// An open database.
pub(crate) struct Database {
    pub(crate) db: DB,
    /// The number of each session.
    pub(crate) numbers: RwLock<HashMap<ClientId, u64, RandomState>>,
    /// They have the statistics.
    options: rocksdb::Options,
    /// Locked: nobody else opens the directory.
    _lock: File,
}

impl Database {
    pub(crate) fn open(directory: &Path, options: &Options) -> Result<Self, OpenError> {
        make_directory(directory)?;
        let lock = lock(directory)?;
        let rocksdb = options.rocksdb();
        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        let db = open(directory, &rocksdb, &cache)?;
        check_format(&db)?;
        let numbers = read_numbers(&db)?;
        Ok(Self {
            db,
            numbers: RwLock::new(numbers),
            options: rocksdb,
            _lock: lock,
        })
    }

    /// A count of RocksDB since the database was opened; 0 without statistics.
    pub(crate) fn ticker(&self, ticker: Ticker) -> u64 {
        self.options.get_ticker_count(ticker)
    }

    /// The number of a client's session, if it has one.
    pub(crate) fn number(&self, client: &ClientId) -> Option<u64> {
        let numbers = self.numbers.read().unwrap_or_else(PoisonError::into_inner);
        numbers.get(client).copied()
    }
}

/// True if RocksDB has made a database there: this is the file that names its newest state.
pub(crate) fn exists(directory: &Path) -> bool {
    directory.join("CURRENT").exists()
}

/// Makes the directory, and those above it, so that they survive the loss of power.
fn make_directory(directory: &Path) -> Result<(), OpenError> {
    if directory.as_os_str().is_empty() || directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().unwrap_or(Path::new(""));
    make_directory(parent)?;
    let here = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let made = std::fs::create_dir(directory).and_then(|()| File::open(here)?.sync_all());
    made.map_err(|cause| OpenError::Io {
        path: directory.to_owned(),
        cause,
    })
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK_FILE);
    let io = |cause| OpenError::Io {
        path: path.clone(),
        cause,
    };
    let mut open = OpenOptions::new();
    let open = open.read(true).write(true).create(true).truncate(false);
    let mut file = open.open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(io)?;
            writeln!(file, "{}", std::process::id()).map_err(io)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            // Whoever holds it may be about to write it: then it is not told.
            let _ = file.read_to_string(&mut process);
            Err(OpenError::InUse {
                directory: directory.to_owned(),
                process: process.trim().parse().ok(),
            })
        }
        Err(TryLockError::Error(cause)) => Err(io(cause)),
    }
}

fn open(directory: &Path, options: &rocksdb::Options, cache: &Cache) -> Result<DB, OpenError> {
    let known = Table::ALL.map(|table| table.descriptor(cache));
    // A later format may have tables that are not known here. They have to be opened all the same,
    // before it can be said that the format is a later one.
    let there = if exists(directory) {
        DB::list_cf(options, directory).map_err(|cause| OpenError::damaged(directory, &cause))?
    } else {
        Vec::new()
    };
    let others = there
        .into_iter()
        .filter(|name| Table::ALL.iter().all(|table| table.name() != name))
        .map(|name| ColumnFamilyDescriptor::new(name, rocksdb::Options::default()));
    DB::open_cf_descriptors(options, directory, known.into_iter().chain(others))
        .map_err(|cause| OpenError::damaged(directory, &cause))
}

/// Notes the version of the format in a new database; refuses a later one.
fn check_format(db: &DB) -> Result<(), OpenError> {
    let meta = handle(db, Table::Meta)?;
    match db.get_pinned_cf(meta, FORMAT_KEY).map_err(failed)? {
        None => {
            let mut options = WriteOptions::default();
            options.set_sync(true);
            let written = db.put_cf_opt(meta, FORMAT_KEY, FORMAT.to_be_bytes(), &options);
            Ok(written.map_err(failed)?)
        }
        Some(bytes) => match <[u8; 4]>::try_from(&*bytes).map(u32::from_be_bytes) {
            Ok(FORMAT) => Ok(()),
            Ok(found) if found > FORMAT => Err(OpenError::Later {
                found,
                known: FORMAT,
            }),
            Ok(_) | Err(_) => Err(OpenError::NoFormat(bytes.escape_ascii().to_string())),
        },
    }
}

fn read_numbers(db: &DB) -> Result<HashMap<ClientId, u64, RandomState>, StoreError> {
    let table = handle(db, Table::Session)?;
    let about = db.property_int_value_cf(table, ESTIMATE_NUM_KEYS);
    // It is a guess, and makes room for no more than a large broker has.
    let about = about.map_err(failed)?.unwrap_or(0).min(10_000_000) as usize;
    let mut numbers = HashMap::with_capacity_and_hasher(about, RandomState::default());
    let mut aside = WriteBatch::default();
    let mut rows = Rows::of(db, Table::Session, Scan::All)?;
    while let Some((key, value)) = rows.next()? {
        let parsed = take_client(value).map(|(client, _)| (client, key::parse_number(key)));
        match parsed {
            Ok((client, Some(number))) => drop(numbers.insert(client, number)),
            Ok((_, None)) => {
                set_aside(db, key, RecordError::Damaged, &mut aside)?;
            }
            Err(why) => set_aside(db, key, why, &mut aside)?,
        }
    }
    db.write(aside).map_err(failed)?;
    Ok(numbers)
}

fn set_aside(
    db: &DB,
    key: &[u8],
    why: RecordError,
    batch: &mut WriteBatch,
) -> Result<(), StoreError> {
    let unreadable = Unreadable::new(Table::Session, key, why);
    unreadable.report();
    unreadable.move_away(db, batch)
}

/// RocksDB's error as the store's.
pub(crate) fn failed(cause: rocksdb::Error) -> StoreError {
    StoreError::failed(cause)
}

impl OpenError {
    fn damaged(directory: &Path, cause: &rocksdb::Error) -> Self {
        Self::Unopenable {
            directory: PathBuf::from(directory),
            cause: cause.to_string(),
        }
    }
}
