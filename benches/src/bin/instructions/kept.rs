//! The file of kept counts: what they were made with, and a line for each flow.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;

use super::count::Count;

const HEADER: [&str; 3] = ["flow", "instructions", "allocations"];
const CONDITIONS: &str = "# ";

/// What was kept.
pub(crate) struct Kept {
    /// What the counts were made with.
    pub(crate) conditions: String,
    counts: HashMap<String, Count>,
}

impl Kept {
    /// What a flow took, if it was there.
    pub(crate) fn of(&self, name: &str) -> Option<&Count> {
        self.counts.get(name)
    }
}

/// Reads the file; `None` if there is none.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn read(path: &Path) -> Result<Option<Kept>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    let conditions = text.lines().next().unwrap_or_default();
    let conditions = conditions.strip_prefix(CONDITIONS);
    let conditions = conditions.ok_or_else(|| failed(&"does not say what it was made with"))?;
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let rows = reader.deserialize::<(String, f64, f64)>();
    let counts = rows.map(|row| {
        row.map(|(name, instructions, allocations)| {
            let count = Count {
                instructions,
                allocations,
            };
            (name, count)
        })
    });
    Ok(Some(Kept {
        conditions: conditions.to_owned(),
        counts: counts
            .collect::<Result<_, _>>()
            .map_err(|error| failed(&error))?,
    }))
}

/// Writes the file anew.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn write(path: &Path, conditions: &str, counts: &[(&str, Count)]) -> Result<(), String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let rows = counts.iter().map(|(name, count)| {
        let instructions = format!("{:.1}", count.instructions);
        let allocations = format!("{:.2}", count.allocations);
        [(*name).to_owned(), instructions, allocations]
    });
    let header = std::iter::once(HEADER.map(str::to_owned));
    for row in header.chain(rows) {
        writer
            .write_record(&row)
            .map_err(|error| error.to_string())?;
    }
    let table = writer.into_inner().map_err(|error| error.to_string())?;
    let text = [CONDITIONS.as_bytes(), conditions.as_bytes(), b"\n", &table].concat();
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
