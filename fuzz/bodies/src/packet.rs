//! Packets from any bytes, such as each version has them.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use mqtt_codec::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketId, PacketType, Properties, Property,
    PropertyOwner, Publish, PublishQoS, QoS, ReasonCode, ReasonCodes, SubAck, Subscribe,
    Subscription, SubscriptionOptions, Subscriptions, Text, TopicFilter, TopicFilters, TopicName,
    UnsubAck, Unsubscribe, UserProperty, Version, Will,
};

type Input<'a, 'b> = &'a mut Unstructured<'b>;

/// A packet of any type that the version has.
pub(crate) fn packet(input: Input<'_, '_>, version: Version) -> Result<Packet> {
    Ok(match input.choose(&PacketType::ALL)? {
        PacketType::Connect => Packet::Connect(connect(input, version)?),
        PacketType::ConnAck => Packet::ConnAck(conn_ack(input, version)?),
        PacketType::Publish => Packet::Publish(publish(input, version)?),
        packet @ PacketType::PubAck => Packet::PubAck(ack(input, version, *packet, Owner::PubAck)?),
        packet @ PacketType::PubRec => Packet::PubRec(ack(input, version, *packet, Owner::PubRec)?),
        packet @ PacketType::PubRel => Packet::PubRel(ack(input, version, *packet, Owner::PubRel)?),
        packet @ PacketType::PubComp => {
            Packet::PubComp(ack(input, version, *packet, Owner::PubComp)?)
        }
        PacketType::Subscribe => Packet::Subscribe(subscribe(input, version)?),
        PacketType::SubAck => Packet::SubAck(SubAck {
            packet_id: packet_id(input)?,
            properties: properties(input, version, Owner::SubAck)?,
            reasons: reasons(input, version, PacketType::SubAck)?,
        }),
        PacketType::Unsubscribe => Packet::Unsubscribe(unsubscribe(input, version)?),
        PacketType::UnsubAck => Packet::UnsubAck(UnsubAck {
            packet_id: packet_id(input)?,
            properties: properties(input, version, Owner::UnsubAck)?,
            reasons: match version {
                Version::V5 => reasons(input, version, PacketType::UnsubAck)?,
                Version::V3_1 | Version::V3_1_1 => [].into_iter().collect(),
            },
        }),
        PacketType::PingReq => Packet::PingReq,
        PacketType::PingResp => Packet::PingResp,
        PacketType::Disconnect => Packet::Disconnect(Disconnect {
            reason: reason(input, version, PacketType::Disconnect)?,
            properties: properties(input, version, Owner::Disconnect)?,
        }),
        PacketType::Auth if version == Version::V5 => Packet::Auth(Auth {
            reason: reason(input, version, PacketType::Auth)?,
            properties: properties(input, version, Owner::Auth)?,
        }),
        PacketType::Auth => Packet::PingReq,
    })
}

use PropertyOwner as Owner;

fn connect(input: Input<'_, '_>, version: Version) -> Result<Connect> {
    let user_name = optional(input, text)?;
    let password = optional(input, binary)?;
    let v5 = version == Version::V5;
    Ok(Connect {
        version,
        bridge: input.arbitrary::<bool>()? && !v5,
        clean_start: input.arbitrary()?,
        keep_alive: input.arbitrary()?,
        properties: properties(input, version, Owner::Connect)?,
        client_id: text(input)?,
        will: optional(input, |input| will(input, version))?,
        password: password.filter(|_| v5 || user_name.is_some()),
        user_name,
    })
}

fn will(input: Input<'_, '_>, version: Version) -> Result<Will> {
    Ok(Will {
        qos: qos(input)?,
        retain: input.arbitrary()?,
        properties: properties(input, version, Owner::Will)?,
        topic: topic_name(input)?,
        payload: binary(input)?,
    })
}

fn conn_ack(input: Input<'_, '_>, version: Version) -> Result<ConnAck> {
    let reason = match version {
        Version::V5 => reason(input, version, PacketType::ConnAck)?,
        Version::V3_1 | Version::V3_1_1 => {
            ReasonCode::from_return_code(input.int_in_range(0..=5)?).expect("0 to 5")
        }
    };
    let can_be_present = reason == ReasonCode::Success && version != Version::V3_1;
    Ok(ConnAck {
        session_present: input.arbitrary::<bool>()? && can_be_present,
        reason,
        properties: properties(input, version, Owner::ConnAck)?,
    })
}

