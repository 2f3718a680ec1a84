//! The server of a test: it sends any bytes to a session, and looks closely at what comes back.
//!
//! Time is what the test says it is, and bytes arrive one at a time.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use mqtt_client::outbox::OutboxChange;
use mqtt_client::session::{
    Credentials, DeliveryId, Event, PublishId, Session, SessionOptions, SubscriptionId, Wanted,
};
use mqtt_client::{
    ConnectionError, Error, Instant, Message, Properties, QoS, SubscriptionOptions, TopicFilter,
};
use mqtt_conformance::Version;
use mqtt_conformance::notation::Notation;

use crate::packet::{Kind, Packet, whole_packet};

/// A packet of more bytes arrives at once.
const BYTE_BY_BYTE_MAX: usize = 1024;

/// A server with one client, and the time of both.
pub(crate) struct Server {
    /// The client.
    pub(crate) session: Session,
    pub(crate) now: Instant,
    version: Version,
    /// Bytes that the client has not taken yet: of a packet that is not whole.
    arriving: BytesMut,
    /// Bytes of the client that the test has not looked at.
    sent: Vec<u8>,
    /// The first packet of a connection is a CONNECT, and none follows a DISCONNECT.
    said: Said,
    events: VecDeque<Event>,
}

/// What the client has said on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Hello,
    Goodbye,
}

/// A message that the client has handed to its application.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    pub(crate) subscription: SubscriptionId,
    pub(crate) delivery: Option<DeliveryId>,
    pub(crate) message: Message,
}

impl Server {
    /// The client has an open transport, and has not been read from.
    pub(crate) fn new(version: Version, options: SessionOptions) -> Self {
        let mut server = Self::unopened(version, options);
        server.open(Credentials::default());
        server
    }

    /// The client has no transport yet.
    pub(crate) fn unopened(version: Version, options: SessionOptions) -> Self {
        let now = Instant::from_millis(1_000_000_000_000);
        Self {
            session: Session::new(options, 1, now),
            now,
            version,
            arriving: BytesMut::new(),
            sent: Vec::new(),
            said: Said::Nothing,
            events: VecDeque::new(),
        }
    }

    /// Opens the transport that the client wants, now or after its next deadline.
    #[track_caller]
    pub(crate) fn open(&mut self, credentials: Credentials) {
        while !matches!(self.session.wanted(), Wanted::Open(_)) {
            assert_eq!(
                self.session.wanted(),
                Wanted::Nothing,
                "a client that waits"
            );
            let deadline = self.session.deadline().expect("a time to connect at");
            self.now = self.now.max(deadline);
            self.session.handle_deadline(self.now);
        }
        assert!(self.sent.is_empty(), "{:02x?} was not looked at", self.sent);
        self.arriving.clear();
        self.said = Said::Nothing;
        self.session.handle_opened(self.now, credentials);
    }

    /// Takes the CONNECT and lets the client in: with these connect acknowledge flags and properties.
    #[track_caller]
    pub(crate) fn accept(&mut self, flags: &str, properties: &str) -> Packet {
        let connect = self.expect("10 <..>");
        self.send(&format!("20 <{flags} 00 {{{properties}}}>"));
        assert!(self.session.connected().is_some(), "it was let in");
        connect
    }

    /// The connection breaks, after two seconds: not so soon that a message could be the cause.
    pub(crate) fn break_connection(&mut self) {
        self.pass(Duration::from_secs(2));
        self.pump();
        self.sent.clear();
        self.session
            .handle_closed(self.now, ConnectionError::ClosedByServer);
    }

    /// The connection breaks and the client comes back: to the session that it had, or to none.
    #[track_caller]
    pub(crate) fn comes_back(&mut self, flags: &str) -> Packet {
        self.comes_back_with(flags, "")
    }

    /// The same, with these properties in the CONNACK.
    #[track_caller]
    pub(crate) fn comes_back_with(&mut self, flags: &str, properties: &str) -> Packet {
        self.break_connection();
        self.open(Credentials::default());
        self.accept(flags, properties)
    }

    /// The client's outbox has all changes, and has said so.
    pub(crate) fn commit(&mut self) -> Vec<OutboxChange> {
        let changes = self.session.take_changes();
        self.session.handle_committed(self.now, Ok(()));
        changes
    }

