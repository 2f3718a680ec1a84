//! SUBSCRIBE and UNSUBSCRIBE, and which filter matches which topic.

use mqtt_broker_core::Limits;
use mqtt_codec::{SubscriptionOptions, Version};

use crate::world::{World, hello, post, v5, v311};
use crate::{Q0, Q1, Q2};

fn of_qos(qos: mqtt_codec::QoS) -> SubscriptionOptions {
    SubscriptionOptions::of_qos(qos)
}

/// The topics of a list that reach a filter.
fn matched(filter: &str, topics: &[&str]) -> Vec<String> {
    let mut world = World::new();
    world.connect("a", v5()).subscribe(filter, Q0);
    world.connect("b", v5());
    for topic in topics {
        world.publish("b", post(topic, "x"));
    }
    let deliveries = &world.clients[0].deliveries;
    deliveries.iter().map(|one| one.topic.clone()).collect()
}

// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-3.3.2-3] [MQTT-4.7.3-4]
#[test]
fn wildcards() {
    let topics = [
        "sport",
        "sport/",
        "/sport",
        "sport/tennis",
        "sport/tennis/1",
        "sports",
        "/",
        "Sport",
    ];
    for (filter, expected) in [
        ("sport", &["sport"][..]),
        (
            "sport/#",
            &["sport", "sport/", "sport/tennis", "sport/tennis/1"],
        ),
        ("sport/+", &["sport/", "sport/tennis"]),
        ("+", &["sport", "sports", "Sport"]),
        ("+/+", &["sport/", "/sport", "sport/tennis", "/"]),
        ("/+", &["/sport", "/"]),
        ("+/tennis/#", &["sport/tennis", "sport/tennis/1"]),
        ("#", &topics),
        ("/#", &["/sport", "/"]),
    ] {
        assert_eq!(matched(filter, &topics), expected, "{filter}");
    }
}

// [MQTT-4.7.2-1]
#[test]
fn topics_that_begin_with_a_dollar_need_to_be_named() {
    let topics = ["$SYS/uptime", "$SYS", "a/$SYS", "SYS"];
    for (filter, expected) in [
        ("#", &["a/$SYS", "SYS"][..]),
        ("+", &["SYS"]),
        ("+/uptime", &[]),
        ("$SYS/#", &["$SYS/uptime", "$SYS"]),
        ("$SYS/+", &["$SYS/uptime"]),
        ("+/$SYS", &["a/$SYS"]),
    ] {
        assert_eq!(matched(filter, &topics), expected, "{filter}");
    }
}

// [MQTT-3.8.4-1] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1]
#[test]
fn each_filter_has_its_reason_in_order() {
    for version in Version::ALL {
        let mut world = World::new();
        world.connect("a", hello(version)).subscribe_all(
            &[
                ("a", of_qos(Q2)),
                ("b/#", of_qos(Q0)),
                ("+/c", of_qos(Q1)),
                ("a", of_qos(Q1)),
            ],
            None,
        );
        assert_eq!(
            world.packets("a"),
            [
                "CONNACK Success",
                "SUBACK id1 GrantedQoS2 Success GrantedQoS1 GrantedQoS1"
            ]
        );
        world.connect("b", v5()).publish(post("a", "hi").qos(Q2));
        assert_eq!(world.received("a"), ["PUBLISH a hi q1 id1"]);
    }
}

// [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] [MQTT-3.3.5-1] of 3.1.1
#[test]
fn overlapping_subscriptions_bring_a_message_once() {
    let mut world = World::new();
    world
        .connect("a", v5())
        .subscribe_all(&[("t/x", of_qos(Q0))], Some(1))
        .subscribe_all(&[("t/+", of_qos(Q2))], Some(268_435_455))
        .subscribe_all(&[("t/#", of_qos(Q1)), ("#", of_qos(Q0))], Some(3))
        .subscribe("+/x", Q0);
    world.connect("b", v5()).publish(post("t/x", "hi").qos(Q2));
    assert_eq!(
        world.received("a"),
        ["PUBLISH t/x hi q2 id1 sub=1 sub=3 sub=3 sub=268435455"]
    );
    // Those that have waited bring their identifiers, too.
    world.client("a").unsubscribe("t/+");
    world.packets("a");
    world.publish("b", post("t/x", "hi").qos(Q1));
    assert_eq!(
        world.received("a"),
        ["PUBLISH t/x hi q1 id2 sub=1 sub=3 sub=3"]
    );
}

#[test]
fn subscription_identifiers_wait_with_the_message() {
    let mut world = World::new();
    world
        .connect("a", v5().stays())
        .subscribe_all(&[("t/x", of_qos(Q1))], Some(1))
        .subscribe_all(&[("t/+", of_qos(Q1))], Some(2))
        .lose();
    world.connect("b", v5()).publish(post("t/x", "hi").qos(Q1));
    world.client("a").keeps_acks();
    world.connect("a", v5().stays());
    assert_eq!(world.received("a"), ["PUBLISH t/x hi q1 id1 sub=1 sub=2"]);
    world.crash_and_restart();
    world.connect("a", v5().stays());
    let received = world.received("a");
    assert_eq!(received, ["PUBLISH t/x hi q1 id1 dup sub=1 sub=2"]);
}

