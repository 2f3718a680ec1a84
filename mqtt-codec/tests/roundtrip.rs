//! Encoding and decoding are each other's inverse, and all ways to encode a message agree.

#![allow(
    clippy::expect_used,
    reason = "a packet that does not hold ends the test"
)]

mod strategy;

use bytes::Bytes;
use mqtt_codec::{
    Auth, ConnAck, Connect, Cut, DecodeError, EncodeError, EncodedPublish, Forward, Frame,
    PACKET_BYTES_MAX, Packet, PacketId, Properties, Property, Publish, PublishQoS, ReasonCode,
    SubAck, Subscription, SubscriptionOptions, Subscriptions, Text, TopicFilter, TopicFilters,
    TopicName, Version, cut,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn whole(bytes: &[u8]) -> Frame<'_> {
    match cut(bytes, PACKET_BYTES_MAX) {
        Ok(Cut::Whole(frame)) => Some(frame),
        Ok(Cut::Incomplete(_)) | Err(_) => None,
    }
    .expect("a whole packet")
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded((version, packet) in strategy::version_and_packet()) {
        let encoded = packet.to_vec(version).expect("a packet of this version");
        prop_assert_eq!(packet.encoded_len(version), Ok(encoded.len()));

        let buffer = Bytes::from([&encoded[..], b"the next packet"].concat());
        let frame = whole(&buffer);
        prop_assert_eq!(frame.bytes, &encoded[..]);
        prop_assert_eq!(frame.packet_type(), Some(packet.packet_type()));

        let view = Packet::decode(frame, version).expect("what was encoded");
        prop_assert_eq!(&view.clone().to_bytes(), &packet);
        prop_assert_eq!(&view.clone().to_owned_from(&buffer), &packet);
        prop_assert_eq!(view.to_vec(version), Ok(encoded));
    }

    /// A server sends one packet to clients of all versions: each gets what it can read, or nothing.
    #[test]
    fn in_another_version_it_is_valid_or_an_error(
        (_, packet) in strategy::version_and_packet(),
        version in strategy::version(),
    ) {
        let mut out = b"before".to_vec();
        match packet.encode(version, &mut out) {
            Ok(()) => {
                let (before, encoded) = out.split_at(6);
                prop_assert_eq!(before, b"before");
                prop_assert_eq!(packet.encoded_len(version), Ok(encoded.len()));
                let decoded = Packet::decode(whole(encoded), version);
                prop_assert!(decoded.is_ok(), "{:?}", decoded);
            }
            Err(error) => {
                prop_assert_eq!(out, b"before");
                prop_assert_eq!(packet.encoded_len(version), Err(error));
            }
        }
    }

    /// What is encoded once and patched are the bytes that would have been encoded.
    #[test]
    fn a_patched_publish_is_the_one_encoded(
        (version, publish) in strategy::version().prop_flat_map(|v| (Just(v), strategy::publish(v))),
        dup in any::<bool>(),
        retain in any::<bool>(),
        qos in strategy::publish_qos(),
        before in 0..3_usize,
    ) {
        let mut encoded = EncodedPublish::default();
        let other = message();
        for _ in 0..before {
            encoded.push(&forward(&other, version)).expect("a message");
        }
        let start = encoded.bytes().len();
        encoded.push(&forward(&publish, version)).expect("a message");
        prop_assert_eq!(encoded.len(), before + 1);
        let as_it_was = Packet::Publish(publish.clone()).to_vec(version).expect("a message");
        prop_assert_eq!(&encoded.bytes()[start..], &as_it_was);
        // Another QoS needs another variant only where it adds or takes the packet identifier.
        let same_variant = qos.packet_id().is_some() == publish.qos.packet_id().is_some();
        let qos = if same_variant { qos } else { publish.qos };

        let mut out = b"before".to_vec();
        encoded.write(before, dup, qos, retain, &mut out);
        encoded.write(before + 1, dup, qos, retain, &mut out);
        let direct = Publish { dup, qos, retain, ..publish };
        let direct = Packet::Publish(direct).to_vec(version).expect("a message");
        prop_assert_eq!(out, [b"before", &direct[..]].concat());
        encoded.clear();
        prop_assert!(encoded.is_empty() && encoded.bytes().is_empty());
    }

    #[test]
    fn a_message_is_forwarded_as_the_publish_is_encoded(
        (version, publish) in strategy::version().prop_flat_map(|v| (Just(v), strategy::publish(v))),
    ) {
        let forward = forward(&publish, version);
        let mut out = Vec::new();
        forward.encode(&mut out).expect("a message");
        prop_assert_eq!(forward.encoded_len(), out.len());
        prop_assert_eq!(Packet::Publish(publish).to_vec(version), Ok(out));
    }

    /// The properties that a server adds come first, then those of the publisher.
    #[test]
    fn own_properties_are_added_to_those_forwarded(
        mut publish in strategy::publish(Version::V5),
        topic in strategy::topic_name(),
        topic_alias in option::of(1..=u16::MAX),
        message_expiry_interval in option::of(any::<u32>()),
        subscription_identifiers in vec(1..=268_435_455_u32, 0..4),
    ) {
        publish.topic = Some(topic);
        publish.properties = publish.properties.without(|property| {
            matches!(
                property,
                Property::TopicAlias(_)
                    | Property::MessageExpiryInterval(_)
                    | Property::SubscriptionIdentifier(_)
            )
        });
        let forward = Forward {
            topic_alias,
            message_expiry_interval,
            subscription_identifiers: &subscription_identifiers,
            ..forward(&publish, Version::V5)
        };
        let mut out = Vec::new();
        forward.encode(&mut out).expect("a message");
        prop_assert_eq!(forward.encoded_len(), out.len());

        let alias = topic_alias.map(Property::TopicAlias);
        let expiry = message_expiry_interval.map(Property::MessageExpiryInterval);
        let ids = subscription_identifiers.iter().copied().map(Property::SubscriptionIdentifier);
        let own = alias.into_iter().chain(expiry).chain(ids);
        let properties = Properties::new(own.chain(publish.properties.iter())).expect("short");
        let expected = Packet::Publish(Publish { properties, ..publish.clone() });
        let decoded = Packet::decode(whole(&out), Version::V5).expect("a message");
        prop_assert_eq!(decoded.to_bytes(), expected);
    }
}

