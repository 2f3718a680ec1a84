//! Whether a store is sound.

use std::fmt;
use std::path::Path;

use mqtt_store_rocksdb::{Check, Finding, RocksStore};
use serde::{Serialize, Serializer};

use super::Form;

/// Says what is wrong with the store in a directory.
///
/// # Errors
/// One line if something is damaged, or nothing can be said.
pub(super) fn print_check(directory: &Path, form: &Form) -> Result<(), String> {
    let path = directory.display();
    if !RocksStore::exists(directory) {
        return Err(format!("there is no store in {path}"));
    }
    let check = RocksStore::check(directory)
        .map_err(|cause| format!("cannot check the store in {path}: {cause}"))?;
    form.print(&Report::of(&check))?;
    if check.damage == 0 {
        return Ok(());
    }
    Err(format!(
        "the store in {path} is damaged: what can be read can be exported, and imported into a new directory"
    ))
}

/// What was found. The names are those of the JSON form.
#[derive(Serialize)]
struct Report<'a> {
    damage: u64,
    waste: u64,
    /// The first thousand of each kind.
    findings: Vec<Line<'a>>,
    tables: Tables<'a>,
}

#[derive(Serialize)]
struct Line<'a> {
    severity: String,
    table: &'a str,
    key: &'a str,
    what: &'a str,
    #[serde(skip)]
    text: String,
}

/// Each table with its number of rows.
struct Tables<'a>(&'a Check);

impl Serialize for Tables<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.tables.iter().map(|table| (table.name, table.rows)))
    }
}

impl<'a> Report<'a> {
    fn of(check: &'a Check) -> Self {
        let line = |finding: &'a Finding| Line {
            severity: finding.severity.to_string(),
            table: finding.table,
            key: &finding.key,
            what: &finding.what,
            text: finding.to_string(),
        };
        Self {
            damage: check.damage,
            waste: check.waste,
            findings: check.findings.iter().map(line).collect(),
            tables: Tables(check),
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.findings {
            writeln!(f, "{}", line.text)?;
        }
        let (found, kept) = (self.damage + self.waste, self.findings.len() as u64);
        if found > kept {
            writeln!(f, "and {} more", found - kept)?;
        }
        let rows: u64 = self.tables.0.tables.iter().map(|table| table.rows).sum();
        match (self.damage, self.waste) {
            (0, 0) => writeln!(f, "sound: {rows} rows"),
            (0, waste) => writeln!(f, "sound: {rows} rows; {waste} wasted"),
            (damage, waste) => {
                writeln!(f, "damaged: {rows} rows; {damage} damaged, {waste} wasted")
            }
        }
    }
}
