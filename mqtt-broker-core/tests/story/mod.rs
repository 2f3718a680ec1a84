//! Random clients on a broker whose disk is slow, and which crashes: whatever happens, what was
//! promised is kept.
//!
//! Each seed is a short story: clients of all versions connect, drop their connections at any point,
//! take each other over, subscribe, publish, acknowledge late, while commits are held, fail, or are
//! lost in a crash. In the end all come back, and it is looked whether
//!
//! * every QoS 1 or 2 message that was acknowledged has reached all sessions that were subscribed
//!   all the time,
//! * QoS 2 messages came exactly once, QoS 0 messages at most once,
//! * the messages of a topic came in the order in which the broker took them, to all,
//! * session present was true where it was said,
//! * what was sent again had the packet identifier that it had.
//!
//! The clients of the world look for the last two, and for all that a client may expect of a server.
//! `SIMULATE_SEEDS` is how many stories are told; `SIMULATE_SEED` tells one of them aloud.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use mqtt_broker_core::store::SessionStore;
use mqtt_broker_core::store::testkit::FlakyStore;
use mqtt_broker_core::{Instant, Limits, Settings};
use mqtt_codec::{
    Disconnect, Packet, Properties, Property, QoS, ReasonCode, SubscriptionOptions, TopicFilter,
    TopicName, Version,
};

use crate::world::{Client, Crash, Hello, LegalStore, Post, World, hello, post};

const TOPICS: [&str; 4] = ["t/a", "t/b", "u", "s/x"];
const FILTERS: [&str; 6] = ["t/a", "t/+", "t/#", "u", "+", "$share/g/s/x"];

/// A store that a story is told on.
pub(crate) trait Disk: SessionStore {
    /// The broker has crashed: the next one opens the store again.
    fn open_again(&self);
}

/// Tells the stories of so many seeds, each on an empty disk, or of as many as `SIMULATE_SEEDS` says.
pub(crate) fn tell_all<D: Disk>(seeds: u64, disk: impl Fn(u64) -> Arc<D> + Sync) {
    if let Some(seed) = number("SIMULATE_SEED") {
        let seen = Story::new(seed, disk(seed), Telling::Aloud).run();
        return eprintln!("{seen:?}");
    }
    let seeds = number("SIMULATE_SEEDS").unwrap_or(seeds);
    let next = AtomicU64::new(0);
    let told = Mutex::new((Seen::default(), Vec::new()));
    let tell = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            let story = || Story::new(seed, disk(seed), Telling::Silently).run();
            let seen = catch_unwind(AssertUnwindSafe(story));
            let (all, failed) = &mut *told.lock().unwrap();
            match seen {
                Ok(seen) => all.add(&seen),
                Err(_) => {
                    eprintln!("SIMULATE_SEED={seed} shows this failure again");
                    failed.push(seed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        // Stories on a disk wait for it most of the time.
        for _ in 0..4 * std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(tell);
        }
    });
    let (seen, failed) = told.into_inner().unwrap();
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
    eprintln!("{seeds} stories: {seen:?}");
    // Stories in which nothing happens prove nothing.
    let least = seen.0.values().min().copied().unwrap_or(0);
    assert!(
        seen.0.len() == 9 && least * 5 >= seeds,
        "too quiet: {seen:?}"
    );
}

/// What has been looked at, and how often.
#[derive(Debug, Default)]
struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    Silently,
    Aloud,
}

/// A message, and what is known of it.
struct Message {
    topic: &'static str,
    qos: QoS,
    /// How often it was handed to the broker.
    sent: usize,
    acknowledged: bool,
    /// The clients, and their sessions, to whom it is owed once it is acknowledged.
    owed: BTreeSet<(usize, u32)>,
}

/// What is known about the session that the broker has of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Absent,
    /// It is there, and ends so many seconds after the loss of its connection.
    Present(u32),
    Nothing,
}

