//! The will: what is published for a client whose connection is lost.

use std::time::Duration;

use mqtt_broker_core::authority::{Decision, Grant, Permissions};
use mqtt_codec::{ReasonCode, SubscriptionOptions, TopicFilter, TopicName, Version};

use crate::world::{Hello, World, hello, post, v5, v311};
use crate::{Q0, Q1, Q2};

/// A world in which somebody looks on.
fn watched() -> World {
    let mut world = World::new();
    let options = SubscriptionOptions {
        retain_as_published: true,
        ..SubscriptionOptions::of_qos(Q2)
    };
    world
        .connect("watcher", v5().stays())
        .subscribe_all(&[("#", options)], None);
    world.packets("watcher");
    world
}

fn dies(delay: u32) -> Hello {
    v5().expires(100).will(post("will", "dead").delay(delay))
}

const DEAD: &str = "PUBLISH will dead q0";

/// A will came back to the client that had left it, though it had asked not to get what is its own.
// [MQTT-3.8.3-3]
#[test]
fn a_will_is_a_message_of_its_client() {
    let mut world = watched();
    let hello = || v5().stays().will(post("will", "dead").qos(Q1));
    let options = SubscriptionOptions {
        no_local: true,
        ..SubscriptionOptions::of_qos(Q1)
    };
    world
        .connect("a", hello())
        .subscribe_all(&[("will", options)], None);
    world.client("a").lose();
    assert_eq!(world.received("watcher"), ["PUBLISH will dead q1 id1"]);
    world.connect("a", hello());
    assert_eq!(world.received("a"), [""; 0]);
}

// [MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT-3.1.2-10]
#[test]
fn a_lost_connection_has_its_will_published_once() {
    for version in Version::ALL {
        let mut world = watched();
        world.connect("a", hello(version).stays().will(post("will", "dead")));
        assert_eq!(world.received("watcher"), [""; 0]);
        world.client("a").lose();
        assert_eq!(world.received("watcher"), [DEAD]);
        // A connection without a will has none.
        world.connect("a", hello(version).stays());
        world.client("a").lose();
        world.advance_secs(1000);
        world.restart();
        world.connect("watcher", v5().stays());
        assert_eq!(world.received("watcher"), [""; 0]);
    }
}

// [MQTT-3.1.2-14] [MQTT-3.1.2-15] [MQTT-3.1.2-16] [MQTT-3.1.2-17] [MQTT-3.1.3-10]
#[test]
fn a_will_is_published_as_it_was_left() {
    let mut world = watched();
    let will = post("will", "dead")
        .qos(Q2)
        .retain()
        .expiry(30)
        .content("text/plain", true)
        .response("answers", b"7")
        .user("b", "1")
        .user("a", "2")
        .user("b", "1");
    world.connect("a", v5().will(will)).lose();
    let rest = "expiry=30 text=true type=text/plain response=answers correlation=7 b=1 a=2 b=1";
    assert_eq!(
        world.received("watcher"),
        [format!("PUBLISH will dead q2 id1 retain {rest}").as_str()]
    );
    world.advance_secs(10);
    world.connect("b", v5()).subscribe("will", Q1);
    assert_eq!(
        world.received("b")[0].split(" text").next(),
        Some("PUBLISH will dead q1 id1 retain expiry=20")
    );
    world
        .connect("c", v311().will(post("will", "").retain()))
        .lose();
    assert_eq!(world.engines.retained(), 0);
}

// [MQTT-3.1.2-10] [MQTT-3.14.4-3]
#[test]
fn goodbye_is_without_a_will() {
    for version in Version::ALL {
        for delay in [None, Some(5)] {
            let mut world = watched();
            let mut will = post("will", "dead");
            will.delay = delay.filter(|_| version == Version::V5);
            world
                .connect("a", hello(version).stays().will(will))
                .disconnect();
            world.advance_secs(1000);
            world.restart();
            world.connect("watcher", v5().stays());
            assert_eq!(world.received("watcher"), [""; 0]);
        }
    }
}

// [MQTT-3.1.2-8]
#[test]
fn disconnect_with_will() {
    let mut world = watched();
    world
        .connect("a", dies(0))
        .disconnect_with(ReasonCode::DisconnectWithWill, None);
    assert_eq!(world.received("watcher"), [DEAD]);
    world
        .connect("a", dies(5))
        .disconnect_with(ReasonCode::UnspecifiedError, None);
    assert_eq!(world.received("watcher"), [""; 0]);
    world.advance_secs(6);
    assert_eq!(world.received("watcher"), [DEAD]);
}

