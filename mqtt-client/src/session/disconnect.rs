//! The end: a DISCONNECT when all is delivered, or when the time for that is over.

use std::time::Duration;

use mqtt_codec::{Disconnect, Packet, Properties, Property, ReasonCode};

use super::event::Event;
use super::phase::{After, Phase};
use super::subscriptions::Told;
use super::{PublishId, Session};
use crate::{Ended, Error, Instant, Message};

/// How to disconnect.
#[derive(Clone, Debug)]
pub struct Disconnecting {
    /// [`ReasonCode::Success`]; or [`ReasonCode::DisconnectWithWill`], so that the will is published (5.0). Others
    /// that a client may send are for the server's log.
    pub reason: ReasonCode,
    /// How long the session stays at the server (5.0). `None`: as it was made with; a session that was made
    /// without an expiry ends.
    pub session_expiry: Option<Duration>,
    /// How long messages that were accepted may take to be delivered. Zero: those that are not are reported at once.
    pub drain: Duration,
    /// A reason for people, user properties (5.0).
    pub properties: Properties,
}

impl Default for Disconnecting {
    fn default() -> Self {
        Self {
            reason: ReasonCode::Success,
            session_expiry: None,
            drain: Duration::from_secs(5),
            properties: Properties::default(),
        }
    }
}

/// A disconnection that waits for what is under way.
#[derive(Debug)]
pub(super) struct Draining {
    pub(super) until: Instant,
    how: Disconnecting,
}

impl Session {
    /// Ends the client: takes no more messages, delivers what it has while there is time, then sends a
    /// DISCONNECT. [`Event::Ended`] comes at the end; what was not delivered has had its
    /// [`Event::Published`] by then. Called again, the earlier time holds.
    pub fn disconnect(&mut self, now: Instant, how: Disconnecting) {
        if self.is_ending() {
            return;
        }
        let until = now + how.drain;
        match &mut self.draining {
            Some(draining) => draining.until = draining.until.min(until),
            None => self.draining = Some(Draining { until, how }),
        }
        let nothing_to_do = self.outgoing.is_empty() && self.connected().is_none();
        if until <= now || nothing_to_do {
            self.stop_draining(now);
        }
    }

    /// True once there is nothing more to deliver, or no time.
    pub(super) const fn is_ending(&self) -> bool {
        match &self.phase {
            Phase::Closing(After::End(_)) | Phase::Ended(_) => true,
            Phase::Closing(After::Retry(_))
            | Phase::Waiting { .. }
            | Phase::Opening
            | Phase::Connecting(_)
            | Phase::Connected(_) => false,
        }
    }

    /// Sends the DISCONNECT as soon as all is delivered.
    pub(super) fn finish_draining(&mut self, now: Instant, out: &mut Vec<u8>) {
        let is_done = self.outgoing.is_empty() && self.control.is_empty();
        if self.draining.is_some() && is_done {
            self.stop_draining(now);
            self.write_control(out);
        }
    }

    /// Delivered or not: it ends now.
    pub(super) fn stop_draining(&mut self, now: Instant) {
        let Some(draining) = self.draining.take() else {
            return;
        };
        if !matches!(self.phase, Phase::Connected(_)) {
            self.end(now, Ended::Disconnected);
            return;
        }
        let disconnect = self.disconnect_packet(&draining.how);
        self.control.push(Packet::Disconnect(disconnect));
        self.phase = Phase::Closing(After::End(Ended::Disconnected));
    }

    /// Closes this connection with a reason, ahead of what waits to be written.
    pub(super) fn close(&mut self, reason: ReasonCode, after: After) {
        self.control.clear();
        if self.protocol.version.has_properties() {
            let properties = Properties::default();
            self.control
                .push(Packet::Disconnect(Disconnect { reason, properties }));
        }
        self.phase = Phase::Closing(after);
    }