fn forward(publish: &Publish, version: Version) -> Forward<'_> {
    Forward {
        version,
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        topic: publish.topic.as_ref().map_or(&[], |topic| topic.as_bytes()),
        topic_alias: None,
        message_expiry_interval: None,
        subscription_identifiers: &[],
        properties: publish.properties.as_view().raw(),
        payload: &publish.payload,
    }
}

fn text(text: &'static str) -> Text {
    Text::from_static(text).expect("short, and no U+0000")
}

fn message() -> Publish {
    Publish {
        dup: false,
        qos: PublishQoS::AtMostOnce,
        retain: false,
        topic: TopicName::from_text("t").ok(),
        properties: Properties::default(),
        payload: Bytes::new(),
    }
}

fn client() -> Connect {
    Connect {
        version: Version::V3_1_1,
        bridge: false,
        clean_start: true,
        keep_alive: 60,
        properties: Properties::default(),
        client_id: text("c"),
        will: None,
        user_name: None,
        password: None,
    }
}

#[track_caller]
fn refused(packet: &Packet, version: Version, error: EncodeError) {
    let mut out = b"before".to_vec();
    assert_eq!(packet.encode(version, &mut out), Err(error));
    assert_eq!(out, b"before");
    assert_eq!(packet.encoded_len(version), Err(error));
    assert!(!error.to_string().is_empty());
}

