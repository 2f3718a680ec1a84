//! The section of the document: what is between two markers is written anew, and all else stays.

use std::fmt::Write;

use super::contender::Contender;
use super::machine::Machine;
use super::table::{Results, commands, tables};

const BEGIN: &str = "<!-- begin of make bench-compare -->";
const END: &str = "<!-- end of make bench-compare -->";

/// How it was measured.
#[derive(Debug)]
pub(crate) struct Conditions {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    /// The command that does it again.
    pub(crate) command: String,
    /// Those that were left out, and why.
    pub(crate) missing: Vec<String>,
}

/// The section of these results. The plot is beside the document, in `plot`.
pub(crate) fn section(
    results: &Results,
    contenders: &[&Contender],
    conditions: &Conditions,
    plot: &str,
) -> String {
    let Conditions {
        machine,
        rounds,
        seconds,
        command,
        missing,
    } = conditions;
    let mut text = format!(
        "{BEGIN}\n## Beside other brokers\n\n\
         `{command}` writes this section. {machine}. Medians of {rounds} rounds of {seconds} s for each timed run; in each round \
         the brokers take turns, and each run has a broker of its own that was just started.\n\n\
         ![CPU time per message]({plot})\n\n\
         Broker and load share the cores, so on a busy machine trust CPU time per message and ratios, which hardly change with \
         what else runs; throughput and latency do. Every message is checked: a run in which one was lost, doubled or out of \
         order, or where subscribers of one topic saw different orders, is marked with ✗. *Floor* is a forwarder that looks the \
         topic up and copies the packet: about what the kernel takes to move the bytes.\n\n"
    );
    for line in missing {
        let _ = writeln!(text, "Not there: {line}.\n");
    }
    text += &tables(results);
    let _ = writeln!(
        text,
        "### What was run\n\n64 bytes unless `-s` says otherwise, MQTT 3.1.1.\n\n{}",
        commands(results)
    );
    text += "In `single` each of a hundred pairs has one message under way, so each is read and written alone.\n\n";
    for contender in contenders {
        let _ = writeln!(
            text,
            "{}: `{}`",
            contender.name,
            contender.arguments.join(" ")
        );
        if let Some(configuration) = contender.configuration {
            let _ = writeln!(text, "\n```\n{configuration}```");
        }
        text.push('\n');
    }
    text + END
}

/// The document with the section in place of the one that it has, or at its end.
pub(crate) fn replace(document: &str, section: &str) -> String {
    let parts = document
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    match parts {
        Some((before, after)) => format!("{before}{section}{after}"),
        None if document.is_empty() => format!("# Performance\n\n{section}\n"),
        None => format!("{}\n\n{section}\n", document.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let old = format!("# By hand\n\n{BEGIN}\nold\n{END}\n\nalso by hand\n");
        let section = format!("{BEGIN}\nnew\n{END}");
        let new = format!("# By hand\n\n{section}\n\nalso by hand\n");
        assert_eq!(replace(&old, &section), new);
        assert_eq!(replace(&new, &section), new);
    }

    #[test]
    fn a_document_without_a_section_gets_one() {
        let section = format!("{BEGIN}\nnew\n{END}");
        assert_eq!(
            replace("", &section),
            format!("# Performance\n\n{section}\n")
        );
        assert_eq!(
            replace("by hand\n", &section),
            format!("by hand\n\n{section}\n")
        );
    }
}
