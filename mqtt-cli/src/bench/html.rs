//! The report as one web page that needs nothing else: figures, plots, and all settings. It has no scripts.

use super::live::{thousands, time};
use super::meter::Row;
use super::plot::{Line, Plot, Unit};
use super::report::{Point, Report};
use super::text::{Text, title};

const STYLE: &str = "
:root{color-scheme:light dark;--page:#fff;--card:#f5f6f8;--ink:#1b1f24;--dim:#5b6470;--grid:#dde1e6;--s1:#0b6bcb;--s2:#c2570c;--s3:#1a7f4b;--bad:#b42318;--warn:#8a5a00}
@media(prefers-color-scheme:dark){:root{--page:#14171b;--card:#1d2228;--ink:#e8eaed;--dim:#9aa4b0;--grid:#323941;--s1:#6cb0f5;--s2:#f0965a;--s3:#5fc992;--bad:#ff8a80;--warn:#e5b567}}
body{margin:0 auto;padding:24px;max-width:1340px;background:var(--page);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
h1{font-size:22px;margin:0 0 4px}h2{font-size:16px;margin:28px 0 8px}p.sub{color:var(--dim);margin:0 0 20px}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(170px,1fr));gap:12px}
.tile{background:var(--card);border-radius:8px;padding:12px 14px}.tile b{display:block;font-size:22px;font-weight:600;font-variant-numeric:tabular-nums}.tile span{color:var(--dim);font-size:13px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(480px,100%),1fr));gap:20px;margin-top:24px}
svg{width:100%;height:auto;overflow:visible}text{fill:var(--dim);font:11px system-ui,sans-serif}text.title{fill:var(--ink);font-size:14px;font-weight:600}
.grid{stroke:var(--grid)}.axis{stroke:var(--dim)}.line{fill:none;stroke-width:2;stroke-linejoin:round}
.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}.point{stroke:none;fill:transparent}.point.lone.s1,.point.s1:hover{fill:var(--s1)}.point.lone.s2,.point.s2:hover{fill:var(--s2)}.point.lone.s3,.point.s3:hover{fill:var(--s3)}
.note{margin:6px 0;padding:8px 12px;border-left:4px solid var(--warn);background:var(--card)}.note.bad{border-color:var(--bad)}
pre{background:var(--card);border-radius:8px;padding:14px;overflow-x:auto;font-size:13px}
";

/// The page of a report.
pub(crate) fn page(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>mqtt bench {}</title>\n<style>{STYLE}</style>\n<h1>mqtt bench {}</h1>\n<p class=\"sub\">{}</p>\n",
        report.scenario.name(),
        report.scenario.name(),
        escape(&title(report))
    );
    for problem in &report.problems {
        page += &format!(
            "<p class=\"note bad\"><b>Problem:</b> {}</p>\n",
            escape(problem)
        );
    }
    for warning in &report.warnings {
        page += &format!(
            "<p class=\"note\"><b>Warning:</b> {}</p>\n",
            escape(warning)
        );
    }
    if report.interrupted {
        page += "<p class=\"note\">The run was interrupted; this is of what came before.</p>\n";
    }
    page += "<div class=\"tiles\">\n";
    for (name, value) in tiles(report) {
        page += &format!(
            "<div class=\"tile\"><b>{}</b><span>{name}</span></div>\n",
            escape(&value)
        );
    }
    page += "</div>\n<div class=\"plots\">\n";
    for plot in plots(report) {
        let svg = plot.svg();
        if !svg.is_empty() {
            page += &format!("<div>{svg}</div>\n");
        }
    }
    page += &format!(
        "</div>\n<h2>Report</h2>\n<pre>{}</pre>\n",
        escape(&Text(report).to_string())
    );
    let settings = serde_json::to_string_pretty(&report.settings).unwrap_or_default();
    page + &format!(
        "<h2>Settings</h2>\n<pre>{}</pre>\n</html>\n",
        escape(&settings)
    )
}

