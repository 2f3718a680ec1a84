//! CONNECT: section 3.1.

use std::time::Duration;

use bytes::Bytes;
use mqtt_client::session::{Authentication, Credentials, SessionOptions, Wanted};
use mqtt_client::{Property, Will};

use crate::packet::Packet;
use crate::server::{Server, message, properties};
use crate::test::tests;

tests! {
    /// The first packet on a connection is a CONNECT; what was asked for before waits for the CONNACK.
    [v5 "3.1.0-1", v311 "3.1.0-1"]
    fn connect_is_first(t) {
        let mut server = Server::unopened(t.version, t.options());
        server.asks(&["a"], 1);
        server.publish("b", "x", 1);
        server.nothing();
        server.open(Credentials::default());
        server.expect("10 <..>");
        server.pass(Duration::from_secs(1));
        server.nothing();
        server.send("20 <00 00 {}>");
        let packets = server.packets();
        assert_eq!(packets.len(), 2, "{packets:?}");
        server.break_connection();
        server.open(Credentials::default());
        server.expect("10 <..>");
        server.nothing();
    }

    /// The protocol name is MQTT, with the level of the version.
    [v5 "3.1.2-1", v311]
    fn protocol_name(t) {
        let mut server = t.open(t.options());
        let level = if t.is_v5() { "05" } else { "04" };
        server.expect(&format!(r#"10 <"MQTT" {level} ..>"#));
    }

    /// A will has its topic, its payload and in 5.0 its properties, at each QoS, retained or not. All
    /// fields of the payload stand in their order.
    [v5 "3.1.2-9" "3.1.2-12" "3.1.3-1" "3.1.3-11" "3.1.3-12",
     v311 "3.1.2-9" "3.1.2-14" "3.1.3-1" "3.1.3-10" "3.1.3-11"]
    fn will(t) {
        for qos in 0..3 {
            for retain in [false, true] {
                let mut will = message("w/é", "bye", qos);
                will.retain = retain;
                will.properties = properties([Property::PayloadFormatIndicator(true)]);
                let mut options = t.options();
                options.will = Some(Will { message: will, delay: Duration::from_secs(7) });
                let mut server = Server::unopened(t.version, options);
                server.open(Credentials {
                    user_name: Some("u".to_owned()),
                    password: Some(Bytes::from_static(b"p")),
                    authentication: None,
                });
                let flags = 0xC6 | qos << 3 | u8::from(retain) << 5;
                let will = if t.is_v5() { "<01 01 18 00000007>" } else { "" };
                let fields = format!(r#""c" {will} "w/é" 0003 'bye' "u" 0001 'p'"#);
                server.expect(&format!(r#"10 <"MQTT" ?? {flags:02x} 003c {{..}} {fields}>"#));
            }
        }
    }

    /// Without a will its flags are 0, and nothing of it is there.
    [v5 "3.1.2-11" "3.1.2-13", v311 "3.1.2-11" "3.1.2-13" "3.1.2-15"]
    fn no_will(t) {
        let mut server = t.open(t.options());
        server.expect(r#"10 <"MQTT" ?? 02 003c {..} "c">"#);
    }

    /// The user name and the password are there when their flags say so, and then alone.
    [v5 "3.1.2-16" "3.1.2-17" "3.1.2-18" "3.1.2-19" "3.1.3-12",
     v311 "3.1.2-18" "3.1.2-19" "3.1.2-20" "3.1.2-21" "3.1.3-11"]
    fn user_name_and_password(t) {
        let connect = |user_name: Option<&str>, password: Option<&str>| {
            let mut server = Server::unopened(t.version, t.options());
            server.open(Credentials {
                user_name: user_name.map(str::to_owned),
                password: password.map(|password| Bytes::copy_from_slice(password.as_bytes())),
                authentication: None,
            });
            server
        };
        connect(None, None).expect(r#"10 <"MQTT" ?? 02 003c {..} "c">"#);
        connect(Some("é"), None).expect(r#"10 <"MQTT" ?? 82 003c {..} "c" "é">"#);
        connect(Some("u"), Some("p")).expect(r#"10 <"MQTT" ?? c2 003c {..} "c" "u" 0001 'p'>"#);
        connect(Some(""), Some("")).expect(r#"10 <"MQTT" ?? c2 003c {..} "c" 0000 0000>"#);
        if t.is_v5() {
            connect(None, Some("p")).expect(r#"10 <"MQTT" ?? 42 003c {..} "c" 0001 'p'>"#);
        }
    }

    /// 3.1.1 has no password without a user name: the client says so, and sends nothing.
    [v311 "3.1.2-22"]
    fn password_alone(t) {
        let mut server = Server::unopened(t.version, t.options());
        server.open(Credentials {
            password: Some(Bytes::from_static(b"p")),
            ..Credentials::default()
        });
        server.nothing();
        server.break_connection();
        assert_eq!(server.session.wanted(), Wanted::End);
    }

    /// The client identifier is the first field of the payload, in UTF-8, and the same on each connection.
    [v5 "3.1.3-2" "3.1.3-3" "3.1.3-4", v311 "3.1.3-2" "3.1.3-3" "3.1.3-4"]
    fn client_identifier(t) {
        let mut options = t.staying();
        options.client_id = "clé".to_owned();
        let mut server = t.open(options);
        server.accept("00", "");
        for _ in 0..3 {
            let connect = server.comes_back("01");
            assert_eq!(connect.client_id, "clé");
        }
        assert!(server.encode(r#""clé""#).len() == 6);
    }

    /// The identifier that the server has assigned is used from then on.
    [v5 "3.1.3-2" "3.1.3-3"]
    fn assigned_client_identifier(t) {
        let mut options = t.options();
        options.client_id = String::new();
        let mut server = t.open(options);
        let connect = server.accept("00", r#"12 "given""#);
        assert_eq!(connect.client_id, "");
        assert_eq!(server.comes_back("01").client_id, "given");
    }

    /// 3.1.1: an empty identifier goes with Clean Session; a session that stays gets a name of its own.
    [v311 "3.1.3-7"]
    fn empty_client_identifier(t) {
        let mut options = t.options();
        options.client_id = String::new();
        t.open(options).expect(r#"10 <"MQTT" 04 02 003c 0000>"#);
        let mut options = t.staying();
        options.client_id = String::new();
        let mut server = t.open(options);
        let connect = server.accept("00", "");
        assert_eq!(connect_flags(&connect), 0);
        assert!(!connect.client_id.is_empty());
        let name = connect.client_id;
        assert_eq!(server.comes_back("01").client_id, name);
    }

    /// What a client asks of the server: as its options say, or not at all.
    [v5]
    fn properties_of_connect(t) {
        let mut options = t.options();
        options.receive_maximum = 7;
        options.packet_bytes_max = 1000;
        options.topic_alias_maximum = 3;
        options.session_expiry = Some(Duration::MAX);
        options.keep_alive = 0;
        let connect = t.open(options).expect(r#"10 <"MQTT" 05 ?? 0000 {..} "c">"#);
        assert_eq!(connect.number(0x21), Some(7));
        assert_eq!(connect.number(0x27), Some(1000));
        assert_eq!(connect.number(0x22), Some(3));
        assert_eq!(connect.number(0x11), Some(u32::MAX));
        let mut options = t.options();
        options.topic_alias_maximum = 0;
        options.session_expiry = Some(Duration::ZERO);
        let connect = t.open(options).expect("10 <..>");
        assert_eq!(connect.number(0x22), None);
        assert_eq!(connect.number(0x11), None);
    }

    /// Clean Start is 1 on the first connection and 0 on the next ones, unless the session is to stay.
    [v5]
    fn clean_start(t) {
        let mut server = t.open(t.options());
        assert_eq!(connect_flags(&server.accept("00", "")), 2);
        assert_eq!(connect_flags(&server.comes_back("01")), 0);
        let mut server = t.open(t.staying());
        assert_eq!(connect_flags(&server.accept("00", "")), 0);
    }

    /// With an authentication method, nothing but AUTH is sent before the CONNACK.
    [v5 "3.1.2-30"]
    fn nothing_but_auth_before_connack(t) {
        let mut server = authenticating(t.options());
        server.asks(&["a"], 1);
        server.publish("b", "x", 2);
        server.expect(r#"10 <"MQTT" 05 ?? 003c {..} "c">"#);
        server.nothing();
        server.send(r#"f0 <18 {15 "M" 16 0001 31}>"#);
        server.session.handle_authentication(server.now, Ok(Some(b"2".to_vec())));
        server.expect(r#"f0 <18 {15 "M" 16 0001 32}>"#);
        server.pass(Duration::from_secs(1));
        server.nothing();
        server.send(r#"20 <00 00 {15 "M"}>"#);
        server.session.handle_authentication(server.now, Ok(None));
        assert_eq!(server.packets().len(), 2);
    }
}

fn connect_flags(connect: &Packet) -> u8 {
    connect.bytes[1 + 1 + 6 + 1]
}

/// A client that authenticates with the method `M`.
fn authenticating(options: SessionOptions) -> Server {
    let mut server = Server::unopened(mqtt_conformance::Version::V5, options);
    server.open(Credentials {
        authentication: Some(Authentication {
            method: "M".to_owned(),
            data: None,
        }),
        ..Credentials::default()
    });
    server
}
