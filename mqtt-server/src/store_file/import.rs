//! From lines to a store.

use std::io::{self, BufRead, Read};

use mqtt_broker_core::store::{SessionStore, StoreError};
use serde::Deserialize;

use super::fill::{Filling, Step};
use super::form::Record;
use super::{Counts, FORMAT, Header, ImportError, VERSION};

/// Sessions or retained messages that are counted at a time.
const PAGE: usize = 64;
/// The longest first line: whatever is no such file is found out before it fills the memory.
const HEADER_BYTES_MAX: u64 = 4096;
/// The longest line. The largest packet has 256 MiB, and a byte of it takes six at the most.
const LINE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// What a line may leave allocated for the next one.
const LINE_BYTES_KEPT: usize = 1024 * 1024;
/// Characters of a message about a line that are shown at either end of it.
const SHOWN: usize = 150;

/// Reads what [`export`](super::export()) has written into `store`, which has to be empty.
///
/// Nothing may change the store meanwhile. Blocks where `input` does.
///
/// # Errors
/// [`ImportError`]. What was read before it is in the store then: start again with an empty one.
pub(crate) async fn import(
    input: impl BufRead,
    store: &dyn SessionStore,
) -> Result<Counts, ImportError> {
    if !is_empty(store).await? {
        return Err(ImportError::NotEmpty);
    }
    let mut lines = Lines {
        input,
        line: Vec::new(),
        number: 0,
    };
    lines.header()?;
    let mut filling = Filling::new(store);
    let expected = loop {
        let record = lines.record()?;
        let step = filling.step(record);
        match step.map_err(|problem| lines.problem(problem))? {
            Step::Change(change) => filling.push(change).await?,
            Step::End(expected) => break expected,
        }
    };
    filling.commit().await?;
    let counts = filling.counts();
    check(&counts, &expected, "there are").map_err(|problem| lines.problem(problem))?;
    // A session or a topic that is there twice has replaced itself.
    let there = counts_of(store, counts.deliveries).await?;
    check(&there, &counts, "without repetitions there are")
        .map_err(|problem| lines.problem(problem))?;
    match lines.next(LINE_BYTES_MAX)? {
        Next::End => Ok(counts),
        Next::Line | Next::TooLong => {
            let problem = "expected nothing behind the `end` record";
            Err(lines.problem(problem.to_owned()))
        }
    }
}

async fn is_empty(store: &dyn SessionStore) -> Result<bool, StoreError> {
    Ok(store.sessions(None, 1).await?.is_empty() && store.retained(None, 1).await?.is_empty())
}

/// The lines of a file, one at a time.
struct Lines<R> {
    input: R,
    line: Vec<u8>,
    /// The number of the line, counted from 1.
    number: u64,
}

enum Next {
    Line,
    End,
    TooLong,
}

impl<R: BufRead> Lines<R> {
    fn header(&mut self) -> Result<(), ImportError> {
        let first = format!("expected {{\"format\":\"{FORMAT}\",\"version\":{VERSION}}}");
        match self.next(HEADER_BYTES_MAX)? {
            Next::Line => {}
            Next::End => return Err(self.problem(format!("the file is empty, {first}"))),
            Next::TooLong => return Err(self.problem(format!("too long, {first}"))),
        }
        // A later version may have keys that are not known here, and then it is the version that
        // is to be named.
        let named: Named = self
            .parse()
            .map_err(|problem| self.problem(format!("{problem}, {first}")))?;
        if named.format != FORMAT {
            let format = named.format;
            return Err(self.problem(format!("format: {format:?}, expected {FORMAT:?}")));
        }
        if named.version != u64::from(VERSION) {
            let version = named.version;
            return Err(self.problem(format!(
                "version: {version}, expected {VERSION}, the only one known here"
            )));
        }
        let header: Result<Header, _> = self.parse();
        header.map(drop).map_err(|problem| self.problem(problem))
    }

    fn record(&mut self) -> Result<Record, ImportError> {
        match self.next(LINE_BYTES_MAX)? {
            Next::Line => self.parse().map_err(|problem| self.problem(problem)),
            Next::End => {
                let problem = "the file is cut off here, expected an `end` record";
                Err(self.problem(problem.to_owned()))
            }
            Next::TooLong => {
                Err(self.problem(format!("expected at most {LINE_BYTES_MAX} bytes in a line")))
            }
        }
    }

    /// Goes to the next line. The end of the file counts as one.
    fn next(&mut self, bytes_max: u64) -> io::Result<Next> {
        self.number += 1;
        self.line.clear();
        self.line.shrink_to(LINE_BYTES_KEPT);
        let mut limited = (&mut self.input).take(bytes_max);
        limited.read_until(b'\n', &mut self.line)?;
        Ok(if self.line.is_empty() {
            Next::End
        } else if limited.limit() == 0 && !self.line.ends_with(b"\n") {
            Next::TooLong
        } else {
            Next::Line
        })
    }

    /// The line as a value; or where the value is not what it should be, and what it should be.
    fn parse<'l, T: Deserialize<'l>>(&'l self) -> Result<T, String> {
        let mut json = serde_json::Deserializer::from_slice(&self.line);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let problem = describe(error.inner());
            if path == "." {
                problem
            } else {
                format!("{path}: {problem}")
            }
        })?;
        json.end().map_err(|error| describe(&error))?;
        Ok(value)
    }

    fn problem(&self, problem: String) -> ImportError {
        ImportError::Line {
            line: self.number,
            problem: shorten(problem),
        }
    }
}

/// The keys of the first line that every version has.
#[derive(Deserialize)]
struct Named {
    format: String,
    version: u64,
}

/// An error with the column alone: each line is a text of its own to the parser.
fn describe(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    match text.strip_suffix(&format!(" at line {line} column {column}")) {
        Some(text) => format!("{text} (column {column})"),
        None => text,
    }
}

/// Leaves out the middle of a text that quotes a long value.
fn shorten(text: String) -> String {
    let count = text.chars().count();
    if count <= 2 * SHOWN {
        return text;
    }
    let start: String = text.chars().take(SHOWN).collect();
    let end: String = text.chars().skip(count - SHOWN).collect();
    format!("{start}…{end}")
}

/// Counts that should be the same; or the first that differs.
fn check(found: &Counts, expected: &Counts, verb: &str) -> Result<(), String> {
    let pairs = [
        ("sessions", found.sessions, expected.sessions),
        ("subscriptions", found.subscriptions, expected.subscriptions),
        ("received", found.received, expected.received),
        ("deliveries", found.deliveries, expected.deliveries),
        ("retained", found.retained, expected.retained),
    ];
    match pairs
        .into_iter()
        .find(|(_, found, expected)| found != expected)
    {
        None => Ok(()),
        Some((key, found, expected)) => {
            Err(format!("end.{key}: expected {expected}, {verb} {found}"))
        }
    }
}

/// What is in the store now. Deliveries are not read again: their numbers rise within a session,
/// so that none can have replaced another.
async fn counts_of(store: &dyn SessionStore, deliveries: u64) -> Result<Counts, StoreError> {
    let mut counts = Counts {
        deliveries,
        ..Counts::default()
    };
    let mut after = None;
    loop {
        let page = store.sessions(after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (_, session) in &page {
            counts.sessions += 1;
            counts.subscriptions += session.subscriptions.len() as u64;
            counts.received += session.received.len() as u64;
        }
    }
    let mut after = None;
    loop {
        let page = store.retained(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.topic());
        counts.retained += page.len() as u64;
    }
    Ok(counts)
}
