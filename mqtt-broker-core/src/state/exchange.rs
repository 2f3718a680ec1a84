//! What the shards of a broker have in common: subscriptions, retained messages, and the inboxes
//! through which they give each other messages.
//!
//! Locks are taken in this order: a shard, a topic's order, retained messages, subscriptions, an inbox. No two of
//! a kind are held at once, but for the shards, which the pump takes one after the other.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use mqtt_codec::TopicFilter;

use super::inbox::Inbox;
use super::retained::Retained;
use super::route::{Granted, ReadinessCell, Route};
use super::routes::{FilterId, Routes};
use super::session::SessionId;
use crate::budget::{Budget, Total};

/// Shards of a broker at most: the bits of a set of them, and of the numbers of sessions.
pub(crate) const SHARDS_MAX: usize = 64;
/// The shard that stores the changes of retained messages, in the order in which they are made.
pub(crate) const KEEPER: usize = 0;
/// How many groups topics are in: those of one group have their order, and what is remembered of
/// their routes ends, together.
const SPOTS: usize = 1024;

/// The group of a topic, by its first two levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot(u16);

/// What all shards have in common.
pub(crate) struct Exchange {
    routes: RwLock<Routes>,
    /// Counts the changes of subscriptions that may concern any topic.
    changes: AtomicU64,
    /// Counts those that concern topics of one group.
    spots: Box<[AtomicU64]>,
    /// Held while a message gets its place in the order of its topic.
    orders: Box<[Mutex<()>]>,
    retained: RwLock<Retained>,
    retained_len: AtomicUsize,
    sessions: AtomicUsize,
    /// Sessions whose queues have no room, where there are several shards: who publishes may be in another.
    full: RwLock<HashSet<SessionId>>,
    full_len: AtomicUsize,
    memory: Arc<Total>,
    inboxes: Box<[Inbox]>,
    hasher: foldhash::fast::FixedState,
}

