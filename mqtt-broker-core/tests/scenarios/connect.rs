//! CONNECT and CONNACK: who is let in, and with which session.

use mqtt_broker_core::Limits;
use mqtt_broker_core::authority::{Decision, Grant, Question};
use mqtt_codec::{Packet, ReasonCode, Version};

use crate::world::{World, hello, post, v5, v31, v311};
use crate::{Q0, Q1};

// [MQTT-3.1.4-5] [MQTT-3.2.0-1]
#[test]
fn a_message_goes_from_one_client_to_another() {
    let mut world = World::new();
    world.connect("a", v5()).subscribe("t", Q1);
    world.connect("b", v5());
    world.publish("b", post("t", "hi").qos(Q1));
    assert_eq!(world.received("a"), ["PUBLISH t hi q1 id1"]);
    assert_eq!(world.packets("b"), ["CONNACK Success", "PUBACK id1"]);
}

// [MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT-3.1.3-2] [MQTT-3.2.2-3]
#[test]
fn a_session_that_stays_is_resumed() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut world = World::new();
        let stays = hello(version).stays();
        world.connect("b", v5());
        world.connect("a", stays.clone()).subscribe("t", Q1).lose();
        world.publish("b", post("t", "missed").qos(Q1));
        assert_eq!(
            world.packets("a"),
            ["CONNACK Success", "SUBACK id1 GrantedQoS1"]
        );
        world.connect("a", stays);
        world.publish("b", post("t", "seen").qos(Q1));
        assert_eq!(
            world.packets("a"),
            [
                "CONNACK Success present",
                "PUBLISH t missed q1 id1",
                "PUBLISH t seen q1 id2"
            ]
        );
    }
}

/// MQTT 3.1 has sessions, but its CONNACK says nothing of them.
#[test]
fn a_session_of_3_1_is_resumed_unsaid() {
    let mut world = World::new();
    world.connect("a", v31().stays()).subscribe("t", Q1).lose();
    world
        .connect("b", v5())
        .publish(post("t", "missed").qos(Q1));
    world.packets("a");
    world.connect("a", v31().stays());
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success", "PUBLISH t missed q1 id1"]
    );
}

// [MQTT-3.1.2-4] [MQTT-3.1.4-4] [MQTT-3.2.2-2]
#[test]
fn a_clean_start_discards_the_session() {
    for version in Version::ALL {
        let mut world = World::new();
        world.connect("b", v5());
        world
            .connect("a", hello(version).stays())
            .subscribe("t", Q1)
            .lose();
        world.publish("b", post("t", "missed").qos(Q1));
        world.packets("a");
        world.connect("a", hello(version).stays().clean());
        world.publish("b", post("t", "nobody's").qos(Q1));
        assert_eq!(world.packets("a"), ["CONNACK Success"]);
        assert_eq!(world.engines.sessions(), 2);
    }
}

// [MQTT-4.1.0-2]
#[test]
fn a_session_without_expiry_ends_with_its_connection() {
    for version in Version::ALL {
        let mut world = World::new();
        world.connect("a", hello(version)).subscribe("t", Q1).lose();
        assert_eq!(world.engines.sessions(), 0);
        world.packets("a");
        world.connect("a", hello(version).stays());
        assert_eq!(world.packets("a"), ["CONNACK Success"]);
    }
}

// [MQTT-3.1.4-3] [MQTT-3.14.4-1] [MQTT-3.14.4-2]
#[test]
fn a_connection_is_taken_over() {
    let mut world = World::new();
    world
        .connect("a", v5().stays().id("same"))
        .subscribe("t", Q1);
    world.connect("a2", v5().stays().id("same"));
    assert_eq!(
        world.packets("a"),
        [
            "CONNACK Success",
            "SUBACK id1 GrantedQoS1",
            "DISCONNECT SessionTakenOver",
            "CLOSED"
        ]
    );
    world.connect("b", v311()).publish(post("t", "hi").qos(Q1));
    assert_eq!(
        world.packets("a2"),
        ["CONNACK Success present", "PUBLISH t hi q1 id1"]
    );
    assert_eq!(world.engines.sessions(), 2);
}

