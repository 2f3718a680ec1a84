//! What a scripted client says: its CONNECT and its messages, written as one reads them.

use bytes::Bytes;
use mqtt_codec::{
    Connect, PacketId, Properties, Property, Publish, PublishQoS, QoS, Text, TopicName,
    UserProperty, Version, Will,
};

/// What a client says in its CONNECT.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) version: Version,
    pub(crate) clean_start: bool,
    pub(crate) keep_alive: u16,
    /// The client identifier; that of the script's name if it is not set.
    pub(crate) client_id: Option<String>,
    pub(crate) session_expiry: Option<u32>,
    pub(crate) receive_maximum: Option<u16>,
    pub(crate) packet_bytes_max: Option<u32>,
    pub(crate) topic_alias_maximum: Option<u16>,
    pub(crate) problem_information: Option<bool>,
    pub(crate) response_information: Option<bool>,
    pub(crate) method: Option<String>,
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) will: Option<Post>,
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) bridge: bool,
}

/// A client of MQTT 5.0 whose session ends with its connection.
pub(crate) fn v5() -> Hello {
    hello(Version::V5)
}

/// A client of MQTT 3.1.1 with a clean session.
pub(crate) fn v311() -> Hello {
    hello(Version::V3_1_1)
}

/// A client of MQTT 3.1 with a clean session.
pub(crate) fn v31() -> Hello {
    hello(Version::V3_1)
}

/// A client of a version, with a session that ends with its connection.
pub(crate) fn hello(version: Version) -> Hello {
    Hello {
        version,
        clean_start: true,
        keep_alive: 0,
        client_id: None,
        session_expiry: None,
        receive_maximum: None,
        packet_bytes_max: None,
        topic_alias_maximum: None,
        problem_information: None,
        response_information: None,
        method: None,
        data: None,
        will: None,
        user_name: None,
        password: None,
        bridge: false,
    }
}

impl Hello {
    /// With a session that stays for ever; an existing one is resumed.
    pub(crate) fn stays(self) -> Self {
        let session_expiry = self.version.has_properties().then_some(u32::MAX);
        Self {
            clean_start: false,
            session_expiry,
            ..self
        }
    }

    /// With a session that stays for so many seconds; an existing one is resumed. 5.0.
    pub(crate) fn expires(self, seconds: u32) -> Self {
        Self {
            clean_start: false,
            session_expiry: Some(seconds),
            ..self
        }
    }

    /// True if the session outlives the connection.
    pub(crate) fn is_to_stay(&self) -> bool {
        if self.version.has_properties() {
            self.session_expiry.is_some_and(|seconds| seconds > 0)
        } else {
            !self.clean_start
        }
    }

    /// Discards an existing session.
    pub(crate) fn clean(self) -> Self {
        Self {
            clean_start: true,
            ..self
        }
    }

    pub(crate) fn id(self, client_id: &str) -> Self {
        Self {
            client_id: Some(client_id.to_owned()),
            ..self
        }
    }

    pub(crate) fn keep_alive(self, keep_alive: u16) -> Self {
        Self { keep_alive, ..self }
    }

    pub(crate) fn receive_maximum(self, maximum: u16) -> Self {
        Self {
            receive_maximum: Some(maximum),
            ..self
        }
    }

    pub(crate) fn packet_bytes_max(self, maximum: u32) -> Self {
        Self {
            packet_bytes_max: Some(maximum),
            ..self
        }
    }

    pub(crate) fn topic_alias_maximum(self, maximum: u16) -> Self {
        Self {
            topic_alias_maximum: Some(maximum),
            ..self
        }
    }

    pub(crate) fn method(self, method: &str, data: &[u8]) -> Self {
        Self {
            method: Some(method.to_owned()),
            data: Some(data.to_vec()),
            ..self
        }
    }

    pub(crate) fn user(self, name: &str, password: &str) -> Self {
        Self {
            user_name: Some(name.to_owned()),
            password: Some(password.as_bytes().to_vec()),
            ..self
        }
    }

    /// Says that it is a bridge, as Mosquitto's do.
    pub(crate) fn bridge(self) -> Self {
        Self {
            bridge: true,
            ..self
        }
    }

    /// With a will: a message, its delay included.
    pub(crate) fn will(self, will: Post) -> Self {
        Self {
            will: Some(will),
            ..self
        }
    }

    /// The packet of a client with this name.
    pub(crate) fn packet(&self, name: &str) -> Connect {
        let method = self.method.as_deref().map(text);
        let properties = [
            self.session_expiry.map(Property::SessionExpiryInterval),
            self.receive_maximum.map(Property::ReceiveMaximum),
            self.packet_bytes_max.map(Property::MaximumPacketSize),
            self.topic_alias_maximum.map(Property::TopicAliasMaximum),
            self.problem_information
                .map(Property::RequestProblemInformation),
            self.response_information
                .map(Property::RequestResponseInformation),
            method
                .as_ref()
                .map(|method| Property::AuthenticationMethod(method.as_view())),
            self.data.as_deref().map(Property::AuthenticationData),
        ];
        Connect {
            version: self.version,
            bridge: self.bridge,
            clean_start: self.clean_start,
            keep_alive: self.keep_alive,
            properties: Properties::new(properties.into_iter().flatten()).unwrap(),
            client_id: text(self.client_id.as_deref().unwrap_or(name)),
            will: self.will.as_ref().map(Post::will),
            user_name: self.user_name.as_deref().map(text),
            password: self.password.clone().map(Bytes::from),
        }
    }
}

