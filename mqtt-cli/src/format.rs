//! The formats of `-F`: read once, and refused where Mosquitto refuses them, then written for each message.
//!
//! Widths and precisions count bytes, as C's `printf` does; a payload is cut at its width, which no other field is.

use std::fmt;

use jiff::Zoned;
use mqtt_codec::Properties;

use crate::json::{self, Layout as JsonLayout};
use crate::strftime;

/// Wider fields are cut to this: a format is short, and its output is to be, too.
const WIDTH_MAX: usize = 1_000_000;

/// A message that has arrived, as what is printed of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    /// Zero where QoS is zero.
    pub(crate) packet_id: u16,
    /// None where the protocol has no properties.
    pub(crate) properties: &'a Properties,
    pub(crate) time: &'a Zoned,
}

/// A format string, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pieces: Vec<Piece>,
}

/// What is wrong with a format string, in Mosquitto's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormatError {
    /// It ends within `%` or `@`.
    #[error("Incomplete format specifier.")]
    Incomplete,
    /// No field has this letter.
    #[error("Invalid format specifier '{}'.", Letter(*.0))]
    Unknown(u8),
    /// It ends with a backslash.
    #[error("Incomplete escape specifier.")]
    EscapeIncomplete,
    /// No character is written like this.
    #[error("Invalid escape specifier '{}'.", Letter(*.0))]
    EscapeUnknown(u8),
}

/// `%J` was to write a payload that is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PayloadNotJson;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Field(Field, Layout),
    Nanoseconds,
    /// One conversion of `strftime`.
    Time(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    TopicAlias,
    ContentType,
    CorrelationData,
    MessageExpiryInterval,
    PayloadFormatIndicator,
    Iso8601,
    Json,
    JsonPayload,
    Length,
    PacketId,
    UserProperties,
    Payload,
    QoS,
    ResponseTopic,
    Retain,
    SubscriptionIdentifier,
    Topic,
    UnixTime,
    HexLower,
    HexUpper,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Layout {
    left: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

impl Format {
    /// Reads a format string.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, FormatError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((first, after)) = rest.split_first() {
            rest = match first {
                b'%' => percent(after, &mut pieces)?,
                b'@' => at(after, &mut pieces)?,
                b'\\' => escape(after, &mut pieces)?,
                byte => {
                    literal(*byte, &mut pieces);
                    after
                }
            };
        }
        Ok(Self { pieces })
    }

    /// Writes `arrival`; what cannot be written is left out, and the rest is there.
    pub(crate) fn write(
        &self,
        arrival: &Arrival<'_>,
        json: JsonLayout,
        out: &mut Vec<u8>,
    ) -> Result<(), PayloadNotJson> {
        let mut result = Ok(());
        for piece in &self.pieces {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Nanoseconds => {
                    print(
                        out,
                        format_args!("{:09}", strftime::nanoseconds(arrival.time)),
                    );
                }
                Piece::Time(conversion) => strftime::write(*conversion, arrival.time, out),
                Piece::Field(Field::JsonPayload, _) => {
                    if !json::write_arrival(arrival, json::Payload::Parsed, json, out) {
                        result = Err(PayloadNotJson);
                    }
                }
                Piece::Field(Field::Json, _) => {
                    json::write_arrival(arrival, json::Payload::Quoted, json, out);
                }
                Piece::Field(field, layout) => field.write(arrival, *layout, out),
            }
        }
        result
    }
}

fn literal(byte: u8, pieces: &mut Vec<Piece>) {
    if let Some(Piece::Literal(bytes)) = pieces.last_mut() {
        bytes.push(byte);
    } else {
        pieces.push(Piece::Literal(vec![byte]));
    }
}

fn percent<'a>(text: &'a [u8], pieces: &mut Vec<Piece>) -> Result<&'a [u8], FormatError> {
    let mut layout = Layout::default();
    let mut rest = text;
    // One flag, as Mosquitto checks it; a zero after a minus is a leading zero of the width.
    match rest.first() {
        Some(b'-') => {
            layout.left = true;
            rest = tail(rest);
        }
        Some(b'0') => {
            layout.zero = true;
            rest = tail(rest);
        }
        Some(_) | None => {}
    }
    (layout.width, rest) = digits(rest);
    if rest.first() == Some(&b'.') {
        let (precision, after) = digits(tail(rest));
        (layout.precision, rest) = (Some(precision), after);
    }
    let (letter, rest) = rest.split_first().ok_or(FormatError::Incomplete)?;
    match letter {
        b'%' => literal(b'%', pieces),
        letter => pieces.push(Piece::Field(Field::of(*letter)?, layout)),
    }
    Ok(rest)
}

