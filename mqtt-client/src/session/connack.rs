//! CONNACK: what holds for the connection, and what becomes of the session.

use std::sync::Arc;

use mqtt_codec::{ConnAck, PACKET_BYTES_MAX, QoS, ReasonCode, Text, Version};

use super::Session;
use super::aliases::{AliasesReceived, AliasesSent};
use super::connect::{CleanStart, Unanswered};
use super::event::{Availability, Connected, Event};
use super::link::{Link, Ping, Reauthentication};
use super::options::OnSessionLoss;
use super::phase::Phase;
use super::subscriptions::Told;
use crate::outbox::OutboxChange;
use crate::{Error, Instant, Violation};

impl Session {
    /// CONNACK: one on each connection. `[MQTT-3.2.0-2]`
    pub(super) fn handle_connack(
        &mut self,
        now: Instant,
        connack: ConnAck,
    ) -> Result<(), Violation> {
        let Phase::Connecting(connecting) = &mut self.phase else {
            return Err(Violation::UnexpectedPacket);
        };
        if connack.reason != ReasonCode::Success {
            self.handle_refusal(now, &connack);
            return Ok(());
        }
        // [MQTT-3.2.2-2] [MQTT-3.2.2-4]
        if connack.session_present && connecting.clean_start == CleanStart::New {
            return Err(Violation::SessionPresent);
        }
        let method = connack.properties.authentication_method();
        if method.map(Text::to_str) != connecting.method.as_deref() {
            return Err(Violation::AuthenticationMethod);
        }
        if connecting.method.is_some() {
            self.finish_authentication(connack);
            return Ok(());
        }
        self.enter(now, &connack)
    }

    /// The connection is made: everything is read anew from the CONNACK. An identifier that the server has
    /// assigned is ours from now on. `[MQTT-3.1.3-2]` `[MQTT-3.2.2-16]`
    pub(super) fn enter(&mut self, now: Instant, connack: &ConnAck) -> Result<(), Violation> {
        let Phase::Connecting(connecting) = &self.phase else {
            return Err(Violation::UnexpectedPacket);
        };
        let method = connecting.method.clone();
        if let Some(assigned) = connack.properties.assigned_client_identifier() {
            self.client_id = assigned.to_str().to_owned();
        } else if self.client_id.is_empty() && self.protocol.version == Version::V5 {
            return Err(Violation::NoClientIdentifier);
        }
        let agreed = Arc::new(self.agreed(connack));
        self.protocol.settle();
        let is_first = self.counters.connections == 0;
        self.counters.connections += 1;
        self.events.push_back(Event::Connected(Arc::clone(&agreed)));
        self.phase = Phase::Connected(Box::new(self.link(now, agreed, method)));
        let sending = || OutboxChange::Sending { below: u64::MAX };
        self.sending = Some(self.recorded.urgent(sending));
        if connack.session_present {
            self.resume(now, is_first);
        } else {
            self.begin(now, is_first);
        }
        Ok(())
    }

    /// `[MQTT-4.9.0-1]` `[MQTT-3.3.2-9]`
    fn link(&self, now: Instant, agreed: Arc<Connected>, method: Option<Arc<str>>) -> Link {
        let under_way_max = agreed
            .receive_maximum
            .min(self.options.in_flight_max(agreed.version))
            .clamp(1, 16_383);
        let aliases = agreed
            .topic_alias_maximum
            .min(self.options.topic_aliases_used_max);
        Link {
            since: now,
            sent_at: now,
            received_at: now,
            ping: Ping::None,
            under_way: 0,
            under_way_max: under_way_max.into(),
            aliases_sent: AliasesSent::new(aliases),
            aliases_received: AliasesReceived::new(self.options.topic_alias_maximum),
            method,
            unclaimed: Told::NotYet,
            reauthentication: Reauthentication::None,
            agreed,
        }
    }

    /// What holds for this connection. `[MQTT-3.1.2-21]` `[MQTT-3.2.2-21]`
    fn agreed(&self, connack: &ConnAck) -> Connected {
        let properties = &connack.properties;
        let available = |property: Option<bool>| {
            if property == Some(false) {
                Availability::Unavailable
            } else {
                Availability::Available
            }
        };
        let version = self.protocol.version;
        let identifiers = properties.subscription_identifier_available();
        Connected {
            version,
            session_present: connack.session_present,
            client_id: self.client_id.as_str().into(),
            keep_alive: properties
                .server_keep_alive()
                .unwrap_or(self.options.keep_alive),
            session_expiry: properties
                .session_expiry_interval()
                .unwrap_or_else(|| self.session_expiry()),
            receive_maximum: properties.receive_maximum().unwrap_or(u16::MAX),
            packet_bytes_max: properties
                .maximum_packet_size()
                .map_or(PACKET_BYTES_MAX, |size| {
                    (size as usize).min(PACKET_BYTES_MAX)
                }),
            topic_alias_maximum: properties.topic_alias_maximum().unwrap_or(0),
            maximum_qos: properties.maximum_qos().unwrap_or(QoS::ExactlyOnce),
            retain_available: available(properties.retain_available()),
            wildcard_available: available(properties.wildcard_subscription_available()),
            identifiers_available: available(identifiers.or(Some(version == Version::V5))),
            shared_available: available(
                properties
                    .shared_subscription_available()
                    .or(Some(version == Version::V5)),
            ),
            response_information: properties
                .response_information()
                .map(|text| text.to_str().into()),
            properties: properties.clone(),
        }
    }

    /// The server goes on with our session. `[MQTT-4.4.0-1]`
    fn resume(&mut self, now: Instant, is_first: bool) {
        if is_first {
            self.incoming.inherit();
        }
        if std::mem::take(&mut self.unanswered) == Unanswered::Connect {
            self.doubt();
        }
        for id in self.outgoing.resume() {
            self.release_again(id);
        }
        if let Phase::Connected(link) = &mut self.phase {
            link.under_way = self.outgoing.released_len();
        }
        self.subscribe_what_changed(now);
    }

    /// A CONNECT had no answer. If the server took it, it may have begun a new session without our hearing
    /// of it, and that one may be what is present now.
    fn doubt(&mut self) {
        self.subscriptions.all_uncertain();
        if self.options.on_session_loss == OnSessionLoss::Fail {
            for id in self.outgoing.give_up_uncertain(&mut self.recorded) {
                self.published(id, Err(Error::DeliveryUnknown));
            }
        }
    }

    /// The server begins a new session: what we knew of the old one is gone. `[MQTT-3.2.2-5]`
    /// `[MQTT-3.1.2-4]`
    fn begin(&mut self, now: Instant, is_first: bool) {
        self.unanswered = Unanswered::No;
        if !is_first {
            self.counters.sessions_lost += 1;
            self.events.push_back(Event::SessionLost);
        }
        self.incoming.forget();
        let client_id = self.client_id.as_str();
        self.begun = self.recorded.urgent(|| OutboxChange::NewSession {
            client_id: client_id.into(),
        });
        let lost = self
            .outgoing
            .restart(self.options.on_session_loss, &mut self.recorded);
        for (id, ack) in lost.delivered {
            self.published(id, Ok(ack));
        }
        for id in lost.unknown {
            self.published(id, Err(Error::DeliveryUnknown));
        }
        self.subscribe_to_all(now);
    }
}
