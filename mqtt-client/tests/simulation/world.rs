//! What happens, drawn from a seed, and what has to hold at the end.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use mqtt_broker_core::Limits;
use mqtt_client::session::{Offline, SessionOptions, Versions, WhenFull};
use mqtt_client::{Error, Instant, QoS, Version};

use super::broker::{Broker, Link};
use super::client::Client;
use super::wire::Wire;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    Keep,
    Print,
}

/// Bytes under way, with the moment of their arrival.
type Pipe = VecDeque<(u64, Vec<u8>)>;

/// A connection between a client and the broker.
struct Path {
    link: Link,
    up: Pipe,
    down: Pipe,
    /// The broker closes behind what is under way.
    is_closing: bool,
}

pub(crate) struct World {
    now: u64,
    dice: Rng,
    log: Log,
    broker: Broker,
    clients: Vec<Client>,
    wires: Vec<Wire>,
    paths: Vec<Option<Path>>,
    /// True while connections are cut, and brokers killed.
    is_rough: bool,
    /// True if the broker has lost what it had.
    has_lost: bool,
    losses_allowed: bool,
}

const START: u64 = 1_700_000_000_000;
const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
const TOPICS: [&str; 3] = ["t/long/enough/for/an/alias", "t/1", "u"];
const FILTERS: [&str; 4] = ["#", "t/#", "t/1", "+/1"];

impl World {
    pub(crate) fn play(seed: u64, log: Log) {
        let mut world = Self::new(seed, log);
        let steps = world.dice.usize(50..600);
        for _ in 0..steps {
            world.step();
        }
        world.heal();
        world.check();
    }

    fn new(seed: u64, log: Log) -> Self {
        let mut dice = Rng::with_seed(seed);
        let now = START;
        // Clients of 3.1.1 cannot be told, and are closed if they send more.
        let receive_maximum = dice.u16(1..20);
        let limits = Limits {
            receive_maximum,
            ..Limits::default()
        };
        let count = dice.usize(1..4);
        let clients = (0..count)
            .map(|number| {
                let options = options(&mut dice, number, receive_maximum);
                let has_outbox = options.session_expiry.is_some() && dice.bool();
                Client::new(format!("c{number}"), options, has_outbox, now, dice.u64(..))
            })
            .collect();
        Self {
            now,
            log,
            broker: Broker::new(limits),
            clients,
            wires: (0..count).map(|_| Wire::default()).collect(),
            paths: (0..count).map(|_| None).collect(),
            is_rough: true,
            has_lost: false,
            losses_allowed: dice.u8(..4) == 0,
            dice,
        }
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.log == Log::Print {
            println!("{:>8} {}", self.now - START, what());
        }
    }

    fn step(&mut self) {
        let index = self.dice.usize(..self.clients.len());
        let now = self.now;
        let client = &mut self.clients[index];
        match self.dice.u32(..100) {
            0..=29 => {
                let (topic, qos) = (TOPICS[self.dice.usize(..3)], QOS[self.dice.usize(..3)]);
                for _ in 0..self.dice.usize(1..5) {
                    client.publish(now, topic, qos);
                }
                self.say(|| format!("c{index} publishes to {topic} at {qos:?}"));
            }
            30..=34 => {
                let (filter, qos) = (FILTERS[self.dice.usize(..4)], QOS[self.dice.usize(..3)]);
                client.subscribe(now, filter, qos);
                self.say(|| format!("c{index} subscribes to {filter} at {qos:?}"));
            }
            35 => {
                client.unsubscribe(now, &mut self.dice);
                self.say(|| format!("c{index} unsubscribes"));
            }
            36..=55 => {
                let at_once = self.dice.bool();
                client.take(now, at_once);
            }
            56..=63 => client.acknowledge_one(now, &mut self.dice),
            64..=66 => self.cut(index),
            67 => {
                self.broker_restarts();
            }
            68 if self.dice.u8(..4) == 0 => {
                if self.clients[index].outbox.is_some() {
                    self.say(|| format!("c{index} is killed"));
                    self.lose_path(index);
                    let seed = self.dice.u64(..);
                    self.clients[index].restart(now, seed);
                }
            }
            _ => {
                let longest = if self.dice.u8(..10) == 0 { 20_000 } else { 200 };
                self.now += self.dice.u64(..longest);
            }
        }
        self.run();
    }

    fn broker_restarts(&mut self) {
        for index in 0..self.clients.len() {
            self.cut(index);
        }
        if self.losses_allowed && self.dice.bool() {
            self.say(|| "the broker loses everything".to_owned());
            self.broker.lose_all(self.now);
            self.has_lost = true;
        } else {
            self.say(|| "the broker is killed".to_owned());
            self.broker.restart(self.now);
        }
    }

