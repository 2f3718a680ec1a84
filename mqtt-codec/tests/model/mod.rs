//! Packets as the vector files write them, in fields that people can read, and as the codec has them.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use mqtt_codec::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketId, PacketType, Properties, Property,
    Publish, PublishQoS, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, Subscription,
    SubscriptionOptions, Subscriptions, Text, TopicFilter, TopicFilters, TopicName, UnsubAck,
    Unsubscribe, UserProperty, Version, Will,
};
use serde::Deserialize;

/// All files of vectors with their names.
pub(crate) fn files() -> Vec<(String, File)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder of vectors")
        .map(|entry| entry.expect("a file of vectors").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| {
            let name = path.file_name().expect("a name").display().to_string();
            let text = fs::read_to_string(&path).expect("a file of vectors");
            let file = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, file)
        })
        .collect();
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    files
}

/// A file of vectors: packets that are valid, bytes that are not, starts of a packet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    #[serde(default)]
    pub(crate) valid: Vec<Valid>,
    #[serde(default)]
    pub(crate) invalid: Vec<Invalid>,
    #[serde(default)]
    pub(crate) incomplete: Vec<Incomplete>,
}

/// Bytes, and the packet that they are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Valid {
    pub(crate) name: String,
    #[serde(default = "all_versions")]
    versions: Vec<String>,
    pub(crate) bytes: String,
    /// The bytes that the packet is encoded to, where there is a shorter way to say the same.
    pub(crate) encoded: Option<String>,
    pub(crate) packet: AnyPacket,
}

/// Bytes, and what is wrong with them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invalid {
    pub(crate) name: String,
    #[serde(default = "all_versions")]
    versions: Vec<String>,
    pub(crate) bytes: String,
    pub(crate) packet_bytes_max: Option<usize>,
    pub(crate) error: String,
    pub(crate) reason: u8,
    /// The clause of 5.0.
    clause: Option<String>,
    /// The clause of 3.1.1.
    clause_v3: Option<String>,
}

/// The start of a packet, and how many bytes it has at the least.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Incomplete {
    pub(crate) name: String,
    pub(crate) bytes: String,
    pub(crate) needed: usize,
}

impl Valid {
    pub(crate) fn versions(&self) -> impl Iterator<Item = Version> {
        self.versions.iter().map(|name| version(name))
    }
}

impl Invalid {
    pub(crate) fn versions(&self) -> impl Iterator<Item = Version> {
        self.versions.iter().map(|name| version(name))
    }

    pub(crate) fn clause(&self, version: Version) -> Option<&str> {
        let clause = match version {
            Version::V5 => &self.clause,
            Version::V3_1 | Version::V3_1_1 => &self.clause_v3,
        };
        clause.as_deref()
    }
}

fn all_versions() -> Vec<String> {
    ["3.1", "3.1.1", "5.0"].map(String::from).into()
}

fn version(name: &str) -> Version {
    match name {
        "3.1" => Version::V3_1,
        "3.1.1" => Version::V3_1_1,
        "5.0" => Version::V5,
        other => panic!("{other} is no version"),
    }
}

/// Bytes written as hexadecimal digits, spaces where one likes, and ASCII text in single quotes.
pub(crate) fn bytes(notation: &str) -> Vec<u8> {
    let mut out = Vec::new();
    // Every other part is quoted.
    for (index, part) in notation.split('\'').enumerate() {
        if index % 2 == 1 {
            out.extend_from_slice(part.as_bytes());
            continue;
        }
        let digits: Vec<u8> = part
            .chars()
            .filter(|char| !char.is_whitespace())
            .map(|char| char.to_digit(16).expect("a hexadecimal digit") as u8)
            .collect();
        let (pairs, rest) = digits.as_chunks::<2>();
        assert!(rest.is_empty(), "an odd number of digits in {part}");
        out.extend(pairs.iter().map(|[high, low]| high << 4 | low));
    }
    out
}

