//! `mqtt passwd`, and `mosquitto_passwd` that it stands in for: the same command lines to both, and
//! each one's files to the other.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop at what it did not expect"
)]

#[path = "passwd/broker.rs"]
mod broker;
#[path = "passwd/directory.rs"]
mod directory;
#[path = "passwd/native.rs"]
mod native;
#[path = "passwd/prompt.rs"]
mod prompt;
#[path = "passwd/same.rs"]
mod same;
#[expect(dead_code, reason = "shown prompts are those of other programs")]
mod terminal;

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Which program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    /// Debian's.
    Mosquitto,
    /// Ours, by the name of that one.
    StandIn,
    /// `mqtt passwd`.
    Native,
}

impl Program {
    fn command(self) -> Command {
        match self {
            Self::Mosquitto => Command::new("mosquitto_passwd"),
            Self::StandIn => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt"));
                command.arg0("mosquitto_passwd");
                command
            }
            Self::Native => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt"));
                command.arg("passwd");
                command
            }
        }
    }

    /// Runs it in `directory`, where standard input is no terminal.
    fn run(self, directory: &Path, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command();
        command.current_dir(directory).args(arguments);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may end before it has read anything.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }
}

/// Whether Mosquitto's program is there; says so loudly if not.
fn mosquitto_is_there() -> bool {
    let found = Command::new("mosquitto_passwd").output().is_ok();
    if !found {
        println!("SKIPPED: mosquitto_passwd is not installed (Debian: apt-get install mosquitto)");
    }
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
