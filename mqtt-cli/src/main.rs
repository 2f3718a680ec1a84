//! `mqtt`: publish, subscribe and ask from the command line. Called by the name of one of Mosquitto's programs it is that program.

mod program;
mod publish;
mod request;
mod subscribe;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::run(std::env::args_os().collect())
}
