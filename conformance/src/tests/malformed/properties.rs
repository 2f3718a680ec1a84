//! The properties of 5.0 that a client sends: unknown, of another packet, twice, cut off, with bad values.

use super::refused;
use crate::notation::Notation;
use crate::test::{Test, tests};

/// Each property: its identifier, a good value, and the packets of a client that may have it.
const PROPERTIES: [(u8, &str, &[&str]); 27] = [
    (0x01, "01", &["PUBLISH", "will"]),
    (0x02, "00000009", &["PUBLISH", "will"]),
    (0x03, r#""text""#, &["PUBLISH", "will"]),
    (0x08, r#""~/answer""#, &["PUBLISH", "will"]),
    (0x09, r#""data""#, &["PUBLISH", "will"]),
    (0x0B, "05", &["SUBSCRIBE"]),
    (0x11, "00000000", &["CONNECT", "DISCONNECT"]),
    (0x12, r#""~b""#, &[]),
    (0x13, "0009", &[]),
    (0x15, r#""method""#, &["CONNECT", "AUTH"]),
    (0x16, r#""data""#, &["CONNECT", "AUTH"]),
    (0x17, "01", &["CONNECT"]),
    (0x18, "00000009", &["will"]),
    (0x19, "00", &["CONNECT"]),
    (0x1A, r#""text""#, &[]),
    // No client has a use for it, but no rule forbids it either.
    (0x1C, r#""text""#, &["DISCONNECT"]),
    (
        0x1F,
        r#""text""#,
        &[
            "PUBACK",
            "PUBREC",
            "PUBREL",
            "PUBCOMP",
            "DISCONNECT",
            "AUTH",
        ],
    ),
    (0x21, "0009", &["CONNECT"]),
    (0x22, "0009", &["CONNECT"]),
    (0x23, "0001", &["PUBLISH"]),
    (0x24, "01", &[]),
    (0x25, "01", &[]),
    (
        0x26,
        r#""name" "value""#,
        &[
            "CONNECT",
            "will",
            "PUBLISH",
            "PUBACK",
            "PUBREC",
            "PUBREL",
            "PUBCOMP",
            "SUBSCRIBE",
            "UNSUBSCRIBE",
            "DISCONNECT",
            "AUTH",
        ],
    ),
    (0x27, "00010000", &["CONNECT"]),
    (0x28, "01", &[]),
    (0x29, "01", &[]),
    (0x2A, "01", &[]),
];

/// The packets of a client, with `@` where their properties are.
const PACKETS: [(&str, &str); 11] = [
    ("CONNECT", r#"10 <"MQTT" 05 02 003c @ "~a">"#),
    (
        "will",
        r#"10 <"MQTT" 05 06 003c {} "~a" @ "~/will" "gone">"#,
    ),
    ("PUBLISH", r#"32 <"~/t" 0001 @ 'x'>"#),
    ("PUBACK", "40 <0001 00 @>"),
    ("PUBREC", "50 <0001 00 @>"),
    ("PUBREL", "62 <0001 00 @>"),
    ("PUBCOMP", "70 <0001 00 @>"),
    ("SUBSCRIBE", r#"82 <0001 @ "~/a" 00>"#),
    ("UNSUBSCRIBE", r#"a2 <0001 @ "~/a">"#),
    ("DISCONNECT", "e0 <04 @>"),
    ("AUTH", "f0 <19 @>"),
];

/// Sends a packet with these properties: the connection is refused, or ends, with one of the codes.
#[track_caller]
fn with<const N: usize>(t: &Test, text: &str, properties: &str, codes: [u8; N]) {
    let bytes = Notation::read(&text.replace('@', properties), t.version, &t.name).bytes();
    if bytes[0] == 0x10 {
        let mut client = t.open();
        client.send_bytes(&bytes);
        client.turned_away(codes, []);
    } else {
        refused(t, &bytes, codes);
    }
}

tests! {
    /// A property that does not exist makes any packet malformed.
    [v5]
    fn unknown(t) {
        for (_, text) in PACKETS {
            for property in ["00 00", "04 00", "0a 00", "10 00", "1b 00", "20 00", "2b 00", "7f 00", "8101 00", "ffffff7f"] {
                with(t, text, &format!("{{{property}}}"), [0x81]);
            }
        }
    }

    /// A property of other packets makes a packet malformed.
    [v5]
    fn of_another_packet(t) {
        for (packet, text) in PACKETS {
            for (identifier, value, _) in PROPERTIES.iter().filter(|(.., packets)| !packets.contains(&packet)) {
                // A client must not send that one, which a PUBLISH of a server may have.
                let codes = if packet == "PUBLISH" && *identifier == 0x0B { [0x81, 0x82] } else { [0x81, 0x81] };
                with(t, text, &format!("{{{identifier:02x} {value}}}"), codes);
            }
        }
    }

    /// A property that may be there once is an error where it is there twice.
    [v5]
    fn twice(t) {
        for (packet, text) in PACKETS {
            for (identifier, value, packets) in PROPERTIES {
                if packets.contains(&packet) && identifier != 0x26 {
                    let one = format!("{identifier:02x} {value}");
                    with(t, text, &format!("{{{one} {one}}}"), [0x82]);
                }
            }
        }
    }

    /// A property whose value goes on beyond the end of the properties makes a packet malformed.
    [v5]
    fn cut_off(t) {
        for (packet, text) in PACKETS {
            for (identifier, value, packets) in PROPERTIES {
                if packets.contains(&packet) {
                    let value = Notation::read(value, t.version, &t.name).bytes();
                    for length in 0..value.len().min(7) {
                        let cut: String = value[..length].iter().map(|byte| format!("{byte:02x}")).collect();
                        with(t, text, &format!("{{{identifier:02x} {cut}}}"), [0x81]);
                    }
                }
            }
        }
    }

    /// Properties that are longer than their packet make it malformed.
    [v5]
    fn longer_than_the_packet(t) {
        for (_, text) in PACKETS {
            for length in ["7f", "ff7f", "ffffff7f", "ffffffff", "ffffffff7f"] {
                with(t, text, length, [0x81]);
            }
        }
    }

    /// A yes or no is 1 or 0, and what must not be zero is not.
    [v5]
    fn values(t) {
        for (packet, text) in PACKETS {
            for (of, properties) in [
                ("CONNECT", "17 02"),
                ("CONNECT", "17 ff"),
                ("CONNECT", "19 02"),
                ("CONNECT", "21 0000"),
                ("CONNECT", "27 00000000"),
                ("CONNECT", r#"16 "data""#),
                ("PUBLISH", "01 02"),
                ("PUBLISH", "08 0001 '#'"),
                ("PUBLISH", r#"08 "~/+/a""#),
                ("will", "01 02"),
                ("will", r#"08 "~/#""#),
                ("SUBSCRIBE", "0b 00"),
                ("AUTH", r#"16 "data""#),
            ] {
                if of == packet {
                    with(t, text, &format!("{{{properties}}}"), [0x82]);
                }
            }
        }
        with(t, PACKETS[2].1, "{23 0000}", [0x94]);
    }

    /// The strings in properties are well-formed UTF-8 without U+0000.
    [v5]
    fn strings(t) {
        for (packet, text) in PACKETS {
            for (identifier, value, packets) in PROPERTIES {
                let is_text = value.starts_with('"') && ![0x09, 0x16].contains(&identifier);
                if !is_text || !packets.contains(&packet) {
                    continue;
                }
                for bad in ["0001 00", "0001 ff", "0003 eda080"] {
                    let values = if identifier == 0x26 {
                        vec![format!(r#"{bad} "value""#), format!(r#""name" {bad}"#)]
                    } else {
                        vec![bad.to_owned()]
                    };
                    for value in values {
                        with(t, text, &format!("{{{identifier:02x} {value}}}"), [0x81]);
                    }
                }
            }
        }
    }
}
