//! Very many: packet identifiers that come round, as many messages under way as there can be, and
//! retained messages for one that takes its time.

use std::collections::HashSet;
use std::thread::sleep;
use std::time::Duration;

use crate::client::Client;
use crate::notation::Notation;
use crate::packet::{Kind, Packet};
use crate::test::{Test, connect, tests};

/// More than three times as many as there are packet identifiers.
const MANY: usize = 200_000;
/// How many are sent in one piece.
const BATCH: usize = 500;
/// How many any server has under way with a client.
const FEW: usize = 20;
/// How many there can be under way at once.
const IDENTIFIERS: usize = 65_535;
const TOPICS: usize = 100_000;

tests! {
    /// 200,000 messages of QoS 0 go through one session, in order.
    [v5, v311; Patience]
    fn many_messages_of_qos_0(t) {
        many(t, 0);
    }

    /// 200,000 messages of QoS 1 go through one session, in order: the identifiers come round three times each way.
    [v5, v311; Patience]
    fn many_messages_of_qos_1(t) {
        many(t, 1);
    }

    /// 200,000 messages of QoS 2 go through one session, in order, each once.
    [v5, v311; Patience]
    fn many_messages_of_qos_2(t) {
        many(t, 2);
    }

    /// A client may have a QoS 2 message under way for each identifier there is, if the server takes so many.
    [v5, v311; Patience]
    fn all_identifiers_to_the_server(t) {
        let (mut client, connack) = patient(t, "a", "");
        let most = match connack.number(0x21) {
            Some(most) => most as usize,
            None => IDENTIFIERS,
        };
        let mut witness = patient(t, "w", "").0;
        witness.subscribe("~/t", 0);
        let mut come = 0;
        for ids in identifiers(most).chunks(BATCH) {
            send_all(&mut client, t, ids, |id| format!(r#"34 <"~/t" {id:04x} {{}} 'x'>"#));
            answered(&mut client, Kind::PubRec, ids);
            come += messages_waiting(&mut witness);
        }
        for ids in identifiers(most).chunks(BATCH) {
            send_all(&mut client, t, ids, |id| format!("62 <{id:04x}>"));
            answered(&mut client, Kind::PubComp, ids);
            come += messages_waiting(&mut witness);
        }
        // The last ones may be on their way.
        for _ in come..most {
            witness.message("~/t", "x");
        }
        witness.quiet();
    }

    /// A client that takes 65,535 messages at once gets so many, each with an identifier of its own, and no more.
    [v5; Patience]
    fn all_identifiers_to_the_client(t) {
        let mut client = patient(t, "a", "21 ffff").0;
        client.subscribe("~/t", 1);
        let mut publisher = patient(t, "p", "").0;
        let mut ids = HashSet::new();
        let mut first = None;
        for batch in numbers(IDENTIFIERS).chunks(BATCH) {
            send_all(&mut publisher, t, batch, |number| format!(r#"32 <"~/t" {:04x} {{}} '{number}'>"#, number % IDENTIFIERS + 1));
            for number in batch {
                let message = client.message("~/t", &number.to_string());
                assert!(ids.insert(message.id()), "{message:?} again");
                first.get_or_insert(message.id());
                publisher.packet_of(Kind::PubAck);
            }
        }
        publisher.publish("~/t", 1, "one more");
        client.quiet();
        let first = first.expect("there is one");
        client.send(&format!("40 <{first:04x}>"));
        let message = client.message("~/t", "one more");
        assert_eq!(message.id(), first, "the only one that is free");
        client.quiet();
    }

    /// The identifier of a message that is not acknowledged is not used again, however many come behind it.
    [v5, v311; Patience]
    fn an_identifier_that_stays_in_use(t) {
        let mut client = patient(t, "a", "").0;
        client.subscribe("~/t", 2);
        let mut publisher = patient(t, "p", "").0;
        publisher.publish("~/t", 2, "stays");
        let stays = client.message("~/t", "stays").id();
        let mut come = 0;
        for batch in numbers(70_000).chunks(FEW / 2) {
            send_all(&mut publisher, t, batch, |number| format!(r#"32 <"~/t" {:04x} {{}} '{number}'>"#, number % 1000 + 1));
            for _ in batch {
                publisher.packet_of(Kind::PubAck);
            }
            // When there is no other identifier left, the server may wait for this one.
            if come == batch[0] {
                come += acknowledge_so_many(&mut client, stays, come, batch.len());
            }
        }
        client.send(&format!("50 <{stays:04x}>"));
        let mut released = false;
        while come < 70_000 || !released {
            let packet = client.packet();
            if packet.kind == Kind::PubRel {
                assert_eq!(packet.id(), stays);
                client.send(&format!("70 <{stays:04x}>"));
                released = true;
                continue;
            }
            assert_eq!(packet.payload, come.to_string().into_bytes(), "{packet:?}");
            assert!(released || packet.id() != stays, "{packet:?}");
            client.acknowledge(&packet);
            come += 1;
        }
        client.quiet();
    }

    /// 100,000 retained messages all reach a subscriber that takes its time, at QoS 0.
    [v5, v311; Patience]
    fn retained_messages_for_a_slow_reader(t) {
        let mut publisher = retain_all(t, 0);
        let mut client = patient(t, "a", "").0;
        client.subscribe("~/r/#", 0);
        // All buffers on the way are full meanwhile.
        sleep(Duration::from_secs(3));
        let mut topics = HashSet::new();
        for number in 0..TOPICS {
            if number % 20_000 == 0 {
                sleep(Duration::from_millis(500));
            }
            let message = client.packet_of(Kind::Publish);
            assert!(message.retain(), "{message:?}");
            assert!(topics.insert(message.topic.clone()), "{message:?} again");
        }
        client.quiet();
        clear_all(t, &mut publisher);
    }

    /// 100,000 retained messages all reach a subscriber that takes ten at a time, at QoS 1.
    [v5; Patience]
    fn retained_messages_for_a_small_receive_maximum(t) {
        let mut publisher = retain_all(t, 1);
        let mut client = patient(t, "a", "21 000a").0;
        client.subscribe("~/r/#", 1);
        let mut topics = HashSet::new();
        for _ in 0..TOPICS / 10 {
            let mut answers = String::new();
            for _ in 0..10 {
                let message = client.packet_of(Kind::Publish);
                assert!(message.retain(), "{message:?}");
                assert!(topics.insert(message.topic.clone()), "{message:?} again");
                answers += &format!("40 <{:04x}>", message.id());
            }
            client.send(&answers);
        }
        client.quiet();
        clear_all(t, &mut publisher);
    }
}

/// A client that has its time: nobody waits for a sign of life from it while it waits for others. And its CONNACK.
fn patient(t: &Test, id: &str, properties: &str) -> (Client, Packet) {
    let mut client = t.open();
    // Without a keep alive.
    client.send(&connect(t.version, id, "02", properties, "").replace("003c", "0000"));
    let connack = client.expect("20 <00 00 {..}>");
    (client, connack)
}

/// Messages from one client to another, in batches, each answered by both sides to its end.
fn many(t: &Test, qos: u8) {
    let mut subscriber = patient(t, "s", "").0;
    subscriber.subscribe("~/t", qos);
    let mut publisher = patient(t, "p", "").0;
    let first = 0x30 | qos << 1;
    let size = if qos == 0 { BATCH } else { FEW };
    for batch in numbers(MANY).chunks(size) {
        let id = |number: &usize| number % IDENTIFIERS + 1;
        let ids: Vec<usize> = batch.iter().map(id).collect();
        send_all(&mut publisher, t, batch, |number| match qos {
            0 => format!(r#"30 <"~/t" {{}} '{number}'>"#),
            _ => {
                let id = id(number);
                format!(r#"{first:02x} <"~/t" {id:04x} {{}} '{number}'>"#)
            }
        });
        if qos == 1 {
            answered(&mut publisher, Kind::PubAck, &ids);
        } else if qos == 2 {
            answered(&mut publisher, Kind::PubRec, &ids);
            send_all(&mut publisher, t, &ids, |id| format!("62 <{id:04x}>"));
            answered(&mut publisher, Kind::PubComp, &ids);
        }
        let mut ids = Vec::new();
        for number in batch {
            let message = subscriber.message("~/t", &number.to_string());
            assert_eq!(message.qos(), qos, "{message:?}");
            if qos > 0 {
                ids.push(usize::from(message.id()));
            }
        }
        if qos == 0 {
            // All this may take longer than the keep alive.
            subscriber.pinged();
        } else if qos == 1 {
            send_all(&mut subscriber, t, &ids, |id| format!("40 <{id:04x}>"));
        } else if qos == 2 {
            send_all(&mut subscriber, t, &ids, |id| format!("50 <{id:04x}>"));
            answered(&mut subscriber, Kind::PubRel, &ids);
            send_all(&mut subscriber, t, &ids, |id| format!("70 <{id:04x}>"));
        }
    }
    subscriber.quiet();
    publisher.quiet();
}

/// Each of these is answered, in their order.
#[track_caller]
fn answered(client: &mut Client, kind: Kind, ids: &[usize]) {
    for id in ids {
        let answer = client.packet_of(kind);
        assert_eq!(usize::from(answer.id()), *id, "{answer:?}");
    }
}

/// Takes the messages that have come for a client, and counts them.
#[track_caller]
fn messages_waiting(client: &mut Client) -> usize {
    client.send("c000");
    let mut count = 0;
    while client.packet().kind != Kind::PingResp {
        count += 1;
    }
    count
}

/// A message for each topic, from a client that is returned.
fn retain_all(t: &Test, qos: u8) -> Client {
    let mut publisher = patient(t, "p", "").0;
    let size = if qos == 0 { BATCH } else { FEW };
    for batch in numbers(TOPICS).chunks(size) {
        send_all(&mut publisher, t, batch, |number| {
            let group = number % 100;
            match qos {
                0 => format!(r#"31 <"~/r/{group}/{number}" {{}} 'kept'>"#),
                _ => {
                    let id = number % FEW + 1;
                    format!(r#"33 <"~/r/{group}/{number}" {id:04x} {{}} 'kept'>"#)
                }
            }
        });
        if qos == 0 {
            publisher.pinged();
        } else {
            for _ in batch {
                publisher.packet_of(Kind::PubAck);
            }
        }
    }
    publisher
}

/// Takes and acknowledges the next messages, up to the first that does not come. Returns how many came.
fn acknowledge_so_many(client: &mut Client, not: u16, first: usize, count: usize) -> usize {
    for number in 0..count {
        let Some(message) = client.message_soon() else {
            return number;
        };
        assert_eq!(message.payload, (first + number).to_string().into_bytes());
        assert_ne!(message.id(), not, "{message:?}");
        client.acknowledge(&message);
    }
    count
}

fn clear_all(t: &Test, publisher: &mut Client) {
    for batch in numbers(TOPICS).chunks(BATCH) {
        send_all(publisher, t, batch, |number| {
            format!(r#"31 <"~/r/{}/{number}" {{}}>"#, number % 100)
        });
        publisher.pinged();
    }
}

/// A packet for each number, in one piece.
fn send_all(client: &mut Client, t: &Test, numbers: &[usize], packet: impl Fn(&usize) -> String) {
    let text: String = numbers.iter().map(packet).collect();
    let bytes = Notation::read(&text, t.version, &t.name).bytes();
    client.send_bytes(&bytes);
}

fn numbers(count: usize) -> Vec<usize> {
    (0..count).collect()
}

fn identifiers(count: usize) -> Vec<usize> {
    (1..=count).collect()
}
