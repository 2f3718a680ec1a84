//! What is seen while a run lasts: on a terminal a bar and a picture of the latencies, otherwise a plain line each second. All of
//! it goes to stderr; stdout has the report alone.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::meter::Row;
use super::options::Scenario;
use super::tally::Latencies;

/// Columns of the picture of the latencies.
const COLUMNS: usize = 24;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Where the course of a run is shown.
pub(crate) struct Live {
    kind: Kind,
    scenario: Scenario,
}

enum Kind {
    Quiet,
    Lines,
    Terminal(ProgressBar),
}

impl Live {
    /// `length` is how long it takes, warm-up included, if that is known.
    pub(crate) fn new(quiet: bool, scenario: Scenario, length: Option<Duration>) -> Self {
        let kind = if quiet {
            Kind::Quiet
        } else if std::io::stderr().is_terminal() {
            Kind::Terminal(bar(length))
        } else {
            Kind::Lines
        };
        Self { kind, scenario }
    }

    /// A bar for clients that connect.
    pub(crate) fn connecting(&self, who: &str, clients: u64) -> ProgressBar {
        let Kind::Terminal(_) = self.kind else {
            return ProgressBar::hidden();
        };
        let bar = ProgressBar::with_draw_target(Some(clients), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {human_pos} of {human_len}")
        {
            bar.set_style(style);
        }
        bar.set_message(format!("connecting: {who}"));
        bar
    }

    /// Shows an interval, with its latencies and how many connections were lost so far.
    pub(crate) fn row(&self, row: &Row, latencies: &Latencies, measuring: bool, lost: usize) {
        let lost = if lost > 0 {
            format!("  {lost} DISCONNECTED")
        } else {
            String::new()
        };
        let note = if measuring { "" } else { "  (warming up)" };
        match &self.kind {
            Kind::Quiet => {}
            Kind::Lines => {
                // Who closes stderr does not want to know.
                let _ = writeln!(
                    std::io::stderr(),
                    "{:>6.1} s  {}{note}{lost}",
                    row.at_s,
                    self.figures(row)
                );
            }
            Kind::Terminal(bar) => {
                bar.set_position((bar.elapsed().as_secs_f64() * 1000.0) as u64);
                bar.set_message(format!(
                    "{}{note}{lost}\n{}",
                    self.figures(row),
                    picture(latencies)
                ));
            }
        }
    }

    fn figures(&self, row: &Row) -> String {
        let mut text = match self.scenario {
            Scenario::Connections => "all stay".to_owned(),
            Scenario::Retained => format!("received {}/s", thousands(row.received_per_s())),
            Scenario::FanIn | Scenario::FanOut | Scenario::Pairs | Scenario::Shared => {
                let [sent, received] = [row.sent_per_s(), row.received_per_s()].map(thousands);
                format!("sent {sent}/s  received {received}/s")
            }
        };
        if row.received > 0 {
            text += &format!(
                "  p50 {}  p99 {}  max {}",
                time(row.p50_us),
                time(row.p99_us),
                time(row.max_us)
            );
        }
        if let Some(cores) = row.broker_cores {
            text += &format!("  broker {cores:.2} cores");
        }
        text + &format!("  bench {:.2}", row.bench_cores)
    }

    /// Leaves the terminal as it was.
    pub(crate) fn end(&self) {
        if let Kind::Terminal(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }
}

fn bar(length: Option<Duration>) -> ProgressBar {
    let milliseconds = length.map(|length| length.as_millis() as u64);
    let bar = ProgressBar::with_draw_target(milliseconds, ProgressDrawTarget::stderr());
    let template = if length.is_some() {
        "{bar:30} {elapsed} of {duration}\n{msg}"
    } else {
        "{spinner} {elapsed}\n{msg}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// How often each latency came: columns from the shortest to the longest, each as many times longer than the one before.
fn picture(latencies: &Latencies) -> String {
    if latencies.is_empty() {
        return String::new();
    }
    let (low, high) = (latencies.min().max(1) as f64, latencies.max().max(2) as f64);
    let step = (high / low).ln().max(0.01) / COLUMNS as f64;
    let mut columns = [0_u64; COLUMNS];
    for value in latencies.iter_recorded() {
        let at = (value.value_iterated_to() as f64 / low).ln() / step;
        let at = (at.max(0.0) as usize).min(COLUMNS - 1);
        if let Some(column) = columns.get_mut(at) {
            *column += value.count_since_last_iteration();
        }
    }
    let most = columns.iter().max().copied().unwrap_or(1).max(1);
    let level = |count: &u64| match count {
        0 => ' ',
        // A single message among millions is still seen.
        count => LEVELS
            .get((count * 8).div_ceil(most) as usize - 1)
            .copied()
            .unwrap_or(' '),
    };
    let columns: String = columns.iter().map(level).collect();
    format!(
        "latency {} |{columns}| {}",
        time(low / 1e3),
        time(high / 1e3)
    )
}

/// Microseconds for people.
pub(crate) fn time(us: f64) -> String {
    match us {
        us if us < 999.5 => format!("{us:.0} µs"),
        us if us < 99_950.0 => format!("{:.2} ms", us / 1e3),
        us if us < 999_500.0 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// A whole number with its thousands apart.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tally::latencies;
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        let numbers = [0.0, 999.4, 1000.0, 1_234_567.0].map(thousands);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
        let times = [0.4, 999.0, 1000.0, 123_456.0, 1_500_000.0].map(time);
        assert_eq!(times, ["0 µs", "999 µs", "1.00 ms", "123 ms", "1.50 s"]);
    }

    #[test]
    fn a_picture_has_its_peak_where_most_are_and_shows_a_single_one() {
        let mut histogram = latencies();
        histogram.record_n(100_000, 1_000_000).unwrap();
        histogram.record_n(110_000, 500_000).unwrap();
        histogram.record(50_000_000).unwrap();
        let text = picture(&histogram);
        let columns: Vec<char> = text.split('|').nth(1).unwrap().chars().collect();
        assert_eq!(columns.len(), COLUMNS);
        assert_eq!(
            (columns[0], columns[COLUMNS - 1], columns[10]),
            ('█', '▁', ' ')
        );
        assert!(
            text.starts_with("latency 100 µs |") && text.ends_with("50.00 ms"),
            "{text}"
        );
        histogram.reset();
        assert_eq!(picture(&histogram), "");
        histogram.record(7).unwrap();
        assert!(picture(&histogram).contains('█'));
    }
}
