//! The client session: a state machine without IO, clock or `async`.
//!
//! Bytes, calls and the time come in; bytes, events and a deadline come out. Whoever drives it (here:
//! the task behind [`Client`](crate::Client)) opens transports when [`Session::wanted`] says so, and has
//! nothing to decide.
//!
//! ```text
//!              deadline                 handle_opened              CONNACK
//!   Waiting ------------> Opening ---------------------> Connecting -------> Connected
//!      ^                     |                               |                   |
//!      |   handle_open_failed|                 handle_closed |     handle_closed |
//!      +---------------------+-------------------------------+-------------------+
//!      ^                                                     |                   | a violation,
//!      |                      handle_closed                  v                   v disconnect
//!      +--------------------------------------------------- Closing <------------+
//!                                                            |
//!              a reason to stop, or disconnect              v
//!   (any) -----------------------------------------------> Ended
//! ```

mod acknowledge;
mod aliases;
mod authenticate;
mod connack;
mod connect;
mod control;
mod counters;
mod disconnect;
mod event;
mod incoming;
mod link;
mod lose;
mod options;
mod outgoing;
mod phase;
mod publish;
mod receive;
mod recorded;
mod subscribe;
mod subscriptions;
mod suspect;
mod write;

use std::collections::VecDeque;
use std::sync::Arc;

use fastrand::Rng;
use mqtt_codec::{PacketId, Version};

pub use self::connect::{Authentication, Credentials};
use self::connect::{Ghosts, Unanswered};
use self::control::Control;
pub use self::counters::Counters;
pub use self::disconnect::Disconnecting;
use self::disconnect::Draining;
pub use self::event::{AuthenticationStep, Availability, Connected, Event, PublishAck, Wanted};
use self::incoming::Incoming;
pub use self::options::{Offline, OnSessionLoss, Redirects, SessionOptions, Versions, WhenFull};
use self::outgoing::Outgoing;
use self::phase::{Phase, Protocol};
use self::receive::Reading;
use self::recorded::{ChangeNumber, Recorded};
use self::subscriptions::Subscriptions;
pub use self::write::WRITE_BYTES;
use crate::outbox::{OutboxChange, OutboxError, Stored};
use crate::{ConnectionError, Ended, Instant, Message};

/// Seeded by chance: a server that chooses keys cannot make them collide.
type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::RandomState>;

/// An accepted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublishId(pub(crate) u64);

/// A subscription: one or more topic filters with one reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub(crate) u32);

/// A received message of QoS 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(pub(crate) u64);

impl DeliveryId {
    /// The packet identifier that the message came with.
    #[must_use]
    pub const fn packet_id(self) -> Option<PacketId> {
        // It is in the lowest bits, below a number that makes this one unique.
        let [low, high, ..] = self.0.to_le_bytes();
        PacketId::new(u16::from_le_bytes([low, high]))
    }
}

/// A client session: see the [module](self).
#[derive(Debug)]
pub struct Session {
    options: SessionOptions,
    dice: Rng,
    phase: Phase,
    protocol: Protocol,
    /// What the server calls us; ours, or assigned by it.
    client_id: String,
    /// How many attempts in a row have not led to a connection that lasted.
    attempt: u32,
    unanswered: Unanswered,
    ghosts: Ghosts,
    /// The server to go to next, if another one has named it.
    redirect: Option<Arc<str>>,
    outgoing: Outgoing,
    incoming: Incoming,
    subscriptions: Subscriptions,
    control: Control,
    recorded: Recorded,
    /// The change that tells the outbox of this session. A SUBSCRIBE waits for it: without one no message
    /// comes whose packet identifier could be taken for one of the session before.
    begun: ChangeNumber,
    /// While there is a connection: the change that tells the outbox that messages are sent. Those wait for it.
    sending: Option<ChangeNumber>,
    draining: Option<Draining>,
    undelivered: Vec<(PublishId, Message)>,
    reading: Reading,
    events: VecDeque<Event>,
    counters: Counters,
}

impl Session {
    /// A session that wants its first connection at once. `seed` is for the jitter of delays, and for a
    /// client identifier where one has to be made up.
    #[must_use]
    pub fn new(options: SessionOptions, seed: u64, now: Instant) -> Self {
        let protocol = Protocol::new(options.versions);
        Self {
            dice: Rng::with_seed(seed),
            phase: Phase::Waiting { until: now },
            protocol,
            client_id: options.client_id.clone(),
            attempt: 0,
            unanswered: Unanswered::No,
            ghosts: Ghosts::default(),
            redirect: None,
            outgoing: Outgoing::new(&options),
            incoming: Incoming::default(),
            subscriptions: Subscriptions::default(),
            control: Control::default(),
            recorded: Recorded::default(),
            begun: ChangeNumber::default(),
            sending: None,
            draining: None,
            undelivered: Vec::new(),
            reading: Reading::Wanted,
            events: VecDeque::new(),
            counters: Counters::default(),
            options,
        }
    }

