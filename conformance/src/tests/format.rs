//! 1 and 2: data representation, fixed headers, packet identifiers, properties.

use std::collections::BTreeSet;

use crate::packet::Kind;
use crate::test::tests;

/// Strings that are not UTF-8, with their lengths: a stray byte, a surrogate, an overlong form, a
/// code point beyond the last, an end within a character.
const ILL_FORMED: [&str; 5] = [
    "0001 ff",
    "0003 eda080",
    "0002 c080",
    "0004 f4908080",
    "0002 61c3",
];

tests! {
    /// A string that is not well-formed UTF-8 ends the connection, in whatever packet it is.
    [v5 "1.5.4-1", v311 "1.5.3-1"]
    fn ill_formed_utf_8(t) {
        for string in ILL_FORMED {
            let mut client = t.client("a");
            client.send(&format!("30 <{string} {{}}>"));
            client.refused(0x81);
            let mut client = t.client("a");
            client.send(&format!("82 <0001 {{}} {string} 00>"));
            client.refused(0x81);
        }
    }

    /// The character U+0000 in a string ends the connection.
    [v5 "1.5.4-2", v311 "1.5.3-2"]
    fn null_character(t) {
        for packet in ["30 <0003 610062 {}>", "82 <0001 {} 0003 610062 00>", "a2 <0001 {} 0001 00>"] {
            let mut client = t.client("a");
            client.send(packet);
            client.refused(0x81);
        }
    }

    /// A byte order mark is a character like any other: it is kept, and makes a topic another one.
    [v5 "1.5.4-3", v311 "1.5.3-3"]
    fn byte_order_mark(t) {
        let mut client = t.client("a");
        // At the start of a text, some readers take it away.
        for (with, without) in [("\u{FEFF}~/x", "~/x"), ("~/\u{FEFF}y", "~/y")] {
            client.subscribe(with, 0);
            client.publish(without, 0, "without");
            client.send(&format!(r#"30 <"{with}" {{}} 'with'>"#));
            client.message(with, "with");
            client.quiet();
        }
    }

    /// A variable byte integer that is longer than need be is malformed.
    [v5 "1.5.5-1"]
    fn variable_byte_integer_is_short(t) {
        // A remaining length, a length of properties, a subscription identifier.
        for packet in ["c0 8000", r#"30 04 0001 61 8000"#, r#"82 <0001 <0b 8100> "~/t" 00>"#] {
            let mut client = t.client("a");
            client.send(packet);
            client.refused(0x81);
        }
    }

    /// Both strings of a user property have to be UTF-8 without U+0000.
    [v5 "1.5.7-1"]
    fn user_property_is_two_strings(t) {
        for pair in ["0001 ff 'v'", "0001 61 0001 ff", "0001 00 0001 61", "0001 61 0003 eda080"] {
            let mut client = t.client("a");
            client.send(&format!(r#"30 <"~/t" {{26 {pair}}} 'x'>"#));
            client.refused(0x81);
        }
    }

    /// Reserved flags of the fixed header that have another value than the standard says end the
    /// connection.
    [v5 "2.1.3-1", v311 "2.2.2-1" "2.2.2-2"]
    fn reserved_flags(t) {
        let packets = [
            "41 <0001>", "52 <0001>", "60 <0001>", "63 <0001>", "78 <0001>", "c1 00", "e1 00",
            r#"81 <0001 {} "~/t" 00>"#, r#"a0 <0001 {} "~/t">"#,
        ];
        for packet in packets {
            let mut client = t.client("a");
            client.send(packet);
            client.refused(0x81);
        }
    }

    /// A PUBLISH of QoS 0 has no packet identifier, neither when it is read nor when it is sent.
    [v5 "2.2.1-2", v311 "2.3.1-5"]
    fn qos_0_has_no_packet_identifier(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        client.send(r#"30 <"~/t" {} 0001 'x'>"#);
        client.expect(r#"30 <"~/t" {} 0001 'x'>"#);
    }

    /// The packet identifier 0 is none.
    [v5 "2.2.1-3", v311 "2.3.1-1"]
    fn packet_identifier_is_not_zero(t) {
        let packets = [
            r#"32 <"~/t" 0000 {} 'x'>"#, r#"34 <"~/t" 0000 {} 'x'>"#,
            r#"82 <0000 {} "~/t" 00>"#, r#"a2 <0000 {} "~/t">"#,
        ];
        for packet in packets {
            let mut client = t.client("a");
            client.send(packet);
            client.refused([0x81, 0x82]);
        }
    }

    /// Messages that are under way to a client have different packet identifiers.
    [v5 "2.2.1-4", v311 "2.3.1-1"]
    fn packet_identifiers_are_unused(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 2);
        let mut used = BTreeSet::new();
        for number in 0..5 {
            client.send(&format!(r#"32 <"~/t" {:04x} {{}} 'x'>"#, number + 1));
        }
        while used.len() < 5 {
            let packet = client.packet();
            if packet.kind == Kind::Publish {
                assert!(used.insert(packet.id()), "{packet:?} has an identifier in use");
            }
        }
    }

    /// A packet identifier stands for one message until that has been acknowledged, and is free then.
    [v5, v311 "2.3.1-3"]
    fn packet_identifier_is_free_again(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        let mut client = t.client("a");
        for payload in ["one", "two"] {
            client.send(&format!(r#"34 <"~/t" 0001 {{}} '{payload}'>"#));
            client.expect("50 <0001>");
            // It is in use: this is the same message again.
            client.send(&format!(r#"3c <"~/t" 0001 {{}} '{payload}'>"#));
            client.expect("50 <0001 ..>");
            client.send("62 <0001>");
            client.expect("70 <0001>");
            witness.message("~/t", payload);
        }
        for payload in ["three", "four"] {
            client.send(&format!(r#"32 <"~/t" 0001 {{}} '{payload}'>"#));
            client.expect("40 <0001>");
            witness.message("~/t", payload);
        }
        client.send(r#"82 <0001 {} "~/u" 01>"#);
        client.expect("90 <0001 {..} 01>");
        witness.quiet();
    }

    /// What acknowledges a message has its packet identifier, in both directions.
    [v5 "2.2.1-5", v311 "2.3.1-6"]
    fn acknowledgements_have_the_identifier_of_the_message(t) {
        let mut client = t.client("a");
        client.send(r#"32 <"~/t" 1234 {} 'x'>"#);
        client.expect("40 <1234 ..>");
        client.send(r#"34 <"~/t" fffe {} 'x'>"#);
        client.expect("50 <fffe ..>");
        client.send("62 <fffe>");
        client.expect("70 <fffe ..>");
        client.subscribe("~/s", 2);
        t.client("p").publish("~/s", 2, "x");
        let message = client.message("~/s", "x");
        client.send(&format!("50 <{:04x}>", message.id()));
        client.expect(&format!("62 <{:04x} ..>", message.id()));
    }

    /// A SUBACK and an UNSUBACK have the packet identifier of the request.
    [v5 "2.2.1-6", v311 "2.3.1-7"]
    fn answers_have_the_identifier_of_the_request(t) {
        let mut client = t.client("a");
        client.send(r#"82 <abcd {} "~/t" 00>"#);
        client.expect("90 <abcd {..} 00>");
        client.send(r#"a2 <0102 {} "~/t">"#);
        let unsuback = client.packet_of(Kind::UnsubAck);
        assert_eq!(unsuback.id(), 0x0102);
    }

    /// Where there are no properties, there is a length of zero: without it, a packet is malformed.
    [v5 "2.2.2-1"]
    fn no_properties_have_a_length(t) {
        let mut client = t.client("a");
        client.send(r#"30 <"~/t">"#);
        client.refused(0x81);
        let mut client = t.open();
        client.send(r#"10 <"MQTT" 05 02 003c>"#);
        client.turned_away(0x81, []);
        // The broker's own are read as strictly.
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        client.send(r#"30 <"~/t" {} 'x'>"#);
        client.expect(r#"30 <"~/t" {} 'x'>"#);
    }
}
