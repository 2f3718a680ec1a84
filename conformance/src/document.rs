//! `docs/conformance.md`: each statement, the code that obeys it, the tests that prove it, and what
//! came of them. What is missing is a [problem](Document::problems).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::Version;
use crate::code::{Code, Tag};
use crate::report::{Known, Report, Right};
use crate::run::{Outcome, Result};
use crate::statements::{Lack, Side, Statement, Statements};

/// What goes into the page.
pub(crate) struct Document<'a> {
    pub(crate) statements: &'a Statements,
    pub(crate) code: &'a Code,
    /// The runs that must pass.
    pub(crate) reports: &'a [Report],
    /// What is known of other brokers: a name, and the tests that it fails.
    pub(crate) others: &'a [(String, Vec<Known>)],
}

const VERSIONS: [Version; 2] = [Version::V5, Version::V3_1_1];

const INTRODUCTION: &str = "# Conformance

Each numbered normative statement of MQTT 5.0 and 3.1.1, the code that obeys it, the test that proves it, and the result.
**This page is generated** by `make conformance`, and `make test` fails when a statement lacks its code or its test, when a
test fails, or when the page is out of date.

A test sends raw bytes over TCP. `make conformance BROKER=host:port` asks any other broker the same questions. The words of
the statements are those of the standards: Copyright OASIS Open 2014, 2019, all rights reserved; words in [square brackets] are ours.
";

