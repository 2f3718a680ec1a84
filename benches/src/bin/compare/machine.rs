//! What the figures were measured on, and when.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::process::Command;

/// The machine, the day, and how busy it was.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    date: String,
    processor: String,
    cores: usize,
    kernel: String,
    /// Before the first run, over a minute.
    load: String,
}

impl Machine {
    /// This one, now.
    pub(crate) fn here() -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let load = read("/proc/loadavg");
        Self {
            date: today(),
            processor: processor(&read("/proc/cpuinfo")).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

impl Display for Machine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            date,
            processor,
            cores,
            kernel,
            load,
        } = self;
        write!(
            f,
            "Measured on {date}: {cores} cores of {processor}, Linux {kernel}, load {load} before the first run"
        )
    }
}

/// The name of the processor in a file `/proc/cpuinfo`.
fn processor(information: &str) -> &str {
    let mut lines = information.lines();
    let line = lines.find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": "))
        .map_or("an unknown processor", |(_, name)| name.trim())
}

fn today() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    let text = output
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or_else(
        || "an unknown day".to_owned(),
        |text| text.trim().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_has_its_name() {
        let information = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu\n";
        assert_eq!(processor(information), "Some CPU @ 2 GHz");
        assert_eq!(processor(""), "an unknown processor");
    }
}
