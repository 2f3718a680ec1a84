//! Received messages of QoS 1 and 2, from their PUBLISH to our last word.
//!
//! A message is acknowledged when all its readers are done with it, and acknowledgements leave in the
//! order in which the messages came. One that nobody reads yet is held.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash, Hasher};

use mqtt_codec::{PacketId, QoS, ReasonCode};

use super::{DeliveryId, Map, SubscriptionId};
use crate::Message;

/// What is held, by packet identifier. QoS 1 and 2 share the identifiers.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    held: Map<PacketId, Held>,
    /// Those of QoS 1 that came on this connection and are not acknowledged, in order. `[MQTT-4.6.0-2]`
    order_qos1: VecDeque<PacketId>,
    /// The same for QoS 2. `[MQTT-4.6.0-3]`
    order_qos2: VecDeque<PacketId>,
    bytes: usize,
    next: u64,
    origin: Origin,
}

/// Whose the subscriptions are that the server knows for this session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Origin {
    /// All are ours: what none of them wants, nobody will.
    #[default]
    Ours,
    /// Some were made before us, or outlived their reader: who subscribes next may want it.
    Inherited,
}

#[derive(Debug)]
struct Held {
    delivery: DeliveryId,
    qos: QoS,
    /// Of topic and payload: a message that is sent again is the same one.
    /// `None`: an earlier process has received it.
    fingerprint: Option<u64>,
    came: Came,
    state: HeldState,
}

/// Whether a message has come on this connection; if not, the server will send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Now,
    Earlier,
}

/// ```text
/// Unclaimed --a subscription--> Reading --all readers done--> Done --in its turn--> (gone), or QoS 2: Recorded
/// ```
#[derive(Debug)]
enum HeldState {
    Unclaimed(Message),
    Reading {
        readers: Vec<SubscriptionId>,
        message: Message,
        reason: ReasonCode,
    },
    Done(ReasonCode),
    /// QoS 2: the PUBREC is sent, the PUBREL has not come.
    Recorded,
}

/// What a PUBLISH of QoS 1 or 2 turned out to be.
#[derive(Debug)]
pub(super) enum Arrival {
    /// New, with these readers.
    New(DeliveryId),
    /// Seen before, and still in somebody's hands, or to be acknowledged in its turn.
    Known,
    /// Seen before, and recorded: another PUBREC is due.
    Recorded,
    /// Its packet identifier is in use for a message of another QoS.
    Clash,
}

/// An acknowledgement that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) packet_id: PacketId,
    pub(super) qos: QoS,
    pub(super) reason: ReasonCode,
}

impl Incoming {
    /// Takes over the QoS 2 identifiers that an outbox has kept.
    pub(super) fn restore(&mut self, received: impl IntoIterator<Item = PacketId>) {
        for packet_id in received {
            let delivery = self.new_delivery(packet_id);
            self.held.insert(
                packet_id,
                Held {
                    delivery,
                    qos: QoS::ExactlyOnce,
                    fingerprint: None,
                    came: Came::Earlier,
                    state: HeldState::Recorded,
                },
            );
        }
    }

    /// The lower 16 bits are the packet identifier: so a delivery is found without a table of its own.
    fn new_delivery(&mut self, packet_id: PacketId) -> DeliveryId {
        self.next += 1;
        DeliveryId((self.next << 16) | u64::from(packet_id.get()))
    }

    /// The session is older than we are.
    pub(super) const fn inherit(&mut self) {
        self.origin = Origin::Inherited;
    }

    /// True if a message that nobody reads is held for who subscribes next.
    pub(super) fn holds_unclaimed(&self) -> bool {
        self.origin == Origin::Inherited
    }

