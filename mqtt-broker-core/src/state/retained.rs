//! Retained messages, in the order of their topics.
//!
//! In that order all topics below `a/` are neighbours, so a filter's matches are found by seeking:
//! past a level that cannot match, to the next that can.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use mqtt_codec::{TopicFilter, levels};

use super::deadlines::Second;
use crate::message::ByTopic;
use crate::{Instant, Message};

/// All retained messages.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    entries: BTreeSet<ByTopic>,
    /// Those whose lifetime ends, by the second in which that is handled.
    lifetimes: BTreeSet<(Second, ByTopic)>,
}

/// How far a replay has come. It stays valid whatever changes meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// Nothing has been looked at.
    #[default]
    Start,
    /// All before this topic has been looked at.
    From(Box<[u8]>),
    /// All after this topic is still to be looked at.
    After(Box<[u8]>),
    /// There is no more.
    End,
}

impl Retained {
    /// Makes `message` the retained message of its topic. `[MQTT-3.3.1-5]`
    pub(crate) fn put(&mut self, message: Arc<Message>) {
        self.remove(message.topic_bytes());
        if let Some(expires) = message.expires {
            self.lifetimes
                .insert((Second::of(expires), ByTopic(message.clone())));
        }
        self.entries.insert(ByTopic(message));
    }

    /// Removes the retained message of a topic; false if there was none. `[MQTT-3.3.1-6]`
    pub(crate) fn remove(&mut self, topic: &[u8]) -> bool {
        let removed = self.entries.take(topic);
        if let Some(ByTopic(message)) = &removed
            && let Some(expires) = message.expires
        {
            self.lifetimes
                .remove(&(Second::of(expires), ByTopic(message.clone())));
        }
        removed.is_some()
    }

    /// When the next lifetime ends.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.lifetimes.first().map(|(second, _)| second.instant())
    }

    /// Removes a message whose lifetime is over.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<Arc<Message>> {
        self.next_expiry().filter(|next| *next <= now)?;
        let (_, ByTopic(message)) = self.lifetimes.pop_first()?;
        self.entries.remove(message.topic_bytes());
        Some(message)
    }

    pub(crate) fn get(&self, topic: &[u8]) -> Option<&Arc<Message>> {
        self.entries.get(topic).map(|entry| &entry.0)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The next retained message that matches `filter`, moving `cursor` past it.
    ///
    /// Looks at no more than `budget` topics, and takes what it looked at off it: with nothing
    /// left, `None` does not mean the end.
    pub(crate) fn next(
        &self,
        filter: &TopicFilter,
        cursor: &mut Cursor,
        budget: &mut usize,
    ) -> Option<Arc<Message>> {
        if !filter.has_wildcard() {
            let first = std::mem::replace(cursor, Cursor::End) == Cursor::Start;
            return first.then(|| self.get(filter.filter()).cloned()).flatten();
        }
        while *budget > 0 && *cursor != Cursor::End {
            *budget -= 1;
            let Some(entry) = self.seek(cursor) else {
                *cursor = Cursor::End;
                break;
            };
            let topic = entry.0.topic_bytes();
            match compare(filter.filter(), topic) {
                Match::Yes => {
                    *cursor = Cursor::After(topic.into());
                    return Some(entry.0.clone());
                }
                Match::SeekTo(next) => *cursor = Cursor::From(next.into()),
                Match::Next => *cursor = Cursor::After(topic.into()),
                Match::End => *cursor = Cursor::End,
            }
        }
        None
    }

    fn seek(&self, cursor: &Cursor) -> Option<&ByTopic> {
        let from: Bound<&[u8]> = match cursor {
            Cursor::Start => Bound::Unbounded,
            Cursor::From(topic) => Bound::Included(topic),
            Cursor::After(topic) => Bound::Excluded(topic),
            Cursor::End => return None,
        };
        self.entries
            .range::<[u8], _>((from, Bound::Unbounded))
            .next()
    }
}

/// How a topic relates to a filter.
#[derive(Debug, PartialEq, Eq)]
enum Match {
    Yes,
    /// It does not match; nor does anything before this.
    SeekTo(Vec<u8>),
    /// It does not match; the one behind it may.
    Next,
    /// It does not match; nor does anything behind it.
    End,
}

