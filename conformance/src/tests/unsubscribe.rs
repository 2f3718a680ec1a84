//! 3.10 UNSUBSCRIBE and 3.11 UNSUBACK.

use crate::packet::Kind;
use crate::test::tests;

tests! {
    /// The flags of an UNSUBSCRIBE are 0010.
    [v5 "3.10.1-1", v311 "3.10.1-1"]
    fn reserved_flags(t) {
        for first in ["a0", "a3", "aa"] {
            let mut client = t.client("a");
            client.send(&format!(r#"{first} <0001 {{}} "~/a">"#));
            client.refused(0x81);
        }
    }

    /// A topic filter has to be UTF-8.
    [v5 "3.10.3-1", v311 "3.10.3-1"]
    fn topic_filter_is_utf_8(t) {
        for filter in ["0001 ff", "0003 eda080", "0003 610062"] {
            let mut client = t.client("a");
            client.send(&format!(r#"a2 <0001 {{}} "~/t" {filter}>"#));
            client.refused(0x81);
        }
    }

    /// An UNSUBSCRIBE without a topic filter is a protocol error.
    [v5 "3.10.3-2", v311 "3.10.3-2"]
    fn no_topic_filter(t) {
        let mut client = t.client("a");
        client.send("a2 <0001 {}>");
        client.refused(0x82);
    }

    /// Only the very same filter ends a subscription, not one that matches it.
    [v5 "3.10.4-1", v311 "3.10.4-1"]
    fn filters_are_compared_by_character(t) {
        let mut client = t.client("a");
        client.subscribe("~/a", 0);
        client.send(r#"a2 <0001 {} "~/+" "~/#" "~/A" "~/a/" "/~/a">"#);
        assert_eq!(client.packet_of(Kind::UnsubAck).id(), 1);
        let mut publisher = t.client("p");
        publisher.publish("~/a", 0, "x");
        client.message("~/a", "x");
        client.send(r#"a2 <0002 {} "~/a">"#);
        client.packet_of(Kind::UnsubAck);
        publisher.publish("~/a", 0, "y");
        client.quiet();
        client.subscribe("~/+", 0);
        client.send(r#"a2 <0003 {} "~/+">"#);
        client.packet_of(Kind::UnsubAck);
        publisher.publish("~/a", 0, "z");
        client.quiet();
    }

    /// A shared subscription is ended by its whole filter: neither by the part that is matched, nor
    /// by that of another group; nor does it end the subscription that is not shared.
    [v5 "3.10.4-1"]
    fn filters_of_shared_subscriptions(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 1);
        client.subscribe("$share/~g/~/t", 0);
        client.send(r#"a2 <0001 {} "$share/~h/~/t" "$share/~g/~/+">"#);
        client.expect("b0 <0001 {..} 11 11>");
        client.send(r#"a2 <0002 {} "~/t">"#);
        client.expect("b0 <0002 {..} 00>");
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "x");
        assert_eq!(client.message("~/t", "x").qos(), 0);
        client.subscribe("~/t", 1);
        client.send(r#"a2 <0003 {} "$share/~g/~/t">"#);
        client.expect("b0 <0003 {..} 00>");
        publisher.publish("~/t", 1, "y");
        assert_eq!(client.message("~/t", "y").qos(), 1);
        client.quiet();
    }

    /// A subscription that was ended does not come back with the session.
    [v5 "3.10.4-1" "3.10.4-2", v311 "3.10.4-1" "3.10.4-2"]
    fn ended_for_later_connections(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 1);
        client.subscribe("~/u", 1);
        client.send(r#"a2 <0001 {} "~/t">"#);
        client.packet_of(Kind::UnsubAck);
        client.vanish();
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "away");
        let mut client = t.returns("a");
        publisher.publish("~/t", 1, "back");
        publisher.publish("~/u", 1, "other");
        client.message("~/u", "other");
        client.quiet();
    }

    /// After the UNSUBACK, no new messages are added.
    [v5 "3.10.4-2", v311 "3.10.4-2", v31]
    fn no_new_messages(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 2);
        client.send(r#"a2 <0001 {} "~/t">"#);
        client.packet_of(Kind::UnsubAck);
        let mut publisher = t.client("p");
        for qos in 0..3 {
            publisher.publish("~/t", qos, "x");
        }
        client.quiet();
    }

    /// What is on its way to a client when it unsubscribes is delivered to the end, also after its
    /// connection was lost.
    [v5 "3.10.4-3", v311 "3.10.4-3"]
    fn what_has_begun_is_completed(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "one");
        publisher.publish("~/t", 2, "two");
        let one = client.message("~/t", "one");
        let two = client.message("~/t", "two");
        client.send(r#"a2 <0001 {} "~/t">"#);
        client.packet_of(Kind::UnsubAck);
        client.vanish();
        let mut client = t.returns("a");
        assert_eq!(client.message("~/t", "one").id(), one.id());
        assert_eq!(client.message("~/t", "two").id(), two.id());
        client.acknowledge(&one);
        client.acknowledge(&two);
        client.quiet();
    }

    /// An UNSUBSCRIBE is answered with an UNSUBACK of its packet identifier, also where there is no
    /// subscription to end.
    [v5 "3.10.4-4" "3.10.4-5", v311 "3.10.4-4" "3.10.4-5", v31]
    fn unsuback(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        for id in ["fffe", "0001"] {
            client.send(&format!(r#"a2 <{id} {{}} "~/t">"#));
            let unsuback = client.packet_of(Kind::UnsubAck);
            assert_eq!(format!("{:04x}", unsuback.id()), id);
        }
        client.quiet();
    }

    /// An UNSUBSCRIBE with several filters ends all of them, and is answered once.
    [v5 "3.10.4-6", v311 "3.10.4-6", v31]
    fn several_filters(t) {
        let mut client = t.client("a");
        for filter in ["~/1", "~/2", "~/3"] {
            client.subscribe(filter, 0);
        }
        client.send(r#"a2 <0001 {} "~/1" "~/none" "~/3">"#);
        client.packet_of(Kind::UnsubAck);
        let mut publisher = t.client("p");
        for topic in ["~/1", "~/2", "~/3"] {
            publisher.publish(topic, 0, "x");
        }
        client.message("~/2", "x");
        client.quiet();
    }

    /// An UNSUBACK leaves out what would make it too large for the client.
    [v5 "3.11.2-1" "3.11.2-2"]
    fn unsuback_for_small_clients(t) {
        let mut client = t.client_with("a", "02", "27 00000020", "");
        client.send(r#"a2 <0001 {} "~/none">"#);
        let unsuback = client.packet_of(Kind::UnsubAck);
        assert!(unsuback.bytes.len() <= 32, "{unsuback:?} is larger than 32 bytes");
    }

    /// An UNSUBACK has a reason code for each filter, in their order.
    [v5 "3.11.3-1" "3.11.3-2"]
    fn reason_codes(t) {
        let mut client = t.client("a");
        client.subscribe("~/1", 0);
        client.subscribe("~/3", 0);
        client.send(r#"a2 <0001 {} "~/1" "~/2" "~/3" "~/1">"#);
        client.expect("b0 <0001 {..} 00 11 00 11>");
    }
}
