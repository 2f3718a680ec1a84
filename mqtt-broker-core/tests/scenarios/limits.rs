//! Bounds: what a client takes, what the broker takes, and what happens beyond.

use mqtt_broker_core::Limits;
use mqtt_codec::{Ack, Packet, PacketId, ReasonCode};

use crate::world::{World, post, v5, v311};
use crate::{Q0, Q1, Q2};

// [MQTT-3.3.4-9] [MQTT-4.9.0-1] [MQTT-4.9.0-2]
#[test]
fn the_client_s_receive_maximum_is_kept() {
    for qos in [Q1, Q2] {
        for maximum in [1, 2, 5] {
            let mut world = World::new();
            world
                .connect("a", v5().receive_maximum(maximum))
                .subscribe("t", qos)
                .keeps_acks();
            world.connect("b", v5());
            for number in 0..10 {
                world.publish("b", post("t", number.to_string()).qos(qos));
            }
            assert_eq!(world.received("a").len(), usize::from(maximum));
            let acks = if qos == Q1 { 1 } else { maximum + 1 };
            // PUBREC frees nothing, PUBCOMP does.
            if qos == Q2 {
                world.client("a").acknowledge(usize::from(maximum));
                assert_eq!(world.received("a"), [""; 0]);
                world.client("a").acknowledge(1);
            } else {
                world.client("a").acknowledge(usize::from(acks));
            }
            assert_eq!(world.received("a").len(), 1);
            world.client("a").acknowledges();
            assert_eq!(world.clients[0].deliveries.len(), 10);
        }
    }
}

/// What is no PUBLISH of QoS 1 or 2 goes out all the same.
// [MQTT-3.3.4-10] [MQTT-4.9.0-3]
#[test]
fn other_packets_do_not_wait_for_the_receive_maximum() {
    let mut world = World::new();
    world
        .connect("a", v5().receive_maximum(1))
        .subscribe("t", Q1)
        .subscribe("u", Q0)
        .keeps_acks();
    world.connect("b", v5());
    world.publish("b", post("t", "1").qos(Q1));
    world.publish("b", post("u", "0"));
    world.packets("a");
    world
        .client("a")
        .ping()
        .publish(post("v", "x").qos(Q1))
        .subscribe("w", Q0);
    world.publish("b", post("w", "0"));
    assert_eq!(
        world.packets("a"),
        [
            "PINGRESP",
            "PUBACK id3 NoMatchingSubscribers",
            "SUBACK id4 Success",
            "PUBLISH w 0 q0"
        ]
    );
}

/// The window may be smaller than what was under way on the connection before.
// [MQTT-3.3.4-9] [MQTT-3.3.4-10] [MQTT-4.4.0-1]
#[test]
fn the_receive_maximum_of_the_next_connection_counts_there() {
    let mut world = World::new();
    world
        .connect("a", v5().stays())
        .subscribe("t", Q2)
        .keeps_acks();
    world.connect("b", v5());
    for number in 0..4 {
        world.publish("b", post("t", number.to_string()).qos(Q2));
    }
    world.client("a").acknowledge(2).lose();
    world.packets("a");
    world.connect("a", v5().stays().receive_maximum(1));
    // A PUBREL does not wait. What it is about is counted, which it need not be.
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success present", "PUBREL id1", "PUBREL id2"]
    );
    world.client("a").acknowledges();
    assert_eq!(
        world.packets("a"),
        [
            "PUBLISH t 2 q2 id3 dup",
            "PUBREL id3",
            "PUBLISH t 3 q2 id4 dup",
            "PUBREL id4"
        ]
    );
}

/// Before 5.0 a client cannot say how many it takes.
#[test]
fn who_says_nothing_gets_the_broker_s_maximum() {
    let mut world = World::with(Limits {
        in_flight_max: 3,
        ..Limits::default()
    });
    for (name, hello) in [("old", v311()), ("new", v5())] {
        world.connect(name, hello).subscribe("t", Q1).keeps_acks();
    }
    world.connect("b", v5());
    for number in 0..10 {
        world.publish("b", post("t", number.to_string()).qos(Q1));
    }
    assert_eq!(world.received("old").len(), 3);
    assert_eq!(world.received("new").len(), 3);
    world.client("old").acknowledges();
    assert_eq!(world.received("old").len(), 7);
}

// [MQTT-3.3.4-7]
#[test]
fn the_broker_s_receive_maximum_is_enforced() {
    let limits = Limits {
        receive_maximum: 2,
        ..Limits::default()
    };
    let mut world = World::with(limits.clone());
    world
        .connect("b", v5())
        .keeps_acks()
        .publish(post("t", "1").qos(Q2))
        .publish(post("t", "2").qos(Q2))
        // The same again is no other one.
        .publish(post("t", "2").qos(Q2).id(2).dup());
    assert!(world.client("b").is_connected());
    world.publish("b", post("t", "3").qos(Q2));
    assert_eq!(
        world.packets("b").split_off(4),
        ["DISCONNECT ReceiveMaximumExceeded", "CLOSED"]
    );
    // PUBREL makes room.
    let mut world = World::with(limits);
    world.connect("b", v5());
    for number in 0..10 {
        world.publish("b", post("t", number.to_string()).qos(Q2));
        world.publish("b", post("t", number.to_string()).qos(Q1));
    }
    assert!(world.client("b").is_connected());
}

