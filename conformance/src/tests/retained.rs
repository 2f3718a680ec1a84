//! 3.3.1.3 RETAIN: retained messages, and the flag on messages to subscribers.

use crate::client::Client;
use crate::packet::{Kind, Packet};
use crate::test::{Test, tests};

tests! {
    /// The last message with RETAIN is kept for later subscribers, with its QoS, and replaces the one before.
    [v5 "3.3.1-5", v311 "3.3.1-5", v31]
    fn last_one_is_kept(t) {
        let mut publisher = t.client("p");
        publisher.retain("~/t", 2, "first");
        for (qos, payload) in [(1, "one"), (2, "two"), (0, "zero"), (1, "last")] {
            publisher.retain("~/t", qos, payload);
            let retained = retained(t, "~/t", 1);
            let [message] = &retained[..] else { panic!("{retained:?}") };
            assert_eq!((message.qos(), payloads(&retained)), (qos, vec![payload.to_owned()]));
        }
        forget(t, &["~/t"]);
    }

    /// A QoS 0 message with RETAIN takes the place of one of a higher QoS.
    [v311 "3.3.1-7", v5, v31]
    fn qos_0_replaces(t) {
        let mut publisher = t.client("p");
        publisher.retain("~/t", 2, "old");
        publisher.retain("~/t", 0, "new");
        // It may be given up at any time, but the old one must be gone.
        let retained = payloads(&retained(t, "~/t", 0));
        assert!(retained.iter().all(|payload| payload == "new"), "{retained:?}");
        forget(t, &["~/t"]);
    }

    /// A new subscription brings the retained messages of all topics that match, and of no others.
    [v5 "3.3.1-9", v311 "3.3.1-6", v31]
    fn new_subscription(t) {
        let topics = ["~/r", "~/r/a", "~/r/a/b", "~/r/b", "~/s", "~/rr"];
        let mut publisher = t.client("p");
        for topic in topics {
            publisher.retain(topic, 1, topic);
        }
        for (filter, matching) in [
            ("~/r/#", &topics[..4]),
            ("~/r/+", &["~/r/a", "~/r/b"]),
            ("~/+", &["~/r", "~/rr", "~/s"]),
            ("~/r", &["~/r"]),
            ("~/none", &[]),
        ] {
            let retained = subscription(&mut t.client("s"), filter, "02", matching.len());
            let mut matching: Vec<_> = matching.iter().map(|topic| topic.replace('~', &t.name)).collect();
            matching.sort_unstable();
            assert_eq!(payloads(&retained), matching);
            assert!(retained.iter().all(|message| message.topic.as_bytes() == message.payload));
        }
        forget(t, &topics);
    }

    /// Retain Handling 0 (and 3.1.1) brings the retained messages with each SUBSCRIBE, also a repeated one.
    [v5 "3.3.1-9" "3.8.4-4", v311 "3.3.1-6"]
    fn retain_handling_0(t) {
        t.client("p").retain("~/t", 1, "kept");
        let mut subscriber = t.client("s");
        for _ in 0..3 {
            let retained = subscription(&mut subscriber, "~/t", "00", 1);
            assert_eq!(payloads(&retained), ["kept"]);
        }
        forget(t, &["~/t"]);
    }

    /// Retain Handling 1 brings the retained messages if the subscription was not there, and only then.
    [v5 "3.3.1-10"]
    fn retain_handling_1(t) {
        t.client("p").retain("~/t", 1, "kept");
        let mut subscriber = t.stays("s");
        assert_eq!(payloads(&subscription(&mut subscriber, "~/t", "10", 1)), ["kept"]);
        for options in ["10", "11", "18"] {
            assert_eq!(subscription(&mut subscriber, "~/t", options, 0).len(), 0);
        }
        // Nor is it new to a session that goes on.
        subscriber.disconnect();
        let mut subscriber = t.returns("s");
        assert_eq!(subscription(&mut subscriber, "~/t", "10", 0).len(), 0);
        // Another filter for the same topic is another subscription.
        assert_eq!(payloads(&subscription(&mut subscriber, "~/+", "10", 1)), ["kept"]);
        subscriber.send(r#"a2 <0002 {} "~/t">"#);
        subscriber.packet_of(Kind::UnsubAck);
        assert_eq!(payloads(&subscription(&mut subscriber, "~/t", "10", 1)), ["kept"]);
        subscriber.send("e0 <00 {11 00000000}>");
        forget(t, &["~/t"]);
    }

    /// Retain Handling 2 brings no retained messages, neither with a new subscription nor with a repeated one.
    [v5 "3.3.1-11"]
    fn retain_handling_2(t) {
        let mut publisher = t.client("p");
        publisher.retain("~/t", 1, "kept");
        let mut subscriber = t.client("s");
        for _ in 0..2 {
            assert_eq!(subscription(&mut subscriber, "~/t", "20", 0).len(), 0);
        }
        // What comes later is no matter of the subscription's beginning.
        publisher.retain("~/t", 0, "later");
        subscriber.message("~/t", "later");
        forget(t, &["~/t"]);
    }

    /// A message that a new subscription brings has RETAIN.
    [v311 "3.3.1-8", v5, v31]
    fn flag_of_retained_messages(t) {
        let mut publisher = t.client("p");
        for (topic, qos) in [("~/0", 0), ("~/1", 1), ("~/2", 2)] {
            publisher.retain(topic, qos, "kept");
        }
        for options in ["00", "01", "02"] {
            let retained = subscription(&mut t.client("s"), "~/+", options, 3);
            assert_eq!(retained.len(), 3);
            assert!(retained.iter().all(Packet::retain), "{retained:?}");
        }
        forget(t, &["~/0", "~/1", "~/2"]);
    }

    /// A message to a subscription that was there has no RETAIN, however it was published.
    [v5 "3.3.1-12", v311 "3.3.1-9", v31]
    fn flag_of_new_messages(t) {
        let mut subscribers = [0, 1, 2].map(|qos| {
            let mut subscriber = t.client(&format!("s{qos}"));
            subscriber.subscribe("~/t", qos);
            subscriber
        });
        let mut publisher = t.client("p");
        for qos in 0..=2 {
            for retain in [1, 0] {
                publisher.publish_with("~/t", qos << 1 | retain, "", "hello");
                for subscriber in &mut subscribers {
                    let message = subscriber.message("~/t", "hello");
                    assert!(!message.retain(), "{message:?}");
                    subscriber.acknowledge(&message);
                }
            }
        }
        forget(t, &["~/t"]);
    }

    /// Also what has waited for a client to come back has no RETAIN.
    [v5 "3.3.1-12", v311 "3.3.1-9"]
    fn flag_of_messages_that_waited(t) {
        let mut subscriber = t.stays("s");
        subscriber.subscribe("~/t", 1);
        subscriber.disconnect();
        t.client("p").retain("~/t", 1, "waited");
        let mut subscriber = t.returns("s");
        let message = subscriber.message("~/t", "waited");
        assert!(!message.retain(), "{message:?}");
        subscriber.acknowledge(&message);
        forget(t, &["~/t"]);
    }

    /// A subscription with Retain As Published gets RETAIN as the publisher has set it.
    [v5 "3.3.1-13"]
    fn retain_as_published(t) {
        let mut subscriber = t.client("s");
        subscriber.subscribe("~/t", 0x0A);
        let mut away = t.stays("a");
        away.subscribe("~/t", 0x09);
        away.disconnect();
        let mut publisher = t.client("p");
        for qos in 0..=2 {
            for retain in [1, 0] {
                publisher.publish_with("~/t", qos << 1 | retain, "", "hello");
                let message = subscriber.message("~/t", "hello");
                assert_eq!(message.retain(), retain == 1, "{message:?}");
                subscriber.acknowledge(&message);
            }
        }
        let mut away = t.returns("a");
        // Those of QoS 0 have not waited.
        for retain in [true, false, true, false] {
            let message = away.message("~/t", "hello");
            assert_eq!(message.retain(), retain, "{message:?}");
            away.acknowledge(&message);
        }
        away.send("e0 <00 {11 00000000}>");
        forget(t, &["~/t"]);
    }

    /// An empty message with RETAIN reaches the subscribers there are, and removes what was retained for its
    /// topic, and for that alone.
    [v5 "3.3.1-6", v311 "3.3.1-10", v31]
    fn empty_message_removes(t) {
        for qos in 0..=2 {
            let mut publisher = t.client("p");
            for topic in ["~/t", "~/t/below", "~"] {
                publisher.retain(topic, 1, "kept");
            }
            let mut subscriber = t.client("s");
            subscription(&mut subscriber, "~/t", "00", 1);
            publisher.retain("~/t", qos, "");
            let message = subscriber.message("~/t", "");
            assert!(!message.retain(), "{message:?}");
            let left = subscription(&mut t.client("late"), "~/#", "00", 2);
            let mut topics: Vec<_> = left.iter().map(|message| message.topic.as_str()).collect();
            topics.sort_unstable();
            assert_eq!(topics, [t.name.clone(), format!("{}/t/below", t.name)]);
        }
        forget(t, &["~/t/below", "~"]);
    }

    /// An empty message with RETAIN is not retained itself, where there was one before and where there was none.
    [v5 "3.3.1-7", v311 "3.3.1-11", v31]
    fn empty_message_is_not_kept(t) {
        let mut publisher = t.client("p");
        for qos in 0..=2 {
            publisher.retain("~/new", qos, "");
            publisher.retain("~/old", 1, "old");
            publisher.retain("~/old", qos, "");
            assert_eq!(retained(t, "~/#", 0).len(), 0);
        }
    }

    /// A message without RETAIN is not kept, and neither replaces nor removes the one that is.
    [v5 "3.3.1-8", v311 "3.3.1-12", v31]
    fn message_without_retain(t) {
        let mut publisher = t.client("p");
        for qos in 0..=2 {
            publisher.publish("~/none", qos, "passes");
            assert_eq!(retained(t, "~/none", 0).len(), 0);
            publisher.retain("~/kept", 1, "kept");
            publisher.publish("~/kept", qos, "passes");
            assert_eq!(payloads(&retained(t, "~/kept", 1)), ["kept"]);
            publisher.publish("~/kept", qos, "");
            assert_eq!(payloads(&retained(t, "~/kept", 1)), ["kept"]);
        }
        forget(t, &["~/kept"]);
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

/// What a SUBSCRIBE brings: `expected` messages at least, and whatever comes besides.
#[track_caller]
fn subscription(client: &mut Client, filter: &str, options: &str, expected: usize) -> Vec<Packet> {
    client.send(&format!(r#"82 <0001 {{}} "{filter}" {options}>"#));
    // A server may send messages before the SUBACK.
    let mut messages = Vec::new();
    let mut granted = false;
    while !granted || messages.len() < expected {
        let packet = client.packet();
        if packet.kind == Kind::SubAck {
            assert!(packet.reason() <= 2, "{packet:?}");
            granted = true;
        } else {
            messages.push(packet);
        }
    }
    messages.extend(client.rest());
    messages
}

/// The retained messages that a new client finds.
#[track_caller]
fn retained(t: &Test, filter: &str, expected: usize) -> Vec<Packet> {
    subscription(&mut t.client("late"), filter, "02", expected)
}

fn payloads(messages: &[Packet]) -> Vec<String> {
    let payload = |message: &Packet| String::from_utf8_lossy(&message.payload).into_owned();
    let mut payloads: Vec<String> = messages.iter().map(payload).collect();
    payloads.sort_unstable();
    payloads
}

/// Leaves nothing behind in the broker.
#[track_caller]
fn forget(t: &Test, topics: &[&str]) {
    let mut client = t.client("forget");
    for topic in topics {
        client.retain(topic, 1, "");
    }
}
