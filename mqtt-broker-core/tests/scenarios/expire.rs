//! Lifetimes of messages that wait in the store for a session that is away.

use std::sync::Arc;

use mqtt_broker_core::store::{Batch, Change, Delivery, SessionRecord, SessionStore};
use mqtt_broker_core::{ClientId, Limits, Message};
use mqtt_codec::{Properties, QoS, TopicName};
use mqtt_store_memory::MemoryStore;

use crate::world::{World, block_on, post, v5};
use crate::{Q1, Q2};

/// How many deliveries the store has for a client.
fn stored(world: &World, client: &str) -> usize {
    let client = ClientId::new(client);
    let all = world.store.deliveries(&client, None, usize::MAX);
    block_on(all).unwrap().len()
}

/// A subscriber that is away, whose queue takes four messages.
fn away() -> World {
    let mut world = World::with(Limits {
        queue_messages_max: 4,
        ..Limits::default()
    });
    world.connect("a", v5().stays()).subscribe("t", Q2).lose();
    world.connect("b", v5());
    world
}

#[test]
fn what_has_expired_leaves_the_store_while_its_session_is_away() {
    let mut world = away();
    for (text, seconds) in [("1", 10), ("2", 10_000), ("3", 20)] {
        let message = post("t", text).qos(Q1).expiry(seconds);
        world.publish("b", message);
    }
    world.publish("b", post("t", "4").qos(Q1));
    assert_eq!(stored(&world, "a"), 4);
    // Not each second: what expires within a minute is looked for together.
    world.advance_secs(11);
    assert_eq!(stored(&world, "a"), 3);
    world.advance_secs(60);
    assert_eq!(stored(&world, "a"), 2);
    assert_eq!(world.engines.counters().dropped_expired, 2);
    world.connect("a", v5().stays());
    assert_eq!(
        world.received("a"),
        ["PUBLISH t 2 q1 id2 expiry=9929", "PUBLISH t 4 q1 id4"]
    );
}

/// Whoever was there when it was looked, and leaves its queue behind, is looked at again.
#[test]
fn what_expired_while_its_session_was_there_leaves_the_store_too() {
    let mut world = World::new();
    world
        .connect("a", v5().stays().receive_maximum(1))
        .subscribe("t", Q2)
        .keeps_acks();
    world.connect("b", v5());
    world.publish("b", post("t", "1").qos(Q1));
    for text in ["2", "3"] {
        world.publish("b", post("t", text).qos(Q1).expiry(5));
    }
    world.advance_secs(200);
    assert_eq!(stored(&world, "a"), 3);
    world.client("a").lose();
    world.advance_secs(61);
    assert_eq!(stored(&world, "a"), 1);
}

/// While a commit took longer than the pause between two searches, both found the same message. It
/// was dropped twice, the queue counted as empty, and what waited before it was never sent.
#[test]
fn what_has_expired_is_dropped_once() {
    let mut world = away();
    world.publish("b", post("t", "1").qos(Q1));
    world.publish("b", post("t", "2").qos(Q1).expiry(10));
    world.hold_commits();
    // Something to commit, which the first search waits for.
    world.connect("c", v5().stays());
    world.advance_secs(11);
    world.publish("b", post("t", "3").qos(Q1).expiry(10));
    world.advance_secs(61);
    world.release_commits();
    assert_eq!(world.engines.counters().dropped_expired, 2);
    world.connect("a", v5().stays());
    assert_eq!(world.received("a"), ["PUBLISH t 1 q1 id1"]);
}

