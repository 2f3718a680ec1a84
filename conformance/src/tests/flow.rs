//! 4.9 Flow control.

use crate::client::Client;
use crate::test::tests;

tests! {
    /// As many QoS 1 messages are under way as the client's Receive Maximum says, and a PUBACK lets the
    /// next one come.
    [v5 "4.9.0-1" "4.9.0-2"]
    fn qos_1(t) {
        for maximum in [1, 3] {
            let mut client = t.client_with("a", "02", &format!("21 {maximum:04x}"), "");
            client.subscribe("~/t", 1);
            publish_many(&mut t.client("p"), 1);
            let mut under_way = Vec::new();
            for number in 0..maximum {
                under_way.push(client.message("~/t", &number.to_string()));
            }
            client.quiet();
            for number in maximum..8 {
                client.acknowledge(&under_way.remove(0));
                under_way.push(client.message("~/t", &number.to_string()));
                client.quiet();
            }
            client.disconnect();
        }
    }

    /// For a QoS 2 message, it is the PUBCOMP that lets the next one come, not the PUBREC.
    [v5 "4.9.0-2"]
    fn qos_2(t) {
        let mut client = t.client_with("a", "02", "21 0002", "");
        client.subscribe("~/t", 2);
        publish_many(&mut t.client("p"), 2);
        let first = client.message("~/t", "0").id();
        client.message("~/t", "1");
        client.quiet();
        client.send(&format!("50 <{first:04x}>"));
        client.expect(&format!("62 <{first:04x} ..>"));
        client.quiet();
        client.send(&format!("70 <{first:04x}>"));
        client.message("~/t", "2");
        client.quiet();
    }

    /// A PUBREC with an error lets the next message come, as no PUBCOMP follows.
    [v5 "4.9.0-2"]
    fn errors_count_as_answers(t) {
        let mut client = t.client_with("a", "02", "21 0001", "");
        client.subscribe("~/t", 2);
        publish_many(&mut t.client("p"), 2);
        for number in 0..7 {
            let id = client.message("~/t", &number.to_string()).id();
            client.quiet();
            client.send(&format!("50 <{id:04x} 80>"));
        }
    }

    /// Messages of QoS 1 and 2 count together.
    [v5 "4.9.0-2"]
    fn both_qos_count(t) {
        let mut client = t.client_with("a", "02", "21 0002", "");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "one");
        publisher.publish("~/t", 2, "two");
        publisher.publish("~/t", 1, "three");
        let one = client.message("~/t", "one");
        client.message("~/t", "two");
        client.quiet();
        client.acknowledge(&one);
        client.message("~/t", "three");
    }

    /// A new connection begins with all of its own Receive Maximum.
    [v5 "4.9.0-1" "4.9.0-2"]
    fn a_new_connection(t) {
        let session = "11 000003e8";
        let properties = format!("{session} 21 0001");
        let mut client = t.client_with("a", "00", &properties, "");
        client.subscribe("~/t", 1);
        publish_many(&mut t.client("p"), 1);
        client.message("~/t", "0");
        client.quiet();
        client.vanish();
        let mut client = t.open();
        let properties = format!("{session} 21 0003");
        client.send(&crate::test::connect(t.version, "a", "00", &properties, ""));
        client.expect("20 <01 00 {..}>");
        for number in 0..3 {
            client.message("~/t", &number.to_string());
        }
        client.quiet();
    }

    /// While no more messages may be sent to a client, all else that it sends is answered.
    [v5 "4.9.0-3"]
    fn all_else_goes_on(t) {
        let mut client = t.client_with("a", "02", "21 0001", "");
        client.subscribe("~/t", 2);
        let mut publisher = t.client("p");
        publish_many(&mut publisher, 2);
        let id = client.message("~/t", "0").id();
        client.quiet();
        client.pinged();
        client.subscribe("~/u", 1);
        client.publish("~/v", 1, "x");
        client.publish("~/v", 2, "x");
        client.send(r#"a2 <0001 {} "~/u">"#);
        client.expect("b0 <0001 {..} 00>");
        client.send(&format!("50 <{id:04x}>"));
        client.expect(&format!("62 <{id:04x} ..>"));
        client.quiet();
    }
}

/// Eight messages.
#[track_caller]
fn publish_many(publisher: &mut Client, qos: u8) {
    for number in 0..8 {
        publisher.publish("~/t", qos, &number.to_string());
    }
}
