//! 3.12 PINGREQ and 3.13 PINGRESP.

use crate::test::tests;

tests! {
    /// Each PINGREQ is answered with a PINGRESP.
    [v5 "3.12.4-1", v311 "3.12.4-1", v31]
    fn each_is_answered(t) {
        let mut client = t.client("a");
        client.send("c000");
        client.expect("d000");
        client.send("c000 c000 c000");
        for _ in 0..3 {
            client.expect("d000");
        }
        client.quiet();
    }

    /// A PINGREQ has nothing after its fixed header.
    [v5, v311]
    fn no_body(t) {
        let mut client = t.client("a");
        client.send("c0 <00>");
        client.refused([0x81, 0x82]);
    }
}
