//! Who gets what is published to a topic: all subscriptions, and the routes made from them.
//!
//! Filters without wildcards are found by one hash look-up, those with wildcards in a trie. What
//! was found for a topic is remembered until any subscription changes.

use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::sync::Arc;

use hashbrown::HashTable;
use mqtt_codec::{QoS, TopicFilter};
use slab::Slab;

use super::SessionId;
use super::trie::Trie;
use crate::store::SubscriptionRecord;

/// Names a filter that somebody has subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FilterId(NonZeroU32);

/// A topic filter and all who have subscribed to it.
#[derive(Debug)]
struct Filter {
    /// As it was sent, share name included.
    text: TopicFilter,
    subscribers: Vec<Subscriber>,
    /// The next filter in the same place: with another share name, or none.
    next: Option<FilterId>,
    /// Of a shared subscription: whose turn it is.
    turn: u32,
}

/// One subscriber of a filter.
#[derive(Clone, Copy, Debug)]
struct Subscriber {
    session: SessionId,
    granted: Granted,
}

/// How messages are sent for one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) identifier: Option<NonZeroU32>,
}

impl From<SubscriptionRecord> for Granted {
    fn from(record: SubscriptionRecord) -> Self {
        Self {
            qos: record.options.qos,
            no_local: record.options.no_local,
            retain_as_published: record.options.retain_as_published,
            identifier: record.identifier,
        }
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

/// Who gets what is published to one topic.
#[derive(Debug, Default)]
pub(crate) struct Route {
    pub(crate) receivers: Vec<Receiver>,
    /// Shared subscriptions: one member of each gets the message.
    pub(crate) shared: Vec<FilterId>,
}

#[derive(Debug)]
struct Cached {
    topic: Box<[u8]>,
    route: Arc<Route>,
    generation: u64,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    filters: Slab<Filter>,
    exact: HashTable<FilterId>,
    trie: Trie,
    cache: HashTable<Cached>,
    cache_max: usize,
    /// Counts the changes of subscriptions.
    generation: u64,
    hasher: foldhash::fast::RandomState,
}

impl Routes {
    pub(crate) fn new(cache_max: usize) -> Self {
        Self {
            cache_max,
            ..Self::default()
        }
    }

    /// Subscribes a session, or replaces its subscription of the same filter `[MQTT-3.8.4-3]`.
    /// Returns the filter.
    pub(crate) fn subscribe(
        &mut self,
        session: SessionId,
        text: TopicFilter<&[u8]>,
        granted: Granted,
    ) -> FilterId {
        self.generation += 1;
        let id = self.find(text).unwrap_or_else(|| self.add(text));
        if let Some(filter) = self.filters.get_mut(id.index()) {
            match filter
                .subscribers
                .iter_mut()
                .find(|subscriber| subscriber.session == session)
            {
                Some(subscriber) => subscriber.granted = granted,
                None => filter.subscribers.push(Subscriber { session, granted }),
            }
        }
        id
    }

    /// Ends a subscription; false if there was none.
    pub(crate) fn unsubscribe(&mut self, session: SessionId, id: FilterId) -> bool {
        let Some(filter) = self.filters.get_mut(id.index()) else {
            return false;
        };
        let Some(at) = filter
            .subscribers
            .iter()
            .position(|subscriber| subscriber.session == session)
        else {
            return false;
        };
        self.generation += 1;
        // In order, so that a shared subscription's turns stay fair.
        filter.subscribers.remove(at);
        if filter.subscribers.is_empty() {
            self.remove(id);
        }
        true
    }

    /// The filter with this text, if anybody has subscribed to it.
    pub(crate) fn find(&self, text: TopicFilter<&[u8]>) -> Option<FilterId> {
        let mut chain = if text.has_wildcard() {
            self.trie
                .find(text.filter())
                .and_then(|place| self.trie.first(place))
        } else {
            self.find_exact(text.filter())
        };
        while let Some(id) = chain {
            let filter = self.filters.get(id.index())?;
            if filter.text.as_bytes() == text.as_bytes() {
                return Some(id);
            }
            chain = filter.next;
        }
        None
    }

    /// The text of a filter.
    pub(crate) fn text(&self, id: FilterId) -> Option<&TopicFilter> {
        self.filters.get(id.index()).map(|filter| &filter.text)
    }

    /// Who gets what is published to a topic.
    pub(crate) fn route(&mut self, topic: &[u8]) -> Arc<Route> {
        let hash = self.hasher.hash_one(topic);
        if let Some(cached) = self.cache.find(hash, |cached| *cached.topic == *topic)
            && cached.generation == self.generation
        {
            return cached.route.clone();
        }
        let route = Arc::new(self.build(topic));
        self.remember(hash, topic, route.clone());
        route
    }

    fn remember(&mut self, hash: u64, topic: &[u8], route: Arc<Route>) {
        if let Some(cached) = self.cache.find_mut(hash, |cached| *cached.topic == *topic) {
            (cached.route, cached.generation) = (route, self.generation);
            return;
        }
        if self.cache.len() >= self.cache_max {
            self.cache.clear();
        }
        let cached = Cached {
            topic: topic.into(),
            route,
            generation: self.generation,
        };
        self.cache
            .insert_unique(hash, cached, |cached| self.hasher.hash_one(&*cached.topic));
    }

    fn build(&self, topic: &[u8]) -> Route {
        let mut matched: Vec<Subscriber> = Vec::new();
        let mut shared = Vec::new();
        let mut take = |first: FilterId| {
            let mut chain = Some(first);
            while let Some(id) = chain {
                let Some(filter) = self.filters.get(id.index()) else {
                    break;
                };
                if filter.text.share_name().is_some() {
                    shared.push(id);
                } else {
                    matched.extend(&filter.subscribers);
                }
                chain = filter.next;
            }
        };
        self.find_exact(topic).into_iter().for_each(&mut take);
        self.trie.matches(topic, take);
        matched.sort_by_key(|subscriber| subscriber.session);
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
        Route { receivers, shared }
    }

    /// The member of a shared subscription that gets the next message: the first in turn for whom
    /// `rank` is lowest; `None` ranks do not count.
    pub(crate) fn choose(
        &mut self,
        id: FilterId,
        mut rank: impl FnMut(SessionId) -> Option<u8>,
    ) -> Option<Receiver> {
        let filter = self.filters.get_mut(id.index())?;
        let count = filter.subscribers.len();
        let mut best: Option<(u8, usize)> = None;
        for step in 0..count {
            let at = (filter.turn as usize + step) % count;
            let rank = filter
                .subscribers
                .get(at)
                .and_then(|subscriber| rank(subscriber.session));
            if let Some(rank) = rank
                && best.is_none_or(|(lowest, _)| rank < lowest)
            {
                best = Some((rank, at));
                if rank == 0 {
                    break;
                }
            }
        }
        let (_, at) = best?;
        filter.turn = (at + 1) as u32;
        let Subscriber { session, granted } = filter.subscribers.get(at)?;
        Some(Receiver {
            session: *session,
            first: *granted,
            others: Vec::new(),
        })
    }

    fn find_exact(&self, filter: &[u8]) -> Option<FilterId> {
        let hash = self.hasher.hash_one(filter);
        self.exact
            .find(hash, |id| {
                self.filters
                    .get(id.index())
                    .is_some_and(|there| there.text.filter() == filter)
            })
            .copied()
    }

    fn add(&mut self, text: TopicFilter<&[u8]>) -> FilterId {
        let index = self.filters.insert(Filter {
            text: text.to_bytes(),
            subscribers: Vec::with_capacity(1),
            next: None,
            turn: 0,
        });
        let id = FilterId::of(index);
        let before = self.first(text);
        self.set_first(text, before, Some(id));
        if let Some(filter) = self.filters.get_mut(index) {
            filter.next = before;
        }
        id
    }

    fn remove(&mut self, id: FilterId) {
        let Some(text) = self.text(id).cloned() else {
            return;
        };
        let text = text.as_view();
        let next = self.filters.get(id.index()).and_then(|filter| filter.next);
        let first = self.first(text);
        if first == Some(id) {
            self.set_first(text, first, next);
        } else {
            let mut chain = first;
            while let Some(at) = chain {
                let Some(filter) = self.filters.get_mut(at.index()) else {
                    break;
                };
                if filter.next == Some(id) {
                    filter.next = next;
                    break;
                }
                chain = filter.next;
            }
        }
        self.filters.remove(id.index());
    }

    /// The first filter in the place where this one belongs.
    fn first(&mut self, text: TopicFilter<&[u8]>) -> Option<FilterId> {
        if text.has_wildcard() {
            let place = self.trie.place(text.filter());
            self.trie.first(place)
        } else {
            self.find_exact(text.filter())
        }
    }

    fn set_first(
        &mut self,
        text: TopicFilter<&[u8]>,
        before: Option<FilterId>,
        first: Option<FilterId>,
    ) {
        if text.has_wildcard() {
            let place = self.trie.place(text.filter());
            self.trie.set_first(place, first);
            return;
        }
        let hash = self.hasher.hash_one(text.filter());
        if let Some(before) = before
            && let Ok(entry) = self.exact.find_entry(hash, |id| *id == before)
        {
            entry.remove();
        }
        if let Some(first) = first {
            self.exact.insert_unique(hash, first, |id| {
                self.filters
                    .get(id.index())
                    .map_or(0, |filter| self.hasher.hash_one(filter.text.filter()))
            });
        }
    }
}

impl FilterId {
    /// Counted from 1, so that an `Option` of it takes no more room.
    fn of(index: usize) -> Self {
        // More filters than fit a u32 do not fit memory either.
        Self(NonZeroU32::MIN.saturating_add(index as u32))
    }

    const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}
