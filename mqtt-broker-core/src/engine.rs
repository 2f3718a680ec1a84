//! The engine: what a broker does, without doing any of it itself.
//!
//! It never blocks, waits, reads a clock or fails: time is an argument, and bad input ends in the
//! close of its connection. So a run can be replayed, and a day passes in a test at once.

mod acknowledge;
mod authenticate;
mod connect;
mod deliver;
mod disconnect;
mod encode;
mod expire;
mod input;
mod outcome;
mod output;
mod publish;
mod queue;
mod receive;
mod restore;
mod share;
mod subscribe;

use std::sync::Arc;

use mqtt_codec::{Packet, Publish};
use slab::Slab;

use self::encode::Variants;
use self::expire::{Lifetimes, Starved};
pub use self::input::Input;
use self::output::Release;
pub use self::output::{Load, Output, Read, Work};
use crate::budget::{Budget, CONNECTION_BYTES};
use crate::state::{
    Connection, ConnectionId, Deadlines, Exchange, Mail, Phase, RouteCache, SHARDS_MAX, Session,
    SessionId, Sessions,
};
use crate::store::Change;
use crate::{Instant, Limits, Outbox, Violation};

/// A broker's sessions, subscriptions and retained messages, and the rules for them.
///
/// A broker has one engine, or several [shards](Engine::shards).
pub struct Engine {
    settings: Settings,
    seat: Arc<Seat>,
    budget: Budget,
    connections: Slab<Connection>,
    sessions: Sessions,
    routes: RouteCache,
    deadlines: Deadlines,
    lifetimes: Lifetimes,
    starved: Starved,
    /// Restored sessions that the store still takes for connected.
    unrecorded: Vec<SessionId>,
    /// The run being published, encoded for its receivers.
    variants: Variants,
    /// The memory of the mail that came last.
    spare_mail: Mail,
    next_epoch: u32,
    /// True once the broker shuts down.
    shutting_down: bool,
    /// How many numbers client identifiers have been made from.
    rolls: u64,
}

/// An engine's place among the shards of its broker.
struct Seat {
    shard: usize,
    exchange: Arc<Exchange>,
}

/// What an engine is told once, when it is made.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The bounds.
    pub limits: Limits,
    /// What client identifiers are made from that the broker chooses, and what decides which client is in
    /// which shard: a secret random number.
    pub seed: u64,
    /// The start of the response information for clients that ask for it: their client identifier
    /// follows. `None`: they get none.
    pub response_information: Option<String>,
}

