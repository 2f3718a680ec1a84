//! 3.1.2 and 4.1: sessions, how they begin, what they keep, when they end.

use std::time::Duration;

use crate::test::{connect, tests};

tests! {
    /// Clean Start throws away the session that there was, with its subscriptions and its queue.
    [v5 "3.1.2-4" "3.1.4-4" "3.2.2-2", v311 "3.1.2-6" "3.1.4-3" "3.2.2-1"]
    fn clean_start_discards(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 1);
        client.vanish();
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "queued");
        let mut client = t.client("a");
        publisher.publish("~/t", 1, "later");
        client.quiet();
    }

    /// A session that began clean ends with its connection.
    [v5 "4.1.0-2", v311 "3.1.2-6" "3.2.2-3"]
    fn clean_session_ends_with_its_connection(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 1);
        client.vanish();
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "away");
        // A session that is not clean finds none.
        let mut client = t.stays("a");
        publisher.publish("~/t", 1, "later");
        client.quiet();
    }

    /// A session that stays is resumed: its subscriptions are there, and what came while its client
    /// was away.
    [v5 "3.1.2-5" "3.1.2-23" "3.1.4-4" "3.2.2-3" "4.5.0-1",
     v311 "3.1.2-4" "3.1.2-5" "3.1.4-3" "3.2.2-2" "4.1.0-1" "4.5.0-1"]
    fn session_is_resumed(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 2);
        client.vanish();
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "one");
        publisher.publish("~/t", 2, "two");
        let mut client = t.returns("a");
        let one = client.message("~/t", "one");
        client.acknowledge(&one);
        let two = client.message("~/t", "two");
        client.acknowledge(&two);
        assert_eq!((one.qos(), two.qos()), (1, 2));
        publisher.publish("~/t", 1, "three");
        client.message("~/t", "three");
    }

    /// Where there is no session, one begins, and it is the client's from then on.
    [v5 "3.1.2-6" "3.2.2-3", v311 "3.1.2-4" "3.2.2-3"]
    fn session_begins(t) {
        t.stays("a").vanish();
        t.returns("a").quiet();
    }

    /// The client identifier tells sessions apart.
    [v5 "3.1.3-2", v311 "3.1.3-2"]
    fn sessions_belong_to_client_identifiers(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 1);
        client.vanish();
        // Another case is another client.
        let mut other = t.stays("A");
        t.client("p").publish("~/t", 1, "x");
        other.quiet();
        t.returns("a").message("~/t", "x");
    }

    /// A session is there as long as its connection, whatever its expiry interval.
    [v5 "4.1.0-1", v311 "4.1.0-2"]
    fn session_is_there_with_its_connection(t) {
        let mut client = t.client_with("a", "00", "11 00000001", "");
        client.subscribe("~/t", 1);
        client.silent_for(Duration::from_millis(2500));
        t.client("p").publish("~/t", 1, "x");
        client.message("~/t", "x");
    }

    /// The longest session expiry interval is for ever, or as long as the broker has said.
    [v5 "3.1.2-23"]
    fn session_that_never_expires(t) {
        t.client_with("a", "00", "11 ffffffff", "").vanish();
        std::thread::sleep(Duration::from_millis(2500));
        t.returns("a").quiet();
    }

    /// When the session expiry interval has passed, the session is gone.
    [v5 "4.1.0-2"]
    fn session_expires(t) {
        let mut client = t.client_with("a", "00", "11 00000001", "");
        client.subscribe("~/t", 1);
        client.vanish();
        std::thread::sleep(Duration::from_millis(3000));
        // With clean start, session present would be 0 in any case.
        let mut client = t.open();
        client.send(&connect(t.version, "a", "00", "", ""));
        client.expect("20 <00 00 {..}>");
        t.client("p").publish("~/t", 1, "x");
        client.quiet();
    }

    /// Without an expiry interval, or with one of zero, a session ends with its connection, also if
    /// it did not start clean.
    [v5 "4.1.0-2"]
    fn session_without_expiry_interval(t) {
        for (id, properties) in [("a", ""), ("b", "11 00000000")] {
            t.client_with(id, "00", properties, "").vanish();
            t.client_with(id, "00", "", "").quiet();
        }
    }

    /// A DISCONNECT may change how long the session stays.
    [v5 "3.1.2-23"]
    fn disconnect_changes_the_expiry_interval(t) {
        let mut client = t.stays("a");
        client.send("e0 <00 <11 00000000>>");
        client.closed();
        t.client_with("a", "00", "", "").quiet();
        let mut client = t.client_with("b", "00", "11 00000001", "");
        client.send("e0 <00 <11 000003e8>>");
        client.closed();
        std::thread::sleep(Duration::from_millis(2500));
        t.returns("b").quiet();
    }

    /// A session that was to end with its connection cannot be kept at the DISCONNECT.
    [v5]
    fn expiry_interval_of_zero_stays(t) {
        let mut client = t.client("a");
        client.send("e0 <00 <11 000003e8>>");
        client.refused(0x82);
        t.client_with("a", "00", "", "").quiet();
    }

    /// Retained messages are nobody's session: they stay when a session ends.
    [v311 "3.1.2-7", v5]
    fn retained_messages_outlive_sessions(t) {
        let mut client = t.client("a");
        client.retain("~/t", 1, "kept");
        client.disconnect();
        let mut client = t.client("b");
        client.subscribe("~/t", 1);
        client.message("~/t", "kept");
    }
}
