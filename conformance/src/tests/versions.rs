//! Clients of 3.1, 3.1.1 and 5.0, and bridges, on one port.

use crate::Version::{self, V3_1, V3_1_1, V5};
use crate::client::Client;
use crate::packet::Kind;
use crate::test::{Test, connect, tests};

tests! {
    /// Clients of all versions share one port and their topics; each gets a message in its own form.
    [v5, v311, v31]
    fn one_port(t) {
        let mut publisher = t.client("p");
        let mut others: Vec<_> = [V3_1, V3_1_1, V5].map(|version| t.client_as(version, version.name())).into();
        for other in &mut others {
            other.subscribe("~/#", 2);
        }
        for qos in [0, 1, 2] {
            publisher.publish_with("~/t", qos << 1, r#"01 01 03 "text/plain" 26 "name" "value""#, "hello");
            for other in &mut others {
                let message = other.message("~/t", "hello");
                assert_eq!(message.qos(), qos, "{message:?}");
                let there = t.is_v5() && other.is_v5();
                assert_eq!(message.property(0x03).is_some(), there, "{message:?}");
                other.acknowledge(&message);
            }
        }
    }

    /// The session of a client that comes back in another version goes on: subscriptions and messages.
    [v5, v311, v31]
    fn a_session_for_another_version(t) {
        let mut client = t.stays("s");
        client.subscribe("~/t", 1);
        client.disconnect();
        t.client("p").publish("~/t", 1, "first");
        for version in [V3_1, V3_1_1, V5] {
            let mut client = t.open_as(version);
            client.send(&connect(version, "s", "00", "11 000003e8", ""));
            // That a session is there cannot be said in 3.1.
            let present = if version == V3_1 { "??" } else { "01" };
            client.expect(&format!("20 <{present} 00 {{..}}>"));
            let message = client.message("~/t", "first");
            assert_eq!(message.dup(), version != V3_1, "{message:?}");
            if version == V5 {
                client.acknowledge(&message);
                client.quiet();
            }
            client.disconnect();
        }
    }

    /// A client is taken over by one of another version.
    [v5, v311, v31]
    fn taken_over_by_another_version(t) {
        for version in [V3_1, V3_1_1, V5] {
            let mut old = t.client("a");
            let mut new = t.client_as(version, "a");
            old.refused(0x8E);
            new.quiet();
            new.disconnect();
        }
    }

    /// A client of 3.1 may send a PUBLISH, PUBREL, SUBSCRIBE or UNSUBSCRIBE again, with DUP.
    [v31]
    fn duplicates_of_3_1(t) {
        let mut client = t.client("a");
        for (text, answer) in [
            (r#"82 <0001 "~/t" 01>"#, "90 <0001 01>"),
            (r#"8a <0001 "~/t" 01>"#, "90 <0001 01>"),
            (r#"34 <"~/u" 0002 'x'>"#, "50 <0002>"),
            (r#"3c <"~/u" 0002 'x'>"#, "50 <0002>"),
            ("62 <0002>", "70 <0002>"),
            ("6a <0002>", "70 <0002>"),
            (r#"a2 <0003 "~/t">"#, "b0 <0003>"),
            (r#"aa <0003 "~/t">"#, "b0 <0003>"),
        ] {
            client.send(text);
            client.expect(answer);
        }
    }

    /// User name and password may be missing in 3.1, though the flags announce them.
    [v31]
    fn the_end_of_the_packet_counts_in_3_1(t) {
        for (flags, fields) in [("c2", ""), ("c2", r#""user""#), ("82", ""), ("c2", r#""user" "pass""#)] {
            t.client_with("a", flags, "", fields).pinged();
        }
    }

    /// In 3.1 and 3.1.1 nobody is sent a property, a reason code or a DISCONNECT.
    [v311, v31]
    fn nothing_of_5_0(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 1);
        let mut publisher = t.client_as(V5, "p");
        publisher.publish_with("~/t", 2, r#"02 00000064 08 "~/answer" 09 "data" 23 0001"#, "hello");
        let name = t.name.len() + 2;
        let message = client.message("~/t", "hello");
        assert_eq!(message.bytes.len(), 2 + 2 + name + 2 + 5, "{message:?}");
        client.acknowledge(&message);
        client.send(r#"a2 <0001 "~/t" "~/none">"#);
        client.expect("b0 <0001>");
        client.send("62 <0009>");
        client.expect("70 <0009>");
    }

    /// A bridge says so in the highest bit of the protocol level, and is let in as any client.
    [v311, v31]
    fn bridges(t) {
        let mut bridge = bridge(t, "b");
        bridge.subscribe("~/#", 1);
        t.client("p").publish("~/t", 1, "hello");
        let message = bridge.message("~/t", "hello");
        bridge.acknowledge(&message);
        bridge.publish("~/u", 2, "answer");
    }

    /// A bridge does not get back what it has brought, or the message would be there twice.
    [v311, v31]
    fn no_echo_for_bridges(t) {
        let mut bridge = bridge(t, "b");
        bridge.subscribe("~/#", 1);
        for qos in [0, 1, 2] {
            bridge.publish("~/t", qos, "from the other side");
        }
        bridge.quiet();
    }

    /// A bridge is told whether a message was to be retained, so that it is on the other side, too.
    [v311, v31]
    fn retain_for_bridges(t) {
        let mut bridge = bridge(t, "b");
        bridge.subscribe("~/#", 0);
        let mut publisher = t.client("p");
        publisher.retain("~/t", 0, "kept");
        assert!(bridge.message("~/t", "kept").retain());
        publisher.publish("~/t", 0, "not kept");
        assert!(!bridge.message("~/t", "not kept").retain());
        // Also that a message is cleared.
        publisher.retain("~/t", 0, "");
        assert!(bridge.message("~/t", "").retain());
    }

    /// There are no bridges of 5.0: a client has options for all that.
    [v5]
    fn no_bridges_of_5_0(t) {
        let mut client = t.open_as(V3_1_1);
        client.send(r#"10 <"MQTT" 85 02 003c 00 "~a">"#);
        client.turned_away([], [0x01, 0x84]);
    }

    /// Clients that connect with different versions one after the other do not disturb each other.
    [v311]
    fn a_crowd_of_versions(t) {
        let versions: [Version; 3] = [V3_1, V3_1_1, V5];
        let mut clients: Vec<_> = (0..60)
            .map(|number| t.client_as(versions[number % 3], &format!("c{number}")))
            .collect();
        for client in &mut clients {
            client.subscribe("~/crowd", 0);
        }
        clients[0].publish("~/other", 1, "x");
        clients[1].send(r#"30 <"~/crowd" 'all'>"#);
        for client in &mut clients {
            let message = client.packet_of(Kind::Publish);
            assert_eq!(message.payload, b"all", "{message:?}");
        }
    }
}

/// A bridge that has been let in.
fn bridge(t: &Test, id: &str) -> Client {
    let protocol = if t.version == V3_1 {
        r#""MQIsdp" 83"#
    } else {
        r#""MQTT" 84"#
    };
    let mut bridge = t.open();
    bridge.send(&format!(r#"10 <{protocol} 02 003c "~{id}">"#));
    bridge.expect("20 <00 00>");
    bridge
}
