//! Receive Maximum, Maximum Packet Size, topic aliases: small, and at their bounds.

use std::thread::sleep;
use std::time::Duration;

use crate::client::Client;
use crate::packet::Kind;
use crate::test::{Test, connect, tests};

tests! {
    /// With a Receive Maximum of 1, one message of QoS 1 or 2 is under way at a time, to the end of its handshake.
    [v5]
    fn receive_maximum_of_one(t) {
        let mut client = t.client_with("a", "02", "21 0001", "");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        for (qos, payload) in [(2, "first"), (1, "second"), (2, "third"), (1, "fourth")] {
            publisher.publish("~/t", qos, payload);
        }
        let first = client.message("~/t", "first").id();
        client.quiet();
        client.send(&format!("50 <{first:04x}>"));
        client.expect(&format!("62 <{first:04x} ..>"));
        // Not before the PUBCOMP.
        client.quiet();
        client.send(&format!("70 <{first:04x}>"));
        let second = client.message("~/t", "second");
        client.quiet();
        client.acknowledge(&second);
        // An error ends the handshake: there is no PUBREL, and the place is free.
        let third = client.message("~/t", "third").id();
        client.send(&format!("50 <{third:04x} 80>"));
        client.message("~/t", "fourth");
        client.quiet();
    }

    /// Packets other than PUBLISH do not wait for the Receive Maximum, nor does what the client publishes.
    [v5]
    fn what_does_not_wait(t) {
        let mut client = t.client_with("a", "02", "21 0001", "");
        client.subscribe("~/1", 1);
        let mut publisher = t.client("p");
        publisher.publish("~/1", 1, "first");
        publisher.publish("~/1", 1, "second");
        client.message("~/1", "first");
        client.publish("~/other", 2, "mine");
        client.subscribe("~/2", 2);
        client.send(r#"a2 <0001 {} "~/2">"#);
        client.expect("b0 <0001 ..>");
        client.quiet();
    }

    /// The Receive Maximum is that of the connection: on the next one another counts.
    [v5]
    fn receive_maximum_of_the_next_connection(t) {
        let mut client = t.client_with("s", "00", "11 000003e8 21 0003", "");
        client.subscribe("~/t", 1);
        let mut publisher = t.client("p");
        for payload in ["1", "2", "3", "4", "5"] {
            publisher.publish("~/t", 1, payload);
        }
        for payload in ["1", "2", "3"] {
            client.message("~/t", payload);
        }
        client.quiet();
        client.vanish();
        let mut client = t.open();
        client.send(&connect(t.version, "s", "00", "11 000003e8 21 0001", ""));
        client.expect("20 <01 00 {..}>");
        for payload in ["1", "2", "3", "4", "5"] {
            let message = client.message("~/t", payload);
            client.quiet();
            client.acknowledge(&message);
        }
    }

    /// Retained messages wait for the Receive Maximum like all others, and none is lost.
    [v5]
    fn retained_messages_wait(t) {
        let mut publisher = t.client("p");
        for number in 0..20 {
            publisher.retain(&format!("~/r/{number}"), 1, "kept");
        }
        let mut client = t.client_with("a", "02", "21 0001", "");
        client.subscribe("~/r/+", 1);
        let mut topics = Vec::new();
        for _ in 0..20 {
            let message = client.packet_of(Kind::Publish);
            topics.push(message.topic.clone());
            client.acknowledge(&message);
        }
        client.quiet();
        topics.sort();
        topics.dedup();
        assert_eq!(topics.len(), 20);
    }

    /// No packet is larger than the client takes, not even the CONNACK: then there is no connection.
    [v5]
    fn no_packet_is_small_enough(t) {
        for most in 1..5 {
            let mut client = t.open();
            client.send(&connect(t.version, "a", "02", &format!("27 {most:08x}"), ""));
            // The smallest CONNACK has five bytes.
            client.closed();
        }
    }

    /// Whatever size a client takes, it gets no packet that is larger.
    [v5]
    fn any_maximum_packet_size(t) {
        let mut publisher = t.client("p");
        for most in 5..80 {
            let mut client = t.open();
            client.send(&connect(t.version, "a", "02", &format!("27 {most:08x}"), ""));
            if client.has_ended() {
                continue;
            }
            // Answers with something to explain, and a long one.
            let filters = r#""~/#" 01 "#.repeat(30);
            client.send(&format!(r#"82 <0001 {{}} {filters}>"#));
            let filters = r#""~/none""#.repeat(30);
            client.send(&format!(r#"a2 <0002 {{}} {filters}>"#));
            client.send("62 <0003> 40 <0004> 50 <0005> 70 <0006>");
            client.send(r#"32 <"~/a" 0007 {} 'to myself, and it is rather long for a message of this kind'>"#);
            publisher.publish("~/a", 1, "to all");
            client.send(r#"30 <"~/#" {} 'an error'>"#);
            let sizes = client.sizes();
            assert!(sizes.iter().all(|size| *size <= most), "{sizes:?}, more than {most}");
        }
    }

    /// A message that is too large for a client is left out, and those behind it come.
    [v5]
    fn a_message_that_is_too_large(t) {
        let mut client = t.client_with("a", "02", "27 00000040", "");
        client.subscribe("~/t", 2);
        let mut other = t.client("b");
        other.subscribe("~/t", 2);
        let large = "x".repeat(100);
        let mut publisher = t.client("p");
        for qos in [0, 1, 2] {
            publisher.publish("~/t", qos, &large);
            publisher.publish("~/t", qos, "small");
        }
        for qos in [0, 1, 2] {
            assert_eq!(client.message("~/t", "small").qos(), qos);
            other.message("~/t", &large);
            other.message("~/t", "small");
        }
        client.quiet();
    }

    /// A message that was too large for one connection does not stand in the way of the next.
    [v5]
    fn too_large_in_a_queue(t) {
        let mut client = t.stays("s");
        client.subscribe("~/t", 2);
        client.disconnect();
        let large = "x".repeat(100);
        let mut publisher = t.client("p");
        for payload in [large.as_str(), "small"] {
            publisher.publish("~/t", 1, payload);
            publisher.publish("~/t", 2, payload);
        }
        let mut client = t.open();
        client.send(&connect(t.version, "s", "00", "11 000003e8 27 00000040", ""));
        client.expect("20 <01 00 {..}>");
        for qos in [1, 2] {
            let message = client.message("~/t", "small");
            assert_eq!(message.qos(), qos);
            client.acknowledge(&message);
        }
        client.quiet();
    }

    /// The largest Maximum Packet Size is taken, and the server promises no more than there is.
    [v5]
    fn largest_maximum_packet_size(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "02", "27 ffffffff", ""));
        let connack = client.expect("20 <00 00 {..}>");
        if let Some(most) = connack.number(0x27) {
            // Five bytes in front of the largest remaining length.
            assert!((1..=268_435_460).contains(&most), "{most}");
        }
        client.pinged();
    }

    /// Topic aliases from 1 to the maximum are taken, and none beyond.
    [v5]
    fn bounds_of_aliases(t) {
        let (mut client, most) = with_aliases(t);
        if most == 0 {
            client.send(r#"30 <"~/t" {23 0001} 'x'>"#);
            return client.refused([0x82, 0x94]);
        }
        let mut witness = t.client("w");
        witness.subscribe("~/#", 0);
        for alias in [1, most] {
            client.send(&format!(r#"30 <"~/{alias}" {{23 {alias:04x}}} 'set'> 30 <"" {{23 {alias:04x}}} 'used'>"#));
            witness.message(&format!("~/{alias}"), "set");
            let used = witness.message(&format!("~/{alias}"), "used");
            assert!(used.property(0x23).is_none(), "{used:?}");
        }
        if most < u16::MAX {
            client.send(&format!(r#"31 <"~/t" {{23 {:04x}}} 'x'>"#, most + 1));
            client.refused(0x94);
        }
        witness.quiet();
    }

    /// All aliases that there are may be set at once, and set anew.
    [v5]
    fn all_aliases(t) {
        let (mut client, most) = with_aliases(t);
        let mut witness = t.client("w");
        witness.subscribe("~/#", 0);
        let most = most.min(300);
        for round in ["a", "b"] {
            for alias in 1..=most {
                client.send(&format!(r#"30 <"~/{round}/{alias}" {{23 {alias:04x}}} 'set'>"#));
                witness.message(&format!("~/{round}/{alias}"), "set");
            }
            for alias in 1..=most {
                client.send(&format!(r#"30 <"" {{23 {alias:04x}}} 'used'>"#));
                witness.message(&format!("~/{round}/{alias}"), "used");
            }
        }
    }

    /// An alias that has not been set on this connection is an error, also if it was on the one before.
    [v5]
    fn unknown_aliases(t) {
        let (mut client, most) = with_aliases(t);
        if most == 0 {
            return;
        }
        let mut witness = t.client("w");
        witness.subscribe("~/#", 0);
        client.send(r#"30 <"~/t" {23 0001} 'x'>"#);
        witness.message("~/t", "x");
        client.disconnect();
        for first in ["30", "31"] {
            let (mut client, _) = with_aliases(t);
            client.send(&format!(r#"{first} <"" {{23 0001}} 'x'>"#));
            client.refused([0x82, 0x94]);
        }
        witness.quiet();
    }

    /// A client is sent no alias beyond its maximum, and each stands for the topic that it was set to.
    [v5]
    fn aliases_of_the_server(t) {
        for most in [0_usize, 1, 3] {
            let mut client = t.client_with("a", "02", &format!("22 {most:04x}"), "");
            client.subscribe("~/#", 1);
            let mut publisher = t.client("p");
            let mut set: Vec<Option<String>> = vec![None; most + 1];
            for number in 0..20 {
                let topic = format!("~/{}", number % 5);
                publisher.publish(&topic, number % 2, "x");
                let message = client.packet_of(Kind::Publish);
                client.acknowledge(&message);
                let alias = message.number(0x23).unwrap_or(0) as usize;
                assert!(alias <= most, "{message:?}");
                if !message.topic.is_empty() {
                    set[alias] = Some(message.topic.clone());
                }
                let meant = set[alias].as_ref();
                assert_eq!(meant, Some(&topic.replace('~', &t.name)), "{message:?}");
            }
            client.disconnect();
        }
    }

    /// Any packet shows that a client is there: it need not be a PINGREQ.
    [v5, v311]
    fn any_packet_keeps_alive(t) {
        let mut client = t.open();
        let protocol = if t.is_v5() { r#""MQTT" 05"# } else { r#""MQTT" 04"# };
        client.send(&format!(r#"10 <{protocol} 02 0002 {{}} "~a">"#));
        client.expect("20 <00 00 {..}>");
        // Three seconds without a packet would be the end.
        for _ in 0..2 {
            for text in [r#"30 <"~/t" {} 'x'>"#, "62 <0001>"] {
                sleep(Duration::from_secs(1));
                client.send(text);
            }
        }
        for _ in 0..2 {
            client.expect("70 <0001 ..>");
        }
        client.pinged();
    }
}

/// A client, and how many topic aliases the server takes from it.
fn with_aliases(t: &Test) -> (Client, u16) {
    let mut client = t.open();
    client.send(&connect(t.version, "a", "02", "", ""));
    let connack = client.expect("20 <00 00 {..}>");
    (client, connack.number(0x22).unwrap_or(0) as u16)
}
