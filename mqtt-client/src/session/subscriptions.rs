//! The subscriptions that the application wants, and where each stands with the server.

use std::collections::BTreeMap;

use bytes::Bytes;
use mqtt_codec::{PacketId, Properties, SubscriptionOptions, TopicFilter};

use super::{Map, SubscriptionId};
use crate::Message;

/// All subscriptions, with an index of who reads what.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    all: BTreeMap<SubscriptionId, Subscription>,
    /// Readers by topic filter.
    readers: Map<Bytes, Vec<SubscriptionId>>,
    /// The filters that a topic name is not simply equal to: with wildcards, or shared.
    patterns: Vec<TopicFilter>,
    /// Filters of subscriptions that are gone, which others still read: the server may know them by that one's
    /// identifier. One entry a filter at the most.
    left: Vec<(TopicFilter, SubscriptionId)>,
    /// What was asked of the server on this connection.
    pending: Map<PacketId, Pending>,
    /// What the server has to be told to forget.
    leaving: Vec<Leaving>,
    last: u32,
}

/// Topic filters with one reader.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) filters: Vec<(TopicFilter, SubscriptionOptions)>,
    pub(super) properties: Properties,
    pub(super) state: SubscriptionState,
    pub(super) told: Told,
}

/// ```text
/// Wanted --SUBSCRIBE--> Asked --SUBACK--> Made
///   ^---- the connection is lost ----+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubscriptionState {
    /// The server does not know it.
    Wanted,
    /// The server may know it: it is asked once more, and not for what is retained if it does.
    Uncertain,
    Asked,
    Made,
}

/// Whether the application knows what the server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    NotYet,
    Told,
}

/// What a SUBACK or UNSUBACK will be for.
#[derive(Debug)]
pub(super) enum Pending {
    Subscribe(Vec<Asked>),
    Unsubscribe(Leaving),
}

/// A subscription in a SUBSCRIBE, and its filters there.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: SubscriptionId,
    pub(super) filters: Vec<TopicFilter>,
}

/// A subscription that is gone, and the filters that no other one has.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    pub(super) id: SubscriptionId,
    pub(super) filters: Vec<TopicFilter>,
}

impl Subscriptions {
    pub(super) fn add(
        &mut self,
        filters: Vec<(TopicFilter, SubscriptionOptions)>,
        properties: Properties,
    ) -> SubscriptionId {
        // Its number is the subscription identifier, which has 28 bits. Nobody makes that many.
        self.last = (self.last + 1).min((1 << 28) - 1);
        let id = SubscriptionId(self.last);
        for (filter, _) in &filters {
            let key = Bytes::copy_from_slice(filter.as_bytes());
            let readers = self.readers.entry(key).or_default();
            let is_new = readers.is_empty();
            readers.push(id);
            if is_new && (filter.has_wildcard() || filter.share_name().is_some()) {
                self.patterns.push(filter.clone());
            }
        }
        self.all.insert(
            id,
            Subscription {
                filters,
                properties,
                state: SubscriptionState::Wanted,
                told: Told::NotYet,
            },
        );
        id
    }

    /// Removes a subscription, and tells which of its filters no other one has.
    pub(super) fn remove(&mut self, id: SubscriptionId) -> Option<(Subscription, Leaving)> {
        let subscription = self.all.remove(&id)?;
        let mut unused = Vec::new();
        for (filter, _) in &subscription.filters {
            if self.remove_reader(id, filter) {
                unused.push(filter.clone());
            } else {
                self.left.retain(|(left, _)| left != filter);
                self.left.push((filter.clone(), id));
            }
        }
        Some((
            subscription,
            Leaving {
                id,
                filters: unused,
            },
        ))
    }

    /// True if nobody is left.
    fn remove_reader(&mut self, id: SubscriptionId, filter: &TopicFilter) -> bool {
        let Some(readers) = self.readers.get_mut(filter.as_bytes()) else {
            return false;
        };
        readers.retain(|reader| *reader != id);
        let is_unused = readers.is_empty();
        if is_unused {
            self.readers.remove(filter.as_bytes());
            self.patterns.retain(|pattern| pattern != filter);
            self.left.retain(|(left, _)| left != filter);
        }
        is_unused
    }

    /// The server refused these filters: they are not asked for again.
    pub(super) fn refuse(&mut self, id: SubscriptionId, refused: &[TopicFilter]) {
        for filter in refused {
            self.remove_reader(id, filter);
        }
        let Some(subscription) = self.all.get_mut(&id) else {
            return;
        };
        subscription
            .filters
            .retain(|(filter, _)| !refused.contains(filter));
        if subscription.filters.is_empty() {
            self.all.remove(&id);
        }
    }

