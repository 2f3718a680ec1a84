//! 4.6 Message ordering.

use crate::client::Client;
use crate::test::tests;

/// How many messages: fewer than brokers send without an acknowledgement.
const MANY: u16 = 10;

tests! {
    /// Subscribers get the messages of a client in the order in which it has sent them, at each QoS.
    [v5 "4.6.0-5" "4.6.0-6", v311 "4.6.0-5" "4.6.0-6", v31]
    fn as_they_were_sent(t) {
        for qos in 0..=2 {
            let topic = format!("~/{qos}");
            let mut exact = t.client("a");
            exact.subscribe(&topic, 2);
            let mut wild = t.client("b");
            wild.subscribe("~/#", qos);
            publish_many(&mut t.client("p"), &topic, qos);
            expect_many(&mut exact, &topic);
            expect_many(&mut wild, &topic);
        }
    }

    /// The same for messages that have waited for the client.
    [v5 "4.6.0-5", v311 "4.6.0-6"]
    fn as_they_were_sent_to_who_was_away(t) {
        for qos in 1..=2 {
            let topic = format!("~/{qos}");
            let id = format!("a{qos}");
            let mut client = t.stays(&id);
            client.subscribe(&topic, 2);
            client.vanish();
            publish_many(&mut t.client("p"), &topic, qos);
            expect_many(&mut t.returns(&id), &topic);
        }
    }

    /// A subscriber that gets messages of two clients has those of each in their order.
    [v5 "4.6.0-5", v311 "4.6.0-6"]
    fn of_several_publishers(t) {
        let mut subscriber = t.client("a");
        subscriber.subscribe("~/t", 1);
        let (mut one, mut two) = (t.client("p"), t.client("q"));
        for number in 1..=MANY {
            one.send(&format!(r#"32 <"~/t" {number:04x} {{}} 'p{number:04}'>"#));
            two.send(&format!(r#"32 <"~/t" {number:04x} {{}} 'q{number:04}'>"#));
        }
        let mut received: Vec<String> = (0..2 * MANY)
            .map(|_| {
                let message = subscriber.packet();
                subscriber.acknowledge(&message);
                String::from_utf8(message.payload).expect("text")
            })
            .collect();
        // The sort keeps the order within each publisher.
        received.sort_by_key(|payload| payload.as_bytes()[0]);
        let expected: Vec<String> = ["p", "q"]
            .iter()
            .flat_map(|who| (1..=MANY).map(move |number| format!("{who}{number:04}")))
            .collect();
        assert_eq!(received, expected);
    }

    /// Messages that are sent again come in the order in which they were sent before.
    [v5, v311 "4.6.0-6"]
    fn sent_again_in_the_same_order(t) {
        let mut client = t.stays("a");
        client.subscribe("~/#", 2);
        let mut publisher = t.client("p");
        publish_many(&mut publisher, "~/1", 1);
        publish_many(&mut publisher, "~/2", 2);
        expect_many(&mut client, "~/1");
        expect_many(&mut client, "~/2");
        client.vanish();
        let mut client = t.returns("a");
        expect_many(&mut client, "~/1");
        expect_many(&mut client, "~/2");
    }

    /// PUBACK, PUBREC and PUBCOMP come in the order of the packets that they answer.
    [v5, v311 "4.6.0-6"]
    fn acknowledgements_in_order(t) {
        let mut publisher = t.client("p");
        for number in 1..=MANY {
            publisher.send(&format!(r#"32 <"~/t" {number:04x} {{}} 'x'>"#));
        }
        for number in 1..=MANY {
            publisher.expect(&format!("40 <{number:04x} ..>"));
        }
        for number in (1..=MANY).rev() {
            publisher.send(&format!(r#"34 <"~/t" {number:04x} {{}} 'x'>"#));
        }
        for number in (1..=MANY).rev() {
            publisher.expect(&format!("50 <{number:04x} ..>"));
        }
        for number in (1..=MANY).rev() {
            publisher.send(&format!("62 <{number:04x}>"));
        }
        for number in (1..=MANY).rev() {
            publisher.expect(&format!("70 <{number:04x} ..>"));
        }
    }

    /// PUBREL packets come in the order of the PUBREC packets that they answer.
    [v5, v311 "4.6.0-6"]
    fn releases_in_order(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 2);
        publish_many(&mut t.client("p"), "~/t", 2);
        let ids: Vec<u16> = (0..MANY).map(|_| client.packet().id()).collect();
        // Not in the order of the messages.
        let order: Vec<u16> = ids.iter().rev().copied().collect();
        for id in &order {
            client.send(&format!("50 <{id:04x}>"));
        }
        for id in &order {
            client.expect(&format!("62 <{id:04x} ..>"));
        }
    }
}

/// Sends many messages without waiting for an answer, then goes through with their handshakes.
#[track_caller]
fn publish_many(publisher: &mut Client, topic: &str, qos: u8) {
    for number in 1..=MANY {
        let id = if qos == 0 {
            String::new()
        } else {
            format!("{number:04x}")
        };
        publisher.send(&format!(
            r#"{:02x} <"{topic}" {id} {{}} '{number}'>"#,
            0x30 | qos << 1
        ));
    }
    for number in 1..=MANY {
        match qos {
            0 => {}
            1 => drop(publisher.expect(&format!("40 <{number:04x} ..>"))),
            _ => {
                publisher.expect(&format!("50 <{number:04x} ..>"));
            }
        }
    }
    if qos == 2 {
        for number in 1..=MANY {
            publisher.send(&format!("62 <{number:04x}>"));
        }
        for number in 1..=MANY {
            publisher.expect(&format!("70 <{number:04x} ..>"));
        }
    }
    publisher.pinged();
}

/// Gets them, and acknowledges none.
#[track_caller]
fn expect_many(subscriber: &mut Client, topic: &str) {
    for number in 1..=MANY {
        subscriber.message(topic, &number.to_string());
    }
}
