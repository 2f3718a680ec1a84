//! A connection that takes the place of another one of the same client.

use crate::packet::Kind;
use crate::test::{connect, tests};

tests! {
    /// A QoS 2 message whose PUBREC was given to the old connection is delivered once, and its PUBREL comes on the new one.
    [v5, v311, v31]
    fn before_the_pubrel_is_sent(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 2);
        let mut old = t.stays("s");
        old.send(r#"34 <"~/t" 0001 {} 'once'>"#);
        old.expect("50 <0001 ..>");
        let mut new = t.returns("s");
        old.refused(0x8E);
        new.send("62 <0001>");
        new.expect("70 <0001 ..>");
        let message = witness.message("~/t", "once");
        witness.acknowledge(&message);
        witness.quiet();
        // The identifier is free again: this is another message.
        new.send(r#"34 <"~/t" 0001 {} 'two'>"#);
        new.expect("50 <0001 ..>");
        new.send("62 <0001>");
        new.expect("70 <0001 ..>");
        witness.message("~/t", "two");
    }

    /// A QoS 2 message that is sent again on the new connection is still delivered once.
    [v5, v311, v31]
    fn before_the_pubrec_has_come(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        let mut old = t.stays("s");
        old.send(r#"34 <"~/t" 0001 {} 'once'>"#);
        old.expect("50 <0001 ..>");
        let mut new = t.returns("s");
        old.refused(0x8E);
        for _ in 0..2 {
            new.send(r#"3c <"~/t" 0001 {} 'once'>"#);
            new.expect("50 <0001 ..>");
        }
        new.send("62 <0001>");
        new.expect("70 <0001 ..>");
        witness.message("~/t", "once");
        witness.quiet();
    }

    /// What the old connection has not acknowledged comes again on the new one: PUBLISH with its identifier, or PUBREL.
    [v5, v311]
    fn messages_under_way(t) {
        let mut old = t.stays("s");
        old.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        for (qos, payload) in [(1, "one"), (2, "two"), (2, "three")] {
            publisher.publish("~/t", qos, payload);
        }
        let one = old.message("~/t", "one").id();
        let two = old.message("~/t", "two").id();
        let three = old.message("~/t", "three").id();
        // The last two steps of this are left for the new connection.
        old.send(&format!("50 <{two:04x}>"));
        old.expect(&format!("62 <{two:04x} ..>"));
        let mut new = t.returns("s");
        old.refused(0x8E);
        let mut seen: Vec<_> = (0..3).map(|_| new.packet()).collect();
        seen.sort_by_key(|packet| packet.bytes[0]);
        let shown: Vec<_> = seen.iter().map(|packet| (packet.bytes[0], packet.id())).collect();
        assert_eq!(shown, [(0x3A, one), (0x3C, three), (0x62, two)]);
        new.send(&format!("70 <{two:04x}> 40 <{one:04x}> 50 <{three:04x}>"));
        new.expect(&format!("62 <{three:04x} ..>"));
        new.send(&format!("70 <{three:04x}>"));
        new.quiet();
    }

    /// New messages do not get the identifier of one that is still under way from the old connection.
    [v5, v311, v31]
    fn identifiers_in_use(t) {
        let mut old = t.stays("s");
        old.subscribe("~/t", 1);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "old");
        let id = old.message("~/t", "old").id();
        let mut new = t.returns("s");
        old.refused(0x8E);
        assert_eq!(new.message("~/t", "old").id(), id);
        for payload in ["1", "2", "3"] {
            publisher.publish("~/t", 1, payload);
            assert_ne!(new.message("~/t", payload).id(), id);
        }
        new.send(&format!("40 <{id:04x}>"));
        new.disconnect();
        // Only the three are left.
        let mut new = t.returns("s");
        for payload in ["1", "2", "3"] {
            assert_ne!(new.message("~/t", payload).id(), id);
        }
        new.quiet();
    }

    /// A new connection that starts clean has nothing of the old one's messages, handshakes and subscriptions.
    [v5, v311, v31]
    fn clean(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/u", 0);
        let mut old = t.stays("s");
        old.subscribe("~/t", 2);
        old.send(r#"34 <"~/u" 0001 {} 'first'>"#);
        old.expect("50 <0001 ..>");
        let mut publisher = t.client("p");
        publisher.publish("~/t", 2, "old");
        old.message("~/t", "old");
        let mut new = t.client("s");
        old.refused(0x8E);
        publisher.publish("~/t", 2, "new");
        // The same identifier is a message of its own here.
        new.send(r#"34 <"~/u" 0001 {} 'second'>"#);
        new.expect("50 <0001 ..>");
        new.send("62 <0001>");
        new.expect("70 <0001 ..>");
        new.quiet();
        // The first may be delivered before its PUBREL, or never.
        let message = witness.packet_of(Kind::Publish);
        if message.payload == b"first" {
            witness.message("~/u", "second");
        } else {
            assert_eq!(message.payload, b"second");
        }
    }

    /// The will of a connection that is taken over is published, once.
    [v5, v311, v31]
    fn will(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 1);
        for flags in ["04", "06"] {
            let mut old = t.client_with("a", flags, "", r#"{} "~/will" "gone""#);
            let mut new = t.client("a");
            old.refused(0x8E);
            witness.message("~/will", "gone");
            witness.quiet();
            new.pinged();
            new.disconnect();
        }
    }

    /// The will of the new connection is another one than that of the old.
    [v5, v311, v31]
    fn two_wills(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 0);
        let mut old = t.client_with("a", "06", "", r#"{} "~/will" "old""#);
        let mut new = t.client_with("a", "06", "", r#"{} "~/will" "new""#);
        old.refused(0x8E);
        witness.message("~/will", "old");
        witness.quiet();
        new.send("0000");
        new.refused([0x81, 0x82]);
        witness.message("~/will", "new");
    }

    /// An old connection that does not read holds the new one up no longer than it takes to say so.
    [v5, v311, v31]
    fn from_one_that_does_not_read(t) {
        let mut old = t.client("a");
        old.subscribe("~/t", 0);
        let mut publisher = t.client("p");
        let payload = "x".repeat(50_000);
        for _ in 0..200 {
            publisher.send(&format!(r#"30 <"~/t" {{}} '{payload}'>"#));
        }
        publisher.pinged();
        let mut new = t.client("a");
        new.subscribe("~/u", 0);
        publisher.publish("~/u", 0, "hello");
        new.message("~/u", "hello");
        drop(old);
        new.quiet();
    }

    /// Of many connections of one client at once, one is left, and it works.
    [v5, v311, v31]
    fn by_a_crowd(t) {
        let mut crowd: Vec<_> = (0..50).map(|_| t.open()).collect();
        for one in &mut crowd {
            one.send(&connect(t.version, "a", "02", "", ""));
        }
        for one in &mut crowd {
            one.expect("20 <00 00 {..}>");
        }
        // Who of them came last is known once the others have been told.
        let mut left = crowd.iter_mut().filter_map(|one| (!one.has_ended()).then_some(one));
        let last = left.next().expect("one of them is left");
        last.subscribe("~/t", 0);
        t.client("p").publish("~/t", 0, "hello");
        last.message("~/t", "hello");
        assert!(left.next().is_none(), "two connections of one client are left");
    }

    /// Two clients whose names differ only in case, or by a space, are two clients.
    [v5, v311]
    fn similar_names(t) {
        let mut clients: Vec<_> = ["a", "A", "a ", " a", "a/", "a+", "a#", "\u{e4}", "a\u{308}"]
            .map(|id| t.client(id))
            .into();
        for client in &mut clients {
            client.quiet();
        }
    }
}
