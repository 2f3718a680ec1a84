//! Rows of a table, one after the other.

use mqtt_broker_core::store::StoreError;
use rocksdb::{DB, DBRawIterator, ReadOptions, Snapshot};

use crate::database::failed;
use crate::key;
use crate::table::{Table, handle};

/// Bytes that are read ahead, once rows are read one after the other.
const READ_AHEAD_BYTES: usize = 256 << 10;

/// Which rows.
#[derive(Clone, Copy)]
pub(crate) enum Scan<'a> {
    All,
    /// Those whose key is this one or a later one.
    From(&'a [u8]),
    /// Those of the session with this number.
    Session(u64),
    /// Those of the session with this number whose second number is this one or a later one.
    SessionFrom(u64, u64),
    /// The last row.
    Last,
}

/// A key and its value.
pub(crate) type Row<'a> = (&'a [u8], &'a [u8]);

/// Where a scan is.
pub(crate) struct Rows<'a> {
    raw: DBRawIterator<'a>,
    /// True once the first row has been looked at, and the next one is behind it.
    started: bool,
}

impl<'a> Rows<'a> {
    /// Rows as they are now.
    pub(crate) fn of(db: &'a DB, table: Table, scan: Scan<'_>) -> Result<Self, StoreError> {
        Self::with(db, table, scan, ReadOptions::default())
    }

    /// Rows as they were when the snapshot was made.
    pub(crate) fn at(
        db: &'a DB,
        snapshot: &Snapshot<'_>,
        table: Table,
        scan: Scan<'_>,
    ) -> Result<Self, StoreError> {
        let mut options = ReadOptions::default();
        options.set_snapshot(snapshot);
        Self::with(db, table, scan, options)
    }

    fn with(
        db: &'a DB,
        table: Table,
        scan: Scan<'_>,
        mut options: ReadOptions,
    ) -> Result<Self, StoreError> {
        // What is scanned is not read again soon.
        options.fill_cache(false);
        match scan {
            Scan::All | Scan::From(_) => options.set_readahead_size(READ_AHEAD_BYTES),
            Scan::Session(number) | Scan::SessionFrom(number, _) => {
                options.set_iterate_upper_bound(key::behind(number));
            }
            Scan::Last => {}
        }
        let mut raw = db.raw_iterator_cf_opt(handle(db, table)?, options);
        match scan {
            Scan::All => raw.seek_to_first(),
            Scan::From(key) => raw.seek(key),
            Scan::Session(number) => raw.seek(key::number(number)),
            Scan::SessionFrom(number, second) => raw.seek(key::pair(number, second)),
            Scan::Last => raw.seek_to_last(),
        }
        Ok(Self {
            raw,
            started: false,
        })
    }

    /// The next row's key and value.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>, StoreError> {
        if self.started && self.raw.valid() {
            self.raw.next();
        }
        self.started = true;
        self.current()
    }

    /// Goes to the row with this key, or the first one behind it.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<Option<Row<'_>>, StoreError> {
        self.raw.seek(key);
        self.started = true;
        self.current()
    }

    /// Goes to the row with this key, or the last one before it.
    pub(crate) fn seek_back(&mut self, key: &[u8]) -> Result<Option<Row<'_>>, StoreError> {
        self.raw.seek_for_prev(key);
        self.started = true;
        self.current()
    }

    /// The row before the one that was looked at last.
    pub(crate) fn previous(&mut self) -> Result<Option<Row<'_>>, StoreError> {
        if self.raw.valid() {
            self.raw.prev();
        }
        self.current()
    }

    /// The row that was looked at last.
    pub(crate) fn current(&self) -> Result<Option<Row<'_>>, StoreError> {
        match self.raw.item() {
            Some(row) => Ok(Some(row)),
            // It ends here, or what comes cannot be read.
            None => self.raw.status().map(|()| None).map_err(failed),
        }
    }
}
