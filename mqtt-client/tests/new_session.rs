//! A session that the server begins anew, and a process that is killed before its outbox knows.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at what it did not expect"
)]

use std::time::Duration;

use bytes::BytesMut;
use mqtt_client::outbox::Stored;
use mqtt_client::session::{Credentials, Event, Session, SessionOptions, Wanted};
use mqtt_client::{ConnectionError, Instant, Properties, QoS, SubscriptionOptions, TopicFilter};
use mqtt_codec::{
    Ack, ConnAck, Cut, PACKET_BYTES_MAX, Packet, PacketId, PacketType, Publish, PublishQoS,
    ReasonCode, TopicName, Version, cut,
};

const NOW: Instant = Instant::from_millis(0);

/// A process that begins with what the outbox holds, up to the CONNACK.
fn connected(stored: &Stored, session_present: bool) -> Session {
    let mut options = SessionOptions::default();
    options.client_id = "press-17".to_owned();
    options.session_expiry = Some(Duration::from_secs(3600));
    let mut session = Session::new(options, 7, NOW);
    session.restore(stored.clone());
    let filter = TopicFilter::from_text("job/#").unwrap();
    let options = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        ..SubscriptionOptions::default()
    };
    session
        .subscribe(NOW, vec![(filter, options)], &Properties::default())
        .unwrap();
    session.handle_deadline(NOW);
    assert!(matches!(session.wanted(), Wanted::Open(_)));
    session.handle_opened(NOW, Credentials::default());
    assert_eq!(sent(&mut session), [PacketType::Connect]);
    let connack = ConnAck {
        session_present,
        reason: ReasonCode::Success,
        properties: Properties::default(),
    };
    receive(&mut session, &Packet::ConnAck(connack));
    session
}

fn receive(session: &mut Session, packet: &Packet) {
    let bytes = packet.to_vec(Version::V5).unwrap();
    session.handle_received(NOW, &mut BytesMut::from(&bytes[..]));
}

/// What the session has to send.
fn sent(session: &mut Session) -> Vec<PacketType> {
    let (mut out, mut types) = (Vec::new(), Vec::new());
    session.write(NOW, &mut out);
    let mut rest = &out[..];
    while let Cut::Whole(frame) = cut(rest, PACKET_BYTES_MAX).unwrap() {
        types.push(frame.packet_type().unwrap());
        rest = &rest[frame.bytes.len()..];
    }
    types
}

fn commit(session: &mut Session, stored: &mut Stored) {
    stored.apply(&session.take_changes());
    session.handle_committed(NOW, Ok(()));
}

/// The outbox still had the identifiers that the old session had received when the messages of the new one
/// came. After a kill, the next process took the server's second attempt to deliver one for a message that it
/// had received long ago, acknowledged it, and nobody ever saw it.
#[test]
fn no_message_of_a_new_session_is_taken_for_an_old_one() {
    let packet_id = PacketId::new(1).unwrap();
    let mut stored = Stored {
        client_id: Some("press-17".into()),
        ..Stored::default()
    };
    stored.received.insert(packet_id);

    // Without a SUBSCRIBE, a new session has no messages.
    let mut first = connected(&stored, false);
    assert_eq!(sent(&mut first), []);
    assert!(first.has_urgent_changes());
    commit(&mut first, &mut stored);
    assert_eq!(sent(&mut first), [PacketType::Subscribe]);
    drop(first);

    let mut second = connected(&stored, true);
    assert_eq!(messages_after(&mut second, packet_id), 1);
}

/// The same when the client got another identifier, and the server has a session of that.
#[test]
fn no_message_of_another_client_is_taken_for_one_of_ours() {
    let packet_id = PacketId::new(1).unwrap();
    let mut stored = Stored {
        client_id: Some("press-16".into()),
        ..Stored::default()
    };
    stored.received.insert(packet_id);
    let mut session = connected(&stored, true);
    assert_eq!(sent(&mut session), []);
    commit(&mut session, &mut stored);
    assert_eq!(stored.client_id.as_deref(), Some("press-17"));
    assert!(stored.received.is_empty());
    assert_eq!(sent(&mut session), [PacketType::Subscribe]);
    assert_eq!(messages_after(&mut session, packet_id), 1);
}

