//! The data types of the standard: nom parsers, and the writers that match them.

use alloc::vec::Vec;

use nom::multi::length_data;
use nom::number::complete::{be_u16, u8};
use nom::{IResult, Parser};

use crate::{DecodeError, EncodeError, PacketId, PacketType, QoS, ReasonCode, Text, TopicName};

pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, DecodeError>;

/// The largest value of a variable byte integer.
pub(crate) const VARIABLE_MAX: usize = 268_435_455;

pub(crate) fn fail<'a, T>(error: DecodeError) -> Parsed<'a, T> {
    Err(nom::Err::Failure(error))
}

pub(crate) fn failure(error: DecodeError) -> nom::Err<DecodeError> {
    nom::Err::Failure(error)
}

/// What a parser of a whole body found, if it left nothing over.
pub(crate) fn whole<T>(parsed: Parsed<'_, T>) -> Result<T, DecodeError> {
    match parsed {
        Ok(([], value)) => Ok(value),
        Ok(_) => Err(DecodeError::TrailingBytes),
        Err(nom::Err::Error(error) | nom::Err::Failure(error)) => Err(error),
        // `complete` parsers never ask for more.
        Err(nom::Err::Incomplete(_)) => Err(DecodeError::Truncated),
    }
}

pub(crate) fn variable(input: &[u8]) -> Parsed<'_, u32> {
    let mut value = 0;
    let mut rest = input;
    for shift in [0, 7, 14, 21] {
        let (next, byte) = u8(rest)?;
        rest = next;
        value |= u32::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            // [MQTT-1.5.5-1]
            let minimal = byte != 0 || shift == 0;
            return if minimal {
                Ok((rest, value))
            } else {
                fail(DecodeError::VariableByteIntegerNotMinimal)
            };
        }
    }
    fail(DecodeError::VariableByteIntegerTooLong)
}

#[inline]
pub(crate) fn binary(input: &[u8]) -> Parsed<'_, &[u8]> {
    length_data(be_u16).parse(input)
}

#[inline]
pub(crate) fn text(input: &[u8]) -> Parsed<'_, Text<&[u8]>> {
    let (rest, bytes) = binary(input)?;
    Ok((rest, Text::new(bytes).map_err(failure)?))
}

pub(crate) fn topic_name(input: &[u8]) -> Parsed<'_, TopicName<&[u8]>> {
    let (rest, bytes) = binary(input)?;
    Ok((rest, TopicName::new(bytes).map_err(failure)?))
}

pub(crate) fn packet_id(input: &[u8]) -> Parsed<'_, PacketId> {
    let (rest, number) = be_u16(input)?;
    Ok((
        rest,
        PacketId::new(number).ok_or(failure(DecodeError::PacketIdZero))?,
    ))
}

/// A reason code that packets of this type may have, or `error`.
pub(crate) fn reason(
    input: &[u8],
    packet: PacketType,
    error: DecodeError,
) -> Parsed<'_, ReasonCode> {
    let (rest, byte) = u8(input)?;
    match ReasonCode::from_byte(byte) {
        Some(reason) if reason.allowed_in(packet) => Ok((rest, reason)),
        Some(_) | None => fail(error),
    }
}

/// The QoS in two bits of a flags byte.
pub(crate) fn qos_bits(flags: u8, shift: u8) -> Option<QoS> {
    QoS::from_number((flags >> shift) & 0b11)
}

/// How many bytes a variable byte integer takes.
pub(crate) const fn variable_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Writes a variable byte integer; the caller has checked that it is at most [`VARIABLE_MAX`].
pub(crate) fn put_variable(mut value: usize, out: &mut Vec<u8>) {
    debug_assert!(
        value <= VARIABLE_MAX,
        "no variable byte integer is over 268,435,455"
    );
    while value > 0x7F {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a string or binary field; the caller has checked that it is at most 65,535 bytes.
pub(crate) fn put_binary(bytes: &[u8], out: &mut Vec<u8>) {
    debug_assert!(
        bytes.len() <= usize::from(u16::MAX),
        "no field is over 65,535 bytes"
    );
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// How many bytes a packet takes.
pub(crate) fn packet_len(remaining: usize) -> Result<usize, EncodeError> {
    if remaining > VARIABLE_MAX {
        return Err(EncodeError::PacketTooLong);
    }
    Ok(1 + variable_len(remaining) + remaining)
}

/// Writes first byte and remaining length, and makes room for the rest.
pub(crate) fn put_header(
    first: u8,
    remaining: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.reserve(packet_len(remaining)?);
    out.push(first);
    put_variable(remaining, out);
    Ok(())
}

/// The length of a string or binary field with its length prefix.
pub(crate) fn binary_len(bytes: &[u8]) -> Result<usize, EncodeError> {
    if bytes.len() > usize::from(u16::MAX) {
        return Err(EncodeError::FieldTooLong);
    }
    Ok(2 + bytes.len())
}
