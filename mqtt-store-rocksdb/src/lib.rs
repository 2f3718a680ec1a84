#![doc = include_str!("../README.md")]

mod aside;
mod check;
mod count;
mod database;
mod directory;
mod key;
mod net;
mod options;
mod reader;
mod record;
mod scan;
#[cfg(test)]
#[path = "../tests/directory/mod.rs"]
mod scratch;
#[cfg(test)]
#[path = "../tests/script/mod.rs"]
mod script;
mod table;
mod usage;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use async_trait::async_trait;
use mqtt_broker_core::store::{Batch, Delivery, Expiring, SessionStore, StoreError, StoredSession};
use mqtt_broker_core::{ClientId, Message};
use mqtt_codec::TopicName;
use rocksdb::statistics::Ticker;
use tokio::sync::oneshot;

pub use self::check::{Check, Finding, Severity, TableRows};
pub use self::options::{Durability, Options};
pub use self::usage::{TableUsage, Usage};
use crate::database::Database;
use crate::reader::Reader;
use crate::writer::{Request, Writer};

/// A session store on disk.
///
/// It has two threads: one writes, with one sync for all batches that wait, one reads pages. Both
/// end when the store is dropped, which waits for what was asked of them.
pub struct RocksStore {
    writes: Option<Sender<Request>>,
    reads: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    database: Arc<Database>,
}

/// Bytes written to the disk since a store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// To the log of changes.
    pub log: u64,
    /// To table files, of what had gathered in memory.
    pub tables: u64,
    /// To table files, of other table files.
    pub compaction: u64,
}

/// Rows that cannot be read, and were moved out of the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAside {
    /// Since the store was opened.
    pub now: u64,
    /// Before that.
    pub earlier: u64,
}

type Job = Box<dyn FnOnce(&Reader) + Send>;

/// A store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another store is open in the directory, here or in another process.
    #[error("{} is in use{}", .directory.display(), by(*.process))]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The process that uses it, if it has said so.
        process: Option<u32>,
    },
    /// The format is of a later version of this crate.
    #[error(
        "its format {found} is later than {known}, the last one known here: a newer mqttd wrote it, and can export it"
    )]
    Later {
        /// The version that was found.
        found: u32,
        /// The last version that is known here.
        known: u32,
    },
    /// There is a database, but not one of this crate.
    #[error("it is a database of another program, or damaged: {0}")]
    NoFormat(String),
    /// There is something in the directory, and no database.
    #[error("{} has other files, such as {file}, and no store: name a directory that is empty or not there yet", .directory.display())]
    NotEmpty {
        /// The directory.
        directory: PathBuf,
        /// The name of one of them.
        file: String,
    },
    /// There is nothing in the directory, or nothing that is a store.
    #[error("there is no store in {}", .0.display())]
    NoStore(PathBuf),
    /// RocksDB does not open it.
    #[error("{} cannot be opened: {cause}", .directory.display())]
    Unopenable {
        /// The directory.
        directory: PathBuf,
        /// What RocksDB says.
        cause: String,
    },
    /// A file or directory cannot be made or locked.
    #[error("{}: {cause}", .path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// What is there cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn by(process: Option<u32>) -> String {
    process.map_or_else(String::new, |process| format!(" by process {process}"))
}

impl RocksStore {
    /// True if there is a store in a directory, or what looks like one; opening it would make none.
    #[must_use]
    pub fn exists(directory: impl AsRef<Path>) -> bool {
        directory::exists(directory.as_ref())
    }

    /// Reads all that is in a directory, and looks whether it is sound. Nobody may have it open.
    ///
    /// Writes nothing but who has locked the directory. Takes about as long as reading all files.
    ///
    /// # Errors
    /// [`OpenError`] if there is no store, it is in use or of a later format, or RocksDB finds no
    /// beginning. Whatever else is wrong is in the answer.
    pub fn check(directory: impl AsRef<Path>) -> Result<Check, OpenError> {
        check::check(directory.as_ref())
    }

