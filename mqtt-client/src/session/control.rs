//! Packets other than PUBLISH that wait to be written to this connection, in order.

use std::collections::VecDeque;

use mqtt_codec::{Ack, Packet, PacketId, ReasonCode};

use super::recorded::{ChangeNumber, Recorded};

/// A peer that makes us answer, and does not read the answers, is not read from above this many.
const WAITING_MAX: usize = 4096;

/// The queue. It begins empty with each connection.
#[derive(Debug, Default)]
pub(super) struct Control {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    packet: ControlPacket,
    /// It promises something that is durable with this change.
    after: ChangeNumber,
}

/// Acknowledgements are many and small, the others few.
#[derive(Debug)]
pub(super) enum ControlPacket {
    PubAck(PacketId, ReasonCode),
    PubRec(PacketId, ReasonCode),
    PubRel(PacketId, ReasonCode),
    PubComp(PacketId, ReasonCode),
    Other(Box<Packet>),
}

impl ControlPacket {
    /// Acknowledgements have no properties. `[MQTT-3.4.2-2]` `[MQTT-3.4.2-3]` `[MQTT-3.5.2-2]` `[MQTT-3.5.2-3]`
    /// `[MQTT-3.6.2-2]` `[MQTT-3.6.2-3]` `[MQTT-3.7.2-2]` `[MQTT-3.7.2-3]`
    pub(super) fn encode(
        &self,
        version: mqtt_codec::Version,
        out: &mut Vec<u8>,
    ) -> Result<(), mqtt_codec::EncodeError> {
        match self {
            Self::PubAck(id, reason) => Packet::PubAck(Ack::new(*id, *reason)).encode(version, out),
            Self::PubRec(id, reason) => Packet::PubRec(Ack::new(*id, *reason)).encode(version, out),
            Self::PubRel(id, reason) => Packet::PubRel(Ack::new(*id, *reason)).encode(version, out),
            Self::PubComp(id, reason) => {
                Packet::PubComp(Ack::new(*id, *reason)).encode(version, out)
            }
            Self::Other(packet) => packet.encode(version, out),
        }
    }
}

impl Control {
    pub(super) fn push(&mut self, packet: Packet) {
        self.push_after(
            ControlPacket::Other(Box::new(packet)),
            ChangeNumber::default(),
        );
    }

    pub(super) fn push_after(&mut self, packet: ControlPacket, after: ChangeNumber) {
        self.waiting.push_back(Waiting { packet, after });
    }

    /// The next packet that may be written. What waits for a commit holds back all behind it: so
    /// acknowledgements stay in order.
    pub(super) fn pop(&mut self, recorded: &Recorded) -> Option<ControlPacket> {
        let next = self.waiting.front()?;
        if !recorded.is_durable(next.after) {
            return None;
        }
        self.waiting.pop_front().map(|waiting| waiting.packet)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}
