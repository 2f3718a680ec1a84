//! One connection, from its opening to its end.
//!
//! ```text
//!   Opened --CONNECT--> Asking --accepted--> Connected
//!                        |  ^                  |    ^
//!              continue  v  | AUTH        AUTH v    | accepted
//!                     Exchanging              Asking again
//! ```
//! Every state ends when the connection is closed.

use std::sync::Arc;

use mqtt_codec::{Packet, ReasonCode, TopicFilter, TopicName, Version};

use super::deadlines::Second;
use super::{AliasesIn, AliasesOut, SessionId};
use crate::authority::{Credentials, Permissions};
use crate::{Instant, Outbox};

/// Names a connection of an engine; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub(crate) index: u32,
    pub(crate) epoch: u32,
}

/// How far a connection has come.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing has come yet.
    Opened,
    /// The authority has been asked about the CONNECT.
    Asking(Box<Connecting>),
    /// The client is to send the next AUTH.
    Exchanging(Box<Connecting>),
    /// Connected.
    Connected(SessionId),
}

/// A CONNECT that is not decided yet.
#[derive(Debug)]
pub(crate) struct Connecting {
    pub(crate) packet: Packet,
    pub(crate) credentials: Arc<Credentials>,
}

/// A connection.
pub(crate) struct Connection {
    pub(crate) epoch: u32,
    pub(crate) version: Version,
    /// True: what it subscribes to comes as it was published, and not back to where it came from.
    pub(crate) bridge: bool,
    /// False: no reason strings and user properties, but in PUBLISH, CONNACK and DISCONNECT.
    pub(crate) problem_information: bool,
    /// How many QoS 1 and 2 messages the client takes at once.
    pub(crate) receive_maximum: u16,
    /// QoS 2 messages that were taken on this connection and are not released yet.
    pub(crate) unreleased: u16,
    /// Seconds within which the client sends something; 0: no limit.
    pub(crate) keep_alive: u16,
    /// Bytes of the largest packet that the client takes.
    pub(crate) packet_bytes_max: u32,
    pub(crate) phase: Phase,
    pub(crate) outbox: Arc<Outbox>,
    /// The number of the batch that must be committed before anything more may be sent.
    pub(crate) held_until: u64,
    pub(crate) last_received: Instant,
    /// Where its deadline is.
    pub(crate) due: Option<Second>,
    /// What the client may do; nothing, before it is connected.
    pub(crate) permissions: Option<Arc<dyn Permissions>>,
    pub(crate) aliases_in: AliasesIn,
    pub(crate) aliases_out: Option<Box<AliasesOut>>,
    /// Who the client says it is, while an authentication method is in use.
    pub(crate) credentials: Option<Arc<Credentials>>,
    /// The reason code that the client's next AUTH has to have.
    pub(crate) auth_expected: ReasonCode,
}

impl Connection {
    pub(crate) fn new(epoch: u32, outbox: Arc<Outbox>, now: Instant) -> Self {
        Self {
            epoch,
            // What a peer speaks that has not said it yet; only errors are sent to it.
            version: Version::V3_1_1,
            bridge: false,
            problem_information: true,
            receive_maximum: u16::MAX,
            unreleased: 0,
            keep_alive: 0,
            packet_bytes_max: u32::MAX,
            phase: Phase::Opened,
            outbox,
            held_until: 0,
            last_received: now,
            due: None,
            permissions: None,
            aliases_in: AliasesIn::default(),
            aliases_out: None,
            credentials: None,
            auth_expected: ReasonCode::ContinueAuthentication,
        }
    }

    pub(crate) fn may_publish(&self, topic: TopicName<&[u8]>) -> bool {
        let permissions = self.permissions.as_ref();
        permissions.is_some_and(|permissions| permissions.may_publish(topic))
    }

    pub(crate) fn may_subscribe(&self, filter: TopicFilter<&[u8]>) -> bool {
        let permissions = self.permissions.as_ref();
        permissions.is_some_and(|permissions| permissions.may_subscribe(filter))
    }

    /// The session, once connected.
    pub(crate) const fn session(&self) -> Option<SessionId> {
        match self.phase {
            Phase::Connected(session) => Some(session),
            Phase::Opened | Phase::Asking(_) | Phase::Exchanging(_) => None,
        }
    }
}
