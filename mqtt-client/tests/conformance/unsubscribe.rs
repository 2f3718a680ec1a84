//! UNSUBSCRIBE and UNSUBACK: sections 3.10 and 3.11.

use mqtt_client::session::{Event, SubscriptionId};

use crate::packet::Kind;
use crate::server::Server;
use crate::test::tests;

tests! {
    /// UNSUBSCRIBE has the flags 0010, and the filters in UTF-8, at least one.
    [v5 "3.10.1-1" "3.10.3-1" "3.10.3-2", v311 "3.10.1-1" "3.10.3-1" "3.10.3-2"]
    fn unsubscribe(t) {
        let mut server = t.connected();
        let subscription = server.asks(&["é/+", "b/#"], 1);
        let id = server.packet().id();
        server.send(&format!("90 <{id:04x} {{}} 01 01>"));
        server.session.unsubscribe(server.now, subscription);
        let id = server.expect(r#"a2 <???? {} "é/+" "b/#">"#).id();
        let codes = if t.is_v5() { "00 00" } else { "" };
        server.send(&format!("b0 <{id:04x} {{}} {codes}>"));
        assert!(unsubscribed(&mut server, subscription).unwrap());
        server.goes_on();
    }

    /// A filter that another subscription has, too, stays; without any that goes, nothing is sent.
    [v5 "3.10.3-2", v311 "3.10.3-2"]
    fn nothing_to_unsubscribe(t) {
        let mut server = t.connected();
        let (first, second) = (server.subscribe("a", 1), server.subscribe("a", 1));
        server.session.unsubscribe(server.now, first);
        server.nothing();
        assert!(unsubscribed(&mut server, first).unwrap());
        server.send(r#"30 <"a" {} 'x'>"#);
        assert_eq!(server.message().unwrap().subscription, second);
        server.session.unsubscribe(server.now, second);
        assert_eq!(server.packet().kind, Kind::Unsubscribe);
    }

    /// An UNSUBACK of nothing is a protocol error.
    [v5 "2.2.1-6", v311 "2.3.1-7"]
    fn identifier_of_unsuback(t) {
        let codes = if t.is_v5() { "00" } else { "" };
        let mut server = t.connected();
        server.send(&format!("b0 <0001 {{}} {codes}>"));
        server.closes(0x82);
        // Nor does it answer a SUBSCRIBE, or a SUBACK an UNSUBSCRIBE.
        let mut server = t.connected();
        server.asks(&["a"], 1);
        let id = server.packet().id();
        server.send(&format!("b0 <{id:04x} {{}} {codes}>"));
        server.closes(0x82);
        let mut server = t.connected();
        let subscription = server.subscribe("a", 1);
        server.session.unsubscribe(server.now, subscription);
        let id = server.packet().id();
        server.send(&format!("90 <{id:04x} {{}} 00>"));
        server.closes(0x82);
    }

    /// An UNSUBACK has a reason code for each filter, one that an UNSUBACK has.
    [v5 "3.11.3-2"]
    fn reason_codes_of_unsuback(t) {
        let asked = || {
            let mut server = t.connected();
            let subscription = server.subscribe("a", 1);
            server.session.unsubscribe(server.now, subscription);
            let id = server.packet().id();
            (server, subscription, id)
        };
        for code in 0..=255_u8 {
            let (mut server, subscription, id) = asked();
            server.send(&format!("b0 <{id:04x} {{}} {code:02x}>"));
            if [0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91].contains(&code) {
                server.goes_on();
                assert_eq!(unsubscribed(&mut server, subscription), Some(code < 0x80));
            } else {
                server.closes(0x81);
            }
        }
        for codes in ["", "00 00"] {
            let (mut server, _, id) = asked();
            server.send(&format!("b0 <{id:04x} {{}} {codes}>"));
            server.closes(0x82);
        }
    }
}

/// Whether the server took it, if that is known.
fn unsubscribed(server: &mut Server, wanted: SubscriptionId) -> Option<bool> {
    server.take_event(|event| match event {
        Event::Unsubscribed { id, result } if *id == wanted => Some(result.is_ok()),
        _ => None,
    })
}
