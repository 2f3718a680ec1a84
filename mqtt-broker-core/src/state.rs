//! What the engine knows.

mod aliases;
mod connection;
mod deadlines;
mod exchange;
mod filter_set;
mod inbox;
#[cfg(test)]
mod naive;
mod outbound;
mod publication;
mod retained;
mod route;
mod routes;
mod session;
mod subscribers;
mod trie;

pub(crate) use self::aliases::{Alias, AliasesIn, AliasesOut};
pub use self::connection::ConnectionId;
pub(crate) use self::connection::{Connecting, Connection, Phase};
pub(crate) use self::deadlines::{Deadline, Deadlines};
pub(crate) use self::exchange::{Exchange, KEEPER, SHARDS_MAX};
pub(crate) use self::filter_set::FilterSet;
pub(crate) use self::inbox::{Arrival, Mail, Target};
pub(crate) use self::outbound::{Outbound, Slot, Stage, Trailing, packet_id};
pub(crate) use self::publication::{Payloads, Publication};
pub(crate) use self::retained::{Cursor, Retained};
pub(crate) use self::route::{Granted, Member, Readiness, Receiver, Route, RouteCache, ShardSet};
pub use self::session::SessionId;
pub(crate) use self::session::{Replay, Session, Sessions};
