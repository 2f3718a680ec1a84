//! Retained messages.

use mqtt_broker_core::Limits;
use mqtt_codec::{RetainHandling, SubscriptionOptions, Version};

use crate::world::{World, hello, post, v5, v311};
use crate::{Q0, Q1, Q2};

fn handling(retain_handling: RetainHandling) -> SubscriptionOptions {
    SubscriptionOptions {
        retain_handling,
        ..SubscriptionOptions::of_qos(Q1)
    }
}

// [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7] [MQTT-3.3.1-8] [MQTT-3.3.1-11]
#[test]
fn set_replace_clear() {
    for version in Version::ALL {
        for restart in [false, true] {
            let mut world = World::new();
            let see = |world: &mut World| {
                if world.find("a").is_some() {
                    world.packets("a");
                }
                if restart {
                    world.restart();
                    world.connect("b", hello(version));
                }
                world.connect("a", hello(version)).subscribe("t", Q2);
                world.received("a")
            };
            world
                .connect("b", hello(version))
                .publish(post("t", "1").retain())
                .publish(post("t", "not kept"));
            assert_eq!(see(&mut world), ["PUBLISH t 1 q0 retain"]);
            world
                .client("b")
                .publish(post("t", "2").retain().qos(Q2))
                .publish(post("t", ""));
            assert_eq!(see(&mut world), ["PUBLISH t 2 q2 id1 retain"]);
            world.publish("b", post("t", "").retain());
            // Who is subscribed sees the empty message; it is no retained one.
            if !restart {
                assert_eq!(world.received("a"), ["PUBLISH t (empty) q0"]);
            }
            assert_eq!(see(&mut world), [""; 0]);
            assert_eq!(world.engines.retained(), 0);
        }
    }
}

/// Clearing a topic leaves its neighbours alone, its parent and its children above all.
#[test]
fn only_the_topic_itself_is_cleared() {
    let mut world = World::new();
    world
        .connect("b", v5())
        .publish(post("a", "1").retain())
        .publish(post("a/b", "2").retain())
        .publish(post("a/b/c", "3").retain())
        .publish(post("a/b", "").retain());
    world.connect("a", v5()).subscribe("#", Q0);
    assert_eq!(
        world.received("a"),
        ["PUBLISH a 1 q0 retain", "PUBLISH a/b/c 3 q0 retain"]
    );
}

// [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [MQTT-3.8.4-4]
#[test]
fn retain_handling() {
    use RetainHandling::{DoNotSend, Send, SendIfNew};
    let mut world = World::new();
    world.connect("b", v5()).publish(post("t", "1").retain());
    let mut seen = |retain_handling, new: bool| {
        if new {
            world.connect("a", v5());
        }
        world
            .client("a")
            .subscribe_all(&[("t", handling(retain_handling))], None);
        world.received("a").len()
    };
    assert_eq!((seen(Send, true), seen(Send, false)), (1, 1));
    assert_eq!((seen(SendIfNew, true), seen(SendIfNew, false)), (1, 0));
    assert_eq!((seen(DoNotSend, true), seen(DoNotSend, false)), (0, 0));
    assert_eq!(seen(Send, false), 1);
}

/// A subscription that is there from an earlier connection is not new.
// [MQTT-3.3.1-10]
#[test]
fn a_resumed_subscription_is_not_new() {
    let mut world = World::new();
    world.connect("b", v5()).publish(post("t", "1").retain());
    let subscription = [("t", handling(RetainHandling::SendIfNew))];
    world
        .connect("a", v5().stays())
        .subscribe_all(&subscription, None);
    assert_eq!(world.received("a").len(), 1);
    world.restart();
    world
        .connect("a", v5().stays())
        .subscribe_all(&subscription, None);
    assert_eq!(world.received("a"), [""; 0]);
}

// [MQTT-3.8.4-8] [MQTT-3.3.1-13]
#[test]
fn the_options_of_the_subscription_count() {
    let mut world = World::new();
    world
        .connect("b", v5())
        .publish(post("t", "1").retain().qos(Q2).user("name", "value"));
    let subscription = [("t", SubscriptionOptions::of_qos(Q1))];
    world
        .connect("a", v5())
        .subscribe_all(&subscription, Some(7));
    assert_eq!(
        world.received("a"),
        ["PUBLISH t 1 q1 id1 retain sub=7 name=value"]
    );
    world.connect("c", v311()).subscribe("t", Q0);
    assert_eq!(world.received("c"), ["PUBLISH t 1 q0 retain"]);
}

