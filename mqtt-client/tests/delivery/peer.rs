//! A client that is not ours to test: a few packets on a socket, sent and expected one by one.

use std::net::SocketAddr;

use mqtt_codec::{
    Ack, Connect, Packet, PacketId, Properties, Publish, PublishQoS, QoS, ReasonCode, Subscribe,
    Subscription, SubscriptionOptions, Subscriptions, Text, TopicFilter, TopicName, Version,
};
use tokio::net::TcpStream;

use crate::wire::Wire;

/// A client of 3.1.1 whose session is kept.
pub(crate) struct Peer(Wire);

impl Peer {
    /// Connects, and says whether its session was there.
    pub(crate) async fn connect(address: SocketAddr, client_id: &str) -> (Self, bool) {
        let stream = TcpStream::connect(address)
            .await
            .expect("the broker listens");
        let mut wire = Wire::tcp(stream, Version::V3_1_1);
        let connect = Connect {
            version: Version::V3_1_1,
            bridge: false,
            clean_start: false,
            keep_alive: 0,
            properties: Properties::default(),
            client_id: Text::from_string(client_id).unwrap(),
            will: None,
            user_name: None,
            password: None,
        };
        wire.send(&Packet::Connect(connect)).await;
        match wire.packet().await {
            Packet::ConnAck(ack) if !ack.reason.is_failure() => (Self(wire), ack.session_present),
            other => panic!("{other:?} instead of a CONNACK"),
        }
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) -> ReasonCode {
        let filter: TopicFilter = TopicFilter::from_text(filter).unwrap();
        let subscription = Subscription {
            filter: filter.as_view(),
            options: SubscriptionOptions::of_qos(qos),
        };
        let subscribe: Subscribe = Subscribe {
            packet_id: PacketId::new(1).unwrap(),
            properties: Properties::default(),
            subscriptions: Subscriptions::new([subscription]).unwrap(),
        };
        self.0.send(&Packet::Subscribe(subscribe)).await;
        match self.0.packet().await {
            Packet::SubAck(ack) => ack.reasons.iter().next().unwrap(),
            other => panic!("{other:?} instead of a SUBACK"),
        }
    }

    /// Publishes at QoS 1, and waits for the PUBACK.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &'static str) {
        let publish = Publish {
            dup: false,
            qos: PublishQoS::AtLeastOnce(PacketId::new(1).unwrap()),
            retain: false,
            topic: Some(TopicName::from_text(topic).unwrap()),
            properties: Properties::default(),
            payload: payload.into(),
        };
        self.0.send(&Packet::Publish(publish)).await;
        let packet = self.0.packet().await;
        assert!(matches!(packet, Packet::PubAck(_)), "{packet:?}");
    }

    /// The next message, acknowledged.
    pub(crate) async fn message(&mut self) -> Publish {
        match self.0.packet().await {
            Packet::Publish(publish) => {
                if let PublishQoS::AtLeastOnce(id) = publish.qos {
                    let ack = Ack::new(id, ReasonCode::Success);
                    self.0.send(&Packet::PubAck(ack)).await;
                }
                publish
            }
            other => panic!("{other:?} instead of a PUBLISH"),
        }
    }
}
