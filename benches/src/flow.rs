//! Flows: what is repeated and measured, each with all of its set-up behind it.

use std::fmt;

use mqtt_broker_core::Limits;
use mqtt_codec::{Disconnect, Packet, Publish, QoS, ReasonCode, Version};

use crate::engine::{Client, Lifetime, World, connect, prepared, publish, subscribe, unsubscribe};

/// 30 bytes, as topics are.
pub const TOPIC: &str = "factory/hall-7/press-12/torque";

/// Something that can be done any number of times, and leaves all as it was.
pub struct Flow {
    messages: u64,
    step: Box<dyn FnMut()>,
}

impl Flow {
    /// One that handles so many messages at a time.
    pub fn new(messages: u64, step: impl FnMut() + 'static) -> Self {
        Self {
            messages,
            step: Box::new(step),
        }
    }

    /// Messages, or other operations, that one step handles.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// Does it once.
    pub fn step(&mut self) {
        (self.step)();
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow")
            .field("messages", &self.messages)
            .finish_non_exhaustive()
    }
}

/// Messages from publishers to subscribers of one topic, through an engine.
#[derive(Clone, Debug)]
pub struct Publishing {
    /// Of all clients.
    pub version: Version,
    /// Of messages and subscriptions.
    pub qos: QoS,
    /// Of each message.
    pub payload_bytes: usize,
    /// How many clients publish.
    pub publishers: usize,
    /// How many clients subscribe.
    pub subscribers: usize,
    /// What they subscribe to.
    pub filter: &'static str,
    /// How many of them get each message.
    pub receivers: usize,
    /// Of the sessions of subscribers.
    pub lifetime: Lifetime,
    /// Messages that come from a publisher at a time.
    pub batch: u16,
}

impl Default for Publishing {
    /// One to one, 64 bytes at QoS 0, each message by itself.
    fn default() -> Self {
        Self {
            version: Version::V3_1_1,
            qos: QoS::AtMostOnce,
            payload_bytes: 64,
            publishers: 1,
            subscribers: 1,
            filter: TOPIC,
            receivers: 1,
            lifetime: Lifetime::Connection,
            batch: 1,
        }
    }
}

impl Publishing {
    /// Messages that arrive in one step.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.publishers as u64 * self.receivers as u64 * u64::from(self.batch)
    }

    /// The flow: in one step, each publisher publishes, all is acknowledged, and all outboxes are emptied.
    /// Its messages are those that arrive.
    ///
    /// # Panics
    /// If not as many arrive as should.
    #[must_use]
    pub fn flow(self) -> Flow {
        let mut crowd = Crowd::new(&self);
        let messages = self.messages() as usize;
        let before = crowd.world.drained_bytes();
        crowd.step();
        let bytes = crowd.world.drained_bytes() - before;
        let expected = messages * (self.payload_bytes + TOPIC.len());
        assert!(
            (expected..2 * expected).contains(&bytes),
            "{bytes} bytes instead of {messages} messages"
        );
        Flow::new(messages as u64, move || crowd.step())
    }
}

/// The clients of a flow.
struct Crowd {
    world: World,
    publishers: Vec<Client>,
    subscribers: Vec<Client>,
    batch: Vec<Publish<&'static [u8]>>,
    qos: QoS,
}

impl Crowd {
    fn new(publishing: &Publishing) -> Self {
        let Publishing {
            version,
            qos,
            payload_bytes,
            ..
        } = *publishing;
        let mut world = World::new();
        let publishers = (0..publishing.publishers)
            .map(|n| world.connect(&format!("publisher-{n}"), version, Lifetime::Connection))
            .collect();
        let subscribers: Vec<_> = (0..publishing.subscribers)
            .map(|n| world.connect(&format!("subscriber-{n}"), version, publishing.lifetime))
            .collect();
        for client in &subscribers {
            world.subscribe(client, &[publishing.filter.to_owned()], qos);
        }
        let batch = (1..=publishing.batch)
            .map(|id| prepared_publish(&publish(TOPIC, qos, id, payload_bytes), version))
            .collect();
        Self {
            world,
            publishers,
            subscribers,
            batch,
            qos,
        }
    }

    fn step(&mut self) {
        for publisher in &self.publishers {
            self.world.publish(publisher, &self.batch);
        }
        if self.qos == QoS::AtMostOnce {
            // Nobody answers.
            for subscriber in &self.subscribers {
                self.world.drain(subscriber);
            }
            return;
        }
        let mut busy = true;
        while busy {
            busy = false;
            for client in self.publishers.iter().chain(&self.subscribers) {
                busy |= self.world.converse(client);
            }
        }
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "all others are the same mistake"
)]
fn prepared_publish(packet: &Publish, version: Version) -> Publish<&'static [u8]> {
    match prepared(&Packet::Publish(packet.clone()), version) {
        Packet::Publish(publish) => publish,
        _ => unreachable!("a PUBLISH is one again"),
    }
}

