//! Any sequence of steps, whatever sense it makes: nothing panics, and what has to hold holds.

use arbitrary::{Arbitrary, Unstructured};
use mqtt_broker_core::authority::{AllowAll, Authority, Decision, Question};
use mqtt_broker_core::store::testkit::FlakyStore;
use mqtt_codec::{
    Ack, Disconnect, Packet, PacketId, Properties, Property, QoS, ReasonCode, RetainHandling,
    SubscriptionOptions, Version,
};

use super::*;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// A client's own identifier, one that all share, or the broker's choice.
const IDS: [Option<&str>; 4] = [None, None, Some("same"), Some("")];
const TOPICS: [&str; 6] = ["t", "t/a", "t/b", "u", "$x", "/"];
const FILTERS: [&str; 8] = [
    "t",
    "t/+",
    "t/#",
    "#",
    "+",
    "$share/g/t",
    "$share/g/#",
    "$x/#",
];
const VERSIONS: [Version; 4] = [Version::V3_1, Version::V3_1_1, Version::V5, Version::V5];

/// Something that happens. Numbers stand for whatever there is of a kind, over and over.
#[derive(Arbitrary, Clone, Debug)]
enum Step {
    Connect(u8, Greeting),
    Lose(u8),
    Publish(u8, Parcel),
    Subscribe(u8, u8, Wishes, u8),
    Unsubscribe(u8, u8),
    /// An acknowledgement that is due.
    Acknowledge(u8, u8),
    /// One that may never have been.
    StrayAck(u8, u8, u16, u8),
    Disconnect(u8, u8, Option<u32>),
    Ping(u8),
    Authenticate(u8, bool, u8),
    Bytes(u8, Vec<u8>),
    Reads(u8, bool),
    CarryIn(u8, u8),
    CarryOut(u8),
    StartCommit,
    FinishCommit,
    FinishLoad,
    Pass(u16),
    Crash(bool),
    Fail(u8),
    Run,
    ShutDown,
}

#[derive(Arbitrary, Clone, Debug)]
struct Greeting {
    version: u8,
    id: u8,
    clean: bool,
    keep_alive: u8,
    expiry: Option<u8>,
    receive_maximum: Option<u8>,
    packet_bytes_max: Option<u8>,
    aliases: Option<u8>,
    method: Option<u8>,
    will: Option<Parcel>,
}

#[derive(Arbitrary, Clone, Debug)]
struct Parcel {
    topic: u8,
    qos: u8,
    retain: bool,
    dup: bool,
    id: u8,
    alias: Option<u8>,
    expiry: Option<u8>,
    delay: Option<u8>,
    payload: u8,
}

#[derive(Arbitrary, Clone, Debug)]
struct Wishes {
    qos: u8,
    no_local: bool,
    retain_as_published: bool,
    retain_handling: u8,
}

fn pick<T: Copy, const N: usize>(from: [T; N], number: u8) -> T {
    from[usize::from(number) % N]
}

fn qos(number: u8) -> QoS {
    pick(
        [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce],
        number,
    )
}

impl Greeting {
    fn hello(&self) -> Hello {
        let version = pick(VERSIONS, self.version);
        let v5 = version.has_properties();
        let wide = |number: u8| u32::from(number) * u32::from(number);
        Hello {
            client_id: pick(IDS, self.id).map(str::to_owned),
            clean_start: self.clean,
            keep_alive: self.keep_alive.into(),
            session_expiry: self.expiry.filter(|_| v5).map(wide),
            receive_maximum: self
                .receive_maximum
                .filter(|_| v5)
                .map(|max| 1 + u16::from(max)),
            packet_bytes_max: self
                .packet_bytes_max
                .filter(|_| v5)
                .map(|max| 5 + u32::from(max)),
            topic_alias_maximum: self.aliases.filter(|_| v5).map(|max| u16::from(max % 4)),
            method: self.method.filter(|_| v5).map(|_| "METHOD".to_owned()),
            data: self.method.filter(|_| v5).map(|number| vec![number]),
            will: self.will.as_ref().map(|will| {
                let mut post = will.post(version);
                pick(TOPICS, will.topic).clone_into(&mut post.topic);
                (post.alias, post.dup) = (None, false);
                post.delay = will.delay.filter(|_| v5).map(wide);
                post
            }),
            ..hello(version)
        }
    }
}

impl Parcel {
    fn post(&self, version: Version) -> Post {
        let v5 = version.has_properties();
        let mut parcel = post(pick(TOPICS, self.topic), vec![b'x'; self.payload.into()])
            .qos(qos(self.qos))
            .id(u16::from(self.id) + 1);
        (parcel.retain, parcel.dup) = (self.retain, self.dup);
        parcel.alias = self
            .alias
            .filter(|_| v5)
            .map(|alias| 1 + u16::from(alias % 8));
        parcel.expiry = self.expiry.filter(|_| v5).map(u32::from);
        if parcel.alias.is_some() && self.topic > 128 {
            parcel.topic.clear();
        }
        parcel
    }
}

