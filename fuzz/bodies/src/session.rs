//! Any server, network and application around a client's session: packets that make sense and packets that do
//! not, bytes that are none, connections that break, time that passes, commits that wait.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bytes::BytesMut;
use mqtt_client::outbox::Stored;
use mqtt_client::session::{
    Credentials, DeliveryId, Disconnecting, Event, Offline, OnSessionLoss, PublishId, Session,
    SessionOptions, SubscriptionId, Versions, WRITE_BYTES, Wanted,
};
use mqtt_client::{ConnectionError, Ended, Instant, Message, SubscriptionOptions, TopicFilter};
use mqtt_codec::{
    Ack, ConnAck, Cut, Packet, PacketId, Properties, PublishQoS, QoS, ReasonCode, SubAck, Version,
    cut,
};

use crate::packet::{packet, properties};

/// Steps of one run, at the most: what comes later finds nothing new.
const STEPS_MAX: usize = 300;

/// A client, and what its surroundings know of it.
struct Run {
    session: Session,
    now: Instant,
    has_outbox: bool,
    committing: bool,
    version: Version,
    /// Bytes of the server that are no whole packet yet.
    received: BytesMut,
    /// What the client has sent and the server could answer.
    sent: VecDeque<Packet>,
    /// Messages without a result.
    accepted: HashMap<PublishId, QoS>,
    subscriptions: Vec<SubscriptionId>,
    held: Vec<(SubscriptionId, DeliveryId)>,
    has_ended: bool,
}

/// Takes options and steps from the bytes. What the client writes are packets that a client may send, each message
/// has one result, and nothing makes it panic.
pub fn session(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(mut run) = Run::new(&mut input) else {
        return;
    };
    for _ in 0..STEPS_MAX {
        if run.step(&mut input).is_err() || input.is_empty() {
            break;
        }
        run.settle();
    }
    run.finish();
}

impl Run {
    fn new(input: &mut Unstructured<'_>) -> Result<Self> {
        let mut options = SessionOptions::default();
        options.versions = match input.int_in_range(0..=3)? {
            0 => Versions::Newest,
            1 => Versions::Only(Version::V3_1),
            2 => Versions::Only(Version::V3_1_1),
            _ => Versions::Only(Version::V5),
        };
        options.client_id = if input.arbitrary()? {
            "c".into()
        } else {
            String::new()
        };
        options.session_expiry = input
            .arbitrary::<bool>()?
            .then_some(Duration::from_secs(100));
        options.receive_maximum = input.int_in_range(0..=5)?;
        options.in_flight_max = Some(input.int_in_range(0..=5)?);
        options.packet_bytes_max = input.int_in_range(1..=1000)?;
        options.received_bytes_max = input.int_in_range(0..=1000)?;
        options.queue_messages_max = input.int_in_range(0..=10)?;
        options.topic_alias_maximum = input.int_in_range(0..=2)?;
        options.topic_aliases_used_max = input.int_in_range(0..=2)?;
        options.keep_alive = input.int_in_range(0..=10)?;
        if input.arbitrary()? {
            options.offline_qos0 = Offline::Queue;
            options.on_session_loss = OnSessionLoss::Republish;
        }
        let now = Instant::from_millis(1_700_000_000_000);
        let mut session = Session::new(options, 1, now);
        let has_outbox = input.arbitrary()?;
        if has_outbox {
            session.restore(Stored::default());
        }
        Ok(Self {
            session,
            now,
            has_outbox,
            committing: false,
            version: Version::V5,
            received: BytesMut::new(),
            sent: VecDeque::new(),
            accepted: HashMap::new(),
            subscriptions: Vec::new(),
            held: Vec::new(),
            has_ended: false,
        })
    }

