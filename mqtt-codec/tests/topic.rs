//! Which filters are valid and what they match: chapters 4.7 and 4.8, and a matcher that is too
//! simple to be wrong.

#![allow(
    clippy::expect_used,
    reason = "a filter that does not hold ends the test"
)]

use mqtt_codec::{DecodeError, TopicFilter, TopicName, levels};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn name(text: &str) -> TopicName {
    TopicName::from_text(text).expect("a topic name")
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::from_text(text).expect("a topic filter")
}

#[track_caller]
fn matching(text: &str, names: &[&str]) {
    for topic in names {
        assert!(filter(text).matches(&name(topic)), "{text} matches {topic}");
    }
}

#[track_caller]
fn not_matching(text: &str, names: &[&str]) {
    for topic in names {
        assert!(
            !filter(text).matches(&name(topic)),
            "{text} does not match {topic}"
        );
    }
}

/// Chapter 4.7.1.2.
#[test]
fn the_multi_level_wildcard_matches_the_parent_and_all_below() {
    let player = "sport/tennis/player1";
    let below = [
        player,
        "sport/tennis/player1/ranking",
        "sport/tennis/player1/score/wimbledon",
    ];
    matching("sport/tennis/player1/#", &below);
    matching("sport/#", &["sport", "sport/", "sport/tennis"]);
    not_matching("sport/#", &["sports", "/sport", "sporting/tennis"]);
    matching("#", &["a", "/", "/a", "a/b/c"]);
    matching("/#", &["/", "/a", "/a/b"]);
    not_matching("/#", &["a", "a/b"]);
}

/// Chapter 4.7.1.3.
#[test]
fn the_single_level_wildcard_matches_one_level() {
    matching(
        "sport/tennis/+",
        &["sport/tennis/player1", "sport/tennis/player2"],
    );
    not_matching(
        "sport/tennis/+",
        &["sport/tennis/player1/ranking", "sport/tennis"],
    );
    not_matching("sport/+", &["sport"]);
    matching("sport/+", &["sport/"]);
    matching("+", &["finance"]);
    not_matching("+", &["/finance"]);
    matching("+/+", &["/finance"]);
    matching("/+", &["/finance"]);
    matching("+/tennis/#", &["sport/tennis", "/tennis/x"]);
    matching(
        "sport/+/player1",
        &["sport/tennis/player1", "sport//player1"],
    );
}

/// Chapter 4.7.2: `[MQTT-4.7.2-1]`.
#[test]
fn a_wildcard_at_the_start_does_not_match_a_dollar() {
    not_matching("#", &["$SYS", "$SYS/monitor/Clients"]);
    not_matching("+/monitor/Clients", &["$SYS/monitor/Clients"]);
    not_matching("+", &["$SYS", "$"]);
    matching("$SYS/#", &["$SYS", "$SYS/monitor/Clients"]);
    matching("$SYS/monitor/+", &["$SYS/monitor/Clients"]);
    matching("a/#", &["a/$SYS"]);
    matching("+/+", &["a/$SYS"]);
}

/// Chapter 4.7.3: `[MQTT-4.7.3-4]` and the rules for levels.
#[test]
fn topics_are_compared_as_the_bytes_they_are() {
    matching("ACCOUNTS", &["ACCOUNTS"]);
    not_matching("ACCOUNTS", &["Accounts"]);
    matching("Accounts payable", &["Accounts payable"]);
    not_matching("/finance", &["finance"]);
    matching("a//b", &["a//b"]);
    not_matching("a//b", &["a/b"]);
    // The same letter as one character and as two.
    not_matching("\u{E4}", &["a\u{308}"]);
    matching("+", &["\u{10FFFF}"]);
}

/// Chapter 4.8.2.
#[test]
fn a_shared_subscription_is_matched_by_what_follows_its_name() {
    let shared = filter("$share/consumer1//finance");
    assert_eq!(shared.share_name(), Some(&b"consumer1"[..]));
    assert_eq!(shared.filter(), b"/finance");
    assert_eq!(shared.as_str(), "$share/consumer1//finance");
    assert!(!shared.has_wildcard());
    matching("$share/consumer1//finance", &["/finance"]);
    not_matching("$share/consumer1//finance", &["$share/consumer1//finance"]);

    let all = filter("$share/c/#");
    assert!(all.has_wildcard());
    matching("$share/c/#", &["a", "a/b"]);
    // What follows begins with a wildcard.
    not_matching("$share/c/#", &["$SYS/x"]);
    matching("$share/c/$SYS/#", &["$SYS/x"]);
    matching("$share/c/sport/tennis/+", &["sport/tennis/player1"]);

    for plain in ["$share", "$shared/a/b", "share/a/b", "/$share/a/b"] {
        assert_eq!(filter(plain).share_name(), None, "{plain}");
        assert_eq!(filter(plain).filter(), plain.as_bytes());
    }
}

