//! A broker as a value: built, served, shut down; several in one process if you like.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;

use crate::authority::{AllowAll, Authority};
use crate::driver::{ConnectionTask, Dead, Shards, pump};
use crate::store::{SessionStore, StoreError, StoredSession};
use crate::{ClientId, Counters, Engine, Input, Limits, Listener, Settings};

/// Sessions and retained messages read from the store at a time, at start: a store has to find where
/// to go on for each page.
const RESTORE_PAGE: usize = 10_000;

/// A running broker.
///
/// It has no runtime, no threads and no global state of its own: its tasks run on the tokio runtime
/// that it was built on. A clone is the same broker.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

struct Inner {
    shards: Arc<Shards>,
    /// True once the broker shuts down.
    closing: watch::Sender<bool>,
    /// Each connection's task has a clone; taken at shutdown.
    alive: Mutex<Option<mpsc::Sender<()>>>,
    /// Ends when the last connection has ended.
    all_gone: Mutex<mpsc::Receiver<()>>,
    pump: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
    failure: watch::Receiver<Option<StoreError>>,
}

/// What a broker is made of.
pub struct Builder {
    store: Arc<dyn SessionStore>,
    authority: Arc<dyn Authority>,
    settings: Settings,
    shards: usize,
}

/// A broker could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// What the store holds could not be read.
    #[error("cannot restore the sessions: {0}")]
    Store(#[from] StoreError),
}

impl Builder {
    /// Who may connect, publish and subscribe. Without this, everybody may do everything.
    #[must_use]
    pub fn authority(mut self, authority: Arc<dyn Authority>) -> Self {
        self.authority = authority;
        self
    }

    /// The bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Over how many shards the sessions are spread, from 1, the default, to
    /// [64](crate::Engine::SHARDS_MAX): about as many as the runtime has threads.
    ///
    /// Each shard is worked with by one thread at a time. All of them keep one order for each topic, and what
    /// one message brings is committed at once, in however many shards it is.
    #[must_use]
    pub fn shards(mut self, count: usize) -> Self {
        self.shards = count;
        self
    }

    /// The start of the response information for MQTT 5.0 clients that ask for it; their client
    /// identifier is put behind it.
    #[must_use]
    pub fn response_information(mut self, start: impl Into<String>) -> Self {
        self.settings.response_information = Some(start.into());
        self
    }

    /// Restores what the store holds, and starts the broker on the current tokio runtime.
    ///
    /// All sessions and subscriptions are in force when this returns: no message misses them.
    ///
    /// # Errors
    /// [`BuildError::Store`] if the store cannot be read.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn build(self) -> Result<Broker, BuildError> {
        let limits = self.settings.limits.clone();
        let engines = Engine::shards(&self.settings, self.shards);
        let Some(exchange) = engines.first().map(Engine::exchange) else {
            unreachable!("a broker has at least one shard");
        };
        let shards = Shards::new(engines, exchange, limits, self.store, self.authority);
        let shards = Arc::new(shards);
        restore(&shards).await?;
        let (failed, failure) = watch::channel(None);
        let pump = tokio::spawn({
            let shards = shards.clone();
            async move {
                let pumped = pump(shards).await;
                failed.send_replace(pumped.clone().err());
                pumped
            }
        });
        let (alive, all_gone) = mpsc::channel(1);
        Ok(Broker {
            inner: Arc::new(Inner {
                shards,
                closing: watch::Sender::new(false),
                alive: Mutex::new(Some(alive)),
                all_gone: Mutex::new(all_gone),
                pump: Mutex::new(Some(pump)),
                failure,
            }),
        })
    }
}

/// Hands the engines all that the store holds. The next page is read while they have this one.
async fn restore(shards: &Shards) -> Result<(), StoreError> {
    let mut page = shards.store.sessions(None, RESTORE_PAGE).await?;
    while let Some((last, _)) = page.last() {
        let last = last.clone();
        let next = shards.store.sessions(Some(&last), RESTORE_PAGE);
        let restored = async { restore_sessions(shards, page) };
        let (next, restored) = tokio::join!(next, restored);
        restored.map_err(|Dead| StoreError::Poisoned)?;
        page = next?;
    }
    let mut page = shards.store.retained(None, RESTORE_PAGE).await?;
    while let Some(last) = page.last() {
        let last = last.topic();
        let next = shards.store.retained(Some(&last), RESTORE_PAGE);
        let restored = async {
            shards.with(0, |engine, _, _| {
                page.into_iter()
                    .for_each(|message| engine.restore_retained(message));
            })
        };
        let (next, restored) = tokio::join!(next, restored);
        restored.map_err(|Dead| StoreError::Poisoned)?;
        page = next?;
    }
    Ok(())
}