    fn step(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let now = self.now;
        match input.int_in_range(0..=13)? {
            0 => self.pass(input.int_in_range(0..=20_000)?),
            1 => self.connect(input)?,
            2 => {
                let packet = packet(input, self.version)?;
                self.receive(&packet);
            }
            3 => {
                let bytes = input.bytes(input.len().min(5))?;
                self.received.extend_from_slice(bytes);
                self.session.handle_received(now, &mut self.received);
            }
            4 | 5 => self.answer(input)?,
            6 => {
                self.received.clear();
                self.sent.clear();
                self.session
                    .handle_closed(now, ConnectionError::ClosedByServer);
            }
            7 | 8 => self.publish(input)?,
            9 => self.subscribe(input)?,
            10 => {
                if !self.subscriptions.is_empty() {
                    let at = input.choose_index(self.subscriptions.len())?;
                    let id = self.subscriptions.swap_remove(at);
                    if input.arbitrary()? {
                        self.session.unsubscribe(now, id);
                    } else {
                        self.session.detach(now, id);
                    }
                }
            }
            11 => self.acknowledge(input)?,
            12 => self.commit(),
            _ => {
                if input.ratio(1, 10)? {
                    self.session.disconnect(now, Disconnecting::default());
                } else if input.arbitrary()? {
                    self.session.pause_reading();
                } else {
                    self.session.resume_reading(now);
                }
            }
        }
        Ok(())
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.session.handle_deadline(self.now);
    }

    /// Opens a transport, if one is wanted, and perhaps lets the client in.
    fn connect(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        if matches!(self.session.wanted(), Wanted::Nothing) {
            self.pass(30_000);
        }
        if !matches!(self.session.wanted(), Wanted::Open(_)) {
            return Ok(());
        }
        self.received.clear();
        self.sent.clear();
        self.session.handle_opened(self.now, Credentials::default());
        self.write();
        if input.ratio(4, 5)? {
            let properties = match self.version {
                Version::V5 => properties(input, Version::V5, mqtt_codec::PropertyOwner::ConnAck)?,
                Version::V3_1 | Version::V3_1_1 => Properties::default(),
            };
            let session_present = input.arbitrary()?;
            self.receive(&Packet::ConnAck(ConnAck {
                session_present,
                reason: ReasonCode::Success,
                properties,
            }));
        }
        Ok(())
    }

    fn receive(&mut self, packet: &Packet) {
        // What this version does not have is not sent.
        if let Ok(bytes) = packet.to_vec(self.version) {
            self.received.extend_from_slice(&bytes);
            self.session.handle_received(self.now, &mut self.received);
        }
    }

    /// Answers one of the packets that the client has sent, as a server does.
    fn answer(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        if self.sent.is_empty() {
            return Ok(());
        }
        let at = input.choose_index(self.sent.len())?;
        let Some(sent) = self.sent.remove(at) else {
            return Ok(());
        };
        let ack = |id: PacketId| Ack {
            packet_id: id,
            reason: ReasonCode::Success,
            properties: Properties::default(),
        };
        let answer = match sent {
            Packet::Publish(ref publish) => match publish.qos {
                PublishQoS::AtMostOnce => return Ok(()),
                PublishQoS::AtLeastOnce(id) => Packet::PubAck(ack(id)),
                PublishQoS::ExactlyOnce(id) => Packet::PubRec(ack(id)),
            },
            Packet::PubRel(ref released) => Packet::PubComp(ack(released.packet_id)),
            Packet::PubRec(ref received) => Packet::PubRel(ack(received.packet_id)),
            Packet::Subscribe(ref subscribe) => Packet::SubAck(SubAck {
                packet_id: subscribe.packet_id,
                properties: Properties::default(),
                reasons: subscribe
                    .subscriptions
                    .iter()
                    .map(|_| ReasonCode::Success)
                    .collect(),
            }),
            Packet::PingReq => Packet::PingResp,
            // They have no answer; sent back, they are what a server does not send.
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::PubAck(_)
            | Packet::PubComp(_)
            | Packet::SubAck(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Disconnect(_)
            | Packet::Auth(_) => sent,
        };
        self.receive(&answer);
        Ok(())
    }

    fn publish(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let topic = input.choose(&["a", "b/c", "a/long/topic/name"])?;
        let payload = vec![b'x'; input.int_in_range(0..=100)?];
        let mut message = Message::new(topic, payload).expect("a topic name");
        message.qos = *input.choose(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])?;
        message.retain = input.arbitrary()?;
        let qos = message.qos;
        if let Ok(id) = self.session.publish(self.now, message) {
            let is_new = self.accepted.insert(id, qos).is_none();
            assert!(is_new, "two messages with one identifier");
        }
        Ok(())
    }

