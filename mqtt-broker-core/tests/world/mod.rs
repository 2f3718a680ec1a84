//! Scripted clients against a real engine, with a clock that jumps and commits driven by hand.
//!
//! The world does what the driver does: it hands the engine whole packets, gives what is in the
//! outboxes to the clients, commits what has changed, reads what is wanted, asks the authority, and
//! tells the engine the time when something is due.
//!
//! ```text
//! let mut world = World::new();
//! world.connect("a", v5()).subscribe("t", QoS::AtLeastOnce);
//! world.connect("b", v5()).publish(post("t", "hi").qos(QoS::AtLeastOnce));
//! assert_eq!(world.received("a"), ["PUBLISH t hi q1 id1"]);
//! ```

#![allow(
    clippy::struct_excessive_bools,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "a client can be told many things, and a test looks for some of all packets"
)]

mod actor;
mod client;
mod describe;
mod engines;
mod legal;
mod script;
pub(crate) mod steps;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use mqtt_broker_core::authority::{AllowAll, Authority, Decision, Question};
use mqtt_broker_core::store::{Batch, SessionStore};
use mqtt_broker_core::{Input, Instant, Limits, Outbox, Peer, Read, Settings};
use mqtt_codec::{Connect, Cut, Packet, Version, cut};
use mqtt_store_memory::MemoryStore;

pub(crate) use self::actor::Actor;
pub(crate) use self::client::Client;
use self::engines::{Engines, Place};
pub(crate) use self::legal::LegalStore;
#[allow(unused_imports, reason = "not every test has all kinds of clients")]
pub(crate) use self::script::{Hello, Post, hello, post, text, v5, v31, v311};

/// Turns after which a world has to have come to rest.
const TURNS_MAX: usize = 100_000;

/// A broker and its clients.
pub(crate) struct World {
    pub(crate) engines: Engines,
    shards: usize,
    pub(crate) now: Instant,
    pub(crate) clients: Vec<Client>,
    settings: Settings,
    /// Of each client, by its place.
    links: Vec<Option<Link>>,
    pub(crate) store: Arc<dyn SessionStore>,
    authority: Box<dyn FnMut(Question) -> Option<Decision>>,
    commits_held: bool,
    loads_held: bool,
    /// The commit that is under way, and what is to be read after it.
    committing: Option<(Batch, Vec<(usize, Read)>)>,
    /// What has been read, and for which shard.
    loaded: VecDeque<(usize, Input<'static>)>,
    /// What happens between the end of a broker and the next one.
    pub(crate) before_restart: Box<dyn FnMut()>,
    /// True once the store has failed.
    pub(crate) dead: bool,
}

/// A connection, as the broker's side has it.
struct Link {
    place: Place,
    outbox: Arc<Outbox>,
    version: Option<Version>,
    /// What has come and was not handled yet.
    incoming: Vec<u8>,
    /// True while the authority is asked.
    asking: bool,
    /// False: what is written waits.
    reads: bool,
}

/// What becomes of the commit that is under way when the broker crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// It had not reached the disk.
    BeforeCommit,
    /// It had.
    AfterCommit,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    /// A broker that is spread over so many shards.
    pub(crate) fn spread(shards: usize) -> Self {
        let store = LegalStore::new(Arc::new(MemoryStore::default()));
        let settings = Settings {
            seed: 1,
            response_information: Some("answers/".to_owned()),
            ..Settings::default()
        };
        Self::sharded(settings, Arc::new(store), shards)
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let settings = Settings {
            limits,
            seed: 1,
            response_information: Some("answers/".to_owned()),
        };
        let store = LegalStore::new(Arc::new(MemoryStore::default()));
        Self::of(settings, Arc::new(store))
    }

    pub(crate) fn on(store: Arc<dyn SessionStore>) -> Self {
        let settings = Settings {
            seed: 1,
            ..Settings::default()
        };
        Self::of(settings, store)
    }

    pub(crate) fn of(settings: Settings, store: Arc<dyn SessionStore>) -> Self {
        Self::sharded(settings, store, super::SHARDS)
    }

    /// A broker with so many shards.
    pub(crate) fn sharded(settings: Settings, store: Arc<dyn SessionStore>, shards: usize) -> Self {
        let mut world = Self {
            engines: Engines::new(&settings, shards),
            shards,
            now: Instant::from_millis(1_700_000_000_000),
            clients: Vec::new(),
            settings,
            links: Vec::new(),
            store,
            authority: Box::new(|question| {
                Some(block_on(
                    AllowAll::default().decide(&Peer::default(), question),
                ))
            }),
            commits_held: false,
            loads_held: false,
            committing: None,
            loaded: VecDeque::new(),
            before_restart: Box::new(|| ()),
            dead: false,
        };
        world.restore();
        world
    }

