//! What a run has found: the report, as a document for programs, and what is wrong with what it says.

use serde::Serialize;

use super::clock::seconds;
use super::connect::Faults;
use super::meter::{Moment, Readings, Row, per};
use super::options::{Options, Scenario};
use super::retained::Replay;
use super::subscriptions::Subscriptions;
use super::tally::Latencies;
use super::usage::{Unit, Usage};
use super::{connections, messaging};

/// A report. The names of the fields are those of the JSON document, and stay.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) tool: &'static str,
    pub(crate) version: &'static str,
    pub(crate) scenario: Scenario,
    pub(crate) broker: String,
    /// "3.1.1" or "5.0".
    pub(crate) protocol: &'static str,
    pub(crate) settings: Settings,
    /// True if there are no problems.
    pub(crate) ok: bool,
    /// True if it was ended before its time.
    pub(crate) interrupted: bool,
    pub(crate) problems: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) connections: Connections,
    pub(crate) messages: Option<Messages>,
    pub(crate) measured: Option<Measured>,
    /// From the sending of a message to its arrival; of `retained`, from the SUBSCRIBE.
    pub(crate) latency_us: Option<Latency>,
    /// At a fixed rate: how much too late messages were sent.
    pub(crate) send_lag_us: Option<Latency>,
    pub(crate) shared: Option<Members>,
    pub(crate) retained: Option<Retained>,
    /// Those that no message matches.
    pub(crate) subscriptions: Option<Subscriptions>,
    pub(crate) usage: Usage,
    pub(crate) intervals: Vec<Row>,
    /// The latencies at rising quantiles.
    pub(crate) latency_curve: Vec<Point>,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Settings {
    pub(crate) publishers: u32,
    pub(crate) subscribers: u32,
    pub(crate) qos: u8,
    pub(crate) payload_bytes: usize,
    pub(crate) topic: String,
    pub(crate) filter: Option<String>,
    pub(crate) subscriptions: u32,
    pub(crate) rate: Option<f64>,
    pub(crate) window: Option<u32>,
    pub(crate) inflight: u16,
    pub(crate) limit: Option<u64>,
    pub(crate) warm_up_s: f64,
    pub(crate) duration_s: f64,
    pub(crate) drain_s: f64,
    pub(crate) connect_rate: Option<f64>,
    pub(crate) threads: usize,
}

/// Clients.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Connections {
    pub(crate) attempted: u64,
    pub(crate) established: u64,
    pub(crate) failed: u64,
    /// Those that have ended before the run did.
    pub(crate) disconnected: u64,
    pub(crate) seconds: f64,
    pub(crate) per_s: f64,
    /// From the start of a connection to its CONNACK.
    pub(crate) latency_us: Option<Latency>,
    /// Of the broker's memory; only in the scenario `connections`.
    pub(crate) resident_bytes_each: Option<f64>,
    /// Cores that the broker needs for connections that do nothing; only in the scenario `connections`.
    pub(crate) idle_broker_cores: Option<f64>,
}

/// Messages of the whole run, warm-up included.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Messages {
    pub(crate) sent: u64,
    /// Sent and not acknowledged, at QoS 1 and 2.
    pub(crate) unacknowledged: u64,
    /// Acknowledged with a reason that means that they were not taken.
    pub(crate) refused: u64,
    /// At a fixed rate: due, and not sent before the end.
    pub(crate) overdue: u64,
    /// Deliveries that the sent messages call for.
    pub(crate) expected: u64,
    /// Deliveries, doubled ones included.
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    /// Deliveries behind a later message of the same publisher, at one subscriber.
    pub(crate) out_of_order: u64,
    /// Deliveries that others saw in another order; only where several publish to a topic of several subscribers.
    pub(crate) order_violations: Option<u64>,
    /// Deliveries that are not of this run, not for their subscriber, or not as they were sent.
    pub(crate) unexpected: u64,
    /// Acknowledgements that nothing waited for.
    pub(crate) unexpected_acknowledgements: u64,
    /// How often nothing came for a second, so that a closed loop went on without what was missing.
    pub(crate) stalls: u64,
}