/// What the reference knows about a client.
struct Person {
    version: Version,
    session: Known,
    /// What its next CONNACK has to say.
    expected: Known,
    /// True from the CONNECT to the CONNACK.
    connecting: bool,
    /// Within which the connection was lost.
    lost: (Instant, Instant),
    /// True until the change of its session is durable.
    uncertain: bool,
    /// True if it must discard its session: it has lost its own side of it.
    must_clean: bool,
    /// Deliveries looked at.
    seen: usize,
    /// What came: by incarnation and message, how often with which QoS.
    came: BTreeMap<(u32, usize), [usize; 3]>,
    /// The last message of each topic that came for the first time, by incarnation.
    order: BTreeMap<(u32, String), usize>,
}

struct Story {
    random: Rng,
    world: World,
    flaky: Arc<FlakyStore>,
    /// The store that does not fail.
    sound: Arc<LegalStore>,
    people: Vec<Person>,
    messages: Vec<Message>,
    /// From 1, slow, to 10.
    disk_speed: u8,
    telling: Telling,
    seen: Seen,
}

impl Story {
    fn new(seed: u64, disk: Arc<impl Disk>, telling: Telling) -> Self {
        let mut random = Rng::with_seed(seed);
        let settings = Settings {
            limits: Limits {
                queue_page: random.usize(1..5),
                in_flight_max: random.u16(1..6),
                receive_maximum: u16::MAX,
                outbox_bytes_max: [60, 300, 100_000][random.usize(0..3)],
                routes_cached_max: random.usize(0..4),
                ..Limits::default()
            },
            seed,
            response_information: None,
        };
        let sound = Arc::new(LegalStore::new(disk.clone()));
        let flaky = Arc::new(FlakyStore::new(sound.clone()));
        let mut world = World::sharded(settings, flaky.clone(), 1 + seed as usize % 4);
        world.engines.slow = seed % 8 > 3;
        world.before_restart = Box::new(move || disk.open_again());
        let people = (0..random.usize(2..6)).map(|_| Person {
            version: Version::ALL[random.usize(0..3)],
            session: Known::Absent,
            expected: Known::Nothing,
            connecting: false,
            lost: (world.now, world.now),
            uncertain: false,
            must_clean: false,
            seen: 0,
            came: BTreeMap::new(),
            order: BTreeMap::new(),
        });
        let people: Vec<_> = people.collect();
        let mut story = Self {
            random,
            world,
            flaky,
            sound,
            people,
            messages: Vec::new(),
            disk_speed: 10,
            telling,
            seen: Seen::default(),
        };
        story.introduce();
        story
    }

    /// Everybody is there and connected, and has subscribed to something.
    fn introduce(&mut self) {
        for (index, person) in self.people.iter().enumerate() {
            let name = format!("client {index}");
            let client = Client::new(&name, hello(person.version));
            self.world.add(client);
        }
        for who in 0..self.people.len() {
            self.connect(who);
        }
        self.settle();
        for who in 0..self.people.len() {
            if self.world.is_connected(who) {
                self.subscribe(who);
            }
        }
        self.settle();
        self.disk_speed = [2, 5, 9, 10][self.random.usize(0..4)];
    }

    fn run(mut self) -> Seen {
        for _ in 0..self.random.usize(20..150) {
            self.step();
            self.tick();
        }
        self.end();
        self.seen
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.telling == Telling::Aloud {
            eprintln!("{}", what());
        }
    }

    fn somebody(&mut self) -> usize {
        self.random.usize(0..self.people.len())
    }

    /// Somebody does something.
    fn step(&mut self) {
        let who = self.somebody();
        let ready = self.world.is_connected(who) && self.world.clients[who].connack.is_some();
        match self.random.u8(0..100) {
            0..=3 => self.connect(who),
            4..=7 => self.lose(who),
            8 if ready => self.disconnect(who),
            9..=18 if ready => self.subscribe(who),
            19 | 20 if ready => self.unsubscribe(who),
            21..=60 if ready => {
                for _ in 0..self.random.u8(1..5) {
                    self.publish(who);
                }
            }
            61..=70 => {
                for _ in 0..self.random.u8(1..5) {
                    self.world.clients[who].acknowledge_next();
                }
                self.carry_in(who);
            }
            71..=74 => {
                let reads = self.random.bool();
                self.tell(|| format!("client {who} reads: {reads}"));
                self.world.set_reads(who, reads);
            }
            75..=80 => {
                let acknowledges = self.random.bool();
                self.tell(|| format!("client {who} acknowledges: {acknowledges}"));
                self.world.clients[who].acknowledges = acknowledges;
            }
            81 => self.wait(),
            82 => self.crash(),
            83 if self.random.bool() => {
                let commits = self.random.u32(0..3);
                self.tell(|| format!("the store fails after {commits} commits"));
                self.flaky.fail_after(commits);
            }
            84 if self.random.u8(0..4) == 0 => self.shut_down(),
            _ if !self.world.is_connected(who) => self.connect(who),
            _ => {}
        }
    }

