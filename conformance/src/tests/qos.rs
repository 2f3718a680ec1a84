//! 4.3: the three qualities of service.

use std::collections::HashSet;
use std::time::Duration;

use crate::packet::Kind;
use crate::test::tests;

tests! {
    /// QoS 0: the message comes at most once, with DUP 0, and nobody answers.
    [v5 "4.3.1-1", v311 "4.3.1-1", v31]
    fn qos_0(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        t.client("p").publish("~/t", 0, "x");
        client.expect(r#"30 <"~/t" {} 'x'>"#);
        client.quiet();
    }

    /// QoS 1 to a subscriber: a new message has an unused identifier and DUP 0.
    [v5 "4.3.2-1" "4.3.2-2", v311 "4.3.2-1", v31]
    fn qos_1_is_sent_with_a_new_identifier(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 1);
        let mut publisher = t.client("p");
        let mut unused = HashSet::new();
        for payload in ["1", "2", "3", "4", "5"] {
            publisher.publish("~/t", 1, payload);
            let message = client.expect(&format!(r#"32 <"~/t" ???? {{}} '{payload}'>"#));
            assert!(unused.insert(message.id()), "{message:?} has one in use");
        }
    }

    /// QoS 1 to a subscriber: until the PUBACK, the message is not done; after it, it is.
    [v5 "4.3.2-3", v311 "4.3.2-1"]
    fn qos_1_is_sent_until_it_is_acknowledged(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 1);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "one");
        publisher.publish("~/t", 1, "two");
        let one = client.message("~/t", "one");
        client.message("~/t", "two");
        client.acknowledge(&one);
        client.pinged();
        client.vanish();
        let mut client = t.returns("a");
        let two = client.message("~/t", "two");
        client.acknowledge(&two);
        client.pinged();
        client.vanish();
        t.returns("a").quiet();
    }

    /// QoS 1 from a publisher: the message is taken, and acknowledged with its identifier.
    [v5 "4.3.2-4", v311 "4.3.2-2", v31]
    fn qos_1_is_acknowledged(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 1);
        let mut publisher = t.client("p");
        publisher.send(r#"32 <"~/t" 4321 {} 'x'>"#);
        publisher.expect("40 <4321 ..>");
        client.message("~/t", "x");
    }

    /// QoS 1 from a publisher: after the PUBACK, the same identifier is a new message, DUP or not.
    [v5 "4.3.2-5", v311 "4.3.2-2", v31]
    fn qos_1_identifier_is_free_after_puback(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        let mut publisher = t.client("p");
        for (first, payload) in [("32", "one"), ("3a", "two"), ("32", "three")] {
            publisher.send(&format!(r#"{first} <"~/t" 0001 {{}} '{payload}'>"#));
            publisher.expect("40 <0001 ..>");
            client.message("~/t", payload);
        }
    }

    /// QoS 2 to a subscriber: a new message has an unused identifier and DUP 0; the PUBREC is
    /// answered with a PUBREL.
    [v5 "4.3.3-1" "4.3.3-2" "4.3.3-4", v311 "4.3.3-1", v31]
    fn qos_2_to_a_subscriber(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        let mut unused = HashSet::new();
        let mut messages = Vec::new();
        for payload in ["1", "2", "3", "4", "5"] {
            publisher.publish("~/t", 2, payload);
            let message = client.expect(&format!(r#"34 <"~/t" ???? {{}} '{payload}'>"#));
            assert!(unused.insert(message.id()), "{message:?} has one in use");
            messages.push(message);
        }
        for message in messages.iter().rev() {
            client.acknowledge(message);
        }
        client.quiet();
    }

    /// QoS 2 to a subscriber: until the PUBREC, the message is not done.
    [v5 "4.3.3-3", v311 "4.3.3-1"]
    fn qos_2_is_sent_until_pubrec(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 2);
        t.client("p").publish("~/t", 2, "x");
        let first = client.message("~/t", "x");
        client.vanish();
        let mut client = t.returns("a");
        let second = client.message("~/t", "x");
        assert_eq!((second.id(), second.dup(), second.qos()), (first.id(), true, 2));
        client.acknowledge(&second);
    }

    /// QoS 2 to a subscriber: after the PUBREC, the PUBREL is sent again until the PUBCOMP, and the
    /// PUBLISH never.
    [v5 "4.3.3-5" "4.3.3-6", v311 "4.3.3-1"]
    fn qos_2_is_released_until_pubcomp(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 2, "x");
        publisher.publish("~/t", 2, "done at once");
        let id = client.message("~/t", "x").id();
        let done = client.message("~/t", "done at once");
        client.acknowledge(&done);
        client.send(&format!("50 <{id:04x}>"));
        client.expect(&format!("62 <{id:04x} ..>"));
        client.vanish();
        for _ in 0..2 {
            let mut client = t.returns("a");
            client.expect(&format!("62 <{id:04x} ..>"));
            client.quiet();
            client.vanish();
        }
        let mut client = t.returns("a");
        client.expect(&format!("62 <{id:04x} ..>"));
        client.send(&format!("70 <{id:04x}>"));
        client.pinged();
        client.vanish();
        t.returns("a").quiet();
    }

    /// QoS 2 to a subscriber: what has been sent once no longer expires.
    [v5 "4.3.3-7"]
    fn qos_2_does_not_expire_once_sent(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 2);
        t.client("p").publish_with("~/t", 4, "02 00000001", "x");
        client.message("~/t", "x");
        client.vanish();
        std::thread::sleep(Duration::from_millis(2500));
        let mut client = t.returns("a");
        let message = client.message("~/t", "x");
        client.acknowledge(&message);
    }

    /// QoS 2 from a publisher: PUBLISH, PUBREC, PUBREL, PUBCOMP, all with one identifier, and one
    /// message to a subscriber.
    [v5 "4.3.3-8" "4.3.3-11", v311 "4.3.3-2", v31]
    fn qos_2_from_a_publisher(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        let mut publisher = t.client("p");
        publisher.send(r#"34 <"~/t" 4321 {} 'x'>"#);
        publisher.expect("50 <4321 ..>");
        publisher.send("62 <4321>");
        publisher.expect("70 <4321 ..>");
        client.message("~/t", "x");
        client.quiet();
    }

    /// QoS 2 from a publisher: until the PUBREL, the same identifier is the same message, also on a
    /// later connection. It is answered with a PUBREC, and nobody gets it twice.
    [v5 "4.3.3-10", v311 "4.3.3-2"]
    fn qos_2_is_taken_once(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        let mut publisher = t.stays("p");
        for first in ["34", "3c", "3c"] {
            publisher.send(&format!(r#"{first} <"~/t" 0001 {{}} 'x'>"#));
            publisher.expect("50 <0001 ..>");
        }
        publisher.vanish();
        let mut publisher = t.returns("p");
        publisher.send(r#"3c <"~/t" 0001 {} 'x'>"#);
        publisher.expect("50 <0001 ..>");
        publisher.send("62 <0001>");
        publisher.expect("70 <0001 ..>");
        client.message("~/t", "x");
        client.quiet();
    }

    /// QoS 2 from a publisher: after the PUBCOMP, the same identifier is a new message, DUP or not.
    [v5 "4.3.3-12", v311 "4.3.3-2", v31]
    fn qos_2_identifier_is_free_after_pubcomp(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        let mut publisher = t.client("p");
        for (first, payload) in [("34", "one"), ("3c", "two"), ("34", "three")] {
            publisher.send(&format!(r#"{first} <"~/t" 0001 {{}} '{payload}'>"#));
            publisher.expect("50 <0001 ..>");
            publisher.send("62 <0001>");
            publisher.expect("70 <0001 ..>");
            client.message("~/t", payload);
        }
    }

    /// QoS 2 from a publisher: the handshake goes on when the message has expired.
    [v5 "4.3.3-13"]
    fn qos_2_goes_on_after_the_end_of_the_message(t) {
        let mut publisher = t.stays("p");
        publisher.send(r#"34 <"~/t" 0001 {02 00000001} 'x'>"#);
        publisher.expect("50 <0001 ..>");
        publisher.send(r#"34 <"~/t" 0002 {02 00000001} 'y'>"#);
        publisher.expect("50 <0002 ..>");
        publisher.vanish();
        std::thread::sleep(Duration::from_millis(2500));
        let mut publisher = t.returns("p");
        publisher.send("62 <0001>");
        assert_eq!(publisher.packet_of(Kind::PubComp).reason(), 0);
        // The second one is still known, too: nobody gets it as a new message.
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        publisher.send(r#"3c <"~/t" 0002 {02 00000001} 'y'>"#);
        publisher.expect("50 <0002 ..>");
        publisher.send("62 <0002>");
        assert_eq!(publisher.packet_of(Kind::PubComp).reason(), 0);
        client.quiet();
    }
}
