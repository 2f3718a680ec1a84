//! A peer that sends any bytes, and knows what may come back.
//!
//! It reads what the broker has read, packet by packet, and keeps account of what that brings about.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use mqtt_broker_core::Limits;
use mqtt_codec::{
    Ack, Connect, Cut, Packet, PacketId, PacketType, Publish, PublishQoS, ReasonCode, Version, cut,
    levels,
};
use tokio::time::Instant;

use super::authority::RESERVED;
use super::known::Known;
use super::pipe::{CAPACITY, Pipe};

/// Deadlines of the broker are in whole seconds.
const SLACK: Duration = Duration::from_secs(2);
/// Clients that take smaller packets may miss answers.
const ANSWER_BYTES_MAX: u32 = 5;

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doom {
    /// The client has said goodbye.
    Goodbye,
    /// The client has broken a rule.
    Violation,
}

/// An answer that has to come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    PubAck(PacketId),
    PubRec(PacketId),
    PubComp(PacketId),
    SubAck(PacketId, usize),
    UnsubAck(PacketId, usize),
    PingResp,
}

/// What a CONNECT said.
struct Hello {
    version: Version,
    client_id: String,
    keep_alive: u16,
    packet_bytes_max: u32,
    receive_maximum: u16,
    topic_alias_maximum: u16,
    method: bool,
    expires: bool,
    /// True if it may be refused.
    dubious: bool,
}

#[allow(
    clippy::struct_excessive_bools,
    reason = "each says whether something has happened, and all may have"
)]
pub(super) struct Peer {
    pub(super) index: usize,
    pub(super) pipe: Pipe,
    limits: Limits,
    opened: Instant,
    heard: Instant,
    sent: Vec<u8>,
    received: Vec<u8>,
    /// What a CONNECT that was no valid one was in.
    answered_in: Version,
    hello: Option<Hello>,
    /// True if there may have been a session, of a CONNACK that lets in.
    admitted: Option<bool>,
    doom: Option<Doom>,
    /// True if the connection may end, though it need not.
    may_end: bool,
    /// True if the broker has said its last word: DISCONNECT, or a CONNACK that refuses.
    told: bool,
    answers: VecDeque<Answer>,
    /// PUBRELs that have to come.
    releases: BTreeMap<PacketId, usize>,
    in_flight: BTreeSet<PacketId>,
    /// True if it acknowledged what it had not got.
    lawless: bool,
    /// True if it has ever not read.
    dawdles: bool,
    sent_exactly_once: usize,
    aliases_in: BTreeMap<u16, Vec<u8>>,
    aliases_out: BTreeMap<u16, Vec<u8>>,
}

impl Peer {
    pub(super) fn new(index: usize, pipe: Pipe, limits: Limits, now: Instant) -> Self {
        Self {
            index,
            pipe,
            limits,
            opened: now,
            heard: now,
            sent: Vec::new(),
            received: Vec::new(),
            answered_in: Version::V3_1_1,
            hello: None,
            admitted: None,
            doom: None,
            may_end: false,
            told: false,
            answers: VecDeque::new(),
            releases: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            lawless: false,
            dawdles: false,
            sent_exactly_once: 0,
            aliases_in: BTreeMap::new(),
            aliases_out: BTreeMap::new(),
        }
    }

    pub(super) fn set_reads(&mut self, reads: bool) {
        self.dawdles |= !reads;
        self.pipe.set_reads(reads);
    }

    /// Another connection has this client identifier now.
    pub(super) fn taken_over(&mut self, client_id: &str) {
        let same = |hello: &Hello| hello.client_id == client_id;
        self.may_end |= self.hello.as_ref().is_some_and(same);
    }

