//! Decoding allocates nothing, whatever the packet.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a vector that does not hold ends the test"
)]

#[allow(
    dead_code,
    reason = "only the bytes of the valid vectors are of use here"
)]
mod model;

use std::hint::black_box;

use mqtt_codec::{Cut, PACKET_BYTES_MAX, Packet, cut};

#[test]
fn decoding_allocates_nothing() {
    for (file, vectors) in &model::files() {
        for vector in &vectors.valid {
            let bytes = model::bytes(&vector.bytes);
            for version in vector.versions() {
                let counted = allocation_counter::measure(|| {
                    if let Ok(Cut::Whole(frame)) = cut(&bytes, PACKET_BYTES_MAX) {
                        drop(black_box(Packet::decode(frame, version)));
                    }
                });
                assert_eq!(
                    counted.count_total, 0,
                    "{file}: {} ({version:?})",
                    vector.name
                );
            }
        }
    }
}

/// The counter does count: else the test above would prove nothing.
#[test]
fn copying_allocates() {
    let counted = allocation_counter::measure(|| {
        let _ = black_box(vec![0; 10]);
    });
    assert_eq!(counted.count_total, 1);
}
