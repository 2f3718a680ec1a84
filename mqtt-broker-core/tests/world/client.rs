//! A scripted client: speaks real bytes, and sees to it that what it gets is legal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqtt_codec::{
    Ack, Auth, ConnAck, Cut, Packet, PacketId, Properties, Property, Publish, PublishQoS, QoS,
    ReasonCode, SubAck, Subscribe, Subscription, SubscriptionOptions, Subscriptions, TopicFilter,
    TopicFilters, Unsubscribe, Version, cut,
};

use super::describe::describe;
use super::script::{Hello, Post, text};

/// A client, connected or not. It outlives its connections, as its side of the session does.
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) hello: Hello,
    /// Bytes on their way to the broker.
    pub(crate) sending: Vec<u8>,
    /// The start of a packet.
    receiving: Vec<u8>,
    /// What came, as text.
    pub(crate) log: Vec<String>,
    /// The messages that came.
    pub(crate) deliveries: Vec<Received>,
    /// The messages that the broker has taken.
    pub(crate) taken: Vec<Taken>,
    /// False: acknowledgements are kept until they are asked for.
    pub(crate) acknowledges: bool,
    pub(crate) kept: VecDeque<Packet<&'static [u8]>>,
    /// True if the script sends packets of its own: then not every answer is expected.
    pub(crate) improvises: bool,
    /// True if it acknowledges what it has not got: then nothing is certain.
    pub(crate) lawless: bool,
    /// Of this connection: the answer to its CONNECT.
    pub(crate) connack: Option<ConnAck>,
    over: bool,
    aliases: BTreeMap<u16, String>,
    in_flight: BTreeSet<u16>,
    subscribing: BTreeMap<u16, Vec<(String, QoS)>>,
    unsubscribing: BTreeMap<u16, usize>,
    /// What the client has published again since somebody looked.
    pub(crate) resent: Vec<Vec<u8>>,
    /// Counts the client's sessions.
    pub(crate) incarnation: u32,
    /// True once the broker has confirmed a session that stays.
    pub(crate) has_session: bool,
    /// Of the session: what is subscribed for certain, with the QoS that is granted at least.
    pub(crate) subscribed: BTreeMap<String, QoS>,
    /// Of the session: QoS 2 messages that the broker has not released.
    unreleased: BTreeSet<u16>,
    /// Of the session: what came and was not acknowledged to the end.
    pub(crate) unacknowledged: BTreeMap<u16, Received>,
    /// Of the session: what was published and not acknowledged to the end, in order.
    pub(crate) outgoing: Vec<Outgoing>,
    next_id: u16,
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) id: Option<u16>,
    /// True if it came before, and was not released since: QoS 2.
    pub(crate) repeated: bool,
}

/// A message that the broker has taken.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) payload: Vec<u8>,
    pub(crate) reason: ReasonCode,
}

/// A QoS 1 or 2 message under way to the broker.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) id: u16,
    pub(crate) post: Post,
    pub(crate) released: bool,
}

impl Client {
    pub(crate) fn new(name: &str, hello: Hello) -> Self {
        Self {
            name: name.to_owned(),
            hello,
            sending: Vec::new(),
            receiving: Vec::new(),
            log: Vec::new(),
            deliveries: Vec::new(),
            taken: Vec::new(),
            acknowledges: true,
            kept: VecDeque::new(),
            improvises: false,
            lawless: false,
            connack: None,
            over: false,
            aliases: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            subscribing: BTreeMap::new(),
            unsubscribing: BTreeMap::new(),
            resent: Vec::new(),
            incarnation: 0,
            has_session: false,
            subscribed: BTreeMap::new(),
            unreleased: BTreeSet::new(),
            unacknowledged: BTreeMap::new(),
            outgoing: Vec::new(),
            next_id: 0,
        }
    }

    pub(crate) fn version(&self) -> Version {
        self.hello.version
    }

    /// Starts a new connection with a CONNECT.
    pub(crate) fn connect(&mut self, hello: Hello) {
        // [MQTT-3.1.2-4]
        if hello.clean_start || !self.hello.is_to_stay() {
            self.forget_session();
        }
        self.hello = hello;
        self.connack = None;
        self.over = false;
        self.sending.clear();
        self.receiving.clear();
        self.kept.clear();
        self.aliases.clear();
        self.in_flight.clear();
        self.subscribing.clear();
        self.unsubscribing.clear();
        self.resent.clear();
        let packet = Packet::Connect(self.hello.packet(&self.name));
        self.send(&packet);
    }