    /// Bytes in the notation.
    #[track_caller]
    pub(crate) fn encode(&self, notation: &str) -> Vec<u8> {
        Notation::read(notation, self.version, "~").bytes()
    }

    /// Sends bytes in the notation.
    #[track_caller]
    pub(crate) fn send(&mut self, notation: &str) {
        let bytes = self.encode(notation);
        self.send_bytes(&bytes);
    }

    /// Sends any bytes.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let step = if bytes.len() > BYTE_BY_BYTE_MAX {
            bytes.len()
        } else {
            1
        };
        for piece in bytes.chunks(step) {
            self.arriving.extend_from_slice(piece);
            self.session.handle_received(self.now, &mut self.arriving);
        }
    }

    /// The next packet, which has to be as described.
    #[track_caller]
    pub(crate) fn expect(&mut self, notation: &str) -> Packet {
        let packet = self.packet();
        assert!(
            Notation::read(notation, self.version, "~").matches(&packet.bytes),
            "{packet:?}, instead of {notation}"
        );
        packet
    }

    /// The next packet, which has to be there.
    #[track_caller]
    pub(crate) fn packet(&mut self) -> Packet {
        self.next()
            .unwrap_or_else(|| panic!("nothing came; a packet was expected"))
    }

    /// All packets that are there.
    #[track_caller]
    pub(crate) fn packets(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Nothing is sent.
    #[track_caller]
    pub(crate) fn nothing(&mut self) {
        if let Some(packet) = self.next() {
            panic!("{packet:?}, instead of nothing");
        }
    }

    #[track_caller]
    fn next(&mut self) -> Option<Packet> {
        self.pump();
        let length = whole_packet(&self.sent)?;
        let bytes: Vec<u8> = self.sent.drain(..length).collect();
        let packet = match Packet::read(&bytes, self.version) {
            Ok(packet) => packet,
            Err(error) => panic!("{error}"),
        };
        self.said = match (self.said, packet.kind) {
            (Said::Nothing, Kind::Connect) => Said::Hello,
            (Said::Hello, Kind::Disconnect) => Said::Goodbye,
            (Said::Hello, Kind::Connect) | (Said::Nothing | Said::Goodbye, _) => {
                panic!("{packet:?} after {:?}", self.said)
            }
            (Said::Hello, _) => Said::Hello,
        };
        Some(packet)
    }

    /// Takes all that the client has to send.
    pub(crate) fn pump(&mut self) {
        let mut out = Vec::new();
        loop {
            self.session.write(self.now, &mut out);
            if out.is_empty() {
                return;
            }
            self.sent.append(&mut out);
        }
    }

    /// The client closes the connection. In 5.0 it says why before, in 3.x it has no words for it.
    /// Whatever comes then, it sends nothing more on it.
    #[track_caller]
    pub(crate) fn closes(&mut self, reason: u8) {
        if self.version == Version::V5 {
            self.expect(&format!("e0 <{reason:02x} ..>"));
        }
        self.closes_silently();
    }

    /// The client closes the connection without a word.
    #[track_caller]
    pub(crate) fn closes_silently(&mut self) {
        let wanted = self.session.wanted();
        assert_ne!(wanted, Wanted::Connection, "the client stays");
        self.send("d0 <>");
        self.nothing();
    }

    /// The client goes on with the connection: it answers the DISCONNECT of its application alone.
    #[track_caller]
    pub(crate) fn goes_on(&mut self) {
        self.nothing();
        assert_eq!(self.session.wanted(), Wanted::Connection, "the client left");
    }

    /// Lets time pass, and all happen that is due by then.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.session.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.session.handle_deadline(self.now);
            self.pump();
        }
        self.now = end;
    }

    /// The application publishes, and its message is accepted.
    #[track_caller]
    pub(crate) fn publish(&mut self, topic: &str, payload: &str, qos: u8) -> PublishId {
        self.publish_message(message(topic, payload, qos))
    }

    #[track_caller]
    pub(crate) fn publish_message(&mut self, message: Message) -> PublishId {
        match self.session.publish(self.now, message) {
            Ok(id) => id,
            Err(error) => panic!("not accepted: {error}"),
        }
    }

    /// The application publishes, and its message is not accepted, or fails at once.
    #[track_caller]
    pub(crate) fn publish_fails(&mut self, message: Message) -> Error {
        match self.session.publish(self.now, message) {
            Ok(id) => {
                self.nothing();
                match self.published(id) {
                    Some(Err(error)) => error,
                    other => panic!("{other:?}, instead of an error"),
                }
            }
            Err(error) => error,
        }
    }

    /// What became of a message, if that is known.
    pub(crate) fn published(&mut self, wanted: PublishId) -> Option<Result<u8, Error>> {
        self.take_event(|event| match event {
            Event::Published { id, result } if *id == wanted => {
                Some(result.clone().map(|ack| ack.reason as u8))
            }
            _ => None,
        })
    }

    /// The application subscribes; the SUBSCRIBE is not answered.
    #[track_caller]
    pub(crate) fn asks(&mut self, filters: &[&str], qos: u8) -> SubscriptionId {
        let options = SubscriptionOptions::of_qos(level(qos));
        let filters = filters.iter().map(|filter| {
            let filter = TopicFilter::from_text(filter).expect("a topic filter");
            (filter, options)
        });
        self.session
            .subscribe(self.now, filters.collect(), &Properties::default())
            .expect("a subscription that is accepted")
    }

    /// The application subscribes, and the server grants it.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) -> SubscriptionId {
        let subscription = self.asks(&[filter], qos);
        let packet = self.expect("82 <..>");
        let id = packet.id();
        self.send(&format!("90 <{id:04x} {{}} {qos:02x}>"));
        subscription
    }

    /// What the application has been told of a subscription.
    pub(crate) fn subscribed(
        &mut self,
        wanted: SubscriptionId,
    ) -> Option<Result<Vec<Result<u8, u8>>, Error>> {
        self.take_event(|event| match event {
            Event::Subscribed { id, result } if *id == wanted => {
                let codes = |one: &Result<QoS, mqtt_client::ReasonCode>| match one {
                    Ok(qos) => Ok(*qos as u8),
                    Err(reason) => Err(*reason as u8),
                };
                let result = result.clone();
                Some(result.map(|all| all.iter().map(codes).collect()))
            }
            _ => None,
        })
    }

    /// The next message for the application, if there is one.
    pub(crate) fn message(&mut self) -> Option<Delivered> {
        self.take_event(|event| match event {
            Event::Message {
                subscription,
                delivery,
                message,
            } => Some(Delivered {
                subscription: *subscription,
                delivery: *delivery,
                message: message.clone(),
            }),
            _ => None,
        })
    }

    /// The payloads of all messages for the application, in order. It acknowledges none.
    pub(crate) fn payloads(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.message())
            .map(|delivered| delivered.message.text().expect("text").to_owned())
            .collect()
    }

    /// The application takes the next message, and is done with it.
    #[track_caller]
    pub(crate) fn take(&mut self) -> Message {
        let delivered = self.message().expect("a message for the application");
        self.done(&delivered);
        delivered.message
    }

    /// The application is done with a message.
    pub(crate) fn done(&mut self, delivered: &Delivered) {
        if let Some(delivery) = delivered.delivery {
            self.session
                .acknowledge(self.now, delivered.subscription, delivery);
        }
    }

    /// Takes the first event that `wanted` says something about out of those that were not taken.
    pub(crate) fn take_event<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> Option<T> {
        while let Some(event) = self.session.poll_event() {
            self.events.push_back(event);
        }
        let found = |(at, event): (usize, &Event)| wanted(event).map(|found| (at, found));
        let (at, found) = self.events.iter().enumerate().find_map(found)?;
        self.events.remove(at);
        Some(found)
    }
}

/// A message without properties.
#[track_caller]
pub(crate) fn message(topic: &str, payload: &str, qos: u8) -> Message {
    let mut message = Message::new(topic, payload.to_owned()).expect("a topic name");
    message.qos = level(qos);
    message
}

#[track_caller]
pub(crate) fn level(qos: u8) -> QoS {
    QoS::from_number(qos).expect("a QoS")
}

/// Properties that may be there together.
#[track_caller]
pub(crate) fn properties<'a>(
    properties: impl IntoIterator<Item = mqtt_client::Property<'a>>,
) -> Properties {
    Properties::new(properties).expect("properties that can be encoded")
}
