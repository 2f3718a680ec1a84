//! JSON of messages: that of `%j` and `%J`, which is Mosquitto's to the byte, and the lines of `--json`.
//!
//! Mosquitto writes with cJSON: strings are bytes, numbers are doubles in C's `%g`, keys may come twice and stay in their order.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mqtt_codec::{Properties, Property};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::format::{Arrival, print};
use crate::strftime;

/// Whether it is for machines or for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// No white space at all.
    Compact,
    /// A line for each member, indented with tabs.
    Pretty,
}

/// What becomes of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// A string, whatever it is.
    Quoted,
    /// It is JSON itself.
    Parsed,
}

/// A JSON value over bytes that need not be UTF-8.
#[derive(Clone, Debug, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(Vec<u8>),
    Array(Vec<Self>),
    Object(Vec<(Vec<u8>, Self)>),
}

/// Writes `arrival` as `%j` and `%J` do; false, and nothing written, if the payload was to be JSON and is not.
pub(crate) fn write_arrival(
    arrival: &Arrival<'_>,
    payload: Payload,
    layout: Layout,
    out: &mut Vec<u8>,
) -> bool {
    let payload = match payload {
        _ if arrival.payload.is_empty() => Json::Null,
        Payload::Quoted => c_string(arrival.payload),
        Payload::Parsed => match serde_json::from_slice(arrival.payload) {
            Ok(value) => value,
            Err(_) => return false,
        },
    };
    let mut time = Vec::with_capacity(32);
    strftime::write_iso8601_microseconds(arrival.time, &mut time);
    let mut members = vec![
        (b"tst".to_vec(), Json::Text(time)),
        (b"topic".to_vec(), Json::text(arrival.topic)),
        (b"qos".to_vec(), Json::number(arrival.qos)),
        (b"retain".to_vec(), Json::number(u8::from(arrival.retain))),
        (
            b"payloadlen".to_vec(),
            Json::number(u32::try_from(arrival.payload.len()).unwrap_or(u32::MAX)),
        ),
    ];
    if arrival.qos > 0 {
        members.push((b"mid".to_vec(), Json::number(arrival.packet_id)));
    }
    if !arrival.properties.is_empty() {
        members.push((b"properties".to_vec(), properties(arrival.properties)));
    }
    members.push((b"payload".to_vec(), payload));
    Json::Object(members).write(layout, 1, out);
    true
}

/// The properties as Mosquitto names them; user properties are one object at the place of the first.
fn properties(properties: &Properties) -> Json {
    let mut members: Vec<(Vec<u8>, Json)> = Vec::new();
    for property in properties.iter() {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "no other property is of a PUBLISH"
        )]
        let (name, value) = match property {
            Property::PayloadFormatIndicator(value) => {
                ("payload-format-indicator", Json::number(u8::from(value)))
            }
            Property::MessageExpiryInterval(value) => {
                ("message-expiry-interval", Json::number(value))
            }
            Property::ContentType(value) => ("content-type", Json::Text(value.as_bytes().to_vec())),
            Property::ResponseTopic(value) => {
                ("response-topic", Json::Text(value.as_bytes().to_vec()))
            }
            Property::CorrelationData(value) => ("correlation-data", c_string(value)),
            Property::SubscriptionIdentifier(value) => {
                ("subscription-identifier", Json::number(value))
            }
            Property::TopicAlias(value) => ("topic-alias", Json::number(value)),
            Property::UserProperty(user) => {
                let pair = (
                    user.name.as_bytes().to_vec(),
                    Json::Text(user.value.as_bytes().to_vec()),
                );
                let users = members.iter_mut().find_map(|(_, member)| match member {
                    Json::Object(pairs) => Some(pairs),
                    Json::Null
                    | Json::Bool(_)
                    | Json::Number(_)
                    | Json::Text(_)
                    | Json::Array(_) => None,
                });
                match users {
                    Some(pairs) => pairs.push(pair),
                    None => members.push((b"user-properties".to_vec(), Json::Object(vec![pair]))),
                }
                continue;
            }
            _ => continue,
        };
        members.push((name.as_bytes().to_vec(), value));
    }
    Json::Object(members)
}

/// A string as C sees it: it ends at the first zero byte.
fn c_string(bytes: &[u8]) -> Json {
    Json::Text(
        bytes
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default()
            .to_vec(),
    )
}

impl Json {
    fn text(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }

    fn number(value: impl Into<f64>) -> Self {
        Self::Number(value.into())
    }

    fn write(&self, layout: Layout, depth: usize, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(value) => number(*value, out),
            Self::Text(text) => string(text, out),
            Self::Array(values) => {
                out.push(b'[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.extend_from_slice(if layout == Layout::Pretty {
                            b", "
                        } else {
                            b","
                        });
                    }
                    value.write(layout, depth + 1, out);
                }
                out.push(b']');
            }
            Self::Object(members) => object(members, layout, depth, out),
        }
    }
}

