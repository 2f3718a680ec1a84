//! Packets at random, such as each version has them.

#![allow(
    clippy::redundant_closure,
    reason = "a variant alone is not general enough in its lifetime"
)]

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use mqtt_codec::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketId, PacketType, Properties, Property,
    PropertyOwner, Publish, PublishQoS, QoS, ReasonCode, ReasonCodes, RetainHandling, SubAck,
    Subscribe, Subscription, SubscriptionOptions, Subscriptions, Text, TopicFilter, TopicFilters,
    TopicName, UnsubAck, Unsubscribe, UserProperty, Version, Will,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

pub(crate) fn version() -> impl Strategy<Value = Version> {
    select(&Version::ALL[..])
}

/// A packet of any type that the version has.
pub(crate) fn packet(version: Version) -> BoxedStrategy<Packet> {
    let both = prop_oneof![
        connect(version).prop_map(Packet::Connect),
        conn_ack(version).prop_map(Packet::ConnAck),
        publish(version).prop_map(Packet::Publish),
        ack(version, PacketType::PubAck, PropertyOwner::PubAck).prop_map(Packet::PubAck),
        ack(version, PacketType::PubRec, PropertyOwner::PubRec).prop_map(Packet::PubRec),
        ack(version, PacketType::PubRel, PropertyOwner::PubRel).prop_map(Packet::PubRel),
        ack(version, PacketType::PubComp, PropertyOwner::PubComp).prop_map(Packet::PubComp),
        subscribe(version).prop_map(Packet::Subscribe),
        sub_ack(version).prop_map(Packet::SubAck),
        unsubscribe(version).prop_map(Packet::Unsubscribe),
        unsub_ack(version).prop_map(Packet::UnsubAck),
        Just(Packet::PingReq),
        Just(Packet::PingResp),
        disconnect(version).prop_map(Packet::Disconnect),
    ];
    if version.has_properties() {
        prop_oneof![14 => both, 1 => auth().prop_map(Packet::Auth)].boxed()
    } else {
        both.boxed()
    }
}

/// A version and a packet that it has.
pub(crate) fn version_and_packet() -> impl Strategy<Value = (Version, Packet)> {
    version().prop_flat_map(|version| (Just(version), packet(version)))
}

pub(crate) fn connect(version: Version) -> impl Strategy<Value = Connect> {
    let login = (option::of(text()), option::of(binary()));
    (
        any::<bool>(),
        any::<bool>(),
        any::<u16>(),
        properties(version, PropertyOwner::Connect),
        text(),
        option::of(will(version)),
        login,
    )
        .prop_map(move |parts| {
            let (bridge, clean_start, keep_alive, properties, client_id, will, login) = parts;
            let (user_name, password) = login;
            let v5 = version.has_properties();
            Connect {
                version,
                bridge: bridge && !v5,
                clean_start,
                keep_alive,
                properties,
                client_id,
                will,
                password: password.filter(|_| v5 || user_name.is_some()),
                user_name,
            }
        })
}

fn will(version: Version) -> impl Strategy<Value = Will> {
    (
        qos(),
        any::<bool>(),
        properties(version, PropertyOwner::Will),
        topic_name(),
        binary(),
    )
        .prop_map(|(qos, retain, properties, topic, payload)| Will {
            qos,
            retain,
            properties,
            topic,
            payload,
        })
}

fn conn_ack(version: Version) -> impl Strategy<Value = ConnAck> {
    let reason = if version.has_properties() {
        reason(PacketType::ConnAck).boxed()
    } else {
        (0..=5_u8)
            .prop_map(|code| ReasonCode::from_return_code(code).expect("a return code"))
            .boxed()
    };
    (
        any::<bool>(),
        reason,
        properties(version, PropertyOwner::ConnAck),
    )
        .prop_map(move |(present, reason, properties)| ConnAck {
            session_present: present && !reason.is_failure() && version != Version::V3_1,
            reason,
            properties,
        })
}

pub(crate) fn publish(version: Version) -> impl Strategy<Value = Publish> {
    (
        any::<bool>(),
        publish_qos(),
        any::<bool>(),
        option::weighted(0.8, topic_name()),
        topic_name(),
        properties(version, PropertyOwner::Publish),
        vec(any::<u8>(), 0..300),
    )
        .prop_map(|parts| {
            let (dup, qos, retain, topic, needed, properties, payload) = parts;
            // The topic can be left out where there is an alias for it.
            let topic = match properties.topic_alias() {
                Some(_) => topic,
                None => Some(needed),
            };
            Publish {
                dup: dup && qos != PublishQoS::AtMostOnce,
                qos,
                retain,
                topic,
                properties,
                payload: payload.into(),
            }
        })
}

