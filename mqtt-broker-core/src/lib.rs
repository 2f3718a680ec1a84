#![doc = include_str!("../README.md")]

pub mod authority;
mod broker;
mod budget;
mod buffers;
mod client_id;
mod counters;
mod driver;
mod engine;
mod instant;
mod limits;
mod message;
mod outbox;
mod state;
pub mod store;
mod transport;
mod violation;

pub use broker::{Broker, BuildError, Builder};
pub use client_id::ClientId;
pub use counters::Counters;
pub use engine::{Engine, Input, Load, Output, Read, Settings, Work};
pub use instant::Instant;
pub use limits::Limits;
pub use message::Message;
pub use outbox::{Outbox, Taken};
pub use state::{ConnectionId, SessionId};
pub use transport::{Listener, Peer, Stream, Transport};
pub use violation::Violation;
