//! Random batches, and restarts between them: whatever comes, the store is what the model is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use mqtt_codec::{Properties, QoS};

use super::changes::{
    delete_delivery, delete_received, delete_retained, filter, put_received, put_subscription,
    release, topic,
};
use super::{Kit, Restart};
use crate::store::{Change, Delivery, SessionRecord, SessionStore};
use crate::{ClientId, Instant, Message};

const SEEDS: u64 = 20;
const BATCHES: usize = 25;
/// Few keys, and each the prefix of another.
const CLIENTS: [&str; 5] = ["a", "ab", "abc", "b", "é"];
const FILTERS: [&str; 5] = ["t", "t/#", "t/+", "tt", "$share/g/t"];
const TOPICS: [&str; 5] = ["t", "t/a", "t/ab", "ta", "é"];

pub(super) async fn run(kit: &Kit<impl AsyncFn(&Path) -> Arc<dyn SessionStore>>) {
    for seed in 0..SEEDS {
        let mut script = Script::new(seed);
        let mut subject = kit.subject(&format!("random batches, seed {seed}")).await;
        for number in 0..BATCHES {
            subject.case = format!("random batches, seed {seed}, batch {number}");
            let batch = script.batch();
            subject.commit_and_check(batch).await;
            if kit.restart == Restart::Keeps && script.random.u8(0..8) == 0 {
                subject.restart().await;
            }
        }
    }
}

/// Makes batches that an engine might make.
struct Script {
    random: Rng,
    sessions: BTreeMap<&'static str, Session>,
    retained: BTreeSet<&'static str>,
}

#[derive(Default)]
struct Session {
    subscriptions: BTreeSet<&'static str>,
    /// Those that are not released, and those that are.
    waiting: BTreeSet<u64>,
    released: BTreeSet<u64>,
    received: BTreeSet<u16>,
    next_seq: u64,
}

impl Script {
    fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            sessions: BTreeMap::new(),
            retained: BTreeSet::new(),
        }
    }

    fn batch(&mut self) -> Vec<Change> {
        let count = self.random.usize(0..20);
        let mut changes = Vec::new();
        while changes.len() < count {
            self.extend(&mut changes);
        }
        changes
    }

    fn extend(&mut self, changes: &mut Vec<Change>) {
        match self.random.u8(0..20) {
            0 | 1 => changes.push(self.put_session()),
            2 => changes.extend(self.delete_session()),
            3 => changes.push(self.put_retained()),
            4 => changes.extend(self.delete_retained()),
            5..=8 => self.publish(changes),
            _ => changes.extend(self.change_session()),
        }
    }

    fn put_session(&mut self) -> Change {
        let client = self.pick(&CLIENTS);
        self.sessions.entry(client).or_default();
        let random = &mut self.random;
        Change::PutSession {
            client: ClientId::new(client),
            record: SessionRecord {
                expiry_interval: random.u32(..),
                disconnected: random.bool().then(|| Instant::from_millis(random.u64(..))),
                sent_before: random.u64(..),
                will: None,
                identity: random.bool().then(|| format!("{}", random.u8(..)).into()),
            },
        }
    }

    fn delete_session(&mut self) -> Option<Change> {
        let client = self.pick(&CLIENTS);
        self.sessions.remove(client)?;
        let client = ClientId::new(client);
        Some(Change::DeleteSession { client })
    }

    fn put_retained(&mut self) -> Change {
        let name = self.pick(&TOPICS);
        self.retained.insert(name);
        let message = self.message(name);
        Change::PutRetained { message }
    }

    fn delete_retained(&mut self) -> Option<Change> {
        let name = self.pick(&TOPICS);
        self.retained.remove(name).then(|| delete_retained(name))
    }

    /// One message for some of the sessions.
    fn publish(&mut self, changes: &mut Vec<Change>) {
        let name = self.pick(&TOPICS);
        let message = self.message(name);
        for (client, session) in &mut self.sessions {
            if self.random.bool() {
                continue;
            }
            session.next_seq += self.random.u64(1..3);
            session.waiting.insert(session.next_seq);
            let identifiers = self.random.usize(0..3);
            let delivery = Delivery {
                message: message.clone(),
                qos: if self.random.bool() {
                    QoS::AtLeastOnce
                } else {
                    QoS::ExactlyOnce
                },
                retain: self.random.bool(),
                subscription_identifiers: (0..identifiers)
                    .map(|_| self.random.u32(1..268_435_456))
                    .collect(),
                released: false,
            };
            changes.push(Change::PutDelivery {
                client: ClientId::new(client),
                seq: session.next_seq,
                delivery,
            });
        }
    }

    /// Something about one session that is there.
    fn change_session(&mut self) -> Option<Change> {
        let (client, text) = (self.pick(&CLIENTS), self.pick(&FILTERS));
        let (random, session) = (&mut self.random, self.sessions.get_mut(client)?);
        match random.u8(0..7) {
            0 => {
                session.subscriptions.insert(text);
                Some(put_subscription(client, text, random.u32(0..5)))
            }
            1 => {
                let there = session.subscriptions.remove(text);
                there.then(|| Change::DeleteSubscription {
                    client: ClientId::new(client),
                    filter: filter(text),
                })
            }
            2 => {
                let number = random.u16(1..6);
                let new = session.received.insert(number);
                new.then(|| put_received(client, number))
            }
            3 => {
                let number = session.received.pop_first()?;
                Some(delete_received(client, number))
            }
            4 => {
                let seq = pick_from(random, &session.waiting)?;
                session.waiting.remove(&seq);
                session.released.insert(seq);
                Some(release(client, seq))
            }
            5 => {
                let seq = pick_from(random, &session.waiting)?;
                session.waiting.remove(&seq);
                Some(delete_delivery(client, seq))
            }
            _ => {
                let seq = pick_from(random, &session.released)?;
                session.released.remove(&seq);
                Some(delete_delivery(client, seq))
            }
        }
    }

    fn message(&mut self, name: &str) -> Arc<Message> {
        let random = &mut self.random;
        let length = match random.u8(0..10) {
            0 => 0,
            1 => random.usize(4000..9000),
            _ => random.usize(1..30),
        };
        let payload: Vec<_> = std::iter::repeat_with(|| random.u8(..))
            .take(length)
            .collect();
        let mut message = Message::new(topic(name).as_view(), Properties::default(), &payload);
        message.qos = QoS::from_number(random.u8(0..3)).unwrap_or_default();
        message.retain = random.bool();
        message.expires = random.bool().then(|| Instant::from_millis(random.u64(..)));
        Arc::new(message)
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.random.usize(0..from.len())]
    }
}

fn pick_from(random: &mut Rng, from: &BTreeSet<u64>) -> Option<u64> {
    let at = random.usize(0..from.len().max(1));
    from.iter().nth(at).copied()
}
