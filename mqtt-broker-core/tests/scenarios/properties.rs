//! Properties of messages: forwarded as they came, but for those that are counted down or changed.

use std::time::Duration;

use mqtt_broker_core::Limits;

use crate::world::{World, post, v5, v311};
use crate::{Q0, Q1, Q2};

// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
#[test]
fn request_response_and_user_properties_arrive_as_they_were() {
    let post = || {
        post("requests", "?")
            .qos(Q1)
            .content("text/plain", true)
            .response("answers/b", b"\x00\xFF")
            .user("z", "1")
            .user("a", "2")
            .user("z", "1")
            .user("", "")
    };
    let seen = "text=true type=text/plain response=answers/b correlation=\\x00\\xff z=1 a=2 z=1 =";
    let mut world = World::new();
    world.connect("a", v5().stays()).subscribe("requests", Q1);
    world.connect("old", v311()).subscribe("requests", Q1);
    world.connect("b", v5()).publish(post());
    assert_eq!(
        world.received("a"),
        [format!("PUBLISH requests ? q1 id1 {seen}")]
    );
    assert_eq!(world.received("old"), ["PUBLISH requests ? q1 id1"]);
    // The same by way of the store.
    world.client("a").lose();
    world.publish("b", post());
    world.restart();
    world.connect("a", v5().stays());
    assert_eq!(
        world.received("a"),
        [format!("PUBLISH requests ? q1 id2 {seen}")]
    );
}

/// What is not known to be text or not is not said to be.
#[test]
fn what_was_not_said_is_not_said() {
    let mut world = World::new();
    world.connect("a", v5()).subscribe("t", Q1);
    let not_text = post("t", "x").content("x", false);
    world
        .connect("b", v5())
        .publish(post("t", "x"))
        .publish(not_text);
    assert_eq!(
        world.received("a"),
        ["PUBLISH t x q0", "PUBLISH t x q0 text=false type=x"]
    );
}

// [MQTT-3.3.2-5] [MQTT-3.3.2-6]
#[test]
fn the_message_expiry_interval_is_counted_down() {
    let mut world = World::new();
    world.connect("a", v5().stays()).subscribe("t", Q2);
    world.connect("b", v5());
    world.publish("b", post("t", "now").qos(Q1).expiry(100));
    assert_eq!(world.received("a"), ["PUBLISH t now q1 id1 expiry=100"]);
    world.client("a").lose();
    world.packets("a");
    world.publish("b", post("t", "short").qos(Q1).expiry(10));
    world.publish("b", post("t", "long").qos(Q2).expiry(100));
    world.publish("b", post("t", "longest").qos(Q1).expiry(u32::MAX));
    world.publish("b", post("t", "none").qos(Q1));
    world.advance(Duration::from_millis(29_500));
    world.restart();
    world.connect("b", v5());
    world.publish("b", post("t", "zero").qos(Q1).expiry(0));
    world.advance(Duration::from_millis(500));
    world.connect("a", v5().stays());
    assert_eq!(
        world.received("a"),
        [
            "PUBLISH t long q2 id3 expiry=70",
            "PUBLISH t longest q1 id4 expiry=4294967265",
            "PUBLISH t none q1 id5"
        ]
    );
    // What has expired is gone from the queue for good.
    world.client("a").lose();
    world.packets("a");
    world.connect("a", v5().stays());
    assert_eq!(world.packets("a"), ["CONNACK Success present"]);
}

/// Also where it waits in memory for its turn.
// [MQTT-3.3.2-5]
#[test]
fn a_message_expires_while_it_waits_for_its_turn() {
    for stays in [false, true] {
        let mut world = World::new();
        let hello = if stays { v5().stays() } else { v5() };
        world
            .connect("a", hello.receive_maximum(1))
            .subscribe("t", Q2)
            .keeps_acks();
        world.connect("b", v5());
        world.packets("a");
        world.publish("b", post("t", "1").qos(Q1));
        world.publish("b", post("t", "2").qos(Q1).expiry(5));
        world.publish("b", post("t", "3").qos(Q0).expiry(5));
        world.publish("b", post("t", "4").qos(Q2).expiry(50));
        world.publish("b", post("t", "5").qos(Q0).expiry(50));
        world.advance_secs(6);
        world.client("a").acknowledges();
        assert_eq!(
            world.received("a"),
            [
                "PUBLISH t 1 q1 id1",
                "PUBLISH t 4 q2 id3 expiry=44",
                "PUBLISH t 5 q0 expiry=44"
            ]
        );
    }
}

// [MQTT-4.3.3-7] [MQTT-4.3.3-13]
#[test]
fn what_was_sent_before_does_not_expire() {
    let mut world = World::new();
    world
        .connect("a", v5().stays())
        .subscribe("t", Q2)
        .keeps_acks();
    world
        .connect("b", v5())
        .publish(post("t", "1").qos(Q2).expiry(10));
    world.client("a").lose();
    world.packets("a");
    world.advance_secs(60);
    world.connect("a", v5().stays()).acknowledges();
    assert_eq!(
        world.packets("a"),
        [
            "CONNACK Success present",
            "PUBLISH t 1 q2 id1 dup expiry=0",
            "PUBREL id1"
        ]
    );
}

