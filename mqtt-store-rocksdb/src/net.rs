//! What several batches come to when they are applied together.
//!
//! A message that is acknowledged before its commit begins needs no place on the disk, a record that
//! changes ten times is written once. So a busy store writes less for each message than an idle one.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use mqtt_broker_core::store::{Batch, Change, Delivery, SessionRecord, SubscriptionRecord};
use mqtt_broker_core::{ClientId, Message};
use mqtt_codec::{PacketId, TopicFilter, TopicName};

/// The sum of some batches.
#[derive(Default)]
pub(crate) struct Net {
    pub(crate) sessions: HashMap<ClientId, NetSession, RandomState>,
    /// `None`: the topic has no retained message any more.
    pub(crate) retained: HashMap<TopicName, Option<Arc<Message>>, RandomState>,
}

/// What changes of one session.
#[derive(Default)]
pub(crate) struct NetSession {
    /// True if the session that was there before has ended, with all that was its own.
    pub(crate) ended: bool,
    pub(crate) record: Option<SessionRecord>,
    /// `None`: the subscription has ended.
    pub(crate) subscriptions: BTreeMap<TopicFilter, Option<SubscriptionRecord>>,
    pub(crate) deliveries: BTreeMap<u64, NetDelivery>,
    pub(crate) received: BTreeMap<PacketId, NetReceived>,
}

/// What becomes of a delivery.
pub(crate) enum NetDelivery {
    /// It is new.
    Put(Delivery),
    /// It was there, and is released now.
    Release,
    /// It was there, and is complete now.
    Delete,
}

/// What becomes of a received packet identifier.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetReceived {
    Put,
    Delete,
}

impl Net {
    /// True if all it does is to remove deliveries: that need not be durable at once.
    pub(crate) fn only_removes(&self) -> bool {
        self.retained.is_empty() && self.sessions.values().all(NetSession::only_removes)
    }

    pub(crate) fn add(&mut self, batch: Batch) {
        for change in batch.changes {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::PutSession { client, record } => {
                self.sessions.entry(client).or_default().record = Some(record);
            }
            Change::DeleteSession { client } => {
                let ended = NetSession {
                    ended: true,
                    ..NetSession::default()
                };
                self.sessions.insert(client, ended);
            }
            Change::PutRetained { message } => {
                self.retained.insert(message.topic(), Some(message));
            }
            Change::DeleteRetained { topic } => {
                self.retained.insert(topic, None);
            }
            Change::PutSubscription {
                client,
                filter,
                subscription,
            } => self.with(client, |session| {
                session.subscriptions.insert(filter, Some(subscription));
            }),
            Change::DeleteSubscription { client, filter } => self.with(client, |session| {
                session.subscriptions.insert(filter, None);
            }),
            Change::PutDelivery {
                client,
                seq,
                delivery,
            } => self.with(client, |session| {
                session.deliveries.insert(seq, NetDelivery::Put(delivery));
            }),
            Change::ReleaseDelivery { client, seq } => {
                self.with(client, |session| match session.deliveries.get_mut(&seq) {
                    Some(NetDelivery::Put(delivery)) => delivery.released = true,
                    Some(NetDelivery::Release | NetDelivery::Delete) => {}
                    None => drop(session.deliveries.insert(seq, NetDelivery::Release)),
                })
            }
            Change::DeleteDelivery { client, seq } => self.with(client, |session| {
                // One that was put meanwhile was never written.
                if !matches!(session.deliveries.remove(&seq), Some(NetDelivery::Put(_))) {
                    session.deliveries.insert(seq, NetDelivery::Delete);
                }
            }),
            Change::PutReceived { client, packet_id } => self.with(client, |session| {
                session.receive(packet_id, NetReceived::Put);
            }),
            Change::DeleteReceived { client, packet_id } => self.with(client, |session| {
                session.receive(packet_id, NetReceived::Delete);
            }),
        }
    }

    fn with(&mut self, client: ClientId, change: impl FnOnce(&mut NetSession)) {
        let session = self.sessions.entry(client).or_default();
        // A change of a session that has ended does nothing.
        if !session.ended || session.record.is_some() {
            change(session);
        }
    }
}

impl NetSession {
    fn only_removes(&self) -> bool {
        let deliveries = self.deliveries.values();
        !self.ended
            && self.record.is_none()
            && self.subscriptions.is_empty()
            && self.received.is_empty()
            && deliveries
                .into_iter()
                .all(|delivery| matches!(delivery, NetDelivery::Delete))
    }

