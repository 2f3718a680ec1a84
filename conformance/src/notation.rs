//! Bytes as a reader of the standard would write them down.
//!
//! | written | means |
//! |---|---|
//! | `32`, `0001` | bytes, in hexadecimal |
//! | `"a/b"` | a string: two bytes of length, then the characters |
//! | `'hello'` | the characters alone |
//! | `<...>` | what is inside, after its length as a variable byte integer |
//! | `{...}` | the same in MQTT 5.0, and nothing at all in 3.1 and 3.1.1: a section of properties |
//! | `??` | any byte (only in what is expected) |
//! | `..` | whatever follows, to the end of the group (only in what is expected) |
//!
//! Within quotes, `~` is a name that no other test uses. So a SUBSCRIBE is `82 <0001 {} "~/a" 01>`.

use std::iter::Peekable;
use std::str::Chars;

use crate::Version;

/// What was written down: something to send, or to compare with what came.
#[derive(Debug, PartialEq)]
pub struct Notation(Vec<Part>);

#[derive(Debug, PartialEq)]
enum Part {
    Byte(u8),
    AnyByte,
    Group(Vec<Self>),
    Rest,
}

impl Notation {
    /// Reads `text` as bytes of `version`, with `name` for each `~`.
    ///
    /// # Panics
    /// If `text` is not in the notation: the test is wrong.
    #[track_caller]
    #[must_use]
    pub fn read(text: &str, version: Version, name: &str) -> Self {
        let mut reader = Reader {
            text: text.chars().peekable(),
            version,
            name,
        };
        let parts = reader.parts(None);
        match parts {
            Ok(parts) => Self(parts),
            Err(error) => panic!("{error} in the notation {text}"),
        }
    }

    /// The bytes to send.
    ///
    /// # Panics
    /// If some of them are left open.
    #[track_caller]
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&self.0, &mut bytes);
        bytes
    }

    /// Whether these are bytes as described.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        matches(&self.0, bytes)
    }
}

/// A variable byte integer. [MQTT-1.5.5-1]
pub fn variable_byte_integer(mut value: usize, bytes: &mut Vec<u8>) {
    loop {
        let low = (value % 128) as u8;
        value /= 128;
        if value == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

/// The value of the variable byte integer at the start of `bytes`, and how many bytes it takes.
#[must_use]
pub fn read_variable_byte_integer(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

#[track_caller]
fn write(parts: &[Part], bytes: &mut Vec<u8>) {
    for part in parts {
        match part {
            Part::Byte(byte) => bytes.push(*byte),
            Part::Group(parts) => {
                let mut inside = Vec::new();
                write(parts, &mut inside);
                variable_byte_integer(inside.len(), bytes);
                bytes.append(&mut inside);
            }
            Part::AnyByte | Part::Rest => panic!("?? and .. cannot be sent"),
        }
    }
}

fn matches(parts: &[Part], mut bytes: &[u8]) -> bool {
    for part in parts {
        let used = match part {
            Part::Rest => return true,
            Part::Byte(byte) if bytes.first() == Some(byte) => 1,
            Part::AnyByte if !bytes.is_empty() => 1,
            Part::Byte(_) | Part::AnyByte => return false,
            Part::Group(parts) => {
                let Some((length, head)) = read_variable_byte_integer(bytes) else {
                    return false;
                };
                let Some(inside) = bytes.get(head..head + length) else {
                    return false;
                };
                if !matches(parts, inside) {
                    return false;
                }
                head + length
            }
        };
        bytes = &bytes[used..];
    }
    bytes.is_empty()
}

struct Reader<'a> {
    text: Peekable<Chars<'a>>,
    version: Version,
    name: &'a str,
}

impl Reader<'_> {
    /// What is written up to `end`, or to the end of the text.
    fn parts(&mut self, end: Option<char>) -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        loop {
            let next = self.text.next();
            match next {
                _ if next == end => return Ok(parts),
                None => return Err(format!("a group that {end:?} does not end")),
                Some(space) if space.is_whitespace() => {}
                Some('<') => parts.push(Part::Group(self.parts(Some('>'))?)),
                Some('{') => {
                    let inside = self.parts(Some('}'))?;
                    if self.version == Version::V5 {
                        parts.push(Part::Group(inside));
                    }
                }
                Some('"') => {
                    let characters = self.characters('"')?;
                    let length = u16::try_from(characters.len())
                        .map_err(|_| "a string that is too long".to_owned())?;
                    parts.extend(length.to_be_bytes().map(Part::Byte));
                    parts.extend(characters.into_iter().map(Part::Byte));
                }
                Some('\'') => parts.extend(self.characters('\'')?.into_iter().map(Part::Byte)),
                Some('?') if self.text.next() == Some('?') => parts.push(Part::AnyByte),
                Some('.') if self.text.next() == Some('.') => parts.push(Part::Rest),
                Some(high) => parts.push(Part::Byte(self.byte(high)?)),
            }
        }
    }

    fn characters(&mut self, quote: char) -> Result<Vec<u8>, String> {
        let mut characters = String::new();
        loop {
            match self.text.next() {
                None => return Err("quotes that do not end".to_owned()),
                Some(end) if end == quote => return Ok(characters.into_bytes()),
                Some('~') => characters.push_str(self.name),
                Some(other) => characters.push(other),
            }
        }
    }

    fn byte(&mut self, high: char) -> Result<u8, String> {
        let low = self.text.next();
        let digits = high.to_digit(16).zip(low.and_then(|low| low.to_digit(16)));
        match digits {
            Some((high, low)) => Ok((high * 16 + low) as u8),
            None => Err(format!("{high:?} and {low:?} instead of a byte")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Notation;
    use crate::Version::{self, V3_1_1, V5};

    fn bytes(text: &str, version: Version) -> Vec<u8> {
        Notation::read(text, version, "me").bytes()
    }

    fn matches(text: &str, bytes: &[u8]) -> bool {
        Notation::read(text, V5, "me").matches(bytes)
    }

    #[test]
    fn a_subscribe_is_written_as_the_standard_has_it() {
        let text = r#"82 <0001 {} "~/a" 01>"#;
        assert_eq!(bytes(text, V5), b"\x82\x0A\0\x01\0\0\x04me/a\x01");
        assert_eq!(bytes(text, V3_1_1), b"\x82\x09\0\x01\0\x04me/a\x01");
    }

    #[test]
    fn a_long_group_has_a_long_length() {
        let text = format!("30 <'{}'>", "x".repeat(321));
        assert_eq!(bytes(&text, V5)[..3], [0x30, 0xC1, 0x02]);
        assert!(matches(&text, &bytes(&text, V5)));
    }

    #[test]
    fn what_is_open_matches_anything_of_its_length() {
        assert!(matches("40 <00 ?? ..>", &[0x40, 2, 0, 9]));
        assert!(matches("40 <00 ?? ..>", &[0x40, 4, 0, 9, 7, 7]));
        assert!(!matches("40 <00 ?? ..>", &[0x40, 1, 0]));
        assert!(!matches("40 <00 ?? ..>", &[0x40, 2, 1, 9]));
        assert!(!matches("40 <00 ??>", &[0x40, 3, 0, 9, 9]));
        assert!(!matches("40 <00 ??>", &[0x40, 3, 0, 9]));
        assert!(matches("20 <00 00 {..}>", &[0x20, 4, 0, 0, 1, 7]));
        assert!(!matches("20 <00 00 {..}>", &[0x20, 5, 0, 0, 1, 7, 7]));
    }
}
