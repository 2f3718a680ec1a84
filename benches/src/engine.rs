//! An engine without IO, and clients that speak to it in packets: what a driver does between its
//! sockets and the engine, and nothing of the sockets.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use mqtt_broker_core::authority::{Decision, Grant, Question};
use mqtt_broker_core::{
    ConnectionId, Engine, Input, Instant, Limits, Outbox, Output, Read, Settings,
};
use mqtt_codec::{
    Ack, Connect, Cut, PACKET_BYTES_MAX, Packet, PacketId, Properties, Property, Publish,
    PublishQoS, QoS, ReasonCode, Subscribe, Subscription, SubscriptionOptions, Subscriptions, Text,
    TopicFilter, TopicFilters, TopicName, Unsubscribe, Version, cut,
};

const NOW: Instant = Instant::from_millis(1_700_000_000_000);

/// An engine, and what came of its inputs.
#[derive(Debug)]
pub struct World {
    engine: Held,
    out: Output,
    grant: Grant,
    drained_bytes: usize,
}

/// The engine does not say what it holds, which may be millions of subscriptions.
struct Held(Engine);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

/// Whether a client's session outlives its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It ends with its connection, and no store hears of it.
    Connection,
    /// It stays: what is queued for it is a change to commit.
    Stored,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    id: ConnectionId,
    outbox: Arc<Outbox>,
    version: Version,
}

impl World {
    /// A broker without clients, and with room for as many subscriptions as a bench wants.
    #[must_use]
    pub fn new() -> Self {
        Self::with(&Limits::default())
    }

    /// The same, with other limits.
    #[must_use]
    pub fn with(limits: &Limits) -> Self {
        let limits = Limits {
            subscriptions_max: usize::MAX,
            ..limits.clone()
        };
        let settings = Settings {
            limits,
            seed: 1,
            ..Settings::default()
        };
        Self {
            engine: Held(Engine::new(settings)),
            out: Output::default(),
            grant: Grant::all(),
            drained_bytes: 0,
        }
    }

    /// A client connects, and has read its CONNACK.
    pub fn connect(&mut self, name: &str, version: Version, lifetime: Lifetime) -> Client {
        let packet = prepared(&connect(name, version, lifetime), version);
        let client = self.open(version);
        self.send(&client, &packet);
        assert!(self.drain(&client) > 0, "there is a CONNACK");
        client
    }

    /// A transport is accepted.
    pub fn open(&mut self, version: Version) -> Client {
        let outbox = Arc::new(Outbox::default());
        outbox.set_waker(Waker::noop());
        let id = self.engine.0.open(NOW, outbox.clone());
        Client {
            id,
            outbox,
            version,
        }
    }

    /// The transport of a client is gone.
    pub fn close(&mut self, client: &Client) {
        self.engine
            .0
            .handle(NOW, Input::Closed(client.id), &mut self.out);
        self.settle();
    }

    /// A client subscribes, and has read its SUBACK.
    pub fn subscribe(&mut self, client: &Client, filters: &[String], qos: QoS) {
        // A SUBSCRIBE of a thousand filters is below the limits of any engine.
        for filters in filters.chunks(1000) {
            let packet = prepared(&subscribe(filters, qos), client.version);
            self.send(client, &packet);
            assert!(self.drain(client) > 0, "there is a SUBACK");
        }
    }

    /// A packet comes from a client, and is seen to.
    pub fn send(&mut self, client: &Client, packet: &Packet<&[u8]>) {
        let input = Input::Packet(client.id, packet);
        self.engine.0.handle(NOW, input, &mut self.out);
        self.settle();
    }

    /// PUBLISH packets come from a client, one behind the other, and are seen to.
    pub fn publish(&mut self, client: &Client, packets: &[Publish<&[u8]>]) {
        let input = Input::Publishes(client.id, packets);
        self.engine.0.handle(NOW, input, &mut self.out);
        self.settle();
    }

    /// Takes what waits for a client, as if it were written to its socket: how many bytes.
    pub fn drain(&mut self, client: &Client) -> usize {
        let taken = client.outbox.take();
        let bytes = taken.bytes.len();
        self.written(client, taken.bytes);
        bytes
    }

    /// Takes what waits for a client, and answers what wants an answer. True if there was something.
    pub fn converse(&mut self, client: &Client) -> bool {
        let taken = client.outbox.take();
        let mut rest = taken.bytes.as_slice();
        while let Ok(Cut::Whole(frame)) = cut(rest, PACKET_BYTES_MAX) {
            rest = rest.get(frame.bytes.len()..).unwrap_or_default();
            if let Some(answer) = answer(frame.first, frame.body) {
                let input = Input::Packet(client.id, &answer);
                self.engine.0.handle(NOW, input, &mut self.out);
            }
        }
        let some = !taken.bytes.is_empty();
        self.written(client, taken.bytes);
        self.settle();
        some
    }

    /// Bytes that were taken so far, for all clients.
    #[must_use]
    pub const fn drained_bytes(&self) -> usize {
        self.drained_bytes
    }

    fn written(&mut self, client: &Client, buffer: Vec<u8>) {
        self.drained_bytes += buffer.len();
        if client.outbox.written(buffer) {
            let input = Input::Written(client.id);
            self.engine.0.handle(NOW, input, &mut self.out);
        }
    }