/// The count begins anew with each connection, as the client's does.
// [MQTT-3.3.4-7]
#[test]
fn the_broker_s_receive_maximum_counts_from_the_connack() {
    let mut world = World::with(Limits {
        receive_maximum: 1,
        ..Limits::default()
    });
    world
        .connect("b", v5().stays())
        .keeps_acks()
        .publish(post("t", "1").qos(Q2));
    world.packets("b");
    // The PUBREL of the first message is on its way behind the second.
    world.clients[0].outgoing.clear();
    world
        .connect("b", v5().stays())
        .publish(post("t", "2").qos(Q2).id(2));
    let pubrel = Ack::new(PacketId::new(1).unwrap(), ReasonCode::Success);
    world.client("b").send(&Packet::PubRel(pubrel));
    assert_eq!(
        world.packets("b"),
        [
            "CONNACK Success present",
            "PUBREC id2 NoMatchingSubscribers",
            "PUBCOMP id1"
        ]
    );
}

// [MQTT-3.1.2-24] [MQTT-3.1.2-25]
#[test]
fn what_is_too_large_for_a_client_is_not_sent_and_counts_as_delivered() {
    for stays in [false, true] {
        let mut world = World::new();
        let hello = if stays { v5().stays() } else { v5() };
        let hello = hello.packet_bytes_max(30).receive_maximum(1);
        world.connect("a", hello).subscribe("t", Q2);
        world.connect("b", v5());
        for (payload, qos) in [
            (21, Q1),
            (100, Q1),
            (100, Q2),
            (100, Q0),
            (20, Q2),
            (22, Q1),
        ] {
            world.publish("b", post("t", vec![b'x'; payload]).qos(qos));
        }
        // Those that wait likewise.
        world.client("a").keeps_acks();
        for (payload, qos) in [(10, Q1), (100, Q2), (100, Q0), (11, Q1)] {
            world.publish("b", post("t", vec![b'x'; payload]).qos(qos));
        }
        world.client("a").acknowledges();
        let sizes: Vec<_> = world.clients[0]
            .deliveries
            .iter()
            .map(|one| one.payload.len())
            .collect();
        assert_eq!(sizes, [21, 20, 22, 10, 11]);
        world.client("a").lose();
        world.packets("a");
        if stays {
            world.connect("a", v5().stays());
            assert_eq!(world.packets("a"), ["CONNACK Success present"]);
        }
    }
}

/// Every packet is bound by the limit, also a DISCONNECT with its reason.
// [MQTT-3.1.2-24] [MQTT-3.14.2-3]
#[test]
fn a_reason_string_is_left_out_where_it_does_not_fit() {
    let mut world = World::new();
    for bytes in [20, 30, 1000] {
        world
            .connect("a", v5().packet_bytes_max(bytes))
            .send_bytes(&[0xC0, 1, 0]);
        assert_eq!(
            world.packets("a"),
            ["CONNACK Success", "DISCONNECT MalformedPacket", "CLOSED"]
        );
    }
}

// [MQTT-3.1.2-29]
#[test]
fn problem_information_may_be_unwanted() {
    let mut world = World::new();
    let mut hello = v5();
    hello.problem_information = Some(false);
    world.connect("a", hello).send_bytes(&[0xC0, 1, 0]);
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success", "DISCONNECT MalformedPacket", "CLOSED"]
    );
}

// [MQTT-3.2.2-15]
#[test]
fn what_is_too_large_for_the_broker_ends_the_connection() {
    let mut world = World::with(Limits {
        packet_bytes_max: 100,
        connect_bytes_max: 60,
        ..Limits::default()
    });
    world.connect("a", v5()).subscribe("t", Q0);
    world
        .connect("b", v5())
        .publish(post("t", vec![b'x'; 94]))
        .publish(post("t", vec![b'x'; 95]));
    assert_eq!(
        world.received("a"),
        [
            "PUBLISH t xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx q0"
        ]
    );
    assert_eq!(
        world.packets("b"),
        ["CONNACK Success", "DISCONNECT PacketTooLarge", "CLOSED"]
    );
    // The size is known before the packet has come.
    world.connect("b", v5()).send_bytes(&[0x30, 0xFF, 0x01]);
    assert_eq!(
        world.packets("b"),
        ["CONNACK Success", "DISCONNECT PacketTooLarge", "CLOSED"]
    );
    world.connect("c", v5().user(&"x".repeat(60), ""));
    assert_eq!(world.packets("c"), ["CLOSED"]);
}