#[test]
fn topics_have_levels() {
    let levels: Vec<_> = levels(b"/finance//x").collect();
    assert_eq!(levels, [&b""[..], b"finance", b"", b"x"]);
}

#[test]
fn names_and_filters_are_as_long_as_a_string_may_be() {
    let longest = "a".repeat(65_535);
    assert_eq!(name(&longest).as_bytes().len(), 65_535);
    assert_eq!(filter(&longest).as_bytes().len(), 65_535);
    // [MQTT-4.7.3-3]
    let longer = "a".repeat(65_536);
    assert_eq!(TopicName::from_text(&longer), Err(DecodeError::TextTooLong));
    assert_eq!(
        TopicFilter::from_text(&longer),
        Err(DecodeError::TextTooLong)
    );
}

fn naive_matches(filter: &str, name: &str) -> bool {
    fn rest_matches(filter: &[&str], name: &[&str]) -> bool {
        match (filter, name) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, name @ ..]) => rest_matches(filter, name),
            ([wanted, filter @ ..], [level, name @ ..]) => {
                wanted == level && rest_matches(filter, name)
            }
            ([], [_, ..]) | ([_, ..], []) => false,
        }
    }
    let filter: Vec<_> = filter.split('/').collect();
    let hidden = name.starts_with('$') && matches!(filter.first(), Some(&"+" | &"#"));
    !hidden && rest_matches(&filter, &name.split('/').collect::<Vec<_>>())
}

fn naive_error(filter: &str) -> Option<DecodeError> {
    let filter = match filter.strip_prefix("$share/") {
        None => filter,
        Some(shared) => match shared.split_once('/') {
            _ if shared.is_empty() || shared.starts_with('/') => {
                return Some(DecodeError::ShareNameEmpty);
            }
            Some((share, filter)) if !filter.is_empty() && !share.contains(['+', '#']) => filter,
            Some(_) | None => return Some(DecodeError::ShareName),
        },
    };
    if filter.is_empty() {
        return Some(DecodeError::TopicEmpty);
    }
    let count = filter.split('/').count();
    filter.split('/').enumerate().find_map(|(index, level)| {
        let last = index + 1 == count;
        if level.contains('#') && !(level == "#" && last) {
            Some(DecodeError::MultiLevelWildcard)
        } else if level.contains('+') && level != "+" {
            Some(DecodeError::SingleLevelWildcard)
        } else {
            None
        }
    })
}

/// Few levels to choose from, so that many match.
fn some_levels(choice: &'static [&'static str]) -> impl Strategy<Value = String> {
    vec(select(choice), 1..6).prop_map(|levels| levels.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn filters_match_as_the_naive_matcher_says(
        filter in some_levels(&["a", "b", "", "$x", "+", "+", "#"]),
        name in some_levels(&["a", "b", "", "$x", "\u{E4}"]),
    ) {
        let (Ok(valid), Ok(topic)) = (TopicFilter::from_text(&filter), TopicName::from_text(&name))
        else {
            return Ok(());
        };
        prop_assert_eq!(valid.matches(&topic), naive_matches(&filter, &name));
        let shared = TopicFilter::from_text(&format!("$share/g/{filter}")).expect("a filter");
        prop_assert_eq!(shared.matches(&topic), naive_matches(&filter, &name));
    }

    #[test]
    fn filters_are_valid_as_the_naive_rules_say(text in "(\\$share/)?[a/+#$\u{E4}]{0,12}") {
        let found = TopicFilter::from_text(&text);
        prop_assert_eq!(found.clone().err(), naive_error(&text));
        if let Ok(filter) = found {
            prop_assert_eq!(filter.has_wildcard(), text.contains(['+', '#']));
        }
    }

    /// Words of eight bytes are looked at one way, the rest another: no length is special.
    #[test]
    fn names_have_no_wildcard_wherever_it_is(text in "[a-z/\u{E4}]{0,40}[+#]?[a-z/\u{E4}]{0,40}") {
        let error = if text.is_empty() {
            Some(DecodeError::TopicEmpty)
        } else if text.contains(['+', '#']) {
            Some(DecodeError::TopicNameWildcard)
        } else {
            None
        };
        prop_assert_eq!(TopicName::from_text(&text).err(), error);
    }

    #[test]
    fn names_are_utf_8_without_null(bytes in vec(prop_oneof![4 => b'a'..=b'z', 1 => any::<u8>()], 1..40)) {
        let error = match std::str::from_utf8(&bytes) {
            Err(_) => Some(DecodeError::Utf8),
            Ok(text) if text.contains('\0') => Some(DecodeError::NullCharacter),
            Ok(text) if text.contains(['+', '#']) => Some(DecodeError::TopicNameWildcard),
            Ok(_) => None,
        };
        prop_assert_eq!(TopicName::new(&bytes[..]).err(), error);
    }
}