    /// Opens the store in a directory, which is made if it is not there.
    ///
    /// Takes about a second for each million sessions, and as long again for the log of changes that
    /// a crash has left. Blocks, so an asynchronous caller does this before its clients are there.
    ///
    /// # Errors
    /// [`OpenError`] if it is in use, of a later format, or cannot be read.
    pub fn open(directory: impl AsRef<Path>, options: &Options) -> Result<Self, OpenError> {
        let database = Arc::new(Database::open(directory.as_ref(), options)?);
        let (writes, requests) = channel();
        let writing = {
            let (database, durability) = (database.clone(), options.durability);
            // Counting takes a while where there is much, and needs nobody to wait for it.
            spawn("mqtt-store-write", move || {
                match Writer::new(database, durability) {
                    Ok(writer) => writer.run(&requests),
                    Err(cause) => writer::refuse(&requests, &cause),
                }
            })?
        };
        let reader = Reader {
            database: database.clone(),
            writer: writes.clone(),
        };
        let (reads, jobs) = channel::<Job>();
        let reading = spawn("mqtt-store-read", move || {
            jobs.into_iter().for_each(|job| job(&reader));
        })?;
        Ok(Self {
            writes: Some(writes),
            reads: Some(reads),
            // The reader may have something for the writer, and so ends first.
            threads: vec![reading, writing],
            database,
        })
    }

    /// What has been written, if [`Options::statistics`] is set.
    #[must_use]
    pub fn written(&self) -> Written {
        Written {
            log: self.database.ticker(Ticker::WalFileBytes),
            tables: self.database.ticker(Ticker::FlushWriteBytes),
            compaction: self.database.ticker(Ticker::CompactWriteBytes),
        }
    }

    /// How many rows could not be read and are missing in what the store hands out. What was set
    /// aside with a page is counted once the page has been handed out.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] after a commit has failed.
    pub async fn set_aside(&self) -> Result<SetAside, StoreError> {
        let (done, counted) = oneshot::channel();
        let request = Request::CountAside(done);
        match self.writes.as_ref().map(|writes| writes.send(request)) {
            Some(Ok(())) => counted.await.map_err(|_| StoreError::Poisoned),
            Some(Err(_)) | None => Err(StoreError::Poisoned),
        }
    }

    /// What the tables take up.
    ///
    /// # Errors
    /// [`StoreError`] if RocksDB does not say.
    pub async fn usage(&self) -> Result<Usage, StoreError> {
        self.read(|reader| Usage::of(&reader.database.db)).await
    }

    /// Lets the thread that reads do something.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, page) = oneshot::channel();
        let job: Job = Box::new(move |reader| {
            // Who no longer waits for the page does not get it.
            let _ = done.send(read(reader));
        });
        let sent = self
            .reads
            .as_ref()
            .is_some_and(|reads| reads.send(job).is_ok());
        if !sent {
            return Err(StoreError::failed("the thread that reads has ended"));
        }
        page.await
            .unwrap_or_else(|_| Err(StoreError::failed("the thread that reads has panicked")))
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|cause| OpenError::Store(StoreError::failed(cause)))
}

impl Drop for RocksStore {
    fn drop(&mut self) {
        drop((self.reads.take(), self.writes.take()));
        for thread in self.threads.drain(..) {
            // One that has panicked has ended, too.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl SessionStore for RocksStore {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let (done, written) = oneshot::channel();
        let request = Request::Commit(batch, done);
        let sent = self.writes.as_ref().map(|writes| writes.send(request));
        match sent {
            Some(Ok(())) => written.await.unwrap_or(Err(StoreError::Poisoned)),
            Some(Err(_)) | None => Err(StoreError::Poisoned),
        }
    }

    async fn sessions(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, StoredSession)>, StoreError> {
        let after = after.cloned();
        self.read(move |reader| reader.sessions(after.as_ref(), limit))
            .await
    }

    async fn deliveries(
        &self,
        client: &ClientId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Delivery)>, StoreError> {
        let client = client.clone();
        self.read(move |reader| reader.deliveries(&client, after, limit))
            .await
    }

    async fn expiring(
        &self,
        after: Option<&Expiring>,
        limit: usize,
    ) -> Result<Vec<Expiring>, StoreError> {
        let after = after.cloned();
        self.read(move |reader| reader.expiring(after.as_ref(), limit))
            .await
    }

    async fn retained(
        &self,
        after: Option<&TopicName>,
        limit: usize,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        let after = after.cloned();
        self.read(move |reader| reader.retained(after.as_ref(), limit))
            .await
    }
}