    /// Takes over what an outbox has kept, and records all changes for it from now on.
    ///
    /// To be called before the first connection.
    pub fn restore(&mut self, stored: Stored) {
        self.recorded.begin();
        match stored.client_id {
            Some(kept) if self.client_id.is_empty() || self.client_id == *kept => {
                self.client_id = kept.as_ref().to_owned();
                self.incoming.restore(stored.received);
            }
            // What was received was for another client identifier, whose sessions are others.
            Some(_) | None if !self.client_id.is_empty() => {
                let client_id = self.client_id.as_str().into();
                self.begun = self
                    .recorded
                    .urgent(|| OutboxChange::NewSession { client_id });
            }
            Some(_) | None => {}
        }
        let sending_below = stored.sending_below;
        self.outgoing.restore(
            stored.outgoing,
            sending_below,
            self.options.in_flight_max(Version::V5),
        );
        // What is accepted from here on is not sent before there is a connection.
        self.record_unsent();
        if stored.connecting {
            self.unanswered = Unanswered::Connect;
            self.recorded.lazy(|| OutboxChange::Connecting);
        }
    }

    /// What is wanted of the transport now.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        match &self.phase {
            Phase::Waiting { .. } => Wanted::Nothing,
            Phase::Opening => Wanted::Open(self.redirect.clone()),
            Phase::Connecting(_) | Phase::Connected(_) => Wanted::Connection,
            // [MQTT-3.14.4-2] [MQTT-4.13.2-1]
            Phase::Closing(_) => Wanted::Close,
            Phase::Ended(_) => Wanted::End,
        }
    }

    /// What has happened and was not asked for yet.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The changes that the outbox does not know yet; none without an outbox. What
    /// [`write`](Self::write) gives never promises more than was committed.
    pub fn take_changes(&mut self) -> Vec<OutboxChange> {
        self.recorded.take()
    }

    /// True if something waits for the changes to be committed. Else they may wait a little for more.
    #[must_use]
    pub fn has_urgent_changes(&self) -> bool {
        self.recorded.is_urgent()
    }

    /// What became of the changes taken last. A failure ends the client: nothing more may be promised.
    /// `[MQTT-4.8.0-2] of 3.1.1`
    pub fn handle_committed(&mut self, now: Instant, result: Result<(), OutboxError>) {
        match result {
            Ok(()) => {
                let durable = self.recorded.committed();
                for id in self.outgoing.stored(durable) {
                    self.events.push_back(Event::Stored { id });
                }
            }
            Err(error) => self.end(now, Ended::Outbox(error)),
        }
    }

    /// What was agreed on with the server; `None` without a connection.
    #[must_use]
    pub fn connected(&self) -> Option<&Arc<Connected>> {
        match &self.phase {
            Phase::Connected(link) => Some(&link.agreed),
            Phase::Waiting { .. }
            | Phase::Opening
            | Phase::Connecting(_)
            | Phase::Closing(_)
            | Phase::Ended(_) => None,
        }
    }

    /// Why the client has ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<&Ended> {
        match &self.phase {
            Phase::Ended(ended) => Some(ended),
            Phase::Waiting { .. }
            | Phase::Opening
            | Phase::Connecting(_)
            | Phase::Connected(_)
            | Phase::Closing(_) => None,
        }
    }

    /// Counts of what was done, and how much is under way.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            queued: self.outgoing.waiting_len() as u64,
            in_flight: self.outgoing.in_flight_len() as u64,
            unacknowledged: self.incoming.unacknowledged() as u64,
            unclaimed: self.incoming.unclaimed() as u64,
            ..self.counters
        }
    }

    /// When [`handle_deadline`](Self::handle_deadline) is to be called, if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let draining = self.draining.as_ref().map(|draining| draining.until);
        let phase = self.phase.deadline(self.wants_to_read());
        let expiry = self.outgoing.next_expiry();
        [draining, phase, expiry, self.trial_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due. May be called at any time.
    pub fn handle_deadline(&mut self, now: Instant) {
        for id in self.outgoing.expire(now, &mut self.recorded) {
            self.published(id, Err(crate::Error::Expired));
        }
        self.outgoing_has_room();
        if self
            .draining
            .as_ref()
            .is_some_and(|draining| draining.until <= now)
        {
            self.stop_draining(now);
            return;
        }
        match &self.phase {
            Phase::Waiting { until } if *until <= now => self.phase = Phase::Opening,
            Phase::Connecting(connecting) if connecting.deadline <= now => {
                self.lose(now, ConnectionError::ConnectTimeout);
            }
            Phase::Connected(_) => {
                self.end_trial(now);
                self.keep_alive(now);
            }
            Phase::Waiting { .. }
            | Phase::Opening
            | Phase::Connecting(_)
            | Phase::Closing(_)
            | Phase::Ended(_) => {}
        }
    }
}
