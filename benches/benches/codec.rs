//! What decoding and encoding a packet costs, beside a copy of its bytes, which is the least that a
//! codec that owns its packets can cost, and beside other codecs.
//!
//! The others decode from a buffer that they take the packet out of, which is prepared outside the
//! measurement; `mqttrs` speaks 3.1.1 alone, and borrows.

#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a codec that refuses a sample ends the bench; criterion's macros document nothing"
)]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main};
use mqtt_codec::{
    Ack, Connect, Cut, EncodedPublish, Forward, Frame, PACKET_BYTES_MAX, Packet, PacketId,
    Properties, Property, Publish, PublishQoS, QoS, ReasonCode, Subscribe, Subscription,
    SubscriptionOptions, Subscriptions, Text, TopicFilter, TopicName, UserProperty, Version, Will,
    cut,
};
use rumqttc::mqttbytes::v4 as rumqttc_v4;
use rumqttc::v5::mqttbytes::v5 as rumqttc_v5;

struct Sample {
    name: &'static str,
    version: Version,
    packet: Packet,
}

/// 30 bytes, as topics are.
const TOPIC: &str = "factory/hall-7/press-12/torque";

fn samples() -> Vec<Sample> {
    let sample = |name, version, packet| Sample {
        name,
        version,
        packet,
    };
    let once = PublishQoS::AtLeastOnce(packet_id());
    let none = Properties::default;
    let small = publish(PublishQoS::AtMostOnce, none(), 64);
    vec![
        sample("publish 3.1.1 qos 0 64 B", Version::V3_1_1, small),
        sample(
            "publish 3.1.1 qos 1 1 KiB",
            Version::V3_1_1,
            publish(once, none(), 1024),
        ),
        sample(
            "publish 5.0 qos 1 64 B",
            Version::V5,
            publish(once, none(), 64),
        ),
        sample(
            "publish 5.0 qos 1 64 B 5 properties",
            Version::V5,
            publish(once, five_properties(), 64),
        ),
        sample("connect 3.1.1", Version::V3_1_1, connect()),
        sample("subscribe 3.1.1", Version::V3_1_1, subscribe()),
        sample("puback 3.1.1", Version::V3_1_1, puback()),
    ]
}

fn publish(qos: PublishQoS, properties: Properties, payload_bytes: usize) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic: TopicName::from_text(TOPIC).ok(),
        properties,
        payload: Bytes::from(vec![b'x'; payload_bytes]),
    })
}

fn five_properties() -> Properties {
    let text = |text: &'static str| Text::new(text.as_bytes()).expect("ASCII");
    Properties::new([
        Property::PayloadFormatIndicator(true),
        Property::MessageExpiryInterval(3600),
        Property::ContentType(text("application/json")),
        Property::CorrelationData(b"12345678"),
        Property::UserProperty(UserProperty {
            name: text("trace"),
            value: text("0af7651916cd43dd"),
        }),
    ])
    .expect("short")
}

fn connect() -> Packet {
    let text = |text| Text::from_static(text).expect("ASCII");
    Packet::Connect(Connect {
        version: Version::V3_1_1,
        bridge: false,
        clean_start: true,
        keep_alive: 60,
        properties: Properties::default(),
        client_id: text("press-12"),
        will: Some(Will {
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: Properties::default(),
            topic: TopicName::from_text(TOPIC).expect("a topic name"),
            payload: Bytes::from_static(b"offline"),
        }),
        user_name: Some(text("press")),
        password: Some(Bytes::from_static(b"secret")),
    })
}

fn subscribe() -> Packet {
    let list = ["factory/hall-7/#", "factory/+/alarm", "time"].map(|filter| Subscription {
        filter: TopicFilter::new(filter.as_bytes()).expect("a topic filter"),
        options: SubscriptionOptions::of_qos(QoS::AtLeastOnce),
    });
    Packet::Subscribe(Subscribe {
        packet_id: packet_id(),
        properties: Properties::default(),
        subscriptions: Subscriptions::new(list).expect("three"),
    })
}

fn puback() -> Packet {
    Packet::PubAck(Ack::new(packet_id(), ReasonCode::Success)).to_bytes()
}

fn packet_id() -> PacketId {
    PacketId::new(0x1234).expect("not 0")
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    match cut(bytes, PACKET_BYTES_MAX) {
        Ok(Cut::Whole(frame)) => Some(frame),
        Ok(Cut::Incomplete(_)) | Err(_) => None,
    }
    .expect("a whole packet")
}

/// The packets of the others: a wrapper each, to decode to and to encode from.
enum Foreign {
    Mqttbytes4(mqttbytes::v4::Packet),
    Mqttbytes5(mqttbytes::v5::Packet),
    Rumqttc4(rumqttc_v4::Packet),
    Rumqttc5(rumqttc_v5::Packet),
}

const LIMIT: usize = 1 << 20;

fn mqttbytes(bytes: &mut BytesMut, version: Version) -> Foreign {
    if version == Version::V5 {
        Foreign::Mqttbytes5(mqttbytes::v5::read(bytes, LIMIT).expect("a packet"))
    } else {
        Foreign::Mqttbytes4(mqttbytes::v4::read(bytes, LIMIT).expect("a packet"))
    }
}

