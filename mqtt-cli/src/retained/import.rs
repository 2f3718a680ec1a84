//! `mqtt retained import`.
//!
//! A line that is wrong, and one that the server refuses, is told by its number, and the others are published all the same: an
//! import that is repeated does no harm. Without a first line that names the format, any lines with retained messages will do,
//! such as those that `grep` or `jq` left; with it, the last line must be there.

use std::io::{self, BufRead, Read as _};

use mqtt_client::{Error, Version};

use super::publish::{Published, Publisher};
use super::record::{Counts, FORMAT, Header, Record, Retained, VERSION};
use super::{Server, failure, now_ms};
use crate::connection::Failure;
use crate::say;

/// The longest line. The largest packet has 256 MiB, and a byte of it takes six at the most.
const LINE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// What a line may leave allocated for the next one.
const LINE_BYTES_KEPT: usize = 1024 * 1024;

/// What is published under the number of its line.
fn report(line: &u64, error: &Error) {
    say::error(format_args!("line {line}: {error}"));
}

/// Publishes what is on standard input.
pub(super) async fn run(server: &Server<'_>) -> Result<(), Failure> {
    let mut lines = Lines::new(io::stdin().lock());
    let mut publisher = Publisher::new(&server.client, report);
    let has_properties = server
        .client
        .connected()
        .is_none_or(|connected| connected.version == Version::V5);
    let mut stripped = 0_u64;
    while let Some(retained) = lines.next()? {
        if let Some(message) = retained.into_message(now_ms()) {
            if !has_properties && !message.properties.is_empty() {
                stripped += 1;
            }
            publisher.publish(lines.number, message).await;
        } else {
            lines.expired += 1;
        }
    }
    let Published { published, failed } = publisher.finish().await;
    if stripped > 0 {
        say::error(format_args!(
            "Warning: the server speaks MQTT 3.1.1, which has no properties and no expiry: {stripped} messages have lost theirs."
        ));
    }
    lines.tell("published", published);
    lines.result(failed)
}

/// Reads what is on standard input, and says what is wrong with it.
pub(super) fn check() -> Result<(), Failure> {
    let mut lines = Lines::new(io::stdin().lock());
    let mut good = 0;
    while let Some(retained) = lines.next()? {
        if retained.into_message(now_ms()).is_some() {
            good += 1;
        } else {
            lines.expired += 1;
        }
    }
    lines.tell("to be published", good);
    lines.result(0)
}

/// The lines of a file, one at a time.
struct Lines<R> {
    input: R,
    line: Vec<u8>,
    /// Counted from 1.
    number: u64,
    counts: Counts,
    format: Format,
    /// Lines that could not be read.
    wrong: u64,
    expired: u64,
}

/// What is known of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// Lines without a first and a last one.
    Bare,
    /// The first one has been there.
    Begun,
    /// And the last one.
    Ended(Counts),
}

