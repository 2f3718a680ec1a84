//! Matching as chapter 4.7 says it, for tests: one filter, one topic, nothing shared with what is tested.

/// True if the topic filter, without a share name, matches the topic name.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    let (filter_levels, topic_levels): (Vec<_>, Vec<_>) =
        (filter.split('/').collect(), topic.split('/').collect());
    // [MQTT-4.7.2-1]
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    // The parent level, and any number of child levels. [MQTT-4.7.1-1]
    let (exact, rest) = match filter_levels.split_last() {
        Some((&"#", parent)) => (parent, true),
        _ => (&*filter_levels, false),
    };
    let long_enough = topic_levels.len() == exact.len() || rest && topic_levels.len() > exact.len();
    // One level, also an empty one. [MQTT-4.7.1-2] [MQTT-4.7.3-4]
    let mut pairs = exact.iter().zip(&topic_levels);
    long_enough && pairs.all(|(wanted, level)| *wanted == "+" || wanted == level)
}

/// The filter of a shared subscription, or the filter itself.
pub(super) fn without_share(filter: &str) -> &str {
    let shared = filter.strip_prefix("$share/");
    shared
        .and_then(|rest| rest.split_once('/'))
        .map_or(filter, |(_, filter)| filter)
}
