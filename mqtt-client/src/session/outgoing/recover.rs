//! What becomes of accepted messages when a connection, a session or a process is lost.

use mqtt_codec::{PacketId, QoS};

use super::{InFlight, Outgoing, SPAN_MAX, State, Told, Waiting, bytes_of, packet_id};
use crate::outbox::{self, OutboxChange};
use crate::session::PublishId;
use crate::session::event::PublishAck;
use crate::session::options::OnSessionLoss;
use crate::session::recorded::{ChangeNumber, Recorded};

/// The message that is first in flight whenever the connection breaks right after sending.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect {
    id: PublishId,
    strikes: u32,
}

/// A message is on trial when the connection has broken this often right after it was sent.
const STRIKES_MAX: u32 = 3;

/// What becomes of the messages of a session that the server has lost.
#[derive(Debug, Default)]
pub(in crate::session) struct Lost {
    /// The server has taken them.
    pub(in crate::session) delivered: Vec<(PublishId, PublishAck)>,
    /// Nobody knows.
    pub(in crate::session) unknown: Vec<PublishId>,
}
impl Outgoing {
    /// Takes over what an outbox has kept: what the former process may have sent, below that number, counts as sent.
    pub(in crate::session) fn restore(
        &mut self,
        kept: impl IntoIterator<Item = (u64, outbox::Outgoing)>,
        sending_below: u64,
        in_flight_max: u16,
    ) {
        for (sequence, outgoing) in kept {
            let id = self.new_id();
            self.next_sequence = self.next_sequence.max(sequence + 1);
            let may_be_sent = sequence < sending_below
                && self.waiting.is_empty()
                && self.in_flight.len() < usize::from(in_flight_max)
                && self.span_to(sequence) < SPAN_MAX;
            let (state, expires) = match outgoing {
                outbox::Outgoing::Released => {
                    self.released.push_back(sequence);
                    (State::Released(Some(PublishAck::default())), None)
                }
                outbox::Outgoing::Message(stored) if may_be_sent => {
                    (State::Sent(stored.message), stored.expires)
                }
                outbox::Outgoing::Message(stored) => {
                    self.push_waiting(Waiting {
                        id,
                        sequence,
                        message: stored.message,
                        expires: stored.expires,
                        after: ChangeNumber::default(),
                        stored: Told::Told,
                    });
                    continue;
                }
            };
            self.in_flight.push_back(InFlight {
                id,
                sequence,
                expires,
                state,
            });
        }
    }

    /// True if there are messages that must not be sent to another session than they may have been sent to.
    pub(in crate::session) fn has_uncertain(&self) -> bool {
        self.in_flight.iter().any(InFlight::is_uncertain)
    }

    /// The number below which messages may have been sent.
    pub(in crate::session) fn sending_below(&self) -> u64 {
        let mut waiting = self.waiting.iter().map(|waiting| waiting.sequence);
        // QoS 0 has none.
        waiting
            .find(|sequence| *sequence != 0)
            .unwrap_or(self.next_sequence)
    }

    /// A message that was sent is not sent again. The server may hold the packet identifier of one of QoS 2,
    /// and would take another message with it for the same: so that is freed by a PUBREL.
    pub(in crate::session) fn give_up(&mut self, sequence: u64, recorded: &mut Recorded) {
        let Some(in_flight) = self.by_sequence(sequence) else {
            return;
        };
        match &in_flight.state {
            State::Sent(message) if message.qos == QoS::ExactlyOnce => {
                in_flight.state = State::Released(None);
                self.released.push_back(sequence);
                recorded.lazy(|| OutboxChange::Release { sequence });
            }
            State::Sent(_) | State::Released(_) | State::Done => self.complete(sequence, recorded),
        }
    }

    /// The server goes on with the session: what it has not acknowledged is sent again, in order.
    /// Returns the packet identifiers that are to be released again, in the order of their PUBRECs.
    ///
    /// `[MQTT-4.3.3-6]` `[MQTT-4.4.0-1]` `[MQTT-4.6.0-1]`
    pub(in crate::session) fn resume(&mut self) -> Vec<PacketId> {
        let is_sent = |in_flight: &&InFlight| matches!(in_flight.state, State::Sent(_));
        let sent = self.in_flight.iter().filter(is_sent);
        self.again = sent.map(|in_flight| in_flight.sequence).collect();
        self.released
            .iter()
            .map(|sequence| packet_id(*sequence))
            .collect()
    }