impl Engine {
    /// An engine without sessions.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let exchange = Exchange::new(1, settings.seed, settings.limits.memory_bytes_max);
        Self::at(0, Arc::new(exchange), settings)
    }

    /// The engines of a broker that is spread over `count` shards, from 1 to 64.
    ///
    /// Each has the sessions of those clients whose shard it is, and works by itself. Subscriptions and
    /// retained messages are those of all. What is published in one reaches the others through
    /// inboxes, and each topic has one order for all: see [`Engine::receive`]. Commits are made for all
    /// of them at once: see [`Output::cut`].
    #[must_use]
    pub fn shards(settings: &Settings, count: usize) -> Vec<Self> {
        let memory_bytes_max = settings.limits.memory_bytes_max;
        let exchange = Arc::new(Exchange::new(count, settings.seed, memory_bytes_max));
        let shards = 0..exchange.shards();
        shards
            .map(|shard| Self::at(shard, exchange.clone(), settings.clone()))
            .collect()
    }

    /// Shards of a broker at most.
    pub const SHARDS_MAX: usize = SHARDS_MAX;

    fn at(shard: usize, exchange: Arc<Exchange>, settings: Settings) -> Self {
        Self {
            budget: exchange.budget(),
            seat: Arc::new(Seat { shard, exchange }),
            connections: Slab::new(),
            sessions: Sessions::new(shard),
            routes: RouteCache::new(settings.limits.routes_cached_max),
            deadlines: Deadlines::default(),
            lifetimes: Lifetimes::default(),
            starved: Starved::default(),
            unrecorded: Vec::new(),
            variants: Variants::default(),
            spare_mail: Mail::default(),
            next_epoch: 0,
            shutting_down: false,
            rolls: 0,
            settings,
        }
    }

    /// The shard that a client's session belongs to, counted from 0.
    #[must_use]
    pub fn shard_of(&self, client: &str) -> usize {
        self.seat.exchange.shard_of(client)
    }

    pub(crate) fn exchange(&self) -> Arc<Exchange> {
        self.seat.exchange.clone()
    }

    /// A transport has been accepted: its packets are sent to `outbox`.
    ///
    /// `[MQTT-3.2.0-1]`
    pub fn open(&mut self, now: Instant, outbox: Arc<Outbox>) -> ConnectionId {
        self.next_epoch = self.next_epoch.wrapping_add(1);
        let epoch = self.next_epoch;
        outbox.count_with(&self.budget);
        self.budget.take(CONNECTION_BYTES);
        let index = self.connections.insert(Connection::new(epoch, outbox, now));
        self.seat.exchange.count_connection();
        // More connections than fit a u32 do not fit memory either.
        let id = ConnectionId {
            index: index as u32,
            epoch,
        };
        self.await_connect(now, id);
        id
    }

    /// Lets go of a connection whose CONNECT belongs to another [shard](Engine::shard_of), which is to open
    /// it instead. False if it is gone, or has sent something already.
    pub fn release(&mut self, id: ConnectionId) -> bool {
        let opened = self
            .connection_mut(id)
            .is_some_and(|connection| matches!(connection.phase, Phase::Opened));
        if opened {
            self.watch_connection(id, None);
            self.remove_connection(id);
        }
        opened
    }

    fn remove_connection(&mut self, id: ConnectionId) {
        if self.connection_mut(id).is_some() {
            self.connections.remove(id.index as usize);
            self.seat.exchange.forget_connections(1);
            self.budget.give(CONNECTION_BYTES);
        }
    }

    /// Handles one input: changes the state, and says in `out` what is to be done.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Output) {
        match input {
            Input::Packet(id, packet) => self.handle_packet(now, id, packet, out),
            Input::Publishes(id, publishes) => self.handle_many(now, id, publishes, out),
            Input::Malformed(id, error, version) => {
                self.handle_malformed(now, id, error, version, out)
            }
            Input::Closed(id) => self.handle_closed(now, id, out),
            Input::Written(id) => self.handle_written(now, id, out),
            Input::Decided(id, decision) => self.handle_decided(now, id, decision, out),
            Input::Loaded(load, deliveries) => self.handle_loaded(now, &load, deliveries, out),
            Input::Expiring(page) => self.handle_expiring(now, &page, out),
            Input::Deadline => self.handle_deadline(now, out),
            Input::TooLarge(id) => self.handle_too_large(now, id, out),
            Input::LastWills => self.handle_last_wills(now, out),
            Input::Shutdown => self.handle_shutdown(now, out),
        }
    }

    fn handle_many(
        &mut self,
        now: Instant,
        id: ConnectionId,
        publishes: &[Publish<&[u8]>],
        out: &mut Output,
    ) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        connection.last_received = now;
        let handled = match connection.phase {
            Phase::Connected(_) => self.handle_publishes(now, id, publishes, out),
            Phase::Opened => Err(Violation::ConnectMissing),
            Phase::Asking(_) | Phase::Exchanging(_) => Err(Violation::PacketBeforeConnAck),
        };
        if let Err(violation) = handled {
            self.handle_violation(now, id, violation, out);
        }
    }

    fn handle_packet(
        &mut self,
        now: Instant,
        id: ConnectionId,
        packet: &Packet<&[u8]>,
        out: &mut Output,
    ) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        connection.last_received = now;
        let handled = match (&connection.phase, packet) {
            (Phase::Opened, Packet::Connect(connect)) => self.handle_connect(id, connect, out),
            (Phase::Opened, _) => Err(Violation::ConnectMissing),
            (_, Packet::Connect(_)) => Err(Violation::ConnectTwice),
            (Phase::Connected(_) | Phase::Exchanging(_), Packet::Auth(auth)) => {
                self.handle_auth(id, auth, out)
            }
            (_, Packet::Disconnect(disconnect)) => self.handle_disconnect(now, id, disconnect, out),
            (Phase::Asking(_) | Phase::Exchanging(_), _) => Err(Violation::PacketBeforeConnAck),
            (Phase::Connected(_), Packet::Publish(publish)) => {
                self.handle_publishes(now, id, std::slice::from_ref(publish), out)
            }
            (Phase::Connected(_), Packet::PubAck(ack)) => self.handle_puback(now, id, ack, out),
            (Phase::Connected(_), Packet::PubRec(ack)) => self.handle_pubrec(now, id, ack, out),
            (Phase::Connected(_), Packet::PubRel(ack)) => self.handle_pubrel(id, ack, out),
            (Phase::Connected(_), Packet::PubComp(ack)) => self.handle_pubcomp(now, id, ack, out),
            (Phase::Connected(_), Packet::Subscribe(subscribe)) => {
                self.handle_subscribe(now, id, subscribe, out)
            }
            (Phase::Connected(_), Packet::Unsubscribe(unsubscribe)) => {
                self.handle_unsubscribe(id, unsubscribe, out)
            }
            (Phase::Connected(_), Packet::PingReq) => self.handle_pingreq(id, out),
            (
                Phase::Connected(_),
                Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp,
            ) => Err(Violation::PacketOfServer),
        };
        if let Err(violation) = handled {
            self.handle_violation(now, id, violation, out);
        }
    }

    /// [MQTT-3.12.4-1]
    fn handle_pingreq(&mut self, id: ConnectionId, out: &mut Output) -> Result<(), Violation> {
        if let Some(connection) = self.connection_mut(id) {
            send(connection, &Packet::<&[u8]>::PingResp, Release::Now, out);
        }
        Ok(())
    }

    /// Bytes that what waits takes up, of all shards, as far as they are counted: 0 where
    /// [`Limits::memory_bytes_max`] sets no limit.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.budget.used()
    }

    /// True if there is no memory for anything more that stays.
    fn is_memory_short(&self) -> bool {
        self.budget.share() < CONNECTION_BYTES
    }

    fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections
            .get_mut(id.index as usize)
            .filter(|connection| connection.epoch == id.epoch)
    }

    /// How many connections this shard has.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// How many sessions this shard has, connected or not.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// How many retained messages there are, of all shards.
    #[must_use]
    pub fn retained(&self) -> usize {
        self.seat.exchange.retained_len()
    }
}

