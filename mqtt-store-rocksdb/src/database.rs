//! The database: opened, checked, locked, and who has which number in it.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use foldhash::fast::RandomState;
use mqtt_broker_core::ClientId;
use mqtt_broker_core::store::StoreError;
use rocksdb::properties::ESTIMATE_NUM_KEYS;
use rocksdb::statistics::Ticker;
use rocksdb::{Cache, ColumnFamilyDescriptor, DB, WriteBatch, WriteOptions};

use crate::aside::{Fault, Unreadable};
use crate::options::Options;
use crate::record::parse_session;
use crate::scan::{Rows, Scan};
use crate::table::{Table, handle};
use crate::{OpenError, SetAside, directory, key};

/// The version of the format that is written: the tables, their keys and their values.
pub(crate) const FORMAT: u32 = 1;
/// Where it is noted.
pub(crate) const FORMAT_KEY: &[u8] = b"format";
/// The table that each database of RocksDB has. Nothing is in it.
pub(crate) const DEFAULT_TABLE: &str = "default";

/// An open database.
pub(crate) struct Database {
    pub(crate) db: DB,
    /// The number of each session.
    numbers: RwLock<Numbers>,
    /// What was set aside by the time when it was open.
    pub(crate) set_aside: SetAside,
    /// They have the statistics.
    options: rocksdb::Options,
    /// Locked: nobody else opens the directory.
    _lock: File,
}

type Numbers = HashMap<ClientId, u64, RandomState>;

