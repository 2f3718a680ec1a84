//! Finds one whole packet in a stream of bytes. It alone knows what "not all here yet" means, and
//! it looks at nothing but the fixed header.

use crate::primitive::VARIABLE_MAX;
use crate::{DecodeError, PacketType};

/// The size of the largest packet there can be, in bytes: a fixed header of five, and the largest
/// remaining length.
pub const PACKET_BYTES_MAX: usize = 5 + VARIABLE_MAX;

/// One whole packet, not yet looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The first byte: packet type and flags.
    pub first: u8,
    /// What follows the remaining length.
    pub body: &'a [u8],
    /// All of it, fixed header included.
    pub bytes: &'a [u8],
}

impl Frame<'_> {
    /// The packet type, unless it is the reserved 0.
    #[must_use]
    pub const fn packet_type(&self) -> Option<PacketType> {
        PacketType::from_first_byte(self.first)
    }
}

/// What [`cut`] found at the start of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// A whole packet; the next one begins behind it.
    Whole(Frame<'a>),
    /// Not all of a packet: at least this many bytes are needed, those at hand included.
    Incomplete(usize),
}

/// Finds the packet that `bytes` begins with.
///
/// The size is checked as soon as the fixed header is there, so that nobody buffers a packet that
/// is then refused. About 2 ns; allocates nothing.
///
/// # Errors
/// [`DecodeError::PacketType`], [`DecodeError::VariableByteIntegerTooLong`],
/// [`DecodeError::VariableByteIntegerNotMinimal`] `[MQTT-1.5.5-1]`, and
/// [`DecodeError::PacketTooLarge`] where the packet would be more than `packet_bytes_max` bytes.
#[inline]
pub fn cut(bytes: &[u8], packet_bytes_max: usize) -> Result<Cut<'_>, DecodeError> {
    let Some((first, after_first)) = bytes.split_first() else {
        return Ok(Cut::Incomplete(2));
    };
    if first >> 4 == 0 {
        return Err(DecodeError::PacketType);
    }
    let mut remaining = 0;
    for (index, byte) in after_first.iter().take(4).enumerate() {
        remaining |= usize::from(byte & 0x7F) << (7 * index);
        if *byte < 0x80 {
            if *byte == 0 && index > 0 {
                return Err(DecodeError::VariableByteIntegerNotMinimal);
            }
            return whole(bytes, *first, 2 + index, remaining, packet_bytes_max);
        }
    }
    if after_first.len() >= 4 {
        return Err(DecodeError::VariableByteIntegerTooLong);
    }
    Ok(Cut::Incomplete(bytes.len() + 1))
}

#[inline]
fn whole(
    bytes: &[u8],
    first: u8,
    header_len: usize,
    remaining: usize,
    packet_bytes_max: usize,
) -> Result<Cut<'_>, DecodeError> {
    let total = header_len + remaining;
    if total > packet_bytes_max {
        return Err(DecodeError::PacketTooLarge);
    }
    if let Some(bytes) = bytes.get(..total)
        && let Some(body) = bytes.get(header_len..)
    {
        Ok(Cut::Whole(Frame { first, body, bytes }))
    } else {
        Ok(Cut::Incomplete(total))
    }
}
