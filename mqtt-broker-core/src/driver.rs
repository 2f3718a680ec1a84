//! The thin layer between the engines and the world: tasks, clock, store.
//!
//! One task for each connection ([`connection`]) reads, hands whole batches to the engine of its shard and
//! writes what is in its outbox. One task for all of them ([`pump()`]) commits what has changed, and tells the
//! engines the time when something is due.

mod connection;
mod handover;
mod packets;
mod pump;

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

pub(crate) use self::connection::ConnectionTask;
use self::handover::{Attempt, see_to};
pub(crate) use self::pump::pump;
use crate::authority::Authority;
use crate::budget::Budget;
use crate::state::{Exchange, ShardSet};
use crate::store::SessionStore;
use crate::{Counters, Engine, Instant, Limits, Output, Work};

/// Bytes that may wait for a shard before whoever brings more waits until its lock is free.
const ARRIVED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// All engines of a broker, each behind its lock, and what they work with.
pub(crate) struct Shards {
    shards: Box<[Shard]>,
    exchange: Arc<Exchange>,
    budget: Budget,
    /// The shard that opens the next connection.
    turn: AtomicUsize,
    /// Wakes the pump.
    work: Notify,
    clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) authority: Arc<dyn Authority>,
}

struct Shard {
    state: Mutex<State>,
    /// What waits for a commit, as it was when the lock was let go last: bytes, and changes.
    held_bytes: AtomicUsize,
    changes: AtomicUsize,
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

/// Lets the pump look if an engine panics: other shards are not to go on without it.
struct AlarmOnDrop<'a>(&'a Notify);

impl Drop for AlarmOnDrop<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
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

impl Shards {
    pub(crate) fn new(
        engines: Vec<Engine>,
        exchange: Arc<Exchange>,
        limits: Limits,
        store: Arc<dyn SessionStore>,
        authority: Arc<dyn Authority>,
    ) -> Self {
        let shard = |engine| Shard {
            state: Mutex::new(State {
                engine,
                out: Output::default(),
                pump_deadline: None,
                removals_due: None,
                stalled: Vec::new(),
                phase: Phase::Running,
            }),
            held_bytes: AtomicUsize::new(0),
            changes: AtomicUsize::new(0),
        };
        Self {
            shards: engines.into_iter().map(shard).collect(),
            budget: exchange.budget(),
            exchange,
            turn: AtomicUsize::new(0),
            work: Notify::new(),
            clock: Clock::new(),
            limits,
            store,
            authority,
        }
    }

    /// The numbers of all shards.
    pub(crate) fn all(&self) -> std::ops::Range<usize> {
        0..self.shards.len()
    }

