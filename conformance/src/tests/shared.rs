//! 4.8 Subscriptions: the shared ones.

use crate::client::Client;
use crate::test::{Test, tests};

/// Malformed, protocol error, topic filter invalid: the standard names none of them.
const BAD_FILTER: [u8; 3] = [0x81, 0x82, 0x8F];

tests! {
    /// Each message of a shared subscription goes to one of its members.
    [v5]
    fn one_member_gets_it(t) {
        let mut members = [t.client("a"), t.client("b"), t.client("c")];
        for member in &mut members {
            member.subscribe("$share/~/~/t", 0);
        }
        let mut publisher = t.client("p");
        for number in 0..12 {
            publisher.publish("~/t", 0, &number.to_string());
        }
        let mut all: Vec<u32> = Vec::new();
        for mut member in members {
            member.send("c000");
            loop {
                let packet = member.packet();
                if packet.bytes == [0xD0, 0] {
                    break;
                }
                let text = String::from_utf8(packet.payload).expect("text");
                all.push(text.parse().expect("a number"));
            }
        }
        all.sort_unstable();
        assert_eq!(all, (0..12).collect::<Vec<u32>>());
    }

    /// A shared subscription has a share name of at least one character.
    [v5 "4.8.2-1"]
    fn share_name_is_not_empty(t) {
        for filter in ["$share//~/t", "$share//"] {
            refuses_filter(t, filter);
        }
    }

    /// A topic filter that begins otherwise is of no shared subscription: each subscriber has its own.
    [v5 "4.8.2-1"]
    fn only_share_is_shared(t) {
        for filter in ["$Share/x/~", "$shar/x/~", "a/$share/x/~"] {
            let mut members = [t.client("a"), t.client("b")];
            for member in &mut members {
                member.subscribe(filter, 0);
            }
            t.client("p").publish(filter, 0, "hello");
            for mut member in members {
                member.message(filter, "hello");
            }
        }
    }

    /// A share name has no wildcards, and a slash and a topic filter follow it.
    [v5 "4.8.2-2"]
    fn share_name_and_filter(t) {
        for filter in [
            "$share/~+/t", "$share/+/~", "$share/~#/t", "$share/#", "$share/~", "$share/~/",
        ] {
            refuses_filter(t, filter);
        }
    }

    /// Members get messages with no higher QoS than they were granted.
    [v5 "4.8.2-3"]
    fn granted_qos(t) {
        let mut publisher = t.client("p");
        for granted in 0..=2 {
            let mut member = t.client("a");
            member.subscribe("$share/~/~/t", granted);
            for qos in 0..=2 {
                publisher.publish("~/t", qos, "hello");
                let message = member.message("~/t", "hello");
                assert_eq!(message.qos(), qos.min(granted));
                member.acknowledge(&message);
            }
            member.disconnect();
        }
    }

    /// A QoS 2 message under way to a member whose connection breaks is sent again to this one, not to
    /// another, and is complete.
    [v5 "4.8.2-4"]
    fn qos_2_is_completed_with_its_member(t) {
        let mut first = t.stays("a");
        let mut second = share_one_of_two(t, &mut first);
        let message = first.message("~/t", "hello");
        first.vanish();
        second.quiet();
        let mut first = t.returns("a");
        let again = first.message("~/t", "hello");
        assert_eq!((again.id(), again.dup()), (message.id(), true));
        first.acknowledge(&again);
        first.quiet();
        second.quiet();
    }

    /// The same after its PUBREC: the handshake goes on with the PUBREL.
    [v5 "4.8.2-4"]
    fn qos_2_handshake_goes_on(t) {
        let mut first = t.stays("a");
        let mut second = share_one_of_two(t, &mut first);
        let id = first.message("~/t", "hello").id();
        first.send(&format!("50 <{id:04x}>"));
        first.expect(&format!("62 <{id:04x} ..>"));
        first.vanish();
        let mut first = t.returns("a");
        first.expect(&format!("62 <{id:04x} ..>"));
        first.send(&format!("70 <{id:04x}>"));
        first.quiet();
        second.quiet();
    }

    /// A QoS 2 message under way to a member whose session ends is sent to no other.
    [v5 "4.8.2-5"]
    fn qos_2_ends_with_its_session(t) {
        let mut first = t.client("a");
        let mut second = share_one_of_two(t, &mut first);
        first.message("~/t", "hello");
        first.vanish();
        second.quiet();
        // Or with a Clean Start.
        let mut first = t.stays("b");
        first.subscribe("$share/~/~/u", 2);
        t.client("p").publish("~/u", 2, "hello");
        first.message("~/u", "hello");
        second.subscribe("$share/~/~/u", 2);
        first.vanish();
        let mut first = t.client("b");
        first.quiet();
        second.quiet();
    }

    /// A message that its member answers with an error is sent to nobody else.
    [v5 "4.8.2-6"]
    fn a_message_that_was_refused(t) {
        for (qos, answer) in [(1, 0x40), (2, 0x50)] {
            let mut first = t.client("a");
            let mut second = t.client("b");
            first.subscribe("$share/~/~/t", qos);
            t.client("p").publish("~/t", qos, "hello");
            let id = first.message("~/t", "hello").id();
            second.subscribe("$share/~/~/t", qos);
            first.send(&format!("{answer:02x} <{id:04x} 83>"));
            first.quiet();
            second.quiet();
            first.disconnect();
            second.quiet();
        }
    }
}

/// A QoS 2 message is on its way to `first`, as the only member, when another one joins.
#[track_caller]
fn share_one_of_two(t: &Test, first: &mut Client) -> Client {
    first.subscribe("$share/~/~/t", 2);
    t.client("p").publish("~/t", 2, "hello");
    let mut second = t.client("2");
    second.subscribe("$share/~/~/t", 2);
    second
}

#[track_caller]
fn refuses_filter(t: &Test, filter: &str) {
    let mut client = t.client("a");
    client.send(&format!(r#"82 <0001 {{}} "{filter}" 00>"#));
    client.refused(BAD_FILTER);
}