    /// Some of what is under way arrives; what has arrived is looked at.
    fn tick(&mut self) {
        if self.disk() && self.world.start_commit() {
            self.tell(|| "a commit begins".to_owned());
        }
        if self.disk() && self.world.finish_commit() {
            self.tell(|| "a commit ends".to_owned());
        }
        if self.disk() && self.world.finish_load() {
            self.tell(|| "deliveries are read".to_owned());
        }
        for who in 0..self.people.len() {
            if self.random.u8(0..4) > 0 {
                self.carry_out(who);
                // Acknowledgements, and what is sent again.
                self.carry_in(who);
            }
        }
        if self.world.dead {
            self.seen.note("store failures");
            self.tell(|| "the store has failed".to_owned());
            self.restart();
        } else if self.world.is_durable() {
            for person in &mut self.people {
                person.uncertain = false;
            }
        }
    }

    /// True if the disk gets something done.
    fn disk(&mut self) -> bool {
        self.random.u8(0..10) < self.disk_speed
    }

    /// Hands the broker what the client has sent.
    fn carry_in(&mut self, who: usize) -> bool {
        if !self.world.is_connected(who) {
            return false;
        }
        for payload in std::mem::take(&mut self.world.clients[who].resent) {
            self.seen.note("messages published again");
            let number = parse(&payload);
            self.tell(|| format!("client {who} publishes {number} again"));
            let owed = self.subscribers(self.messages[number].topic);
            let message = &mut self.messages[number];
            message.sent += 1;
            message.owed.retain(|session| owed.contains(session));
        }
        self.world.carry_in(who)
    }

    fn carry_out(&mut self, who: usize) -> bool {
        let had_connack = self.world.clients[who].connack.is_some();
        let was_connected = self.world.is_connected(who);
        let busy = self.world.carry_out(who);
        for line in std::mem::take(&mut self.world.clients[who].log) {
            self.tell(|| format!("        client {who} gets {line}"));
        }
        if !had_connack && self.world.clients[who].connack.is_some() {
            self.connected(who);
        }
        if was_connected && !self.world.is_connected(who) {
            self.lost(who);
        }
        for taken in std::mem::take(&mut self.world.clients[who].taken) {
            let number = parse(&taken.payload);
            self.messages[number].acknowledged |= !taken.reason.is_failure();
        }
        while self.people[who].seen < self.world.clients[who].deliveries.len() {
            self.check_delivery(who);
        }
        busy
    }

    /// The reference's view of a message that has come.
    fn check_delivery(&mut self, who: usize) {
        let (client, person) = (&self.world.clients[who], &mut self.people[who]);
        let delivery = &client.deliveries[person.seen];
        person.seen += 1;
        let number = parse(&delivery.payload);
        let message = &self.messages[number];
        assert_eq!(delivery.topic, message.topic);
        assert!(delivery.qos <= message.qos, "{delivery:?}");
        if delivery.dup {
            self.seen.note("deliveries sent again");
        }
        // Retained messages are copies.
        if delivery.retain {
            self.seen.note("retained messages");
        }
        if delivery.retain || delivery.repeated {
            return;
        }
        let key = (client.incarnation, number);
        let came = person.came.entry(key).or_default();
        let first = came.iter().sum::<usize>() == 0;
        came[delivery.qos as usize] += 1;
        if delivery.qos == QoS::ExactlyOnce {
            self.seen.note("QoS 2 messages");
        }
        assert!(came[2] <= 1, "client {who}: QoS 2 message {number} again");
        assert!(
            came[0] <= message.sent,
            "client {who}: QoS 0 message {number} again"
        );
        // One that was sent to the broker again has two places in the order.
        if first && message.sent == 1 {
            let key = (client.incarnation, delivery.topic.clone());
            let last = person.order.insert(key, number);
            assert!(
                last.is_none_or(|last| last < number),
                "client {who}: {number} behind {last:?}"
            );
        }
    }