#[test]
fn shared_subscriptions_get_no_retained_messages() {
    let mut world = World::new();
    world.connect("b", v5()).publish(post("t", "1").retain());
    world.connect("a", v5()).subscribe("$share/g/t", Q0);
    assert_eq!(world.received("a"), [""; 0]);
}

// [MQTT-4.7.2-1]
#[test]
fn wildcards_do_not_show_what_begins_with_a_dollar() {
    let mut world = World::new();
    world
        .connect("b", v5())
        .publish(post("$SYS/x", "1").retain())
        .publish(post("x", "2").retain());
    world
        .connect("a", v5())
        .subscribe("#", Q0)
        .subscribe("+/x", Q0);
    assert_eq!(world.received("a"), ["PUBLISH x 2 q0 retain"]);
    world.client("a").subscribe("$SYS/#", Q0);
    assert_eq!(world.received("a"), ["PUBLISH $SYS/x 1 q0 retain"]);
}

// [MQTT-3.3.2-5] [MQTT-3.3.2-6]
#[test]
fn a_retained_message_expires() {
    for restart in [false, true] {
        let mut world = World::new();
        world
            .connect("b", v5())
            .publish(post("t", "1").retain().expiry(60))
            .publish(post("u", "2").retain().expiry(10))
            .publish(post("u", "3").retain().expiry(100));
        world.advance_secs(20);
        if restart {
            world.restart();
        }
        assert_eq!(world.engines.retained(), 2);
        world.connect("a", v5()).subscribe("#", Q0);
        assert_eq!(
            world.received("a"),
            [
                "PUBLISH t 1 q0 retain expiry=40",
                "PUBLISH u 3 q0 retain expiry=80"
            ]
        );
        world.connect("c", v311()).subscribe("t", Q0);
        assert_eq!(world.received("c"), ["PUBLISH t 1 q0 retain"]);
        world.advance_secs(41);
        assert_eq!(world.engines.retained(), 1);
        world.connect("a", v5()).subscribe("#", Q0);
        assert_eq!(world.received("a"), ["PUBLISH u 3 q0 retain expiry=39"]);
        world.advance_secs(100);
        assert_eq!(world.engines.retained(), 0);
        world.restart();
        assert_eq!(world.engines.retained(), 0);
    }
}

#[test]
fn the_number_of_retained_messages_is_limited() {
    let mut world = World::with(Limits {
        retained_max: 2,
        ..Limits::default()
    });
    world.connect("a", v5()).subscribe("#", Q0);
    world
        .connect("b", v5())
        .publish(post("a", "1").retain().qos(Q1))
        .publish(post("b", "2").retain().qos(Q1))
        .publish(post("c", "3").retain().qos(Q1))
        // Those that are there can be replaced and cleared.
        .publish(post("b", "4").retain().qos(Q1))
        .publish(post("a", "").retain().qos(Q1))
        .publish(post("c", "5").retain().qos(Q1));
    assert_eq!(
        world.packets("b")[1..],
        [
            "PUBACK id1",
            "PUBACK id2",
            "PUBACK id3 QuotaExceeded",
            "PUBACK id4",
            "PUBACK id5",
            "PUBACK id6"
        ]
    );
    assert_eq!(world.received("a").len(), 6);
    assert_eq!(world.engines.retained(), 2);
}

/// Ten thousand topics to a client that reads slowly, and takes one message at a time.
// [MQTT-3.3.1-9] [MQTT-3.3.4-9]
#[test]
fn a_replay_is_complete_however_slow_the_receiver() {
    let mut world = World::with(Limits {
        outbox_bytes_max: 1000,
        queue_messages_max: 10,
        queue_page: 2,
        ..Limits::default()
    });
    world.connect("b", v5());
    for number in 0..10_000 {
        let topic = format!("t/{number}/x");
        world.clients[0].publish(post(&topic, number.to_string()).retain().qos(Q1));
    }
    world.run();
    assert_eq!(world.engines.retained(), 10_000);
    for (name, hello, qos) in [
        ("0", v5(), Q0),
        ("1", v5().receive_maximum(1), Q1),
        ("2", v5().stays().receive_maximum(3), Q2),
        ("3", v311().stays(), Q1),
    ] {
        world.connect(name, hello).stops_reading();
        world.client(name).subscribe("t/+/x", qos);
        // Others are not held up, and live messages come meanwhile.
        world.publish("b", post("t/live/x", "live").qos(Q1));
        world.client(name).reads();
        let index = world.find(name).unwrap();
        let deliveries = std::mem::take(&mut world.clients[index].deliveries);
        let mut topics: Vec<_> = deliveries
            .iter()
            .filter(|one| one.retain)
            .map(|one| one.topic.clone())
            .collect();
        topics.sort();
        topics.dedup();
        assert_eq!(topics.len(), 10_000, "client {name}");
    }
}

