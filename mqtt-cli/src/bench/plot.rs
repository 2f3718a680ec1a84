//! Plots as SVG, made here: lines over one axis that is linear or logarithmic. Colours come from the page, so that they follow its
//! light or dark scheme.

use std::fmt::Write;

use super::live::{thousands, time};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 34.0;
/// Points of a line that tell their value when the pointer is over them.
const TOLD_MAX: usize = 600;

/// What the values of an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds from the begin.
    Seconds,
    /// Microseconds, each decade as long as the other.
    Microseconds,
    /// The negative decimal logarithm of the part that took longer: 2 is 99 %.
    Nines,
    PerSecond,
    Cores,
    Megabytes,
}

/// One line of a plot.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// From left to right.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A plot.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) title: &'static str,
    pub(crate) x: Unit,
    pub(crate) y: Unit,
    pub(crate) lines: Vec<Line>,
}

/// From values to places, and where its marks are.
struct Axis {
    unit: Unit,
    low: f64,
    high: f64,
    marks: Vec<f64>,
}

impl Plot {
    /// The plot as an `svg` element; nothing if there is nothing to show.
    pub(crate) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        if points().next().is_none() {
            return String::new();
        }
        let x = Axis::new(self.x, points().map(|(x, _)| *x));
        let y = Axis::new(self.y, points().map(|(_, y)| *y));
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n<text class=\"title\" x=\"0\" y=\"14\">{}</text>\n",
            self.title, self.title
        );
        self.legend(&mut svg);
        grid(&x, &y, &mut svg);
        for (index, line) in self.lines.iter().enumerate() {
            draw(line, index + 1, &x, &y, &mut svg);
        }
        svg + "</svg>\n"
    }

    fn legend(&self, svg: &mut String) {
        if self.lines.len() < 2 {
            return;
        }
        let mut right = WIDTH - RIGHT;
        for (index, line) in self.lines.iter().enumerate().rev() {
            let width = line.name.chars().count() as f64 * 5.8;
            let (from, to, text) = (right - width - 20.0, right - width - 6.0, right - width);
            put(
                svg,
                format_args!(
                    "<text class=\"mark\" x=\"{text:.0}\" y=\"14\">{}</text>\n",
                    line.name
                ),
            );
            put(
                svg,
                format_args!(
                    "<line class=\"line s{}\" x1=\"{from:.0}\" y1=\"10\" x2=\"{to:.0}\" y2=\"10\"/>\n",
                    index + 1
                ),
            );
            right = from - 14.0;
        }
    }
}

/// Writing to a string does not fail.
fn put(svg: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = svg.write_fmt(arguments);
}

fn grid(x: &Axis, y: &Axis, svg: &mut String) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for mark in &y.marks {
        let at = bottom - y.part(*mark) * (bottom - TOP);
        put(
            svg,
            format_args!(
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\"/>\n"
            ),
        );
        let (left, down) = (LEFT - 8.0, at + 4.0);
        put(
            svg,
            format_args!(
                "<text class=\"mark\" x=\"{left}\" y=\"{down:.1}\" text-anchor=\"end\">{}</text>\n",
                y.label(*mark)
            ),
        );
    }
    for mark in &x.marks {
        let (at, down) = (LEFT + x.part(*mark) * (right - LEFT), bottom + 18.0);
        put(
            svg,
            format_args!(
                "<text class=\"mark\" x=\"{at:.1}\" y=\"{down}\" text-anchor=\"middle\">{}</text>\n",
                x.label(*mark)
            ),
        );
    }
    put(
        svg,
        format_args!(
            "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\"/>\n"
        ),
    );
}

fn draw(line: &Line, series: usize, x: &Axis, y: &Axis, svg: &mut String) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let place = |(px, py): &(f64, f64)| {
        (
            LEFT + x.part(*px) * (right - LEFT),
            bottom - y.part(*py) * (bottom - TOP),
        )
    };
    put(
        svg,
        format_args!("<polyline class=\"line s{series}\" points=\""),
    );
    for point in &line.points {
        let (px, py) = place(point);
        put(svg, format_args!("{px:.1},{py:.1} "));
    }
    svg.push_str("\"/>\n");
    // A line of one point is not seen.
    let lone = if line.points.len() == 1 { " lone" } else { "" };
    for point in line.points.iter().take(TOLD_MAX) {
        let (px, py) = place(point);
        let text = format!(
            "{} at {}: {}",
            line.name,
            x.label(point.0),
            y.label(point.1)
        );
        put(
            svg,
            format_args!(
                "<circle class=\"point s{series}{lone}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"5\"><title>{text}</title></circle>\n"
            ),
        );
    }
}

