//! Clients that publish, and send again what was not acknowledged.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fastrand::Rng;
use mqtt_codec::{
    Ack, Packet, PacketId, Properties, Publish, PublishQoS, QoS, ReasonCode, TopicName, Version,
};

use crate::client::{Client, Life, Moment};
use crate::findings::Kind;
use crate::server::{Got, SOON};

/// Messages that may be under way at a time.
const WINDOW: usize = 12;
/// Messages that are sent at once, at most.
const BURST_MAX: usize = 6;
/// Packet identifiers in use: few, so that each is used again and again.
const IDS: u16 = 20;

/// A client that publishes numbered messages to some topics.
pub(crate) struct Publisher {
    pub(crate) client: Client,
    pub(crate) number: usize,
    pub(crate) qos: QoS,
    /// True if they are to be retained; some are then empty, and clear their topic.
    pub(crate) retain: bool,
    topics: Vec<String>,
    /// All messages, by their number.
    pub(crate) published: Vec<Published>,
    in_flight: VecDeque<InFlight>,
    last_id: u16,
    /// How long it takes for a message on average.
    pace: Duration,
    random: Rng,
}

/// A message that was sent at least once.
pub(crate) struct Published {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) sent: Moment,
    /// When PUBACK or PUBREC came.
    pub(crate) acknowledged: Option<Moment>,
}

struct InFlight {
    number: usize,
    id: u16,
    /// True once PUBREC has come.
    released: bool,
}

impl Publisher {
    pub(crate) fn new(
        version: Version,
        number: usize,
        qos: QoS,
        topics: Vec<String>,
        pace: Duration,
        random: Rng,
    ) -> Self {
        Self {
            client: Client::new(version, &format!("publisher-{number}")),
            number,
            qos,
            retain: false,
            topics,
            published: Vec::new(),
            in_flight: VecDeque::new(),
            last_id: 0,
            pace,
            random,
        }
    }

    /// Publishes until the server is gone.
    pub(crate) fn live(&mut self, life: &Life<'_>) {
        if self.client.connect(life).is_none() {
            return;
        }
        self.resend();
        loop {
            let burst = self.random.usize(1..=BURST_MAX);
            for _ in 0..burst.min(WINDOW.saturating_sub(self.in_flight.len())) {
                self.publish(life);
            }
            let pause = self.pace * burst as u32 * self.random.u32(..=20) / 10;
            let start = Instant::now();
            while let Some(rest) = pause.checked_sub(start.elapsed()) {
                match self.client.next(rest) {
                    Got::Packet(packet) => self.handle(&packet, life),
                    Got::Closed => return,
                    Got::Nothing => {}
                }
            }
        }
    }

    /// Sends again what was not acknowledged, until all is.
    pub(crate) fn finish(&mut self, life: &Life<'_>) {
        self.client.connect(life).expect("the server is there");
        self.resend();
        self.complete(life);
    }

    fn complete(&mut self, life: &Life<'_>) {
        while !self.in_flight.is_empty() {
            match self.client.next(SOON) {
                Got::Packet(packet) => self.handle(&packet, life),
                other => panic!("{}: {other:?}", self.client.name()),
            }
        }
        self.client.vanish();
    }

    /// Connects, publishes one message, and waits until that is complete.
    pub(crate) fn publish_one(&mut self, life: &Life<'_>) {
        self.client.connect(life).expect("the server is there");
        self.publish(life);
        self.complete(life);
    }

    /// The messages to one topic.
    pub(crate) fn published_to(&self, topic: &str) -> impl Iterator<Item = &Published> {
        self.published
            .iter()
            .filter(move |published| published.topic == topic)
    }

    // [MQTT-4.4.0-1]
    fn resend(&mut self) {
        let packets: Vec<_> = self
            .in_flight
            .iter()
            .map(|in_flight| {
                if in_flight.released {
                    Packet::PubRel(Ack::new(id(in_flight.id), ReasonCode::Success)).to_bytes()
                } else {
                    self.packet(in_flight.number, in_flight.id, true)
                }
            })
            .collect();
        for packet in &packets {
            self.client.send(packet);
        }
    }

    fn publish(&mut self, life: &Life<'_>) {
        let number = self.published.len();
        let topic = self.topics[self.random.usize(..self.topics.len())].clone();
        let clears = self.retain && number % 7 == 6;
        let payload = if clears {
            String::new()
        } else {
            format!("{} {number}", self.number)
        };
        let id = self.free_id();
        self.published.push(Published {
            topic,
            payload,
            sent: life.now(),
            acknowledged: None,
        });
        self.in_flight.push_back(InFlight {
            number,
            id,
            released: false,
        });
        let packet = self.packet(number, id, false);
        self.client.send(&packet);
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id % IDS + 1;
            let id = self.last_id;
            if self.in_flight.iter().all(|other| other.id != id) {
                return id;
            }
        }
    }

    fn packet(&self, number: usize, packet_id: u16, dup: bool) -> Packet {
        let published = &self.published[number];
        let packet_id = id(packet_id);
        Packet::Publish(Publish {
            dup,
            qos: match self.qos {
                QoS::ExactlyOnce => PublishQoS::ExactlyOnce(packet_id),
                QoS::AtMostOnce | QoS::AtLeastOnce => PublishQoS::AtLeastOnce(packet_id),
            },
            retain: self.retain,
            topic: Some(TopicName::from_text(&published.topic).expect("it is valid")),
            properties: Properties::default(),
            payload: published.payload.clone().into(),
        })
    }

    fn handle(&mut self, packet: &Packet, life: &Life<'_>) {
        let (ack, expected) = match packet {
            Packet::PubAck(ack) => (ack, self.qos == QoS::AtLeastOnce),
            Packet::PubRec(ack) | Packet::PubComp(ack) => (ack, self.qos == QoS::ExactlyOnce),
            _ => panic!("{} gets {packet:?}", self.client.name()),
        };
        let found = self
            .in_flight
            .iter()
            .position(|in_flight| in_flight.id == ack.packet_id.get());
        let Some(at) = found.filter(|_| expected) else {
            panic!("{} gets {packet:?} for nothing", self.client.name());
        };
        // Only PUBCOMP may fail: the server may have heard PUBREL before.
        let completes = matches!(packet, Packet::PubComp(_));
        if ack.reason.is_failure() && !completes {
            let text = format!("{} gets {packet:?}", self.client.name());
            self.client.findings.add(Kind::Protocol, text);
        }
        let in_flight = &mut self.in_flight[at];
        if !completes {
            let published = &mut self.published[in_flight.number];
            published.acknowledged.get_or_insert_with(|| life.now());
        }
        if matches!(packet, Packet::PubRec(_)) {
            in_flight.released = true;
            let packet = Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::Success));
            self.client.send(&packet);
        } else {
            self.in_flight.remove(at);
        }
    }
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("none is 0")
}
