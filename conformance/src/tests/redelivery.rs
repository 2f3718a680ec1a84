//! 4.4: what is sent again, when, and when not.

use std::time::Duration;

use crate::test::tests;

tests! {
    /// A client that comes back gets all that it has not acknowledged, with the identifiers that it
    /// had, and in the order it had.
    [v5 "4.4.0-1", v311 "4.4.0-1" "2.3.1-4"]
    fn unacknowledged_messages_are_sent_again(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        let payloads = ["1", "2", "3", "4", "5", "6"];
        for (number, payload) in payloads.into_iter().enumerate() {
            publisher.publish("~/t", 1 + number as u8 % 2, payload);
        }
        let messages = payloads.map(|payload| client.message("~/t", payload));
        // Number 2 is released, numbers 3 and 4 are done.
        client.send(&format!("50 <{:04x}>", messages[1].id()));
        client.expect(&format!("62 <{:04x} ..>", messages[1].id()));
        client.acknowledge(&messages[2]);
        client.acknowledge(&messages[3]);
        client.pinged();
        client.vanish();
        let mut client = t.returns("a");
        for (number, message) in messages.iter().enumerate() {
            match number {
                1 => _ = client.expect(&format!("62 <{:04x} ..>", message.id())),
                2 | 3 => {}
                _ => {
                    let again = client.message("~/t", payloads[number]);
                    assert_eq!((again.id(), again.dup()), (message.id(), true));
                }
            }
        }
        client.quiet();
    }

    /// Nothing is sent again on the same connection, however long it takes to be acknowledged.
    [v5 "4.4.0-1"]
    fn nothing_is_sent_again_on_the_same_connection(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "one");
        publisher.publish("~/t", 2, "two");
        client.message("~/t", "one");
        let two = client.message("~/t", "two");
        client.send(&format!("50 <{:04x}>", two.id()));
        client.expect(&format!("62 <{:04x} ..>", two.id()));
        client.silent_for(Duration::from_secs(5));
    }

    /// Nothing is sent again to a client that starts clean.
    [v5, v311]
    fn nothing_is_sent_again_after_a_clean_start(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 1);
        t.client("p").publish("~/t", 1, "x");
        client.message("~/t", "x");
        client.vanish();
        t.client("a").quiet();
    }

    /// A message that a client has refused is done.
    [v5 "4.4.0-2"]
    fn refused_messages_are_not_sent_again(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "one");
        publisher.publish("~/t", 2, "two");
        let one = client.message("~/t", "one");
        let two = client.message("~/t", "two");
        client.send(&format!("40 <{:04x} 80> 50 <{:04x} 97>", one.id(), two.id()));
        // There is no PUBREL for a PUBREC that refuses.
        client.quiet();
        client.vanish();
        t.returns("a").quiet();
    }
}