// [MQTT-3.3.2-12] [MQTT-3.3.2-7]
#[test]
fn a_client_s_aliases_stand_for_its_topics() {
    let mut world = World::with(Limits {
        topic_alias_maximum: 2,
        ..Limits::default()
    });
    world.connect("a", v5()).subscribe("#", Q1);
    world
        .connect("b", v5())
        .publish(post("t", "1").alias(1))
        .publish(post("u", "2").alias(2).qos(Q1))
        .publish(post("", "3").alias(1).qos(Q2))
        .publish(post("", "4").alias(2).retain().user("name", "value"))
        // Given to another topic.
        .publish(post("v", "5").alias(1))
        .publish(post("", "6").alias(1));
    assert_eq!(
        world.received("a"),
        [
            "PUBLISH t 1 q0",
            "PUBLISH u 2 q1 id1",
            "PUBLISH t 3 q1 id2",
            "PUBLISH u 4 q0 name=value",
            "PUBLISH v 5 q0",
            "PUBLISH v 6 q0"
        ]
    );
    // They end with the connection.
    world.packets("b");
    world.connect("b", v5()).publish(post("", "7").alias(1));
    assert_eq!(
        world.packets("b"),
        ["CONNACK Success", "DISCONNECT ProtocolError", "CLOSED"]
    );
}

// [MQTT-3.3.2-8] [MQTT-3.3.2-9]
#[test]
fn aliases_have_bounds() {
    for (maximum, alias) in [(2, 3), (2, 0), (0, 1), (2, 65_535_u16)] {
        let mut world = World::with(Limits {
            topic_alias_maximum: maximum,
            ..Limits::default()
        });
        let [high, low] = alias.to_be_bytes();
        world
            .connect("b", v5())
            .send_bytes(&[0x30, 7, 0, 1, b't', 3, 0x23, high, low]);
        assert_eq!(
            world.packets("b"),
            ["CONNACK Success", "DISCONNECT TopicAliasInvalid", "CLOSED"]
        );
    }
}

// [MQTT-3.1.2-26] [MQTT-3.1.2-27] [MQTT-3.3.2-11] [MQTT-3.3.2-7]
#[test]
fn the_broker_s_aliases_stand_for_topics() {
    let mut world = World::new();
    let hello = v5().stays().topic_alias_maximum(2);
    world.connect("a", hello.clone()).subscribe("#", Q1);
    world.connect("none", v5()).subscribe("#", Q0);
    world.connect("b", v5());
    world.packets("a");
    for topic in ["t", "u", "v", "t", "v"] {
        world.publish("b", post(topic, "x"));
    }
    world.publish("b", post("u", "x").qos(Q1));
    assert_eq!(
        world.received("a"),
        [
            "PUBLISH t x q0 alias=1",
            "PUBLISH u x q0 alias=2",
            "PUBLISH v x q0",
            "PUBLISH t x q0 alias=1",
            "PUBLISH v x q0",
            "PUBLISH u x q1 id1 alias=2"
        ]
    );
    assert!(
        world
            .received("none")
            .iter()
            .all(|line| !line.contains("alias"))
    );
    // On the next connection they begin again, also for what was under way.
    world.client("a").keeps_acks();
    world.publish("b", post("u", "y").qos(Q1));
    world.client("a").lose();
    world.packets("a");
    world.connect("a", hello);
    assert_eq!(world.received("a"), ["PUBLISH u y q1 id2 dup alias=1"]);
}

/// An alias takes three bytes: more than the shortest topics.
// [MQTT-3.1.2-24]
#[test]
fn an_alias_is_not_used_where_it_makes_the_packet_too_large() {
    let mut world = World::new();
    world
        .connect("a", v5().topic_alias_maximum(5).packet_bytes_max(30))
        .subscribe("#", Q0);
    world
        .connect("b", v5())
        .publish(post("t", "sets the alias"))
        .publish(post("t", vec![b'x'; 24]))
        .publish(post("u", vec![b'x'; 24]))
        .publish(post("t", vec![b'x'; 22]));
    assert_eq!(
        world.received("a"),
        [
            "PUBLISH t sets the alias q0 alias=1",
            "PUBLISH t xxxxxxxxxxxxxxxxxxxxxxxx q0",
            "PUBLISH u xxxxxxxxxxxxxxxxxxxxxxxx q0",
            "PUBLISH t xxxxxxxxxxxxxxxxxxxxxx q0 alias=1"
        ]
    );
}

/// A message that is too large with its topic takes no alias with it.
#[test]
fn an_alias_is_set_by_what_was_sent() {
    let mut world = World::new();
    world
        .connect("a", v5().topic_alias_maximum(5).packet_bytes_max(40))
        .subscribe("#", Q1);
    world
        .connect("b", v5())
        .publish(post("topic", vec![b'x'; 40]).qos(Q1))
        .publish(post("topic", "small").qos(Q1));
    assert_eq!(world.received("a"), ["PUBLISH topic small q1 id1 alias=1"]);
}
