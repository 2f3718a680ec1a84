//! What the broker and this program use, and the course of a run: a row for each interval.

use std::sync::Arc;

use serde::Serialize;

use super::clock::{now_ns, seconds};
use super::flow::Lane;
use super::process::{Process, Reading, thread_cpu_s};
use super::tally::{Latencies, Received, Tally, latencies};
use super::worker::Worker;

/// A row of fewer seconds would show chance only: it becomes part of the one before.
const ROW_MIN_S: f64 = 0.1;
/// Rows that are kept; when there are more, each two become one.
const ROWS_MAX: usize = 600;

/// Reads clocks and processes.
pub(crate) struct Meter {
    broker: Option<Process>,
    own: Process,
    threads: Vec<u32>,
}

/// All readings at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readings {
    pub(crate) at_ns: u64,
    pub(crate) broker: Option<Reading>,
    pub(crate) own: Option<Reading>,
    /// CPU seconds of each thread that makes load.
    pub(crate) threads_s: Vec<f64>,
}

impl Meter {
    /// # Errors
    /// That there is no process with this `pid`.
    pub(crate) fn new(pid: Option<u32>, workers: &[Worker]) -> Result<Self, String> {
        let broker = pid.map(Process::of);
        if let (Some(broker), Some(pid)) = (&broker, pid)
            && broker.read().is_none()
        {
            return Err(format!(
                "--pid {pid}: there is no such process, or it cannot be read"
            ));
        }
        Ok(Self {
            broker,
            own: Process::own(),
            threads: workers
                .iter()
                .filter_map(|worker| worker.thread_id)
                .collect(),
        })
    }

    pub(crate) fn read(&self) -> Readings {
        Readings {
            at_ns: now_ns(),
            broker: self.broker.as_ref().and_then(Process::read),
            own: self.own.read(),
            threads_s: self
                .threads
                .iter()
                .filter_map(|thread| thread_cpu_s(*thread))
                .collect(),
        }
    }
}

/// One interval of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Row {
    /// Its end, in seconds from the begin of the measured part.
    pub(crate) at_s: f64,
    pub(crate) seconds: f64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
    /// CPU seconds per second.
    pub(crate) broker_cores: Option<f64>,
    pub(crate) broker_resident_bytes: Option<u64>,
    pub(crate) bench_cores: f64,
}

impl Row {
    pub(crate) fn sent_per_s(&self) -> f64 {
        per(self.sent as f64, self.seconds)
    }

    pub(crate) fn received_per_s(&self) -> f64 {
        per(self.received as f64, self.seconds)
    }

    /// One row of two that follow one another. Of the latencies, the higher ones.
    fn and(&self, next: &Self) -> Self {
        let seconds = self.seconds + next.seconds;
        let mean = |a: f64, b: f64| per(a * self.seconds + b * next.seconds, seconds);
        Self {
            at_s: next.at_s,
            seconds,
            sent: self.sent + next.sent,
            received: self.received + next.received,
            p50_us: self.p50_us.max(next.p50_us),
            p99_us: self.p99_us.max(next.p99_us),
            max_us: self.max_us.max(next.max_us),
            broker_cores: self
                .broker_cores
                .zip(next.broker_cores)
                .map(|(a, b)| mean(a, b)),
            broker_resident_bytes: next.broker_resident_bytes,
            bench_cores: mean(self.bench_cores, next.bench_cores),
        }
    }
}

/// A quotient; 0 if there is nothing to divide by.
pub(crate) fn per(amount: f64, of: f64) -> f64 {
    if of > 0.0 { amount / of } else { 0.0 }
}

/// What had been counted at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) readings: Readings,
    pub(crate) sent: u64,
    pub(crate) received: Received,
}

/// The course of a run.
pub(crate) struct Course {
    meter: Meter,
    tallies: Vec<Arc<Tally>>,
    lanes: Vec<Arc<Lane>>,
    /// Since the begin of the measured part.
    pub(crate) latencies: Latencies,
    pub(crate) lags: Latencies,
    /// Of the last row alone.
    pub(crate) recent: Latencies,
    recent_lags: Latencies,
    /// Before anything was connected.
    pub(crate) empty: Readings,
    /// The begin of the measured part.
    pub(crate) begin: Option<Moment>,
    last: Moment,
    pub(crate) rows: Vec<Row>,
}

impl Course {
    pub(crate) fn new(meter: Meter, workers: &[Worker], empty: Readings) -> Self {
        Self {
            meter,
            tallies: workers.iter().map(|worker| worker.tally.clone()).collect(),
            lanes: Vec::new(),
            latencies: latencies(),
            lags: latencies(),
            recent: latencies(),
            recent_lags: latencies(),
            empty,
            begin: None,
            last: Moment::default(),
            rows: Vec::new(),
        }
    }

