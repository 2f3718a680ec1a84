//! One order for all: every subscriber of a topic sees its messages in the same order.

use mqtt_broker_core::Limits;
use mqtt_codec::{QoS, Version};

use crate::world::{World, hello, post, v5, v311};
use crate::{Q0, Q1, Q2};

fn payloads(world: &World, name: &str) -> Vec<u32> {
    let index = world.find(name).unwrap();
    world.clients[index]
        .deliveries
        .iter()
        .filter(|delivery| !delivery.repeated)
        .map(|delivery| String::from_utf8_lossy(&delivery.payload).parse().unwrap())
        .collect()
}

/// Several publishers, subscribers of each QoS and version, some with a window of one message, some
/// that acknowledge late: what a subscriber has got is in the order in which the broker took it.
// [MQTT-4.6.0-5] [MQTT-4.6.0-6]
#[test]
fn all_subscribers_of_a_topic_see_one_order() {
    for held in [false, true] {
        let mut world = World::with(Limits {
            queue_page: 4,
            ..Limits::default()
        });
        let mut subscribers = Vec::new();
        for qos in [Q0, Q1, Q2] {
            for (at, hello) in [
                v5(),
                v5().receive_maximum(1),
                v5().stays().receive_maximum(2),
                v5().stays().topic_alias_maximum(1),
                v311().stays(),
            ]
            .into_iter()
            .enumerate()
            {
                let name = format!("q{} {at}", qos as u8);
                let subscriber = world.connect(&name, hello).subscribe("t", qos);
                if at % 2 == 1 {
                    subscriber.keeps_acks();
                }
                subscribers.push((name, qos));
            }
        }
        let publishers = ["p0", "p1", "p2"];
        for (at, name) in publishers.into_iter().enumerate() {
            let version = Version::ALL[at];
            world.connect(name, hello(version));
        }
        let mut random = fastrand::Rng::with_seed(5);
        for number in 0..300_u32 {
            if held && number % 10 == 0 {
                world.hold_commits();
            }
            let qos = QoS::from_number(random.u8(0..3)).unwrap();
            let publisher = publishers[random.usize(0..3)];
            world.publish(publisher, post("t", number.to_string()).qos(qos));
            let (name, _) = &subscribers[random.usize(0..subscribers.len())];
            let index = world.find(name).unwrap();
            for _ in 0..random.u8(0..4) {
                world.clients[index].acknowledge_next();
            }
            if held && number % 10 == 9 {
                world.release_commits();
            }
        }
        for (name, qos) in &subscribers {
            world.client(name).acknowledges();
            let payloads = payloads(&world, name);
            assert!(payloads.is_sorted(), "{name}: {payloads:?}");
            if *qos > Q0 && !name.ends_with('1') {
                // QoS 0 messages may be dropped, the others not; there were 300.
                assert!(payloads.len() > 150, "{name}");
            }
        }
    }
}

/// A QoS 0 message does not overtake those of higher QoS that wait.
// [MQTT-4.6.0-5]
#[test]
fn nothing_overtakes_on_the_way_to_one_subscriber() {
    for hello in [v5(), v5().stays()] {
        let mut world = World::new();
        world
            .connect("a", hello.receive_maximum(1))
            .subscribe("t", Q2)
            .keeps_acks();
        world.connect("b", v5());
        for (number, qos) in [Q1, Q0, Q2, Q0, Q0, Q1, Q0].into_iter().enumerate() {
            world.publish("b", post("t", number.to_string()).qos(qos));
        }
        assert_eq!(payloads(&world, "a"), [0, 1]);
        world.client("a").acknowledges();
        assert_eq!(payloads(&world, "a"), [0, 1, 2, 3, 4, 5, 6]);
    }
}

/// Nor while a commit is slow: QoS 2 waits for it, and what comes behind waits with it.
// [MQTT-4.6.0-5]
#[test]
fn nothing_overtakes_what_waits_for_a_commit() {
    let mut world = World::new();
    world.connect("a", v5().stays()).subscribe("t", Q2);
    world.connect("b", v5());
    world.packets("a");
    world.hold_commits();
    for (number, qos) in [Q2, Q0, Q1, Q2, Q0].into_iter().enumerate() {
        world.publish("b", post("t", number.to_string()).qos(qos));
    }
    assert_eq!(world.packets("a"), [""; 0]);
    world.release_commits();
    assert_eq!(payloads(&world, "a"), [0, 1, 2, 3, 4]);
}

/// The order of the answers is that of what they answer.
#[test]
fn answers_come_in_order() {
    let mut world = World::new();
    world.connect("a", v5().stays()).subscribe("t", Q2);
    world.connect("b", v5());
    world.packets("b");
    world.hold_commits();
    world
        .client("b")
        .publish(post("t", "1").qos(Q1))
        .publish(post("nobody", "2").qos(Q1))
        .ping()
        .publish(post("t", "3").qos(Q1));
    assert_eq!(world.packets("b"), [""; 0]);
    world.release_commits();
    assert_eq!(
        world.packets("b"),
        [
            "PUBACK id1",
            "PUBACK id2 NoMatchingSubscribers",
            "PINGRESP",
            "PUBACK id3"
        ]
    );
}

/// What was published while a client was away comes before what is published now, however slowly
/// the queue is read.
// [MQTT-4.6.0-5]
#[test]
fn the_queue_comes_before_the_present() {
    let mut world = World::with(Limits {
        queue_page: 2,
        ..Limits::default()
    });
    world.connect("a", v5().stays()).subscribe("t", Q1).lose();
    world.connect("b", v5());
    for number in 0..10 {
        world.publish("b", post("t", number.to_string()).qos(Q1));
    }
    world.hold_loads();
    world.connect("a", v5().stays());
    for number in 10..20 {
        let qos = if number % 2 == 0 { Q0 } else { Q1 };
        world.publish("b", post("t", number.to_string()).qos(qos));
    }
    assert_eq!(payloads(&world, "a"), [0; 0]);
    world.release_loads();
    let payloads = payloads(&world, "a");
    assert!(payloads.is_sorted(), "{payloads:?}");
    assert!(
        (0..20)
            .filter(|number| *number < 10 || number % 2 == 1)
            .all(|number| payloads.contains(&number))
    );
}