    /// Reads what the broker has read.
    pub(super) fn hear(&mut self, known: &mut Known, now: Instant) {
        // No answer is shorter than two bytes.
        let clogged = !self.pipe.reads() && self.answers.len() * 2 > self.answer_bytes_max();
        let consumed = self.pipe.take_consumed();
        assert!(
            consumed.is_empty() || !clogged || self.doom.is_some() || self.pipe.is_over(),
            "read from, and its answers pile up"
        );
        self.sent.extend_from_slice(&consumed);
        let doomed = self.doom.is_some();
        self.hear_packets(known, now);
        if !doomed && self.doom.is_some() {
            self.heard = now;
        }
    }

    fn hear_packets(&mut self, known: &mut Known, now: Instant) {
        let sent = std::mem::take(&mut self.sent);
        let mut rest = sent.as_slice();
        while self.doom.is_none() {
            let bytes_max = if self.hello.is_some() {
                self.limits.packet_bytes_max
            } else {
                self.limits.connect_bytes_max
            };
            let frame = match cut(rest, bytes_max as usize) {
                Ok(Cut::Whole(frame)) => frame,
                Ok(Cut::Incomplete(_)) => break,
                Err(_) => return self.doom = Some(Doom::Violation),
            };
            rest = rest.get(frame.bytes.len()..).unwrap_or_default();
            self.heard = now;
            let version = self.hello.as_ref().map(|hello| hello.version);
            match Packet::decode(frame, version.unwrap_or(Version::V5)) {
                Ok(packet) => self.say(&packet, known),
                Err(_) => {
                    if let (None, Some(peeked)) = (version, Connect::peek_version(frame)) {
                        self.answered_in = peeked;
                    }
                    self.doom = Some(Doom::Violation);
                }
            }
        }
        self.sent = rest.to_vec();
    }

    const fn answer_bytes_max(&self) -> usize {
        self.limits.outbox_bytes_max + self.limits.packet_bytes_max as usize + CAPACITY
    }

    /// What follows from a packet of the client.
    fn say(&mut self, packet: &Packet<&[u8]>, known: &mut Known) {
        if let (None, Packet::Connect(connect)) = (&self.hello, packet) {
            return self.say_hello(connect, known);
        }
        let Some(hello) = &self.hello else {
            return self.doom = Some(Doom::Violation);
        };
        match packet {
            Packet::Publish(publish) => self.say_publish(publish, known),
            Packet::PubAck(ack) => self.lawless |= !self.in_flight.remove(&ack.packet_id),
            Packet::PubRec(ack) => {
                self.lawless |= !self.in_flight.contains(&ack.packet_id);
                if ack.reason.is_failure() {
                    self.in_flight.remove(&ack.packet_id);
                } else {
                    *self.releases.entry(ack.packet_id).or_default() += 1;
                }
            }
            Packet::PubRel(ack) => self.owe(Answer::PubComp(ack.packet_id)),
            Packet::PubComp(ack) => self.lawless |= !self.in_flight.remove(&ack.packet_id),
            Packet::Subscribe(packet) => {
                let identifiers = &mut packet.properties.subscription_identifiers();
                known.identifiers |= identifiers.next().is_some();
                let count = packet.subscriptions.iter().count();
                self.owe(Answer::SubAck(packet.packet_id, count));
            }
            Packet::Unsubscribe(packet) => {
                let count = packet.filters.iter().count();
                self.owe(Answer::UnsubAck(packet.packet_id, count));
            }
            Packet::PingReq => self.owe(Answer::PingResp),
            Packet::Disconnect(packet) => {
                // The expiry of a session that ends with its connection cannot be raised.
                let asked = packet.properties.session_expiry_interval().unwrap_or(0);
                let raised = asked > 0 && !hello.expires;
                self.may_end = true;
                self.doom = Some(match raised {
                    true => Doom::Violation,
                    false => Doom::Goodbye,
                });
            }
            Packet::Auth(_) if hello.method => self.may_end = true,
            Packet::Auth(_)
            | Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => self.doom = Some(Doom::Violation),
        }
    }