fn ack(version: Version, packet: PacketType, owner: PropertyOwner) -> impl Strategy<Value = Ack> {
    let reason = if version.has_properties() {
        reason(packet).boxed()
    } else {
        Just(ReasonCode::Success).boxed()
    };
    (packet_id(), reason, properties(version, owner)).prop_map(|(packet_id, reason, properties)| {
        Ack {
            packet_id,
            reason,
            properties,
        }
    })
}

fn subscribe(version: Version) -> impl Strategy<Value = Subscribe> {
    let subscriptions = vec((topic_filter(), options(version)), 1..5);
    (
        packet_id(),
        properties(version, PropertyOwner::Subscribe),
        subscriptions,
    )
        .prop_map(|(packet_id, properties, list)| {
            let list = list.iter().map(|(filter, options)| Subscription {
                filter: filter.as_view(),
                options: SubscriptionOptions {
                    no_local: options.no_local && filter.share_name().is_none(),
                    ..*options
                },
            });
            Subscribe {
                packet_id,
                properties,
                subscriptions: Subscriptions::new(list).expect("one at least"),
            }
        })
}

fn options(version: Version) -> BoxedStrategy<SubscriptionOptions> {
    if !version.has_properties() {
        return qos().prop_map(SubscriptionOptions::of_qos).boxed();
    }
    let retain_handling = select(vec![
        RetainHandling::Send,
        RetainHandling::SendIfNew,
        RetainHandling::DoNotSend,
    ]);
    (qos(), any::<bool>(), any::<bool>(), retain_handling)
        .prop_map(
            |(qos, no_local, retain_as_published, retain_handling)| SubscriptionOptions {
                qos,
                no_local,
                retain_as_published,
                retain_handling,
            },
        )
        .boxed()
}

fn sub_ack(version: Version) -> impl Strategy<Value = SubAck> {
    let reason = if version.has_properties() {
        reason(PacketType::SubAck).boxed()
    } else {
        select(vec![
            ReasonCode::Success,
            ReasonCode::GrantedQoS1,
            ReasonCode::GrantedQoS2,
            ReasonCode::UnspecifiedError,
        ])
        .boxed()
    };
    (
        packet_id(),
        properties(version, PropertyOwner::SubAck),
        vec(reason, 1..5),
    )
        .prop_map(|(packet_id, properties, reasons)| SubAck {
            packet_id,
            properties,
            reasons: reasons.into_iter().collect(),
        })
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Unsubscribe> {
    (
        packet_id(),
        properties(version, PropertyOwner::Unsubscribe),
        vec(topic_filter(), 1..5),
    )
        .prop_map(|(packet_id, properties, filters)| Unsubscribe {
            packet_id,
            properties,
            filters: TopicFilters::new(filters.iter().map(TopicFilter::as_view))
                .expect("one at least"),
        })
}

fn unsub_ack(version: Version) -> impl Strategy<Value = UnsubAck> {
    let reasons: BoxedStrategy<ReasonCodes> = if version.has_properties() {
        vec(reason(PacketType::UnsubAck), 1..5)
            .prop_map(|reasons| reasons.into_iter().collect())
            .boxed()
    } else {
        Just(()).prop_map(|()| [].into_iter().collect()).boxed()
    };
    (
        packet_id(),
        properties(version, PropertyOwner::UnsubAck),
        reasons,
    )
        .prop_map(|(packet_id, properties, reasons)| UnsubAck {
            packet_id,
            properties,
            reasons,
        })
}

fn disconnect(version: Version) -> impl Strategy<Value = Disconnect> {
    let reason = if version.has_properties() {
        reason(PacketType::Disconnect).boxed()
    } else {
        Just(ReasonCode::Success).boxed()
    };
    (reason, properties(version, PropertyOwner::Disconnect))
        .prop_map(|(reason, properties)| Disconnect { reason, properties })
}

fn auth() -> impl Strategy<Value = Auth> {
    (
        reason(PacketType::Auth),
        properties(Version::V5, PropertyOwner::Auth),
    )
        .prop_map(|(reason, properties)| Auth { reason, properties })
}

pub(crate) fn publish_qos() -> impl Strategy<Value = PublishQoS> {
    (qos(), packet_id()).prop_map(|(qos, id)| match qos {
        QoS::AtMostOnce => PublishQoS::AtMostOnce,
        QoS::AtLeastOnce => PublishQoS::AtLeastOnce(id),
        QoS::ExactlyOnce => PublishQoS::ExactlyOnce(id),
    })
}

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|number| PacketId::new(number).expect("not 0"))
}

