//! What is sent again, and in which order: sections 4.4 to 4.6.

use std::time::Duration;

use crate::packet::{Kind, Packet};
use crate::test::{Test, tests};

tests! {
    /// When a session is resumed, all that is unacknowledged goes again, in the order of old, with the
    /// identifiers of old, and ahead of anything new.
    [v5 "4.4.0-1" "4.6.0-1", v311 "4.4.0-1" "4.6.0-1" "2.3.1-3"]
    fn sent_again_in_order(t) {
        let mut server = t.connected_with(t.staying(), "");
        for number in 0..10 {
            server.publish("a", &number.to_string(), 1 + number % 2);
        }
        let sent = server.packets();
        // Those in the middle are acknowledged, in no order.
        for at in [6, 2, 4] {
            server.send(&format!("40 <{:04x}>", sent[at].id()));
        }
        server.break_connection();
        server.publish("a", "new", 1);
        server.open(mqtt_client::session::Credentials::default());
        server.accept("01", "");
        let again = server.packets();
        let seen: Vec<(u16, &[u8])> = again.iter().map(|one| (one.id(), &one.payload[..])).collect();
        let mut expected: Vec<(u16, &[u8])> = [0, 1, 3, 5, 7, 8, 9]
            .iter()
            .map(|at| (sent[*at].id(), &sent[*at].payload[..]))
            .collect();
        expected.push((again.last().unwrap().id(), b"new"));
        assert_eq!(seen, expected);
        assert!(again[..7].iter().all(Packet::dup) && !again[7].dup());
    }

    /// Nothing is sent again at any other time, however long an acknowledgement takes.
    [v5 "4.4.0-1"]
    fn not_sent_again(t) {
        let mut options = t.staying();
        options.keep_alive = 0;
        let mut server = t.connected_with(options, "");
        server.publish("a", "1", 1);
        server.publish("a", "2", 2);
        let released = server.packets().pop().unwrap();
        server.send(&format!("50 <{:04x}>", released.id()));
        server.expect("62 <..>");
        server.pass(Duration::from_secs(100_000));
        server.goes_on();
    }

    /// A message that was refused is not sent again.
    [v5 "4.4.0-2"]
    fn a_refused_message_is_not_sent_again(t) {
        let mut server = t.connected_with(t.staying(), "");
        server.publish("a", "1", 1);
        server.publish("a", "2", 2);
        let sent = server.packets();
        server.send(&format!("40 <{:04x} 87>", sent[0].id()));
        server.send(&format!("50 <{:04x} 87>", sent[1].id()));
        server.comes_back("01");
        server.nothing();
    }

    /// A message that nobody wants is acknowledged, too.
    [v5 "4.5.0-2", v311 "4.5.0-2"]
    fn unwanted_messages_are_acknowledged(t) {
        let mut server = t.connected();
        server.send(r#"32 <"a" 0001 {} 'x'>"#);
        server.expect("40 <0001 ..>");
        server.send(r#"34 <"a" 0002 {} 'x'>"#);
        server.expect("50 <0002 ..>");
        server.send("62 <0002>");
        server.expect("70 <0002>");
        // Nor does one get lost that comes when its subscription is on its way out.
        let subscription = server.subscribe("a", 1);
        server.send(r#"32 <"a" 0003 {} 'x'>"#);
        server.session.unsubscribe(server.now, subscription);
        let packets = server.packets();
        assert!(packets.iter().any(|one| one.kind == Kind::PubAck && one.id() == 3), "{packets:?}");
        server.send(r#"32 <"a" 0004 {} 'x'>"#);
        server.expect("40 <0004 ..>");
    }

    /// PUBACKs go in the order of the messages, in whichever order the application is done with them.
    [v5 "4.6.0-2", v311 "4.6.0-2"]
    fn puback_in_order(t) {
        acknowledged_in_order(t, "32", Kind::PubAck);
    }

    /// PUBRECs go in the order of the messages, in whichever order the application is done with them.
    [v5 "4.6.0-3", v311 "4.6.0-3"]
    fn pubrec_in_order(t) {
        acknowledged_in_order(t, "34", Kind::PubRec);
    }

    /// PUBRELs go in the order of the PUBRECs, at once and when a session is resumed.
    [v5 "4.6.0-4", v311 "4.6.0-4"]
    fn pubrel_in_order(t) {
        let mut server = t.connected_with(t.staying(), "");
        for _ in 0..4 {
            server.publish("a", "x", 2);
        }
        let sent: Vec<u16> = server.packets().iter().map(Packet::id).collect();
        let order = [sent[2], sent[0], sent[3], sent[1]];
        for id in order {
            server.send(&format!("50 <{id:04x}>"));
        }
        let released: Vec<u16> = server.packets().iter().map(Packet::id).collect();
        assert_eq!(released, order);
        server.comes_back("01");
        let released: Vec<u16> = server.packets().iter().map(Packet::id).collect();
        assert_eq!(released, order);
    }
}

fn acknowledged_in_order(t: &Test, first: &str, kind: Kind) {
    let mut server = t.connected_with(t.staying(), "");
    server.subscribe("a", 2);
    for id in [5, 3, 9, 1] {
        server.send(&format!(r#"{first} <"a" {id:04x} {{}} 'x'>"#));
    }
    let taken: Vec<_> = std::iter::from_fn(|| server.message()).collect();
    server.done(&taken[3]);
    server.done(&taken[1]);
    server.nothing();
    server.done(&taken[0]);
    let answers = server.packets();
    assert!(
        answers.iter().all(|answer| answer.kind == kind),
        "{answers:?}"
    );
    let ids: Vec<u16> = answers.iter().map(Packet::id).collect();
    assert_eq!(ids, [5, 3]);
    server.done(&taken[2]);
    let ids: Vec<u16> = server.packets().iter().map(Packet::id).collect();
    assert_eq!(ids, [9, 1]);
    // What the server sends again counts from the new connection on.
    for id in [2, 4] {
        server.send(&format!(r#"{first} <"a" {id:04x} {{}} 'x'>"#));
    }
    let taken: Vec<_> = std::iter::from_fn(|| server.message()).collect();
    server.comes_back("01");
    let again = u8::from_str_radix(first, 16).unwrap() | 8;
    for id in [2, 4] {
        server.send(&format!(r#"{again:02x} <"a" {id:04x} {{}} 'x'>"#));
    }
    server.done(&taken[1]);
    server.nothing();
    server.done(&taken[0]);
    let ids: Vec<u16> = server.packets().iter().map(Packet::id).collect();
    assert_eq!(ids, [2, 4]);
}
