//! A retained message as a line of JSON: the format of `mqttd store export`, of which this is the part about retained
//! messages. So `mqttd store import` reads what is exported here, and what that program exports can be imported here.
//!
//! ```text
//! {"format":"mqtt-store","version":1}
//! {"retained":{"topic":"t","qos":1,"retain":true,"expires_ms":1800000000000,"properties":[{"content_type":"text/plain"}],"payload":"hi"}}
//! {"end":{"sessions":0,"subscriptions":0,"received":0,"deliveries":0,"retained":1}}
//! ```
//!
//! Properties are a list, since their order is part of a message. What is not UTF-8 is in base64, under a name that says so.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mqtt_client::{Message, Properties, Property, QoS, TopicName, UserProperty};
use mqtt_codec::{DecodeError, PropertyOwner, Text};
use serde::de::{Error as _, IgnoredAny};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of the format, in the first line.
pub(super) const FORMAT: &str = "mqtt-store";
/// The version that is written, and the only one that is read.
pub(super) const VERSION: u64 = 1;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header<'a> {
    #[serde(borrow)]
    pub(super) format: Cow<'a, str>,
    pub(super) version: u64,
}

/// A line behind the first one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    Retained(#[serde(with = "retained")] Retained),
    End(Counts),
    // What sessions have cannot be published.
    #[serde(skip_serializing)]
    Session(IgnoredAny),
    #[serde(skip_serializing)]
    Subscription(IgnoredAny),
    #[serde(skip_serializing)]
    Received(IgnoredAny),
    #[serde(skip_serializing)]
    Delivery(IgnoredAny),
}

/// A message, and when it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Retained {
    /// Its properties are those that a server forwards unchanged, without the lifetime.
    pub(super) message: Message,
    /// Milliseconds since 1970; `None`: never.
    pub(super) expires_ms: Option<i64>,
}

/// How many records of each kind there are: the last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) sessions: u64,
    pub(super) subscriptions: u64,
    pub(super) received: u64,
    pub(super) deliveries: u64,
    pub(super) retained: u64,
}

impl Retained {
    /// What a server has sent at `now_ms`, milliseconds since 1970.
    pub(super) fn received(mut message: Message, now_ms: i64) -> Self {
        let expires_ms = expires_ms(&message, now_ms);
        message.retain = true;
        message.dup = false;
        message.properties = message.properties.without(|property| {
            matches!(
                property,
                Property::MessageExpiryInterval(_)
                    | Property::SubscriptionIdentifier(_)
                    | Property::TopicAlias(_)
            )
        });
        Self {
            message,
            expires_ms,
        }
    }

    /// The message to publish at `now_ms`, with what is left of its lifetime; `None` if that is over.
    pub(super) fn into_message(mut self, now_ms: i64) -> Option<Message> {
        self.message.retain = true;
        let Some(expires_ms) = self.expires_ms else {
            return Some(self.message);
        };
        let left_ms = u64::try_from(expires_ms.saturating_sub(now_ms)).ok()?;
        if left_ms == 0 {
            return None;
        }
        let seconds = u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX);
        let lifetime = Property::MessageExpiryInterval(seconds);
        let all = [lifetime].into_iter().chain(self.message.properties.iter());
        // What was read is short enough to be written again.
        let properties = Properties::new(all).unwrap_or_default();
        self.message.properties = properties;
        Some(self.message)
    }
}

/// When a message that was received at `now_ms` is over, in milliseconds since 1970.
pub(super) fn expires_ms(message: &Message, now_ms: i64) -> Option<i64> {
    let seconds = message.properties.message_expiry_interval()?;
    Some(now_ms.saturating_add(i64::from(seconds) * 1000))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetainedForm<'a> {
    topic: Cow<'a, str>,
    qos: u8,
    retain: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    properties: Vec<PropertyForm<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_base64: Option<Base64<'a>>,
}