    /// Cuts a connection: some of what is under way arrives, and the end of it is anywhere.
    fn cut(&mut self, index: usize) {
        let Some(mut path) = self.paths[index].take() else {
            return;
        };
        self.say(|| format!("c{index} is cut off"));
        let up: Vec<u8> = path.up.drain(..).flat_map(|(_, bytes)| bytes).collect();
        let down: Vec<u8> = path.down.drain(..).flat_map(|(_, bytes)| bytes).collect();
        let up = &up[..self.dice.usize(..=up.len())];
        let down = &down[..self.dice.usize(..=down.len())];
        self.give_broker(index, &mut path, up);
        self.broker.close(self.now, &path.link);
        self.broker.commit(self.now);
        self.give_client(index, down);
        self.clients[index].closed(self.now);
    }

    fn lose_path(&mut self, index: usize) {
        if let Some(path) = self.paths[index].take() {
            self.broker.close(self.now, &path.link);
            self.broker.commit(self.now);
        }
    }

    fn give_broker(&mut self, index: usize, path: &mut Path, bytes: &[u8]) {
        let (wire, client) = (&mut self.wires[index], &self.clients[index]);
        let before = wire.acknowledged.len();
        let (log, at) = (self.log, self.now - START);
        self.broker
            .receive(self.now, &mut path.link, bytes, |packet| {
                if log == Log::Print {
                    println!("{at:>8} c{index} -> {packet:?}");
                }
                wire.client_sends(packet);
            });
        for text in &wire.acknowledged[before..] {
            let is_seen = client.seen.contains(text) || client.has_given_up || client.restarts > 0;
            assert!(
                is_seen,
                "{} acknowledged {text}, which nobody took",
                client.name
            );
        }
    }

    fn give_client(&mut self, index: usize, bytes: &[u8]) {
        let client = &mut self.clients[index];
        client.inbox.extend_from_slice(bytes);
        client
            .session
            .handle_received(Instant::from_millis(self.now), &mut client.inbox);
        client.events();
    }

