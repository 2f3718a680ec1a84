//! What came of a run: as text for a terminal, and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::Version;
use crate::statements::Statements;

/// A run of tests against one broker, or of those of the client.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// What was tested.
    pub broker: String,
    /// What came of each test, in each version that it runs in.
    pub outcomes: Vec<Outcome>,
    /// What is known about some of the failures.
    pub known: Vec<Known>,
}

/// What came of one test in one version.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// `file::name`.
    pub test: String,
    /// What it is about, in one sentence.
    pub says: String,
    /// In which it ran.
    pub version: Version,
    /// What it proves, such as `3.1.2-24`.
    pub statements: Vec<String>,
    /// How it ended.
    pub result: Result,
    /// How long it took.
    pub milliseconds: u64,
}

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Result {
    /// The broker does as it should.
    Passed,
    /// It does not: what was seen, and where in the test.
    Failed(String),
    /// The broker has not what the test needs.
    Skipped(String),
}

/// A test that a broker is known to fail, and who is right.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Known {
    /// `file::name`.
    pub test: String,
    /// In which it ran.
    pub version: Version,
    /// Who is right.
    pub right: Right,
    /// Why, as a sentence.
    pub reason: String,
}

/// Who is right when a broker fails a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// The broker deviates from the standard.
    Suite,
    /// The standard allows what the broker does as well as what the test asks.
    Either,
}

/// How much of a report is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// A line for each chapter, and what failed.
    Chapters,
    /// A line for each test, too.
    Tests,
}

impl Report {
    /// Whether all passed but what is known, and all that is known to fail did.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.unexpected().next().is_none() && self.outdated().next().is_none()
    }

    /// The report as text.
    #[must_use]
    pub fn text(&self, statements: &Statements, detail: Detail) -> String {
        let mut text = format!("Conformance of {}\n", self.broker);
        for (heading, outcomes) in self.chapters(statements) {
            let passed = count(&outcomes, |result| *result == Result::Passed);
            let skipped = count(&outcomes, |result| matches!(result, Result::Skipped(_)));
            let _ = write!(text, "\n{heading}: {passed} of {} passed", outcomes.len());
            if skipped > 0 {
                let _ = write!(text, ", {skipped} skipped");
            }
            if detail == Detail::Tests {
                outcomes.iter().for_each(|outcome| line(&mut text, outcome));
            }
        }
        text.push('\n');
        for outcome in self.unexpected() {
            self.explain(&mut text, outcome, statements);
        }
        for (outcome, known) in self.expected() {
            let right = match known.right {
                Right::Suite => "the broker deviates",
                Right::Either => "the standard allows both",
            };
            let _ = write!(
                text,
                "\nknown   {} {}: {right}: {}",
                outcome.version.name(),
                outcome.test,
                known.reason
            );
        }
        for known in self.outdated() {
            let _ = write!(
                text,
                "\noutdated: {} {} is known to fail, but did not",
                known.version.name(),
                known.test
            );
        }
        let all: Vec<&Outcome> = self.outcomes.iter().collect();
        let _ = writeln!(
            text,
            "\n{} tests: {} passed, {} skipped, {} failed, {} of them for known reasons",
            all.len(),
            count(&all, |result| *result == Result::Passed),
            count(&all, |result| matches!(result, Result::Skipped(_))),
            count(&all, |result| matches!(result, Result::Failed(_))),
            self.expected().count(),
        );
        text
    }

    /// The outcomes by chapter of their standard, in its order; the others by their files.
    fn chapters(&self, statements: &Statements) -> BTreeMap<Heading, Vec<&Outcome>> {
        let mut chapters: BTreeMap<Heading, Vec<&Outcome>> = BTreeMap::new();
        for outcome in &self.outcomes {
            let statement = outcome.statements.first();
            let found = statement.and_then(|id| statements.find(outcome.version, id));
            let file = outcome.test.split("::").next().unwrap_or_default();
            let heading = Heading {
                version: outcome.version,
                chapter: found.map(|statement| Chapter::of(&statement.section)),
                file: if found.is_some() { "" } else { file }.to_owned(),
            };
            chapters.entry(heading).or_default().push(outcome);
        }
        chapters
    }

    fn known(&self, outcome: &Outcome) -> Option<&Known> {
        self.known
            .iter()
            .find(|known| known.test == outcome.test && known.version == outcome.version)
    }

    fn failed(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes
            .iter()
            .filter(|outcome| matches!(outcome.result, Result::Failed(_)))
    }

    fn unexpected(&self) -> impl Iterator<Item = &Outcome> {
        self.failed()
            .filter(|outcome| self.known(outcome).is_none())
    }

    fn expected(&self) -> impl Iterator<Item = (&Outcome, &Known)> {
        self.failed()
            .filter_map(|outcome| Some((outcome, self.known(outcome)?)))
    }

    fn outdated(&self) -> impl Iterator<Item = &Known> {
        self.known.iter().filter(|known| {
            self.outcomes.iter().any(|outcome| {
                outcome.test == known.test
                    && outcome.version == known.version
                    && outcome.result == Result::Passed
            })
        })
    }

    fn explain(&self, text: &mut String, outcome: &Outcome, statements: &Statements) {
        let Result::Failed(message) = &outcome.result else {
            return;
        };
        let version = outcome.version.name();
        let _ = write!(
            text,
            "\nFAILED  {version} {}: {}\n        {message}\n",
            outcome.test, outcome.says
        );
        for id in &outcome.statements {
            if let Some(statement) = statements.find(outcome.version, id) {
                let _ = writeln!(text, "        [MQTT-{id}] {}", statement.words);
            }
        }
    }
}

/// Where an outcome stands in the report.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Heading {
    version: Version,
    /// None for what is beyond the statements, which has a file instead.
    chapter: Option<Chapter>,
    file: String,
}

impl fmt::Display for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.chapter {
            Some(chapter) => write!(f, "MQTT {}, {chapter}", self.version.name()),
            None => write!(f, "MQTT {}, beyond: {}", self.version.name(), self.file),
        }
    }
}

/// `3.1` of `3.1.2.4 Clean Start`: what has the length of a chapter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Chapter(u32, u32);

impl Chapter {
    fn of(section: &str) -> Self {
        let number = section.split(' ').next().unwrap_or_default();
        let mut levels = number.split('.').map(|level| level.parse().unwrap_or(0));
        Self(levels.next().unwrap_or(0), levels.next().unwrap_or(0))
    }
}

impl fmt::Display for Chapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

fn line(text: &mut String, outcome: &Outcome) {
    let (word, why) = match &outcome.result {
        Result::Passed => ("ok     ", ""),
        Result::Failed(_) => ("FAILED ", ""),
        Result::Skipped(why) => ("skipped", why.as_str()),
    };
    let ids = outcome.statements.join(", ");
    let _ = write!(text, "\n  {word} {} [{ids}] {why}", outcome.test);
}

fn count(outcomes: &[&Outcome], is: impl Fn(&Result) -> bool) -> usize {
    outcomes
        .iter()
        .filter(|outcome| is(&outcome.result))
        .count()
}