fn at<'a>(text: &'a [u8], pieces: &mut Vec<Piece>) -> Result<&'a [u8], FormatError> {
    let (letter, rest) = text.split_first().ok_or(FormatError::Incomplete)?;
    match letter {
        b'@' => literal(b'@', pieces),
        b'N' => pieces.push(Piece::Nanoseconds),
        letter => pieces.push(Piece::Time(*letter)),
    }
    Ok(rest)
}

fn escape<'a>(text: &'a [u8], pieces: &mut Vec<Piece>) -> Result<&'a [u8], FormatError> {
    let (letter, rest) = text.split_first().ok_or(FormatError::EscapeIncomplete)?;
    let byte = match letter {
        b'\\' => b'\\',
        b'0' => 0x00,
        b'a' => 0x07,
        b'e' => 0x1B,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0B,
        other => return Err(FormatError::EscapeUnknown(*other)),
    };
    literal(byte, pieces);
    Ok(rest)
}

fn tail(text: &[u8]) -> &[u8] {
    text.get(1..).unwrap_or_default()
}

fn digits(text: &[u8]) -> (usize, &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at_checked(count).unwrap_or((text, &[]));
    let value = number.iter().fold(0, |value: usize, digit| {
        (value * 10 + usize::from(*digit - b'0')).min(WIDTH_MAX)
    });
    (value, rest)
}

impl Field {
    fn of(letter: u8) -> Result<Self, FormatError> {
        Ok(match letter {
            b'A' => Self::TopicAlias,
            b'C' => Self::ContentType,
            b'D' => Self::CorrelationData,
            b'E' => Self::MessageExpiryInterval,
            b'F' => Self::PayloadFormatIndicator,
            b'I' => Self::Iso8601,
            b'j' => Self::Json,
            b'J' => Self::JsonPayload,
            b'l' => Self::Length,
            b'm' => Self::PacketId,
            b'P' => Self::UserProperties,
            b'p' => Self::Payload,
            b'q' => Self::QoS,
            b'R' => Self::ResponseTopic,
            b'r' => Self::Retain,
            b'S' => Self::SubscriptionIdentifier,
            b't' => Self::Topic,
            b'U' => Self::UnixTime,
            b'x' => Self::HexLower,
            b'X' => Self::HexUpper,
            other => return Err(FormatError::Unknown(other)),
        })
    }

    fn write(self, arrival: &Arrival<'_>, layout: Layout, out: &mut Vec<u8>) {
        let properties = arrival.properties;
        match self {
            Self::TopicAlias => layout.integer(properties.topic_alias(), out),
            Self::ContentType => match properties.content_type() {
                Some(text) => layout.text(text.as_bytes(), out),
                None => blank(b' ', layout.width, out),
            },
            Self::CorrelationData => {
                out.extend_from_slice(properties.correlation_data().unwrap_or_default());
            }
            Self::MessageExpiryInterval => {
                layout.integer(
                    properties.message_expiry_interval().map(u32::cast_signed),
                    out,
                );
            }
            Self::PayloadFormatIndicator => {
                layout.integer(properties.payload_format_indicator().map(i32::from), out);
            }
            Self::Iso8601 => {
                let mut text = Vec::with_capacity(24);
                strftime::write_iso8601(arrival.time, &mut text);
                layout.text(&text, out);
            }
            // The format writes these two, for they are the ones that may fail.
            Self::Json | Self::JsonPayload => {}
            Self::Length => layout.integer(Some(arrival.payload.len()), out),
            Self::PacketId => layout.integer(Some(arrival.packet_id), out),
            Self::UserProperties => user_properties(properties, out),
            Self::Payload => layout.payload(arrival.payload, out),
            Self::QoS => out.push(b'0' + arrival.qos),
            Self::ResponseTopic => {
                // Unlike the others it is nothing at all where there is none.
                if let Some(topic) = properties.response_topic() {
                    layout.text(topic.as_bytes(), out);
                }
            }
            Self::Retain => out.push(b'0' + u8::from(arrival.retain)),
            Self::SubscriptionIdentifier => {
                layout.integer(properties.subscription_identifiers().next(), out);
            }
            Self::Topic => layout.text(arrival.topic.as_bytes(), out),
            Self::UnixTime => {
                let time = arrival.time;
                let (seconds, nanoseconds) =
                    (time.timestamp().as_second(), strftime::nanoseconds(time));
                print(out, format_args!("{seconds}.{nanoseconds:09}"));
            }
            Self::HexLower => layout.hex(arrival.payload, *b"0123456789abcdef", out),
            Self::HexUpper => layout.hex(arrival.payload, *b"0123456789ABCDEF", out),
        }
    }
}

