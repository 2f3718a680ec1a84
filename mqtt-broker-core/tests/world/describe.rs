//! Packets as one line of text, for tests to compare with.

use mqtt_codec::{Ack, Packet, Properties, Publish, ReasonCode, ReasonCodes};

/// A packet that a client got; `topic` is that of a PUBLISH, its alias resolved.
pub(crate) fn describe(packet: &Packet<&[u8]>, topic: &str) -> String {
    match packet {
        Packet::ConnAck(packet) => {
            let present = if packet.session_present {
                " present"
            } else {
                ""
            };
            format!("CONNACK {:?}{present}", packet.reason)
        }
        Packet::Publish(packet) => publish(packet, topic),
        Packet::PubAck(ack) => acknowledgement("PUBACK", ack),
        Packet::PubRec(ack) => acknowledgement("PUBREC", ack),
        Packet::PubRel(ack) => acknowledgement("PUBREL", ack),
        Packet::PubComp(ack) => acknowledgement("PUBCOMP", ack),
        Packet::SubAck(packet) => {
            format!("SUBACK id{} {}", packet.packet_id, reasons(&packet.reasons))
        }
        Packet::UnsubAck(packet) => {
            let reasons = reasons(&packet.reasons);
            format!("UNSUBACK id{} {reasons}", packet.packet_id)
                .trim_end()
                .to_owned()
        }
        Packet::PingResp => "PINGRESP".to_owned(),
        Packet::Disconnect(packet) => format!("DISCONNECT {:?}", packet.reason),
        Packet::Auth(packet) => {
            let data = packet.properties.authentication_data().unwrap_or_default();
            format!("AUTH {:?} {}", packet.reason, data.escape_ascii())
        }
        Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
            panic!("a server must not send {packet:?}")
        }
    }
}

fn acknowledgement(name: &str, ack: &Ack<&[u8]>) -> String {
    match ack.reason {
        ReasonCode::Success => format!("{name} id{}", ack.packet_id),
        reason => format!("{name} id{} {reason:?}", ack.packet_id),
    }
}

fn reasons(reasons: &ReasonCodes<&[u8]>) -> String {
    let reasons: Vec<_> = reasons.iter().map(|reason| format!("{reason:?}")).collect();
    reasons.join(" ")
}

fn publish(packet: &Publish<&[u8]>, topic: &str) -> String {
    let payload = match packet.payload.len() {
        0 => "(empty)".to_owned(),
        1..100 => packet.payload.escape_ascii().to_string(),
        len => format!("({len} bytes)"),
    };
    let mut line = format!("PUBLISH {topic} {payload} q{}", packet.qos.level() as u8);
    if let Some(id) = packet.qos.packet_id() {
        line += &format!(" id{id}");
    }
    if packet.dup {
        line += " dup";
    }
    if packet.retain {
        line += " retain";
    }
    line + &properties(&packet.properties)
}

fn properties(properties: &Properties<&[u8]>) -> String {
    let mut line = String::new();
    if let Some(alias) = properties.topic_alias() {
        line += &format!(" alias={alias}");
    }
    if let Some(seconds) = properties.message_expiry_interval() {
        line += &format!(" expiry={seconds}");
    }
    let mut identifiers: Vec<_> = properties.subscription_identifiers().collect();
    // Their order is not significant.
    identifiers.sort_unstable();
    for identifier in identifiers {
        line += &format!(" sub={identifier}");
    }
    if let Some(format) = properties.payload_format_indicator() {
        line += &format!(" text={format}");
    }
    if let Some(content_type) = properties.content_type() {
        line += &format!(" type={content_type}");
    }
    if let Some(topic) = properties.response_topic() {
        line += &format!(" response={topic}");
    }
    if let Some(data) = properties.correlation_data() {
        line += &format!(" correlation={}", data.escape_ascii());
    }
    for user in properties.user_properties() {
        line += &format!(" {}={}", user.name, user.value);
    }
    line
}