impl Database {
    pub(crate) fn open(directory: &Path, options: &Options) -> Result<Self, OpenError> {
        directory::prepare(directory)?;
        let lock = directory::lock(directory)?;
        let rocksdb = options.rocksdb();
        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        if directory::exists(directory) {
            refuse_others(directory, &rocksdb)?;
        }
        let known = Table::ALL.map(|table| table.descriptor(&cache));
        let db = DB::open_cf_descriptors(&rocksdb, directory, known)
            .map_err(|cause| OpenError::damaged(directory, &cause))?;
        if read_format(&db)? == Format::None {
            note_format(&db)?;
        }
        let mut set_aside = SetAside::default();
        let mut rows = Rows::of(&db, Table::Aside, Scan::All)?;
        while rows.next()?.is_some() {
            set_aside.earlier += 1;
        }
        drop(rows);
        let (numbers, unreadable) = read_numbers(&db)?;
        let mut batch = WriteBatch::default();
        for row in &unreadable {
            row.report();
            row.move_away(&db, &mut batch)?;
            set_aside.now += 1;
        }
        db.write(batch).map_err(failed)?;
        Ok(Self {
            db,
            numbers: RwLock::new(numbers),
            set_aside,
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

    /// Sessions have ended, and others begun: first the ones, then the others.
    pub(crate) fn renumber(&self, ended: &[ClientId], begun: Vec<(ClientId, u64)>) {
        let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
        for client in ended {
            numbers.remove(client);
        }
        numbers.extend(begun);
    }

    /// The session with this key is no more. Whose it was may not be known.
    pub(crate) fn forget(&self, key: &[u8]) {
        let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
        numbers.retain(|_, number| key::number(*number) != key);
    }
}

/// Opens a database that cannot be written, with these of its tables.
pub(crate) fn open_to_read<'a>(
    directory: &Path,
    tables: impl IntoIterator<Item = &'a str>,
    cache: &Cache,
) -> Result<DB, OpenError> {
    let descriptors = tables.into_iter().map(|name| {
        let known = Table::ALL.into_iter().find(|table| table.name() == name);
        known.map_or_else(
            || ColumnFamilyDescriptor::new(name, rocksdb::Options::default()),
            |table| table.descriptor(cache),
        )
    });
    let mut options = Options::default().rocksdb();
    options.create_if_missing(false);
    options.create_missing_column_families(false);
    DB::open_cf_descriptors_read_only(&options, directory, descriptors, false)
        .map_err(|cause| OpenError::damaged(directory, &cause))
}

/// Refuses a database with other tables than this format has. Nothing of it is changed, not even
/// by RocksDB, which makes missing tables when it opens a database to write.
pub(crate) fn refuse_others(directory: &Path, options: &rocksdb::Options) -> Result<(), OpenError> {
    let there =
        DB::list_cf(options, directory).map_err(|cause| OpenError::damaged(directory, &cause))?;
    let missing = Table::ALL
        .into_iter()
        .find(|table| there.iter().all(|name| name != table.name()));
    let unknown = there.iter().find(|name| {
        let mut known = Table::ALL.iter().map(|table| table.name());
        *name != DEFAULT_TABLE && known.all(|table| table != *name)
    });
    if missing.is_none() && unknown.is_none() {
        return Ok(());
    }
    let noted = there.iter().find(|name| *name == Table::Meta.name());
    let tables = noted.map(String::as_str).into_iter().chain([DEFAULT_TABLE]);
    let db = open_to_read(directory, tables, &Cache::new_lru_cache(0))?;
    let format = match noted {
        Some(_) => read_format(&db)?,
        None => Format::None,
    };
    let mut rows = db.raw_iterator();
    rows.seek_to_first();
    match (unknown, missing, format) {
        (Some(unknown), _, _) => Err(OpenError::NoFormat(format!("it has a table {unknown}"))),
        (None, Some(missing), Format::Known) => Err(OpenError::NoFormat(format!(
            "it has no table {}",
            missing.name()
        ))),
        (None, _, Format::None) if rows.valid() => Err(OpenError::NoFormat(format!(
            "it has something in its table {DEFAULT_TABLE}"
        ))),
        // Its making was interrupted.
        (None, _, Format::None | Format::Known) => Ok(()),
    }
}

/// The version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// It is not noted yet.
    None,
    /// That of this crate.
    Known,
}

/// Reads the version of the format. One that is not known is refused.
pub(crate) fn read_format(db: &DB) -> Result<Format, OpenError> {
    let meta = handle(db, Table::Meta)?;
    let Some(bytes) = db.get_pinned_cf(meta, FORMAT_KEY).map_err(failed)? else {
        return Ok(Format::None);
    };
    match <[u8; 4]>::try_from(&*bytes).map(u32::from_be_bytes) {
        Ok(FORMAT) => Ok(Format::Known),
        Ok(found) if found > FORMAT => Err(OpenError::Later {
            found,
            known: FORMAT,
        }),
        Ok(_) | Err(_) => Err(OpenError::NoFormat(bytes.escape_ascii().to_string())),
    }
}

fn note_format(db: &DB) -> Result<(), StoreError> {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    let meta = handle(db, Table::Meta)?;
    db.put_cf_opt(meta, FORMAT_KEY, FORMAT.to_be_bytes(), &options)
        .map_err(failed)
}

/// The number of each session, and sessions that cannot be read. They have no number, or the next
/// session of the client would be taken for what they have left behind.
fn read_numbers(db: &DB) -> Result<(Numbers, Vec<Unreadable>), StoreError> {
    let table = handle(db, Table::Session)?;
    let about = db.property_int_value_cf(table, ESTIMATE_NUM_KEYS);
    // It is a guess, and makes room for no more than a large broker has.
    let about = about.map_err(failed)?.unwrap_or(0).min(10_000_000) as usize;
    let mut numbers = Numbers::with_capacity_and_hasher(about, RandomState::default());
    let mut unreadable = Vec::new();
    let mut rows = Rows::of(db, Table::Session, Scan::All)?;
    while let Some((key, value)) = rows.next()? {
        let parsed = key::parse_number(key)
            .ok_or(Fault::Key)
            .and_then(|number| Ok((number, parse_session(value)?)));
        let (number, client) = match parsed {
            Ok((number, (client, _))) => (number, client),
            Err(fault) => {
                unreadable.push(Unreadable::new(Table::Session, key, value, fault));
                continue;
            }
        };
        if let Some(older) = numbers.insert(client, number) {
            let key = key::number(older);
            if let Some(value) = db.get_pinned_cf(table, &key).map_err(failed)? {
                let fault = Fault::Older(number);
                unreadable.push(Unreadable::new(Table::Session, &key, &value, fault));
            }
        }
    }
    Ok((numbers, unreadable))
}

/// RocksDB's error as the store's.
pub(crate) fn failed(cause: rocksdb::Error) -> StoreError {
    StoreError::failed(cause)
}

impl OpenError {
    fn damaged(directory: &Path, cause: &rocksdb::Error) -> Self {
        Self::Unopenable {
            directory: directory.to_owned(),
            cause: cause.to_string(),
        }
    }
}
