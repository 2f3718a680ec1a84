//! What happens to the engine.

use mqtt_codec::{DecodeError, Packet, Publish, Version};

use super::Load;
use crate::authority::Decision;
use crate::state::ConnectionId;
use crate::store::{Delivery, Expiring};

/// Something that happened.
///
/// Inputs about a connection or session that is gone are ignored: they were under way when it went.
#[derive(Debug)]
pub enum Input<'a> {
    /// A packet has come.
    Packet(ConnectionId, &'a Packet<&'a [u8]>),
    /// PUBLISH packets have come, one behind the other. It comes to the same as each by itself, and costs
    /// less.
    Publishes(ConnectionId, &'a [Publish<&'a [u8]>]),
    /// Bytes have come that are no packet. If they began as a CONNECT does, with its version.
    Malformed(ConnectionId, DecodeError, Option<Version>),
    /// There is no memory for a packet that has begun to come.
    TooLarge(ConnectionId),
    /// The transport is gone.
    Closed(ConnectionId),
    /// All that was sent to the connection has been written, and the engine waited for that.
    Written(ConnectionId),
    /// The authority has answered the question about this connection.
    Decided(ConnectionId, Decision),
    /// Deliveries that were asked for have been read; none means that there are no more.
    Loaded(Load, Vec<(u64, Delivery)>),
    /// Lifetimes that were asked for have been read; none means that there are no more.
    Expiring(Vec<Expiring>),
    /// The deadline has come.
    Deadline,
    /// The broker is about to shut down: the wills of all who are connected are published, as long as
    /// others are there to get them. [`Input::Shutdown`] does so too; with several shards, each is to have
    /// done it, and to have [received](super::Engine::receive) those of others, before the first one
    /// closes its connections.
    LastWills,
    /// The broker shuts down: wills are published and all connections closed.
    Shutdown,
}
