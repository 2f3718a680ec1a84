//! The session that outlives its connections: sections 3.1.2.4, 3.1.2.11.2 and 4.1.

use std::time::Duration;

use mqtt_client::outbox::Stored;
use mqtt_client::session::Credentials;
use mqtt_codec::PacketId;

use crate::packet::Kind;
use crate::server::Server;
use crate::test::tests;

tests! {
    /// All that is under way goes on with the next connection, each where it stood.
    [v5 "3.1.2-23" "4.1.0-1", v311 "3.1.2-4" "4.1.0-1" "4.1.0-2"]
    fn session_goes_on(t) {
        let mut server = t.connected_with(t.staying(), "");
        server.subscribe("a", 2);
        let (once, twice, taken) = (
            server.publish("b", "1", 1),
            server.publish("b", "2", 2),
            server.publish("b", "3", 2),
        );
        let sent = server.packets();
        server.send(&format!("50 <{:04x}>", sent[2].id()));
        server.expect("62 <..>");
        server.send(r#"34 <"a" 0009 {} 'x'>"#);
        server.take();
        server.expect("50 <0009 ..>");
        server.pass(Duration::from_secs(59));
        server.comes_back("01");
        let ids: Vec<u16> = sent.iter().map(|packet| packet.id()).collect();
        let again = server.packets();
        let mut seen: Vec<(Kind, u16)> = again.iter().map(|packet| (packet.kind, packet.id())).collect();
        seen.sort_by_key(|(_, id)| *id);
        assert_eq!(seen, [(Kind::Publish, ids[0]), (Kind::Publish, ids[1]), (Kind::PubRel, ids[2])]);
        // What was subscribed to is.
        server.send(r#"3c <"a" 0009 {} 'x'>"#);
        server.expect("50 <0009 ..>");
        assert!(server.message().is_none(), "the second time");
        server.send("62 <0009>");
        server.expect("70 <0009>");
        server.send(&format!("40 <{:04x}> 50 <{:04x}> 70 <{:04x}>", ids[0], ids[1], ids[2]));
        server.expect("62 <..>");
        server.send(&format!("70 <{:04x}>", ids[1]));
        for id in [once, twice, taken] {
            assert_eq!(server.published(id).unwrap().unwrap(), 0);
        }
        server.send(r#"30 <"a" {} 'y'>"#);
        assert_eq!(server.payloads(), ["y"]);
    }

    /// Nothing is forgotten while the connection is open, however long it is idle.
    [v5 "4.1.0-1", v311 "4.1.0-1" "4.1.0-2"]
    fn nothing_is_forgotten(t) {
        let mut options = t.options();
        options.keep_alive = 0;
        options.session_expiry = Some(Duration::ZERO);
        let mut server = t.connected_with(options, "");
        server.subscribe("a", 2);
        let message = server.publish("b", "1", 2);
        let id = server.packet().id();
        server.send(r#"34 <"a" 0009 {} 'x'>"#);
        server.take();
        server.expect("50 <0009 ..>");
        server.pass(Duration::from_secs(1_000_000));
        server.send(r#"3c <"a" 0009 {} 'x'>"#);
        server.expect("50 <0009 ..>");
        assert!(server.message().is_none());
        server.send(&format!("50 <{id:04x}>"));
        server.expect("62 <..>");
        server.send(&format!("70 <{id:04x}>"));
        assert!(server.published(message).unwrap().is_ok());
    }

    /// A new session knows nothing of an earlier one: what was received in that, even if an outbox has
    /// kept it.
    [v5 "3.1.2-4", v311 "3.1.2-6"]
    fn new_session(t) {
        let mut options = t.options();
        options.clean_start = Some(true);
        let mut server = Server::unopened(t.version, options);
        server.session.restore(Stored {
            received: [PacketId::new(9).unwrap()].into(),
            ..Stored::default()
        });
        server.open(Credentials::default());
        server.accept("00", "");
        server.commit();
        server.subscribe("a", 2);
        server.send(r#"34 <"a" 0009 {} 'x'>"#);
        assert_eq!(server.take().text().unwrap(), "x");
    }

    /// What belonged to a session that is over is not used in the next: a message that was under way is a
    /// new one, and what the server sends is new, too.
    [v5 "3.1.2-4", v311 "3.1.2-6"]
    fn state_is_not_used_again(t) {
        let mut server = t.connected();
        server.subscribe("a", 2);
        server.publish("b", "1", 1);
        server.expect(r#"32 <"b" ???? {} '1'>"#);
        server.send(r#"34 <"a" 0009 {} 'x'>"#);
        server.take();
        server.expect("50 <0009 ..>");
        server.comes_back("00");
        server.expect("82 <..>");
        server.expect(r#"32 <"b" ???? {} '1'>"#);
        server.send(r#"34 <"a" 0009 {} 'x'>"#);
        assert_eq!(server.payloads(), ["x"]);
    }

    /// A session that an outbox has kept goes on in another process: what was sent may have arrived, and
    /// goes again with its identifier; what was received is not received twice.
    [v5 "3.1.2-23", v311 "3.1.2-4"]
    fn session_of_an_earlier_process(t) {
        let mut server = Server::unopened(t.version, t.staying());
        server.session.restore(Stored::default());
        server.open(Credentials::default());
        server.accept("00", "");
        let mut kept = Stored::default();
        kept.apply(&server.commit());
        server.subscribe("a", 2);
        server.publish("b", "1", 1);
        server.publish("b", "2", 2);
        server.nothing();
        kept.apply(&server.commit());
        let sent = server.packets();
        server.send(r#"34 <"a" 0009 {} 'x'>"#);
        server.take();
        server.nothing();
        kept.apply(&server.commit());
        server.expect("50 <0009 ..>");
        server.send(&format!("50 <{:04x}>", sent[1].id()));
        server.nothing();
        kept.apply(&server.commit());
        server.expect("62 <..>");

        let mut server = Server::unopened(t.version, t.staying());
        server.session.restore(kept);
        server.open(Credentials::default());
        server.accept("01", "");
        server.commit();
        server.expect(&format!("62 <{:04x}>", sent[1].id()));
        server.expect(&format!(r#"3a <"b" {:04x} {{}} '1'>"#, sent[0].id()));
        server.subscribe("a", 2);
        server.send(r#"3c <"a" 0009 {} 'x'>"#);
        server.expect("50 <0009 ..>");
        assert!(server.message().is_none());
    }

    /// A client that asks for the session of an earlier process takes it for its own, though it knows
    /// nothing of it: whatever comes waits for who subscribes, and is acknowledged then. Strictly, to know
    /// nothing is to have no session; then sessions could not be resumed without an outbox.
    [v5, v311]
    fn session_of_an_earlier_process_without_an_outbox(t) {
        let mut server = t.open(t.staying());
        server.accept("01", "");
        server.send(r#"3c <"a" 0007 {} 'x'>"#);
        server.nothing();
        server.subscribe("a", 2);
        assert_eq!(server.take().text().unwrap(), "x");
        server.expect("50 <0007 ..>");
        server.send("62 <0007>");
        server.expect("70 <0007>");
    }
}
