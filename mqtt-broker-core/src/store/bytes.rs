//! How numbers, texts, lists and absent values are written as bytes and read again.
//!
//! Numbers are big-endian, texts and lists have their length in front, an absent value is a byte 0.
//! What cannot be read is an error, never a panic, and costs no more memory than the bytes at hand.

use super::record::RecordError;
use crate::Instant;

/// Appends to a buffer of the caller.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.byte(flag.into());
    }

    pub(super) fn short(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(super) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(super) fn moment(&mut self, moment: Instant) {
        self.number(moment.as_millis());
    }

    /// Nothing that is stored has 2^32 parts.
    pub(super) fn count(&mut self, count: usize) {
        self.short(count as u32);
    }

    pub(super) fn text(&mut self, text: &[u8]) {
        self.count(text.len());
        self.0.extend_from_slice(text);
    }

    pub(super) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// Reads from the front of what is left.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn moment(&mut self) -> Result<Instant, RecordError> {
        self.number().map(Instant::from_millis)
    }

    pub(super) fn string(&mut self) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.text()?).map_err(damaged)
    }

    pub(super) fn text(&mut self) -> Result<&'a [u8], RecordError> {
        let len = self.short()? as usize;
        self.take(len)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(RecordError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of parts, each of which is a byte at least: no more than there are bytes left.
    pub(super) fn count(&mut self) -> Result<usize, RecordError> {
        let count = self.short()? as usize;
        if count <= self.0.len() {
            Ok(count)
        } else {
            Err(RecordError::Damaged)
        }
    }

    pub(super) fn flag(&mut self) -> Result<bool, RecordError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(RecordError::Damaged),
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8, RecordError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn short(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn number(&mut self) -> Result<u64, RecordError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(RecordError::Damaged)?;
        self.0 = rest;
        Ok(*array)
    }

    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Option<T>, RecordError> {
        if self.flag()? {
            read(self).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Checks the version in front.
    pub(super) fn version(&mut self, known: u8) -> Result<(), RecordError> {
        match self.byte()? {
            version if version == known => Ok(()),
            version if version > known => Err(RecordError::Later { version, known }),
            _ => Err(RecordError::Damaged),
        }
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), RecordError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(RecordError::Damaged)
        }
    }
}

pub(super) fn damaged<E>(_: E) -> RecordError {
    RecordError::Damaged
}
