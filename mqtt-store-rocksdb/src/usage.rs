//! What the tables take up on the disk.

use std::ffi::OsStr;

use mqtt_broker_core::store::StoreError;
use rocksdb::{DB, properties};

use crate::database::failed;
use crate::table::{Table, handle};

/// What a store takes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Each table.
    pub tables: Vec<TableUsage>,
    /// Bytes of the log: changes that are not in the files of the tables yet.
    pub log_bytes: u64,
}

/// What a table takes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableUsage {
    /// Its short name, as in messages about it.
    pub name: &'static str,
    /// About how many rows it has.
    pub rows_estimated: u64,
    /// About how many bytes of its files would be left if what was deleted were gone.
    pub live_bytes: u64,
    /// Bytes of its files, without large values.
    pub file_bytes: u64,
    /// Bytes of the files with large values.
    pub blob_bytes: u64,
}

impl Usage {
    pub(crate) fn of(db: &DB) -> Result<Self, StoreError> {
        let tables = Table::ALL.into_iter().map(|table| {
            let handle = handle(db, table)?;
            let number = |property: &properties::PropName| {
                let number = db.property_int_value_cf(handle, property);
                Ok::<_, StoreError>(number.map_err(failed)?.unwrap_or(0))
            };
            Ok(TableUsage {
                name: table.name(),
                rows_estimated: number(properties::ESTIMATE_NUM_KEYS)?,
                live_bytes: number(properties::ESTIMATE_LIVE_DATA_SIZE)?,
                file_bytes: number(properties::TOTAL_SST_FILES_SIZE)?,
                blob_bytes: db
                    .property_int_value_cf(handle, "rocksdb.live-blob-file-size")
                    .map_err(failed)?
                    .unwrap_or(0),
            })
        });
        Ok(Self {
            tables: tables.collect::<Result<_, StoreError>>()?,
            log_bytes: log_bytes(db).map_err(StoreError::failed)?,
        })
    }
}

fn log_bytes(db: &DB) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(db.path())? {
        let entry = entry?;
        if entry.path().extension() == Some(OsStr::new("log")) {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}
