//! Strings, numbers, flags and packet identifiers: chapters 1.5 and 2.

use std::collections::HashSet;

use mqtt_client::session::Credentials;
use mqtt_client::{Message, TopicFilter};

use crate::server::Server;
use crate::test::tests;

tests! {
    /// A string that is not UTF-8 is malformed: overlong forms, surrogates, a sequence that ends too early.
    [v5 "1.5.4-1", v311 "1.5.3-1"]
    fn ill_formed_utf8(t) {
        for bad in ["c080", "eda080", "f4908080", "61c3", "ff"] {
            let length = bad.len() / 2;
            let mut server = t.connected();
            server.send(&format!("30 <{length:04x} {bad} {{}}>"));
            server.closes(0x81);
            assert!(server.message().is_none(), "{bad} got through");
        }
    }

    /// A string with U+0000 is malformed, and the client sends none.
    [v5 "1.5.4-2", v311 "1.5.3-2"]
    fn null_character(t) {
        let mut server = t.connected();
        server.send("30 <0003 61 00 62 {}>");
        server.closes(0x81);

        assert!(Message::new("a\0b", "").is_err());
        assert!(TopicFilter::from_text("a\0b").is_err());
        let mut options = t.options();
        options.client_id = "c\0".to_owned();
        sends_nothing(t.open(options));
        let mut server = Server::unopened(t.version, t.options());
        server.open(Credentials {
            user_name: Some("u\0".to_owned()),
            ..Credentials::default()
        });
        sends_nothing(server);
    }

    /// The bytes EF BB BF are a character like others, both ways.
    [v5 "1.5.4-3", v311 "1.5.3-3"]
    fn byte_order_mark(t) {
        let mut server = t.connected();
        server.subscribe("\u{FEFF}a", 0);
        server.send("30 <0004 efbbbf 61 {} 'x'>");
        assert_eq!(server.take().topic(), "\u{FEFF}a");
        server.publish("\u{FEFF}a", "y", 0);
        server.expect("30 <0004 efbbbf 61 {} 'y'>");
    }

    /// A variable byte integer has as few bytes as it needs.
    [v5 "1.5.5-1"]
    fn variable_byte_integer(t) {
        let mut server = t.connected();
        server.send_bytes(b"\x30\x84\x00\x00\x01a\x00");
        server.closes(0x81);
        let mut server = t.connected();
        server.send(r#"30 <"a" 04 0b 8100>"#);
        server.closes(0x81);

        // Its own are checked in each packet that is read here; around all borders, too.
        let mut server = t.connected();
        for length in (110..140).chain(16_370..16_390) {
            server.publish("a", &"x".repeat(length), 0);
            assert_eq!(server.packet().payload.len(), length);
        }
    }

    /// Both strings of a user property are strings, and arrive as they were sent.
    [v5 "1.5.7-1"]
    fn user_property_is_two_strings(t) {
        for bad in ["26 0001 00 0001 62", "26 0001 61 0001 00", "26 0001 ff 0001 62", "26 0001 61 0002 c080"] {
            let mut server = t.connected();
            server.send(&format!(r#"30 <"a" {{{bad}}}>"#));
            server.closes(0x81);
        }
        let mut server = t.connected();
        server.subscribe("a", 0);
        server.send(r#"30 <"a" {26 "é" "1" 26 "é" "2"} 'x'>"#);
        let taken = server.take();
        let pairs: Vec<(&str, &str)> = taken
            .user_properties()
            .map(|pair| (pair.name.to_str(), pair.value.to_str()))
            .collect();
        assert_eq!(pairs, [("é", "1"), ("é", "2")]);
        server.publish_message(taken);
        server.expect(r#"30 <"a" {26 "é" "1" 26 "é" "2"} 'x'>"#);
    }

    /// A packet whose reserved flags have another value is malformed.
    [v5 "2.1.3-1", v311 "2.2.2-1" "2.2.2-2"]
    fn reserved_flags(t) {
        let mut packets = vec!["41 <0001>", "51 <0001>", "60 <0001>", "63 <0001>", "71 <0001>", "91 <0001 {} 00>", "d1 <>"];
        if t.is_v5() {
            packets.extend(["b1 <0001 {} 00>", "e1 <00>", "f1 <00 {}>"]);
        } else {
            packets.push("b1 <0001>");
        }
        for packet in packets {
            let mut server = t.connected();
            server.send(packet);
            server.closes(0x81);
        }
        let mut server = t.open(t.options());
        server.expect("10 <..>");
        server.send("21 <00 00 {}>");
        server.closes_silently();
    }

    /// A message of QoS 0 has no packet identifier, in either direction.
    [v5 "2.2.1-2", v311 "2.3.1-5"]
    fn qos_0_has_no_packet_identifier(t) {
        let mut server = t.connected();
        server.publish("a", "xy", 0);
        server.expect(r#"30 <"a" {} 'xy'>"#);
        server.subscribe("a", 0);
        server.send(r#"30 <"a" {} 0001>"#);
        assert_eq!(server.take().payload.as_ref(), [0, 1]);
        server.goes_on();
    }

    /// Each new SUBSCRIBE, UNSUBSCRIBE and PUBLISH has a packet identifier that nothing else uses.
    [v5 "2.2.1-3" "4.3.2-1" "4.3.3-1", v311 "2.3.1-1" "2.3.1-2"]
    fn packet_identifiers_are_unused(t) {
        let mut server = t.connected();
        let subscription = server.subscribe("old", 1);
        let mut used = HashSet::new();
        for round in 0..50 {
            server.publish("a", "x", 1 + round % 2);
            server.asks(&[&format!("new/{round}")], 1);
        }
        server.session.unsubscribe(server.now, subscription);
        for packet in server.packets() {
            assert!(used.insert(packet.id()), "{packet:?} is the second");
        }
        assert_eq!(used.len(), 101);
    }

    /// Identifiers come round again, and leave out those that are in use, however long that is.
    [v5 "2.2.1-3" "4.3.2-1", v311 "2.3.1-1" "2.3.1-2" "2.3.1-3"]
    fn packet_identifiers_come_round(t) {
        let mut server = t.connected();
        server.publish("first", "", 1);
        let first = server.packet().id();
        server.asks(&["f"], 1);
        let asked = server.packet().id();
        let mut sent = 0;
        let mut send = |server: &mut Server| {
            server.publish("a", "", 1);
            for packet in server.packets() {
                let id = packet.id();
                assert!(id != first && id != asked, "{id} is in use");
                server.send(&format!("40 <{id:04x}>"));
                sent += 1;
            }
        };
        for _ in 0..40_000 {
            send(&mut server);
            if server.session.counters().queued > 10 {
                break;
            }
        }
        let round = |server: &mut Server| {
            let mut used = HashSet::new();
            for _ in 0..70_000 {
                server.publish("a", "", 1);
                for packet in server.packets() {
                    let id = packet.id();
                    used.insert(id);
                    server.send(&format!("40 <{id:04x}>"));
                }
                if server.session.counters().queued > 100 {
                    break;
                }
            }
            used
        };
        // Those that waited for the first go on when it is done, up to that of the SUBSCRIBE.
        server.send(&format!("40 <{first:04x}>"));
        assert!(!round(&mut server).contains(&asked), "{asked} is in use");
        assert!(server.session.counters().queued > 100);
        server.send(&format!("90 <{asked:04x} {{}} 01>"));
        assert_eq!(round(&mut server).len(), 65_535);
        assert_eq!(server.session.counters().queued, 0);
    }

    /// PUBACK, PUBREC, PUBREL and PUBCOMP have the packet identifier of their PUBLISH.
    [v5 "2.2.1-5", v311 "2.3.1-6"]
    fn acknowledgements_have_the_identifier_of_the_message(t) {
        let mut server = t.connected();
        server.subscribe("a", 2);
        server.send(r#"32 <"a" 1234 {}>"#);
        server.take();
        server.expect("40 <1234 ..>");
        server.send(r#"34 <"a" abcd {}>"#);
        server.take();
        server.expect("50 <abcd ..>");
        server.send("62 <abcd>");
        server.expect("70 <abcd ..>");
        server.publish("b", "", 2);
        let id = server.packet().id();
        server.send(&format!("50 <{id:04x}>"));
        server.expect(&format!("62 <{id:04x} ..>"));
    }

    /// No properties are a length of zero. A packet without one is malformed.
    [v5 "2.2.2-1"]
    fn no_properties_are_a_zero(t) {
        let mut server = t.connected();
        server.publish("a", "x", 1);
        server.expect(r#"32 <"a" ???? 00 'x'>"#);
        server.send("b0 <0001>");
        server.closes(0x81);

        let mut server = t.open(t.options());
        server.expect("10 <..>");
        // Accepted, and without properties: that is a CONNACK of 3.1.1.
        server.send_bytes(b"\x20\x02\x00\x00");
        server.closes_silently();
        assert!(server.session.counters().connections == 0, "it was taken");
    }

    /// What is no packet at all: a type that is reserved or a client's, a length without an end.
    [v5, v311 "4.8.0-1"]
    fn no_packet(t) {
        let mut server = t.connected();
        server.send("00 <>");
        server.closes(0x81);
        let mut server = t.connected();
        server.send_bytes(b"\x30\xff\xff\xff\xff\x01");
        server.closes(0x81);
        for packet in ["10 <..>", "82 <0001 {} 0001 61 00>", "a2 <0001 {} 0001 61>", "c0 <>"] {
            let mut server = t.connected();
            if packet == "10 <..>" {
                let mut other = t.open(t.options());
                let connect = other.packet();
                server.send_bytes(&connect.bytes);
            } else {
                server.send(packet);
            }
            server.closes(0x82);
        }
        // A client's packet that is malformed, too, in a way that only a CONNACK has a reason code for.
        let mut server = t.connected();
        server.send(r#"10 <"XXXX" 09 02 003c {} "c">"#);
        server.closes(0x82);
        assert_ne!(server.session.wanted(), mqtt_client::session::Wanted::End);
        server.break_connection();
        server.open(Credentials::default());
        server.expect("10 <..>");
    }

    /// A packet that ends too early or too late is malformed, whichever it is.
    [v5, v311 "4.8.0-1"]
    fn wrong_lengths(t) {
        let too_short = [
            r#"32 <"a" 00>"#,
            "32 <0002 'a'>",
            "30 <00>",
            "40 <00>",
            "62 <00>",
            "90 <00>",
            "b0 <00>",
        ];
        let too_long = if t.is_v5() {
            ["40 <0001 00 {} 00>", "62 <0001 00 {} 00>", "d0 <00>", "e0 <00 {} 00>"]
        } else {
            ["40 <0001 00>", "62 <0001 00>", "d0 <00>", "b0 <0001 00>"]
        };
        for packet in too_short.iter().chain(&too_long) {
            let mut server = t.connected();
            server.send(packet);
            server.closes(0x81);
        }
        if t.is_v5() {
            // Properties that end too early, or say to be longer than their packet.
            for packet in ["40 <0001 00 05 1f>", "40 <0001 00 02 1f 00>", r#"30 <"a" 09 01 00>"#] {
                let mut server = t.connected();
                server.send(packet);
                server.closes(0x81);
            }
        }
    }
}

/// A client whose CONNECT would be wrong sends none, and ends.
#[track_caller]
fn sends_nothing(mut server: Server) {
    server.pump();
    assert_eq!(server.session.wanted(), mqtt_client::session::Wanted::End);
    server.nothing();
}
