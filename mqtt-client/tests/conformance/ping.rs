//! Keep alive: sections 3.1.2.10 and 3.12.

use std::time::Duration;

use mqtt_client::session::Wanted;

use crate::packet::Kind;
use crate::test::tests;

tests! {
    /// A client that sends nothing else sends a PINGREQ before the keep alive is over, again and again.
    [v5 "3.1.2-20", v311 "3.1.2-23"]
    fn pingreq(t) {
        let mut options = t.options();
        options.keep_alive = 10;
        let mut server = t.connected_with(options, "");
        let mut pings = 0;
        for second in 1..=100 {
            server.pass(Duration::from_secs(1));
            for packet in server.packets() {
                assert_eq!(packet.kind, Kind::PingReq);
                pings += 1;
                server.send("d0 <>");
            }
            assert!(pings >= second / 10, "{pings} in {second} seconds");
        }
        assert!(pings < 20, "{pings} in 100 seconds");
        server.goes_on();
    }

    /// No two packets are further apart than the keep alive, whatever the server sends meanwhile.
    [v5 "3.1.2-20", v311 "3.1.2-23"]
    fn the_server_talks(t) {
        let mut options = t.options();
        options.keep_alive = 10;
        let mut server = t.connected_with(options, "");
        server.subscribe("a", 0);
        let mut silent = 0;
        for _ in 0..100 {
            server.pass(Duration::from_secs(1));
            silent += 1;
            for packet in server.packets() {
                assert_eq!(packet.kind, Kind::PingReq);
                server.send("d0 <>");
                silent = 0;
            }
            assert!(silent <= 10, "nothing was sent for {silent} seconds");
            server.send(r#"30 <"a" {} 'x'>"#);
        }
    }

    /// What the application publishes at QoS 0 shows only that the client is there; whether the server is,
    /// a PINGREQ asks. Without an answer, the client leaves.
    [v5, v311]
    fn no_pingresp(t) {
        let mut options = t.options();
        options.keep_alive = 10;
        let mut server = t.connected_with(options, "");
        let mut asked = false;
        for _ in 0..30 {
            server.publish("a", "x", 0);
            asked |= server.packets().iter().any(|packet| packet.kind == Kind::PingReq);
            server.pass(Duration::from_secs(1));
            if server.session.wanted() != Wanted::Connection {
                assert!(asked);
                return;
            }
        }
        panic!("the client still believes in the server");
    }

    /// A PINGRESP that nobody asked for does no harm.
    [v5, v311]
    fn pingresp_alone(t) {
        let mut server = t.connected();
        server.send("d0 <>");
        server.goes_on();
    }
}
