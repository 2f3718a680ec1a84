//! The command line.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::client::Reasons;
use crate::report::{Detail, Known, Report};
use crate::run::Run;
use crate::server::{Server, Store};
use crate::statements::Statements;
use crate::test::Need;
use crate::tests;

/// Asks any MQTT broker, statement by statement, whether it keeps to the standard.
#[derive(Debug, Parser)]
#[command(name = "mqtt-conformance", version, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the tests against a broker. Exits with 1 if one fails that is not known to.
    Run(RunArguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    subject: Subject,

    /// Where mqttd keeps its state.
    #[arg(
        long,
        value_name = "STORE",
        requires = "mqttd",
        default_value = "memory"
    )]
    store: Store,

    /// Only the tests with this in their names, such as subscribe.
    #[arg(short = 'k', long, value_name = "TEXT", default_value = "")]
    filter: String,

    /// Leave out the tests that take some ten seconds each.
    #[arg(long)]
    quick: bool,

    /// Fail also where a broker of 5.0 closes the connection without saying why, as it may.
    #[arg(long)]
    strict: bool,

    /// A line for each test.
    #[arg(short, long)]
    verbose: bool,

    /// What the report calls the broker.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,

    /// Tests that the broker is known to fail, and who is right: CSV of test, version, right, reason.
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,

    /// Write a report as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The broker under test.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// One that runs already. It should let everybody in, and its queues should have no bounds.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    broker: Option<SocketAddr>,

    /// The program mqttd, which is started for this.
    #[arg(long, value_name = "PROGRAM")]
    mqttd: Option<PathBuf>,

    /// The program mosquitto, which is started for this.
    #[arg(long, value_name = "PROGRAM")]
    mosquitto: Option<PathBuf>,
}

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Run(arguments) => run(&arguments),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "mqtt-conformance: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &RunArguments) -> Result<ExitCode, String> {
    let statements = Statements::load();
    let known = match &arguments.known {
        Some(path) => read_known(path)?,
        None => Vec::new(),
    };
    let subject = &arguments.subject;
    let server = match (&subject.mqttd, &subject.mosquitto) {
        (Some(program), _) => Some(Server::mqttd(program, arguments.store)?),
        (None, Some(program)) => Some(Server::mosquitto(program)?),
        (None, None) => None,
    };
    let address = subject
        .broker
        .or(server.as_ref().map(|server| server.address));
    let address = address.ok_or("no broker")?;
    let mut has = Vec::new();
    if !arguments.quick {
        has.push(Need::Patience);
    }
    let run = Run {
        address,
        reasons: if arguments.strict {
            Reasons::Required
        } else {
            Reasons::Optional
        },
        has: &has,
        filter: &arguments.filter,
    };
    let report = Report {
        broker: arguments
            .name
            .clone()
            .unwrap_or_else(|| address.to_string()),
        outcomes: run.all(&tests::all()),
        known,
    };
    let detail = if arguments.verbose {
        Detail::Tests
    } else {
        Detail::Sections
    };
    if let Some(path) = &arguments.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        fs::write(path, json + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
    }
    // A reader that wants no more, such as `head`, is no error.
    let _ = std::io::stdout().write_all(report.text(&statements, detail).as_bytes());
    Ok(if report.is_as_expected() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read_known(path: &Path) -> Result<Vec<Known>, String> {
    let at = |error: csv::Error| format!("{}: {error}", path.display());
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_path(path)
        .map_err(at)?;
    reader.deserialize().collect::<Result<_, _>>().map_err(at)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text.to_socket_addrs().map_err(|error| error.to_string())?;
    addresses.next().ok_or_else(|| "no such host".to_owned())
}
