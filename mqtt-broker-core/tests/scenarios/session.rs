//! Sessions: what waits for a client while it is away, and for how long.

use std::time::Duration;

use mqtt_broker_core::Limits;
use mqtt_codec::{ReasonCode, SubscriptionOptions, Version};

use crate::world::{World, hello, post, v5, v311};
use crate::{Q0, Q1, Q2};

// [MQTT-4.5.0-1] [MQTT-3.1.2-23]
#[test]
fn messages_wait_for_a_client_that_is_away() {
    for version in Version::ALL {
        let mut world = World::new();
        world
            .connect("a", hello(version).stays())
            .subscribe("t", Q2)
            .lose();
        world.packets("a");
        world
            .connect("b", v5())
            .publish(post("t", "0"))
            .publish(post("t", "1").qos(Q1))
            .publish(post("t", "2").qos(Q2));
        world.connect("a", hello(version).stays());
        assert_eq!(
            world.received("a"),
            ["PUBLISH t 1 q1 id1", "PUBLISH t 2 q2 id2"]
        );
    }
}

// [MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-4.6.0-6] [MQTT-4.3.3-6] [MQTT-4.3.2-3] [MQTT-4.3.3-3] [MQTT-4.3.3-5]
#[test]
fn what_was_under_way_is_sent_again_in_order_with_its_identifiers() {
    for (version, crash) in [
        (Version::V3_1_1, false),
        (Version::V5, false),
        (Version::V3_1_1, true),
        (Version::V5, true),
    ] {
        let mut world = World::new();
        world
            .connect("a", hello(version).stays())
            .subscribe("t", Q2)
            .keeps_acks();
        world.connect("b", v5());
        for (number, qos) in [Q1, Q2, Q1, Q2, Q2, Q1].into_iter().enumerate() {
            world.publish("b", post("t", number.to_string()).qos(qos));
        }
        // Of the six: PUBACK, PUBREC, nothing, PUBREC and PUBCOMP, nothing, PUBACK.
        let kept = &mut world.clients[0].kept;
        let acks: Vec<_> = [0, 1, 3, 5].map(|at| kept[at].clone()).into();
        kept.clear();
        for ack in &acks {
            world.client("a").send(ack);
        }
        world.client("a").acknowledge(2);
        let last = world.packets("a").split_off(8);
        assert_eq!(last, ["PUBREL id2", "PUBREL id4"]);
        if crash {
            world.crash_and_restart();
        }
        world.connect("a", hello(version).stays());
        assert_eq!(
            world.packets("a"),
            [
                "CONNACK Success present",
                "PUBLISH t 2 q1 id3 dup",
                "PUBLISH t 4 q2 id5 dup"
            ],
            "version {version:?}, crash: {crash}"
        );
    }
}

// [MQTT-4.3.3-6] [MQTT-4.4.0-1]
#[test]
fn after_pubrec_only_the_pubrel_is_sent_again() {
    for crash in [false, true] {
        let mut world = World::new();
        world
            .connect("a", v5().stays())
            .subscribe("t", Q2)
            .keeps_acks();
        world
            .connect("b", v5())
            .publish(post("t", "1").qos(Q2))
            .publish(post("t", "2").qos(Q2));
        world.client("a").acknowledge(1).lose();
        world.packets("a");
        if crash {
            world.crash_and_restart();
        }
        world.connect("a", v5().stays());
        assert_eq!(
            world.packets("a"),
            [
                "CONNACK Success present",
                "PUBREL id1",
                "PUBLISH t 2 q2 id2 dup"
            ]
        );
    }
}

/// Only what was sent before is sent again; what has waited is sent for the first time.
// [MQTT-3.3.1-1] [MQTT-3.3.1-3]
#[test]
fn what_has_only_waited_has_no_dup() {
    for crash in [false, true] {
        let mut world = World::new();
        world
            .connect("a", v5().stays().receive_maximum(1))
            .subscribe("t", Q1)
            .keeps_acks();
        world
            .connect("b", v5())
            .publish(post("t", "1").qos(Q1))
            .publish(post("t", "2").qos(Q1));
        world.client("a").lose();
        world.publish("b", post("t", "3").qos(Q1));
        world.packets("a");
        if crash {
            world.crash_and_restart();
        }
        world.connect("a", v5().stays());
        assert_eq!(
            world.received("a"),
            [
                "PUBLISH t 1 q1 id1 dup",
                "PUBLISH t 2 q1 id2",
                "PUBLISH t 3 q1 id3"
            ]
        );
    }
}

