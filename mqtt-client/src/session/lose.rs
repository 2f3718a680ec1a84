//! The end of a connection: what the server said, when the next attempt is, and keep alive, which notices
//! an end that nobody announced.

use std::time::Duration;

use mqtt_codec::{ConnAck, Packet, Properties, ReasonCode};

use super::Session;
use super::connect::Unanswered;
use super::event::Event;
use super::link::{Ping, Reauthentication, STABLE_AFTER};
use super::options::Redirects;
use super::phase::{After, Phase};
use crate::error::Refusal;
use crate::outbox::OutboxChange;
use crate::{ConnectionError, Ended, Error, Instant};

/// The delay that a busy server gets, in steps of the backoff beyond the next.
const BUSY_STEPS: u32 = 1;

impl Session {
    /// The transport has ended or failed.
    pub fn handle_closed(&mut self, now: Instant, error: ConnectionError) {
        match &self.phase {
            Phase::Connecting(connecting) => {
                if connecting.connack.is_none() {
                    self.protocol.closed_unanswered();
                }
                self.lose(now, error);
            }
            Phase::Connected(_) => self.lose(now, error),
            Phase::Closing(after) => match after.clone() {
                After::Retry(error) => self.lose(now, error),
                After::End(ended) => self.end(now, ended),
            },
            Phase::Waiting { .. } | Phase::Opening | Phase::Ended(_) => {}
        }
    }

    /// The server refuses the CONNECT. `[MQTT-4.13.2-1]`
    pub(super) fn handle_refusal(&mut self, now: Instant, connack: &ConnAck) {
        let refusal = Refusal::new(connack.reason, &connack.properties);
        if self.unanswered == Unanswered::No {
            // It was answered, and there is no new session.
            self.record_unsent();
        }
        if connack.reason == ReasonCode::UnsupportedProtocolVersion && self.protocol.refused() {
            self.events.push_back(Event::Disconnected {
                error: ConnectionError::Refused(refusal),
                attempt: self.attempt,
                next: now,
            });
            self.phase = Phase::Waiting { until: now };
            return;
        }
        let is_final = self.is_final(connack.reason) || is_about_connect(connack.reason);
        self.refused(now, refusal, ConnectionError::Refused, is_final);
    }

    /// DISCONNECT from the server. `[MQTT-4.13.2-1]`
    pub(super) fn handle_disconnect(
        &mut self,
        now: Instant,
        reason: ReasonCode,
        properties: &Properties,
    ) {
        let mut is_final = self.is_final(reason);
        if reason == ReasonCode::SessionTakenOver {
            self.age_ghosts(now);
            is_final &= !self.ghosts.appear();
        }
        self.refused(
            now,
            Refusal::new(reason, properties),
            ConnectionError::Disconnected,
            is_final,
        );
    }

    fn refused(
        &mut self,
        now: Instant,
        refusal: Refusal,
        kind: fn(Refusal) -> ConnectionError,
        is_final: bool,
    ) {
        let reason = refusal.reason;
        if is_redirect(reason) && self.options.redirects == Redirects::Follow {
            self.redirect.clone_from(&refusal.server_reference);
        } else if is_final && !self.options.retry_on.contains(&reason) {
            self.end(now, Ended::Connection(kind(refusal)));
            return;
        }
        if is_busy(reason) {
            self.attempt = self.attempt.saturating_add(BUSY_STEPS);
        }
        self.lose(now, kind(refusal));
    }

    /// True for the reasons that another attempt would meet again, or make worse.
    fn is_final(&self, reason: ReasonCode) -> bool {
        matches!(
            reason,
            ReasonCode::UnsupportedProtocolVersion
                | ReasonCode::ClientIdentifierNotValid
                | ReasonCode::BadUserNameOrPassword
                | ReasonCode::NotAuthorized
                | ReasonCode::Banned
                | ReasonCode::BadAuthenticationMethod
                // Two clients with one identifier would throw each other out for ever.
                | ReasonCode::SessionTakenOver
        ) || (is_redirect(reason) && self.options.redirects == Redirects::Refuse)
    }