#[test]
fn each_encode_error_leaves_the_buffer_as_it_was() {
    let too_long = Bytes::from(vec![0; 65_536]);
    let connect = Connect {
        user_name: Some(text("u")),
        password: Some(too_long),
        ..client()
    };
    refused(
        &Packet::Connect(connect),
        Version::V3_1_1,
        EncodeError::FieldTooLong,
    );

    let connect = Connect {
        password: Some(Bytes::new()),
        ..client()
    };
    let error = EncodeError::PasswordWithoutUserName;
    refused(&Packet::Connect(connect), Version::V3_1_1, error);

    let publish = Publish {
        payload: Bytes::from(vec![0; 268_435_455]),
        ..message()
    };
    refused(
        &Packet::Publish(publish),
        Version::V5,
        EncodeError::PacketTooLong,
    );

    let publish = Publish {
        topic: None,
        ..message()
    };
    refused(
        &Packet::Publish(publish),
        Version::V5,
        EncodeError::TopicMissing,
    );

    let auth = Packet::Auth(Auth {
        reason: ReasonCode::ContinueAuthentication,
        properties: Properties::default(),
    });
    refused(&auth, Version::V3_1_1, EncodeError::NotInThisVersion);
    refused(&auth, Version::V5, EncodeError::AuthenticationMethodMissing);
    refused(&sub_ack(None), Version::V5, EncodeError::Empty);
    let elsewhere = sub_ack(Some(ReasonCode::SessionTakenOver));
    refused(&elsewhere, Version::V5, EncodeError::ReasonCode);
}

#[test]
fn the_largest_packet_has_the_largest_remaining_length() {
    let of_payload = |payload_bytes| {
        let payload = Bytes::from(vec![0; payload_bytes]);
        Packet::Publish(Publish {
            payload,
            ..message()
        })
    };
    // A topic of one byte is before the payload.
    let largest = of_payload(268_435_455 - 3);
    assert_eq!(largest.encoded_len(Version::V3_1_1), Ok(PACKET_BYTES_MAX));
    assert_eq!(PACKET_BYTES_MAX, 268_435_460);
    let too_long = of_payload(268_435_455 - 2);
    refused(&too_long, Version::V3_1_1, EncodeError::PacketTooLong);
}

fn sub_ack(reason: Option<ReasonCode>) -> Packet {
    Packet::SubAck(SubAck {
        packet_id: PacketId::new(1).expect("not 0"),
        properties: Properties::default(),
        reasons: reason.into_iter().collect(),
    })
}

#[test]
fn properties_that_cannot_be_decoded_are_not_encoded() {
    let elsewhere = [Property::ReceiveMaximum(1)];
    let zero = [Property::TopicAlias(0)];
    let twice = [Property::PayloadFormatIndicator(true); 2];
    for properties in [&elsewhere[..], &zero, &twice] {
        let properties = Properties::new(properties.iter().copied()).expect("short");
        let packet = Packet::Publish(Publish {
            properties,
            ..message()
        });
        refused(&packet, Version::V5, EncodeError::PropertyNotAllowed);
    }
}

/// What a version or a packet has no place for is left out.
#[test]
fn what_means_nothing_is_not_written() {
    let present = |reason| -> Packet {
        Packet::ConnAck(ConnAck {
            session_present: true,
            reason,
            properties: Properties::default(),
        })
    };
    let accepted = present(ReasonCode::Success);
    assert_eq!(accepted.to_vec(Version::V3_1), Ok(vec![0x20, 2, 0, 0]));
    assert_eq!(accepted.to_vec(Version::V3_1_1), Ok(vec![0x20, 2, 1, 0]));
    // [MQTT-3.2.2-6]
    let refused = present(ReasonCode::NotAuthorized);
    assert_eq!(refused.to_vec(Version::V3_1_1), Ok(vec![0x20, 2, 0, 5]));
    assert_eq!(refused.to_vec(Version::V5), Ok(vec![0x20, 3, 0, 0x87, 0]));

    // [MQTT-3.3.1-2]
    let again = Publish {
        dup: true,
        ..message()
    };
    let bytes = Packet::Publish(again).to_vec(Version::V3_1_1);
    assert_eq!(bytes, Ok(vec![0x30, 3, 0, 1, b't']));

    let bridge = |version| {
        let connect = Connect {
            version,
            bridge: true,
            ..client()
        };
        let bytes = Packet::Connect(connect).to_vec(version).expect("a client");
        bytes.get(8).copied()
    };
    assert_eq!(bridge(Version::V3_1_1), Some(0x84));
    assert_eq!(bridge(Version::V5), Some(5));
}

