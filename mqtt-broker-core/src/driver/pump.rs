//! The pump: commits what has changed in all shards, as one batch, and reads what they want.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::{Dead, Phase, PumpTime, Shards, State};
use crate::state::ShardSet;
use crate::store::{Batch, Change, SessionStore, StoreError};
use crate::{Input, Instant, Read, Work};

/// Pages read between two commits: when a thousand clients come back at once, acknowledgements are not
/// to wait for all of their queues.
const READS_MAX: usize = 32;
/// Lifetimes that are read from the store at a time.
const EXPIRING_PAGE: usize = 1000;

/// What the pump finds.
enum Outlook {
    /// Changes to commit, or something to read.
    Work,
    /// Nothing until then.
    Idle(Option<Instant>),
    /// Nothing, and the broker stops.
    Stopped,
}

/// What is to be done.
struct Taken {
    /// What is to be committed, maybe nothing, if something waits for a commit.
    changes: Option<Vec<Change>>,
    /// What is to be read, and for which shard.
    reads: Vec<(usize, Read)>,
}

/// Commits what has changed, loads what is wanted, and handles what is due, until the broker stops.
///
/// One commit is under way at a time; what changes meanwhile is the next one. So the busier the
/// broker, the larger its commits.
pub(crate) async fn pump(shards: Arc<Shards>) -> Result<(), StoreError> {
    let unless_stopped = FailOnDrop(&shards);
    pump_until_stopped(&shards).await?;
    std::mem::forget(unless_stopped);
    Ok(())
}

/// Lets the broker fail, also where a store panics: clients are not to wait for a pump that is gone.
struct FailOnDrop<'a>(&'a Shards);

impl Drop for FailOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fail();
    }
}

async fn pump_until_stopped(shards: &Shards) -> Result<(), StoreError> {
    loop {
        match shards.outlook().map_err(|Dead| StoreError::Poisoned)? {
            Outlook::Work => step(shards).await?,
            Outlook::Idle(deadline) => wait(shards, deadline).await,
            Outlook::Stopped => return Ok(()),
        }
    }
}

/// Waits until there is work, or something is due.
async fn wait(shards: &Shards, deadline: Option<Instant>) {
    let Some(deadline) = deadline else {
        return shards.work.notified().await;
    };
    let left = deadline
        .since(shards.clock.now())
        .max(Duration::from_millis(1));
    // Whichever it was: there is nothing to do but to look.
    let _ = tokio::time::timeout(left, shards.work.notified()).await;
}

async fn step(shards: &Shards) -> Result<(), StoreError> {
    let Taken { changes, reads } = shards.take_work().map_err(|Dead| StoreError::Poisoned)?;
    if let Some(changes) = changes {
        // Something may wait for a commit, and no change be left for it.
        if !changes.is_empty() {
            shards.store.commit(Batch::from(changes)).await?;
        }
        shards.release().map_err(|Dead| StoreError::Poisoned)?;
    }
    for (shard, wanted) in reads {
        let input = read(&*shards.store, wanted).await?;
        shards
            .with(shard, |engine, now, out| engine.handle(now, input, out))
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

impl Shards {
    fn everyone(&self) -> ShardSet {
        let each = self.all().map(ShardSet::of);
        each.fold(ShardSet::default(), ShardSet::with)
    }

    /// What the pump has to do now.
    fn outlook(&self) -> Result<Outlook, Dead> {
        let (mut next, mut stopped) = (None, true);
        for shard in self.all() {
            let mut state = self.lock(shard)?;
            let stopping = state.phase == Phase::Stopping;
            stopped &= stopping;
            match self.pump_time(&mut state, self.clock.now()) {
                PumpTime::Now if !(stopping && state.out.work() == Work::Nothing) => {
                    return Ok(Outlook::Work);
                }
                PumpTime::At(_) if stopping && state.out.work() != Work::Nothing => {
                    return Ok(Outlook::Work);
                }
                PumpTime::Now => {}
                PumpTime::At(time) => {
                    state.pump_deadline = time;
                    next = next.into_iter().chain(time).min();
                }
            }
            drop(state);
            self.look(ShardSet::of(shard));
        }
        Ok(if stopped {
            Outlook::Stopped
        } else {
            Outlook::Idle(next)
        })
    }

    /// Handles what is due, and takes what is to be committed and to be read.
    ///
    /// The latter with all shards stopped for a moment, and nothing on its way between them: so a commit has all
    /// of the changes that a message brings, or none, in however many shards they are.
    fn take_work(&self) -> Result<Taken, Dead> {
        for shard in self.all() {
            self.handle_due(shard)?;
        }
        let mut states: Vec<MutexGuard<'_, State>> = self
            .all()
            .map(|shard| self.lock(shard))
            .collect::<Result<_, _>>()?;
        let now = self.clock.now();
        let mut taken = Taken {
            changes: None,
            reads: Vec::new(),
        };
        for state in &mut states {
            let State { engine, out, .. } = &mut **state;
            if self.are_several() {
                engine.receive(now, out);
            }
        }
        let reads_max = (READS_MAX / states.len()).max(1);
        let gathering = states.iter().any(|state| state.out.is_gathering());
        for (shard, state) in states.iter_mut().enumerate() {
            if gathering {
                let changes = state.out.cut();
                match &mut taken.changes {
                    None => taken.changes = Some(changes),
                    Some(before) => before.extend(changes),
                }
            }
            let reads = state.out.take_reads(reads_max).into_iter();
            taken.reads.extend(reads.map(|read| (shard, read)));
            state.removals_due = None;
        }
        for (shard, state) in states.into_iter().enumerate() {
            self.finish(shard, state, now);
        }
        self.look(self.everyone());
        Ok(taken)
    }

    /// Handles what is due in a shard. Whoever stops leaves that for the next start.
    fn handle_due(&self, shard: usize) -> Result<(), Dead> {
        let mut state = self.lock(shard)?;
        let now = self.clock.now();
        let due = state
            .engine
            .deadline()
            .is_some_and(|deadline| deadline <= now);
        if !due || state.phase != Phase::Running {
            drop(state);
            self.look(ShardSet::of(shard));
            return Ok(());
        }
        let State { engine, out, .. } = &mut *state;
        engine.handle(now, Input::Deadline, out);
        let reached = self.finish(shard, state, now);
        self.look(reached.with(ShardSet::of(shard)));
        Ok(())
    }

    /// What was taken has been committed: lets go of what waited for that, and nothing else does.
    fn release(&self) -> Result<(), Dead> {
        for shard in self.all() {
            let mut state = self.lock(shard)?;
            state.out.committed();
            self.finish(shard, state, self.clock.now());
        }
        // Not before all shards show what waits no more: who comes to wait until then is woken, too.
        for shard in self.all() {
            let stalled = std::mem::take(&mut self.lock(shard)?.stalled);
            stalled.into_iter().for_each(Waker::wake);
        }
        self.look(self.everyone());
        Ok(())
    }

    /// Closes all connections, without what waits for a commit that will never be.
    ///
    /// `[MQTT-4.8.0-2]` of 3.1.1
    fn fail(&self) {
        for (at, shard) in self.shards.iter().enumerate() {
            // Nothing is done with an engine that has panicked but to close its connections.
            let mut state = shard.state.lock().unwrap_or_else(PoisonError::into_inner);
            let State {
                engine,
                out,
                stalled,
                ..
            } = &mut *state;
            engine.abort(out);
            stalled.drain(..).for_each(Waker::wake);
            state.phase = Phase::Failed;
            self.finish(at, state, self.clock.now());
        }
    }
}
