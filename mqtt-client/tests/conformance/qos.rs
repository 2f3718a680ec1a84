//! Delivery at each quality of service: section 4.3. QoS 0 is with DUP, in `publish.rs`.

use std::time::Duration;

use mqtt_client::{Property, ReasonCode};

use crate::server::{message, properties};
use crate::test::tests;

tests! {
    /// The sender of QoS 1: a new identifier, DUP 0, and unacknowledged until the PUBACK.
    [v5 "4.3.2-1" "4.3.2-2" "4.3.2-3", v311 "4.3.2-1"]
    fn qos_1_sender(t) {
        let mut server = t.connected_with(t.staying(), "");
        let message = server.publish("a", "x", 1);
        let id = server.expect(r#"32 <"a" ???? {} 'x'>"#).id();
        let other = server.publish("a", "y", 1);
        assert_ne!(server.expect(r#"32 <"a" ???? {} 'y'>"#).id(), id);
        server.pass(Duration::from_secs(50));
        assert!(server.published(message).is_none());
        server.comes_back("01");
        server.expect(&format!(r#"3a <"a" {id:04x} {{}} 'x'>"#));
        server.expect(r#"3a <"a" ???? {} 'y'>"#);
        server.send(&format!("40 <{id:04x}>"));
        assert!(server.published(message).unwrap().is_ok());
        assert!(server.published(other).is_none());
        server.comes_back("01");
        server.expect(r#"3a <"a" ???? {} 'y'>"#);
        server.nothing();
    }

    /// The receiver of QoS 1: PUBACK when the application has taken the message over; then the same
    /// identifier is a new message, whatever DUP says.
    [v5 "4.3.2-4" "4.3.2-5", v311 "4.3.2-2"]
    fn qos_1_receiver(t) {
        let mut server = t.connected();
        server.subscribe("a", 1);
        for first in ["32", "32", "3a", "3a"] {
            server.send(&format!(r#"{first} <"a" 0007 {{}} 'x'>"#));
            server.nothing();
            assert_eq!(server.take().text().unwrap(), "x");
            server.expect("40 <0007 ..>");
        }
        server.goes_on();
    }

    /// The sender of QoS 2: PUBLISH until the PUBREC, then PUBREL until the PUBCOMP, with one identifier.
    [v5 "4.3.3-1" "4.3.3-2" "4.3.3-3" "4.3.3-4" "4.3.3-5" "4.3.3-6", v311 "4.3.3-1"]
    fn qos_2_sender(t) {
        let mut server = t.connected_with(t.staying(), "");
        let message = server.publish("a", "x", 2);
        let id = server.expect(r#"34 <"a" ???? {} 'x'>"#).id();
        let (publish, pubrel) = (format!(r#"3c <"a" {id:04x} {{}} 'x'>"#), format!("62 <{id:04x}>"));
        server.publish("a", "y", 2);
        assert_ne!(server.expect(r#"34 <"a" ???? {} 'y'>"#).id(), id);
        for _ in 0..2 {
            server.comes_back("01");
            server.expect(&publish);
            server.expect(r#"3c <"a" ???? {} 'y'>"#);
        }
        server.send(&format!("50 <{id:04x}>"));
        server.expect(&pubrel);
        for _ in 0..2 {
            server.comes_back("01");
            server.expect(&pubrel);
            server.expect(r#"3c <"a" ???? {} 'y'>"#);
            server.nothing();
        }
        // A PUBREC once more does not bring the message back.
        server.send(&format!("50 <{id:04x}>"));
        server.expect(&pubrel);
        assert!(server.published(message).is_none());
        server.send(&format!("70 <{id:04x}>"));
        assert!(server.published(message).unwrap().is_ok());
        server.comes_back("01");
        server.expect(r#"3c <"a" ???? {} 'y'>"#);
        server.nothing();
    }

    /// A PUBREC that refuses a message ends it: there is no PUBREL.
    [v5 "4.3.3-4" "4.4.0-2"]
    fn refused_qos_2(t) {
        let mut server = t.connected_with(t.staying(), "");
        let message = server.publish("a", "x", 2);
        let id = server.packet().id();
        server.send(&format!("50 <{id:04x} 97>"));
        server.nothing();
        assert!(server.published(message).unwrap().is_err());
        server.comes_back("01");
        server.nothing();
    }

    /// The receiver of QoS 2: one PUBREC for each PUBLISH, one message for the application; after the
    /// PUBCOMP the identifier is free.
    [v5 "4.3.3-8" "4.3.3-10" "4.3.3-11" "4.3.3-12", v311 "4.3.3-2"]
    fn qos_2_receiver(t) {
        let mut server = t.connected();
        server.subscribe("a", 2);
        for _ in 0..2 {
            server.send(r#"34 <"a" 0007 {} 'x'>"#);
            server.nothing();
            assert_eq!(server.take().text().unwrap(), "x");
            server.expect("50 <0007 ..>");
            for first in ["3c", "34"] {
                server.send(&format!(r#"{first} <"a" 0007 {{}} 'x'>"#));
                server.expect("50 <0007 ..>");
                assert!(server.message().is_none(), "the second time");
            }
            server.send("62 <0007>");
            server.expect("70 <0007>");
        }
        server.goes_on();
    }

    /// It stays one message over connections, also if the application was not done when the first broke.
    [v5 "4.3.3-10", v311 "4.3.3-2"]
    fn qos_2_receiver_of_a_resumed_session(t) {
        let mut server = t.connected_with(t.staying(), "");
        server.subscribe("a", 2);
        server.send(r#"34 <"a" 0007 {} 'x'>"#);
        let delivered = server.message().unwrap();
        server.comes_back("01");
        server.send(r#"3c <"a" 0007 {} 'x'>"#);
        assert!(server.message().is_none(), "the application has it");
        server.nothing();
        server.done(&delivered);
        server.expect("50 <0007 ..>");
        server.comes_back("01");
        server.send("62 <0007>");
        server.expect("70 <0007>");
        server.send(r#"34 <"a" 0007 {} 'y'>"#);
        assert_eq!(server.payloads(), ["y"]);
    }

    /// A message that was refused with a PUBREC leaves its identifier free.
    [v5 "4.3.3-9"]
    fn identifier_of_a_refused_message(t) {
        let mut server = t.connected();
        server.subscribe("a", 2);
        for payload in ["x", "y"] {
            server.send(&format!(r#"34 <"a" 0007 {{}} '{payload}'>"#));
            let delivered = server.message().unwrap();
            assert_eq!(delivered.message.text().unwrap(), payload);
            let delivery = delivered.delivery.unwrap();
            server.session.reject(
                server.now,
                delivered.subscription,
                delivery,
                ReasonCode::QuotaExceeded,
            );
            server.expect("50 <0007 97 ..>");
        }
    }

    /// A message that was sent does not expire: it is sent again, and the handshake goes on.
    [v5 "4.3.3-7"]
    fn what_was_sent_does_not_expire(t) {
        let mut server = t.connected_with(t.staying(), "");
        let mut short = message("a", "x", 2);
        short.properties = properties([Property::MessageExpiryInterval(5)]);
        let sent = server.publish_message(short.clone());
        let id = server.expect(r#"34 <"a" ???? {02 00000005} 'x'>"#).id();
        server.pass(Duration::from_secs(30));
        assert!(server.published(sent).is_none());
        server.break_connection();
        // One that was not sent does.
        let waits = server.publish_message(short);
        server.pass(Duration::from_secs(6));
        assert!(server.published(waits).unwrap().is_err());
        server.open(mqtt_client::session::Credentials::default());
        server.accept("01", "");
        server.expect(&format!(r#"3c <"a" {id:04x} {{..}} 'x'>"#));
        server.nothing();
        server.send(&format!("50 <{id:04x}>"));
        server.expect("62 <..>");
        server.send(&format!("70 <{id:04x}>"));
        assert!(server.published(sent).unwrap().is_ok());
    }

    /// A message whose lifetime ends with the receiver is acknowledged to the end.
    [v5 "4.3.3-13"]
    fn an_expired_message_is_acknowledged(t) {
        let mut server = t.connected();
        server.subscribe("a", 2);
        server.send(r#"34 <"a" 0007 {02 00000001} 'x'>"#);
        server.pass(Duration::from_secs(20));
        server.take();
        server.expect("50 <0007 ..>");
        server.pass(Duration::from_secs(20));
        server.send("62 <0007>");
        server.expect("70 <0007>");
    }

    /// A message that comes again while the application still has it is the same one.
    [v5, v311]
    fn a_message_under_way_comes_again(t) {
        let mut server = t.connected_with(t.staying(), "");
        server.subscribe("a", 1);
        server.send(r#"32 <"a" 0007 {} 'x'>"#);
        let delivered = server.message().unwrap();
        server.comes_back("01");
        server.send(r#"3a <"a" 0007 {} 'x'>"#);
        assert!(server.message().is_none());
        server.done(&delivered);
        server.expect("40 <0007 ..>");
        server.nothing();
    }

    /// An identifier under way at one QoS does not come at the other.
    [v5, v311 "4.8.0-1"]
    fn identifier_in_use(t) {
        for (first, second) in [("32", "34"), ("34", "32")] {
            let mut server = t.connected();
            server.subscribe("a", 2);
            server.send(&format!(r#"{first} <"a" 0007 {{}} 'x'>"#));
            server.send(&format!(r#"{second} <"a" 0007 {{}} 'y'>"#));
            server.closes(0x82);
        }
    }
}
