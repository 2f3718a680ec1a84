//! The tables, in Markdown.

use std::fmt::Write;

use super::run::Figures;

/// The medians of all scenarios.
#[derive(Debug)]
pub(crate) struct Results {
    /// The names of the contenders; the first is what the others are compared with.
    pub(crate) contenders: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// The medians of one scenario.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    /// What `mqtt bench` is told.
    pub(crate) arguments: String,
    /// One for each contender; `None` where it has not taken part.
    pub(crate) figures: Vec<Option<Figures>>,
}

/// All tables, with what they mean.
pub(crate) fn tables(results: &Results) -> String {
    let mut text = String::new();
    part(
        &mut text,
        "CPU time",
        "Microseconds of the broker's CPU, user and system, for each delivered message (`connections`: each connection). In brackets: how many times that of the first column.",
        &table(results, |figures| figures.cpu_us, cost),
    );
    part(
        &mut text,
        "Throughput",
        "Deliveries per second (`connections`: connections per second), broker and load on the same cores. It depends on what else runs.",
        &table(results, |figures| figures.per_s, |value, _| count(value)),
    );
    part(
        &mut text,
        "Latency",
        "p50 / p99 in microseconds. Only `rate` is at a fixed rate; in the others it is mostly the time spent in the window, so it shows the throughput once more.",
        &latencies(results),
    );
    part(
        &mut text,
        "Memory",
        "By how many bytes the resident memory grows for each connection, subscription or retained message of 64 bytes.",
        &table(
            results,
            |figures| figures.bytes_each,
            |value, _| count(value),
        ),
    );
    let _ = writeln!(text, "{}", start(results));
    let wrong = wrong(results);
    if !wrong.is_empty() {
        part(
            &mut text,
            "What went wrong",
            "Runs marked with ✗ above.",
            &wrong,
        );
    }
    text
}

fn part(text: &mut String, title: &str, meaning: &str, table: &str) {
    let _ = writeln!(text, "### {title}\n\n{meaning}\n\n{table}");
}

/// A table of one figure; `cell` is given the figure and that of the first column.
fn table(
    results: &Results,
    figure: impl Fn(&Figures) -> Option<f64>,
    cell: impl Fn(f64, Option<f64>) -> String,
) -> String {
    rows(results, |figures, first| {
        figure(figures).map(|value| cell(value, first.and_then(&figure)))
    })
}

fn latencies(results: &Results) -> String {
    rows(results, |figures, _| {
        let (p50, p99) = figures.p50_us.zip(figures.p99_us)?;
        Some(format!("{} / {}", count(p50), count(p99)))
    })
}

/// A table; scenarios where nobody has a figure are left out.
fn rows(results: &Results, cell: impl Fn(&Figures, Option<&Figures>) -> Option<String>) -> String {
    let mut text = format!("| | {} |\n|---|", results.contenders.join(" | "));
    text += &"--:|".repeat(results.contenders.len());
    text.push('\n');
    for row in &results.rows {
        let first = row.figures.first().and_then(Option::as_ref);
        let of = |figures: &Option<Figures>| {
            let figures = figures.as_ref()?;
            let mark = if figures.wrong.is_empty() { "" } else { " ✗" };
            cell(figures, first).map(|cell| cell + mark)
        };
        let cells: Vec<Option<String>> = row.figures.iter().map(of).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let failed = |(cell, figures): (Option<String>, &Option<Figures>)| match cell {
            Some(cell) => cell,
            None if figures.as_ref().is_some_and(|f| !f.wrong.is_empty()) => "✗".to_owned(),
            None => "-".to_owned(),
        };
        let cells: Vec<String> = cells.into_iter().zip(&row.figures).map(failed).collect();
        let _ = writeln!(text, "| `{}` | {} |", row.scenario, cells.join(" | "));
    }
    text
}

/// The memory of each contender when it has started.
fn start(results: &Results) -> String {
    let of = |(index, name): (usize, &String)| {
        let bytes = results
            .rows
            .iter()
            .find_map(|row| row.figures.get(index)?.as_ref()?.start_bytes)?;
        Some(format!("{name} {:.1} MB", bytes / 1e6))
    };
    let parts: Vec<String> = results
        .contenders
        .iter()
        .enumerate()
        .filter_map(of)
        .collect();
    format!("Resident after the start: {}.\n", parts.join(", "))
}