impl Document<'_> {
    /// The page.
    pub(crate) fn text(&self) -> String {
        let mut text = INTRODUCTION.to_owned();
        self.summary(&mut text);
        for version in VERSIONS {
            let _ = write!(text, "\n## MQTT {}\n", version.name());
            let mut current = None;
            for statement in self.statements.of(version) {
                if current != Some(&statement.section) {
                    let _ = write!(
                        text,
                        "\n### {}\n\n| statement | code | proof | result |\n|---|---|---|---|\n",
                        statement.section
                    );
                    current = Some(&statement.section);
                }
                self.row(&mut text, version, statement);
            }
        }
        self.beyond(&mut text);
        self.others(&mut text);
        text
    }

    /// What is missing, contradicts itself or fails. Nothing, if all is well.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for version in VERSIONS {
            for statement in self.statements.of(version) {
                self.missing(&mut problems, version, statement);
            }
        }
        self.unknown(&mut problems);
        for report in self.reports {
            for outcome in &report.outcomes {
                if let Result::Failed(why) = &outcome.result {
                    let name = outcome.version.name();
                    problems.push(format!(
                        "{name} {} fails on {}: {why}",
                        outcome.test, report.broker
                    ));
                }
            }
        }
        for test in self.tests() {
            if self.runs(test).next().is_none() {
                problems.push(format!(
                    "{} {} ran on no broker",
                    test.version.name(),
                    test.test
                ));
            }
        }
        problems
    }

    fn missing(&self, problems: &mut Vec<String>, version: Version, statement: &Statement) {
        let name = format!("{} [MQTT-{}]", version.name(), statement.id);
        let lacks = |lack| {
            self.statements
                .exception(version, &statement.id, lack)
                .is_some()
        };
        let tested = self.proofs(version, &statement.id).next().is_some();
        let excused = lacks(Lack::Test) || lacks(Lack::Client);
        if tested == excused {
            problems.push(format!(
                "{name} has {}",
                if tested {
                    "a test, and is said to have none"
                } else {
                    "no test"
                }
            ));
        }
        if lacks(Lack::Client) && statement.binds != Side::Client {
            problems.push(format!("{name} does not bind the client alone"));
        }
        if statement.binds == Side::Client {
            return;
        }
        let obeyed = !self.places(version, &statement.id).is_empty();
        if obeyed == lacks(Lack::Code) {
            problems.push(format!(
                "{name} has {}",
                if obeyed {
                    "code, and is said to have none"
                } else {
                    "no code that names it"
                }
            ));
        }
    }

    /// Names of statements that do not exist.
    fn unknown(&self, problems: &mut Vec<String>) {
        let mut check = |version: Version, id: &str, place: &str| {
            if self.statements.find(version, id).is_none() {
                let name = version.name();
                problems.push(format!(
                    "{place} names {id} of {name}, which does not exist"
                ));
            }
        };
        for tag in self.code.sources.iter().chain(&self.code.tests) {
            check(tag.version, &tag.id, &tag.file);
        }
        for test in self.tests() {
            for id in &test.statements {
                check(test.version, id, &test.test);
            }
        }
        for exception in &self.statements.exceptions {
            check(exception.version, &exception.id, "exceptions.csv");
        }
        for (old, new) in self.statements.all_counterparts() {
            check(Version::V3_1_1, old, "counterparts.csv");
            for id in new {
                check(Version::V5, id, "counterparts.csv");
            }
        }
    }

    fn summary(&self, text: &mut String) {
        text.push_str("\n| | statements | bind the server, or both | tested | not testable from outside | for clients alone |\n|---|---|---|---|---|---|\n");
        for version in VERSIONS {
            let all = self.statements.of(version);
            let count =
                |is: &dyn Fn(&Statement) -> bool| all.iter().filter(|each| is(each)).count();
            let excused =
                |lack| count(&|each| self.statements.exception(version, &each.id, lack).is_some());
            let _ = writeln!(
                text,
                "| MQTT {} | {} | {} | {} | {} | {} |",
                version.name(),
                all.len(),
                count(&|each| each.binds != Side::Client),
                count(&|each| self.proofs(version, &each.id).next().is_some()),
                excused(Lack::Test),
                excused(Lack::Client),
            );
        }
        text.push_str("\n| run | passed | failed | not for this broker |\n|---|---|---|---|\n");
        for report in self.reports {
            let count = |is: fn(&Result) -> bool| {
                let outcomes = report.outcomes.iter();
                outcomes.filter(|outcome| is(&outcome.result)).count()
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                report.broker,
                count(|result| *result == Result::Passed),
                count(|result| matches!(result, Result::Failed(_))),
                count(|result| matches!(result, Result::Skipped(_))),
            );
        }
    }

    fn row(&self, text: &mut String, version: Version, statement: &Statement) {
        let id = &statement.id;
        let reason = |lack| self.statements.exception(version, id, lack);
        let code = match (statement.binds, reason(Lack::Code)) {
            (_, Some(exception)) => cell(&exception.reason),
            (Side::Client, None) if self.places(version, id).is_empty() => {
                "the client's".to_owned()
            }
            (_, None) => links(&self.places(version, id)),
        };
        let mut proof: Vec<String> = self.proofs(version, id).map(test_link).collect();
        proof.dedup();
        let mut result = self.result(version, id);
        for lack in [Lack::Test, Lack::Client] {
            if let Some(exception) = reason(lack) {
                proof.push(cell(&exception.reason));
                "-".clone_into(&mut result);
            }
        }
        let _ = writeln!(
            text,
            "| **MQTT-{id}** {} | {code} | {} | {result} |",
            cell(&statement.words),
            proof.join("<br>"),
        );
    }

    fn beyond(&self, text: &mut String) {
        text.push_str("\n## Beyond the statements\n\n| test | says | versions | result |\n|---|---|---|---|\n");
        let mut seen = BTreeSet::new();
        for test in self.tests() {
            if !test.statements.is_empty() || !seen.insert(&test.test) {
                continue;
            }
            let same: Vec<&Outcome> = self
                .tests()
                .filter(|other| other.test == test.test)
                .collect();
            let versions: Vec<&str> = same.iter().map(|other| other.version.name()).collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                test_link(test),
                cell(&test.says),
                versions.join(", "),
                self.verdict(same.iter().flat_map(|other| self.runs(other))),
            );
        }
    }

    fn others(&self, text: &mut String) {
        for (broker, known) in self.others {
            let _ = write!(
                text,
                "\n## {broker}\n\nThe suite is checked against this broker, too. It passes all tests but these:\n\n\
                 | test | version | who is right | why |\n|---|---|---|---|\n"
            );
            for known in known {
                let right = match known.right {
                    Right::Suite => "the suite",
                    Right::Either => "both: the standard leaves it open",
                };
                let _ = writeln!(
                    text,
                    "| `{}` | {} | {right} | {} |",
                    known.test,
                    known.version.name(),
                    cell(&known.reason)
                );
            }
        }
    }

    /// Each test in each version once. All runs have the same ones.
    fn tests(&self) -> impl Iterator<Item = &Outcome> {
        self.reports
            .first()
            .into_iter()
            .flat_map(|report| &report.outcomes)
    }

    /// The tests that prove a statement.
    fn proofs<'b>(&'b self, version: Version, id: &'b str) -> impl Iterator<Item = &'b Outcome> {
        self.tests().filter(move |outcome| {
            outcome.version == version && outcome.statements.iter().any(|other| other == id)
        })
    }

    /// The runs in which a test was not skipped: the broker, and what came of it.
    fn runs<'b>(&'b self, test: &'b Outcome) -> impl Iterator<Item = (&'b str, &'b Result)> {
        self.reports.iter().flat_map(move |report| {
            let same = report.outcomes.iter().filter(move |outcome| {
                outcome.test == test.test
                    && outcome.version == test.version
                    && !matches!(outcome.result, Result::Skipped(_))
            });
            same.map(|outcome| (report.broker.as_str(), &outcome.result))
        })
    }

    fn result(&self, version: Version, id: &str) -> String {
        self.verdict(self.proofs(version, id).flat_map(|test| self.runs(test)))
    }

    fn verdict<'b>(&self, runs: impl Iterator<Item = (&'b str, &'b Result)>) -> String {
        let mut failed = BTreeSet::new();
        let mut ran = false;
        for (broker, result) in runs {
            ran = true;
            if *result != Result::Passed {
                failed.insert(broker);
            }
        }
        match (ran, failed.is_empty()) {
            (false, _) => "did not run".to_owned(),
            (true, true) => "passed".to_owned(),
            (true, false) => {
                let brokers: Vec<&str> = failed.into_iter().collect();
                format!("**failed**: {}", brokers.join(", "))
            }
        }
    }

    /// The code that obeys a statement. What obeys one of 5.0 obeys those of 3.1.1 that say the same.
    fn places(&self, version: Version, id: &str) -> Vec<&Tag> {
        let named = |version: Version, id: &str| {
            let sources = self.code.sources.iter();
            sources
                .filter(|tag| tag.version == version && tag.id == id)
                .collect::<Vec<_>>()
        };
        let mut places = named(version, id);
        if version == Version::V3_1_1 && places.is_empty() {
            for counterpart in self.statements.counterparts(id) {
                places.extend(named(Version::V5, counterpart));
            }
        }
        places
    }
}

fn links(places: &[&Tag]) -> String {
    let mut links: Vec<String> = Vec::new();
    for tag in places {
        let short = tag.file.rsplit("src/").next().unwrap_or(&tag.file);
        let link = format!("[{short}](../{}) `{}`", tag.file, tag.item);
        let link = link.trim_end_matches(" ``").to_owned();
        if !links.contains(&link) {
            links.push(link);
        }
    }
    links.join("<br>")
}

fn test_link(test: &Outcome) -> String {
    let file = test.test.split("::").next().unwrap_or_default();
    format!("[`{}`](../conformance/src/tests/{file}.rs)", test.test)
}

/// Text that does not end its cell, or become something else in Markdown.
fn cell(text: &str) -> String {
    text.replace('\n', " ")
        .replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('*', "\\*")
        .replace('#', "\\#")
        .replace('[', "\\[")
        .trim()
        .to_owned()
}
