//! Who may connect, publish and subscribe: what the standard says where somebody may not.

use crate::test::{Test, connect, tests};

/// The fields of a user name and a password, and their flags.
const BOTH: &str = "c2";
const ALICE: &str = r#""alice" "secret""#;
const WRONG: &str = r#""alice" "guess""#;
const BANNED: &str = r#""banned" "secret""#;

tests! {
    /// A client that proves who it is is let in.
    [v5, v311, v31; Authority]
    fn password(t) {
        let mut client = t.client_with("a", BOTH, "", ALICE);
        client.quiet();
    }

    /// A client whose user name, password or rights do not do gets a CONNACK that says so, without a
    /// session, and its connection is closed.
    [v5 "3.1.4-2" "3.2.2-6" "3.2.2-7" "3.2.2-8" "4.13.2-1", v311 "3.2.2-4" "3.2.2-5", v31; Authority]
    fn refused_credentials(t) {
        for (flags, fields, reason, returns) in [
            (BOTH, WRONG, 0x86, 4),
            ("82", r#""alice""#, 0x86, 4),
            (BOTH, BANNED, 0x87, 5),
        ] {
            let mut client = t.open();
            client.send(&connect(t.version, "a", flags, "", fields));
            client.turned_away(reason, returns);
        }
    }

    /// A client whose identifier will not do is told so, and its connection is closed.
    [v5 "3.1.3-8" "3.1.4-2", v311 "3.1.3-9", v31; Authority]
    fn refused_client_identifier(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "unwelcome", "02", "", ""));
        client.turned_away(0x85, 2);
    }

    /// A refused CONNECT changes nothing: not the client's session, not its connection, and no will is left.
    [v5 "3.1.4-2" "3.2.2-6", v311 "3.2.2-4"; Authority]
    fn refused_without_a_trace(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 0);
        let mut client = t.client_with("a", "c0", "11 000003e8", ALICE);
        client.subscribe("~/t", 1);
        for flags in ["c4", "c6"] {
            let mut other = t.open();
            let fields = r#"{} "~/will" "gone" "alice" "guess""#;
            other.send(&connect(t.version, "a", flags, "", fields));
            other.turned_away(0x86, 4);
        }
        client.quiet();
        witness.publish("~/t", 1, "hello");
        client.message("~/t", "hello");
        witness.quiet();
        client.vanish();
        t.returns("a").message("~/t", "hello");
    }

    /// What follows a CONNECT that is refused is not handled.
    [v5 "3.1.4-6", v311 "3.1.4-5", v31; Authority]
    fn nothing_behind_a_refusal(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        let mut client = t.open();
        let refused = connect(t.version, "a", BOTH, "", WRONG);
        let accepted = connect(t.version, "a", BOTH, "", ALICE);
        let rest = r#"30 <"~/t" {} 'x'> 82 <0001 {} "~/t" 00> c000"#;
        client.send(&format!("{refused} {rest} {accepted} {rest}"));
        client.turned_away(0x86, 4);
        witness.quiet();
    }

    /// A will that the client may not publish is no reason to let it in.
    [v5 "3.1.4-2", v311; Authority]
    fn will_without_the_right(t) {
        let mut client = t.open();
        let will = r#"{} "~/unwritable" "gone""#;
        client.send(&connect(t.version, "a", "06", "", will));
        client.turned_away(0x87, 5);
    }

    /// A message that a client may not publish is answered, in 5.0 with an error, and goes to nobody.
    [v5 "3.4.2-1" "3.5.2-1", v311 "3.3.5-2", v31; Authority]
    fn publish_without_the_right(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/#", 2);
        let mut client = t.client("a");
        for retain in [0, 1] {
            client.send(&format!(r#"{:02x} <"~/unwritable" {{}} 'x'>"#, 0x30 | retain));
            client.send(&format!(r#"{:02x} <"~/unwritable" 0001 {{}} 'x'>"#, 0x32 | retain));
            client.expect(refused_or(t, "40 <0001 87 ..>", "40 <0001>"));
            client.send(&format!(r#"{:02x} <"~/unwritable" 0001 {{}} 'x'>"#, 0x34 | retain));
            client.expect(refused_or(t, "50 <0001 87 ..>", "50 <0001>"));
            if !t.is_v5() {
                client.send("62 <0001>");
                client.expect("70 <0001>");
            }
        }
        client.quiet();
        witness.quiet();
        // Nor was it retained.
        let mut later = t.client("l");
        later.subscribe("~/#", 0);
        later.quiet();
    }

    /// The packet identifier of a QoS 2 message that was refused is free for another message.
    [v5 "4.3.3-9"; Authority]
    fn packet_identifier_of_a_refused_message(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        let mut client = t.client("a");
        client.send(r#"34 <"~/unwritable" 0001 {} 'x'>"#);
        client.expect("50 <0001 87 ..>");
        client.send(r#"34 <"~/t" 0001 {} 'y'>"#);
        client.expect("50 <0001>");
        client.send("62 <0001>");
        client.expect("70 <0001>");
        witness.message("~/t", "y");
        witness.quiet();
    }

    /// A topic filter that a client may not subscribe to has a failure at its place in the SUBACK, and
    /// no message comes of it.
    [v5 "3.8.4-7" "3.9.3-1" "3.9.3-2", v311 "3.8.4-5" "3.9.3-1" "3.9.3-2"; Authority]
    fn subscribe_without_the_right(t) {
        let mut publisher = t.client("p");
        publisher.retain("~/unreadable", 1, "retained");
        let mut client = t.client("a");
        client.send(r#"82 <0001 {} "~/a" 01 "~/unreadable" 01 "~/b" 02>"#);
        client.expect(refused_or(t, "90 <0001 {..} 01 87 02>", "90 <0001 01 80 02>"));
        publisher.publish("~/unreadable", 1, "secret");
        client.quiet();
        publisher.publish("~/b", 0, "hello");
        client.message("~/b", "hello");
        publisher.retain("~/unreadable", 1, "");
    }

    /// The same for a shared subscription.
    [v5; Authority]
    fn share_without_the_right(t) {
        let mut client = t.client("a");
        client.send(r#"82 <0001 {} "$share/~/~/unreadable" 01>"#);
        client.expect("90 <0001 {..} 87>");
        t.client("p").publish("~/unreadable", 1, "secret");
        client.quiet();
    }

    /// A client that is not let in takes over no connection; one that is does.
    [v5 "3.1.4-3", v311 "3.1.4-2"; Authority]
    fn taken_over_by_who_was_let_in_alone(t) {
        let mut old = t.client_with("a", BOTH, "", ALICE);
        let mut wrong = t.open();
        wrong.send(&connect(t.version, "a", BOTH, "", WRONG));
        wrong.turned_away(0x86, 4);
        old.quiet();
        let mut new = t.client_with("a", BOTH, "", ALICE);
        old.refused(0x8E);
        new.quiet();
    }
}

fn refused_or<'a>(t: &Test, v5: &'a str, v3: &'a str) -> &'a str {
    if t.is_v5() { v5 } else { v3 }
}
