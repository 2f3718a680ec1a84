//! A broker that does what a test says, packet by packet: refuses, goes silent, closes, tells lies.

use std::net::SocketAddr;
use std::time::Duration;

use mqtt_client::{Builder, Client};
use mqtt_codec::{
    Ack, ConnAck, Connect, Disconnect, Packet, PacketId, Properties, Property, Publish, PublishQoS,
    QoS, ReasonCode, SubAck, TopicName, Version,
};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::port::Port;
use crate::soon;
use crate::wire::{Got, Wire};

/// A port with a broker behind it that does nothing by itself.
pub(crate) struct FakeBroker {
    port: Port,
    listener: Option<TcpListener>,
}

/// The same in memory, for tests whose time is not real.
pub(crate) struct MemoryBroker {
    connections: mpsc::UnboundedReceiver<DuplexStream>,
}

impl MemoryBroker {
    /// The broker, and a client that would connect to it.
    pub(crate) fn new(client: Builder) -> (Self, Client) {
        let (sender, connections) = mpsc::unbounded_channel();
        let client = client.transport(move || {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            // The test may have ended.
            let _ = sender.send(theirs);
            async { Ok(ours) }
        });
        (Self { connections }, client.start().unwrap())
    }

    pub(crate) async fn connection(&mut self) -> Link<DuplexStream> {
        let stream = self.connections.recv().await.expect("the client lives");
        let mut wire = Wire::new(stream, Version::V5);
        let connect = wire.connect().await;
        Link { wire, connect }
    }

    pub(crate) async fn accept(&mut self, session: Session) -> Link<DuplexStream> {
        let mut link = self.connection().await;
        link.welcome(session, &[]).await;
        link
    }
}

/// What the broker claims to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    New,
    Present,
}

/// One connection of the client.
pub(crate) struct Link<S = TcpStream> {
    wire: Wire<S>,
    /// The CONNECT that it began with.
    pub(crate) connect: Connect,
}

impl FakeBroker {
    pub(crate) fn start() -> Self {
        let port = Port::new();
        let listener = Some(port.listener());
        Self { port, listener }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Refuses all connections until `listen`.
    pub(crate) fn deafen(&mut self) {
        self.listener = None;
    }

    pub(crate) fn listen(&mut self) {
        self.listener = Some(self.port.listener());
    }

    /// A connection that has to come soon, whatever is sent over it.
    pub(crate) async fn wire(&self) -> Wire {
        let listener = self.listener.as_ref().expect("it listens");
        let (stream, _) = soon("a connection", listener.accept()).await.unwrap();
        // A CONNECT carries its version.
        Wire::tcp(stream, Version::V5)
    }

    /// A connection that has to come soon, and its CONNECT, not answered yet.
    pub(crate) async fn connection(&self) -> Link {
        let mut wire = self.wire().await;
        let connect = wire.connect().await;
        Link { wire, connect }
    }

    /// A connection that has to come soon, and is let in.
    pub(crate) async fn accept(&self, session: Session) -> Link {
        let mut link = self.connection().await;
        link.welcome(session, &[]).await;
        link
    }

    /// Fails if a connection comes in this time.
    pub(crate) async fn nobody_comes(&self, within: Duration) {
        let listener = self.listener.as_ref().expect("it listens");
        let accepted = tokio::time::timeout(within, listener.accept()).await;
        assert!(accepted.is_err(), "a connection that must not be made");
    }
}

impl Link {
    /// Ends with a reset.
    pub(crate) fn reset(self) {
        let _ = SockRef::from(&self.wire.stream).set_linger(Some(Duration::ZERO));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Lets the client in, with these properties if it speaks 5.0.
    pub(crate) async fn welcome(&mut self, session: Session, properties: &[Property<'_>]) {
        self.send(&Packet::ConnAck(ConnAck {
            session_present: session == Session::Present,
            reason: ReasonCode::Success,
            properties: Properties::new(properties.iter().copied()).unwrap(),
        }))
        .await;
    }

    /// Refuses the client, and closes.
    pub(crate) async fn refuse(self, reason: ReasonCode) {
        self.refuse_with(reason, &[]).await;
    }

    /// Refuses the client with properties, and closes.
    pub(crate) async fn refuse_with(mut self, reason: ReasonCode, properties: &[Property<'_>]) {
        self.send(&Packet::ConnAck(ConnAck {
            session_present: false,
            reason,
            properties: Properties::new(properties.iter().copied()).unwrap(),
        }))
        .await;
        self.close().await;
    }

    /// Sends a DISCONNECT, and closes.
    pub(crate) async fn disconnect(mut self, reason: ReasonCode) {
        self.send(&Packet::Disconnect(Disconnect::new(reason)))
            .await;
        self.close().await;
    }

    pub(crate) async fn send<B: AsRef<[u8]>>(&mut self, packet: &Packet<B>) {
        self.wire.send(packet).await;
    }

    /// Sends any bytes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.wire.write(bytes).await;
    }

    /// Closes, once the client has got what was sent.
    pub(crate) async fn close(mut self) {
        // What the client sends meanwhile is read: else it might get a reset instead of the packets.
        let _ = self.wire.stream.shutdown().await;
        while let Got::Packet(_) = self.wire.next(Duration::from_millis(300)).await {}
    }

    /// The next packet, which has to come soon.
    pub(crate) async fn packet(&mut self) -> Packet {
        self.wire.packet().await
    }

    /// The next packet, which has to come soon, and is answered.
    pub(crate) async fn packet_answered(&mut self) -> Packet {
        let packet = self.packet().await;
        self.answer(&packet).await;
        packet
    }

    pub(crate) async fn next(&mut self, within: Duration) -> Got {
        self.wire.next(within).await
    }

    /// A PUBLISH, which has to come soon.
    pub(crate) async fn publish(&mut self) -> Publish {
        match self.packet().await {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?} instead of a PUBLISH"),
        }
    }

    /// A SUBSCRIBE that has to come soon, answered with what it asks for: the topic filters and QoS.
    pub(crate) async fn subscribed(&mut self) -> Vec<(String, QoS)> {
        let packet = self.packet().await;
        let Packet::Subscribe(subscribe) = &packet else {
            panic!("{packet:?} instead of a SUBSCRIBE");
        };
        let wanted = subscribe.subscriptions.iter().map(|subscription| {
            let filter = subscription.filter.as_str().to_owned();
            (filter, subscription.options.qos)
        });
        let wanted = wanted.collect();
        self.answer(&packet).await;
        wanted
    }

    /// Fails if a packet comes, or the end, in this time.
    pub(crate) async fn is_quiet(&mut self, within: Duration) {
        let got = self.next(within).await;
        assert!(matches!(got, Got::Nothing), "{got:?} must not come");
    }

    /// Fails unless the client ends the connection soon; packets before that are returned.
    pub(crate) async fn ends(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            match self.next(crate::SOON).await {
                Got::Packet(packet) => packets.push(packet),
                Got::Closed => return packets,
                Got::Nothing => panic!("it does not end; {packets:?} came"),
            }
        }
    }