    /// Says whose messages are sent.
    pub(crate) fn watch(&mut self, lanes: Vec<Arc<Lane>>) {
        self.lanes = lanes;
        self.last = self.moment();
    }

    pub(crate) fn sent(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.sent()).sum()
    }

    pub(crate) fn received(&self) -> Received {
        let each = self.tallies.iter().map(|tally| tally.lock().received);
        each.fold(Received::default(), Received::plus)
    }

    /// When the last message came.
    pub(crate) fn last_ns(&self) -> u64 {
        self.tallies
            .iter()
            .map(|tally| tally.lock().last_ns)
            .max()
            .unwrap_or(0)
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment {
            readings: self.meter.read(),
            sent: self.sent(),
            received: self.received(),
        }
    }

    /// Begins the measured part: what was before does not count.
    pub(crate) fn begin(&mut self) {
        self.drain();
        self.last = self.moment();
        self.begin = Some(self.last.clone());
    }

    /// Ends an interval: its row, which counts only in the measured part.
    pub(crate) fn row(&mut self) -> Row {
        self.drain();
        let now = self.moment();
        let (before, readings) = (&self.last.readings, &now.readings);
        let elapsed = seconds(readings.at_ns - before.at_ns);
        let cores = |now: Option<Reading>, before: Option<Reading>| {
            let used = now
                .zip(before)
                .map(|(now, before)| now.cpu.since(&before.cpu).total_s());
            used.map(|used| per(used, elapsed))
        };
        let us = |quantile| self.recent.value_at_quantile(quantile) as f64 / 1e3;
        let begin_ns = self
            .begin
            .as_ref()
            .map_or(readings.at_ns, |begin| begin.readings.at_ns);
        let row = Row {
            at_s: seconds(readings.at_ns - begin_ns),
            seconds: elapsed,
            sent: now.sent - self.last.sent,
            received: now.received.messages - self.last.received.messages,
            p50_us: us(0.5),
            p99_us: us(0.99),
            max_us: us(1.0),
            broker_cores: cores(readings.broker, before.broker),
            broker_resident_bytes: readings.broker.map(|broker| broker.resident_bytes),
            bench_cores: cores(readings.own, before.own).unwrap_or(0.0),
        };
        if self.begin.is_some() {
            let _ = self.latencies.add(&self.recent);
            let _ = self.lags.add(&self.recent_lags);
            self.keep(row.clone());
        }
        self.last = now;
        row
    }

    fn keep(&mut self, row: Row) {
        if let Some(last) = self.rows.last_mut().filter(|_| row.seconds < ROW_MIN_S) {
            *last = last.and(&row);
            return;
        }
        self.rows.push(row);
        if self.rows.len() >= ROWS_MAX {
            let pairs = self.rows.chunks(2);
            let merged = pairs.filter_map(|pair| match pair {
                [first, second] => Some(first.and(second)),
                [only] => Some(only.clone()),
                _ => None,
            });
            self.rows = merged.collect();
        }
    }

    fn drain(&mut self) {
        self.recent.reset();
        self.recent_lags.reset();
        for tally in &self.tallies {
            tally.lock().drain(&mut self.recent, &mut self.recent_lags);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_has_fewer_and_longer_rows() {
        let meter = Meter::new(None, &[]).unwrap();
        let mut course = Course::new(meter, &[], Readings::default());
        for second in 1..=100_000 {
            course.keep(Row {
                at_s: f64::from(second),
                seconds: 1.0,
                sent: 10,
                max_us: f64::from(second),
                broker_cores: Some(0.5),
                ..Row::default()
            });
            assert!(course.rows.len() < ROWS_MAX);
        }
        let rows = &course.rows;
        assert_eq!(rows.iter().map(|row| row.sent).sum::<u64>(), 1_000_000);
        assert_eq!(rows.last().unwrap().max_us, 100_000.0);
        assert!(rows.iter().all(|row| row.broker_cores == Some(0.5)));
    }

    #[test]
    fn a_short_end_is_part_of_the_row_before() {
        let mut course = Course::new(Meter::new(None, &[]).unwrap(), &[], Readings::default());
        for (at_s, seconds, received) in [(1.0, 1.0, 100), (1.01, 0.01, 50), (2.0, 0.99, 7)] {
            course.keep(Row {
                at_s,
                seconds,
                received,
                ..Row::default()
            });
        }
        let rows: Vec<_> = course
            .rows
            .iter()
            .map(|row| (row.at_s, row.received))
            .collect();
        assert_eq!(rows, [(1.01, 150), (2.0, 7)]);
    }

    #[test]
    fn a_process_that_is_not_there_is_said_to_be_so() {
        assert!(
            Meter::new(Some(u32::MAX), &[])
                .is_err_and(|problem| problem.contains("no such process"))
        );
    }
}