    /// A PUBLISH has come, for these readers.
    ///
    /// `[MQTT-4.3.3-10]`
    pub(super) fn arrive(
        &mut self,
        packet_id: PacketId,
        message: &Message,
        readers: &[SubscriptionId],
    ) -> Arrival {
        let fingerprint = fingerprint(message);
        let order = match message.qos {
            QoS::AtMostOnce | QoS::AtLeastOnce => &mut self.order_qos1,
            QoS::ExactlyOnce => &mut self.order_qos2,
        };
        if let Some(held) = self.held.get_mut(&packet_id) {
            if held.qos != message.qos && held.came == Came::Now {
                return Arrival::Clash;
            }
            let is_recorded = matches!(held.state, HeldState::Recorded);
            if held.came == Came::Now {
                return if is_recorded {
                    Arrival::Recorded
                } else {
                    Arrival::Known
                };
            }
            // A server that has given up on a message, or begun a session that we have not heard of, may use
            // its identifier for another.
            let is_same = held.fingerprint.is_none_or(|known| known == fingerprint);
            if message.dup && is_same && held.qos == message.qos {
                held.came = Came::Now;
                if is_recorded {
                    return Arrival::Recorded;
                }
                order.push_back(packet_id);
                return Arrival::Known;
            }
        }
        order.push_back(packet_id);
        self.hold(packet_id, message, readers, fingerprint)
    }

    /// One that nobody wants is acknowledged, too. `[MQTT-4.5.0-2]`
    fn hold(
        &mut self,
        packet_id: PacketId,
        message: &Message,
        readers: &[SubscriptionId],
        fingerprint: u64,
    ) -> Arrival {
        let delivery = self.new_delivery(packet_id);
        let state = if !readers.is_empty() {
            HeldState::Reading {
                readers: readers.to_vec(),
                message: message.clone(),
                reason: ReasonCode::Success,
            }
        } else if self.origin == Origin::Inherited {
            HeldState::Unclaimed(message.clone())
        } else {
            HeldState::Done(ReasonCode::Success)
        };
        let held = Held {
            delivery,
            qos: message.qos,
            fingerprint: Some(fingerprint),
            came: Came::Now,
            state,
        };
        self.bytes += held.bytes();
        if let Some(old) = self.held.insert(packet_id, held) {
            self.bytes -= old.bytes();
        }
        Arrival::New(delivery)
    }

    /// A reader is done with a message, expired or not. `[MQTT-4.3.3-13]`
    pub(super) fn done(&mut self, reader: SubscriptionId, delivery: DeliveryId, why: ReasonCode) {
        let Some(held) = self.by_delivery(delivery) else {
            return;
        };
        let bytes = held.bytes();
        let HeldState::Reading {
            readers, reason, ..
        } = &mut held.state
        else {
            return;
        };
        let Some(at) = readers.iter().position(|one| *one == reader) else {
            return;
        };
        readers.swap_remove(at);
        if why.is_failure() {
            *reason = why;
        }
        if readers.is_empty() {
            held.state = HeldState::Done(*reason);
            self.bytes -= bytes;
        }
    }

    fn by_delivery(&mut self, delivery: DeliveryId) -> Option<&mut Held> {
        let number = u16::try_from(delivery.0 & 0xFFFF).ok()?;
        let packet_id = PacketId::new(number)?;
        let held = self.held.get_mut(&packet_id)?;
        (held.delivery == delivery).then_some(held)
    }

    /// A reader has gone, and its session stays: what it had not done waits for another.
    pub(super) fn abandon(&mut self, reader: SubscriptionId) {
        self.origin = Origin::Inherited;
        for held in self.held.values_mut() {
            let HeldState::Reading {
                readers, message, ..
            } = &mut held.state
            else {
                continue;
            };
            readers.retain(|one| *one != reader);
            if readers.is_empty() {
                held.state = HeldState::Unclaimed(message.clone());
            }
        }
    }

    /// A reader has gone for good, by the user's will: it is done with all it had.
    pub(super) fn give_up(&mut self, reader: SubscriptionId) {
        let all: Vec<DeliveryId> = self.held.values().map(|held| held.delivery).collect();
        for delivery in all {
            self.done(reader, delivery, ReasonCode::Success);
        }
    }

