//! Enhanced authentication: AUTH, in as many steps as the method takes.

use bytes::Bytes;
use mqtt_broker_core::authority::{Decision, Grant, Question};
use mqtt_codec::{Auth, Packet, Properties, ReasonCode};
use mqtt_codec::{Property, Version};

use crate::world::{World, post, text, v5, v311};
use crate::{Q0, Q1};

/// A method that wants the numbers from 1 to 3 counted, and says `done`.
fn counting() -> World {
    let mut world = World::new();
    world.authority(|question| {
        let data = match question {
            Question::Connect(credentials) => {
                assert_eq!(credentials.method.as_deref(), Some("COUNT"));
                credentials.data
            }
            Question::Authenticate {
                credentials, data, ..
            } => {
                assert_eq!(credentials.method.as_deref(), Some("COUNT"));
                data
            }
        };
        let next = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        Some(match data.as_deref() {
            Some(b"1") => Decision::Continue(next("two?")),
            Some(b"2") => Decision::Continue(next("three?")),
            Some(b"3") => Decision::Accept(Grant {
                data: next("done"),
                ..Grant::all()
            }),
            Some(b"bad password") => Decision::Refuse(ReasonCode::BadUserNameOrPassword),
            _ => Decision::Refuse(ReasonCode::NotAuthorized),
        })
    });
    world
}

fn auth(reason: ReasonCode, method: &str) -> Packet {
    let method = text(method);
    Packet::Auth(Auth {
        reason,
        properties: Properties::new([Property::AuthenticationMethod(method.as_view())]).unwrap(),
    })
}

const CONTINUE: ReasonCode = ReasonCode::ContinueAuthentication;
const AGAIN: ReasonCode = ReasonCode::ReAuthenticate;

// [MQTT-4.12.0-1]
#[test]
fn an_unknown_method_is_refused() {
    let mut world = World::new();
    world.connect("a", v5().method("UNKNOWN", b""));
    assert_eq!(
        world.packets("a"),
        ["CONNACK BadAuthenticationMethod", "CLOSED"]
    );
}

// [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5]
#[test]
fn a_method_of_several_steps() {
    let mut world = counting();
    world.connect("a", v5().method("COUNT", b"1"));
    assert_eq!(world.packets("a"), ["AUTH ContinueAuthentication two?"]);
    world.client("a").authenticate(CONTINUE, b"2");
    assert_eq!(world.packets("a"), ["AUTH ContinueAuthentication three?"]);
    world.client("a").authenticate(CONTINUE, b"3");
    assert_eq!(world.packets("a"), ["CONNACK Success"]);
    let connack = world.client("a").state().connack.clone().unwrap();
    let method = connack.properties.authentication_method().unwrap();
    assert_eq!(method.to_string(), "COUNT");
    assert_eq!(connack.properties.authentication_data(), Some(&b"done"[..]));
    world
        .client("a")
        .subscribe("t", Q0)
        .publish(post("t", "hi"));
    assert_eq!(world.received("a"), ["PUBLISH t hi q0"]);
}

// [MQTT-4.12.0-4]
#[test]
fn a_step_may_fail() {
    let mut world = counting();
    world
        .connect("a", v5().method("COUNT", b"1"))
        .authenticate(CONTINUE, b"4");
    assert_eq!(
        world.packets("a").split_off(1),
        ["CONNACK NotAuthorized", "CLOSED"]
    );
    world.connect("b", v5().method("COUNT", b"0"));
    assert_eq!(world.packets("b"), ["CONNACK NotAuthorized", "CLOSED"]);
    assert_eq!(world.engines.sessions(), 0);
}

// [MQTT-3.1.2-30] [MQTT-4.12.0-3] [MQTT-4.12.0-5] [MQTT-3.2.2-8]
#[test]
fn during_authentication_there_is_only_auth() {
    let publish = Packet::Publish(post("t", "hi").publish(None));
    let cases = [
        (publish.to_vec(Version::V5).unwrap(), "ProtocolError"),
        // A CONNACK must not say Topic Alias Invalid.
        (vec![0x30, 7, 0, 1, b't', 3, 0x23, 0, 0], "UnspecifiedError"),
        (
            auth(CONTINUE, "OTHER").to_vec(Version::V5).unwrap(),
            "ProtocolError",
        ),
        (
            auth(AGAIN, "COUNT").to_vec(Version::V5).unwrap(),
            "ProtocolError",
        ),
        (
            auth(ReasonCode::Success, "COUNT")
                .to_vec(Version::V5)
                .unwrap(),
            "ProtocolError",
        ),
        (vec![0xF0, 0], "ProtocolError"),
        (vec![0xF1, 0], "MalformedPacket"),
        (vec![0xC1, 0], "MalformedPacket"),
    ];
    for (bytes, reason) in cases {
        let mut world = counting();
        world
            .connect("a", v5().method("COUNT", b"1"))
            .send_bytes(&bytes);
        assert_eq!(
            world.packets("a").split_off(1),
            [format!("CONNACK {reason}").as_str(), "CLOSED"],
            "{bytes:?}"
        );
    }
    // DISCONNECT is allowed, and is no reason to answer.
    let mut world = counting();
    world.connect("a", v5().method("COUNT", b"1")).disconnect();
    assert_eq!(world.packets("a").split_off(1), ["CLOSED"]);
}