/// The properties that a server forwards as they came.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PropertyForm<'a> {
    /// True: the payload is UTF-8 text.
    PayloadFormatIndicator(bool),
    ContentType(Cow<'a, str>),
    ResponseTopic(Cow<'a, str>),
    CorrelationData(Cow<'a, str>),
    CorrelationDataBase64(Base64<'a>),
    UserProperty(Cow<'a, str>, Cow<'a, str>),
}

struct Base64<'a>(Cow<'a, [u8]>);

mod retained {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        retained: &Retained,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let message = &retained.message;
        let properties: Result<_, _> = message.properties.iter().map(PropertyForm::of).collect();
        let text = std::str::from_utf8(&message.payload).ok();
        let form = RetainedForm {
            topic: message.topic().into(),
            qos: message.qos as u8,
            retain: true,
            expires_ms: retained.expires_ms,
            properties: properties.map_err(S::Error::custom)?,
            payload: text.map(Cow::Borrowed),
            payload_base64: match text {
                Some(_) => None,
                None => Some(Base64(message.payload.as_ref().into())),
            },
        };
        form.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Retained, D::Error> {
        let form = RetainedForm::deserialize(deserializer)?;
        form.retained().map_err(D::Error::custom)
    }
}

impl RetainedForm<'_> {
    fn retained(self) -> Result<Retained, String> {
        let topic = TopicName::from_text(&self.topic)
            .map_err(|error| format!("topic: {error}, expected a topic name"))?;
        let qos = QoS::from_number(self.qos)
            .ok_or_else(|| format!("qos: {}, expected 0, 1 or 2", self.qos))?;
        let payload = match (self.payload, self.payload_base64) {
            (Some(text), None) => text.into_owned().into_bytes(),
            (None, Some(bytes)) => bytes.0.into_owned(),
            (None, None) | (Some(_), Some(_)) => {
                return Err("expected either `payload` or `payload_base64`".to_owned());
            }
        };
        if payload.is_empty() {
            return Err("the payload is empty, and would remove what is retained".to_owned());
        }
        let mut message = Message::to(topic, payload);
        message.qos = qos;
        message.retain = true;
        message.properties =
            properties(&self.properties).map_err(|error| format!("properties: {error}"))?;
        Ok(Retained {
            message,
            expires_ms: self.expires_ms,
        })
    }
}

fn properties(forms: &[PropertyForm<'_>]) -> Result<Properties, String> {
    let list: Result<Vec<_>, _> = forms.iter().map(PropertyForm::property).collect();
    let list = list.map_err(|error| error.to_string())?;
    let properties = Properties::new(list).map_err(|error| error.to_string())?;
    // One that is there twice, for example.
    Properties::decode(properties.as_view().raw(), PropertyOwner::Publish)
        .map_err(|error| error.to_string())?;
    Ok(properties)
}

impl<'a> PropertyForm<'a> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all others belong to one PUBLISH, or to other packets"
    )]
    fn of(property: Property<'a>) -> Result<Self, &'static str> {
        Ok(match property {
            Property::PayloadFormatIndicator(is_text) => Self::PayloadFormatIndicator(is_text),
            Property::ContentType(text) => Self::ContentType(text.to_str().into()),
            Property::ResponseTopic(topic) => Self::ResponseTopic(topic.to_str().into()),
            Property::CorrelationData(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Self::CorrelationData(text.into()),
                Err(_) => Self::CorrelationDataBase64(Base64(bytes.into())),
            },
            Property::UserProperty(UserProperty { name, value }) => {
                Self::UserProperty(name.to_str().into(), value.to_str().into())
            }
            _ => return Err("a property that no retained message has"),
        })
    }

    fn property(&self) -> Result<Property<'_>, DecodeError> {
        Ok(match self {
            Self::PayloadFormatIndicator(is_text) => Property::PayloadFormatIndicator(*is_text),
            Self::ContentType(text) => Property::ContentType(checked(text)?),
            Self::ResponseTopic(topic) => {
                Property::ResponseTopic(TopicName::new(topic.as_bytes())?)
            }
            Self::CorrelationData(text) => Property::CorrelationData(text.as_bytes()),
            Self::CorrelationDataBase64(bytes) => Property::CorrelationData(&bytes.0),
            Self::UserProperty(name, value) => Property::UserProperty(UserProperty {
                name: checked(name)?,
                value: checked(value)?,
            }),
        })
    }
}

/// A text as MQTT knows it: at most 65,535 bytes, and no U+0000.
fn checked(text: &str) -> Result<Text<&[u8]>, DecodeError> {
    Text::new(text.as_bytes())
}

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&base64::display::Base64Display::new(&self.0, &STANDARD))
    }
}

