//! 3.3 PUBLISH: its flags, its topic, and who gets it. Retained messages, properties and topic
//! aliases have files of their own.

use crate::client::Client;
use crate::packet::{Kind, Packet};
use crate::test::{Test, tests};

const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
const RECEIVE_MAXIMUM: u8 = 0x21;

tests! {
    /// A message that was not acknowledged is sent again with DUP, and the packet identifier it had.
    [v5 "3.3.1-1", v311 "3.3.1-1"]
    fn dup_when_sent_again(t) {
        for qos in [1, 2] {
            let id = format!("s{qos}");
            let mut subscriber = t.stays(&id);
            subscriber.subscribe("~/t", qos);
            t.client("p").publish("~/t", qos, "once");
            let first = subscriber.message("~/t", "once");
            assert!(!first.dup(), "{first:?}");
            subscriber.vanish();
            let mut subscriber = t.returns(&id);
            let again = subscriber.message("~/t", "once");
            assert!(again.dup(), "{again:?}");
            assert_eq!((again.id(), again.qos()), (first.id(), qos));
            subscriber.acknowledge(&again);
            subscriber.send(r#"a2 <0002 {} "~/t">"#);
            subscriber.packet_of(Kind::UnsubAck);
        }
    }

    /// DUP on a QoS 0 message is malformed, and nobody gets the message.
    [v5 "3.3.1-2", v311 "3.3.1-2"]
    fn dup_at_qos_0(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        for first in ["38", "39"] {
            let mut client = t.client("a");
            client.send(&format!(r#"{first} <"~/t" {{}} 'hello'>"#));
            client.refused(0x81);
        }
        witness.quiet();
        assert_eq!(new_subscription(t, "~/t"), 0);
    }

    /// A message that its publisher has sent again is no repetition to its subscribers.
    [v5 "3.3.1-2" "3.3.1-3", v311 "3.3.1-2" "3.3.1-3", v31]
    fn dup_is_not_forwarded(t) {
        let mut subscribers = [0, 1, 2].map(|qos| {
            let mut subscriber = t.client(&format!("s{qos}"));
            subscriber.subscribe("~/t", qos);
            subscriber
        });
        let mut publisher = t.client("p");
        publisher.send(r#"3a <"~/t" 0001 {} 'one'>"#);
        publisher.expect("40 <0001 ..>");
        publisher.send(r#"3c <"~/t" 0002 {} 'two'>"#);
        publisher.expect("50 <0002 ..>");
        publisher.send("62 <0002>");
        publisher.expect("70 <0002 ..>");
        for (granted, subscriber) in (0..).zip(&mut subscribers) {
            for (payload, sent) in [("one", 1), ("two", 2)] {
                let message = subscriber.message("~/t", payload);
                assert!(!message.dup(), "{message:?}");
                assert_eq!(message.qos(), granted.min(sent));
                subscriber.acknowledge(&message);
            }
        }
    }

    /// A QoS of 3 is malformed, and nobody gets the message.
    [v5 "3.3.1-4", v311 "3.3.1-4", v31]
    fn qos_3(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 2);
        for first in ["36", "37", "3e"] {
            let mut client = t.client("a");
            client.send(&format!(r#"{first} <"~/t" 0001 {{}} 'hello'>"#));
            client.refused(0x81);
        }
        witness.quiet();
        assert_eq!(new_subscription(t, "~/t"), 0);
    }

    /// A PUBLISH without a topic name, or with one that is no string, ends the connection.
    [v5 "3.3.2-1", v311 "3.3.2-1", v31]
    fn no_topic_name(t) {
        for (packet, reason) in [
            ("30 <>", 0x81),
            ("30 <00>", 0x81),
            ("30 <0009 'ab'>", 0x81),
            ("32 <0005 'hello'>", 0x81),
            ("30 <0000 {} 'hello'>", 0x82),
            ("32 <0000 0001 {} 'hello'>", 0x82),
            ("30 <0003 6180ff {} 'hello'>", 0x81),
            ("30 <0003 eda080 {} 'hello'>", 0x81),
            ("32 <0003 610062 0001 {} 'hello'>", 0x81),
        ] {
            let mut client = t.client("a");
            client.send(packet);
            client.refused(reason);
        }
    }

    /// A wildcard anywhere in a topic name ends the connection, and nobody gets the message.
    [v5 "3.3.2-2" "4.7.0-1", v311 "3.3.2-2" "4.7.1-1", v31]
    fn wildcard_in_topic_name(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/#", 0);
        for topic in ["~/#", "~/+", "~/+/a", "~/a#", "~/a+b", "+/~", "#"] {
            for (first, id) in [("31", ""), ("32", "0001")] {
                let mut client = t.client("a");
                client.send(&format!(r#"{first} <"{topic}" {id} {{}} 'hello'>"#));
                client.refused([0x81, 0x82]);
            }
        }
        witness.quiet();
        assert_eq!(new_subscription(t, "~/#"), 0);
    }

    /// A subscriber gets the messages whose topics match its filters, under their own names, and no others.
    [v5 "3.3.2-3", v311 "3.3.2-3", v31]
    fn topic_matches_filter(t) {
        let mut subscriber = t.client("s");
        for filter in ["~/+/x", "~/b/#", "~/c"] {
            subscriber.subscribe(filter, 1);
        }
        let mut publisher = t.client("p");
        let matching = ["~/a/x", "~/b", "~/b/y", "~/b/y/z", "~/c", "~//x"];
        let others = ["~/a/y", "~/c/d", "~/C", "~/a/x/", "~", "~/bb", "~x/c", "/~/c", "~/c/"];
        for topic in others.iter().chain(&matching).chain(&others) {
            publisher.publish(topic, 1, topic);
        }
        for topic in matching {
            let message = subscriber.packet_of(Kind::Publish);
            let topic = topic.replace('~', &t.name);
            assert_eq!(message.topic, topic);
            assert_eq!(String::from_utf8_lossy(&message.payload), topic);
            subscriber.acknowledge(&message);
        }
        subscriber.quiet();
    }

    /// A QoS 0 message gets no answer, one of QoS 1 a PUBACK, and one of QoS 2 a PUBREC.
    [v5 "3.3.4-1", v311 "3.3.4-1", v31]
    fn response(t) {
        let mut client = t.client("a");
        client.send(r#"30 <"~/t" {} 'zero'>"#);
        client.quiet();
        client.send(r#"32 <"~/t" 1234 {} 'one'>"#);
        client.expect("40 <1234 ..>");
        client.send(r#"34 <"~/t" 1235 {} 'two'>"#);
        client.expect("50 <1235 ..>");
        client.send("62 <1235>");
        client.expect("70 <1235 ..>");
        client.quiet();
    }

    /// Where several subscriptions of a client match, it gets the message at the highest QoS of them.
    [v5 "3.3.4-2", v311 "3.3.5-1", v31]
    fn overlapping_subscriptions(t) {
        let mut subscriber = t.client("s");
        for (filter, qos) in [("~/t", 0), ("~/#", 2), ("~/+", 1)] {
            subscriber.subscribe(filter, qos);
        }
        let mut publisher = t.client("p");
        for qos in [2, 1, 0] {
            publisher.publish("~/t", qos, "hello");
            let copies = copies(&mut subscriber);
            let best = copies.iter().map(Packet::qos).max();
            assert_eq!(best, Some(qos), "{copies:?}");
        }
    }

    /// A message carries the identifiers of all subscriptions it is sent for: one copy all of them,
    /// several copies each its own.
    [v5 "3.3.4-3" "3.3.4-4"]
    fn subscription_identifiers(t) {
        let mut subscriber = t.client("s");
        for (id, filter, identifier) in [
            (1, "~/t", "0b 01"),
            (2, "~/#", "0b ffffff7f"),
            (3, "~/+", ""),
            (4, "~/u", "0b 03"),
        ] {
            subscriber.send(&format!(r#"82 <{id:04x} {{{identifier}}} "{filter}" 00>"#));
            subscriber.expect(&format!("90 <{id:04x} {{..}} 00>"));
        }
        t.client("p").publish("~/t", 1, "hello");
        assert_identifiers(&copies(&mut subscriber), &[1, 268_435_455]);
    }

    /// A client that gets a message once more, as a member of a shared subscription, gets the
    /// identifier of that subscription in one copy, and that of its own in the other.
    [v5 "3.3.4-3" "3.3.4-5"]
    fn identifier_of_each_copy(t) {
        let mut subscriber = t.client("s");
        for (id, filter) in [(1, "~/t"), (2, "$share/~/~/+"), (3, "$share/~x/~/t")] {
            subscriber.send(&format!(r#"82 <{id:04x} {{0b {id:02x}}} "{filter}" 01>"#));
            subscriber.expect(&format!("90 <{id:04x} {{..}} 01>"));
        }
        t.client("p").publish("~/t", 1, "hello");
        assert_identifiers(&copies(&mut subscriber), &[1, 2, 3]);
    }

    /// A client must not send a subscription identifier, and nobody gets the message.
    [v5 "3.3.4-6"]
    fn subscription_identifier_of_a_client(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        let mut client = t.client("a");
        client.send(r#"32 <"~/t" 0001 {0b 01} 'hello'>"#);
        client.refused(0x82);
        witness.quiet();
    }

    /// A client that has more messages under way than the server's Receive Maximum is disconnected.
    [v5 "3.3.4-7"]
    fn receive_maximum_of_the_server(t) {
        let (mut client, connack) = t.admitted("a", "02", "", "");
        // Where it is 65,535, there are no packet identifiers to exceed it with.
        let Some(maximum) = connack.number(RECEIVE_MAXIMUM).filter(|maximum| *maximum < 65535) else {
            return;
        };
        for id in 1..=maximum {
            client.send(&format!(r#"34 <"~/t" {id:04x} {{}} 'hello'>"#));
            client.expect(&format!("50 <{id:04x} ..>"));
        }
        client.send(&format!(r#"34 <"~/t" {:04x} {{}} 'hello'>"#, maximum + 1));
        client.refused(0x93);
    }

    /// No more messages of QoS 1 and 2 are under way to a client than its Receive Maximum, until a
    /// PUBACK, a PUBCOMP or a failed PUBREC makes room for one more.
    [v5 "3.3.4-9" "4.9.0-1" "4.9.0-2"]
    fn receive_maximum_of_the_client(t) {
        let mut subscriber = t.client_with("s", "02", "21 0002", "");
        subscriber.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        for (payload, qos) in [("1", 1), ("2", 2), ("3", 2), ("4", 1), ("5", 1), ("6", 2)] {
            publisher.publish("~/t", qos, payload);
        }
        let one = subscriber.message("~/t", "1");
        let two = subscriber.message("~/t", "2");
        subscriber.quiet();
        subscriber.acknowledge(&one);
        let three = subscriber.message("~/t", "3");
        subscriber.quiet();
        // A PUBREC alone makes no room.
        subscriber.send(&format!("50 <{:04x}>", two.id()));
        subscriber.expect(&format!("62 <{:04x} ..>", two.id()));
        subscriber.quiet();
        subscriber.send(&format!("70 <{:04x}>", two.id()));
        subscriber.message("~/t", "4");
        subscriber.quiet();
        subscriber.send(&format!("50 <{:04x} 80>", three.id()));
        subscriber.message("~/t", "5");
        subscriber.quiet();
    }

    /// A client that takes no more messages for now still gets all other packets at once.
    [v5 "3.3.4-10" "4.9.0-3"]
    fn receive_maximum_delays_nothing_else(t) {
        let mut client = t.client_with("s", "02", "21 0001", "");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 2, "one");
        publisher.publish("~/t", 2, "two");
        let one = client.message("~/t", "one");
        client.quiet();
        client.subscribe("~/u", 1);
        client.send(r#"a2 <0003 {} "~/u">"#);
        client.expect("b0 <0003 ..>");
        client.publish("~/v", 1, "own");
        client.publish("~/v", 2, "own");
        client.send(&format!("50 <{:04x}>", one.id()));
        client.expect(&format!("62 <{:04x} ..>", one.id()));
        client.quiet();
        client.send(&format!("70 <{:04x}>", one.id()));
        client.message("~/t", "two");
    }

    /// While a publisher has to wait with messages, it still gets answers to all else.
    [v5 "4.9.0-3"]
    fn receive_maximum_does_not_stop_answers(t) {
        let (mut client, connack) = t.admitted("a", "02", "", "");
        let maximum = connack.number(RECEIVE_MAXIMUM).unwrap_or(0xFFFF).min(100);
        for id in 1..=maximum {
            client.send(&format!(r#"34 <"~/t" {id:04x} {{}}>"#));
            client.expect(&format!("50 <{id:04x} ..>"));
        }
        client.pinged();
        client.send(r#"82 <7000 {} "~/s" 00>"#);
        client.expect("90 <7000 {..} 00>");
        client.send("62 <0001>");
        client.expect("70 <0001 ..>");
    }

    /// A message of QoS 0 needs no room, and is sent at the Receive Maximum unless it would overtake.
    [v5]
    fn qos_0_at_the_receive_maximum(t) {
        let mut client = t.client_with("a", "02", "21 0001", "");
        client.subscribe("~/t", 1);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "1");
        client.message("~/t", "1");
        publisher.publish("~/t", 0, "0");
        client.message("~/t", "0");
    }

    /// An empty payload is a payload.
    [v5, v311, v31]
    fn empty_payload(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        t.client("p").publish("~/t", 1, "");
        client.message("~/t", "");
        client.quiet();
    }
}

/// All copies of one message, each acknowledged.
#[track_caller]
fn copies(subscriber: &mut Client) -> Vec<Packet> {
    let mut copies = vec![subscriber.packet_of(Kind::Publish)];
    copies.extend(subscriber.rest());
    for copy in &copies {
        assert_eq!(copy.payload, b"hello");
        subscriber.acknowledge(copy);
    }
    copies
}

/// One copy has all of the identifiers; of several copies, each has one or none.
#[track_caller]
fn assert_identifiers(copies: &[Packet], expected: &[u32]) {
    let of = |copy: &Packet| -> Vec<u32> {
        let all = copy.all(SUBSCRIPTION_IDENTIFIER);
        all.map(|property| property.number()).collect()
    };
    let mut all: Vec<u32> = copies.iter().flat_map(of).collect();
    all.sort_unstable();
    assert_eq!(all, expected, "in {copies:?}");
    assert!(
        copies.len() == 1 || copies.iter().all(|copy| of(copy).len() <= 1),
        "{copies:?}"
    );
}

/// How many retained messages a new subscription brings.
#[track_caller]
fn new_subscription(t: &Test, filter: &str) -> usize {
    let mut late = t.client("late");
    late.subscribe(filter, 0);
    late.rest().len()
}