fn reason(packet: PacketType) -> impl Strategy<Value = ReasonCode> {
    let allowed: Vec<_> = ReasonCode::ALL
        .iter()
        .copied()
        .filter(|reason| reason.allowed_in(packet))
        .collect();
    select(allowed)
}

/// Text without U+0000: mostly short, now and then as long as it may be.
pub(crate) fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        40 => "[^\0]{0,20}",
        40 => "[ -~]{0,40}",
        1 => Just("x".repeat(65_535)),
    ]
    .prop_map(|text| Text::from_string(text).expect("no U+0000, and not too long"))
}

fn binary() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

pub(crate) fn topic_name() -> impl Strategy<Value = TopicName> {
    prop_oneof![
        40 => "[^\0+#]{1,20}",
        1 => Just("/".repeat(65_535)),
    ]
    .prop_map(|name| TopicName::from_text(&name).expect("a topic name"))
}

pub(crate) fn topic_filter() -> impl Strategy<Value = TopicFilter> {
    let level = prop_oneof![3 => "[^\0+#/]{1,6}", 1 => "", 1 => "\\+"];
    (
        option::weighted(0.2, "[^\0+#/]{1,6}"),
        vec(level, 1..5),
        any::<bool>(),
    )
        .prop_filter_map(
            "a topic filter has one character",
            |(share, mut levels, all)| {
                if all {
                    levels.push("#".into());
                }
                let filter = levels.join("/");
                let filter = match share {
                    Some(share) => format!("$share/{share}/{filter}"),
                    None => filter,
                };
                TopicFilter::from_text(&filter).ok()
            },
        )
}

/// A property section that this packet may have, in any order; none before 5.0.
pub(crate) fn properties(version: Version, owner: PropertyOwner) -> BoxedStrategy<Properties> {
    if !version.has_properties() {
        return Just(Properties::default()).boxed();
    }
    let once = once(owner);
    let count = once.len();
    let repeated = match owner {
        PropertyOwner::Publish => prop_oneof![subscription_identifier(), user_property()].boxed(),
        PropertyOwner::Connect
        | PropertyOwner::Will
        | PropertyOwner::ConnAck
        | PropertyOwner::PubAck
        | PropertyOwner::PubRec
        | PropertyOwner::PubRel
        | PropertyOwner::PubComp
        | PropertyOwner::Subscribe
        | PropertyOwner::SubAck
        | PropertyOwner::Unsubscribe
        | PropertyOwner::UnsubAck
        | PropertyOwner::Disconnect
        | PropertyOwner::Auth => user_property().boxed(),
    };
    let some = (subsequence(once, 0..=count), vec(repeated, 0..4))
        .prop_flat_map(|(once, repeated)| {
            let once = once.into_iter().map(|make| make()).collect::<Vec<_>>();
            (once, Just(repeated))
        })
        .prop_map(|(once, repeated)| [once, repeated].concat())
        .prop_shuffle()
        .prop_map(move |parts| joined(&with_method(parts, owner)));
    if owner == PropertyOwner::Auth {
        some.boxed()
    } else {
        prop_oneof![Just(Properties::default()), some].boxed()
    }
}

/// An authentication method where there has to be one.
fn with_method(mut parts: Vec<Properties>, owner: PropertyOwner) -> Vec<Properties> {
    let has = |wanted: fn(&Properties) -> bool| parts.iter().any(wanted);
    let needed = owner == PropertyOwner::Auth || has(|part| part.authentication_data().is_some());
    if needed && !has(|part| part.authentication_method().is_some()) {
        let method = Text::new(&b"PLAIN"[..]).expect("ASCII");
        parts.push(one(Property::AuthenticationMethod(method)));
    }
    parts
}

fn joined(parts: &[Properties]) -> Properties {
    Properties::new(parts.iter().flat_map(Properties::iter)).expect("short enough")
}

fn one(property: Property<'_>) -> Properties {
    Properties::new([property]).expect("short enough")
}

fn user_property() -> impl Strategy<Value = Properties> {
    ("[^\0]{0,10}", "[^\0]{0,10}").prop_map(|(name, value)| {
        one(Property::UserProperty(UserProperty {
            name: Text::new(name.as_bytes()).expect("no U+0000"),
            value: Text::new(value.as_bytes()).expect("no U+0000"),
        }))
    })
}

