//! Messages from their acceptance to the server's last word: one queue of those that wait, one of those
//! in flight.
//!
//! Each message of QoS 1 or 2 has a sequence number, and its packet identifier is computed from that. So
//! sending one stores nothing, and one that an outbox has kept is sent again, after a restart, with the
//! identifier that it had.

mod recover;

use std::collections::VecDeque;

use mqtt_codec::{PacketId, QoS};

use self::recover::Suspect;
use super::PublishId;
use super::event::PublishAck;
use super::options::SessionOptions;
use super::recorded::{ChangeNumber, Recorded};
use crate::outbox::{OutboxChange, StoredMessage};
use crate::{Instant, Message};

/// The sequence numbers of what is in flight span less than this: half of all packet identifiers. The
/// other half is for SUBSCRIBE and UNSUBSCRIBE.
pub(super) const SPAN_MAX: u64 = 32_768;

/// Both queues.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Not sent in this session, in the order of acceptance.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Sent and not complete: QoS 1 and 2, sequence numbers rising.
    in_flight: VecDeque<InFlight>,
    /// Sequence numbers of what is to be sent again on this connection, rising.
    again: VecDeque<u64>,
    /// Sequence numbers of what has had its PUBREC, in that order. `[MQTT-4.6.0-4]`
    released: VecDeque<u64>,
    next_id: u64,
    next_sequence: u64,
    next_expiry: Option<Instant>,
    pub(super) room: Room,
    messages_max: usize,
    bytes_max: usize,
    suspect: Option<Suspect>,
}

/// Whether somebody has been told that there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    NobodyWaits,
    Wanted,
}

/// A message that has not been sent in this session.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: PublishId,
    /// 0 at QoS 0.
    pub(super) sequence: u64,
    pub(super) message: Message,
    pub(super) expires: Option<Instant>,
    /// The change that put it into the outbox.
    pub(super) after: ChangeNumber,
    stored: Told,
}

/// Whether it was told that a message is in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    NotYet,
    Told,
}

/// A message of QoS 1 or 2 that was sent.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) id: PublishId,
    pub(super) sequence: u64,
    pub(super) expires: Option<Instant>,
    pub(super) state: State,
}

/// ```text
/// Sent --PUBACK, PUBREC with a failure--> Done
/// Sent --PUBREC--> Released --PUBCOMP--> Done
/// ```
///
/// `[MQTT-4.3.3-3]` `[MQTT-4.3.3-5]` `[MQTT-2.3.1-3] of 3.1.1`
#[derive(Debug)]
pub(super) enum State {
    /// The PUBLISH was sent.
    Sent(Message),
    /// The PUBREC has come, and this is what the server said: the message is the server's now. `None`: it
    /// was given up, and only its packet identifier is to be freed, which the server may hold.
    Released(Option<PublishAck>),
    /// Complete; stays until those before it are.
    Done,
}

/// What there was when the client ended.
#[derive(Debug, Default)]
pub(super) struct Drained {
    /// The server has not taken them, or nobody knows.
    pub(super) undelivered: Vec<(PublishId, Message)>,
    /// The server has taken them.
    pub(super) delivered: Vec<(PublishId, PublishAck)>,
}

