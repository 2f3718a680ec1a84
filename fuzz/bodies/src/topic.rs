//! Topic filters and names, against rules that are too simple to be wrong.

use arbitrary::{Result, Unstructured};
use mqtt_codec::{TopicFilter, TopicName};

/// Takes a filter and a name from the bytes: both are valid, and match, as the naive rules say.
pub fn topic(data: &[u8]) {
    let mut input = Unstructured::new(data);
    if let (Ok(filter), Ok(name)) = (text(&mut input), text(&mut input)) {
        check(&filter, &name);
    }
}

/// Mostly what has a meaning in a topic, so that much is valid and matches.
fn text(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let len = input.int_in_range(0..=20)?;
    let mut text = Vec::new();
    for _ in 0..len {
        match *input.choose(b"///++#$abAB0!$")? {
            b'!' => text.push(input.arbitrary()?),
            b'0' => text.extend_from_slice(b"$share/"),
            byte => text.push(byte),
        }
    }
    Ok(text)
}

fn check(filter: &[u8], name: &[u8]) {
    let valid_filter = TopicFilter::new(filter);
    let valid_name = TopicName::new(name);
    let filter = str::from_utf8(filter).ok().filter(|text| is_filter(text));
    let name = str::from_utf8(name).ok().filter(|text| is_name(text));
    assert_eq!(valid_filter.is_ok(), filter.is_some(), "{valid_filter:?}");
    assert_eq!(valid_name.is_ok(), name.is_some(), "{valid_name:?}");
    if let (Ok(valid), Ok(topic), Some(filter), Some(name)) =
        (valid_filter, valid_name, filter, name)
    {
        let filter = unshared(filter).unwrap_or(filter);
        assert_eq!(valid.filter(), filter.as_bytes());
        assert_eq!(
            valid.matches(&topic),
            matches(filter, name),
            "{filter} {name}"
        );
        // A filter without wildcards matches the name that it is, and no other.
        if !valid.has_wildcard() {
            assert_eq!(valid.matches(&topic), filter == name, "{filter} {name}");
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(['\0', '+', '#'])
}

fn is_filter(text: &str) -> bool {
    let Some(filter) = unshared(text) else {
        return false;
    };
    let levels = filter.split('/').collect::<Vec<_>>();
    let fills = |level: &str| !level.contains(['+', '#']) || level == "+";
    let (Some((last, others)), false) = (levels.split_last(), filter.contains('\0')) else {
        return false;
    };
    !filter.is_empty() && others.iter().all(|level| fills(level)) && (fills(last) || *last == "#")
}

/// What follows the share name, or all of it; nothing if there is no share name where one must be.
fn unshared(text: &str) -> Option<&str> {
    let Some(shared) = text.strip_prefix("$share/") else {
        return Some(text);
    };
    let (share, filter) = shared.split_once('/')?;
    (!share.is_empty() && !share.contains(['\0', '+', '#'])).then_some(filter)
}

fn matches(filter: &str, name: &str) -> bool {
    fn rest(filter: &[&str], name: &[&str]) -> bool {
        match (filter, name) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, name @ ..]) => rest(filter, name),
            ([wanted, filter @ ..], [level, name @ ..]) => wanted == level && rest(filter, name),
            ([], [_, ..]) | ([_, ..], []) => false,
        }
    }
    let hidden = name.starts_with('$') && filter.starts_with(['+', '#']);
    let filter = filter.split('/').collect::<Vec<_>>();
    !hidden && rest(&filter, &name.split('/').collect::<Vec<_>>())
}
