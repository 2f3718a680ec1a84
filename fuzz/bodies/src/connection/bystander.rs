//! A client that has nothing to do with all that, and is to get its messages nevertheless.

use mqtt_codec::{
    Ack, Connect, Cut, Packet, PacketId, Properties, Property, Publish, PublishQoS, QoS,
    ReasonCode, Subscribe, Subscription, SubscriptionOptions, Subscriptions, Text, TopicFilter,
    TopicName, Version, cut,
};

use super::pipe::Pipe;

const READER: &str = "bystander reads";
const WRITER: &str = "bystander writes";

/// True if a bystander has this client identifier.
pub(super) fn is_name(client_id: &str) -> bool {
    [READER, WRITER].contains(&client_id)
}

pub(super) struct Bystander {
    pub(super) pipe: Pipe,
    received: Vec<u8>,
    /// What else came, in order.
    pub(super) packets: Vec<Packet>,
    /// The messages that came, in order.
    pub(super) payloads: Vec<Vec<u8>>,
}

impl Bystander {
    /// One that has a session which stays.
    pub(super) fn reader(pipe: Pipe) -> Self {
        Self::connect(pipe, READER)
    }

    pub(super) fn writer(pipe: Pipe) -> Self {
        Self::connect(pipe, WRITER)
    }

    fn connect(pipe: Pipe, name: &'static str) -> Self {
        let expiry = Property::SessionExpiryInterval(u32::MAX);
        let client = Self {
            pipe,
            received: Vec::new(),
            packets: Vec::new(),
            payloads: Vec::new(),
        };
        client.send(&Packet::Connect(Connect {
            version: Version::V5,
            bridge: false,
            clean_start: false,
            keep_alive: 0,
            properties: Properties::new([expiry]).expect("short"),
            client_id: Text::from_static(name).expect("short"),
            will: None,
            user_name: None,
            password: None,
        }));
        client
    }

    fn send(&self, packet: &Packet) {
        let bytes = packet.to_vec(Version::V5).expect("it is valid");
        self.pipe.write(&bytes);
    }

    pub(super) fn subscribe(&self) {
        let filter = TopicFilter::from_text("bystander/+").expect("it is valid");
        let subscription = Subscription {
            filter: filter.as_view(),
            options: SubscriptionOptions::of_qos(QoS::ExactlyOnce),
        };
        self.send(&Packet::Subscribe(Subscribe {
            packet_id: PacketId::new(1).expect("not 0"),
            properties: Properties::default(),
            subscriptions: Subscriptions::new([subscription]).expect("not empty"),
        }));
    }

    pub(super) fn publish(&self, qos: PublishQoS, payload: &'static [u8]) {
        self.send(&Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic: Some(topic()),
            properties: Properties::default(),
            payload: payload.into(),
        }));
    }

    /// Takes what has come, and answers it.
    pub(super) fn receive(&mut self) {
        let written = self.pipe.take_written();
        self.received.extend_from_slice(&written);
        let received = std::mem::take(&mut self.received);
        let mut rest = received.as_slice();
        while let Cut::Whole(frame) = cut(rest, usize::MAX).expect("what comes are packets") {
            rest = rest.get(frame.bytes.len()..).unwrap_or_default();
            let packet = Packet::decode(frame, Version::V5).expect("of 5.0");
            self.take(packet.to_bytes());
        }
        self.received = rest.to_vec();
    }

    fn take(&mut self, packet: Packet) {
        let success = |packet_id| Ack {
            packet_id,
            reason: ReasonCode::Success,
            properties: Properties::default(),
        };
        if let Packet::Publish(publish) = packet {
            assert_eq!(publish.topic, Some(topic()));
            self.payloads.push(publish.payload.to_vec());
            return match publish.qos {
                PublishQoS::AtMostOnce => {}
                PublishQoS::AtLeastOnce(id) => self.send(&Packet::PubAck(success(id))),
                PublishQoS::ExactlyOnce(id) => self.send(&Packet::PubRec(success(id))),
            };
        }
        if let Packet::PubRel(ack) = &packet {
            self.send(&Packet::PubComp(success(ack.packet_id)));
        } else if let Packet::PubRec(ack) = &packet {
            self.send(&Packet::PubRel(success(ack.packet_id)));
        }
        self.packets.push(packet);
    }

    /// The next packet that is no message.
    pub(super) fn next(&mut self) -> Packet {
        assert!(!self.packets.is_empty(), "a bystander gets no answer");
        self.packets.remove(0)
    }
}

/// The topic of all messages of bystanders.
pub(super) fn topic() -> TopicName {
    TopicName::from_text("bystander/t").expect("it is valid")
}
