//! One run: a contender is started, `mqtt bench` measures it, and what it says becomes figures.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::contender::Contender;
use super::scenario::{Length, Scenario};

/// What a run has found. What does not apply is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// CPU time of the broker in microseconds for each delivered message, or each connection.
    pub(crate) cpu_us: Option<f64>,
    /// Deliveries or connections a second.
    pub(crate) per_s: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    /// By how much the memory grew for each connection, subscription or retained message.
    pub(crate) bytes_each: Option<f64>,
    /// Memory of the broker before anybody connected.
    pub(crate) start_bytes: Option<f64>,
    /// What went wrong: lost, doubled, reordered, disconnected.
    pub(crate) wrong: Vec<String>,
}

/// What all runs have in common.
pub(crate) struct Setting<'a> {
    pub(crate) bench: &'a Path,
    pub(crate) directory: &'a Path,
    pub(crate) seconds: f64,
    pub(crate) clients: u32,
}

impl Setting<'_> {
    /// Makes a run. What prevents one is among what went wrong.
    pub(crate) fn run(&self, contender: &Contender, program: &Path, of: &Scenario) -> Figures {
        let running = match contender.start(program, self.directory) {
            Ok(running) => running,
            Err(cause) => return Figures::failed(format!("cannot start: {cause}")),
        };
        let output = Command::new(self.bench)
            .arg("bench")
            .args(of.arguments.split_whitespace().map(|word| match word {
                "CLIENTS" => self.clients.to_string(),
                word => word.to_owned(),
            }))
            .args(self.length(of.length))
            .args(["-V", "311", "-h", "127.0.0.1", "-p"])
            .arg(running.port.to_string())
            .args(["--json", "--quiet", "--pid", &running.id().to_string()])
            .stdin(Stdio::null())
            .output();
        let mut figures = match output {
            Err(cause) => Figures::failed(format!("mqtt bench: {cause}")),
            Ok(output) => match serde_json::from_slice(&output.stdout) {
                Ok(report) => Figures::of(&report),
                Err(_) => Figures::failed(
                    String::from_utf8_lossy(&output.stderr)
                        .lines()
                        .last()
                        .unwrap_or("no report")
                        .to_owned(),
                ),
            },
        };
        figures.start_bytes = running.start_bytes.map(|bytes| bytes as f64);
        figures
    }

    fn length(&self, length: Length) -> Vec<String> {
        let milliseconds = |seconds: f64| format!("{}ms", (seconds * 1000.0).round());
        match length {
            Length::Time => vec![
                "--duration".to_owned(),
                milliseconds(self.seconds),
                "--warm-up".to_owned(),
                milliseconds(self.seconds / 4.0),
                "--drain".to_owned(),
                "1".to_owned(),
            ],
            Length::Count => vec!["--duration".to_owned(), "1".to_owned()],
        }
    }
}

impl Figures {
    fn failed(why: String) -> Self {
        Self {
            wrong: vec![why],
            ..Self::default()
        }
    }

    /// The figures of a report of `mqtt bench`.
    pub(crate) fn of(report: &Value) -> Self {
        let number = |path: &str| report.pointer(path).and_then(Value::as_f64);
        let first = |paths: [&str; 3]| paths.into_iter().find_map(number);
        let mut wrong: Vec<String> = report
            .get("problems")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|problem| problem.as_str().map(str::to_owned))
            .collect();
        // At QoS 0 these are only warnings of the program; here they are told all the same.
        let counts = [
            ("/messages/lost", "lost"),
            ("/messages/duplicated", "doubled"),
            ("/messages/out_of_order", "reordered"),
            ("/messages/order_violations", "in no common order"),
        ];
        if wrong.is_empty() {
            let told = counts
                .into_iter()
                .filter_map(|(path, what)| Some((number(path).filter(|count| *count > 0.0)?, what)))
                .map(|(count, what)| format!("{count} messages {what}"));
            wrong.extend(told);
        }
        Self {
            cpu_us: number("/usage/broker/us_each").filter(|cpu| *cpu > 0.0),
            per_s: number("/measured/received_per_s").or_else(|| number("/connections/per_s")),
            p50_us: number("/latency_us/p50").or_else(|| number("/connections/latency_us/p50")),
            p99_us: number("/latency_us/p99").or_else(|| number("/connections/latency_us/p99")),
            bytes_each: first([
                "/subscriptions/resident_bytes_each",
                "/retained/resident_bytes_each",
                "/connections/resident_bytes_each",
            ]),
            start_bytes: None,
            wrong,
        }
    }
}

/// The medians of the figures of several runs, and all that went wrong in any.
pub(crate) fn medians(runs: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> Option<f64>| median(runs.iter().filter_map(figure).collect());
    let mut wrong: Vec<String> = runs.iter().flat_map(|run| run.wrong.clone()).collect();
    wrong.dedup();
    Figures {
        cpu_us: of(|run| run.cpu_us),
        per_s: of(|run| run.per_s),
        p50_us: of(|run| run.p50_us),
        p99_us: of(|run| run.p99_us),
        bytes_each: of(|run| run.bytes_each),
        start_bytes: of(|run| run.start_bytes),
        wrong,
    }
}

/// The middle of some numbers, or the mean of the two in the middle.
fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let upper = *numbers.get(numbers.len() / 2)?;
    if numbers.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *numbers.get(numbers.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn a_report_of_messages_becomes_figures() {
        let figures = Figures::of(&json!({
            "problems": [],
            "messages": {"lost": 0, "duplicated": 2, "out_of_order": 0, "order_violations": null},
            "measured": {"received_per_s": 5.0},
            "latency_us": {"p50": 1.0, "p99": 2.0},
            "connections": {"per_s": 7.0, "latency_us": {"p50": 8.0, "p99": 9.0}, "resident_bytes_each": null},
            "retained": null,
            "usage": {"broker": {"us_each": 0.5}},
        }));
        let expected = Figures {
            cpu_us: Some(0.5),
            per_s: Some(5.0),
            p50_us: Some(1.0),
            p99_us: Some(2.0),
            wrong: vec!["2 messages doubled".to_owned()],
            ..Figures::default()
        };
        assert_eq!(figures, expected);
    }

    #[test]
    fn a_report_of_connections_becomes_figures() {
        let figures = Figures::of(&json!({
            "problems": ["1 × client: refused"],
            "messages": null, "measured": null, "latency_us": null,
            "connections": {"per_s": 7.0, "latency_us": {"p50": 8.0, "p99": 9.0}, "resident_bytes_each": 900.0},
            "usage": {"broker": {"us_each": 20.0}},
        }));
        assert_eq!(
            (figures.per_s, figures.bytes_each),
            (Some(7.0), Some(900.0))
        );
        assert_eq!((figures.p50_us, figures.p99_us), (Some(8.0), Some(9.0)));
        assert_eq!(figures.wrong, ["1 × client: refused"]);
    }

    #[test]
    fn what_went_wrong_in_one_run_is_told_of_all() {
        let good = Figures {
            cpu_us: Some(1.0),
            ..Figures::default()
        };
        let all = medians(&[good.clone(), Figures::failed("no".to_owned()), good]);
        assert_eq!((all.cpu_us, all.wrong), (Some(1.0), vec!["no".to_owned()]));
    }
}
