//! The numbered statements of both standards, and what is to be said about some of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Version;

/// A numbered normative statement, in the words of the standard.
#[derive(Debug, Deserialize)]
pub struct Statement {
    /// Such as `3.1.2-24`, without `MQTT-`.
    pub id: String,
    /// Number and title.
    pub section: String,
    /// By the standard.
    pub binds: Binds,
    /// The statement itself.
    #[serde(rename = "statement")]
    pub words: String,
}

/// Who has to do something to keep to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binds {
    /// The server alone.
    Server,
    /// The client alone.
    Client,
    /// Both, or whoever sends or receives.
    Both,
}

/// A statement that has no test, or no code, on one side, and why.
#[derive(Debug, Deserialize)]
pub struct Exception {
    /// The version.
    pub version: Version,
    /// The statement.
    pub id: String,
    /// Of whom this is said.
    pub side: Side,
    /// What there is not.
    pub lacks: Lack,
    /// Why, as a sentence.
    pub reason: String,
}

/// Who is asked whether they keep to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// A broker, by its program.
    Server,
    /// Our client, by its library.
    Client,
}

impl Side {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// What a statement lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lack {
    /// It cannot be tested from outside.
    Test,
    /// There is nothing to do for it.
    Code,
}

/// A statement that binds the server alone, and that our client holds it to.
#[derive(Debug, Deserialize)]
struct Held {
    version: Version,
    id: String,
}

#[derive(Deserialize)]
struct Counterpart {
    #[serde(rename = "3.1.1")]
    old: String,
    #[serde(rename = "5.0")]
    new: String,
}

/// All that is known about the statements.
pub struct Statements {
    v5: Vec<Statement>,
    v311: Vec<Statement>,
    /// What has no test or no code.
    pub exceptions: Vec<Exception>,
    held: Vec<Held>,
    /// Statements of 3.1.1, and those of 5.0 that say the same.
    counterparts: BTreeMap<String, Vec<String>>,
}

impl Statements {
    /// Those that the program contains.
    ///
    /// # Panics
    /// If a row has not the columns of its header.
    #[must_use]
    pub fn load() -> Self {
        let mut counterparts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows::<Counterpart>(include_str!("../statements/counterparts.csv")) {
            counterparts.entry(row.old).or_default().push(row.new);
        }
        Self {
            v5: statements(include_str!("../statements/mqtt-5.0.csv")),
            v311: statements(include_str!("../statements/mqtt-3.1.1.csv")),
            exceptions: rows(include_str!("../statements/exceptions.csv")),
            held: rows(include_str!("../statements/held-by-client.csv")),
            counterparts,
        }
    }

    /// The statements of a version. MQTT 3.1 has none that are numbered.
    #[must_use]
    pub fn of(&self, version: Version) -> &[Statement] {
        match version {
            Version::V3_1 => &[],
            Version::V3_1_1 => &self.v311,
            Version::V5 => &self.v5,
        }
    }

    /// The statement with this number, if there is one.
    #[must_use]
    pub fn find(&self, version: Version, id: &str) -> Option<&Statement> {
        self.of(version).iter().find(|statement| statement.id == id)
    }

    /// Whether this side has something to do for a statement: it is bound by it, or it is the client
    /// and notices when the server breaks it.
    #[must_use]
    pub fn concerns(&self, side: Side, version: Version, statement: &Statement) -> bool {
        match (side, statement.binds) {
            (_, Binds::Both) | (Side::Server, Binds::Server) | (Side::Client, Binds::Client) => {
                true
            }
            (Side::Server, Binds::Client) => false,
            (Side::Client, Binds::Server) => self
                .held()
                .any(|(other, id)| other == version && id == statement.id),
        }
    }

    /// The statements that bind the server alone, and that our client holds it to.
    pub fn held(&self) -> impl Iterator<Item = (Version, &str)> {
        self.held
            .iter()
            .map(|held| (held.version, held.id.as_str()))
    }

    /// Why a statement has no test or no code, if it is said to have none.
    #[must_use]
    pub fn exception(
        &self,
        side: Side,
        version: Version,
        id: &str,
        lacks: Lack,
    ) -> Option<&Exception> {
        self.exceptions.iter().find(|exception| {
            exception.side == side
                && exception.version == version
                && exception.id == id
                && exception.lacks == lacks
        })
    }

    /// The statements of 5.0 that say what this one of 3.1.1 says.
    #[must_use]
    pub fn counterparts(&self, id: &str) -> &[String] {
        self.counterparts.get(id).map_or(&[], Vec::as_slice)
    }

    /// All statements of 3.1.1 that have a counterpart, each with its counterparts.
    pub fn all_counterparts(&self) -> impl Iterator<Item = (&String, &Vec<String>)> {
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
