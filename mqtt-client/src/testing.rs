//! A client and a scripted broker, joined in memory: for tests of what you build on this crate.
//!
//! The broker does what the test says, packet by packet, also what no real one would do. There are no ports and no
//! files; with tokio's paused time (`start_paused`), hours of backoff and keep alive pass at once.
//!
//! ```
//! use mqtt_client::testing;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let (client, mut broker) = testing::pair();
//! let client = client.client_id("press-17").start().unwrap();
//! let mut connection = broker.accept().await;
//!
//! let published = tokio::spawn(async move { client.publish("lamp", "on").await });
//! let publish = connection.expect_publish().await;
//! assert_eq!(publish.payload, "on");
//! connection.acknowledge(&publish).await;
//! published.await.unwrap().unwrap();
//! # }
//! ```
//!
//! Every method that waits panics after ten seconds, and when something else comes than it expects: it says what.

#![allow(
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::wildcard_enum_match_arm,
    reason = "a test that is not met panics; the module says so"
)]

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt_codec::{
    Ack, ConnAck, Connect, Cut, Disconnect, Packet, PacketId, PacketType, Properties, Property,
    Publish, PublishQoS, QoS, ReasonCode, SubAck, Subscribe, Text, UnsubAck, Unsubscribe, Version,
    cut,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::Builder;
use crate::publish::IntoTopic;

/// How long the broker waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that fit between client and broker, in each direction.
const PIPE_BYTES: usize = 64 << 10;

/// A builder whose client connects to a broker that the test plays.
pub fn pair() -> (Builder, Broker) {
    let (opened, connections) = mpsc::unbounded_channel();
    let reachable = Arc::new(AtomicBool::new(true));
    let is_reachable = Arc::clone(&reachable);
    let builder = Builder::new().transport(move || {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let is_there = is_reachable.load(Ordering::SeqCst) && opened.send(theirs).is_ok();
        async move {
            if is_there {
                Ok(ours)
            } else {
                Err(io::Error::from(io::ErrorKind::ConnectionRefused))
            }
        }
    });
    let broker = Broker {
        connections,
        reachable,
    };
    (builder, broker)
}

/// The broker's side: one connection after the other. Without it, the client cannot connect.
#[derive(Debug)]
pub struct Broker {
    connections: mpsc::UnboundedReceiver<DuplexStream>,
    reachable: Arc<AtomicBool>,
}

impl Broker {
    /// The next transport that the client opens; nothing is read from it yet.
    ///
    /// Cancel safe: a connection that was not given stays for the next call.
    pub async fn connection(&mut self) -> Connection {
        let opened = within("a connection", self.connections.recv()).await;
        let Some(stream) = opened else {
            panic!("expected a connection, but the client is gone");
        };
        Connection {
            stream,
            received: BytesMut::new(),
            version: Version::V5,
            answers_pings: true,
            next_id: 1,
        }
    }

    /// The next connection, whose CONNECT is accepted, with a new session.
    ///
    /// Not cancel safe: a connection that was not accepted yet is closed.
    pub async fn accept(&mut self) -> Connection {
        let mut connection = self.connection().await;
        let connect = connection.expect_connect().await;
        connection.accept(&connect).await;
        connection
    }

    /// The next connection, whose CONNECT is accepted, with the session that there was.
    ///
    /// Not cancel safe: a connection that was not accepted yet is closed.
    pub async fn resume(&mut self) -> Connection {
        let mut connection = self.connection().await;
        let connect = connection.expect_connect().await;
        connection.resume(&connect).await;
        connection
    }

    /// From now on, attempts to connect fail.
    pub fn unreachable(&mut self) {
        self.reachable.store(false, Ordering::SeqCst);
    }

    /// From now on, attempts to connect succeed again.
    pub fn reachable(&mut self) {
        self.reachable.store(true, Ordering::SeqCst);
    }

    /// Panics if the client connects within this time.
    ///
    /// Cancel safe.
    pub async fn expect_no_connection(&mut self, time: Duration) {
        if let Ok(Some(_)) = timeout(time, self.connections.recv()).await {
            panic!("expected no connection within {time:?}, but the client connected");
        }
    }
}

/// One connection. Dropping it closes it.
///
/// PINGREQs are answered without a word to the test, as long as it waits for something else.
#[derive(Debug)]
pub struct Connection {
    stream: DuplexStream,
    received: BytesMut,
    version: Version,
    answers_pings: bool,
    next_id: u16,
}

/// What the broker expects, and gets.
impl Connection {
    /// The next packet.
    ///
    /// Cancel safe: what has come in part stays for the next call.
    pub async fn receive(&mut self) -> Packet {
        match self.next_packet("a packet").await {
            Some(packet) => packet,
            None => panic!("expected a packet, but the client closed the connection"),
        }
    }

    async fn next_packet(&mut self, what: &str) -> Option<Packet> {
        loop {
            let packet = within(what, self.read_packet()).await?;
            if self.answers_pings && packet == Packet::PingReq {
                self.send(Packet::PingResp).await;
            } else {
                return Some(packet);
            }
        }
    }

    /// The next packet; nothing at the end of the connection.
    async fn read_packet(&mut self) -> Option<Packet> {
        loop {
            match cut(&self.received, usize::MAX) {
                Ok(Cut::Whole(frame)) => {
                    let length = frame.bytes.len();
                    let packet = match Packet::decode(frame, self.version) {
                        Ok(packet) => packet.to_bytes(),
                        Err(error) => panic!("the client sent a malformed packet: {error}"),
                    };
                    let _ = self.received.split_to(length);
                    return Some(packet);
                }
                Ok(Cut::Incomplete(_)) => {}
                Err(error) => panic!("the client sent bytes that are no packet: {error}"),
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// A CONNECT. Its version is that of the connection from now on.
    ///
    /// Cancel safe: what has come in part stays for the next call.
    pub async fn expect_connect(&mut self) -> Connect {
        match self.receive().await {
            Packet::Connect(connect) => {
                self.version = connect.version;
                connect
            }
            other => unexpected("CONNECT", &other),
        }
    }

    /// A PUBLISH.
    ///
    /// Cancel safe: what has come in part stays for the next call.
    pub async fn expect_publish(&mut self) -> Publish {
        match self.receive().await {
            Packet::Publish(publish) => publish,
            other => unexpected("PUBLISH", &other),
        }
    }

    /// A SUBSCRIBE.
    ///
    /// Cancel safe: what has come in part stays for the next call.
    pub async fn expect_subscribe(&mut self) -> Subscribe {
        match self.receive().await {
            Packet::Subscribe(subscribe) => subscribe,
            other => unexpected("SUBSCRIBE", &other),
        }
    }

    /// An UNSUBSCRIBE.
    ///
    /// Cancel safe: what has come in part stays for the next call.
    pub async fn expect_unsubscribe(&mut self) -> Unsubscribe {
        match self.receive().await {
            Packet::Unsubscribe(unsubscribe) => unsubscribe,
            other => unexpected("UNSUBSCRIBE", &other),
        }
    }

    /// A PUBACK, PUBREC, PUBREL or PUBCOMP.
    ///
    /// Cancel safe: what has come in part stays for the next call.
    pub async fn expect_ack(&mut self, packet_type: PacketType) -> Ack {
        let packet = self.receive().await;
        if packet.packet_type() != packet_type {
            unexpected(&format!("{packet_type:?}"), &packet);
        }
        match packet {
            Packet::PubAck(ack)
            | Packet::PubRec(ack)
            | Packet::PubRel(ack)
            | Packet::PubComp(ack) => ack,
            other => unexpected("an acknowledgement", &other),
        }
    }

    /// A DISCONNECT, and the end of the connection.
    ///
    /// Not cancel safe: the packet that has come is lost.
    pub async fn expect_disconnect(&mut self) -> Disconnect {
        match self.receive().await {
            Packet::Disconnect(disconnect) => {
                self.expect_closed().await;
                disconnect
            }
            other => unexpected("DISCONNECT", &other),
        }
    }

    /// The end of the connection.
    ///
    /// Cancel safe: what has come in part stays for the next call.
    pub async fn expect_closed(&mut self) {
        if let Some(packet) = self.next_packet("the end of the connection").await {
            unexpected("the end of the connection", &packet);
        }
    }

    /// Panics if the client sends anything within this time, but for PINGREQs.
    ///
    /// Cancel safe: what has come in part stays for the next call.
    pub async fn expect_nothing(&mut self, time: Duration) {
        let until = tokio::time::sleep(time);
        tokio::pin!(until);
        loop {
            let packet = tokio::select! {
                () = &mut until => return,
                packet = self.read_packet() => packet,
            };
            match packet {
                Some(Packet::PingReq) if self.answers_pings => self.send(Packet::PingResp).await,
                Some(packet) => unexpected("nothing", &packet),
                None => panic!("expected nothing, but the client closed the connection"),
            }
        }
    }
}

/// What the broker says.
impl Connection {
    /// PINGREQs are left without an answer, and are packets like others.
    pub fn ignore_pings(&mut self) {
        self.answers_pings = false;
    }

    /// Accepts a CONNECT, with a new session. Where it has no client identifier, one is assigned.
    ///
    /// Not cancel safe: part of a packet may have been sent.
    pub async fn accept(&mut self, connect: &Connect) {
        self.answer(connect, false).await;
    }

    /// Accepts a CONNECT, with the session that there was.
    ///
    /// Not cancel safe: part of a packet may have been sent.
    pub async fn resume(&mut self, connect: &Connect) {
        self.answer(connect, true).await;
    }

    async fn answer(&mut self, connect: &Connect, session_present: bool) {
        let is_nameless = connect.client_id.as_bytes().is_empty();
        let assigned = Text::new(&b"assigned"[..]).map(Property::AssignedClientIdentifier);
        let assigned = assigned.ok().filter(|_| is_nameless);
        let properties = Properties::new(assigned).unwrap_or_default();
        self.send(Packet::ConnAck(ConnAck {
            session_present,
            reason: ReasonCode::Success,
            properties,
        }))
        .await;
    }

    /// Refuses a CONNECT, and closes the connection.
    ///
    /// Not cancel safe: part of a packet may have been sent.
    pub async fn refuse(mut self, reason: ReasonCode) {
        self.send(Packet::ConnAck(ConnAck {
            session_present: false,
            reason,
            properties: Properties::default(),
        }))
        .await;
    }

    /// Acknowledges a PUBLISH: by a PUBACK, or by PUBREC and PUBCOMP.
    ///
    /// Not cancel safe: part of a packet may have been sent.
    pub async fn acknowledge(&mut self, publish: &Publish) {
        match publish.qos {
            PublishQoS::AtMostOnce => {}
            PublishQoS::AtLeastOnce(id) => {
                self.send(Packet::PubAck(ack(id, ReasonCode::Success)))
                    .await
            }
            PublishQoS::ExactlyOnce(id) => {
                self.send(Packet::PubRec(ack(id, ReasonCode::Success)))
                    .await;
                let pubrel = self.expect_ack(PacketType::PubRel).await;
                self.send(Packet::PubComp(ack(pubrel.packet_id, ReasonCode::Success)))
                    .await;
            }
        }
    }

    /// Grants all that a SUBSCRIBE asks for.
    ///
    /// Not cancel safe: part of a packet may have been sent.
    pub async fn grant(&mut self, subscribe: &Subscribe) {
        let granted = subscribe
            .subscriptions
            .iter()
            .map(|one| match one.options.qos {
                QoS::AtMostOnce => ReasonCode::Success,
                QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
                QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
            });
        self.send(Packet::SubAck(SubAck {
            packet_id: subscribe.packet_id,
            properties: Properties::default(),
            reasons: granted.collect(),
        }))
        .await;
    }

    /// Waits for a SUBSCRIBE, and grants it.
    ///
    /// Not cancel safe: the packet that has come is lost.
    pub async fn expect_and_grant(&mut self) -> Subscribe {
        let subscribe = self.expect_subscribe().await;
        self.grant(&subscribe).await;
        subscribe
    }

    /// Answers an UNSUBSCRIBE.
    ///
    /// Not cancel safe: part of a packet may have been sent.
    pub async fn release(&mut self, unsubscribe: &Unsubscribe) {
        let reasons = unsubscribe.filters.iter().map(|_| ReasonCode::Success);
        self.send(Packet::UnsubAck(UnsubAck {
            packet_id: unsubscribe.packet_id,
            properties: Properties::default(),
            reasons: reasons.collect(),
        }))
        .await;
    }

    /// Sends a message to the client, and gives its packet identifier: 1, 2 and so on for those of QoS 1 and 2.
    ///
    /// Not cancel safe: part of a packet may have been sent.
    pub async fn publish(
        &mut self,
        topic: impl IntoTopic,
        payload: impl Into<Bytes>,
        qos: QoS,
    ) -> Option<PacketId> {
        let topic = match topic.into_topic() {
            Ok(topic) => topic,
            Err(error) => panic!("the broker cannot publish to this: {error}"),
        };
        let id = PacketId::new(self.next_id);
        let qos = match (qos, id) {
            (QoS::AtLeastOnce, Some(id)) => PublishQoS::AtLeastOnce(id),
            (QoS::ExactlyOnce, Some(id)) => PublishQoS::ExactlyOnce(id),
            (QoS::AtMostOnce, _) | (_, None) => PublishQoS::AtMostOnce,
        };
        if qos.packet_id().is_some() {
            self.next_id += 1;
        }
        self.send(Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic: Some(topic),
            properties: Properties::default(),
            payload: payload.into(),
        }))
        .await;
        qos.packet_id()
    }

    /// Sends a packet.
    ///
    /// Not cancel safe: part of a packet may have been sent.
    pub async fn send(&mut self, packet: Packet) {
        match packet.to_vec(self.version) {
            Ok(bytes) => self.send_bytes(&bytes).await,
            Err(error) => panic!("the broker cannot send {packet:?}: {error}"),
        }
    }

    /// Sends bytes, which need not be a packet. A client that is gone does not hear them.
    ///
    /// Not cancel safe: part of a packet may have been sent.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = self.stream.write_all(bytes);
        let _ = within("the client to read", sent).await;
    }

    /// Closes the connection without a word.
    pub fn close(self) {}
}

/// An acknowledgement without properties.
fn ack(packet_id: PacketId, reason: ReasonCode) -> Ack {
    Ack {
        packet_id,
        reason,
        properties: Properties::default(),
    }
}

async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, event).await {
        Ok(value) => value,
        Err(_) => panic!("expected {what} within {PATIENCE:?}"),
    }
}

fn unexpected(what: &str, packet: &impl Debug) -> ! {
    panic!("expected {what}, but the client sent {packet:?}")
}
