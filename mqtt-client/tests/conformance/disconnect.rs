//! DISCONNECT: section 3.14.

use std::time::Duration;

use mqtt_client::session::{Disconnecting, Wanted};
use mqtt_client::{Property, ReasonCode};

use crate::packet::Kind;
use crate::server::{Server, properties};
use crate::test::tests;

tests! {
    /// After its DISCONNECT, the client sends nothing more and closes the connection.
    [v5 "3.14.4-1" "3.14.4-2", v311 "3.14.4-1" "3.14.4-2"]
    fn disconnect_is_the_last_packet(t) {
        let mut server = t.connected();
        server.subscribe("a", 2);
        server.publish("b", "x", 1);
        let id = server.packet().id();
        server.send(r#"32 <"a" 0001 {} 'x'>"#);
        let delivered = server.message().unwrap();
        disconnect(&mut server, Duration::ZERO);
        server.expect(if t.is_v5() { "e0 <..>" } else { "e0 <>" });
        assert_eq!(server.session.wanted(), Wanted::Close);
        server.done(&delivered);
        assert!(server.session.publish(server.now, crate::server::message("b", "y", 0)).is_err());
        server.send(&format!("40 <{id:04x}>"));
        server.send(r#"32 <"a" 0002 {} 'x'>"#);
        server.pass(Duration::from_secs(1000));
        server.nothing();
        server.break_connection();
        assert_eq!(server.session.wanted(), Wanted::End);
        server.nothing();
    }

    /// What was accepted is delivered before the DISCONNECT.
    [v5, v311]
    fn delivered_before_the_disconnect(t) {
        let mut server = t.connected();
        let message = server.publish("b", "x", 2);
        disconnect(&mut server, Duration::from_secs(5));
        let id = server.expect(r#"34 <"b" ???? {} 'x'>"#).id();
        server.nothing();
        server.send(&format!("50 <{id:04x}>"));
        server.expect("62 <..>");
        server.nothing();
        server.send(&format!("70 <{id:04x}>"));
        assert_eq!(server.packet().kind, Kind::Disconnect);
        assert!(server.published(message).unwrap().is_ok());
    }

    /// A DISCONNECT with reserved flags is malformed.
    [v5 "3.14.1-1"]
    fn reserved_flags(t) {
        for first in ["e1", "e2", "e4", "e8"] {
            let mut server = t.connected();
            server.send(&format!("{first} <00 {{}}>"));
            server.closes(0x81);
        }
    }

    /// The client's DISCONNECT has a reason code that a client may send, whatever the application says;
    /// and one of the server has a code that it may have.
    [v5 "3.14.2-1"]
    fn reason_of_disconnect(t) {
        for reason in ReasonCode::ALL {
            let mut server = t.connected();
            let how = Disconnecting {
                reason: *reason,
                drain: Duration::ZERO,
                ..Disconnecting::default()
            };
            server.session.disconnect(server.now, how);
            // Each packet is checked when it is read.
            let last = server.packets();
            assert!(last.len() <= 1, "{last:?}");
            assert_eq!(server.session.wanted(), Wanted::Close);
        }
        for reason in [0x01, 0x04, 0x10, 0x18, 0x84, 0x85, 0x86, 0x88, 0x8A, 0x91, 0x92, 0xA3, 0xFF] {
            let mut server = t.connected();
            server.send(&format!("e0 <{reason:02x} {{}}>"));
            // 0x04 is a client's alone, and a reason code of a DISCONNECT all the same.
            if reason == 0x04 {
                server.closes_silently();
            } else {
                server.closes(0x81);
            }
        }
    }

    /// Reason string and user properties are sent where the server takes so much, and left out otherwise.
    [v5 "3.14.2-3" "3.14.2-4"]
    fn properties_that_are_too_much(t) {
        let text = mqtt_codec::Text::from_string("so long").unwrap();
        let pair = mqtt_client::UserProperty { name: text.as_view(), value: text.as_view() };
        for (maximum, right) in [
            ("", r#"e0 <00 {1f "so long" 26 "so long" "so long"}>"#),
            ("27 00000021", r#"e0 <00 {1f "so long" 26 "so long" "so long"}>"#),
            ("27 00000020", "e0 <..>"),
            ("27 00000004", "e0 <..>"),
        ] {
            let mut options = t.options();
            options.session_expiry = Some(Duration::from_secs(1));
            let mut server = t.connected_with(options, maximum);
            let how = Disconnecting {
                drain: Duration::ZERO,
                properties: properties([
                    Property::ReasonString(text.as_view()),
                    Property::UserProperty(pair),
                ]),
                ..Disconnecting::default()
            };
            server.session.disconnect(server.now, how);
            let packet = server.expect(right);
            let bytes_max = match maximum {
                "" | "27 00000021" => 33,
                "27 00000020" => 32,
                _ => 4,
            };
            assert!(packet.bytes.len() <= bytes_max, "{packet:?}");
        }
    }

    /// A DISCONNECT before the CONNACK: the server has no right to it.
    [v5 "3.14.0-1", v311]
    fn disconnect_before_connack(t) {
        let mut server = t.open(t.options());
        server.expect("10 <..>");
        server.send(if t.is_v5() { "e0 <8b {}>" } else { "e0 <>" });
        server.closes_silently();
        assert_ne!(server.session.wanted(), Wanted::End);
    }

    /// The session expiry of a DISCONNECT: 0 where the session is to end, none where nothing changes, and
    /// never another one than 0 where the CONNECT said 0.
    [v5]
    fn session_expiry(t) {
        let said = |expiry: Option<u64>, then: Option<u64>| {
            let mut options = t.options();
            options.session_expiry = expiry.map(Duration::from_secs);
            let mut server = t.connected_with(options, "");
            let how = Disconnecting {
                drain: Duration::ZERO,
                session_expiry: then.map(Duration::from_secs),
                ..Disconnecting::default()
            };
            server.session.disconnect(server.now, how);
            server.packet().number(0x11)
        };
        assert_eq!(said(Some(1000), None), None);
        assert_eq!(said(Some(1000), Some(0)), Some(0));
        assert_eq!(said(Some(1000), Some(5)), Some(5));
        assert_eq!(said(Some(0), Some(5)), None);
        assert_eq!(said(None, None), Some(0));
    }
}

fn disconnect(server: &mut Server, drain: Duration) {
    let how = Disconnecting {
        drain,
        ..Disconnecting::default()
    };
    server.session.disconnect(server.now, how);
}
