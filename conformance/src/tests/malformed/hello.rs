//! The first packet: what is not a good CONNECT, and a CONNECT that is not the first packet.

use super::{Parts, packet};
use crate::Version;
use crate::notation::Notation;
use crate::test::{Test, connect, tests};

tests! {
    /// Any packet but a CONNECT that comes first ends the connection without a word.
    [v5, v311, v31]
    fn something_else_first(t) {
        for text in [
            "20 <00 00 {}>",
            r#"30 <"~/t" {} 'x'>"#,
            r#"31 <"~/t" {} 'x'>"#,
            r#"32 <"~/t" 0001 {} 'x'>"#,
            "40 <0001>",
            "62 <0001>",
            r#"82 <0001 {} "~/#" 00>"#,
            r#"a2 <0001 {} "~/#">"#,
            "c0 <>",
            "d0 <>",
            "e0 <>",
            "f0 <>",
            "00 <>",
        ] {
            let mut client = t.open();
            client.send(text);
            // It does not help to say it afterwards.
            client.send(&connect(t.version, "a", "02", "", ""));
            client.closed();
        }
        super::nothing_is_retained(t, "~/#");
    }

    /// A CONNECT that ends too early gets no session, wherever it ends.
    [v5, v311]
    fn cut_off(t) {
        let parts = Parts::of(t, &connect(t.version, "a", "c6", "21 0009", r#"{18 00000009} "~/will" "gone" "user" "pass""#));
        // From here on it is known which version is meant.
        let version_known = 7;
        for length in 0..parts.body.len() {
            let mut client = t.open();
            client.send_bytes(&parts.cut(length));
            if length < version_known {
                client.closed();
            } else {
                client.turned_away(0x81, []);
            }
        }
    }

    /// Bytes behind the last field of a CONNECT make it malformed.
    [v5, v311]
    fn bytes_behind_the_end(t) {
        for (flags, fields) in [
            ("02", ""),
            ("06", r#"{} "~/will" "gone""#),
            ("c2", r#""user" "pass""#),
        ] {
            let mut client = t.open();
            client.send_bytes(&Parts::of(t, &connect(t.version, "a", flags, "", fields)).longer());
            client.turned_away(0x81, []);
        }
    }

    /// The flags in the first byte of a CONNECT are 0.
    [v5, v311]
    fn reserved_flags(t) {
        let parts = Parts::of(t, &connect(t.version, "a", "02", "", ""));
        for flags in 1..16 {
            let mut client = t.open();
            client.send_bytes(&packet(parts.first | flags, &parts.body));
            client.turned_away([0x81, 0x82], []);
        }
    }

    /// Connect flags that contradict each other or the standard make a CONNECT malformed.
    [v5, v311]
    fn connect_flags(t) {
        let will = r#"{} "~/will" "gone""#;
        let mut wrong = vec![
            // The reserved one; a will of QoS 3; QoS and RETAIN of a will that is not there.
            ("03", ""),
            ("01", ""),
            ("1e", will),
            ("0a", ""),
            ("12", ""),
            ("1a", ""),
            ("22", ""),
            // Fields that the flags announce, and that are not there.
            ("06", ""),
            ("82", ""),
            ("c2", r#""user""#),
        ];
        if !t.is_v5() {
            // A password without a user name.
            wrong.push(("42", r#""pass""#));
        }
        for (flags, fields) in wrong {
            let mut client = t.open();
            client.send(&connect(t.version, "a", flags, "", fields));
            client.turned_away(0x81, []);
        }
    }

    /// Client identifier, user name and the topic of a will are text, and the topic is one to publish on.
    [v5, v311]
    fn strings(t) {
        for bad in ["0001 00", "0001 ff", "0003 eda080", "0002 c0af"] {
            for text in [
                format!(r"10 <{} 02 003c {{}} {bad}>", protocol(t)),
                format!(r#"10 <{} 06 003c {{}} "~a" {{}} {bad} "gone">"#, protocol(t)),
                format!(r#"10 <{} 82 003c {{}} "~a" {bad}>"#, protocol(t)),
            ] {
                let mut client = t.open();
                client.send(&text);
                client.turned_away([0x81, 0x85], []);
            }
        }
        for topic in [r#""~/#""#, r#""~/+""#, r#""""#] {
            let mut client = t.open();
            client.send(&connect(t.version, "a", "06", "", &format!(r#"{{}} {topic} "gone""#)));
            client.turned_away([0x81, 0x82, 0x90], []);
        }
    }

    /// A version that nobody speaks is refused with the return code 1, which all versions understand.
    [v311]
    fn versions_that_do_not_exist(t) {
        for (name, level) in [("MQTT", 0), ("MQTT", 1), ("MQTT", 2), ("MQTT", 6), ("MQTT", 0x7F), ("MQTT", 0xFF), ("MQIsdp", 2)] {
            let mut client = t.open();
            client.send(&format!(r#"10 <"{name}" {level:02x} 02 003c "~a">"#));
            client.turned_away([], 0x01);
        }
    }

    /// A client of 3.1.1 without a name whose session is to stay is refused with the return code 2.
    [v311]
    fn no_name(t) {
        let mut client = t.open();
        client.send(r#"10 <"MQTT" 04 00 003c "">"#);
        client.turned_away([], 0x02);
    }

    /// An authentication method that the server does not have is refused.
    [v5]
    fn unknown_method(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "02", r#"15 "no such method" 16 "data""#, ""));
        client.turned_away([0x87, 0x8C], []);
    }

    /// A second CONNECT is an error, a good one like a malformed one, of whatever version.
    [v5, v311, v31]
    fn twice(t) {
        for version in [Version::V5, Version::V3_1_1, Version::V3_1] {
            let text = connect(version, "a", "02", "", "");
            let bytes = Notation::read(&text, version, &t.name).bytes();
            let mut client = t.client("a");
            client.send_bytes(&bytes);
            client.refused(0x82);
        }
        let mut client = t.client("a");
        client.send(&connect(t.version, "a", "03", "", ""));
        client.refused([0x81, 0x82]);
    }
}

fn protocol(t: &Test) -> &'static str {
    match t.version {
        Version::V3_1 => r#""MQIsdp" 03"#,
        Version::V3_1_1 => r#""MQTT" 04"#,
        Version::V5 => r#""MQTT" 05"#,
    }
}