    fn say_hello(&mut self, connect: &Connect<&[u8]>, known: &mut Known) {
        let properties = &connect.properties;
        let client_id = connect.client_id.to_string();
        let mut dubious = connect.version != Version::V5 && client_id.is_empty();
        if let Some(will) = &connect.will {
            let topic = will.topic.as_view().bytes();
            dubious |= topic.starts_with(RESERVED);
            dubious |= levels(topic).count() > self.limits.topic_levels_max;
            let message = (topic.to_vec(), will.payload.to_vec());
            known.messages.insert(message);
        }
        let method = properties.authentication_method().is_some();
        let packet_bytes_max = properties.maximum_packet_size().unwrap_or(u32::MAX);
        dubious |= method || packet_bytes_max < 100 + client_id.len() as u32;
        dubious |= super::bystander::is_name(&client_id);
        self.may_end |= method;
        known.connects += 1;
        known.arrived.push((self.index, client_id.clone()));
        self.answered_in = connect.version;
        self.hello = Some(Hello {
            version: connect.version,
            client_id,
            keep_alive: connect.keep_alive,
            packet_bytes_max,
            receive_maximum: match connect.version {
                Version::V5 => properties.receive_maximum(),
                Version::V3_1 | Version::V3_1_1 => None,
            }
            .unwrap_or(self.limits.in_flight_max),
            topic_alias_maximum: properties.topic_alias_maximum().unwrap_or(0),
            method,
            expires: properties.session_expiry_interval().unwrap_or(0) > 0,
            dubious,
        });
    }

    fn say_publish(&mut self, publish: &Publish<&[u8]>, known: &mut Known) {
        let properties = &publish.properties;
        let alias = properties.topic_alias();
        let topic = match (publish.topic, alias) {
            (Some(topic), _) => Some(topic.bytes().to_vec()),
            (None, Some(alias)) => self.aliases_in.get(&alias).cloned(),
            (None, None) => None,
        };
        let identifier = properties.subscription_identifiers().next().is_some();
        let alias_max = self.limits.topic_alias_maximum;
        let Some(topic) = topic
            .filter(|topic| levels(topic).count() <= self.limits.topic_levels_max)
            .filter(|_| !identifier && alias.is_none_or(|alias| alias <= alias_max))
        else {
            return self.doom = Some(Doom::Violation);
        };
        if let Some(alias) = alias {
            self.aliases_in.insert(alias, topic.clone());
        }
        match publish.qos {
            PublishQoS::AtMostOnce => {}
            PublishQoS::AtLeastOnce(id) => self.owe(Answer::PubAck(id)),
            PublishQoS::ExactlyOnce(id) => {
                self.sent_exactly_once += 1;
                let max = usize::from(self.limits.receive_maximum);
                self.may_end |= self.sent_exactly_once > max;
                self.owe(Answer::PubRec(id));
            }
        }
        if !topic.starts_with(RESERVED) {
            known.messages.insert((topic, publish.payload.to_vec()));
        }
    }

    fn owe(&mut self, answer: Answer) {
        let max = self.hello.as_ref().map(|hello| hello.packet_bytes_max);
        let bytes = match &answer {
            Answer::SubAck(_, count) | Answer::UnsubAck(_, count) => 10 + *count as u32,
            Answer::PingResp => 2,
            Answer::PubAck(_) | Answer::PubRec(_) | Answer::PubComp(_) => ANSWER_BYTES_MAX,
        };
        if max.is_none_or(|max| bytes <= max) {
            self.answers.push_back(answer);
        }
    }