/// A filter that matches few of very many topics does not hold up others: it is looked at in parts.
#[test]
fn a_search_through_very_many_topics_is_done_in_parts() {
    let mut world = World::new();
    world.connect("b", v5());
    for number in 0..5000 {
        world.clients[0].publish(post(&format!("{number}/t"), "x").retain());
    }
    world.clients[0].publish(post("5000/u", "found").retain());
    world.run();
    world.connect("a", v5()).subscribe("+/u", Q0);
    assert_eq!(world.received("a"), ["PUBLISH 5000/u found q0 retain"]);
}

/// A replay that was under way when the connection was lost goes on when the session is resumed.
// [MQTT-3.3.1-9]
#[test]
fn a_replay_goes_on_when_the_session_is_resumed() {
    let mut world = World::new();
    world.connect("b", v5());
    for number in 0..10 {
        world.publish("b", post(&format!("t/{number}"), "x").retain().qos(Q1));
    }
    world.connect("a", v5().stays().receive_maximum(2));
    world.client("a").keeps_acks().subscribe("t/+", Q1);
    assert_eq!(world.received("a").len(), 2);
    world.client("a").acknowledge(2).lose();
    assert_eq!(world.received("a").len(), 2);
    world.client("a").acknowledges();
    world.connect("a", v5().stays().receive_maximum(2));
    assert_eq!(world.received("a").len(), 8);
}

/// Who subscribes again and again without reading has one replay waiting, not very many.
// [MQTT-3.8.4-4]
#[test]
fn subscribing_again_starts_the_replay_anew() {
    let mut world = World::new();
    world.connect("b", v5());
    for number in 0..3 {
        world.publish("b", post(&format!("t/{number}"), "x").retain().qos(Q1));
    }
    world
        .connect("a", v5().receive_maximum(1))
        .keeps_acks()
        .subscribe("t/+", Q1)
        .subscribe("t/+", Q1)
        .subscribe("t/+", Q1)
        .acknowledges();
    let topics: Vec<_> = world.clients[1]
        .deliveries
        .iter()
        .map(|one| one.topic.as_str())
        .collect();
    assert_eq!(topics, ["t/0", "t/0", "t/1", "t/2"]);
}

/// The last of the same filter took the place of the one before it, with what that one was to bring.
// [MQTT-3.8.4-5]
#[test]
fn each_of_the_same_filter_brings_what_is_retained() {
    let mut world = World::new();
    world.connect("b", v5());
    world.publish("b", post("t/0", "x").retain().qos(Q1));
    let twice = [
        ("t/+", SubscriptionOptions::of_qos(Q1)),
        ("t/+", SubscriptionOptions::of_qos(Q0)),
    ];
    world.connect("a", v5()).subscribe_all(&twice, None);
    assert_eq!(
        world.received("a"),
        ["PUBLISH t/0 x q1 id1 retain", "PUBLISH t/0 x q0 retain"]
    );
}

/// A packet may name a filter very often: what it brings is bounded like the subscriptions are.
#[test]
fn very_many_of_the_same_filter_bring_few() {
    let mut world = World::with(Limits {
        subscriptions_max: 2,
        ..Limits::default()
    });
    world.connect("b", v5());
    world.publish("b", post("t/0", "x").retain());
    let often = [("t/+", SubscriptionOptions::of_qos(Q0)); 100];
    world.connect("a", v5()).subscribe_all(&often, None);
    let received = world.received("a").len();
    assert!((1..=2).contains(&received), "{received} messages");
}

// [MQTT-3.10.4-2]
#[test]
fn unsubscribing_ends_the_replay() {
    let mut world = World::new();
    world.connect("b", v5());
    for number in 0..3 {
        world.publish("b", post(&format!("t/{number}"), "x").retain().qos(Q1));
    }
    world
        .connect("a", v5().receive_maximum(1))
        .keeps_acks()
        .subscribe("t/+", Q1)
        .unsubscribe("t/+")
        .acknowledges();
    assert_eq!(world.received("a"), ["PUBLISH t/0 x q1 id1 retain"]);
}