    fn disconnect_packet(&self, how: &Disconnecting) -> Disconnect {
        let made_with = self.session_expiry();
        let expiry = match how.session_expiry {
            Some(expiry) => u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX),
            None if self.session_stays() => made_with,
            None => 0,
        };
        // A session that was made to end with its connection cannot be made to stay.
        let differs = made_with > 0 && expiry != made_with;
        let expiry = differs.then_some(Property::SessionExpiryInterval(expiry));
        let given = how.properties.iter().filter(|property| {
            !matches!(
                property,
                Property::SessionExpiryInterval(_) | Property::ServerReference(_)
            )
        });
        let reason = if self.protocol.version.has_properties() {
            of_a_client(how.reason)
        } else {
            ReasonCode::Success
        };
        let plain = || Disconnect {
            reason,
            properties: Properties::default(),
        };
        let all = Properties::new(expiry.into_iter().chain(given));
        let needed = Properties::new(expiry);
        [all, needed]
            .into_iter()
            .flatten()
            .map(|properties| Disconnect { reason, properties })
            .find(|disconnect| self.fits(disconnect))
            .unwrap_or_else(plain)
    }

    /// Whether the server takes so many bytes. `[MQTT-3.2.2-15]` `[MQTT-3.14.2-3]` `[MQTT-3.14.2-4]`
    fn fits(&self, disconnect: &Disconnect) -> bool {
        let bytes_max = self
            .connected()
            .map_or(usize::MAX, |agreed| agreed.packet_bytes_max);
        let packet = Packet::Disconnect(disconnect.clone());
        let mut encoded = Vec::new();
        let is_sound = packet.encode(self.protocol.version, &mut encoded).is_ok();
        is_sound && encoded.len() <= bytes_max
    }

    /// Ends the client for good: everything that somebody waits for fails. With an outbox, what was not
    /// delivered stays there.
    pub fn end(&mut self, _: Instant, ended: Ended) {
        if matches!(self.phase, Phase::Ended(_)) {
            return;
        }
        self.draining = None;
        self.control.clear();
        self.stop_sending();
        let drained = self.outgoing.drain();
        for (id, ack) in drained.delivered {
            self.published(id, Ok(ack));
        }
        for (id, message) in drained.undelivered {
            self.published(id, Err(Error::Ended(ended.clone())));
            self.undelivered.push((id, message));
        }
        for id in self.subscriptions.drain_leaving() {
            self.events
                .push_back(Event::Unsubscribed { id, result: Ok(()) });
        }
        for (id, told) in self.subscriptions.drain() {
            if told == Told::NotYet {
                let result = Err(Error::Ended(ended.clone()));
                self.events.push_back(Event::Subscribed { id, result });
            }
        }
        self.events.push_back(Event::Ended(ended.clone()));
        self.phase = Phase::Ended(ended);
    }

    /// After the end: what was accepted and not delivered, in order. Given once.
    pub fn undelivered(&mut self) -> Vec<(PublishId, Message)> {
        std::mem::take(&mut self.undelivered)
    }
}

/// The reason codes that a DISCONNECT of a client may have; one of a server's is told in general.
/// `[MQTT-3.14.2-1]`
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "all others are a server's, or of other packets"
)]
const fn of_a_client(reason: ReasonCode) -> ReasonCode {
    match reason {
        ReasonCode::Success
        | ReasonCode::DisconnectWithWill
        | ReasonCode::UnspecifiedError
        | ReasonCode::MalformedPacket
        | ReasonCode::ProtocolError
        | ReasonCode::ImplementationSpecificError
        | ReasonCode::TopicNameInvalid
        | ReasonCode::ReceiveMaximumExceeded
        | ReasonCode::TopicAliasInvalid
        | ReasonCode::PacketTooLarge
        | ReasonCode::MessageRateTooHigh
        | ReasonCode::QuotaExceeded
        | ReasonCode::AdministrativeAction
        | ReasonCode::PayloadFormatInvalid => reason,
        _ if reason.is_failure() => ReasonCode::UnspecifiedError,
        _ => ReasonCode::Success,
    }
}