/// Compares level by level; a topic that does not match says where the next one may be.
fn compare(filter: &[u8], topic: &[u8]) -> Match {
    // [MQTT-4.7.2-1]
    if topic.starts_with(b"$") && matches!(filter.first(), Some(b'+' | b'#')) {
        return Match::SeekTo(vec![b'$' + 1]);
    }
    let mut rest = Some(topic);
    // Where the level ends that the last `+` stands for.
    let mut plus_end = None;
    let mut wanted_levels = levels(filter).peekable();
    while let Some(wanted) = wanted_levels.next() {
        if wanted == b"#" {
            return Match::Yes;
        }
        // The topic ends above the filter.
        let Some(here) = rest else { return Match::Next };
        let level = levels(here).next().unwrap_or_default();
        let start = topic.len() - here.len();
        if wanted == b"+" {
            plus_end = Some(start + level.len());
        } else if wanted != level {
            let mut target = [topic.get(..start).unwrap_or_default(), wanted].concat();
            if *target <= *topic && wanted_levels.peek().is_some() {
                // Texts that go on with a character before the slash come between.
                target.push(b'/');
            }
            return if *target > *topic {
                Match::SeekTo(target)
            } else {
                behind(topic, plus_end)
            };
        }
        rest = here.get(level.len() + 1..);
    }
    match rest {
        None => Match::Yes,
        Some(below) => behind(topic, plus_end.and(Some(topic.len() - below.len() - 1))),
    }
}

/// Where topics begin that are behind all those below the level that ends there.
fn behind(topic: &[u8], level_end: Option<usize>) -> Match {
    match level_end.and_then(|end| topic.get(..end)) {
        Some(level) => Match::SeekTo([level, &[b'/' + 1]].concat()),
        None => Match::End,
    }
}

#[cfg(test)]
mod tests {
    use mqtt_codec::{Properties, TopicName};
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::naive;
    use super::*;

    fn message(topic: &str) -> Arc<Message> {
        let topic = TopicName::new(topic.as_bytes()).unwrap();
        Arc::new(Message::new(topic, Properties::default(), b"x"))
    }