    /// Who answers the engine's questions; `None` is no answer yet.
    pub(crate) fn authority(
        &mut self,
        authority: impl FnMut(Question) -> Option<Decision> + 'static,
    ) {
        self.authority = Box::new(authority);
    }

    /// Connects a client, over a transport of its own, and lets the world come to rest.
    pub(crate) fn connect(&mut self, name: &str, hello: Hello) -> Actor<'_> {
        let index = self.open(name, hello);
        self.run();
        Actor::new(self, index)
    }

    /// Lets a client open a connection and send its CONNECT, which nobody has read yet.
    pub(crate) fn open(&mut self, name: &str, hello: Hello) -> usize {
        let index = match self.find(name) {
            Some(index) => index,
            None => {
                self.add(Client::new(name, hello.clone()));
                self.clients.len() - 1
            }
        };
        self.lose(index);
        self.clients[index].connect(hello);
        self.link(index);
        index
    }

    /// A client that is not connected.
    pub(crate) fn add(&mut self, client: Client) {
        self.clients.push(client);
        self.links.push(None);
    }

    /// A transport for a client.
    fn link(&mut self, index: usize) {
        if self.dead {
            return;
        }
        let outbox = Arc::new(Outbox::default());
        let place = self.engines.open(self.now, outbox.clone());
        self.links[index] = Some(Link {
            place,
            outbox,
            version: None,
            incoming: Vec::new(),
            asking: false,
            reads: true,
        });
    }

    /// A client that is there.
    pub(crate) fn client(&mut self, name: &str) -> Actor<'_> {
        let index = self.index(name);
        Actor::new(self, index)
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.clients.iter().position(|client| client.name == name)
    }

    fn index(&self, name: &str) -> usize {
        self.find(name)
            .unwrap_or_else(|| panic!("there is no client {name}"))
    }

    /// Publishes, and lets the world come to rest.
    pub(crate) fn publish(&mut self, name: &str, post: Post) {
        self.client(name).publish(post);
    }

    /// The messages that have come since the last look.
    pub(crate) fn received(&mut self, name: &str) -> Vec<String> {
        let mut log = self.packets(name);
        log.retain(|line| line.starts_with("PUBLISH"));
        log
    }

    /// All that has come since the last look.
    pub(crate) fn packets(&mut self, name: &str) -> Vec<String> {
        self.run();
        let index = self.index(name);
        std::mem::take(&mut self.clients[index].log)
    }

    pub(crate) fn is_connected(&self, index: usize) -> bool {
        self.links[index].is_some()
    }

    /// The client's transport is gone, with what was under way on it.
    pub(crate) fn lose(&mut self, index: usize) {
        self.clients[index].sending.clear();
        if let Some(link) = self.links[index].take() {
            self.handle(link.place.shard, Input::Closed(link.place.id));
        }
    }

    pub(crate) fn set_reads(&mut self, index: usize, reads: bool) {
        if let Some(link) = &mut self.links[index] {
            link.reads = reads;
        }
    }

    /// Lets everything happen that can happen now.
    pub(crate) fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            let mut busy = false;
            for index in 0..self.clients.len() {
                busy |= self.carry_in(index);
                busy |= self.carry_out(index);
            }
            busy |= self.engines.receive_some(self.now);
            busy |= self.commit();
            if !busy {
                return self.check();
            }
        }
        panic!("the world does not come to rest");
    }

    /// What has to hold when everything has happened.
    fn check(&self) {
        if self.dead {
            return;
        }
        if self.links.iter().flatten().all(|link| link.reads) {
            let links = self.links.iter().flatten().count();
            let connections = self.engines.connections();
            if self.committing.is_none() && self.loaded.is_empty() {
                assert_eq!(connections, links, "a connection is left, or lost");
                assert_eq!(self.engines.held_bytes(), 0, "nothing waits for nothing");
            }
            assert!(connections <= links, "a connection is left");
        }
    }

    /// Hands the engine what a client has sent; false if it has sent nothing.
    pub(crate) fn carry_in(&mut self, index: usize) -> bool {
        let some = usize::MAX;
        self.carry_in_some(index, some)
    }

    /// The same with the first `count` bytes.
    pub(crate) fn carry_in_some(&mut self, index: usize, count: usize) -> bool {
        let (client, link) = (&mut self.clients[index], &mut self.links[index]);
        let Some(link) = link else { return false };
        if client.sending.is_empty() || link.asking || self.dead {
            return false;
        }
        let count = count.min(client.sending.len());
        link.incoming.extend(client.sending.drain(..count));
        self.batch(index);
        true
    }

    /// Hands all whole packets to the engine, up to a question to the authority; PUBLISH packets that
    /// have come one behind the other at once.
    fn batch(&mut self, index: usize) {
        let limits = self.settings.limits.clone();
        while let Some(link) = &mut self.links[index] {
            let max = if link.version.is_some() {
                limits.packet_bytes_max
            } else {
                limits.connect_bytes_max
            } as usize;
            let (Place { shard, id }, version) = (link.place, link.version.unwrap_or(Version::V5));
            let bytes = std::mem::take(&mut link.incoming);
            let mut rest = &bytes[..];
            let mut publishes = Vec::new();
            while let Ok(Cut::Whole(frame)) = cut(rest, max)
                && let Ok(Packet::Publish(publish)) = Packet::decode(frame, version)
            {
                publishes.push(publish);
                rest = &rest[frame.bytes.len()..];
            }
            if !publishes.is_empty() {
                link.incoming = rest.to_vec();
                self.handle(shard, Input::Publishes(id, &publishes));
                continue;
            }
            let frame = match cut(&bytes, max) {
                Ok(Cut::Whole(frame)) => frame,
                Ok(Cut::Incomplete(_)) => {
                    link.incoming = bytes;
                    return;
                }
                Err(error) => return self.handle(shard, Input::Malformed(id, error, None)),
            };
            link.incoming = bytes[frame.bytes.len()..].to_vec();
            match Packet::decode(frame, version) {
                Ok(packet) => {
                    if let Packet::Connect(connect) = &packet
                        && link.version.is_none()
                    {
                        link.version = Some(connect.version);
                        let client = connect.client_id.as_str();
                        link.place =
                            self.engines
                                .move_to(self.now, link.place, client, &link.outbox);
                    }
                    let Place { shard, id } = link.place;
                    self.handle(shard, Input::Packet(id, &packet));
                }
                Err(error) => self.handle(
                    shard,
                    Input::Malformed(id, error, Connect::peek_version(frame)),
                ),
            }
            if !self.ask(index) {
                return;
            }
        }
    }

    /// Puts the engine's question to the authority, if there is one; false if it does not answer yet.
    fn ask(&mut self, index: usize) -> bool {
        let Some(link) = &mut self.links[index] else {
            return true;
        };
        let Place { shard, id } = link.place;
        let Some((asked, question)) = self.engines.take_question(shard) else {
            return true;
        };
        assert_eq!(asked, id, "a question about another connection");
        match (self.authority)(question) {
            Some(decision) => self.handle(shard, Input::Decided(id, decision)),
            None => {
                link.asking = true;
                return false;
            }
        }
        true
    }

    /// Answers the question that is open about a client.
    pub(crate) fn decide(&mut self, name: &str, decision: Decision) {
        let index = self.index(name);
        let link = self.links[index].as_mut().unwrap();
        assert!(std::mem::take(&mut link.asking), "nobody was asked");
        let Place { shard, id } = link.place;
        self.handle(shard, Input::Decided(id, decision));
        self.batch(index);
        self.run();
    }

    /// Gives a client what is in its outbox; false if there is nothing.
    pub(crate) fn carry_out(&mut self, index: usize) -> bool {
        let Some(link) = self.links[index].as_mut().filter(|link| link.reads) else {
            return false;
        };
        let Place { shard, id } = link.place;
        let taken = link.outbox.take();
        let some = !taken.bytes.is_empty() || taken.closing;
        self.clients[index].receive(&taken.bytes);
        let wanted = link.outbox.written(taken.bytes);
        if taken.closing {
            self.links[index] = None;
            self.clients[index].closed();
        } else if wanted {
            self.handle(shard, Input::Written(id));
        }
        some || wanted
    }

    fn handle(&mut self, shard: usize, input: Input<'_>) {
        if !self.dead {
            self.engines.handle(self.now, shard, input);
        }
    }

    /// Commits and reads what there is; false if there is nothing.
    fn commit(&mut self) -> bool {
        let started = self.start_commit();
        let finished = !self.commits_held && self.finish_commit();
        let loaded = !self.loads_held && self.finish_load();
        started || finished || loaded
    }

    /// Takes what has changed and what is wanted, if nothing is under way.
    pub(crate) fn start_commit(&mut self) -> bool {
        if self.committing.is_some() || !self.loaded.is_empty() || self.dead {
            return false;
        }
        let reads = self.engines.take_reads();
        match self.engines.take_batch(self.now) {
            None if reads.is_empty() => return false,
            Some(batch) => self.committing = Some((batch, reads)),
            None => self.read(reads),
        }
        true
    }

    /// The commit that is under way is done, or has failed.
    pub(crate) fn finish_commit(&mut self) -> bool {
        let Some((batch, reads)) = self.committing.take() else {
            return false;
        };
        if block_on(self.store.commit(batch)).is_err() {
            self.engines.abort();
            self.dead = true;
            return true;
        }
        self.engines.committed();
        self.read(reads);
        true
    }

    fn read(&mut self, reads: Vec<(usize, Read)>) {
        for (shard, read) in reads {
            let input = match read {
                Read::Deliveries(load) => {
                    let after = Some(load.after);
                    let read = self.store.deliveries(&load.client, after, load.limit);
                    let deliveries = block_on(read).unwrap();
                    Input::Loaded(load, deliveries)
                }
                Read::Expiring { after } => {
                    Input::Expiring(block_on(self.store.expiring(after.as_ref(), 2)).unwrap())
                }
            };
            self.loaded.push_back((shard, input));
        }
    }

    /// Hands the engine what was read first.
    pub(crate) fn finish_load(&mut self) -> bool {
        let Some((shard, input)) = self.loaded.pop_front() else {
            return false;
        };
        self.handle(shard, input);
        true
    }

    pub(crate) fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    /// True if all changes are committed.
    pub(crate) fn is_durable(&self) -> bool {
        self.committing.is_none() && !self.engines.is_gathering()
    }

    /// From now on commits take for ever, as on a disk that hangs.
    pub(crate) fn hold_commits(&mut self) {
        self.commits_held = true;
    }

    /// Commits are done again; lets the world come to rest.
    pub(crate) fn release_commits(&mut self) {
        self.commits_held = false;
        self.run();
    }

    /// Only the commit that is under way is done.
    pub(crate) fn commit_once(&mut self) {
        assert!(self.finish_commit(), "no commit is under way");
        self.run();
    }

    /// From now on, what is read from the store does not come back.
    pub(crate) fn hold_loads(&mut self) {
        self.loads_held = true;
    }

    pub(crate) fn release_loads(&mut self) {
        self.loads_held = false;
        self.run();
    }

    /// Lets time pass, and what is due happen when it is.
    pub(crate) fn advance(&mut self, time: Duration) {
        self.run();
        self.pass(time, Self::run);
    }

    /// Lets time pass without anything else but what is due.
    pub(crate) fn let_time_pass(&mut self, time: Duration) {
        self.pass(time, |_| ());
    }

    fn pass(&mut self, time: Duration, between: impl Fn(&mut Self)) {
        let end = self.now + time;
        while let Some(deadline) = self.engines.deadline().filter(|deadline| *deadline <= end)
            && !self.dead
        {
            self.now = self.now.max(deadline);
            self.engines.handle_deadline(self.now);
            between(self);
        }
        self.now = end;
    }

    pub(crate) fn advance_secs(&mut self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }

    /// The broker shuts down.
    pub(crate) fn shut_down(&mut self) {
        if !self.dead {
            self.engines.shut_down(self.now);
        }
        self.run();
    }

    /// The broker's process is killed, what was not committed is lost, and a new one starts.
    pub(crate) fn crash_and_restart(&mut self) {
        self.crash(Crash::BeforeCommit);
    }

    pub(crate) fn crash(&mut self, crash: Crash) {
        if let Some((batch, _)) = self.committing.take()
            && crash == Crash::AfterCommit
        {
            block_on(self.store.commit(batch)).unwrap();
        }
        self.restart();
    }

    /// A new broker on what the store holds.
    pub(crate) fn restart(&mut self) {
        for link in &mut self.links {
            *link = None;
        }
        for client in &mut self.clients {
            client.sending.clear();
            client.forget_uncertain();
        }
        self.committing = None;
        self.loaded.clear();
        self.dead = false;
        let slow = self.engines.slow;
        self.engines = Engines::new(&self.settings, self.shards);
        self.engines.slow = slow;
        (self.before_restart)();
        self.restore();
    }

    fn restore(&mut self) {
        let mut after = None;
        loop {
            let page = block_on(self.store.sessions(after.as_ref(), 2)).unwrap();
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (client, stored) in page {
                self.engines.restore_session(self.now, client, stored);
            }
        }
        let mut after = None;
        loop {
            let page = block_on(self.store.retained(after.as_ref(), 2)).unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.topic());
            for message in page {
                self.engines.restore_retained(message);
            }
        }
    }
}

/// Waits for a future on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
