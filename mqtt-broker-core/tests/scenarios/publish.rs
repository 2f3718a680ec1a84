//! PUBLISH: who gets a message, and as what.

use mqtt_codec::{Packet, QoS};
use mqtt_codec::{
    PacketId, Properties, Property, Publish, PublishQoS, ReasonCode, SubscriptionOptions,
    TopicName, Version,
};

use crate::world::{World, hello, post, v5, v31, v311};
use crate::{Q0, Q1, Q2};

// [MQTT-3.8.4-8] [MQTT-4.3.1-1] [MQTT-4.3.2-2] [MQTT-4.3.3-2] [MQTT-2.2.1-2]
#[test]
fn the_lower_qos_of_message_and_subscription_counts() {
    for version in Version::ALL {
        for granted in [Q0, Q1, Q2] {
            for published in [Q0, Q1, Q2] {
                let mut world = World::new();
                world.connect("a", hello(version)).subscribe("t", granted);
                world.connect("b", v5());
                world.publish("b", post("t", "hi").qos(published));
                let expected = match granted.min(published) {
                    QoS::AtMostOnce => "PUBLISH t hi q0",
                    QoS::AtLeastOnce => "PUBLISH t hi q1 id1",
                    QoS::ExactlyOnce => "PUBLISH t hi q2 id1",
                };
                assert_eq!(world.received("a"), [expected]);
            }
        }
    }
}

// [MQTT-3.3.4-1]
#[test]
fn each_qos_has_its_answer() {
    let mut world = World::new();
    world.connect("a", v5()).subscribe("t", Q2);
    world
        .connect("b", v5())
        .publish(post("t", "0"))
        .publish(post("t", "1").qos(Q1))
        .publish(post("t", "2").qos(Q2))
        .publish(post("u", "1").qos(Q1))
        .publish(post("u", "2").qos(Q2));
    assert_eq!(
        world.packets("b"),
        [
            "CONNACK Success",
            "PUBACK id1",
            "PUBREC id2",
            "PUBCOMP id2",
            "PUBACK id3 NoMatchingSubscribers",
            "PUBREC id4 NoMatchingSubscribers",
            "PUBCOMP id4"
        ]
    );
}

/// Reason codes are for 5.0; before, there is one answer.
// [MQTT-3.4.2-1] [MQTT-3.5.2-1]
#[test]
fn before_5_0_answers_have_no_reasons() {
    let mut world = World::new();
    world
        .connect("b", v311())
        .publish(post("u", "1").qos(Q1))
        .publish(post("u", "2").qos(Q2));
    assert_eq!(
        world.packets("b"),
        ["CONNACK Success", "PUBACK id1", "PUBREC id2", "PUBCOMP id2"]
    );
}

// [MQTT-3.3.1-3]
#[test]
fn the_publisher_s_dup_goes_no_further() {
    let mut world = World::new();
    world.connect("a", v5()).subscribe("t", Q2);
    world
        .connect("b", v5())
        .publish(post("t", "1").qos(Q1).dup())
        .publish(post("t", "2").qos(Q2).dup());
    assert_eq!(
        world.received("a"),
        ["PUBLISH t 1 q1 id1", "PUBLISH t 2 q2 id2"]
    );
}

// [MQTT-3.3.1-12]
#[test]
fn a_live_message_is_no_retained_one() {
    for version in Version::ALL {
        let mut world = World::new();
        world.connect("a", hello(version)).subscribe("t", Q1);
        world.connect("b", v5());
        world.publish("b", post("t", "hi").retain());
        assert_eq!(world.received("a"), ["PUBLISH t hi q0"]);
    }
}

// [MQTT-3.3.1-13]
#[test]
fn retain_as_published() {
    let mut world = World::new();
    let options = SubscriptionOptions {
        retain_as_published: true,
        ..SubscriptionOptions::of_qos(Q1)
    };
    world
        .connect("a", v5())
        .subscribe_all(&[("t", options)], None);
    world
        .connect("b", v5())
        .publish(post("t", "kept").retain())
        .publish(post("t", "live"));
    assert_eq!(
        world.received("a"),
        ["PUBLISH t kept q0 retain", "PUBLISH t live q0"]
    );
}

