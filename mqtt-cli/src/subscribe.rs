//! The options come with the client.

use std::process::ExitCode;

/// What follows the subcommand.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// Runs the subcommand.
pub(crate) fn run(_arguments: Arguments) -> ExitCode {
    ExitCode::FAILURE
}
