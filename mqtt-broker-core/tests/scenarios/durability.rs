//! Nothing is promised before it is durable: each packet that promises something leaves only after
//! the commit of what it promises.

use std::sync::Arc;

use mqtt_broker_core::store::testkit::FlakyStore;
use mqtt_store_memory::MemoryStore;

use crate::world::{Crash, World, post, v5, v311};
use crate::{Q0, Q1, Q2};

/// A subscriber whose session stays, and a publisher; commits take for ever.
fn held() -> World {
    let mut world = World::new();
    world.connect("a", v5().stays()).subscribe("t", Q2);
    world.connect("b", v5().stays());
    world.packets("a");
    world.packets("b");
    world.hold_commits();
    world
}

// [MQTT-4.3.2-4] [MQTT-4.3.3-8]
#[test]
fn puback_and_pubrec_wait_for_the_message() {
    for qos in [Q1, Q2] {
        let mut world = held();
        world.publish("b", post("t", "hi").qos(qos));
        assert_eq!(world.packets("b"), [""; 0]);
        // One message on top, which is in the next commit.
        world.publish("b", post("t", "ho").qos(Q1));
        world.commit_once();
        let ack = if qos == Q1 {
            "PUBACK id1"
        } else {
            "PUBREC id1"
        };
        assert_eq!(world.packets("b"), [ack]);
        world.release_commits();
        assert!(world.packets("b").contains(&"PUBACK id2".to_owned()));
    }
}

#[test]
fn what_concerns_no_session_that_stays_waits_for_nothing() {
    let mut world = World::new();
    world.connect("a", v5()).subscribe("t", Q2);
    world.connect("b", v5());
    world.packets("a");
    world.packets("b");
    world.hold_commits();
    world.client("a").subscribe("u", Q1).unsubscribe("u");
    world
        .client("b")
        .publish(post("t", "1").qos(Q1))
        .publish(post("t", "2").qos(Q2));
    assert_eq!(
        world.packets("a"),
        [
            "SUBACK id2 GrantedQoS1",
            "UNSUBACK id3 Success",
            "PUBLISH t 1 q1 id1",
            "PUBLISH t 2 q2 id2",
            "PUBREL id2"
        ]
    );
    assert_eq!(
        world.packets("b"),
        ["PUBACK id1", "PUBREC id2", "PUBCOMP id2"]
    );
    assert!(!world.is_committing());
}

#[test]
fn the_retained_message_is_durable_before_it_is_acknowledged() {
    let mut world = held();
    world.publish("b", post("u", "kept").qos(Q1).retain());
    assert_eq!(world.packets("b"), [""; 0]);
    world.release_commits();
    assert_eq!(world.packets("b"), ["PUBACK id1 NoMatchingSubscribers"]);
    world.hold_commits();
    world.publish("b", post("u", "").qos(Q1).retain());
    assert_eq!(world.packets("b"), [""; 0]);
    world.crash(Crash::AfterCommit);
    assert_eq!(world.engines.retained(), 0);
}

/// A QoS 2 message to nobody: its identifier is what has to be kept.
// [MQTT-4.3.3-10]
#[test]
fn the_identifier_is_durable_before_the_pubrec() {
    let mut world = held();
    world.publish("b", post("nobody", "hi").qos(Q2));
    assert_eq!(world.packets("b"), [""; 0]);
    world.release_commits();
    assert_eq!(
        world.packets("b"),
        ["PUBREC id1 NoMatchingSubscribers", "PUBCOMP id1"]
    );
}

/// Else the identifier's next message would be taken for a repetition, after a crash.
#[test]
fn pubcomp_waits_for_the_removal_of_the_identifier() {
    let mut world = held();
    world.client("b").keeps_acks();
    world.publish("b", post("nobody", "hi").qos(Q2));
    world.commit_once();
    assert_eq!(world.packets("b"), ["PUBREC id1 NoMatchingSubscribers"]);
    world.client("b").acknowledge(1);
    assert_eq!(world.packets("b"), [""; 0]);
    world.commit_once();
    assert_eq!(world.packets("b"), ["PUBCOMP id1"]);
    world.crash_and_restart();
    world.release_commits();
    world.connect("a", v5().stays());
    world.connect("b", v5().stays());
    world.publish("b", post("t", "next").qos(Q2).id(1));
    assert_eq!(world.received("a"), ["PUBLISH t next q2 id1"]);
}

#[test]
fn publish_of_qos_2_waits_for_its_delivery() {
    let mut world = held();
    world.publish("b", post("t", "hi").qos(Q2));
    assert_eq!(world.packets("a"), [""; 0]);
    world.commit_once();
    assert_eq!(world.packets("a"), ["PUBLISH t hi q2 id1"]);
}

