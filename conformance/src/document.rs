//! `docs/conformance.md`: each statement, the code that obeys it, the tests that prove it, and what
//! came of them. What is missing is a [problem](Document::problems).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::Version;
use crate::code::{Code, Tag};
use crate::report::{Known, Outcome, Report, Result, Right};
use crate::statements::{Lack, Side, Statement, Statements};

/// What goes into the page.
pub(crate) struct Document<'a> {
    pub(crate) statements: &'a Statements,
    pub(crate) code: &'a Code,
    /// The runs that must pass.
    pub(crate) reports: &'a [Report],
    /// The run of the client's tests, which must pass, too.
    pub(crate) client: &'a Report,
    /// What is known of other brokers: a name, and the tests that it fails.
    pub(crate) others: &'a [(String, Vec<Known>)],
}

const VERSIONS: [Version; 2] = [Version::V5, Version::V3_1_1];
const SIDES: [Side; 2] = [Side::Server, Side::Client];

const INTRODUCTION: &str = "# Conformance

Each numbered normative statement of MQTT 5.0 and 3.1.1, for the server and for the client: the code that obeys it, the test
that proves it, and the result. **This page is generated** by `make conformance`, and `make test` fails when a statement lacks
its code or its test on a side that it binds, when a test fails, or when the page is out of date.

A test of the server sends raw bytes over TCP. `make conformance BROKER=host:port` asks any other broker the same questions. A
test of the client is a server that sends raw bytes, and looks at each byte that the client sends. Where a statement binds one
side alone, the other may have a test, too: of how it answers to a peer that breaks it.