    /// The server may have lost the session: gives up the QoS 2 messages that it may or may not have.
    pub(in crate::session) fn give_up_uncertain(
        &mut self,
        recorded: &mut Recorded,
    ) -> Vec<PublishId> {
        let uncertain: Vec<(PublishId, u64)> = self
            .in_flight
            .iter()
            .filter(|in_flight| in_flight.is_uncertain())
            .map(|in_flight| (in_flight.id, in_flight.sequence))
            .collect();
        for (_, sequence) in &uncertain {
            self.give_up(*sequence, recorded);
        }
        uncertain.into_iter().map(|(id, _)| id).collect()
    }

    /// The server has lost the session: what it had not taken is new again, in order.
    pub(in crate::session) fn restart(
        &mut self,
        on_loss: OnSessionLoss,
        recorded: &mut Recorded,
    ) -> Lost {
        self.again.clear();
        self.released.clear();
        let mut lost = Lost::default();
        for in_flight in std::mem::take(&mut self.in_flight).into_iter().rev() {
            let sequence = in_flight.sequence;
            match in_flight.state {
                State::Done => continue,
                State::Released(ack) => lost.delivered.extend(ack.map(|ack| (in_flight.id, ack))),
                State::Sent(message)
                    if message.qos == QoS::ExactlyOnce && on_loss == OnSessionLoss::Fail =>
                {
                    lost.unknown.push(in_flight.id);
                }
                State::Sent(message) => {
                    self.waiting_bytes += bytes_of(&message);
                    self.expect_expiry(in_flight.expires);
                    self.waiting.push_front(Waiting {
                        id: in_flight.id,
                        sequence,
                        message,
                        expires: in_flight.expires,
                        after: ChangeNumber::default(),
                        stored: Told::Told,
                    });
                    continue;
                }
            }
            recorded.lazy(|| OutboxChange::Remove { sequence });
        }
        lost.delivered.reverse();
        lost.unknown.reverse();
        lost
    }

    /// The connection broke right after something was sent on it: the first message in flight is suspected.
    pub(in crate::session) fn strike(&mut self) {
        let is_sent = |in_flight: &&InFlight| matches!(in_flight.state, State::Sent(_));
        let Some(id) = self.in_flight.iter().find(is_sent).map(|first| first.id) else {
            return;
        };
        let strikes = match self.suspect {
            Some(suspect) if suspect.id == id => suspect.strikes + 1,
            Some(_) | None => 1,
        };
        self.suspect = Some(Suspect { id, strikes });
    }

    /// True if a message was suspected so often that a connection without it has to show whether it is to blame.
    pub(in crate::session) fn is_on_trial(&self) -> bool {
        self.suspect
            .is_some_and(|suspect| suspect.strikes >= STRIKES_MAX)
    }

    /// Gives the suspect up: its identifier, and its sequence number.
    pub(in crate::session) fn convict(
        &mut self,
        recorded: &mut Recorded,
    ) -> Option<(PublishId, u64)> {
        let id = self.suspect.take()?.id;
        // It may have been given up for another reason since.
        let is_suspect = |one: &&InFlight| one.id == id && matches!(one.state, State::Sent(_));
        if let Some(in_flight) = self.in_flight.iter().find(is_suspect) {
            let sequence = in_flight.sequence;
            self.give_up(sequence, recorded);
            return Some((id, sequence));
        }
        // It waits anew, in a session that was lost.
        let is_next = self.waiting.front().is_some_and(|one| one.id == id);
        let waiting = if is_next { self.take_waiting() } else { None };
        let sequence = waiting?.sequence;
        recorded.lazy(|| OutboxChange::Remove { sequence });
        Some((id, sequence))
    }

    /// A connection has lasted, or broken without it: the suspect is not to blame.
    pub(in crate::session) const fn acquit(&mut self) {
        self.suspect = None;
    }

    /// True while one message after the other is sent, so that a guilty one is found.
    pub(in crate::session) fn is_suspicious(&mut self) -> bool {
        let Some(suspect) = self.suspect else {
            return false;
        };
        // It may wait anew, in a session that was lost, or have made it since.
        let is_sent = |one: &InFlight| one.id == suspect.id && matches!(one.state, State::Sent(_));
        let is_there = self.in_flight.iter().any(is_sent)
            || self.waiting.front().is_some_and(|one| one.id <= suspect.id);
        if !is_there {
            self.suspect = None;
        }
        is_there
    }
}

impl InFlight {
    /// The server may have it or not, and must not get it twice.
    fn is_uncertain(&self) -> bool {
        match &self.state {
            State::Sent(message) => message.qos == QoS::ExactlyOnce,
            State::Released(_) | State::Done => false,
        }
    }
}