/// And what it is all for.
#[test]
fn a_message_received_by_the_process_before_is_not_received_again() {
    let packet_id = PacketId::new(1).unwrap();
    let mut stored = Stored {
        client_id: Some("press-17".into()),
        ..Stored::default()
    };
    stored.received.insert(packet_id);
    let mut session = connected(&stored, true);
    assert_eq!(sent(&mut session), [PacketType::Subscribe]);
    assert_eq!(messages_after(&mut session, packet_id), 0);
    commit(&mut session, &mut stored);
    assert_eq!(sent(&mut session), [PacketType::PubRec]);
}

/// How many messages there are when the server sends one for the second time.
fn messages_after(session: &mut Session, packet_id: PacketId) -> usize {
    receive(
        session,
        &Packet::Publish(Publish {
            dup: true,
            qos: PublishQoS::ExactlyOnce(packet_id),
            retain: false,
            topic: Some(TopicName::from_text("job/1").unwrap()),
            properties: Properties::default(),
            payload: "new".into(),
        }),
    );
    std::iter::from_fn(|| session.poll_event())
        .filter(|event| matches!(event, Event::Message { .. }))
        .count()
}

/// Messages of a session that an earlier process has made wait, un-acknowledged, for who subscribes; that they do is
/// told, since in the end no others come.
#[test]
fn messages_that_nobody_reads_wait_and_are_told_of() {
    let stored = Stored {
        client_id: Some("press-17".into()),
        ..Stored::default()
    };
    let mut session = connected(&stored, true);
    assert_eq!(sent(&mut session), [PacketType::Subscribe]);
    while session.poll_event().is_some() {}
    for number in [5, 6] {
        receive(
            &mut session,
            &Packet::Publish(Publish {
                dup: false,
                qos: PublishQoS::AtLeastOnce(PacketId::new(number).unwrap()),
                retain: false,
                topic: Some(TopicName::from_text("other").unwrap()),
                properties: Properties::default(),
                payload: "x".into(),
            }),
        );
    }
    assert_eq!(sent(&mut session), []);
    let told = std::iter::from_fn(|| session.poll_event());
    let topics: Vec<String> = told
        .map(|event| match event {
            Event::Unclaimed { topic } => topic.to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(topics, ["other"]);
    let filter = TopicFilter::from_text("other").unwrap();
    let filters = vec![(filter, SubscriptionOptions::of_qos(QoS::AtLeastOnce))];
    let reader = session
        .subscribe(NOW, filters, &Properties::default())
        .unwrap();
    assert_eq!(sent(&mut session), [PacketType::Subscribe]);
    for _ in 0..2 {
        let Some(Event::Message {
            delivery: Some(delivery),
            ..
        }) = session.poll_event()
        else {
            panic!("a message that was held");
        };
        session.acknowledge(NOW, reader, delivery);
        assert_eq!(sent(&mut session), [PacketType::PubAck]);
    }
}

/// The change behind a PUBREL was not committed when the connection was lost. On the next one, the PUBREL left at once:
/// after a kill, the outbox still had the message, and the next process sent it to a server that had let it go.
#[test]
fn a_pubrel_that_is_sent_again_waits_for_its_commit_too() {
    let mut stored = Stored {
        client_id: Some("press-17".into()),
        ..Stored::default()
    };
    let mut session = connected(&stored, true);
    commit(&mut session, &mut stored);
    assert_eq!(sent(&mut session), [PacketType::Subscribe]);
    let mut message = mqtt_client::Message::new("a", "x").unwrap();
    message.qos = QoS::ExactlyOnce;
    session.publish(NOW, message).unwrap();
    commit(&mut session, &mut stored);
    assert_eq!(sent(&mut session), [PacketType::Publish]);
    let pubrec = Ack::new(PacketId::new(1).unwrap(), ReasonCode::Success);
    let bytes = Packet::PubRec(pubrec).to_vec(Version::V5).unwrap();
    session.handle_received(NOW, &mut BytesMut::from(&bytes[..]));
    assert_eq!(sent(&mut session), []);

    session.handle_closed(NOW, ConnectionError::ClosedByServer);
    let later = session.deadline().unwrap();
    session.handle_deadline(later);
    session.handle_opened(later, Credentials::default());
    assert_eq!(sent(&mut session), [PacketType::Connect]);
    let connack = ConnAck {
        session_present: true,
        reason: ReasonCode::Success,
        properties: Properties::default(),
    };
    receive(&mut session, &Packet::ConnAck(connack));
    assert_eq!(sent(&mut session), []);
    commit(&mut session, &mut stored);
    let all = [PacketType::PubRel, PacketType::Subscribe];
    assert_eq!(sent(&mut session), all);
}
