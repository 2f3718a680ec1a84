//! The outbox in a file, on redb: pages that are never overwritten while they are in use, checksums, one sync
//! for a commit.

mod file;
mod record;

use std::path::Path;
use std::sync::Arc;

use mqtt_codec::PacketId;
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend, Table,
    TableDefinition, TableError, WriteTransaction,
};

use super::{NotOpened, Outbox, OutboxChange, OutboxError, Stored};

/// What [`Outbox::commit`] waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The changes survive the end of the process, however it ends: they have been handed to the system. After
    /// a loss of power the file may be damaged, which opening it will tell, and all in it be lost.
    Process,
    /// The changes survive the loss of power: they are on the disk, by `fdatasync`.
    #[default]
    Disk,
}

/// An outbox in a file.
///
/// * A commit is all or nothing, and on the disk when it returns, unless it was opened with
///   [`Durability::Process`]. It rewrites the pages that it touches, some kilobytes for a small message: a
///   commit of many changes costs hardly more than one of a single change, and the client makes such commits
///   when it has much to do.
/// * After an error nothing more is taken. What was committed before is there when it is opened again.
/// * One at a time has the file open. The lock is the system's, and ends with the process.
/// * Every page has a checksum, and all are checked when the file is opened: what was damaged is never taken
///   for a message.
/// * The file grows with what is in it at a time, and shrinks when it is opened while it is mostly empty.
/// * Messages are not encrypted. On Unix only the owner of the file may read it.
///
/// ```
/// # fn main() -> Result<(), mqtt_client::OutboxError> {
/// # let directory = std::env::temp_dir().join(format!("outbox-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory).unwrap();
/// # let path = directory.join("press-17.outbox");
/// use mqtt_client::RedbOutbox;
///
/// let outbox = RedbOutbox::open(&path)?;
/// # drop(outbox);
/// # std::fs::remove_dir_all(directory).unwrap();
/// # Ok(())
/// # }
/// ```
pub struct RedbOutbox {
    database: Database,
    /// True once a commit has failed.
    poisoned: bool,
    /// Where a record is put together.
    buffer: Vec<u8>,
}

/// How the tables below are laid out. Another number for each change that an older version would not understand.
const FORMAT: u32 = 1;

/// Its name says whose file this is. The keys are [`FORMAT_KEY`], [`CLIENT_ID_KEY`], [`SENDING_KEY`] and
/// [`CONNECTING_KEY`].
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("mqtt-client outbox");
/// Four bytes, the lowest first.
const FORMAT_KEY: &str = "format";
/// The client identifier of the session, where there is one.
const CLIENT_ID_KEY: &str = "client identifier";
/// Which messages may have been sent: those with a number below this one, of eight bytes, the lowest first.
const SENDING_KEY: &str = "sending below";
/// Nothing. It is there while a CONNECT has no answer.
const CONNECTING_KEY: &str = "connecting";

/// Records by sequence number.
const OUTGOING: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("outgoing");

/// Packet identifiers of messages received.
const RECEIVED: TableDefinition<'_, u16, ()> = TableDefinition::new("received");

/// Pages in memory, in bytes: what a commit touches, which is little.
const CACHE_BYTES: usize = 4 << 20;

/// A file smaller than this is left as it is.
const COMPACT_FROM_BYTES: u64 = 1 << 20;
/// A larger one is compacted when less than one part of this many is in use.
const COMPACT_PARTS: u64 = 4;