    /// Sends a message.
    pub(crate) async fn deliver(&mut self, qos: PublishQoS, topic: &str, payload: &'static str) {
        self.send_message(qos, topic, payload, false).await;
    }

    /// Sends a message of QoS 0 for the subscriptions with these identifiers.
    pub(crate) async fn deliver_for(
        &mut self,
        topic: &str,
        payload: &'static str,
        identifiers: &[u32],
    ) {
        let identifiers = identifiers.iter().copied();
        self.send(&Packet::Publish(Publish {
            dup: false,
            qos: PublishQoS::AtMostOnce,
            retain: false,
            topic: Some(TopicName::from_text(topic).unwrap()),
            properties: Properties::new(identifiers.map(Property::SubscriptionIdentifier)).unwrap(),
            payload: payload.into(),
        }))
        .await;
    }

    /// Sends a message that may have come already.
    pub(crate) async fn deliver_again(
        &mut self,
        qos: PublishQoS,
        topic: &str,
        payload: &'static str,
    ) {
        self.send_message(qos, topic, payload, true).await;
    }

    async fn send_message(
        &mut self,
        qos: PublishQoS,
        topic: &str,
        payload: &'static str,
        dup: bool,
    ) {
        self.send(&Packet::Publish(Publish {
            dup,
            qos,
            retain: false,
            topic: Some(TopicName::from_text(topic).unwrap()),
            properties: Properties::default(),
            payload: payload.into(),
        }))
        .await;
    }

    /// Does what a broker would answer, and nothing more.
    pub(crate) async fn answer(&mut self, packet: &Packet) {
        let success = |id| Ack::new(id, ReasonCode::Success);
        match packet {
            Packet::Publish(publish) => match publish.qos {
                PublishQoS::AtMostOnce => {}
                PublishQoS::AtLeastOnce(id) => self.send(&Packet::PubAck(success(id))).await,
                PublishQoS::ExactlyOnce(id) => self.send(&Packet::PubRec(success(id))).await,
            },
            Packet::PubRel(ack) => self.send(&Packet::PubComp(success(ack.packet_id))).await,
            Packet::PubRec(ack) => self.send(&Packet::PubRel(success(ack.packet_id))).await,
            Packet::Subscribe(subscribe) => {
                let granted = subscribe.subscriptions.iter().map(|subscription| {
                    ReasonCode::from_byte(subscription.options.qos as u8).unwrap()
                });
                let ack: Packet = Packet::SubAck(SubAck {
                    packet_id: subscribe.packet_id,
                    properties: Properties::default(),
                    reasons: granted.collect(),
                });
                self.send(&ack).await;
            }
            Packet::Unsubscribe(unsubscribe) => {
                let filters = unsubscribe.filters.iter();
                let ack: Packet = Packet::UnsubAck(mqtt_codec::UnsubAck {
                    packet_id: unsubscribe.packet_id,
                    properties: Properties::default(),
                    reasons: filters.map(|_| ReasonCode::Success).collect(),
                });
                self.send(&ack).await;
            }
            Packet::PingReq => self.send(&Packet::<&[u8]>::PingResp).await,
            Packet::PubAck(_) | Packet::PubComp(_) | Packet::Disconnect(_) => {}
            other => panic!("{other:?} from a client"),
        }
    }
}

/// A packet identifier.
pub(crate) fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}
