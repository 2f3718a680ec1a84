//! 3.8 SUBSCRIBE and 3.9 SUBACK.

use crate::test::tests;

tests! {
    /// A SUBSCRIBE whose reserved flags are not 0010 is malformed.
    [v5 "3.8.1-1", v311 "3.8.1-1"]
    fn reserved_flags(t) {
        for first in ["80", "83", "8a"] {
            let mut client = t.client("a");
            client.send(&format!(r#"{first} <0001 {{}} "~/a" 00>"#));
            client.refused(0x81);
        }
    }
}
