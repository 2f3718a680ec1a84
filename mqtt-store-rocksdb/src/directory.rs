//! The directory of a database: made, locked, and not taken from others.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::OpenError;

/// The file that is locked while the database is open.
const LOCK_FILE: &str = "lock";
/// What RocksDB has made by the time when the database is there, and what else may be in a directory
/// that is to become one: a file system has the last one.
const BEFORE_A_DATABASE: [&str; 6] = [
    LOCK_FILE,
    "LOCK",
    "LOG",
    "IDENTITY",
    "MANIFEST-000001",
    "lost+found",
];

/// True if RocksDB has made a database there: this is the file that names its newest state.
pub(crate) fn exists(directory: &Path) -> bool {
    directory.join("CURRENT").exists()
}

/// Makes the directory if it is not there. One that has the files of others is left to them; the
/// files of a database that has lost its newest state are such, too.
pub(crate) fn prepare(directory: &Path) -> Result<(), OpenError> {
    let io = |cause| OpenError::Io {
        path: directory.to_owned(),
        cause,
    };
    if !directory.exists() {
        return make(directory);
    }
    if exists(directory) {
        return Ok(());
    }
    // Fails for a file, and says so.
    for entry in std::fs::read_dir(directory).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let name = name.to_string_lossy();
        let harmless = BEFORE_A_DATABASE.contains(&&*name)
            || name.starts_with('.')
            || name.starts_with("LOG.old.")
            || name.ends_with(".dbtmp");
        if !harmless {
            return Err(OpenError::NotEmpty {
                directory: directory.to_owned(),
                file: name.into_owned(),
            });
        }
    }
    Ok(())
}

/// Makes the directory, and those above it, so that they survive the loss of power. It is for its
/// owner alone: there will be messages in it.
fn make(directory: &Path) -> Result<(), OpenError> {
    // One that is a file fails where something is made in it.
    if directory.as_os_str().is_empty() || directory.exists() {
        return Ok(());
    }
    let parent = directory.parent().unwrap_or(Path::new(""));
    make(parent)?;
    let here = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let mut made = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut made, 0o700);
    let made = made
        .create(directory)
        .and_then(|()| File::open(here)?.sync_all());
    made.map_err(|cause| OpenError::Io {
        path: directory.to_owned(),
        cause,
    })
}

/// Locks the directory, for as long as the file is open, and notes who has it.
pub(crate) fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK_FILE);
    let io = |cause: io::Error| OpenError::Io {
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