fn object(members: &[(Vec<u8>, Json)], layout: Layout, depth: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    if layout == Layout::Pretty {
        out.push(b'\n');
    }
    for (index, (name, value)) in members.iter().enumerate() {
        if layout == Layout::Pretty {
            out.resize(out.len() + depth, b'\t');
        }
        string(name, out);
        out.push(b':');
        if layout == Layout::Pretty {
            out.push(b'\t');
        }
        value.write(layout, depth + 1, out);
        if index + 1 < members.len() {
            out.push(b',');
        }
        if layout == Layout::Pretty {
            out.push(b'\n');
        }
    }
    if layout == Layout::Pretty {
        out.resize(out.len() + depth - 1, b'\t');
    }
    out.push(b'}');
}

/// All bytes but the control characters, the quote and the backslash stay what they are.
fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x00..=0x1F => print(out, format_args!("\\u{byte:04x}")),
            other => out.push(*other),
        }
    }
    out.push(b'"');
}

/// Fifteen digits where they are enough to read the number back, else seventeen.
fn number(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return out.extend_from_slice(b"null");
    }
    let short = general(value, 15);
    let read: f64 = short.parse().unwrap_or(f64::NAN);
    let close = (read - value).abs() <= read.abs().max(value.abs()) * f64::EPSILON;
    let text = if close { short } else { general(value, 17) };
    out.extend_from_slice(text.as_bytes());
}

/// `%.{digits}g` of C: fixed or with an exponent, whichever is shorter, without zeros at the end.
fn general(value: f64, digits: usize) -> String {
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    match usize::try_from(exponent) {
        Ok(whole) if whole < digits => trim(&format!("{value:.*}", digits - 1 - whole)),
        Err(_) if exponent >= -4 => trim(&format!(
            "{value:.*}",
            digits - 1 + exponent.unsigned_abs() as usize
        )),
        Ok(_) | Err(_) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{:02}", trim(mantissa), exponent.unsigned_abs())
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "cJSON has no integers: it loses the same"
    )]
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "cJSON has no integers: it loses the same"
    )]
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element()? {
            values.push(value);
        }
        Ok(Json::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = access.next_entry::<String, Json>()? {
            members.push((name.into_bytes(), value));
        }
        Ok(Json::Object(members))
    }
}

/// Writes `arrival` as a line of `--json`, without its end. A payload that is not UTF-8 is `payload_base64`.
pub(crate) fn write_line(arrival: &Arrival<'_>, layout: Layout, out: &mut Vec<u8>) {
    let line = Line::of(arrival);
    // Writing into a vector cannot fail, and no key is anything but a string.
    let _ = match layout {
        Layout::Compact => serde_json::to_writer(&mut *out, &line),
        Layout::Pretty => serde_json::to_writer_pretty(&mut *out, &line),
    };
}

#[derive(serde::Serialize)]
struct Line<'a> {
    timestamp: String,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    qos: u8,
    retain: bool,
    dup: bool,
    #[serde(skip_serializing_if = "LineProperties::is_empty")]
    properties: LineProperties<'a>,
}

#[derive(Default, PartialEq, serde::Serialize)]
struct LineProperties<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_format_indicator: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_expiry_interval: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_data_base64: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscription_identifiers: Vec<u32>,
    /// Pairs, for a name may come twice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    user_properties: Vec<[&'a str; 2]>,
}

impl<'a> Line<'a> {
    fn of(arrival: &Arrival<'a>) -> Self {
        let text = std::str::from_utf8(arrival.payload).ok();
        Self {
            // RFC 3339: the offset has a colon, as every parser of it demands.
            timestamp: arrival
                .time
                .strftime("%Y-%m-%dT%H:%M:%S%.6f%:z")
                .to_string(),
            topic: arrival.topic,
            payload: text,
            payload_base64: text.is_none().then(|| BASE64.encode(arrival.payload)),
            qos: arrival.qos,
            retain: arrival.retain,
            dup: arrival.dup,
            properties: LineProperties::of(arrival.properties),
        }
    }
}

impl<'a> LineProperties<'a> {
    fn of(properties: &'a Properties) -> Self {
        let correlation = properties.correlation_data();
        let text = correlation.and_then(|data| std::str::from_utf8(data).ok());
        let as_str = |bytes: &'a [u8]| std::str::from_utf8(bytes).unwrap_or_default();
        let mut line = Self {
            payload_format_indicator: properties.payload_format_indicator().map(u8::from),
            message_expiry_interval: properties.message_expiry_interval(),
            correlation_data: text,
            correlation_data_base64: correlation
                .filter(|_| text.is_none())
                .map(|data| BASE64.encode(data)),
            subscription_identifiers: properties.subscription_identifiers().collect(),
            ..Self::default()
        };
        for property in properties.iter() {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the others are numbers, and there already"
            )]
            match property {
                Property::ContentType(value) => line.content_type = Some(value.to_str()),
                Property::ResponseTopic(value) => line.response_topic = Some(as_str(value.bytes())),
                Property::UserProperty(user) => {
                    line.user_properties
                        .push([user.name.to_str(), user.value.to_str()]);
                }
                _ => {}
            }
        }
        line
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests;
