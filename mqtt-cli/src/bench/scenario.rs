//! What can be measured.

use clap::ValueEnum;
use serde::Serialize;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// Clients connect and stay: connects per second, CPU and memory for each
    Connections,
    /// Many publishers, one subscriber
    FanIn,
    /// One publisher, many subscribers
    FanOut,
    /// Many publishers, each with a subscriber of its own
    Pairs,
    /// Some publishers, many subscribers that share the messages
    Shared,
    /// Subscribers that get what has been retained
    Retained,
}

impl Scenario {
    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::FanIn => "fan-in",
            Self::FanOut => "fan-out",
            Self::Pairs => "pairs",
            Self::Shared => "shared",
            Self::Retained => "retained",
        }
    }
}