/// Bridges of Mosquitto set a bit of the protocol level for it: without, a message that one brings
/// would come back as another one, and none would be retained on its other side.
#[test]
fn bridges_have_no_echo_and_are_told_of_retain() {
    for hello in [v31(), v311()] {
        let mut world = World::new();
        world
            .connect("a", hello.bridge())
            .subscribe("#", Q1)
            .publish(post("t", "own").qos(Q1));
        world
            .connect("b", v5())
            .publish(post("t", "kept").retain())
            .publish(post("t", "live"));
        assert_eq!(
            world.received("a"),
            ["PUBLISH t kept q0 retain", "PUBLISH t live q0"]
        );
        // No option of this kind for shared subscriptions.
        world
            .client("a")
            .unsubscribe("#")
            .subscribe("$share/g/#", Q1)
            .publish(post("t", "own"));
        assert_eq!(world.received("a"), ["PUBLISH t own q0"]);
    }
}

// [MQTT-3.8.3-3]
#[test]
fn no_local() {
    let mut world = World::new();
    let options = SubscriptionOptions {
        no_local: true,
        ..SubscriptionOptions::of_qos(Q1)
    };
    world
        .connect("a", v5())
        .subscribe_all(&[("t", options)], None)
        .publish(post("t", "own").qos(Q1));
    world.connect("b", v5()).publish(post("t", "other").qos(Q1));
    assert_eq!(
        world.packets("a"),
        [
            "CONNACK Success",
            "SUBACK id1 GrantedQoS1",
            "PUBACK id2 NoMatchingSubscribers",
            "PUBLISH t other q1 id1"
        ]
    );
    // Another subscription that matches does want it.
    world
        .client("a")
        .subscribe("+", Q0)
        .publish(post("t", "own").qos(Q1));
    assert_eq!(world.received("a"), ["PUBLISH t own q0"]);
}

// [MQTT-3.3.4-6]
#[test]
fn a_client_must_not_send_subscription_identifiers() {
    let mut world = World::new();
    let packet = Packet::Publish(Publish {
        dup: false,
        qos: PublishQoS::AtLeastOnce(PacketId::new(1).unwrap()),
        retain: false,
        topic: Some(TopicName::from_text("t").unwrap()),
        properties: Properties::new([Property::SubscriptionIdentifier(1)]).unwrap(),
        payload: "hi".into(),
    });
    world.connect("a", v5()).send(&packet);
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success", "DISCONNECT ProtocolError", "CLOSED"]
    );
}

// [MQTT-3.3.2-2] [MQTT-3.3.1-4] [MQTT-3.3.1-2] [MQTT-4.13.1-1] [MQTT-4.8.0-1] of 3.1.1
#[test]
fn a_malformed_publish_ends_the_connection() {
    let wildcard: &[u8] = &[0x30, 4, 0, 1, b'#', 0];
    let qos_three: &[u8] = &[0x36, 6, 0, 1, b't', 0, 1, 0];
    let dup_at_qos_0: &[u8] = &[0x38, 4, 0, 1, b't', 0];
    for bytes in [wildcard, qos_three, dup_at_qos_0] {
        let mut world = World::new();
        world.connect("a", v5()).send_bytes(bytes);
        world.connect("b", v311()).send_bytes(bytes);
        assert_eq!(
            world.packets("a"),
            ["CONNACK Success", "DISCONNECT MalformedPacket", "CLOSED"]
        );
        assert_eq!(world.packets("b"), ["CONNACK Success", "CLOSED"]);
    }
}

/// What comes behind a violation is not handled.
#[test]
fn nothing_is_handled_behind_a_violation() {
    let mut world = World::new();
    world.connect("a", v5()).subscribe("t", Q0);
    world.connect("b", v5());
    world.clients[1]
        .sending
        .extend([0x36, 6, 0, 1, b't', 0, 1, 0]);
    world.clients[1].publish(post("t", "late"));
    world.run();
    assert_eq!(world.received("a"), [""; 0]);
}