    /// Lets everything happen that can happen now.
    fn run(&mut self) {
        for _ in 0..10_000 {
            let mut is_busy = false;
            self.broker.pass(self.now);
            for index in 0..self.clients.len() {
                is_busy |= self.turn(index);
            }
            self.broker.commit(self.now);
            if !is_busy {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    fn turn(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        client.pass(self.now);
        if !self.is_rough || self.dice.u8(..3) > 0 {
            client.commit(self.now);
        }
        let Some(mut path) = self.paths[index].take() else {
            return self.connect(index);
        };
        let mut is_busy = self.send(index, &mut path);
        is_busy |= self.carry(index, &mut path);
        let client = &mut self.clients[index];
        let wanted = client.session.wanted();
        let is_over = path.is_closing && path.down.is_empty();
        let is_left = !matches!(
            wanted,
            mqtt_client::session::Wanted::Connection | mqtt_client::session::Wanted::Close
        );
        let is_closed = wanted == mqtt_client::session::Wanted::Close && path.up.is_empty();
        if is_over || is_left || is_closed {
            self.broker.close(self.now, &path.link);
            self.clients[index].closed(self.now);
            return true;
        }
        self.paths[index] = Some(path);
        is_busy
    }

    fn connect(&mut self, index: usize) -> bool {
        if !self.clients[index].wants_transport() {
            return false;
        }
        let link = self.broker.open(self.now);
        self.wires[index].connected();
        self.clients[index].opened(self.now);
        self.paths[index] = Some(Path {
            link,
            up: Pipe::new(),
            down: Pipe::new(),
            is_closing: false,
        });
        true
    }

    /// What each side writes goes under way.
    fn send(&mut self, index: usize, path: &mut Path) -> bool {
        let mut bytes = Vec::new();
        let client = &mut self.clients[index];
        client
            .session
            .write(Instant::from_millis(self.now), &mut bytes);
        client.events();
        let is_up = !bytes.is_empty();
        if is_up {
            path.up.push_back((self.arrival(&path.up), bytes));
        }
        let sent = self.broker.take(self.now, &path.link);
        path.is_closing |= sent.is_closing;
        let is_down = !sent.bytes.is_empty();
        let (log, at) = (self.log, self.now - START);
        if is_down {
            self.wires[index].broker_sends(&sent.bytes, |packet| {
                if log == Log::Print {
                    println!("{at:>8} c{index} <- {packet:?}");
                }
            });
            path.down.push_back((self.arrival(&path.down), sent.bytes));
        }
        is_up || is_down
    }

    /// When bytes that are sent now arrive: not before those that were sent earlier.
    fn arrival(&mut self, pipe: &Pipe) -> u64 {
        let delay = if self.is_rough {
            self.dice.u64(..50)
        } else {
            1
        };
        let earliest = pipe.back().map_or(0, |(at, _)| *at);
        (self.now + delay).max(earliest)
    }

    /// What is due arrives.
    fn carry(&mut self, index: usize, path: &mut Path) -> bool {
        let mut is_busy = false;
        while path.up.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, bytes) = path.up.pop_front().unwrap();
            self.give_broker(index, path, &bytes);
            is_busy = true;
        }
        while path.down.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, bytes) = path.down.pop_front().unwrap();
            self.give_client(index, &bytes);
            is_busy = true;
        }
        is_busy
    }

    /// The network is good now: everything gets done.
    fn heal(&mut self) {
        self.say(|| "from here on, all is well".to_owned());
        self.is_rough = false;
        for _ in 0..20_000 {
            for client in &mut self.clients {
                while !client.queue.is_empty() {
                    client.take(self.now, true);
                }
                while !client.held.is_empty() {
                    client.acknowledge_one(self.now, &mut self.dice);
                }
            }
            self.run();
            if self.clients.iter().all(Client::is_at_rest) {
                return;
            }
            self.now += 5;
        }
        let left: Vec<_> = self
            .clients
            .iter()
            .map(|client| client.session.counters())
            .collect();
        panic!(
            "something is never done: {left:?} {:?}",
            self.clients[0].session
        );
    }

    fn check(&self) {
        for (client, wire) in self.clients.iter().zip(&self.wires) {
            for accepted in &client.accepted {
                self.check_message(client, wire, accepted);
            }
            for qos in QOS {
                wire.check_order(qos);
            }
        }
    }

    fn check_message(&self, client: &Client, wire: &Wire, accepted: &super::client::Accepted) {
        let (text, arrivals) = (&accepted.text, wire.arrivals(&accepted.text));
        // A process that is killed does not know whether its CONNECT was taken.
        let at_most = match accepted.qos {
            QoS::AtLeastOnce => u32::MAX,
            QoS::ExactlyOnce if client.restarts > 0 && self.has_lost => u32::MAX,
            QoS::AtMostOnce | QoS::ExactlyOnce => 1,
        };
        assert!(arrivals <= at_most, "{text} arrived {arrivals} times");
        match &accepted.result {
            Some(Ok(())) if accepted.qos != QoS::AtMostOnce => {
                assert!(arrivals >= 1, "{text} was acknowledged and did not arrive");
            }
            // In the network's hands.
            Some(Ok(())) => {}
            Some(Err(Error::DeliveryUnknown)) => {
                assert_eq!(accepted.qos, QoS::ExactlyOnce, "{text} is unknown");
            }
            Some(Err(Error::Poison)) => {}
            Some(Err(error)) => panic!("{text}: {error}"),
            None => {
                assert!(client.restarts > 0, "{text} has no result");
                let must_arrive = accepted.is_stored && !self.has_lost && !client.has_failed_kept;
                if must_arrive && accepted.qos == QoS::AtLeastOnce {
                    assert!(arrivals >= 1, "{text} was stored and did not arrive");
                }
            }
        }
    }
}

fn options(dice: &mut Rng, number: usize, receive_maximum: u16) -> SessionOptions {
    let mut options = SessionOptions::default();
    options.client_id = format!("c{number}");
    options.versions = match dice.u8(..3) {
        0 => Versions::Only(Version::V3_1_1),
        1 => Versions::Only(Version::V5),
        _ => Versions::Newest,
    };
    options.session_expiry = dice.bool().then_some(Duration::from_secs(100_000));
    options.receive_maximum = dice.u16(1..20);
    options.in_flight_max = Some(match options.versions {
        Versions::Only(Version::V5) => dice.u16(1..50),
        Versions::Only(_) | Versions::Newest => dice.u16(1..=receive_maximum),
    });
    options.topic_aliases_used_max = dice.u16(..3);
    options.topic_alias_maximum = dice.u16(..3);
    options.offline_qos0 = if dice.bool() {
        Offline::Queue
    } else {
        Offline::Refuse
    };
    options.when_full = WhenFull::Reject;
    options.keep_alive = dice.u16(..30);
    options
}