    fn subscribe(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let filter = input.choose(&["#", "a", "b/+", "$share/g/a"])?;
        let filter = TopicFilter::from_text(filter).expect("a topic filter");
        let filters = vec![(filter, SubscriptionOptions::of_qos(QoS::ExactlyOnce))];
        let none = Properties::default();
        self.subscriptions
            .extend(self.session.subscribe(self.now, filters, &none));
        Ok(())
    }

    fn acknowledge(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let at = input.choose_index(self.held.len())?;
        let (reader, delivery) = self.held.swap_remove(at);
        if input.ratio(1, 5)? {
            let reason = *input.choose(ReasonCode::ALL)?;
            self.session.reject(self.now, reader, delivery, reason);
        } else {
            self.session.acknowledge(self.now, reader, delivery);
        }
        Ok(())
    }

    /// A commit begins, or ends.
    fn commit(&mut self) {
        if !self.has_outbox {
            return;
        }
        if self.committing {
            self.session.handle_committed(self.now, Ok(()));
        } else {
            self.session.take_changes();
        }
        self.committing = !self.committing;
    }

    /// What follows from a step.
    fn settle(&mut self) {
        self.write();
        self.events();
        if self.session.wanted() == Wanted::Close {
            self.session
                .handle_closed(self.now, ConnectionError::ClosedByServer);
            self.events();
        }
    }

    /// Everything that is written is a packet that a client may send.
    fn write(&mut self) {
        let mut out = Vec::new();
        self.session.write(self.now, &mut out);
        assert!(out.len() < 2 * WRITE_BYTES, "more than was asked for");
        let mut rest = out.as_slice();
        while !rest.is_empty() {
            let Ok(Cut::Whole(frame)) = cut(rest, usize::MAX) else {
                panic!("the client writes whole packets");
            };
            rest = rest.get(frame.bytes.len()..).unwrap_or_default();
            let version = mqtt_codec::Connect::peek_version(frame).unwrap_or(self.version);
            self.version = version;
            let sent = Packet::decode(frame, version)
                .expect("a sound packet")
                .to_bytes();
            let is_servers = matches!(
                sent,
                Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp
            );
            assert!(!is_servers, "a client does not send {sent:?}");
            self.sent.push_back(sent);
        }
    }

    fn events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            assert!(!self.has_ended, "{event:?} after the end");
            match event {
                Event::Published { id, .. } => {
                    let accepted = self.accepted.remove(&id);
                    assert!(accepted.is_some(), "a result of nothing, or a second one");
                }
                Event::Message {
                    subscription,
                    delivery: Some(delivery),
                    ..
                } => self.held.push((subscription, delivery)),
                Event::Ended(_) => self.has_ended = true,
                Event::Connected(_)
                | Event::SessionLost
                | Event::Disconnected { .. }
                | Event::Stored { .. }
                | Event::Room
                | Event::Subscribed { .. }
                | Event::Unsubscribed { .. }
                | Event::Message { delivery: None, .. }
                | Event::Unclaimed { .. }
                | Event::Authentication(_)
                | Event::Reauthenticated(_) => {}
            }
        }
    }

    /// In the end, every message has had its result.
    fn finish(&mut self) {
        self.session.end(self.now, Ended::Disconnected);
        self.events();
        assert!(self.has_ended, "the end is told");
        assert!(
            self.accepted.is_empty(),
            "no result for {:?}",
            self.accepted
        );
    }
}
