//! 3.8 SUBSCRIBE and 3.9 SUBACK.

use crate::packet::Kind;
use crate::test::tests;

tests! {
    /// The flags of a SUBSCRIBE are 0010.
    [v5 "3.8.1-1", v311 "3.8.1-1"]
    fn reserved_flags(t) {
        for first in ["80", "83", "8a"] {
            let mut client = t.client("a");
            client.send(&format!(r#"{first} <0001 {{}} "~/a" 00>"#));
            client.refused(0x81);
        }
    }

    /// A topic filter has to be UTF-8.
    [v5 "3.8.3-1", v311 "3.8.3-1"]
    fn topic_filter_is_utf_8(t) {
        for filter in ["0001 ff", "0003 eda080", "0003 610062"] {
            let mut client = t.client("a");
            client.send(&format!(r#"82 <0001 {{}} "~/t" 00 {filter} 00>"#));
            client.refused(0x81);
        }
    }

    /// A SUBSCRIBE without a topic filter is a protocol error.
    [v5 "3.8.3-2", v311 "3.8.3-3"]
    fn no_topic_filter(t) {
        let mut client = t.client("a");
        client.send("82 <0001 {}>");
        client.refused(0x82);
    }

    /// No Local: a client does not get what it has published itself.
    [v5 "3.8.3-3"]
    fn no_local(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0x05);
        client.publish("~/t", 1, "own");
        t.client("p").publish("~/t", 1, "other");
        client.message("~/t", "other");
        client.quiet();
    }

    /// No Local counts for the client, not for its connection: a message that it published before it
    /// lost its connection is its own.
    [v5 "3.8.3-3"]
    fn no_local_is_about_the_client(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 0x05);
        client.publish("~/t", 1, "own");
        client.vanish();
        t.returns("a").quiet();
    }

    /// No Local makes no sense in a shared subscription.
    [v5 "3.8.3-4"]
    fn no_local_in_a_shared_subscription(t) {
        let mut client = t.client("a");
        client.send(r#"82 <0001 {} "$share/~g/~/t" 04>"#);
        client.refused(0x82);
    }

    /// Reserved bits of the subscription options have to be 0.
    [v5 "3.8.3-5"]
    fn reserved_options(t) {
        for options in ["40", "80", "c1"] {
            let mut client = t.client("a");
            client.send(&format!(r#"82 <0001 {{}} "~/t" {options}>"#));
            client.refused(0x81);
        }
    }

    /// Before 5.0, all but the QoS is reserved, and there is no QoS 3.
    [v311 "3.8.3-4"]
    fn reserved_bits(t) {
        for options in ["03", "04", "08", "10", "20", "40", "80"] {
            let mut client = t.client("a");
            client.send(&format!(r#"82 <0001 "~/t" {options}>"#));
            client.refused([]);
        }
    }

    /// In 5.0, neither is there a QoS 3, nor a Retain Handling 3.
    [v5]
    fn qos_3_and_retain_handling_3(t) {
        for options in ["03", "30"] {
            let mut client = t.client("a");
            client.send(&format!(r#"82 <0001 {{}} "~/t" {options}>"#));
            client.refused([0x81, 0x82]);
        }
    }

    /// A filter with wildcards is granted, or refused in the SUBACK: it is not just forgotten.
    [v311 "3.8.3-2", v5, v31]
    fn wildcards(t) {
        let mut client = t.client("a");
        client.send(r#"82 <0001 {} "~/+/#" 00>"#);
        let suback = client.packet_of(Kind::SubAck);
        t.client("p").publish("~/a/b", 0, "x");
        if suback.reason() < 0x80 {
            client.message("~/a/b", "x");
        }
        client.quiet();
    }

    /// A SUBSCRIBE is answered with a SUBACK, which has its packet identifier and a reason code for
    /// each filter, in their order: the QoS that was granted.
    [v5 "3.8.4-1" "3.8.4-2" "3.8.4-6" "3.8.4-7" "3.9.3-1" "3.9.3-2",
     v311 "3.8.4-1" "3.8.4-2" "3.8.4-5" "3.9.3-1" "3.9.3-2", v31]
    fn suback(t) {
        let mut client = t.client("a");
        client.send(r#"82 <fffe {} "~/2" 02 "~/0" 00 "~/1" 01 "~/2/+" 02>"#);
        client.expect("90 <fffe {..} 02 00 01 02>");
        client.quiet();
    }

    /// A filter that a client is subscribed to replaces that subscription.
    [v5 "3.8.4-3", v311 "3.8.4-3", v31]
    fn subscription_is_replaced(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 2);
        client.subscribe("~/t", 0);
        t.client("p").publish("~/t", 2, "x");
        assert_eq!(client.message("~/t", "x").qos(), 0);
        client.quiet();
    }

    /// All of a subscription is replaced, its options and its identifier, too.
    [v5 "3.8.4-3"]
    fn all_of_a_subscription_is_replaced(t) {
        let mut client = t.client("a");
        let mut publisher = t.client("p");
        // QoS 1, No Local, Retain As Published, and an identifier.
        client.send(r#"82 <0001 {0b 07} "~/t" 0d>"#);
        client.expect("90 <0001 {..} 01>");
        publisher.retain("~/t", 1, "x");
        let message = client.expect(r#"33 <"~/t" ???? {0b 07} 'x'>"#);
        client.acknowledge(&message);
        // Another identifier alone, without what is retained.
        client.send(r#"82 <0002 {0b 08} "~/t" 20>"#);
        client.expect("90 <0002 {..} 00>");
        publisher.retain("~/t", 1, "y");
        client.expect(r#"30 <"~/t" {0b 08} 'y'>"#);
        // Nothing at all.
        client.subscribe("~/t", 0x20);
        client.send(r#"30 <"~/t" {} 'own'>"#);
        client.expect(r#"30 <"~/t" {} 'own'>"#);
        client.quiet();
        publisher.retain("~/t", 0, "");
    }

    /// A shared subscription is another one than that of the same filter, and replaces only its like.
    [v5 "3.8.4-3"]
    fn shared_subscription_is_another(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 1);
        client.subscribe("$share/~g/~/t", 0);
        client.subscribe("$share/~h/~/t", 0);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "x");
        let mut qos = [(); 3].map(|()| client.message("~/t", "x").qos());
        qos.sort_unstable();
        assert_eq!(qos, [0, 0, 1]);
        client.quiet();
    }

    /// While a subscription is replaced, no message is lost, and what is retained is sent again.
    [v5 "3.8.4-4", v311 "3.8.4-3"]
    fn nothing_is_lost_when_a_subscription_is_replaced(t) {
        let mut publisher = t.client("p");
        publisher.retain("~/r", 1, "kept");
        let mut client = t.client("a");
        client.subscribe("~/+", 1);
        client.message("~/r", "kept");
        for number in 0..20 {
            publisher.send(&format!(r#"32 <"~/t" 0001 {{}} '{number}'>"#));
            client.send(r#"82 <0001 {} "~/+" 01>"#);
            publisher.expect("40 <0001 ..>");
        }
        let (mut messages, mut retained) = (Vec::new(), 0);
        while messages.len() < 20 || retained < 20 {
            let packet = client.packet();
            if packet.kind == Kind::Publish {
                client.acknowledge(&packet);
            }
            if packet.kind == Kind::Publish && packet.retain() {
                retained += 1;
            } else if packet.kind == Kind::Publish {
                messages.push(String::from_utf8_lossy(&packet.payload).into_owned());
            }
        }
        let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        assert_eq!(messages, expected);
    }

    /// A SUBSCRIBE with several filters does what several with one would do.
    [v5 "3.8.4-5", v311 "3.8.4-4"]
    fn several_filters(t) {
        let mut publisher = t.client("p");
        publisher.retain("~/1", 1, "one");
        let mut client = t.client("a");
        // The last of the same filter counts.
        client.send(r#"82 <0001 {} "~/1" 01 "~/2" 01 "~/2" 00>"#);
        client.expect("90 <0001 {..} 01 01 00>");
        client.message("~/1", "one");
        publisher.publish("~/2", 1, "two");
        assert_eq!(client.message("~/2", "two").qos(), 0);
        client.quiet();
    }

    /// Of the same filter twice in one SUBSCRIBE, each brings what is retained.
    [v5 "3.8.4-5", v311 "3.8.4-4"]
    fn the_same_filter_twice(t) {
        t.client("p").retain("~/t", 1, "kept");
        let mut client = t.client("a");
        client.send(r#"82 <0001 {} "~/t" 01 "~/t" 00>"#);
        let packets = client.rest();
        let messages = packets.iter().filter(|packet| packet.kind == Kind::Publish);
        let mut qos: Vec<u8> = messages.map(|message| message.qos()).collect();
        qos.sort_unstable();
        assert_eq!(qos, [0, 1], "{packets:?}");
    }

    /// A message is sent at the lower of its QoS and the QoS that was granted.
    [v5 "3.8.4-8", v311 "3.8.4-6", v31]
    fn lower_qos(t) {
        let mut client = t.client("a");
        let mut publisher = t.client("p");
        for granted in 0..3 {
            client.subscribe("~/t", granted);
            for qos in 0..3 {
                publisher.publish("~/t", qos, "x");
                let message = client.message("~/t", "x");
                assert_eq!(message.qos(), qos.min(granted));
                client.acknowledge(&message);
            }
        }
    }

    /// A SUBACK leaves out what would make it too large for the client.
    [v5 "3.9.2-1" "3.9.2-2"]
    fn suback_for_small_clients(t) {
        let mut client = t.client_with("a", "02", "27 00000020", "");
        client.send(r#"82 <0001 {} "$share/~g/" 00>"#);
        let bytes = client.bytes();
        assert!(bytes.len() <= 32, "{bytes:02x?} for 32 bytes");
        let mut client = t.client_with("b", "02", "27 00000020", "");
        client.send(r#"82 <0001 {} "~/t" 00>"#);
        client.expect("90 <0001 00 00>");
    }

    /// A subscription identifier is between 1 and 268,435,455.
    [v5]
    fn subscription_identifier(t) {
        let mut client = t.client("a");
        client.send(r#"82 <0001 <0b 00> "~/t" 00>"#);
        client.refused(0x82);
        let mut client = t.client("a");
        client.send(r#"82 <0001 <0b 01 0b 02> "~/t" 00>"#);
        client.refused(0x82);
    }
}
