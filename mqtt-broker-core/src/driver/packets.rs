//! The packets among the bytes that have come.

use mqtt_codec::{Connect, Cut, DecodeError, Packet, Publish, Version, cut};

/// The memory of a list, for packets of another buffer.
pub(super) fn emptied<'a>(publishes: Vec<Publish<&[u8]>>) -> Vec<Publish<&'a [u8]>> {
    // Such a list is collected where it is.
    publishes.into_iter().map_while(|_| None).collect()
}

/// What is next among the bytes that have come.
pub(super) enum Next<'a> {
    Packet(Packet<&'a [u8]>),
    /// No packet, and of which version it is, where that is known.
    Malformed(DecodeError, Option<Version>),
    /// Not all of a packet, or nothing.
    Incomplete,
}

/// Cuts the next packet off.
pub(super) fn next<'a>(
    rest: &mut &'a [u8],
    bytes_max: usize,
    version: Option<Version>,
) -> Next<'a> {
    let frame = match cut(rest, bytes_max) {
        Ok(Cut::Whole(frame)) => frame,
        Ok(Cut::Incomplete(_)) => return Next::Incomplete,
        Err(error) => {
            *rest = &[];
            return Next::Malformed(error, None);
        }
    };
    *rest = rest.get(frame.bytes.len()..).unwrap_or_default();
    match Packet::decode(frame, version.unwrap_or(Version::V5)) {
        Ok(packet) => Next::Packet(packet),
        Err(error) => Next::Malformed(error, Connect::peek_version(frame)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_its_memory() {
        let publishes = Vec::with_capacity(64);
        assert_eq!(emptied(publishes).capacity(), 64);
    }
}