    /// A packet identifier that is put and deleted, or deleted and put, is as it was before.
    fn receive(&mut self, id: PacketId, change: NetReceived) {
        match self.received.remove(&id) {
            Some(before) if before != change => {}
            Some(_) | None => drop(self.received.insert(id, change)),
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt_broker_core::store::Model;

    use super::*;
    use crate::script::Script;

    /// What a writer would do with this sum, as changes.
    fn changes(net: Net) -> Vec<Change> {
        let mut changes = Vec::new();
        for (client, session) in net.sessions {
            if session.ended {
                let client = client.clone();
                changes.push(Change::DeleteSession { client });
            }
            changes.extend(session_changes(&client, session));
        }
        for (topic, message) in net.retained {
            changes.push(match message {
                Some(message) => Change::PutRetained { message },
                None => Change::DeleteRetained { topic },
            });
        }
        changes
    }

    fn session_changes(client: &ClientId, session: NetSession) -> Vec<Change> {
        let client = || client.clone();
        let mut changes: Vec<_> = session
            .record
            .map(|record| Change::PutSession {
                client: client(),
                record,
            })
            .into_iter()
            .collect();
        for (filter, subscription) in session.subscriptions {
            let client = client();
            changes.push(match subscription {
                Some(subscription) => Change::PutSubscription {
                    client,
                    filter,
                    subscription,
                },
                None => Change::DeleteSubscription { client, filter },
            });
        }
        for (seq, delivery) in session.deliveries {
            let client = client();
            changes.push(match delivery {
                NetDelivery::Put(delivery) => Change::PutDelivery {
                    client,
                    seq,
                    delivery,
                },
                NetDelivery::Release => Change::ReleaseDelivery { client, seq },
                NetDelivery::Delete => Change::DeleteDelivery { client, seq },
            });
        }
        for (packet_id, change) in session.received {
            let client = client();
            changes.push(match change {
                NetReceived::Put => Change::PutReceived { client, packet_id },
                NetReceived::Delete => Change::DeleteReceived { client, packet_id },
            });
        }
        changes
    }

    fn contents(model: &Model) -> impl PartialEq + std::fmt::Debug {
        let sessions = model.sessions(None, usize::MAX);
        let deliveries: Vec<_> = sessions
            .iter()
            .map(|(client, _)| model.deliveries(client, None, usize::MAX))
            .collect();
        let expiring = model.expiring(None, usize::MAX);
        (
            sessions,
            deliveries,
            expiring,
            model.retained(None, usize::MAX),
        )
    }

    #[test]
    fn the_sum_of_batches_is_all_of_them() {
        for seed in 0..300 {
            let mut script = Script::new(seed);
            for _ in 0..8 {
                let mut model = script.model.clone();
                let mut net = Net::default();
                for _ in 0..script.random.usize(1..5) {
                    net.add(script.batch().into());
                }
                for change in changes(net) {
                    model.apply(change);
                }
                assert_eq!(contents(&model), contents(&script.model), "seed {seed}");
            }
        }
    }

    fn after(changes: impl IntoIterator<Item = Change>) -> NetSession {
        let mut net = Net::default();
        net.add(changes.into_iter().collect::<Vec<_>>().into());
        net.sessions.remove(&ClientId::new("a")).unwrap()
    }

    fn message() -> Arc<Message> {
        let topic = TopicName::from_text("t").unwrap();
        let properties = mqtt_codec::Properties::default();
        Arc::new(Message::new(topic.as_view(), properties, b""))
    }

    #[test]
    fn what_is_put_and_deleted_was_never_there() {
        let client = ClientId::new("a");
        let put = Change::PutDelivery {
            client: client.clone(),
            seq: 1,
            delivery: Delivery {
                message: message(),
                qos: mqtt_codec::QoS::ExactlyOnce,
                retain: false,
                subscription_identifiers: Box::default(),
                released: false,
            },
        };
        let release = Change::ReleaseDelivery {
            client: client.clone(),
            seq: 1,
        };
        let delete = Change::DeleteDelivery { client, seq: 1 };
        let all = [put, release.clone(), delete.clone()];
        assert!(after(all).deliveries.is_empty());
        // One that was there before is deleted, whatever has become of it meanwhile.
        let session = after([release, delete]);
        assert!(matches!(
            session.deliveries.get(&1),
            Some(NetDelivery::Delete)
        ));
    }

    #[test]
    fn a_received_identifier_that_comes_again_stays_as_it_is() {
        let (client, packet_id) = (ClientId::new("a"), PacketId::new(7).unwrap());
        let put = Change::PutReceived {
            client: client.clone(),
            packet_id,
        };
        let delete = Change::DeleteReceived { client, packet_id };
        let none = after([put.clone(), delete.clone()]);
        assert!(none.received.is_empty());
        let none = after([delete.clone(), put.clone()]);
        assert!(none.received.is_empty());
        let put_last = after([put.clone(), delete.clone(), put.clone()]);
        assert!(put_last.received.get(&packet_id) == Some(&NetReceived::Put));
        let deleted_last = after([delete.clone(), put, delete]);
        assert!(deleted_last.received.get(&packet_id) == Some(&NetReceived::Delete));
    }
}
