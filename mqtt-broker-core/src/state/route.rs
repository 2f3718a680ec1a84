//! The route of one topic: an immutable copy of who gets its messages, which a shard remembers.

use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use hashbrown::HashTable;
use mqtt_codec::QoS;

use super::exchange::{Exchange, Spot};
use super::session::SessionId;
use super::subscribers::Subscriber;
use crate::store::SubscriptionRecord;

/// How messages are sent for one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// True if the session is kept in the store: deliveries of QoS 1 and 2 are, too.
    pub(crate) stored: bool,
    pub(crate) identifier: Option<NonZeroU32>,
}

impl Granted {
    pub(crate) fn new(record: SubscriptionRecord, stored: bool) -> Self {
        Self {
            qos: record.options.qos,
            no_local: record.options.no_local,
            retain_as_published: record.options.retain_as_published,
            stored,
            identifier: record.identifier,
        }
    }

    fn stores(&self) -> bool {
        self.stored && self.qos > QoS::AtMostOnce
    }
}

/// A session that gets a message, once, whichever of its subscriptions match. `[MQTT-3.3.4-2]`
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) session: SessionId,
    /// The first of its subscriptions that match.
    pub(crate) first: Granted,
    /// The others; nearly always none.
    pub(crate) others: Vec<Granted>,
}

impl Receiver {
    /// True if messages may wait for it.
    pub(crate) fn queues(&self) -> bool {
        let mut all = std::iter::once(&self.first).chain(&self.others);
        all.any(|granted| granted.qos > QoS::AtMostOnce)
    }
}

/// A set of shards, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShardSet(u64);

/// Who gets what is published to one topic.
#[derive(Debug, Default)]
pub(crate) struct Route {
    /// By shard.
    receivers: Vec<Receiver>,
    /// Shared subscriptions: one member of each gets the message.
    pub(crate) groups: Vec<Group>,
    /// Where receivers are.
    shards: ShardSet,
    /// Where deliveries of QoS 1 and 2 are stored.
    storing: ShardSet,
}

/// The members of one shared subscription.
#[derive(Debug)]
pub(crate) struct Group {
    members: Vec<Member>,
    /// Whose turn it is, in all copies.
    turn: Arc<AtomicU32>,
    shards: ShardSet,
    storing: ShardSet,
}

/// A member of a shared subscription.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) session: SessionId,
    pub(crate) granted: Granted,
    /// How ready it is, where there are several shards: who chooses may be in another one.
    pub(crate) readiness: Option<Arc<ReadinessCell>>,
}

/// How ready a session is to get a message of a shared subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Readiness {
    /// It can be sent at once.
    Ready,
    /// It has to wait.
    Connected,
    /// It waits until the client comes back.
    Away,
}

/// How ready a session is; nothing, once it has ended.
#[derive(Debug)]
pub(crate) struct ReadinessCell(AtomicU8);

impl Default for ReadinessCell {
    fn default() -> Self {
        Self(AtomicU8::new(Readiness::Away as u8))
    }
}

impl ShardSet {
    pub(crate) const fn of(shard: usize) -> Self {
        Self(1 << shard)
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The shards that these sessions are in, and those that store deliveries for them.
fn places<'a>(
    sessions: impl Iterator<Item = (&'a SessionId, &'a Granted)>,
) -> (ShardSet, ShardSet) {
    let none = (ShardSet::default(), ShardSet::default());
    sessions.fold(none, |(shards, storing), (session, granted)| {
        let shard = ShardSet::of(session.shard());
        let stores = if granted.stores() {
            shard
        } else {
            ShardSet::default()
        };
        (shards.with(shard), storing.with(stores))
    })
}

impl Iterator for ShardSet {
    type Item = usize;

    /// Takes the first one out.
    fn next(&mut self) -> Option<usize> {
        let first = (!self.is_empty()).then_some(self.0.trailing_zeros() as usize);
        self.0 &= self.0.wrapping_sub(1);
        first
    }
}

impl Route {
    /// The route to these subscribers, who may be there several times, and shared subscriptions.
    pub(super) fn new(mut matched: Vec<Subscriber>, groups: Vec<Group>) -> Self {
        matched.sort_by_key(|subscriber| subscriber.session);
        let (shards, storing) = places(matched.iter().map(|one| (&one.session, &one.granted)));
        let mut receivers: Vec<Receiver> = Vec::with_capacity(matched.len());
        for Subscriber { session, granted } in matched {
            match receivers.last_mut() {
                Some(last) if last.session == session => last.others.push(granted),
                _ => receivers.push(Receiver {
                    session,
                    first: granted,
                    others: Vec::new(),
                }),
            }
        }
        Self {
            receivers,
            groups,
            shards,
            storing,
        }
    }

