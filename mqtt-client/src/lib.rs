#![doc = include_str!("../README.md")]

mod address;
mod authentication;
pub mod blocking;
mod builder;
mod client;
mod disconnect;
mod driver;
mod error;
mod instant;
mod message;
mod metrics;
pub mod outbox;
mod properties;
mod publish;
mod request;
pub mod session;
mod shared;
mod state;
mod subscribe;
pub mod testing;
pub mod transport;
mod will;

pub use address::{Address, AddressError, Scheme};
pub use authentication::{AuthenticationError, Authenticator, ScramSha256};
pub use builder::Builder;
pub use client::Client;
pub use disconnect::{Disconnect, Report};
pub use error::{ConnectionError, Ended, Error, Refusal, Violation};
pub use instant::Instant;
pub use message::{Message, Will};
pub use metrics::{Metrics, RoundTrips};
pub use mqtt_codec::{
    Properties, Property, QoS, ReasonCode, RetainHandling, SubscriptionOptions, TopicFilter,
    TopicName, UserProperty, Version,
};
#[cfg(feature = "redb")]
pub use outbox::RedbOutbox;
pub use outbox::{Outbox, OutboxError};
pub use publish::{IntoTopic, Publish, Publishing, Receipt};
pub use request::{Request, RequestBuilder};
pub use session::{
    Availability, Connected, Credentials, Offline, OnSessionLoss, PublishAck, Redirects, WhenFull,
};
pub use state::{State, StateWatch};
pub use subscribe::{
    Delivery, FilterWithQoS, IntoFilter, IntoFilters, Item, StreamFull, Subscribe, Subscription,
};
#[cfg(feature = "tls")]
pub use transport::Tls;
pub use transport::{ConnectError, Proxy};

/// What most calls give.
pub type Result<T, E = Error> = std::result::Result<T, E>;