    /// There is no connection any longer, or the attempt to make one has failed.
    pub(super) fn lose(&mut self, now: Instant, error: ConnectionError) {
        self.counters.connection_failures += 1;
        self.stop_sending();
        self.reckon_with_ghosts(now, &error);
        if let Phase::Connected(link) = &self.phase {
            let (since, under_way) = (link.since, link.under_way);
            self.suspect(now, since, under_way);
        }
        if let Phase::Connected(link) = &self.phase
            && now.since(link.since) >= STABLE_AFTER
        {
            self.attempt = 0;
        }
        self.forget_link();
        let next = now + self.delay();
        self.attempt = self.attempt.saturating_add(1);
        self.events.push_back(Event::Disconnected {
            error,
            attempt: self.attempt,
            next,
        });
        self.phase = Phase::Waiting { until: next };
    }

    /// Tells the outbox which messages may have been sent, now that no more are.
    pub(super) fn stop_sending(&mut self) {
        if self.sending.take().is_some() {
            self.record_unsent();
        }
    }

    pub(super) fn record_unsent(&mut self) {
        let below = self.outgoing.sending_below();
        self.recorded.lazy(|| OutboxChange::Sending { below });
    }

    /// What the server may have done about CONNECTs without our hearing of it.
    fn reckon_with_ghosts(&mut self, now: Instant, error: &ConnectionError) {
        self.age_ghosts(now);
        match &self.phase {
            Phase::Connecting(connecting) if !matches!(error, ConnectionError::Refused(_)) => {
                self.unanswered = Unanswered::Connect;
                self.ghosts.add(connecting.clean_start);
            }
            Phase::Connected(_) if self.ghosts.may_have_cleaned() => {
                self.unanswered = Unanswered::Connect;
            }
            Phase::Connecting(_)
            | Phase::Connected(_)
            | Phase::Waiting { .. }
            | Phase::Opening
            | Phase::Closing(_)
            | Phase::Ended(_) => {}
        }
    }

    fn age_ghosts(&mut self, now: Instant) {
        if let Phase::Connected(link) = &self.phase {
            self.ghosts.age(now.since(link.since));
        }
    }

    /// What belongs to the connection goes with it. The session stays: its messages, what it has received, its
    /// subscriptions. `[MQTT-3.1.2-23]` `[MQTT-4.1.0-1]` `[MQTT-3.1.2-4] of 3.1.1` `[MQTT-4.1.0-2] of 3.1.1`
    fn forget_link(&mut self) {
        self.control.clear();
        self.incoming.disconnected();
        self.subscriptions.disconnected();
        if let Phase::Connected(link) = &self.phase
            && link.reauthentication != Reauthentication::None
        {
            self.events
                .push_back(Event::Reauthenticated(Err(Error::Offline)));
        }
    }

    /// Full jitter: anything from zero to a bound that doubles.
    fn delay(&mut self) -> Duration {
        let (first, last) = (*self.options.backoff.start(), *self.options.backoff.end());
        let bound = first.saturating_mul(1 << self.attempt.min(20)).min(last);
        let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.dice.u64(0..=millis))
    }

    /// Sends a PINGREQ, or gives up on a server that does not answer one. `[MQTT-3.1.2-20]`
    pub(super) fn keep_alive(&mut self, now: Instant) {
        let is_reading = self.wants_to_read();
        let Phase::Connected(link) = &mut self.phase else {
            return;
        };
        if link
            .keep_alive_deadline(is_reading)
            .is_none_or(|due| due > now)
        {
            return;
        }
        match link.ping {
            Ping::SentAt(_) if is_reading => {
                self.lose(now, ConnectionError::KeepAliveTimeout);
            }
            Ping::None | Ping::SentAt(_) => {
                link.ping = Ping::SentAt(now);
                link.sent_at = now;
                self.control.push(Packet::PingReq);
            }
        }
    }
}

const fn is_redirect(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::UseAnotherServer | ReasonCode::ServerMoved
    )
}

/// The server has too much to do.
const fn is_busy(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::ServerUnavailable
            | ReasonCode::ServerBusy
            | ReasonCode::QuotaExceeded
            | ReasonCode::ConnectionRateExceeded
    )
}

/// In a CONNACK: the CONNECT itself, or the will in it, is not what this server takes.
const fn is_about_connect(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::TopicNameInvalid
            | ReasonCode::PacketTooLarge
            | ReasonCode::PayloadFormatInvalid
            | ReasonCode::RetainNotSupported
            | ReasonCode::QoSNotSupported
    )
}

impl Refusal {
    pub(super) fn new(reason: ReasonCode, properties: &Properties) -> Self {
        Self {
            reason,
            text: properties.reason_string().map(|text| text.to_str().into()),
            server_reference: properties
                .server_reference()
                .map(|text| text.to_str().into()),
        }
    }
}