/// Those of QoS 0 and 1 may go at once.
#[test]
fn publish_of_qos_1_waits_for_nothing() {
    let mut world = held();
    world.publish("b", post("t", "0"));
    world.publish("b", post("t", "1").qos(Q1));
    assert_eq!(world.packets("a"), ["PUBLISH t 0 q0", "PUBLISH t 1 q1 id1"]);
}

/// Also where the message has waited for its turn in the meantime: the commit that it waits for may
/// be a later one than that of the message whose place it takes.
#[test]
fn publish_of_qos_2_waits_for_its_delivery_when_its_turn_comes() {
    let mut world = World::new();
    world
        .connect("a", v5().stays().receive_maximum(1))
        .subscribe("t", Q2)
        .keeps_acks();
    world.connect("b", v5().stays());
    world.publish("b", post("t", "1").qos(Q1));
    world.packets("a");
    world.hold_commits();
    world.publish("b", post("t", "2").qos(Q2));
    world.client("a").acknowledge(1);
    assert_eq!(world.packets("a"), [""; 0]);
    world.release_commits();
    assert_eq!(world.packets("a"), ["PUBLISH t 2 q2 id2"]);
}

// [MQTT-4.3.3-6]
#[test]
fn pubrel_waits_for_the_release() {
    let mut world = held();
    world.publish("b", post("t", "hi").qos(Q2));
    world.commit_once();
    assert_eq!(world.packets("a"), ["PUBLISH t hi q2 id1"]);
    // The PUBREC has been handled, its release is not committed.
    world.crash_and_restart();
    world.connect("a", v5().stays());
    world.release_commits();
    assert_eq!(
        world.packets("a"),
        [
            "CONNACK Success present",
            "PUBLISH t hi q2 id1 dup",
            "PUBREL id1"
        ]
    );
}

#[test]
fn suback_and_unsuback_wait_for_the_subscription() {
    let mut world = held();
    world.client("a").subscribe("u", Q1);
    assert_eq!(world.packets("a"), [""; 0]);
    world.commit_once();
    assert_eq!(world.packets("a"), ["SUBACK id2 GrantedQoS1"]);
    world.client("a").unsubscribe("t");
    assert_eq!(world.packets("a"), [""; 0]);
    world.commit_once();
    assert_eq!(world.packets("a"), ["UNSUBACK id3 Success"]);
    world.crash_and_restart();
    world.release_commits();
    world.connect("a", v5().stays());
    world
        .connect("b", v5())
        .publish(post("t", "1").qos(Q1))
        .publish(post("u", "2").qos(Q1));
    assert_eq!(world.received("a"), ["PUBLISH u 2 q1 id1"]);
}

#[test]
fn connack_waits_for_the_session() {
    let mut world = held();
    world.connect("c", v5().stays());
    assert_eq!(world.packets("c"), [""; 0]);
    world.connect("d", v311().stays());
    // Sessions that end with their connection have nothing to wait for.
    world.connect("e", v5());
    assert_eq!(world.packets("e"), ["CONNACK Success"]);
    world.commit_once();
    assert_eq!(world.packets("c"), ["CONNACK Success"]);
    assert_eq!(world.packets("d"), [""; 0]);
    world.release_commits();
    assert_eq!(world.packets("d"), ["CONNACK Success"]);
}

/// A session that was discarded must not come back.
// [MQTT-3.1.2-4]
#[test]
fn connack_waits_for_the_end_of_the_old_session() {
    let mut world = held();
    world.client("a").lose();
    world.release_commits();
    world.packets("a");
    world.hold_commits();
    world.connect("a", v5().stays().clean());
    assert_eq!(world.packets("a"), [""; 0]);
    world.commit_once();
    assert_eq!(world.packets("a"), ["CONNACK Success"]);
    world.crash_and_restart();
    world.release_commits();
    world.connect("b", v5()).publish(post("t", "hi").qos(Q1));
    world.connect("a", v5().stays());
    assert_eq!(world.packets("a"), ["CONNACK Success present"]);
}

/// The same where the new session is none that is kept.
// [MQTT-3.1.2-4] [MQTT-3.2.2-2]
#[test]
fn connack_of_a_short_session_waits_for_the_end_of_the_old_one() {
    let mut world = held();
    world.client("a").lose();
    world.release_commits();
    world.packets("a");
    world.hold_commits();
    world.connect("a", v5());
    assert_eq!(world.packets("a"), [""; 0]);
    world.release_commits();
    assert_eq!(world.packets("a"), ["CONNACK Success"]);
    world.crash_and_restart();
    assert_eq!(world.engines.sessions(), 1);
}