fn wrong(results: &Results) -> String {
    let mut text = String::new();
    for row in &results.rows {
        for (figures, name) in row.figures.iter().zip(&results.contenders) {
            if let Some(figures) = figures.as_ref().filter(|figures| !figures.wrong.is_empty()) {
                let _ = writeln!(
                    text,
                    "* `{}`, {name}: {}",
                    row.scenario,
                    figures.wrong.join("; ")
                );
            }
        }
    }
    text
}

/// What each scenario is, as a table of commands.
pub(crate) fn commands(results: &Results) -> String {
    let mut text = "| | `mqtt bench` ... `-V 311 --pid PID` |\n|---|---|\n".to_owned();
    for row in &results.rows {
        let _ = writeln!(text, "| `{}` | `{}` |", row.scenario, row.arguments);
    }
    text
}

fn cost(value: f64, first: Option<f64>) -> String {
    let text = digits(value);
    match first.filter(|first| *first > 0.0) {
        Some(first) => format!("{text} ({})", digits(value / first)),
        None => text,
    }
}

/// A number with two or three digits that count.
pub(crate) fn digits(value: f64) -> String {
    match value {
        ..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A whole number, with commas.
fn count(value: f64) -> String {
    let whole = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 {
        text.insert(0, '-');
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two contenders; the second was wrong in the first scenario, and not in the second.
    pub(crate) fn results() -> Results {
        let figures = |cpu_us, wrong: &[&str]| {
            Some(Figures {
                cpu_us: Some(cpu_us),
                per_s: Some(1_234_567.0),
                p50_us: Some(10.0),
                p99_us: Some(2000.4),
                start_bytes: Some(5e6),
                wrong: wrong.iter().map(|text| (*text).to_owned()).collect(),
                ..Figures::default()
            })
        };
        Results {
            contenders: vec!["ours".to_owned(), "<theirs>".to_owned()],
            rows: vec![
                Row {
                    scenario: "pairs",
                    arguments: "pairs -c 20".to_owned(),
                    figures: vec![figures(0.125, &[]), figures(12.5, &["3 messages lost"])],
                },
                Row {
                    scenario: "rate",
                    arguments: "pairs --rate 5000".to_owned(),
                    figures: vec![figures(20.0, &[]), None],
                },
            ],
        }
    }

    #[test]
    fn ratios_are_to_the_first_and_what_is_wrong_is_marked() {
        let text = tables(&results());
        assert!(text.contains("| | ours | <theirs> |\n|---|--:|--:|\n"));
        assert!(
            text.contains("| `pairs` | 0.125 (1.00) | 12.5 (100) ✗ |\n"),
            "{text}"
        );
        assert!(text.contains("| `rate` | 20.0 (1.00) | - |\n"), "{text}");
        assert!(
            text.contains("| `pairs` | 1,234,567 | 1,234,567 ✗ |\n"),
            "{text}"
        );
        assert!(
            text.contains("| `pairs` | 10 / 2,000 | 10 / 2,000 ✗ |\n"),
            "{text}"
        );
        assert!(
            text.contains("* `pairs`, <theirs>: 3 messages lost\n"),
            "{text}"
        );
        assert!(text.contains("Resident after the start: ours 5.0 MB, <theirs> 5.0 MB."));
    }

    #[test]
    fn one_that_found_nothing_and_went_wrong_is_marked() {
        let mut results = results();
        results.rows[1].figures[1] = Some(Figures {
            wrong: vec!["no".to_owned()],
            ..Figures::default()
        });
        assert!(tables(&results).contains("| `rate` | 20.0 (1.00) | ✗ |\n"));
    }

    #[test]
    fn commas_are_between_thousands() {
        let counts = [0.4, 999.0, 1000.0, 1e6, -1234.0, -0.1].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,000,000", "-1,234", "0"]);
    }
}