#[test]
fn a_full_queue_keeps_what_it_has() {
    let mut world = World::with(Limits {
        queue_messages_max: 3,
        ..Limits::default()
    });
    world.connect("a", v5().stays()).subscribe("t", Q1).lose();
    world.connect("b", v5());
    for number in 0..5 {
        world.publish("b", post("t", number.to_string()).qos(Q1));
    }
    world.publish("b", post("t", "5").qos(Q2));
    assert_eq!(
        world.packets("b"),
        [
            "CONNACK Success",
            "PUBACK id1",
            "PUBACK id2",
            "PUBACK id3",
            "PUBACK id4 QuotaExceeded",
            "PUBACK id5 QuotaExceeded",
            "PUBREC id6 QuotaExceeded"
        ]
    );
    assert_eq!(world.engines.counters().dropped_queue_full, 3);
    world.packets("a");
    world.connect("a", v5().stays());
    world.publish("b", post("t", "6").qos(Q1));
    let payloads: Vec<_> = world.clients[0]
        .deliveries
        .iter()
        .map(|one| one.payload[0])
        .collect();
    assert_eq!(payloads, *b"0126");
}

/// One of its subscriptions is enough for a message to wait.
#[test]
fn a_full_queue_of_overlapping_subscriptions_is_told_of() {
    for (filters, publisher) in [["t", "+"], ["+", "t"]]
        .into_iter()
        .flat_map(|filters| ["b", "c", "d", "e"].map(|publisher| (filters, publisher)))
    {
        let mut world = World::with(Limits {
            queue_messages_max: 1,
            ..Limits::default()
        });
        world
            .connect("a", v5().stays())
            .subscribe(filters[0], Q0)
            .subscribe(filters[1], Q1)
            .lose();
        world.connect(publisher, v5());
        for number in 0..2 {
            world.publish(publisher, post("t", number.to_string()).qos(Q1));
        }
        assert_eq!(
            world.packets(publisher),
            ["CONNACK Success", "PUBACK id1", "PUBACK id2 QuotaExceeded"],
            "{filters:?}, {publisher}"
        );
    }
}

/// Memory that one client's queue takes is limited in bytes, too.
#[test]
fn a_queue_in_memory_is_limited_in_bytes() {
    let mut world = World::with(Limits {
        queue_bytes_max: 1000,
        ..Limits::default()
    });
    world
        .connect("a", v5().receive_maximum(1))
        .subscribe("t", Q1)
        .keeps_acks();
    world.connect("b", v5());
    for _ in 0..10 {
        world.publish("b", post("t", vec![b'x'; 300]).qos(Q1));
    }
    world.client("a").acknowledges();
    let first = world.clients[0].deliveries.len();
    assert!((4..7).contains(&first), "{first}");
    for _ in 0..10 {
        world.publish("b", post("t", vec![b'x'; 300]).qos(Q1));
    }
    assert_eq!(world.clients[0].deliveries.len(), first + 10);
}

/// What a stored session cannot take yet waits in the store, where there is room for it.
#[test]
fn large_messages_of_a_stored_session_wait_in_the_store() {
    let mut world = World::with(Limits {
        outbox_bytes_max: 1000,
        queue_bytes_max: 2000,
        ..Limits::default()
    });
    world
        .connect("a", v5().stays().receive_maximum(1))
        .subscribe("t", Q1)
        .keeps_acks();
    world.connect("b", v5());
    for _ in 0..20 {
        world.publish("b", post("t", vec![b'x'; 700]).qos(Q1));
    }
    assert_eq!(world.engines.counters().dropped_queue_full, 0);
    world.client("a").acknowledges();
    let expected: Vec<_> = (1..=20)
        .map(|id| format!("PUBLISH t (700 bytes) q1 id{id}"))
        .collect();
    assert_eq!(world.received("a"), expected);
}

/// A client that does not read costs the others nothing, and itself only what waits.
#[test]
fn a_slow_reader_stalls_nobody() {
    let mut world = World::with(Limits {
        outbox_bytes_max: 1000,
        queue_messages_max: 50,
        ..Limits::default()
    });
    world
        .connect("slow", v5())
        .subscribe("t", Q1)
        .stops_reading();
    world.connect("fast", v5()).subscribe("t", Q1);
    world.connect("b", v5());
    for number in 0..200 {
        let qos = if number % 2 == 0 { Q0 } else { Q1 };
        world.publish("b", post("t", format!("{number:100}")).qos(qos));
    }
    assert_eq!(world.received("fast").len(), 200);
    assert!(world.engines.counters().dropped_slow > 0);
    assert!(world.engines.counters().dropped_queue_full > 0);
    world.client("slow").reads();
    let count = world.received("slow").len();
    assert!((50..80).contains(&count), "{count}");
    world.publish("b", post("t", "next"));
    assert_eq!(world.received("slow"), ["PUBLISH t next q0"]);
}

/// Each of a great many connections that come to nothing is forgotten.
#[test]
fn connections_that_come_to_nothing_leave_nothing() {
    let mut world = World::new();
    for round in 0..300 {
        let index = world.open("a", v5().stays());
        match round % 3 {
            0 => world.clients[index].sending.truncate(round % 20),
            1 => world.clients[index].sending.clear(),
            _ => {}
        }
        world.run();
        world.lose(index);
    }
    world.advance_secs(20);
    assert_eq!(world.engines.connections(), 0);
    assert_eq!(world.engines.sessions(), 1);
    assert_eq!(world.engines.deadline(), None);
}