    fn connect(&mut self, who: usize) {
        self.lost(who);
        let person = &self.people[who];
        let mut hello = hello(person.version);
        let stays = self.random.u8(0..8) > 0;
        let clean = person.must_clean || self.random.u8(0..12) == 0;
        hello.clean_start = clean;
        if person.version == Version::V5 {
            hello.session_expiry = stays.then(|| [u32::MAX, 1000, 20][self.random.usize(0..3)]);
            hello.receive_maximum = self.random.bool().then(|| self.random.u16(1..5));
            hello.topic_alias_maximum = self.random.bool().then(|| self.random.u16(0..3));
        } else {
            hello.clean_start |= !stays;
        }
        if self.random.u8(0..4) == 0 {
            hello.will = Some(self.will(person.version));
        }
        self.connect_with(who, &hello);
    }

    fn connect_with(&mut self, who: usize, hello: &Hello) {
        self.tell(|| {
            let (clean, stays) = (hello.clean_start, hello.is_to_stay());
            format!("client {who} connects: clean {clean}, stays {stays}")
        });
        let name = self.world.clients[who].name.clone();
        self.world.open(&name, hello.clone());
        if self.random.u8(0..10) == 0 {
            // The connection breaks in the middle of the CONNECT.
            self.world.carry_in_some(who, self.random.usize(0..10));
            return self.world.lose(who);
        }
        let now = self.world.now;
        let person = &mut self.people[who];
        person.expected = if hello.clean_start {
            Known::Absent
        } else {
            person.expected_at(now)
        };
        // Unless the CONNACK says so.
        person.session = Known::Nothing;
        person.connecting = true;
        person.uncertain = true;
        if person.version == Version::V3_1 {
            // It will not be told whether there was a session.
            person.must_clean = true;
        }
        self.carry_in(who);
        if self.random.u8(0..10) == 0 {
            self.tell(|| format!("client {who} goes before the CONNACK"));
            self.lose(who);
        }
    }

    fn will(&mut self, version: Version) -> Post {
        let qos = QoS::from_number(self.random.u8(0..3)).unwrap();
        // When it is published is the broker's decision: it has no place in the order.
        let will = self.message("u", qos);
        self.messages.last_mut().unwrap().sent = 2;
        if version == Version::V5 && self.random.bool() {
            will.delay(self.random.u32(1..30))
        } else {
            will
        }
    }

    /// The client has got its CONNACK.
    fn connected(&mut self, who: usize) {
        let (client, person) = (&mut self.world.clients[who], &mut self.people[who]);
        let connack = client.connack.as_ref().unwrap();
        person.connecting = false;
        assert_eq!(connack.reason, ReasonCode::Success);
        let present = connack.session_present;
        if person.version == Version::V3_1 {
            person.must_clean = false;
        } else {
            match person.expected {
                Known::Absent => assert!(!present, "client {who}: there was no session"),
                Known::Present(_) => {
                    self.seen.note("sessions resumed");
                    assert!(present, "client {who}: there was a session");
                }
                Known::Nothing => {}
            }
        }
        person.session = if client.hello.is_to_stay() {
            Known::Present(client.hello.session_expiry.unwrap_or(u32::MAX))
        } else {
            Known::Absent
        };
        person.must_clean = false;
        // [MQTT-3.2.2-4]
        if present && !client.has_session {
            self.tell(|| format!("client {who} does not know this session"));
            self.people[who].must_clean = true;
            self.people[who].session = Known::Nothing;
            self.world.lose(who);
        }
    }

    /// The connection is lost, if there was one.
    fn lost(&mut self, who: usize) {
        let (now, person) = (self.world.now, &mut self.people[who]);
        if self.world.clients[who].connack.take().is_some() {
            person.lost = (now, now);
            person.uncertain = true;
        }
        // A session that is there the next time may be one that this connection has made.
        if std::mem::take(&mut person.connecting) {
            person.must_clean |= !matches!(person.expected, Known::Present(_));
        }
    }

    fn lose(&mut self, who: usize) {
        self.tell(|| format!("client {who} loses its connection"));
        self.lost(who);
        self.world.lose(who);
    }

