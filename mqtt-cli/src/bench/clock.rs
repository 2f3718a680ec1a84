//! The clock of a run: nanoseconds since the program began. Every latency is a difference of two of its readings.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

static START: OnceLock<Instant> = OnceLock::new();

/// Nanoseconds since the first call.
pub(crate) fn now_ns() -> u64 {
    #[allow(
        clippy::disallowed_methods,
        reason = "measuring time is what the program is for"
    )]
    let now = Instant::now();
    nanoseconds(now.duration_since(*START.get_or_init(|| now)))
}

/// A duration in nanoseconds; 584 years at the most.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds as seconds.
pub(crate) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