    /// Who gets a message: by its subscription identifiers, where we know all of them, or else by its topic.
    pub(super) fn readers(&self, message: &Message) -> Vec<SubscriptionId> {
        let mut readers = Vec::new();
        let mut all_known = true;
        for id in message.properties.subscription_identifiers() {
            all_known &= self.add_identified(SubscriptionId(id), message, &mut readers);
        }
        if readers.is_empty() || !all_known {
            self.add_readers(message.topic.as_bytes(), &mut readers);
            for pattern in &self.patterns {
                if pattern.matches(&message.topic) {
                    self.add_readers(pattern.as_bytes(), &mut readers);
                }
            }
        }
        readers
    }

    /// Adds those whom an identifier means; false if there are none. The server knows each filter once, with the
    /// identifier that was sent last: all its readers are meant.
    ///
    /// A message of an earlier process's session has that one's identifiers, which may be ours by chance.
    fn add_identified(
        &self,
        id: SubscriptionId,
        message: &Message,
        readers: &mut Vec<SubscriptionId>,
    ) -> bool {
        let subscription = self.all.get(&id).into_iter();
        let ours = subscription.flat_map(|one| one.filters.iter().map(|(filter, _)| filter));
        let left = self.left.iter().filter(|(_, left)| *left == id);
        let mut is_known = false;
        for filter in ours.chain(left.map(|(filter, _)| filter)) {
            if filter.matches(&message.topic) {
                is_known = true;
                self.add_readers(filter.as_bytes(), readers);
            }
        }
        is_known
    }

    fn add_readers(&self, filter: &[u8], readers: &mut Vec<SubscriptionId>) {
        for reader in self.readers.get(filter).into_iter().flatten() {
            if !readers.contains(reader) {
                readers.push(*reader);
            }
        }
    }

    pub(super) fn get_mut(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.all.get_mut(&id)
    }

    /// The subscriptions that the server is to be asked for, in the order in which they were made.
    pub(super) fn wanted(&self) -> Vec<SubscriptionId> {
        let is_wanted = |one: &Subscription| match one.state {
            SubscriptionState::Wanted | SubscriptionState::Uncertain => true,
            SubscriptionState::Asked | SubscriptionState::Made => false,
        };
        self.all
            .iter()
            .filter(|(_, one)| is_wanted(one))
            .map(|(id, _)| *id)
            .collect()
    }

    /// The server knows none of them.
    pub(super) fn all_wanted(&mut self) {
        self.left.clear();
        for subscription in self.all.values_mut() {
            subscription.state = SubscriptionState::Wanted;
        }
    }

    /// The server may know none of them.
    pub(super) fn all_uncertain(&mut self) {
        for subscription in self.all.values_mut() {
            if subscription.state == SubscriptionState::Made {
                subscription.state = SubscriptionState::Uncertain;
            }
        }
    }

    pub(super) fn expect(&mut self, packet_id: PacketId, pending: Pending) {
        self.pending.insert(packet_id, pending);
    }

    pub(super) fn answered(&mut self, packet_id: PacketId) -> Option<Pending> {
        self.pending.remove(&packet_id)
    }

    pub(super) fn is_in_use(&self, packet_id: PacketId) -> bool {
        self.pending.contains_key(&packet_id)
    }

    pub(super) fn pending_len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn leave(&mut self, leaving: Leaving) {
        self.leaving.push(leaving);
    }

    pub(super) fn take_leaving(&mut self) -> Vec<Leaving> {
        std::mem::take(&mut self.leaving)
    }

    /// What had no answer is asked again.
    pub(super) fn disconnected(&mut self) {
        for (_, pending) in self.pending.drain() {
            if let Pending::Unsubscribe(leaving) = pending {
                self.leaving.push(leaving);
            }
        }
        for subscription in self.all.values_mut() {
            if subscription.state == SubscriptionState::Asked {
                subscription.state = SubscriptionState::Wanted;
            }
        }
    }

    /// All that the application has no answer for, and all that is there.
    pub(super) fn drain(&mut self) -> Vec<(SubscriptionId, Told)> {
        self.readers.clear();
        self.patterns.clear();
        let all = std::mem::take(&mut self.all).into_iter();
        all.map(|(id, subscription)| (id, subscription.told))
            .collect()
    }

    /// Unsubscriptions without an answer.
    pub(super) fn drain_leaving(&mut self) -> Vec<SubscriptionId> {
        self.disconnected();
        self.take_leaving()
            .into_iter()
            .map(|leaving| leaving.id)
            .collect()
    }
}