    /// What the driver does behind each batch: questions are answered, and what is to be committed is
    /// taken, and counts as committed at once.
    fn settle(&mut self) {
        let Self {
            engine, out, grant, ..
        } = self;
        while let Some((id, question)) = out.take_question() {
            assert!(matches!(question, Question::Connect(_)), "none other comes");
            let decided = Input::Decided(id, Decision::Accept(grant.clone()));
            engine.0.handle(NOW, decided, out);
        }
        while let Some(batch) = out.take_batch() {
            drop(batch);
            out.committed();
        }
        for read in out.take_reads(usize::MAX) {
            let nothing = match read {
                Read::Deliveries(load) => Input::Loaded(load, Vec::new()),
                Read::Expiring { .. } => Input::Expiring(Vec::new()),
            };
            engine.0.handle(NOW, nothing, out);
        }
        out.wakers().for_each(Waker::wake);
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// What a client answers, without more of a decoder than that takes: it is the engine that is measured.
fn answer(first: u8, body: &[u8]) -> Option<Packet<&'static [u8]>> {
    let id_at = |at: usize| {
        let bytes = body.get(at..at + 2)?;
        PacketId::new(u16::from_be_bytes(bytes.try_into().ok()?))
    };
    let ack = |id| Ack::new(id, ReasonCode::Success);
    let topic_bytes = || {
        let length = body.get(..2)?.try_into().ok()?;
        Some(usize::from(u16::from_be_bytes(length)))
    };
    match first & 0xf6 {
        0x32 => Some(Packet::PubAck(ack(id_at(2 + topic_bytes()?)?))),
        0x34 => Some(Packet::PubRec(ack(id_at(2 + topic_bytes()?)?))),
        // PUBREC and PUBREL.
        0x50 => Some(Packet::PubRel(ack(id_at(0)?))),
        0x62 => Some(Packet::PubComp(ack(id_at(0)?))),
        _ => None,
    }
}

/// A packet as it comes from the wire, decoded. Its bytes are kept for good: a bench has a few of them.
///
/// # Panics
/// If it cannot be encoded.
#[must_use]
pub fn prepared(packet: &Packet, version: Version) -> Packet<&'static [u8]> {
    let bytes = packet.to_vec(version).expect("it can be encoded").leak();
    match cut(bytes, PACKET_BYTES_MAX) {
        Ok(Cut::Whole(frame)) => Packet::decode(frame, version).expect("it was encoded"),
        Ok(Cut::Incomplete(_)) | Err(_) => unreachable!("it is whole"),
    }
}

/// The CONNECT of a client without will and credentials.
#[must_use]
pub fn connect(name: &str, version: Version, lifetime: Lifetime) -> Packet {
    // Before 5.0, a session without clean start stays for ever.
    let expiry = Properties::new([Property::SessionExpiryInterval(3600)]).expect("short");
    Packet::Connect(Connect {
        version,
        bridge: false,
        clean_start: lifetime == Lifetime::Connection,
        keep_alive: 60,
        properties: match (version, lifetime) {
            (Version::V5, Lifetime::Stored) => expiry,
            (Version::V5 | Version::V3_1 | Version::V3_1_1, _) => Properties::default(),
        },
        client_id: Text::new(Bytes::copy_from_slice(name.as_bytes())).expect("a name"),
        will: None,
        user_name: None,
        password: None,
    })
}

/// A SUBSCRIBE to all of these.
#[must_use]
pub fn subscribe(filters: &[String], qos: QoS) -> Packet {
    let list = filters.iter().map(|filter| Subscription {
        filter: TopicFilter::new(filter.as_bytes()).expect("a topic filter"),
        options: SubscriptionOptions::of_qos(qos),
    });
    Packet::Subscribe(Subscribe {
        packet_id: packet_id(1),
        properties: Properties::default(),
        subscriptions: Subscriptions::new(list).expect("some"),
    })
}

/// An UNSUBSCRIBE from one filter.
#[must_use]
pub fn unsubscribe(filter: &str) -> Packet {
    let filter = TopicFilter::new(filter.as_bytes()).expect("a topic filter");
    Packet::Unsubscribe(Unsubscribe {
        packet_id: packet_id(1),
        properties: Properties::default(),
        filters: TopicFilters::new([filter]).expect("one"),
    })
}

/// A PUBLISH. Its packet identifier, if it has one, is `id`.
#[must_use]
pub fn publish(topic: &str, qos: QoS, id: u16, payload_bytes: usize) -> Publish {
    Publish {
        dup: false,
        qos: match qos {
            QoS::AtMostOnce => PublishQoS::AtMostOnce,
            QoS::AtLeastOnce => PublishQoS::AtLeastOnce(packet_id(id)),
            QoS::ExactlyOnce => PublishQoS::ExactlyOnce(packet_id(id)),
        },
        retain: false,
        topic: Some(TopicName::from_text(topic).expect("a topic name")),
        properties: Properties::default(),
        payload: Bytes::from(vec![b'x'; payload_bytes]),
    }
}

fn packet_id(id: u16) -> PacketId {
    PacketId::new(id).expect("not 0")
}
