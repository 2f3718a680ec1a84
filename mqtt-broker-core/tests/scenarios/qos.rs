//! The delivery protocols of QoS 1 and QoS 2, in both directions.

use mqtt_broker_core::Limits;
use mqtt_broker_core::authority::{Decision, Grant, Permissions};
use mqtt_codec::{
    Ack, Packet, PacketId, Properties, Property, ReasonCode, TopicFilter, TopicName, UserProperty,
    Version,
};

use crate::world::{World, hello, post, text, v5, v311};
use crate::{Q0, Q1, Q2};

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

// [MQTT-2.2.1-5] [MQTT-2.3.1-4] of 3.1.1, [MQTT-2.3.1-6] of 3.1.1, [MQTT-4.3.2-4] [MQTT-4.3.3-4]
// [MQTT-4.3.3-8] [MQTT-4.3.3-11]
#[test]
fn a_qos_2_message_takes_four_packets_each_way() {
    for version in Version::ALL {
        let mut world = World::new();
        world.connect("a", hello(version)).subscribe("t", Q2);
        world.connect("b", hello(version));
        world.packets("a");
        world.packets("b");
        world.client("a").keeps_acks();
        world.client("b").keeps_acks();
        world.publish("b", post("t", "hi").qos(Q2));
        assert_eq!(world.packets("b"), ["PUBREC id1"]);
        assert_eq!(world.packets("a"), ["PUBLISH t hi q2 id1"]);
        world.client("b").acknowledge(1);
        assert_eq!(world.packets("b"), ["PUBCOMP id1"]);
        world.client("a").acknowledge(1);
        assert_eq!(world.packets("a"), ["PUBREL id1"]);
        world.client("a").acknowledge(1);
        assert_eq!(world.packets("a"), [""; 0]);
    }
}

/// The identifiers of what comes in and of what goes out are different spaces.
#[test]
fn identifiers_of_both_directions_do_not_meet() {
    let mut world = World::new();
    world.connect("a", v5()).subscribe("t", Q2).keeps_acks();
    world.connect("b", v5()).publish(post("t", "out").qos(Q2));
    world.client("a").publish(post("u", "in").qos(Q2).id(1));
    assert_eq!(
        world.packets("a"),
        [
            "CONNACK Success",
            "SUBACK id1 GrantedQoS2",
            "PUBLISH t out q2 id1",
            "PUBREC id1 NoMatchingSubscribers"
        ]
    );
    // PUBREC of what came, then PUBREL of what went.
    world.client("a").acknowledge(1);
    assert_eq!(world.packets("a"), ["PUBREL id1"]);
    world.client("a").acknowledge(1);
    assert_eq!(world.packets("a"), ["PUBCOMP id1"]);
    world.client("a").acknowledge(1);
    world.publish("b", post("t", "next").qos(Q2));
    assert_eq!(world.packets("a"), ["PUBLISH t next q2 id2"]);
}

// [MQTT-4.3.3-10] [MQTT-4.3.3-12]
#[test]
fn a_qos_2_message_sent_twice_is_delivered_once() {
    let mut world = World::new();
    world.connect("a", v5()).subscribe("t", Q2);
    world.connect("b", v5());
    world.client("b").keeps_acks();
    world.packets("b");
    world
        .client("b")
        .publish(post("t", "hi").qos(Q2).id(5))
        .publish(post("t", "hi").qos(Q2).id(5).dup());
    assert_eq!(world.packets("b"), ["PUBREC id5", "PUBREC id5"]);
    assert_eq!(world.received("a"), ["PUBLISH t hi q2 id1"]);
    world.client("b").acknowledge(1);
    assert_eq!(world.packets("b"), ["PUBCOMP id5"]);
    world.client("b").publish(post("t", "new").qos(Q2).id(5));
    assert_eq!(world.received("a"), ["PUBLISH t new q2 id2"]);
}

// [MQTT-4.3.3-10] [MQTT-4.4.0-1]
#[test]
fn a_qos_2_message_sent_again_on_the_next_connection_is_delivered_once() {
    for crash in [false, true] {
        let mut world = World::new();
        world
            .connect("a", v5().stays())
            .subscribe("t", Q2)
            .subscribe("u", Q2);
        world.connect("b", v311().stays()).stops_reading();
        world.publish("b", post("t", "hi").qos(Q2));
        world.packets("b");
        if crash {
            world.crash_and_restart();
            world.connect("a", v5().stays());
        }
        // Sends PUBLISH again, with DUP; then PUBREL.
        world.connect("b", v311().stays());
        let received = world.received("a");
        assert_eq!(received, ["PUBLISH t hi q2 id1"], "crash: {crash}");
        assert_eq!(
            world.packets("b"),
            ["CONNACK Success present", "PUBREC id1", "PUBCOMP id1"]
        );
        world.publish("b", post("u", "next").qos(Q2).id(1));
        let next = if crash { 1 } else { 2 };
        assert_eq!(
            world.received("a"),
            [format!("PUBLISH u next q2 id{next}").as_str()]
        );
    }
}

