//! The tables of reason codes, packet by packet as the standard prints them.

use mqtt_codec::{ConnAck, EncodeError, Packet, PacketType, Properties, ReasonCode, Version};

/// Tables 3-1, 3-4 to 3-10 and 3-13 of MQTT 5.0, and 0x8C, which table 2-6 gives DISCONNECT too.
const TABLES: [(PacketType, &[u8]); 9] = [
    (
        PacketType::ConnAck,
        &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90,
            0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
        ],
    ),
    (
        PacketType::PubAck,
        &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
    ),
    (
        PacketType::PubRec,
        &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
    ),
    (PacketType::PubRel, &[0x00, 0x92]),
    (PacketType::PubComp, &[0x00, 0x92]),
    (
        PacketType::SubAck,
        &[
            0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
        ],
    ),
    (
        PacketType::UnsubAck,
        &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91],
    ),
    (
        PacketType::Disconnect,
        &[
            0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90,
            0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0,
            0xA1, 0xA2,
        ],
    ),
    (PacketType::Auth, &[0x00, 0x18, 0x19]),
];

#[test]
fn each_packet_has_the_reason_codes_of_its_table() {
    for packet in PacketType::ALL {
        let table = TABLES.iter().find(|(of, _)| *of == packet);
        let expected = table.map_or(&[][..], |(_, codes)| codes);
        let allowed: Vec<_> = ReasonCode::ALL
            .iter()
            .filter(|reason| reason.allowed_in(packet))
            .map(|reason| *reason as u8)
            .collect();
        assert_eq!(allowed, expected, "{packet:?}");
    }
}

#[test]
fn each_reason_code_has_a_byte() {
    for byte in 0..=u8::MAX {
        let found = ReasonCode::from_byte(byte);
        let expected = ReasonCode::ALL.iter().find(|reason| **reason as u8 == byte);
        assert_eq!(found.as_ref(), expected);
        if let Some(reason) = found {
            assert_eq!(reason.is_failure(), byte >= 0x80);
        }
    }
    assert!(ReasonCode::ALL.is_sorted());
}

#[test]
fn return_codes_of_3_1_1_stand_for_reason_codes() {
    for code in 0..=u8::MAX {
        let reason = ReasonCode::from_return_code(code);
        assert_eq!(reason.is_some(), code <= 5);
        assert!(reason.is_none_or(|reason| reason.return_code() == Some(code)));
    }
    for reason in ReasonCode::ALL {
        let success = *reason == ReasonCode::Success;
        assert_eq!(reason.return_code() == Some(0), success);
        if reason.return_code().is_some() {
            assert!(reason.allowed_in(PacketType::ConnAck));
            assert_eq!(reason.is_failure(), !success);
        }
    }
}

/// The others have none that says something like it.
// [MQTT-3.2.2-6] of 3.1.1
#[test]
fn a_fault_of_the_connect_has_no_return_code() {
    for reason in [
        ReasonCode::MalformedPacket,
        ReasonCode::ProtocolError,
        ReasonCode::TopicNameInvalid,
        ReasonCode::PacketTooLarge,
        ReasonCode::PayloadFormatInvalid,
        ReasonCode::RetainNotSupported,
        ReasonCode::QoSNotSupported,
    ] {
        assert!(reason.allowed_in(PacketType::ConnAck));
        let connack = Packet::<&[u8]>::ConnAck(ConnAck {
            session_present: false,
            reason,
            properties: Properties::default(),
        });
        let mut bytes = Vec::new();
        assert!(connack.encode(Version::V5, &mut bytes).is_ok());
        bytes.clear();
        let error = connack.encode(Version::V3_1_1, &mut bytes);
        assert_eq!(error, Err(EncodeError::ReasonCode));
        assert!(bytes.is_empty(), "nothing is written");
    }
}
