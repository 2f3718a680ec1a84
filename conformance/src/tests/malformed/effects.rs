//! What is refused has no effect: all of a packet is looked at before anything of it is done.

use super::{nothing_is_retained, refuses};
use crate::test::{connect, tests};

tests! {
    /// A SUBSCRIBE whose last filter is bad makes none of its subscriptions.
    [v5, v311]
    fn no_subscription(t) {
        for bad in [r#""~/b" c0"#, r#""~/b""#, "0001 ff 00", r#""~/b" 00 00"#] {
            let mut client = t.stays("s");
            client.send(&format!(r#"82 <0001 {{}} "~/a" 01 {bad}>"#));
            client.refused([0x81, 0x82]);
            let mut publisher = t.client("p");
            publisher.publish("~/a", 1, "for nobody");
            publisher.publish("~/b", 1, "for nobody");
            let mut client = t.returns("s");
            publisher.publish("~/a", 1, "for nobody");
            client.quiet();
            client.disconnect();
            // The next begins anew.
            t.client("s").disconnect();
        }
    }

    /// An UNSUBSCRIBE whose last filter is bad ends none of the subscriptions.
    [v5, v311]
    fn no_unsubscription(t) {
        let mut client = t.stays("s");
        client.subscribe("~/a", 1);
        client.send(r#"a2 <0001 {} "~/a" 0001 ff>"#);
        client.refused(0x81);
        let mut client = t.returns("s");
        t.client("p").publish("~/a", 0, "still there");
        client.message("~/a", "still there");
    }

    /// A PUBLISH that is refused reaches nobody, and is not retained.
    [v5, v311]
    fn no_message(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/#", 2);
        for text in [
            r#"33 <"~/t" 0000 {} 'x'>"#,
            r#"35 <"~/t" 0000 {} 'x'>"#,
            r#"39 <"~/t" {} 'x'>"#,
            r#"37 <"~/t" 0001 {} 'x'>"#,
            r#"31 <"~/#" {} 'x'>"#,
        ] {
            refuses(t, text, [0x81, 0x82, 0x90]);
        }
        if t.is_v5() {
            for properties in ["01 01 01 01", "01 02", "7f 00", "23 0000", "23 ffff", "0b 01", "02 0000", r#"08 "~/#""#] {
                for text in [
                    format!(r#"31 <"~/t" {{{properties}}} 'x'>"#),
                    format!(r#"33 <"~/t" 0001 {{{properties}}} 'x'>"#),
                    format!(r#"35 <"~/t" 0001 {{{properties}}} 'x'>"#),
                ] {
                    refuses(t, &text, [0x81, 0x82, 0x94]);
                }
            }
        }
        witness.quiet();
        nothing_is_retained(t, "~/#");
    }

    /// A malformed PUBLISH does not clear what is retained.
    [v5, v311]
    fn no_clearing(t) {
        t.client("p").retain("~/t", 1, "kept");
        refuses(t, r#"33 <"~/t" 0000 {}>"#, [0x81, 0x82]);
        let mut late = t.client("late");
        late.subscribe("~/t", 0);
        late.message("~/t", "kept");
    }

    /// What comes before a malformed packet is done, and nothing of what comes behind it.
    [v5, v311]
    fn nothing_behind(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/#", 0);
        let mut client = t.client("a");
        client.send(r#"30 <"~/t" {} 'before'> 82 <0001 {} "~/a" c0> 30 <"~/t" {} 'behind'> 31 <"~/r" {} 'behind'>"#);
        client.refused(0x81);
        witness.message("~/t", "before");
        witness.quiet();
        nothing_is_retained(t, "~/r");
    }

    /// A malformed CONNECT takes no connection over.
    [v5, v311]
    fn no_takeover(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        for (flags, fields) in [("03", ""), ("02", "00"), ("0a", ""), ("1e", r#"{} "~/will" "gone""#), ("06", r#"{} "~/#" "gone""#)] {
            let mut other = t.open();
            other.send(&connect(t.version, "a", flags, "", fields));
            other.turned_away([0x81, 0x82, 0x90], []);
        }
        if t.is_v5() {
            for properties in ["21 0000", "27 00000000", "21 0001 21 0001", "7f", r#"16 "data""#] {
                let mut other = t.open();
                other.send(&connect(t.version, "a", "02", properties, ""));
                other.turned_away([0x81, 0x82], []);
            }
        }
        t.client("p").publish("~/t", 0, "still here");
        client.message("~/t", "still here");
    }

    /// A malformed CONNECT ends no session, nor its will and messages.
    [v5, v311]
    fn no_end_of_a_session(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 1);
        client.disconnect();
        t.client("p").publish("~/t", 1, "waits");
        let mut other = t.open();
        other.send(&connect(t.version, "a", "03", "", ""));
        other.turned_away(0x81, []);
        let mut client = t.returns("a");
        client.message("~/t", "waits");
    }

    /// Who is not let in leaves no will.
    [v5, v311]
    fn no_will(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 0);
        for (flags, rest) in [("27", ""), ("26", "00"), ("66", ""), ("a6", "")] {
            let mut client = t.open();
            client.send(&connect(t.version, "a", flags, "", &format!(r#"{{}} "~/will" "gone" {rest}"#)));
            // What the flags announce is not there, or there is more.
            client.turned_away(0x81, []);
        }
        witness.quiet();
        nothing_is_retained(t, "~/will");
    }

    /// A malformed DISCONNECT is no goodbye: the will is published.
    [v5, v311]
    fn no_goodbye(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 0);
        let mut packets = vec!["e1 <>"];
        if t.is_v5() {
            packets.extend(["e0 <01>", "e0 <00 {7f}>", "e0 <00 {11 0000}>", "e0 <00 {11 00000005}>", "e0 <00 {} 00>"]);
        } else {
            packets.push("e0 <00>");
        }
        for text in packets {
            let mut client = t.client_with("a", "06", "", r#"{} "~/will" "gone""#);
            client.send(text);
            client.refused([0x81, 0x82]);
            witness.message("~/will", "gone");
        }
    }

    /// A malformed PUBREL releases nothing: the message is still known when it comes again.
    [v5, v311]
    fn no_release(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        let mut client = t.stays("s");
        client.send(r#"34 <"~/t" 0001 {} 'once'>"#);
        client.expect("50 <0001 ..>");
        client.send("60 <0001>");
        client.refused(0x81);
        let mut client = t.returns("s");
        client.send(r#"3c <"~/t" 0001 {} 'once'>"#);
        client.expect("50 <0001 ..>");
        client.send("62 <0001>");
        client.expect("70 <0001 ..>");
        witness.message("~/t", "once");
        witness.quiet();
    }

    /// A malformed PUBACK acknowledges nothing: the message comes again.
    [v5, v311]
    fn no_acknowledgement(t) {
        let mut client = t.stays("s");
        client.subscribe("~/t", 1);
        t.client("p").publish("~/t", 1, "again");
        let id = client.message("~/t", "again").id();
        client.send(&format!("41 <{id:04x}>"));
        client.refused(0x81);
        let message = t.returns("s").message("~/t", "again");
        assert!(message.dup() && message.id() == id, "{message:?}");
    }
}
