//! 3.4 to 3.7: PUBACK, PUBREC, PUBREL, PUBCOMP.

use crate::packet::Kind;
use crate::test::{Test, tests};

tests! {
    /// A PUBACK has one of its reason codes: the server's are looked at by the reader, and a client's
    /// that is none is malformed.
    [v5 "3.4.2-1"]
    fn puback_reason_codes(t) {
        let mut client = t.client("a");
        client.send(r#"32 <"~/nobody" 0001 {} 'x'>"#);
        let reason = client.packet_of(Kind::PubAck).reason();
        assert!(reason == 0 || reason == 0x10, "{reason:02x} for a message without subscribers");
        unknown_reason_code_is_malformed(t, 0x40);
    }

    /// A PUBREC has one of its reason codes.
    [v5 "3.5.2-1"]
    fn pubrec_reason_codes(t) {
        let mut client = t.client("a");
        client.send(r#"34 <"~/nobody" 0001 {} 'x'>"#);
        let reason = client.packet_of(Kind::PubRec).reason();
        assert!(reason == 0 || reason == 0x10, "{reason:02x} for a message without subscribers");
        unknown_reason_code_is_malformed(t, 0x50);
    }

    /// A PUBREL has one of its reason codes, also for a PUBREC that nobody waits for.
    [v5 "3.6.2-1"]
    fn pubrel_reason_codes(t) {
        let mut client = t.client("a");
        client.send("50 <0005>");
        let pubrel = client.packet_of(Kind::PubRel);
        assert_eq!(pubrel.id(), 5);
        assert!([0, 0x92].contains(&pubrel.reason()), "{pubrel:?}");
        unknown_reason_code_is_malformed(t, 0x62);
    }

    /// A PUBCOMP has one of its reason codes, also for a PUBREL that nobody waits for.
    [v5 "3.7.2-1"]
    fn pubcomp_reason_codes(t) {
        let mut client = t.client("a");
        client.send("62 <0005>");
        let pubcomp = client.packet_of(Kind::PubComp);
        assert_eq!(pubcomp.id(), 5);
        assert!([0, 0x92].contains(&pubcomp.reason()), "{pubcomp:?}");
        unknown_reason_code_is_malformed(t, 0x70);
    }

    /// An acknowledgement whose reason code is none of its own acknowledges nothing: what it was about
    /// comes again on the next connection.
    [v5 "3.4.2-1" "3.5.2-1" "3.7.2-1"]
    fn bad_reason_codes_acknowledge_nothing(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        for qos in [1, 2, 2] {
            publisher.publish("~/t", qos, "x");
        }
        let ids = [(); 3].map(|()| client.message("~/t", "x").id());
        client.send(&format!("50 <{:04x}>", ids[2]));
        client.expect(&format!("62 <{:04x} ..>", ids[2]));
        for bad in [
            format!("40 <{:04x} 92>", ids[0]),
            format!("50 <{:04x} 92>", ids[1]),
            format!("70 <{:04x} 97>", ids[2]),
        ] {
            client.send(&bad);
            client.refused([0x81, 0x82]);
            client = t.returns("a");
            for (id, first) in ids.into_iter().zip([0x3A, 0x3C, 0x62]) {
                let packet = client.packet();
                assert_eq!((packet.id(), packet.bytes[0]), (id, first), "after {bad}");
            }
        }
    }

    /// A PUBREL whose reason code is none of its own releases nothing: the message is still known.
    [v5 "3.6.2-1"]
    fn bad_reason_codes_release_nothing(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        let mut client = t.stays("a");
        client.send(r#"34 <"~/t" 0001 {} 'x'>"#);
        client.expect("50 <0001 ..>");
        client.send("62 <0001 97>");
        client.refused([0x81, 0x82]);
        let mut client = t.returns("a");
        client.send(r#"3c <"~/t" 0001 {} 'x'>"#);
        client.expect("50 <0001 ..>");
        client.send("62 <0001>");
        assert_eq!(client.packet_of(Kind::PubComp).reason(), 0);
        witness.message("~/t", "x");
        witness.quiet();
    }

    /// Before 5.0, who sends a PUBREL again gets a PUBCOMP again.
    [v311 "4.3.3-2", v31]
    fn pubrel_is_always_answered(t) {
        let mut client = t.client("a");
        client.send("62 <0005>");
        client.expect("70 <0005>");
    }

    /// The flags of a PUBREL are 0010.
    [v5 "3.6.1-1", v311 "3.6.1-1"]
    fn pubrel_flags(t) {
        for first in ["60", "61", "63", "66", "6a"] {
            let mut client = t.client("a");
            client.send(r#"34 <"~/t" 0001 {} 'x'>"#);
            client.expect("50 <0001 ..>");
            client.send(&format!("{first} <0001>"));
            client.refused(0x81);
        }
    }

    /// An acknowledgement leaves out what would make it too large for the client.
    [v5 "3.4.2-2" "3.4.2-3" "3.5.2-2" "3.5.2-3" "3.6.2-2" "3.6.2-3" "3.7.2-2" "3.7.2-3"]
    fn acknowledgements_for_small_clients(t) {
        let mut client = t.client_with("a", "02", "27 00000020", "");
        client.send(r#"32 <"~/nobody" 0001 {} 'x'> 34 <"~/nobody" 0002 {} 'x'> 50 <0005> 62 <0006>"#);
        for kind in [Kind::PubAck, Kind::PubRec, Kind::PubRel, Kind::PubComp] {
            let packet = client.packet_of(kind);
            assert!(packet.bytes.len() <= 32, "{packet:?} is larger than 32 bytes");
        }
    }

    /// Acknowledgements that nobody waits for change nothing.
    [v5, v311, v31]
    fn stray_acknowledgements(t) {
        let mut client = t.client("a");
        client.send("40 <0005> 70 <0005>");
        client.subscribe("~/t", 1);
        t.client("p").publish("~/t", 1, "x");
        client.message("~/t", "x");
        client.quiet();
    }
}

#[track_caller]
fn unknown_reason_code_is_malformed(t: &Test, first: u8) {
    for reason in ["01", "8c", "ff"] {
        let mut client = t.client("b");
        client.send(&format!("{first:02x} <0001 {reason}>"));
        client.refused([0x81, 0x82]);
    }
}