    /// The receivers that are in this shard.
    pub(crate) fn receivers(&self, shard: usize) -> &[Receiver] {
        if self.shards == ShardSet::of(shard) {
            return &self.receivers;
        }
        let start = self
            .receivers
            .partition_point(|one| one.session.shard() < shard);
        let behind = self
            .receivers
            .partition_point(|one| one.session.shard() <= shard);
        self.receivers.get(start..behind).unwrap_or_default()
    }

    /// The shards with receivers that get each message.
    pub(crate) const fn shards(&self) -> ShardSet {
        self.shards
    }

    /// The shards that store a message of QoS 1 or 2, or may do so.
    pub(crate) fn storing(&self) -> ShardSet {
        let groups = self.groups.iter().map(|group| group.storing);
        groups.fold(self.storing, ShardSet::with)
    }

    /// True if all that concerns this topic is in this shard.
    pub(crate) fn is_within(&self, shard: usize) -> bool {
        let groups = self.groups.iter().map(|group| group.shards);
        let all = groups.fold(self.shards, ShardSet::with);
        all.without(ShardSet::of(shard)).is_empty()
    }
}

impl Group {
    pub(super) fn new(members: Vec<Member>, turn: Arc<AtomicU32>) -> Self {
        let (shards, storing) = places(members.iter().map(|one| (&one.session, &one.granted)));
        Self {
            members,
            turn,
            shards,
            storing,
        }
    }

    #[cfg(test)]
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The place of the member that gets the next message: the first in turn of those that are readiest;
    /// who is `None` does not count. The next turn is that of the member behind it.
    pub(crate) fn choose(&self, readiness: impl Fn(&Member) -> Option<Readiness>) -> Option<usize> {
        let count = self.members.len();
        let turn = self.turn.load(Ordering::Relaxed) as usize;
        let mut best: Option<(Readiness, usize)> = None;
        for step in 0..count {
            let at = (turn + step) % count;
            if let Some(readiness) = self.members.get(at).and_then(&readiness)
                && best.is_none_or(|(readiest, _)| readiness < readiest)
            {
                best = Some((readiness, at));
                if readiness == Readiness::Ready {
                    break;
                }
            }
        }
        let (_, at) = best?;
        self.turn.store(at as u32 + 1, Ordering::Relaxed);
        Some(at)
    }

    /// The member at a place.
    pub(crate) fn receiver(&self, at: usize) -> Option<Receiver> {
        self.members.get(at).map(|member| Receiver {
            session: member.session,
            first: member.granted,
            others: Vec::new(),
        })
    }
}

impl Readiness {
    const fn of_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Ready),
            1 => Some(Self::Connected),
            2 => Some(Self::Away),
            _ => None,
        }
    }
}

impl ReadinessCell {
    pub(crate) fn set(&self, readiness: Option<Readiness>) {
        let byte = readiness.map_or(u8::MAX, |readiness| readiness as u8);
        // It is written seldom, and read by all shards.
        if self.0.load(Ordering::Relaxed) != byte {
            self.0.store(byte, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> Option<Readiness> {
        Readiness::of_byte(self.0.load(Ordering::Relaxed))
    }
}

/// The routes that a shard remembers, each until a subscription changes that may concern it.
#[derive(Debug)]
pub(crate) struct RouteCache {
    cached: HashTable<Cached>,
    len_max: usize,
    hasher: foldhash::fast::RandomState,
}

#[derive(Debug)]
struct Cached {
    topic: Box<[u8]>,
    spot: Spot,
    route: Arc<Route>,
    generation: u64,
}

impl RouteCache {
    pub(crate) fn new(len_max: usize) -> Self {
        Self {
            cached: HashTable::new(),
            len_max,
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    /// Who gets what is published to a topic. Costs one look-up if it is remembered.
    pub(crate) fn route(&mut self, exchange: &Exchange, topic: &[u8]) -> Arc<Route> {
        let hash = self.hasher.hash_one(topic);
        let cached = self.cached.find(hash, |cached| *cached.topic == *topic);
        if let Some(cached) = cached
            && cached.generation == exchange.generation(cached.spot)
        {
            return cached.route.clone();
        }
        let spot = exchange.spot(topic);
        let (route, generation) = exchange.route(topic, spot);
        let route = Arc::new(route);
        self.remember(hash, topic, spot, route.clone(), generation);
        route
    }

    fn remember(
        &mut self,
        hash: u64,
        topic: &[u8],
        spot: Spot,
        route: Arc<Route>,
        generation: u64,
    ) {
        let cached = self.cached.find_mut(hash, |cached| *cached.topic == *topic);
        if let Some(cached) = cached {
            (cached.route, cached.generation) = (route, generation);
            return;
        }
        if self.cached.len() >= self.len_max {
            self.cached.clear();
        }
        let cached = Cached {
            topic: topic.into(),
            spot,
            route,
            generation,
        };
        self.cached
            .insert_unique(hash, cached, |cached| self.hasher.hash_one(&*cached.topic));
    }
}
