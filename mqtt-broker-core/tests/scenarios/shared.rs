//! Shared subscriptions: one member of a group gets each message.

use mqtt_codec::{ReasonCode, SubscriptionOptions};

use crate::world::{World, post, v5, v311};
use crate::{Q0, Q1, Q2};

/// How many messages each client has got.
fn counts(world: &mut World, names: &[&str]) -> Vec<usize> {
    names
        .iter()
        .map(|name| world.received(name).len())
        .collect()
}

#[test]
fn each_message_reaches_one_member_and_all_have_their_turn() {
    let mut world = World::new();
    let names = ["a", "b", "c"];
    for name in names {
        world.connect(name, v5()).subscribe("$share/g/t/+", Q1);
    }
    world.connect("all", v5()).subscribe("t/+", Q1);
    world.connect("other", v5()).subscribe("$share/h/t/+", Q1);
    world.connect("p", v5());
    for number in 0..30 {
        world.publish("p", post(&format!("t/{}", number % 4), "x").qos(Q1));
    }
    assert_eq!(counts(&mut world, &names), [10, 10, 10]);
    assert_eq!(counts(&mut world, &["all", "other"]), [30, 30]);
}

/// A session that has both kinds gets a message for each.
#[test]
fn a_shared_subscription_comes_on_top_of_others() {
    let mut world = World::new();
    world
        .connect("a", v5())
        .subscribe_all(&[("$share/g/t", SubscriptionOptions::of_qos(Q1))], Some(1))
        .subscribe_all(&[("t", SubscriptionOptions::of_qos(Q0))], Some(2));
    world.connect("p", v5()).publish(post("t", "x").qos(Q1));
    let mut received = world.received("a");
    received.sort();
    assert_eq!(
        received,
        ["PUBLISH t x q0 sub=2", "PUBLISH t x q1 id1 sub=1"]
    );
}

// [MQTT-4.8.2-3]
#[test]
fn each_member_has_its_own_qos() {
    let mut world = World::new();
    world.connect("a", v5()).subscribe("$share/g/t", Q0);
    world.connect("b", v311()).subscribe("$share/g/t", Q2);
    world
        .connect("p", v5())
        .publish(post("t", "1").qos(Q2))
        .publish(post("t", "2").qos(Q2));
    assert_eq!(world.received("a"), ["PUBLISH t 1 q0"]);
    assert_eq!(world.received("b"), ["PUBLISH t 2 q2 id1"]);
}

#[test]
fn members_that_are_away_get_nothing_while_others_are_there() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        world
            .connect(name, v5().stays())
            .subscribe("$share/g/t", Q1);
    }
    world.connect("p", v5());
    world.client("a").lose();
    world.client("b").lose();
    for number in 0..5 {
        world.publish("p", post("t", number.to_string()).qos(Q1));
    }
    assert_eq!(counts(&mut world, &["c"]), [5]);
    // With nobody there, those who come back have it.
    world.client("c").lose();
    for number in 0..6 {
        world.publish("p", post("t", number.to_string()).qos(Q1));
    }
    world.publish("p", post("t", "nobody's"));
    for name in ["a", "b", "c"] {
        world.connect(name, v5().stays());
    }
    assert_eq!(counts(&mut world, &["a", "b", "c"]), [2, 2, 2]);
}

/// Among members that are away, one whose QoS is 0 cannot keep the message for later.
#[test]
fn a_message_is_kept_by_a_member_who_can_keep_it() {
    let mut world = World::new();
    world.connect("a", v5().stays()).subscribe("$share/g/t", Q0);
    world.connect("b", v5().stays()).subscribe("$share/g/t", Q1);
    world.connect("p", v5());
    world.client("a").lose();
    world.client("b").lose();
    for number in 0..4 {
        world.publish("p", post("t", number.to_string()).qos(Q1));
    }
    world.connect("b", v5().stays());
    assert_eq!(counts(&mut world, &["b"]), [4]);
}

#[test]
fn a_member_that_can_take_no_more_is_passed_over() {
    let mut world = World::new();
    world
        .connect("slow", v5().receive_maximum(1))
        .subscribe("$share/g/t", Q1)
        .keeps_acks();
    world.connect("fast", v5()).subscribe("$share/g/t", Q1);
    world.connect("p", v5());
    for number in 0..10 {
        world.publish("p", post("t", number.to_string()).qos(Q1));
    }
    assert_eq!(counts(&mut world, &["slow", "fast"]), [1, 9]);
}

// [MQTT-4.8.2-4] [MQTT-4.8.2-5]
#[test]
fn what_a_member_has_begun_to_take_is_its_own() {
    let mut world = World::new();
    world
        .connect("a", v5().stays())
        .subscribe("$share/g/t", Q2)
        .keeps_acks();
    world.connect("p", v5()).publish(post("t", "1").qos(Q2));
    world.connect("b", v5().stays()).subscribe("$share/g/t", Q2);
    world.client("a").lose();
    assert_eq!(world.received("b"), [""; 0]);
    world.packets("a");
    world.connect("a", v5().stays());
    assert_eq!(world.received("a"), ["PUBLISH t 1 q2 id1 dup"]);
    world.connect("a", v5()).lose();
    assert_eq!(world.received("b"), [""; 0]);
}

// [MQTT-4.8.2-6]
#[test]
fn what_a_member_refuses_goes_to_nobody() {
    let mut world = World::new();
    world
        .connect("a", v5())
        .subscribe("$share/g/t", Q2)
        .keeps_acks();
    world.connect("p", v5()).publish(post("t", "1").qos(Q2));
    world.connect("b", v5()).subscribe("$share/g/t", Q2);
    world.client("a").refuse(1, ReasonCode::QuotaExceeded);
    assert_eq!(world.received("b"), [""; 0]);
}

#[test]
fn members_come_and_go() {
    let mut world = World::new();
    world.connect("p", v5());
    world.connect("a", v5()).subscribe("$share/g/#", Q1);
    world.connect("b", v5()).subscribe("$share/g/#", Q1);
    world.connect("c", v5()).subscribe("$share/other/#", Q1);
    world.connect("d", v5()).subscribe("#", Q1);
    for step in 0..4 {
        match step {
            0 => {}
            1 => _ = world.client("a").unsubscribe("$share/g/#"),
            2 => _ = world.client("b").lose(),
            _ => _ = world.client("a").subscribe("$share/g/#", Q0),
        }
        for name in ["a", "b", "c", "d"] {
            world.packets(name);
        }
        world.publish("p", post("t", "1").qos(Q1));
        world.publish("p", post("t", "2").qos(Q1));
        let expected = match step {
            0 => [1, 1, 2, 2],
            1 => [0, 2, 2, 2],
            2 => [0, 0, 2, 2],
            _ => [2, 0, 2, 2],
        };
        assert_eq!(
            counts(&mut world, &["a", "b", "c", "d"]),
            expected,
            "step {step}"
        );
    }
}

#[test]
fn groups_are_kept_over_a_restart() {
    let mut world = World::new();
    for name in ["a", "b"] {
        world
            .connect(name, v5().stays())
            .subscribe("$share/g/t", Q1);
    }
    world.restart();
    world.connect("p", v5());
    for number in 0..4 {
        world.publish("p", post("t", number.to_string()).qos(Q1));
    }
    for name in ["a", "b"] {
        world.connect(name, v5().stays());
    }
    assert_eq!(counts(&mut world, &["a", "b"]), [2, 2]);
}
