//! What the engine wants done: packets sent, changes committed, questions answered.
//!
//! Packets go straight to the outbox of their connection, unless they promise something that is not
//! durable yet. Those are held, with all that follows them on the same connection, until
//! [`Output::committed`] says that the batch they wait for has been committed.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::task::Waker;

use crate::authority::Question;
use crate::state::{Connection, ConnectionId, SessionId, ShardSet};
use crate::store::{Batch, Change, Expiring};
use crate::{ClientId, Counters, Outbox};

/// When a packet may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// At once: it promises nothing.
    Now,
    /// Once all changes made so far are durable.
    AfterCommit,
}

/// What came of the inputs handled so far.
#[derive(Debug, Default)]
pub struct Output {
    changes: Vec<Change>,
    /// Number of the last batch taken; the one that gathers is the next.
    taken: u64,
    /// Number of the last batch committed.
    committed: u64,
    /// Held until the batch that has been taken is committed.
    in_flight: Held,
    /// Held until the batch that gathers is committed.
    gathering: Held,
    /// Bytes of the messages in the batch that gathers.
    batch_bytes: usize,
    /// True if the batch that gathers is more than removals that nobody waits for.
    urgent: bool,
    /// True if other shards have, or will have, changes for the next commit that something waits for here.
    awaits_others: bool,
    /// The shards that have been given something.
    reached: ShardSet,
    wakers: Vec<Waker>,
    questions: Vec<(ConnectionId, Question)>,
    reads: VecDeque<Read>,
    /// What has been counted.
    pub counters: Counters,
}

/// What there is to do with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    Nothing,
    /// Complete deliveries are to be removed, which can wait: the next commit may take it along.
    Removals,
    /// Something waits for a commit, or is to be read.
    Now,
}

/// Something that the engine wants to have from the store, as it is after the commit of all batches
/// taken so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Deliveries of a session. The answer is [`Input::Loaded`](super::Input::Loaded).
    Deliveries(Load),
    /// When the lifetimes of deliveries end. The answer is
    /// [`Input::Expiring`](super::Input::Expiring).
    Expiring {
        /// Where to go on.
        after: Option<Expiring>,
    },
}

/// Deliveries of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Which session asked.
    pub session: SessionId,
    /// Its client identifier.
    pub client: ClientId,
    /// Deliveries after this sequence number.
    pub after: u64,
    /// At most so many.
    pub limit: usize,
    /// The connection they are for: to the next one, they would be out of date.
    pub(crate) connection: ConnectionId,
}

/// Packets in the order in which they are to leave.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    packets: Vec<HeldPacket>,
}

#[derive(Debug)]
struct HeldPacket {
    outbox: Arc<Outbox>,
    bytes: Range<usize>,
    /// True if the connection is closed behind it.
    closing: bool,
}

impl Output {
    /// Takes the changes to commit, if there are any.
    ///
    /// The caller hands them to the store, and then calls [`Output::committed`]. Until then it does
    /// not call this again.
    pub fn take_batch(&mut self) -> Option<Batch> {
        if self.changes.is_empty() {
            return None;
        }
        Some(Batch::from(self.cut()))
    }

    /// Takes the changes of this shard that the next commit of all shards is to hold; there may be none.
    ///
    /// A message may bring changes in several shards, and is acknowledged when all of them are durable,
    /// at once: after a crash there are all of them or none. So whoever drives several engines stops all of
    /// them, lets them [receive](super::Engine::receive) until nobody has anything for another, calls this for
    /// each, commits all as one batch, and then calls [`Output::committed`] for each.
    pub fn cut(&mut self) -> Vec<Change> {
        debug_assert!(
            self.taken == self.committed,
            "one commit is under way at a time"
        );
        self.taken += 1;
        self.urgent = false;
        self.awaits_others = false;
        self.batch_bytes = 0;
        std::mem::swap(&mut self.in_flight, &mut self.gathering);
        std::mem::take(&mut self.changes)
    }

    /// True if a commit is wanted, also if all of its changes are those of other shards.
    #[must_use]
    pub fn is_gathering(&self) -> bool {
        self.awaits_others || !self.changes.is_empty()
    }

    /// The shards that have been given something since the last call: they are to
    /// [receive](super::Engine::receive) it soon.
    pub fn take_reached(&mut self) -> impl Iterator<Item = usize> + use<> {
        self.take_reached_set()
    }

    pub(crate) fn take_reached_set(&mut self) -> ShardSet {
        std::mem::take(&mut self.reached)
    }

    /// Something has been put into the inbox of a shard.
    pub(crate) fn reach(&mut self, shard: usize) {
        self.reached = self.reached.with(ShardSet::of(shard));
    }

    /// What waits for the next commit waits for changes in other shards, too.
    pub(crate) fn await_others(&mut self) {
        self.awaits_others = true;
    }

