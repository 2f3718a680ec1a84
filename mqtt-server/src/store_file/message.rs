//! A message in a file: topic, properties and payload in a form that people can read, and that
//! loses nothing.
//!
//! Properties are a list, since their order is part of a message:
//! `[{"content_type":"text/plain"},{"user_property":["name","value"]}]`. What is not UTF-8 is in
//! base64, under a name that says so.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mqtt_broker_core::{Instant, Message};
use mqtt_codec::{
    DecodeError, Properties, Property, PropertyOwner, QoS, Text, TopicName, UserProperty,
};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::form::qos;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageForm<'a> {
    #[serde(with = "topic")]
    topic: TopicName,
    #[serde(with = "qos")]
    qos: QoS,
    retain: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    properties: Vec<PropertyForm<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_base64: Option<Base64<'a>>,
}

/// The properties that a broker forwards as they came.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PropertyForm<'a> {
    /// True: the payload is UTF-8 text.
    PayloadFormatIndicator(bool),
    ContentType(String),
    #[serde(with = "topic")]
    ResponseTopic(TopicName),
    CorrelationData(Cow<'a, str>),
    CorrelationDataBase64(Base64<'a>),
    UserProperty(String, String),
}

struct Base64<'a>(Cow<'a, [u8]>);

pub(super) fn serialize<S: Serializer>(
    message: &Arc<Message>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let properties = Properties::decode(message.properties_bytes(), PropertyOwner::Publish)
        .map_err(S::Error::custom)?;
    let properties: Result<_, _> = properties.iter().map(PropertyForm::of).collect();
    let text = std::str::from_utf8(message.payload()).ok();
    let form = MessageForm {
        topic: message.topic(),
        qos: message.qos,
        retain: message.retain,
        expires_ms: message.expires.map(Instant::as_millis),
        properties: properties.map_err(S::Error::custom)?,
        payload: text.map(Cow::Borrowed),
        payload_base64: match text {
            Some(_) => None,
            None => Some(Base64(message.payload().into())),
        },
    };
    form.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Arc<Message>, D::Error> {
    let form = MessageForm::deserialize(deserializer)?;
    let payload = match (&form.payload, &form.payload_base64) {
        (Some(text), None) => text.as_bytes(),
        (None, Some(bytes)) => &bytes.0,
        (None, None) | (Some(_), Some(_)) => {
            return Err(D::Error::custom(
                "expected either `payload` or `payload_base64`",
            ));
        }
    };
    let properties = properties(&form.properties)
        .map_err(|problem| D::Error::custom(format!("properties: {problem}")))?;
    let mut message = Message::new(form.topic.as_view(), properties.as_view(), payload);
    message.qos = form.qos;
    message.retain = form.retain;
    message.expires = form.expires_ms.map(Instant::from_millis);
    Ok(Arc::new(message))
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
    fn of(property: Property<'a>) -> Result<Self, &'static str> {
        Ok(match property {
            Property::PayloadFormatIndicator(is_text) => Self::PayloadFormatIndicator(is_text),
            Property::ContentType(text) => Self::ContentType(text.as_str().to_owned()),
            Property::ResponseTopic(topic) => {
                // It has been checked when the properties were decoded.
                let topic = TopicName::from_text(topic.as_str());
                Self::ResponseTopic(topic.map_err(|_| "a response topic that is none")?)
            }
            Property::CorrelationData(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Self::CorrelationData(text.into()),
                Err(_) => Self::CorrelationDataBase64(Base64(bytes.into())),
            },
            Property::UserProperty(UserProperty { name, value }) => {
                Self::UserProperty(name.as_str().to_owned(), value.as_str().to_owned())
            }
            Property::MessageExpiryInterval(_)
            | Property::SubscriptionIdentifier(_)
            | Property::TopicAlias(_) => {
                return Err("a property that belongs to one PUBLISH and not to its message");
            }
            Property::SessionExpiryInterval(_)
            | Property::AssignedClientIdentifier(_)
            | Property::ServerKeepAlive(_)
            | Property::AuthenticationMethod(_)
            | Property::AuthenticationData(_)
            | Property::RequestProblemInformation(_)
            | Property::WillDelayInterval(_)
            | Property::RequestResponseInformation(_)
            | Property::ResponseInformation(_)
            | Property::ServerReference(_)
            | Property::ReasonString(_)
            | Property::ReceiveMaximum(_)
            | Property::TopicAliasMaximum(_)
            | Property::MaximumQoS(_)
            | Property::RetainAvailable(_)
            | Property::MaximumPacketSize(_)
            | Property::WildcardSubscriptionAvailable(_)
            | Property::SubscriptionIdentifierAvailable(_)
            | Property::SharedSubscriptionAvailable(_) => {
                return Err("a property that no message has");
            }
        })
    }

    fn property(&self) -> Result<Property<'_>, DecodeError> {
        Ok(match self {
            Self::PayloadFormatIndicator(is_text) => Property::PayloadFormatIndicator(*is_text),
            Self::ContentType(content_type) => Property::ContentType(text(content_type)?),
            Self::ResponseTopic(topic) => Property::ResponseTopic(topic.as_view()),
            Self::CorrelationData(text) => Property::CorrelationData(text.as_bytes()),
            Self::CorrelationDataBase64(bytes) => Property::CorrelationData(&bytes.0),
            Self::UserProperty(name, value) => Property::UserProperty(UserProperty {
                name: text(name)?,
                value: text(value)?,
            }),
        })
    }
}

/// A text as MQTT knows it: at most 65,535 bytes, and no U+0000.
fn text(text: &str) -> Result<Text<&[u8]>, DecodeError> {
    Text::new(text.as_bytes())
}

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&base64::display::Base64Display::new(&self.0, &STANDARD))
    }
}

impl<'de> Deserialize<'de> for Base64<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| D::Error::custom(format!("{error}, expected base64")))?;
        Ok(Self(bytes.into()))
    }
}

mod topic {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        topic: &TopicName,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(topic.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<TopicName, D::Error> {
        let text = String::deserialize(deserializer)?;
        TopicName::from_text(&text)
            .map_err(|error| D::Error::custom(format!("{error}, expected a topic name")))
    }
}