/// The measured part: from the end of the warm-up to the last arrival.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) sent_per_s: f64,
    pub(crate) received_per_s: f64,
    /// Of payloads.
    pub(crate) received_bytes_per_s: f64,
}

/// A distribution of times, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) min: f64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

/// How evenly a shared subscription is shared.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Members {
    pub(crate) members: usize,
    /// Messages of the member that got fewest.
    pub(crate) least: u64,
    pub(crate) most: u64,
}

/// What is found of retained messages only.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Retained {
    pub(crate) stored: u64,
    pub(crate) stored_per_s: f64,
    /// Of the broker's memory, before anybody has subscribed.
    pub(crate) resident_bytes_each: Option<f64>,
    /// From the SUBSCRIBE of each subscriber to its first message.
    pub(crate) first_us: Option<Latency>,
    /// The same to its last message.
    pub(crate) complete_us: Option<Latency>,
}

/// One point of a curve.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Point {
    /// The part of the messages that took at most so long: 0 to 1.
    pub(crate) quantile: f64,
    pub(crate) us: f64,
}

impl Latency {
    /// The figures of a histogram of nanoseconds, unless it is empty.
    pub(crate) fn of(latencies: &Latencies) -> Option<Self> {
        let at = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
        (!latencies.is_empty()).then(|| Self {
            count: latencies.len(),
            min: latencies.min() as f64 / 1e3,
            mean: latencies.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: latencies.max() as f64 / 1e3,
        })
    }
}

/// The curve of a histogram: ever closer to 1, where what is interesting is.
fn curve(latencies: &Latencies) -> Vec<Point> {
    let point = |quantile| Point {
        quantile,
        us: latencies.value_at_quantile(quantile) as f64 / 1e3,
    };
    if latencies.is_empty() {
        return Vec::new();
    }
    let mut points = Vec::new();
    let mut beyond = 1.0;
    while beyond * latencies.len() as f64 > 1.0 && points.len() < 100 {
        points.push(point(1.0 - beyond));
        beyond *= 0.75;
    }
    points.push(point(1.0));
    points
}

impl Report {
    fn new(options: &Options, usage: Usage, connections: Connections) -> Self {
        Self {
            tool: "mqtt bench",
            version: env!("CARGO_PKG_VERSION"),
            scenario: options.scenario,
            broker: options.broker.to_string(),
            protocol: if options.version.has_properties() {
                "5.0"
            } else {
                "3.1.1"
            },
            settings: settings(options),
            ok: true,
            interrupted: false,
            problems: Vec::new(),
            warnings: usage.warning.clone().into_iter().collect(),
            connections,
            messages: None,
            measured: None,
            latency_us: None,
            send_lag_us: None,
            shared: None,
            retained: None,
            subscriptions: None,
            usage,
            intervals: Vec::new(),
            latency_curve: Vec::new(),
        }
    }

    /// The report of a run with messages under way, or of one with retained messages.
    pub(crate) fn of_messages(
        options: &Options,
        findings: messaging::Findings,
        replay: Option<&Replay>,
    ) -> Self {
        let begin = findings.course.begin.clone().unwrap_or_default();
        let measured = measured(options, &begin, &findings);
        let usage = Usage::between(
            options,
            Unit::Delivery,
            measured.received,
            measured.seconds,
            [
                &findings.course.empty,
                &begin.readings,
                &findings.end.readings,
            ],
        );
        let connections = Connections {
            attempted: findings.connected,
            established: findings.connected,
            disconnected: findings.faults.count(),
            seconds: findings.connect_s,
            per_s: per(findings.connected as f64, findings.connect_s),
            latency_us: Latency::of(&findings.connect_latencies),
            ..Connections::default()
        };
        let mut report = Self::new(options, usage, connections);
        report.latency_us = Latency::of(&findings.course.latencies);
        report.latency_curve = curve(&findings.course.latencies);
        report.send_lag_us = Latency::of(&findings.course.lags);
        report.shared = members(&findings.members);
        report.retained = replay.map(|replay| Retained {
            stored: replay.stored,
            stored_per_s: per(replay.stored as f64, replay.store_s),
            resident_bytes_each: grown(&findings.course.empty, &begin.readings)
                .map(|bytes| per(bytes, replay.stored as f64)),
            first_us: Latency::of(&replay.first),
            complete_us: Latency::of(&replay.complete),
        });
        report.subscriptions = findings.subscriptions.as_ref().map(Subscriptions::of);
        let sent = replay.map_or(findings.end.sent, |replay| replay.stored);
        report.judge(options, &findings, messages(&findings, sent));
        report.faults(&findings.faults);
        report.measured = Some(measured);
        report.interrupted = findings.interrupted;
        report.intervals = findings.course.rows;
        report
    }