/// How the filters of a matching bench are made.
#[derive(Clone, Copy, Debug)]
pub enum Filters {
    /// `site/7/device/1007/state`: no wildcards.
    Exact,
    /// `+/7/+/1007/+`: three levels of five are wildcards.
    Plus,
    /// `site/7/device/1007/#`: all begin differently, and end the same.
    Hash,
}

impl Filters {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Plus, Self::Hash];

    /// The name of its bench.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Plus => "+",
            Self::Hash => "#",
        }
    }

    fn filter(self, number: usize) -> String {
        let site = number % SITES;
        match self {
            Self::Exact => format!("site/{site}/device/{number}/state"),
            Self::Plus => format!("+/{site}/+/{number}/+"),
            Self::Hash => format!("site/{site}/device/{number}/#"),
        }
    }
}

/// What the second level of topics goes up to.
const SITES: usize = 100;
/// Topics in turn: four for each that is remembered.
const COLD_TOPICS: usize = 1000;

/// A broker with many filters, of which each topic has one.
#[derive(Debug)]
pub struct Matching {
    world: World,
    publisher: Client,
    subscriber: Client,
    packets: Vec<Publish<&'static [u8]>>,
    next: usize,
}

impl Matching {
    /// The flow whose topic is always the same: the engine remembers who gets it.
    #[must_use]
    pub fn cached(kind: Filters, filters: usize) -> Flow {
        Self::new(kind, filters, 1, &Limits::default()).flow()
    }

    /// The flow whose topics are so many that the engine has forgotten each when it comes again.
    #[must_use]
    pub fn cold(kind: Filters, filters: usize) -> Flow {
        let limits = Limits {
            routes_cached_max: COLD_TOPICS / 4,
            ..Limits::default()
        };
        Self::new(kind, filters, COLD_TOPICS.min(filters), &limits).flow()
    }

    fn new(kind: Filters, filters: usize, topics: usize, limits: &Limits) -> Self {
        let mut world = World::with(limits);
        let version = Version::V3_1_1;
        let publisher = world.connect("publisher", version, Lifetime::Connection);
        let subscriber = world.connect("subscriber", version, Lifetime::Connection);
        let list: Vec<_> = (0..filters).map(|number| kind.filter(number)).collect();
        world.subscribe(&subscriber, &list, QoS::AtMostOnce);
        let devices = (0..topics).map(|topic| topic * (filters / topics));
        let packets = devices.map(|device| {
            let topic = format!("site/{}/device/{device}/state", device % SITES);
            prepared_publish(&publish(&topic, QoS::AtMostOnce, 1, 16), version)
        });
        Self {
            world,
            publisher,
            subscriber,
            packets: packets.collect(),
            next: 0,
        }
    }

    fn flow(mut self) -> Flow {
        for _ in 0..self.packets.len() {
            assert!(self.step() > 0, "each topic has a receiver");
        }
        Flow::new(1, move || {
            self.step();
        })
    }

    /// A message on the next topic, and how many bytes arrive.
    fn step(&mut self) -> usize {
        let Self {
            world,
            publisher,
            subscriber,
            packets,
            next,
        } = self;
        if let Some(packet) = packets.get(*next) {
            world.publish(publisher, std::slice::from_ref(packet));
        }
        *next = (*next + 1) % packets.len();
        world.drain(subscriber)
    }
}

/// A client connects and disconnects.
#[must_use]
pub fn connecting() -> Flow {
    let version = Version::V3_1_1;
    let mut world = World::new();
    let connect = prepared(&connect("press-12", version, Lifetime::Connection), version);
    let disconnect = Packet::Disconnect(Disconnect::new(ReasonCode::Success));
    Flow::new(1, move || {
        let client = world.open(version);
        world.send(&client, &connect);
        assert!(world.drain(&client) > 0, "there is a CONNACK");
        world.send(&client, &disconnect);
        world.close(&client);
    })
}

/// PINGREQ and PINGRESP.
#[must_use]
pub fn pinging() -> Flow {
    let mut world = World::new();
    let client = world.connect("press-12", Version::V3_1_1, Lifetime::Connection);
    Flow::new(1, move || {
        world.send(&client, &Packet::PingReq);
        assert!(world.drain(&client) == 2, "there is a PINGRESP");
    })
}

/// A message is retained in place of another, and a client subscribes to it, gets it, and unsubscribes.
#[must_use]
pub fn retaining() -> Flow {
    let version = Version::V3_1_1;
    let mut world = World::new();
    let publisher = world.connect("publisher", version, Lifetime::Connection);
    let subscriber = world.connect("subscriber", version, Lifetime::Connection);
    let mut packet = prepared_publish(&publish(TOPIC, QoS::AtMostOnce, 1, 64), version);
    packet.retain = true;
    let subscribe = prepared(&subscribe(&[TOPIC.to_owned()], QoS::AtMostOnce), version);
    let unsubscribe = prepared(&unsubscribe(TOPIC), version);
    Flow::new(1, move || {
        world.publish(&publisher, std::slice::from_ref(&packet));
        world.send(&subscriber, &subscribe);
        assert!(world.drain(&subscriber) > 64, "it is replayed");
        world.send(&subscriber, &unsubscribe);
        world.drain(&subscriber);
    })
}