/// What has expired makes room, wherever in the queue it was.
#[test]
fn what_has_expired_makes_room() {
    let mut world = away();
    world.publish("b", post("t", "1").qos(Q1));
    for round in 0..10 {
        for number in 0..3 {
            let text = format!("{round}.{number}");
            let message = post("t", &text).qos(Q1).expiry(5);
            world.publish("b", message);
        }
        assert_eq!(stored(&world, "a"), 4);
        world.publish("b", post("t", "too much").qos(Q1));
        world.advance_secs(120);
        assert_eq!(stored(&world, "a"), 1);
    }
    assert_eq!(world.engines.counters().dropped_queue_full, 10);
    world.publish("b", post("t", "2").qos(Q1));
    world.connect("a", v5().stays());
    assert_eq!(
        world.received("a"),
        ["PUBLISH t 1 q1 id1", "PUBLISH t 2 q1 id32"]
    );
    world.publish("b", post("t", "3").qos(Q1));
    assert_eq!(world.received("a"), ["PUBLISH t 3 q1 id33"]);
}

// [MQTT-4.3.3-7]
#[test]
fn what_was_sent_before_stays() {
    let mut world = World::new();
    world.connect("a", v5().stays()).subscribe("t", Q2);
    world.client("a").keeps_acks();
    world.connect("b", v5());
    world.publish("b", post("t", "1").qos(Q1).expiry(5));
    world.publish("b", post("t", "2").qos(Q2).expiry(5));
    assert_eq!(world.received("a").len(), 2);
    world.client("a").lose();
    world.publish("b", post("t", "3").qos(Q2).expiry(5));
    world.advance_secs(600);
    assert_eq!(stored(&world, "a"), 2);
    world.connect("a", v5().stays());
    assert_eq!(
        world.received("a"),
        [
            "PUBLISH t 1 q1 id1 dup expiry=0",
            "PUBLISH t 2 q2 id2 dup expiry=0"
        ]
    );
}

/// A new session of the same client has the same numbers; what was read about the old one does not
/// concern it.
#[test]
fn a_new_session_does_not_lose_for_the_old_one() {
    let mut world = away();
    world.publish("b", post("t", "old").qos(Q1).expiry(5));
    world.hold_loads();
    world.advance_secs(120);
    let hello = v5().stays().clean();
    world.connect("a", hello).subscribe("t", Q1).lose();
    world.publish("b", post("t", "new").qos(Q1));
    world.release_loads();
    world.advance_secs(120);
    world.connect("a", v5().stays());
    assert_eq!(world.received("a"), ["PUBLISH t new q1 id1"]);
}

#[test]
fn lifetimes_end_while_there_is_no_broker() {
    let mut world = away();
    world.publish("b", post("t", "1").qos(Q1).expiry(5));
    world.publish("b", post("t", "2").qos(Q1));
    world.let_time_pass(std::time::Duration::from_secs(2));
    world.restart();
    assert_eq!(stored(&world, "a"), 2);
    world.advance_secs(5);
    world.restart();
    world.advance_secs(1);
    assert_eq!(stored(&world, "a"), 1);
}

/// A gap in the numbers costs nothing, however long it is.
#[test]
fn gaps_of_any_length_are_passed() {
    let store = Arc::new(MemoryStore::default());
    let client = ClientId::new("a");
    let mut changes = vec![Change::PutSession {
        client: client.clone(),
        record: SessionRecord {
            expiry_interval: u32::MAX,
            ..SessionRecord::default()
        },
    }];
    let seqs = [1, 2, 60_000, 200_000, 1 << 40, (1 << 40) + 1, 1 << 62];
    for seq in seqs {
        let topic = TopicName::from_text("t").unwrap();
        let text = seq.to_string();
        let message = Message::new(topic.as_view(), Properties::default(), text.as_bytes());
        changes.push(Change::PutDelivery {
            client: client.clone(),
            seq,
            delivery: Delivery {
                message: Arc::new(message),
                qos: QoS::AtLeastOnce,
                retain: false,
                subscription_identifiers: Box::default(),
                released: false,
            },
        });
    }
    block_on(store.commit(Batch::from(changes))).unwrap();
    let mut world = World::on(store);
    world.connect("a", v5().stays());
    let received = world.received("a");
    let texts = received.iter().map(|line| line.split(' ').nth(2).unwrap());
    assert!(texts.eq(seqs.map(|seq| seq.to_string())), "{received:?}");
}