// [MQTT-3.1.4-3]
#[test]
fn a_connection_of_3_1_1_is_taken_over_without_a_word() {
    let mut world = World::new();
    world.connect("a", v311().id("same")).subscribe("t", Q1);
    world.connect("a2", v311().id("same"));
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success", "SUBACK id1 GrantedQoS1", "CLOSED"]
    );
    assert_eq!(world.packets("a2"), ["CONNACK Success"]);
}

/// A connection that is lost after it was taken over does not take the new one with it.
#[test]
fn the_old_connection_goes_without_harm() {
    let mut world = World::new();
    world.connect("a", v5().stays().id("same"));
    world.client("a").stops_reading();
    world
        .connect("a2", v5().stays().id("same"))
        .subscribe("t", Q1);
    world.client("a").lose();
    world.connect("b", v5()).publish(post("t", "hi").qos(Q1));
    assert_eq!(world.received("a2"), ["PUBLISH t hi q1 id1"]);
}

// [MQTT-3.1.0-1]
#[test]
fn the_first_packet_is_a_connect() {
    let mut world = World::new();
    world.open("a", v5());
    world.clients[0].sending.clear();
    world.client("a").ping();
    assert_eq!(world.packets("a"), ["CLOSED"]);
}

// [MQTT-3.1.0-2]
#[test]
fn a_second_connect_is_a_protocol_error() {
    let mut world = World::new();
    let again = Packet::Connect(v5().packet("a"));
    world.connect("a", v5()).send(&again);
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success", "DISCONNECT ProtocolError", "CLOSED"]
    );
}

/// A DISCONNECT must not say Unsupported Protocol Version, as a CONNACK may.
// [MQTT-3.1.0-2] [MQTT-3.14.2-1]
#[test]
fn a_second_connect_of_another_version_ends_the_connection() {
    let mut world = World::new();
    let mut again = Packet::Connect(v5().packet("a"))
        .to_vec(Version::V5)
        .unwrap();
    again[8] = 9;
    world.connect("a", v5()).send_bytes(&again);
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success", "DISCONNECT UnspecifiedError", "CLOSED"]
    );
}

// [MQTT-3.1.2-1] [MQTT-3.1.2-2]
#[test]
fn an_unknown_version_is_refused() {
    for (at, byte) in [(8, 9), (4, b'm')] {
        let mut world = World::new();
        world.open("a", v311());
        let mut connect = Packet::Connect(v311().packet("a"))
            .to_vec(Version::V3_1_1)
            .unwrap();
        connect[at] = byte;
        world.clients[0].sending = connect;
        assert_eq!(
            world.packets("a"),
            ["CONNACK UnsupportedProtocolVersion", "CLOSED"]
        );
    }
}

// [MQTT-3.1.2-3] [MQTT-3.1.4-1]
#[test]
fn a_malformed_connect_is_refused_where_that_can_be_said() {
    let mut world = World::new();
    world.open("a", v5());
    world.clients[0].sending[9] |= 1;
    assert_eq!(world.packets("a"), ["CONNACK MalformedPacket", "CLOSED"]);
    let mut world = World::new();
    world.open("a", v311());
    world.clients[0].sending[9] |= 1;
    assert_eq!(world.packets("a"), ["CLOSED"]);
}

#[test]
fn who_sends_no_connect_is_not_waited_for() {
    let mut world = World::new();
    world.open("a", v5());
    world.clients[0].sending.truncate(5);
    world.advance_secs(9);
    assert_eq!(world.packets("a"), [""; 0]);
    world.advance_secs(2);
    assert_eq!(world.packets("a"), ["CLOSED"]);
}

// [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]
#[test]
fn the_broker_chooses_client_identifiers() {
    let mut world = World::new();
    let mut chosen = Vec::new();
    for name in ["a", "b", "c"] {
        world.connect(name, v5().id("").expires(60));
        let connack = world.client(name).state().connack.clone().unwrap();
        let client_id = connack.properties.assigned_client_identifier().unwrap();
        assert!(!chosen.contains(&client_id.to_string()));
        chosen.push(client_id.to_string());
    }
    world.client("a").subscribe("t", Q1).lose();
    world.connect("a", v5().id(&chosen[0]).expires(60));
    assert_eq!(
        world.packets("a"),
        [
            "CONNACK Success",
            "SUBACK id1 GrantedQoS1",
            "CONNACK Success present"
        ]
    );
    let connack = world.client("a").state().connack.clone().unwrap();
    assert_eq!(connack.properties.assigned_client_identifier(), None);
}