    /// Releases what was held for the batch that was taken last: it is durable.
    pub fn committed(&mut self) {
        self.committed = self.taken;
        let mut held = std::mem::take(&mut self.in_flight);
        for packet in held.packets.drain(..) {
            let bytes = held.bytes.get(packet.bytes).unwrap_or_default();
            if !bytes.is_empty() {
                self.wakers
                    .extend(packet.outbox.append(|out| out.extend_from_slice(bytes)));
            }
            if packet.closing {
                self.wakers.extend(packet.outbox.close());
            }
        }
        held.bytes.clear();
        // The buffers serve the next batch.
        self.in_flight = held;
    }

    /// Forgets all that waits for a commit: it will never be durable. The connections that waited
    /// for it are closed, also those that the engine has forgotten already.
    pub(crate) fn abandon(&mut self) {
        self.changes.clear();
        self.awaits_others = false;
        self.batch_bytes = 0;
        self.reads.clear();
        for held in [&mut self.in_flight, &mut self.gathering] {
            for packet in held.packets.drain(..) {
                self.wakers.extend(packet.outbox.close());
            }
            held.bytes.clear();
        }
    }

    /// Closes the connection now, whatever waits.
    pub(crate) fn abort(&mut self, connection: &Connection) {
        self.wakers.extend(connection.outbox.close());
    }

    /// The tasks to wake, since their outboxes have something for them.
    pub fn wakers(&mut self) -> std::vec::Drain<'_, Waker> {
        self.wakers.drain(..)
    }

    /// The next question for the authority, and the connection that it is about.
    pub fn take_question(&mut self) -> Option<(ConnectionId, Question)> {
        self.questions.pop()
    }

    /// Takes what is to be read from the store next, at most `limit` of it.
    pub fn take_reads(&mut self, limit: usize) -> Vec<Read> {
        let count = limit.min(self.reads.len());
        self.reads.drain(..count).collect()
    }

    /// What there is to do with the store.
    #[must_use]
    pub fn work(&self) -> Work {
        if self.urgent || !self.reads.is_empty() {
            Work::Now
        } else if !self.is_gathering() {
            Work::Nothing
        } else {
            Work::Removals
        }
    }

    /// How many changes wait to be committed.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Bytes that wait for a commit: packets, and messages that are yet to be taken.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.in_flight.bytes.len() + self.gathering.bytes.len() + self.batch_bytes
    }

    pub(crate) fn change(&mut self, change: Change) {
        self.urgent |= !matches!(change, Change::DeleteDelivery { .. });
        self.batch_bytes += self.new_bytes(&change);
        self.changes.push(change);
    }

    /// Bytes of a change's message, unless the change before it has the same one.
    fn new_bytes(&self, change: &Change) -> usize {
        let before = self.changes.last().and_then(Change::message);
        match change.message() {
            Some(message) if before.is_some_and(|before| Arc::ptr_eq(before, message)) => 0,
            Some(message) => message.len(),
            None => 0,
        }
    }

    pub(crate) fn ask(&mut self, connection: ConnectionId, question: Question) {
        self.questions.push((connection, question));
    }

    pub(crate) fn read(&mut self, read: Read) {
        self.reads.push_back(read);
    }

    /// Sends what `write` writes. On one connection, nothing overtakes what was sent before.
    pub(crate) fn send(
        &mut self,
        connection: &mut Connection,
        release: Release,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        match self.held_for(connection, release) {
            None => self.wakers.extend(connection.outbox.append(write)),
            Some(held) => held.push(&connection.outbox, write),
        }
    }

    /// Asks for `Input::Written` once nothing waits in the connection's outbox.
    pub(crate) fn ask_written(&mut self, connection: &Connection) {
        self.wakers.extend(connection.outbox.ask_written());
    }

    /// Closes the connection behind all that was sent to it.
    pub(crate) fn close(&mut self, connection: &mut Connection) {
        match self.held_for(connection, Release::Now) {
            None => self.wakers.extend(connection.outbox.close()),
            Some(held) => held.close(&connection.outbox),
        }
    }

    /// What the next packet of the connection has to wait in, if it has to wait.
    fn held_for(&mut self, connection: &mut Connection, release: Release) -> Option<&mut Held> {
        // Without changes in the batch that gathers, what was taken before is all there is.
        let changed = self.taken + u64::from(self.is_gathering());
        if release == Release::AfterCommit {
            connection.held_until = connection.held_until.max(changed);
        }
        if connection.held_until <= self.committed {
            None
        } else if connection.held_until == self.taken {
            Some(&mut self.in_flight)
        } else {
            self.urgent = true;
            Some(&mut self.gathering)
        }
    }
}

impl Held {
    fn push(&mut self, outbox: &Arc<Outbox>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let end = self.bytes.len();
        match self.packets.last_mut() {
            Some(last) if Arc::ptr_eq(&last.outbox, outbox) => last.bytes.end = end,
            _ => self.packets.push(HeldPacket {
                outbox: outbox.clone(),
                bytes: start..end,
                closing: false,
            }),
        }
    }

    fn close(&mut self, outbox: &Arc<Outbox>) {
        self.push(outbox, |_| ());
        if let Some(last) = self.packets.last_mut() {
            last.closing = true;
        }
    }
}
