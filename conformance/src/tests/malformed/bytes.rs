//! Any packet but CONNECT: cut off, too long, with wrong flags, wrong lengths, wrong fields.

use super::{Parts, packet, refused, refuses};
use crate::notation::variable_byte_integer;
use crate::test::tests;

tests! {
    /// A PUBLISH that ends before its payload begins is malformed, wherever it ends.
    [v5, v311, v31]
    fn publish_cut_off(t) {
        for text in [
            r#"30 <"~/t" {}>"#,
            r#"32 <"~/t" 0001 {}>"#,
            r#"34 <"~/t" 0001 {01 01  26 "a" "b"}>"#,
        ] {
            let parts = Parts::of(t, text);
            for length in 0..parts.body.len() {
                refused(t, &parts.cut(length), [0x81]);
            }
        }
    }

    /// PUBACK, PUBREC, PUBREL and PUBCOMP are malformed where a field of theirs is cut off.
    [v5, v311, v31]
    fn acknowledgements_cut_off(t) {
        for first in [0x40, 0x50, 0x62, 0x70] {
            for body in [&[][..], &[0]] {
                refused(t, &packet(first, body), [0x81]);
            }
            if t.is_v5() {
                let parts = Parts::of(t, &format!(r#"{first:02x} <0001 00 {{1f "why" 26 "a" "b"}}>"#));
                // The reason code may be left out, and so may the properties.
                for length in 4..parts.body.len() {
                    refused(t, &parts.cut(length), [0x81]);
                }
            }
        }
    }

    /// A SUBSCRIBE that ends within a filter or before its options is malformed; without a filter it is an error.
    [v5, v311, v31]
    fn subscribe_cut_off(t) {
        let parts = Parts::of(t, r#"82 <0001 {0b 05  26 "a" "b"} "~/a" 00 "~/b" 00>"#);
        let second = parts.body.len() - (t.name.len() + 5);
        let first = second - (t.name.len() + 5);
        for length in (0..parts.body.len()).filter(|length| *length != second) {
            // Without a filter, both are true.
            let other = if length == first { 0x82 } else { 0x81 };
            refused(t, &parts.cut(length), [0x81, other]);
        }
    }

    /// An UNSUBSCRIBE that ends within a filter is malformed; without a filter it is an error.
    [v5, v311, v31]
    fn unsubscribe_cut_off(t) {
        let parts = Parts::of(t, r#"a2 <0001 {26 "a" "b"} "~/a" "~/b">"#);
        let second = parts.body.len() - (t.name.len() + 4);
        let first = second - (t.name.len() + 4);
        for length in (0..parts.body.len()).filter(|length| *length != second) {
            // Without a filter, both are true.
            let other = if length == first { 0x82 } else { 0x81 };
            refused(t, &parts.cut(length), [0x81, other]);
        }
    }

    /// A DISCONNECT and an AUTH are malformed where a field of theirs is cut off.
    [v5]
    fn disconnect_and_auth_cut_off(t) {
        for text in [
            r#"e0 <04 {11 00000000  1f "why"  26 "a" "b"}>"#,
            r#"f0 <19 {15 "method"  16 "data"  26 "a" "b"}>"#,
        ] {
            let parts = Parts::of(t, text);
            for length in 2..parts.body.len() {
                refused(t, &parts.cut(length), [0x81]);
            }
        }
    }

    /// Bytes behind the last field make a packet malformed.
    [v5, v311, v31]
    fn bytes_behind_the_end(t) {
        let mut packets = vec![
            r#"82 <0001 {} "~/a" 00>"#,
            r#"a2 <0001 {} "~/a">"#,
            "c0 <>",
        ];
        if t.is_v5() {
            packets.extend([
                "40 <0001 00 {}>",
                "50 <0001 00 {}>",
                "62 <0001 00 {}>",
                "70 <0001 00 {}>",
                "e0 <00 {}>",
            ]);
        } else {
            packets.extend(["40 <0001>", "50 <0001>", "62 <0001>", "70 <0001>", "e0 <>"]);
        }
        for text in packets {
            refused(t, &Parts::of(t, text).longer(), [0x81]);
        }
    }

    /// Reserved flags in the first byte have one value; any other makes the packet malformed.
    [v5, v311]
    fn reserved_flags(t) {
        for (text, flags) in [
            ("40 <0001>", 0),
            ("50 <0001>", 0),
            ("60 <0001>", 2),
            ("70 <0001>", 0),
            (r#"80 <0001 {} "~/a" 00>"#, 2),
            (r#"a0 <0001 {} "~/a">"#, 2),
            ("c0 <>", 0),
            ("e0 <>", 0),
        ] {
            let parts = Parts::of(t, text);
            for wrong in (0..16).filter(|other| *other != flags) {
                refused(t, &packet(parts.first | wrong, &parts.body), [0x81]);
            }
        }
    }

    /// The packet type 0 is no packet, nor is 15 before 5.0.
    [v5, v311, v31]
    fn reserved_types(t) {
        for first in 0..16 {
            refused(t, &[first, 0], [0x81, 0x82]);
        }
        if !t.is_v5() {
            refused(t, &[0xF0, 0], [0x81]);
        }
    }

    /// A packet that only a server sends is an error where a client sends it.
    [v5, v311, v31]
    fn packets_of_servers(t) {
        let suback = if t.is_v5() { "90 <0001 {} 00>" } else { "90 <0001 00>" };
        let unsuback = if t.is_v5() { "b0 <0001 {} 00>" } else { "b0 <0001>" };
        for text in ["20 <00 00 {}>", suback, unsuback, "d0 <>"] {
            refuses(t, text, [0x82]);
        }
    }

    /// A remaining length of more than four bytes is malformed.
    [v5, v311, v31]
    fn length_of_five_bytes(t) {
        for first in [0x30, 0x32, 0x40, 0x82, 0xC0] {
            refused(t, &[first, 0x80, 0x80, 0x80, 0x80, 0x01], [0x81]);
            refused(t, &[first, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], [0x81]);
        }
    }

    /// A length that takes more bytes than it needs is malformed, that of a packet or of properties.
    [v5]
    fn lengths_too_long_for_what_they_say(t) {
        for text in [
            "c0 8000",
            "c0 808000",
            r#"32 8800 0001 '~' 0001 00"#,
            r#"30 <"~/t" 8000 'x'>"#,
            r#"82 <0001 808000 "~/a" 00>"#,
            r#"82 <0001 {0b 8100} "~/a" 00>"#,
            "40 <0001 00 8000>",
            "e0 <00 8000>",
        ] {
            refuses(t, text, [0x81]);
        }
    }

    /// A packet that is larger than the server says it takes is refused before it has come whole.
    [v5]
    fn larger_than_the_server_takes(t) {
        let mut client = t.open();
        client.send(r#"10 <"MQTT" 05 02 003c {} "~a">"#);
        let connack = client.expect("20 <00 00 {..}>");
        let Some(most) = connack.number(0x27) else {
            return;
        };
        let mut header = vec![0x30];
        variable_byte_integer(most as usize, &mut header);
        client.send_bytes(&header);
        client.refused(0x95);
    }

    /// A packet identifier of 0 is an error in each packet that has one.
    [v5, v311, v31]
    fn packet_identifier_zero(t) {
        for text in [
            r#"32 <"~/t" 0000 {} 'x'>"#,
            r#"34 <"~/t" 0000 {} 'x'>"#,
            r#"82 <0000 {} "~/a" 00>"#,
            r#"a2 <0000 {} "~/a">"#,
            "40 <0000>",
            "50 <0000>",
            "62 <0000>",
            "70 <0000>",
        ] {
            refuses(t, text, [0x81, 0x82]);
        }
    }

    /// QoS 3 is malformed, and so is a QoS 0 message that is said to be a second try.
    [v5, v311]
    fn flags_of_publish(t) {
        for text in [
            r#"36 <"~/t" 0001 {} 'x'>"#,
            r#"37 <"~/t" 0001 {} 'x'>"#,
            r#"3e <"~/t" 0001 {} 'x'>"#,
            r#"38 <"~/t" {} 'x'>"#,
            r#"39 <"~/t" {} 'x'>"#,
        ] {
            refuses(t, text, [0x81]);
        }
    }

    /// A topic name is text without wildcards, and not empty.
    [v5, v311, v31]
    fn topic_names(t) {
        refuses(t, r#"30 <"" {} 'x'>"#, [0x81, 0x82, 0x90]);
        for text in [r#""~/#""#, r#""~/+""#, r#""~/+/t""#, r##""#""##, r#""~#""#] {
            refuses(t, &format!("30 <{text} {{}} 'x'>"), [0x81, 0x82, 0x90]);
            refuses(t, &format!("32 <{text} 0001 {{}} 'x'>"), [0x81, 0x82, 0x90]);
        }
    }

    /// Strings are well-formed UTF-8 without U+0000 in each packet that has one.
    [v5, v311]
    fn strings(t) {
        for bad in [
            // A continuation alone, one that is missing, a longer form than need be.
            "0001 80",
            "0001 c3",
            "0002 c0af",
            "0003 e080af",
            // Half of a surrogate pair, beyond U+10FFFF, U+0000.
            "0003 eda080",
            "0003 edbfbf",
            "0004 f4908080",
            "0001 ff",
            "0001 00",
            "0003 610062",
        ] {
            for text in [
                format!("30 <{bad} {{}} 'x'>"),
                format!("82 <0001 {{}} {bad} 00>"),
                format!("a2 <0001 {{}} {bad}>"),
            ] {
                refuses(t, &text, [0x81]);
            }
        }
    }

    /// A wildcard stands for whole levels, and # is the last one.
    [v5, v311]
    fn filters(t) {
        for filter in ["~/#/a", "~#", "~/a#", "~/+a", "~/a+", "~/++", "#/~", "##", "~/#+", ""] {
            refuses(t, &format!(r#"82 <0001 {{}} "{filter}" 00>"#), [0x81, 0x82, 0x8F]);
            refuses(t, &format!(r#"a2 <0001 {{}} "{filter}">"#), [0x81, 0x82, 0x8F]);
        }
    }

    /// A shared subscription has a name without wildcards, and a filter.
    [v5]
    fn shared_filters(t) {
        for filter in ["$share/", "$share//~/a", "$share/~", "$share/~/", "$share/~+/a", "$share/~#/a"] {
            refuses(t, &format!(r#"82 <0001 {{}} "{filter}" 00>"#), [0x81, 0x82, 0x8F]);
        }
    }

    /// QoS 3, retain handling 3 and reserved bits are no options of a subscription.
    [v5]
    fn subscription_options(t) {
        for (options, codes) in [
            (0x03, [0x82, 0x81]),
            (0x30, [0x82, 0x81]),
            (0x40, [0x81, 0x81]),
            (0x80, [0x81, 0x81]),
            (0xC1, [0x81, 0x81]),
        ] {
            refuses(t, &format!(r#"82 <0001 {{}} "~/a" {options:02x}>"#), codes);
        }
        refuses(t, r#"82 <0001 {} "$share/~/a" 04>"#, [0x82]);
    }

    /// Before 5.0, a requested QoS is 0, 1 or 2, and all other bits are 0.
    [v311]
    fn requested_qos(t) {
        for options in [0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF] {
            refuses(t, &format!(r#"82 <0001 "~/a" {options:02x}>"#), [0x81]);
        }
    }

    /// A reason code is one of those that the packet has from a client.
    [v5]
    fn reason_codes(t) {
        for (first, codes) in [
            (0x40, [0x01, 0x18, 0x92, 0xFF]),
            (0x50, [0x01, 0x11, 0x92, 0xFF]),
            (0x62, [0x01, 0x10, 0x80, 0xFF]),
            (0x70, [0x01, 0x10, 0x80, 0xFF]),
        ] {
            for code in codes {
                refused(t, &packet(first, &[0, 1, code]), [0x81, 0x82]);
            }
        }
        for code in [0x01, 0x02, 0x18, 0xA3, 0xFF] {
            refused(t, &packet(0xE0, &[code]), [0x81, 0x82]);
        }
        for code in ["01", "80", "ff"] {
            refuses(t, &format!(r#"f0 <{code} {{15 "method"}}>"#), [0x81, 0x82]);
        }
    }

    /// AUTH is an error for who has not named a method at CONNECT.
    [v5]
    fn auth_without_a_method(t) {
        for text in ["f0 <>", "f0 <18 {}>", r#"f0 <18 {15 "method"}>"#, r#"f0 <19 {15 "method" 16 "data"}>"#] {
            refuses(t, text, [0x82]);
        }
    }
}