/// A message as a client publishes it, or leaves it as its will.
#[derive(Clone, Debug, Default)]
pub(crate) struct Post {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    /// The packet identifier; the client's next one if it is not set.
    pub(crate) id: Option<u16>,
    pub(crate) alias: Option<u16>,
    pub(crate) expiry: Option<u32>,
    pub(crate) delay: Option<u32>,
    pub(crate) format: Option<bool>,
    pub(crate) content_type: Option<String>,
    pub(crate) response_topic: Option<String>,
    pub(crate) correlation: Option<Vec<u8>>,
    pub(crate) user: Vec<(String, String)>,
}

/// A QoS 0 message.
pub(crate) fn post(topic: &str, payload: impl AsRef<[u8]>) -> Post {
    Post {
        topic: topic.to_owned(),
        payload: payload.as_ref().to_vec(),
        ..Post::default()
    }
}

impl Post {
    pub(crate) fn qos(self, qos: QoS) -> Self {
        Self { qos, ..self }
    }

    pub(crate) fn retain(self) -> Self {
        Self {
            retain: true,
            ..self
        }
    }

    pub(crate) fn dup(self) -> Self {
        Self { dup: true, ..self }
    }

    pub(crate) fn id(self, id: u16) -> Self {
        Self {
            id: Some(id),
            ..self
        }
    }

    pub(crate) fn alias(self, alias: u16) -> Self {
        Self {
            alias: Some(alias),
            ..self
        }
    }

    pub(crate) fn expiry(self, seconds: u32) -> Self {
        Self {
            expiry: Some(seconds),
            ..self
        }
    }

    pub(crate) fn delay(self, seconds: u32) -> Self {
        Self {
            delay: Some(seconds),
            ..self
        }
    }

    pub(crate) fn response(self, topic: &str, correlation: &[u8]) -> Self {
        Self {
            response_topic: Some(topic.to_owned()),
            correlation: Some(correlation.to_vec()),
            ..self
        }
    }

    pub(crate) fn content(self, content_type: &str, format: bool) -> Self {
        Self {
            content_type: Some(content_type.to_owned()),
            format: Some(format),
            ..self
        }
    }

    pub(crate) fn user(mut self, name: &str, value: &str) -> Self {
        self.user.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn publish(&self, id: Option<PacketId>) -> Publish {
        let qos = match (self.qos, id) {
            (QoS::AtMostOnce, _) => PublishQoS::AtMostOnce,
            (QoS::AtLeastOnce, Some(id)) => PublishQoS::AtLeastOnce(id),
            (QoS::ExactlyOnce, Some(id)) => PublishQoS::ExactlyOnce(id),
            (QoS::AtLeastOnce | QoS::ExactlyOnce, None) => unreachable!("it has an identifier"),
        };
        let topic = (!self.topic.is_empty()).then(|| TopicName::from_text(&self.topic).unwrap());
        Publish {
            dup: self.dup,
            qos,
            retain: self.retain,
            topic,
            properties: self.properties(),
            payload: self.payload.clone().into(),
        }
    }

    fn will(&self) -> Will {
        Will {
            qos: self.qos,
            retain: self.retain,
            properties: self.properties(),
            topic: TopicName::from_text(&self.topic).unwrap(),
            payload: self.payload.clone().into(),
        }
    }

    fn properties(&self) -> Properties {
        let content_type = self.content_type.as_deref().map(text);
        let response = self
            .response_topic
            .as_deref()
            .map(|topic| TopicName::from_text(topic).unwrap());
        let user: Vec<_> = self
            .user
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect();
        let own = [
            self.alias.map(Property::TopicAlias),
            self.expiry.map(Property::MessageExpiryInterval),
            self.delay.map(Property::WillDelayInterval),
            self.format.map(Property::PayloadFormatIndicator),
            content_type
                .as_ref()
                .map(|content_type| Property::ContentType(content_type.as_view())),
            response
                .as_ref()
                .map(|topic| Property::ResponseTopic(topic.as_view())),
            self.correlation.as_deref().map(Property::CorrelationData),
        ];
        let user = user.iter().map(|(name, value)| {
            Property::UserProperty(UserProperty {
                name: name.as_view(),
                value: value.as_view(),
            })
        });
        Properties::new(own.into_iter().flatten().chain(user)).unwrap()
    }
}

/// A string of MQTT.
pub(crate) fn text(text: &str) -> Text {
    Text::from_string(text).unwrap()
}
