//! Which program this is: the subcommands of `mqtt`, and the name that it was called by.
//!
//! A subcommand is one line in [`Command`] and one in [`Command::run`]. It parses with clap, gives an exit code, and starts a runtime if
//! it needs one. `-h` is the host everywhere, as in Mosquitto's programs; help is `--help`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory as _, Parser, Subcommand};

use crate::{publish, request, subscribe};

/// The `mqtt` command.
#[derive(Debug, Parser)]
#[command(
    name = "mqtt",
    version,
    about,
    disable_help_flag = true,
    propagate_version = false
)]
struct Program {
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
    Pub(publish::Arguments),
    /// Subscribe, and print what arrives
    Sub(subscribe::Arguments),
    /// Publish a request and print the response
    #[command(visible_alias = "request")]
    Rr(request::Arguments),
}

impl Command {
    fn run(self) -> ExitCode {
        match self {
            Self::Pub(arguments) => publish::run(arguments),
            Self::Sub(arguments) => subscribe::run(arguments),
            Self::Rr(arguments) => request::run(arguments),
        }
    }
}

/// Runs what `arguments` ask for; the first of them is the name of the program.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    match Program::try_parse_from(arguments) {
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

/// The whole command line as clap knows it, for completions.
#[expect(dead_code, reason = "completions call it")]
pub(crate) fn command() -> clap::Command {
    Program::command()
}
