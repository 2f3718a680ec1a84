//! CONNECT: who we are, and what we can take.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::{
    ConnAck, Connect, EncodeError, PACKET_BYTES_MAX, Packet, Properties, Property, Text, Version,
};

use super::Session;
use super::control::ControlPacket;
use super::phase::Phase;
use super::recorded::ChangeNumber;
use crate::outbox::OutboxChange;
use crate::{ConnectionError, Ended, Instant, Will};

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
    pub(super) clean_start: CleanStart,
    pub(super) method: Option<Arc<str>>,
    /// The CONNACK, while the authenticator looks at its data.
    pub(super) connack: Option<Box<ConnAck>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CleanStart {
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

/// CONNECTs that we gave up waiting for, and that may still be on their way: whoever forwards them late, such as a proxy
/// that has accepted the connection already, has the server end the next one for them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ghosts {
    connects: u32,
    clean_start: bool,
}

impl Ghosts {
    /// How long after a connection was made one is reckoned with.
    const LAST: Duration = Duration::from_secs(60);

    pub(super) const fn add(&mut self, clean_start: CleanStart) {
        self.connects = self.connects.saturating_add(1);
        self.clean_start |= matches!(clean_start, CleanStart::New);
    }

    /// A connection has ended that lasted so long. None of them comes any more if that is long enough.
    pub(super) fn age(&mut self, lasted: Duration) {
        if lasted > Self::LAST {
            *self = Self::default();
        }
    }

    /// The server has given the session to a connection that is not this one: true if that may have been one of them.
    pub(super) const fn appear(&mut self) -> bool {
        let appears = self.connects > 0;
        self.connects = self.connects.saturating_sub(1);
        appears
    }

    /// True if one of them may have begun a new session without our hearing of it.
    pub(super) const fn may_have_cleaned(&self) -> bool {
        self.clean_start
    }
}

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
                self.push_connect(connect);
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

    /// A CONNECT, about which the outbox has to know where its answer matters to messages that may have been sent.
    fn push_connect(&mut self, connect: Connect) {
        let mut after = ChangeNumber::default();
        if self.outgoing.has_uncertain() {
            after = self.recorded.urgent(|| OutboxChange::Connecting);
        }
        let connect = ControlPacket::Other(Box::new(Packet::Connect(connect)));
        self.control.push_after(connect, after);
    }

    /// No transport could be opened, or there were no credentials.
    pub fn handle_open_failed(&mut self, now: Instant, error: ConnectionError) {
        if matches!(self.phase, Phase::Opening) {
            self.redirect = None;
            self.lose(now, error);
        }
    }

    /// A session begins anew with the first connection, unless it is to outlive us. `[MQTT-3.1.2-4]`
    /// `[MQTT-3.1.2-6] of 3.1.1`
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