/// The numbers of deliveries went back to 1 at a restart with an empty queue, while the record said
/// that those below 3 had been sent: messages that nobody had seen were marked as sent again.
// [MQTT-3.3.1-3]
#[test]
fn the_numbers_of_deliveries_go_on_after_a_restart_with_an_empty_queue() {
    let mut world = World::new();
    world.connect("a", v5().stays()).subscribe("t", Q1);
    world
        .connect("b", v5())
        .publish(post("t", "1").qos(Q1))
        .publish(post("t", "2").qos(Q1));
    world.client("a").lose();
    world.packets("a");
    world.restart();
    world.connect("b", v5()).publish(post("t", "3").qos(Q1));
    world.restart();
    world.connect("a", v5().stays());
    assert_eq!(world.received("a"), ["PUBLISH t 3 q1 id3"]);
}

/// The same where one is left in the queue, and those behind it were acknowledged.
// [MQTT-3.3.1-3]
#[test]
fn the_numbers_of_deliveries_go_on_after_a_restart_with_gaps_in_the_queue() {
    let mut world = World::new();
    world
        .connect("a", v5().stays())
        .subscribe("t", Q1)
        .keeps_acks();
    world.connect("b", v5());
    for number in 1..=3 {
        world.publish("b", post("t", number.to_string()).qos(Q1));
    }
    world.clients[0].kept.pop_front();
    world.client("a").acknowledge(2).lose();
    world.packets("a");
    world.restart();
    world.connect("b", v5()).publish(post("t", "4").qos(Q1));
    world.restart();
    world.connect("a", v5().stays());
    assert_eq!(
        world.received("a"),
        ["PUBLISH t 1 q1 id1 dup", "PUBLISH t 4 q1 id4"]
    );
}

// [MQTT-4.1.0-1] [MQTT-4.1.0-2] [MQTT-3.1.2-23]
#[test]
fn a_session_ends_when_its_time_is_over() {
    let mut world = World::new();
    world.connect("a", v5().expires(60)).subscribe("t", Q1);
    world.advance_secs(1000);
    // The time counts from the loss of the connection.
    world.client("a").lose();
    world.advance_secs(59);
    world.connect("a", v5().expires(60)).lose();
    world.advance_secs(59);
    assert_eq!(world.engines.sessions(), 1);
    world.advance_secs(2);
    assert_eq!(world.engines.sessions(), 0);
    world.packets("a");
    world.connect("a", v5().expires(60));
    assert_eq!(world.packets("a"), ["CONNACK Success"]);
}

/// Whoever comes in the second in which the end is handled comes too late all the same.
// [MQTT-4.1.0-2]
#[test]
fn a_session_whose_time_is_over_is_not_resumed() {
    let mut world = World::new();
    world.advance(Duration::from_millis(300));
    world
        .connect("a", v5().expires(60))
        .subscribe("t", Q1)
        .lose();
    world.advance(Duration::from_millis(60_100));
    world.packets("a");
    world.connect("a", v5().expires(60));
    assert_eq!(world.packets("a"), ["CONNACK Success"]);
}

#[test]
fn a_session_s_time_goes_on_over_a_restart() {
    let mut world = World::new();
    world
        .connect("a", v5().expires(60))
        .subscribe("t", Q1)
        .lose();
    world.connect("b", v5().expires(60)).subscribe("t", Q1);
    world.advance_secs(40);
    world.restart();
    assert_eq!(world.engines.sessions(), 2);
    // The connection of `b` has lasted until the restart.
    world.advance_secs(30);
    assert_eq!(world.engines.sessions(), 1);
    world.advance_secs(30);
    assert_eq!(world.engines.sessions(), 0);
    world.restart();
    assert_eq!(world.engines.sessions(), 0);
}

#[test]
fn a_session_stays_for_ever() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut world = World::new();
        world.connect("a", hello(version).stays()).lose();
        world.packets("a");
        world.advance_secs(10_000_000_000);
        world.restart();
        world.advance_secs(10_000_000_000);
        world.connect("a", hello(version).stays());
        assert_eq!(world.packets("a"), ["CONNACK Success present"]);
    }
}