impl Outgoing {
    pub(super) fn new(options: &SessionOptions) -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            in_flight: VecDeque::new(),
            again: VecDeque::new(),
            released: VecDeque::new(),
            next_id: 1,
            next_sequence: 1,
            next_expiry: None,
            room: Room::NobodyWaits,
            messages_max: options.queue_messages_max,
            bytes_max: options.queue_bytes_max,
            suspect: None,
        }
    }

    fn new_id(&mut self) -> PublishId {
        let id = PublishId(self.next_id);
        self.next_id += 1;
        id
    }

    /// True if a message of so many bytes has room. One that is alone always has.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.waiting.is_empty()
            || (self.waiting.len() < self.messages_max
                && self.waiting_bytes.saturating_add(bytes) <= self.bytes_max)
    }

    /// Takes a message into the queue.
    pub(super) fn accept(
        &mut self,
        message: Message,
        expires: Option<Instant>,
        recorded: &mut Recorded,
    ) -> PublishId {
        let id = self.new_id();
        let (mut sequence, mut after) = (0, ChangeNumber::default());
        if message.qos != QoS::AtMostOnce {
            sequence = self.next_sequence;
            self.next_sequence += 1;
            after = recorded.urgent(|| OutboxChange::Put {
                sequence,
                message: StoredMessage {
                    message: message.clone(),
                    expires,
                },
            });
        }
        let stored = if after == ChangeNumber::default() {
            Told::Told
        } else {
            Told::NotYet
        };
        self.push_waiting(Waiting {
            id,
            sequence,
            message,
            expires,
            after,
            stored,
        });
        id
    }

    fn push_waiting(&mut self, waiting: Waiting) {
        self.waiting_bytes += bytes_of(&waiting.message);
        self.expect_expiry(waiting.expires);
        self.waiting.push_back(waiting);
    }

    fn expect_expiry(&mut self, expires: Option<Instant>) {
        self.next_expiry = [self.next_expiry, expires].into_iter().flatten().min();
    }

    /// Removes the oldest QoS 0 message that waits.
    pub(super) fn displace_qos0(&mut self) -> Option<PublishId> {
        let is_qos0 = |waiting: &Waiting| waiting.message.qos == QoS::AtMostOnce;
        let at = self.waiting.iter().position(is_qos0)?;
        let waiting = self.waiting.remove(at)?;
        self.waiting_bytes -= bytes_of(&waiting.message);
        Some(waiting.id)
    }

    /// The messages that are in the outbox now, and were not told to be.
    pub(super) fn stored(&mut self, durable: ChangeNumber) -> Vec<PublishId> {
        let mut stored = Vec::new();
        // The changes rise with the queue: those not told yet are at its end.
        for waiting in self.waiting.iter_mut().rev() {
            if waiting.after > durable || waiting.message.qos == QoS::AtMostOnce {
                continue;
            }
            if waiting.stored == Told::Told {
                break;
            }
            waiting.stored = Told::Told;
            stored.push(waiting.id);
        }
        stored.reverse();
        stored
    }

    /// The next message that waits.
    pub(super) fn next_waiting(&self) -> Option<&Waiting> {
        self.waiting.front()
    }

    /// Takes the next message that waits out of the queue.
    pub(super) fn take_waiting(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.waiting_bytes -= bytes_of(&waiting.message);
        Some(waiting)
    }

    /// A message that was sent for the first time.
    pub(super) fn sent(&mut self, waiting: Waiting) {
        self.in_flight.push_back(InFlight {
            id: waiting.id,
            sequence: waiting.sequence,
            expires: waiting.expires,
            state: State::Sent(waiting.message),
        });
    }

    /// How far a sequence number is from the oldest in flight.
    pub(super) fn span_to(&self, sequence: u64) -> u64 {
        let oldest = self.in_flight.front();
        oldest.map_or(0, |oldest| sequence.saturating_sub(oldest.sequence))
    }

    /// The message in flight with this packet identifier.
    pub(super) fn find(&mut self, id: PacketId) -> Option<&mut InFlight> {
        let base = self.in_flight.front()?.sequence;
        let steps = (u64::from(id.get()) + 65_535 - u64::from(packet_id(base).get())) % 65_535;
        self.by_sequence(base + steps)
    }

    pub(super) fn by_sequence(&mut self, sequence: u64) -> Option<&mut InFlight> {
        let at = self
            .in_flight
            .binary_search_by_key(&sequence, |in_flight| in_flight.sequence)
            .ok()?;
        self.in_flight.get_mut(at)
    }

    /// The PUBREC of this message has come.
    pub(super) fn released(&mut self, sequence: u64) {
        self.released.push_back(sequence);
    }

    /// This message is complete: forgets it as soon as those before it are.
    pub(super) fn complete(&mut self, sequence: u64, recorded: &mut Recorded) {
        recorded.lazy(|| OutboxChange::Remove { sequence });
        if let Some(in_flight) = self.by_sequence(sequence) {
            in_flight.state = State::Done;
        }
        if self.released.front() == Some(&sequence) {
            self.released.pop_front();
        } else {
            self.released.retain(|released| *released != sequence);
        }
        let is_done = |in_flight: &InFlight| matches!(in_flight.state, State::Done);
        while self.in_flight.front().is_some_and(is_done) {
            self.in_flight.pop_front();
        }
    }

    /// The sequence number of the next message to be sent again.
    pub(super) fn next_again(&self) -> Option<u64> {
        self.again.front().copied()
    }

    /// The next message to be sent again was sent.
    pub(super) fn sent_again(&mut self) {
        self.again.pop_front();
    }

    /// Removes what has expired while it waited.
    pub(super) fn expire(&mut self, now: Instant, recorded: &mut Recorded) -> Vec<PublishId> {
        if self.next_expiry.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let (mut expired, mut bytes) = (Vec::new(), 0);
        self.next_expiry = None;
        let mut next = None;
        self.waiting.retain(|waiting| {
            let Some(expires) = waiting.expires else {
                return true;
            };
            if expires > now {
                next = [next, Some(expires)].into_iter().flatten().min();
                return true;
            }
            expired.push(waiting.id);
            bytes += bytes_of(&waiting.message);
            if waiting.sequence != 0 {
                let sequence = waiting.sequence;
                recorded.lazy(|| OutboxChange::Remove { sequence });
            }
            false
        });
        self.waiting_bytes -= bytes;
        self.next_expiry = next;
        expired
    }

    pub(super) const fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    /// Removes everything: what waits or is in flight and was not delivered; and what the server has taken.
    pub(super) fn drain(&mut self) -> Drained {
        let mut drained = Drained::default();
        for in_flight in std::mem::take(&mut self.in_flight) {
            match in_flight.state {
                State::Sent(message) => drained.undelivered.push((in_flight.id, message)),
                State::Released(ack) => {
                    drained.delivered.extend(ack.map(|ack| (in_flight.id, ack)));
                }
                State::Done => {}
            }
        }
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        drained
            .undelivered
            .extend(waiting.map(|waiting| (waiting.id, waiting.message)));
        self.waiting_bytes = 0;
        self.next_expiry = None;
        // They hear of the end.
        self.room = Room::NobodyWaits;
        drained
    }

    /// The packet identifier farthest from all that is in flight: SUBSCRIBE and UNSUBSCRIBE begin there.
    pub(super) fn far_packet_id(&self, step: u64) -> PacketId {
        let newest = self.waiting.front().filter(|waiting| waiting.sequence != 0);
        let near = newest.map_or(self.next_sequence, |waiting| waiting.sequence);
        packet_id(near + SPAN_MAX + step)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    pub(super) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn in_flight_len(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn released_len(&self) -> usize {
        self.released.len()
    }
}

/// The packet identifier of a sequence number, which begins at 1. `[MQTT-2.2.1-3]`
pub(super) fn packet_id(sequence: u64) -> PacketId {
    let number = u16::try_from(1 + sequence.wrapping_sub(1) % 65_535).unwrap_or(1);
    // 1 to 65,535.
    PacketId::new(number).unwrap_or(PACKET_ID_1)
}

const PACKET_ID_1: PacketId = match PacketId::new(1) {
    Some(id) => id,
    None => unreachable!(),
};

/// What a message counts in the bounds of the queue.
pub(super) fn bytes_of(message: &Message) -> usize {
    message.topic.as_bytes().len() + message.payload.len()
}