// [MQTT-4.13.1-1]
#[test]
fn packets_of_servers_are_not_for_clients_to_send() {
    for bytes in [&[0xD0, 0][..], &[0x20, 3, 0, 0, 0], &[0x90, 4, 0, 1, 0, 0]] {
        let mut world = World::new();
        world.connect("a", v5()).send_bytes(bytes);
        assert_eq!(
            world.packets("a"),
            ["CONNACK Success", "DISCONNECT ProtocolError", "CLOSED"]
        );
    }
}

#[test]
fn a_message_may_be_empty_or_large() {
    let mut world = World::new();
    world.connect("a", v311()).subscribe("t", Q1);
    world
        .connect("b", v5())
        .publish(post("t", "").qos(Q1))
        .publish(post("t", vec![b'x'; 300_000]).qos(Q1));
    assert_eq!(
        world.received("a"),
        [
            "PUBLISH t (empty) q1 id1",
            "PUBLISH t (300000 bytes) q1 id2"
        ]
    );
}

/// One message, and receivers of every kind.
#[test]
fn one_message_for_all_versions_and_qualities() {
    let mut world = World::new();
    let versions = [Version::V3_1, Version::V3_1_1, Version::V5];
    for (at, version) in versions.into_iter().enumerate() {
        for qos in [Q0, Q1, Q2] {
            let name = format!("{at}{}", qos as u8);
            world.connect(&name, hello(version)).subscribe("t", qos);
            world
                .connect(&format!("{name} stays"), hello(version).stays())
                .subscribe("t", qos);
        }
    }
    world
        .connect("b", v5())
        .publish(post("t", "hi").qos(Q2).user("name", "value"));
    for (at, version) in versions.into_iter().enumerate() {
        for (qos, line) in [
            (0, "PUBLISH t hi q0"),
            (1, "PUBLISH t hi q1 id1"),
            (2, "PUBLISH t hi q2 id1"),
        ] {
            let user = if version == Version::V5 {
                " name=value"
            } else {
                ""
            };
            let line = format!("{line}{user}");
            assert_eq!(world.received(&format!("{at}{qos}")), [line.as_str()]);
            assert_eq!(world.received(&format!("{at}{qos} stays")), [line.as_str()]);
        }
    }
}

#[test]
fn a_topic_that_is_too_deep_is_refused() {
    let mut world = World::new();
    let deep = vec!["x"; 129].join("/");
    world.connect("a", v5()).publish(post(&deep, "hi"));
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success", "DISCONNECT TopicNameInvalid", "CLOSED"]
    );
    world.connect("a", v5().will(post(&deep, "hi")));
    assert_eq!(world.packets("a"), ["CONNACK TopicNameInvalid", "CLOSED"]);
    // Before 5.0, no return code says so. [MQTT-3.2.2-6] of 3.1.1
    world.connect("a", v311().will(post(&deep, "hi")));
    assert_eq!(world.packets("a"), ["CLOSED"]);
    world
        .connect("a", v5())
        .subscribe(&deep, Q0)
        .subscribe(&vec!["x"; 128].join("/"), Q0);
    assert_eq!(
        world.packets("a"),
        [
            "CONNACK Success",
            "SUBACK id1 TopicFilterInvalid",
            "SUBACK id2 Success"
        ]
    );
}

/// An acknowledgement that fits nothing is no reason to hang up.
#[test]
fn stray_acknowledgements_are_taken_calmly() {
    use mqtt_codec::Ack;
    let mut world = World::new();
    let id = PacketId::new(7).unwrap();
    let ack = Ack::new(id, ReasonCode::Success);
    world
        .connect("a", v5())
        .send(&Packet::PubAck(ack.clone()))
        .send(&Packet::PubComp(ack.clone()))
        .send(&Packet::PubRec(ack.clone()))
        .send(&Packet::PubRel(ack));
    assert_eq!(
        world.packets("a"),
        [
            "CONNACK Success",
            "PUBREL id7 PacketIdentifierNotFound",
            "PUBCOMP id7 PacketIdentifierNotFound"
        ]
    );
}
