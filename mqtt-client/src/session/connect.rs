//! From an open transport to a connection and back: CONNECT, CONNACK, keep alive, and what comes after
//! a loss.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::{
    ConnAck, Connect, EncodeError, PACKET_BYTES_MAX, Packet, Properties, Property, QoS, ReasonCode,
    Text, Version,
};

use super::Session;
use super::aliases::{AliasesReceived, AliasesSent};
use super::event::{Availability, Connected, Event};
use super::link::{Link, Ping, Reauthentication, STABLE_AFTER};
use super::options::{OnSessionLoss, Redirects};
use super::phase::{After, Phase};
use crate::error::Refusal;
use crate::outbox::OutboxChange;
use crate::{ConnectionError, Ended, Error, Instant, Violation, Will};

/// Who connects. Asked for anew at each attempt.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The user name.
    pub user_name: Option<String>,
    /// The password; before 5.0, only with a user name.
    pub password: Option<Bytes>,
    /// The beginning of an enhanced authentication (5.0).
    pub authentication: Option<Authentication>,
}

/// What a CONNECT says of an enhanced authentication.
#[derive(Clone)]
pub struct Authentication {
    /// The method, for example `SCRAM-SHA-256`.
    pub method: String,
    /// What the client begins with.
    pub data: Option<Vec<u8>>,
}

/// Secrets stay out of logs.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| "..."))
            .field("authentication", &self.authentication)
            .finish()
    }
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authentication")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// A CONNECT that has no answer yet.
#[derive(Debug)]
pub(super) struct Connecting {
    pub(super) deadline: Instant,
    clean_start: CleanStart,
    pub(super) method: Option<Arc<str>>,
    /// The CONNACK, while the authenticator looks at its data.
    pub(super) connack: Option<Box<ConnAck>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CleanStart {
    New,
    Resume,
}

/// Whether the server may have taken a CONNECT since the last connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Unanswered {
    #[default]
    No,
    Connect,
}

/// The delay that a busy server gets, in steps of the backoff beyond the next.
const BUSY_STEPS: u32 = 1;

impl Session {
    /// A transport is open, as [`wanted`](Self::wanted): the CONNECT is what [`write`](Self::write) gives
    /// next. `[MQTT-3.1.0-1]`
    pub fn handle_opened(&mut self, now: Instant, credentials: Credentials) {
        if !matches!(self.phase, Phase::Opening) {
            return;
        }
        self.redirect = None;
        self.control.clear();
        self.choose_client_id();
        let clean_start = self.clean_start();
        let method = credentials
            .authentication
            .as_ref()
            .map(|authentication| authentication.method.as_str().into());
        match self.connect(credentials, clean_start) {
            Ok(connect) => {
                self.control.push(Packet::Connect(connect));
                self.phase = Phase::Connecting(Box::new(Connecting {
                    deadline: now + self.options.connect_timeout,
                    clean_start,
                    method,
                    connack: None,
                }));
            }
            Err(error) => self.end(now, Ended::Connection(ConnectionError::Encode(error))),
        }
    }

    /// No transport could be opened, or there were no credentials.
    pub fn handle_open_failed(&mut self, now: Instant, error: ConnectionError) {
        if matches!(self.phase, Phase::Opening) {
            self.redirect = None;
            self.lose(now, error);
        }
    }