impl<'de> Deserialize<'de> for Base64<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let bytes = STANDARD
            .decode(text.as_bytes())
            .map_err(|error| D::Error::custom(format!("{error}, expected base64")))?;
        Ok(Self(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn line(record: &Record) -> String {
        serde_json::to_string(record).unwrap()
    }

    fn read(text: &str) -> Result<Retained, String> {
        match serde_json::from_str(text).map_err(|error| error.to_string())? {
            Record::Retained(retained) => Ok(retained),
            Record::End(_)
            | Record::Session(_)
            | Record::Subscription(_)
            | Record::Received(_)
            | Record::Delivery(_) => Err("another record".to_owned()),
        }
    }

    #[test]
    fn a_message_comes_back_as_it_was() {
        let text = |text: &'static str| Text::new(text.as_bytes()).unwrap();
        let properties = [
            Property::UserProperty(UserProperty {
                name: text("b"),
                value: text("2"),
            }),
            Property::ContentType(text("text/plain")),
            Property::MessageExpiryInterval(60),
            Property::PayloadFormatIndicator(true),
            Property::ResponseTopic(TopicName::new(&b"r/t"[..]).unwrap()),
            Property::CorrelationData(b"\xff"),
            Property::UserProperty(UserProperty {
                name: text("a"),
                value: text("\u{1}"),
            }),
        ];
        let mut message = Message::new("a/ä", &b"hi\n"[..]).unwrap();
        message.qos = QoS::ExactlyOnce;
        message.dup = true;
        message.properties = Properties::new(properties).unwrap();
        let retained = Retained::received(message, NOW_MS);
        let text = line(&Record::Retained(retained.clone()));
        assert_eq!(
            text,
            concat!(
                r#"{"retained":{"topic":"a/ä","qos":2,"retain":true,"expires_ms":1700000060000,"#,
                r#""properties":[{"user_property":["b","2"]},{"content_type":"text/plain"},"#,
                r#"{"payload_format_indicator":true},{"response_topic":"r/t"},"#,
                r#"{"correlation_data_base64":"/w=="},{"user_property":["a","\u0001"]}],"#,
                r#""payload":"hi\n"}}"#
            )
        );
        let again = read(&text).unwrap();
        assert_eq!(again, retained);

        // Half a second later there are 59.5 seconds left; nobody loses a part of one.
        let published = again.clone().into_message(NOW_MS + 500).unwrap();
        assert_eq!(published.properties.message_expiry_interval(), Some(60));
        let published = again.clone().into_message(NOW_MS + 59_999).unwrap();
        assert_eq!(published.properties.message_expiry_interval(), Some(1));
        assert_eq!(published.properties.user_properties().count(), 2);
        assert!(published.retain);
        assert_eq!(again.clone().into_message(NOW_MS + 60_000), None);
        assert_eq!(again.into_message(i64::MAX), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_in_base64() {
        let message = Message::new("t", &[0xFF, 0][..]).unwrap();
        let retained = Retained::received(message, NOW_MS);
        let text = line(&Record::Retained(retained.clone()));
        let expected =
            r#"{"retained":{"topic":"t","qos":1,"retain":true,"payload_base64":"/wA="}}"#;
        assert_eq!(text, expected);
        assert_eq!(read(&text).unwrap(), retained);
        let long = i64::from(u32::MAX) * 1000;
        let mut retained = retained;
        retained.expires_ms = Some(NOW_MS + 2 * long);
        let published = retained.into_message(NOW_MS).unwrap();
        let seconds = published.properties.message_expiry_interval();
        assert_eq!(seconds, Some(u32::MAX));
    }

    #[test]
    fn what_cannot_be_published_is_told() {
        let problem = |fields: &str| read(&format!("{{\"retained\":{{{fields}}}}}")).unwrap_err();
        for (fields, expected) in [
            (r#""topic":"t","qos":1,"retain":true"#, "either `payload`"),
            (
                r#""topic":"t","qos":1,"retain":true,"payload":"x","payload_base64":"/w==""#,
                "either `payload`",
            ),
            (
                r#""topic":"t/#","qos":1,"retain":true,"payload":"x""#,
                "topic:",
            ),
            (
                r#""topic":"","qos":1,"retain":true,"payload":"x""#,
                "topic:",
            ),
            (
                r#""topic":"t","qos":3,"retain":true,"payload":"x""#,
                "qos: 3",
            ),
            (
                r#""topic":"t","qos":1,"retain":true,"payload":"""#,
                "is empty",
            ),
            (
                r#""topic":"t","qos":1,"retain":true,"payload_base64":"?""#,
                "base64",
            ),
            (
                r#""topic":"t","qos":1,"retain":true,"payload":"x","more":1"#,
                "`more`",
            ),
            (
                r#""topic":"t","qos":1,"retain":true,"payload":1"#,
                "integer `1`",
            ),
            (
                r#""topic":"t","qos":1,"retain":true,"payload":"x","properties":[{"content_type":"a"},{"content_type":"b"}]"#,
                "properties:",
            ),
            (
                r#""topic":"t","qos":1,"retain":true,"payload":"x","properties":[{"response_topic":"+"}]"#,
                "properties:",
            ),
            (
                r#""topic":"t","qos":1,"retain":true,"payload":"x","properties":[{"user_property":["\u0000",""]}]"#,
                "properties:",
            ),
        ] {
            let problem = problem(fields);
            assert!(problem.contains(expected), "{fields}: {problem}");
        }
    }

    #[test]
    fn records_of_sessions_are_passed_over() {
        for text in [
            r#"{"session":{"client":"a","expiry_interval":3600,"sent_before":3}}"#,
            r#"{"subscription":{"client":"a","filter":"t/#"}}"#,
            r#"{"received":{"client":"a","packet_id":7}}"#,
            r#"{"delivery":{"client":"a","seq":3,"message":{"topic":"t"}}}"#,
        ] {
            let record = serde_json::from_str::<Record>(text).unwrap();
            let passed_over = !matches!(record, Record::Retained(_) | Record::End(_));
            assert!(passed_over, "{text}");
        }
        assert!(serde_json::from_str::<Record>(r#"{"strange":{}}"#).is_err());
    }
}
