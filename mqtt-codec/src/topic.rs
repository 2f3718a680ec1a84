//! Topic names and topic filters: their syntax, and which filter matches which name.

use core::fmt;
use core::ops::Deref;

use bytes::Bytes;

use crate::text::{HIGHS, ONES};
use crate::{DecodeError, Text};

/// What a message is published to: at least one character, no wildcards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName<B: AsRef<[u8]> = Bytes>(Text<B>);

impl<B: AsRef<[u8]>> TopicName<B> {
    /// Checks `bytes` and makes them a topic name.
    ///
    /// # Errors
    /// [`DecodeError::TopicEmpty`] `[MQTT-4.7.3-1]`, [`DecodeError::TopicNameWildcard`]
    /// `[MQTT-4.7.0-1]`, and what [`Text::new`] finds.
    pub fn new(bytes: B) -> Result<Self, DecodeError> {
        let text = Text::new(bytes)?;
        if text.as_bytes().is_empty() {
            return Err(DecodeError::TopicEmpty);
        }
        if has_wildcard(text.as_bytes()) {
            return Err(DecodeError::TopicNameWildcard);
        }
        Ok(Self(text))
    }

    pub(crate) fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> TopicName<C> {
        TopicName(self.0.map(f))
    }

    /// The same name, borrowed.
    #[must_use]
    pub fn as_view(&self) -> TopicName<&[u8]> {
        TopicName(self.0.as_view())
    }
}

impl<'a> TopicName<&'a [u8]> {
    /// The bytes, for as long as they are borrowed.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.0.bytes()
    }
}

/// What a client subscribes to: levels, `+` for any one level, `#` at the end for all below;
/// or `$share/{ShareName}/{filter}` for a shared subscription.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicFilter<B: AsRef<[u8]> = Bytes>(Text<B>);

const SHARE: &[u8] = b"$share/";

impl<B: AsRef<[u8]>> TopicFilter<B> {
    /// Checks `bytes` and makes them a topic filter.
    ///
    /// # Errors
    /// [`DecodeError::TopicEmpty`] `[MQTT-4.7.3-1]`, [`DecodeError::MultiLevelWildcard`]
    /// `[MQTT-4.7.1-1]`, [`DecodeError::SingleLevelWildcard`] `[MQTT-4.7.1-2]`,
    /// [`DecodeError::ShareNameEmpty`] `[MQTT-4.8.2-1]`, [`DecodeError::ShareName`]
    /// `[MQTT-4.8.2-2]`, and what [`Text::new`] finds.
    pub fn new(bytes: B) -> Result<Self, DecodeError> {
        let text = Text::new(bytes)?;
        let filter = match text.as_bytes().strip_prefix(SHARE) {
            Some(shared) => split_share(shared)?.1,
            None => text.as_bytes(),
        };
        if filter.is_empty() {
            return Err(DecodeError::TopicEmpty);
        }
        check_wildcards(filter)?;
        Ok(Self(text))
    }

    /// The share name, if this is a shared subscription.
    #[must_use]
    pub fn share_name(&self) -> Option<&[u8]> {
        let shared = self.as_bytes().strip_prefix(SHARE)?;
        Some(split_share(shared).ok()?.0)
    }

    /// What topic names are matched with: all of it, or what follows the share name.
    #[must_use]
    pub fn filter(&self) -> &[u8] {
        let shared = self.as_bytes().strip_prefix(SHARE).map(split_share);
        match shared {
            Some(Ok((_, filter))) => filter,
            Some(Err(_)) | None => self.as_bytes(),
        }
    }