// [MQTT-3.1.2-8]
#[test]
fn every_other_end_has_the_will_published() {
    // A violation.
    let mut world = watched();
    world.connect("a", dies(0)).send_bytes(&[0xF0, 0]);
    assert_eq!(world.received("watcher"), [DEAD]);
    // Silence.
    world.connect("a", dies(0).keep_alive(10));
    world.advance_secs(16);
    assert_eq!(world.received("watcher"), [DEAD]);
    // Another connection: the old one's will, not the new one's.
    world.connect("a", dies(0).id("same"));
    world.connect("a2", v5().expires(100).id("same").will(post("will", "2")));
    assert_eq!(world.received("watcher"), [DEAD]);
    world.client("a2").disconnect();
    // A session that is discarded.
    world.connect("a", dies(0).id("same"));
    world.connect("a2", v5().id("same"));
    assert_eq!(world.received("watcher"), [DEAD]);
}

// [MQTT-3.1.2-8]
#[test]
fn a_shutdown_publishes_wills_before_it_closes() {
    let mut world = World::new();
    world.connect("a", v5().will(post("will", "a").retain()));
    world.connect("b", v5().stays()).subscribe("#", Q1);
    world.connect("c", v311().will(post("will", "c").qos(Q1)));
    world.packets("b");
    world.shut_down();
    let mut packets = world.packets("b");
    // Shards publish their wills one after the other.
    packets[..2].sort();
    assert_eq!(
        packets,
        [
            "PUBLISH will a q0",
            "PUBLISH will c q1 id1",
            "DISCONNECT ServerShuttingDown",
            "CLOSED"
        ]
    );
    assert_eq!(world.packets("c"), ["CONNACK Success", "CLOSED"]);
    assert_eq!(world.engines.connections(), 0);
    world.restart();
    assert_eq!(world.engines.retained(), 1);
    world.connect("b", v5().stays());
    assert_eq!(world.received("b"), ["PUBLISH will c q1 id1 dup"]);
}

// [MQTT-3.1.2-8]
#[test]
fn a_will_waits_for_its_delay() {
    let mut world = watched();
    world.connect("a", dies(10)).lose();
    world.advance_secs(9);
    assert_eq!(world.received("watcher"), [""; 0]);
    world.advance_secs(2);
    assert_eq!(world.received("watcher"), [DEAD]);
    world.connect("a", v5().expires(100)).lose();
    world.advance_secs(1000);
    assert_eq!(world.received("watcher"), [""; 0]);
}

// [MQTT-3.1.3-9]
#[test]
fn who_comes_back_in_time_has_no_will_published() {
    let mut world = watched();
    world.connect("a", dies(10)).lose();
    world.advance_secs(9);
    world.connect("a", dies(10));
    world.advance_secs(5);
    world.client("a").lose();
    // The delay counts anew.
    world.advance_secs(9);
    assert_eq!(world.received("watcher"), [""; 0]);
    world.advance_secs(2);
    assert_eq!(world.received("watcher"), [DEAD]);
}

// [MQTT-3.1.3-9]
#[test]
fn who_takes_over_in_time_has_no_will_published() {
    let mut world = watched();
    world.connect("a", dies(10).id("same"));
    world.connect("a2", v5().expires(100).id("same"));
    world.advance_secs(50);
    assert_eq!(world.received("watcher"), [""; 0]);
}

/// Whoever comes back in the second in which a will is published comes too late all the same.
// [MQTT-3.1.2-8]
#[test]
fn a_will_that_is_due_is_published_whoever_comes() {
    let mut world = watched();
    world.advance(Duration::from_millis(300));
    world.connect("a", dies(10)).lose();
    world.advance(Duration::from_millis(10_100));
    world.connect("a", dies(10));
    world.advance_secs(5);
    assert_eq!(world.received("watcher"), [DEAD]);
}

// [MQTT-3.1.2-8] [MQTT-4.1.0-2]
#[test]
fn the_end_of_the_session_ends_the_delay() {
    // Its time is over first.
    let mut world = watched();
    world
        .connect("a", v5().expires(5).will(post("will", "dead").delay(10)))
        .lose();
    world.advance_secs(6);
    assert_eq!(world.received("watcher"), [DEAD]);
    // There never was any time.
    world
        .connect("a", v5().will(post("will", "dead").delay(10)))
        .lose();
    assert_eq!(world.received("watcher"), [DEAD]);
    // It is discarded.
    world.connect("a", dies(10)).lose();
    world.connect("a", v5());
    assert_eq!(world.received("watcher"), [DEAD]);
    // It is discarded while it is connected.
    world.connect("a", dies(10).id("same"));
    world.connect("a2", v5().id("same"));
    assert_eq!(world.received("watcher"), [DEAD]);
    // DISCONNECT ends it, with the will.
    world
        .connect("a", dies(10))
        .disconnect_with(ReasonCode::DisconnectWithWill, Some(0));
    assert_eq!(world.received("watcher"), [DEAD]);
    world.advance_secs(1000);
    assert_eq!(world.received("watcher"), [""; 0]);
}

