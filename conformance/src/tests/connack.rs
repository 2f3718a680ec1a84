//! 3.2 CONNACK.

use std::time::{Duration, Instant};

use crate::notation::variable_byte_integer;
use crate::packet::Kind;
use crate::test::{connect, tests};

const SESSION_EXPIRY: &str = "11 000003e8";
const UNKNOWN_METHOD: &str = r#"15 "~none""#;
const MAXIMUM_QOS: u8 = 0x24;
const RETAIN_AVAILABLE: u8 = 0x25;
const MAXIMUM_PACKET_SIZE: u8 = 0x27;
const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
const SERVER_KEEP_ALIVE: u8 = 0x13;
const REASON_STRING: u8 = 0x1F;
const USER_PROPERTY: u8 = 0x26;

tests! {
    /// The CONNACK is the first packet, also where a message waits and the client has not waited for it.
    [v5 "3.2.0-1", v311 "3.2.0-1", v31]
    fn comes_first(t) {
        let mut subscriber = t.stays("s");
        subscriber.subscribe("~/t", 1);
        subscriber.disconnect();
        t.client("p").publish("~/t", 1, "waiting");
        let mut subscriber = t.open();
        let connect = connect(t.version, "s", "00", SESSION_EXPIRY, "");
        subscriber.send(&format!(r#"{connect} 82 <0001 {{}} "~/u" 00> 30 <"~/u" {{}} 'own'> c000"#));
        subscriber.expect("20 <?? 00 {..}>");
        let mut kinds: Vec<Kind> = (0..4).map(|_| subscriber.packet().kind).collect();
        kinds.sort_by_key(|kind| *kind as u8);
        assert_eq!(kinds, [Kind::Publish, Kind::Publish, Kind::SubAck, Kind::PingResp]);
    }

    /// A malformed CONNECT is answered with a CONNACK or not at all: a DISCONNECT never comes first.
    [v5 "3.2.0-1"]
    fn no_disconnect_before(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "03", "", ""));
        client.turned_away(0x81, []);
    }

    /// A second CONNECT gets no second CONNACK, but ends the connection.
    [v5 "3.2.0-2", v311 "3.1.0-2", v31]
    fn comes_once(t) {
        let mut client = t.client("a");
        client.send(&connect(t.version, "a", "02", "", ""));
        client.refused(0x82);
    }

    /// Seven bits of the flags are 0, whether a session is new, resumed or refused.
    [v5 "3.2.2-1"]
    fn reserved_flags(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "00", SESSION_EXPIRY, ""));
        client.expect("20 <00 00 {..}>");
        client.disconnect();
        let mut client = t.open();
        client.send(&connect(t.version, "a", "00", SESSION_EXPIRY, ""));
        client.expect("20 <01 00 {..}>");
        client.disconnect();
        let mut client = t.open();
        client.send(&connect(t.version, "a", "00", UNKNOWN_METHOD, ""));
        if let Some(connack) = client.packet_or_end() {
            assert!(connack.is("20 <00 ?? {..}>", &t.name), "{connack:?}");
        }
    }

    /// Whoever wants a clean session is told that there is none, though there was one.
    [v5 "3.2.2-2", v311 "3.2.2-1"]
    fn clean_start(t) {
        t.stays("a").disconnect();
        let mut client = t.open();
        client.send(&connect(t.version, "a", "02", "", ""));
        client.expect("20 <00 00 {..}>");
    }

    /// A session that is there is said to be, each time, also if its last connection was just lost.
    [v5 "3.2.2-3", v311 "3.2.2-2"]
    fn session_present(t) {
        t.stays("a").disconnect();
        for _ in 0..2 {
            let mut client = t.open();
            client.send(&connect(t.version, "a", "00", SESSION_EXPIRY, ""));
            client.expect("20 <01 00 {..}>");
            client.vanish();
        }
    }

    /// A session that is not there, or has ended with its connection, is not said to be.
    [v5 "3.2.2-3", v311 "3.2.2-3"]
    fn session_absent(t) {
        // The session of another client is none.
        t.stays("b").disconnect();
        t.client("a").disconnect();
        let mut client = t.open();
        client.send(&connect(t.version, "a", "00", SESSION_EXPIRY, ""));
        client.expect("20 <00 00 {..}>");
    }

    /// Who is refused is told of no session, though there is one, and the connection is closed.
    [v5 "3.2.2-6" "3.2.2-7", v311 "3.2.2-4" "3.2.2-5"]
    fn refusal(t) {
        t.stays("a").disconnect();
        let mut client = t.open();
        if t.is_v5() {
            client.send(&connect(t.version, "a", "00", UNKNOWN_METHOD, ""));
        } else {
            client.send(r#"10 <"MQTT" 06 00 003c "~a">"#);
        }
        // That it says nothing of the session is seen by all that looks at a CONNACK.
        client.turned_away([0x87, 0x8C], 0x01);
        if !t.is_v5() {
            let mut client = t.open();
            client.send(&connect(t.version, "", "00", "", "").replace('~', ""));
            client.turned_away([], 0x02);
        }
        t.returns("a");
    }

    /// Whatever is wrong with a CONNECT, the reason code is one of those of the CONNACK.
    [v5 "3.2.2-8"]
    fn reason_codes(t) {
        for (flags, properties, fields, reasons) in [
            ("03", "", "", [0x81, 0x81]),
            ("0a", "", "", [0x81, 0x81]),
            ("1e", "", r#"{} "~/will" "x""#, [0x81, 0x81]),
            ("02", "21 0000", "", [0x81, 0x82]),
            ("02", "17 00 17 00", "", [0x81, 0x82]),
            ("02", "23 0001", "", [0x81, 0x82]),
            ("02", "27 00000000", "", [0x81, 0x82]),
            ("06", "", r#"{} "~/#" "x""#, [0x81, 0x90]),
            ("02", UNKNOWN_METHOD, "", [0x87, 0x8C]),
        ] {
            let mut client = t.open();
            client.send(&connect(t.version, "a", flags, properties, fields));
            client.turned_away(reasons, []);
        }
    }

    /// Where none of the return codes fits, the connection is closed without a CONNACK.
    [v311 "3.2.2-6"]
    fn no_return_code(t) {
        for (flags, fields) in [
            ("03", ""),
            ("0a", ""),
            ("1e", r#""~/will" "x""#),
            ("06", r#""~/#" "x""#),
            ("42", r#""password""#),
            ("02", "00"),
        ] {
            let mut client = t.open();
            client.send(&connect(t.version, "a", flags, "", fields));
            client.closed();
        }
    }

    /// A QoS that a server does not take is named as Maximum QoS; all others it takes.
    [v5 "3.2.2-9"]
    fn maximum_qos(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 2);
        let (mut client, connack) = t.admitted("a", "02", "", "");
        let maximum = connack.number(MAXIMUM_QOS).unwrap_or(2);
        for qos in 0..=2 {
            if u32::from(qos) > maximum {
                let first = 0x30 | qos << 1;
                client.send(&format!(r#"{first:02x} <"~/t" 0001 {{}} 'hello'>"#));
                client.refused(0x9B);
                return;
            }
            client.publish("~/t", qos, "hello");
            let message = witness.message("~/t", "hello");
            assert_eq!(message.qos(), qos);
            witness.acknowledge(&message);
        }
    }

    /// A SUBSCRIBE of each QoS is accepted, whatever QoS the server takes in a PUBLISH.
    [v5 "3.2.2-10"]
    fn subscriptions_of_any_qos(t) {
        let mut client = t.client("a");
        for qos in 0..=2_u8 {
            client.send(&format!(r#"82 <0001 {{}} "~/{qos}" {qos:02x}>"#));
            let suback = client.packet_of(Kind::SubAck);
            assert!(suback.reason() <= qos, "{suback:?} for QoS {qos}");
        }
    }

    /// A will is taken and published at the QoS that it asks for, unless that is above the Maximum QoS.
    [v5 "3.2.2-12"]
    fn will_qos(t) {
        let maximum = t.admitted("m", "02", "", "").1.number(MAXIMUM_QOS).unwrap_or(2);
        let mut witness = t.client("w");
        witness.subscribe("~/will", 2);
        for qos in 0..=2_u8 {
            let flags = format!("{:02x}", 6 | qos << 3);
            let will = r#"{} "~/will" "gone""#;
            if u32::from(qos) > maximum {
                let mut client = t.open();
                client.send(&connect(t.version, "a", &flags, "", will));
                client.turned_away(0x9B, []);
                continue;
            }
            t.client_with("a", &flags, "", will).vanish();
            let message = witness.message("~/will", "gone");
            assert_eq!(message.qos(), qos);
            witness.acknowledge(&message);
        }
    }

    /// A will with RETAIN is taken and retained, unless retained messages are not available.
    [v5 "3.2.2-13"]
    fn will_retain(t) {
        let (_client, connack) = t.admitted("m", "02", "", "");
        let will = r#"{} "~/will" "gone""#;
        if connack.number(RETAIN_AVAILABLE) == Some(0) {
            let mut client = t.open();
            client.send(&connect(t.version, "a", "26", "", will));
            return client.turned_away(0x9A, []);
        }
        let mut witness = t.client("w");
        witness.subscribe("~/will", 0);
        t.client_with("a", "26", "", will).vanish();
        witness.message("~/will", "gone");
        let mut late = t.client("l");
        late.send(r#"82 <0001 {} "~/will" 00>"#);
        late.packet_of(Kind::SubAck);
        assert!(late.message("~/will", "gone").retain());
        t.client("forget").retain("~/will", 0, "");
    }

    /// A packet of the server's Maximum Packet Size is taken, and one byte more ends the connection.
    [v5 "3.2.2-15"]
    fn maximum_packet_size(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        let (mut client, connack) = t.admitted("a", "02", "", "");
        let maximum = connack.number(MAXIMUM_PACKET_SIZE).map(|maximum| maximum as usize);
        // It would take long to exceed a very large one.
        let Some(maximum) = maximum.filter(|maximum| *maximum <= 64 << 20) else { return };
        client.send_bytes(&publish_of_size(maximum, &format!("{}/u", t.name)));
        client.pinged();
        client.send_bytes(&publish_of_size(maximum + 1, &format!("{}/t", t.name)));
        client.refused(0x95);
        witness.quiet();
    }

    /// Who has no client identifier is given one that nobody else has, and it is that of the session.
    [v5 "3.2.2-16"]
    fn assigned_client_identifier(t) {
        let connect = |id: &str| format!(r#"10 <"MQTT" 05 00 003c {{{SESSION_EXPIRY}}} {id}>"#);
        let mut clients: Vec<_> = (0..3).map(|_| t.open()).collect();
        let mut assigned = Vec::new();
        for client in &mut clients {
            client.send(&connect("0000"));
            let connack = client.expect("20 <00 00 {..}>");
            let id = connack.property(ASSIGNED_CLIENT_IDENTIFIER).expect("an identifier");
            let id = String::from_utf8(id.value.clone()).expect("UTF-8");
            assert!(!id.is_empty() && !assigned.contains(&id), "{id}, {assigned:?}");
            assigned.push(id);
        }
        for client in &mut clients {
            client.quiet();
        }
        for (client, id) in clients.into_iter().zip(&assigned) {
            client.disconnect();
            let mut client = t.open();
            client.send(&connect(&format!(r#""{id}""#)));
            client.expect("20 <01 00 {..}>");
            // Leaves nothing behind.
            client.send("e0 <00 {11 00000000}>");
            client.closed();
        }
    }

    /// A reason and user properties are left out where the CONNACK would be larger than the client takes.
    [v5 "3.2.2-19" "3.2.2-20"]
    fn reason_and_user_properties(t) {
        for properties in ["", UNKNOWN_METHOD] {
            for maximum in 5..100 {
                let mut client = t.open();
                let properties = format!("{properties} 27 {maximum:08x}");
                client.send(&connect(t.version, "a", "02", &properties, ""));
                let Some(connack) = client.packet_or_end() else { continue };
                let fits = connack.bytes.len() <= maximum;
                for property in [REASON_STRING, USER_PROPERTY] {
                    assert!(fits || connack.property(property).is_none(), "{connack:?} for {maximum}");
                }
            }
        }
    }

    /// The client's keep alive is in force: a client is given up after one and a half times it, and not before.
    [v5 "3.2.2-22"]
    fn keep_alive(t) {
        let start = Instant::now();
        let mut client = t.open();
        let mut other = t.client("b");
        client.send(r#"10 <"MQTT" 05 02 0002 {} "~a">"#);
        let connack = client.expect("20 <00 00 {..}>");
        if connack.property(SERVER_KEEP_ALIVE).is_some() {
            return;
        }
        client.refused(0x8D);
        let time = start.elapsed();
        assert!(time >= Duration::from_millis(2900), "given up after {time:?}");
        other.quiet();
    }
}

/// A QoS 0 PUBLISH of 5.0 with so many bytes in all.
#[track_caller]
fn publish_of_size(size: usize, topic: &str) -> Vec<u8> {
    let head = |digits| {
        let mut head = vec![0x30];
        variable_byte_integer(size - 1 - digits, &mut head);
        (head.len() == 1 + digits).then_some(head)
    };
    let mut packet = (1..=4).find_map(head).expect("a size that packets have");
    packet.extend((topic.len() as u16).to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.resize(size, 0);
    packet
}