    /// The transport has ended or failed.
    pub fn handle_closed(&mut self, now: Instant, error: ConnectionError) {
        match &self.phase {
            Phase::Connecting(connecting) => {
                if connecting.connack.is_none() {
                    self.protocol.closed_unanswered();
                }
                self.unanswered = Unanswered::Connect;
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

    /// A session begins anew with the first connection, unless it is to outlive us.
    fn clean_start(&self) -> CleanStart {
        let is_first = self.counters.connections == 0;
        let stays = self.session_stays();
        let wanted = self.options.clean_start.unwrap_or(!stays);
        let is_new = match self.protocol.version {
            // An earlier session is ended by the first connection alone.
            Version::V5 => is_first && wanted,
            // Here, Clean Session also ends the session with the connection.
            Version::V3_1 | Version::V3_1_1 => !stays,
        };
        if is_new {
            CleanStart::New
        } else {
            CleanStart::Resume
        }
    }

    /// True if the session is to outlive the client.
    pub(super) fn session_stays(&self) -> bool {
        self.options
            .session_expiry
            .is_some_and(|expiry| !expiry.is_zero())
    }

    /// Seconds of Session Expiry Interval.
    pub(super) fn session_expiry(&self) -> u32 {
        const OUTAGE: Duration = Duration::from_secs(300);
        let expiry = self.options.session_expiry.unwrap_or(OUTAGE);
        u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX)
    }

    /// A version before 5.0 demands an identifier for a session that stays, 3.1 always.
    /// `[MQTT-3.1.3-7] of 3.1.1`
    fn choose_client_id(&mut self) {
        let needed = match self.protocol.version {
            Version::V5 => false,
            Version::V3_1_1 => self.session_stays(),
            Version::V3_1 => true,
        };
        if needed && self.client_id.is_empty() {
            let letters = std::iter::repeat_with(|| self.dice.lowercase()).take(15);
            self.client_id = "mqtt-".chars().chain(letters).collect();
        }
    }

    fn connect(
        &self,
        credentials: Credentials,
        clean_start: CleanStart,
    ) -> Result<Connect, EncodeError> {
        let version = self.protocol.version;
        let mut properties = self.options.connect_properties.clone();
        if version == Version::V5 {
            properties = self.properties_of_connect(&credentials)?;
        }
        let will = self.options.will.as_ref();
        Ok(Connect {
            version,
            bridge: false,
            clean_start: clean_start == CleanStart::New,
            keep_alive: self.options.keep_alive,
            properties,
            client_id: Text::from_string(self.client_id.as_str())?,
            will: will.map(will_of).transpose()?,
            user_name: credentials.user_name.map(Text::from_string).transpose()?,
            password: credentials.password,
        })
    }

    fn properties_of_connect(&self, credentials: &Credentials) -> Result<Properties, EncodeError> {
        let options = &self.options;
        let size_max =
            u32::try_from(options.packet_bytes_max.min(PACKET_BYTES_MAX)).unwrap_or(u32::MAX);
        let mut properties = vec![
            Property::ReceiveMaximum(options.receive_maximum.max(1)),
            Property::MaximumPacketSize(size_max.max(1)),
        ];
        let expiry = self.session_expiry();
        if expiry > 0 {
            properties.push(Property::SessionExpiryInterval(expiry));
        }
        if options.topic_alias_maximum > 0 {
            properties.push(Property::TopicAliasMaximum(options.topic_alias_maximum));
        }
        let method;
        if let Some(authentication) = &credentials.authentication {
            method = Text::from_string(authentication.method.as_str())?;
            properties.push(Property::AuthenticationMethod(method.as_view()));
            if let Some(data) = &authentication.data {
                properties.push(Property::AuthenticationData(data));
            }
        }
        let given = options.connect_properties.iter();
        Properties::new(properties.into_iter().chain(given))
    }

    /// CONNACK. `[MQTT-3.2.2-2]` `[MQTT-3.2.2-3]`
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

    /// The connection is made: everything is read anew from the CONNACK.
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
        if connack.session_present {
            self.resume(now, is_first);
        } else {
            self.begin(now, is_first);
        }
        Ok(())
    }

    fn link(&self, now: Instant, agreed: Arc<Connected>, method: Option<Arc<str>>) -> Link {
        let under_way_max = agreed
            .receive_maximum
            .min(self.options.in_flight_max)
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
            reauthentication: Reauthentication::None,
            agreed,
        }
    }

    /// What holds for this connection. `[MQTT-3.2.2-21]`
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
    fn begin(&mut self, now: Instant, is_first: bool) {
        self.unanswered = Unanswered::No;
        if !is_first {
            self.counters.sessions_lost += 1;
            self.events.push_back(Event::SessionLost);
        }
        self.incoming.forget();
        let client_id = self.client_id.as_str();
        self.recorded.lazy(|| OutboxChange::NewSession {
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

    /// The server refuses the CONNECT.
    fn handle_refusal(&mut self, now: Instant, connack: &ConnAck) {
        let refusal = Refusal::new(connack.reason, &connack.properties);
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

    /// DISCONNECT from the server.
    pub(super) fn handle_disconnect(
        &mut self,
        now: Instant,
        reason: ReasonCode,
        properties: &Properties,
    ) {
        let is_final = self.is_final(reason);
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
        if let Phase::Connected(link) = &self.phase {
            let (since, under_way) = (link.since, link.under_way);
            self.strike(now, since, under_way);
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

    /// What belongs to the connection goes with it.
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

    /// The message that was first in flight when the connection broke at once is suspected; several times in
    /// a row, it is given up.
    fn strike(&mut self, now: Instant, since: Instant, under_way: usize) {
        const AT_ONCE: Duration = Duration::from_secs(1);
        if now.since(since) > AT_ONCE {
            self.outgoing.acquit();
        } else if under_way > 0
            && let Some(id) = self.outgoing.strike(&mut self.recorded)
        {
            self.published(id, Err(Error::Poison));
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

fn will_of(will: &Will) -> Result<mqtt_codec::Will, EncodeError> {
    let delay = u32::try_from(will.delay.as_secs()).unwrap_or(u32::MAX);
    let delay = (delay > 0).then_some(Property::WillDelayInterval(delay));
    let message = &will.message;
    Ok(mqtt_codec::Will {
        qos: message.qos,
        retain: message.retain,
        properties: Properties::new(message.properties.iter().chain(delay))?,
        topic: message.topic.clone(),
        payload: message.payload.clone(),
    })
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
