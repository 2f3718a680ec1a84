//! Parsers and writers of the types that properties have.

use nom::number::complete::{be_u16, be_u32, u8};

use super::UserProperty;
use crate::primitive::{Parsed, fail, variable};
pub(super) use crate::primitive::{binary, text};
use crate::{DecodeError, QoS, TopicName};

pub(super) fn flag(input: &[u8]) -> Parsed<'_, bool> {
    let (rest, byte) = u8(input)?;
    match byte {
        0 => Ok((rest, false)),
        1 => Ok((rest, true)),
        _ => fail(DecodeError::PropertyValue),
    }
}

pub(super) fn qos(input: &[u8]) -> Parsed<'_, QoS> {
    let (rest, at_least_once) = flag(input)?;
    Ok((
        rest,
        if at_least_once {
            QoS::AtLeastOnce
        } else {
            QoS::AtMostOnce
        },
    ))
}

pub(super) fn two(input: &[u8]) -> Parsed<'_, u16> {
    be_u16(input)
}

pub(super) fn four(input: &[u8]) -> Parsed<'_, u32> {
    be_u32(input)
}

pub(super) fn two_not_zero(input: &[u8]) -> Parsed<'_, u16> {
    not_zero(be_u16(input)?, DecodeError::PropertyValue)
}

pub(super) fn alias(input: &[u8]) -> Parsed<'_, u16> {
    not_zero(be_u16(input)?, DecodeError::TopicAliasZero)
}

pub(super) fn four_not_zero(input: &[u8]) -> Parsed<'_, u32> {
    not_zero(be_u32(input)?, DecodeError::PropertyValue)
}

pub(super) fn variable_not_zero(input: &[u8]) -> Parsed<'_, u32> {
    not_zero(variable(input)?, DecodeError::PropertyValue)
}

fn not_zero<T: PartialEq + Default>(
    (rest, value): (&[u8], T),
    error: DecodeError,
) -> Parsed<'_, T> {
    if value == T::default() {
        fail(error)
    } else {
        Ok((rest, value))
    }
}

pub(super) fn topic(input: &[u8]) -> Parsed<'_, TopicName<&[u8]>> {
    let (rest, bytes) = binary(input)?;
    match TopicName::new(bytes) {
        Ok(name) => Ok((rest, name)),
        // [MQTT-3.3.2-14]
        Err(DecodeError::TopicNameWildcard) => fail(DecodeError::ResponseTopic),
        Err(error) => fail(error),
    }
}

pub(super) fn pair(input: &[u8]) -> Parsed<'_, UserProperty<'_>> {
    let (rest, name) = text(input)?;
    let (rest, value) = text(rest)?;
    Ok((rest, UserProperty { name, value }))
}

pub(super) mod put {
    use alloc::vec::Vec;

    use crate::primitive::{VARIABLE_MAX, binary_len, put_binary, put_variable};
    use crate::{EncodeError, QoS, Text, TopicName, UserProperty};

    type Put = Result<(), EncodeError>;

    pub(crate) fn flag(value: bool, out: &mut Vec<u8>) -> Put {
        out.push(value.into());
        Ok(())
    }

    pub(crate) fn qos(value: QoS, out: &mut Vec<u8>) -> Put {
        flag(value > QoS::AtMostOnce, out)
    }

    pub(crate) fn two(value: u16, out: &mut Vec<u8>) -> Put {
        out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    pub(crate) fn four(value: u32, out: &mut Vec<u8>) -> Put {
        out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    pub(crate) use four as four_not_zero;
    pub(crate) use two as two_not_zero;
    pub(crate) use two as alias;

    pub(crate) fn variable_not_zero(value: u32, out: &mut Vec<u8>) -> Put {
        if value as usize > VARIABLE_MAX {
            return Err(EncodeError::FieldTooLong);
        }
        put_variable(value as usize, out);
        Ok(())
    }

    pub(crate) fn binary(value: &[u8], out: &mut Vec<u8>) -> Put {
        binary_len(value)?;
        put_binary(value, out);
        Ok(())
    }

    pub(crate) fn text(value: Text<&[u8]>, out: &mut Vec<u8>) -> Put {
        binary(value.as_bytes(), out)
    }

    pub(crate) fn topic(value: TopicName<&[u8]>, out: &mut Vec<u8>) -> Put {
        binary(value.as_bytes(), out)
    }

    pub(crate) fn pair(value: UserProperty<'_>, out: &mut Vec<u8>) -> Put {
        text(value.name, out)?;
        text(value.value, out)
    }
}
