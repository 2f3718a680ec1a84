//! The thin layer between the engine and the world: tasks, clock, store.
//!
//! One task for each connection ([`connection`]) reads, hands whole batches to the engine and writes
//! what is in its outbox. One task for all of them ([`pump`]) commits what has changed, and tells the
//! engine the time when something is due.

mod connection;

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

pub(crate) use self::connection::ConnectionTask;
use crate::authority::Authority;
use crate::store::{Batch, SessionStore, StoreError};
use crate::{Engine, Input, Instant, Limits, Output, Read, Work};

/// Pages read between two commits: when a thousand clients come back at once, acknowledgements are not
/// to wait for all of their queues.
const READS_MAX: usize = 32;
/// Lifetimes that are read from the store at a time.
const EXPIRING_PAGE: usize = 1000;

/// An engine behind its lock, and what it works with.
pub(crate) struct Shard {
    state: Mutex<State>,
    /// Wakes the pump.
    work: Notify,
    clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) authority: Arc<dyn Authority>,
}

struct State {
    engine: Engine,
    out: Output,
    /// When the pump will look by itself.
    pump_deadline: Option<Instant>,
    /// When removals have waited for long enough, while there are some and nothing else.
    removals_due: Option<Instant>,
    /// Connections that do not read until there has been a commit.
    stalled: Vec<Waker>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// The pump ends once all is committed.
    Stopping,
    /// The store has failed: nothing more is handled.
    Failed,
}

/// What the pump finds.
enum Outlook {
    /// Changes to commit, or something to read.
    Work,
    /// Nothing until then.
    Idle(Option<Instant>),
    /// Nothing, and the broker stops.
    Stopped,
}

/// When the pump has something to do.
enum PumpTime {
    Now,
    /// Then, or when something happens.
    At(Option<Instant>),
}

/// The broker handles nothing more: its store has failed, or its engine has panicked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dead;

/// Wall clock at start, monotonic clock from then on.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: tokio::time::Instant,
    start_wall: Instant,
}

impl Clock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one clock of the broker"
    )]
    fn new() -> Self {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let start_wall = Instant::from_millis(0) + wall;
        Self {
            start: tokio::time::Instant::now(),
            start_wall,
        }
    }

    fn now(&self) -> Instant {
        self.start_wall + self.start.elapsed()
    }
}

impl Shard {
    pub(crate) fn new(
        engine: Engine,
        limits: Limits,
        store: Arc<dyn SessionStore>,
        authority: Arc<dyn Authority>,
    ) -> Self {
        let state = State {
            engine,
            out: Output::default(),
            pump_deadline: None,
            removals_due: None,
            stalled: Vec::new(),
            phase: Phase::Running,
        };
        Self {
            state: Mutex::new(state),
            work: Notify::new(),
            clock: Clock::new(),
            limits,
            store,
            authority,
        }
    }

    /// Lets `act` work with the engine, then wakes whom it concerns.
    pub(crate) fn with<T>(
        &self,
        act: impl FnOnce(&mut Engine, Instant, &mut Output) -> T,
    ) -> Result<T, Dead> {
        let mut state = self.lock()?;
        let State { engine, out, .. } = &mut *state;
        let now = self.clock.now();
        let result = act(engine, now, out);
        self.finish(state, now);
        Ok(result)
    }

    /// True if connections are not to read now: too much waits for a commit, which then wakes them.
    pub(crate) fn is_stalled(&self, cx: &Context<'_>) -> Result<bool, Dead> {
        let mut state = self.lock()?;
        let stalled = state.out.held_bytes() > self.limits.held_bytes_max
            || state.out.changes() > self.limits.batch_changes_max;
        if stalled {
            state.stalled.push(cx.waker().clone());
        }
        Ok(stalled)
    }

