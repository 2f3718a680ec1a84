//! Each property is found by its name, and by nothing else.

#![allow(
    clippy::expect_used,
    reason = "a property that does not hold ends the test"
)]

use mqtt_codec::{
    DecodeError, Properties, Property, PropertyOwner, QoS, Text, TopicName, UserProperty,
};

fn text(text: &str) -> Text<&[u8]> {
    Text::new(text.as_bytes()).expect("a string of MQTT")
}

fn user(name: &'static str, value: &'static str) -> UserProperty<'static> {
    UserProperty {
        name: text(name),
        value: text(value),
    }
}

/// All 27 properties; no packet has them all.
fn all() -> Vec<Property<'static>> {
    vec![
        Property::PayloadFormatIndicator(true),
        Property::MessageExpiryInterval(1),
        Property::ContentType(text("content")),
        Property::ResponseTopic(TopicName::new(&b"response"[..]).expect("a topic name")),
        Property::CorrelationData(b"correlation"),
        Property::SubscriptionIdentifier(2),
        Property::SessionExpiryInterval(3),
        Property::AssignedClientIdentifier(text("client")),
        Property::ServerKeepAlive(4),
        Property::AuthenticationMethod(text("method")),
        Property::AuthenticationData(b"data"),
        Property::RequestProblemInformation(false),
        Property::WillDelayInterval(5),
        Property::RequestResponseInformation(true),
        Property::ResponseInformation(text("information")),
        Property::ServerReference(text("server")),
        Property::ReasonString(text("reason")),
        Property::ReceiveMaximum(6),
        Property::TopicAliasMaximum(7),
        Property::TopicAlias(8),
        Property::MaximumQoS(QoS::AtLeastOnce),
        Property::RetainAvailable(false),
        Property::UserProperty(user("name", "value")),
        Property::MaximumPacketSize(9),
        Property::WildcardSubscriptionAvailable(false),
        Property::SubscriptionIdentifierAvailable(true),
        Property::SharedSubscriptionAvailable(false),
    ]
}

/// The property that each accessor finds.
fn found(properties: &Properties) -> Vec<Property<'_>> {
    let ids = properties
        .subscription_identifiers()
        .map(Property::SubscriptionIdentifier);
    let users = properties.user_properties().map(Property::UserProperty);
    [
        properties
            .payload_format_indicator()
            .map(Property::PayloadFormatIndicator),
        properties
            .message_expiry_interval()
            .map(Property::MessageExpiryInterval),
        properties.content_type().map(Property::ContentType),
        properties.response_topic().map(Property::ResponseTopic),
        properties.correlation_data().map(Property::CorrelationData),
        properties
            .session_expiry_interval()
            .map(Property::SessionExpiryInterval),
        properties
            .assigned_client_identifier()
            .map(Property::AssignedClientIdentifier),
        properties
            .server_keep_alive()
            .map(Property::ServerKeepAlive),
        properties
            .authentication_method()
            .map(Property::AuthenticationMethod),
        properties
            .authentication_data()
            .map(Property::AuthenticationData),
        properties
            .request_problem_information()
            .map(Property::RequestProblemInformation),
        properties
            .will_delay_interval()
            .map(Property::WillDelayInterval),
        properties
            .request_response_information()
            .map(Property::RequestResponseInformation),
        properties
            .response_information()
            .map(Property::ResponseInformation),
        properties.server_reference().map(Property::ServerReference),
        properties.reason_string().map(Property::ReasonString),
        properties.receive_maximum().map(Property::ReceiveMaximum),
        properties
            .topic_alias_maximum()
            .map(Property::TopicAliasMaximum),
        properties.topic_alias().map(Property::TopicAlias),
        properties.maximum_qos().map(Property::MaximumQoS),
        properties.retain_available().map(Property::RetainAvailable),
        properties
            .maximum_packet_size()
            .map(Property::MaximumPacketSize),
        properties
            .wildcard_subscription_available()
            .map(Property::WildcardSubscriptionAvailable),
        properties
            .subscription_identifier_available()
            .map(Property::SubscriptionIdentifierAvailable),
        properties
            .shared_subscription_available()
            .map(Property::SharedSubscriptionAvailable),
    ]
    .into_iter()
    .flatten()
    .chain(ids)
    .chain(users)
    .collect()
}

#[test]
fn each_property_is_found_by_its_accessor_alone() {
    for property in all() {
        let properties = Properties::new([property]).expect("short");
        assert_eq!(found(&properties), [property]);
        assert!(!properties.is_empty());
    }
    let properties = Properties::new(all()).expect("short");
    assert_eq!(found(&properties).len(), all().len());
    assert_eq!(properties.iter().collect::<Vec<_>>(), all());
    let none: Properties = Properties::default();
    assert_eq!(found(&none), []);
    assert!(none.is_empty());
}

