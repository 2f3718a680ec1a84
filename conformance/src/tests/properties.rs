//! 3.3.2.3 The properties of a PUBLISH, but for the topic alias.

use std::time::{Duration, Instant};

use crate::codes::Codes;
use crate::fields::Property;
use crate::notation::Notation;
use crate::packet::Packet;
use crate::test::{Test, tests};

const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
const CONTENT_TYPE: u8 = 0x03;
const RESPONSE_TOPIC: u8 = 0x08;
const CORRELATION_DATA: u8 = 0x09;
const USER_PROPERTY: u8 = 0x26;

tests! {
    /// The payload format indicator reaches all subscribers as it was: 0, 1, or left out.
    [v5 "3.3.2-4"]
    fn payload_format_indicator(t) {
        for (properties, expected) in [("01 00", vec!["00"]), ("01 01", vec!["01"]), ("", vec![])] {
            assert_forwarded(t, properties, PAYLOAD_FORMAT_INDICATOR, &expected);
        }
    }

    /// The response topic reaches all subscribers as it was.
    [v5 "3.3.2-15"]
    fn response_topic(t) {
        assert_forwarded(t, r#"08 "$~/anzwört//""#, RESPONSE_TOPIC, &["'$~/anzwört//'"]);
        assert_forwarded(t, r#"08 "~""#, RESPONSE_TOPIC, &["'~'"]);
    }

    /// The correlation data, any bytes or none, reach all subscribers as they were.
    [v5 "3.3.2-16"]
    fn correlation_data(t) {
        assert_forwarded(t, "09 0006 00ff80c000fe", CORRELATION_DATA, &["00ff80c000fe"]);
        assert_forwarded(t, "09 0000", CORRELATION_DATA, &[""]);
    }

    /// All user properties reach all subscribers, also where their names are the same, or they are empty.
    [v5 "3.3.2-17"]
    fn user_properties(t) {
        let properties = r#"26 "a" "1" 26 "a" "1" 26 "" "" 26 "ключ" "значение""#;
        let expected = [r#""a" "1""#, r#""a" "1""#, r#""" """#, r#""ключ" "значение""#];
        assert_forwarded(t, properties, USER_PROPERTY, &expected);
        assert_forwarded(t, "", USER_PROPERTY, &[]);
    }

    /// User properties keep their order, whatever stands between them.
    [v5 "3.3.2-18"]
    fn order_of_user_properties(t) {
        let properties = r#"26 "b" "1" 01 00 26 "a" "2" 02 000003e8 26 "c" "3" 23 0001 26 "a" "0" 03 "x" 26 "b" "0""#;
        let expected = [r#""b" "1""#, r#""a" "2""#, r#""c" "3""#, r#""a" "0""#, r#""b" "0""#];
        assert_forwarded(t, properties, USER_PROPERTY, &expected);
    }

    /// The content type reaches all subscribers as it was.
    [v5 "3.3.2-20"]
    fn content_type(t) {
        let properties = r#"03 "text/plain; charset=utf-8""#;
        assert_forwarded(t, properties, CONTENT_TYPE, &["'text/plain; charset=utf-8'"]);
        assert_forwarded(t, r#"03 """#, CONTENT_TYPE, &[""]);
    }

    /// A response topic that is not well-formed UTF-8 ends the connection, and nobody gets the message.
    [v5 "3.3.2-13"]
    fn response_topic_is_text(t) {
        for bad in ["08 0003 61ff62", "08 0003 eda080", "08 0003 610062", "08 0009 'short'"] {
            assert_refused(t, bad, 0x81);
        }
    }

    /// A response topic with a wildcard ends the connection, and nobody gets the message.
    [v5 "3.3.2-14"]
    fn wildcard_in_response_topic(t) {
        for bad in ["~/+", "~/#", "#", "~/a+b"] {
            assert_refused(t, &format!("08 \"{bad}\""), [0x81, 0x82]);
        }
    }

    /// A content type that is not well-formed UTF-8 ends the connection, and nobody gets the message.
    [v5 "3.3.2-19"]
    fn content_type_is_text(t) {
        for bad in ["03 0003 61ff62", "03 0003 eda080", "03 0003 610062", "03 0009 'short'"] {
            assert_refused(t, bad, 0x81);
        }
    }

    /// A message whose lifetime ends before its subscriber comes back is deleted, and so is a retained
    /// one; others are not.
    [v5 "3.3.2-5"]
    fn message_expires(t) {
        let mut subscriber = t.stays("s");
        subscriber.subscribe("~/t", 2);
        subscriber.disconnect();
        let mut publisher = t.client("p");
        for (flags, properties, payload) in [
            (2, "02 00000001", "expires"),
            (2, "", "stays"),
            (4, "02 00000001", "expires"),
            (4, "02 000003e8", "has time"),
        ] {
            publisher.publish_with("~/t", flags, properties, payload);
        }
        publisher.publish_with("~/kept", 3, "02 00000001", "expires");
        std::thread::sleep(Duration::from_millis(2500));
        let mut subscriber = t.returns("s");
        for payload in ["stays", "has time"] {
            let message = subscriber.message("~/t", payload);
            subscriber.acknowledge(&message);
        }
        subscriber.quiet();
        let mut late = t.client("l");
        late.subscribe("~/kept", 1);
        late.quiet();
    }

    /// A message that waits for room in the client's Receive Maximum is deleted when its lifetime is over.
    [v5 "3.3.2-5"]
    fn message_expires_before_its_turn(t) {
        let mut subscriber = t.client_with("s", "02", "21 0001", "");
        subscriber.subscribe("~/t", 1);
        let mut publisher = t.client("p");
        publisher.publish("~/t", 1, "first");
        publisher.publish_with("~/t", 2, "02 00000001", "expires");
        publisher.publish("~/t", 1, "last");
        let first = subscriber.message("~/t", "first");
        subscriber.silent_for(Duration::from_millis(2500));
        subscriber.acknowledge(&first);
        publisher.publish("~/t", 1, "another");
        for payload in ["last", "another"] {
            let message = subscriber.message("~/t", payload);
            subscriber.acknowledge(&message);
        }
        subscriber.quiet();
    }

    /// A subscriber is told what is left of a lifetime: what was sent, less the time of waiting.
    [v5 "3.3.2-6"]
    fn message_expiry_interval(t) {
        let start = Instant::now();
        let mut away = t.stays("s");
        away.subscribe("~/t", 1);
        away.disconnect();
        let mut there = t.client("w");
        there.subscribe("~/t", 1);
        let mut publisher = t.client("p");
        publisher.publish_with("~/t", 3, "02 00000064", "hello");
        let left = |message: &Packet| message.number(MESSAGE_EXPIRY_INTERVAL).expect("a lifetime");
        let passed = |start: Instant| start.elapsed().as_secs() as u32 + 1;
        let at_once = left(&there.message("~/t", "hello"));
        assert!((100 - passed(start)..=100).contains(&at_once), "{at_once} s");
        std::thread::sleep(Duration::from_millis(2100));
        let mut away = t.returns("s");
        let mut late = t.client("l");
        late.subscribe("~/t", 0);
        for subscriber in [&mut away, &mut late] {
            let later = left(&subscriber.message("~/t", "hello"));
            assert!((100 - passed(start)..=98).contains(&later), "{later} s");
        }
        publisher.retain("~/t", 0, "");
    }

    /// Subscribers of 3.1.1 get the message without its properties.
    [v5]
    fn properties_are_not_for_older_versions(t) {
        let mut client = t.client_as(crate::Version::V3_1_1, "a");
        client.subscribe("~/t", 0);
        t.client("p").publish_with("~/t", 0, r#"01 01 03 "text" 26 "a" "b""#, "x");
        client.expect(r#"30 <"~/t" 'x'>"#);
    }
}

/// A message with these properties reaches each kind of subscriber with these values of the property.
#[track_caller]
fn assert_forwarded(t: &Test, properties: &str, identifier: u8, expected: &[&str]) {
    let expected: Vec<Property> = expected
        .iter()
        .map(|value| Property {
            identifier,
            value: Notation::read(value, t.version, &t.name).bytes(),
        })
        .collect();
    for (subscriber, message) in forwarded(t, properties) {
        let got: Vec<Property> = message.all(identifier).cloned().collect();
        assert!(got == expected, "{subscriber}: {message:?}");
    }
}

/// What subscribers of all kinds get of a message with these properties.
#[track_caller]
fn forwarded(t: &Test, properties: &str) -> Vec<(&'static str, Packet)> {
    let mut away = t.stays("a");
    away.subscribe("~/t", 1);
    away.disconnect();
    let mut there = [0, 1, 2].map(|qos| {
        let mut subscriber = t.client(&format!("s{qos}"));
        subscriber.subscribe("~/+", qos);
        subscriber
    });
    let mut publisher = t.client("p");
    publisher.publish_with("~/t", 5, properties, "hello");
    let mut got: Vec<_> = ["QoS 0", "QoS 1", "QoS 2"]
        .into_iter()
        .zip(
            there
                .iter_mut()
                .map(|client| client.message("~/t", "hello")),
        )
        .collect();
    let mut away = t.returns("a");
    got.push(("came back", away.message("~/t", "hello")));
    away.send("e0 <00 {11 00000000}>");
    away.closed();
    let mut late = t.client("l");
    late.subscribe("~/t", 0);
    got.push(("retained", late.message("~/t", "hello")));
    publisher.retain("~/t", 0, "");
    got
}

/// A message with these properties ends the connection of its publisher, and nobody gets it.
#[track_caller]
fn assert_refused(t: &Test, properties: &str, reasons: impl Into<Codes>) {
    let mut witness = t.client("w");
    witness.subscribe("~/t", 0);
    let mut client = t.client("a");
    client.send(&format!(r#"33 <"~/t" 0001 {{{properties}}} 'hello'>"#));
    client.refused(reasons);
    let mut late = t.client("l");
    late.subscribe("~/t", 0);
    witness.quiet();
    late.quiet();
}
