//! Who may connect, publish and subscribe: questions that the engine asks, and who answers them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mqtt_codec::{ReasonCode, TopicFilter, TopicName};

use crate::Peer;

/// Decides who may connect, and what they may do.
///
/// Failing to decide is a refusal, never a permit.
#[async_trait]
pub trait Authority: Send + Sync + 'static {
    /// Answers a CONNECT or an AUTH.
    ///
    /// The connection waits, and is not read from; others do not wait. The future is dropped when
    /// the broker closes the connection.
    async fn decide(&self, peer: &Peer, question: Question) -> Decision;
}

/// What the authority is asked about a connection.
#[derive(Clone, Debug)]
pub enum Question {
    /// May it connect?
    Connect(Credentials),
    /// The client has sent the next step of its authentication method.
    Authenticate {
        /// Who the client says it is.
        credentials: Arc<Credentials>,
        /// The authentication data of the step.
        data: Option<Bytes>,
        /// True if it is connected and authenticates again.
        again: bool,
    },
}

/// What a client says of itself in its CONNECT.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The client identifier; empty if the broker is to choose one.
    pub client_id: String,
    /// The user name.
    pub user_name: Option<String>,
    /// The password.
    pub password: Option<Bytes>,
    /// The authentication method of MQTT 5.0.
    pub method: Option<String>,
    /// Its first data.
    pub data: Option<Bytes>,
}

impl fmt::Debug for Credentials {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .field("user_name", &self.user_name)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// The authority's answer.
#[derive(Clone, Debug)]
pub enum Decision {
    /// The client may connect.
    Accept(Grant),
    /// The authentication method goes on with this data. `[MQTT-4.12.0-2]`
    Continue(Option<Bytes>),
    /// The client may not connect, or stay; a reason code of 0x80 or above.
    Refuse(ReasonCode),
}

/// What an accepted client is and may do.
#[derive(Clone)]
pub struct Grant {
    /// Who the client is. A session belongs to the identity that created it: another cannot take
    /// it over by its client identifier.
    pub identity: Option<Arc<str>>,
    /// What it may publish and subscribe to.
    pub permissions: Arc<dyn Permissions>,
    /// Authentication data for the CONNACK or AUTH.
    pub data: Option<Bytes>,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// What one client may do. Asked for each message and subscription: quick, and never blocking.
pub trait Permissions: Send + Sync + 'static {
    /// May it publish to this topic?
    fn may_publish(&self, topic: TopicName<&[u8]>) -> bool;
    /// May it subscribe to this topic filter?
    fn may_subscribe(&self, filter: TopicFilter<&[u8]>) -> bool;
}

/// Lets everybody do everything; knows no authentication methods.
#[derive(Clone, Debug)]
pub struct AllowAll {
    /// The same for all, so that a connection costs nothing more.
    grant: Grant,
}

impl Default for AllowAll {
    fn default() -> Self {
        Self {
            grant: Grant::all(),
        }
    }
}

#[async_trait]
impl Authority for AllowAll {
    async fn decide(&self, _: &Peer, question: Question) -> Decision {
        match question {
            Question::Connect(credentials) if credentials.method.is_none() => {
                Decision::Accept(self.grant.clone())
            }
            // [MQTT-4.12.0-1]
            Question::Connect(_) | Question::Authenticate { .. } => {
                Decision::Refuse(ReasonCode::BadAuthenticationMethod)
            }
        }
    }
}

impl Grant {
    /// Everything, to nobody in particular.
    #[must_use]
    pub fn all() -> Self {
        Self {
            identity: None,
            permissions: Arc::new(Everything),
            data: None,
        }
    }
}

/// The permission to do everything.
struct Everything;

impl Permissions for Everything {
    fn may_publish(&self, _: TopicName<&[u8]>) -> bool {
        true
    }

    fn may_subscribe(&self, _: TopicFilter<&[u8]>) -> bool {
        true
    }
}
