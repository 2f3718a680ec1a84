//! A stream of bytes that comes in pieces is cut as if it had come at once.

use mqtt_codec::{Cut, cut};

/// Cuts the bytes after the first two, which are the size limit: whole, and at each length.
pub fn frame(data: &[u8]) {
    let Some((limit, mut rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let packet_bytes_max = usize::from(u16::from_be_bytes(*limit));
    while let Some(len) = one(rest, packet_bytes_max) {
        rest = rest.split_at(len).1;
    }
}

/// Checks the packet that `bytes` begins with; its length, if it is all there.
fn one(bytes: &[u8], packet_bytes_max: usize) -> Option<usize> {
    let found = cut(bytes, packet_bytes_max);
    // The fixed header decides; a few bytes more show that nothing else does.
    for len in 0..bytes.len().min(8) {
        match cut(bytes.split_at(len).0, packet_bytes_max) {
            Ok(Cut::Incomplete(needed)) => {
                assert!(needed > len, "{needed} bytes are not more than {len}");
                if let Ok(Cut::Whole(frame)) = found {
                    assert!(needed <= frame.bytes.len(), "{needed} bytes are too many");
                }
            }
            other => assert_eq!(other, found),
        }
    }
    let Ok(Cut::Whole(frame)) = found else {
        return None;
    };
    assert!(frame.bytes.len() <= packet_bytes_max);
    assert_eq!(frame.bytes.first(), Some(&frame.first));
    assert!(frame.bytes.ends_with(frame.body));
    assert!(bytes.starts_with(frame.bytes));
    assert_eq!(cut(frame.bytes, packet_bytes_max), found);
    Some(frame.bytes.len())
}