    /// True if there is a `+` or `#` in what names are matched with.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        has_wildcard(self.filter())
    }

    /// True if the filter matches the topic name.
    ///
    /// A filter that begins with a wildcard does not match a name that begins with `$`
    /// `[MQTT-4.7.2-1]`; `a/#` matches `a` too.
    ///
    /// `[MQTT-3.3.2-3]` `[MQTT-4.7.3-4]`
    #[must_use]
    pub fn matches<N: AsRef<[u8]>>(&self, name: &TopicName<N>) -> bool {
        let (mut filter, mut name) = (self.filter(), name.as_bytes());
        if name.starts_with(b"$") && matches!(filter.first(), Some(b'+' | b'#')) {
            return false;
        }
        loop {
            let (wanted, filter_rest) = split_level(filter);
            if wanted == b"#" {
                return true;
            }
            let (level, name_rest) = split_level(name);
            if wanted != b"+" && wanted != level {
                return false;
            }
            match (filter_rest, name_rest) {
                (None, None) => return true,
                (Some(b"#"), None) => return true,
                (Some(f), Some(n)) => (filter, name) = (f, n),
                (None, Some(_)) | (Some(_), None) => return false,
            }
        }
    }

    pub(crate) fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> TopicFilter<C> {
        TopicFilter(self.0.map(f))
    }

    /// The same filter, borrowed.
    #[must_use]
    pub fn as_view(&self) -> TopicFilter<&[u8]> {
        TopicFilter(self.0.as_view())
    }
}

impl<'a> TopicFilter<&'a [u8]> {
    /// The bytes, for as long as they are borrowed.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.0.bytes()
    }

    /// A filter of its own.
    #[must_use]
    pub fn to_bytes(self) -> TopicFilter {
        self.map(&mut Bytes::copy_from_slice)
    }
}

macro_rules! text_like {
    ($($name:ident)+) => { $(
        impl<B: AsRef<[u8]>> Deref for $name<B> {
            type Target = Text<B>;

            fn deref(&self) -> &Text<B> {
                &self.0
            }
        }

        impl $name {
            /// A copy of `text`.
            ///
            /// # Errors
            /// As `new`.
            pub fn from_text(text: &str) -> Result<Self, DecodeError> {
                Self::new(Bytes::copy_from_slice(text.as_bytes()))
            }
        }

        impl<B: AsRef<[u8]>> fmt::Debug for $name<B> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<B: AsRef<[u8]>> fmt::Display for $name<B> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+ };
}

text_like! { TopicName TopicFilter }

/// The levels of a topic name or filter.
pub fn levels(topic: &[u8]) -> impl Iterator<Item = &[u8]> {
    topic.split(|byte| *byte == b'/')
}

fn split_level(topic: &[u8]) -> (&[u8], Option<&[u8]>) {
    match topic
        .iter()
        .position(|byte| *byte == b'/')
        .and_then(|at| topic.split_at_checked(at))
    {
        Some((level, rest)) => (level, rest.get(1..)),
        None => (topic, None),
    }
}

/// Share name and filter of what follows `$share/`.
fn split_share(shared: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let (name, filter) = split_level(shared);
    if name.is_empty() {
        return Err(DecodeError::ShareNameEmpty);
    }
    match filter {
        Some(filter) if !filter.is_empty() && !has_wildcard(name) => Ok((name, filter)),
        Some(_) | None => Err(DecodeError::ShareName),
    }
}

// [MQTT-4.7.3-2]
fn check_wildcards(filter: &[u8]) -> Result<(), DecodeError> {
    let mut rest = Some(filter);
    while let Some(here) = rest {
        let (level, next) = split_level(here);
        if level.contains(&b'#') && (level.len() > 1 || next.is_some()) {
            return Err(DecodeError::MultiLevelWildcard);
        }
        if level.contains(&b'+') && level.len() > 1 {
            return Err(DecodeError::SingleLevelWildcard);
        }
        rest = next;
    }
    Ok(())
}

/// True if there is a `+` or `#`, looked at eight bytes at a time.
fn has_wildcard(bytes: &[u8]) -> bool {
    const PLUS: u64 = ONES * b'+' as u64;
    const HASH: u64 = ONES * b'#' as u64;
    // The classic test for a zero byte: exact when the question is only whether there is any.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let (words, tail) = bytes.as_chunks::<8>();
    let mut found = 0;
    for word in words {
        let word = u64::from_ne_bytes(*word);
        found |= zero(word ^ PLUS) | zero(word ^ HASH);
    }
    found != 0 || tail.iter().any(|byte| matches!(byte, b'+' | b'#'))
}
