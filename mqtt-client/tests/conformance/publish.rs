//! PUBLISH: section 3.3.

use mqtt_client::{Message, Property, TopicName};

use crate::server::{message, properties};
use crate::test::tests;

tests! {
    /// DUP is 1 when a message is sent again, and only then.
    [v5 "3.3.1-1" "3.3.1-3", v311 "3.3.1-1" "3.3.1-3"]
    fn dup(t) {
        let mut server = t.connected_with(t.staying(), "");
        server.publish("a", "1", 1);
        server.publish("a", "2", 2);
        assert!(server.packets().iter().all(|packet| !packet.dup()));
        for _ in 0..3 {
            server.comes_back("01");
            server.expect(r#"3a <"a" ???? {} '1'>"#);
            server.expect(r#"3c <"a" ???? {} '2'>"#);
            server.nothing();
        }
        server.publish("a", "3", 1);
        server.expect(r#"32 <"a" ???? {} '3'>"#);
    }

    /// A message that came with DUP and is published on has none.
    [v5 "3.3.1-3", v311 "3.3.1-3"]
    fn dup_is_not_carried_on(t) {
        let mut server = t.connected();
        server.subscribe("a", 1);
        server.send(r#"3a <"a" 0001 {} 'x'>"#);
        let message = server.take();
        assert!(message.dup);
        server.expect("40 <0001 ..>");
        server.publish_message(message);
        server.expect(r#"32 <"a" ???? {} 'x'>"#);
    }

    /// QoS 0 has no DUP: not when it waited for the connection, and not from the server.
    [v5 "3.3.1-2" "4.3.1-1", v311 "3.3.1-2" "4.3.1-1"]
    fn qos_0_has_no_dup(t) {
        let mut options = t.options();
        options.offline_qos0 = mqtt_client::session::Offline::Queue;
        let mut server = t.connected_with(options, "");
        let mut again = message("a", "x", 0);
        again.dup = true;
        server.publish_message(again);
        server.expect(r#"30 <"a" {} 'x'>"#);
        server.break_connection();
        server.publish("a", "y", 0);
        server.open(mqtt_client::session::Credentials::default());
        server.accept("00", "");
        server.expect(r#"30 <"a" {} 'y'>"#);
        server.send(r#"38 <"a" {} 'x'>"#);
        server.closes(0x81);
    }

    /// A message with both bits of QoS is malformed.
    [v5 "3.3.1-4", v311 "3.3.1-4"]
    fn qos_3(t) {
        for first in ["36", "37", "3e"] {
            let mut server = t.connected();
            server.send(&format!(r#"{first} <"a" 0001 {{}} 'x'>"#));
            server.closes(0x81);
        }
    }

    /// The topic name comes first, as a UTF-8 string; a PUBLISH that has none means nothing.
    [v5 "3.3.2-1", v311 "3.3.2-1"]
    fn topic_name(t) {
        let mut server = t.connected();
        server.publish("é/ü", "x", 1);
        server.expect(r#"32 <"é/ü" ???? {} 'x'>"#);
        server.send("30 <0000 {} 'x'>");
        server.closes(if t.is_v5() { 0x82 } else { 0x81 });
        let mut server = t.connected();
        server.send("32 <0009 'a' 0001 {}>");
        server.closes(0x81);
    }

    /// No topic name has a wildcard: the client sends none, and takes none.
    [v5 "3.3.2-2" "4.7.0-1", v311 "3.3.2-2" "4.7.1-1"]
    fn no_wildcard_in_a_topic_name(t) {
        for topic in ["#", "+", "a/+", "a/#", "a+b", "a#"] {
            assert!(Message::new(topic, "").is_err());
            let mut server = t.connected();
            server.subscribe("#", 0);
            server.send(&format!(r#"30 <"{topic}" {{}} 'x'>"#));
            server.closes(0x81);
            assert!(server.message().is_none());
        }
    }

    /// The response topic is a topic name in UTF-8, and has no wildcard.
    [v5 "3.3.2-13" "3.3.2-14"]
    fn response_topic(t) {
        let mut server = t.connected();
        let topic = TopicName::from_text("answer/é").unwrap();
        let mut question = message("a", "x", 1);
        question.properties = properties([
            Property::ResponseTopic(topic.as_view()),
            Property::CorrelationData(b"\x00\xff"),
        ]);
        server.publish_message(question);
        server.expect(r#"32 <"a" ???? {08 "answer/é" 09 0002 00ff} 'x'>"#);
        server.subscribe("a", 0);
        server.send(r#"30 <"a" {08 "answer/é" 09 0002 00ff} 'x'>"#);
        let taken = server.take();
        assert_eq!(taken.response_topic(), Some("answer/é"));
        assert_eq!(taken.correlation_data(), Some(&b"\x00\xff"[..]));
        for (bad, reason) in [("0003 612f23", 0x82), ("0001 2b", 0x82), ("0002 c080", 0x81), ("0001 00", 0x81)] {
            let mut server = t.connected();
            server.send(&format!(r#"30 <"a" {{08 {bad}}} 'x'>"#));
            server.closes(reason);
        }
    }

    /// The content type is a UTF-8 string.
    [v5 "3.3.2-19"]
    fn content_type(t) {
        let mut server = t.connected();
        let text = mqtt_codec::Text::from_string("text/é").unwrap();
        let mut typed = message("a", "x", 0);
        typed.properties = properties([Property::ContentType(text.as_view())]);
        server.publish_message(typed);
        server.expect(r#"30 <"a" {03 "text/é"} 'x'>"#);
        server.subscribe("a", 0);
        server.send(r#"30 <"a" {03 "text/é"} 'x'>"#);
        assert_eq!(server.take().content_type(), Some("text/é"));
        server.send(r#"30 <"a" {03 0001 ff} 'x'>"#);
        server.closes(0x81);
    }

    /// A message has no subscription identifier on its way to the server, even if it came with one. Nor
    /// has it the alias that it came with.
    [v5 "3.3.4-6"]
    fn no_subscription_identifier(t) {
        let mut server = t.connected();
        server.subscribe("a", 0);
        server.send(r#"30 <"a" {0b 01 23 0001 26 "k" "v"} 'x'>"#);
        let message = server.take();
        server.publish_message(message);
        server.expect(r#"30 <"a" {26 "k" "v"} 'x'>"#);
    }

    /// The answer to a message is that of its QoS: none, PUBACK, PUBREC.
    [v5 "3.3.4-1", v311 "3.3.4-1"]
    fn answer_of_the_qos(t) {
        let mut server = t.connected();
        server.subscribe("a", 2);
        server.send(r#"30 <"a" {} '0'>"#);
        server.take();
        server.nothing();
        server.send(r#"32 <"a" 0001 {} '1'>"#);
        server.take();
        server.expect("40 <0001 ..>");
        server.send(r#"34 <"a" 0002 {} '2'>"#);
        server.take();
        server.expect("50 <0002 ..>");
        server.nothing();
    }

    /// A property that a PUBLISH must not have, or not twice, or with another value.
    [v5]
    fn properties_of_publish(t) {
        for (bad, reason) in [
            ("11 00000001", 0x81),
            ("1f 0001 61", 0x81),
            ("7f", 0x81),
            ("01 02", 0x82),
            ("01 00 01 00", 0x82),
            ("02 00000001 02 00000001", 0x82),
            ("0b 00", 0x82),
            ("23 0001 23 0001", 0x82),
        ] {
            let mut server = t.connected();
            server.send(&format!(r#"30 <"a" {{{bad}}} 'x'>"#));
            server.closes(reason);
        }
    }

    /// A QoS 1 or 2 message with the packet identifier 0 breaks the protocol.
    [v5, v311 "2.3.1-1"]
    fn packet_identifier_0(t) {
        for first in ["32", "34"] {
            let mut server = t.connected();
            server.send(&format!(r#"{first} <"a" 0000 {{}} 'x'>"#));
            server.closes(0x82);
        }
    }
}