impl Wishes {
    fn options(&self, shared: bool) -> SubscriptionOptions {
        use RetainHandling::{DoNotSend, Send, SendIfNew};
        SubscriptionOptions {
            qos: qos(self.qos),
            no_local: self.no_local && !shared,
            retain_as_published: self.retain_as_published,
            retain_handling: pick([Send, SendIfNew, DoNotSend], self.retain_handling),
        }
    }
}

/// Does what the bytes say.
pub(crate) fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut trial = Trial::new(input.arbitrary().unwrap_or_default());
    while let Ok(step) = input.arbitrary::<Step>() {
        trial.step(&step);
        if input.is_empty() {
            break;
        }
    }
    trial.end();
}

struct Trial {
    world: World,
    sound: Arc<LegalStore>,
    flaky: Arc<FlakyStore>,
}

impl Trial {
    fn new(limits: [u8; 4]) -> Self {
        let [page, window, outbox, queue] = limits.map(usize::from);
        let settings = Settings {
            limits: Limits {
                queue_page: 1 + page % 8,
                in_flight_max: 1 + (window % 8) as u16,
                receive_maximum: 1 + (window / 8) as u16,
                outbox_bytes_max: 1 + outbox * 4,
                queue_messages_max: 1 + queue as u64,
                queue_bytes_max: 1000,
                retained_max: 4,
                subscriptions_max: 4,
                packet_bytes_max: 300,
                connect_bytes_max: 300,
                topic_alias_maximum: 4,
                keep_alive_max_s: (page / 8) as u16,
                ..Limits::default()
            },
            ..Settings::default()
        };
        let sound = Arc::new(LegalStore::new(Arc::new(MemoryStore::default())));
        let flaky = Arc::new(FlakyStore::new(sound.clone()));
        let shards = 1 + (page / 2) % 3;
        let mut world = World::sharded(settings, flaky.clone(), shards);
        world.authority(authority);
        for name in NAMES {
            world.add(Client::new(name, v5()));
        }
        Self {
            world,
            sound,
            flaky,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Connect(who, greeting) => {
                let (client, hello) = (self.client(*who), greeting.hello());
                let shared = hello.client_id.is_some() || client.hello.client_id.is_some();
                // The session is another's, too; or nobody says whether it is still there.
                if shared || hello.version == Version::V3_1 {
                    client.forget_session();
                }
                // Other versions cannot send again what 5.0 sent with an alias.
                client.outgoing.clear();
                let index = self.world.open(pick(NAMES, *who), hello);
                let client = &mut self.world.clients[index];
                (client.improvises, client.lawless, client.acknowledges) = (true, false, false);
            }
            Step::Lose(who) => self.world.lose(index(*who)),
            Step::Publish(who, parcel) => {
                let client = self.client(*who);
                let post = parcel.post(client.version());
                client.publish(post);
            }
            Step::Subscribe(who, filter, wishes, identifier) => {
                let filter = pick(FILTERS, *filter);
                let options = wishes.options(filter.starts_with("$share"));
                let identifier = Some(u32::from(*identifier)).filter(|number| *number > 0);
                self.client(*who)
                    .subscribe(&[(filter, options)], identifier);
            }
            Step::Unsubscribe(who, filter) => {
                self.client(*who).unsubscribe(&[pick(FILTERS, *filter)]);
            }
            Step::Acknowledge(who, count) => {
                for _ in 0..1 + count % 8 {
                    self.client(*who).acknowledge_next();
                }
            }
            Step::StrayAck(who, kind, id, reason) => self.stray_ack(*who, *kind, *id, *reason),
            Step::Disconnect(who, reason, expiry) => self.disconnect(*who, *reason, *expiry),
            Step::Ping(who) => self.client(*who).send(&Packet::<&[u8]>::PingReq),
            Step::Authenticate(who, again, data) => {
                let client = self.client(*who);
                if client.hello.method.is_some() {
                    let reason = if *again {
                        ReasonCode::ReAuthenticate
                    } else {
                        ReasonCode::ContinueAuthentication
                    };
                    client.authenticate(reason, &[*data]);
                }
            }
            Step::Bytes(who, bytes) => {
                let client = self.client(*who);
                client.lawless = true;
                client.sending.extend_from_slice(bytes);
            }
            Step::Reads(who, reads) => self.world.set_reads(index(*who), *reads),
            Step::CarryIn(who, count) => {
                self.world.carry_in_some(index(*who), (*count).into());
            }
            Step::CarryOut(who) => _ = self.world.carry_out(index(*who)),
            Step::StartCommit => _ = self.world.start_commit(),
            Step::FinishCommit => _ = self.world.finish_commit(),
            Step::FinishLoad => _ = self.world.finish_load(),
            Step::Pass(seconds) => self
                .world
                .let_time_pass(Duration::from_secs((*seconds).into())),
            Step::Crash(after) => self.crash(*after),
            Step::Fail(commits) => self.flaky.fail_after(u32::from(*commits) % 4),
            Step::Run => self.world.run(),
            Step::ShutDown => {
                self.world.shut_down();
                self.restart();
            }
        }
        if self.world.dead {
            self.restart();
        }
    }

