//! `mqtt`: publish, subscribe and ask from the command line. Called by the name of one of Mosquitto's programs it is that program.

mod bench;
mod command_line;
mod completions;
mod configuration;
mod connection;
mod content;
mod format;
mod json;
mod option;
mod output;
mod passwd;
mod program;
mod property;
mod publish;
mod request;
mod retained;
mod say;
mod strftime;
mod subscribe;
mod trace;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    program::run(&arguments)
}
