//! Which seeds a random test runs with.

use std::env;
use std::ops::Range;

/// As many seeds as `DELIVERY_SEEDS` says, else `few`; or the one of `DELIVERY_SEED`.
///
/// The test prints each before it uses it: a test that fails shows what it has printed.
pub(crate) fn seeds(few: u64) -> Range<u64> {
    let number = |name| {
        let text = env::var(name).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name}: {text:?}")))
    };
    match number("DELIVERY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DELIVERY_SEEDS").unwrap_or(few),
    }
}
