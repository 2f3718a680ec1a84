//! 3.2 CONNACK.

use crate::packet::Kind;
use crate::test::{connect, tests};

tests! {
    /// Nothing is sent before the CONNACK, whatever waits for the client.
    [v5 "3.2.0-1", v311 "3.2.0-1"]
    fn connack_comes_first(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 1);
        client.vanish();
        t.client("p").publish("~/t", 1, "x");
        let mut client = t.open();
        let hello = connect(t.version, "a", "00", "11 000003e8", "");
        client.send(&format!("{hello} c000"));
        client.expect("20 <01 00 {..}>");
    }

    /// There is one CONNACK in a connection.
    [v5 "3.2.0-2", v311 "3.1.0-2"]
    fn connack_comes_once(t) {
        let mut client = t.open();
        let hello = connect(t.version, "a", "02", "", "");
        client.send(&format!("{hello} {hello}"));
        client.expect("20 <00 00 {..}>");
        client.refused(0x82);
    }

    /// The flags of a CONNACK are Session Present and zeros.
    [v5 "3.2.2-1"]
    fn connack_flags(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "00", "11 000003e8", ""));
        assert_eq!(client.packet_of(Kind::ConnAck).bytes[2], 0);
        client.vanish();
        let mut client = t.open();
        client.send(&connect(t.version, "a", "00", "11 000003e8", ""));
        assert_eq!(client.packet_of(Kind::ConnAck).bytes[2], 1);
    }

    /// A CONNACK that refuses says that no session is present, and is the last packet.
    [v5 "3.2.2-6" "3.2.2-7" "3.2.2-8"]
    fn connack_that_refuses(t) {
        t.stays("a").vanish();
        let mut client = t.open();
        client.send(&connect(t.version, "a", "01", "", ""));
        client.turned_away(0x81, []);
    }

    /// The same before 5.0: there is a session, but a level that is not spoken.
    [v311 "3.2.2-4" "3.2.2-5"]
    fn connack_with_a_return_code(t) {
        let mut client = t.open();
        client.send(r#"10 <"MQTT" 02 00 003c "~a">"#);
        client.turned_away([], 0x01);
        let mut client = t.open();
        client.send(r#"10 <"MQTT" 04 00 003c "">"#);
        client.turned_away([], 0x02);
    }

    /// What has no return code in 3.1.1 is closed without a CONNACK.
    [v311 "3.2.2-6"]
    fn no_return_code_no_connack(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "03", "", ""));
        client.turned_away([], []);
    }

    /// QoS 0, 1 and 2 are taken in a SUBSCRIBE, whatever the Maximum QoS.
    [v5 "3.2.2-9" "3.2.2-10"]
    fn maximum_qos(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "02", "", ""));
        let maximum = client.expect("20 <00 00 {..}>").number(0x24).unwrap_or(2);
        client.send(r#"82 <0001 {} "~/0" 00 "~/1" 01 "~/2" 02>"#);
        let suback = client.packet_of(Kind::SubAck);
        assert!(suback.reasons.iter().all(|reason| *reason < 3), "{suback:?}");
        for qos in 0..=maximum {
            client.send(&format!("{:02x} <\"~/none\" {} {{}}>", 0x30 | qos << 1, if qos > 0 { "0009" } else { "" }));
        }
        client.send("c000");
        for kind in [Kind::PubAck, Kind::PubRec].into_iter().take(maximum as usize) {
            client.packet_of(kind);
        }
        client.expect("d000");
    }

    /// A will of a QoS that the server does not have is refused: one that has all takes all.
    [v5 "3.2.2-12"]
    fn will_qos_beyond_the_maximum(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "02", "", ""));
        let maximum = client.expect("20 <00 00 {..}>").number(0x24).unwrap_or(2);
        for (qos, flags) in [(1, "0e"), (2, "16")] {
            let mut client = t.open();
            client.send(&connect(t.version, "b", flags, "", r#"{} "~/will" "x""#));
            if qos <= maximum {
                client.expect("20 <00 00 {..}>");
            } else {
                client.turned_away(0x9B, []);
            }
        }
    }

    /// A will that is to be retained is refused by a server that retains nothing, and taken by others.
    [v5 "3.2.2-13"]
    fn will_retain_where_nothing_is_retained(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "02", "", ""));
        let available = client.expect("20 <00 00 {..}>").number(0x25).unwrap_or(1);
        let mut client = t.open();
        client.send(&connect(t.version, "b", "26", "", r#"{} "~/will" "x""#));
        if available == 1 {
            client.expect("20 <00 00 {..}>");
        } else {
            client.turned_away(0x9A, []);
        }
    }

    /// A packet above the Maximum Packet Size of the server is too large for it.
    [v5 "3.2.2-15"]
    fn maximum_packet_size_of_the_server(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "02", "", ""));
        let connack = client.expect("20 <00 00 {..}>");
        // Without a maximum, there is nothing to exceed.
        if let Some(maximum) = connack.number(0x27) {
            assert!(maximum > 0);
            // Its header is enough to be refused.
            let mut header = vec![0x30];
            crate::notation::variable_byte_integer(maximum as usize, &mut header);
            client.send_bytes(&header);
            client.refused(0x95);
        }
    }

    /// A client without an identifier is told its own, which nobody else has.
    [v5 "3.2.2-16"]
    fn assigned_client_identifier(t) {
        let mut assigned = std::collections::BTreeSet::new();
        for _ in 0..10 {
            let mut client = t.open();
            client.send(r#"10 <"MQTT" 05 02 003c <11 00000002> "">"#);
            let connack = client.expect("20 <00 00 {..}>");
            let id = connack.property(0x12).expect("an assigned client identifier");
            assert!(assigned.insert(id.value.clone()), "{connack:?}: it is another's");
            client.vanish();
        }
    }

    /// A topic alias above the maximum of the server is invalid; one below is good.
    [v5 "3.2.2-17" "3.2.2-18" "3.3.2-9" "3.3.2-12"]
    fn topic_alias_maximum(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "02", "", ""));
        let maximum = client.expect("20 <00 00 {..}>").number(0x22).unwrap_or(0);
        client.subscribe("~/t", 0);
        for alias in [1, maximum / 2, maximum] {
            if alias > 0 {
                client.send(&format!(r#"30 <"~/t" {{23 {alias:04x}}} 'x'>"#));
                client.message("~/t", "x");
            }
        }
        if maximum < 0xFFFF {
            client.send(&format!(r#"30 <"~/t" {{23 {:04x}}} 'x'>"#, maximum + 1));
            client.refused(0x94);
        }
    }

    /// A CONNACK that would be too large for the client is not sent; what is optional in it is left out.
    [v5 "3.2.2-19" "3.2.2-20"]
    fn connack_for_small_clients(t) {
        for maximum in [1, 4, 5, 20, 40] {
            let mut client = t.open();
            client.send(&connect(t.version, "a", "02", &format!("27 {maximum:08x}"), ""));
            let bytes = client.bytes();
            assert!(bytes.len() <= maximum as usize, "{bytes:02x?} for {maximum} bytes");
        }
    }
}
