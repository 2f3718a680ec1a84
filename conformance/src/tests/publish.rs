//! 3.3 PUBLISH: flags, topics, who gets what. Its properties and retained messages have their own files.

use std::time::Duration;

use crate::packet::Kind;
use crate::test::tests;

tests! {
    /// A message that is sent again has DUP set.
    [v5 "3.3.1-1", v311 "3.3.1-1"]
    fn dup_is_set_when_a_message_is_sent_again(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "one");
        publisher.publish("~/t", 2, "two");
        assert!(!client.message("~/t", "one").dup());
        assert!(!client.message("~/t", "two").dup());
        client.vanish();
        let mut client = t.returns("a");
        assert!(client.message("~/t", "one").dup());
        assert!(client.message("~/t", "two").dup());
    }

    /// DUP is never set on messages of QoS 0: nobody may send it, and the server does not.
    [v5 "3.3.1-2", v311 "3.3.1-2"]
    fn dup_is_not_set_with_qos_0(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        // A reader that is as strict looks at what the server sends.
        t.client("p").publish_with("~/t", 8 | 2, "", "x");
        client.message("~/t", "x");
        client.send(r#"38 <"~/t" {} 'x'>"#);
        client.refused([0x81, 0x82]);
    }

    /// DUP is about one hop: what a publisher sends again is no repetition to a subscriber.
    [v5 "3.3.1-3", v311 "3.3.1-3"]
    fn dup_is_not_passed_on(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        for qos in [1, 2] {
            publisher.publish_with("~/t", 8 | qos << 1, "", "x");
            assert!(!client.message("~/t", "x").dup());
        }
    }

    /// There is no QoS 3.
    [v5 "3.3.1-4", v311 "3.3.1-4"]
    fn qos_3(t) {
        let mut client = t.client("a");
        client.send(r#"36 <"~/t" 0001 {} 'x'>"#);
        client.refused(0x81);
    }

    /// The topic name comes first, and is UTF-8.
    [v5 "3.3.2-1", v311 "3.3.2-1"]
    fn topic_name_is_there_and_utf_8(t) {
        for (packet, reasons) in [("30 <>", [0x81, 0x81]), ("30 <00>", [0x81, 0x81]), ("30 <0005 61>", [0x81, 0x81]),
            ("30 <0001 ff {}>", [0x81, 0x81]), ("30 <0000 {} 'x'>", [0x81, 0x82])] {
            let mut client = t.client("a");
            client.send(packet);
            client.refused(reasons);
        }
    }

    /// A topic name has no wildcards.
    [v5 "3.3.2-2" "4.7.0-1", v311 "3.3.2-2" "4.7.1-1"]
    fn topic_name_has_no_wildcards(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/#", 0);
        for topic in ["~/+", "~/#", "~/a+b", "+/~", "#"] {
            let mut client = t.client("a");
            client.send(&format!(r#"30 <"{topic}" {{}} 'x'>"#));
            client.refused([0x81, 0x82, 0x90]);
        }
        witness.quiet();
    }

    /// A subscriber gets messages of topics that match its filter, and no others.
    [v5 "3.3.2-3", v311 "3.3.2-3"]
    fn topics_match_the_filter(t) {
        let mut client = t.client("a");
        client.subscribe("~/+/b", 0);
        let mut publisher = t.client("p");
        for topic in ["~/b", "~/a/b", "~/a/b/c", "~/a/c", "~//b", "~/c/b", "other/~/a/b"] {
            publisher.publish(topic, 0, topic);
        }
        for topic in ["~/a/b", "~//b", "~/c/b"] {
            let payload = topic.replace('~', &t.name);
            client.message(topic, &payload);
        }
        client.quiet();
    }

    /// A PUBLISH is answered as its QoS demands: with nothing, a PUBACK or a PUBREC.
    [v5 "3.3.4-1", v311 "3.3.4-1"]
    fn answers(t) {
        let mut client = t.client("a");
        client.send(r#"30 <"~/t" {} 'x'>"#);
        client.pinged();
        client.send(r#"32 <"~/t" 0001 {} 'x'>"#);
        client.expect("40 <0001 ..>");
        client.send(r#"34 <"~/t" 0002 {} 'x'>"#);
        client.expect("50 <0002 ..>");
        client.quiet();
    }

    /// Where subscriptions of a client overlap, it gets a message at the highest of their QoS.
    [v5 "3.3.4-2", v311 "3.3.5-1"]
    fn overlap_has_the_highest_qos(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 1);
        client.subscribe("~/+", 2);
        client.subscribe("~/#", 0);
        t.client("p").publish("~/t", 2, "x");
        // It may come once for each of them: the highest is there in any case, and none is above.
        let mut highest = 0;
        while let Some(message) = client.packet_soon() {
            assert_eq!(message.kind, Kind::Publish);
            highest = highest.max(message.qos());
        }
        assert_eq!(highest, 2);
    }

    /// A message has the identifiers of all subscriptions that it is sent for.
    [v5 "3.3.4-3" "3.3.4-4" "3.3.4-5"]
    fn overlap_has_all_subscription_identifiers(t) {
        let mut client = t.client("a");
        client.send(r#"82 <0001 {0b 07} "~/t" 01> 82 <0002 {0b ffffff7f} "~/+" 00> 82 <0003 {} "~/#" 01>"#);
        for id in 1..=3 {
            client.expect(&format!("90 <{id:04x} {{..}} ??>"));
        }
        t.client("p").publish("~/t", 1, "x");
        let mut identifiers = Vec::new();
        let mut copies = 0;
        while let Some(message) = client.packet_soon() {
            let here: Vec<u32> = message.all(0x0B).map(|property| property.number()).collect();
            copies += 1;
            identifiers.extend(here);
        }
        identifiers.sort_unstable();
        assert_eq!(identifiers, [7, 268_435_455], "in {copies} copies");
        assert!(copies == 1 || copies == 3, "{copies} copies for three subscriptions");
    }

    /// A client cannot send a subscription identifier.
    [v5 "3.3.4-6"]
    fn subscription_identifier_from_a_client(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        let mut client = t.client("a");
        client.send(r#"30 <"~/t" {0b 01} 'x'>"#);
        client.refused([0x81, 0x82]);
        witness.quiet();
    }

    /// More messages under way than the server's Receive Maximum end the connection.
    [v5 "3.3.4-7"]
    fn receive_maximum_of_the_server(t) {
        let mut client = t.open();
        client.send(&crate::test::connect(t.version, "a", "02", "", ""));
        let maximum = client.expect("20 <00 00 {..}>").number(0x21).unwrap_or(0xFFFF);
        // QoS 2 without PUBREL: they all stay under way. All identifiers cannot be more than there are.
        let mut packets = String::new();
        for id in 1..=maximum.min(0xFFFE) + 1 {
            packets += &format!(r#"34 <"~/t" {id:04x} {{}}>"#);
        }
        client.send(&packets);
        if maximum < 0xFFFF {
            for _ in 0..maximum {
                client.packet_of(Kind::PubRec);
            }
            client.refused(0x93);
        }
    }

    /// While a publisher has to wait with messages, it still gets answers to all else.
    [v5 "3.3.4-8" "4.9.0-3"]
    fn other_packets_are_answered_at_the_receive_maximum(t) {
        let mut client = t.open();
        client.send(&crate::test::connect(t.version, "a", "02", "", ""));
        let maximum = client.expect("20 <00 00 {..}>").number(0x21).unwrap_or(0xFFFF).min(100);
        for id in 1..=maximum {
            client.send(&format!(r#"34 <"~/t" {id:04x} {{}}>"#));
            client.packet_of(Kind::PubRec);
        }
        client.pinged();
        client.send(r#"82 <7000 {} "~/s" 00>"#);
        client.expect("90 <7000 {..} 00>");
        client.send("62 <0001>");
        client.expect("70 <0001 ..>");
    }

    /// A client has no more messages under way than its Receive Maximum, until it acknowledges.
    [v5 "3.3.4-9" "4.9.0-1" "4.9.0-2"]
    fn receive_maximum_of_the_client(t) {
        let mut client = t.client_with("a", "02", "21 0002", "");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        for payload in ["1", "2", "3", "4", "5"] {
            publisher.publish("~/t", 2, payload);
        }
        let one = client.message("~/t", "1");
        let two = client.message("~/t", "2");
        client.quiet();
        // A PUBREC alone makes no room, unless it refuses the message.
        client.send(&format!("50 <{:04x}>", one.id()));
        client.expect(&format!("62 <{:04x} ..>", one.id()));
        client.quiet();
        client.send(&format!("50 <{:04x} 80>", two.id()));
        let three = client.message("~/t", "3");
        client.quiet();
        client.send(&format!("70 <{:04x}>", one.id()));
        client.message("~/t", "4");
        client.acknowledge(&three);
        client.message("~/t", "5");
    }

    /// What is no PUBLISH is sent at once, also to a client at its Receive Maximum.
    [v5 "3.3.4-10" "4.9.0-3"]
    fn other_packets_are_sent_at_the_receive_maximum(t) {
        let mut client = t.client_with("a", "02", "21 0001", "");
        client.subscribe("~/t", 1);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "1");
        publisher.publish("~/t", 1, "2");
        client.message("~/t", "1");
        client.send(r#"82 <0001 {} "~/s" 01> a2 <0002 {} "~/s"> 34 <"~/none" 0003 {} 'x'> 62 <0003> c000"#);
        client.packet_of(Kind::SubAck);
        client.packet_of(Kind::UnsubAck);
        client.packet_of(Kind::PubRec);
        client.packet_of(Kind::PubComp);
        client.expect("d000");
    }

    /// A message of QoS 0 needs no room, and is sent at the Receive Maximum unless it would overtake.
    [v5]
    fn qos_0_at_the_receive_maximum(t) {
        let mut client = t.client_with("a", "02", "21 0001", "");
        client.subscribe("~/t", 1);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "1");
        client.message("~/t", "1");
        publisher.publish("~/t", 0, "0");
        client.message("~/t", "0");
    }

    /// An empty payload is a payload.
    [v5, v311]
    fn empty_payload(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        t.client("p").publish("~/t", 1, "");
        client.message("~/t", "");
        client.silent_for(Duration::from_millis(10));
    }
}
