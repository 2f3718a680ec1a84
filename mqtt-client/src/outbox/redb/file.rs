//! The file below redb: how it comes into being, and what is not synced where that is not wanted.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::ops::Bound;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::{failed_to_open, not_opened};
use crate::outbox::NotOpened;

/// A file that says `Ok` to a sync when it is on the disk.
pub(super) fn synced(path: &Path) -> Result<FileBackend, NotOpened> {
    let file = open(path)?;
    // A file is there after a loss of power when its directory says so.
    if file.metadata().map_err(failed_to_open)?.len() == 0 {
        sync_directory(path).map_err(failed_to_open)?;
    }
    FileBackend::new(file).map_err(not_opened)
}

/// A file that says `Ok` to a sync at once.
pub(super) fn unsynced(path: &Path) -> Result<Unsynced, NotOpened> {
    FileBackend::new(open(path)?)
        .map(Unsynced)
        .map_err(not_opened)
}

fn open(path: &Path) -> Result<File, NotOpened> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    // Messages are nobody else's business.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(failed_to_open)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(NotOpened::InUse),
        Err(TryLockError::Error(error)) => return Err(failed_to_open(error)),
    }
    let prepared = clear_unfinished(&file);
    // redb takes a lock of its own, and not every system lets it have one beside this.
    prepared
        .and_then(|()| file.unlock())
        .map_err(failed_to_open)?;
    Ok(file)
}

/// The bytes that redb writes in front, last of all when it makes a file.
const MAGIC_BYTES: usize = 9;
/// Where the header ends, in bytes.
const HEADER_BYTES: usize = 4096;
/// Bytes of a file just made are fewer.
const UNFINISHED_BYTES_MAX: u64 = 1 << 20;

/// Empties a file whose making was interrupted: zeros but for a header that has no beginning yet.
fn clear_unfinished(mut file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    if length == 0 || length > UNFINISHED_BYTES_MAX {
        return Ok(());
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    let zeros = |bytes: Option<&[u8]>| bytes.unwrap_or_default().iter().all(|byte| *byte == 0);
    let no_magic = content.len() >= MAGIC_BYTES && zeros(content.get(..MAGIC_BYTES));
    if no_magic && zeros(content.get(HEADER_BYTES..)) {
        file.set_len(0)?;
    }
    Ok(())
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Elsewhere a directory cannot be opened, and need not be.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A file that is written to, and left to the system to bring to the disk.
#[derive(Debug)]
pub(super) struct Unsynced(FileBackend);

impl StorageBackend for Unsynced {
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}