    fn disconnect(&mut self, who: usize) {
        let person = &mut self.people[who];
        let expiry = match person.session {
            Known::Present(_) if person.version == Version::V5 => {
                [None, Some(0), Some(30)][self.random.usize(0..3)]
            }
            Known::Present(_) | Known::Absent | Known::Nothing => None,
        };
        person.session = match (expiry, person.session) {
            (Some(0), _) => Known::Absent,
            (Some(seconds), _) => Known::Present(seconds),
            (None, session) => session,
        };
        self.tell(|| format!("client {who} disconnects, session expiry {expiry:?}"));
        let properties = Properties::new(expiry.map(Property::SessionExpiryInterval)).unwrap();
        let reason = ReasonCode::Success;
        let packet = Packet::Disconnect(Disconnect { reason, properties });
        self.world.clients[who].send(&packet);
        self.carry_in(who);
        self.lost(who);
        self.world.lose(who);
        if expiry == Some(0) {
            // The client, too, is done with it.
            self.world.clients[who].hello.clean_start = true;
            self.world.clients[who].hello.session_expiry = None;
        }
    }

    fn subscribe(&mut self, who: usize) {
        let filter = FILTERS[self.random.usize(0..FILTERS.len())];
        let qos = QoS::from_number(self.random.u8(0..3)).unwrap();
        self.tell(|| format!("client {who} subscribes to {filter} at {qos:?}"));
        let options = SubscriptionOptions::of_qos(qos);
        self.world.clients[who].subscribe(&[(filter, options)], None);
        self.carry_in(who);
    }

    fn unsubscribe(&mut self, who: usize) {
        let filter = FILTERS[self.random.usize(0..FILTERS.len())];
        self.tell(|| format!("client {who} unsubscribes from {filter}"));
        self.world.clients[who].unsubscribe(&[filter]);
        self.carry_in(who);
    }

    fn publish(&mut self, who: usize) {
        let topic = TOPICS[self.random.usize(0..TOPICS.len())];
        let qos = QoS::from_number(self.random.u8(0..3)).unwrap();
        let mut post = self.message(topic, qos);
        post.retain = self.random.u8(0..8) == 0;
        let number = self.messages.len() - 1;
        self.tell(|| format!("client {who} publishes {number} to {topic} at {qos:?}"));
        let owed = self.subscribers(topic);
        let message = &mut self.messages[number];
        (message.owed, message.sent) = (owed, 1);
        self.world.clients[who].publish(post);
        self.carry_in(who);
    }

    /// A message that nobody has sent yet; its number is its payload.
    fn message(&mut self, topic: &'static str, qos: QoS) -> Post {
        self.messages.push(Message {
            topic,
            qos,
            sent: 0,
            acknowledged: false,
            owed: BTreeSet::new(),
        });
        post(topic, (self.messages.len() - 1).to_string()).qos(qos)
    }

    /// The sessions that have subscribed to a topic for certain, so that a message waits for them.
    fn subscribers(&self, topic: &str) -> BTreeSet<(usize, u32)> {
        let topic = TopicName::from_text(topic).unwrap();
        let matches = |(filter, qos): (&String, &QoS)| {
            let filter = TopicFilter::from_text(filter).unwrap();
            *qos > QoS::AtMostOnce && filter.share_name().is_none() && filter.matches(&topic)
        };
        let clients = self.world.clients.iter().enumerate();
        clients
            .filter(|(_, client)| client.subscribed.iter().any(matches))
            .map(|(index, client)| (index, client.incarnation))
            .collect()
    }

    fn wait(&mut self) {
        let seconds = [1, 5, 25, 2000][self.random.usize(0..4)];
        self.tell(|| format!("{seconds} seconds pass"));
        self.world.let_time_pass(Duration::from_secs(seconds));
    }

    fn crash(&mut self) {
        let crash = if self.random.bool() {
            Crash::BeforeCommit
        } else {
            Crash::AfterCommit
        };
        self.seen.note("crashes");
        self.tell(|| format!("the broker crashes: {crash:?}"));
        self.flaky = Arc::new(FlakyStore::new(self.sound.clone()));
        self.world.store = self.flaky.clone();
        self.world.crash(crash);
        self.crashed();
    }