fn publish(input: Input<'_, '_>, version: Version) -> Result<Publish> {
    let qos = publish_qos(input)?;
    let properties = properties(input, version, Owner::Publish)?;
    let leave_out = input.arbitrary::<bool>()? && properties.topic_alias().is_some();
    Ok(Publish {
        dup: input.arbitrary::<bool>()? && qos != PublishQoS::AtMostOnce,
        qos,
        retain: input.arbitrary()?,
        topic: match leave_out {
            true => None,
            false => Some(topic_name(input)?),
        },
        properties,
        payload: binary(input)?,
    })
}

fn ack(input: Input<'_, '_>, version: Version, packet: PacketType, owner: Owner) -> Result<Ack> {
    Ok(Ack {
        packet_id: packet_id(input)?,
        reason: reason(input, version, packet)?,
        properties: properties(input, version, owner)?,
    })
}

fn subscribe(input: Input<'_, '_>, version: Version) -> Result<Subscribe> {
    let mut list = vec![(topic_filter(input)?, options(input, version)?)];
    while list.len() < 4 && input.arbitrary()? {
        list.push((topic_filter(input)?, options(input, version)?));
    }
    let list = list.iter().map(|(filter, options)| Subscription {
        filter: filter.as_view(),
        options: SubscriptionOptions {
            no_local: options.no_local && filter.share_name().is_none(),
            ..*options
        },
    });
    Ok(Subscribe {
        packet_id: packet_id(input)?,
        properties: properties(input, version, Owner::Subscribe)?,
        subscriptions: Subscriptions::new(list).expect("one at least"),
    })
}

fn options(input: Input<'_, '_>, version: Version) -> Result<SubscriptionOptions> {
    if version != Version::V5 {
        return Ok(SubscriptionOptions::of_qos(qos(input)?));
    }
    // Any byte that is valid stands for its options.
    Ok(SubscriptionOptions::from_byte(input.arbitrary()?).unwrap_or_default())
}

fn unsubscribe(input: Input<'_, '_>, version: Version) -> Result<Unsubscribe> {
    let mut list = vec![topic_filter(input)?];
    while list.len() < 4 && input.arbitrary()? {
        list.push(topic_filter(input)?);
    }
    Ok(Unsubscribe {
        packet_id: packet_id(input)?,
        properties: properties(input, version, Owner::Unsubscribe)?,
        filters: TopicFilters::new(list.iter().map(TopicFilter::as_view)).expect("one at least"),
    })
}

fn reasons(input: Input<'_, '_>, version: Version, packet: PacketType) -> Result<ReasonCodes> {
    let mut reasons = vec![reason(input, version, packet)?];
    while reasons.len() < 4 && input.arbitrary()? {
        reasons.push(reason(input, version, packet)?);
    }
    Ok(reasons.into_iter().collect())
}

fn reason(input: Input<'_, '_>, version: Version, packet: PacketType) -> Result<ReasonCode> {
    // Before 5.0 only SUBACK has some of them.
    let exists = |reason: &ReasonCode| {
        if version == Version::V5 {
            reason.allowed_in(packet)
        } else if packet == PacketType::SubAck {
            matches!(*reason as u8, 0..=2 | 0x80)
        } else {
            *reason == ReasonCode::Success
        }
    };
    let allowed: Vec<_> = ReasonCode::ALL.iter().copied().filter(exists).collect();
    input.choose(&allowed).copied()
}

/// Properties that `owner` may have, each as often as it may be there.
pub(crate) fn properties(
    input: Input<'_, '_>,
    version: Version,
    owner: Owner,
) -> Result<Properties> {
    let mut properties = Properties::default();
    if version != Version::V5 {
        return Ok(properties);
    }
    while input.arbitrary()? {
        let added = property(input)?;
        let both = Properties::new(properties.iter().chain(added.iter())).expect("short");
        if Properties::decode(both.as_view().raw(), owner).is_ok() {
            properties = both;
        }
    }
    if owner == Owner::Auth && properties.authentication_method().is_none() {
        let method = Text::new(&b"PLAIN"[..]).expect("ASCII");
        let method = Property::AuthenticationMethod(method);
        properties = Properties::new(properties.iter().chain([method])).expect("short");
    }
    Ok(properties)
}

