//! Topic aliases: section 3.3.2.3.4.

use crate::server::Server;
use crate::test::{Test, tests};

tests! {
    /// Each alias up to the client's maximum stands for the topic it was last sent with.
    [v5 "3.3.2-10"]
    fn aliases_up_to_the_maximum(t) {
        let mut server = subscribed(t, 3);
        for alias in 1..=3 {
            server.send(&format!(r#"30 <"a/{alias}" {{23 {alias:04x}}} 'x'>"#));
            assert_eq!(server.take().topic(), format!("a/{alias}"));
        }
        for alias in [3, 1, 2] {
            server.send(&format!("30 <0000 {{23 {alias:04x}}} 'x'>"));
            assert_eq!(server.take().topic(), format!("a/{alias}"));
        }
        server.send(r#"30 <"b" {23 0002} 'x'>"#);
        server.send("32 <0000 0001 {23 0002} 'y'>");
        server.take();
        let last = server.take();
        assert_eq!((last.topic(), last.text().unwrap()), ("b", "y"));
        server.expect("40 <0001 ..>");
        server.goes_on();
    }

    /// An alias above the client's maximum is invalid, with a topic or without.
    [v5 "3.3.2-11" "3.1.2-26"]
    fn alias_above_the_maximum(t) {
        for publish in [r#"30 <"a" {23 0004} 'x'>"#, r#"30 <"a" {23 ffff} 'x'>"#, "30 <0000 {23 0004} 'x'>"] {
            let mut server = subscribed(t, 3);
            server.send(publish);
            server.closes(0x94);
            assert!(server.message().is_none());
        }
    }

    /// A client that has said nothing of aliases takes none.
    [v5 "3.1.2-27"]
    fn no_aliases(t) {
        let mut server = subscribed(t, 0);
        server.send(r#"30 <"a" {23 0001} 'x'>"#);
        server.closes(0x94);
    }

    /// The alias 0 is invalid.
    [v5 "3.3.2-8"]
    fn alias_0(t) {
        let mut server = subscribed(t, 3);
        server.send(r#"30 <"a" {23 0000} 'x'>"#);
        server.closes(0x94);
    }

    /// An alias that stands for nothing, and no topic: a protocol error.
    [v5]
    fn unknown_alias(t) {
        let mut server = subscribed(t, 3);
        server.send("30 <0000 {23 0002} 'x'>");
        server.closes(0x82);
    }

    /// Aliases end with the connection, the server's and the client's own.
    [v5 "3.3.2-7"]
    fn aliases_end_with_the_connection(t) {
        let mut options = t.staying();
        options.topic_alias_maximum = 3;
        let mut server = t.connected_with(options, "22 000a");
        server.subscribe("#", 0);
        server.send(r#"30 <"a" {23 0001} 'x'>"#);
        server.take();
        for _ in 0..3 {
            server.publish("a/long/topic/name", "x", 0);
        }
        let last = server.packets().pop().unwrap();
        assert!(last.topic.is_empty(), "{last:?} uses no alias");
        server.comes_back_with("01", "22 000a");
        server.publish("a/long/topic/name", "x", 0);
        assert_eq!(server.packet().topic, "a/long/topic/name");
        server.send("30 <0000 {23 0001} 'x'>");
        server.closes(0x82);
    }
}

/// A client that wants everything, with as many aliases.
fn subscribed(t: &Test, maximum: u16) -> Server {
    let mut options = t.options();
    options.topic_alias_maximum = maximum;
    let mut server = t.connected_with(options, "");
    server.subscribe("#", 1);
    server
}
