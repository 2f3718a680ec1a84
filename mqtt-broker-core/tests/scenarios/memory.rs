//! The memory budget: what waits stays within it, who keeps up is not touched, and what is dropped is counted.

use mqtt_broker_core::Limits;

use crate::world::{World, post, v5, v311};
use crate::{Q0, Q1, Q2};

const BUDGET: usize = 4_000_000;
/// What may wait for anybody, however short memory is, for those in these tests.
const SLACK: usize = 110 * 4096;

fn world() -> World {
    World::with(Limits {
        memory_bytes_max: BUDGET,
        ..Limits::default()
    })
}

/// A hundred that do not read, at each QoS: one that does gets all, in time.
#[test]
fn those_who_do_not_read_share_what_there_is() {
    for qos in [Q0, Q1, Q2] {
        let mut world = world();
        for number in 0..100 {
            let hello = [v5(), v311(), v5().stays()][number % 3].clone();
            world
                .connect(&format!("stuck {number}"), hello)
                .subscribe("t", qos)
                .stops_reading();
        }
        world.connect("reader", v5()).subscribe("t", qos);
        world.connect("publisher", v5());
        world.received("reader");
        let mut most = 0;
        for number in 0..2000 {
            let payload = format!("{number:01000}");
            world.publish("publisher", post("t", payload).qos(qos));
            assert_eq!(world.received("reader").len(), 1, "{qos:?}: {number}");
            most = most.max(world.engines.memory_bytes());
        }
        assert!(
            (BUDGET / 4..=BUDGET + SLACK).contains(&most),
            "{qos:?}: {most}"
        );
        let counters = world.engines.counters();
        assert_eq!((counters.dropped_slow, counters.dropped_queue_full), (0, 0));
        if qos == Q0 {
            assert!(counters.dropped_memory > 100_000, "{counters:?}");
        }
        let names: Vec<_> = (0..100).map(|number| format!("stuck {number}")).collect();
        for name in &names {
            world.client(name).reads().lose();
        }
        for name in &names {
            world.connect(name, v5()).lose();
        }
        world.client("reader").lose();
        world.client("publisher").lose();
        world.run();
        assert_eq!(world.engines.sessions(), 0, "{qos:?}");
        assert_eq!(world.engines.memory_bytes(), 0, "{qos:?}");
    }
}

#[test]
fn a_publisher_is_told_that_there_is_no_memory() {
    let mut world = world();
    world.connect("a", v5().stays()).subscribe("t", Q1);
    world.client("a").stops_reading();
    world.connect("b", v5());
    // One waits in the outbox, one in the queue, and then there is no room.
    for _ in 0..3 {
        world.publish("b", post("t", vec![b'x'; BUDGET / 16]).qos(Q1));
    }
    let told = world.packets("b");
    assert_eq!(told[..3], ["CONNACK Success", "PUBACK id1", "PUBACK id2"]);
    if super::SHARDS == 1 {
        assert_eq!(told[3], "PUBACK id3 QuotaExceeded");
    }
    assert_eq!(world.engines.counters().dropped_memory, 1);
}

/// Their queues are in the store, which is in memory here.
#[test]
fn small_messages_for_those_who_are_away_stay_within_the_budget() {
    let mut world = world();
    for number in 0..50 {
        let name = format!("away {number}");
        world
            .connect(&name, v5().stays())
            .subscribe(&name, Q1)
            .lose();
    }
    world.connect("b", v5());
    for _ in 0..120 {
        for number in 0..50 {
            world.publish(
                "b",
                post(&format!("away {number}"), vec![b'x'; 1000]).qos(Q1),
            );
        }
    }
    assert!(world.engines.memory_bytes() <= BUDGET);
    assert!(world.engines.counters().dropped_memory > 1000);
    // Nobody new is let in, but those whose queues take up the memory are.
    world.connect("new", v5());
    assert_eq!(world.packets("new"), ["CONNACK QuotaExceeded", "CLOSED"]);
    let used = world.engines.memory_bytes();
    for number in 0..50 {
        world.connect(&format!("away {number}"), v5().stays());
    }
    assert!(world.engines.memory_bytes() < used / 4);
}

#[test]
fn retained_messages_stay_within_the_budget() {
    let mut world = world();
    world.connect("a", v5());
    for number in 0..5000 {
        world.publish("a", post(&format!("t/{number}"), vec![b'x'; 1000]).retain());
    }
    let retained = world.engines.retained();
    assert!((2000..3000).contains(&retained), "{retained}");
    assert!(world.engines.memory_bytes() <= BUDGET);
    assert_eq!(
        world.engines.counters().not_retained,
        5000 - retained as u64
    );
    for number in 0..5000 {
        world.publish("a", post(&format!("t/{number}"), "").retain());
    }
    world.client("a").lose();
    assert_eq!(
        (world.engines.retained(), world.engines.memory_bytes()),
        (0, 0)
    );
}

#[test]
fn when_nothing_is_left_nobody_new_is_let_in() {
    let mut world = World::with(Limits {
        memory_bytes_max: 100_000,
        ..Limits::default()
    });
    world.connect("a", v5());
    let mut reasons = Vec::new();
    for number in 0..600 {
        world.client("a").subscribe(&format!("t/{number}"), Q0);
        reasons.extend(world.packets("a"));
    }
    assert!(
        reasons.iter().any(|line| line.ends_with("QuotaExceeded")),
        "{reasons:?}"
    );
    assert!(world.engines.memory_bytes() < 100_000);
    world.connect("b", v5());
    assert_eq!(world.packets("b"), ["CONNACK QuotaExceeded", "CLOSED"]);
    assert!(world.engines.counters().refused_memory > 1);
    // One that is there can be replaced.
    world.client("a").subscribe("t/1", Q1);
    assert_eq!(world.packets("a"), ["SUBACK id601 GrantedQoS1"]);
}

/// What waits for memory is sent when there is some, though nothing else happens.
#[test]
fn what_waits_for_memory_is_sent_once_there_is_some() {
    let mut world = world();
    world
        .connect("hog", v5())
        .subscribe("hog", Q0)
        .stops_reading();
    for number in 0..40 {
        world.connect(&number.to_string(), v5());
    }
    world.connect("a", v5()).subscribe("t", Q1);
    world.connect("b", v5());
    world.received("a");
    world.publish("b", post("hog", vec![b'x'; BUDGET / 10]));
    world
        .connect("away", v5().stays())
        .subscribe("away", Q1)
        .lose();
    for _ in 0..4000 {
        if world.engines.memory_bytes() > BUDGET / 100 * 88 {
            break;
        }
        world.publish("b", post("away", vec![b'x'; 1000]).qos(Q1));
    }
    // It is larger than an outbox may hold now, and not than a queue may.
    world.publish("b", post("t", vec![b'x'; BUDGET / 80]).qos(Q1));
    let waits = world.received("a").is_empty();
    world.client("hog").reads();
    world.advance_secs(1);
    assert_eq!((waits, world.received("a").len()), (true, 1));
}

#[test]
fn sessions_are_limited() {
    let mut world = World::with(Limits {
        sessions_max: 2,
        ..Limits::default()
    });
    world.connect("a", v5().stays()).lose();
    world.connect("b", v5().stays());
    world.connect("c", v5().stays());
    assert_eq!(world.packets("c"), ["CONNACK QuotaExceeded", "CLOSED"]);
    world.connect("a", v5().stays());
    assert_eq!(world.packets("a")[0], "CONNACK Success");
}
