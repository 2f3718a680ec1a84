//! The report for people.

use std::fmt::{self, Display, Formatter};

use super::live::{thousands, time};
use super::options::Scenario;
use super::report::{Latency, Messages, Report};
use super::usage::{Limit, Unit};

/// A report as lines of text.
pub(crate) struct Text<'a>(pub(crate) &'a Report);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let report = self.0;
        writeln!(f, "{}\n", title(report))?;
        connections(report, f)?;
        if let Some(messages) = &report.messages {
            counts(messages, f)?;
        }
        if let Some(measured) = &report.measured {
            let sent = if report.retained.is_some() {
                String::new()
            } else {
                format!("{} sent/s, ", thousands(measured.sent_per_s))
            };
            let (received, mb) = (
                thousands(measured.received_per_s),
                measured.received_bytes_per_s / 1e6,
            );
            line(
                f,
                "throughput",
                &format!(
                    "{sent}{received} received/s, {mb:.2} MB/s, for {:.2} s",
                    measured.seconds
                ),
            )?;
        }
        latency(f, "latency", report.latency_us.as_ref())?;
        latency(f, "sent late", report.send_lag_us.as_ref())?;
        if let Some(retained) = &report.retained {
            line(
                f,
                "stored",
                &format!(
                    "{} messages, {}/s",
                    retained.stored,
                    thousands(retained.stored_per_s)
                ),
            )?;
            latency(f, "to first", retained.first_us.as_ref())?;
            latency(f, "to last", retained.complete_us.as_ref())?;
        }
        if let Some(subscriptions) = &report.subscriptions {
            let memory = subscriptions
                .resident_bytes_each
                .map(|bytes| format!(", {} bytes of the broker for each", thousands(bytes)));
            let (made, per_s) = (subscriptions.made, thousands(subscriptions.per_s));
            let text = format!("{made} besides, {per_s}/s{}", memory.unwrap_or_default());
            line(f, "subscribed", &text)?;
        }
        if let Some(shared) = &report.shared {
            let text = format!(
                "{} to {} messages for each of {}",
                shared.least, shared.most, shared.members
            );
            line(f, "members", &text)?;
        }
        usage(report, f)?;
        if report.interrupted {
            line(f, "INTERRUPTED", "the report is of what came before")?;
        }
        for warning in &report.warnings {
            line(f, "WARNING", warning)?;
        }
        for problem in &report.problems {
            line(f, "PROBLEM", problem)?;
        }
        Ok(())
    }
}

/// What was measured, in one line.
pub(crate) fn title(report: &Report) -> String {
    let settings = &report.settings;
    let plural =
        |count: u32, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let sides = match report.scenario {
        Scenario::Connections => plural(settings.publishers, "client"),
        Scenario::Retained => plural(settings.subscribers, "subscriber"),
        Scenario::Pairs => plural(settings.publishers, "pair"),
        Scenario::FanIn | Scenario::FanOut | Scenario::Shared => {
            let publishers = plural(settings.publishers, "publisher");
            format!(
                "{publishers}, {}",
                plural(settings.subscribers, "subscriber")
            )
        }
    };
    let messages = if report.scenario == Scenario::Connections {
        String::new()
    } else {
        format!(", QoS {}, {} bytes", settings.qos, settings.payload_bytes)
    };
    let pace = match (
        settings.rate,
        settings.window,
        &report.messages,
        &report.retained,
    ) {
        (_, _, None, _) | (_, _, _, Some(_)) => String::new(),
        (Some(rate), ..) => format!(", {} messages/s by the clock", thousands(rate)),
        (None, window, ..) => format!(", window {}", window.unwrap_or(0)),
    };
    let (name, broker, protocol) = (report.scenario.name(), &report.broker, report.protocol);
    format!("{name}: {sides}{messages}{pace}, MQTT {protocol} at {broker}")
}

fn line(f: &mut Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    writeln!(f, "{name:<12} {text}")
}

