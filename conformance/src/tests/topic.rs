//! 4.7 Topic names and topic filters.

use crate::client::Client;
use crate::test::{Test, connect, tests};

/// Malformed, protocol error, topic filter invalid: the standard names none of them.
const BAD_FILTER: [u8; 3] = [0x81, 0x82, 0x8F];
/// Malformed, protocol error, topic name invalid.
const BAD_NAME: [u8; 3] = [0x81, 0x82, 0x90];

tests! {
    /// A topic name with a wildcard is refused, and the message goes to nobody.
    [v5 "4.7.0-1", v311 "4.7.1-1", v31]
    fn no_wildcards_in_names(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/#", 0);
        for name in ["~/+", "~/#", "~/a+", "~/+/b", "~/#b"] {
            let mut client = t.client("a");
            client.send(&format!(r#"30 <"{name}" {{}} 'x'>"#));
            client.refused(BAD_NAME);
        }
        witness.quiet();
    }

    /// Nor may the topic of a will have a wildcard.
    [v5 "4.7.0-1", v311 "4.7.1-1"]
    fn no_wildcards_in_wills(t) {
        for name in ["~/+", "~/#"] {
            let mut client = t.open();
            let will = format!(r#"{{}} "{name}" "x""#);
            client.send(&connect(t.version, "a", "06", "", &will));
            client.not_let_in(BAD_NAME, []);
        }
    }

    /// `#` is a whole level and the last one, or else the topic filter is refused.
    [v5 "4.7.1-1", v311 "4.7.1-2", v31]
    fn multi_level_wildcard_at_the_end(t) {
        for filter in ["~/a#", "~#", "~/#/a", "~/#a", "~/##", "#/~", "~/#/"] {
            refuses_filter(t, filter);
        }
    }

    /// `#` matches its parent and all levels below.
    [v5 "4.7.1-1", v311 "4.7.1-2", v31]
    fn multi_level_wildcard_matches(t) {
        let (filter, others) = ("~/a/#", ["~", "~/b", "~/ab", "~/A/b"]);
        matches(t, filter, &["~/a", "~/a/", "~/a/b", "~/a/b/c", "~/a//c"], &others);
    }

    /// `+` is a whole level, or else the topic filter is refused.
    [v5 "4.7.1-2", v311 "4.7.1-3", v31]
    fn single_level_wildcard_alone(t) {
        for filter in ["~/a+", "~/+a", "~+", "~/a+/b", "~/++", "~/+#", "~/a/b+c/d"] {
            refuses_filter(t, filter);
        }
    }

    /// `+` matches one level at any place, also an empty one.
    [v5 "4.7.1-2", v311 "4.7.1-3", v31]
    fn single_level_wildcard_matches(t) {
        matches(t, "~/+", &["~/a", "~/"], &["~", "~/a/b", "~/a/"]);
        matches(t, "~/+/c", &["~/a/c", "~//c"], &["~/c", "~/a/b/c", "~/a"]);
        matches(t, "+/~/+", &["a/~/b", "/~/"], &["~/b", "a/~", "a/~/b/c"]);
        matches(t, "~/+/x/#", &["~/a/x", "~/a/x/y/z"], &["~/x", "~/a/y"]);
    }

    /// A topic filter that begins with a wildcard does not match topics that begin with `$`.
    [v5 "4.7.2-1", v311 "4.7.2-1"]
    fn topics_with_a_dollar(t) {
        // `#` alone would take part in the tests of others.
        let mut wild = t.client("a");
        wild.subscribe("+/~", 0);
        wild.subscribe("+/~/#", 0);
        wild.subscribe("+/+/~", 0);
        let mut named = t.client("b");
        named.subscribe("$~/#", 0);
        let mut publisher = t.client("p");
        for topic in ["$~/~", "$~/~/c", "$~/b/~"] {
            publisher.publish(topic, 0, "hidden");
            named.message(topic, "hidden");
        }
        wild.quiet();
        // Elsewhere, `$` is a character as any other.
        publisher.publish("a$/~", 0, "seen");
        wild.message("a$/~", "seen");
    }

    /// The same for retained messages.
    [v5 "4.7.2-1", v311 "4.7.2-1"]
    fn retained_topics_with_a_dollar(t) {
        let mut publisher = t.client("p");
        publisher.retain("$~/~", 1, "hidden");
        let mut wild = t.client("a");
        wild.subscribe("+/~", 0);
        wild.quiet();
        let mut named = t.client("b");
        named.subscribe("$~/+", 0);
        named.message("$~/~", "hidden");
        publisher.retain("$~/~", 1, "");
    }

    /// An empty topic name or topic filter is refused.
    [v5 "4.7.3-1", v311 "4.7.3-1", v31]
    fn not_empty(t) {
        let mut client = t.client("a");
        client.send(r#"30 <"" {} 'x'>"#);
        client.refused(BAD_NAME);
        let mut client = t.open();
        client.send(&connect(t.version, "a", "06", "", r#"{} "" "x""#));
        client.not_let_in(BAD_NAME, []);
        refuses_filter(t, "");
        let mut client = t.client("a");
        client.send(r#"a2 <0001 {} "">"#);
        client.refused(BAD_FILTER);
    }

    /// A topic name or topic filter of one character is long enough.
    [v5 "4.7.3-1", v311 "4.7.3-1"]
    fn one_character(t) {
        let mut client = t.client("a");
        client.subscribe("/", 0);
        t.client("p").publish("/", 0, "~");
        // Others may publish to it, too.
        while client.packet().payload != t.name.as_bytes() {}
    }

    /// A topic name or topic filter with U+0000 is refused.
    [v5 "4.7.3-2", v311 "4.7.3-2"]
    fn no_null_character(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/#", 0);
        for wrong in [r#"30 <"~/\0" {} 'x'>"#, r#"32 <"\0~" 0001 {} 'x'>"#] {
            let mut client = t.client("a");
            client.send(&wrong.replace(r"\0", "\0"));
            client.refused(BAD_NAME);
        }
        refuses_filter(t, "~/\0");
        witness.quiet();
    }

    /// Topic names and topic filters may be as long as a string can be, 65,535 bytes, and come whole.
    [v5 "4.7.3-3", v311 "4.7.3-3"]
    fn the_longest(t) {
        let topic = format!("~/{}", "x".repeat(65_533 - t.name.len()));
        let mut client = t.client("a");
        client.subscribe(&topic, 1);
        t.client("p").publish(&topic, 1, "hello");
        client.message(&topic, "hello");
    }

    /// Topics are compared as they are: no letter, slash, space or accent stands for another.
    [v5 "4.7.3-4", v311 "4.7.3-4", v31]
    fn no_normalization(t) {
        let filters = ["~/a", "~/caf\u{e9}", "~/\u{212b}", "~/ffi"];
        let others = [
            "~/A", "/~/a", "~//a", "~/a/", "~/a ", "~/ a", "~/./a", "~/b/../a", "~/%61",
            "~/\u{feff}a", "~/cafe\u{301}", "~/cafe", "~/\u{e5}", "~/\u{c5}", "~/\u{fb03}",
        ];
        for filter in filters {
            matches(t, filter, &[filter], &others);
        }
        // What is unusual comes as it was sent.
        for topic in ["~/ ", "~/\u{feff}", "~/\u{fffd}", "~/a\\b"] {
            matches(t, topic, &[topic], &[]);
            matches(t, "~/+", &[topic], &[]);
        }
    }
}

/// A SUBSCRIBE with this filter ends the connection, and subscribes to nothing.
#[track_caller]
fn refuses_filter(t: &Test, filter: &str) {
    let mut client = t.client("a");
    client.send(&format!(r#"82 <0001 {{}} "{filter}" 00>"#));
    client.refused(BAD_FILTER);
}

/// A subscriber to `filter` gets what is published to `topics`, and not what is to `others`.
#[track_caller]
fn matches(t: &Test, filter: &str, topics: &[&str], others: &[&str]) {
    let mut subscriber = t.client("a");
    subscriber.subscribe(filter, 0);
    let mut publisher = t.client("p");
    for topic in others {
        post(&mut publisher, topic, "other");
    }
    for topic in topics {
        post(&mut publisher, topic, "match");
    }
    publisher.pinged();
    for topic in topics {
        subscriber.message(topic, "match");
    }
    subscriber.quiet();
}

#[track_caller]
fn post(publisher: &mut Client, topic: &str, payload: &str) {
    publisher.send(&format!(r#"30 <"{topic}" {{}} '{payload}'>"#));
}
