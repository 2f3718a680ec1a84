//! Any bytes, in each version: what is decoded says all that was in them.

use bytes::Bytes;
use mqtt_codec::{Cut, Frame, PACKET_BYTES_MAX, Packet, Version, cut};

/// Decodes a stream of packets in each version, and what they encode to.
pub fn decode(data: &[u8]) {
    let mut rest = data;
    while let Ok(Cut::Whole(frame)) = cut(rest, PACKET_BYTES_MAX) {
        for version in Version::ALL {
            one(frame, version);
        }
        rest = rest.split_at(frame.bytes.len()).1;
    }
}

fn one(frame: Frame<'_>, version: Version) {
    let Ok(packet) = Packet::decode(frame, version) else {
        return;
    };
    // Debug output walks over all that is in it.
    assert!(!format!("{packet:?}").is_empty());
    let encoded = packet.to_vec(version).expect("what was decoded");
    assert_eq!(packet.encoded_len(version), Ok(encoded.len()));
    // A short form is written where there is one, but never a longer one than came.
    assert!(encoded.len() <= frame.bytes.len());

    let Ok(Cut::Whole(again)) = cut(&encoded, PACKET_BYTES_MAX) else {
        panic!("what was encoded is no whole packet");
    };
    let buffer = Bytes::copy_from_slice(&encoded);
    let Ok(Cut::Whole(owned)) = cut(&buffer, PACKET_BYTES_MAX) else {
        panic!("what was encoded is no whole packet");
    };
    let owned = Packet::decode(owned, version).expect("what was encoded");
    assert_eq!(Packet::decode(again, version), Ok(packet.clone()));
    assert_eq!(owned.to_owned_from(&buffer), packet.to_bytes());
}