fn latency(f: &mut Formatter<'_>, name: &str, latency: Option<&Latency>) -> fmt::Result {
    let Some(latency) = latency else {
        return Ok(());
    };
    let [p50, p90, p99, p99_9, max] = [
        latency.p50,
        latency.p90,
        latency.p99,
        latency.p99_9,
        latency.max,
    ]
    .map(time);
    line(
        f,
        name,
        &format!("p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p99_9}  max {max}"),
    )
}

fn connections(report: &Report, f: &mut Formatter<'_>) -> fmt::Result {
    let connections = &report.connections;
    if report.scenario != Scenario::Connections {
        return Ok(());
    }
    let text = format!(
        "{} of {} established, {} failed, {} disconnected",
        connections.established,
        report.settings.publishers,
        connections.failed,
        connections.disconnected
    );
    line(f, "connections", &text)?;
    let rate = thousands(connections.per_s);
    line(
        f,
        "throughput",
        &format!("{rate} connections/s, for {:.2} s", connections.seconds),
    )?;
    latency(f, "latency", connections.latency_us.as_ref())?;
    if let Some(bytes) = connections.resident_bytes_each {
        line(
            f,
            "memory",
            &format!("{} bytes of the broker per connection", thousands(bytes)),
        )?;
    }
    if let Some(cores) = connections.idle_broker_cores {
        line(
            f,
            "idle",
            &format!("{cores:.3} cores of the broker while they stay"),
        )?;
    }
    Ok(())
}

fn counts(messages: &Messages, f: &mut Formatter<'_>) -> fmt::Result {
    let [sent, received, expected, lost, doubled, late] = [
        messages.sent,
        messages.received,
        messages.expected,
        messages.lost,
        messages.duplicated,
        messages.out_of_order,
    ]
    .map(|count| thousands(count as f64));
    let mut text = format!(
        "sent {sent}  received {received} of {expected}  lost {lost}  doubled {doubled}  out of order {late}"
    );
    if let Some(violations) = messages.order_violations {
        text += &format!("  in another order than others {violations}");
    }
    line(f, "messages", &text)
}

fn usage(report: &Report, f: &mut Formatter<'_>) -> fmt::Result {
    let usage = &report.usage;
    let unit = usage.per.name();
    if let Some(broker) = &usage.broker {
        let text = format!(
            "{:.2} cores (user {:.2} s, system {:.2} s), {:.2} µs per {unit}, waited {:.2} s for a core",
            broker.cores, broker.user_s, broker.system_s, broker.us_each, broker.waited_s
        );
        line(f, "broker", &text)?;
        let [before, now, max] = [
            broker.resident_bytes_before,
            broker.resident_bytes,
            broker.resident_bytes_max,
        ]
        .map(|b| b as f64 / 1e6);
        line(
            f,
            "",
            &format!(
                "{before:.1} MB resident before, {now:.1} MB now, {max:.1} MB at most, {} threads",
                broker.threads
            ),
        )?;
    }
    let bench = &usage.bench;
    let text = format!(
        "{:.2} cores (user {:.2} s, system {:.2} s), {:.2} µs per {unit}, busiest thread {:.0} %",
        bench.cores,
        bench.user_s,
        bench.system_s,
        bench.us_each,
        bench.busiest_thread * 100.0
    );
    line(f, "bench", &text)?;
    let limit = match usage.limit {
        Limit::Bench => "mqtt bench",
        Limit::Machine => "the machine",
        Limit::Broker => "the broker",
        Limit::Rate => "the rate that was asked for",
        Limit::Window if usage.per == Unit::Connection => {
            "neither the broker nor mqtt bench: --concurrency, or round trips"
        }
        Limit::Window => "neither the broker nor mqtt bench: --window, --inflight, or round trips",
        Limit::Unknown => "not known: --pid is missing, or it was too short",
    };
    line(f, "limited by", limit)
}
