//! 3.14 DISCONNECT.

use crate::client::Client;
use crate::test::{Test, connect, tests};

tests! {
    /// A CONNECT with which something is wrong is not answered with a DISCONNECT.
    [v5 "3.14.0-1"]
    fn none_before_the_connack(t) {
        for (flags, properties, reason) in [
            ("03", "", 0x81),
            ("02", "11 00000001 11 00000001", 0x82),
            ("02", "21 0000", 0x82),
        ] {
            let mut client = t.open();
            client.send(&connect(t.version, "a", flags, properties, ""));
            client.turned_away(reason, []);
        }
    }

    /// A DISCONNECT whose reserved flags are not 0 is malformed, and no farewell: the will is published.
    [v5 "3.14.1-1", v311 "3.14.1-1"]
    fn reserved_flags(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 0);
        for first in ["e1", "e2", "e8"] {
            let mut client = with_will(t);
            client.send(&format!("{first}00"));
            client.refused(0x81);
            witness.message("~/will", "gone");
        }
    }

    /// A reason code that is not one of DISCONNECT is an error.
    [v5 "3.14.2-1"]
    fn reason_of_the_client(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 0);
        for reason in ["01", "18", "7f", "84", "ff"] {
            let mut client = with_will(t);
            client.send(&format!("e0 <{reason}>"));
            client.refused([0x81, 0x82]);
            witness.message("~/will", "gone");
        }
    }

    /// The server says why it ends a connection with one of the reason codes of DISCONNECT.
    [v5 "3.14.2-1"]
    fn reason_of_the_server(t) {
        let mut malformed = t.client("a");
        malformed.send(r#"36 <"~/t" 0001 {} 'x'>"#);
        malformed.refused([0x81, 0x82]);
        let mut twice = t.client("b");
        twice.send(&connect(t.version, "b", "02", "", ""));
        twice.refused(0x82);
        let mut old = t.client("c");
        let _new = t.client("c");
        old.refused(0x8E);
    }

    /// The server never sends a Session Expiry Interval in a DISCONNECT.
    [v5 "3.14.2-2"]
    fn no_session_expiry_from_the_server(t) {
        // The reader of packets refuses one.
        let mut old = t.stays("a");
        let _new = t.returns("a");
        old.refused(0x8E);
        let mut wrong = t.stays("b");
        wrong.send("e1 <00 <11 00000005>>");
        wrong.refused(0x81);
    }

    /// A DISCONNECT with its reason string and user properties is not larger than the client takes.
    [v5 "3.14.2-3" "3.14.2-4"]
    fn no_larger_than_the_client_takes(t) {
        let bytes_max = 30_usize;
        let properties = format!("27 {bytes_max:08x}");
        for (wrong, reasons) in [
            ("82 <0001 {}>", [0x81, 0x82]),
            ("80 <0001 00>", [0x81, 0x81]),
            (r#"30 <"" <23 0001> 'x'>"#, [0x82, 0x94]),
        ] {
            let mut client = t.client_with("a", "02", &properties, "");
            client.takes_at_most(bytes_max);
            client.send(wrong);
            client.refused(reasons);
        }
    }

    /// After a DISCONNECT of the server, nothing more is sent, and the connection is closed.
    [v5 "3.14.4-1" "3.14.4-2"]
    fn the_last_packet_of_the_server(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        client.send(r#"36 <"~/t" 0001 {} 'x'> 30 <"~/t" {} 'late'> c000 82 <0001 {} "~/u" 00>"#);
        client.refused([0x81, 0x82]);
    }

    /// What a client sends after its DISCONNECT is not handled, and the server closes the connection.
    [v5 "3.14.4-1" "3.14.4-2", v311 "3.14.4-1" "3.14.4-2", v31]
    fn the_last_packet_of_the_client(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/#", 0);
        let mut client = t.client("a");
        client.send(r#"30 <"~/t" {} 'early'> e000 30 <"~/t" {} 'late'> c000"#);
        client.closed();
        witness.message("~/t", "early");
        witness.quiet();
    }

    /// A client that says farewell leaves no will.
    [v5 "3.14.4-3", v311 "3.14.4-3", v31]
    fn a_farewell_discards_the_will(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 0);
        with_will(t).disconnect();
        if t.is_v5() {
            for farewell in ["e0 <00>", "e0 <00 <>>"] {
                let mut client = with_will(t);
                client.send(farewell);
                client.closed();
            }
        }
        witness.quiet();
    }

    /// A client that leaves with any other reason than success has its will published.
    [v5]
    fn other_reasons_leave_the_will(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 0);
        for reason in ["04", "80", "97", "99"] {
            let mut client = with_will(t);
            client.send(&format!("e0 <{reason}>"));
            client.closed();
            witness.message("~/will", "gone");
        }
        witness.quiet();
    }

    /// The Session Expiry Interval of a DISCONNECT takes the place of that of the CONNECT.
    [v5]
    fn session_expiry_changes(t) {
        let mut client = t.stays("a");
        client.send("e0 <00 <11 00000000>>");
        client.closed();
        drop(t.stays("a"));
    }

    /// A session that ends with its connection can not be kept by the DISCONNECT.
    [v5]
    fn session_expiry_does_not_begin(t) {
        let mut client = t.client("a");
        client.send("e0 <00 <11 00000005>>");
        client.refused(0x82);
        drop(t.stays("a"));
    }

    /// In 3.x, a DISCONNECT has nothing after its fixed header, and is none if it has.
    [v311]
    fn no_body(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 0);
        let mut client = with_will(t);
        client.send("e0 <00>");
        client.refused(0x81);
        witness.message("~/will", "gone");
    }
}

/// A client that leaves `gone` on `~/will`.
#[track_caller]
fn with_will(t: &Test) -> Client {
    t.client_with("a", "06", "", r#"{} "~/will" "gone""#)
}