    pub(crate) fn send<B: AsRef<[u8]>>(&mut self, packet: &Packet<B>) {
        if let Packet::PubAck(ack) | Packet::PubComp(ack) = packet {
            self.in_flight.remove(&ack.packet_id.get());
            self.unacknowledged.remove(&ack.packet_id.get());
        }
        let version = self.version();
        packet.encode(version, &mut self.sending).unwrap();
    }

    /// Publishes, and remembers what is to be acknowledged.
    pub(crate) fn publish(&mut self, post: Post) {
        let id = (post.qos > QoS::AtMostOnce).then(|| post.id.unwrap_or_else(|| self.new_id()));
        let packet = post.publish(id.and_then(PacketId::new));
        self.send(&Packet::Publish(packet));
        if let Some(id) = id {
            self.outgoing.retain(|outgoing| outgoing.id != id);
            self.outgoing.push(Outgoing {
                id,
                post,
                released: false,
            });
        }
    }

    /// A packet identifier that is not in use.
    pub(crate) fn new_id(&mut self) -> u16 {
        loop {
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            if self
                .outgoing
                .iter()
                .all(|outgoing| outgoing.id != self.next_id)
            {
                return self.next_id;
            }
        }
    }

    pub(crate) fn subscribe(
        &mut self,
        subscriptions: &[(&str, SubscriptionOptions)],
        identifier: Option<u32>,
    ) {
        let id = self.new_id();
        let list = subscriptions.iter().map(|(filter, options)| Subscription {
            filter: TopicFilter::new(filter.as_bytes()).unwrap(),
            options: *options,
        });
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::new(id).unwrap(),
            properties: Properties::new(identifier.map(Property::SubscriptionIdentifier)).unwrap(),
            subscriptions: Subscriptions::new(list).unwrap(),
        });
        self.send(&packet);
        for (filter, options) in subscriptions {
            self.lower(filter, options.qos);
        }
        let wanted = subscriptions.iter();
        let wanted = wanted.map(|(filter, options)| ((*filter).to_owned(), options.qos));
        self.subscribing.insert(id, wanted.collect());
    }

    pub(crate) fn unsubscribe(&mut self, filters: &[&str]) {
        let id = self.new_id();
        let list = filters
            .iter()
            .map(|filter| TopicFilter::new(filter.as_bytes()).unwrap());
        let packet = Packet::Unsubscribe(Unsubscribe {
            packet_id: PacketId::new(id).unwrap(),
            properties: Properties::default(),
            filters: TopicFilters::new(list).unwrap(),
        });
        self.send(&packet);
        for filter in filters {
            self.lower(filter, QoS::AtMostOnce);
        }
        self.unsubscribing.insert(id, filters.len());
    }

    /// From now on no more than this QoS is certain for a filter.
    fn lower(&mut self, filter: &str, qos: QoS) {
        let pending = self.subscribing.values_mut().flatten();
        let pending = pending.map(|(filter, granted)| (&*filter, granted));
        for (other, granted) in self.subscribed.iter_mut().chain(pending) {
            if other == filter {
                *granted = qos.min(*granted);
            }
        }
    }

    /// Sends an acknowledgement that was kept; false if there is none.
    pub(crate) fn acknowledge_next(&mut self) -> bool {
        let next = self.kept.pop_front();
        next.map(|packet| self.send(&packet)).is_some()
    }

    /// Takes what has come.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.receiving.extend_from_slice(bytes);
        let received = std::mem::take(&mut self.receiving);
        let mut rest = received.as_slice();
        while let Cut::Whole(frame) = cut(rest, mqtt_codec::PACKET_BYTES_MAX).unwrap() {
            rest = &rest[frame.bytes.len()..];
            let max = self.hello.packet_bytes_max.unwrap_or(u32::MAX) as usize;
            // [MQTT-3.1.2-24]
            assert!(
                frame.bytes.len() <= max,
                "{}: {} bytes",
                self.name,
                frame.bytes.len()
            );
            let packet = Packet::decode(frame, self.version())
                .unwrap_or_else(|error| panic!("{}: {error}: {:?}", self.name, frame.bytes));
            self.handle(&packet);
        }
        self.receiving = rest.to_vec();
    }

    /// The broker has closed the connection.
    pub(crate) fn closed(&mut self) {
        assert!(self.receiving.is_empty(), "{}: half a packet", self.name);
        self.log.push("CLOSED".to_owned());
    }

    fn handle(&mut self, packet: &Packet<&[u8]>) {
        self.check_turn(packet);
        self.check_words(packet);
        let topic = match packet {
            Packet::Publish(publish) => self.topic(publish),
            _ => String::new(),
        };
        self.log.push(describe(packet, &topic));
        match packet {
            Packet::ConnAck(connack) => self.handle_connack(connack),
            Packet::Publish(publish) => self.handle_publish(publish, topic),
            Packet::PubAck(ack) => self.handle_puback(ack),
            Packet::PubRec(ack) => self.handle_pubrec(ack),
            Packet::PubRel(ack) => self.handle_pubrel(ack),
            Packet::PubComp(ack) => self.handle_pubcomp(ack),
            Packet::SubAck(packet) => self.handle_suback(packet),
            Packet::UnsubAck(packet) => {
                let filters = self.unsubscribing.remove(&packet.packet_id.get());
                // [MQTT-3.10.4-5]
                let count = if self.version() == Version::V5 {
                    Some(packet.reasons.iter().count())
                } else {
                    filters
                };
                self.expect(filters.is_some() && filters == count, "UNSUBACK");
            }
            Packet::Disconnect(packet) => {
                // [MQTT-3.14.2-2]
                assert_eq!(packet.properties.session_expiry_interval(), None);
                self.over = true;
            }
            Packet::Auth(packet) => {
                // [MQTT-4.12.0-5] [MQTT-4.12.0-6]
                let method = packet.properties.authentication_method();
                assert_eq!(
                    method.map(|method| method.to_string()),
                    self.hello.method.clone()
                );
                assert!(
                    self.hello.method.is_some(),
                    "{}: AUTH without a method",
                    self.name
                );
            }
            Packet::PingResp => {}
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq => unreachable!("describe has panicked"),
        }
    }

    /// CONNACK comes first and once, DISCONNECT last.
    fn check_turn(&self, packet: &Packet<&[u8]>) {
        let name = &self.name;
        // [MQTT-3.14.4-1]
        assert!(
            !self.over,
            "{name}: {packet:?} behind the end of the connection"
        );
        match packet {
            // [MQTT-3.2.0-2]
            Packet::ConnAck(_) => {
                assert!(self.connack.is_none(), "{name}: CONNACK again")
            }
            Packet::Auth(_) => assert_eq!(self.version(), Version::V5),
            Packet::Disconnect(_) => {
                assert_eq!(self.version(), Version::V5, "{name}: DISCONNECT");
                // [MQTT-3.14.0-1]
                assert!(self.connack.is_some(), "{name}: DISCONNECT before CONNACK");
            }
            // [MQTT-3.2.0-1]
            _ => assert!(
                self.connack.is_some(),
                "{name}: {packet:?} before the CONNACK"
            ),
        }
    }

    /// The topic of a PUBLISH. `[MQTT-3.3.2-11]`
    fn topic(&mut self, publish: &Publish<&[u8]>) -> String {
        let alias = publish.properties.topic_alias();
        if let Some(alias) = alias {
            let maximum = self.hello.topic_alias_maximum.unwrap_or(0);
            assert!(alias <= maximum, "{}: topic alias {alias}", self.name);
        }
        match (publish.topic, alias) {
            (Some(topic), Some(alias)) => {
                self.aliases.insert(alias, topic.to_string());
                topic.to_string()
            }
            (Some(topic), None) => topic.to_string(),
            (None, alias) => {
                let alias = alias.unwrap();
                self.aliases
                    .get(&alias)
                    .cloned()
                    .unwrap_or_else(|| panic!("{}: unknown topic alias {alias}", self.name))
            }
        }
    }

    fn handle_connack(&mut self, connack: &ConnAck<&[u8]>) {
        if connack.reason != ReasonCode::Success {
            self.over = true;
        }
        // [MQTT-3.2.2-2]
        assert!(
            !(self.hello.clean_start && connack.session_present),
            "{}: clean start, and a session",
            self.name
        );
        let owned = ConnAck {
            session_present: connack.session_present,
            reason: connack.reason,
            properties: connack.properties.without(|_| false),
        };
        self.connack = Some(owned);
        if connack.reason != ReasonCode::Success {
            return;
        }
        if connack.session_present || self.version() == Version::V3_1 && !self.hello.clean_start {
            self.resend();
        } else {
            // [MQTT-3.2.2-5]
            self.forget_session();
        }
        self.has_session |= self.hello.is_to_stay() && !connack.session_present;
    }

    /// The client's side of its session is gone.
    pub(crate) fn forget_session(&mut self) {
        self.incarnation += 1;
        self.has_session = false;
        self.subscribed.clear();
        self.outgoing.clear();
        self.unreleased.clear();
        self.unacknowledged.clear();
    }

    fn handle_suback(&mut self, packet: &SubAck<&[u8]>) {
        let wanted = self.subscribing.remove(&packet.packet_id.get());
        let count = packet.reasons.iter().count();
        // [MQTT-2.2.1-6] [MQTT-2.3.1-7] of 3.1.1, [MQTT-3.8.4-2] [MQTT-3.8.4-6]
        let expected = wanted.as_ref().map(Vec::len) == Some(count);
        self.expect(expected, "SUBACK");
        for ((filter, qos), reason) in wanted.into_iter().flatten().zip(packet.reasons.iter()) {
            if !reason.is_failure() {
                self.subscribed.insert(filter, qos);
            }
        }
    }

    /// Goes on with what was under way when the last connection ended. `[MQTT-4.4.0-1]`
    fn resend(&mut self) {
        for outgoing in self.outgoing.clone() {
            let id = PacketId::new(outgoing.id).unwrap();
            let packet = if outgoing.released {
                Packet::PubRel(Ack::new(id, ReasonCode::Success)).to_bytes()
            } else {
                self.resent.push(outgoing.post.payload.clone());
                Packet::Publish(outgoing.post.dup().publish(Some(id)))
            };
            self.send(&packet);
        }
    }

    fn handle_publish(&mut self, publish: &Publish<&[u8]>, topic: String) {
        let (id, qos) = (publish.qos.packet_id(), publish.qos.level());
        let repeated = match publish.qos {
            PublishQoS::ExactlyOnce(id) => !self.unreleased.insert(id.get()),
            PublishQoS::AtMostOnce | PublishQoS::AtLeastOnce(_) => false,
        };
        let received = Received {
            topic,
            payload: publish.payload.to_vec(),
            qos,
            retain: publish.retain,
            dup: publish.dup,
            id: id.map(PacketId::get),
            repeated,
        };
        if let Some(id) = id {
            self.check_delivery(id.get(), &received);
            let ack = |reason| Ack::new(id, reason);
            self.ack(if qos == QoS::ExactlyOnce {
                Packet::PubRec(ack(ReasonCode::Success))
            } else {
                Packet::PubAck(ack(ReasonCode::Success))
            });
        }
        self.deliveries.push(received);
    }

    fn check_delivery(&mut self, id: u16, received: &Received) {
        if self.lawless {
            return;
        }
        let name = &self.name;
        // [MQTT-2.2.1-4]
        assert!(
            self.in_flight.insert(id),
            "{name}: identifier {id} is in use"
        );
        let maximum = usize::from(self.hello.receive_maximum.unwrap_or(u16::MAX));
        // [MQTT-3.3.4-9]
        assert!(
            self.in_flight.len() <= maximum,
            "{name}: over Receive Maximum"
        );
        if let Some(earlier) = self.unacknowledged.get(&id) {
            // [MQTT-3.3.1-1] [MQTT-4.4.0-1]
            assert!(received.dup, "{name}: {received:?} instead of {earlier:?}");
            assert_eq!(
                (&received.topic, &received.payload, received.qos),
                (&earlier.topic, &earlier.payload, earlier.qos),
                "{name}: identifier {id} was that of another message"
            );
        }
        self.unacknowledged.insert(id, received.clone());
    }

    fn ack(&mut self, packet: Packet<&'static [u8]>) {
        if self.acknowledges {
            self.send(&packet);
        } else {
            self.kept.push_back(packet);
        }
    }

    /// Sends AUTH with the method of the CONNECT.
    pub(crate) fn authenticate(&mut self, reason: ReasonCode, data: &[u8]) {
        let method = text(self.hello.method.as_deref().unwrap());
        let properties = [
            Property::AuthenticationMethod(method.as_view()),
            Property::AuthenticationData(data),
        ];
        let properties = Properties::new(properties).unwrap();
        self.send(&Packet::Auth(Auth { reason, properties }));
    }

    /// Refuses a QoS 2 message that came: PUBREC with a failure.
    pub(crate) fn refuse(&mut self, id: u16, reason: ReasonCode) {
        let id = PacketId::new(id).unwrap();
        self.in_flight.remove(&id.get());
        self.unreleased.remove(&id.get());
        self.unacknowledged.remove(&id.get());
        self.kept
            .retain(|kept| *kept != Packet::PubRec(Ack::new(id, ReasonCode::Success)));
        self.send(&Packet::PubRec(Ack::new(id, reason)));
    }

    /// The broker has no words for acknowledgements, so they are never too long.
    // [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3] [MQTT-3.6.2-2] [MQTT-3.6.2-3]
    // [MQTT-3.7.2-2] [MQTT-3.7.2-3] [MQTT-3.9.2-1] [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2]
    fn check_words(&self, packet: &Packet<&[u8]>) {
        let wordless = match packet {
            Packet::PubAck(ack) | Packet::PubRec(ack) => ack.properties.is_empty(),
            Packet::PubRel(ack) | Packet::PubComp(ack) => ack.properties.is_empty(),
            Packet::SubAck(packet) => packet.properties.is_empty(),
            Packet::UnsubAck(packet) => packet.properties.is_empty(),
            _ => true,
        };
        assert!(wordless, "{}: {packet:?}", self.name);
    }

    fn handle_puback(&mut self, ack: &Ack<&[u8]>) {
        let outgoing = self.outgoing(ack.packet_id, QoS::AtLeastOnce);
        self.expect(outgoing.is_some(), "PUBACK");
        if let Some(at) = outgoing {
            let payload = self.outgoing.remove(at).post.payload;
            self.taken.push(Taken {
                payload,
                reason: ack.reason,
            });
        }
    }

    fn handle_pubrec(&mut self, ack: &Ack<&[u8]>) {
        let outgoing = self.outgoing(ack.packet_id, QoS::ExactlyOnce);
        self.expect(outgoing.is_some(), "PUBREC");
        let Some(at) = outgoing else { return };
        self.taken.push(Taken {
            payload: self.outgoing[at].post.payload.clone(),
            reason: ack.reason,
        });
        if ack.reason.is_failure() {
            self.outgoing.remove(at);
        } else {
            self.outgoing[at].released = true;
            self.ack(Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::Success)));
        }
    }

    fn handle_pubrel(&mut self, ack: &Ack<&[u8]>) {
        self.unreleased.remove(&ack.packet_id.get());
        self.ack(Packet::PubComp(Ack::new(
            ack.packet_id,
            ReasonCode::Success,
        )));
    }

    fn handle_pubcomp(&mut self, ack: &Ack<&[u8]>) {
        let outgoing = self
            .outgoing(ack.packet_id, QoS::ExactlyOnce)
            .filter(|at| self.outgoing[*at].released);
        self.expect(outgoing.is_some(), "PUBCOMP");
        if let Some(at) = outgoing {
            self.outgoing.remove(at);
        }
    }

    fn outgoing(&self, id: PacketId, qos: QoS) -> Option<usize> {
        self.outgoing
            .iter()
            .position(|outgoing| outgoing.id == id.get() && outgoing.post.qos == qos)
    }

    fn expect(&self, expected: bool, what: &str) {
        assert!(
            expected || self.improvises,
            "{}: {what} that answers nothing",
            self.name
        );
    }

    /// The broker has crashed: a QoS 1 message that was not durable yet is gone, and the next one
    /// has its packet identifier.
    pub(crate) fn forget_uncertain(&mut self) {
        self.unacknowledged
            .retain(|_, received| received.qos == QoS::ExactlyOnce);
    }
}
