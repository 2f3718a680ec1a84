//! User names and passwords: which can be sent as they are, and how.

use std::borrow::Cow;

use crate::AuthenticationError;

/// Characters that SASLprep (RFC 4013) leaves as they are, whatever stands next to them: assigned in Unicode
/// 3.2, not prohibited, not changed by NFKC, never composed with the one before, and not written from right to
/// left. Not all such characters, but the scripts that have most of them in common use.
const UNCHANGED: [(char, char); 18] = [
    (' ', '~'),
    ('\u{A1}', '\u{A7}'),
    // Latin, except for ligatures such as U+0132.
    ('\u{C0}', '\u{131}'),
    ('\u{134}', '\u{13E}'),
    ('\u{141}', '\u{148}'),
    ('\u{14A}', '\u{17E}'),
    // Greek.
    ('\u{386}', '\u{386}'),
    ('\u{388}', '\u{38A}'),
    ('\u{38C}', '\u{38C}'),
    ('\u{38E}', '\u{3A1}'),
    ('\u{3A3}', '\u{3CE}'),
    // Cyrillic.
    ('\u{400}', '\u{482}'),
    // The sign of the euro, kana, Chinese characters, hangul.
    ('\u{20AC}', '\u{20AC}'),
    ('\u{3041}', '\u{3096}'),
    ('\u{30A1}', '\u{30FE}'),
    ('\u{3400}', '\u{4DB5}'),
    ('\u{4E00}', '\u{9FA5}'),
    ('\u{AC00}', '\u{D7A3}'),
];

/// Refuses text that SASLprep might change or prohibit.
pub(super) fn check(field: &'static str, text: &str) -> Result<(), AuthenticationError> {
    let problem = if text.chars().any(char::is_control) {
        "contains a control character"
    } else if !text.chars().all(is_unchanged) {
        "contains a character that SCRAM demands to be normalised, which is not supported"
    } else {
        return Ok(());
    };
    Err(AuthenticationError::Unusable { field, problem })
}

fn is_unchanged(character: char) -> bool {
    let mut ranges = UNCHANGED.iter();
    ranges.any(|(first, last)| (*first..=*last).contains(&character))
}

/// A user name as it stands in a message, where commas and equals signs have a meaning.
pub(super) fn escape(user: &str) -> Cow<'_, str> {
    if user.contains([',', '=']) {
        user.replace('=', "=3D").replace(',', "=2C").into()
    } else {
        user.into()
    }
}
