//! Scripts: steps that are legal wherever they stand, since those that have no place are left out.

use std::collections::BTreeMap;

use fastrand::Rng;
use mqtt_codec::{QoS, ReasonCode, RetainHandling, SubscriptionOptions, Version};

use super::rules::Rules;
use super::world::{Hello, Post, World, hello, post};

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
const TOPICS: [&str; 7] = ["a", "a/b", "a/b/c", "$x/b", "/b", "s/x", "u"];
/// One shared subscription for each topic at most: what comes first of several is nobody's rule.
const FILTERS: [&str; 12] = [
    "a",
    "a/b",
    "a/+",
    "a/#",
    "#",
    "+/b",
    "+/+",
    "$x/#",
    "s/x",
    "$share/g/s/x",
    "$share/h/u",
    "u",
];
const CLIENTS: [(&str, Version); 4] = [
    ("ann", Version::V5),
    ("bob", Version::V5),
    ("eve", Version::V3_1_1),
    ("joe", Version::V5),
];

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Connect(usize, Hello),
    Lose(usize),
    Disconnect(usize, Option<u32>),
    Subscribe(usize, &'static str, SubscriptionOptions, Option<u32>),
    Unsubscribe(usize, &'static str),
    Publish(usize, Post),
    Acknowledges(usize, bool),
    Acknowledge(usize),
    Wait(u64),
}

/// A script.
pub(crate) fn steps(random: &mut Rng) -> Vec<Step> {
    let count = random.usize(10..60);
    let all = (0..CLIENTS.len()).map(|who| connect(random, who));
    let all: Vec<_> = all.collect();
    all.into_iter()
        .chain((0..count).map(|number| step(random, number)))
        .collect()
}

fn step(random: &mut Rng, number: usize) -> Step {
    let who = random.usize(0..CLIENTS.len());
    let v5 = CLIENTS[who].1 == Version::V5;
    match random.u8(0..100) {
        0..12 => connect(random, who),
        12..18 => Step::Lose(who),
        18..21 => Step::Disconnect(who, (v5 && random.bool()).then(|| expiry(random, who))),
        21..42 => {
            let filter = FILTERS[random.usize(0..FILTERS.len())];
            let mut options = SubscriptionOptions::of_qos(QOS[random.usize(0..3)]);
            if v5 {
                options.no_local = random.u8(0..3) == 0 && !filter.starts_with("$share");
                options.retain_as_published = random.bool();
                options.retain_handling = [
                    RetainHandling::Send,
                    RetainHandling::SendIfNew,
                    RetainHandling::DoNotSend,
                ][random.usize(0..3)];
            }
            Step::Subscribe(
                who,
                filter,
                options,
                (v5 && random.bool()).then(|| random.u32(1..300)),
            )
        }
        42..46 => Step::Unsubscribe(who, FILTERS[random.usize(0..FILTERS.len())]),
        46..80 => {
            let mut post = message(random, who, &format!("m{number}"));
            post.id = Some(number as u16 + 1);
            post.alias = (v5 && random.u8(0..3) == 0).then(|| random.u16(1..3));
            Step::Publish(who, post)
        }
        80..86 => Step::Acknowledges(who, random.u8(0..3) == 0),
        86..93 => Step::Acknowledge(who),
        // What is due of different clients is due at different times.
        _ => Step::Wait(8 * random.u64(1..3)),
    }
}

fn message(random: &mut Rng, who: usize, payload: &str) -> Post {
    let retain = random.u8(0..3) == 0;
    let empty = retain && random.u8(0..4) == 0;
    let expires = CLIENTS[who].1 == Version::V5 && random.u8(0..3) == 0;
    let topic = TOPICS[random.usize(0..TOPICS.len())];
    let mut post = post(topic, if empty { "" } else { payload }).qos(QOS[random.usize(0..3)]);
    post.retain = retain;
    post.expiry = expires.then(|| random.u32(1..20));
    post
}

fn expiry(random: &mut Rng, who: usize) -> u32 {
    [0, 8 * random.u32(0..4) + 2 * who as u32 + 2, u32::MAX][random.usize(0..3)]
}

fn connect(random: &mut Rng, who: usize) -> Step {
    let version = CLIENTS[who].1;
    let mut hello = hello(version);
    hello.clean_start = random.u8(0..4) == 0;
    if version == Version::V5 {
        hello.session_expiry = Some(expiry(random, who));
        hello.receive_maximum = random.bool().then(|| random.u16(1..4));
        hello.topic_alias_maximum = random.bool().then(|| random.u16(1..3));
    }
    if random.u8(0..3) == 0 {
        let mut will = message(random, who, &format!("will{who}"));
        let delay = 8 * random.u32(0..3) + 2 * who as u32 + 1;
        will.delay = (version == Version::V5 && random.bool()).then_some(delay);
        hello.will = Some(will);
    }
    Step::Connect(who, hello)
}

/// Each connection is a client of its own for the world: the model knows what it has to get.
struct Run {
    world: World,
    rules: Rules,
    /// The names of those that have been.
    names: [Vec<String>; CLIENTS.len()],
    /// Of the connection: the topics of the client's aliases.
    aliases: [BTreeMap<u16, String>; CLIENTS.len()],
}

/// Runs a script, and compares what the clients get after each step.
pub(crate) fn run(steps: &[Step]) {
    let mut run = Run {
        world: World::spread(1 + steps.len() % 4),
        rules: Rules::default(),
        names: Default::default(),
        aliases: Default::default(),
    };
    for step in steps {
        run.take(step);
        run.compare(step);
    }
}

impl Run {
    fn take(&mut self, step: &Step) {
        let (world, rules) = (&mut self.world, &mut self.rules);
        let who = match step {
            Step::Connect(who, hello) => return self.connect(*who, hello),
            Step::Wait(seconds) => {
                rules.wait(*seconds);
                return world.advance_secs(*seconds);
            }
            Step::Lose(who)
            | Step::Disconnect(who, _)
            | Step::Subscribe(who, ..)
            | Step::Unsubscribe(who, _)
            | Step::Publish(who, _)
            | Step::Acknowledges(who, _)
            | Step::Acknowledge(who) => *who,
        };
        let client = CLIENTS[who].0;
        if !rules.is_connected(client) {
            return;
        }
        let mut actor = world.client(self.names[who].last().unwrap());
        match step {
            Step::Connect(..) | Step::Wait(_) => unreachable!("they are done"),
            Step::Lose(_) => {
                rules.leave(client, false, None);
                actor.lose();
            }
            Step::Disconnect(_, expiry) => {
                // [MQTT-3.14.2-2]
                let expiry = expiry.filter(|_| rules.session_expiry(client) > 0);
                rules.leave(client, true, expiry);
                actor.disconnect_with(ReasonCode::Success, expiry);
            }
            Step::Subscribe(_, filter, options, identifier) => {
                rules.subscribe(client, filter, *options, *identifier);
                actor.subscribe_all(&[(*filter, *options)], *identifier);
            }
            Step::Unsubscribe(_, filter) => {
                rules.unsubscribe(client, filter);
                actor.unsubscribe(filter);
            }
            Step::Publish(_, post) => {
                rules.publish(client, post);
                let mut post = post.clone();
                if let Some(alias) = post.alias {
                    let topic = self.aliases[who].insert(alias, post.topic.clone());
                    // The alias stands for it. [MQTT-3.3.2-12]
                    if topic.as_ref() == Some(&post.topic) {
                        post.topic.clear();
                    }
                }
                actor.publish(post);
            }
            Step::Acknowledges(_, acknowledges) => {
                rules.acknowledges(client, *acknowledges);
                if *acknowledges {
                    actor.acknowledges();
                } else {
                    actor.keeps_acks();
                }
            }
            Step::Acknowledge(_) => {
                let some = rules.acknowledge(client);
                assert_eq!(
                    !actor.state().kept.is_empty(),
                    some,
                    "{client} keeps something"
                );
                if some {
                    actor.acknowledge(1);
                }
            }
        }
    }

    fn connect(&mut self, who: usize, hello: &Hello) {
        let client = CLIENTS[who].0;
        let name = format!("{client}{}", self.names[who].len());
        self.rules.connect(client, hello);
        self.world.open(&name, hello.clone().id(client));
        let mut actor = self.world.client(&name);
        // What came on an earlier connection, another one has got.
        actor.state().lawless = true;
        actor.state().improvises = true;
        self.world.run();
        self.names[who].push(name);
        self.aliases[who].clear();
    }

    fn compare(&mut self, step: &Step) {
        for (who, (client, _)) in CLIENTS.iter().enumerate() {
            let mut got = Vec::new();
            for name in &self.names[who] {
                got.extend(self.world.packets(name));
            }
            got.retain(|line| {
                ["PUBLISH", "CONNACK", "DISCONNECT", "CLOSED"]
                    .iter()
                    .any(|start| line.starts_with(start))
            });
            // A client that has said goodbye knows that its connection is closed.
            if matches!(step, Step::Disconnect(..)) {
                got.retain(|line| line != "CLOSED");
            }
            let expected = self.rules.log(client);
            assert!(
                got == expected,
                "{step:?}\n{client} gets  {got:#?}\ninstead of {expected:#?}"
            );
        }
    }
}