    /// The report of a run of clients that only connect.
    pub(crate) fn of_connections(options: &Options, findings: connections::Findings) -> Self {
        let [empty, connected, settled] = [
            &findings.course.empty,
            &findings.connected,
            &findings.settled,
        ];
        let begin = findings.course.begin.clone().unwrap_or_default().readings;
        let established = findings.established;
        let usage = Usage::between(
            options,
            Unit::Connection,
            established,
            findings.connect_s,
            [empty, &begin, connected],
        );
        let made = findings.subscriptions.as_ref();
        let of_subscriptions = made
            .and_then(|made| grown(&made.before, &made.after))
            .unwrap_or(0.0);
        let connections = Connections {
            attempted: findings.attempted,
            established,
            failed: findings.failed.count(),
            disconnected: findings.ended.count(),
            seconds: findings.connect_s,
            per_s: per(established as f64, findings.connect_s),
            latency_us: Latency::of(&findings.latencies),
            resident_bytes_each: grown(empty, settled)
                .map(|bytes| per(bytes - of_subscriptions, established as f64)),
            idle_broker_cores: idle_cores(connected, settled),
        };
        let mut report = Self::new(options, usage, connections);
        report.latency_curve = curve(&findings.latencies);
        report.subscriptions = made.map(Subscriptions::of);
        report.faults(&findings.failed);
        report.faults(&findings.ended);
        report.interrupted = findings.interrupted;
        report.intervals = findings.course.rows;
        report
    }

    fn problem(&mut self, what: String) {
        self.problems.push(what);
        self.ok = false;
    }

    fn faults(&mut self, faults: &Faults) {
        for line in faults.lines() {
            self.problem(line);
        }
    }

    /// Says what is wrong with the messages. What QoS 0 allows is only a warning there.
    fn judge(&mut self, options: &Options, findings: &messaging::Findings, messages: Messages) {
        let strict = options.qos != mqtt_codec::QoS::AtMostOnce;
        let promised = [
            (messages.lost, "lost"),
            (messages.duplicated, "doubled"),
            (messages.out_of_order, "out of the order of their publisher"),
            (
                messages.order_violations.unwrap_or(0),
                "in another order than at other subscribers",
            ),
        ];
        for (count, what) in promised.into_iter().filter(|(count, _)| *count > 0) {
            let line = format!("{count} messages {what}");
            if strict {
                self.problem(line);
            } else {
                self.warnings.push(line);
            }
        }
        if messages.refused > 0 {
            let reason = findings.refusal.map_or("", |reason| reason.text());
            self.problem(format!(
                "{} messages refused by the broker: {reason}",
                messages.refused
            ));
        }
        let never = [
            (messages.unacknowledged, "messages never acknowledged"),
            (messages.unexpected, "deliveries that nobody had asked for"),
            (
                messages.unexpected_acknowledgements,
                "acknowledgements that nothing waited for",
            ),
        ];
        for (count, what) in never.into_iter().filter(|(count, _)| *count > 0) {
            self.problem(format!("{count} {what}"));
        }
        if messages.overdue > 0 {
            let line = format!(
                "{} messages were due and could not be sent: the rate is too high",
                messages.overdue
            );
            self.warnings.push(line);
        }
        if messages.stalls > 0 {
            self.warnings.push(format!(
                "{} times nothing came for a second",
                messages.stalls
            ));
        }
        if let Some(granted) = findings.granted.filter(|granted| *granted < options.qos) {
            let (wanted, granted) = (options.qos as u8, granted as u8);
            let line =
                format!("the broker granted only QoS {granted} of {wanted} to subscriptions");
            self.warnings.push(line);
        }
        if messages.sent == 0 && !findings.interrupted {
            self.problem("no message was sent".to_owned());
        }
        self.messages = Some(messages);
    }
}