const OWNERS: [PropertyOwner; 14] = [
    PropertyOwner::Connect,
    PropertyOwner::Will,
    PropertyOwner::ConnAck,
    PropertyOwner::Publish,
    PropertyOwner::PubAck,
    PropertyOwner::PubRec,
    PropertyOwner::PubRel,
    PropertyOwner::PubComp,
    PropertyOwner::Subscribe,
    PropertyOwner::SubAck,
    PropertyOwner::Unsubscribe,
    PropertyOwner::UnsubAck,
    PropertyOwner::Disconnect,
    PropertyOwner::Auth,
];

/// Table 2-4 of MQTT 5.0: the identifiers, in the order of `all`, and an x in the column of each
/// owner: Connect, Will, ConnAck, Publish; PubAck, PubRec, PubRel, PubComp; Subscribe, SubAck,
/// Unsubscribe, UnsubAck; Disconnect, Auth.
const TABLE: [(u8, &str); 27] = [
    (0x01, ".x.x .... .... .."),
    (0x02, ".x.x .... .... .."),
    (0x03, ".x.x .... .... .."),
    (0x08, ".x.x .... .... .."),
    (0x09, ".x.x .... .... .."),
    (0x0B, "...x .... x... .."),
    (0x11, "x.x. .... .... x."),
    (0x12, "..x. .... .... .."),
    (0x13, "..x. .... .... .."),
    (0x15, "x.x. .... .... .x"),
    (0x16, "x.x. .... .... .x"),
    (0x17, "x... .... .... .."),
    (0x18, ".x.. .... .... .."),
    (0x19, "x... .... .... .."),
    (0x1A, "..x. .... .... .."),
    (0x1C, "..x. .... .... x."),
    (0x1F, "..x. xxxx .x.x xx"),
    (0x21, "x.x. .... .... .."),
    (0x22, "x.x. .... .... .."),
    (0x23, "...x .... .... .."),
    (0x24, "..x. .... .... .."),
    (0x25, "..x. .... .... .."),
    (0x26, "xxxx xxxx xxxx xx"),
    (0x27, "x.x. .... .... .."),
    (0x28, "..x. .... .... .."),
    (0x29, "..x. .... .... .."),
    (0x2A, "..x. .... .... .."),
];

#[test]
fn each_property_belongs_to_the_packets_of_the_standard() {
    for ((id, columns), property) in TABLE.into_iter().zip(all()) {
        let properties = Properties::new([property]).expect("short");
        let raw = properties.as_view().raw();
        assert_eq!(raw.first(), Some(&id));
        let columns = columns.chars().filter(|column| *column != ' ');
        for (owner, column) in OWNERS.into_iter().zip(columns) {
            let expected = if column != 'x' {
                Err(DecodeError::PropertyNotAllowed)
            } else if id == 0x16 {
                Err(DecodeError::AuthenticationDataAlone)
            } else {
                Ok(properties.as_view())
            };
            assert_eq!(
                Properties::decode(raw, owner),
                expected,
                "{id:#04X} {owner:?}"
            );
        }
    }
}

#[test]
fn no_other_identifier_is_known() {
    for id in 0..=u8::MAX {
        if !TABLE.iter().any(|(known, _)| *known == id) {
            let raw = [id, 0, 0, 0, 0];
            let found = Properties::decode(&raw, PropertyOwner::Connect);
            assert_eq!(found, Err(DecodeError::PropertyUnknown), "{id:#04X}");
        }
    }
}

#[test]
fn values_have_two_ends() {
    let ends = [
        Property::MaximumQoS(QoS::AtMostOnce),
        Property::MaximumQoS(QoS::AtLeastOnce),
        Property::RetainAvailable(false),
        Property::RetainAvailable(true),
        Property::SubscriptionIdentifier(1),
        Property::SubscriptionIdentifier(268_435_455),
        Property::SessionExpiryInterval(0),
        Property::SessionExpiryInterval(u32::MAX),
    ];
    for property in ends {
        let properties = Properties::new([property]).expect("short");
        assert_eq!(properties.iter().collect::<Vec<_>>(), [property]);
    }
    let none = Properties::new([Property::MaximumQoS(QoS::AtMostOnce)]).expect("short");
    assert_eq!(none.as_view().raw(), [0x24, 0]);
}

/// `[MQTT-3.3.2-17]` `[MQTT-3.3.2-18]`
#[test]
fn user_properties_keep_their_order_and_may_be_there_twice() {
    let users = [user("b", "1"), user("a", "2"), user("b", "1")];
    let properties = Properties::new(users.map(Property::UserProperty)).expect("short");
    assert_eq!(properties.user_properties().collect::<Vec<_>>(), users);
}

#[test]
fn some_properties_are_left_out() {
    let properties = Properties::new(all()).expect("short");
    let left = properties.without(|property| !matches!(property, Property::TopicAlias(_)));
    assert_eq!(
        left,
        Properties::new([Property::TopicAlias(8)]).expect("short")
    );
    assert_eq!(properties.without(|_| false), properties);
    assert!(properties.without(|_| true).is_empty());
}
