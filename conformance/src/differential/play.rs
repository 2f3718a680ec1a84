//! Plays a script on one broker, and notes what each client sees, step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::script::{CLIENTS, Farewell, OUTSIDER, Patience, Post, Step, lasting_options};
use crate::Version;
use crate::client::{Client, Reasons};
use crate::packet::{Kind, Packet};
use crate::test::connect;

/// What the clients see in one step, each in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen(pub(super) BTreeMap<String, Vec<Event>>);

/// What a client sees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A message, and in how many of its subscriptions it matched.
    Message(Message),
    /// A packet that is no PUBLISH, in words.
    Other(String),
}

/// A message as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Message {
    pub(super) version: Version,
    pub(super) topic: String,
    pub(super) payload: String,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) dup: bool,
    /// In 5.0: identifiers and values, in their order.
    pub(super) properties: Vec<(u8, Vec<u8>)>,
    /// Whether it came with the connection, and so has waited for it.
    pub(super) waited: bool,
    /// How many subscriptions of the client match its topic.
    pub(super) matching: usize,
}

impl Seen {
    pub(super) fn stopped(cause: &str) -> Self {
        Self([("stopped".to_owned(), vec![Event::Other(cause.to_owned())])].into())
    }

    /// Whether the script did not come to its end.
    pub(super) fn is_stopped(&self) -> bool {
        self.0.contains_key("stopped")
    }

    /// How many messages have come.
    pub(super) fn messages(&self) -> u64 {
        let events = self.0.values().flatten();
        events
            .filter(|event| matches!(event, Event::Message(_)))
            .count() as u64
    }
}