impl<R: BufRead> Lines<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            line: Vec::new(),
            number: 0,
            counts: Counts::default(),
            format: Format::Bare,
            wrong: 0,
            expired: 0,
        }
    }

    /// The next message; `None` at the end. What is wrong with a line has been said then.
    fn next(&mut self) -> Result<Option<Retained>, Failure> {
        while self.read()? {
            if self.number == 1 && self.is_header()? {
                continue;
            }
            match serde_json::from_slice(&self.line) {
                Ok(record) => {
                    if let Some(retained) = self.take(record) {
                        return Ok(Some(retained));
                    }
                }
                Err(error) => {
                    // Of a line on its own, the line that serde counts says nothing.
                    let text = error.to_string();
                    let text = text.split(" at line 1 ").next().unwrap_or_default();
                    self.complain(text);
                }
            }
        }
        Ok(None)
    }

    fn take(&mut self, record: Record) -> Option<Retained> {
        if matches!(self.format, Format::Ended(_)) {
            self.complain("expected nothing behind the last line");
            return None;
        }
        let counts = &mut self.counts;
        match record {
            Record::Retained(retained) => {
                counts.retained += 1;
                return Some(retained);
            }
            Record::End(expected) => self.format = Format::Ended(expected),
            Record::Session(_) => counts.sessions += 1,
            Record::Subscription(_) => counts.subscriptions += 1,
            Record::Received(_) => counts.received += 1,
            Record::Delivery(_) => counts.deliveries += 1,
        }
        None
    }

    /// Whether the line is a first one, which must name what is known here.
    fn is_header(&mut self) -> Result<bool, Failure> {
        let Ok(header) = serde_json::from_slice::<Header<'_>>(&self.line) else {
            return Ok(false);
        };
        if header.format != FORMAT {
            let format = header.format;
            return Err(failure(format_args!(
                "line 1: the format is {format:?}, expected {FORMAT:?}"
            )));
        }
        if header.version != VERSION {
            let version = header.version;
            return Err(failure(format_args!(
                "line 1: the version is {version}, expected {VERSION}"
            )));
        }
        self.format = Format::Begun;
        Ok(true)
    }

    /// Reads a line that is not empty; false at the end.
    fn read(&mut self) -> Result<bool, Failure> {
        loop {
            self.line.clear();
            self.line.shrink_to(LINE_BYTES_KEPT);
            let mut limited = self.input.by_ref().take(LINE_BYTES_MAX);
            let read = limited.read_until(b'\n', &mut self.line);
            let bytes = read.map_err(|cause| failure(format_args!("cannot read: {cause}")))?;
            if bytes == 0 {
                return Ok(false);
            }
            self.number += 1;
            if bytes as u64 == LINE_BYTES_MAX {
                let number = self.number;
                return Err(failure(format_args!(
                    "line {number}: longer than {LINE_BYTES_MAX} bytes"
                )));
            }
            let end = self.line.trim_ascii_end().len();
            self.line.truncate(end);
            if end > 0 {
                return Ok(true);
            }
        }
    }

    fn complain(&mut self, problem: &str) {
        self.wrong += 1;
        say::error(format_args!("line {}: {problem}", self.number));
    }

    fn tell(&self, what: &str, count: u64) {
        let expired = match self.expired {
            0 => String::new(),
            expired => format!(", {expired} expired"),
        };
        say::error(format_args!("Retained messages {what}: {count}{expired}."));
    }

    /// Whether all is well with a file of which `failed` messages were not published.
    fn result(&self, failed: u64) -> Result<(), Failure> {
        let told = self.counts;
        match self.format {
            Format::Begun => return Err(failure("the file is cut off: its last line is missing")),
            Format::Ended(expected) if expected != told && self.wrong == 0 => {
                return Err(failure(format_args!(
                    "the last line counts {} retained messages, and there are {}: the file is not as it was written",
                    expected.retained, told.retained
                )));
            }
            Format::Bare | Format::Ended(_) => {}
        }
        match self.wrong + failed {
            0 => Ok(()),
            1 => Err(failure("1 line was not imported")),
            count => Err(failure(format_args!("{count} lines were not imported"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "{\"format\":\"mqtt-store\",\"version\":1}\n";
    const LAST: &str = "{\"end\":{\"sessions\":1,\"subscriptions\":0,\"received\":0,\"deliveries\":0,\"retained\":2}}\n";
    const SESSION: &str = "{\"session\":{\"client\":\"a\"}}\n";

    fn retained(topic: &str) -> String {
        format!(
            "{{\"retained\":{{\"topic\":\"{topic}\",\"qos\":0,\"retain\":true,\"payload\":\"x\"}}}}\n"
        )
    }

    /// The topics and their lines, and what is wrong in the end.
    fn read(text: &str) -> (Vec<(u64, String)>, Result<(), Failure>) {
        let mut lines = Lines::new(text.as_bytes());
        let mut topics = Vec::new();
        loop {
            match lines.next() {
                Ok(Some(retained)) => {
                    let topic = retained.message.topic().to_owned();
                    topics.push((lines.number, topic));
                }
                Ok(None) => return (topics, lines.result(0)),
                Err(failure) => return (topics, Err(failure)),
            }
        }
    }

    #[test]
    fn retained_messages_have_the_number_of_their_line() {
        let text = [FIRST, SESSION, &retained("a"), "\n", &retained("b"), LAST].concat();
        let (topics, result) = read(&text);
        let expected = [(3, "a".to_owned()), (5, "b".to_owned())];
        assert_eq!((topics.as_slice(), result), (&expected[..], Ok(())));
        // Lines that were picked out are no file, and need not be whole.
        let (topics, result) = read(&retained("a"));
        assert_eq!((topics.len(), result), (1, Ok(())));
        assert_eq!(read(""), (Vec::new(), Ok(())));
    }

    #[test]
    fn a_file_that_is_not_whole_is_noticed() {
        let (a, b) = (retained("a"), retained("b"));
        let whole = [FIRST, SESSION, &a, &b, LAST].concat();
        assert_eq!(read(&whole).1, Ok(()));
        for (text, problem) in [
            ([FIRST, SESSION, &a, &b].concat(), "cut off"),
            (
                [FIRST, SESSION, &a, LAST].concat(),
                "counts 2 retained messages, and there are 1",
            ),
            (
                [FIRST, SESSION, &a, "{\"retained\":{\"top\n", LAST].concat(),
                "1 line was",
            ),
            (
                [FIRST, &a, &b, "nonsense\n", "{}\n", LAST].concat(),
                "2 lines were",
            ),
            ([&whole, &*a].concat(), "1 line was"),
            (
                whole.replace("mqtt-store", "other"),
                "the format is \"other\"",
            ),
            (
                whole.replace("\"version\":1", "\"version\":2"),
                "the version is 2",
            ),
        ] {
            let (_, result) = read(&text);
            let failure = result.unwrap_err();
            assert!(
                format!("{failure:?}").contains(&problem.replace('"', "\\\"")),
                "{text}: {failure:?}"
            );
        }
    }
}
