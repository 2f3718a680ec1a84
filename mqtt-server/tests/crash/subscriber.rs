//! Clients that subscribe, and note all that comes.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use fastrand::Rng;
use mqtt_codec::{Ack, Packet, Publish, PublishQoS, QoS, ReasonCode, Version};

use crate::client::{Client, Life, Session};
use crate::findings::Kind;
use crate::server::{Got, SOON, subscribe};

/// How long a client that gets nothing more waits for what it misses.
const PATIENCE: Duration = Duration::from_secs(4);

/// A client with one subscription.
pub(crate) struct Subscriber {
    pub(crate) client: Client,
    pub(crate) habit: Habit,
    pub(crate) qos: QoS,
    filter: String,
    pub(crate) sightings: Vec<Sighting>,
    /// What has come at least once: topic and payload.
    pub(crate) seen: HashSet<(String, String)>,
    /// Packet identifiers of QoS 2 messages that the server has not released.
    unreleased: HashSet<u16>,
    /// Acknowledgements that are still to be sent. [MQTT-4.6.0-2]
    acks: Vec<Packet>,
    random: Rng,
}

/// When a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    Always,
    Sometimes,
    /// Not before the end.
    Never,
}

/// A message that has come.
pub(crate) struct Sighting {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: PublishQoS,
    pub(crate) dup: bool,
    /// False if the client can tell that it had it before, as at QoS 2.
    pub(crate) is_new: bool,
    pub(crate) at: Instant,
}

impl Subscriber {
    pub(crate) fn new(client: Client, habit: Habit, filter: &str, qos: QoS, random: Rng) -> Self {
        Self {
            client,
            habit,
            qos,
            filter: filter.to_owned(),
            sightings: Vec::new(),
            seen: HashSet::new(),
            unreleased: HashSet::new(),
            acks: Vec::new(),
            random,
        }
    }

    /// Subscribes; returns when that has been acknowledged.
    pub(crate) fn begin(&mut self, life: &Life<'_>) {
        self.connect(life).expect("the server is there");
        self.client.vanish();
    }

    /// Takes what comes until the server is gone.
    pub(crate) fn live(&mut self, life: &Life<'_>) {
        match self.habit {
            Habit::Always => {
                if self.connect(life).is_some() {
                    self.listen(None);
                }
            }
            Habit::Sometimes => {
                while self.connect(life).is_some() {
                    let span = Duration::from_millis(self.random.u64(10..150));
                    self.listen(Some(span));
                    self.client.vanish();
                    std::thread::sleep(Duration::from_millis(self.random.u64(5..80)));
                }
            }
            Habit::Never => {}
        }
    }

    /// Takes what waits for it, until all that is `wanted` has come and nothing follows.
    pub(crate) fn finish(&mut self, life: &Life<'_>, wanted: &[(String, String)]) {
        self.connect(life).expect("the server is there");
        let mut missing: HashSet<_> = wanted
            .iter()
            .filter(|one| !self.seen.contains(*one))
            .collect();
        let mut counted = self.sightings.len();
        loop {
            let patience = if missing.is_empty() {
                Duration::from_millis(300)
            } else {
                PATIENCE
            };
            match self.client.next(patience) {
                Got::Packet(packet) => self.handle(packet),
                Got::Nothing => break,
                Got::Closed => panic!("{} is closed", self.client.name()),
            }
            self.acknowledge();
            for sighting in &self.sightings[counted..] {
                missing.remove(&(sighting.topic.clone(), sighting.payload.clone()));
            }
            counted = self.sightings.len();
        }
        self.client.vanish();
        for (topic, payload) in missing {
            let text = format!("{payload:?} to {topic} for {}", self.client.name());
            self.client.findings.add(Kind::Lost, text);
        }
    }

    pub(crate) fn connect(&mut self, life: &Life<'_>) -> Option<()> {
        self.acks.clear();
        if self.client.connect(life)? == Session::New {
            self.unreleased.clear();
            let filter = self.filter.clone();
            if !filter.is_empty() {
                let packet = subscribe(&[&filter], self.qos);
                self.request(&packet)?;
            }
        }
        Some(())
    }

    /// Sends a SUBSCRIBE or UNSUBSCRIBE, and waits for its answer.
    pub(crate) fn request(&mut self, packet: &Packet) -> Option<()> {
        self.client.send(packet);
        loop {
            match self.client.next(SOON) {
                Got::Packet(Packet::SubAck(ack)) => {
                    let failed = ack.reasons.iter().any(ReasonCode::is_failure);
                    assert!(!failed, "{}: {ack:?}", self.client.name());
                    return Some(());
                }
                Got::Packet(Packet::UnsubAck(_)) => return Some(()),
                Got::Packet(packet) => self.handle(packet),
                Got::Closed => return None,
                Got::Nothing => panic!("{} gets no answer", self.client.name()),
            }
        }
    }

    /// Takes what comes in this time, or until the server is gone.
    pub(crate) fn listen(&mut self, within: Option<Duration>) {
        let start = Instant::now();
        while within.is_none_or(|within| start.elapsed() < within) {
            match self.client.next(Duration::from_millis(5)) {
                Got::Packet(packet) => {
                    self.handle(packet);
                    // Sometimes a crash or the own end comes before.
                    if self.random.u8(..4) > 0 {
                        self.acknowledge();
                    }
                }
                Got::Nothing => self.acknowledge(),
                Got::Closed => return,
            }
        }
    }

    fn acknowledge(&mut self) {
        for packet in std::mem::take(&mut self.acks) {
            self.client.send(&packet);
        }
    }

    fn handle(&mut self, packet: Packet) {
        match packet {
            Packet::Publish(publish) => self.take(publish),
            Packet::PubRel(ack) => {
                self.unreleased.remove(&ack.packet_id.get());
                let ack = Ack::new(ack.packet_id, ReasonCode::Success);
                self.acks.push(Packet::PubComp(ack).to_bytes());
            }
            // What it means is noted where it is received.
            Packet::Disconnect(_) => {}
            other => panic!("{} gets {other:?}", self.client.name()),
        }
    }

    fn take(&mut self, publish: Publish) {
        let is_new = match publish.qos {
            PublishQoS::AtMostOnce => true,
            PublishQoS::AtLeastOnce(id) => {
                let ack = Ack::new(id, ReasonCode::Success);
                self.acks.push(Packet::PubAck(ack).to_bytes());
                true
            }
            // [MQTT-4.3.3-10]
            PublishQoS::ExactlyOnce(id) => {
                let ack = Ack::new(id, ReasonCode::Success);
                self.acks.push(Packet::PubRec(ack).to_bytes());
                self.unreleased.insert(id.get())
            }
        };
        let topic = publish.topic.expect("no alias was allowed").to_string();
        let payload = String::from_utf8(publish.payload.to_vec()).expect("all are text");
        self.seen.insert((topic.clone(), payload.clone()));
        self.sightings.push(Sighting {
            topic,
            payload,
            qos: publish.qos,
            dup: publish.dup,
            is_new,
            at: Instant::now(),
        });
    }
}

/// A subscriber of this version, quality of service and habit to everything that is published under
/// load.
pub(crate) fn to_load(version: Version, qos: QoS, habit: Habit, random: Rng) -> Subscriber {
    let name = format!("subscriber-{version:?}-{qos:?}-{habit:?}");
    let filter = if habit == Habit::Sometimes {
        "load/+"
    } else {
        "load/#"
    };
    Subscriber::new(Client::new(version, &name), habit, filter, qos, random)
}
