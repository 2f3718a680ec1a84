//! All subscriptions of a broker, and the routes made from them: who gets what is published to a topic.
//!
//! Filters without wildcards are found by one hash look-up, those with wildcards in a trie.

use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use hashbrown::{HashMap, HashTable};
use mqtt_codec::TopicFilter;
use slab::Slab;

use super::SessionId;
use super::route::{Granted, Group, Member, ReadinessCell, Route};
use super::subscribers::{Subscriber, Subscribers};
use super::trie::Trie;

/// Names a filter that somebody has subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FilterId(NonZeroU32);

/// A topic filter and all who have subscribed to it.
#[derive(Debug)]
struct Filter {
    /// As it was sent, share name included.
    text: TopicFilter,
    subscribers: Subscribers,
    /// The next filter in the same place: with another share name, or none.
    next: Option<FilterId>,
    /// Of a shared subscription: whose turn it is.
    turn: Option<Arc<AtomicU32>>,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    filters: Slab<Filter>,
    exact: HashTable<FilterId>,
    trie: Trie,
    /// How ready those are who are in shared subscriptions, where there are several shards.
    readiness: HashMap<SessionId, Arc<ReadinessCell>, foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
}

impl Routes {
    /// Subscribes a session, or replaces its subscription of the same filter `[MQTT-3.8.4-3]`.
    /// Returns the filter.
    pub(crate) fn subscribe(
        &mut self,
        session: SessionId,
        text: TopicFilter<&[u8]>,
        granted: Granted,
    ) -> FilterId {
        let id = self.find(text).unwrap_or_else(|| self.add(text));
        if let Some(filter) = self.filters.get_mut(id.index()) {
            filter.subscribers.put(Subscriber { session, granted });
        }
        id
    }

