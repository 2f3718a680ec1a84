//! PUBACK, PUBREC, PUBREL, PUBCOMP: sections 3.4 to 3.7.

use mqtt_client::{Property, ReasonCode};

use crate::server::{Server, properties};
use crate::test::{Test, tests};

tests! {
    /// The client's PUBACK has a reason code that a PUBACK may have, and takes no other.
    [v5 "3.4.2-1"]
    fn reason_of_puback(t) {
        for reason in ReasonCode::ALL {
            let mut server = received(t, "32");
            reject(&mut server, *reason);
            server.expect("40 <0001 ..>");
        }
        refused_reasons(t, 1, "40", &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]);
    }

    /// The client's PUBREC has a reason code that a PUBREC may have, and takes no other.
    [v5 "3.5.2-1"]
    fn reason_of_pubrec(t) {
        for reason in ReasonCode::ALL {
            let mut server = received(t, "34");
            reject(&mut server, *reason);
            server.expect("50 <0001 ..>");
        }
        refused_reasons(t, 2, "50", &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]);
    }

    /// PUBREL has a reason code of its own: success, or that nothing is known of the identifier.
    [v5 "3.6.2-1"]
    fn reason_of_pubrel(t) {
        let mut server = t.connected();
        server.publish("a", "x", 2);
        let id = server.packet().id();
        server.send(&format!("50 <{id:04x} 10>"));
        server.expect(&format!("62 <{id:04x} ..>"));
        // What a PUBREC names that was never sent is to be forgotten.
        server.send("50 <7777>");
        server.expect("62 <7777 92 ..>");
        for reason in 0..=255_u8 {
            let mut server = received(t, "34");
            server.take();
            server.expect("50 <0001 ..>");
            server.send(&format!("62 <0001 {reason:02x}>"));
            if matches!(reason, 0x00 | 0x92) {
                server.expect("70 <0001 ..>");
            } else {
                server.closes(0x81);
            }
        }
    }

    /// PUBCOMP has a reason code of its own: success, or that nothing is known of the identifier.
    [v5 "3.7.2-1"]
    fn reason_of_pubcomp(t) {
        let mut server = received(t, "34");
        server.take();
        server.expect("50 <0001 ..>");
        server.send("62 <0001>");
        server.expect("70 <0001>");
        server.send("62 <0001>");
        server.expect("70 <0001 92>");
        for reason in 0..=255_u8 {
            let mut server = t.connected();
            let message = server.publish("a", "x", 2);
            let id = server.packet().id();
            server.send(&format!("50 <{id:04x}>"));
            server.expect("62 <..>");
            server.send(&format!("70 <{id:04x} {reason:02x}>"));
            if matches!(reason, 0x00 | 0x92) {
                assert!(server.published(message).is_some());
                server.goes_on();
            } else {
                server.closes(0x81);
            }
        }
    }

    /// Acknowledgements have no reason string and no user properties of their own: the smallest server
    /// takes them.
    [v5 "3.4.2-2" "3.4.2-3" "3.5.2-2" "3.5.2-3" "3.6.2-2" "3.6.2-3" "3.7.2-2" "3.7.2-3" "3.2.2-15"]
    fn acknowledgements_are_small(t) {
        let mut server = t.connected();
        server.subscribe("a", 2);
        server.comes_back_with("01", "27 00000005");
        server.send(r#"32 <"a" 0001 {} 'x'>"#);
        server.take();
        server.expect("40 <0001>");
        server.send(r#"32 <"a" 0002 {} 'x'>"#);
        reject(&mut server, ReasonCode::QuotaExceeded);
        server.expect("40 <0002 97>");
        server.send(r#"34 <"a" 0003 {} 'x'>"#);
        reject(&mut server, ReasonCode::QuotaExceeded);
        server.expect("50 <0003 97>");
        server.send(r#"34 <"a" 0004 {} 'x'>"#);
        server.take();
        server.expect("50 <0004>");
        server.send(r#"62 <0004 00 {1f "text" 26 "k" "v"}>"#);
        server.expect("70 <0004>");
        server.send(r#"62 <0005 00 {}>"#);
        server.expect("70 <0005 92>");
        server.send(r#"50 <0006 00 {1f "text" 26 "k" "v"}>"#);
        server.expect("62 <0006 92>");
    }

    /// PUBREL has the flags 0010, and one that has others is malformed.
    [v5 "3.6.1-1", v311 "3.6.1-1"]
    fn flags_of_pubrel(t) {
        let mut server = t.connected();
        server.publish("a", "x", 2);
        let id = server.packet().id();
        server.send(&format!("50 <{id:04x}>"));
        server.expect("62 <..>");
        for first in ["60", "61", "63", "64", "6a", "6f"] {
            let mut server = received(t, "34");
            server.take();
            server.expect("50 <0001 ..>");
            server.send(&format!("{first} <0001>"));
            server.closes(0x81);
        }
    }

    /// An acknowledgement of the wrong kind, or that comes too early: a protocol error.
    [v5, v311 "4.8.0-1"]
    fn wrong_acknowledgements(t) {
        for (qos, first) in [(1, "50"), (1, "70"), (2, "40"), (2, "70")] {
            let mut server = t.connected();
            let message = server.publish("a", "x", qos);
            let id = server.packet().id();
            server.send(&format!("{first} <{id:04x}>"));
            server.closes(0x82);
            assert!(server.published(message).is_none(), "{first} was taken for an answer");
        }
        for first in ["40", "50", "62", "70"] {
            let mut server = t.connected();
            server.send(&format!("{first} <0000>"));
            server.closes(0x82);
        }
    }

    /// A client that has asked for no problem information gets reasons in a CONNACK and a DISCONNECT alone.
    [v5 "3.1.2-29"]
    fn no_problem_information(t) {
        let connected = || {
            let mut options = t.options();
            options.connect_properties =
                properties([Property::RequestProblemInformation(false)]);
            let mut server = t.open(options);
            let connect = server.accept("00", r#"1f "hello" 26 "k" "v""#);
            assert_eq!(connect.number(0x17), Some(0));
            server
        };
        for said in [r#"1f "why""#, r#"26 "k" "v""#] {
            let mut server = connected();
            server.publish("a", "x", 1);
            let id = server.packet().id();
            server.send(&format!("40 <{id:04x} 00 {{{said}}}>"));
            server.closes(0x82);
            let mut server = connected();
            server.asks(&["a"], 1);
            let id = server.packet().id();
            server.send(&format!("90 <{id:04x} {{{said}}} 01>"));
            server.closes(0x82);
            let mut server = connected();
            server.subscribe("a", 1);
            server.send(&format!("62 <0001 00 {{{said}}}>"));
            server.closes(0x82);
        }
        let mut server = connected();
        server.subscribe("a", 1);
        server.send(r#"30 <"a" {26 "k" "v"} 'x'>"#);
        assert_eq!(server.payloads(), ["x"]);
        server.send(r#"e0 <8b {1f "why"}>"#);
        server.closes_silently();
    }

    /// What the server says of a message reaches the application: the reason of the PUBACK or PUBREC.
    [v5]
    fn reasons_reach_the_application(t) {
        let mut server = t.connected();
        for (qos, first) in [(1, "40"), (2, "50")] {
            let message = server.publish("a", "x", qos);
            let id = server.packet().id();
            server.send(&format!(r#"{first} <{id:04x} 87 {{1f "no"}}>"#));
            let error = server.published(message).unwrap().unwrap_err();
            assert!(error.to_string().contains("0x87") && error.to_string().contains("no"), "{error}");
        }
        let message = server.publish("a", "x", 1);
        let id = server.packet().id();
        server.send(&format!("40 <{id:04x} 10>"));
        assert_eq!(server.published(message).unwrap().unwrap(), 0x10);
    }
}

/// A client with one message that its application has not taken: `a`, identifier 1, with this first byte.
fn received(t: &Test, first: &str) -> Server {
    let mut server = t.connected();
    server.subscribe("a", 2);
    server.send(&format!(r#"{first} <"a" 0001 {{}} 'x'>"#));
    server
}

/// The application takes the next message, and does not want it.
#[track_caller]
fn reject(server: &mut Server, reason: ReasonCode) {
    let delivered = server.message().expect("a message");
    let delivery = delivered.delivery.expect("one to acknowledge");
    server
        .session
        .reject(server.now, delivered.subscription, delivery, reason);
}

/// All reason codes but these are malformed in the answer to a message.
fn refused_reasons(t: &Test, qos: u8, first: &str, right: &[u8]) {
    for reason in 0..=255_u8 {
        let mut server = t.connected();
        server.publish("a", "x", qos);
        let id = server.packet().id();
        server.send(&format!("{first} <{id:04x} {reason:02x}>"));
        if right.contains(&reason) {
            server.packets();
            server.goes_on();
        } else {
            server.closes(0x81);
        }
    }
}