/// Stores the record of a session as it is now.
fn put_session(session: &mut Session, out: &mut Output) {
    session.unrecorded = false;
    out.change(Change::PutSession {
        client: session.client.clone(),
        record: session.record(),
    });
}

/// Sends a packet, unless it is larger than the client takes. `[MQTT-3.1.2-24]`
///
/// `[MQTT-3.4.2-2]` `[MQTT-3.4.2-3]` `[MQTT-3.5.2-2]` `[MQTT-3.5.2-3]` `[MQTT-3.6.2-2]`
/// `[MQTT-3.6.2-3]` `[MQTT-3.7.2-2]` `[MQTT-3.7.2-3]` `[MQTT-3.9.2-1]` `[MQTT-3.9.2-2]`
/// `[MQTT-3.11.2-1]` `[MQTT-3.11.2-2]` `[MQTT-3.15.2-2]` `[MQTT-3.15.2-3]`
fn send<B: AsRef<[u8]>>(
    connection: &mut Connection,
    packet: &Packet<B>,
    release: Release,
    out: &mut Output,
) {
    let version = connection.version;
    if fits(connection, packet) {
        out.send(connection, release, |bytes| {
            let encoded = packet.encode(version, bytes);
            debug_assert!(encoded.is_ok(), "its length was known");
        });
    }
}

/// Sends packets that are small and many, without those that are larger than the client takes.
/// `[MQTT-3.1.2-24]`
fn send_all<'a>(
    connection: &mut Connection,
    packets: impl Iterator<Item = Packet<&'a [u8]>>,
    release: Release,
    out: &mut Output,
) {
    let (version, bytes_max) = (connection.version, connection.packet_bytes_max);
    out.send(connection, release, |bytes| {
        for packet in packets {
            let start = bytes.len();
            let encoded = packet.encode(version, bytes);
            debug_assert!(
                encoded.is_ok(),
                "the engine makes packets that can be encoded"
            );
            if bytes.len() - start > bytes_max as usize {
                bytes.truncate(start);
            }
        }
    });
}

/// True if the client takes packets of this size.
fn fits<B: AsRef<[u8]>>(connection: &Connection, packet: &Packet<B>) -> bool {
    let len = packet.encoded_len(connection.version);
    debug_assert!(
        len.is_ok(),
        "the engine makes packets that can be encoded: {len:?}"
    );
    len.is_ok_and(|len| len <= connection.packet_bytes_max as usize)
}
