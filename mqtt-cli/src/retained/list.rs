//! `mqtt retained ls`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, IsTerminal as _, Write};

use mqtt_client::{Message, QoS, TopicName};
use serde::Serialize;

use super::{LsArguments, Server, now_ms, record, unless_closed};
use crate::connection::Failure;

/// How a message is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Topics,
    Long,
    Json,
}

impl Style {
    pub(super) const fn new(arguments: &LsArguments) -> Self {
        match (arguments.json, arguments.long) {
            (true, _) => Self::Json,
            (false, true) => Self::Long,
            (false, false) => Self::Topics,
        }
    }
}

/// A line of `--json`.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    topic: &'a str,
    qos: u8,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<i64>,
}

/// What is kept of a message until all are there and can be sorted.
#[derive(Clone, Copy, Debug)]
struct Facts {
    qos: QoS,
    bytes: usize,
    expires_ms: Option<i64>,
}

/// Lists the topics in order.
pub(super) async fn run(server: &Server<'_>, style: Style) -> Result<(), Failure> {
    let mut list: BTreeMap<TopicName, Facts> = BTreeMap::new();
    let add = |message: Message| {
        let facts = Facts {
            qos: message.qos,
            bytes: message.payload.len(),
            expires_ms: record::expires_ms(&message, now_ms()),
        };
        list.insert(message.topic, facts);
        Ok(())
    };
    let collection = server.collection();
    let collected = match style {
        // Twice the work, and only for the QoS.
        Style::Long | Style::Json => collection.at_own_qos(add).await,
        Style::Topics => collection.at_qos_0(add).await,
    };
    let summary = collected.map_err(|problem| server.failure(problem))?;
    let stdout = io::stdout();
    let shown = if stdout.is_terminal() {
        for_people
    } else {
        as_it_is
    };
    let mut out = BufWriter::new(stdout.lock());
    let written = list
        .iter()
        .try_for_each(|(topic, facts)| write_entry(&mut out, style, topic, *facts, shown));
    unless_closed(written.and_then(|()| out.flush()))?;
    server.caution(summary);
    Ok(())
}

fn write_entry(
    out: &mut impl Write,
    style: Style,
    topic: &TopicName,
    facts: Facts,
    shown: fn(&str) -> Cow<'_, str>,
) -> io::Result<()> {
    let Facts {
        qos,
        bytes,
        expires_ms,
    } = facts;
    let (qos, topic) = (qos as u8, topic.as_str());
    match style {
        Style::Topics => writeln!(out, "{}", shown(topic)),
        Style::Long => {
            let left = match expires_ms {
                Some(expires_ms) => {
                    let left_ms = expires_ms.saturating_sub(now_ms()).max(0);
                    left_ms.cast_unsigned().div_ceil(1000).to_string()
                }
                None => "-".to_owned(),
            };
            writeln!(out, "{bytes:>9} {qos} {left:>10} {}", shown(topic))
        }
        Style::Json => {
            let entry = Entry {
                topic,
                qos,
                bytes,
                expires_ms,
            };
            serde_json::to_writer(&mut *out, &entry)?;
            writeln!(out)
        }
    }
}

/// Programs get topics as they are.
fn as_it_is(topic: &str) -> Cow<'_, str> {
    topic.into()
}

/// A topic may have what moves the cursor of a terminal, or worse.
pub(super) fn for_people(topic: &str) -> Cow<'_, str> {
    if !topic.contains(char::is_control) {
        return topic.into();
    }
    let mut shown = String::new();
    for letter in topic.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(style: Style, topic: &str, facts: Facts) -> String {
        let topic = TopicName::from_text(topic).unwrap();
        let mut out = Vec::new();
        write_entry(&mut out, style, &topic, facts, for_people).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_what_its_style_says() {
        let mut facts = Facts {
            qos: QoS::ExactlyOnce,
            bytes: 1234,
            expires_ms: None,
        };
        assert_eq!(line(Style::Topics, "a b/ä", facts), "a b/ä\n");
        let long = "     1234 2          - a\\u{1b}[2J\\n\n";
        assert_eq!(line(Style::Long, "a\u{1b}[2J\n", facts), long);
        let json = "{\"topic\":\"a\\u001b\",\"qos\":2,\"bytes\":1234}\n";
        assert_eq!(line(Style::Json, "a\u{1b}", facts), json);
        // What has expired meanwhile has no time left, and not less than none.
        facts.expires_ms = Some(1000);
        assert_eq!(line(Style::Long, "a", facts), "     1234 2          0 a\n");
        let json = "{\"topic\":\"a\",\"qos\":2,\"bytes\":1234,\"expires_ms\":1000}\n";
        assert_eq!(line(Style::Json, "a", facts), json);
    }
}
