//! 4.1 Session state, 4.2 network connections, 4.5 message receipt, 7 conformance.

use std::time::Duration;

use crate::test::{connect, tests};

tests! {
    /// A session is there as long as its connection is, whatever its Session Expiry Interval.
    [v5 "4.1.0-1", v311 "4.1.0-2"]
    fn lasts_as_long_as_the_connection(t) {
        let mut publisher = t.client("p");
        let (flags, properties) = ("02", "11 00000001");
        let mut client = t.client_with("a", flags, properties, "");
        client.subscribe("~/t", 2);
        publisher.publish("~/t", 2, "before");
        let message = client.message("~/t", "before");
        client.silent_for(Duration::from_millis(3200));
        // Subscription and packet identifier are still known.
        publisher.publish("~/t", 1, "after");
        let next = client.message("~/t", "after");
        client.acknowledge(&message);
        client.acknowledge(&next);
        client.quiet();
    }

    /// Subscriptions, messages that wait, and handshakes under way outlive the connection.
    [v5 "4.1.0-1", v311 "4.1.0-1"]
    fn outlives_the_connection(t) {
        let mut publisher = t.client("p");
        let mut receiver = t.client("r");
        receiver.subscribe("~/in", 0);
        let mut client = t.stays("a");
        client.subscribe("~/t", 2);
        publisher.publish("~/t", 2, "one");
        let one = client.message("~/t", "one");
        publisher.publish("~/t", 2, "two");
        let two = client.message("~/t", "two");
        client.send(&format!("50 <{:04x}>", one.id()));
        client.expect(&format!("62 <{:04x} ..>", one.id()));
        // And one in the other direction, for which the PUBREL is not sent.
        client.send(r#"34 <"~/in" 0009 {} 'in'>"#);
        client.expect("50 <0009 ..>");
        client.vanish();
        publisher.publish("~/t", 1, "three");

        let mut client = t.returns("a");
        client.expect(&format!("62 <{:04x} ..>", one.id()));
        let again = client.message("~/t", "two");
        assert_eq!(again.id(), two.id());
        assert!(again.dup());
        let three = client.message("~/t", "three");
        client.send(&format!("70 <{:04x}>", one.id()));
        client.acknowledge(&again);
        client.acknowledge(&three);
        client.send(r#"3c <"~/in" 0009 {} 'in'>"#);
        client.expect("50 <0009 ..>");
        client.send("62 <0009>");
        client.expect("70 <0009 ..>");
        client.quiet();
        // It is the same message, not another one.
        receiver.message("~/in", "in");
        receiver.quiet();
    }

    /// A session is discarded once its Session Expiry Interval has passed after its connection.
    [v5 "4.1.0-2"]
    fn ends_in_time(t) {
        let mut publisher = t.client("p");
        let mut brief = t.client_with("a", "02", "11 00000001", "");
        brief.subscribe("~/t", 1);
        let mut ends_at_once = t.client_with("b", "02", "", "");
        ends_at_once.subscribe("~/t", 1);
        let mut stays = t.stays("c");
        stays.subscribe("~/t", 1);
        brief.vanish();
        ends_at_once.vanish();
        stays.vanish();
        publisher.publish("~/t", 1, "hello");
        publisher.silent_for(Duration::from_millis(4000));
        for id in ["a", "b"] {
            // The session is new, and nothing waits in it.
            let mut client = t.stays(id);
            client.quiet();
        }
        t.returns("c").message("~/t", "hello");
    }

    /// Packets are taken from a stream of bytes, however it is cut, and nothing of it is lost.
    [v5 "4.2-1", v311 "7.1.1-1", v31]
    fn a_stream_of_bytes(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/#", 0);
        let mut client = t.open();
        for byte in client.encode(&connect(t.version, "a", "02", "", "")) {
            client.send_bytes(&[byte]);
            std::thread::sleep(Duration::from_millis(2));
        }
        client.expect("20 <00 00 {..}>");
        for byte in client.encode(r#"32 <"~/t" 0001 {} 'in pieces'>"#) {
            client.send_bytes(&[byte]);
            std::thread::sleep(Duration::from_millis(2));
        }
        client.expect("40 <0001 ..>");
        witness.message("~/t", "in pieces");
        // Many packets at once, the last of them in two parts.
        let many: String = (0..50)
            .map(|number| format!(r#"30 <"~/{number}" {{}} '{}'>"#, "x".repeat(2000)))
            .collect();
        let mut bytes = client.encode(&many);
        bytes.push(0xC0);
        client.send_bytes(&bytes);
        for number in 0..50 {
            witness.message(&format!("~/{number}"), &"x".repeat(2000));
        }
        client.send_bytes(&[0]);
        client.expect("d000");
    }

    /// A message is in the sessions of all whose subscriptions match it, connected or not.
    [v5 "4.5.0-1", v311 "4.5.0-1"]
    fn messages_wait_in_all_sessions_that_match(t) {
        let mut publisher = t.client("p");
        for (id, filter) in [("a", "~/t"), ("b", "~/+"), ("c", "~/#"), ("d", "~/other")] {
            let mut client = t.stays(id);
            client.subscribe(filter, 2);
            client.disconnect();
        }
        let mut present = t.client("e");
        present.subscribe("~/+", 2);
        publisher.publish("~/t", 1, "one");
        publisher.publish("~/t", 2, "two");
        present.message("~/t", "one");
        present.message("~/t", "two");
        for id in ["a", "b", "c"] {
            let mut client = t.returns(id);
            let one = client.message("~/t", "one");
            let two = client.message("~/t", "two");
            assert_eq!((one.qos(), two.qos()), (1, 2));
            client.quiet();
        }
        t.returns("d").quiet();
    }

    /// A client that uses nothing beyond the standard has all that the standard offers.
    [v5, v311 "7.0.0-2", v31]
    fn no_extensions(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        for qos in 0..=2 {
            publisher.publish("~/t", qos, "hello");
            let message = client.message("~/t", "hello");
            assert_eq!(message.qos(), qos);
            client.acknowledge(&message);
        }
        client.pinged();
        client.send(r#"a2 <0002 {} "~/t">"#);
        client.expect("b0 <0002 ..>");
        client.disconnect();
    }
}