#[test]
fn the_longest_time_of_a_session_is_limited() {
    let mut world = World::with(Limits {
        session_expiry_max_s: 100,
        ..Limits::default()
    });
    world.connect("a", v5().stays()).lose();
    world.connect("b", v311().stays()).lose();
    world
        .connect("c", v5().expires(10))
        .disconnect_with(ReasonCode::Success, Some(1000));
    world.advance_secs(99);
    assert_eq!(world.engines.sessions(), 3);
    world.advance_secs(2);
    assert_eq!(world.engines.sessions(), 0);
}

#[test]
fn disconnect_changes_the_time_of_a_session() {
    let mut world = World::new();
    let rest = |world: &mut World, expiry| {
        world
            .connect("a", v5().expires(60))
            .disconnect_with(ReasonCode::Success, expiry);
        world.packets("a");
    };
    rest(&mut world, Some(0));
    assert_eq!(world.engines.sessions(), 0);
    rest(&mut world, Some(600));
    world.advance_secs(599);
    assert_eq!(world.engines.sessions(), 1);
    world.advance_secs(2);
    assert_eq!(world.engines.sessions(), 0);
    rest(&mut world, None);
    world.advance_secs(61);
    assert_eq!(world.engines.sessions(), 0);
    rest(&mut world, Some(600));
    world.restart();
    world.advance_secs(500);
    assert_eq!(world.engines.sessions(), 1);
}

#[test]
fn disconnect_does_not_make_a_session_stay() {
    let mut world = World::new();
    world
        .connect("a", v5())
        .disconnect_with(ReasonCode::Success, Some(60));
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success", "DISCONNECT ProtocolError", "CLOSED"]
    );
    assert_eq!(world.engines.sessions(), 0);
}

/// A session that was to stay is taken on by a CONNECT that lets it end.
// [MQTT-4.1.0-2]
#[test]
fn a_session_may_be_resumed_for_the_last_time() {
    let mut world = World::new();
    world.connect("a", v5().stays()).subscribe("t", Q1).lose();
    world.connect("b", v5()).publish(post("t", "hi").qos(Q1));
    world.packets("a");
    world.connect("a", v5().expires(0));
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success present", "PUBLISH t hi q1 id1"]
    );
    world.client("b").lose();
    world.client("a").lose();
    assert_eq!(world.engines.sessions(), 0);
    world.restart();
    assert_eq!(world.engines.sessions(), 0);
}

#[test]
fn subscriptions_are_kept_with_all_that_was_said() {
    let mut world = World::new();
    let options = SubscriptionOptions {
        retain_as_published: true,
        no_local: true,
        ..SubscriptionOptions::of_qos(Q1)
    };
    world
        .connect("a", v5().stays())
        .subscribe_all(&[("t/#", options)], Some(9))
        .subscribe("u", Q0)
        .subscribe("v", Q2)
        .unsubscribe("v");
    world.crash_and_restart();
    world.packets("a");
    world
        .connect("a", v5().stays())
        .publish(post("t/own", "hi"));
    world
        .connect("b", v5())
        .publish(post("t/x", "1").qos(Q2).retain())
        .publish(post("u", "2").qos(Q2))
        .publish(post("v", "3").qos(Q2));
    assert_eq!(
        world.packets("a"),
        [
            "CONNACK Success present",
            "PUBLISH t/x 1 q1 id1 retain sub=9",
            "PUBLISH u 2 q0"
        ]
    );
}

/// Queues longer than a page are read from the store piece by piece.
#[test]
fn a_long_queue_comes_whole_and_in_order() {
    for receive_maximum in [1, 3, 65_535] {
        for crash in [false, true] {
            let mut world = World::with(Limits {
                queue_page: 4,
                ..Limits::default()
            });
            let hello = v5().stays().receive_maximum(receive_maximum);
            world.connect("a", hello.clone()).subscribe("t", Q2).lose();
            world.connect("b", v5());
            for number in 0..50 {
                let qos = if number % 2 == 0 { Q1 } else { Q2 };
                world.publish("b", post("t", number.to_string()).qos(qos));
            }
            if crash {
                world.crash_and_restart();
                world.connect("b", v5());
            }
            world.clients[0].acknowledges = false;
            world.open("a", hello);
            world.run();
            // More comes while the queue is being sent.
            for number in 50..60 {
                world.publish("b", post("t", number.to_string()).qos(Q1));
            }
            world.client("a").acknowledges();
            let payloads: Vec<_> = world.clients[0]
                .deliveries
                .iter()
                .map(|delivery| String::from_utf8_lossy(&delivery.payload).parse::<i32>())
                .collect();
            assert_eq!(payloads, (0..60).map(Ok).collect::<Vec<_>>());
            assert!(world.clients[0].deliveries.iter().all(|one| !one.dup));
        }
    }
}

