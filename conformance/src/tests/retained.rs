//! 3.3.1.3: retained messages.

use crate::test::tests;

tests! {
    /// The last message that was to be retained is kept, with its QoS, and sent to new subscribers.
    [v5 "3.3.1-5", v311 "3.3.1-5" "3.3.1-6"]
    fn last_message_is_retained(t) {
        let mut publisher = t.client("p");
        publisher.retain("~/t", 2, "old");
        publisher.retain("~/t", 1, "new");
        publisher.retain("~/u", 0, "other");
        let mut client = t.client("a");
        client.subscribe("~/t", 2);
        let message = client.message("~/t", "new");
        assert_eq!((message.qos(), message.retain()), (1, true));
        client.quiet();
    }

    /// A message of QoS 0 replaces what was retained.
    [v5 "3.3.1-5", v311 "3.3.1-7"]
    fn qos_0_replaces_what_was_retained(t) {
        let mut publisher = t.client("p");
        publisher.retain("~/t", 1, "old");
        publisher.retain("~/t", 0, "new");
        let mut client = t.client("a");
        client.subscribe("~/t", 1);
        client.message("~/t", "new");
        client.quiet();
    }

    /// An empty payload removes what was retained, is a message all the same, and is not retained.
    [v5 "3.3.1-6" "3.3.1-7", v311 "3.3.1-10" "3.3.1-11"]
    fn empty_payload_removes(t) {
        let mut publisher = t.client("p");
        publisher.retain("~/t", 1, "old");
        publisher.retain("~/t/child", 1, "child");
        let mut before = t.client("b");
        before.subscribe("~/t", 1);
        before.message("~/t", "old");
        publisher.retain("~/t", 1, "");
        let message = before.message("~/t", "");
        assert!(!message.retain());
        let mut client = t.client("a");
        client.subscribe("~/#", 1);
        client.message("~/t/child", "child");
        client.quiet();
    }

    /// A message that is not to be retained neither replaces nor removes what is.
    [v5 "3.3.1-8", v311 "3.3.1-12"]
    fn other_messages_leave_what_is_retained(t) {
        let mut publisher = t.client("p");
        publisher.publish("~/none", 1, "x");
        publisher.retain("~/t", 1, "kept");
        publisher.publish("~/t", 1, "other");
        publisher.publish("~/t", 1, "");
        let mut client = t.client("a");
        client.subscribe("~/+", 1);
        client.message("~/t", "kept");
        client.quiet();
    }

    /// Retain Handling 0: each SUBSCRIBE is answered with what is retained.
    [v5 "3.3.1-9" "3.8.4-4"]
    fn retain_handling_0(t) {
        t.client("p").retain("~/t", 1, "kept");
        let mut client = t.client("a");
        for _ in 0..2 {
            client.subscribe("~/t", 0);
            assert!(client.message("~/t", "kept").retain());
        }
        client.quiet();
    }

    /// Retain Handling 1: only a new subscription gets what is retained.
    [v5 "3.3.1-10"]
    fn retain_handling_1(t) {
        t.client("p").retain("~/t", 1, "kept");
        let mut client = t.client("a");
        client.subscribe("~/t", 0x10);
        client.message("~/t", "kept");
        client.subscribe("~/t", 0x11);
        client.quiet();
        client.send(r#"a2 <0001 {} "~/t">"#);
        client.expect("b0 <0001 {..} 00>");
        client.subscribe("~/t", 0x10);
        client.message("~/t", "kept");
    }

    /// Retain Handling 2: no subscription gets what is retained.
    [v5 "3.3.1-11"]
    fn retain_handling_2(t) {
        let mut publisher = t.client("p");
        publisher.retain("~/t", 1, "kept");
        let mut client = t.client("a");
        client.subscribe("~/t", 0x21);
        client.quiet();
        publisher.retain("~/t", 1, "new");
        client.message("~/t", "new");
    }

    /// A message that is sent for a new subscription has RETAIN set.
    [v311 "3.3.1-8", v5]
    fn retain_is_set_for_a_new_subscription(t) {
        t.client("p").retain("~/t", 1, "kept");
        let mut client = t.client("a");
        client.subscribe("~/t", 1);
        assert!(client.message("~/t", "kept").retain());
    }

    /// A message for a subscription that there was has not, whatever its publisher set.
    [v5 "3.3.1-12", v311 "3.3.1-9"]
    fn retain_is_not_set_for_an_old_subscription(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 1);
        let mut publisher = t.client("p");
        publisher.retain("~/t", 1, "one");
        assert!(!client.message("~/t", "one").retain());
        publisher.publish("~/t", 1, "two");
        assert!(!client.message("~/t", "two").retain());
    }

    /// Retain As Published: a message has the flag that its publisher set.
    [v5 "3.3.1-13"]
    fn retain_as_published(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0x09);
        let mut publisher = t.client("p");
        publisher.retain("~/t", 1, "one");
        assert!(client.message("~/t", "one").retain());
        publisher.publish("~/t", 1, "two");
        assert!(!client.message("~/t", "two").retain());
    }

    /// What is retained is sent at the lower of its QoS and that of the subscription, with the
    /// subscription's identifier and the message's properties.
    [v5 "3.8.4-8", v311 "3.8.4-6"]
    fn retained_message_is_sent_like_any_other(t) {
        let mut publisher = t.client("p");
        publisher.publish_with("~/2", 5, r#"03 "text" 26 "a" "b""#, "two");
        publisher.publish_with("~/0", 1, "", "zero");
        let mut client = t.client("a");
        client.send(r#"82 <0001 {0b 05} "~/+" 01>"#);
        client.expect("90 <0001 {..} 01>");
        for _ in 0..2 {
            let message = client.packet();
            let two = message.payload == b"two";
            assert_eq!(message.qos(), u8::from(two), "{message:?}");
            if t.is_v5() {
                assert_eq!(message.number(0x0B), Some(5));
                assert_eq!(message.property(0x26).is_some(), two);
                assert_eq!(message.property(0x03).is_some(), two);
            }
        }
        client.quiet();
    }
}