    /// Ends a subscription; false if there was none.
    pub(crate) fn unsubscribe(&mut self, session: SessionId, id: FilterId) -> bool {
        let Some(filter) = self.filters.get_mut(id.index()) else {
            return false;
        };
        if !filter.subscribers.remove(session) {
            return false;
        }
        if filter.subscribers.as_slice().is_empty() {
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

    /// Who gets what is published to a topic. Costs a look-up for each level and matching prefix, and a
    /// copy of all subscribers.
    pub(crate) fn route(&self, topic: &[u8]) -> Route {
        let mut matched: Vec<Subscriber> = Vec::new();
        let mut groups = Vec::new();
        let mut take = |first: FilterId| {
            let mut chain = Some(first);
            while let Some(id) = chain {
                let Some(filter) = self.filters.get(id.index()) else {
                    break;
                };
                if let Some(turn) = &filter.turn {
                    let members = filter.subscribers.as_slice().iter();
                    let members = members.map(|member| self.member(member)).collect();
                    groups.push(Group::new(members, turn.clone()));
                } else {
                    matched.extend(filter.subscribers.as_slice());
                }
                chain = filter.next;
            }
        };
        self.find_exact(topic).into_iter().for_each(&mut take);
        self.trie.matches(topic, take);
        Route::new(matched, groups)
    }

    fn member(&self, subscriber: &Subscriber) -> Member {
        Member {
            session: subscriber.session,
            granted: subscriber.granted,
            readiness: self.readiness.get(&subscriber.session).cloned(),
        }
    }

    /// How ready a session is.
    pub(crate) fn readiness(&mut self, session: SessionId) -> Arc<ReadinessCell> {
        self.readiness.entry(session).or_default().clone()
    }

    /// The session has ended.
    pub(crate) fn forget_readiness(&mut self, session: SessionId) {
        self.readiness.remove(&session);
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
            subscribers: Subscribers::default(),
            next: None,
            turn: text.share_name().map(|_| Arc::default()),
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
    pub(super) fn of(index: usize) -> Self {
        // More filters than fit a u32 do not fit memory either.
        Self(NonZeroU32::MIN.saturating_add(index as u32))
    }

    const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use mqtt_codec::QoS;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::naive::{matches, without_share};
    use super::super::route::Readiness;
    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Subscribe(u32, String, QoS),
        Unsubscribe(u32, String),
        /// As many as a fleet has, one after the other.
        Fleet(String),
        /// The session ends, with all its subscriptions.
        End(u32),
    }

    /// All subscriptions as a list.
    type Naive = BTreeMap<(u32, String), Granted>;

    const SESSIONS: u32 = 4;
    /// The sessions of a fleet: more than a short list of subscribers has.
    const FLEET: std::ops::Range<u32> = SESSIONS..SESSIONS + 40;

    fn session(index: u32) -> SessionId {
        SessionId::new(index as usize % 3, index as usize, 1)
    }

    /// Few levels, so that filters and topics often meet; some are prefixes of others.
    fn level() -> impl Strategy<Value = &'static str> {
        select(vec!["a", "b", "ab", "", "$x", "é"])
    }

    fn topic() -> impl Strategy<Value = String> {
        let deep = vec(select(vec!["a", "b"]), 20..40);
        let levels = prop_oneof![9 => vec(level(), 1..5), 1 => deep];
        let topic = levels.prop_map(|levels| levels.join("/"));
        topic.prop_filter("not empty", |topic| !topic.is_empty())
    }

    fn filter() -> impl Strategy<Value = String> {
        let deep = vec(select(vec!["a", "b", "+", "+", "+"]), 0..40);
        let short = vec(prop_oneof![3 => level(), 1 => Just("+")], 0..5);
        let levels = prop_oneof![9 => short, 1 => deep];
        let share = select(vec!["", "", "$share/g/", "$share/h/"]);
        let filter = (share, levels, select(vec!["", "#"])).prop_map(|(share, levels, end)| {
            let levels = levels
                .into_iter()
                .chain(Some(end).filter(|end| !end.is_empty()));
            let filter = levels.collect::<Vec<_>>().join("/");
            format!("{share}{filter}")
        });
        filter.prop_filter("a filter", |filter| TopicFilter::from_text(filter).is_ok())
    }

    fn step() -> impl Strategy<Value = Step> {
        let qos = select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
        prop_oneof![
            8 => (0..SESSIONS, filter(), qos)
                .prop_map(|(session, filter, qos)| Step::Subscribe(session, filter, qos)),
            8 => (0..SESSIONS, filter())
                .prop_map(|(session, filter)| Step::Unsubscribe(session, filter)),
            1 => filter().prop_map(Step::Fleet),
            3 => (0..FLEET.end).prop_map(Step::End),
        ]
    }

    fn apply(routes: &mut Routes, naive: &mut Naive, step: Step) {
        match step {
            Step::Subscribe(index, filter, qos) => {
                let granted = Granted {
                    qos,
                    no_local: false,
                    retain_as_published: false,
                    stored: false,
                    identifier: NonZeroU32::new(naive.len() as u32 + 1),
                };
                let text = TopicFilter::from_text(&filter).unwrap();
                let id = routes.subscribe(session(index), text.as_view(), granted);
                assert_eq!(routes.text(id), Some(&text));
                naive.insert((index, filter), granted);
            }
            Step::Unsubscribe(index, filter) => {
                let text = TopicFilter::from_text(&filter).unwrap();
                let id = routes.find(text.as_view());
                let there = id.is_some_and(|id| routes.unsubscribe(session(index), id));
                assert_eq!(there, naive.remove(&(index, filter)).is_some());
            }
            Step::Fleet(filter) => {
                for index in FLEET {
                    let step = Step::Subscribe(index, filter.clone(), QoS::AtLeastOnce);
                    apply(routes, naive, step);
                }
            }
            Step::End(index) => {
                let keys = naive.keys().filter(|(other, _)| *other == index);
                for (_, filter) in keys.cloned().collect::<Vec<_>>() {
                    apply(routes, naive, Step::Unsubscribe(index, filter));
                }
            }
        }
    }

    /// What each session gets for a topic, in whichever order.
    fn expected(naive: &Naive, topic: &str) -> BTreeMap<u32, BTreeSet<u32>> {
        let mut sessions: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for ((index, filter), granted) in naive {
            if !filter.starts_with("$share/") && matches(filter, topic) {
                let identifier = granted.identifier.unwrap().get();
                sessions.entry(*index).or_default().insert(identifier);
            }
        }
        sessions
    }

    fn check(routes: &Routes, naive: &Naive, topic: &str) {
        let route = routes.route(topic.as_bytes());
        let mut found: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for receiver in (0..3).flat_map(|shard| route.receivers(shard)) {
            assert!(
                route
                    .shards()
                    .any(|shard| shard == receiver.session.shard())
            );
            let all = std::iter::once(&receiver.first).chain(&receiver.others);
            let identifiers = all.map(|granted| granted.identifier.unwrap().get());
            let earlier = found.insert(receiver.session.index() as u32, identifiers.collect());
            assert_eq!(earlier, None, "a session has two entries");
        }
        assert_eq!(found, expected(naive, topic), "{topic}");
        let mut groups: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
        for (index, filter) in naive.keys() {
            if filter.starts_with("$share/") && matches(without_share(filter), topic) {
                groups.entry(filter).or_default().insert(*index);
            }
        }
        let mut expected: Vec<_> = groups.into_values().collect();
        let chosen = route.groups.iter().map(|group| {
            // Each has its turn.
            let turns = group.members().iter();
            let turns = turns.map(|_| group.choose(|_| Some(Readiness::Ready)).unwrap());
            let receivers = turns.map(|at| group.receiver(at).unwrap());
            receivers.map(|one| one.session.index() as u32).collect()
        });
        let mut chosen: Vec<BTreeSet<u32>> = chosen.collect();
        expected.sort();
        chosen.sort();
        assert_eq!(chosen, expected, "{topic}");
    }

    proptest! {
        /// Whatever comes and goes: a topic's route is what looking at each subscription finds.
        #[test]
        fn routes_are_what_each_subscription_says(
            steps in vec(step(), 0..40),
            topics in vec(topic(), 1..6),
        ) {
            let (mut routes, mut naive) = (Routes::default(), Naive::new());
            for step in steps {
                apply(&mut routes, &mut naive, step);
                for topic in &topics {
                    check(&routes, &naive, topic);
                }
            }
            for (index, filter) in naive.clone().into_keys() {
                apply(&mut routes, &mut naive, Step::Unsubscribe(index, filter));
            }
            assert!(routes.filters.is_empty() && routes.exact.is_empty());
            assert!(routes.trie.is_empty(), "{:?}", routes.trie);
        }
    }
}