/// What is read for a connection that has been lost must not pass for what its successor asked for:
/// the message published in between would be taken for done.
#[test]
fn what_an_earlier_connection_asked_for_is_not_mixed_up() {
    let mut world = World::new();
    world.connect("a", v5().stays()).subscribe("t", Q1).lose();
    world.connect("b", v5()).publish(post("t", "1").qos(Q1));
    world.packets("a");
    world.hold_loads();
    world.connect("a", v5().stays());
    world.client("a").lose();
    world.publish("b", post("t", "2").qos(Q1));
    world.connect("a", v5().stays());
    world.release_loads();
    assert_eq!(
        world.received("a"),
        ["PUBLISH t 1 q1 id1", "PUBLISH t 2 q1 id2"]
    );
}

/// Nor must it bring back what was acknowledged in between: the commit of that is still to come.
#[test]
fn what_an_earlier_connection_asked_for_is_out_of_date() {
    let mut world = World::new();
    world.connect("a", v5().stays()).subscribe("t", Q2).lose();
    world
        .connect("b", v5())
        .publish(post("t", "1").qos(Q2))
        .publish(post("t", "2").qos(Q1))
        .publish(post("t", "3").qos(Q1));
    world.hold_loads();
    // Each asks for the same, and the first answer is still to come.
    world.client("a").keeps_acks();
    world.connect("a", v5().stays());
    world.connect("a", v5().stays());
    world.finish_load();
    world.run();
    // What the second answer says of these is overtaken, if they have come.
    while world.clients[0].acknowledge_next() {}
    world.connect("a", v5().stays());
    world.finish_load();
    world.release_loads();
    world.client("a").acknowledges();
    let deliveries = &world.clients[0].deliveries;
    let first = deliveries.iter().filter(|one| one.payload == b"1").count();
    let third = deliveries.iter().filter(|one| one.payload == b"3").count();
    assert_eq!((first, third), (1, 1));
}

/// The same, where the session itself is another one by then.
#[test]
fn what_an_earlier_session_asked_for_is_forgotten() {
    let mut world = World::new();
    world.connect("a", v5().stays()).subscribe("t", Q1).lose();
    world.connect("b", v5()).publish(post("t", "1").qos(Q1));
    world.packets("a");
    world.hold_loads();
    world.connect("a", v5().stays());
    world.connect("a", v5().stays().clean()).subscribe("t", Q1);
    world.publish("b", post("t", "2").qos(Q1));
    world.release_loads();
    assert_eq!(world.received("a"), ["PUBLISH t 2 q1 id1"]);
}

// [MQTT-3.1.2-7]
#[test]
fn retained_messages_are_no_part_of_the_session() {
    let mut world = World::new();
    world
        .connect("a", v5().stays())
        .publish(post("t", "kept").retain().qos(Q1))
        .lose();
    world.connect("a", v5()).lose();
    world.connect("b", v5()).subscribe("t", Q1);
    assert_eq!(world.received("b"), ["PUBLISH t kept q1 id1 retain"]);
}

/// Sessions come and go; nothing of them is left.
#[test]
fn a_thousand_sessions_leave_nothing() {
    let mut world = World::new();
    for round in 0..1000_u32 {
        let name = format!("client {}", round % 7);
        let hello = if round % 3 == 0 {
            v5().expires(5)
        } else {
            v311()
        };
        world
            .connect(&name, hello)
            .subscribe("t/#", Q1)
            .publish(post("t/x", "hi").qos(Q1));
    }
    for index in 0..7 {
        world.client(&format!("client {index}")).lose();
    }
    world.advance_secs(60);
    assert_eq!(
        (world.engines.sessions(), world.engines.connections()),
        (0, 0)
    );
    world.restart();
    assert_eq!(world.engines.sessions(), 0);
}