// [MQTT-3.1.3-5] [MQTT-3.1.3-8]
#[test]
fn without_a_name_there_is_no_session_to_keep() {
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut world = World::new();
        world.connect("a", hello(version).id("").stays());
        assert_eq!(
            world.packets("a"),
            ["CONNACK ClientIdentifierNotValid", "CLOSED"]
        );
        world.connect("a", hello(version).id(""));
        world.connect("b", hello(version).id(""));
        assert_eq!(world.packets("a"), ["CONNACK Success"]);
        assert_eq!(world.packets("b"), ["CONNACK Success"]);
        let name = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        world.connect("c", hello(version).id(name));
        assert_eq!(world.packets("c"), ["CONNACK Success"]);
    }
}

// [MQTT-3.2.2-7] [MQTT-4.13.2-1]
#[test]
fn over_the_limit_of_connections_one_is_told_so() {
    let mut world = World::with(Limits {
        connections_max: 1,
        ..Limits::default()
    });
    world.connect("a", v5());
    world.connect("b", v5());
    world.connect("c", v311());
    assert_eq!(world.packets("a"), ["CONNACK Success"]);
    assert_eq!(world.packets("b"), ["CONNACK QuotaExceeded", "CLOSED"]);
    assert_eq!(world.packets("c"), ["CONNACK ServerUnavailable", "CLOSED"]);
    world.client("a").disconnect();
    world.connect("b", v5());
    assert_eq!(world.packets("b"), ["CONNACK Success"]);
}

#[test]
fn the_connack_says_what_the_broker_takes() {
    let mut world = World::with(Limits {
        receive_maximum: 7,
        packet_bytes_max: 1000,
        topic_alias_maximum: 3,
        session_expiry_max_s: 50,
        keep_alive_max_s: 30,
        ..Limits::default()
    });
    let said = |world: &mut World, name| {
        let connack = world.client(name).state().connack.clone().unwrap();
        let properties = connack.properties;
        (
            properties.receive_maximum(),
            properties.maximum_packet_size(),
            properties.topic_alias_maximum(),
            properties.session_expiry_interval(),
            properties.server_keep_alive(),
        )
    };
    world.connect("a", v5().expires(60).keep_alive(60));
    assert_eq!(
        said(&mut world, "a"),
        (Some(7), Some(1000), Some(3), Some(50), Some(30))
    );
    world.connect("b", v5().expires(40).keep_alive(20));
    assert_eq!(
        said(&mut world, "b"),
        (Some(7), Some(1000), Some(3), None, None)
    );
}

/// A client that takes no CONNACK of the needed size would wait for it for ever.
// [MQTT-3.1.2-24]
#[test]
fn a_connack_that_does_not_fit_is_a_refusal() {
    let mut world = World::new();
    world.connect("a", v5().stays()).subscribe("t", Q1);
    world.packets("a");
    world.connect("a", v5().stays().packet_bytes_max(8));
    assert_eq!(world.packets("a"), ["CONNACK PacketTooLarge", "CLOSED"]);
    // It was not let in, so its session is as it was.
    world.connect("a", v5().stays());
    assert_eq!(world.packets("a"), ["CONNACK Success present"]);
}

// [MQTT-3.1.2-28]
#[test]
fn response_information_is_for_who_asks() {
    let mut world = World::new();
    for (asked, answer) in [
        (None, None),
        (Some(false), None),
        (Some(true), Some("answers/a")),
    ] {
        let mut hello = v5();
        hello.response_information = asked;
        world.connect("a", hello);
        let connack = world.client("a").state().connack.clone().unwrap();
        let information = connack.properties.response_information();
        assert_eq!(
            information.map(|text| text.to_string()),
            answer.map(str::to_owned)
        );
    }
}

