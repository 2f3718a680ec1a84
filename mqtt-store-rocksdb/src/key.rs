//! Keys: numbers in few bytes whose order is that of the numbers, with or without something behind.

use mqtt_broker_core::Instant;

/// Appends a number: how many bytes it has, then those, the highest first. Small numbers, which
/// nearly all are, take two to five bytes, and the bytes are in the order of the numbers.
pub(crate) fn push_number(key: &mut Vec<u8>, number: u64) {
    let bytes = number.to_be_bytes();
    let zeros = number.leading_zeros() as usize / 8;
    key.push((bytes.len() - zeros) as u8);
    key.extend_from_slice(bytes.get(zeros..).unwrap_or_default());
}

/// Takes a number from the front; `None` if there is none, or not in the form it is written in: one
/// number has one form, or two keys could be taken for the same.
pub(crate) fn take_number(key: &mut &[u8]) -> Option<u64> {
    let (len, rest) = key.split_first()?;
    let (number, rest) = rest.split_at_checked((*len).into())?;
    if number.first() == Some(&0) {
        return None;
    }
    let mut bytes = [0; size_of::<u64>()];
    let zeros = bytes.len().checked_sub(number.len())?;
    bytes.get_mut(zeros..)?.copy_from_slice(number);
    *key = rest;
    Some(u64::from_be_bytes(bytes))
}

/// What no number begins with, and all that could come behind the numbers does.
pub(crate) const BEHIND_NUMBERS: &[u8] = &[size_of::<u64>() as u8 + 1];

/// A key that is a number.
pub(crate) fn number(number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    push_number(&mut key, number);
    key
}

/// The least that is behind all keys that begin with a number.
pub(crate) fn behind(number: u64) -> Vec<u8> {
    let next = number.checked_add(1);
    next.map_or_else(|| BEHIND_NUMBERS.to_vec(), self::number)
}

/// The number that a key is.
pub(crate) fn parse_number(mut key: &[u8]) -> Option<u64> {
    take_number(&mut key).filter(|_| key.is_empty())
}

/// A key of two numbers: a session's and a delivery's.
pub(crate) fn pair(session: u64, seq: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(18);
    push_number(&mut key, session);
    push_number(&mut key, seq);
    key
}

/// The two numbers that a key is.
pub(crate) fn parse_pair(mut key: &[u8]) -> Option<(u64, u64)> {
    let session = take_number(&mut key)?;
    parse_number(key).map(|seq| (session, seq))
}

/// The key of a delivery whose message's lifetime ends then: the earliest come first.
pub(crate) fn due(moment: Instant, delivery: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(9 + delivery.len());
    push_number(&mut key, moment.as_millis());
    key.extend_from_slice(delivery);
    key
}

/// The moment of such a key, the session's number and the sequence number.
pub(crate) fn parse_due(mut key: &[u8]) -> Option<(Instant, u64, u64)> {
    let moment = take_number(&mut key).map(Instant::from_millis)?;
    let (session, seq) = parse_pair(key)?;
    Some((moment, session, seq))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_their_numbers() {
        let mut numbers = vec![0, 1, 255, 256, 65_535, 65_536, u64::MAX - 1, u64::MAX];
        for bits in 0..64 {
            numbers.extend([1 << bits, (1 << bits) - 1, (1 << bits) + 1]);
        }
        numbers.sort_unstable();
        numbers.dedup();
        let keys: Vec<_> = numbers.iter().map(|at| number(*at)).collect();
        assert!(keys.is_sorted());
        for (key, at) in keys.iter().zip(&numbers) {
            assert_eq!(parse_number(key), Some(*at));
            assert_eq!(parse_pair(&pair(7, *at)), Some((7, *at)));
            assert!(pair(*at, *at).as_slice() < BEHIND_NUMBERS);
            // All of a session's keys are before the next session's.
            assert!(pair(*at, u64::MAX) < number(at.saturating_add(1)) || *at == u64::MAX);
        }
    }

    #[test]
    fn what_is_no_number_is_not_taken_for_one() {
        for key in [
            &[][..],
            &[1],
            &[9, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            &[2, 1],
            &[1, 1, 0],
            &[1, 0],
            &[2, 0, 1],
        ] {
            assert_eq!(parse_number(key), None, "{key:?}");
        }
    }
}