#[test]
fn packets_are_shown_with_what_is_in_them() {
    let filter = TopicFilter::new(&b"a/+"[..]).expect("a filter");
    let options = SubscriptionOptions::default();
    let subscriptions = Subscriptions::new([Subscription { filter, options }]);
    assert!(format!("{subscriptions:?}").contains("\"a/+\""));
    let filters = TopicFilters::new([filter]).expect("one");
    assert_eq!(format!("{filters:?}"), "[\"a/+\"]");
    assert_eq!(format!("{filter} {filter:?}"), "a/+ \"a/+\"");

    let name = text("\u{E4}");
    assert_eq!(format!("{name} {name:?}"), "\u{E4} \"\u{E4}\"");
    assert!(name == *"\u{E4}" && name == "\u{E4}" && name != *"a" && name != "a");
    let properties = Properties::new([Property::TopicAlias(7)]).expect("short");
    assert_eq!(format!("{properties:?}"), "[TopicAlias(7)]");
    let packet = sub_ack(Some(ReasonCode::GrantedQoS1));
    assert!(format!("{packet:?}").contains("[GrantedQoS1]"));
    assert_eq!(PacketId::new(7).expect("not 0").to_string(), "7");
}

#[test]
fn what_no_packet_can_carry_is_not_built() {
    assert_eq!(Subscriptions::new([]), Err(EncodeError::Empty));
    assert_eq!(TopicFilters::new([]), Err(EncodeError::Empty));
    let options = SubscriptionOptions {
        no_local: true,
        ..SubscriptionOptions::default()
    };
    let filter = TopicFilter::new(&b"$share/g/a"[..]).expect("a filter");
    let shared = Subscriptions::new([Subscription { filter, options }]);
    assert_eq!(shared, Err(EncodeError::NoLocalShared));

    assert_eq!(Text::from_static("a\0"), Err(EncodeError::NullCharacter));
    let too_long = "a".repeat(65_536);
    assert_eq!(Text::from_string(&too_long), Err(EncodeError::FieldTooLong));
    assert_eq!(
        TopicName::from_text(&too_long),
        Err(DecodeError::TextTooLong)
    );
    let data = Property::CorrelationData(too_long.as_bytes());
    assert_eq!(Properties::new([data]), Err(EncodeError::FieldTooLong));
    let id = Property::SubscriptionIdentifier(268_435_456);
    assert_eq!(Properties::new([id]), Err(EncodeError::FieldTooLong));
}

#[test]
fn a_message_that_is_too_long_is_not_forwarded() {
    let publish = message();
    let ids = [268_435_456];
    let forward = Forward {
        subscription_identifiers: &ids,
        ..forward(&publish, Version::V5)
    };
    let mut encoded = EncodedPublish::default();
    assert_eq!(encoded.push(&forward), Err(EncodeError::FieldTooLong));
    assert!(encoded.is_empty() && encoded.bytes().is_empty());

    let mut out = b"before".to_vec();
    assert_eq!(forward.encode(&mut out), Err(EncodeError::FieldTooLong));
    let forward = Forward {
        subscription_identifiers: &[268_435_455],
        ..forward
    };
    assert_eq!(forward.encode(&mut Vec::new()), Ok(()));
    let topic = [b'a'; 65_536];
    let forward = Forward {
        subscription_identifiers: &[],
        topic: &topic,
        ..forward
    };
    assert_eq!(forward.encode(&mut out), Err(EncodeError::FieldTooLong));
    assert_eq!(out, b"before");
}
