//! 4.13 Handling errors (4.8 of 3.1.1).

use crate::test::{connect, tests};

/// A PUBLISH whose QoS does not exist.
const QOS_3: &str = r#"36 <"~/t" 0001 {} 'x'>"#;

tests! {
    /// A malformed packet or a protocol error ends the connection, and nothing comes of it.
    [v5 "4.13.1-1", v311 "4.8.0-1"]
    fn errors_end_the_connection(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/#", 0);
        let errors = [
            // A packet type that does not exist.
            ("00 <>", 0x81),
            (QOS_3, 0x81),
            // A length that is too long for any packet.
            ("30 ffffffff7f", 0x81),
            // A PUBLISH that ends within its topic name.
            ("30 <00ff '~/t'>", 0x81),
            // A topic name that is not UTF-8.
            ("30 <0002 c3 28 {} 'x'>", 0x81),
            // No packet identifier.
            (r#"32 <"~/t">"#, 0x81),
            // A SUBSCRIBE without a topic filter, and one with flags that are not 0010.
            ("82 <0001 {}>", 0x82),
            (r#"80 <0001 {} "~/t" 00>"#, 0x81),
            // The packet identifier 0.
            (r#"82 <0000 {} "~/t" 00>"#, 0x82),
        ];
        for (wrong, reason) in errors {
            let mut client = t.client("a");
            client.send(wrong);
            // What is behind it is not handled, either.
            client.send(r#"30 <"~/t" {} 'x'>"#);
            // Where the one is given, some brokers see the other.
            client.refused([reason, 0x81, 0x82]);
        }
        witness.quiet();
    }

    /// A packet that only a server sends ends the connection of a client.
    [v5 "4.13.1-1", v311 "4.8.0-1"]
    fn packets_of_a_server(t) {
        for wrong in ["20 <00 00 {}>", "90 <0001 {} 00>", "b0 <0001 {}>", "d0 <>"] {
            let mut client = t.client("a");
            client.send(wrong);
            client.refused(0x82);
        }
    }

    /// A connection that ends with an error ends as one that is lost: its will is published, and its
    /// session stays.
    [v5, v311]
    fn errors_leave_will_and_session(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 0);
        let will = r#"{} "~/will" "gone""#;
        let mut client = t.client_with("a", "04", "11 000003e8", will);
        client.subscribe("~/t", 1);
        client.send(QOS_3);
        client.refused([0x81, 0x82]);
        witness.message("~/will", "gone");
        witness.publish("~/t", 1, "hello");
        t.returns("a").message("~/t", "hello");
    }

    /// An error ends one connection, and no other.
    [v5, v311]
    fn others_go_on(t) {
        let mut other = t.client("b");
        other.subscribe("~/t", 0);
        let mut client = t.client("a");
        client.send(QOS_3);
        client.refused([0x81, 0x82]);
        t.client("a").publish("~/t", 0, "hello");
        other.message("~/t", "hello");
    }

    /// A reason code of 0x80 or greater in a CONNACK or DISCONNECT, of either side, ends the connection.
    [v5 "4.13.2-1"]
    fn reason_codes_that_end_the_connection(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "03", "", ""));
        client.turned_away(0x81, []);
        let mut client = t.client("a");
        client.send(QOS_3);
        client.refused([0x81, 0x82]);
        for reason in ["80", "81", "83", "93", "96", "99"] {
            let mut client = t.client("a");
            client.send(&format!("e0 <{reason}> c000"));
            client.closed();
        }
    }
}
