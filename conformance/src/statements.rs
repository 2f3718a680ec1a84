//! The numbered statements of both standards, and what is to be said about some of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Version;

/// A numbered normative statement, in the words of the standard.
#[derive(Debug, Deserialize)]
pub(crate) struct Statement {
    /// Such as `3.1.2-24`, without `MQTT-`.
    pub(crate) id: String,
    /// Number and title.
    pub(crate) section: String,
    pub(crate) binds: Side,
    #[serde(rename = "statement")]
    pub(crate) words: String,
}

/// Who has to do something to keep to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Server,
    Client,
    Both,
}

/// A statement that has no test, or no code, and why.
#[derive(Debug, Deserialize)]
pub(crate) struct Exception {
    pub(crate) version: Version,
    pub(crate) id: String,
    pub(crate) lacks: Lack,
    pub(crate) reason: String,
}

/// What a statement lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lack {
    /// It cannot be tested from outside.
    Test,
    /// There is nothing to do for it.
    Code,
    /// Only a client can break it, and a server cannot see that.
    Client,
}

#[derive(Deserialize)]
struct Counterpart {
    #[serde(rename = "3.1.1")]
    old: String,
    #[serde(rename = "5.0")]
    new: String,
}

/// All that is known about the statements.
pub(crate) struct Statements {
    pub(crate) v5: Vec<Statement>,
    pub(crate) v311: Vec<Statement>,
    pub(crate) exceptions: Vec<Exception>,
    /// Statements of 3.1.1, and those of 5.0 that say the same.
    counterparts: BTreeMap<String, Vec<String>>,
}

impl Statements {
    /// Those that the program contains.
    pub(crate) fn load() -> Self {
        let mut counterparts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows::<Counterpart>(include_str!("../statements/counterparts.csv")) {
            counterparts.entry(row.old).or_default().push(row.new);
        }
        Self {
            v5: statements(include_str!("../statements/mqtt-5.0.csv")),
            v311: statements(include_str!("../statements/mqtt-3.1.1.csv")),
            exceptions: rows(include_str!("../statements/exceptions.csv")),
            counterparts,
        }
    }

    /// The statements of a version. MQTT 3.1 has none that are numbered.
    pub(crate) fn of(&self, version: Version) -> &[Statement] {
        match version {
            Version::V3_1 => &[],
            Version::V3_1_1 => &self.v311,
            Version::V5 => &self.v5,
        }
    }

    pub(crate) fn find(&self, version: Version, id: &str) -> Option<&Statement> {
        self.of(version).iter().find(|statement| statement.id == id)
    }

    pub(crate) fn exception(&self, version: Version, id: &str, lacks: Lack) -> Option<&Exception> {
        self.exceptions.iter().find(|exception| {
            exception.version == version && exception.id == id && exception.lacks == lacks
        })
    }

    /// The statements of 5.0 that say what this one of 3.1.1 says.
    pub(crate) fn counterparts(&self, id: &str) -> &[String] {
        self.counterparts.get(id).map_or(&[], Vec::as_slice)
    }

    /// All statements of 3.1.1 that have a counterpart, each with its counterparts.
    pub(crate) fn all_counterparts(&self) -> impl Iterator<Item = (&String, &Vec<String>)> {
        self.counterparts.iter()
    }
}

/// In the tests and the lists, `3.1.2-24` is short for `MQTT-3.1.2-24`.
fn statements(text: &str) -> Vec<Statement> {
    let mut statements: Vec<Statement> = rows(text);
    for statement in &mut statements {
        if let Some(short) = statement.id.strip_prefix("MQTT-") {
            statement.id = short.to_owned();
        }
    }
    statements
}

fn rows<T: DeserializeOwned>(text: &str) -> Vec<T> {
    csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(text.as_bytes())
        .deserialize()
        .map(|row| row.expect("a row with the columns of its header"))
        .collect()
}
