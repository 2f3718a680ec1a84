//! CONNACK: section 3.2, and what it makes the client do.

use std::time::Duration;

use mqtt_client::session::{Credentials, Wanted};
use mqtt_client::{Error, Property};

use crate::packet::Kind;
use crate::server::{message, properties};
use crate::test::tests;

tests! {
    /// Anything but a CONNACK, or AUTH in an authentication, ends an attempt to connect.
    [v5 "3.2.0-1", v311 "3.2.0-1"]
    fn connack_is_first(t) {
        let suback = "90 <0001 {} 00>";
        for packet in [r#"30 <"a" {} 'x'>"#, "40 <0001>", "62 <0001>", suback, "d0 <>"] {
            let mut server = t.open(t.options());
            server.expect("10 <..>");
            server.send(packet);
            server.closes_silently();
            assert!(server.message().is_none());
        }
    }

    /// A second CONNACK is a protocol error.
    [v5 "3.2.0-2", v311]
    fn second_connack(t) {
        let mut server = t.connected();
        server.send("20 <00 00 {}>");
        server.closes(0x82);
    }

    /// Reserved bits of the connect acknowledge flags are 0.
    [v5 "3.2.2-1", v311]
    fn reserved_acknowledge_flags(t) {
        for flags in ["02", "80", "81"] {
            let mut server = t.open(t.options());
            server.expect("10 <..>");
            server.send(&format!("20 <{flags} 00 {{}}>"));
            server.closes_silently();
        }
    }

    /// A session that is there although a new one was asked for: the client leaves.
    [v5 "3.2.2-2" "3.2.2-4", v311 "3.2.2-1"]
    fn session_present_of_a_new_session(t) {
        let mut server = t.open(t.options());
        server.expect("10 <..>");
        server.send("20 <01 00 {}>");
        server.closes_silently();
        assert_eq!(server.session.counters().connections, 0);
    }

    /// The server has lost the session: the client forgets its own. Nothing is sent again as if it were
    /// known, what was subscribed to is subscribed to anew, and identifiers of the server mean nothing.
    [v5 "3.2.2-5", v311]
    fn session_is_lost(t) {
        let mut server = t.connected_with(t.staying(), "");
        server.subscribe("a", 2);
        server.send(r#"34 <"a" 0009 {} 'old'>"#);
        let old = server.message().unwrap();
        server.done(&old);
        server.expect("50 <0009 ..>");
        server.send(r#"32 <"a" 0008 {} 'held'>"#);
        let held = server.message().unwrap();
        server.publish("b", "x", 1);
        server.publish("c", "y", 2);
        let released = server.packets().pop().unwrap().id();
        server.send(&format!("50 <{released:04x}>"));
        server.expect("62 <..>");
        server.comes_back("00");
        let packets = server.packets();
        let kinds: Vec<Kind> = packets.iter().map(|packet| packet.kind).collect();
        assert_eq!(kinds, [Kind::Subscribe, Kind::Publish]);
        assert!(!packets[1].dup(), "{:?} is a new one", packets[1]);
        // An acknowledgement that is late finds nothing to acknowledge.
        server.done(&held);
        server.nothing();
        server.send(r#"34 <"a" 0009 {} 'new'>"#);
        assert_eq!(server.payloads(), ["new"]);
    }

    /// Nothing that was received in a session that is lost hides a message of the next one, not even one
    /// that looks the same, and comes only when that session is resumed.
    [v5 "3.2.2-5" "3.1.2-4", v311]
    fn what_a_lost_session_received(t) {
        let mut server = t.connected_with(t.staying(), "");
        server.subscribe("a", 2);
        server.send(r#"34 <"a" 0009 {} 'x'>"#);
        server.take();
        server.expect("50 <0009 ..>");
        server.comes_back("00");
        server.expect("82 <..>");
        server.comes_back("01");
        server.packets();
        server.send(r#"3c <"a" 0009 {} 'x'>"#);
        assert_eq!(server.payloads(), ["x"]);
    }

    /// A refusal with Session Present is a protocol error, and a refusal: the client does not stay.
    [v5 "3.2.2-6", v311 "3.2.2-4"]
    fn session_present_of_a_refusal(t) {
        let mut server = t.open(t.staying());
        server.expect("10 <..>");
        let code = if t.is_v5() { "87" } else { "05" };
        server.send(&format!("20 <01 {code} {{}}>"));
        server.closes_silently();
        let ended = server.session.ended().map(ToString::to_string).unwrap_or_default();
        assert!(!ended.contains("authorized"), "it was taken for a refusal: {ended}");
    }

    /// A reason code that a CONNACK does not have is malformed.
    [v5 "3.2.2-8", v311]
    fn reason_code_of_connack(t) {
        let codes = if t.is_v5() { ["01", "8b", "92", "ff"] } else { ["06", "80", "87", "ff"] };
        for code in codes {
            let mut server = t.open(t.options());
            server.expect("10 <..>");
            server.send(&format!("20 <00 {code} {{}}>"));
            server.closes_silently();
            assert!(server.session.connected().is_none());
        }
    }

    /// After each refusal, the connection is closed, and nothing is sent on it any more.
    [v5 "4.13.2-1", v311]
    fn refusals_close(t) {
        let codes: &[u8] = if t.is_v5() {
            &[
                0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95,
                0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
            ]
        } else {
            &[1, 2, 3, 4, 5]
        };
        for code in codes {
            let mut server = t.open(t.options());
            server.publish("a", "x", 1);
            server.expect("10 <..>");
            server.send(&format!("20 <00 {code:02x} {{}}>"));
            server.closes_silently();
        }
    }

    /// Maximum QoS: nothing above it is sent, whether it was published before the CONNACK or after.
    [v5 "3.2.2-11"]
    fn maximum_qos(t) {
        let mut server = t.open(t.options());
        let early = server.publish("a", "2", 2);
        server.publish("a", "1", 1);
        server.accept("00", "24 01");
        server.expect(r#"32 <"a" ???? {} '1'>"#);
        server.nothing();
        assert!(matches!(server.published(early), Some(Err(Error::Unsupported(_)))));
        let error = server.publish_fails(message("a", "", 2));
        assert!(matches!(error, Error::Unsupported(_)), "{error}");
        server.publish("a", "0", 0);
        server.expect(r#"30 <"a" {} '0'>"#);

        let mut server = t.connected_with(t.options(), "24 00");
        server.publish_fails(message("a", "", 1));
        server.publish("a", "0", 0);
        server.expect(r#"30 <"a" {} '0'>"#);
    }

    /// A message in flight that the server takes no longer fails; the connection goes on.
    [v5 "3.2.2-11" "3.2.2-14" "3.2.2-15"]
    fn what_a_server_takes_may_shrink(t) {
        let mut server = t.connected_with(t.staying(), "");
        let two = server.publish("a", "2", 2);
        let mut kept = message("a", "kept", 1);
        kept.retain = true;
        let kept = server.publish_message(kept);
        let large = server.publish("a", &"x".repeat(200), 1);
        let small = server.publish("a", "1", 1);
        assert_eq!(server.packets().len(), 4);
        server.comes_back_with("01", "24 01 25 00 27 00000080");
        server.expect(r#"3a <"a" ???? {} '1'>"#);
        // The server may have it from before: so it can forget it.
        server.expect("62 <0001 ..>");
        server.nothing();
        for id in [two, kept, large] {
            assert!(matches!(server.published(id), Some(Err(_))));
        }
        assert!(server.published(small).is_none());
    }

    /// Retain Available 0: no message is sent with RETAIN.
    [v5 "3.2.2-14"]
    fn retain_available(t) {
        let retained = || {
            let mut retained = message("a", "kept", 1);
            retained.retain = true;
            retained
        };
        let mut server = t.open(t.options());
        let early = server.publish_message(retained());
        server.accept("00", "25 00");
        server.nothing();
        assert!(matches!(server.published(early), Some(Err(Error::Unsupported(_)))));
        server.publish_fails(retained());
        let mut server = t.connected_with(t.options(), "25 01");
        server.publish_message(retained());
        server.expect(r#"33 <"a" ???? {} 'kept'>"#);
    }

    /// Maximum Packet Size: no PUBLISH is larger, and one that is as large is sent.
    [v5 "3.2.2-15"]
    fn maximum_packet_size(t) {
        let mut server = t.open(t.options());
        let early = server.publish("a", &"x".repeat(100), 1);
        server.accept("00", "27 00000064");
        server.nothing();
        assert!(matches!(server.published(early), Some(Err(Error::TooLarge { .. }))));
        let mut sizes = Vec::new();
        for length in 0..110 {
            let sent = server.session.publish(server.now, message("a", &"x".repeat(length), 0));
            for packet in server.packets() {
                sizes.push(packet.bytes.len());
            }
            assert!(sent.is_ok() || length > 70, "{length} bytes are refused");
        }
        assert!(sizes.iter().all(|size| *size <= 100), "{sizes:?}");
        server.goes_on();
    }

    /// Maximum Packet Size holds for all packets: subscriptions that share one, an AUTH, a DISCONNECT.
    [v5 "3.2.2-15" "3.14.2-3" "3.14.2-4"]
    fn maximum_packet_size_of_other_packets(t) {
        let filters: Vec<String> = (0..10).map(|number| format!("{number}/{}", "f".repeat(30))).collect();
        // Without subscription identifiers, several subscriptions share a SUBSCRIBE.
        let mut server = t.open(t.options());
        let mut subscriptions = Vec::new();
        for filter in &filters {
            subscriptions.push(server.asks(&[filter], 1));
        }
        server.accept("00", "27 00000064 29 00");
        let mut asked = 0;
        for packet in server.packets() {
            assert!(packet.bytes.len() <= 100, "{packet:?}");
            asked += packet.filters.len();
            let codes = "01 ".repeat(packet.filters.len());
            server.send(&format!("90 <{:04x} {{}} {codes}>", packet.id()));
        }
        assert_eq!(asked, 10);
        let options = mqtt_client::SubscriptionOptions::of_qos(mqtt_client::QoS::AtLeastOnce);
        let all = filters.iter().map(|filter| {
            (mqtt_client::TopicFilter::from_text(filter).unwrap(), options)
        });
        // One subscription with all of them fits into no packet.
        let id = server.session.subscribe(server.now, all.collect(), &properties([])).unwrap();
        server.nothing();
        assert!(matches!(server.subscribed(id), Some(Err(Error::TooLarge { .. }))));
        for id in subscriptions {
            server.session.unsubscribe(server.now, id);
        }
        for packet in server.packets() {
            assert!(packet.bytes.len() <= 100, "{packet:?}");
        }
        let text = "r".repeat(100);
        let text = mqtt_codec::Text::from_string(text.as_str()).unwrap();
        let how = mqtt_client::session::Disconnecting {
            drain: Duration::ZERO,
            properties: properties([Property::ReasonString(text.as_view())]),
            ..mqtt_client::session::Disconnecting::default()
        };
        server.session.disconnect(server.now, how);
        let disconnect = server.packet();
        assert_eq!(disconnect.kind, Kind::Disconnect);
        assert!(disconnect.bytes.len() <= 100, "{disconnect:?}");
    }

    /// Topic aliases go up to the server's Topic Alias Maximum, and begin anew with each connection.
    [v5 "3.2.2-17" "3.3.2-9" "3.3.2-8"]
    fn topic_alias_maximum(t) {
        let mut server = t.connected_with(t.options(), "22 0003");
        let mut highest = 0;
        for round in 0..20 {
            server.publish(&format!("a/long/topic/{}", round % 5), "x", 1);
            let packet = server.packet();
            if let Some(alias) = packet.number(0x23) {
                assert!((1..=3).contains(&alias), "{packet:?}");
                highest = highest.max(alias);
            }
            server.send(&format!("40 <{:04x}>", packet.id()));
        }
        assert_eq!(highest, 3, "all that there are, are used");
        server.publish("a/long/topic/0", "x", 1);
        server.comes_back_with("01", "22 0001");
        for packet in server.packets() {
            assert!(!packet.topic.is_empty(), "{packet:?} means an alias of old");
            assert!(packet.number(0x23).is_none_or(|alias| alias == 1));
        }
    }

    /// Without a Topic Alias Maximum, or with 0, there are no aliases.
    [v5 "3.2.2-18"]
    fn no_topic_alias_maximum(t) {
        for connack in ["", "22 0000"] {
            let mut server = t.connected_with(t.options(), connack);
            for _ in 0..10 {
                server.publish("a/long/topic/name", "x", 0);
                server.expect(r#"30 <"a/long/topic/name" 00 'x'>"#);
            }
        }
    }

    /// Server Keep Alive takes the place of the client's own, shorter or longer or none.
    [v5 "3.1.2-21" "3.2.2-21"]
    fn server_keep_alive(t) {
        let first_ping = |keep_alive: u16, connack: &str| {
            let mut options = t.options();
            options.keep_alive = keep_alive;
            let mut server = t.connected_with(options, connack);
            for second in 1..=1000_u64 {
                server.pass(Duration::from_secs(1));
                if let Some(ping) = server.packets().first() {
                    assert_eq!(ping.kind, Kind::PingReq);
                    return Some(second);
                }
            }
            None
        };
        for (keep_alive, connack, latest) in [(60, "13 000a", 10), (10, "13 0064", 100), (0, "13 000a", 10)] {
            let ping = first_ping(keep_alive, connack).expect("a PINGREQ");
            assert!(ping <= latest && ping > latest / 2, "{ping} s of {latest}");
        }
        assert_eq!(first_ping(60, "13 0000"), None);
        assert_eq!(first_ping(0, ""), None);
    }

    /// A server that takes an empty client identifier and assigns none breaks the protocol.
    [v5 "3.2.2-16"]
    fn no_client_identifier_assigned(t) {
        let mut options = t.options();
        options.client_id = String::new();
        let mut server = t.open(options);
        server.expect("10 <..>");
        server.send("20 <00 00 {}>");
        server.closes_silently();
        assert!(server.session.connected().is_none());
    }

    /// A refusal that another attempt would meet again ends the client; others do not.
    [v5, v311]
    fn final_refusals(t) {
        let (last, passing) = if t.is_v5() { ("87", "88") } else { ("05", "03") };
        let mut server = t.open(t.options());
        server.expect("10 <..>");
        server.send(&format!("20 <00 {last} {{}}>"));
        assert_eq!(server.session.wanted(), Wanted::End);
        let mut server = t.open(t.options());
        server.expect("10 <..>");
        server.send(&format!("20 <00 {passing} {{}}>"));
        server.open(Credentials::default());
        server.accept("00", "");
    }
}