impl RedbOutbox {
    /// Opens the outbox in this file, or makes a new one. What is committed is on the disk.
    ///
    /// Reads the whole file. Blocks, for as long as that takes.
    ///
    /// # Errors
    /// [`OutboxError::Open`], which says what is wrong with the file: in use, of another program or version,
    /// damaged. What the file holds stays as it is then.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OutboxError> {
        Self::open_with(path, Durability::default())
    }

    /// As [`open`](Self::open), with a choice of what a commit waits for.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, durability: Durability) -> Result<Self, OutboxError> {
        let path = path.as_ref();
        let opened = match durability {
            Durability::Process => file::unsynced(path).and_then(Self::open_backend),
            Durability::Disk => file::synced(path).and_then(Self::open_backend),
        };
        opened
            .and_then(|outbox| outbox.compacted(path))
            .map_err(|cause| OutboxError::Open {
                path: path.into(),
                cause,
            })
    }

    fn open_backend(backend: impl StorageBackend) -> Result<Self, NotOpened> {
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
            .map_err(not_opened)?;
        let reading = database.begin_read().map_err(not_opened)?;
        match reading.open_table(ABOUT) {
            Ok(about) => check_format(&about)?,
            Err(TableError::TableDoesNotExist(_)) if is_empty(&reading)? => begin(&database)?,
            Err(TableError::Storage(error)) => return Err(not_opened(error)),
            Err(_) => return Err(NotOpened::NoOutbox),
        }
        Ok(Self {
            database,
            poisoned: false,
            buffer: Vec::new(),
        })
    }

    /// The same, in a smaller file if it was mostly empty.
    fn compacted(mut self, path: &Path) -> Result<Self, NotOpened> {
        let file_bytes = std::fs::metadata(path).map_err(failed_to_open)?.len();
        if file_bytes >= COMPACT_FROM_BYTES {
            let writing = self.database.begin_write().map_err(not_opened)?;
            let stats = writing.stats().map_err(not_opened)?;
            writing.abort().map_err(not_opened)?;
            let page_bytes = u64::try_from(stats.page_size()).unwrap_or(u64::MAX);
            let used_bytes = stats.allocated_pages().saturating_mul(page_bytes);
            if used_bytes < file_bytes / COMPACT_PARTS {
                self.database.compact().map_err(not_opened)?;
            }
        }
        Ok(self)
    }

    fn write(&mut self, changes: &[OutboxChange]) -> Result<(), OutboxError> {
        let writing = self.database.begin_write().map_err(failed)?;
        let mut tables = Tables::open(&writing, &mut self.buffer)?;
        for change in changes {
            tables.apply(change)?;
        }
        drop(tables);
        writing.commit().map_err(failed)
    }
}

/// The format must be the one known.
fn check_format(about: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<(), NotOpened> {
    let found = about.get(FORMAT_KEY).map_err(not_opened)?;
    let found = found.and_then(|bytes| <[u8; 4]>::try_from(bytes.value()).ok());
    match found.map(u32::from_le_bytes) {
        Some(FORMAT) => Ok(()),
        Some(found) => Err(NotOpened::Format {
            found,
            known: FORMAT,
        }),
        None => Err(NotOpened::NoOutbox),
    }
}

/// True if nobody has put anything into the database.
fn is_empty(reading: &ReadTransaction) -> Result<bool, NotOpened> {
    let tables = reading.list_tables().map_err(not_opened)?.count();
    let multimap_tables = reading.list_multimap_tables().map_err(not_opened)?.count();
    Ok(tables + multimap_tables == 0)
}

/// Makes the tables, and with them an outbox of an empty database.
fn begin(database: &Database) -> Result<(), NotOpened> {
    let writing = database.begin_write().map_err(not_opened)?;
    writing.open_table(OUTGOING).map_err(not_opened)?;
    writing.open_table(RECEIVED).map_err(not_opened)?;
    let mut about = writing.open_table(ABOUT).map_err(not_opened)?;
    about
        .insert(FORMAT_KEY, FORMAT.to_le_bytes().as_slice())
        .map_err(not_opened)?;
    drop(about);
    writing.commit().map_err(not_opened)
}

impl Outbox for RedbOutbox {
    fn load(&mut self) -> Result<Stored, OutboxError> {
        let reading = self.database.begin_read().map_err(failed)?;
        let mut stored = Stored::default();
        let about = reading.open_table(ABOUT).map_err(failed)?;
        if let Some(client_id) = about.get(CLIENT_ID_KEY).map_err(failed)? {
            let client_id =
                std::str::from_utf8(client_id.value()).map_err(|error| damaged(&error))?;
            stored.client_id = Some(client_id.into());
        }
        if let Some(below) = about.get(SENDING_KEY).map_err(failed)? {
            let bytes = <[u8; 8]>::try_from(below.value()).map_err(|error| damaged(&error))?;
            stored.sending_below = u64::from_le_bytes(bytes);
        }
        stored.connecting = about.get(CONNECTING_KEY).map_err(failed)?.is_some();
        let outgoing = reading.open_table(OUTGOING).map_err(failed)?;
        for entry in outgoing.iter().map_err(failed)? {
            let (sequence, record) = entry.map_err(failed)?;
            let record = record::decode(record.value()).map_err(|error| damaged(&error))?;
            stored.outgoing.insert(sequence.value(), record);
        }
        let received = reading.open_table(RECEIVED).map_err(failed)?;
        for entry in received.iter().map_err(failed)? {
            let (packet_id, _) = entry.map_err(failed)?;
            let packet_id = PacketId::new(packet_id.value());
            let packet_id = packet_id.ok_or_else(|| damaged(&"a packet identifier is 0"))?;
            stored.received.insert(packet_id);
        }
        Ok(stored)
    }

    fn commit(&mut self, changes: &[OutboxChange]) -> Result<(), OutboxError> {
        if self.poisoned {
            return Err(OutboxError::Poisoned);
        }
        if changes.is_empty() {
            return Ok(());
        }
        let written = self.write(changes);
        self.poisoned = written.is_err();
        written
    }
}

impl std::fmt::Debug for RedbOutbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbOutbox")
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

/// The tables within a commit.
struct Tables<'a> {
    about: Table<'a, &'static str, &'static [u8]>,
    outgoing: Table<'a, u64, &'static [u8]>,
    received: Table<'a, u16, ()>,
    buffer: &'a mut Vec<u8>,
}

