//! `mqtt retained clear`.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufWriter, IsTerminal as _, Write};

use mqtt_client::{Error, Message, TopicName};

use super::list::for_people;
use super::publish::{Published, Publisher};
use super::{ClearArguments, Server, failure, unless_closed};
use crate::connection::Failure;
use crate::say;

/// How many topics are shown with the question.
const SHOWN_MAX: usize = 10;

/// How it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Ask,
    /// Without a question.
    Yes,
    /// Not at all, only told.
    DryRun,
}

impl Manner {
    pub(super) const fn new(arguments: &ClearArguments) -> Self {
        match (arguments.dry_run, arguments.yes) {
            (true, _) => Self::DryRun,
            (false, true) => Self::Yes,
            (false, false) => Self::Ask,
        }
    }
}

/// Whether there is a person to be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Removes what is retained, if that is wanted.
pub(super) async fn run(server: &Server<'_>, manner: Manner) -> Result<(), Failure> {
    let mut topics: BTreeSet<TopicName> = BTreeSet::new();
    let add = |message: Message| {
        topics.insert(message.topic);
        Ok(())
    };
    let collected = server.collection().at_qos_0(add).await;
    let summary = collected.map_err(|problem| server.failure(problem))?;
    server.caution(summary);
    if topics.is_empty() {
        say::error(format_args!("Nothing is retained there."));
        return Ok(());
    }
    let wanted = match manner {
        Manner::DryRun => return tell(&topics),
        Manner::Ask => ask(&topics).map_err(failure)?,
        Manner::Yes => Answer::Yes,
    };
    match wanted {
        Answer::No => Err(Failure::new("Nothing was removed.", 1)),
        Answer::Yes => remove(server, topics).await,
    }
}

fn tell(topics: &BTreeSet<TopicName>) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut topics_written = topics.iter();
    let written = topics_written.try_for_each(|topic| writeln!(out, "{}", topic.as_str()));
    unless_closed(written.and_then(|()| out.flush()))?;
    say::error(format_args!(
        "{} would be removed.",
        messages(topics.len() as u64)
    ));
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
}

/// Shows what it is about, and takes anything but a yes for a no.
fn ask(topics: &BTreeSet<TopicName>) -> io::Result<Answer> {
    let mut err = io::stderr().lock();
    for topic in topics.iter().take(SHOWN_MAX) {
        writeln!(err, "  {}", for_people(topic.as_str()))?;
    }
    let more = topics.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        writeln!(err, "  and {more} more")?;
    }
    write!(err, "Remove {}? [y/N] ", messages(topics.len() as u64))?;
    err.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let answer = line.trim().to_lowercase();
    let yes = answer == "y" || answer == "yes";
    Ok(if yes { Answer::Yes } else { Answer::No })
}

/// A retained message is removed by one without a payload.
async fn remove(server: &Server<'_>, topics: BTreeSet<TopicName>) -> Result<(), Failure> {
    let report = |topic: &TopicName, error: &Error| {
        let topic = for_people(topic.as_str());
        say::error(format_args!("{topic}: {error}"));
    };
    let mut publisher = Publisher::new(&server.client, report);
    for topic in topics {
        let mut message = Message::to(topic.clone(), "");
        message.retain = true;
        publisher.publish(topic, message).await;
    }
    let Published { published, failed } = publisher.finish().await;
    say::error(format_args!("{} removed.", messages(published)));
    match failed {
        0 => Ok(()),
        _ => Err(failure(format_args!("{} not removed", messages(failed)))),
    }
}

fn messages(count: u64) -> String {
    match count {
        1 => "1 retained message".to_owned(),
        _ => format!("{count} retained messages"),
    }
}
