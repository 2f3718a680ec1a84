//! Whatever bytes come: nothing panics, and what is decoded says all that was in them.

#![allow(
    clippy::expect_used,
    reason = "a packet that does not hold ends the test"
)]

#[allow(dead_code, reason = "only whole packets are of use here")]
mod strategy;

use mqtt_codec::{Cut, PACKET_BYTES_MAX, Packet, Version, cut};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn check(bytes: &[u8]) {
    let Ok(Cut::Whole(frame)) = cut(bytes, PACKET_BYTES_MAX) else {
        return;
    };
    for version in Version::ALL {
        let Ok(packet) = Packet::decode(frame, version) else {
            continue;
        };
        // Debug output walks over all that is in it.
        assert!(!format!("{packet:?}").is_empty());
        let encoded = packet.to_vec(version).expect("what was decoded");
        let Ok(Cut::Whole(again)) = cut(&encoded, PACKET_BYTES_MAX) else {
            unreachable!("what was encoded is a whole packet")
        };
        assert_eq!(Packet::decode(again, version), Ok(packet));
    }
}

/// A change to bytes: some replaced by others.
#[derive(Clone, Debug)]
struct Change {
    at: Index,
    removed: usize,
    added: Vec<u8>,
}

fn change() -> impl Strategy<Value = Change> {
    let added = prop_oneof![
        vec(any::<u8>(), 0..4),
        // The bytes at which rules begin and end.
        vec(
            prop::sample::select(b"\0\x01\x7F\x80\xFF/+#$".to_vec()),
            1..3
        ),
    ];
    (any::<Index>(), 0..4_usize, added).prop_map(|(at, removed, added)| Change {
        at,
        removed,
        added,
    })
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for Change { at, removed, added } in changes {
        let start = at.index(bytes.len() + 1);
        let end = bytes.len().min(start + removed);
        bytes.splice(start..end, added.iter().copied());
    }
    bytes
}

/// A frame around a body, whatever it is.
fn framed(first: u8, body: &[u8]) -> Vec<u8> {
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

proptest! {
    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..64)) {
        check(&bytes);
    }

    #[test]
    fn any_body_in_a_frame(first in any::<u8>(), body in vec(any::<u8>(), 0..200)) {
        check(&framed(first, &body));
    }

    #[test]
    fn a_packet_with_changes(
        (version, packet) in strategy::version_and_packet(),
        changes in vec(change(), 1..4),
    ) {
        check(&changed(packet.to_vec(version).expect("a packet of this version"), &changes));
    }

    /// The remaining length stays right, so that the changes get as far as the fields.
    #[test]
    fn a_body_with_changes(
        (version, packet) in strategy::version_and_packet(),
        changes in vec(change(), 1..4),
    ) {
        let bytes = packet.to_vec(version).expect("a packet of this version");
        let Ok(Cut::Whole(frame)) = cut(&bytes, PACKET_BYTES_MAX) else {
            unreachable!("what was encoded is a whole packet")
        };
        check(&framed(frame.first, &changed(frame.body.to_vec(), &changes)));
    }
}
