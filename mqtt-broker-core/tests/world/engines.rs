//! The engines of a broker, one or several, and what whoever drives them does between them.

use std::collections::BTreeSet;
use std::sync::Arc;

use mqtt_broker_core::store::{Batch, StoredSession};
use mqtt_broker_core::{
    ClientId, ConnectionId, Counters, Engine, Input, Instant, Message, Outbox, Output, Read,
    Settings,
};

/// How often engines give each other something before they have to come to rest.
const ROUNDS_MAX: usize = 1000;

/// A connection, and the shard that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) shard: usize,
    pub(crate) id: ConnectionId,
}

/// All shards of a broker.
pub(crate) struct Engines {
    shards: Vec<(Engine, Output)>,
    /// Where the next connection is opened: its CONNECT may move it.
    next: usize,
    /// The shards that others have something for.
    reached: BTreeSet<usize>,
    /// True if they take their time to receive it.
    pub(crate) slow: bool,
}

impl Engines {
    pub(crate) fn new(settings: &Settings, shards: usize) -> Self {
        let engines = Engine::shards(settings, shards).into_iter();
        Self {
            shards: engines.map(|engine| (engine, Output::default())).collect(),
            next: 0,
            reached: BTreeSet::new(),
            slow: false,
        }
    }

    pub(crate) fn open(&mut self, now: Instant, outbox: Arc<Outbox>) -> Place {
        self.next = (self.next + 1) % self.shards.len();
        let shard = self.next;
        let id = self.shards[shard].0.open(now, outbox);
        Place { shard, id }
    }

    /// The place of a connection whose client says who it is: its session's.
    pub(crate) fn move_to(
        &mut self,
        now: Instant,
        place: Place,
        client: &str,
        outbox: &Arc<Outbox>,
    ) -> Place {
        let shard = self.shards[0].0.shard_of(client);
        if client.is_empty() || shard == place.shard {
            return place;
        }
        if !self.shards[place.shard].0.release(place.id) {
            return place;
        }
        let id = self.shards[shard].0.open(now, outbox.clone());
        Place { shard, id }
    }

    /// Hands an input to a shard, and to others, now or later, what that has for them.
    pub(crate) fn handle(&mut self, now: Instant, shard: usize, input: Input<'_>) {
        self.receive(now, shard);
        let (engine, out) = &mut self.shards[shard];
        engine.handle(now, input, out);
        assert_eq!(out.wakers().count(), 0, "nobody sleeps here");
        self.reached.extend(out.take_reached());
        if !self.slow {
            self.settle(now);
        }
    }

    fn handle_all(&mut self, now: Instant, input: impl Fn() -> Input<'static>) {
        for shard in 0..self.shards.len() {
            self.handle(now, shard, input());
        }
    }

    /// Lets one shard receive what there is for it; false if there is nothing for anybody.
    pub(crate) fn receive_some(&mut self, now: Instant) -> bool {
        let reached = self.reached.first().copied();
        if let Some(shard) = reached {
            self.receive(now, shard);
        }
        reached.is_some()
    }

    fn receive(&mut self, now: Instant, shard: usize) {
        self.reached.remove(&shard);
        let (engine, out) = &mut self.shards[shard];
        engine.receive(now, out);
        assert!(!engine.has_arrivals());
        assert_eq!(out.wakers().count(), 0, "nobody sleeps here");
        self.reached.extend(out.take_reached());
    }

    /// Lets all shards receive what there is for them.
    fn settle(&mut self, now: Instant) {
        let mut rounds = 0;
        while self.receive_some(now) {
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "the shards do not come to rest");
        }
        let left = self
            .shards
            .iter()
            .position(|(engine, _)| engine.has_arrivals());
        assert_eq!(left, None, "nobody says that this shard is reached");
    }

    pub(crate) fn shut_down(&mut self, now: Instant) {
        if self.shards.len() > 1 {
            self.handle_all(now, || Input::LastWills);
            self.settle(now);
        }
        self.handle_all(now, || Input::Shutdown);
    }

    pub(crate) fn abort(&mut self) {
        for (engine, out) in &mut self.shards {
            engine.abort(out);
        }
    }

    /// When something is due next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let deadlines = self.shards.iter().map(|(engine, _)| engine.deadline());
        deadlines.flatten().min()
    }

    /// Lets what is due happen.
    pub(crate) fn handle_deadline(&mut self, now: Instant) {
        for shard in 0..self.shards.len() {
            if self.shards[shard]
                .0
                .deadline()
                .is_some_and(|due| due <= now)
            {
                self.handle(now, shard, Input::Deadline);
            }
        }
    }

    /// What is wanted from the store, and by which shard.
    pub(crate) fn take_reads(&mut self) -> Vec<(usize, Read)> {
        let shards = self.shards.iter_mut().enumerate();
        let reads = shards.map(|(at, (_, out))| (at, out.take_reads(usize::MAX)));
        let reads = reads.flat_map(|(at, reads)| reads.into_iter().map(move |read| (at, read)));
        reads.collect()
    }

    /// The changes of all shards, as one commit.
    pub(crate) fn take_batch(&mut self, now: Instant) -> Option<Batch> {
        self.settle(now);
        if let [(_, out)] = &mut self.shards[..] {
            return out.take_batch();
        }
        if !self.shards.iter().any(|(_, out)| out.is_gathering()) {
            return None;
        }
        let changes = self.shards.iter_mut().map(|(_, out)| out.cut());
        Some(Batch::from(changes.flatten().collect::<Vec<_>>()))
    }

    pub(crate) fn committed(&mut self) {
        for (_, out) in &mut self.shards {
            out.committed();
            assert_eq!(out.wakers().count(), 0, "nobody sleeps here");
        }
    }

    pub(crate) fn restore_session(
        &mut self,
        now: Instant,
        client: ClientId,
        stored: StoredSession,
    ) {
        let shard = self.shards[0].0.shard_of(client.as_str());
        self.shards[shard].0.restore_session(now, client, stored);
    }

    pub(crate) fn restore_retained(&mut self, message: Arc<Message>) {
        self.shards[0].0.restore_retained(message);
    }

    pub(crate) fn take_question(
        &mut self,
        shard: usize,
    ) -> Option<(ConnectionId, mqtt_broker_core::authority::Question)> {
        self.shards[shard].1.take_question()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shards
            .iter()
            .map(|(engine, _)| engine.connections())
            .sum()
    }

    pub(crate) fn sessions(&self) -> usize {
        self.shards
            .iter()
            .map(|(engine, _)| engine.sessions())
            .sum()
    }

    pub(crate) fn retained(&self) -> usize {
        self.shards[0].0.retained()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.shards[0].0.memory_bytes()
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.shards.iter().map(|(_, out)| out.held_bytes()).sum()
    }

    pub(crate) fn is_gathering(&self) -> bool {
        self.shards.iter().any(|(_, out)| out.is_gathering())
    }

    /// What all shards have counted.
    pub(crate) fn counters(&self) -> Counters {
        self.shards.iter().map(|(_, out)| out.counters).sum()
    }
}