impl Axis {
    fn new(unit: Unit, values: impl Iterator<Item = f64>) -> Self {
        let (least, most) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        match unit {
            Unit::Microseconds => Self::decades(unit, least, most),
            Unit::Nines => Self::nines(most),
            Unit::Seconds | Unit::PerSecond | Unit::Cores | Unit::Megabytes => {
                Self::linear(unit, most)
            }
        }
    }

    /// From 0 to what is a round number above the most.
    fn linear(unit: Unit, most: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let rough = most / 4.0;
        let decade = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .map(|part| part * decade)
            .into_iter()
            .find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let count = (most / step).ceil().max(1.0);
        // Time ends where it ends.
        let high = if unit == Unit::Seconds {
            most
        } else {
            count * step
        };
        let marks = (0..=count as u32)
            .map(|mark| f64::from(mark) * step)
            .filter(|mark| *mark <= high * 1.0001);
        Self {
            unit,
            low: 0.0,
            high,
            marks: marks.collect(),
        }
    }

    /// Whole decades around all values.
    fn decades(unit: Unit, least: f64, most: f64) -> Self {
        let low = least.max(0.1).log10().floor();
        let high = most.max(1.0).log10().ceil().max(low + 1.0);
        let marks = (low as i32..=high as i32)
            .map(|decade| 10_f64.powi(decade))
            .collect();
        Self {
            unit,
            low,
            high,
            marks,
        }
    }

    fn nines(most: f64) -> Self {
        let mut marks = vec![0.5_f64.log10().abs()];
        marks.extend((1..=most as u32).map(f64::from));
        Self {
            unit: Unit::Nines,
            low: 0.0,
            high: most.max(1.0),
            marks,
        }
    }

    /// How far a value is from the low end to the high one.
    fn part(&self, value: f64) -> f64 {
        let value = if self.unit == Unit::Microseconds {
            value.max(0.1).log10()
        } else {
            value
        };
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn label(&self, value: f64) -> String {
        match self.unit {
            Unit::Seconds => format!("{} s", trimmed(value)),
            Unit::Microseconds => time(value).replace(".00", ""),
            Unit::Nines => {
                let percent = 100.0 - 10_f64.powf(2.0 - value);
                let digits = (value - 2.0).ceil().max(0.0) as usize;
                format!("{percent:.digits$} %")
            }
            Unit::PerSecond => thousands(value),
            Unit::Cores => trimmed(value),
            Unit::Megabytes => format!("{} MB", trimmed(value)),
        }
    }
}

/// At most two digits behind the point.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.marks.iter().map(|mark| axis.label(*mark)).collect()
    }

    #[test]
    fn marks_are_round_and_few_and_hold_all_values() {
        for most in [0.0, 0.03, 1.0, 9.9, 10.0, 123_456.0, 7e9] {
            let axis = Axis::linear(Unit::PerSecond, most);
            assert!(
                (2..=7).contains(&axis.marks.len()),
                "{most}: {:?}",
                axis.marks
            );
            assert!(axis.high >= most);
        }
        assert_eq!(
            labels(&Axis::linear(Unit::Cores, 0.9)),
            ["0", "0.25", "0.5", "0.75", "1"]
        );
        assert_eq!(
            labels(&Axis::decades(Unit::Microseconds, 30.0, 20_000.0)),
            ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms"]
        );
        assert_eq!(
            labels(&Axis::nines(3.7)),
            ["50 %", "90 %", "99 %", "99.9 %"]
        );
    }

    #[test]
    fn places_are_inside_whatever_the_values_are() {
        let plot = |points: Vec<(f64, f64)>| Plot {
            title: "t",
            x: Unit::Seconds,
            y: Unit::Microseconds,
            lines: vec![
                Line {
                    name: "a",
                    points: points.clone(),
                },
                Line { name: "b", points },
            ],
        };
        assert_eq!(plot(Vec::new()).svg(), "");
        for points in [
            vec![(0.0, 0.0)],
            vec![(1.0, 1e9), (2.0, 0.001)],
            vec![(5.0, 5.0); 3],
        ] {
            let svg = plot(points).svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            for place in svg.split("cx=\"").skip(1) {
                let at: f64 = place.split('"').next().unwrap().parse().unwrap();
                assert!((LEFT..=WIDTH - RIGHT).contains(&at), "{svg}");
            }
            for place in svg.split("cy=\"").skip(1) {
                let at: f64 = place.split('"').next().unwrap().parse().unwrap();
                assert!((TOP..=HEIGHT - BOTTOM).contains(&at), "{svg}");
            }
        }
    }
}