/// A packet in readable fields.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum AnyPacket {
    Connect(ConnectFields),
    ConnAck(ConnAckFields),
    Publish(PublishFields),
    PubAck(AckFields),
    PubRec(AckFields),
    PubRel(AckFields),
    PubComp(AckFields),
    Subscribe(SubscribeFields),
    SubAck(SubAckFields),
    Unsubscribe(UnsubscribeFields),
    UnsubAck(SubAckFields),
    PingReq {},
    PingResp {},
    Disconnect(ReasonFields),
    Auth(ReasonFields),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectFields {
    #[serde(default)]
    bridge: bool,
    #[serde(default)]
    clean_start: bool,
    keep_alive: u16,
    #[serde(default)]
    properties: Vec<AnyProperty>,
    client_id: String,
    will: Option<WillFields>,
    user_name: Option<String>,
    password: Option<Data>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WillFields {
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retain: bool,
    #[serde(default)]
    properties: Vec<AnyProperty>,
    topic: String,
    payload: Data,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnAckFields {
    #[serde(default)]
    session_present: bool,
    reason: u8,
    #[serde(default)]
    properties: Vec<AnyProperty>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishFields {
    #[serde(default)]
    dup: bool,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retain: bool,
    topic: Option<String>,
    packet_id: Option<u16>,
    #[serde(default)]
    properties: Vec<AnyProperty>,
    payload: Data,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AckFields {
    packet_id: u16,
    #[serde(default)]
    reason: u8,
    #[serde(default)]
    properties: Vec<AnyProperty>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscribeFields {
    packet_id: u16,
    #[serde(default)]
    properties: Vec<AnyProperty>,
    subscriptions: Vec<SubscriptionFields>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionFields {
    filter: String,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    no_local: bool,
    #[serde(default)]
    retain_as_published: bool,
    #[serde(default)]
    retain_handling: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnsubscribeFields {
    packet_id: u16,
    #[serde(default)]
    properties: Vec<AnyProperty>,
    filters: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubAckFields {
    packet_id: u16,
    #[serde(default)]
    properties: Vec<AnyProperty>,
    reasons: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReasonFields {
    #[serde(default)]
    reason: u8,
    #[serde(default)]
    properties: Vec<AnyProperty>,
}

/// Binary data: text, or a list of bytes.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Data {
    Text(String),
    Bytes(Vec<u8>),
}

impl Data {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.as_slice())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AnyProperty {
    PayloadFormatIndicator(bool),
    MessageExpiryInterval(u32),
    ContentType(String),
    ResponseTopic(String),
    CorrelationData(Data),
    SubscriptionIdentifier(u32),
    SessionExpiryInterval(u32),
    AssignedClientIdentifier(String),
    ServerKeepAlive(u16),
    AuthenticationMethod(String),
    AuthenticationData(Data),
    RequestProblemInformation(bool),
    WillDelayInterval(u32),
    RequestResponseInformation(bool),
    ResponseInformation(String),
    ServerReference(String),
    ReasonString(String),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    #[serde(rename = "maximum_qos")]
    MaximumQoS(u8),
    RetainAvailable(bool),
    UserProperty(String, String),
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(bool),
    SubscriptionIdentifierAvailable(bool),
    SharedSubscriptionAvailable(bool),
}

impl AnyProperty {
    fn property(&self) -> Property<'_> {
        match self {
            Self::PayloadFormatIndicator(value) => Property::PayloadFormatIndicator(*value),
            Self::MessageExpiryInterval(value) => Property::MessageExpiryInterval(*value),
            Self::ContentType(value) => Property::ContentType(text(value)),
            Self::ResponseTopic(value) => {
                Property::ResponseTopic(TopicName::new(value.as_bytes()).expect("a topic name"))
            }
            Self::CorrelationData(value) => Property::CorrelationData(value.as_slice()),
            Self::SubscriptionIdentifier(value) => Property::SubscriptionIdentifier(*value),
            Self::SessionExpiryInterval(value) => Property::SessionExpiryInterval(*value),
            Self::AssignedClientIdentifier(value) => {
                Property::AssignedClientIdentifier(text(value))
            }
            Self::ServerKeepAlive(value) => Property::ServerKeepAlive(*value),
            Self::AuthenticationMethod(value) => Property::AuthenticationMethod(text(value)),
            Self::AuthenticationData(value) => Property::AuthenticationData(value.as_slice()),
            Self::RequestProblemInformation(value) => Property::RequestProblemInformation(*value),
            Self::WillDelayInterval(value) => Property::WillDelayInterval(*value),
            Self::RequestResponseInformation(value) => Property::RequestResponseInformation(*value),
            Self::ResponseInformation(value) => Property::ResponseInformation(text(value)),
            Self::ServerReference(value) => Property::ServerReference(text(value)),
            Self::ReasonString(value) => Property::ReasonString(text(value)),
            Self::ReceiveMaximum(value) => Property::ReceiveMaximum(*value),
            Self::TopicAliasMaximum(value) => Property::TopicAliasMaximum(*value),
            Self::TopicAlias(value) => Property::TopicAlias(*value),
            Self::MaximumQoS(value) => Property::MaximumQoS(qos(*value)),
            Self::RetainAvailable(value) => Property::RetainAvailable(*value),
            Self::UserProperty(name, value) => Property::UserProperty(UserProperty {
                name: text(name),
                value: text(value),
            }),
            Self::MaximumPacketSize(value) => Property::MaximumPacketSize(*value),
            Self::WildcardSubscriptionAvailable(value) => {
                Property::WildcardSubscriptionAvailable(*value)
            }
            Self::SubscriptionIdentifierAvailable(value) => {
                Property::SubscriptionIdentifierAvailable(*value)
            }
            Self::SharedSubscriptionAvailable(value) => {
                Property::SharedSubscriptionAvailable(*value)
            }
        }
    }
}

impl AnyPacket {
    /// The packet as the codec has it.
    pub(crate) fn build(&self, version: Version) -> Packet {
        match self {
            Self::Connect(fields) => Packet::Connect(fields.build(version)),
            Self::ConnAck(fields) => Packet::ConnAck(ConnAck {
                session_present: fields.session_present,
                reason: reason(fields.reason),
                properties: properties(&fields.properties),
            }),
            Self::Publish(fields) => Packet::Publish(fields.build()),
            Self::PubAck(fields) => Packet::PubAck(fields.build()),
            Self::PubRec(fields) => Packet::PubRec(fields.build()),
            Self::PubRel(fields) => Packet::PubRel(fields.build()),
            Self::PubComp(fields) => Packet::PubComp(fields.build()),
            Self::Subscribe(fields) => Packet::Subscribe(fields.build()),
            Self::SubAck(fields) => Packet::SubAck(SubAck {
                packet_id: id(fields.packet_id),
                properties: properties(&fields.properties),
                reasons: fields.reasons.iter().map(|byte| reason(*byte)).collect(),
            }),
            Self::Unsubscribe(fields) => Packet::Unsubscribe(fields.build()),
            Self::UnsubAck(fields) => Packet::UnsubAck(UnsubAck {
                packet_id: id(fields.packet_id),
                properties: properties(&fields.properties),
                reasons: fields.reasons.iter().map(|byte| reason(*byte)).collect(),
            }),
            Self::PingReq {} => Packet::PingReq,
            Self::PingResp {} => Packet::PingResp,
            Self::Disconnect(fields) => Packet::Disconnect(Disconnect {
                reason: reason(fields.reason),
                properties: properties(&fields.properties),
            }),
            Self::Auth(fields) => Packet::Auth(Auth {
                reason: reason(fields.reason),
                properties: properties(&fields.properties),
            }),
        }
    }

    /// True if less of the body can be a packet too, with less in it.
    pub(crate) fn may_be_shorter(&self, version: Version) -> bool {
        match self {
            Self::Publish(_) | Self::Subscribe(_) | Self::SubAck(_) | Self::Unsubscribe(_) => true,
            // Reason code and properties can be left out.
            Self::PubAck(_)
            | Self::PubRec(_)
            | Self::PubRel(_)
            | Self::PubComp(_)
            | Self::UnsubAck(_)
            | Self::Disconnect(_) => version.has_properties(),
            // The flags of 3.1 do not say that user name and password are there.
            Self::Connect(_) => version == Version::V3_1,
            Self::ConnAck(_) | Self::PingReq {} | Self::PingResp {} | Self::Auth(_) => false,
        }
    }

    /// True if bytes after the body can belong to it.
    pub(crate) fn may_be_longer(&self, version: Version) -> bool {
        match self {
            Self::PubAck(fields)
            | Self::PubRec(fields)
            | Self::PubRel(fields)
            | Self::PubComp(fields) => version.has_properties() && fields.properties.is_empty(),
            Self::Disconnect(fields) => version.has_properties() && fields.properties.is_empty(),
            Self::Connect(fields) => version == Version::V3_1 && fields.password.is_none(),
            Self::ConnAck(_)
            | Self::Publish(_)
            | Self::Subscribe(_)
            | Self::SubAck(_)
            | Self::Unsubscribe(_)
            | Self::UnsubAck(_)
            | Self::PingReq {}
            | Self::PingResp {}
            | Self::Auth(_) => self.may_be_shorter(version),
        }
    }
}

impl ConnectFields {
    fn build(&self, version: Version) -> Connect {
        Connect {
            version,
            bridge: self.bridge,
            clean_start: self.clean_start,
            keep_alive: self.keep_alive,
            properties: properties(&self.properties),
            client_id: owned_text(&self.client_id),
            will: self.will.as_ref().map(|will| Will {
                qos: qos(will.qos),
                retain: will.retain,
                properties: properties(&will.properties),
                topic: TopicName::from_text(&will.topic).expect("a topic name"),
                payload: will.payload.to_bytes(),
            }),
            user_name: self.user_name.as_deref().map(owned_text),
            password: self.password.as_ref().map(Data::to_bytes),
        }
    }
}

impl PublishFields {
    fn build(&self) -> Publish {
        let qos = match (qos(self.qos), self.packet_id) {
            (QoS::AtMostOnce, None) => PublishQoS::AtMostOnce,
            (QoS::AtLeastOnce, Some(number)) => PublishQoS::AtLeastOnce(id(number)),
            (QoS::ExactlyOnce, Some(number)) => PublishQoS::ExactlyOnce(id(number)),
            other => panic!("QoS and packet identifier do not agree: {other:?}"),
        };
        Publish {
            dup: self.dup,
            qos,
            retain: self.retain,
            topic: self
                .topic
                .as_deref()
                .map(|topic| TopicName::from_text(topic).expect("a topic name")),
            properties: properties(&self.properties),
            payload: self.payload.to_bytes(),
        }
    }
}

impl AckFields {
    fn build(&self) -> Ack {
        Ack {
            packet_id: id(self.packet_id),
            reason: reason(self.reason),
            properties: properties(&self.properties),
        }
    }
}

impl SubscribeFields {
    fn build(&self) -> Subscribe {
        let subscriptions = self.subscriptions.iter().map(|fields| Subscription {
            filter: TopicFilter::new(fields.filter.as_bytes()).expect("a topic filter"),
            options: SubscriptionOptions {
                qos: qos(fields.qos),
                no_local: fields.no_local,
                retain_as_published: fields.retain_as_published,
                retain_handling: match fields.retain_handling {
                    0 => RetainHandling::Send,
                    1 => RetainHandling::SendIfNew,
                    2 => RetainHandling::DoNotSend,
                    other => panic!("{other} is no retain handling"),
                },
            },
        });
        Subscribe {
            packet_id: id(self.packet_id),
            properties: properties(&self.properties),
            subscriptions: Subscriptions::new(subscriptions).expect("subscriptions"),
        }
    }
}

impl UnsubscribeFields {
    fn build(&self) -> Unsubscribe {
        let filters = self
            .filters
            .iter()
            .map(|filter| TopicFilter::new(filter.as_bytes()).expect("a topic filter"));
        Unsubscribe {
            packet_id: id(self.packet_id),
            properties: properties(&self.properties),
            filters: TopicFilters::new(filters).expect("topic filters"),
        }
    }
}

/// The type of the packet, for the table of what there are vectors of.
pub(crate) fn packet_type(packet: &AnyPacket) -> PacketType {
    packet.build(Version::V5).packet_type()
}

fn properties(fields: &[AnyProperty]) -> Properties {
    Properties::new(fields.iter().map(AnyProperty::property)).expect("properties")
}

fn text(text: &str) -> Text<&[u8]> {
    Text::new(text.as_bytes()).expect("a string of MQTT")
}

fn owned_text(text: &str) -> Text {
    Text::from_string(text).expect("a string of MQTT")
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not 0")
}

fn qos(number: u8) -> QoS {
    QoS::from_number(number).expect("a QoS")
}

fn reason(byte: u8) -> ReasonCode {
    ReasonCode::from_byte(byte).expect("a reason code")
}