impl Layout {
    fn pad(self) -> u8 {
        if self.zero { b'0' } else { b' ' }
    }

    fn integer(self, value: Option<impl fmt::Display>, out: &mut Vec<u8>) {
        let Some(value) = value else {
            return blank(self.pad(), self.width, out);
        };
        let width = self.width;
        if self.left {
            print(out, format_args!("{value:<width$}"));
        } else if self.zero {
            print(out, format_args!("{value:0>width$}"));
        } else {
            print(out, format_args!("{value:>width$}"));
        }
    }

    fn text(self, text: &[u8], out: &mut Vec<u8>) {
        let text = match self.precision {
            Some(precision) => text.get(..precision).unwrap_or(text),
            None => text,
        };
        self.aligned(b' ', self.width.saturating_sub(text.len()), out, |out| {
            out.extend_from_slice(text);
        });
    }

    fn payload(self, payload: &[u8], out: &mut Vec<u8>) {
        let shown = self.cut(payload);
        let padding = self.padding(shown.len(), shown.len());
        self.aligned(self.pad(), padding, out, |out| out.extend_from_slice(shown));
    }

    fn hex(self, payload: &[u8], alphabet: [u8; 16], out: &mut Vec<u8>) {
        let shown = self.cut(payload);
        // As many bytes are shown as half of the width can hold, even where there is room for more.
        let shown = if self.width > 0 {
            shown.get(..shown.len() / 2).unwrap_or(shown)
        } else {
            shown
        };
        let padding = self.padding(shown.len() * 2, shown.len());
        let digit = |nibble: u8| alphabet.get(usize::from(nibble)).copied().unwrap_or(b'0');
        self.aligned(self.pad(), padding, out, |out| {
            for byte in shown {
                out.extend_from_slice(&[digit(byte >> 4), digit(byte & 0x0F)]);
            }
        });
    }

    fn cut(self, payload: &[u8]) -> &[u8] {
        if self.width > 0 {
            payload.get(..self.width).unwrap_or(payload)
        } else {
            payload
        }
    }

    /// `%-p` without a width pads by as much as the payload has: a negative width is a positive one, to the left.
    fn padding(self, shown: usize, bytes: usize) -> usize {
        match (self.width, self.left) {
            (0, true) => bytes,
            (0, false) => 0,
            (width, _) => width.saturating_sub(shown),
        }
    }

    fn aligned(self, pad: u8, padding: usize, out: &mut Vec<u8>, text: impl FnOnce(&mut Vec<u8>)) {
        if self.left {
            text(out);
            blank(b' ', padding, out);
        } else {
            blank(pad, padding, out);
            text(out);
        }
    }
}

fn blank(pad: u8, count: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + count, pad);
}

fn user_properties(properties: &Properties, out: &mut Vec<u8>) {
    for (index, property) in properties.user_properties().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(property.name.as_bytes());
        out.push(b':');
        out.extend_from_slice(property.value.as_bytes());
    }
}

/// Formats into bytes, which cannot fail.
pub(crate) fn print(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    let _ = std::io::Write::write_fmt(out, text);
}

/// A byte as the character that C prints for it.
struct Letter(u8);

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_ascii() {
            write!(f, "{}", char::from(self.0))
        } else {
            write!(f, "\\x{:02x}", self.0)
        }
    }
}

#[cfg(test)]
mod tests;
