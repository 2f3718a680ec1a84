//! Runs `vectors/*.toml`: bytes and the packets that they are, both ways, and bytes that are none.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a vector that does not hold ends the test"
)]

mod model;

use std::collections::BTreeSet;

use bytes::Bytes;
use mqtt_codec::{
    Cut, DecodeError, Frame, PACKET_BYTES_MAX, Packet, PacketType, Text, Version, cut,
};

use crate::model::{AnyPacket, Valid, bytes, files};

fn each_valid(mut check: impl FnMut(&str, &Valid, Version)) {
    for (file, vectors) in &files() {
        for vector in &vectors.valid {
            for version in vector.versions() {
                let label = format!("{file}: {} ({version:?})", vector.name);
                check(&label, vector, version);
            }
        }
    }
}

fn whole(bytes: &[u8]) -> Result<Frame<'_>, DecodeError> {
    match cut(bytes, PACKET_BYTES_MAX)? {
        Cut::Whole(frame) => Ok(frame),
        Cut::Incomplete(needed) => panic!("{} bytes of {needed} and more", bytes.len()),
    }
}

/// The frame of a packet with another body.
fn with_body(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut rest = body.len();
    while rest > 0x7F {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out.extend_from_slice(body);
    out
}

#[test]
fn valid_bytes_are_decoded_to_the_packet() {
    each_valid(|label, vector, version| {
        let bytes = Bytes::from(bytes(&vector.bytes));
        let expected = vector.packet.build(version);
        let frame = whole(&bytes).unwrap_or_else(|error| panic!("{label}: {error}"));
        assert_eq!(frame.bytes, bytes, "{label}");
        let view = Packet::decode(frame, version).unwrap_or_else(|e| panic!("{label}: {e}"));
        assert_eq!(view.clone().to_bytes(), expected, "{label}");
        assert_eq!(view.to_owned_from(&bytes), expected, "{label}");
    });
}

#[test]
fn packets_are_encoded_to_the_bytes() {
    each_valid(|label, vector, version| {
        let expected = bytes(vector.encoded.as_ref().unwrap_or(&vector.bytes));
        let packet = vector.packet.build(version);
        assert_eq!(packet.encoded_len(version), Ok(expected.len()), "{label}");
        let mut out = b"before".to_vec();
        assert_eq!(packet.encode(version, &mut out), Ok(()), "{label}");
        let encoded = out.strip_prefix(b"before").expect("what was there stays");
        assert_eq!(encoded, expected, "{label}");
    });
}

#[test]
fn a_connect_is_decoded_by_its_own_version() {
    each_valid(|label, vector, version| {
        if !matches!(vector.packet, AnyPacket::Connect(_)) {
            return;
        }
        let bytes = bytes(&vector.bytes);
        let frame = whole(&bytes).expect("a whole packet");
        for other in Version::ALL {
            let packet = Packet::decode(frame, other).expect("a valid packet");
            assert_eq!(packet.to_bytes(), vector.packet.build(version), "{label}");
        }
    });
}

#[test]
fn invalid_bytes_are_refused_with_reason_and_clause() {
    for (file, vectors) in &files() {
        for vector in &vectors.invalid {
            for version in vector.versions() {
                let label = format!("{file}: {} ({version:?})", vector.name);
                let bytes = bytes(&vector.bytes);
                let limit = vector.packet_bytes_max.unwrap_or(PACKET_BYTES_MAX);
                let error = match cut(&bytes, limit) {
                    Ok(Cut::Whole(frame)) => {
                        assert_eq!(frame.bytes, bytes, "{label}");
                        Packet::decode(frame, version).map(drop)
                    }
                    Ok(Cut::Incomplete(needed)) => panic!("{label}: {needed} bytes needed"),
                    Err(error) => Err(error),
                };
                let error = error.expect_err(&label);
                assert_eq!(format!("{error:?}"), vector.error, "{label}");
                assert_eq!(error.reason_code() as u8, vector.reason, "{label}");
                assert_eq!(error.clause(version), vector.clause(version), "{label}");
            }
        }
    }
}

#[test]
fn starts_of_packets_are_incomplete() {
    for (file, vectors) in &files() {
        for vector in &vectors.incomplete {
            let bytes = bytes(&vector.bytes);
            let found = cut(&bytes, PACKET_BYTES_MAX);
            assert_eq!(
                found,
                Ok(Cut::Incomplete(vector.needed)),
                "{file}: {}",
                vector.name
            );
        }
    }
}

#[test]
fn what_is_cut_off_anywhere_is_incomplete() {
    each_valid(|label, vector, _| {
        let bytes = bytes(&vector.bytes);
        for (len, _) in bytes.iter().enumerate() {
            let (part, _) = bytes.split_at(len);
            let found = cut(part, PACKET_BYTES_MAX);
            let Ok(Cut::Incomplete(needed)) = found else {
                panic!("{label}: {found:?} in {len} bytes");
            };
            assert!(
                len < needed && needed <= bytes.len(),
                "{label}: {needed} of {len}"
            );
        }
    });
}

/// The remaining length says less than there should be. Where that can be a packet with less in it,
/// it is that packet and nothing else.
#[test]
fn a_body_that_ends_too_early_is_refused() {
    each_valid(|label, vector, version| {
        let bytes = bytes(&vector.bytes);
        let frame = whole(&bytes).expect("a whole packet");
        for (len, _) in frame.body.iter().enumerate() {
            let shorter = with_body(frame.first, frame.body.split_at(len).0);
            match Packet::decode(whole(&shorter).expect("a whole packet"), version) {
                Ok(packet) if vector.packet.may_be_shorter(version) => {
                    let again = packet.to_vec(version).expect("it was decoded");
                    let again = whole(&again).expect("it was encoded");
                    assert_eq!(Packet::decode(again, version), Ok(packet), "{label}: {len}");
                }
                Ok(packet) => panic!("{label}: {packet:?} in {len} bytes"),
                Err(_) => {}
            }
        }
    });
}

#[test]
fn a_byte_too_many_is_refused() {
    each_valid(|label, vector, version| {
        if vector.packet.may_be_longer(version) {
            return;
        }
        let bytes = bytes(&vector.bytes);
        let frame = whole(&bytes).expect("a whole packet");
        let longer = with_body(frame.first, &[frame.body, &[0]].concat());
        let found = Packet::decode(whole(&longer).expect("a whole packet"), version);
        assert_eq!(found, Err(DecodeError::TrailingBytes), "{label}");
    });
}

#[test]
fn each_packet_has_a_valid_vector_in_each_version() {
    let mut found = BTreeSet::new();
    each_valid(|_, vector, version| {
        found.insert((model::packet_type(&vector.packet), version));
    });
    for packet in PacketType::ALL {
        for version in Version::ALL {
            let exists = packet != PacketType::Auth || version == Version::V5;
            assert_eq!(
                found.contains(&(packet, version)),
                exists,
                "{packet:?} {version:?}"
            );
        }
    }
}

#[test]
fn each_error_says_what_is_wrong_and_names_its_clause() {
    for error in DecodeError::ALL {
        let text = error.to_string();
        match error.clause(Version::V5) {
            Some(clause) => assert!(text.ends_with(&format!(" [{clause}]")), "{text}"),
            None => assert!(!text.is_empty() && !text.contains('['), "{text}"),
        }
    }
}

#[test]
fn each_error_has_a_vector_that_produces_it() {
    let found: BTreeSet<_> = files()
        .into_iter()
        .flat_map(|(_, vectors)| vectors.invalid)
        .map(|vector| vector.error)
        .collect();
    for error in DecodeError::ALL {
        if *error == DecodeError::TextTooLong {
            // No packet can say it: the length of a string has two bytes.
            assert_eq!(Text::new([b'a'; 65_536]), Err(*error));
        } else {
            assert!(
                found.contains(&format!("{error:?}")),
                "no vector gives {error:?}"
            );
        }
    }
    assert_eq!(
        found.len() + 1,
        DecodeError::ALL.len(),
        "a vector names an unknown error"
    );
}