    /// Levels that are prefixes of each other, and characters on both sides of the slash.
    fn level() -> impl Strategy<Value = &'static str> {
        select(vec!["a", "b", "ab", "a.", "a0", "", "$x", "\u{1}", "é"])
    }

    fn topic() -> impl Strategy<Value = String> {
        let topic = vec(level(), 1..5).prop_map(|levels| levels.join("/"));
        topic.prop_filter("not empty", |topic| !topic.is_empty())
    }

    fn filter() -> impl Strategy<Value = TopicFilter> {
        let levels = vec(prop_oneof![2 => level(), 1 => Just("+")], 0..5);
        let filter = (levels, select(vec!["", "#"])).prop_map(|(levels, end)| {
            let levels = levels
                .into_iter()
                .chain(Some(end).filter(|end| !end.is_empty()));
            TopicFilter::from_text(&levels.collect::<Vec<_>>().join("/"))
        });
        filter.prop_filter_map("a filter", Result::ok)
    }

    /// The topics that a replay finds; `between` is called after each look, which is at one or more
    /// topics.
    fn replay(
        retained: &mut Retained,
        filter: &TopicFilter,
        budget: usize,
        mut between: impl FnMut(&mut Retained),
    ) -> Vec<String> {
        let (mut cursor, mut topics) = (Cursor::default(), Vec::new());
        for _ in 0..10_000 {
            let mut left = budget;
            let found = retained.next(filter, &mut cursor, &mut left);
            let Some(found) = found else {
                if left > 0 {
                    return topics;
                }
                between(retained);
                continue;
            };
            topics.push(String::from_utf8(found.topic_bytes().to_vec()).unwrap());
            between(retained);
        }
        panic!("the replay does not end: {filter} finds {topics:?}");
    }

    fn matching(topics: impl IntoIterator<Item = String>, filter: &TopicFilter) -> Vec<String> {
        let filter = filter.to_string();
        let matches = |topic: &String| naive::matches(&filter, topic);
        topics.into_iter().filter(matches).collect()
    }

    proptest! {
        /// A replay finds what looking at each topic finds, in the order of the topics' bytes.
        #[test]
        fn a_replay_finds_what_matches(
            topics in btree_set(topic(), 0..40),
            filter in filter(),
            budget in 1..5_usize,
        ) {
            let mut retained = Retained::default();
            for topic in &topics {
                retained.put(message(topic));
            }
            prop_assert_eq!(retained.len(), topics.len());
            let found = replay(&mut retained, &filter, budget, |_| ());
            prop_assert_eq!(found, matching(topics, &filter));
        }

        /// Whatever comes and goes meanwhile: what is there all the time is found once, and nothing
        /// is found twice.
        #[test]
        fn a_replay_goes_on_whatever_changes(
            stays in btree_set(topic(), 0..20),
            changes in vec(topic(), 0..20),
            filter in filter(),
        ) {
            let mut retained = Retained::default();
            for topic in &stays {
                retained.put(message(topic));
            }
            let mut there = BTreeSet::new();
            let mut changes = changes.into_iter().filter(|topic| !stays.contains(topic));
            let mut found = replay(&mut retained, &filter, 1, |retained| {
                let Some(topic) = changes.next() else { return };
                if there.remove(&topic) {
                    assert!(retained.remove(topic.as_bytes()), "it was there");
                } else {
                    retained.put(message(&topic));
                    there.insert(topic);
                }
            });
            prop_assert!(found.is_sorted());
            let all = found.len();
            found.dedup();
            prop_assert_eq!(found.len(), all);
            found.retain(|topic| stays.contains(topic));
            prop_assert_eq!(found, matching(stays, &filter));
        }
    }

    /// A message that was replaced stayed in memory until its lifetime was over.
    #[test]
    fn a_topic_has_one_lifetime() {
        let mut retained = Retained::default();
        let now = Instant::from_millis(500);
        let expiring = |seconds| {
            let mut message = (*message("t")).clone();
            message.expires = Some(now.after_secs(seconds));
            Arc::new(message)
        };
        let first = expiring(1000);
        retained.put(first.clone());
        for seconds in [2000, 10, 3000, 500] {
            retained.put(expiring(seconds));
            assert_eq!(retained.lifetimes.len(), 1);
        }
        assert_eq!(Arc::strong_count(&first), 1);
        assert_eq!(retained.next_expiry(), Some(Instant::from_millis(501_000)));
        assert_eq!(retained.take_expired(Instant::from_millis(500_999)), None);
        assert!(
            retained
                .take_expired(Instant::from_millis(501_000))
                .is_some()
        );
        assert_eq!((retained.len(), retained.next_expiry()), (0, None));
        retained.put(expiring(10));
        retained.put(message("t"));
        assert_eq!((retained.len(), retained.next_expiry()), (1, None));
        retained.put(expiring(10));
        assert!(retained.remove(b"t"));
        assert_eq!((retained.len(), retained.next_expiry()), (0, None));
    }

    /// What cannot match is passed by seeking, not by looking at each.
    #[test]
    fn a_replay_seeks() {
        let mut retained = Retained::default();
        for number in 0..1000 {
            retained.put(message(&format!("a/{number}/x/{number}")));
            retained.put(message(&format!("b/{number}/x")));
        }
        retained.put(message("c/7/x"));
        for (filter, found, looks_max) in [
            ("c/#", 1, 4),
            ("+/7/x", 2, 12),
            ("a/7/+/7", 1, 4),
            ("nothing/+", 0, 2),
        ] {
            let filter = TopicFilter::from_text(filter).unwrap();
            let (mut cursor, mut budget, mut count) = (Cursor::default(), 1000, 0);
            while retained.next(&filter, &mut cursor, &mut budget).is_some() {
                count += 1;
            }
            assert_eq!(count, found, "{filter}");
            assert!(1000 - budget <= looks_max, "{filter}: {budget}");
        }
    }
}
