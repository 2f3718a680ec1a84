//! The values of sessions and deliveries; all others are in the forms of `mqtt-broker-core`.

use mqtt_broker_core::store::{Record, RecordError, SessionRecord};
use mqtt_broker_core::{ClientId, Instant};
use mqtt_codec::QoS;

use crate::key;

/// A session's value: its client identifier's length and text, then its record.
pub(crate) fn push_session(value: &mut Vec<u8>, client: &ClientId, record: &SessionRecord) {
    let text = client.as_str().as_bytes();
    key::push_number(value, text.len() as u64);
    value.extend_from_slice(text);
    record.append_to(value);
}

/// The client identifier of a session's value, and what is behind it.
pub(crate) fn take_client(mut value: &[u8]) -> Result<(ClientId, &[u8]), RecordError> {
    let len = key::take_number(&mut value).ok_or(RecordError::Damaged)?;
    let (text, rest) = usize::try_from(len)
        .ok()
        .and_then(|len| value.split_at_checked(len))
        .ok_or(RecordError::Damaged)?;
    let text = std::str::from_utf8(text).map_err(|_| RecordError::Damaged)?;
    Ok((ClientId::new(text), rest))
}

/// A session's value.
pub(crate) fn parse_session(value: &[u8]) -> Result<(ClientId, SessionRecord), RecordError> {
    let (client, record) = take_client(value)?;
    Ok((client, SessionRecord::from_bytes(record)?))
}

/// A delivery, with the number of its message in place of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryRecord {
    pub(crate) message: u64,
    /// True if other deliveries have the same message: then it is counted how many still do.
    pub(crate) shared: bool,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) expires: Option<Instant>,
    pub(crate) subscription_identifiers: Box<[u32]>,
}

/// The first byte of a delivery: flags, and the version of the form in the upper three bits.
mod head {
    pub(super) const EXACTLY_ONCE: u8 = 1;
    pub(super) const RETAIN: u8 = 1 << 1;
    pub(super) const SHARED: u8 = 1 << 2;
    pub(super) const EXPIRES: u8 = 1 << 3;
    pub(super) const IDENTIFIERS: u8 = 1 << 4;
    pub(super) const VERSION_AT: u8 = 5;
    pub(super) const VERSION: u8 = 1;
}

impl DeliveryRecord {
    /// Appends its byte form: for most deliveries one byte and the number of the message.
    pub(crate) fn push(&self, value: &mut Vec<u8>) {
        let flags = [
            (self.qos == QoS::ExactlyOnce, head::EXACTLY_ONCE),
            (self.retain, head::RETAIN),
            (self.shared, head::SHARED),
            (self.expires.is_some(), head::EXPIRES),
            (!self.subscription_identifiers.is_empty(), head::IDENTIFIERS),
        ];
        let version = head::VERSION << head::VERSION_AT;
        let set = flags.iter().filter(|(set, _)| *set);
        value.push(set.fold(version, |byte, (_, flag)| byte | flag));
        key::push_number(value, self.message);
        if let Some(expires) = self.expires {
            key::push_number(value, expires.as_millis());
        }
        for identifier in &self.subscription_identifiers {
            value.extend_from_slice(&identifier.to_be_bytes());
        }
    }

    pub(crate) fn parse(value: &[u8]) -> Result<Self, RecordError> {
        let (first, mut rest) = value.split_first().ok_or(RecordError::Damaged)?;
        let version = first >> head::VERSION_AT;
        if version > head::VERSION {
            return Err(RecordError::Later {
                version,
                known: head::VERSION,
            });
        }
        let has = |flag| first & flag != 0;
        let message = key::take_number(&mut rest).ok_or(RecordError::Damaged)?;
        let expires = if has(head::EXPIRES) {
            let millis = key::take_number(&mut rest).ok_or(RecordError::Damaged)?;
            Some(Instant::from_millis(millis))
        } else {
            None
        };
        let (identifiers, left) = rest.as_chunks::<4>();
        if version != head::VERSION
            || !left.is_empty()
            || has(head::IDENTIFIERS) == identifiers.is_empty()
        {
            return Err(RecordError::Damaged);
        }
        Ok(Self {
            message,
            shared: has(head::SHARED),
            qos: if has(head::EXACTLY_ONCE) {
                QoS::ExactlyOnce
            } else {
                QoS::AtLeastOnce
            },
            retain: has(head::RETAIN),
            expires,
            subscription_identifiers: identifiers
                .iter()
                .map(|bytes| u32::from_be_bytes(*bytes))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<DeliveryRecord> {
        let mut all = Vec::new();
        for bits in 0..32_u8 {
            let set = |flag| bits & flag != 0;
            all.push(DeliveryRecord {
                message: u64::from(bits) << 7,
                qos: QoS::from_number(1 + u8::from(set(head::EXACTLY_ONCE))).unwrap(),
                retain: set(head::RETAIN),
                shared: set(head::SHARED),
                expires: set(head::EXPIRES).then(|| Instant::from_millis(1_700_000_000_000)),
                subscription_identifiers: if set(head::IDENTIFIERS) {
                    [1, 268_435_455].into()
                } else {
                    Box::default()
                },
            });
        }
        all
    }

    #[test]
    fn deliveries_are_read_as_they_were_written() {
        for record in all() {
            let mut value = Vec::new();
            record.push(&mut value);
            assert_eq!(DeliveryRecord::parse(&value), Ok(record));
        }
    }

    #[test]
    fn damaged_deliveries_and_those_of_later_versions_are_told_apart() {
        for record in all() {
            let mut value = Vec::new();
            record.push(&mut value);
            for len in 0..value.len() {
                // Cut at another place, identifiers or a number may still be whole.
                let _ = DeliveryRecord::parse(&value[..len]);
            }
            assert_eq!(DeliveryRecord::parse(&[]), Err(RecordError::Damaged));
            value[0] += 1 << head::VERSION_AT;
            let later = RecordError::Later {
                version: 2,
                known: 1,
            };
            assert_eq!(DeliveryRecord::parse(&value), Err(later));
        }
    }

    #[test]
    fn most_deliveries_take_six_bytes() {
        let mut value = Vec::new();
        let record = DeliveryRecord {
            message: 100_000_000,
            ..all().remove(0)
        };
        record.push(&mut value);
        assert_eq!(value.len(), 6);
    }
}
