//! What is measured: a table of the runs of `mqtt bench`.

/// A row of the tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// Its name on the command line, in the tables and in the plot.
    pub(crate) name: &'static str,
    /// What `mqtt bench` is told.
    pub(crate) arguments: &'static str,
    /// How long it takes.
    pub(crate) length: Length,
    /// True if the floor knows enough for it.
    pub(crate) floor: bool,
}

/// What ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// The clock.
    Time,
    /// The number of messages or clients in its arguments.
    Count,
}

const fn timed(name: &'static str, arguments: &'static str) -> Scenario {
    Scenario {
        name,
        arguments,
        length: Length::Time,
        floor: false,
    }
}

const fn counted(name: &'static str, arguments: &'static str) -> Scenario {
    Scenario {
        length: Length::Count,
        ..timed(name, arguments)
    }
}

/// One that the floor knows enough for.
const fn plain(scenario: Scenario) -> Scenario {
    Scenario {
        floor: true,
        ..scenario
    }
}

/// All of them, in the order of the tables.
pub(crate) const SCENARIOS: &[Scenario] = &[
    plain(timed("pairs", "pairs -c 20")),
    plain(timed("pairs-4k", "pairs -c 20 -s 4096 --window 128")),
    plain(timed("fan-out", "fan-out -c 100")),
    plain(timed("fan-out-1000", "fan-out -c 1000")),
    plain(timed("fan-out-4k", "fan-out -c 100 -s 4096 --window 128")),
    plain(timed("fan-in", "fan-in -c 20")),
    plain(timed("single", "pairs -c 100 --window 1")),
    timed("pairs-qos1", "pairs -c 20 -q 1"),
    timed("pairs-qos2", "pairs -c 20 -q 2"),
    timed("shared", "shared -q 1"),
    timed(
        "wildcard",
        "pairs -c 20 -t bench/w/%i/v --filter bench/+/%i/#",
    ),
    plain(timed("ordered", "fan-in -c 8 --subscribers 8")),
    timed("ordered-qos1", "fan-in -c 8 --subscribers 8 -q 1"),
    timed("rate", "pairs -c 20 -q 1 --rate 5000"),
    timed("subscriptions", "pairs -c 20 --subscriptions 200000"),
    counted("retained", "retained -c 1 -L 50000"),
    counted("connections", "connections -c CLIENTS"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_told_apart() {
        let names: BTreeSet<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
    }
}
