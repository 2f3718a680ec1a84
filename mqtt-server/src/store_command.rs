//! `mqttd store`: what can be done with a data directory while no server uses it.

mod check;
mod progress;
mod stats;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::Path;

use mqtt_broker_core::store::SessionStore;
use mqtt_store_rocksdb::{Options, RocksStore, SetAside};
use serde::Serialize;
use tracing::info;

use self::check::print_check;
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
        StoreCommand::Export { directory, file } => export_from(directory, file.as_deref()).await,
        StoreCommand::Import { directory, file } => import_into(directory, file.as_deref()).await,
        StoreCommand::Stats { directory, json } => {
            let form = if *json { Form::Json } else { Form::Text };
            print_stats(directory, &form).await
        }
        StoreCommand::Check { directory, json } => {
            let form = if *json { Form::Json } else { Form::Text };
            print_check(directory, &form)
        }
    }
}

/// How what is found out is written.
enum Form {
    Text,
    Json,
}

impl Form {
    fn print(&self, found: &(impl Display + Serialize)) -> Result<(), String> {
        let mut out = io::stdout().lock();
        let written = match self {
            Self::Text => write!(out, "{found}"),
            Self::Json => serde_json::to_writer(&mut out, found)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(out)),
        };
        written.map_err(|cause| format!("cannot write standard output: {cause}"))
    }
}

async fn print_stats(directory: &Path, form: &Form) -> Result<(), String> {
    let store = open(directory, Absent::IsAnError)?;
    let stats = Stats::of(&store)
        .await
        .map_err(|cause| format!("cannot read {}: {cause}", directory.display()))?;
    form.print(&stats)
}

/// Whatever was set aside is missing in what was read.
async fn complain_of_losses(store: &RocksStore, directory: &Path) -> Result<(), String> {
    let directory = directory.display();
    let lost = store
        .set_aside()
        .await
        .map_err(|cause| format!("cannot read {directory}: {cause}"))?;
    let SetAside { now, earlier } = lost;
    if lost == SetAside::default() {
        return Ok(());
    }
    Err(format!(
        "{} rows in {directory} cannot be read, {earlier} of them since earlier: what they held is missing",
        now + earlier
    ))
}

async fn export_from(directory: &Path, file: Option<&Path>) -> Result<(), String> {
    let store = open(directory, Absent::IsAnError)?;
    let counts = write_export(&store, directory, file).await?;
    info!("exported from {}: {counts}", directory.display());
    complain_of_losses(&store, directory).await
}

async fn write_export(
    store: &RocksStore,
    directory: &Path,
    file: Option<&Path>,
) -> Result<Counts, String> {
    let Some(file) = file else {
        let out = BufWriter::new(Progress::new(io::stdout().lock()));
        let exported = export(store, out).await;
        return exported.map_err(|cause| explain(&cause, directory, "standard output"));
    };
    let path = file.display().to_string();
    let explain = |cause: &ExportError| explain(cause, directory, &path);
    let mut out = Replacement::begin(file).map_err(|cause| explain(&cause.into()))?;
    let counts = export(store, Progress::new(&mut out)).await;
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

async fn import_into(directory: &Path, file: Option<&Path>) -> Result<(), String> {
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
    let counts = imported.map_err(|cause| {
        let directory = directory.display();
        match cause {
            ImportError::NotEmpty => format!("cannot import into {directory}: {cause}"),
            ImportError::Store(_) | ImportError::Read(_) | ImportError::Line { .. } => format!(
                "cannot import {name}: {cause}; what was read before is in {directory}: remove it before you try again"
            ),
        }
    })?;
    info!("imported into {}: {counts}", directory.display());
    complain_of_losses(&store, directory).await
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