fn subscription_identifier() -> impl Strategy<Value = Properties> {
    prop_oneof![1..=0x7F_u32, 0x80..=268_435_455_u32]
        .prop_map(|id| one(Property::SubscriptionIdentifier(id)))
}

type Make = fn() -> BoxedStrategy<Properties>;

fn of_number<T: Arbitrary + 'static>(
    make: fn(T) -> Property<'static>,
) -> BoxedStrategy<Properties> {
    any::<T>().prop_map(move |value| one(make(value))).boxed()
}

fn of_text(make: for<'a> fn(Text<&'a [u8]>) -> Property<'a>) -> BoxedStrategy<Properties> {
    text()
        .prop_map(move |text| one(make(text.as_view())))
        .boxed()
}

fn of_binary(make: for<'a> fn(&'a [u8]) -> Property<'a>) -> BoxedStrategy<Properties> {
    binary().prop_map(move |bytes| one(make(&bytes))).boxed()
}

const EXPIRY: Make = || of_number(Property::SessionExpiryInterval);
const METHOD: Make = || of_text(|text| Property::AuthenticationMethod(text));
const DATA: Make = || of_binary(|bytes| Property::AuthenticationData(bytes));
const REASON: Make = || of_text(|text| Property::ReasonString(text));
const SERVER: Make = || of_text(|text| Property::ServerReference(text));
const MESSAGE: [Make; 5] = [
    || of_number(Property::PayloadFormatIndicator),
    || of_number(Property::MessageExpiryInterval),
    || of_text(|text| Property::ContentType(text)),
    response_topic,
    || of_binary(|bytes| Property::CorrelationData(bytes)),
];
const LIMITS: [Make; 3] = [
    || of_number(|value: NonZeroU16| Property::ReceiveMaximum(value.get())),
    || of_number(Property::TopicAliasMaximum),
    || of_number(|value: NonZeroU32| Property::MaximumPacketSize(value.get())),
];
const CONNECT: [Make; 2] = [
    || of_number(Property::RequestProblemInformation),
    || of_number(Property::RequestResponseInformation),
];
const CONN_ACK: [Make; 8] = [
    || of_text(|text| Property::AssignedClientIdentifier(text)),
    || of_number(Property::ServerKeepAlive),
    || of_text(|text| Property::ResponseInformation(text)),
    maximum_qos,
    || of_number(Property::RetainAvailable),
    || of_number(Property::WildcardSubscriptionAvailable),
    || of_number(Property::SubscriptionIdentifierAvailable),
    || of_number(Property::SharedSubscriptionAvailable),
];
const ALIAS: Make = || of_number(|value: NonZeroU16| Property::TopicAlias(value.get()));
const DELAY: Make = || of_number(Property::WillDelayInterval);

/// The properties that a packet may have once, as table 2-4 of the standard says.
fn once(owner: PropertyOwner) -> Vec<Make> {
    match owner {
        PropertyOwner::Connect => [&CONNECT[..], &LIMITS, &[EXPIRY, METHOD, DATA]].concat(),
        PropertyOwner::Will => [&MESSAGE[..], &[DELAY]].concat(),
        PropertyOwner::ConnAck => {
            let some = [EXPIRY, METHOD, DATA, REASON, SERVER];
            [&CONN_ACK[..], &LIMITS, &some].concat()
        }
        PropertyOwner::Publish => [&MESSAGE[..], &[ALIAS]].concat(),
        PropertyOwner::Subscribe => vec![|| subscription_identifier().boxed()],
        PropertyOwner::Unsubscribe => vec![],
        PropertyOwner::PubAck
        | PropertyOwner::PubRec
        | PropertyOwner::PubRel
        | PropertyOwner::PubComp
        | PropertyOwner::SubAck
        | PropertyOwner::UnsubAck => vec![REASON],
        PropertyOwner::Disconnect => vec![EXPIRY, REASON, SERVER],
        PropertyOwner::Auth => vec![METHOD, DATA, REASON],
    }
}

fn response_topic() -> BoxedStrategy<Properties> {
    topic_name()
        .prop_map(|name| one(Property::ResponseTopic(name.as_view())))
        .boxed()
}

fn maximum_qos() -> BoxedStrategy<Properties> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce])
        .prop_map(|qos| one(Property::MaximumQoS(qos)))
        .boxed()
}
