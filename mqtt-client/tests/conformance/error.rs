//! What ends a connection: section 4.13 of 5.0, and 4.8 of 3.1.1.

use mqtt_client::outbox::{OutboxError, Stored};
use mqtt_client::session::{Credentials, Event, Wanted};

use crate::server::Server;
use crate::test::tests;

tests! {
    /// A DISCONNECT of the server, whatever its reason, is the end of the connection; before 5.0 a server
    /// has none.
    [v5 "4.13.2-1", v311 "4.8.0-1"]
    fn disconnect_of_the_server(t) {
        let reasons: &[u8] = if t.is_v5() {
            &[
                0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94,
                0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
            ]
        } else {
            &[0x00]
        };
        for reason in reasons {
            let mut server = t.connected();
            server.publish("a", "x", 1);
            server.packets();
            if t.is_v5() {
                server.send(&format!("e0 <{reason:02x} {{}}>"));
            } else {
                server.send("e0 <>");
            }
            server.closes_silently();
        }
    }

    /// When the client says why it leaves, it leaves: it reads nothing more, and comes back on a new
    /// connection.
    [v5 "4.13.2-1", v311 "4.8.0-1"]
    fn the_client_leaves(t) {
        let mut server = t.connected();
        server.subscribe("a", 1);
        server.send("c0 <>");
        server.send(r#"30 <"a" {} 'x'>"#);
        assert!(server.message().is_none());
        server.closes(0x82);
        server.break_connection();
        server.open(Credentials::default());
        server.accept("00", "");
        server.expect("82 <..>");
    }

    /// What one packet breaks, it breaks alone: all that came before it counts.
    [v5, v311]
    fn what_came_before_counts(t) {
        let mut server = t.connected();
        server.subscribe("a", 0);
        let mut bytes = server.encode(r#"30 <"a" {} 'x'>"#);
        bytes.extend(server.encode("c0 <>"));
        bytes.extend(server.encode(r#"30 <"a" {} 'y'>"#));
        server.send_bytes(&bytes);
        assert_eq!(server.payloads(), ["x"]);
        server.closes(0x82);
    }

    /// A transient error, here of the outbox: the connection ends, and nothing is promised.
    [v5, v311 "4.8.0-2"]
    fn transient_error(t) {
        let mut server = Server::unopened(t.version, t.staying());
        server.session.restore(Stored::default());
        server.open(Credentials::default());
        server.accept("00", "");
        server.commit();
        server.subscribe("a", 2);
        server.send(r#"34 <"a" 0001 {} 'x'>"#);
        server.take();
        server.nothing();
        server.session.take_changes();
        let error = OutboxError::failed("no space left");
        server.session.handle_committed(server.now, Err(error));
        assert_eq!(server.session.wanted(), Wanted::End);
        server.nothing();
        let ended = server.take_event(|event| match event {
            Event::Ended(ended) => Some(ended.to_string()),
            _ => None,
        });
        assert!(ended.expect("the end").contains("no space left"));
    }
}