// [MQTT-4.3.2-5]
#[test]
fn a_qos_1_message_sent_twice_is_two_messages() {
    let mut world = World::new();
    world.connect("a", v5()).subscribe("t", Q1);
    world
        .connect("b", v5())
        .publish(post("t", "hi").qos(Q1).id(5))
        .publish(post("t", "hi").qos(Q1).id(5).dup());
    assert_eq!(
        world.received("a"),
        ["PUBLISH t hi q1 id1", "PUBLISH t hi q1 id2"]
    );
}

// [MQTT-4.4.0-2] [MQTT-4.3.3-4]
#[test]
fn a_refused_qos_2_message_is_done_with() {
    let mut world = World::new();
    world
        .connect("a", v5().stays().receive_maximum(1))
        .subscribe("t", Q2)
        .keeps_acks();
    world
        .connect("b", v5())
        .publish(post("t", "1").qos(Q2))
        .publish(post("t", "2").qos(Q2));
    assert_eq!(world.received("a"), ["PUBLISH t 1 q2 id1"]);
    // No PUBREL comes, and the next message may be sent.
    world.client("a").refuse(1, ReasonCode::QuotaExceeded);
    assert_eq!(world.packets("a"), ["PUBLISH t 2 q2 id2"]);
    world.connect("a", v5().stays());
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success present", "PUBLISH t 2 q2 id2 dup"]
    );
}

// [MQTT-4.4.0-2]
#[test]
fn a_refused_qos_1_message_is_done_with() {
    let mut world = World::new();
    world
        .connect("a", v5().stays())
        .subscribe("t", Q1)
        .keeps_acks();
    world.connect("b", v5()).publish(post("t", "1").qos(Q1));
    let refusal = Ack::new(id(1), ReasonCode::NotAuthorized);
    world.client("a").send(&Packet::PubAck(refusal)).lose();
    world.packets("a");
    world.connect("a", v5().stays());
    assert_eq!(world.packets("a"), ["CONNACK Success present"]);
}

/// Many implementations take acknowledgements with properties for unknown packets.
#[test]
fn acknowledgements_may_have_properties() {
    let mut world = World::new();
    let reason = text("as you wish");
    let name = text("name");
    let properties = Properties::new([
        Property::ReasonString(reason.as_view()),
        Property::UserProperty(UserProperty {
            name: name.as_view(),
            value: name.as_view(),
        }),
    ])
    .unwrap();
    let ack = |number| Ack {
        packet_id: id(number),
        reason: ReasonCode::Success,
        properties: properties.clone(),
    };
    world
        .connect("a", v5().receive_maximum(1))
        .subscribe("t", Q2)
        .keeps_acks();
    world
        .connect("b", v5())
        .keeps_acks()
        .publish(post("t", "1").qos(Q2))
        .send(&Packet::PubRel(ack(1)))
        .publish(post("t", "2").qos(Q1).id(2));
    assert_eq!(
        world.packets("b"),
        ["CONNACK Success", "PUBREC id1", "PUBCOMP id1", "PUBACK id2"]
    );
    world
        .client("a")
        .send(&Packet::PubRec(ack(1)))
        .send(&Packet::PubComp(ack(1)));
    // What the client has kept is not what was sent.
    world.clients[0].kept.clear();
    world.client("a").acknowledges();
    assert_eq!(
        world.packets("a"),
        [
            "CONNACK Success",
            "SUBACK id1 GrantedQoS2",
            "PUBLISH t 1 q2 id1",
            "PUBREL id1",
            "PUBLISH t 2 q1 id2"
        ]
    );
}

/// PUBREC may come twice, as when the client has not seen the PUBREL.
// [MQTT-4.3.3-4]
#[test]
fn each_pubrec_is_answered() {
    let mut world = World::new();
    world.connect("a", v5()).subscribe("t", Q2).keeps_acks();
    world.connect("b", v5()).publish(post("t", "1").qos(Q2));
    world.packets("a");
    let pubrec = Packet::PubRec(Ack::new(id(1), ReasonCode::Success));
    world.client("a").send(&pubrec).send(&pubrec);
    assert_eq!(world.packets("a"), ["PUBREL id1", "PUBREL id1"]);
}

/// An acknowledgement of the wrong kind completes nothing.
#[test]
fn a_puback_does_not_acknowledge_qos_2() {
    let mut world = World::new();
    world
        .connect("a", v5().stays())
        .subscribe("t", Q2)
        .keeps_acks();
    world
        .connect("b", v5())
        .publish(post("t", "1").qos(Q1))
        .publish(post("t", "2").qos(Q2));
    world.packets("a");
    world
        .client("a")
        .send(&Packet::PubAck(Ack::new(id(2), ReasonCode::Success)))
        .send(&Packet::PubComp(Ack::new(id(2), ReasonCode::Success)))
        .send(&Packet::PubComp(Ack::new(id(1), ReasonCode::Success)));
    world.connect("a", v5().stays());
    assert_eq!(
        world.packets("a"),
        [
            "CONNACK Success present",
            "PUBLISH t 1 q1 id1 dup",
            "PUBLISH t 2 q2 id2 dup"
        ]
    );
}

