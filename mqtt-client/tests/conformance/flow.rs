//! Receive Maximum and Maximum Packet Size: sections 3.3.4 and 4.9.

use crate::packet::Kind;
use crate::server::Server;
use crate::test::tests;

tests! {
    /// No more messages of QoS 1 and 2 are under way than the server's Receive Maximum. PUBACK, PUBCOMP
    /// and a PUBREC that refuses make room; a PUBREC that does not makes none.
    [v5 "3.3.4-7" "4.9.0-1" "4.9.0-2"]
    fn receive_maximum(t) {
        let mut server = t.connected_with(t.options(), "21 0003");
        for number in 0..8 {
            server.publish("a", &number.to_string(), 1 + number % 2);
        }
        let sent = server.packets();
        assert_eq!(payloads(&sent), ["0", "1", "2"]);
        server.send(&format!("50 <{:04x}>", sent[1].id()));
        server.expect(&format!("62 <{:04x} ..>", sent[1].id()));
        server.nothing();
        server.send(&format!("70 <{:04x}>", sent[1].id()));
        let next = server.packet();
        assert_eq!(next.payload, b"3");
        server.nothing();
        server.send(&format!("50 <{:04x} 97>", next.id()));
        assert_eq!(server.packet().payload, b"4");
        server.nothing();
        server.send(&format!("40 <{:04x}>", sent[0].id()));
        assert_eq!(server.packet().payload, b"5");
        server.nothing();
        // An acknowledgement that comes twice makes room once.
        server.send(&format!("40 <{:04x}>", sent[0].id()));
        server.nothing();
    }

    /// It holds after a reconnection, too, for what is sent again and what was released.
    [v5 "3.3.4-7" "4.9.0-1" "4.9.0-2"]
    fn receive_maximum_of_a_resumed_session(t) {
        let mut server = t.connected_with(t.staying(), "21 0004");
        for number in 0..8 {
            server.publish("a", &number.to_string(), 2);
        }
        let sent = server.packets();
        assert_eq!(sent.len(), 4);
        server.send(&format!("50 <{:04x}>", sent[0].id()));
        server.expect("62 <..>");
        server.comes_back_with("01", "21 0002");
        server.expect(&format!("62 <{:04x} ..>", sent[0].id()));
        assert_eq!(payloads(&server.packets()), ["1"]);
        server.send(&format!("70 <{:04x}>", sent[0].id()));
        assert_eq!(payloads(&server.packets()), ["2"]);
        server.send(&format!("50 <{:04x} 80>", sent[1].id()));
        assert_eq!(payloads(&server.packets()), ["3"]);
        server.send(&format!("50 <{:04x} 80>", sent[2].id()));
        assert_eq!(payloads(&server.packets()), ["4"]);
    }

    /// Nothing but messages of QoS 1 and 2 waits for the server's acknowledgements.
    [v5 "3.3.4-8" "4.9.0-3"]
    fn only_messages_wait(t) {
        let mut server = t.connected_with(t.options(), "21 0001");
        let subscription = server.subscribe("a", 2);
        server.publish("b", "1", 1);
        server.publish("b", "2", 1);
        server.expect(r#"32 <"b" ???? {} '1'>"#);
        server.nothing();
        server.send(r#"32 <"a" 0001 {} 'x'>"#);
        server.take();
        server.expect("40 <0001 ..>");
        server.send(r#"34 <"a" 0002 {} 'x'>"#);
        server.take();
        server.expect("50 <0002 ..>");
        server.send("62 <0002>");
        server.expect("70 <0002 ..>");
        server.asks(&["c"], 1);
        server.expect("82 <..>");
        server.session.unsubscribe(server.now, subscription);
        server.expect("a2 <..>");
        server.pass(std::time::Duration::from_secs(60));
        assert_eq!(server.packet().kind, Kind::PingReq);
        server.nothing();
    }

    /// A server that sends more than the client's Receive Maximum: 0x93.
    [v5 "3.3.4-9"]
    fn receive_maximum_exceeded(t) {
        let mut options = t.options();
        options.receive_maximum = 2;
        let mut server = t.connected_with(options.clone(), "");
        server.subscribe("a", 2);
        server.send(r#"32 <"a" 0001 {} '1'>"#);
        server.send(r#"34 <"a" 0002 {} '2'>"#);
        server.send(r#"30 <"a" {} '0'>"#);
        server.goes_on();
        server.send(r#"32 <"a" 0003 {} '3'>"#);
        server.closes(0x93);

        // A PUBACK and a PUBCOMP make room.
        let mut server = t.connected_with(options, "");
        server.subscribe("a", 2);
        for number in 1..10 {
            server.send(&format!(r#"32 <"a" {number:04x} {{}} 'x'>"#));
            server.send(&format!(r#"34 <"a" {:04x} {{}} 'x'>"#, 0x100 + number));
            server.take();
            server.take();
            server.expect("40 <..>");
            server.expect("50 <..>");
            server.send(&format!("62 <{:04x}>", 0x100 + number));
            server.expect("70 <..>");
        }
        server.goes_on();
    }

    /// What the server sends again on a new connection counts anew. In a session that goes on, more is borne:
    /// Mosquitto does not count what it sends again, and to close the connection would begin it anew.
    [v5 "3.3.4-9"]
    fn receive_maximum_counts_anew(t) {
        let mut options = t.staying();
        options.receive_maximum = 2;
        let mut server = t.connected_with(options, "");
        server.subscribe("a", 2);
        server.send(r#"32 <"a" 0001 {} '1'>"#);
        server.send(r#"34 <"a" 0002 {} '2'>"#);
        server.comes_back("01");
        server.send(r#"3a <"a" 0001 {} '1'>"#);
        server.send(r#"3c <"a" 0002 {} '2'>"#);
        server.goes_on();
        server.send(r#"32 <"a" 0003 {} '3'>"#);
        server.goes_on();
        assert_eq!(server.payloads(), ["1", "2", "3"]);
    }

    /// Without acknowledgements by the application, the server is not told that there is room.
    [v5, v311]
    fn the_application_makes_room(t) {
        let mut server = t.connected();
        server.subscribe("a", 1);
        server.send(r#"32 <"a" 0001 {} 'x'>"#);
        server.nothing();
        server.take();
        server.expect("40 <0001 ..>");
    }

    /// A packet larger than the client's Maximum Packet Size: 0x95, before all of it has come.
    [v5 "3.1.2-24"]
    fn packet_too_large(t) {
        let mut options = t.options();
        options.packet_bytes_max = 100;
        let mut server: Server = t.connected_with(options, "");
        server.subscribe("a", 0);
        let fits = format!(r#"30 <"a" {{}} '{}'>"#, "x".repeat(94));
        assert_eq!(server.encode(&fits).len(), 100);
        server.send(&fits);
        assert_eq!(server.take().payload.len(), 94);
        let over = server.encode(&format!(r#"30 <"a" {{}} '{}'>"#, "x".repeat(95)));
        server.send_bytes(&over[..10]);
        server.closes(0x95);
    }
}

fn payloads(packets: &[crate::packet::Packet]) -> Vec<String> {
    packets
        .iter()
        .map(|packet| String::from_utf8(packet.payload.clone()).unwrap())
        .collect()
}
