//! 3.15 AUTH and 4.12 enhanced authentication.

use crate::client::Client;
use crate::packet::Kind;
use crate::test::{Test, connect, tests};

const METHOD: u8 = 0x15;
const DATA: u8 = 0x16;

tests! {
    /// An AUTH whose reserved flags are not 0 is malformed; in 3.1.1 there is no such packet.
    [v5 "3.15.1-1", v311]
    fn reserved_flags(t) {
        for first in ["f1", "f2", "f8"] {
            let mut client = t.client("a");
            client.send(&format!(r#"{first} <19 {{15 "CHALLENGE"}}>"#));
            client.refused(0x81);
        }
    }

    /// The same while the client proves who it is, though all else is right.
    [v5 "3.15.1-1"; Authority]
    fn reserved_flags_in_an_exchange(t) {
        let mut client = begin(t, "2");
        client.send(r#"f1 <18 <15 "CHALLENGE" 16 "3">>"#);
        client.turned_away(0x81, []);
        let mut client = connected(t);
        client.send(r#"f1 <19 <15 "CHALLENGE" 16 "3">>"#);
        client.refused(0x81);
    }

    /// A reason code that is not one of AUTH is an error.
    [v5 "3.15.2-1"; Authority]
    fn reason_codes(t) {
        for reason in ["01", "17", "1a", "87", "ff"] {
            let auth = format!(r#"f0 <{reason} <15 "CHALLENGE" 16 "3">>"#);
            let mut client = begin(t, "2");
            client.send(&auth);
            client.turned_away([0x81, 0x82], []);
            let mut client = connected(t);
            client.send(&auth);
            client.refused([0x81, 0x82]);
        }
    }

    /// An AUTH of the server with its reason string and user properties is not larger than the client takes.
    [v5 "3.15.2-2" "3.15.2-3"; Authority]
    fn no_larger_than_the_client_takes(t) {
        let bytes_max = 44_usize;
        let mut client = t.open();
        client.takes_at_most(bytes_max);
        let properties = format!(r#"15 "CHALLENGE" 16 "1" 27 {bytes_max:08x}"#);
        client.send(&connect(t.version, "a", "02", &properties, ""));
        expect_auth(&mut client, 0x18, "2?");
        client.send(r#"f0 <18 <15 "CHALLENGE" 16 "2">>"#);
        expect_auth(&mut client, 0x18, "3?");
        client.send(r#"f0 <18 <15 "CHALLENGE" 16 "3">>"#);
        client.expect("20 <00 00 <..>>");
        client.send(r#"f0 <19 <15 "CHALLENGE" 16 "3">>"#);
        expect_auth(&mut client, 0x00, "done");
    }

    /// A client with an authentication method that the server does not know is refused.
    [v5 "4.12.0-1" "3.14.0-1"]
    fn unknown_method(t) {
        let mut client = t.open();
        let properties = r#"15 "~-UNKNOWN" 16 "x""#;
        client.send(&connect(t.version, "a", "02", properties, ""));
        client.turned_away([0x8C, 0x87], []);
    }

    /// The server asks for more with AUTH packets of the reason code 0x18, as many as the method takes, and
    /// names the client's method in each of them and in the CONNACK.
    [v5 "4.12.0-2" "4.12.0-5"; Authority]
    fn an_exchange(t) {
        let mut client = begin(t, "1");
        client.send(r#"f0 <18 <15 "CHALLENGE" 16 "2">>"#);
        expect_auth(&mut client, 0x18, "3?");
        client.send(r#"f0 <18 <15 "CHALLENGE" 16 "3">>"#);
        expect_connack(&mut client);
        client.quiet();
        // And without any AUTH, where the first data is all it takes.
        let mut client = connected(t);
        client.quiet();
    }

    /// While it proves who it is, a client continues with the reason code 0x18, and no other.
    [v5 "4.12.0-3"; Authority]
    fn other_reasons_in_an_exchange(t) {
        for reason in ["00", "19"] {
            let mut client = begin(t, "2");
            client.send(&format!(r#"f0 <{reason} <15 "CHALLENGE" 16 "3">>"#));
            client.turned_away(0x82, []);
        }
        let mut client = begin(t, "2");
        client.send("f0 <>");
        client.turned_away([0x81, 0x82], []);
    }

    /// At each step, the server may refuse the client: it says so in a CONNACK, and closes.
    [v5 "4.12.0-4" "3.2.2-7" "3.14.0-1"; Authority]
    fn refused_at_any_step(t) {
        let mut client = t.open();
        let properties = r#"15 "CHALLENGE" 16 "wrong""#;
        client.send(&connect(t.version, "a", "02", properties, ""));
        client.turned_away(0x87, []);
        for start in ["1", "2"] {
            let mut client = begin(t, start);
            client.send(r#"f0 <18 <15 "CHALLENGE" 16 "wrong">> c000"#);
            client.turned_away(0x87, []);
        }
        let mut client = begin(t, "1");
        client.send(r#"f0 <18 <15 "CHALLENGE" 16 "2">>"#);
        expect_auth(&mut client, 0x18, "3?");
        client.send(r#"f0 <18 <15 "CHALLENGE">>"#);
        client.turned_away(0x87, []);
    }

    /// An AUTH with another method than that of the CONNECT, or with none, is an error.
    [v5 "4.12.0-5"; Authority]
    fn another_method_in_an_exchange(t) {
        for method in [r#"15 "OTHER""#, r#"15 "challenge""#, r#"15 """#, ""] {
            let data = if method.is_empty() { "" } else { r#"16 "3""# };
            let mut client = begin(t, "2");
            client.send(&format!("f0 <18 <{method} {data}>>"));
            client.turned_away(0x82, []);
        }
    }

    /// A client that names no method gets no AUTH, and its CONNACK names none.
    [v5 "4.12.0-6"]
    fn no_method(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "02", "", ""));
        let connack = client.expect("20 <00 00 <..>>");
        assert!(connack.property(METHOD).is_none(), "{connack:?}");
        assert!(connack.property(DATA).is_none(), "{connack:?}");
        client.quiet();
    }

    /// The same where the server knows a method, and the client has a user name and a password.
    [v5 "4.12.0-6"; Authority]
    fn no_method_but_a_password(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "c2", "", r#""alice" "secret""#));
        let connack = client.expect("20 <00 00 <..>>");
        assert!(connack.property(METHOD).is_none(), "{connack:?}");
        client.quiet();
    }

    /// An AUTH of a client that has named no method is an error.
    [v5 "4.12.0-7", v311]
    fn auth_without_a_method(t) {
        for reason in ["00", "18", "19"] {
            let mut client = t.client("a");
            client.send(&format!(r#"f0 <{reason} {{15 "CHALLENGE" 16 "3"}}>"#));
            client.refused([0x81, 0x82]);
        }
    }

    /// Until its CONNACK has come, a client that has named a method sends nothing but AUTH and DISCONNECT.
    [v5 "3.1.2-30" "3.14.0-1"; Authority]
    fn only_auth_in_an_exchange(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/#", 0);
        for packet in [
            r#"30 <"~/t" {} 'x'>"#, r#"82 <0001 {} "~/t" 00>"#, "c000", r#"a2 <0001 {} "~/t">"#,
        ] {
            let mut client = begin(t, "2");
            client.send(packet);
            client.turned_away(0x82, []);
        }
        let mut client = begin(t, "2");
        client.send("e000");
        client.closed();
        witness.quiet();
    }

    /// A connected client may prove again who it is, in as many steps, and the connection goes on meanwhile.
    [v5 "4.12.1-1" "4.12.0-2" "4.12.0-5"; Authority]
    fn once_more(t) {
        let mut client = connected(t);
        client.subscribe("~/t", 0);
        client.send(r#"f0 <19 <15 "CHALLENGE" 16 "1">>"#);
        expect_auth(&mut client, 0x18, "2?");
        client.publish("~/u", 1, "x");
        t.client("p").publish("~/t", 0, "hello");
        client.message("~/t", "hello");
        client.send(r#"f0 <18 <15 "CHALLENGE" 16 "2">>"#);
        expect_auth(&mut client, 0x18, "3?");
        client.send(r#"f0 <18 <15 "CHALLENGE" 16 "3">>"#);
        expect_auth(&mut client, 0x00, "done");
        client.quiet();
        // And again, in one step.
        client.send(r#"f0 <19 <15 "CHALLENGE" 16 "3">>"#);
        expect_auth(&mut client, 0x00, "done");
        client.quiet();
    }

    /// It does so with the method of its CONNECT.
    [v5 "4.12.1-1"; Authority]
    fn once_more_with_another_method(t) {
        for method in [r#"15 "OTHER""#, r#"15 "challenge""#] {
            let mut client = connected(t);
            client.send(&format!(r#"f0 <19 <{method} 16 "3">>"#));
            client.refused(0x82);
        }
        let mut client = connected(t);
        client.send("f0 <19 <>>");
        client.refused(0x82);
    }

    /// It begins with the reason code 0x19, and goes on with 0x18.
    [v5 "4.12.1-1" "4.12.0-3"; Authority]
    fn once_more_with_other_reasons(t) {
        for reason in ["00", "18"] {
            let mut client = connected(t);
            client.send(&format!(r#"f0 <{reason} <15 "CHALLENGE" 16 "3">>"#));
            client.refused(0x82);
        }
        for reason in ["00", "19"] {
            let mut client = connected(t);
            client.send(r#"f0 <19 <15 "CHALLENGE" 16 "2">>"#);
            expect_auth(&mut client, 0x18, "3?");
            client.send(&format!(r#"f0 <{reason} <15 "CHALLENGE" 16 "3">>"#));
            client.refused(0x82);
        }
    }

    /// A client that fails to prove it again is told so, and its connection is closed.
    [v5 "4.12.1-2" "4.13.2-1"; Authority]
    fn once_more_and_failed(t) {
        let mut client = connected(t);
        client.send(r#"f0 <19 <15 "CHALLENGE" 16 "wrong">> c000"#);
        client.refused(0x87);
        let mut client = connected(t);
        client.send(r#"f0 <19 <15 "CHALLENGE" 16 "1">>"#);
        expect_auth(&mut client, 0x18, "2?");
        client.send(r#"f0 <18 <15 "CHALLENGE" 16 "wrong">>"#);
        client.refused(0x87);
    }
}

/// A client that has begun the exchange with this number, and has been asked for the next.
#[track_caller]
fn begin(t: &Test, number: &str) -> Client {
    let mut client = t.open();
    let properties = format!(r#"15 "CHALLENGE" 16 "{number}""#);
    client.send(&connect(t.version, "a", "02", &properties, ""));
    let next = if number == "1" { "2?" } else { "3?" };
    expect_auth(&mut client, 0x18, next);
    client
}

/// A client that is connected with the method.
#[track_caller]
fn connected(t: &Test) -> Client {
    let mut client = t.open();
    let properties = r#"15 "CHALLENGE" 16 "3""#;
    client.send(&connect(t.version, "a", "02", properties, ""));
    expect_connack(&mut client);
    client
}

#[track_caller]
fn expect_auth(client: &mut Client, reason: u8, data: &str) {
    let auth = client.packet_of(Kind::Auth);
    let method = auth.property(METHOD).map(|method| &method.value[..]);
    let came = auth.property(DATA).map(|data| &data.value[..]);
    let right =
        auth.reason() == reason && method == Some(b"CHALLENGE") && came == Some(data.as_bytes());
    assert!(right, "{auth:?} instead of {reason:02x} with {data}");
}

#[track_caller]
fn expect_connack(client: &mut Client) {
    let connack = client.expect("20 <00 00 <..>>");
    let method = connack.property(METHOD).map(|method| &method.value[..]);
    assert_eq!(method, Some(&b"CHALLENGE"[..]), "{connack:?}");
}