/// An acknowledgement of the subscriber is made durable whenever that is convenient.
#[test]
fn completion_holds_nothing_up() {
    let mut world = held();
    world.publish("b", post("t", "1").qos(Q1));
    world.client("a").ping();
    assert_eq!(world.packets("a"), ["PUBLISH t 1 q1 id1", "PINGRESP"]);
}

/// What was acknowledged survives; what was not may come again, from the publisher.
#[test]
fn a_crash_loses_nothing_that_was_acknowledged() {
    for crash in [Crash::BeforeCommit, Crash::AfterCommit] {
        let mut world = World::new();
        world.connect("a", v5().stays()).subscribe("t", Q2).lose();
        world.connect("b", v5().stays());
        world.publish("b", post("t", "1").qos(Q2));
        world.hold_commits();
        world.publish("b", post("t", "2").qos(Q2));
        world.publish("b", post("t", "3").qos(Q1));
        world.crash(crash);
        world.release_commits();
        world.packets("a");
        world.connect("b", v5().stays());
        world.connect("a", v5().stays());
        let mut received = world.received("a");
        received.retain(|line| line.contains(" q2"));
        assert_eq!(
            received,
            ["PUBLISH t 1 q2 id1", "PUBLISH t 2 q2 id2"],
            "{crash:?}"
        );
    }
}

/// The store fails: what waits for it never leaves, all connections end, and the next run has what
/// was committed.
#[test]
fn a_store_failure_releases_nothing() {
    let store = Arc::new(MemoryStore::default());
    let flaky = Arc::new(FlakyStore::new(store.clone()));
    let mut world = World::on(flaky.clone());
    world.connect("a", v5().stays()).subscribe("t", Q2);
    world.connect("b", v5().stays());
    world.publish("b", post("t", "1").qos(Q1));
    world.packets("a");
    world.packets("b");
    flaky.fail_after(0);
    world.hold_commits();
    world.client("b").publish(post("t", "2").qos(Q1));
    world.publish("b", post("t", "3").qos(Q2));
    world.client("a").subscribe("u", Q1);
    world.connect("c", v5().stays());
    assert_eq!(world.packets("a"), ["PUBLISH t 2 q1 id2"]);
    world.release_commits();
    assert!(world.dead);
    assert_eq!(world.packets("a"), ["CLOSED"]);
    assert_eq!(world.packets("b"), ["CLOSED"]);
    assert_eq!(world.packets("c"), ["CLOSED"]);
    // The disk is well again.
    world.store = store;
    world.restart();
    world.clients[1].outgoing.clear();
    world.connect("a", v5().stays());
    world.connect("b", v5().stays());
    world.publish("b", post("u", "?").qos(Q1));
    world.publish("b", post("t", "4").qos(Q1));
    assert_eq!(world.received("a"), ["PUBLISH t 4 q1 id1"]);
}

/// QoS 0 never touches the store.
#[test]
fn qos_0_changes_nothing() {
    let mut world = held();
    world.client("b").publish(post("t", "hi"));
    world.client("a").subscribe("u", Q0);
    world.commit_once();
    world.client("b").publish(post("u", "hi").qos(Q2).id(1));
    world.commit_once();
    world.packets("a");
    world.packets("b");
    world.publish("b", post("t", "0"));
    assert_eq!(world.packets("a"), ["PUBLISH t 0 q0"]);
}

/// After a crash the store takes sessions for connected, so that all that waits may have been sent.
/// What is queued after the restart has not been, and the next crash must not change that.
// [MQTT-3.3.1-1]
#[test]
fn what_came_after_a_crash_was_not_sent_before_the_next() {
    let mut world = World::new();
    world.connect("a", v5().stays()).subscribe("t", Q2);
    world.client("a").keeps_acks();
    world.connect("b", v5());
    world.publish("b", post("t", "1").qos(Q1));
    assert_eq!(world.received("a"), ["PUBLISH t 1 q1 id1"]);
    world.crash_and_restart();
    world.connect("b", v5());
    world.publish("b", post("t", "2").qos(Q1));
    world.crash_and_restart();
    world.connect("a", v5().stays());
    assert_eq!(
        world.received("a"),
        ["PUBLISH t 1 q1 id1 dup", "PUBLISH t 2 q1 id2"]
    );
}

/// The time of a session that was connected counts from the first restart on.
// [MQTT-3.1.2-23]
#[test]
fn the_time_of_a_session_counts_from_the_crash() {
    let mut world = World::new();
    for number in 0..2500 {
        let name = format!("c{number}");
        world.connect(&name, v5().expires(60));
    }
    world.crash_and_restart();
    world.advance_secs(40);
    world.crash_and_restart();
    assert_eq!(world.engines.sessions(), 2500);
    world.advance_secs(21);
    assert_eq!(world.engines.sessions(), 0);
}