// [MQTT-4.12.0-6] [MQTT-4.12.0-7]
#[test]
fn without_a_method_there_is_no_auth() {
    let mut world = World::new();
    world.connect("a", v5()).send(&auth(AGAIN, "COUNT"));
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success", "DISCONNECT ProtocolError", "CLOSED"]
    );
    let connack = world.client("a").state().connack.clone().unwrap();
    assert_eq!(connack.properties.authentication_method(), None);
    world.connect("b", v311()).send_bytes(&[0xF0, 0]);
    assert_eq!(world.packets("b"), ["CONNACK Success", "CLOSED"]);
}

/// An authority that goes on with a method that the client has not named has failed to decide.
// [MQTT-4.12.0-6]
#[test]
fn without_a_method_there_is_nothing_to_go_on_with() {
    let mut world = World::new();
    world.authority(|_| Some(Decision::Continue(None)));
    world.connect("a", v5());
    world.connect("b", v311());
    assert_eq!(world.packets("a"), ["CONNACK NotAuthorized", "CLOSED"]);
    assert_eq!(world.packets("b"), ["CONNACK NotAuthorized", "CLOSED"]);
}

// [MQTT-4.12.1-1]
#[test]
fn a_client_proves_again_who_it_is() {
    let mut world = counting();
    world.connect("b", v5().method("COUNT", b"3"));
    world
        .connect("a", v5().method("COUNT", b"3"))
        .subscribe("t", Q1);
    world.packets("a");
    world.client("a").authenticate(AGAIN, b"1");
    assert_eq!(world.packets("a"), ["AUTH ContinueAuthentication two?"]);
    // The connection goes on meanwhile.
    world.publish("b", post("t", "hi").qos(Q1));
    assert_eq!(world.packets("a"), ["PUBLISH t hi q1 id1"]);
    world.client("a").authenticate(CONTINUE, b"3");
    assert_eq!(world.packets("a"), ["AUTH Success done"]);
}

// [MQTT-4.12.1-2]
#[test]
fn who_fails_to_prove_it_again_is_disconnected() {
    let mut world = counting();
    world
        .connect("a", v5().method("COUNT", b"3"))
        .authenticate(AGAIN, b"4");
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success", "DISCONNECT NotAuthorized", "CLOSED"]
    );
    world
        .connect("a", v5().method("COUNT", b"3"))
        .send(&auth(AGAIN, "OTHER"));
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success", "DISCONNECT ProtocolError", "CLOSED"]
    );
}

/// An AUTH either begins an exchange or goes on with one.
// [MQTT-4.12.0-3] [MQTT-4.12.1-1]
#[test]
fn only_an_exchange_that_has_begun_goes_on() {
    let mut world = counting();
    world
        .connect("a", v5().method("COUNT", b"3"))
        .authenticate(CONTINUE, b"3");
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success", "DISCONNECT ProtocolError", "CLOSED"]
    );
    for (reason, after) in [(AGAIN, b"1"), (CONTINUE, b"3")] {
        world
            .connect("b", v5().method("COUNT", b"3"))
            .authenticate(AGAIN, after);
        world.packets("b");
        world.client("b").authenticate(reason, b"3");
        assert_eq!(
            world.packets("b"),
            ["DISCONNECT ProtocolError", "CLOSED"],
            "{reason:?}"
        );
    }
}

/// A CONNACK may say that the password is wrong, a DISCONNECT may not.
// [MQTT-3.14.2-1]
#[test]
fn a_refusal_is_said_in_a_word_of_the_packet() {
    let mut world = counting();
    world
        .connect("a", v5().method("COUNT", b"3"))
        .authenticate(AGAIN, b"bad password");
    world.connect("b", v5().method("COUNT", b"bad password"));
    assert_eq!(
        world.packets("a"),
        ["CONNACK Success", "DISCONNECT UnspecifiedError", "CLOSED"]
    );
    assert_eq!(
        world.packets("b"),
        ["CONNACK BadUserNameOrPassword", "CLOSED"]
    );
    world.authority(|_| Some(Decision::Refuse(ReasonCode::KeepAliveTimeout)));
    world.connect("c", v5());
    assert_eq!(world.packets("c"), ["CONNACK UnspecifiedError", "CLOSED"]);
}

/// Who does not go on is not waited for, whenever the authority has answered.
#[test]
fn an_exchange_has_its_time() {
    let mut world = counting();
    world.connect("a", v5().method("COUNT", b"1"));
    world.authority(|_| None);
    world.connect("b", v5().method("COUNT", b"1"));
    world.packets("a");
    world.advance_secs(9);
    assert_eq!(world.packets("a"), [""; 0]);
    world.advance_secs(2);
    assert_eq!(world.packets("a"), ["CLOSED"]);
    // The authority has taken longer than the client may.
    world.decide("b", Decision::Continue(None));
    assert_eq!(world.packets("b"), ["AUTH ContinueAuthentication "]);
    world.advance_secs(20);
    assert_eq!(world.packets("b"), ["CLOSED"]);
}

#[test]
fn user_name_and_password_reach_the_authority() {
    let mut world = World::new();
    world.authority(|question| {
        let Question::Connect(credentials) = question else {
            return None;
        };
        let right = credentials.user_name.as_deref() == Some("alice")
            && credentials.password.as_deref() == Some(b"secret");
        assert!(!format!("{credentials:?}").contains("secret"));
        Some(if right {
            Decision::Accept(Grant::all())
        } else {
            Decision::Refuse(ReasonCode::BadUserNameOrPassword)
        })
    });
    for hello in [v5(), v311()] {
        world.connect("a", hello.clone().user("alice", "secret"));
        assert_eq!(world.packets("a"), ["CONNACK Success"]);
        world.connect("b", hello.user("alice", "guess"));
        assert_eq!(
            world.packets("b"),
            ["CONNACK BadUserNameOrPassword", "CLOSED"]
        );
    }
}