    /// Takes what the broker has written, which is whole packets that may come.
    pub(super) fn receive(&mut self, known: &Known) {
        let written = self.pipe.take_written();
        self.received.extend_from_slice(&written);
        let received = std::mem::take(&mut self.received);
        let mut rest = received.as_slice();
        while let Cut::Whole(frame) = cut(rest, usize::MAX).expect("what comes are packets") {
            rest = rest.get(frame.bytes.len()..).unwrap_or_default();
            if let Some(hello) = &self.hello {
                let max = hello.packet_bytes_max as usize;
                assert!(frame.bytes.len() <= max, "larger than the client takes");
            }
            let packet = Packet::decode(frame, self.answered_in);
            let packet = packet.unwrap_or_else(|error| panic!("{error}: {:?}", frame.bytes));
            self.take(&packet, known);
        }
        self.received = rest.to_vec();
    }

    fn take(&mut self, packet: &Packet<&[u8]>, known: &Known) {
        assert!(!self.told, "{packet:?} after the last word");
        let first = matches!(packet, Packet::ConnAck(_));
        let exchange = matches!(packet, Packet::Auth(_));
        assert_eq!(first, self.admitted.is_none() && !exchange, "{packet:?}");
        match packet {
            Packet::ConnAck(packet) if packet.reason.is_failure() => {
                let dubious = self.hello.as_ref().is_none_or(|hello| hello.dubious);
                assert!(dubious || self.doom.is_some(), "{packet:?}");
                self.told = true;
            }
            Packet::ConnAck(packet) => {
                assert!(self.hello.is_some(), "let in without a CONNECT");
                // Before 3.1.1 nobody says so.
                let untold = self.answered_in == Version::V3_1;
                self.admitted = Some(packet.session_present || untold);
            }
            Packet::Publish(publish) => self.take_publish(publish, known),
            Packet::PubAck(ack) => self.answer(&Answer::PubAck(ack.packet_id), packet),
            Packet::PubRec(ack) => self.answer(&Answer::PubRec(ack.packet_id), packet),
            Packet::PubComp(ack) => self.answer(&Answer::PubComp(ack.packet_id), packet),
            Packet::PubRel(ack) => self.take_release(ack),
            Packet::SubAck(suback) => {
                let count = suback.reasons.iter().count();
                self.answer(&Answer::SubAck(suback.packet_id, count), packet);
            }
            Packet::UnsubAck(unsuback) => self.take_unsuback(unsuback, packet),
            Packet::PingResp => self.answer(&Answer::PingResp, packet),
            Packet::Disconnect(disconnect) => {
                assert!(disconnect.reason.is_failure(), "{packet:?}");
                assert!(
                    disconnect.reason.allowed_in(PacketType::Disconnect),
                    "{packet:?}"
                );
                assert_ne!(self.doom, Some(Doom::Goodbye), "{packet:?}");
                let ends = self.may_end || self.doom.is_some();
                assert!(ends, "{packet:?} for no reason");
                assert_eq!(self.answered_in, Version::V5, "{packet:?}");
                self.told = true;
            }
            Packet::Auth(_) => {
                let method = self.hello.as_ref().is_some_and(|hello| hello.method);
                assert!(method, "AUTH without a method");
            }
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq => panic!("a server does not send {packet:?}"),
        }
    }

    /// Before 5.0 an UNSUBACK does not say how many filters there were.
    fn take_unsuback(&mut self, unsuback: &mqtt_codec::UnsubAck<&[u8]>, packet: &Packet<&[u8]>) {
        let mut count = unsuback.reasons.iter().count();
        if self.answered_in != Version::V5
            && let Some(Answer::UnsubAck(_, wanted)) = self.answers.front()
        {
            count = *wanted;
        }
        self.answer(&Answer::UnsubAck(unsuback.packet_id, count), packet);
    }

    /// Answers come in the order of what they answer.
    fn answer(&mut self, answer: &Answer, packet: &Packet<&[u8]>) {
        let wanted = self.answers.pop_front();
        assert_eq!(wanted.as_ref(), Some(answer), "{packet:?}");
    }

