#![doc = include_str!("../README.md")]

mod address;
mod authentication;
mod error;
mod instant;
mod message;
pub mod outbox;
pub mod session;
pub mod transport;

pub use address::{Address, AddressError, Scheme};
pub use authentication::{AuthenticationError, Authenticator, ScramSha256};
pub use error::{ConnectionError, Ended, Error, Refusal, Violation};
pub use instant::Instant;
pub use message::{Message, Will};
pub use mqtt_codec::{
    Properties, Property, QoS, ReasonCode, RetainHandling, SubscriptionOptions, TopicFilter,
    TopicName, UserProperty, Version,
};
#[cfg(feature = "redb")]
pub use outbox::RedbOutbox;
pub use outbox::{Outbox, OutboxError};
#[cfg(feature = "tls")]
pub use transport::Tls;
pub use transport::{ConnectError, Proxy};
