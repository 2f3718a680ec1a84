//! What other brokers have fallen into: real defects of theirs, one test each.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::fields::Property;
use crate::notation::Notation;
use crate::packet::Kind;
use crate::test::{connect, tests};

tests! {
    /// The packet identifiers of both directions are apart: the same one may be under way in each.
    [v5, v311, v31]
    fn one_identifier_in_both_directions(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 2);
        t.client("p").publish("~/t", 2, "theirs");
        let id = client.message("~/t", "theirs").id();
        let id = format!("{id:04x}");
        client.send(&format!(r#"34 <"~/u" {id} {{}} 'mine'>"#));
        client.expect(&format!("50 <{id} ..>"));
        // The PUBREC is for theirs, the PUBREL for mine.
        client.send(&format!("50 <{id}>"));
        client.expect(&format!("62 <{id} ..>"));
        client.send(&format!("62 <{id}>"));
        client.expect(&format!("70 <{id} ..>"));
        client.send(&format!("70 <{id}>"));
        client.quiet();
        // Nor do those of SUBSCRIBE mix with them.
        t.client("p2").publish("~/t", 1, "more");
        let id = client.message("~/t", "more").id();
        client.send(&format!(r#"82 <{id:04x} {{}} "~/v" 00>"#));
        client.expect(&format!("90 <{id:04x} {{..}} 00>"));
        client.send(&format!("40 <{id:04x}>"));
        client.quiet();
    }

    /// A QoS 2 message that is sent twice before its PUBREL is one message.
    [v5, v311, v31]
    fn publish_repeated_before_pubrel(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 2);
        let mut client = t.client("a");
        for first in ["34", "3c", "3c"] {
            client.send(&format!(r#"{first} <"~/t" 0005 {{}} 'once'>"#));
            client.expect("50 <0005 ..>");
        }
        client.send("62 <0005>");
        client.expect("70 <0005 ..>");
        let message = witness.message("~/t", "once");
        witness.acknowledge(&message);
        witness.quiet();
    }

    /// A PUBREL is answered each time, also that of a message which nobody knows any more.
    [v5, v311, v31]
    fn pubrel_repeated(t) {
        let mut client = t.client("a");
        client.send(r#"34 <"~/t" 0005 {} 'x'>"#);
        client.expect("50 <0005 ..>");
        client.send("62 <0005>");
        client.expect("70 <0005 ..>");
        client.send("62 <0005>");
        client.expect("70 <0005 ..>");
        client.pinged();
    }

    /// A PUBREC with an error ends the handshake: no PUBREL comes, and the message does not come again.
    [v5]
    fn pubrec_with_an_error(t) {
        let mut client = t.client_with("s", "00", "11 000003e8", "");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        for code in ["80", "83", "87", "90", "91", "97", "99"] {
            publisher.publish("~/t", 2, "no");
            let id = client.message("~/t", "no").id();
            client.send(&format!("50 <{id:04x} {code}>"));
            client.quiet();
        }
        client.vanish();
        t.returns("s").quiet();
    }

    /// Acknowledgements with reason codes and properties are those of the message.
    [v5]
    fn acknowledgements_with_properties(t) {
        let mut client = t.client_with("a", "02", "21 0001", "");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "one");
        publisher.publish("~/t", 2, "two");
        publisher.publish("~/t", 1, "three");
        let with = r#"{1f "why" 26 "name" "value" 26 "name" "value"}"#;
        let id = client.message("~/t", "one").id();
        client.send(&format!("40 <{id:04x} 00 {with}>"));
        let id = client.message("~/t", "two").id();
        client.send(&format!("50 <{id:04x} 00 {with}>"));
        client.expect(&format!("62 <{id:04x} ..>"));
        client.send(&format!("70 <{id:04x} 00 {with}>"));
        client.message("~/t", "three");
        client.send(r#"34 <"~/u" 0001 {} 'x'>"#);
        client.expect("50 <0001 ..>");
        client.send(&format!("62 <0001 00 {with}>"));
        client.expect("70 <0001 ..>");
    }

    /// The publisher's topic alias and DUP are between it and the server, and RETAIN says what was retained before.
    [v5, v311]
    fn flags_are_not_forwarded(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/#", 1);
        let mut publisher = t.client("p");
        publisher.send(r#"3b <"~/t" 0001 {} 'again'>"#);
        publisher.expect("40 <0001 ..>");
        let message = witness.message("~/t", "again");
        assert!(!message.dup() && !message.retain(), "{message:?}");
        witness.acknowledge(&message);
        if t.is_v5() {
            publisher.send(r#"32 <"~/u" 0001 {23 0001} 'alias'>"#);
            publisher.expect("40 <0001 ..>");
            let message = witness.message("~/u", "alias");
            assert!(message.property(0x23).is_none(), "{message:?}");
            publisher.send(r#"33 <"" 0001 {23 0001} 'retained'>"#);
            publisher.expect("40 <0001 ..>");
            witness.message("~/u", "retained");
            // The topic, not the alias, is retained with it.
            let mut late = t.client("l");
            late.subscribe("~/u", 0);
            let message = late.message("~/u", "retained");
            assert!(message.property(0x23).is_none() && message.retain(), "{message:?}");
        }
        let mut late = t.client("m");
        late.subscribe("~/t", 1);
        let message = late.message("~/t", "again");
        assert!(!message.dup() && message.retain(), "{message:?}");
    }

    /// A retained message that a SUBSCRIBE brings has the lower QoS, and the subscription's identifier.
    [v5, v311]
    fn retained_messages_have_the_subscription_s_options(t) {
        let mut publisher = t.client("p");
        publisher.publish_with("~/t", 5, r#"26 "name" "value""#, "kept");
        for qos in [0, 1, 2] {
            let mut client = t.client("a");
            client.send(&format!(r#"82 <0001 {{0b ffffff7f}} "~/t" {qos:02x}>"#));
            client.expect(&format!("90 <0001 {{..}} {qos:02x}>"));
            let message = client.message("~/t", "kept");
            assert_eq!(message.qos(), qos);
            assert!(message.retain());
            if t.is_v5() {
                assert_eq!(message.number(0x0B), Some(268_435_455), "{message:?}");
                assert!(message.property(0x26).is_some(), "{message:?}");
            }
            client.disconnect();
        }
    }

    /// A client whose subscriptions overlap is told of all that a message is for, live or retained.
    [v5]
    fn identifiers_of_overlapping_subscriptions(t) {
        let mut client = t.client("a");
        for (identifier, filter) in [("01", "~/t"), ("02", "~/#"), ("03", "~/+"), ("04", "~/other")] {
            client.send(&format!(r#"82 <0001 {{0b {identifier}}} "{filter}" 00>"#));
            client.expect("90 <0001 {..} 00>");
        }
        let mut publisher = t.client("p");
        publisher.publish("~/t", 0, "hello");
        let mut identifiers = Vec::new();
        // In one packet, or in one for each.
        while identifiers.len() < 3 {
            let message = client.message("~/t", "hello");
            assert!(message.property(0x0B).is_some(), "{message:?}");
            identifiers.extend(message.all(0x0B).map(Property::number));
        }
        client.quiet();
        identifiers.sort_unstable();
        assert_eq!(identifiers, [1, 2, 3]);
    }

    /// A shared subscription has an identifier of its own, and comes on top of others of the same client.
    [v5]
    fn identifiers_and_shared_subscriptions(t) {
        let mut client = t.client("a");
        for (identifier, filter) in [("01", "~/t"), ("02", "$share/~one/~/t"), ("03", "$share/~two/~/#")] {
            client.send(&format!(r#"82 <0001 {{0b {identifier}}} "{filter}" 01>"#));
            client.expect("90 <0001 {..} 01>");
        }
        t.client("p").publish("~/t", 1, "hello");
        let mut identifiers = Vec::new();
        while identifiers.len() < 3 {
            let message = client.message("~/t", "hello");
            assert!(message.property(0x0B).is_some(), "{message:?}");
            identifiers.extend(message.all(0x0B).map(Property::number));
            client.acknowledge(&message);
        }
        client.quiet();
        identifiers.sort_unstable();
        assert_eq!(identifiers, [1, 2, 3]);
    }

    /// Each message goes to one member of a shared subscription, in each group, and to others besides.
    [v5]
    fn shared_subscriptions(t) {
        let mut members: Vec<_> = ["a", "b", "c"].map(|id| t.client(id)).into();
        for member in &mut members {
            member.subscribe("$share/~/~/t", 1);
        }
        let mut alone = t.client("alone");
        alone.subscribe("$share/~other/~/t", 1);
        let mut plain = t.client("plain");
        plain.subscribe("~/t", 1);
        let mut publisher = t.client("p");
        for number in 0..30 {
            publisher.publish("~/t", 1, &format!("{number}"));
        }
        for one in [&mut alone, &mut plain] {
            for number in 0..30 {
                let message = one.message("~/t", &format!("{number}"));
                one.acknowledge(&message);
            }
            one.quiet();
        }
        let mut all: Vec<Vec<u8>> = members.iter_mut().flat_map(|member| member.messages_so_far()).map(|one| one.payload).collect();
        assert_eq!(all.len(), 30);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 30);
    }

    /// The will of a lost connection is retained if it was to be, and has its QoS.
    [v5, v311, v31]
    fn will_with_its_flags(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 2);
        for (flags, qos, retained) in [("06", 0, false), ("2e", 1, true), ("36", 2, true)] {
            t.client_with("a", flags, "", r#"{} "~/will" "gone""#).vanish();
            let message = witness.message("~/will", "gone");
            assert_eq!(message.qos(), qos, "{message:?}");
            witness.acknowledge(&message);
            let mut late = t.client("late");
            late.subscribe("~/will", 2);
            if retained {
                assert!(late.message("~/will", "gone").retain());
            }
            late.quiet();
        }
    }

    /// An UNSUBSCRIBE has one UNSUBACK, however many filters there are, and also for filters unknown.
    [v5, v311, v31]
    fn one_unsuback(t) {
        let mut client = t.client("a");
        client.subscribe("~/a", 0);
        client.subscribe("~/c", 0);
        client.send(r#"a2 <0001 {} "~/a" "~/b" "~/c">"#);
        client.expect(if t.is_v5() { "b0 <0001 {..} 00 11 00>" } else { "b0 <0001>" });
        client.send(r#"a2 <0002 {} "~/b">"#);
        client.expect(if t.is_v5() { "b0 <0002 {..} 11>" } else { "b0 <0002>" });
        client.quiet();
    }

    /// To clear the retained message of a topic clears neither that of the topic above nor that below.
    [v5, v311, v31]
    fn cleared_alone(t) {
        let mut publisher = t.client("p");
        for topic in ["~/a", "~/a/b", "~/a/b/c"] {
            publisher.retain(topic, 1, "kept");
        }
        publisher.retain("~/a/b", 1, "");
        let mut late = t.client("l");
        late.subscribe("~/#", 0);
        let mut topics: Vec<_> = late.messages_so_far().into_iter().map(|one| one.topic).collect();
        topics.sort();
        assert_eq!(topics, [format!("{}/a", t.name), format!("{}/a/b/c", t.name)]);
        publisher.retain("~/a", 1, "");
        let mut late = t.client("m");
        late.subscribe("~/#", 0);
        late.message("~/a/b/c", "kept");
        late.quiet();
    }

    /// A message that clears is delivered, but not retained, and no empty message comes for it later.
    [v5, v311]
    fn nothing_is_retained_of_what_clears(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        let mut publisher = t.client("p");
        publisher.retain("~/t", 0, "");
        let message = witness.message("~/t", "");
        assert!(!message.retain());
        let mut late = t.client("l");
        late.subscribe("~/t", 0);
        late.quiet();
    }

    /// Topics that begin with $ are not matched by a wildcard in the first level.
    [v5, v311, v31]
    fn wildcards_and_the_dollar(t) {
        let mut client = t.client("a");
        client.subscribe("+/~/t", 0);
        client.subscribe("+/~/#", 0);
        client.subscribe("+/+/~", 0);
        let mut named = t.client("n");
        named.subscribe("$~/~/#", 0);
        named.subscribe("$~/+/+", 0);
        let mut publisher = t.client("p");
        publisher.publish("$~/~/t", 0, "hidden");
        publisher.publish("~/~/t", 0, "seen");
        let message = client.message("~/~/t", "seen");
        assert!(!message.topic.starts_with('$'));
        named.message("$~/~/t", "hidden");
    }

    /// A client that is told that its session is there has its subscriptions, too.
    [v5, v311]
    fn session_present_with_its_subscriptions(t) {
        let mut client = t.stays("s");
        client.subscribe("~/a", 1);
        client.subscribe("~/b/#", 0);
        client.send(r#"a2 <0001 {} "~/a">"#);
        client.expect("b0 <0001 ..>");
        client.disconnect();
        for _ in 0..3 {
            let mut client = t.returns("s");
            let mut publisher = t.client("p");
            publisher.publish("~/a", 1, "no more");
            publisher.publish("~/b/c", 1, "still");
            client.message("~/b/c", "still");
            client.quiet();
            client.vanish();
        }
    }

    /// A peer that is silent for one and a half times its keep alive is dead, and not before.
    [v5, v311, v31]
    fn dead_peers(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 0);
        let text = connect(t.version, "a", "06", "", r#"{} "~/will" "gone""#).replace("003c", "0002");
        let start = Instant::now();
        let mut client = t.open();
        client.send(&text);
        client.expect("20 <00 00 {..}>");
        client.refused(0x8D);
        assert!(start.elapsed() > Duration::from_millis(2900), "{:?}", start.elapsed());
        witness.message("~/will", "gone");
    }

    /// A keep alive of 0 turns it off.
    [v5, v311]
    fn no_keep_alive(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "02", "", "").replace("003c", "0000"));
        client.expect("20 <00 00 {..}>");
        client.silent_for(Duration::from_secs(4));
        client.pinged();
    }

    /// A subscriber that does not read holds up neither the publisher nor another subscriber.
    [v5, v311]
    fn a_subscriber_that_does_not_read(t) {
        let mut deaf = t.client("deaf");
        deaf.subscribe("~/t", 0);
        let mut other = t.client("o");
        other.subscribe("~/t", 0);
        let mut publisher = t.client("p");
        let payload = "x".repeat(100_000);
        for number in 0..200 {
            let payload = format!("{number}{payload}");
            publisher.publish("~/t", 0, &payload);
            other.message("~/t", &payload);
        }
    }

    /// Packets may come a byte at a time, and many in one piece.
    [v5, v311]
    fn a_byte_at_a_time(t) {
        let mut client = t.open();
        let text = format!(
            r#"{} 82 <0001 {{}} "~/t" 01> 32 <"~/t" 0002 {{}} 'hello'> c000"#,
            connect(t.version, "a", "02", "", ""),
        );
        let bytes = Notation::read(&text, t.version, &t.name).bytes();
        for byte in bytes {
            client.send_bytes(&[byte]);
            if byte % 3 == 0 {
                sleep(Duration::from_millis(1));
            }
        }
        client.expect("20 <00 00 {..}>");
        client.expect("90 <0001 {..} 01>");
        let mut kinds = [client.packet().kind, client.packet().kind];
        kinds.sort_by_key(|kind| *kind as u8);
        assert_eq!(kinds, [Kind::Publish, Kind::PubAck]);
        client.expect("d000");
    }

    /// Client identifiers with wildcards and slashes, and long ones, are names like others.
    [v5, v311]
    fn odd_client_identifiers(t) {
        let long = "x".repeat(1000);
        for id in ["/+", "#", "+/#", "$SYS", "%c%u", " ", "\u{1F600}", "../../etc", long.as_str()] {
            let mut client = t.stays(id);
            client.subscribe("~/t", 1);
            client.disconnect();
            t.client("p").publish("~/t", 1, "waits");
            let mut client = t.returns(id);
            client.message("~/t", "waits");
            client.disconnect();
            t.client(id).disconnect();
        }
    }

    /// What is acknowledged at QoS 1 reaches a session that is away, though both clients end at once.
    [v5, v311]
    fn acknowledged_is_queued(t) {
        let mut client = t.stays("s");
        client.subscribe("~/t", 1);
        client.vanish();
        let mut publisher = t.client("p");
        for number in 1..=100 {
            publisher.send(&format!(r#"32 <"~/t" {number:04x} {{}} '{number}'>"#));
        }
        for number in 1..=100 {
            publisher.expect(&format!("40 <{number:04x} ..>"));
        }
        drop(publisher);
        let mut client = t.returns("s");
        for number in 1..=100 {
            let message = client.message("~/t", &format!("{number}"));
            client.acknowledge(&message);
        }
        client.quiet();
    }
}