impl<'a> Tables<'a> {
    fn open(writing: &'a WriteTransaction, buffer: &'a mut Vec<u8>) -> Result<Self, OutboxError> {
        Ok(Self {
            about: writing.open_table(ABOUT).map_err(failed)?,
            outgoing: writing.open_table(OUTGOING).map_err(failed)?,
            received: writing.open_table(RECEIVED).map_err(failed)?,
            buffer,
        })
    }

    fn apply(&mut self, change: &OutboxChange) -> Result<(), OutboxError> {
        match change {
            OutboxChange::NewSession { client_id } => self.new_session(client_id),
            OutboxChange::Connecting => {
                self.about
                    .insert(CONNECTING_KEY, [].as_slice())
                    .map_err(failed)?;
                Ok(())
            }
            OutboxChange::Sending { below } => self.sending(*below),
            OutboxChange::Put { sequence, message } => {
                record::encode(message, self.buffer).map_err(OutboxError::failed)?;
                self.put(*sequence)
            }
            OutboxChange::Release { sequence } => self.release(*sequence),
            OutboxChange::Remove { sequence } => {
                self.outgoing.remove(*sequence).map_err(failed)?;
                Ok(())
            }
            OutboxChange::Received { packet_id } => {
                self.received.insert(packet_id.get(), ()).map_err(failed)?;
                Ok(())
            }
            OutboxChange::Completed { packet_id } => {
                self.received.remove(packet_id.get()).map_err(failed)?;
                Ok(())
            }
        }
    }

    fn new_session(&mut self, client_id: &str) -> Result<(), OutboxError> {
        self.about
            .insert(CLIENT_ID_KEY, client_id.as_bytes())
            .map_err(failed)?;
        self.received.retain(|_, ()| false).map_err(failed)
    }

    fn sending(&mut self, below: u64) -> Result<(), OutboxError> {
        self.about
            .insert(SENDING_KEY, below.to_le_bytes().as_slice())
            .map_err(failed)?;
        self.about.remove(CONNECTING_KEY).map_err(failed)?;
        Ok(())
    }

    fn release(&mut self, sequence: u64) -> Result<(), OutboxError> {
        if self.outgoing.get(sequence).map_err(failed)?.is_none() {
            return Ok(());
        }
        record::encode_released(self.buffer);
        self.put(sequence)
    }

    /// Puts what is in the buffer under this number.
    fn put(&mut self, sequence: u64) -> Result<(), OutboxError> {
        self.outgoing
            .insert(sequence, self.buffer.as_slice())
            .map_err(failed)?;
        Ok(())
    }
}

fn failed(error: impl Into<redb::Error>) -> OutboxError {
    let error = error.into();
    if let redb::Error::Corrupted(what) = error {
        OutboxError::Damaged(what.into())
    } else {
        OutboxError::failed(error)
    }
}

fn damaged(what: &impl ToString) -> OutboxError {
    OutboxError::Damaged(what.to_string().into())
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "what redb may add is a failure as well"
)]
fn not_opened(error: impl Into<redb::Error>) -> NotOpened {
    use std::io::ErrorKind;
    match error.into() {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => NotOpened::InUse,
        redb::Error::Corrupted(what) => NotOpened::Damaged(what.into()),
        // This is how redb says that a file does not begin as its files do.
        redb::Error::Io(error) if error.kind() == ErrorKind::InvalidData => NotOpened::NoOutbox,
        redb::Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
            NotOpened::Damaged("it ends too early".into())
        }
        error => failed_to_open(error),
    }
}

fn failed_to_open(error: impl std::error::Error + Send + Sync + 'static) -> NotOpened {
    NotOpened::Failed(Arc::new(error))
}

#[cfg(test)]
mod tests;
