//! Which program this is: the subcommands of `mqtt`, and the name that it was called by.
//!
//! A subcommand is one line in [`Command`] and one in [`Command::run`]. It parses with clap, gives an exit code, and starts a runtime if
//! it needs one. `-h` is the host everywhere, as in Mosquitto's programs; help is `--help`.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory as _, Parser, Subcommand};

use crate::command_line::{
    self, Found, PublishArguments, RequestArguments, Stop, SubscribeArguments,
};
use crate::configuration::{Complaint, Configuration};
use crate::option::Program;
use crate::{bench, completions, passwd, publish, request, retained, say, subscribe};

/// The `mqtt` command.
#[derive(Debug, Parser)]
#[command(name = "mqtt", version, about, disable_help_flag = true)]
struct Mqtt {
    /// Print help
    #[arg(long, global = true, action = ArgAction::HelpLong)]
    help: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

/// What it does.
#[derive(Debug, Subcommand)]
enum Command {
    /// Publish messages
    Pub(PublishArguments),
    /// Subscribe, and print what arrives
    Sub(SubscribeArguments),
    /// Publish a request, and print the response
    #[command(visible_alias = "request")]
    Rr(RequestArguments),
    Retained(retained::Arguments),
    Passwd(passwd::Arguments),
    Completions(completions::Arguments),
    /// Measure a broker under load
    Bench(Box<bench::Arguments>),
}

impl Command {
    fn run(self) -> ExitCode {
        match self {
            Self::Pub(PublishArguments(found)) => run_native(Program::Publish, &found),
            Self::Sub(SubscribeArguments(found)) => run_native(Program::Subscribe, &found),
            Self::Rr(RequestArguments(found)) => run_native(Program::Request, &found),
            Self::Retained(arguments) => retained::run(&arguments),
            Self::Passwd(arguments) => passwd::run(&arguments),
            Self::Completions(arguments) => completions::run(&arguments),
            Self::Bench(arguments) => bench::run(*arguments),
        }
    }
}

/// Runs what `arguments` ask for; the first of them is the name of the program.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let (name, rest) = arguments
        .split_first()
        .map_or((OsStr::new("mqtt"), &[][..]), |(name, rest)| (name, rest));
    if Path::new(name).file_stem() == Some(OsStr::new("mosquitto_passwd")) {
        return passwd::run_as_mosquitto(rest);
    }
    match mosquitto_program(name) {
        Some(program) => run_mosquitto(program, rest),
        None => run_mqtt(arguments),
    }
}

/// The program of Mosquitto's that `name` calls.
fn mosquitto_program(name: &OsStr) -> Option<Program> {
    let name = Path::new(name).file_stem()?;
    [Program::Publish, Program::Subscribe, Program::Request]
        .into_iter()
        .find(|program| name == program.mosquitto_name())
}

fn run_mosquitto(program: Program, arguments: &[OsString]) -> ExitCode {
    let name = program.mosquitto_name();
    match command_line::read_mosquitto(program, arguments) {
        Ok(configuration) => run_program(&configuration),
        // Help and version fail as Mosquitto's do.
        Err(Stop::Help) => {
            // Nothing is left to say it to if this fails.
            let _ = command_line::mosquitto_help(program).print_help();
            ExitCode::FAILURE
        }
        Err(Stop::Version) => {
            say::out(format_args!(
                "{name} of mqtt {}.",
                env!("CARGO_PKG_VERSION")
            ));
            ExitCode::FAILURE
        }
        Err(Stop::Wrong(complaint)) => wrong_usage(&complaint, name),
    }
}

fn run_mqtt(arguments: &[OsString]) -> ExitCode {
    match Mqtt::try_parse_from(joined(arguments)) {
        Ok(program) => program.command.run(),
        Err(error) => {
            // Nothing is left to say it to if this fails.
            let _ = error.print();
            if error.use_stderr() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        }
    }
}

/// The arguments with each `-D` in one piece.
fn joined(arguments: &[OsString]) -> Vec<OsString> {
    let program = match arguments.get(1).and_then(|command| command.to_str()) {
        Some("pub") => Program::Publish,
        Some("sub") => Program::Subscribe,
        Some("rr" | "request") => Program::Request,
        Some(_) | None => return arguments.to_vec(),
    };
    let (name, rest) = arguments.split_at_checked(2).unwrap_or((arguments, &[]));
    [name, &command_line::join_properties(program, rest)].concat()
}

fn run_native(program: Program, found: &Found) -> ExitCode {
    let name = format!("mqtt {}", program.name());
    match found.configuration(program) {
        Ok(configuration) => run_program(&configuration),
        // Clap has taken both from the command line; in a file they are out of place.
        Err(Stop::Help | Stop::Version) => ExitCode::FAILURE,
        Err(Stop::Wrong(complaint)) => wrong_usage(&complaint, &name),
    }
}

fn run_program(configuration: &Configuration) -> ExitCode {
    match configuration.program {
        Program::Publish => publish::run(configuration),
        Program::Subscribe => subscribe::run(configuration),
        Program::Request => request::run(configuration),
        // It has read its arguments itself, and does not come here.
        Program::Retained => ExitCode::FAILURE,
    }
}

fn wrong_usage(complaint: &Complaint, name: &str) -> ExitCode {
    say::error(format_args!(
        "{complaint}\n\nUse '{name} --help' to see usage."
    ));
    ExitCode::FAILURE
}

/// The whole command line as clap knows it, for completions.
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "it is for what completes command lines")
)]
pub(crate) fn command() -> clap::Command {
    Mqtt::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_a_command_line_for_clap() {
        command().debug_assert();
    }

    #[test]
    fn the_name_decides() {
        for (name, program) in [
            ("/usr/bin/mosquitto_pub", Some(Program::Publish)),
            ("mosquitto_sub", Some(Program::Subscribe)),
            ("./mosquitto_rr", Some(Program::Request)),
            ("mosquitto_sub.exe", Some(Program::Subscribe)),
            ("mqtt", None),
            ("", None),
        ] {
            assert_eq!(mosquitto_program(OsStr::new(name)), program, "{name}");
        }
    }
}