/// One property of any kind; its value can be one that no packet may have.
fn property(input: Input<'_, '_>) -> Result<Properties> {
    let (a, b) = (text(input)?, text(input)?);
    let topic = topic_name(input)?;
    let number: u32 = input.arbitrary()?;
    let (flag, two) = (number & 1 == 1, number as u16);
    let name = a.as_view();
    let value = b.as_view();
    let property = match input.int_in_range(0..=26)? {
        0 => Property::PayloadFormatIndicator(flag),
        1 => Property::MessageExpiryInterval(number),
        2 => Property::ContentType(name),
        3 => Property::ResponseTopic(topic.as_view()),
        4 => Property::CorrelationData(name.as_bytes()),
        5 => Property::SubscriptionIdentifier(number >> 4),
        6 => Property::SessionExpiryInterval(number),
        7 => Property::AssignedClientIdentifier(name),
        8 => Property::ServerKeepAlive(two),
        9 => Property::AuthenticationMethod(name),
        10 => Property::AuthenticationData(name.as_bytes()),
        11 => Property::RequestProblemInformation(flag),
        12 => Property::WillDelayInterval(number),
        13 => Property::RequestResponseInformation(flag),
        14 => Property::ResponseInformation(name),
        15 => Property::ServerReference(name),
        16 => Property::ReasonString(name),
        17 => Property::ReceiveMaximum(two),
        18 => Property::TopicAliasMaximum(two),
        19 => Property::TopicAlias(two),
        20 if flag => Property::MaximumQoS(QoS::AtLeastOnce),
        20 => Property::MaximumQoS(QoS::AtMostOnce),
        21 => Property::RetainAvailable(flag),
        22 => Property::MaximumPacketSize(number),
        23 => Property::WildcardSubscriptionAvailable(flag),
        24 => Property::SubscriptionIdentifierAvailable(flag),
        25 => Property::SharedSubscriptionAvailable(flag),
        _ => Property::UserProperty(UserProperty { name, value }),
    };
    Ok(Properties::new([property]).expect("short"))
}

pub(crate) fn publish_qos(input: Input<'_, '_>) -> Result<PublishQoS> {
    Ok(match qos(input)? {
        QoS::AtMostOnce => PublishQoS::AtMostOnce,
        QoS::AtLeastOnce => PublishQoS::AtLeastOnce(packet_id(input)?),
        QoS::ExactlyOnce => PublishQoS::ExactlyOnce(packet_id(input)?),
    })
}

fn qos(input: Input<'_, '_>) -> Result<QoS> {
    Ok(QoS::from_number(input.int_in_range(0..=2)?).expect("0 to 2"))
}

fn packet_id(input: Input<'_, '_>) -> Result<PacketId> {
    Ok(PacketId::new(input.int_in_range(1..=u16::MAX)?).expect("not 0"))
}

fn text(input: Input<'_, '_>) -> Result<Text> {
    let text: &str = input.arbitrary()?;
    let end = text.floor_char_boundary(65_535);
    let text = text.split_at(end).0.replace('\0', " ");
    Ok(Text::from_string(text).expect("no U+0000, and not too long"))
}

fn topic_name(input: Input<'_, '_>) -> Result<TopicName> {
    let name = text(input)?.as_str().replace(['+', '#'], "/");
    let name = if name.is_empty() { "/" } else { &name };
    Ok(TopicName::from_text(name).expect("no wildcards, and not empty"))
}

fn topic_filter(input: Input<'_, '_>) -> Result<TopicFilter> {
    let filter = TopicFilter::from_text(text(input)?.as_str());
    let another = || TopicFilter::from_text("a/+/#").expect("a topic filter");
    Ok(filter.unwrap_or_else(|_| another()))
}

fn binary(input: Input<'_, '_>) -> Result<Bytes> {
    let bytes: &[u8] = input.arbitrary()?;
    Ok(Bytes::copy_from_slice(
        bytes.split_at(bytes.len().min(65_535)).0,
    ))
}

fn optional<T>(
    input: Input<'_, '_>,
    make: impl FnOnce(Input<'_, '_>) -> Result<T>,
) -> Result<Option<T>> {
    if input.arbitrary()? {
        make(input).map(Some)
    } else {
        Ok(None)
    }
}
