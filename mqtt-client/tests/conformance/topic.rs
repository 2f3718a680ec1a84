//! Topic names and topic filters: sections 4.7 and 4.8.

use mqtt_client::{Message, TopicFilter, TopicName};

use crate::test::{Test, tests};

tests! {
    /// `#` is a whole level, and the last one. The client sends no other filter.
    [v5 "4.7.1-1", v311 "4.7.1-2"]
    fn multi_level_wildcard(t) {
        filters(t, &["#", "a/#", "/#", "+/#"], &["a#", "a/#/b", "#/", "##", "a/b#"]);
    }

    /// `+` is a whole level, anywhere. The client sends no other filter.
    [v5 "4.7.1-2", v311 "4.7.1-3"]
    fn single_level_wildcard(t) {
        filters(t, &["+", "+/a", "a/+", "a/+/b", "/+", "+/+"], &["a+", "+a", "a/b+/c", "++"]);
    }

    /// Topic names and filters have at least one character: the client sends and takes no others.
    [v5 "4.7.3-1", v311 "4.7.3-1"]
    fn at_least_one_character(t) {
        filters(t, &["/", " "], &[""]);
        assert!(Message::new("", "").is_err());
        let mut server = t.connected();
        server.publish("/", "x", 0);
        server.expect(r#"30 <"/" {} 'x'>"#);
        server.send("30 <0000 {} 'x'>");
        server.closes(if t.is_v5() { 0x82 } else { 0x81 });
    }

    /// Neither has the character U+0000.
    [v5 "4.7.3-2", v311 "4.7.3-2"]
    fn no_null_character(t) {
        filters(t, &[], &["\0", "a/\0/b", "#\0"]);
        for topic in ["\0", "a/\0"] {
            assert!(Message::new(topic, "").is_err());
            let mut server = t.connected();
            let length = topic.len();
            let hex: String = topic.bytes().map(|byte| format!("{byte:02x}")).collect();
            server.send(&format!("30 <{length:04x} {hex} {{}} 'x'>"));
            server.closes(0x81);
        }
    }

    /// They have up to 65,535 bytes, and not one more.
    [v5 "4.7.3-3", v311 "4.7.3-3"]
    fn at_most_65_535_bytes(t) {
        let (longest, over) = ("x".repeat(65_535), "x".repeat(65_536));
        assert!(Message::new(&over, "").is_err());
        assert!(TopicName::from_text(&over).is_err());
        assert!(TopicFilter::from_text(&over).is_err());
        let mut server = t.connected();
        server.subscribe(&longest, 0);
        server.publish(&longest, "x", 0);
        server.expect(&format!(r#"30 <"{longest}" {{}} 'x'>"#));
        server.send(&format!(r#"30 <"{longest}" {{}} 'x'>"#));
        assert_eq!(server.take().topic().len(), 65_535);
        server.goes_on();
    }

    /// A shared subscription has a name, and a filter behind it; the name has no wildcard and no slash.
    [v5 "4.8.2-1" "4.8.2-2"]
    fn shared_subscriptions(t) {
        let right = ["$share/g/a", "$share/g/#", "$share/é/+/a", "$share/g//"];
        let wrong = ["$share/", "$share//a", "$share/g", "$share/g/", "$share/g+/a", "$share/#/a", "$share/g/a#"];
        filters(t, &right, &wrong);
        let mut server = t.connected();
        server.subscribe("$share/g/a/+", 1);
        server.send(r#"30 <"a/b" {} 'x'>"#);
        assert_eq!(server.take().topic(), "a/b");
    }

    /// A message goes to those who subscribed to its topic.
    [v5, v311]
    fn who_gets_a_message(t) {
        for (filter, topic, gets) in [
            ("#", "a/b", true),
            ("a/#", "a", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("+/+", "/a", true),
            ("+", "/a", false),
            ("A", "a", false),
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("$SYS/#", "$SYS/a", true),
        ] {
            let mut server = t.connected();
            server.subscribe(filter, 0);
            server.send(&format!(r#"30 <"{topic}" {{}} 'x'>"#));
            assert_eq!(server.message().is_some(), gets, "{topic} for {filter}");
            server.goes_on();
        }
    }
}

/// Filters that the client sends as they are, and others that it does not take from its application.
fn filters(t: &Test, right: &[&str], wrong: &[&str]) {
    for filter in right {
        let mut server = t.connected();
        server.asks(&[filter], 0);
        assert_eq!(server.packet().filters, [*filter]);
    }
    for filter in wrong {
        assert!(
            TopicFilter::from_text(filter).is_err(),
            "{filter:?} is none"
        );
    }
}