struct OnlyU;

impl Permissions for OnlyU {
    fn may_publish(&self, topic: TopicName<&[u8]>) -> bool {
        topic.as_bytes() == b"u"
    }

    fn may_subscribe(&self, filter: TopicFilter<&[u8]>) -> bool {
        filter.as_bytes() == b"u"
    }
}

// [MQTT-4.3.3-9] [MQTT-3.3.5-2] of 3.1.1
#[test]
fn what_the_authority_refuses_is_not_delivered() {
    let mut world = World::new();
    world.connect("a", v5()).subscribe("#", Q2);
    world.authority(|_| {
        let permissions = std::sync::Arc::new(OnlyU);
        Some(Decision::Accept(Grant {
            permissions,
            ..Grant::all()
        }))
    });
    world
        .connect("b", v5())
        .publish(post("t", "0"))
        .publish(post("t", "1").qos(Q1).id(9))
        .publish(post("t", "2").qos(Q2).id(9))
        .publish(post("u", "2").qos(Q2).id(9))
        .subscribe("t", Q0)
        .subscribe("u", Q0);
    assert_eq!(
        world.packets("b"),
        [
            "CONNACK Success",
            "PUBACK id9 NotAuthorized",
            "PUBREC id9 NotAuthorized",
            "PUBREC id9",
            "PUBCOMP id9",
            "SUBACK id1 NotAuthorized",
            "SUBACK id2 Success"
        ]
    );
    world
        .connect("c", v311())
        .publish(post("t", "2").qos(Q2))
        .subscribe("t", Q0);
    assert_eq!(
        world.packets("c"),
        [
            "CONNACK Success",
            "PUBREC id1",
            "PUBCOMP id1",
            "SUBACK id2 UnspecifiedError"
        ]
    );
    assert_eq!(world.received("a"), ["PUBLISH u 2 q2 id1"]);
}

/// Before 5.0 a PUBREC cannot say that some queue was full. So the message counts as taken, and
/// sent again it must not reach those twice who have room.
// [MQTT-4.3.3-10]
#[test]
fn an_overflow_that_cannot_be_said_does_not_double_messages() {
    let mut world = World::with(Limits {
        queue_messages_max: 1,
        ..Limits::default()
    });
    world
        .connect("full", v5().stays())
        .subscribe("t", Q2)
        .lose();
    world.connect("free", v5()).subscribe("t", Q2);
    world.connect("b", v5()).publish(post("t", "fills").qos(Q2));
    world
        .connect("old", v311())
        .keeps_acks()
        .publish(post("t", "hi").qos(Q2).id(1))
        .publish(post("t", "hi").qos(Q2).id(1).dup());
    assert_eq!(
        world.received("free"),
        ["PUBLISH t fills q2 id1", "PUBLISH t hi q2 id2"]
    );
}

/// Each delivery has an identifier of its own for as long as it is under way, also after 65,535.
// [MQTT-2.2.1-4] [MQTT-4.3.2-1] [MQTT-4.3.3-1]
#[test]
fn packet_identifiers_come_round_again() {
    let mut world = World::new();
    world.connect("a", v5()).subscribe("t", Q2);
    world.connect("b", v5());
    // One delivery that stays under way all the time, until its identifier would come again.
    world.client("a").keeps_acks();
    world.publish("b", post("t", "stuck").qos(Q1));
    let stuck = world.clients[0].kept.pop_front().unwrap();
    world.client("a").acknowledges();
    world.packets("a");
    for number in 1..=200_000_u32 {
        let qos = if number % 3 == 0 { Q2 } else { Q1 };
        world.clients[1].publish(post("t", number.to_string()).qos(qos));
        if number % 100 == 0 {
            world.run();
            if number == 100_000 {
                // The window spans all identifiers: more waits for the one that is stuck.
                assert_eq!(world.clients[0].deliveries.len(), 65_535);
                world.clients[0].kept.push_back(stuck.clone());
                world.client("a").acknowledge(1);
            }
            world.clients[0].log.clear();
            world.clients[1].log.clear();
        }
    }
    let deliveries = std::mem::take(&mut world.clients[0].deliveries);
    assert_eq!(deliveries.len(), 200_001);
    for (number, delivery) in deliveries.iter().enumerate().skip(1) {
        assert_eq!(delivery.payload, number.to_string().as_bytes());
        assert_eq!(usize::from(delivery.id.unwrap()), 1 + number % 65_535);
    }
}

// [MQTT-3.3.1-2]
#[test]
fn qos_0_is_never_sent_again() {
    let mut world = World::new();
    world
        .connect("a", v5().stays())
        .subscribe("t", Q0)
        .stops_reading();
    world.connect("b", v5()).publish(post("t", "lost"));
    world.client("a").lose();
    world.publish("b", post("t", "missed").qos(Q2));
    world.packets("a");
    world.connect("a", v5().stays());
    assert_eq!(world.packets("a"), ["CONNACK Success present"]);
}
