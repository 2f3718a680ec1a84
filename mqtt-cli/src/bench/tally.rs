//! What a worker counts: one lock for each batch of packets, not for each packet.

use std::sync::Mutex;

use hdrhistogram::Histogram;

use super::lock;
use super::sequence::Arrival;

/// The longest latency that is told apart: an hour.
const LATENCY_MAX_NS: u64 = 3_600_000_000_000;

/// Latencies in nanoseconds, to three digits.
pub(crate) type Latencies = Histogram<u64>;

/// An empty histogram. It takes 340 KB, whatever is in it.
pub(crate) fn latencies() -> Latencies {
    Latencies::new_with_bounds(1, LATENCY_MAX_NS, 3).unwrap_or_else(|_| empty())
}

/// What can be had without bounds: never needed, as those above are valid.
fn empty() -> Latencies {
    let mut histogram = Latencies::new(1).unwrap_or_else(|_| empty());
    histogram.auto(true);
    histogram
}

/// Messages counted at the subscribers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// All that are of this run, doubled ones included.
    pub(crate) messages: u64,
    /// Those that came for the first time.
    pub(crate) fresh: u64,
    pub(crate) duplicated: u64,
    /// Those that came for the first time, but behind a later one of the same publisher.
    pub(crate) out_of_order: u64,
    /// Those that are not of this run, not for this subscriber, or not as they were sent.
    pub(crate) unexpected: u64,
}

impl Received {
    /// The sum.
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            fresh: self.fresh + other.fresh,
            duplicated: self.duplicated + other.duplicated,
            out_of_order: self.out_of_order + other.out_of_order,
            unexpected: self.unexpected + other.unexpected,
        }
    }
}

/// The counters of one worker.
#[derive(Debug)]
pub(crate) struct Tally {
    counts: Mutex<Counts>,
}

/// What is counted under the lock.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) received: Received,
    /// When the last message came.
    pub(crate) last_ns: u64,
    /// The most messages that one read of one subscriber has brought.
    pub(crate) largest_read: u64,
    /// Since the last time they were taken.
    latencies: Latencies,
    /// How late messages were sent at a fixed rate, since the last time they were taken.
    lags: Latencies,
    /// A latency that is not in the histogram yet, and how often it came.
    run: (u64, u64),
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            counts: Mutex::new(Counts {
                received: Received::default(),
                last_ns: 0,
                largest_read: 0,
                latencies: latencies(),
                lags: latencies(),
                run: (0, 0),
            }),
        }
    }

    /// The counters, for a batch.
    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        lock(&self.counts)
    }
}

impl Counts {
    /// Counts a message that came `latency_ns` behind its time.
    #[inline]
    pub(crate) fn message(&mut self, arrival: Arrival, latency_ns: u64) {
        self.received.messages += 1;
        match arrival {
            Arrival::New => self.received.fresh += 1,
            Arrival::Late => {
                self.received.fresh += 1;
                self.received.out_of_order += 1;
            }
            Arrival::Duplicate => self.received.duplicated += 1,
        }
        // What is written at once mostly has one time, and what is read at once has.
        if latency_ns == self.run.0 {
            self.run.1 += 1;
        } else {
            self.end_run();
            self.run = (latency_ns, 1);
        }
    }

    /// Counts messages that were sent so late.
    pub(crate) fn lag(&mut self, lag_ns: u64) {
        self.lags.saturating_record(lag_ns.max(1));
    }

    fn end_run(&mut self) {
        if self.run.1 > 0 {
            self.latencies
                .saturating_record_n(self.run.0.max(1), self.run.1);
            self.run.1 = 0;
        }
    }

    /// Adds the latencies and the lags to `into` and forgets them here.
    pub(crate) fn drain(&mut self, into: &mut Latencies, lags: &mut Latencies) {
        self.end_run();
        // All have the same bounds.
        let _ = into.add(&self.latencies);
        let _ = lags.add(&self.lags);
        self.latencies.reset();
        self.lags.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_counted_once_and_drained_once() {
        let tally = Tally::new();
        let mut counts = tally.lock();
        for (arrival, latency) in [
            (Arrival::New, 1000),
            (Arrival::New, 1000),
            (Arrival::Late, 5000),
            (Arrival::Duplicate, 0),
            (Arrival::New, u64::MAX),
        ] {
            counts.message(arrival, latency);
        }
        counts.lag(7);
        let expected = Received {
            messages: 5,
            fresh: 4,
            duplicated: 1,
            out_of_order: 1,
            unexpected: 0,
        };
        assert_eq!(counts.received, expected);
        assert_eq!(expected.plus(expected).messages, 10);
        let (mut all, mut lags) = (latencies(), latencies());
        counts.drain(&mut all, &mut lags);
        counts.drain(&mut all, &mut lags);
        assert_eq!((all.len(), lags.len()), (5, 1));
        assert_eq!(all.count_between(990, 1010), 2);
        assert!(all.max() >= LATENCY_MAX_NS);
    }
}