    fn take_release(&mut self, ack: &Ack<&[u8]>) {
        let owed = self.releases.get_mut(&ack.packet_id);
        let asked = owed.is_some_and(|count| {
            *count = count.saturating_sub(1);
            true
        });
        assert!(asked || self.admitted == Some(true), "PUBREL {ack:?}");
        self.releases.retain(|_, count| *count > 0);
        // It may be one of an earlier connection; then it counts from now on.
        if ack.reason == ReasonCode::Success {
            self.in_flight.insert(ack.packet_id);
        }
    }

    fn take_publish(&mut self, publish: &Publish<&[u8]>, known: &Known) {
        let hello = self.hello.as_ref().expect("a CONNECT");
        let resumed = self.admitted == Some(true);
        assert!(!publish.dup || resumed, "DUP on a new session");
        let properties = &publish.properties;
        let identifier = properties.subscription_identifiers().next().is_some();
        assert!(!identifier || known.identifiers, "whose identifier?");
        let alias = properties.topic_alias();
        let aliases = 1..=hello.topic_alias_maximum;
        assert!(alias.is_none_or(|alias| aliases.contains(&alias)));
        let topic = match publish.topic {
            Some(topic) => topic.bytes().to_vec(),
            None => {
                let alias = alias.expect("a topic or an alias");
                let known = self.aliases_out.get(&alias);
                known.expect("an alias that was set").clone()
            }
        };
        if let Some(alias) = alias {
            self.aliases_out.insert(alias, topic.clone());
        }
        let message = (topic, publish.payload.to_vec());
        assert!(known.messages.contains(&message), "published by nobody");
        let Some(id) = publish.qos.packet_id() else {
            return;
        };
        let new = self.in_flight.insert(id);
        let crowded = self.in_flight.len() > usize::from(hello.receive_maximum);
        assert!(new || self.lawless, "{id:?} is in flight");
        assert!(!crowded || self.lawless, "too much in flight");
    }

    /// Everything has come to rest: what had to come has come.
    pub(super) fn check(&self) {
        if !self.pipe.reads() || self.pipe.is_ended() {
            return;
        }
        let over = self.pipe.is_over();
        if over {
            assert!(self.received.is_empty() || self.dawdles, "half a packet");
            assert!(self.may_end || self.told || self.doom.is_some(), "why?");
        } else {
            assert_eq!(self.doom, None, "goes on");
            assert!(!self.told, "goes on after the last word");
        }
        let Some(hello) = &self.hello else { return };
        if over {
            let hears = hello.version == Version::V5 && hello.packet_bytes_max >= 4;
            let broke = self.doom == Some(Doom::Violation) && self.admitted.is_some();
            // The connection may have ended before the broker has seen that, or the client has not
            // read in time.
            let excused = self.may_end || self.dawdles;
            assert!(self.told || !hears || !broke || excused, "not told");
        } else if self.admitted.is_some() {
            assert!(self.answers.is_empty(), "not answered: {:?}", self.answers);
            assert!(self.releases.is_empty() || hello.packet_bytes_max < 5);
        } else {
            assert!(hello.method, "no answer to a CONNECT");
        }
    }

    /// So late it is: connections may or must have ended.
    pub(super) fn pass_time(&mut self, now: Instant) {
        if self.doom.is_some() && now - self.heard > Duration::from_secs(6) + SLACK {
            assert!(self.pipe.is_dropped(), "lingers for ever");
        }
        let Some(hello) = &self.hello else {
            let patience = Duration::from_millis(self.limits.connect_timeout_ms.into());
            self.may_end |= now - self.opened + SLACK > patience;
            let late = now - self.opened > patience + SLACK;
            assert!(!late || self.pipe.is_over(), "waits for ever for a CONNECT");
            return;
        };
        if hello.keep_alive > 0 {
            let patience = Duration::from_millis(1500 * u64::from(hello.keep_alive));
            let silence = now - self.heard;
            self.may_end |= silence + SLACK > patience;
            let late = silence > patience + SLACK && self.pipe.reads();
            assert!(!late || self.pipe.is_over(), "dead, and kept");
        }
    }
}