impl Exchange {
    /// `seed`: what decides which client is in which shard; nobody else is to know it.
    pub(crate) fn new(shards: usize, seed: u64, memory_bytes_max: usize) -> Self {
        let shards = shards.clamp(1, SHARDS_MAX);
        // Nothing is ordered between shards where there is one.
        let orders = if shards == 1 { 1 } else { SPOTS };
        Self {
            routes: RwLock::default(),
            changes: AtomicU64::new(0),
            spots: (0..SPOTS).map(|_| AtomicU64::new(0)).collect(),
            orders: (0..orders).map(|_| Mutex::default()).collect(),
            retained: RwLock::default(),
            retained_len: AtomicUsize::new(0),
            sessions: AtomicUsize::new(0),
            full: RwLock::default(),
            full_len: AtomicUsize::new(0),
            memory: Total::new(memory_bytes_max),
            inboxes: (0..shards).map(|_| Inbox::default()).collect(),
            hasher: foldhash::fast::FixedState::with_seed(seed),
        }
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> usize {
        self.inboxes.len()
    }

    /// The shard that a client's session is in.
    pub(crate) fn shard_of(&self, client: &str) -> usize {
        self.place(client.as_bytes(), self.shards())
    }

    fn place(&self, bytes: &[u8], places: usize) -> usize {
        if places == 1 {
            return 0;
        }
        // The upper half: tables go by the lower one.
        ((self.hasher.hash_one(bytes) >> 32) as usize) % places
    }

    /// The inbox of a shard.
    pub(crate) fn inbox(&self, shard: usize) -> Option<&Inbox> {
        self.inboxes.get(shard)
    }

    /// Whoever holds this says what comes next on topics of a group.
    pub(crate) fn order(&self, topic: &[u8]) -> Option<MutexGuard<'_, ()>> {
        let at = self.place(topic, self.orders.len());
        let order = self.orders.get(at)?;
        // It guards no data that a panic could have left half-way.
        Some(order.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The group of a topic.
    pub(crate) fn spot(&self, topic: &[u8]) -> Spot {
        Spot(self.place(first_levels(topic), SPOTS) as u16)
    }

    /// Stays the same as long as the routes of the topics of a group do.
    pub(crate) fn generation(&self, spot: Spot) -> u64 {
        let of_spot = self.spots.get(usize::from(spot.0));
        let of_spot = of_spot.map_or(0, |count| count.load(Ordering::Acquire));
        // Both only rise, so the sum rises with each.
        self.changes.load(Ordering::Acquire) + of_spot
    }

    /// The route of a topic, with its generation.
    pub(crate) fn route(&self, topic: &[u8], spot: Spot) -> (Route, u64) {
        let routes = self.routes();
        (routes.route(topic), self.generation(spot))
    }

    /// Subscribes a session, or replaces its subscription of the same filter. Returns the filter.
    pub(crate) fn subscribe(
        &self,
        session: SessionId,
        filter: TopicFilter<&[u8]>,
        granted: Granted,
    ) -> FilterId {
        let mut routes = self.routes_mut();
        let id = routes.subscribe(session, filter, granted);
        self.changed(filter);
        id
    }

    /// Ends the subscription of a filter, if there is one. Returns the filter.
    pub(crate) fn unsubscribe(
        &self,
        session: SessionId,
        filter: TopicFilter<&[u8]>,
    ) -> Option<FilterId> {
        let mut routes = self.routes_mut();
        let id = routes.find(filter)?;
        routes.unsubscribe(session, id).then(|| {
            self.changed(filter);
            id
        })
    }

    /// Ends all these subscriptions of a session.
    pub(crate) fn unsubscribe_all(&self, session: SessionId, filters: &[FilterId]) {
        if filters.is_empty() {
            return;
        }
        let mut routes = self.routes_mut();
        for id in filters {
            if let Some(filter) = routes.text(*id) {
                self.changed(filter.as_view());
            }
            routes.unsubscribe(session, *id);
        }
    }

    /// How ready a session is to get messages of shared subscriptions, for all shards to see. `None`
    /// where there is one shard, which knows.
    pub(crate) fn readiness(&self, session: SessionId) -> Option<Arc<ReadinessCell>> {
        (self.shards() > 1).then(|| self.routes_mut().readiness(session))
    }

    /// The session, which has one of those, has ended.
    pub(crate) fn forget_readiness(&self, session: SessionId) {
        self.routes_mut().forget_readiness(session);
    }

    /// The filter with this text, if anybody has subscribed to it.
    pub(crate) fn find(&self, filter: TopicFilter<&[u8]>) -> Option<FilterId> {
        self.routes().find(filter)
    }

    /// Lets what is remembered of routes that this filter may change end. Called while the
    /// subscriptions are locked.
    fn changed(&self, filter: TopicFilter<&[u8]>) {
        let levels = first_levels(filter.filter());
        let anywhere = levels.iter().any(|byte| matches!(byte, b'+' | b'#'));
        let Spot(at) = self.spot(filter.filter());
        let count = match self.spots.get(usize::from(at)) {
            Some(count) if !anywhere => count,
            _ => &self.changes,
        };
        count.fetch_add(1, Ordering::Release);
    }

    fn routes(&self) -> RwLockReadGuard<'_, Routes> {
        // Who panics with this lock leaves a broker that handles nothing more.
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn routes_mut(&self) -> RwLockWriteGuard<'_, Routes> {
        self.routes.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The retained messages. Their changes are stored by [`KEEPER`].
    pub(crate) fn retained(&self) -> RwLockReadGuard<'_, Retained> {
        self.retained.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, to be changed.
    pub(crate) fn retained_mut(&self) -> RwLockWriteGuard<'_, Retained> {
        self.retained
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How many retained messages there are.
    pub(crate) fn retained_len(&self) -> usize {
        self.retained_len.load(Ordering::Relaxed)
    }

    /// False if there are none, also none that is being retained now in another shard.
    pub(crate) fn may_have_retained(&self) -> bool {
        self.shards() > 1 || self.retained_len() > 0
    }

    /// Notes how many there are now.
    pub(crate) fn count_retained(&self, retained: &Retained) {
        self.retained_len.store(retained.len(), Ordering::Relaxed);
    }

    /// Notes that the queue of a session is full, or is full no more.
    pub(crate) fn set_full(&self, session: SessionId, full: bool) {
        let mut all = self.full.write().unwrap_or_else(PoisonError::into_inner);
        if full {
            all.insert(session);
        } else {
            all.remove(&session);
        }
        self.full_len.store(all.len(), Ordering::Relaxed);
    }

    /// True if the queue of one of these sessions is full. Costs nothing as long as nobody's is.
    pub(crate) fn any_full(&self, sessions: impl IntoIterator<Item = SessionId>) -> bool {
        if self.full_len.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let all = self.full.read().unwrap_or_else(PoisonError::into_inner);
        sessions.into_iter().any(|session| all.contains(&session))
    }

    /// The memory that what waits may take up.
    pub(crate) fn budget(&self) -> Budget {
        Budget::of(&self.memory)
    }

    /// How many sessions there are.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    pub(crate) fn count_session(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn forget_session(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> usize {
        self.memory.connections()
    }

    pub(crate) fn count_connection(&self) {
        self.memory.count_connection();
    }

    pub(crate) fn forget_connections(&self, count: usize) {
        self.memory.forget_connections(count);
    }
}

/// The first two levels of a topic name or filter.
fn first_levels(text: &[u8]) -> &[u8] {
    let mut slashes = text.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let end = slashes.nth(1).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::RouteCache;
    use super::*;
    use crate::store::SubscriptionRecord;
    use mqtt_codec::{QoS, SubscriptionOptions};

    const LEVELS: [&str; 5] = ["a", "b", "", "$x", "ab"];

    fn topic() -> impl Strategy<Value = String> {
        let levels = vec(select(&LEVELS[..]), 1..4).prop_map(|levels| levels.join("/"));
        levels.prop_filter("not empty", |topic| !topic.is_empty())
    }

    fn filter() -> impl Strategy<Value = String> {
        let levels = vec(prop_oneof![3 => select(&LEVELS[..]), 1 => Just("+")], 0..4);
        let ends = (
            select(&["", "$share/g/"][..]),
            levels,
            select(&["", "#"][..]),
        );
        let filter = ends.prop_map(|(share, levels, end)| {
            let end = Some(end).filter(|end| !end.is_empty());
            let filter: Vec<_> = levels.into_iter().chain(end).collect();
            format!("{share}{}", filter.join("/"))
        });
        filter.prop_filter("a filter", |text| TopicFilter::from_text(text).is_ok())
    }

    proptest! {
        /// What a shard remembers of a route is what it would find now, whoever comes and goes.
        #[test]
        fn no_remembered_route_is_out_of_date(
            steps in vec((any::<bool>(), 0..3_usize, filter()), 0..30),
            topics in vec(topic(), 1..6),
            len_max in 0..4_usize,
        ) {
            let exchange = Exchange::new(3, 1, usize::MAX);
            let mut cache = RouteCache::new(len_max);
            let options = SubscriptionOptions::of_qos(QoS::AtLeastOnce);
            let record = SubscriptionRecord { options, identifier: None };
            for (subscribe, shard, filter) in steps {
                let session = SessionId::new(shard, 0, 1);
                let filter = TopicFilter::from_text(&filter).unwrap();
                if subscribe {
                    exchange.subscribe(session, filter.as_view(), Granted::new(record, true));
                } else {
                    exchange.unsubscribe(session, filter.as_view());
                }
                for topic in topics.iter().map(String::as_bytes) {
                    let found = cache.route(&exchange, topic);
                    let (expected, _) = exchange.route(topic, exchange.spot(topic));
                    prop_assert_eq!(format!("{found:?}"), format!("{expected:?}"));
                }
            }
        }
    }

    #[test]
    fn a_spot_is_that_of_the_first_two_levels() {
        for (text, levels) in [
            ("a", "a"),
            ("a/b", "a/b"),
            ("a/b/c", "a/b"),
            ("/", "/"),
            ("//c", "/"),
            ("a/", "a/"),
        ] {
            assert_eq!(first_levels(text.as_bytes()), levels.as_bytes());
        }
    }
}
