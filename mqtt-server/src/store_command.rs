//! `mqttd store`: what can be done with a data directory while no server uses it.

mod progress;
mod stats;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::Path;

use mqtt_broker_core::store::SessionStore;
use mqtt_store_rocksdb::{Options, RocksStore};

use tracing::info;

use self::progress::Progress;
use self::stats::Stats;
use crate::cli::StoreCommand;
use crate::replace::Replacement;
use crate::store_file::{Counts, ExportError, ImportError, export, import};

/// Does what was asked for. Data goes to stdout, what is said about it to the log, on stderr.
///
/// # Errors
/// One line for the person who asked.
pub(crate) async fn run(command: &StoreCommand) -> Result<(), String> {
    match command {
        StoreCommand::Export { directory, file } => {
            let counts = export_from(directory, file.as_deref()).await?;
            info!("exported from {}: {counts}", directory.display());
            Ok(())
        }
        StoreCommand::Import { directory, file } => {
            let counts = import_into(directory, file.as_deref()).await?;
            info!("imported into {}: {counts}", directory.display());
            Ok(())
        }
        StoreCommand::Stats { directory, json } => {
            let form = if *json { Form::Json } else { Form::Text };
            print_stats(directory, form).await
        }
    }
}

/// How what is found out is written.
enum Form {
    Text,
    Json,
}

async fn print_stats(directory: &Path, form: Form) -> Result<(), String> {
    let store = open(directory, Absent::IsAnError)?;
    let stats = Stats::of(&store)
        .await
        .map_err(|cause| format!("cannot read {}: {cause}", directory.display()))?;
    let mut out = io::stdout().lock();
    let written = match form {
        Form::Text => write!(out, "{stats}"),
        Form::Json => serde_json::to_writer(&mut out, &stats)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out)),
    };
    written.map_err(|cause| format!("cannot write standard output: {cause}"))
}

async fn export_from(directory: &Path, file: Option<&Path>) -> Result<Counts, String> {
    let store = open(directory, Absent::IsAnError)?;
    let Some(file) = file else {
        let out = BufWriter::new(Progress::new(io::stdout().lock()));
        let exported = export(&store, out).await;
        return exported.map_err(|cause| explain(&cause, directory, "standard output"));
    };
    let path = file.display().to_string();
    let explain = |cause: &ExportError| explain(cause, directory, &path);
    let mut out = Replacement::begin(file).map_err(|cause| explain(&cause.into()))?;
    let counts = export(&store, Progress::new(&mut out)).await;
    let counts = counts.map_err(|cause| explain(&cause))?;
    out.finish().map_err(|cause| explain(&cause.into()))?;
    Ok(counts)
}

fn explain(cause: &ExportError, directory: &Path, file: &str) -> String {
    match cause {
        ExportError::Write(cause) => format!("cannot write {file}: {cause}"),
        ExportError::Store(_) | ExportError::Content(_) => {
            format!("cannot export {}: {cause}", directory.display())
        }
    }
}

async fn import_into(directory: &Path, file: Option<&Path>) -> Result<Counts, String> {
    // First what may be mistyped: a store that is not filled need not be made.
    let input = match file {
        Some(file) => {
            let path = file.display();
            let opened = File::open(file).map_err(|cause| format!("cannot read {path}: {cause}"));
            Some((path.to_string(), opened?))
        }
        None => None,
    };
    let store = open(directory, Absent::IsMade)?;
    let (name, imported) = match input {
        Some((name, file)) => (name, fill(&store, file).await),
        None => ("standard input".to_owned(), fill(&store, io::stdin()).await),
    };
    imported.map_err(|cause| {
        let directory = directory.display();
        match cause {
            ImportError::NotEmpty => format!("cannot import into {directory}: {cause}"),
            ImportError::Store(_) | ImportError::Read(_) | ImportError::Line { .. } => format!(
                "cannot import {name}: {cause}; what was read before is in {directory}: remove it before you try again"
            ),
        }
    })
}

async fn fill(store: &dyn SessionStore, input: impl io::Read) -> Result<Counts, ImportError> {
    import(BufReader::new(Progress::new(input)), store).await
}

/// What it means if there is no store in a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    IsAnError,
    IsMade,
}

fn open(directory: &Path, absent: Absent) -> Result<RocksStore, String> {
    let path = directory.display();
    if absent == Absent::IsAnError && !RocksStore::exists(directory) {
        return Err(format!("there is no store in {path}"));
    }
    RocksStore::open(directory, &Options::default())
        .map_err(|cause| format!("cannot open the store in {path}: {cause}"))
}
