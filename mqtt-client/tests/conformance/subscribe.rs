//! SUBSCRIBE and SUBACK: sections 3.8 and 3.9.

use mqtt_client::session::Wanted;
use mqtt_client::{Properties, QoS, RetainHandling, SubscriptionOptions, TopicFilter};

use crate::test::tests;

tests! {
    /// SUBSCRIBE has the flags 0010, filters in UTF-8, and their options.
    [v5 "3.8.1-1" "3.8.3-1", v311 "3.8.1-1" "3.8.3-1"]
    fn subscribe(t) {
        let mut options = t.options();
        options.keep_alive = 0;
        let mut server = t.connected_with(options, "29 00");
        server.asks(&["é/+", "b/#"], 1);
        server.expect(r#"82 <???? {} "é/+" 01 "b/#" 01>"#);
        let options = SubscriptionOptions {
            qos: QoS::ExactlyOnce,
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::DoNotSend,
        };
        let filter = TopicFilter::from_text("c").unwrap();
        server.session.subscribe(server.now, vec![(filter, options)], &Properties::default()).unwrap();
        server.expect(&format!(r#"82 <???? {{}} "c" {}>"#, if t.is_v5() { "2e" } else { "02" }));
    }

    /// A SUBSCRIBE has at least one filter.
    [v5 "3.8.3-2", v311 "3.8.3-3"]
    fn no_filter(t) {
        let mut server = t.connected();
        let none = server.session.subscribe(server.now, Vec::new(), &Properties::default());
        assert!(none.is_err());
        server.goes_on();
    }

    /// No Local is not set on a shared subscription.
    [v5 "3.8.3-4"]
    fn no_local_on_a_shared_subscription(t) {
        let mut server = t.connected();
        let options = SubscriptionOptions {
            no_local: true,
            ..SubscriptionOptions::of_qos(QoS::AtLeastOnce)
        };
        let filter = TopicFilter::from_text("$share/g/a").unwrap();
        let refused = server.session.subscribe(server.now, vec![(filter, options)], &Properties::default());
        assert!(refused.is_err());
        server.goes_on();
    }

    /// A SUBACK answers the SUBSCRIBE with its packet identifier, in any order; one without is a protocol
    /// error.
    [v5 "2.2.1-6", v311 "2.3.1-7"]
    fn identifier_of_suback(t) {
        let mut server = t.connected();
        let (first, second) = (server.asks(&["a"], 1), server.asks(&["b"], 2));
        let packets = server.packets();
        assert_eq!(packets.len(), 2);
        server.send(&format!("90 <{:04x} {{}} 02>", packets[1].id()));
        assert!(server.subscribed(first).is_none());
        assert_eq!(server.subscribed(second).unwrap().unwrap(), [Ok(2)]);
        server.send(&format!("90 <{:04x} {{}} 01>", packets[0].id()));
        assert_eq!(server.subscribed(first).unwrap().unwrap(), [Ok(1)]);
        server.send(&format!("90 <{:04x} {{}} 01>", packets[0].id()));
        server.closes(0x82);

        let mut server = t.connected();
        server.asks(&["a"], 1);
        let id = server.packet().id() ^ 0x5555;
        server.send(&format!("90 <{id:04x} {{}} 01>"));
        server.closes(0x82);
    }

    /// A SUBACK has a reason code for each filter, no more and no fewer.
    [v5 "3.8.4-6", v311 "3.8.4-5"]
    fn number_of_reason_codes(t) {
        for codes in ["", "01", "01 01 01"] {
            let mut server = t.connected();
            let subscription = server.asks(&["a", "b"], 1);
            let id = server.packet().id();
            server.send(&format!("90 <{id:04x} {{}} {codes}>"));
            server.closes(0x82);
            assert!(server.subscribed(subscription).is_none());
        }
    }

    /// A reason code that a SUBACK does not have is malformed.
    [v5 "3.9.3-2", v311 "3.9.3-2"]
    fn reason_codes_of_suback(t) {
        let right: &[u8] = if t.is_v5() {
            &[0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2]
        } else {
            &[0, 1, 2, 0x80]
        };
        for code in 0..=255_u8 {
            let mut server = t.connected();
            let subscription = server.asks(&["a"], 2);
            let id = server.packet().id();
            server.send(&format!("90 <{id:04x} {{}} {code:02x}>"));
            if right.contains(&code) {
                server.goes_on();
                let told = server.subscribed(subscription).expect("an answer");
                assert_eq!(told.is_ok(), code < 3, "{code:02x}");
            } else {
                server.closes(0x81);
            }
        }
    }

    /// Each filter has its own answer, in the order in which they were asked for.
    [v5, v311]
    fn answers_are_in_order(t) {
        let mut server = t.connected();
        let subscription = server.asks(&["a", "b", "c"], 2);
        let id = server.packet().id();
        server.send(&format!("90 <{id:04x} {{}} 02 80 00>"));
        assert_eq!(server.subscribed(subscription).unwrap().unwrap(), [Ok(2), Err(0x80), Ok(0)]);
        assert_eq!(server.session.wanted(), Wanted::Connection);
    }
}
