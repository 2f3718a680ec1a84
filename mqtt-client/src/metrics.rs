//! What a client has done, in numbers.

use std::time::Duration;

use crate::session::Counters;

/// A snapshot of the client's counters: from [`Client::metrics`](crate::Client::metrics).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// What the session counts.
    pub session: Counters,
    /// QoS 0 messages that were dropped because their stream was full.
    pub qos0_dropped: u64,
    /// How long the server takes to acknowledge.
    pub round_trips: RoundTrips,
}

const BUCKETS: usize = 28;

/// The times from sending a message of QoS 1 or 2 to its last acknowledgement, as a histogram.
///
/// One message at a time is timed, and only one that need not wait to be sent: a sample, that costs
/// nothing. Bucket `n` counts times up to 2ⁿ microseconds; the last one, of two minutes, all above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundTrips {
    buckets: [u64; BUCKETS],
    sum: Duration,
}

impl Default for RoundTrips {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            sum: Duration::ZERO,
        }
    }
}

impl RoundTrips {
    pub(crate) fn record(&mut self, time: Option<Duration>) {
        let Some(time) = time else { return };
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = exponent_above(micros).min(BUCKETS - 1);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(time);
    }

    /// How many were timed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The mean; `None` if none was timed.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let count = u32::try_from(self.count()).unwrap_or(u32::MAX);
        self.sum.checked_div(count)
    }

    /// The time that this share of all, from 0 to 1, did not exceed, rounded up to its bucket's; `None` if
    /// none was timed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count far below 2^53 times a share"
        )]
        let wanted = (count as f64 * share.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.buckets().find_map(|(limit, bucket)| {
            seen += bucket;
            (seen >= wanted && count > 0).then_some(limit)
        })
    }

    /// For each bucket its upper limit and its count, rising.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let limits = (0..).map(|exponent| Duration::from_micros(1 << exponent));
        limits.zip(self.buckets)
    }
}

/// The exponent of the smallest power of two that is not smaller.
const fn exponent_above(number: u64) -> usize {
    (u64::BITS - number.saturating_sub(1).leading_zeros()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_the_bucket_that_ends_with_it_or_above() {
        let mut times = RoundTrips::default();
        for micros in [0, 1, 2, 3, 4, 1000, u64::MAX] {
            times.record(Some(Duration::from_micros(micros)));
        }
        times.record(None);
        let filled: Vec<_> = times
            .buckets()
            .filter(|(_, count)| *count > 0)
            .map(|(limit, count)| (limit.as_micros(), count))
            .collect();
        assert_eq!(filled, [(1, 2), (2, 1), (4, 2), (1024, 1), (1 << 27, 1)]);
        assert_eq!(times.count(), 7);
    }

    #[test]
    fn a_quantile_is_the_limit_of_the_bucket_that_it_falls_in() {
        let mut times = RoundTrips::default();
        assert_eq!(times.quantile(0.5), None);
        assert_eq!(times.mean(), None);
        for micros in [100, 100, 100, 5000] {
            times.record(Some(Duration::from_micros(micros)));
        }
        assert_eq!(times.quantile(0.0), Some(Duration::from_micros(128)));
        assert_eq!(times.quantile(0.75), Some(Duration::from_micros(128)));
        assert_eq!(times.quantile(1.0), Some(Duration::from_micros(8192)));
        assert_eq!(times.mean(), Some(Duration::from_micros(1325)));
    }
}