struct Player {
    address: SocketAddr,
    name: String,
    clients: [Option<Playing>; CLIENTS],
    /// The subscriptions of each client, which may outlive its connection.
    subscriptions: [BTreeSet<&'static str>; CLIENTS],
    /// Whether the last session of each client was to outlive its connection.
    stayed: [bool; CLIENTS],
    /// The client that connects in this step.
    connecting: Option<usize>,
    seen: Seen,
    next_id: u16,
}

struct Playing {
    client: Client,
    version: Version,
    stays: bool,
    has_will: bool,
    has_receive_maximum: bool,
    patience: Patience,
    /// What the topic aliases of this connection stand for.
    aliases: BTreeMap<u8, &'static str>,
    /// Identifiers of published messages that a PUBREC has come for: a second one gets no PUBREL.
    released: BTreeSet<u16>,
    /// Messages that are acknowledged when the client has patience again.
    unacknowledged: Vec<Packet>,
    /// Identifiers of messages that matched several subscriptions. They are acknowledged at once: their
    /// QoS is the broker's choice, and with it whether they would be sent again.
    prompt: BTreeSet<u16>,
}

/// Plays the script, and returns what was seen in each of its steps.
pub(super) fn play(address: SocketAddr, script: &[Step]) -> Vec<Seen> {
    let mut player = Player {
        address,
        name: format!("d{:08x}", fastrand::u32(..)),
        clients: [const { None }; CLIENTS],
        subscriptions: Default::default(),
        stayed: [false; CLIENTS],
        connecting: None,
        seen: Seen::default(),
        next_id: 1,
    };
    let seen = script
        .iter()
        .map(|step| {
            player.connecting = match step {
                Step::Connect { who, .. } => Some(*who),
                _ => None,
            };
            player.step(step);
            player.settle();
            std::mem::take(&mut player.seen)
        })
        .collect();
    player.clean_up();
    seen
}

impl Player {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Connect { who, .. } => self.connect(*who, step),
            Step::Leave(who, farewell) => self.leave(*who, *farewell),
            Step::Subscribe {
                who,
                filters,
                identifier,
            } => {
                self.subscribe(*who, filters, *identifier);
            }
            Step::Unsubscribe(who, filters) => self.unsubscribe(*who, filters),
            Step::Publish(who, post) => self.publish(*who, post),
            Step::Acknowledge(who, patience) => {
                // With a Receive Maximum, the order of topics would decide on what is seen.
                let playing = self.clients[*who].as_mut();
                if let Some(playing) = playing.filter(|playing| !playing.has_receive_maximum) {
                    playing.patience = *patience;
                    for packet in std::mem::take(&mut playing.unacknowledged) {
                        playing.acknowledge(packet);
                    }
                }
            }
        }
    }

    fn connect(&mut self, who: usize, step: &Step) {
        let Step::Connect {
            version,
            clean,
            stays,
            receive_maximum,
            will,
            ..
        } = step
        else {
            return;
        };
        let v5 = *version == Version::V5;
        // Before 5.0, what is not clean stays.
        let clean = if v5 { *clean } else { !*stays };
        let mut flags = u8::from(clean) << 1;
        let mut fields = String::new();
        if let Some(will) = will {
            flags |= 4 | will.qos << 3 | u8::from(will.retain) << 5;
            fields = format!(
                r#"{{{}}} "{}" "{}""#,
                will.properties, will.topic, will.payload
            );
        }
        let mut properties = String::new();
        if *stays {
            properties += "11 00000e10";
        }
        if let Some(maximum) = receive_maximum {
            properties += &format!("21 {maximum:04x}");
        }
        // A takeover publishes the will [MQTT-3.1.2-8], but Mosquitto 2.0.11 forgets it where the session
        // goes on.
        let goes_on = |old: &Playing| old.has_will && old.stays && !clean;
        if self.clients[who].as_ref().is_some_and(goes_on) {
            self.leave(who, Farewell::Vanish);
        }
        let id = format!("c{who}");
        let hello = connect(*version, &id, &format!("{flags:02x}"), &properties, &fields);
        let mut client = Client::open(self.address, *version, &self.name, Reasons::Optional);
        client.send(&hello);
        let connack = client.packet_of(Kind::ConnAck);
        // The one before is at its end: what came to it before it knew is not looked at.
        if let Some(mut old) = self.clients[who].take() {
            old.client.end();
        }
        let (present, reason) = (connack.session_present, connack.reason());
        self.note(
            who,
            Event::Other(format!("CONNACK {reason:02x}, session present: {present}")),
        );
        // A server of 3.1 does not say so.
        let known = *version == Version::V3_1 && !clean && self.stayed[who];
        self.stayed[who] = *stays;
        if !present && !known {
            self.subscriptions[who].clear();
        }
        self.clients[who] = Some(Playing {
            client,
            version: *version,
            stays: *stays,
            has_will: will.is_some(),
            has_receive_maximum: receive_maximum.is_some(),
            patience: Patience::All,
            aliases: BTreeMap::new(),
            released: BTreeSet::new(),
            unacknowledged: Vec::new(),
            prompt: BTreeSet::new(),
        });
    }

    fn leave(&mut self, who: usize, farewell: Farewell) {
        let Some(mut playing) = self.clients[who].take() else {
            return;
        };
        let v5 = playing.version == Version::V5;
        match farewell {
            Farewell::WithWill if v5 => playing.client.send("e0 <04>"),
            Farewell::ForEver if v5 => playing.client.send("e0 <00 {11 00000000}>"),
            Farewell::Disconnect | Farewell::WithWill | Farewell::ForEver => {
                playing.client.send("e0 00");
            }
            Farewell::Vanish => {}
        }
        playing.client.end();
    }

    fn subscribe(&mut self, who: usize, filters: &[(&'static str, u8)], identifier: Option<u8>) {
        let Some(playing) = &mut self.clients[who] else {
            return;
        };
        let v5 = playing.version == Version::V5;
        let mut text = String::new();
        for (filter, options) in filters {
            let shared = filter.starts_with("$share");
            // Which member of a group that is away gets a message is the broker's choice.
            if shared && (!v5 || playing.stays || who == OUTSIDER) {
                continue;
            }
            let options = match (v5, shared) {
                (true, true) => options & 3,
                (true, false) => options | lasting_options(who, filter),
                (false, _) => options & 3,
            };
            text += &format!(r#""{filter}" {options:02x}"#);
            self.subscriptions[who].insert(filter);
        }
        if text.is_empty() {
            return;
        }
        let identifier = identifier
            .map(|number| format!("0b {number:02x}"))
            .unwrap_or_default();
        playing
            .client
            .send(&format!("82 <7fff {{{identifier}}} {text}>"));
    }

    fn unsubscribe(&mut self, who: usize, filters: &[&'static str]) {
        let Some(playing) = &mut self.clients[who] else {
            return;
        };
        let list: String = filters
            .iter()
            .map(|filter| format!(r#""{filter}""#))
            .collect();
        playing.client.send(&format!("a2 <7ffe {{}} {list}>"));
        for filter in filters {
            self.subscriptions[who].remove(filter);
        }
    }

    fn publish(&mut self, who: usize, post: &Post) {
        let Some(playing) = &mut self.clients[who] else {
            return;
        };
        let v5 = playing.version == Version::V5;
        let mut first = 0x30 | post.qos << 1 | u8::from(post.retain);
        let id = if post.qos == 0 {
            String::new()
        } else {
            self.next_id = self.next_id % 0x7000 + 1;
            format!("{:04x}", self.next_id)
        };
        let (mut topic, mut properties) = (post.topic, post.properties.to_owned());
        if let Some(alias) = post.alias.filter(|_| v5) {
            properties += &format!("23 00{alias:02x}");
            if playing.aliases.insert(alias, topic) == Some(topic) {
                topic = "";
            }
        }
        let payload = &post.payload;
        let rest = format!(r#"<"{topic}" {id} {{{properties}}} '{payload}'>"#);
        playing.client.send(&format!("{first:02x} {rest}"));
        if post.again && post.qos == 2 {
            first |= 8;
            playing.client.send(&format!("{first:02x} {rest}"));
        }
    }

    /// Lets all clients read and answer until nothing more comes to any of them.
    fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 2 {
            quiet += 1;
            for who in 0..CLIENTS {
                let Some(playing) = &mut self.clients[who] else {
                    continue;
                };
                let (packets, over) = playing.client.drain();
                assert!(!over, "c{who}: the connection was closed after {packets:?}");
                for packet in packets {
                    quiet = 0;
                    self.receive(who, packet);
                }
            }
        }
    }

    fn receive(&mut self, who: usize, packet: Packet) {
        let mut overlaps = false;
        match packet.kind {
            Kind::Publish => {
                let message = self.message(who, &packet);
                overlaps = message.matching > 1 && message.qos > 0;
                self.note(who, Event::Message(message));
            }
            // There is one for each PUBREC, so for each copy of a message.
            Kind::PubRel => {}
            // The identifiers are the broker's or known, and their order is another thing.
            kind => self.note(
                who,
                Event::Other(format!("{kind:?} {:02x?}", packet.reasons)),
            ),
        }
        let Some(playing) = &mut self.clients[who] else {
            return;
        };
        if overlaps {
            playing.prompt.insert(packet.id());
        }
        match packet.kind {
            Kind::Publish | Kind::PubRel => playing.acknowledge(packet),
            Kind::PubRec if packet.reason() < 0x80 && playing.released.insert(packet.id()) => {
                playing.client.send(&format!("62 <{:04x}>", packet.id()));
            }
            _ => {}
        }
    }

    fn message(&self, who: usize, packet: &Packet) -> Message {
        let (topic, name) = (packet.topic.clone(), &self.name);
        let matching = self.subscriptions[who]
            .iter()
            .filter(|filter| matches(&filter.replace('~', name), &topic))
            .count();
        let unnamed = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.replace(name.as_str(), "~").into_bytes()
        };
        Message {
            version: packet.version(),
            waited: self.connecting == Some(who),
            topic: topic.replace(name.as_str(), "~"),
            payload: String::from_utf8_lossy(&packet.payload).into_owned(),
            qos: packet.qos(),
            retain: packet.retain(),
            dup: packet.dup(),
            properties: packet
                .properties
                .iter()
                .map(|property| (property.identifier, unnamed(&property.value)))
                .collect(),
            matching,
        }
    }

    fn note(&mut self, who: usize, event: Event) {
        self.seen
            .0
            .entry(format!("c{who}"))
            .or_default()
            .push(event);
    }

    /// Nothing of the script is left on the broker.
    fn clean_up(&mut self) {
        for who in 0..CLIENTS {
            self.clients[who] = None;
            let mut client = Client::open(self.address, Version::V5, &self.name, Reasons::Optional);
            client.send(&connect(Version::V5, &format!("c{who}"), "02", "", ""));
            client.packet_of(Kind::ConnAck);
            if who == 0 {
                for topic in ["~/t", "~/t/u", "~/x", "~/$y"] {
                    client.send(&format!(r#"31 <"{topic}" {{}}>"#));
                }
            }
            client.send("e0 00");
            client.end();
        }
    }
}

impl Playing {
    fn acknowledge(&mut self, packet: Packet) {
        let numbered = packet.kind != Kind::Publish || packet.qos() > 0;
        let prompt = numbered && self.prompt.contains(&packet.id());
        let patience = if prompt { Patience::All } else { self.patience };
        let answer = match (packet.kind, packet.qos(), patience) {
            (Kind::PubRel, _, Patience::All) => 0x70,
            (Kind::Publish, 0, _) => return,
            (Kind::Publish, 1, Patience::All) => 0x40,
            (Kind::Publish, 2, Patience::All | Patience::Received) => 0x50,
            _ => return self.unacknowledged.push(packet),
        };
        self.client
            .send(&format!("{answer:02x} <{:04x}>", packet.id()));
    }
}

/// Whether a filter matches, in the standard's words; one of a group as its filter does.
fn matches(filter: &str, topic: &str) -> bool {
    let filter = match filter
        .strip_prefix("$share/")
        .and_then(|rest| rest.split_once('/'))
    {
        Some((_, filter)) => filter,
        None => filter,
    };
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(level), Some(name)) if level == name => {}
            _ => return false,
        }
    }
}
