//! The command line.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::client::Reasons;
use crate::code::Code;
use crate::differential::Differential;
use crate::document::Document;
use crate::embedded::Embedded;
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
    /// Plays random scripts on mqttd and on Mosquitto. Exits with 1 if subscribers see a difference.
    Compare(CompareArguments),
    /// Makes the page of all statements from reports. Exits with 1 if something is missing in it.
    Document(DocumentArguments),
}

#[derive(Debug, Args)]
struct CompareArguments {
    /// The program mqttd.
    #[arg(long, value_name = "PROGRAM")]
    mqttd: PathBuf,

    /// The program mosquitto.
    #[arg(long, value_name = "PROGRAM")]
    mosquitto: PathBuf,

    /// How many scripts to play.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    seeds: u64,

    /// The seed of the first one.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    first: u64,
}

#[derive(Debug, Args)]
struct DocumentArguments {
    /// Reports of the runs that must pass, as JSON.
    #[arg(value_name = "REPORT", required = true)]
    reports: Vec<PathBuf>,

    /// The report of the client's tests, as JSON.
    #[arg(long, value_name = "REPORT")]
    client: PathBuf,

    /// Where the sources are.
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,

    /// What is known of another broker, as for run; its name is that of the file.
    #[arg(long, value_name = "FILE")]
    known: Vec<PathBuf>,

    /// The page to write.
    #[arg(long, value_name = "FILE", default_value = "docs/conformance.md")]
    page: PathBuf,

    /// Write nothing, but fail if the page is not as it would be written.
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    subject: Subject,

    /// Where the broker that runs already listens for WebSockets.
    #[arg(long, value_name = "HOST:PORT", value_parser = address, requires = "broker")]
    websocket: Option<SocketAddr>,

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

    /// The broker within this program, which has users, permissions and an authentication method.
    #[arg(long)]
    embedded: bool,
}

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Run(arguments) => run(&arguments),
        Command::Compare(arguments) => compare(&arguments),
        Command::Document(arguments) => document(&arguments),
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
    let embedded = subject.embedded.then(Embedded::start).transpose()?;
    let address = subject
        .broker
        .or(server.as_ref().map(|server| server.address))
        .or(embedded.as_ref().map(|embedded| embedded.address));
    let address = address.ok_or("no broker")?;
    let websocket = arguments
        .websocket
        .or(server.as_ref().map(|server| server.websocket));
    let mut has = Vec::new();
    if !arguments.quick {
        has.push(Need::Patience);
    }
    if embedded.is_some() {
        has.push(Need::Authority);
    }
    let run = Run {
        address,
        websocket,
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
        Detail::Chapters
    };
    if let Some(path) = &arguments.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        write(path, &(json + "\n"))?;
    }
    // A reader that wants no more, such as `head`, is no error.
    let _ = std::io::stdout().write_all(report.text(&statements, detail).as_bytes());
    Ok(if report.is_as_expected() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn compare(arguments: &CompareArguments) -> Result<ExitCode, String> {
    let ours = Server::mqttd(&arguments.mqttd, Store::Memory)?;
    let theirs = Server::mosquitto(&arguments.mosquitto)?;
    let differential = Differential {
        ours: ours.address,
        theirs: theirs.address,
    };
    let comparison = differential.compare(arguments.first..arguments.first + arguments.seeds);
    let mut out = std::io::stdout();
    for difference in &comparison.differences {
        let _ = writeln!(out, "{difference}");
    }
    let _ = writeln!(
        out,
        "{} scripts, {} steps, {} messages, {} differences",
        comparison.scripts,
        comparison.steps,
        comparison.messages,
        comparison.differences.len()
    );
    Ok(if comparison.differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn document(arguments: &DocumentArguments) -> Result<ExitCode, String> {
    let reports: Vec<Report> = arguments
        .reports
        .iter()
        .map(|path| read_report(path))
        .collect::<Result<_, _>>()?;
    let mut others = Vec::new();
    for path in &arguments.known {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        others.push((name.replace('-', " "), read_known(path)?));
    }
    let document = Document {
        statements: &Statements::load(),
        code: &Code::read(&arguments.root)?,
        reports: &reports,
        client: &read_report(&arguments.client)?,
        others: &others,
    };
    let mut problems = document.problems();
    let text = document.text();
    let page = &arguments.page;
    if !arguments.check {
        write(page, &text)?;
    } else if read(page).unwrap_or_default() != text {
        problems.push(format!(
            "{} is out of date: make conformance",
            page.display()
        ));
    }
    for problem in &problems {
        let _ = writeln!(std::io::stderr(), "{problem}");
    }
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn read_report(path: &Path) -> Result<Report, String> {
    serde_json::from_str(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
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
