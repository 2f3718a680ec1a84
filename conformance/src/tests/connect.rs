//! 3.1 CONNECT: what is let in. Sessions, wills and keep alives have their own files.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::packet::Kind;
use crate::test::{connect, tests};

tests! {
    /// The first packet has to be a CONNECT: anything else ends the connection without a word.
    [v5 "3.1.0-1", v311 "3.1.0-1"]
    fn connect_comes_first(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        for packet in ["c000", "e000", r#"30 <"~/t" {} 'x'>"#, r#"82 <0001 {} "~/t" 00>"#, "20 <00 00 {}>"] {
            let mut client = t.open();
            client.send(packet);
            client.not_let_in([0x81, 0x82], []);
        }
        witness.quiet();
    }

    /// A second CONNECT is a protocol error.
    [v5 "3.1.0-2", v311 "3.1.0-2"]
    fn connect_comes_once(t) {
        let mut client = t.client("a");
        client.send(&connect(t.version, "a", "02", "", ""));
        client.refused(0x82);
    }

    /// Who names another protocol is not let in.
    [v5 "3.1.2-1", v311 "3.1.2-1"]
    fn protocol_name(t) {
        let level = if t.is_v5() { "05" } else { "04" };
        for name in ["MQTX", "mqtt", "MQTTT", "MQT", ""] {
            let mut client = t.open();
            client.send(&format!(r#"10 <"{name}" {level} 02 003c {{}} "~a">"#));
            client.closed_after_any_connack();
        }
    }

    /// Who speaks a version that is not spoken here is told so.
    [v5 "3.1.2-2", v311 "3.1.2-2"]
    fn protocol_version(t) {
        for level in ["00", "01", "02", "06", "7f", "ff"] {
            let mut client = t.open();
            client.send(&format!(r#"10 <"MQTT" {level} 02 003c {{}} "~a">"#));
            // Nobody knows in which version to answer.
            client.closed_after_any_connack();
        }
        if !t.is_v5() {
            let mut client = t.open();
            client.send(r#"10 <"MQTT" 02 02 003c "~a">"#);
            client.turned_away([], 0x01);
        }
    }

    /// The reserved flag of a CONNECT has to be 0.
    [v5 "3.1.2-3", v311 "3.1.2-3"]
    fn reserved_flag(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "03", "", ""));
        client.turned_away(0x81, []);
    }

    /// The fields of the payload come in their order, and each is what it should be.
    [v5 "3.1.3-1", v311 "3.1.3-1"]
    fn fields_come_in_order(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/#", 0);
        let fields = r#"{} "~/will" "message" "user" "password""#;
        let client = t.client_with("a", "c6", "", fields);
        client.vanish();
        witness.message("~/will", "message");
    }

    /// The client identifier has to be there.
    [v5 "3.1.3-3", v311 "3.1.3-3"]
    fn client_identifier_is_there(t) {
        let protocol = if t.is_v5() { r#""MQTT" 05"# } else { r#""MQTT" 04"# };
        let mut client = t.open();
        client.send(&format!("10 <{protocol} 02 003c {{}}>"));
        client.turned_away(0x81, []);
    }

    /// The client identifier has to be UTF-8.
    [v5 "3.1.3-4", v311 "3.1.3-4"]
    fn client_identifier_is_utf_8(t) {
        let protocol = if t.is_v5() { r#""MQTT" 05"# } else { r#""MQTT" 04"# };
        for id in ["0002 61ff", "0003 eda080", "0003 610062"] {
            let mut client = t.open();
            client.send(&format!("10 <{protocol} 02 003c {{}} {id}>"));
            client.turned_away([0x81, 0x85], []);
        }
    }

    /// Client identifiers of up to 23 letters and digits are good.
    [v5 "3.1.3-5", v311 "3.1.3-5"]
    fn client_identifiers_that_have_to_be_allowed(t) {
        let all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        for start in (0..all.len()).step_by(13) {
            let part = &all[start..all.len().min(start + 13)];
            t.client(part).quiet();
        }
        let longest = "A".repeat(23 - t.name.len());
        t.client(&longest).quiet();
        let one = if t.is_v5() { "5" } else { "4" };
        let mut client = t.open();
        client.send(&connect(t.version, "", "02", "", "").replace("\"~\"", &format!("\"{one}\"")));
        client.expect("20 <00 00 {..}>");
    }

    /// Clients without an identifier are given one each, and 5.0 tells them.
    [v5 "3.1.3-6" "3.1.3-7", v311 "3.1.3-6"]
    fn client_identifier_of_no_length(t) {
        let nameless = connect(t.version, "", "02", "", "").replace("\"~\"", "\"\"");
        let mut first = t.open();
        first.send(&nameless);
        let one = first.expect("20 <00 00 {..}>");
        let mut second = t.open();
        second.send(&nameless);
        let other = second.expect("20 <00 00 {..}>");
        // Two clients, none of which has taken over the other.
        first.subscribe("~/t", 0);
        second.publish("~/t", 0, "x");
        first.message("~/t", "x");
        if t.is_v5() {
            let id = |packet: &crate::packet::Packet| packet.property(0x12).cloned();
            assert!(id(&one).is_some_and(|id| !id.value.is_empty()), "no assigned identifier");
            assert_ne!(id(&one), id(&other));
        }
    }

    /// The identifier that was assigned is a client's own: it comes back with it to its session.
    [v5 "3.1.3-7"]
    fn assigned_identifier_can_be_used(t) {
        let mut client = t.open();
        client.send(r#"10 <"MQTT" 05 00 003c <11 000003e8> "">"#);
        let connack = client.expect("20 <00 00 {..}>");
        let id = connack.property(0x12).expect("an assigned client identifier").value.clone();
        client.vanish();
        let id = String::from_utf8(id).expect("the reader has looked");
        let mut client = t.open();
        client.send(&format!(r#"10 <"MQTT" 05 00 003c <> "{id}">"#));
        client.expect("20 <01 00 {..}>");
    }

    /// Before 5.0, a client without an identifier and without a clean session is refused.
    [v311 "3.1.3-7" "3.1.3-8" "3.1.3-9"]
    fn no_identifier_and_no_clean_session(t) {
        let mut client = t.open();
        client.send(r#"10 <"MQTT" 04 00 003c "">"#);
        client.turned_away([], 0x02);
    }

    /// The topic of a will has to be UTF-8.
    [v5 "3.1.3-11", v311 "3.1.3-10"]
    fn will_topic_is_utf_8(t) {
        for topic in ["0002 61ff", "0003 eda080", "0003 610062"] {
            let mut client = t.open();
            client.send(&connect(t.version, "a", "06", "", &format!(r#"{{}} {topic} "x""#)));
            client.turned_away(0x81, []);
        }
    }

    /// The user name has to be UTF-8.
    [v5 "3.1.3-12", v311 "3.1.3-11"]
    fn user_name_is_utf_8(t) {
        for name in ["0002 61ff", "0003 eda080", "0003 610062"] {
            let mut client = t.open();
            client.send(&connect(t.version, "a", "82", "", name));
            client.turned_away(0x81, []);
        }
    }

    /// A user name that no flag announces is too much.
    [v5 "3.1.2-16", v311 "3.1.2-18"]
    fn user_name_without_its_flag(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "02", "", r#""user""#));
        client.turned_away(0x81, []);
    }

    /// A user name that is announced has to be there.
    [v5 "3.1.2-17", v311 "3.1.2-19"]
    fn user_name_flag_without_a_user_name(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "82", "", ""));
        client.turned_away(0x81, []);
    }

    /// A password that no flag announces is too much.
    [v5 "3.1.2-18", v311 "3.1.2-20"]
    fn password_without_its_flag(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "82", "", r#""user" "password""#));
        client.turned_away(0x81, []);
    }

    /// A password that is announced has to be there.
    [v5 "3.1.2-19", v311 "3.1.2-21"]
    fn password_flag_without_a_password(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "c2", "", r#""user""#));
        client.turned_away(0x81, []);
    }

    /// Before 5.0, there is no password without a user name.
    [v311 "3.1.2-22"]
    fn password_without_user_name(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "42", "", r#""password""#));
        client.turned_away([], []);
    }

    /// In 5.0, a password needs no user name.
    [v5]
    fn password_alone(t) {
        t.client_with("a", "42", "", r#""password""#).quiet();
    }

    /// A CONNECT that goes on behind its end, or ends too early, is no CONNECT.
    [v5 "3.1.4-1", v311 "3.1.4-1"]
    fn connect_has_its_format(t) {
        let level = if t.is_v5() { "05" } else { "04" };
        let packets = [
            connect(t.version, "a", "02", "", "00"),
            format!(r#"10 <"MQTT" {level} 02>"#),
            format!(r#"10 <"MQTT" {level} 02 003c>"#),
            format!(r#"10 <"MQTT" {level} 02 003c {{}} 0009 61>"#),
        ];
        for packet in packets {
            let mut client = t.open();
            client.send(&packet);
            client.turned_away(0x81, []);
        }
    }

    /// A client that connects with the identifier of one that is there takes its place.
    [v5 "3.1.4-3", v311 "3.1.4-2"]
    fn takeover(t) {
        let mut old = t.client("a");
        let mut new = t.client("a");
        old.refused(0x8E);
        new.quiet();
    }

    /// A CONNECT that is good is answered with success.
    [v5 "3.1.4-5", v311 "3.1.4-4"]
    fn success(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "02", "", ""));
        let connack = client.packet_of(Kind::ConnAck);
        assert_eq!(connack.reason(), 0);
    }

    /// What a client sends behind a CONNECT that is refused is not looked at.
    [v5 "3.1.4-6", v311 "3.1.4-5"]
    fn nothing_is_done_after_a_refusal(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        let mut client = t.open();
        let refused = connect(t.version, "a", "03", "", "");
        client.send(&format!(r#"{refused} 30 <"~/t" {{}} 'never'>"#));
        client.turned_away(0x81, []);
        if !t.is_v5() {
            let mut client = t.open();
            client.send(r#"10 <"MQTT" 04 00 003c ""> 30 <"~/t" 'never'>"#);
            client.turned_away([], 0x02);
        }
        witness.quiet();
    }

    /// A client that sends nothing for one and a half times its keep alive is lost, and its will
    /// tells so. One that sends anything in time is not.
    [v5 "3.1.2-20" "3.1.2-22" "3.2.2-22", v311 "3.1.2-23" "3.1.2-24"]
    fn keep_alive(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 0);
        let short = |id| connect(t.version, id, "06", "", r#"{} "~/will" "lost""#).replace("003c", "0001");
        let mut client = t.open();
        client.send(&short("a"));
        client.expect("20 <00 00 {..}>");
        // Any packet counts, not only a PINGREQ.
        for _ in 0..3 {
            client.silent_for(Duration::from_millis(900));
            client.send(r#"30 <"~/t" {} 'x'>"#);
        }
        for _ in 0..3 {
            client.silent_for(Duration::from_millis(900));
            client.pinged();
        }
        client.silent_for(Duration::from_millis(1200));
        client.refused(0x8D);
        witness.message("~/will", "lost");
    }

    /// A keep alive of zero is none.
    [v5, v311]
    fn keep_alive_of_zero(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "02", "", "").replace("003c", "0000"));
        let connack = client.expect("20 <00 00 {..}>");
        // A broker may set one of its own, and says so.
        if connack.property(0x13).is_none() {
            client.silent_for(Duration::from_secs(4));
            client.quiet();
        }
    }

    /// A packet that is larger than the client takes is dropped, and what comes after it is not.
    [v5 "3.1.2-24" "3.1.2-25"]
    fn maximum_packet_size(t) {
        let mut client = t.client_with("a", "02", "21 0001 27 00000028", "");
        client.subscribe("~/t", 1);
        let mut publisher = t.client("p");
        for qos in [0, 1] {
            publisher.publish("~/t", qos, &"large".repeat(10));
            publisher.publish("~/t", qos, "small");
        }
        client.message("~/t", "small");
        // It holds up nothing: with a Receive Maximum of 1, it would.
        let message = client.message("~/t", "small");
        client.acknowledge(&message);
        publisher.publish("~/t", 1, "next");
        client.message("~/t", "next");
        client.quiet();
    }

    /// A client gets topic aliases up to the maximum that it has given.
    [v5 "3.1.2-26" "3.3.2-11"]
    fn topic_aliases_up_to_the_maximum(t) {
        let mut client = t.client_with("a", "02", "22 0002", "");
        client.subscribe("~/#", 0);
        let mut topics = BTreeMap::new();
        for topic in ["~/1", "~/2", "~/3", "~/4", "~/1", "~/3", "~/2", "~/4"] {
            client.send(&format!(r#"30 <"{topic}" {{}} '{topic}'>"#));
            let message = client.packet_of(Kind::Publish);
            let alias = message.number(0x23);
            assert!(alias.is_none_or(|alias| alias == 1 || alias == 2), "{message:?}");
            let meant = match alias {
                Some(alias) if message.topic.is_empty() => topics[&alias],
                Some(alias) => {
                    topics.insert(alias, topic);
                    topic
                }
                None => topic,
            };
            assert_eq!(meant, topic);
        }
    }

    /// A client that has given no maximum of topic aliases gets none.
    [v5 "3.1.2-27"]
    fn no_topic_aliases(t) {
        for properties in ["", "22 0000"] {
            let mut client = t.client_with("a", "02", properties, "");
            client.subscribe("~/t", 0);
            for _ in 0..3 {
                client.send(r#"30 <"~/t" {} 'x'>"#);
                let message = client.message("~/t", "x");
                assert_eq!(message.property(0x23), None, "{message:?} has an alias");
            }
        }
    }

    /// A client that does not ask for response information gets none.
    [v5 "3.1.2-28"]
    fn no_response_information(t) {
        for (id, properties) in [("a", ""), ("b", "19 00")] {
            let mut client = t.open();
            client.send(&connect(t.version, id, "02", properties, ""));
            let connack = client.expect("20 <00 00 {..}>");
            assert_eq!(connack.property(0x1A), None);
        }
    }

    /// A client that wants no problem information gets reasons and user properties only where it
    /// always may.
    [v5 "3.1.2-29"]
    fn no_problem_information(t) {
        let mut client = t.client_with("a", "02", "17 00", "");
        client.send(r#"32 <"~/nobody" 0001 {} 'x'> 34 <"~/nobody" 0002 {} 'x'> 62 <0009>"#);
        client.send(r#"82 <0003 {} "$share/~g/t" 00> a2 <0004 {} "~/none">"#);
        for _ in 0..5 {
            let packet = client.packet();
            let told = packet.property(0x1F).or(packet.property(0x26));
            assert_eq!(told, None, "{packet:?}");
        }
    }
}