The words of the statements are those of the standards: Copyright OASIS Open 2014, 2019, all rights reserved; words in [square brackets] are ours.
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
                        "\n### {}\n\n| statement | side | code | proof | result |\n|---|---|---|---|---|\n",
                        statement.section
                    );
                    current = Some(&statement.section);
                }
                self.rows(&mut text, version, statement);
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
                for side in SIDES {
                    self.missing(&mut problems, side, version, statement);
                }
            }
        }
        self.unknown(&mut problems);
        for report in self.reports.iter().chain([self.client]) {
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
        for side in SIDES {
            for test in self.tests(side) {
                if self.runs(side, test).next().is_none() {
                    let name = test.version.name();
                    problems.push(format!("{name} {} was not run", test.test));
                }
            }
        }
        problems
    }

    fn missing(
        &self,
        problems: &mut Vec<String>,
        side: Side,
        version: Version,
        statement: &Statement,
    ) {
        let id = &statement.id;
        let name = format!("{} [MQTT-{id}], {}:", version.name(), side.name());
        let excused = |lack| self.statements.exception(side, version, id, lack).is_some();
        let concerned = self.statements.concerns(side, version, statement);
        let tested = self.proofs(side, version, id).next().is_some();
        match (tested, excused(Lack::Test)) {
            (true, true) => problems.push(format!("{name} has a test, and is said to have none")),
            // What a server does about a client that breaks a statement is to be seen, too.
            (false, false) if concerned || side == Side::Server => {
                problems.push(format!("{name} has no test"));
            }
            (true, false) | (false, true | false) => {}
        }
        let obeyed = !self.places(side, version, id).is_empty();
        match (obeyed, excused(Lack::Code)) {
            (true, true) => problems.push(format!("{name} has code, and is said to have none")),
            (false, false) if concerned => {
                problems.push(format!("{name} has no code that names it"));
            }
            (true, false) | (false, true | false) => {}
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
        for test in SIDES.into_iter().flat_map(|side| self.tests(side)) {
            for id in &test.statements {
                check(test.version, id, &test.test);
            }
        }
        for exception in &self.statements.exceptions {
            check(exception.version, &exception.id, "exceptions.csv");
        }
        for (version, id) in self.statements.held() {
            check(version, id, "held-by-client.csv");
        }
        for (old, new) in self.statements.all_counterparts() {
            check(Version::V3_1_1, old, "counterparts.csv");
            for id in new {
                check(Version::V5, id, "counterparts.csv");
            }
        }
    }

    fn summary(&self, text: &mut String) {
        text.push_str("\n| | statements | side | has to do with | tested | not testable |\n|---|---|---|---|---|---|\n");
        for version in VERSIONS {
            let all = self.statements.of(version);
            for side in SIDES {
                let count =
                    |is: &dyn Fn(&Statement) -> bool| all.iter().filter(|each| is(each)).count();
                let excused = |id: &str| {
                    let exception = self.statements.exception(side, version, id, Lack::Test);
                    exception.is_some()
                };
                let _ = writeln!(
                    text,
                    "| MQTT {} | {} | {} | {} | {} | {} |",
                    version.name(),
                    all.len(),
                    side.name(),
                    count(&|each| self.statements.concerns(side, version, each)),
                    count(&|each| self.proofs(side, version, &each.id).next().is_some()),
                    count(&|each| excused(&each.id)),
                );
            }
        }
        text.push_str("\n| run | passed | failed | not for this broker |\n|---|---|---|---|\n");
        for report in self.reports.iter().chain([self.client]) {
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

    /// A row for each side that has something to do with the statement, or to show for it.
    fn rows(&self, text: &mut String, version: Version, statement: &Statement) {
        let id = &statement.id;
        let mut words = format!("**MQTT-{id}** {}", cell(&statement.words));
        for side in SIDES {
            if !self.statements.concerns(side, version, statement)
                && self.proofs(side, version, id).next().is_none()
            {
                continue;
            }
            let reason = |lack| self.statements.exception(side, version, id, lack);
            let code = match reason(Lack::Code) {
                Some(exception) => cell(&exception.reason),
                None => links(&self.places(side, version, id)),
            };
            let proofs = self.proofs(side, version, id);
            let mut proof: Vec<String> = proofs.map(|test| test_link(side, test)).collect();
            proof.dedup();
            let mut result = self.result(side, version, id);
            if let Some(exception) = reason(Lack::Test) {
                proof.push(cell(&exception.reason));
                "-".clone_into(&mut result);
            }
            let side = side.name();
            let proof = proof.join("<br>");
            let _ = writeln!(text, "| {words} | {side} | {code} | {proof} | {result} |");
            words.clear();
        }
    }

    fn beyond(&self, text: &mut String) {
        text.push_str("\n## Beyond the statements\n\n| test | side | says | versions | result |\n|---|---|---|---|---|\n");
        for side in SIDES {
            let mut seen = BTreeSet::new();
            for test in self.tests(side) {
                if !test.statements.is_empty() || !seen.insert(&test.test) {
                    continue;
                }
                let tests = self.tests(side);
                let same: Vec<&Outcome> = tests.filter(|other| other.test == test.test).collect();
                let versions: Vec<&str> = same.iter().map(|other| other.version.name()).collect();
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} | {} |",
                    test_link(side, test),
                    side.name(),
                    cell(&test.says),
                    versions.join(", "),
                    self.verdict(same.iter().flat_map(|other| self.runs(side, other))),
                );
            }
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

    fn reports(&self, side: Side) -> &[Report] {
        match side {
            Side::Server => self.reports,
            Side::Client => std::slice::from_ref(self.client),
        }
    }

    /// Each test in each version once. All runs of a side have the same ones.
    fn tests(&self, side: Side) -> impl Iterator<Item = &Outcome> {
        let reports = self.reports(side);
        let first = reports.first().into_iter();
        first.flat_map(|report| &report.outcomes)
    }

    /// The tests that prove a statement.
    fn proofs<'b>(
        &'b self,
        side: Side,
        version: Version,
        id: &'b str,
    ) -> impl Iterator<Item = &'b Outcome> {
        self.tests(side).filter(move |outcome| {
            outcome.version == version && outcome.statements.iter().any(|other| other == id)
        })
    }

    /// The runs in which a test was not skipped: their names, and what came of it.
    fn runs<'b>(
        &'b self,
        side: Side,
        test: &'b Outcome,
    ) -> impl Iterator<Item = (&'b str, &'b Result)> {
        self.reports(side).iter().flat_map(move |report| {
            let same = report.outcomes.iter().filter(move |outcome| {
                outcome.test == test.test
                    && outcome.version == test.version
                    && !matches!(outcome.result, Result::Skipped(_))
            });
            same.map(|outcome| (report.broker.as_str(), &outcome.result))
        })
    }

    fn result(&self, side: Side, version: Version, id: &str) -> String {
        let tests = self.proofs(side, version, id);
        self.verdict(tests.flat_map(|test| self.runs(side, test)))
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

    /// The code of a side that obeys a statement. What obeys one of 5.0 obeys those of 3.1.1 that say
    /// the same.
    fn places(&self, side: Side, version: Version, id: &str) -> Vec<&Tag> {
        let named = |version: Version, id: &str| {
            let sources = self.code.sources.iter();
            sources
                .filter(|tag| tag.version == version && tag.id == id && tag.is_of(side))
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

fn test_link(side: Side, test: &Outcome) -> String {
    let file = test.test.split("::").next().unwrap_or_default();
    let folder = match side {
        Side::Server => "conformance/src/tests",
        Side::Client => "mqtt-client/tests/conformance",
    };
    format!("[`{}`](../{folder}/{file}.rs)", test.test)
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
