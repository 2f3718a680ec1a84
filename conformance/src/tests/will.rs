//! 3.1.2.5 and 3.1.3: wills.

use std::time::Duration;

use crate::client::Client;
use crate::test::{Test, connect, tests};

tests! {
    /// A will is published when its client vanishes.
    [v5 "3.1.2-7" "3.1.2-8", v311 "3.1.2-8"]
    fn will_is_published(t) {
        let mut witness = witness(t, 2);
        for (qos, flags) in [(0, "06"), (1, "0e"), (2, "16")] {
            t.client_with("a", flags, "", r#"{} "~/will" "gone""#).vanish();
            let message = witness.message("~/will", "gone");
            assert_eq!(message.qos(), qos);
            witness.acknowledge(&message);
        }
        witness.quiet();
    }

    /// A will is published when its client breaks the protocol.
    [v5 "3.1.2-8", v311 "3.1.2-8"]
    fn will_after_a_protocol_error(t) {
        let mut witness = witness(t, 0);
        let mut client = t.client_with("a", "06", "", r#"{} "~/will" "gone""#);
        client.send("f7 00");
        client.refused([0x81, 0x82]);
        witness.message("~/will", "gone");
    }

    /// A will is published when another connection takes over the session.
    [v5 "3.1.2-8", v311 "3.1.2-8"]
    fn will_at_takeover(t) {
        let mut witness = witness(t, 0);
        let _old = t.client_with("a", "06", "", r#"{} "~/will" "gone""#);
        let _new = t.client("a");
        witness.message("~/will", "gone");
    }

    /// A DISCONNECT in peace deletes the will.
    [v5 "3.1.2-10" "3.14.4-3", v311 "3.1.2-10" "3.14.4-3"]
    fn disconnect_deletes_the_will(t) {
        let mut witness = witness(t, 0);
        t.client_with("a", "06", "", r#"{} "~/will" "gone""#).disconnect();
        witness.quiet();
    }

    /// A DISCONNECT with another reason than 0 leaves the will.
    [v5 "3.1.2-8"]
    fn disconnect_with_will_message(t) {
        let mut witness = witness(t, 0);
        for reason in ["04", "80"] {
            let mut client = t.client_with("a", "06", "", r#"{} "~/will" "gone""#);
            client.send(&format!("e0 <{reason}>"));
            client.closed();
            witness.message("~/will", "gone");
        }
    }

    /// A will that has been published is gone: it does not come again with the next connection, nor
    /// when the session ends.
    [v5 "3.1.2-10", v311 "3.1.2-10"]
    fn will_is_published_once(t) {
        let mut witness = witness(t, 0);
        let mut client = t.open();
        let will = r#"{} "~/will" "gone""#;
        client.send(&connect(t.version, "a", "04", "11 000003e8", will));
        client.expect("20 <00 00 {..}>");
        client.vanish();
        witness.message("~/will", "gone");
        t.returns("a").vanish();
        witness.quiet();
        t.client_with("b", "04", "11 000003e8", will).vanish();
        witness.message("~/will", "gone");
        // The clean start ends the session that had the will.
        t.client("b").quiet();
        witness.quiet();
    }

    /// Who leaves no will has none.
    [v311 "3.1.2-12", v5]
    fn no_will(t) {
        let mut witness = witness(t, 0);
        t.client("a").vanish();
        witness.quiet();
    }

    /// Where a will is announced, its topic and its payload have to be there.
    [v5 "3.1.2-9", v311 "3.1.2-9"]
    fn will_flag_without_a_will(t) {
        for fields in ["", r#"{} "~/will""#, r#"{} "~/will" 0005 61"#] {
            refused_at_once(t, "06", fields);
        }
    }

    /// Without a will, its QoS has to be 0.
    [v5 "3.1.2-11", v311 "3.1.2-11" "3.1.2-13"]
    fn will_qos_without_a_will(t) {
        for flags in ["0a", "12", "1a"] {
            refused_at_once(t, flags, "");
        }
    }

    /// The QoS of a will is not 3.
    [v5 "3.1.2-12", v311 "3.1.2-14"]
    fn will_qos_of_3(t) {
        refused_at_once(t, "1e", r#"{} "~/will" "gone""#);
    }

    /// Without a will, nothing of it is retained.
    [v5 "3.1.2-13", v311 "3.1.2-11" "3.1.2-15"]
    fn will_retain_without_a_will(t) {
        refused_at_once(t, "22", "");
    }

    /// Without a will, its fields are too much.
    [v311 "3.1.2-11", v5]
    fn will_fields_without_a_will(t) {
        refused_at_once(t, "02", r#"{} "~/will" "gone""#);
    }

    /// A will that is not to be retained is not.
    [v5 "3.1.2-14", v311 "3.1.2-16"]
    fn will_is_not_retained(t) {
        let mut before = witness(t, 1);
        t.client_with("a", "0e", "", r#"{} "~/will" "gone""#).vanish();
        assert!(!before.message("~/will", "gone").retain());
        let mut client = t.client("b");
        client.subscribe("~/will", 1);
        client.quiet();
    }

    /// A will that is to be retained is.
    [v5 "3.1.2-15", v311 "3.1.2-17"]
    fn will_is_retained(t) {
        let mut before = witness(t, 1);
        t.client_with("a", "2e", "", r#"{} "~/will" "gone""#).vanish();
        assert!(!before.message("~/will", "gone").retain());
        let mut client = t.client("b");
        client.subscribe("~/will", 1);
        assert!(client.message("~/will", "gone").retain());
    }

    /// A will with a delay waits for it, and no longer.
    [v5 "3.1.2-8"]
    fn will_delay(t) {
        let mut witness = witness(t, 0);
        let will = r#"{18 00000002} "~/will" "gone""#;
        t.client_with("a", "06", "11 000003e8", will).vanish();
        witness.silent_for(Duration::from_millis(1500));
        witness.message("~/will", "gone");
    }

    /// A delayed will is published when the session ends, if that is earlier.
    [v5 "3.1.2-8"]
    fn will_delay_ends_with_the_session(t) {
        let mut witness = witness(t, 0);
        let will = r#"{18 000003e8} "~/will" "gone""#;
        t.client_with("a", "06", "", will).vanish();
        witness.message("~/will", "gone");
        t.client_with("b", "06", "11 00000001", will).vanish();
        witness.message("~/will", "gone");
        // A clean start ends it, too.
        t.client_with("c", "06", "11 000003e8", will).vanish();
        witness.quiet();
        t.client("c").quiet();
        witness.message("~/will", "gone");
    }

    /// A client that is back in time leaves no will behind.
    [v5 "3.1.3-9" "3.1.2-8"]
    fn will_delay_against_a_reconnect(t) {
        let mut witness = witness(t, 0);
        let will = r#"{18 00000002} "~/will" "gone""#;
        t.client_with("a", "06", "11 000003e8", will).vanish();
        let _client = t.returns("a");
        witness.silent_for(Duration::from_millis(3500));
        witness.quiet();
    }

    /// The properties of a will go with it, its user properties in their order.
    [v5 "3.1.3-10"]
    fn will_properties(t) {
        let mut witness = witness(t, 0);
        let properties = r#"01 01 03 "text" 08 "~/answer" 09 0002 0001 26 "b" "1" 26 "a" "2" 26 "b" "3""#;
        let will = format!(r#"{{18 00000000 {properties}}} "~/will" "gone""#);
        t.client_with("a", "06", "", &will).vanish();
        let message = witness.message("~/will", "gone");
        let pairs: Vec<&[u8]> = message.all(0x26).map(|pair| &pair.value[..]).collect();
        assert_eq!(pairs, [b"\0\x01b\0\x011", b"\0\x01a\0\x012", b"\0\x01b\0\x013"]);
        assert_eq!(message.number(0x01), Some(1));
        assert!(message.property(0x03).is_some_and(|text| text.value == b"text"));
        assert!(message.property(0x08).is_some());
        assert!(message.property(0x09).is_some_and(|data| data.value == [0, 1]));
        assert_eq!(message.property(0x18), None);
    }
}

fn witness(t: &Test, qos: u8) -> Client {
    let mut witness = t.client("witness");
    witness.subscribe("~/will", qos);
    witness
}

#[track_caller]
fn refused_at_once(t: &Test, flags: &str, fields: &str) {
    let mut client = t.open();
    client.send(&connect(t.version, "a", flags, "", fields));
    client.turned_away(0x81, []);
}
