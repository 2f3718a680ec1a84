//! `--snapshot FILE`: the memory store, kept in a file between one clean end and the next start.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use mqtt_broker_core::store::SessionStore;

use tracing::info;

use crate::replace::Replacement;
use crate::store_file::{export, import};

/// A file that state is read from at the start, and written to at the end.
pub(crate) struct Snapshot {
    file: PathBuf,
}

impl Snapshot {
    /// Reads the file into `store`, if it is there.
    ///
    /// # Errors
    /// One line: the file cannot be read, or could not be written at the end.
    pub(crate) async fn open(file: &Path, store: &dyn SessionStore) -> Result<Self, String> {
        let path = file.display();
        match File::open(file) {
            Ok(input) => {
                let counts = import(BufReader::new(input), store)
                    .await
                    .map_err(|cause| format!("cannot read the snapshot {path}: {cause}"))?;
                info!("read from {path}: {counts}");
            }
            Err(cause) if cause.kind() == ErrorKind::NotFound => info!("{path} is not there yet"),
            Err(cause) => return Err(format!("cannot read the snapshot {path}: {cause}")),
        }
        // It is better to know now than at the end, when there is something to lose.
        Replacement::begin(file)
            .map_err(|cause| format!("cannot write the snapshot {path}: {cause}"))?;
        let file = file.to_owned();
        Ok(Self { file })
    }

    /// Writes `store` to the file, which is the old one until all is written.
    ///
    /// # Errors
    /// One line; the file is the old one then.
    pub(crate) async fn save(&self, store: &dyn SessionStore) -> Result<(), String> {
        let problem = |cause: &dyn std::fmt::Display| {
            format!("cannot write the snapshot {}: {cause}", self.file.display())
        };
        let mut out = Replacement::begin(&self.file).map_err(|cause| problem(&cause))?;
        let counts = export(store, &mut out)
            .await
            .map_err(|cause| problem(&cause))?;
        out.finish().map_err(|cause| problem(&cause))?;
        info!("saved to {}: {counts}", self.file.display());
        Ok(())
    }
}
