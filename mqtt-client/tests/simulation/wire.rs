//! What the broker sees of one client, packet by packet: the rules that hold on the wire, and what arrived.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqtt_codec::{Packet, PacketId, PublishQoS, QoS, ReasonCode, Version};

/// The view of one client identifier; some of it lasts for a session, some for a connection.
#[derive(Default)]
pub(crate) struct Wire {
    /// How often each message arrived as a new one.
    pub(crate) arrived: BTreeMap<String, u32>,
    /// The first arrivals, by topic and QoS, in order.
    pub(crate) order: BTreeMap<(String, u8), Vec<u64>>,
    /// Messages of QoS 1 and 2 that were acknowledged by the client.
    pub(crate) acknowledged: Vec<String>,
    /// QoS 2 identifiers that the broker has and that were not released.
    received: BTreeSet<PacketId>,
    /// On this connection: identifiers of the client's PUBLISH packets without an acknowledgement.
    unanswered: BTreeSet<PacketId>,
    /// On this connection: what the broker has sent and the client has not acknowledged.
    sent_qos1: VecDeque<(PacketId, String)>,
    sent_qos2: VecDeque<(PacketId, String)>,
    /// The client's PUBRELs that are due, in the order of the PUBRECs.
    releases: VecDeque<PacketId>,
    outgoing: Vec<u8>,
    version: Option<Version>,
    receive_maximum: usize,
}

impl Wire {
    pub(crate) fn connected(&mut self) {
        self.unanswered.clear();
        self.sent_qos1.clear();
        self.sent_qos2.clear();
        self.releases.clear();
        self.outgoing.clear();
        self.version = None;
    }

    /// A packet that the client has sent.
    pub(crate) fn client_sends(&mut self, packet: &Packet<&[u8]>) {
        match packet {
            Packet::Connect(connect) => {
                self.version = Some(connect.version);
                self.receive_maximum = connect
                    .properties
                    .receive_maximum()
                    .unwrap_or(u16::MAX)
                    .into();
            }
            Packet::Publish(publish) => {
                let text = String::from_utf8(publish.payload.to_vec()).unwrap();
                let is_new = match publish.qos {
                    PublishQoS::AtMostOnce => true,
                    PublishQoS::AtLeastOnce(id) => {
                        self.unanswered.insert(id);
                        !self.arrived.contains_key(&text)
                    }
                    PublishQoS::ExactlyOnce(id) => {
                        self.unanswered.insert(id);
                        self.received.insert(id)
                    }
                };
                if is_new {
                    let times = self.arrived.entry(text.clone()).or_default();
                    *times += 1;
                    if *times > 1 {
                        return;
                    }
                    // A topic alias may stand for the topic: the payload says it, too.
                    let mut parts = text.split(' ');
                    let (_, topic, number) =
                        (parts.next(), parts.next().unwrap(), parts.next().unwrap());
                    let key = (topic.to_owned(), publish.qos.level() as u8);
                    self.order
                        .entry(key)
                        .or_default()
                        .push(number.parse().unwrap());
                }
            }
            // [MQTT-4.6.0-2]
            Packet::PubAck(ack) => {
                let (id, text) = self.sent_qos1.pop_front().expect("a PUBACK of something");
                assert_eq!(
                    id, ack.packet_id,
                    "PUBACK packets in the order of the messages"
                );
                self.acknowledged.push(text);
            }
            // [MQTT-4.6.0-3]
            Packet::PubRec(ack) => {
                let Some(at) = self
                    .sent_qos2
                    .iter()
                    .position(|(id, _)| *id == ack.packet_id)
                else {
                    return;
                };
                assert_eq!(at, 0, "PUBREC packets in the order of the messages");
                let (_, text) = self.sent_qos2.pop_front().unwrap();
                self.acknowledged.push(text);
            }
            // [MQTT-4.6.0-4]
            Packet::PubRel(ack) => {
                self.received.remove(&ack.packet_id);
                if let Some(at) = self.releases.iter().position(|id| *id == ack.packet_id) {
                    assert_eq!(at, 0, "PUBREL packets in the order of the PUBREC packets");
                    self.releases.pop_front();
                }
            }
            Packet::PubComp(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq
            | Packet::Disconnect(_)
            | Packet::Auth(_) => {}
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                panic!("a client does not send {packet:?}")
            }
        }
    }

    /// Bytes that the broker has sent.
    pub(crate) fn broker_sends(&mut self, bytes: &[u8], see: impl Fn(&Packet<&[u8]>)) {
        self.outgoing.extend_from_slice(bytes);
        loop {
            let bytes = std::mem::take(&mut self.outgoing);
            let Ok(mqtt_codec::Cut::Whole(frame)) = mqtt_codec::cut(&bytes, usize::MAX) else {
                self.outgoing = bytes;
                return;
            };
            self.outgoing = bytes[frame.bytes.len()..].to_vec();
            let packet = Packet::decode(frame, self.version.unwrap_or(Version::V5)).unwrap();
            see(&packet);
            self.sent(&packet);
        }
    }

    fn sent(&mut self, packet: &Packet<&[u8]>) {
        match packet {
            Packet::ConnAck(connack) if !connack.session_present => self.received.clear(),
            Packet::Publish(publish) => {
                let text = String::from_utf8(publish.payload.to_vec()).unwrap();
                match publish.qos {
                    PublishQoS::AtMostOnce => {}
                    PublishQoS::AtLeastOnce(id) => self.sent_qos1.push_back((id, text)),
                    PublishQoS::ExactlyOnce(id) => self.sent_qos2.push_back((id, text)),
                }
            }
            Packet::PubRec(ack) if !ack.reason.is_failure() => {
                self.unanswered.remove(&ack.packet_id);
                if !self.releases.contains(&ack.packet_id) {
                    self.releases.push_back(ack.packet_id);
                }
            }
            Packet::PubAck(ack) | Packet::PubRec(ack) => {
                self.unanswered.remove(&ack.packet_id);
            }
            Packet::Disconnect(disconnect) => {
                let is_our_fault = disconnect.reason.is_failure()
                    && !matches!(
                        disconnect.reason,
                        ReasonCode::ServerShuttingDown
                            | ReasonCode::SessionTakenOver
                            | ReasonCode::KeepAliveTimeout
                    );
                assert!(
                    !is_our_fault,
                    "the broker complains: {:?}",
                    disconnect.reason
                );
            }
            Packet::ConnAck(_)
            | Packet::Connect(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::Subscribe(_)
            | Packet::SubAck(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingReq
            | Packet::PingResp
            | Packet::Auth(_) => {}
        }
    }

    /// How often a message arrived.
    pub(crate) fn arrivals(&self, text: &str) -> u32 {
        self.arrived.get(text).copied().unwrap_or(0)
    }

    /// The first arrivals of each topic and QoS are in the order of acceptance.
    pub(crate) fn check_order(&self, qos: QoS) {
        for ((topic, level), numbers) in &self.order {
            if *level == qos as u8 {
                let is_rising = numbers.is_sorted_by(|one, next| one < next);
                assert!(is_rising, "{topic} at QoS {level}: {numbers:?}");
            }
        }
    }
}