/// Clients may send without waiting for the CONNACK; nothing is handled before the decision.
// [MQTT-3.1.4-6]
#[test]
fn what_is_sent_behind_the_connect_waits_for_the_decision() {
    for accepted in [true, false] {
        let mut world = World::new();
        world.connect("b", v5()).subscribe("t", Q0);
        world.authority(|_| None);
        world.open("a", v311());
        world.clients[1].publish(post("t", "early"));
        assert_eq!(world.packets("a"), [""; 0]);
        world.decide(
            "a",
            if accepted {
                Decision::Accept(Grant::all())
            } else {
                Decision::Refuse(ReasonCode::NotAuthorized)
            },
        );
        if accepted {
            assert_eq!(world.packets("a"), ["CONNACK Success"]);
            assert_eq!(world.received("b"), ["PUBLISH t early q0"]);
        } else {
            assert_eq!(world.packets("a"), ["CONNACK NotAuthorized", "CLOSED"]);
            assert_eq!(world.received("b"), [""; 0]);
        }
    }
}

/// The answer about a connection that is gone meets nobody, whoever has its place now.
#[test]
fn a_late_decision_is_nobody_s() {
    let mut world = World::new();
    world.authority(|_| None);
    world.connect("a", v5());
    world.client("a").lose();
    world.connect("b", v5());
    world.decide("b", Decision::Accept(Grant::all()));
    assert_eq!(world.packets("b"), ["CONNACK Success"]);
    assert_eq!(world.packets("a"), [""; 0]);
}

#[test]
fn a_session_belongs_to_who_made_it() {
    let mut world = World::new();
    world.authority(|question| {
        let Question::Connect(credentials) = question else {
            return None;
        };
        let identity = credentials.user_name.as_deref().map(Into::into);
        Some(Decision::Accept(Grant {
            identity,
            ..Grant::all()
        }))
    });
    world
        .connect("a", v5().stays().id("same").user("alice", "secret"))
        .subscribe("t", Q1);
    for thief in [v5().user("mallory", ""), v5(), v5().stays()] {
        world.connect("m", thief.id("same"));
        assert_eq!(world.packets("m"), ["CONNACK NotAuthorized", "CLOSED"]);
    }
    assert!(world.client("a").is_connected());
    world.packets("a");
    world.crash_and_restart();
    world.connect("m", v5().id("same").user("mallory", ""));
    assert_eq!(world.packets("m"), ["CONNACK NotAuthorized", "CLOSED"]);
    world.connect("a", v5().stays().id("same").user("alice", "secret"));
    assert_eq!(world.packets("a"), ["CONNACK Success present"]);
}

/// From the standard's other clock: one and a half times, and any packet counts.
// [MQTT-3.1.2-22]
#[test]
fn who_is_silent_for_one_and_a_half_times_the_keep_alive_is_gone() {
    let mut world = World::new();
    world.connect("a", v5().keep_alive(10));
    world.connect("b", v311().keep_alive(10));
    world.connect("c", v5());
    world.advance_secs(10);
    world.client("a").ping();
    world.client("b").publish(post("t", "alive"));
    world.packets("a");
    world.packets("b");
    world.advance_secs(14);
    assert_eq!(world.packets("a"), [""; 0]);
    assert_eq!(world.packets("b"), [""; 0]);
    world.advance_secs(2);
    assert_eq!(
        world.packets("a"),
        ["DISCONNECT KeepAliveTimeout", "CLOSED"]
    );
    assert_eq!(world.packets("b"), ["CLOSED"]);
    world.advance_secs(1_000_000);
    assert_eq!(world.packets("c"), ["CONNACK Success"]);
}

// [MQTT-3.2.2-22] [MQTT-3.1.2-21]
#[test]
fn the_server_s_keep_alive_is_the_one_that_counts() {
    let mut world = World::with(Limits {
        keep_alive_max_s: 20,
        ..Limits::default()
    });
    world.connect("a", v5().keep_alive(0));
    // Who cannot be told keeps what was chosen.
    world.connect("b", v311().keep_alive(0));
    world.connect("c", v5().keep_alive(10));
    world.advance_secs(16);
    assert_eq!(
        world.packets("c"),
        ["CONNACK Success", "DISCONNECT KeepAliveTimeout", "CLOSED"]
    );
    assert!(world.client("a").is_connected());
    world.advance_secs(15);
    assert!(!world.client("a").is_connected());
    assert!(world.client("b").is_connected());
}

// [MQTT-3.12.4-1]
#[test]
fn a_pingreq_is_answered() {
    let mut world = World::new();
    world.connect("a", v5()).ping();
    assert_eq!(world.packets("a"), ["CONNACK Success", "PINGRESP"]);
}