/// What is seen first.
fn tiles(report: &Report) -> Vec<(&'static str, String)> {
    let mut tiles = Vec::new();
    if let Some(measured) = &report.measured {
        tiles.push((
            "messages received per second",
            thousands(measured.received_per_s),
        ));
    } else {
        tiles.push((
            "connections per second",
            thousands(report.connections.per_s),
        ));
    }
    let latency = report
        .latency_us
        .as_ref()
        .or(report.connections.latency_us.as_ref());
    if let Some(latency) = latency {
        tiles.push(("latency, median", time(latency.p50)));
        tiles.push(("latency, 99 %", time(latency.p99)));
        tiles.push(("latency, longest", time(latency.max)));
    }
    if let Some(messages) = &report.messages {
        let wrong = [messages.lost, messages.duplicated, messages.out_of_order]
            .map(|n| thousands(n as f64));
        tiles.push(("lost / doubled / out of order", wrong.join(" / ")));
    }
    if let Some(broker) = &report.usage.broker {
        tiles.push(("cores of the broker", format!("{:.2}", broker.cores)));
        let each = match report.usage.per {
            super::usage::Unit::Delivery => "broker CPU per delivery",
            super::usage::Unit::Connection => "broker CPU per connection",
        };
        tiles.push((each, format!("{:.2} µs", broker.us_each)));
    }
    if let Some(bytes) = report.connections.resident_bytes_each {
        tiles.push((
            "broker memory per connection",
            format!("{} bytes", thousands(bytes)),
        ));
    }
    tiles.push((
        "cores of mqtt bench",
        format!("{:.2}", report.usage.bench.cores),
    ));
    tiles
}

fn plots(report: &Report) -> Vec<Plot> {
    let rows = &report.intervals;
    let over_time = |title, y, lines| Plot {
        title,
        x: Unit::Seconds,
        y,
        lines,
    };
    let line = |name, value: &dyn Fn(&Row) -> Option<f64>| Line {
        name,
        points: rows
            .iter()
            .filter_map(|row| Some((row.at_s, value(row)?)))
            .collect(),
    };
    let mut plots = vec![Plot {
        title: "Latency by percentile",
        x: Unit::Nines,
        y: Unit::Microseconds,
        lines: vec![Line {
            name: "latency",
            points: nines(&report.latency_curve),
        }],
    }];
    if report.measured.is_some() {
        let heard = |row: &Row, us: f64| (row.received > 0).then_some(us);
        plots.push(over_time(
            "Latency over time",
            Unit::Microseconds,
            vec![
                line("median", &|row| heard(row, row.p50_us)),
                line("99 %", &|row| heard(row, row.p99_us)),
                line("longest", &|row| heard(row, row.max_us)),
            ],
        ));
        plots.push(over_time(
            "Messages per second",
            Unit::PerSecond,
            vec![
                line("received", &|row| Some(row.received_per_s())),
                line("sent", &|row| Some(row.sent_per_s())),
            ],
        ));
    }
    let mut cores = vec![line("mqtt bench", &|row| Some(row.bench_cores))];
    if report.usage.broker.is_some() {
        cores.insert(0, line("broker", &|row| row.broker_cores));
    }
    plots.push(over_time("CPU, cores", Unit::Cores, cores));
    let memory = line("broker", &|row| {
        row.broker_resident_bytes.map(|bytes| bytes as f64 / 1e6)
    });
    plots.push(over_time(
        "Resident memory of the broker",
        Unit::Megabytes,
        vec![memory],
    ));
    plots
}

/// The curve with its quantiles as nines. The highest has as many as the others lead to.
fn nines(curve: &[Point]) -> Vec<(f64, f64)> {
    let nines = |quantile: f64| -(1.0 - quantile).log10();
    let highest = curve
        .iter()
        .map(|point| nines(point.quantile))
        .filter(|nines| nines.is_finite())
        .fold(0.0, f64::max);
    curve
        .iter()
        .map(|point| (nines(point.quantile).min(highest + 0.125), point.us))
        .collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_says_is_text() {
        assert_eq!(
            escape("<script>&\"</script>"),
            "&lt;script&gt;&amp;&quot;&lt;/script&gt;"
        );
    }

    #[test]
    fn the_longest_ends_the_curve() {
        let curve =
            [(0.0, 1.0), (0.9, 2.0), (1.0, 3.0)].map(|(quantile, us)| Point { quantile, us });
        let points = nines(&curve);
        assert!((points[1].0 - 1.0).abs() < 1e-9);
        assert_eq!(points[2], (points[1].0 + 0.125, 3.0));
    }
}