    /// Lets the pump end once all is committed.
    pub(crate) fn stop(&self) {
        if let Ok(mut state) = self.lock() {
            state.phase = Phase::Stopping;
        }
        self.work.notify_one();
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>, Dead> {
        // A panic may have left the engine half-way through something: it is not used again.
        let state = self.state.lock().map_err(|_| {
            // The pump is to notice.
            self.work.notify_one();
            Dead
        })?;
        if state.phase == Phase::Failed {
            Err(Dead)
        } else {
            Ok(state)
        }
    }

    /// Unlocks, wakes the connections whose outboxes have something for them, and the pump if there
    /// is work for it.
    fn finish(&self, mut state: MutexGuard<'_, State>, now: Instant) {
        thread_local! {
            static WAKERS: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
        }
        let mut wakers = WAKERS.take();
        wakers.extend(state.out.wakers());
        let look = match self.pump_time(&mut state, now) {
            PumpTime::Now => true,
            PumpTime::At(time) => {
                let sooner = time
                    .is_some_and(|time| state.pump_deadline.is_none_or(|deadline| time < deadline));
                if sooner {
                    state.pump_deadline = time;
                }
                sooner
            }
        };
        drop(state);
        wakers.drain(..).for_each(Waker::wake);
        WAKERS.set(wakers);
        if look {
            self.work.notify_one();
        }
    }

    /// When the pump has something to do.
    fn pump_time(&self, state: &mut State, now: Instant) -> PumpTime {
        let deadline = state.engine.deadline();
        match state.out.work() {
            _ if deadline.is_some_and(|deadline| deadline <= now) => PumpTime::Now,
            Work::Now => PumpTime::Now,
            Work::Nothing => PumpTime::At(deadline),
            Work::Removals => {
                let delay = Duration::from_millis(self.limits.removal_delay_ms.into());
                let due = *state.removals_due.get_or_insert(now + delay);
                if due <= now || state.out.changes() >= self.limits.removals_max {
                    PumpTime::Now
                } else {
                    PumpTime::At(deadline.into_iter().chain([due]).min())
                }
            }
        }
    }

    /// What the pump has to do now.
    fn outlook(&self) -> Result<Outlook, Dead> {
        let mut state = self.lock()?;
        let stopping = state.phase == Phase::Stopping;
        match self.pump_time(&mut state, self.clock.now()) {
            PumpTime::Now => Ok(Outlook::Work),
            PumpTime::At(_) if stopping && state.out.work() != Work::Nothing => Ok(Outlook::Work),
            PumpTime::At(_) if stopping => Ok(Outlook::Stopped),
            PumpTime::At(time) => {
                state.pump_deadline = time;
                Ok(Outlook::Idle(time))
            }
        }
    }

    /// Handles what is due, and takes what is to be committed and to be read.
    fn take_work(&self) -> Result<(Option<Batch>, Vec<Read>), Dead> {
        let mut state = self.lock()?;
        let now = self.clock.now();
        let State { engine, out, .. } = &mut *state;
        if engine.deadline().is_some_and(|deadline| deadline <= now) {
            engine.handle(now, Input::Deadline, out);
        }
        let work = (out.take_batch(), out.take_reads(READS_MAX));
        state.removals_due = None;
        self.finish(state, now);
        Ok(work)
    }

    /// What was taken has been committed: lets go of what waited for that, and nothing else does.
    fn release(&self) -> Result<(), Dead> {
        let mut state = self.lock()?;
        state.out.committed();
        let stalled = std::mem::take(&mut state.stalled);
        self.finish(state, self.clock.now());
        stalled.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Closes all connections, without what waits for a commit that will never be.
    ///
    /// `[MQTT-4.8.0-2]` of 3.1.1
    fn fail(&self) {
        // Nothing is done with an engine that has panicked but to close its connections.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State {
            engine,
            out,
            stalled,
            ..
        } = &mut *state;
        engine.abort(out);
        stalled.drain(..).for_each(Waker::wake);
        state.phase = Phase::Failed;
        self.finish(state, self.clock.now());
    }
}

/// Commits what has changed, loads what is wanted, and handles what is due, until the broker stops.
///
/// One commit is under way at a time; what changes meanwhile is the next one. So the busier the
/// broker, the larger its commits.
pub(crate) async fn pump(shard: Arc<Shard>) -> Result<(), StoreError> {
    let unless_stopped = FailOnDrop(&shard);
    pump_until_stopped(&shard).await?;
    std::mem::forget(unless_stopped);
    Ok(())
}

/// Lets the shard fail, also where a store panics: clients are not to wait for a pump that is gone.
struct FailOnDrop<'a>(&'a Shard);

impl Drop for FailOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fail();
    }
}

async fn pump_until_stopped(shard: &Shard) -> Result<(), StoreError> {
    loop {
        match shard.outlook().map_err(|Dead| StoreError::Poisoned)? {
            Outlook::Work => step(shard).await?,
            Outlook::Idle(deadline) => wait(shard, deadline).await,
            Outlook::Stopped => return Ok(()),
        }
    }
}

/// Waits until there is work, or something is due.
async fn wait(shard: &Shard, deadline: Option<Instant>) {
    let Some(deadline) = deadline else {
        return shard.work.notified().await;
    };
    let left = deadline
        .since(shard.clock.now())
        .max(Duration::from_millis(1));
    // Whichever it was: there is nothing to do but to look.
    let _ = tokio::time::timeout(left, shard.work.notified()).await;
}

async fn step(shard: &Shard) -> Result<(), StoreError> {
    let (batch, reads) = shard.take_work().map_err(|Dead| StoreError::Poisoned)?;
    if let Some(batch) = batch {
        shard.store.commit(batch).await?;
        shard.release().map_err(|Dead| StoreError::Poisoned)?;
    }
    for wanted in reads {
        let input = read(&*shard.store, wanted).await?;
        shard
            .with(|engine, now, out| engine.handle(now, input, out))
            .map_err(|Dead| StoreError::Poisoned)?;
    }
    Ok(())
}

async fn read(store: &dyn SessionStore, wanted: Read) -> Result<Input<'static>, StoreError> {
    match wanted {
        Read::Deliveries(load) => {
            let after = Some(load.after);
            let deliveries = store.deliveries(&load.client, after, load.limit).await?;
            Ok(Input::Loaded(load, deliveries))
        }
        Read::Expiring { after } => {
            let page = store.expiring(after.as_ref(), EXPIRING_PAGE).await?;
            Ok(Input::Expiring(page))
        }
    }
}
