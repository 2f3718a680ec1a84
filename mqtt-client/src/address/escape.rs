//! Percent-encoding, to and from.

/// Characters that stand for themselves in a user name.
const UNRESERVED: &[u8] = b"-._~";
/// Characters that stand for themselves in the path and the query of a request.
const IN_REQUEST: &[u8] = b"-._~!$&'()*+,;=:@/?%";

/// Decodes; `None` where a `%` is not followed by two hexadecimal digits.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut left = text.bytes();
    while let Some(byte) = left.next() {
        decoded.push(match byte {
            b'%' => digit(left.next()?)? << 4 | digit(left.next()?)?,
            other => other,
        });
    }
    Some(decoded)
}

/// Decodes text; `None` also where it is no UTF-8.
pub(super) fn text(text: &str) -> Option<String> {
    String::from_utf8(bytes(text)?).ok()
}

/// Encodes a user name.
pub(super) fn for_user(text: &str) -> String {
    encode(text, UNRESERVED)
}

/// Encodes what must not stand in the first line of a request, and leaves escapes alone.
pub(super) fn for_request(text: &str) -> String {
    encode(text, IN_REQUEST)
}

fn encode(text: &str, literal: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || literal.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.extend([byte >> 4, byte & 15].map(hexadecimal));
        }
    }
    encoded
}

fn hexadecimal(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).map_or('0', |digit| digit.to_ascii_uppercase())
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}