// [MQTT-3.1.2-7]
#[test]
fn a_will_outlives_the_broker() {
    // Waiting for its delay.
    let mut world = watched();
    world.connect("a", dies(50)).lose();
    world.advance_secs(20);
    world.crash_and_restart();
    world.connect("watcher", v5().stays());
    world.advance_secs(29);
    assert_eq!(world.received("watcher"), [""; 0]);
    world.advance_secs(2);
    assert_eq!(world.received("watcher"), [DEAD]);
    // Of a client that was connected: the connection is lost with the broker.
    world.connect("a", dies(0));
    world.crash_and_restart();
    world.connect("watcher", v5().stays());
    world.advance_secs(2);
    assert_eq!(world.received("watcher"), [DEAD]);
    world.crash_and_restart();
    world.connect("watcher", v5().stays());
    world.advance_secs(1000);
    assert_eq!(world.received("watcher"), [""; 0]);
}

/// The client of a will that is due comes back before anything else happens.
// [MQTT-3.1.2-8]
#[test]
fn a_will_of_the_crash_is_published_whoever_comes() {
    let mut world = watched();
    world.advance(Duration::from_millis(300));
    world.connect("a", dies(0).will(post("will", "dead").qos(Q1)));
    world.crash_and_restart();
    world.connect("a", dies(0));
    world.connect("watcher", v5().stays());
    world.advance_secs(2);
    let received = world.received("watcher");
    assert_eq!(received, ["PUBLISH will dead q1 id1"]);
}

#[test]
fn a_will_s_lifetime_begins_when_it_is_published() {
    let mut world = watched();
    world.client("watcher").lose();
    let will = post("will", "dead").delay(50).expiry(30).qos(Q1);
    world.connect("a", v5().expires(100).will(will)).lose();
    world.advance_secs(60);
    world.connect("watcher", v5().stays());
    assert_eq!(
        world.received("watcher"),
        ["PUBLISH will dead q1 id1 expiry=20"]
    );
}

struct OnlyU;

impl Permissions for OnlyU {
    fn may_publish(&self, topic: TopicName<&[u8]>) -> bool {
        topic.as_bytes() == b"u"
    }

    fn may_subscribe(&self, _: TopicFilter<&[u8]>) -> bool {
        true
    }
}

/// A will is published with the client's permissions, not with the broker's.
// [MQTT-3.1.4-2]
#[test]
fn a_will_needs_permission() {
    let mut world = watched();
    world.authority(|_| {
        let permissions = std::sync::Arc::new(OnlyU);
        Some(Decision::Accept(Grant {
            permissions,
            ..Grant::all()
        }))
    });
    world.connect("a", dies(0));
    world.connect("b", v311().will(post("will", "dead")));
    assert_eq!(world.packets("a"), ["CONNACK NotAuthorized", "CLOSED"]);
    assert_eq!(world.packets("b"), ["CONNACK NotAuthorized", "CLOSED"]);
    world.connect("a", v5().will(post("u", "dead"))).lose();
    assert_eq!(world.received("watcher"), ["PUBLISH u dead q0"]);
}

/// No Local is about the client's own connection; its will comes from the broker, to all others.
#[test]
fn a_will_reaches_the_client_s_next_connection() {
    let mut world = World::new();
    world
        .connect("a", v5().expires(100).will(post("will", "dead").qos(Q1)))
        .subscribe("will", Q1)
        .lose();
    world.packets("a");
    world.connect("a", v5().expires(100));
    assert_eq!(world.received("a"), ["PUBLISH will dead q1 id1"]);
}

/// A refused client leaves no will.
// [MQTT-3.1.2-12]
#[test]
fn who_was_not_let_in_has_no_will() {
    let mut world = watched();
    world.authority(|_| Some(Decision::Refuse(ReasonCode::NotAuthorized)));
    world.connect("a", dies(0));
    world.authority(|_| None);
    world.connect("b", dies(0));
    world.client("b").lose();
    world.advance_secs(1000);
    assert_eq!(world.received("watcher"), [""; 0]);
    assert_eq!(world.engines.sessions(), 1);
}

#[test]
fn a_will_may_be_of_qos_0_to_somebody_who_is_away() {
    let mut world = watched();
    world.client("watcher").lose();
    world.connect("a", v5().will(post("will", "dead"))).lose();
    world
        .connect("b", v5().will(post("will", "late").qos(Q0).retain()))
        .lose();
    world.connect("watcher", v5().stays());
    assert_eq!(world.received("watcher"), [""; 0]);
    assert_eq!(world.engines.retained(), 1);
}

/// The session that ended with the connection was chosen for its own will, which nobody got.
#[test]
fn a_session_that_ends_does_not_get_its_own_will() {
    for version in Version::ALL {
        for taken_over in [false, true] {
            let mut world = World::new();
            let dies = hello(version).will(post("will", "dead").qos(Q1));
            world.connect("a", dies).subscribe("$share/g/will", Q1);
            world
                .connect("b", v5().stays())
                .subscribe("$share/g/will", Q1)
                .disconnect();
            if taken_over {
                world.connect("other", hello(version).id("a"));
            } else {
                world.client("a").lose();
            }
            world.connect("b", v5().stays());
            assert_eq!(world.received("b"), ["PUBLISH will dead q1 id1"]);
        }
    }
}
