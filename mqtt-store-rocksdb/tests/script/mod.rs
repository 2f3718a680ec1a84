//! Random batches that an engine might make, and what they add up to.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use fastrand::Rng;
use mqtt_broker_core::store::{Change, Delivery, Model, SessionRecord, SubscriptionRecord};
use mqtt_broker_core::{ClientId, Instant, Message};
use mqtt_codec::{PacketId, Properties, QoS, SubscriptionOptions, TopicFilter, TopicName};

const CLIENTS: [&str; 4] = ["a", "ab", "b", "é"];
const FILTERS: [&str; 3] = ["t", "t/#", "$share/g/t"];
const TOPICS: [&str; 3] = ["t", "t/a", "u"];

/// Makes batches, and knows what is there after them.
pub(crate) struct Script {
    pub(crate) random: Rng,
    pub(crate) model: Model,
    sessions: BTreeMap<&'static str, Session>,
    retained: BTreeSet<&'static str>,
}

#[derive(Default)]
struct Session {
    subscriptions: BTreeSet<&'static str>,
    deliveries: BTreeMap<u64, Stage>,
    received: BTreeSet<u16>,
    last_seq: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    AtLeastOnce,
    ExactlyOnce,
    Released,
}

impl Script {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            model: Model::default(),
            sessions: BTreeMap::new(),
            retained: BTreeSet::new(),
        }
    }

    pub(crate) fn batch(&mut self) -> Vec<Change> {
        let count = self.random.usize(0..25);
        let mut changes = Vec::new();
        while changes.len() < count {
            self.extend(&mut changes);
        }
        for change in &changes {
            self.model.apply(change.clone());
        }
        changes
    }

    fn extend(&mut self, changes: &mut Vec<Change>) {
        match self.random.u8(0..24) {
            0..=2 => changes.push(self.put_session()),
            3 => changes.extend(self.delete_session()),
            4 => {
                let name = self.pick(&TOPICS);
                self.retained.insert(name);
                let message = self.message(name);
                changes.push(Change::PutRetained { message });
            }
            5 => {
                let name = self.pick(&TOPICS);
                let topic = TopicName::from_text(name).unwrap();
                let there = self.retained.remove(name);
                changes.extend(there.then_some(Change::DeleteRetained { topic }));
            }
            6..=10 => self.publish(changes),
            _ => changes.extend(self.change_session()),
        }
    }

    fn put_session(&mut self) -> Change {
        let client = self.pick(&CLIENTS);
        self.sessions.entry(client).or_default();
        Change::PutSession {
            client: ClientId::new(client),
            record: SessionRecord {
                sent_before: self.random.u64(..),
                ..SessionRecord::default()
            },
        }
    }

    fn delete_session(&mut self) -> Option<Change> {
        let client = self.pick(&CLIENTS);
        self.sessions.remove(client)?;
        let client = ClientId::new(client);
        Some(Change::DeleteSession { client })
    }

    /// One message for some of the sessions.
    fn publish(&mut self, changes: &mut Vec<Change>) {
        let name = self.pick(&TOPICS);
        let message = self.message(name);
        for (client, session) in &mut self.sessions {
            if self.random.bool() {
                continue;
            }
            session.last_seq += self.random.u64(1..3);
            let (stage, qos) = if self.random.bool() {
                (Stage::AtLeastOnce, QoS::AtLeastOnce)
            } else {
                (Stage::ExactlyOnce, QoS::ExactlyOnce)
            };
            session.deliveries.insert(session.last_seq, stage);
            let identifiers = self.random.u32(0..2);
            changes.push(Change::PutDelivery {
                client: ClientId::new(client),
                seq: session.last_seq,
                delivery: Delivery {
                    message: message.clone(),
                    qos,
                    retain: self.random.bool(),
                    subscription_identifiers: (0..identifiers).collect(),
                    released: false,
                },
            });
        }
    }

    /// Something about one session that is there.
    fn change_session(&mut self) -> Option<Change> {
        let (name, text) = (self.pick(&CLIENTS), self.pick(&FILTERS));
        let client = ClientId::new(name);
        let (random, session) = (&mut self.random, self.sessions.get_mut(name)?);
        let filter = TopicFilter::from_text(text).unwrap();
        match random.u8(0..8) {
            0 => {
                session.subscriptions.insert(text);
                Some(Change::PutSubscription {
                    client,
                    filter,
                    subscription: SubscriptionRecord {
                        options: SubscriptionOptions::of_qos(QoS::AtLeastOnce),
                        identifier: NonZeroU32::new(random.u32(0..5)),
                    },
                })
            }
            1 => {
                let there = session.subscriptions.remove(text);
                there.then_some(Change::DeleteSubscription { client, filter })
            }
            // Often the same one again: deleted and put, put and deleted.
            2 | 3 => {
                let number = random.u16(1..4);
                let packet_id = PacketId::new(number).unwrap();
                if session.received.remove(&number) {
                    return Some(Change::DeleteReceived { client, packet_id });
                }
                session.received.insert(number);
                Some(Change::PutReceived { client, packet_id })
            }
            _ => {
                let at = random.usize(0..session.deliveries.len().max(1));
                let (seq, stage) = session.deliveries.iter_mut().nth(at)?;
                let seq = *seq;
                if *stage == Stage::ExactlyOnce {
                    *stage = Stage::Released;
                    return Some(Change::ReleaseDelivery { client, seq });
                }
                session.deliveries.remove(&seq);
                Some(Change::DeleteDelivery { client, seq })
            }
        }
    }

    fn message(&mut self, name: &str) -> Arc<Message> {
        let random = &mut self.random;
        let length = if random.u8(0..8) == 0 { 5000 } else { 20 };
        let payload: Vec<_> = std::iter::repeat_with(|| random.u8(..))
            .take(length)
            .collect();
        let topic = TopicName::from_text(name).unwrap();
        let mut message = Message::new(topic.as_view(), Properties::default(), &payload);
        message.expires = random
            .bool()
            .then(|| Instant::from_millis(random.u64(0..3)));
        Arc::new(message)
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.random.usize(0..from.len())]
    }
}
