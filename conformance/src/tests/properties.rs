//! 3.3.2.3: the properties of a PUBLISH.

use std::time::Duration;

use crate::test::{connect, tests};

tests! {
    /// The payload format indicator goes on as it came.
    [v5 "3.3.2-4"]
    fn payload_format_indicator(t) {
        let mut client = t.client("a");
        client.subscribe("~/t", 0);
        for (properties, expected) in [("01 01", Some(1)), ("01 00", Some(0)), ("", None)] {
            client.send(&format!(r#"30 <"~/t" {{{properties}}} 'x'>"#));
            let message = client.message("~/t", "x");
            // The indicator 0 says what its absence says.
            let got = message.number(0x01);
            assert!(got == expected || (got.or(expected) == Some(0)), "{message:?}");
        }
    }

    /// A message whose lifetime is over is not sent to who comes back too late.
    [v5 "3.3.2-5"]
    fn message_expires(t) {
        let mut client = t.stays("a");
        client.subscribe("~/#", 1);
        client.vanish();
        let mut publisher = t.client("p");
        publisher.publish_with("~/t", 2, "02 00000001", "short");
        publisher.publish_with("~/t", 2, "02 000003e8", "long");
        publisher.publish_with("~/kept", 3, "02 00000001", "kept");
        std::thread::sleep(Duration::from_millis(2500));
        let mut client = t.returns("a");
        client.message("~/t", "long");
        client.quiet();
        let mut late = t.client("b");
        late.subscribe("~/kept", 1);
        late.quiet();
    }

    /// The time that a message has waited is taken off its lifetime.
    [v5 "3.3.2-6"]
    fn message_expiry_interval_shrinks(t) {
        let mut client = t.stays("a");
        client.subscribe("~/t", 1);
        client.vanish();
        t.client("p").publish_with("~/t", 2, "02 00000064", "x");
        std::thread::sleep(Duration::from_millis(2200));
        let message = t.returns("a").message("~/t", "x");
        let left = message.number(0x02).expect("a message expiry interval");
        assert!((60..=98).contains(&left), "{left} of 100 s are left after 2.2 s");
    }

    /// A topic alias is forgotten with its connection.
    [v5 "3.3.2-7"]
    fn topic_alias_ends_with_its_connection(t) {
        let mut client = t.stays("a");
        client.send(r#"32 <"~/t" 0001 <23 0001> 'x'>"#);
        client.expect("40 <0001 ..>");
        client.vanish();
        let mut client = t.returns("a");
        client.send(r#"32 <"" 0002 <23 0001> 'x'>"#);
        client.refused([0x82, 0x94]);
    }

    /// There is no topic alias 0.
    [v5 "3.3.2-8"]
    fn topic_alias_0(t) {
        let mut client = t.client("a");
        client.send(r#"30 <"~/t" <23 0000> 'x'>"#);
        client.refused([0x81, 0x82, 0x94]);
    }

    /// A topic alias stands for its topic, until it is given another one.
    [v5 "3.3.2-12"]
    fn topic_alias_stands_for_its_topic(t) {
        let mut client = t.open();
        client.send(&connect(t.version, "a", "02", "", ""));
        let maximum = client.expect("20 <00 00 {..}>").number(0x22).unwrap_or(0);
        client.subscribe("~/#", 0);
        for alias in (1..=maximum).take(2).chain((maximum > 0).then_some(maximum)) {
            client.send(&format!(r#"30 <"~/old" <23 {alias:04x}> '1'>"#));
            client.message("~/old", "1");
            client.send(&format!(r#"30 <"" <23 {alias:04x}> '2'>"#));
            // It is of this hop: a subscriber that takes no aliases gets the topic.
            assert_eq!(client.message("~/old", "2").property(0x23), None);
            client.send(&format!(r#"30 <"~/new" <23 {alias:04x}> '3'> 30 <"" <23 {alias:04x}> '4'>"#));
            client.message("~/new", "3");
            client.message("~/new", "4");
        }
    }

    /// The response topic has to be UTF-8.
    [v5 "3.3.2-13"]
    fn response_topic_is_utf_8(t) {
        for topic in ["0001 ff", "0003 610062"] {
            let mut client = t.client("a");
            client.send(&format!(r#"30 <"~/t" <08 {topic}> 'x'>"#));
            client.refused(0x81);
        }
    }

    /// The response topic has no wildcards.
    [v5 "3.3.2-14"]
    fn response_topic_has_no_wildcards(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/t", 0);
        for topic in ["~/+", "#"] {
            let mut client = t.client("a");
            client.send(&format!(r#"30 <"~/t" <08 "{topic}"> 'x'>"#));
            client.refused([0x81, 0x82, 0x90]);
        }
        witness.quiet();
    }

    /// The response topic goes on as it came.
    [v5 "3.3.2-15"]
    fn response_topic(t) {
        passed_on(t, r#"08 "~/answer""#, 0x08, &[format!("{}/answer", t.name).into_bytes()]);
    }

    /// The correlation data go on as they came.
    [v5 "3.3.2-16"]
    fn correlation_data(t) {
        passed_on(t, "09 0003 00ff01", 0x09, &[vec![0, 0xFF, 1]]);
        passed_on(t, "09 0000", 0x09, &[vec![]]);
    }

    /// All user properties go on, in their order, also those of the same name.
    [v5 "3.3.2-17" "3.3.2-18"]
    fn user_properties(t) {
        let sent = r#"26 "b" "1" 26 "a" "2" 26 "b" "3" 26 "b" "1" 26 "" """#;
        let pairs = ["0001 62 0001 31", "0001 61 0001 32", "0001 62 0001 33", "0001 62 0001 31", "0000 0000"];
        let expected = pairs.map(|pair| crate::notation::Notation::read(pair, t.version, "").bytes());
        passed_on(t, sent, 0x26, &expected);
    }

    /// The content type has to be UTF-8.
    [v5 "3.3.2-19"]
    fn content_type_is_utf_8(t) {
        for text in ["0001 ff", "0003 610062"] {
            let mut client = t.client("a");
            client.send(&format!(r#"30 <"~/t" <03 {text}> 'x'>"#));
            client.refused(0x81);
        }
    }

    /// The content type goes on as it came.
    [v5 "3.3.2-20"]
    fn content_type(t) {
        passed_on(t, r#"03 "text/plain""#, 0x03, &[b"text/plain".to_vec()]);
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

#[track_caller]
fn passed_on(t: &crate::test::Test, properties: &str, identifier: u8, expected: &[Vec<u8>]) {
    let mut client = t.client("a");
    client.subscribe("~/t", 1);
    let mut publisher = t.client("p");
    for qos in [0, 1] {
        publisher.publish_with("~/t", qos << 1, properties, "x");
        let message = client.message("~/t", "x");
        let got: Vec<Vec<u8>> = message
            .all(identifier)
            .map(|property| property.value.clone())
            .collect();
        assert_eq!(got, expected);
    }
}