/// Hands each engine its own of these sessions, all at once: there may be millions.
fn restore_sessions(shards: &Shards, page: Vec<(ClientId, StoredSession)>) -> Result<(), Dead> {
    let mut of_shards: Vec<Vec<_>> = shards.all().map(|_| Vec::new()).collect();
    for (client, stored) in page {
        if let Some(own) = of_shards.get_mut(shards.shard_of(client.as_str())) {
            own.push((client, stored));
        }
    }
    of_shards
        .into_iter()
        .enumerate()
        .try_for_each(|(shard, own)| {
            shards.with(shard, |engine, now, _| {
                for (client, stored) in own {
                    engine.restore_session(now, client, stored);
                }
            })
        })
}

impl Broker {
    /// A broker that keeps its sessions in `store`.
    #[must_use]
    pub fn builder(store: Arc<dyn SessionStore>) -> Builder {
        Builder {
            store,
            authority: Arc::new(AllowAll::default()),
            settings: Settings {
                seed: random(),
                ..Settings::default()
            },
            shards: 1,
        }
    }

    /// Serves the connections of a listener until the broker shuts down or the listener fails.
    ///
    /// May be called for any number of listeners. Each connection gets a task of its own on the
    /// current tokio runtime, which goes on if the future is dropped; only the accepting ends.
    ///
    /// # Errors
    /// What [`Listener::accept`] answers.
    pub fn serve<L: Listener>(
        &self,
        mut listener: L,
    ) -> impl Future<Output = io::Result<()>> + Send + use<L> {
        let inner = self.inner.clone();
        let mut closing = inner.closing.subscribe();
        async move {
            loop {
                let transport = tokio::select! {
                    biased;
                    _ = closing.wait_for(|closing| *closing) => return Ok(()),
                    transport = listener.accept() => transport?,
                };
                // Held until the engine knows the connection: else a shutdown could pass it over.
                let alive = inner.alive.lock().await;
                let Some(alive) = &*alive else {
                    return Ok(());
                };
                let shards = inner.shards.clone();
                let Some(task) = ConnectionTask::new(transport, shards, alive.clone()) else {
                    return Ok(());
                };
                tokio::spawn(task);
            }
        }
    }

    /// Ends when the store has failed, with its error. All connections are closed then, and nothing
    /// that waited for the store was acknowledged.
    ///
    /// Cancel-safe.
    pub async fn failed(&self) -> StoreError {
        let mut failure = self.inner.failure.clone();
        let failed = failure.wait_for(Option::is_some).await;
        match failed.map(|failure| failure.clone()) {
            Ok(Some(error)) => error,
            // The pump has ended without an error, as it does at shutdown, or it has panicked.
            Ok(None) | Err(_) if *self.inner.closing.borrow() => std::future::pending().await,
            Ok(None) | Err(_) => StoreError::Poisoned,
        }
    }

    /// Shuts down: no new connections, wills published, MQTT 5.0 clients told (0x8B), all
    /// connections closed, everything committed.
    ///
    /// Clients get until `within` to take what was sent to them. A second call does nothing.
    ///
    /// # Errors
    /// [`StoreError`] if the store has failed, now or before.
    pub async fn shutdown(&self, within: Duration) -> Result<(), StoreError> {
        self.inner.closing.send_replace(true);
        drop(self.inner.alive.lock().await.take());
        let shards = &self.inner.shards;
        // All wills are on their way before the first connection is closed.
        let inputs: [fn() -> Input<'static>; 2] = [|| Input::LastWills, || Input::Shutdown];
        for input in inputs {
            for shard in shards.all() {
                // A dead broker has closed its connections already; its pump says why.
                let _ = shards.with(shard, |engine, now, out| engine.handle(now, input(), out));
            }
        }
        let mut all_gone = self.inner.all_gone.lock().await;
        // Whoever is still there after that does not read.
        let _ = tokio::time::timeout(within, all_gone.recv()).await;
        self.inner.shards.stop();
        match self.inner.pump.lock().await.take() {
            None => Ok(()),
            Some(pump) => pump.await.unwrap_or(Err(StoreError::Poisoned)),
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.inner.shards.sum(Engine::connections)
    }

    /// How many sessions there are, connected or not.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.inner.shards.sum(Engine::sessions)
    }

    /// How many retained messages there are.
    #[must_use]
    pub fn retained(&self) -> usize {
        let first = self.inner.shards.with(0, |engine, _, _| engine.retained());
        first.unwrap_or(0)
    }

    /// Bytes that what waits takes up, as far as they are counted; 0 without
    /// [a limit](Limits::memory_bytes_max).
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let first = self
            .inner
            .shards
            .with(0, |engine, _, _| engine.memory_bytes());
        first.unwrap_or(0)
    }

    /// What has been counted since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.inner.shards.counters()
    }
}

/// A random number, from the keys that the standard library takes from the system.
fn random() -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(0)
}
