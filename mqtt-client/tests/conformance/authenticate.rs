//! AUTH and enhanced authentication: sections 3.15 and 4.12.

use bytes::Bytes;
use mqtt_client::AuthenticationError;
use mqtt_client::session::{Authentication, AuthenticationStep, Credentials, Event, Wanted};

use crate::server::Server;
use crate::test::{Test, tests};

tests! {
    /// Challenges are answered with AUTH 0x18, and each packet has the method of the CONNECT.
    [v5 "4.12.0-3" "4.12.0-5" "3.15.2-1"]
    fn challenges(t) {
        let mut server = authenticating(t);
        let connect = server.packet();
        assert_eq!(connect.property(0x15).unwrap().value, b"M");
        assert_eq!(connect.property(0x16).unwrap().value, b"0");
        for (challenge, answer) in [("31", "32"), ("33", "34")] {
            server.send(&format!(r#"f0 <18 {{15 "M" 16 0001 {challenge}}}>"#));
            server.nothing();
            let asked = step(&mut server).unwrap();
            let data = Bytes::from(server.encode(challenge));
            assert_eq!(asked, AuthenticationStep::Challenge(data));
            let data = server.encode(answer);
            server.session.handle_authentication(server.now, Ok(Some(data)));
            server.expect(&format!(r#"f0 <18 {{15 "M" 16 0001 {answer}}}>"#));
        }
        server.send(r#"20 <00 00 {15 "M" 16 0001 35}>"#);
        assert_eq!(step(&mut server), Some(AuthenticationStep::Finish(Some(Bytes::from_static(b"5")))));
        assert!(server.session.connected().is_none(), "the authenticator has not agreed");
        server.session.handle_authentication(server.now, Ok(None));
        assert!(server.session.connected().is_some());
        server.goes_on();
    }

    /// Before the CONNACK, the server's AUTH has the reason 0x18.
    [v5 "4.12.0-2" "3.15.2-1"]
    fn reason_of_auth(t) {
        for reason in ["00", "19", "01", "80"] {
            let mut server = authenticating(t);
            server.packet();
            server.send(&format!(r#"f0 <{reason} {{15 "M"}}>"#));
            server.closes_silently();
            assert!(step(&mut server).is_none());
        }
    }

    /// Another method, or none, in an AUTH or in the CONNACK: the client leaves.
    [v5 "4.12.0-5"]
    fn another_method(t) {
        for packet in [r#"f0 <18 {15 "N"}>"#, "f0 <18 {}>", "f0 <>", r#"20 <00 00 {15 "N"}>"#, "20 <00 00 {}>"] {
            let mut server = authenticating(t);
            server.packet();
            server.send(packet);
            server.closes_silently();
            assert!(step(&mut server).is_none(), "{packet} was taken");
        }
        let mut server = authenticated(t);
        server.session.reauthenticate(server.now, None).unwrap();
        server.packet();
        server.send(r#"f0 <18 {15 "N"}>"#);
        server.closes(0x82);
    }

    /// A client that has not begun an authentication sends no AUTH, and takes none.
    [v5 "4.12.0-6" "4.12.0-7"]
    fn no_authentication(t) {
        let mut server = t.open(t.options());
        server.expect("10 <..>");
        server.send(r#"f0 <18 {15 "M"}>"#);
        server.closes_silently();
        let mut server = t.open(t.options());
        server.expect("10 <..>");
        server.send(r#"20 <00 00 {15 "M"}>"#);
        server.closes_silently();
        let mut server = t.connected();
        assert!(server.session.reauthenticate(server.now, None).is_err());
        server.session.handle_authentication(server.now, Ok(Some(b"x".to_vec())));
        server.goes_on();
        server.send(r#"f0 <18 {15 "M"}>"#);
        server.closes(0x82);
    }

    /// A client may authenticate anew: AUTH 0x19 with the method of the CONNECT, and the same steps again.
    [v5 "4.12.1-1" "4.12.0-3" "4.12.0-5" "3.15.2-1"]
    fn reauthentication(t) {
        let mut server = authenticated(t);
        server.subscribe("a", 0);
        server.session.reauthenticate(server.now, Some(b"0")).unwrap();
        server.expect(r#"f0 <19 {15 "M" 16 0001 30}>"#);
        assert!(server.session.reauthenticate(server.now, None).is_err(), "one at a time");
        server.send(r#"30 <"a" {} 'x'>"#);
        assert_eq!(server.payloads(), ["x"]);
        server.send(r#"f0 <18 {15 "M" 16 0001 31}>"#);
        assert!(step(&mut server).is_some());
        server.session.handle_authentication(server.now, Ok(Some(b"2".to_vec())));
        server.expect(r#"f0 <18 {15 "M" 16 0001 32}>"#);
        server.send(r#"f0 <00 {15 "M"}>"#);
        assert_eq!(step(&mut server), Some(AuthenticationStep::Finish(None)));
        server.session.handle_authentication(server.now, Ok(None));
        server.goes_on();
        server.send(r#"f0 <18 {15 "M"}>"#);
        server.closes(0x82);
    }

    /// The server's AUTH has no other reason than that there is more to come, or that it is content.
    [v5 "3.15.2-1" "4.12.0-2"]
    fn reason_of_auth_in_a_reauthentication(t) {
        for (reason, code) in [("19", 0x82), ("01", 0x81), ("80", 0x81)] {
            let mut server = authenticated(t);
            server.session.reauthenticate(server.now, None).unwrap();
            server.packet();
            server.send(&format!(r#"f0 <{reason} {{15 "M"}}>"#));
            server.closes(code);
            assert!(step(&mut server).is_none());
        }
    }

    /// A re-authentication that fails ends the connection: here the client does not believe the server.
    [v5 "4.12.1-2"]
    fn failed_reauthentication(t) {
        for packet in [r#"f0 <18 {15 "M"}>"#, r#"f0 <00 {15 "M"}>"#] {
            let mut server = authenticated(t);
            server.session.reauthenticate(server.now, None).unwrap();
            server.packet();
            server.send(packet);
            let error = AuthenticationError::failed("not the one");
            server.session.handle_authentication(server.now, Err(error));
            let disconnect = server.expect("e0 <..>");
            assert!(disconnect.reason >= 0x80, "{disconnect:?}");
            assert_eq!(server.session.wanted(), Wanted::Close);
        }
        // And here the server does not believe the client.
        let mut server = authenticated(t);
        server.session.reauthenticate(server.now, None).unwrap();
        server.packet();
        server.send("e0 <87 {}>");
        server.closes_silently();
    }

    /// An authentication that fails before the CONNACK: the client leaves.
    [v5]
    fn failed_authentication(t) {
        for packet in [r#"f0 <18 {15 "M"}>"#, r#"20 <00 00 {15 "M"}>"#] {
            let mut server = authenticating(t);
            server.packet();
            server.send(packet);
            let error = AuthenticationError::failed("not the one");
            server.session.handle_authentication(server.now, Err(error));
            server.packets();
            assert_ne!(server.session.wanted(), Wanted::Connection);
            assert!(server.session.connected().is_none());
        }
    }

    /// AUTH with reserved flags is malformed.
    [v5 "3.15.1-1"]
    fn reserved_flags(t) {
        for first in ["f1", "f2", "f4", "f8"] {
            let mut server = authenticated(t);
            server.session.reauthenticate(server.now, None).unwrap();
            server.packet();
            server.send(&format!(r#"{first} <18 {{15 "M"}}>"#));
            server.closes(0x81);
        }
    }

    /// AUTH has no reason string and no user properties of the client's own; and none is sent that is
    /// larger than the server takes.
    [v5 "3.15.2-2" "3.15.2-3" "3.2.2-15"]
    fn size_of_auth(t) {
        let mut server = authenticating(t);
        server.packet();
        server.send(r#"20 <00 00 {15 "M" 27 00000010}>"#);
        server.session.handle_authentication(server.now, Ok(None));
        // f0 0c 19 0a 15 0001 'M' 16 0003 'abc': 14 bytes.
        server.session.reauthenticate(server.now, Some(b"abc")).unwrap();
        server.expect(r#"f0 <19 {15 "M" 16 0003 'abc'}>"#);
        server.send(r#"f0 <18 {15 "M"}>"#);
        server.session.handle_authentication(server.now, Ok(Some(b"abcdef".to_vec())));
        for packet in server.packets() {
            assert!(packet.bytes.len() <= 16, "{packet:?}");
        }
    }
}

/// A client that authenticates with the method `M`, and begins with `0`.
fn authenticating(t: &Test) -> Server {
    let mut server = Server::unopened(t.version, t.options());
    server.open(Credentials {
        authentication: Some(Authentication {
            method: "M".to_owned(),
            data: Some(b"0".to_vec()),
        }),
        ..Credentials::default()
    });
    server
}

/// The same, and it was let in.
fn authenticated(t: &Test) -> Server {
    let mut server = authenticating(t);
    server.packet();
    server.send(r#"20 <00 00 {15 "M"}>"#);
    step(&mut server);
    server.session.handle_authentication(server.now, Ok(None));
    server
}

/// What the authenticator is asked next.
fn step(server: &mut Server) -> Option<AuthenticationStep> {
    server.take_event(|event| match event {
        Event::Authentication(step) => Some(step.clone()),
        _ => None,
    })
}