// [MQTT-3.8.4-3]
#[test]
fn a_subscription_is_replaced_by_the_next_of_the_same_filter() {
    let mut world = World::new();
    world
        .connect("a", v5())
        .subscribe_all(&[("t/+", of_qos(Q2))], Some(1))
        .subscribe("t/+", Q0);
    world.connect("b", v5()).publish(post("t/x", "hi").qos(Q2));
    assert_eq!(world.received("a"), ["PUBLISH t/x hi q0"]);
    world.client("a").unsubscribe("t/+");
    world.publish("b", post("t/x", "hi").qos(Q2));
    assert_eq!(world.packets("a"), ["UNSUBACK id3 Success"]);
}

// [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.3-1]
#[test]
fn unsubscribing_ends_what_is_named_exactly() {
    for version in Version::ALL {
        let mut world = World::new();
        world
            .connect("a", hello(version))
            .subscribe("t/+", Q1)
            .subscribe("t/x", Q1)
            .subscribe("u", Q1);
        world.connect("b", v5());
        world.packets("a");
        world
            .client("a")
            .unsubscribe_all(&["t/#", "t/x", "u", "t/x"]);
        world.publish("b", post("t/x", "hi").qos(Q1));
        world.publish("b", post("u", "hi").qos(Q1));
        let unsuback = if version == Version::V5 {
            "UNSUBACK id4 NoSubscriptionExisted Success Success NoSubscriptionExisted"
        } else {
            "UNSUBACK id4"
        };
        assert_eq!(world.packets("a"), [unsuback, "PUBLISH t/x hi q1 id1"]);
    }
}

// [MQTT-3.10.4-3]
#[test]
fn what_is_under_way_is_completed_after_unsubscribing() {
    let mut world = World::new();
    world
        .connect("a", v5().stays())
        .subscribe("t", Q2)
        .keeps_acks();
    world.connect("b", v5()).publish(post("t", "hi").qos(Q2));
    world.client("a").unsubscribe("t").lose();
    world.packets("a");
    world.connect("a", v5().stays()).acknowledges();
    assert_eq!(
        world.packets("a"),
        [
            "CONNACK Success present",
            "PUBLISH t hi q2 id1 dup",
            "PUBREL id1"
        ]
    );
}

// [MQTT-3.8.3-5] [MQTT-3.8.3-4] [MQTT-3.8.3-2] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.10.3-2]
// [MQTT-2.2.2-2] of 3.1.1, [MQTT-4.7.3-1] [MQTT-4.8.2-1] [MQTT-4.8.2-2]
#[test]
fn a_malformed_subscribe_ends_the_connection() {
    let share = |filter: &[u8], options: u8| {
        let mut bytes = vec![0x82, 0, 0, 1, 0, 0];
        bytes.push(filter.len() as u8);
        bytes.extend(filter);
        bytes.push(options);
        bytes[1] = bytes.len() as u8 - 2;
        bytes
    };
    for (bytes, reason) in [
        (share(b"t", 0x40), "MalformedPacket"),
        (share(b"t", 3), "ProtocolError"),
        (share(b"$share/g/t", 0x04), "ProtocolError"),
        (share(b"$share/g", 0), "MalformedPacket"),
        (share(b"$share//t", 0), "MalformedPacket"),
        (share(b"", 0), "MalformedPacket"),
        (share(b"t#", 0), "MalformedPacket"),
        (vec![0x82, 3, 0, 1, 0], "ProtocolError"),
        (vec![0x80, 6, 0, 1, 0, 0, 1, b't'], "MalformedPacket"),
        (vec![0xA2, 3, 0, 1, 0], "ProtocolError"),
        (vec![0xA0, 6, 0, 1, 0, 0, 1, b't'], "MalformedPacket"),
    ] {
        let mut world = World::new();
        world.connect("a", v5()).send_bytes(&bytes);
        assert_eq!(
            world.packets("a"),
            ["CONNACK Success", &format!("DISCONNECT {reason}"), "CLOSED"],
            "{bytes:?}"
        );
    }
}

// [MQTT-3.9.3-2]
#[test]
fn the_number_of_subscriptions_is_limited() {
    let mut world = World::with(Limits {
        subscriptions_max: 2,
        ..Limits::default()
    });
    world
        .connect("a", v5())
        .subscribe("a", Q0)
        .subscribe("b", Q0)
        .subscribe("c", Q0)
        // Replacing one makes them no more.
        .subscribe("b", Q1)
        .unsubscribe("a")
        .subscribe("c", Q0);
    assert_eq!(
        world.packets("a")[1..],
        [
            "SUBACK id1 Success",
            "SUBACK id2 Success",
            "SUBACK id3 QuotaExceeded",
            "SUBACK id4 GrantedQoS1",
            "UNSUBACK id5 Success",
            "SUBACK id6 Success"
        ]
    );
}

/// `$share` is a word of 5.0, but clients of 3.1.1 use it too, on brokers that know it.
#[test]
fn shared_subscriptions_are_for_all_versions() {
    let mut world = World::new();
    world.connect("a", v311()).subscribe("$share/g/t", Q1);
    world.connect("b", v5()).publish(post("t", "hi").qos(Q1));
    assert_eq!(world.received("a"), ["PUBLISH t hi q1 id1"]);
}

/// A route that is remembered must not outlive the subscriptions it was made from.
#[test]
fn routes_follow_the_subscriptions() {
    let mut world = World::with(Limits {
        routes_cached_max: 2,
        ..Limits::default()
    });
    world.connect("a", v5());
    world.connect("b", v5());
    for round in 0..20 {
        let topic = format!("t/{}", round % 3);
        world.client("a").subscribe(&topic, Q0);
        world.publish("b", post(&topic, "seen"));
        world.client("a").unsubscribe(&topic);
        world.publish("b", post(&topic, "missed"));
    }
    assert_eq!(world.received("a").len(), 20);
}