fn settings(options: &Options) -> Settings {
    Settings {
        publishers: options.publishers,
        subscribers: options.subscribers,
        qos: options.qos as u8,
        payload_bytes: options.payload_bytes,
        topic: options.topic.clone(),
        filter: options.filter.clone(),
        subscriptions: options.subscriptions,
        rate: options.rate,
        window: options.rate.is_none().then_some(options.window),
        inflight: options.inflight,
        limit: options.limit,
        warm_up_s: options.warm_up.as_secs_f64(),
        duration_s: options.duration.as_secs_f64(),
        drain_s: options.drain.as_secs_f64(),
        connect_rate: options.connect_rate,
        threads: options.threads,
    }
}

fn measured(options: &Options, begin: &Moment, findings: &messaging::Findings) -> Measured {
    let elapsed = seconds(findings.last_ns.saturating_sub(begin.readings.at_ns));
    let sent = findings.end.sent.saturating_sub(begin.sent);
    let received = findings
        .end
        .received
        .messages
        .saturating_sub(begin.received.messages);
    let received_per_s = per(received as f64, elapsed);
    Measured {
        seconds: elapsed,
        sent,
        received,
        sent_per_s: per(sent as f64, elapsed),
        received_per_s,
        received_bytes_per_s: received_per_s * options.payload_bytes as f64,
    }
}

fn messages(findings: &messaging::Findings, sent: u64) -> Messages {
    let received = findings.end.received;
    Messages {
        sent,
        unacknowledged: findings.unacknowledged,
        refused: findings.refused,
        overdue: findings.overdue,
        expected: findings.expected,
        received: received.messages,
        lost: findings.expected.saturating_sub(received.fresh),
        duplicated: received.duplicated,
        out_of_order: received.out_of_order,
        order_violations: findings.order_violations,
        unexpected: received.unexpected,
        unexpected_acknowledgements: findings.unexpected_answers,
        stalls: findings.stalls,
    }
}

fn members(received: &[u64]) -> Option<Members> {
    Some(Members {
        members: received.len(),
        least: received.iter().min().copied()?,
        most: received.iter().max().copied()?,
    })
}

/// How much the broker's memory has grown.
pub(crate) fn grown(from: &Readings, to: &Readings) -> Option<f64> {
    let (from, to) = from.broker.zip(to.broker)?;
    Some(to.resident_bytes as f64 - from.resident_bytes as f64)
}

fn idle_cores(from: &Readings, to: &Readings) -> Option<f64> {
    let (before, after) = from.broker.zip(to.broker)?;
    let elapsed = seconds(to.at_ns.saturating_sub(from.at_ns));
    (elapsed > 0.1).then(|| per(after.cpu.since(&before.cpu).total_s(), elapsed))
}

#[cfg(test)]
mod tests {
    use super::super::tally::latencies;
    use super::*;

    #[test]
    fn figures_of_latencies_are_microseconds() {
        let mut histogram = latencies();
        assert!(Latency::of(&histogram).is_none());
        histogram.record_n(1000, 98).unwrap();
        histogram.record_n(5_000_000, 2).unwrap();
        let latency = Latency::of(&histogram).unwrap();
        assert_eq!((latency.count, latency.p50, latency.p90), (100, 1.0, 1.0));
        assert!((latency.p99 - 5000.0).abs() < 5.0, "{latency:?}");
        assert!((latency.mean - 100.98).abs() < 0.2, "{latency:?}");
    }

    #[test]
    fn the_curve_rises_to_the_highest_and_ends_there() {
        let mut histogram = latencies();
        for value in 1..=100_000 {
            histogram.record(value * 100).unwrap();
        }
        let points = curve(&histogram);
        assert!(points.is_sorted_by(|a, b| a.quantile < b.quantile && a.us <= b.us));
        let last = points.last().unwrap();
        assert_eq!(last.quantile, 1.0);
        assert!((last.us - 10_000.0).abs() < 10.0);
        assert!(points.len() < 60);
        assert!(curve(&latencies()).is_empty());
    }
}
