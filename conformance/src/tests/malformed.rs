//! What is no packet, or breaks the protocol: the reason code or the end, and no effect.
//!
//! Each test takes good packets, and makes one thing wrong in them at a time.

pub(crate) mod bytes;
pub(crate) mod effects;
pub(crate) mod hello;
pub(crate) mod properties;

use crate::notation::{Notation, read_variable_byte_integer, variable_byte_integer};
use crate::test::Test;

/// A packet in the notation, taken apart.
struct Parts {
    first: u8,
    /// What follows the remaining length.
    body: Vec<u8>,
}

impl Parts {
    fn of(t: &Test, notation: &str) -> Self {
        let bytes = Notation::read(notation, t.version, &t.name).bytes();
        let (_, head) = read_variable_byte_integer(&bytes[1..]).expect("the notation wrote it");
        Self {
            first: bytes[0],
            body: bytes[1 + head..].to_vec(),
        }
    }

    /// The packet with so many bytes of its body, and the remaining length of that.
    fn cut(&self, length: usize) -> Vec<u8> {
        packet(self.first, &self.body[..length])
    }

    /// The packet with one byte more than it has.
    fn longer(&self) -> Vec<u8> {
        packet(self.first, &[&self.body[..], &[0]].concat())
    }
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    variable_byte_integer(body.len(), &mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

/// Sends bytes on a connection of their own: it ends with one of these reason codes.
#[track_caller]
fn refused<const N: usize>(t: &Test, bytes: &[u8], codes: [u8; N]) {
    let mut client = t.client("a");
    client.send_bytes(bytes);
    client.refused(codes);
}

/// The same for what is written down.
#[track_caller]
fn refuses<const N: usize>(t: &Test, notation: &str, codes: [u8; N]) {
    let bytes = Notation::read(notation, t.version, &t.name).bytes();
    refused(t, &bytes, codes);
}

/// What a client that comes now gets from `filter`: nothing.
#[track_caller]
fn nothing_is_retained(t: &Test, filter: &str) {
    let mut late = t.client("late");
    late.subscribe(filter, 0);
    late.quiet();
}
