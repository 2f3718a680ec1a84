//! Whether all that is in a directory is sound: each block, each row, and what rows say of others.

mod findings;
mod messages;
mod walk;

use std::fmt;
use std::path::Path;

use rocksdb::{Cache, DB};

use self::findings::Findings;
use self::walk::Walk;
use crate::database::{DEFAULT_TABLE, Format, open_to_read, read_format, refuse_others};
use crate::options::Options;
use crate::table::Table;
use crate::{OpenError, directory};

/// What a look at all that is in a directory has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// How many rows each table has, of those that could be read.
    pub tables: Vec<TableRows>,
    /// How many findings are damage.
    pub damage: u64,
    /// How many are waste.
    pub waste: u64,
    /// The first thousand of each kind, in the order in which they were found.
    pub findings: Vec<Finding>,
}

/// How much a table has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRows {
    /// Its short name.
    pub name: &'static str,
    /// Its rows.
    pub rows: u64,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The short name of the table.
    pub table: &'static str,
    /// The row, in the terms of MQTT; empty if it is the table itself.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something is lost or wrong.
    Damage,
    /// Something takes up space that nobody needs.
    Waste,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damage => "damage",
            Self::Waste => "waste",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.table)?;
        if !self.key.is_empty() {
            write!(f, " {}", self.key)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Bytes of blocks that are kept in memory, for rows that others point to.
const CACHE_BYTES: usize = 64 << 20;

pub(crate) fn check(directory: &Path) -> Result<Check, OpenError> {
    if !directory::exists(directory) {
        return Err(OpenError::NoStore(directory.to_owned()));
    }
    let _lock = directory::lock(directory)?;
    refuse_others(directory, &Options::default().rocksdb())?;
    let mut findings = Findings::default();
    let cache = Cache::new_lru_cache(CACHE_BYTES);
    let db = open_what_opens(directory, &cache, &mut findings)?;
    match db.cf_handle(Table::Meta.name()).map(|_| read_format(&db)) {
        // It has been found already that the table cannot be opened.
        None | Some(Ok(Format::Known)) => {}
        Some(Ok(Format::None)) => {
            let what = "the version of the format is not noted".to_owned();
            findings.damage(Table::Meta, String::new(), what);
        }
        Some(Err(OpenError::Store(cause))) => {
            findings.damage(Table::Meta, String::new(), cause.to_string());
        }
        Some(Err(other)) => return Err(other),
    }
    Ok(Walk::new(&db, findings).through_all())
}

/// Opens the tables, without those that cannot be opened.
fn open_what_opens(
    directory: &Path,
    cache: &Cache,
    findings: &mut Findings,
) -> Result<DB, OpenError> {
    let mut tables = Table::ALL.to_vec();
    let open = |tables: &[Table]| {
        let names = tables.iter().map(|table| table.name());
        open_to_read(directory, names.chain([DEFAULT_TABLE]), cache)
    };
    if let Ok(db) = open(&tables) {
        return Ok(db);
    }
    // If it is not the tables, this says what it is.
    drop(open(&[])?);
    tables.retain(|table| {
        let opened = open(&[*table]);
        if let Err(cause) = &opened {
            findings.damage(*table, String::new(), cause.to_string());
        }
        opened.is_ok()
    });
    open(&tables)
}
