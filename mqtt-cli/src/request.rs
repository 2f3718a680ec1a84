//! In the making.
use crate::configuration::Configuration;
use std::process::ExitCode;
pub(crate) fn run(configuration: Configuration) -> ExitCode {
    crate::say::out(format_args!("{configuration:?}"));
    ExitCode::FAILURE
}