    /// A new reader takes what nobody had claimed and it wants, in the order in which it came.
    pub(super) fn claim(
        &mut self,
        reader: SubscriptionId,
        wants: impl Fn(&Message) -> bool,
    ) -> Vec<(DeliveryId, Message)> {
        let mut claimed = Vec::new();
        for held in self.held.values_mut() {
            let HeldState::Unclaimed(message) = &held.state else {
                continue;
            };
            if wants(message) {
                let message = message.clone();
                claimed.push((held.delivery, message.clone()));
                held.state = HeldState::Reading {
                    readers: vec![reader],
                    message,
                    reason: ReasonCode::Success,
                };
            }
        }
        claimed.sort_by_key(|(delivery, _)| *delivery);
        claimed
    }

    /// The next acknowledgement that is due, in order. With a PUBACK, or a PUBREC that refuses, the packet
    /// identifier is free for another message. `[MQTT-4.3.2-5]` `[MQTT-4.3.3-9]`
    pub(super) fn next_due(&mut self) -> Option<Due> {
        let (packet_id, reason, qos) = self.front_done()?;
        match qos {
            QoS::AtMostOnce | QoS::AtLeastOnce => self.order_qos1.pop_front(),
            QoS::ExactlyOnce => self.order_qos2.pop_front(),
        };
        if qos == QoS::ExactlyOnce && !reason.is_failure() {
            if let Some(held) = self.held.get_mut(&packet_id) {
                held.state = HeldState::Recorded;
            }
        } else {
            self.held.remove(&packet_id);
        }
        Some(Due {
            packet_id,
            qos,
            reason,
        })
    }

    fn front_done(&self) -> Option<(PacketId, ReasonCode, QoS)> {
        [&self.order_qos1, &self.order_qos2]
            .into_iter()
            .find_map(|order| {
                let packet_id = order.front()?;
                let held = self.held.get(packet_id)?;
                match held.state {
                    HeldState::Done(reason) => Some((*packet_id, reason, held.qos)),
                    HeldState::Unclaimed(_) | HeldState::Reading { .. } | HeldState::Recorded => {
                        None
                    }
                }
            })
    }

    /// PUBREL: a recorded identifier is free again. True if there was one. `[MQTT-4.3.3-12]`
    pub(super) fn release(&mut self, packet_id: PacketId) -> bool {
        let Some(held) = self.held.get(&packet_id) else {
            return false;
        };
        if !matches!(held.state, HeldState::Recorded) {
            return false;
        }
        self.held.remove(&packet_id);
        true
    }

    /// The connection is gone: what was not acknowledged comes again, if the session stays.
    pub(super) fn disconnected(&mut self) {
        for held in self.held.values_mut() {
            held.came = Came::Earlier;
        }
        self.order_qos1.clear();
        self.order_qos2.clear();
    }

    /// The session is gone: nothing comes again, and nothing is acknowledged. `[MQTT-3.2.2-5]`
    pub(super) fn forget(&mut self) {
        self.held.clear();
        self.bytes = 0;
        self.origin = Origin::Ours;
    }

    /// Bytes of payloads in somebody's hands.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages that came on this connection and are not acknowledged: those that the server has to count, if it takes a
    /// PUBREC for the end of one.
    pub(super) fn unacknowledged(&self) -> usize {
        self.order_qos1.len() + self.order_qos2.len()
    }

    pub(super) fn unclaimed(&self) -> usize {
        let is_unclaimed = |held: &&Held| matches!(held.state, HeldState::Unclaimed(_));
        self.held.values().filter(is_unclaimed).count()
    }
}

impl Held {
    fn bytes(&self) -> usize {
        match &self.state {
            HeldState::Unclaimed(message) | HeldState::Reading { message, .. } => {
                super::outgoing::bytes_of(message)
            }
            HeldState::Done(_) | HeldState::Recorded => 0,
        }
    }
}

/// The first kilobyte of a payload is enough: the packet identifier and DUP say the same already.
fn fingerprint(message: &Message) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    message.topic.as_bytes().hash(&mut hasher);
    message.payload.len().hash(&mut hasher);
    let length = message.payload.len().min(1024);
    message.payload.get(..length).hash(&mut hasher);
    hasher.finish()
}
