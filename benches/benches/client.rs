//! What a message costs in a client's session, from the call to bytes and from bytes to the event, beside
//! the state machine of `rumqttc`. No IO, no tasks: 3.1.1, a topic of 30 bytes, a payload of 64.

#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a session that refuses a sample ends the bench; criterion's macros document nothing"
)]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mqtt_client::session::{Credentials, Event, Session, SessionOptions, Versions};
use mqtt_client::{Instant, Message, Properties, QoS, SubscriptionOptions, TopicFilter, Version};
use mqtt_codec::{ConnAck, Packet, PacketId, Publish, PublishQoS, ReasonCode, TopicName};
use rumqttc::mqttbytes::v4;
use rumqttc::{Incoming, MqttState, Request};

const TOPIC: &str = "factory/hall-7/press-12/torque";
const PAYLOAD: [u8; 64] = [b'x'; 64];
/// Messages that one iteration handles.
const BATCH: u16 = 100;
const NOW: Instant = Instant::from_millis(1_700_000_000_000);

/// A session that is connected, and subscribed to everything.
fn session() -> Session {
    let mut options = SessionOptions::default();
    options.client_id = "bench".to_owned();
    options.versions = Versions::Only(Version::V3_1_1);
    options.in_flight_max = Some(1000);
    let mut session = Session::new(options, 1, NOW);
    session.handle_deadline(NOW);
    session.handle_opened(NOW, Credentials::default());
    let connack = Packet::ConnAck(ConnAck {
        session_present: false,
        reason: ReasonCode::Success,
        properties: Properties::default(),
    });
    receive(&mut session, &bytes_of([connack]));
    let filter = TopicFilter::from_text("#").expect("a filter");
    let filters = vec![(filter, SubscriptionOptions::of_qos(QoS::AtLeastOnce))];
    session
        .subscribe(NOW, filters, &Properties::default())
        .expect("a subscription");
    let mut out = Vec::new();
    session.write(NOW, &mut out);
    // The SUBACK repeats the packet identifier, which is ahead of a filter of one letter.
    let at = out.len() - 6;
    let id = out.get(at..at + 2).expect("a SUBSCRIBE").to_owned();
    receive(&mut session, &[&[0x90, 3][..], &id, &[1]].concat());
    while session.poll_event().is_some() {}
    session
}

fn bytes_of(packets: impl IntoIterator<Item = Packet>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for packet in packets {
        packet
            .encode(Version::V3_1_1, &mut bytes)
            .expect("a packet");
    }
    bytes
}

fn receive(session: &mut Session, bytes: &[u8]) {
    session.handle_received(NOW, &mut BytesMut::from(bytes));
}

fn message(qos: QoS) -> Message {
    Message {
        qos,
        ..Message::new(TOPIC, Bytes::from_static(&PAYLOAD)).expect("a topic")
    }
}

fn ids() -> impl Iterator<Item = PacketId> {
    (1..=BATCH).filter_map(PacketId::new)
}

fn publishes(qos: impl Fn(PacketId) -> PublishQoS) -> Vec<u8> {
    bytes_of(ids().map(|id| {
        Packet::Publish(Publish {
            dup: false,
            qos: qos(id),
            retain: false,
            topic: Some(TopicName::from_text(TOPIC).expect("a topic")),
            properties: Properties::default(),
            payload: Bytes::from_static(&PAYLOAD),
        })
    }))
}

fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("client publish");
    group.throughput(Throughput::Elements(BATCH.into()));
    let mut out = Vec::new();
    let (mut ours, sample) = (session(), message(QoS::AtMostOnce));
    group.bench_function("qos 0", |bencher| {
        bencher.iter(|| {
            for _ in 0..BATCH {
                ours.publish(NOW, sample.clone()).expect("room");
            }
            out.clear();
            ours.write(NOW, &mut out);
            while let Some(event) = ours.poll_event() {
                black_box(event);
            }
        });
    });
    let (mut ours, sample) = (session(), message(QoS::AtLeastOnce));
    // The identifiers of a session rise; an answer names those that were sent.
    let mut next = 0;
    group.bench_function("qos 1, PUBACK included", |bencher| {
        bencher.iter(|| {
            for _ in 0..BATCH {
                ours.publish(NOW, sample.clone()).expect("room");
            }
            out.clear();
            ours.write(NOW, &mut out);
            let mut answers = BytesMut::with_capacity(usize::from(BATCH) * 4);
            for _ in 0..BATCH {
                let id = u16::try_from(1 + next % 65_535).unwrap_or(1).to_be_bytes();
                answers.extend_from_slice(&[0x40, 2]);
                answers.extend_from_slice(&id);
                next += 1;
            }
            ours.handle_received(NOW, &mut answers);
            while let Some(event) = ours.poll_event() {
                black_box(event);
            }
        });
    });
    group.bench_function("qos 1, PUBACK included, rumqttc", |bencher| {
        let mut state = MqttState::new(1000, false);
        let mut out = BytesMut::new();
        bencher.iter(|| {
            out.clear();
            for number in 1..=BATCH {
                let publish = v4::Publish::new(TOPIC, rumqttc::QoS::AtLeastOnce, &PAYLOAD[..]);
                let sent = state.handle_outgoing_packet(Request::Publish(publish));
                let packet = sent.expect("sent").expect("a packet");
                packet.write(&mut out, usize::MAX).expect("written");
                black_box(number);
            }
            let last = state.inflight();
            let first = first_id(&state, last);
            for step in 0..BATCH {
                let id = (first + step - 1) % 1000 + 1;
                let mut answer = BytesMut::from(&[0x40, 2, (id >> 8) as u8, id as u8][..]);
                let packet = v4::Packet::read(&mut answer, usize::MAX).expect("a packet");
                state.handle_incoming_packet(packet).expect("handled");
            }
            state.events.clear();
        });
    });
    group.finish();
}

/// The oldest identifier in flight: it stands behind the events of what was sent.
fn first_id(state: &MqttState, in_flight: u16) -> u16 {
    let ids = state.events.iter().filter_map(|event| match event {
        rumqttc::Event::Outgoing(rumqttc::Outgoing::Publish(id)) => Some(*id),
        rumqttc::Event::Outgoing(_) | rumqttc::Event::Incoming(_) => None,
    });
    ids.take(in_flight.into()).next().unwrap_or(1)
}

fn receive_messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("client receive");
    group.throughput(Throughput::Elements(BATCH.into()));
    let qos0 = publishes(|_| PublishQoS::AtMostOnce);
    let qos1 = publishes(PublishQoS::AtLeastOnce);
    let mut ours = session();
    group.bench_function("qos 0", |bencher| {
        bencher.iter(|| {
            receive(&mut ours, &qos0);
            while let Some(event) = ours.poll_event() {
                black_box(event);
            }
        });
    });
    let (mut ours, mut out) = (session(), Vec::new());
    group.bench_function("qos 1, PUBACK included", |bencher| {
        bencher.iter(|| {
            receive(&mut ours, &qos1);
            while let Some(event) = ours.poll_event() {
                if let Event::Message {
                    subscription,
                    delivery: Some(delivery),
                    message,
                } = event
                {
                    black_box(message);
                    ours.acknowledge(NOW, subscription, delivery);
                }
            }
            out.clear();
            ours.write(NOW, &mut out);
        });
    });
    for (name, bytes) in [
        ("qos 0, rumqttc", &qos0),
        ("qos 1, PUBACK included, rumqttc", &qos1),
    ] {
        group.bench_function(name, |bencher| {
            let mut state = MqttState::new(1000, false);
            let mut out = BytesMut::new();
            bencher.iter(|| {
                out.clear();
                let mut input = BytesMut::from(&bytes[..]);
                while !input.is_empty() {
                    let packet: Incoming =
                        v4::Packet::read(&mut input, usize::MAX).expect("a packet");
                    if let Some(answer) = state.handle_incoming_packet(packet).expect("handled") {
                        answer.write(&mut out, usize::MAX).expect("written");
                    }
                }
                black_box(&state.events);
                state.events.clear();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, publish, receive_messages);
criterion_main!(benches);
