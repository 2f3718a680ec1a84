//! The plot of CPU time: a point for each contender in each scenario, on a logarithmic axis. Readable on light and on dark.

use std::fmt::Write;

use super::table::{Results, Row, digits};

/// Told apart on white and on black, and by those who see few colours.
const COLOURS: [&str; 6] = [
    "#2f81f7", "#56b4e9", "#d55e00", "#a371f7", "#8c959f", "#c69026",
];
const WIDTH: f64 = 860.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 48.0;
const ROW: f64 = 26.0;
const BOTTOM: f64 = 44.0;

/// A document in SVG.
pub(crate) fn plot(results: &Results) -> String {
    let rows: Vec<_> = results
        .rows
        .iter()
        .filter(|row| row.figures.iter().flatten().any(|f| f.cpu_us.is_some()))
        .collect();
    let values = rows
        .iter()
        .flat_map(|row| row.figures.iter().flatten().filter_map(|f| f.cpu_us));
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if rows.is_empty() {
        return String::new();
    }
    let (low, high) = (
        low.log10().floor(),
        high.log10().ceil().max(low.log10().floor() + 1.0),
    );
    let x = |value: f64| LEFT + (value.log10() - low) / (high - low) * (WIDTH - LEFT - RIGHT);
    let bottom = TOP + ROW * rows.len() as f64;
    let height = bottom + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <title>CPU time per message</title>\n\
         <style>text {{ fill: #57606a }} .line {{ stroke: #8c959f; stroke-opacity: .4 }} \
         @media (prefers-color-scheme: dark) {{ text {{ fill: #adbac7 }} }}</style>\n"
    );
    legend(&mut svg, &results.contenders);
    for decade in low as i32..=high as i32 {
        let value = 10_f64.powi(decade);
        let (at, label) = (x(value), decade_label(value));
        let _ = writeln!(
            svg,
            "<line class=\"line\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\n\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            bottom + 16.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">µs of the broker's CPU for each message or connection: less is better</text>",
        f64::midpoint(LEFT, WIDTH - RIGHT),
        bottom + 34.0
    );
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5);
        let _ = writeln!(
            svg,
            "<line class=\"line\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 10.0,
            y + 4.0,
            escape(row.scenario)
        );
        points(&mut svg, results, row, y, x);
    }
    svg + "</svg>\n"
}

/// The points of one scenario, at the height `y`.
fn points(svg: &mut String, results: &Results, row: &Row, y: f64, x: impl Fn(f64) -> f64) {
    // The first is drawn last, upon the others.
    let contenders = results
        .contenders
        .iter()
        .zip(&row.figures)
        .zip(COLOURS.iter().cycle());
    for ((name, figures), colour) in contenders.collect::<Vec<_>>().into_iter().rev() {
        let Some(value) = figures.as_ref().and_then(|figures| figures.cpu_us) else {
            continue;
        };
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{y}\" r=\"6\" fill=\"{colour}\"><title>{}, {}: {} µs</title></circle>",
            x(value),
            escape(row.scenario),
            escape(name),
            digits(value)
        );
    }
}

fn legend(svg: &mut String, contenders: &[String]) {
    let step = (WIDTH - LEFT - RIGHT) / contenders.len().max(1) as f64;
    for (index, (name, colour)) in contenders.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let at = LEFT + step * index as f64;
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"20\" r=\"6\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"24\">{}</text>",
            at + 6.0,
            at + 18.0,
            escape(name)
        );
    }
}

fn decade_label(value: f64) -> String {
    if value < 1.0 {
        let text = format!("{value:.6}");
        text.trim_end_matches('0').to_owned()
    } else {
        format!("{value:.0}")
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::results;
    use super::*;

    #[test]
    fn each_figure_has_its_point_on_the_axis() {
        let svg = plot(&results());
        // From 0.1 to 100: three decades of 700 / 3.
        assert!(svg.contains("<circle cx=\"152.6\""), "0.125: {svg}");
        assert!(svg.contains("<circle cx=\"619.3\""), "12.5: {svg}");
        assert_eq!(svg.matches(" µs</title></circle>").count(), 3);
        assert!(svg.contains(">0.1</text>") && svg.contains(">100</text>"));
        assert!(svg.contains("&lt;theirs&gt;") && !svg.contains("<theirs>"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(svg.ends_with("</svg>\n"));
    }

    #[test]
    fn nothing_measured_is_no_plot() {
        let results = Results {
            contenders: vec!["ours".to_owned()],
            rows: Vec::new(),
        };
        assert_eq!(plot(&results), "");
    }
}
