//! What a run has cost: CPU and memory of the broker, CPU of this program, and which of them held it back.

use serde::Serialize;

use super::meter::{Readings, per};
use super::options::Options;
use super::process::Reading;

/// Below this nobody can say what the limit was: CPU time is counted in steps of 10 ms.
const SHORT_S: f64 = 0.2;
/// A thread that runs for more than this part of the time has no time to spare.
const SATURATED: f64 = 0.9;

/// What the cost is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    /// A message that came to a subscriber.
    Delivery,
    /// A client that was connected.
    Connection,
}

impl Unit {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Connection => "connection",
        }
    }
}

/// What held a run back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Limit {
    /// This program: the broker may be able to do more.
    Bench,
    /// The machine: there was no core for those that wanted to run.
    Machine,
    /// The broker.
    Broker,
    /// The rate that was asked for.
    Rate,
    /// None of them: what may be under way at a time, or round trips.
    Window,
    /// The broker was not looked at, or for too short a time.
    Unknown,
}

/// CPU and memory.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Usage {
    pub(crate) per: Unit,
    /// Seconds that are looked at.
    pub(crate) seconds: f64,
    /// With `--pid` only.
    pub(crate) broker: Option<BrokerUsage>,
    pub(crate) bench: BenchUsage,
    /// Cores of this machine.
    pub(crate) cores: usize,
    pub(crate) limit: Limit,
    #[serde(skip)]
    pub(crate) warning: Option<String>,
}

/// The broker's.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BrokerUsage {
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
    /// CPU seconds per second.
    pub(crate) cores: f64,
    /// Seconds that its threads were ready to run and had no core.
    pub(crate) waited_s: f64,
    /// CPU time per unit.
    pub(crate) us_each: f64,
    pub(crate) threads: u64,
    /// Before the first client was connected.
    pub(crate) resident_bytes_before: u64,
    pub(crate) resident_bytes: u64,
    /// The most since the broker was started.
    pub(crate) resident_bytes_max: u64,
}

/// This program's.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BenchUsage {
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
    pub(crate) cores: f64,
    pub(crate) waited_s: f64,
    pub(crate) us_each: f64,
    /// Threads that make load.
    pub(crate) threads: usize,
    /// The part of the time for which the busiest of them ran: 1 is a whole core.
    pub(crate) busiest_thread: f64,
}

impl Usage {
    /// What was used between the second and the third of the readings; the first are from before all.
    pub(crate) fn between(
        options: &Options,
        unit: Unit,
        count: u64,
        seconds: f64,
        [empty, from, to]: [&Readings; 3],
    ) -> Self {
        let each = |cpu_s: f64| per(cpu_s * 1e6, count as f64);
        let broker = from.broker.zip(to.broker).map(|(before, after)| {
            let cpu = after.cpu.since(&before.cpu);
            BrokerUsage {
                user_s: cpu.user_s,
                system_s: cpu.system_s,
                cores: per(cpu.total_s(), seconds),
                waited_s: cpu.waited_s,
                us_each: each(cpu.total_s()),
                threads: after.threads,
                resident_bytes_before: empty.broker.unwrap_or(before).resident_bytes,
                resident_bytes: after.resident_bytes,
                resident_bytes_max: after.resident_bytes_max,
            }
        });
        let own = to
            .own
            .unwrap_or_default()
            .cpu
            .since(&from.own.unwrap_or_else(Reading::default).cpu);
        let threads = from.threads_s.iter().zip(&to.threads_s);
        let busiest_s = threads
            .map(|(before, after)| after - before)
            .fold(0.0, f64::max);
        let bench = BenchUsage {
            user_s: own.user_s,
            system_s: own.system_s,
            cores: per(own.total_s(), seconds),
            waited_s: own.waited_s,
            us_each: each(own.total_s()),
            threads: options.threads,
            busiest_thread: per(busiest_s, seconds),
        };
        let limit = limit(
            seconds,
            options.rate.is_some() || options.connect_rate.is_some(),
            broker.as_ref(),
            &bench,
        );
        Self {
            per: unit,
            seconds,
            limit,
            warning: warning(limit, &bench),
            broker,
            bench,
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }
}

/// Who runs, or waits for a core, nearly all the time is what holds a run back.
fn limit(seconds: f64, clocked: bool, broker: Option<&BrokerUsage>, bench: &BenchUsage) -> Limit {
    let wanted = bench.busiest_thread + per(bench.waited_s, seconds * bench.threads as f64);
    let broker_wanted = broker.map(|broker| broker.cores + per(broker.waited_s, seconds));
    if seconds < SHORT_S {
        Limit::Unknown
    } else if bench.busiest_thread > SATURATED {
        Limit::Bench
    } else if broker_wanted.is_some_and(|broker| broker > SATURATED && broker >= wanted) {
        Limit::Broker
    } else if wanted > SATURATED {
        Limit::Machine
    } else if clocked {
        Limit::Rate
    } else if broker.is_some() {
        Limit::Window
    } else {
        Limit::Unknown
    }
}

fn warning(limit: Limit, bench: &BenchUsage) -> Option<String> {
    match limit {
        Limit::Bench => Some(format!(
            "mqtt bench itself was the limit: its busiest thread took {:.0} % of a core; use more --threads, or clients on another machine",
            bench.busiest_thread * 100.0
        )),
        Limit::Machine => Some(
            "mqtt bench had to wait for a core: others use this machine, and the latencies show it"
                .to_owned(),
        ),
        Limit::Broker | Limit::Rate | Limit::Window | Limit::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(busiest_thread: f64, waited_s: f64) -> BenchUsage {
        BenchUsage {
            user_s: 0.0,
            system_s: 0.0,
            cores: busiest_thread,
            waited_s,
            us_each: 0.0,
            threads: 1,
            busiest_thread,
        }
    }

    fn broker(cores: f64, waited_s: f64) -> BrokerUsage {
        BrokerUsage {
            user_s: 0.0,
            system_s: 0.0,
            cores,
            waited_s,
            us_each: 0.0,
            threads: 1,
            resident_bytes_before: 0,
            resident_bytes: 0,
            resident_bytes_max: 0,
        }
    }

    #[test]
    fn who_has_no_time_to_spare_is_the_limit() {
        let of = |bench: BenchUsage, broker: Option<BrokerUsage>, clocked| {
            limit(10.0, clocked, broker.as_ref(), &bench)
        };
        assert_eq!(
            of(bench(0.95, 0.0), Some(broker(1.0, 0.0)), false),
            Limit::Bench
        );
        assert_eq!(
            of(bench(0.5, 0.0), Some(broker(0.99, 0.0)), false),
            Limit::Broker
        );
        assert_eq!(
            of(bench(0.5, 2.0), Some(broker(0.7, 2.5)), false),
            Limit::Broker
        );
        assert_eq!(
            of(bench(0.5, 4.5), Some(broker(0.3, 0.0)), false),
            Limit::Machine
        );
        assert_eq!(
            of(bench(0.5, 0.0), Some(broker(0.5, 0.0)), false),
            Limit::Window
        );
        assert_eq!(
            of(bench(0.5, 0.0), Some(broker(0.5, 0.0)), true),
            Limit::Rate
        );
        assert_eq!(of(bench(0.5, 0.0), None, false), Limit::Unknown);
        assert_eq!(limit(0.1, false, None, &bench(1.0, 0.0)), Limit::Unknown);
        assert!(
            warning(Limit::Bench, &bench(0.95, 0.0))
                .unwrap()
                .contains("95 %")
        );
        assert_eq!(warning(Limit::Broker, &bench(0.5, 0.0)), None);
    }
}
