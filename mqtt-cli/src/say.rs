//! What is said beside the payloads: a line at a time.

use std::fmt;
use std::io::{self, Write as _};

/// Writes a line to standard output.
pub(crate) fn out(line: fmt::Arguments<'_>) {
    // Nothing is left to say it to if this fails.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes a line to standard error.
pub(crate) fn error(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}