fn rumqttc(bytes: &mut BytesMut, version: Version) -> Foreign {
    if version == Version::V5 {
        let packet = rumqttc_v5::Packet::read(bytes, Some(LIMIT as u32));
        Foreign::Rumqttc5(packet.expect("a packet"))
    } else {
        Foreign::Rumqttc4(rumqttc_v4::Packet::read(bytes, LIMIT).expect("a packet"))
    }
}

impl Foreign {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "there are samples of four packets"
    )]
    fn write(&self, out: &mut BytesMut) -> usize {
        match self {
            Self::Mqttbytes4(packet) => match packet {
                mqttbytes::v4::Packet::Connect(packet) => packet.write(out).ok(),
                mqttbytes::v4::Packet::Publish(packet) => packet.write(out).ok(),
                mqttbytes::v4::Packet::Subscribe(packet) => packet.write(out).ok(),
                mqttbytes::v4::Packet::PubAck(packet) => packet.write(out).ok(),
                _ => None,
            },
            Self::Mqttbytes5(mqttbytes::v5::Packet::Publish(packet)) => packet.write(out).ok(),
            Self::Mqttbytes5(_) => None,
            Self::Rumqttc4(packet) => packet.write(out, LIMIT).ok(),
            Self::Rumqttc5(packet) => packet.write(out, Some(LIMIT as u32)).ok(),
        }
        .expect("a packet that was decoded")
    }
}

/// A packet is used where it is: moving it away would cost more than it did to decode it.
fn used<T>(packet: &T) {
    black_box(packet);
}

fn copy(group: &mut BenchmarkGroup<'_, WallTime>, bytes: &[u8]) {
    let mut out = Vec::with_capacity(bytes.len());
    group.bench_function("memcpy", |bencher| {
        bencher.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(bytes));
            black_box(out.len())
        });
    });
}

fn decode(criterion: &mut Criterion) {
    for Sample {
        name,
        version,
        packet,
    } in samples()
    {
        let bytes = packet.to_vec(version).expect("a sample");
        let mut group = criterion.benchmark_group(format!("decode {name}"));
        copy(&mut group, &bytes);
        group.bench_function("mqtt-codec", |bencher| {
            bencher.iter(|| used(&Packet::decode(frame(black_box(&bytes)), version)));
        });
        let shared = Bytes::copy_from_slice(&bytes);
        group.bench_function("mqtt-codec, owned", |bencher| {
            bencher.iter(|| {
                let packet = Packet::decode(frame(black_box(&shared)), version);
                used(&packet.expect("a sample").to_owned_from(&shared));
            });
        });
        if version == Version::V3_1_1 {
            group.bench_function("mqttrs", |bencher| {
                bencher.iter(|| used(&mqttrs::decode_slice(black_box(&bytes))));
            });
        }
        for (name, read) in [
            (
                "mqttbytes",
                mqttbytes as fn(&mut BytesMut, Version) -> Foreign,
            ),
            ("rumqttc", rumqttc),
        ] {
            group.bench_function(name, |bencher| {
                let received = || BytesMut::from(&bytes[..]);
                bencher.iter_batched_ref(
                    received,
                    |bytes| used(&read(bytes, version)),
                    BatchSize::SmallInput,
                );
            });
        }
        group.finish();
    }
}

fn encode(criterion: &mut Criterion) {
    for Sample {
        name,
        version,
        packet,
    } in samples()
    {
        let bytes = packet.to_vec(version).expect("a sample");
        let mut group = criterion.benchmark_group(format!("encode {name}"));
        copy(&mut group, &bytes);
        let mut out = Vec::new();
        group.bench_function("mqtt-codec", |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(&packet).encode(version, &mut out)
            });
        });
        if let Packet::Publish(publish) = &packet {
            patch(&mut group, publish, version);
        }
        if version == Version::V3_1_1 {
            let packet = mqttrs::decode_slice(&bytes)
                .expect("a sample")
                .expect("whole");
            let mut out = vec![0; bytes.len() + 16];
            group.bench_function("mqttrs", |bencher| {
                bencher.iter(|| mqttrs::encode_slice(black_box(&packet), &mut out));
            });
        }
        for (name, packet) in [
            (
                "mqttbytes",
                mqttbytes(&mut BytesMut::from(&bytes[..]), version),
            ),
            ("rumqttc", rumqttc(&mut BytesMut::from(&bytes[..]), version)),
        ] {
            let mut out = BytesMut::new();
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    out.clear();
                    black_box(&packet).write(&mut out)
                });
            });
        }
        group.finish();
    }
}

/// A message that is encoded once: what each receiver more costs, and what the first does.
fn patch(group: &mut BenchmarkGroup<'_, WallTime>, publish: &Publish, version: Version) {
    let topic = publish.topic.as_ref().expect("a topic");
    let message = Forward {
        version,
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        topic: topic.as_bytes(),
        topic_alias: None,
        message_expiry_interval: None,
        subscription_identifiers: &[],
        properties: publish.properties.as_view().raw(),
        payload: &publish.payload,
    };
    let mut out = Vec::new();
    group.bench_function("mqtt-codec, forwarded", |bencher| {
        bencher.iter(|| {
            out.clear();
            black_box(&message).encode(&mut out)
        });
    });
    let mut encoded = EncodedPublish::default();
    encoded.push(&message).expect("a sample");
    group.bench_function("mqtt-codec, patched", |bencher| {
        bencher.iter(|| {
            out.clear();
            black_box(&encoded).write(0, false, black_box(publish.qos), false, &mut out);
        });
    });
}

criterion_group!(codec, decode, encode);
criterion_main!(codec);