    fn client(&mut self, who: u8) -> &mut Client {
        &mut self.world.clients[index(who)]
    }

    fn stray_ack(&mut self, who: u8, kind: u8, id: u16, reason: u8) {
        let client = self.client(who);
        client.lawless = true;
        let Some(id) = PacketId::new(id) else { return };
        let reason = match (kind % 4, reason % 3) {
            (0 | 1, 1) => ReasonCode::QuotaExceeded,
            (2 | 3, 1) => ReasonCode::PacketIdentifierNotFound,
            _ => ReasonCode::Success,
        };
        let ack = Ack::new(id, reason);
        client.send(&match kind % 4 {
            0 => Packet::PubAck(ack),
            1 => Packet::PubRec(ack),
            2 => Packet::PubRel(ack),
            _ => Packet::PubComp(ack),
        });
    }

    fn disconnect(&mut self, who: u8, reason: u8, expiry: Option<u32>) {
        let reasons = [
            ReasonCode::Success,
            ReasonCode::DisconnectWithWill,
            ReasonCode::UnspecifiedError,
        ];
        let client = self.client(who);
        let expiry = expiry.filter(|_| client.version().has_properties());
        client.send(&Packet::Disconnect(Disconnect {
            reason: pick(reasons, reason),
            properties: Properties::new(expiry.map(Property::SessionExpiryInterval)).unwrap(),
        }));
    }

    fn crash(&mut self, after: bool) {
        self.renew_store();
        self.world.crash(if after {
            Crash::AfterCommit
        } else {
            Crash::BeforeCommit
        });
    }

    fn restart(&mut self) {
        self.renew_store();
        self.world.restart();
    }

    fn renew_store(&mut self) {
        self.flaky = Arc::new(FlakyStore::new(self.sound.clone()));
        self.world.store = self.flaky.clone();
    }

    /// All connections go; what is left is what the store has.
    fn end(&mut self) {
        self.flaky = Arc::new(FlakyStore::new(self.sound.clone()));
        self.world.store = self.flaky.clone();
        for index in 0..NAMES.len() {
            self.world.set_reads(index, true);
        }
        self.world.run();
        for index in 0..NAMES.len() {
            self.world.lose(index);
        }
        self.world.run();
        self.check_store();
        self.world.restart();
        self.check_store();
        // What ends with time has ended.
        self.world.advance(Duration::from_secs(u64::from(u32::MAX)));
        self.check_store();
        assert_eq!(
            self.world.engines.deadline(),
            None,
            "something is due for ever"
        );
    }

    fn check_store(&self) {
        let (engine, store) = (&self.world.engines, &self.world.store);
        assert_eq!(engine.connections(), 0);
        let sessions = block_on(store.sessions(None, usize::MAX)).unwrap();
        assert_eq!(engine.sessions(), sessions.len(), "{sessions:?}");
        let retained = block_on(store.retained(None, usize::MAX)).unwrap();
        assert_eq!(engine.retained(), retained.len(), "{retained:?}");
    }
}

fn index(who: u8) -> usize {
    usize::from(who) % NAMES.len()
}

/// Accepts, refuses, goes on and thinks it over, by the first byte of the data.
fn authority(question: Question) -> Option<Decision> {
    let (method, data) = match &question {
        Question::Connect(credentials) => (credentials.method.clone(), credentials.data.clone()),
        Question::Authenticate {
            credentials, data, ..
        } => (credentials.method.clone(), data.clone()),
    };
    if method.is_none() {
        return Some(block_on(
            AllowAll::default().decide(&Peer::default(), question),
        ));
    }
    match data.and_then(|data| data.first().copied()).unwrap_or(0) % 4 {
        0 => Some(Decision::Accept(mqtt_broker_core::authority::Grant::all())),
        1 => Some(Decision::Refuse(ReasonCode::BadUserNameOrPassword)),
        2 => Some(Decision::Continue(None)),
        _ => None,
    }
}