    /// The store has failed, and with it the broker.
    fn restart(&mut self) {
        self.flaky = Arc::new(FlakyStore::new(self.sound.clone()));
        self.world.store = self.flaky.clone();
        self.world.restart();
        self.crashed();
    }

    fn crashed(&mut self) {
        for who in 0..self.people.len() {
            self.lost(who);
            let person = &mut self.people[who];
            person.lost.1 = self.world.now;
            if person.uncertain {
                person.session = Known::Nothing;
            }
        }
    }

    fn shut_down(&mut self) {
        self.tell(|| "the broker shuts down".to_owned());
        self.flaky = Arc::new(FlakyStore::new(self.sound.clone()));
        self.world.store = self.flaky.clone();
        self.world.shut_down();
        for who in 0..self.people.len() {
            self.carry_out(who);
        }
        self.world.restart();
        self.crashed();
    }

    /// Everybody comes back, reads, and acknowledges; then the books are checked.
    fn end(&mut self) {
        self.tell(|| "the end".to_owned());
        self.flaky = Arc::new(FlakyStore::new(self.sound.clone()));
        self.world.store = self.flaky.clone();
        for round in 0..2 {
            for who in 0..self.people.len() {
                self.come_back(who);
            }
            self.settle();
            if round == 0 {
                self.check_owed();
            }
        }
        // What has been acknowledged to the end does not come again.
        for (who, client) in self.world.clients.iter().enumerate() {
            assert!(client.outgoing.is_empty(), "client {who}: not acknowledged");
            assert!(
                client.unacknowledged.is_empty(),
                "client {who}: not released"
            );
        }
    }

    fn come_back(&mut self, who: usize) {
        self.lost(who);
        let person = &self.people[who];
        let mut hello = hello(person.version).stays();
        hello.clean_start = person.must_clean;
        self.world.clients[who].acknowledges = true;
        self.tell(|| format!("client {who} comes back"));
        let name = self.world.clients[who].name.clone();
        let now = self.world.now;
        let person = &mut self.people[who];
        person.expected = if hello.clean_start {
            Known::Absent
        } else {
            person.expected_at(now)
        };
        person.connecting = true;
        self.world.open(&name, hello);
    }

    /// Everything happens that can happen.
    fn settle(&mut self) {
        for _ in 0..1000 {
            let mut busy = false;
            for who in 0..self.people.len() {
                busy |= self.carry_in(who);
                busy |= self.carry_out(who);
            }
            busy |= self.world.start_commit();
            busy |= self.world.finish_commit();
            busy |= self.world.finish_load();
            if !busy {
                return;
            }
        }
        panic!("the story does not end");
    }

    fn check_owed(&mut self) {
        for (number, message) in self.messages.iter().enumerate() {
            if message.qos == QoS::AtMostOnce || !message.acknowledged {
                continue;
            }
            for (who, incarnation) in &message.owed {
                let (client, person) = (&self.world.clients[*who], &self.people[*who]);
                let came = person.came.contains_key(&(*incarnation, number));
                if client.incarnation == *incarnation {
                    self.seen.note("messages owed");
                }
                assert!(
                    came || client.incarnation != *incarnation,
                    "client {who} has not got message {number}, which was acknowledged"
                );
            }
            let shared = message.topic == "s/x" && message.sent == 1;
            if shared {
                let got = |person: &&Person| person.came.keys().any(|(_, other)| *other == number);
                let members = self.people.iter().filter(got).count();
                assert!(members <= 1, "{members} members have got message {number}");
                if members == 1 {
                    self.seen.note("shared messages");
                }
            }
        }
    }
}

impl Person {
    /// What a CONNACK at this moment has to say.
    fn expected_at(&self, now: Instant) -> Known {
        let Known::Present(expiry) = self.session else {
            return self.session;
        };
        let (earliest, latest) = self.lost;
        if expiry == u32::MAX || now < earliest.after_secs(expiry) {
            self.session
        } else if now > latest.after_secs(expiry) {
            Known::Absent
        } else {
            Known::Nothing
        }
    }
}

fn parse(payload: &[u8]) -> usize {
    String::from_utf8_lossy(payload).parse().unwrap()
}