    /// The shard that opens the next connection.
    pub(crate) fn next(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) % self.shards.len()
    }

    /// The shard that a client's session belongs to.
    pub(crate) fn shard_of(&self, client: &str) -> usize {
        self.exchange.shard_of(client)
    }

    /// The memory that what waits may take up.
    pub(crate) const fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(crate) fn are_several(&self) -> bool {
        self.shards.len() > 1
    }

    /// Lets `act` work with the engine of a shard, then wakes whom it concerns.
    pub(crate) fn with<T>(
        &self,
        shard: usize,
        act: impl FnOnce(&mut Engine, Instant, &mut Output) -> T,
    ) -> Result<T, Dead> {
        let mut state = self.lock(shard)?;
        let State { engine, out, .. } = &mut *state;
        let now = self.clock.now();
        let alarm = AlarmOnDrop(&self.work);
        if self.are_several() {
            engine.receive(now, out);
        }
        let result = act(engine, now, out);
        std::mem::forget(alarm);
        let reached = self.finish(shard, state, now);
        self.look(reached.with(ShardSet::of(shard)));
        Ok(result)
    }

    /// What all shards add up to.
    pub(crate) fn sum(&self, of: impl Fn(&Engine) -> usize) -> usize {
        let each = self
            .all()
            .map(|shard| self.with(shard, |engine, _, _| of(engine)));
        each.map(|each| each.unwrap_or(0)).sum()
    }

    /// What all shards have counted.
    pub(crate) fn counters(&self) -> Counters {
        let each = self
            .all()
            .map(|shard| self.with(shard, |_, _, out| out.counters));
        each.map(|each| each.unwrap_or_default()).sum()
    }

    /// True if connections of a shard are not to read now: too much waits for a commit, which then wakes
    /// them.
    pub(crate) fn is_stalled(&self, shard: usize, cx: &Context<'_>) -> Result<bool, Dead> {
        if !self.is_clogged() {
            return Ok(false);
        }
        self.lock(shard)?.stalled.push(cx.waker().clone());
        self.look(ShardSet::of(shard));
        // There may have been a commit meanwhile, which nobody has been woken for.
        Ok(self.is_clogged())
    }

    /// True if too much waits for a commit. What a connection sends may wait in any shard.
    fn is_clogged(&self) -> bool {
        let sum = |of: fn(&Shard) -> &AtomicUsize| -> usize {
            let each = self
                .shards
                .iter()
                .map(|shard| of(shard).load(Ordering::Acquire));
            each.sum()
        };
        let held_bytes_max = self.limits.held_bytes_max;
        sum(|shard| &shard.held_bytes) > held_bytes_max.min(self.limits.memory_bytes_max / 8)
            || sum(|shard| &shard.changes) > self.limits.batch_changes_max
    }

    /// Lets the pump end once all is committed.
    pub(crate) fn stop(&self) {
        for shard in self.all() {
            if let Ok(mut state) = self.lock(shard) {
                state.phase = Phase::Stopping;
            }
        }
        self.work.notify_one();
    }

    /// Sees to what has come for these shards, whose locks have been let go or who have been reached.
    fn look(&self, shards: ShardSet) {
        if !self.are_several() {
            return;
        }
        for shard in shards {
            let Some(inbox) = self.exchange.inbox(shard) else {
                continue;
            };
            let arrived = || !inbox.is_empty();
            if !see_to(arrived, || self.try_receive(shard)) {
                // The pump is to look.
                self.work.notify_one();
            }
            // A shard that cannot be had is dead, and what has come for it is lost anyway.
            if inbox.bytes() > ARRIVED_BYTES_MAX
                && let Ok(state) = self.lock(shard)
            {
                self.receive(shard, state);
            }
        }
    }

    /// Receives what has come for a shard, if nobody works with it.
    fn try_receive(&self, shard: usize) -> Attempt {
        let state = self.shards.get(shard).map(|shard| shard.state.try_lock());
        let Some(Ok(state)) = state else {
            if let Some(Err(TryLockError::Poisoned(_))) = state {
                self.work.notify_one();
            }
            return Attempt::Held;
        };
        if state.phase == Phase::Failed {
            return Attempt::Held;
        }
        self.receive(shard, state);
        Attempt::Handled
    }

    /// Receives what has come for a shard, and lets go of it.
    fn receive(&self, shard: usize, mut state: MutexGuard<'_, State>) {
        let now = self.clock.now();
        let State { engine, out, .. } = &mut *state;
        let alarm = AlarmOnDrop(&self.work);
        engine.receive(now, out);
        std::mem::forget(alarm);
        self.finish(shard, state, now);
    }

    fn lock(&self, shard: usize) -> Result<MutexGuard<'_, State>, Dead> {
        let shard = self.shards.get(shard).ok_or(Dead)?;
        // A panic may have left the engine half-way through something: it is not used again.
        let state = shard.state.lock().map_err(|_| {
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
    /// is work for it. Returns the shards that have been given something.
    fn finish(&self, shard: usize, mut state: MutexGuard<'_, State>, now: Instant) -> ShardSet {
        thread_local! {
            static WAKERS: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
        }
        let mut wakers = WAKERS.take();
        wakers.extend(state.out.wakers());
        let reached = state.out.take_reached_set();
        if let Some(shard) = self.shards.get(shard) {
            let held_bytes = state.out.held_bytes();
            shard.held_bytes.store(held_bytes, Ordering::Release);
            shard.changes.store(state.out.changes(), Ordering::Release);
        }
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
        reached
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
}
