//! What the server says to our messages: PUBACK, PUBREC, PUBCOMP.

use mqtt_codec::{Ack, QoS, ReasonCode};

use super::control::ControlPacket;
use super::event::PublishAck;
use super::outgoing::{State, packet_id};
use super::phase::Phase;
use super::recorded::ChangeNumber;
use super::{PublishId, Session};
use crate::error::Refusal;
use crate::outbox::OutboxChange;
use crate::{Error, Violation};

/// What to do about a message in flight.
enum Step {
    Complete(Result<PublishAck, Error>),
    /// What became of it was told when it was given up.
    Free,
    Release,
    ReleaseAgain,
    Nothing,
}

impl Session {
    /// PUBACK: a QoS 1 message is complete. `[MQTT-4.3.2-3]` `[MQTT-4.4.0-2]`
    pub(super) fn handle_puback(&mut self, ack: &Ack) -> Result<(), Violation> {
        let Some(in_flight) = self.outgoing.find(ack.packet_id) else {
            // One that was given up on, perhaps.
            return Ok(());
        };
        let (sequence, step) = match &in_flight.state {
            State::Sent(message) if message.qos == QoS::AtLeastOnce => {
                (in_flight.sequence, Step::Complete(answer(ack)))
            }
            State::Done => (in_flight.sequence, Step::Nothing),
            State::Sent(_) | State::Released(_) => {
                return Err(Violation::UnexpectedAcknowledgement);
            }
        };
        self.take_step(ack, sequence, step);
        Ok(())
    }

    /// PUBREC: the server has taken a QoS 2 message, or refuses it. `[MQTT-4.3.3-4]`
    pub(super) fn handle_pubrec(&mut self, ack: &Ack) -> Result<(), Violation> {
        let Some(in_flight) = self.outgoing.find(ack.packet_id) else {
            // So the server can forget it, too.
            let pubrel = ControlPacket::PubRel(ack.packet_id, ReasonCode::PacketIdentifierNotFound);
            self.control.push_after(pubrel, ChangeNumber::default());
            return Ok(());
        };
        let (sequence, step) = match &in_flight.state {
            State::Sent(message) if message.qos != QoS::ExactlyOnce => {
                return Err(Violation::UnexpectedAcknowledgement);
            }
            // A refusal ends it: no PUBREL follows. [MQTT-4.3.3-4] [MQTT-4.4.0-2]
            State::Sent(_) if ack.reason.is_failure() => {
                (in_flight.sequence, Step::Complete(answer(ack)))
            }
            State::Sent(_) => {
                in_flight.state = State::Released(Some(PublishAck::of(ack)));
                (in_flight.sequence, Step::Release)
            }
            State::Released(_) => (in_flight.sequence, Step::ReleaseAgain),
            State::Done => (in_flight.sequence, Step::Nothing),
        };
        self.take_step(ack, sequence, step);
        Ok(())
    }

    /// PUBCOMP: a QoS 2 message is complete.
    pub(super) fn handle_pubcomp(&mut self, ack: &Ack) -> Result<(), Violation> {
        let Some(in_flight) = self.outgoing.find(ack.packet_id) else {
            return Ok(());
        };
        let (sequence, step) = match &in_flight.state {
            State::Released(taken) => {
                let step = taken
                    .clone()
                    .map_or(Step::Free, |ack| Step::Complete(Ok(ack)));
                (in_flight.sequence, step)
            }
            State::Done => (in_flight.sequence, Step::Nothing),
            State::Sent(_) => return Err(Violation::UnexpectedAcknowledgement),
        };
        self.take_step(ack, sequence, step);
        Ok(())
    }

    fn take_step(&mut self, ack: &Ack, sequence: u64, step: Step) {
        match step {
            Step::Complete(result) => {
                self.counters.messages_acknowledged += 1;
                if let Some(id) = self.free(sequence) {
                    self.published(id, result);
                }
            }
            Step::Free => {
                self.free(sequence);
            }
            Step::Release => {
                self.outgoing.released(sequence);
                let change = || OutboxChange::Release { sequence };
                let after = self.recorded.urgent(change);
                self.release(ack, after);
            }
            Step::ReleaseAgain => self.release_again(ack.packet_id),
            Step::Nothing => {}
        }
    }

    /// A PUBREL of an earlier connection. `[MQTT-4.4.0-1]`
    pub(super) fn release_again(&mut self, id: mqtt_codec::PacketId) {
        let pubrel = ControlPacket::PubRel(id, ReasonCode::Success);
        let after = self.recorded.everything();
        self.control.push_after(pubrel, after);
    }

    /// The packet identifier of a QoS 2 message that was given up on this connection.
    pub(super) fn release_given_up(&mut self, sequence: u64) {
        if self
            .outgoing
            .by_sequence(sequence)
            .is_some_and(|one| matches!(one.state, State::Released(_)))
        {
            self.release_again(packet_id(sequence));
            if let Phase::Connected(link) = &mut self.phase {
                link.under_way += 1;
            }
        }
    }

    /// PUBREL, in the order of the PUBRECs. `[MQTT-4.3.3-4]` `[MQTT-4.6.0-4]`
    fn release(&mut self, ack: &Ack, after: ChangeNumber) {
        let pubrel = ControlPacket::PubRel(ack.packet_id, ReasonCode::Success);
        self.control.push_after(pubrel, after);
    }

    /// The exchange about a message is over.
    fn free(&mut self, sequence: u64) -> Option<PublishId> {
        let id = self.outgoing.by_sequence(sequence)?.id;
        self.outgoing.complete(sequence, &mut self.recorded);
        if let Phase::Connected(link) = &mut self.phase {
            link.under_way = link.under_way.saturating_sub(1);
        }
        Some(id)
    }
}

/// What the application hears.
fn answer(ack: &Ack) -> Result<PublishAck, Error> {
    if ack.reason.is_failure() {
        Err(Error::Refused(Refusal::new(ack.reason, &ack.properties)))
    } else {
        Ok(PublishAck::of(ack))
    }
}

impl PublishAck {
    fn of(ack: &Ack) -> Self {
        Self {
            reason: ack.reason,
            properties: ack.properties.clone(),
        }
    }
}

impl Default for PublishAck {
    fn default() -> Self {
        Self {
            reason: ReasonCode::Success,
            properties: mqtt_codec::Properties::default(),
        }
    }
}
