//! What several clients do: a random script from a seed.

use fastrand::Rng;

use crate::Version;

/// Names of clients.
pub(super) const CLIENTS: usize = 4;
/// What they speak.
const VERSIONS: [Version; 4] = [Version::V5, Version::V5, Version::V3_1_1, Version::V3_1];
/// Topics of ordinary subscriptions.
const TOPICS: [&str; 4] = ["~/t", "~/t/u", "~/x", "~/$y"];
/// Filters, which overlap.
const FILTERS: [&str; 7] = ["~/t", "~/t/#", "~/+", "~/x", "~/+/u", "~/t/+", "~//"];
/// Topics that only shared subscriptions match.
const SHARED_TOPIC: &str = "~/s/1";
const SHARED_FILTER: &str = "$share/~g/~/s/+";
/// It is in no group, and alone leaves wills for one. A member whose session ends with its connection may be
/// in its group still when its will is published, be chosen, and take the message with it: the standard does not
/// order the two (3.1.2.5).
pub(super) const OUTSIDER: usize = 0;

/// Something that a client does. Who is not connected does nothing but connect, and what a version
/// has not is left out: so any part of a script is a legal script.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Connect {
        who: usize,
        version: Version,
        clean: bool,
        stays: bool,
        receive_maximum: Option<u16>,
        will: Option<Post>,
    },
    Leave(usize, Farewell),
    Subscribe {
        who: usize,
        filters: Vec<(&'static str, u8)>,
        identifier: Option<u8>,
    },
    Unsubscribe(usize, Vec<&'static str>),
    Publish(usize, Post),
    /// From now on, messages are acknowledged so far.
    Acknowledge(usize, Patience),
}

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Farewell {
    Disconnect,
    /// In 5.0, with the reason code 4: the will is published.
    WithWill,
    /// In 5.0, with a Session Expiry Interval of 0: the session ends, too.
    ForEver,
    Vanish,
}

/// How far a client goes in acknowledging messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    All,
    /// A PUBREC for QoS 2, but no PUBCOMP; nothing for QoS 1.
    Received,
    Nothing,
}

/// A message to publish.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) topic: &'static str,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// Properties in the notation, for 5.0.
    pub(super) properties: &'static str,
    /// In 5.0, from its second use on a connection it stands for the topic.
    pub(super) alias: Option<u8>,
    /// At QoS 2: it is sent again, with DUP, before the PUBREL.
    pub(super) again: bool,
    /// Unique in the script; empty removes what is retained.
    pub(super) payload: String,
}

/// The script of a seed.
pub(super) fn write(seed: u64) -> Vec<Step> {
    let mut dice = Rng::with_seed(seed);
    // A session that is of one version has one set of rules.
    let versions = [(); CLIENTS].map(|()| pick(&mut dice, &VERSIONS));
    let connects = (0..CLIENTS).map(|who| connect(&mut dice, who, versions[who], 0));
    let mut script: Vec<Step> = connects.collect();
    script.extend((0..CLIENTS).map(|who| subscribe(&mut dice, who)));
    let length = dice.usize(10..60);
    script.extend((0..length).map(|number| step(&mut dice, &versions, number + CLIENTS)));
    script
}

fn step(dice: &mut Rng, versions: &[Version; CLIENTS], number: usize) -> Step {
    let who = dice.usize(..CLIENTS);
    match dice.u8(..100) {
        0..12 => connect(dice, who, versions[who], number),
        12..20 => Step::Leave(
            who,
            pick(
                dice,
                &[
                    Farewell::Disconnect,
                    Farewell::WithWill,
                    Farewell::ForEver,
                    Farewell::Vanish,
                    Farewell::Vanish,
                ],
            ),
        ),
        20..40 => subscribe(dice, who),
        40..46 => Step::Unsubscribe(who, (0..dice.usize(1..3)).map(|_| filter(dice)).collect()),
        46..92 => Step::Publish(who, post(dice, number)),
        _ => Step::Acknowledge(
            who,
            pick(
                dice,
                &[Patience::All, Patience::Received, Patience::Nothing],
            ),
        ),
    }
}

fn subscribe(dice: &mut Rng, who: usize) -> Step {
    Step::Subscribe {
        who,
        filters: filters(dice),
        identifier: dice.bool().then(|| dice.u8(1..100)),
    }
}

fn connect(dice: &mut Rng, who: usize, version: Version, number: usize) -> Step {
    Step::Connect {
        who,
        version,
        clean: dice.u8(..3) == 0,
        stays: dice.u8(..3) > 0,
        receive_maximum: (dice.u8(..4) == 0).then(|| dice.u16(1..4)),
        will: (dice.u8(..3) == 0).then(|| Post {
            payload: (1000 + number * CLIENTS + who).to_string(),
            ..will(dice, who)
        }),
    }
}

fn will(dice: &mut Rng, who: usize) -> Post {
    let mut will = post(dice, 0);
    if who != OUTSIDER && will.topic == SHARED_TOPIC {
        will.topic = pick(dice, &TOPICS);
    }
    will
}

fn post(dice: &mut Rng, number: usize) -> Post {
    let retain = dice.u8(..4) == 0;
    let removes = retain && dice.u8(..4) == 0;
    let shared = !retain && dice.u8(..8) == 0;
    Post {
        topic: if shared {
            SHARED_TOPIC
        } else {
            pick(dice, &TOPICS)
        },
        qos: dice.u8(..3),
        retain,
        properties: pick(
            dice,
            &[
                "",
                "",
                r#"01 01 03 "text""#,
                r#"08 "~/answer" 09 0002 00ff"#,
                r#"26 "b" "1" 26 "a" "2" 26 "b" "1""#,
                "02 00000e10",
            ],
        ),
        alias: (dice.u8(..4) == 0).then(|| dice.u8(1..4)),
        again: dice.u8(..4) == 0,
        payload: if removes {
            String::new()
        } else {
            number.to_string()
        },
    }
}

fn filter(dice: &mut Rng) -> &'static str {
    if dice.u8(..10) == 0 {
        SHARED_FILTER
    } else {
        pick(dice, &FILTERS)
    }
}

/// Some filters with their QoS and their retain handling. One may come twice.
fn filters(dice: &mut Rng) -> Vec<(&'static str, u8)> {
    let count = dice.usize(1..4);
    let options = |dice: &mut Rng| dice.u8(..3) | dice.u8(..3) << 4;
    (0..count).map(|_| (filter(dice), options(dice))).collect()
}

/// No Local and Retain As Published, which are the same each time that a client subscribes with a
/// filter: Mosquitto 2.0.11 keeps those of the first time, against [MQTT-3.8.4-3].
pub(super) fn lasting_options(who: usize, filter: &str) -> u8 {
    let dice = filter.len() + 3 * who;
    u8::from(dice.is_multiple_of(3)) << 2 | u8::from(dice.is_multiple_of(2)) << 3
}

fn pick<T: Clone>(dice: &mut Rng, all: &[T]) -> T {
    all[dice.usize(..all.len())].clone()
}
