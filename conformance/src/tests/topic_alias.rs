//! 3.3.2.3.4 Topic Alias.

use std::collections::HashMap;

use crate::client::Client;
use crate::codes::Codes;
use crate::packet::Packet;
use crate::test::{Test, tests};

const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
const TOPIC_ALIAS: u8 = 0x23;

tests! {
    /// An alias that a client has set ends with its connection, also where its session goes on.
    [v5 "3.3.2-7"]
    fn ends_with_its_connection(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        let (mut client, connack) = t.admitted("a", "00", "11 000003e8", "");
        if connack.number(TOPIC_ALIAS_MAXIMUM).is_none() {
            return;
        }
        client.send(r#"30 <"~/t" {23 0001} 'one'> 30 <0000 {23 0001} 'two'>"#);
        witness.message("~/t", "one");
        witness.message("~/t", "two");
        client.disconnect();
        let mut client = t.returns("a");
        client.send(r#"30 <0000 {23 0001} 'three'>"#);
        client.refused(0x82);
        witness.quiet();
    }

    /// An alias that the server has set ends with its connection: on the next one it sends the topic again.
    [v5 "3.3.2-7"]
    fn of_the_server_ends_with_its_connection(t) {
        const LIMITS: &str = "11 000003e8 22 000a";
        let mut publisher = t.client("p");
        let mut subscriber = t.client_with("s", "00", LIMITS, "");
        subscriber.subscribe("~/t", 1);
        for _ in [1, 2] {
            let mut topics = HashMap::new();
            for _ in [1, 2] {
                publisher.publish("~/t", 1, "hello");
                let message = subscriber.packet();
                assert_eq!(topic(&mut topics, &message), format!("{}/t", t.name));
                subscriber.acknowledge(&message);
            }
            subscriber.disconnect();
            subscriber = t.admitted("s", "00", LIMITS, "").0;
        }
    }

    /// The alias 0 ends the connection, and nobody gets the message.
    [v5 "3.3.2-8"]
    fn zero(t) {
        for packet in [r#"30 <"~/t" {23 0000} 'hello'>"#, "30 <0000 {23 0000} 'hello'>"] {
            assert_refused(t, packet, [0x81, 0x82, 0x94]);
        }
    }

    /// An alias above the server's Topic Alias Maximum ends the connection, and nobody gets the message.
    [v5 "3.2.2-17" "3.3.2-9"]
    fn above_the_maximum(t) {
        let maximum = maximum(t);
        for alias in [maximum + 1, 0xFFFF] {
            if alias > maximum && alias <= 0xFFFF {
                assert_refused(t, &format!(r#"30 <"~/t" {{23 {alias:04x}}} 'hello'>"#), 0x94);
            }
        }
    }

    /// A client that has named no Topic Alias Maximum, or 0, gets no aliases, and another none above its own.
    [v5 "3.3.2-11"]
    fn maximum_of_the_client(t) {
        let mut subscribers = [("", 0), ("22 0000", 0), ("22 0001", 1), ("22 0003", 3)].map(|(property, maximum)| {
            let mut subscriber = t.client_with(&format!("s{maximum}{}", property.len()), "02", property, "");
            subscriber.subscribe("~/#", 0);
            (subscriber, maximum, HashMap::new())
        });
        let mut publisher = t.client("p");
        for round in 0..3 {
            for number in 0..6 {
                // Its own alias is no concern of the subscribers.
                let properties = if maximum(t) > 0 { "23 0001" } else { "" };
                publisher.publish_with(&format!("~/{number}"), 0, properties, "hello");
                for (subscriber, maximum, topics) in &mut subscribers {
                    let message = subscriber.packet();
                    let alias = message.number(TOPIC_ALIAS);
                    assert!(alias.is_none_or(|alias| (1..=*maximum).contains(&alias)), "{message:?}");
                    let expected = format!("{}/{number}", t.name);
                    assert_eq!(topic(topics, &message), expected, "in round {round}");
                }
            }
        }
    }

    /// Each alias up to the server's Topic Alias Maximum may be set, used, and set anew.
    [v5 "3.3.2-12"]
    fn up_to_the_maximum(t) {
        let maximum = maximum(t);
        let mut witness = t.client("w");
        witness.subscribe("~/#", 1);
        let mut client = t.client("a");
        // Of very many, the first and the last.
        let aliases: Vec<u32> = (1..=maximum).filter(|alias| *alias <= 100 || *alias == maximum).collect();
        for prefix in ["one", "other"] {
            for alias in &aliases {
                client.send(&format!(r#"32 <"~/{prefix}/{alias}" 0001 {{23 {alias:04x}}} 'set'>"#));
                client.expect("40 <0001 ..>");
                assert_message(&mut witness, &format!("~/{prefix}/{alias}"), "set");
            }
            for alias in aliases.iter().rev() {
                client.send(&format!("32 <0000 0002 {{23 {alias:04x}}} 'used'>"));
                client.expect("40 <0002 ..>");
                assert_message(&mut witness, &format!("~/{prefix}/{alias}"), "used");
            }
        }
    }

    /// An alias that was not set stands for nothing: the connection ends.
    [v5 "3.3.2-7"]
    fn not_set(t) {
        if maximum(t) > 0 {
            let mut other = t.client("o");
            other.publish_with("~/t", 0, "23 0001", "of another connection");
            assert_refused(t, "30 <0000 {23 0001} 'hello'>", 0x82);
        }
    }
}

/// The server's Topic Alias Maximum.
#[track_caller]
fn maximum(t: &Test) -> u32 {
    let (_, connack) = t.admitted("m", "02", "", "");
    connack.number(TOPIC_ALIAS_MAXIMUM).unwrap_or(0)
}

#[track_caller]
fn assert_message(client: &mut Client, topic: &str, payload: &str) {
    let message = client.message(topic, payload);
    client.acknowledge(&message);
}

/// The packet ends the connection of its sender, and nobody gets a message.
#[track_caller]
fn assert_refused(t: &Test, packet: &str, reasons: impl Into<Codes>) {
    let mut witness = t.client("w");
    witness.subscribe("~/#", 0);
    let mut client = t.client("a");
    client.send(packet);
    client.refused(reasons);
    witness.quiet();
}

/// The topic of a message that came with an alias or without.
#[track_caller]
fn topic(topics: &mut HashMap<u32, String>, message: &Packet) -> String {
    let Some(alias) = message.number(TOPIC_ALIAS) else {
        return message.topic.clone();
    };
    if !message.topic.is_empty() {
        topics.insert(alias, message.topic.clone());
    }
    topics.get(&alias).expect("an alias that was set").clone()
}
