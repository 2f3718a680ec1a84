//! `mqtt retained`: the retained messages of a server, listed, removed, saved and brought back.

mod clear;
mod collect;
mod export;
mod import;
mod list;
mod publish;
mod record;

use std::fmt::Display;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use mqtt_client::{Client, Error, TopicFilter};

use self::collect::{Collection, End, Problem, Summary};
use crate::command_line::{RetainedArguments, Stop};
use crate::configuration::{Complaint, Configuration};
use crate::connection::{self, Failure};
use crate::option::Program;
use crate::say;

/// How long the DISCONNECT may take.
const DRAIN: Duration = Duration::from_secs(5);
/// How many messages are published and not acknowledged at a time, if the server takes so many.
const IN_FLIGHT_MAX: u16 = 1000;

const HELP: &str = "\
Examples:

    mqtt retained ls -t 'homeassistant/#'             what is retained there
    mqtt retained clear -t 'old/#' --dry-run          what would be removed
    mqtt retained export > backup.jsonl               all that is retained
    mqtt retained import mqtt://new < backup.jsonl    to another server

Without -t it is all but the topics that begin with $; only `clear` must be told.
The options that say which server are those of `mqtt sub`, and the environment's and
the options file's.

Exit codes: 0 done; 1 not, or not all of it; a server that refuses the connection gives
the code of its CONNACK.";

const FORMAT_HELP: &str = "\
The format is the one of `mqttd store export`, lines of JSON:

    {\"format\":\"mqtt-store\",\"version\":1}
    {\"retained\":{\"topic\":\"t\",\"qos\":1,\"retain\":true,\"payload\":\"hi\"}}
    {\"end\":{\"sessions\":0,\"subscriptions\":0,\"received\":0,\"deliveries\":0,\"retained\":1}}

`retained` may have `expires_ms` (milliseconds since 1970), and `properties` such as
[{\"content_type\":\"text/plain\"},{\"user_property\":[\"name\",\"value\"]}]. A payload that is
no text is in `payload_base64`. The last line tells a whole file from one that was cut off.
`mqttd store import` takes the file, too, and `mqtt retained import` what
`mqttd store export` has written: of that, the retained messages.";

/// The arguments of `mqtt retained`.
#[derive(Debug, Args)]
#[command(
    about = "List, remove, save and bring back retained messages",
    after_help = HELP,
    after_long_help = HELP,
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

/// What is done with them.
#[derive(Debug, Subcommand)]
enum Action {
    /// List the topics that have a retained message
    Ls(LsArguments),
    /// Remove retained messages
    Clear(ClearArguments),
    /// Write retained messages to standard output, as lines of JSON
    #[command(after_help = FORMAT_HELP, after_long_help = FORMAT_HELP)]
    Export(ExportArguments),
    /// Publish what `export` has written, from standard input
    #[command(after_help = FORMAT_HELP, after_long_help = FORMAT_HELP)]
    Import(ImportArguments),
}

#[derive(Debug, Args)]
struct LsArguments {
    /// Print bytes, QoS, seconds until it expires or a hyphen, and topic
    #[arg(short = 'v', long)]
    long: bool,
    /// Print lines of JSON: topic, qos, bytes, and expires_ms in milliseconds since 1970
    #[arg(long, conflicts_with = "long")]
    json: bool,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    connection: RetainedArguments,
}

#[derive(Debug, Args)]
struct ClearArguments {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Print the topics, and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    connection: RetainedArguments,
}

#[derive(Debug, Args)]
struct ExportArguments {
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    connection: RetainedArguments,
}

#[derive(Debug, Args)]
struct ImportArguments {
    /// Check the file, and publish nothing; no server is needed
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    connection: RetainedArguments,
}

/// When there is nothing more to wait for.
#[derive(Clone, Copy, Debug, Args)]
struct Wait {
    /// Seconds of silence that end it where the server does not let a marker through
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    wait: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    // A timer has limits, too.
    if !(0.0..=86_400.0).contains(&seconds) {
        return Err("expected 0 to 86400 seconds".to_owned());
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Does what `arguments` ask for.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let action = &arguments.action;
    let RetainedArguments(found) = action.connection();
    let name = format!("mqtt retained {}", action.name());
    let configuration = match found.configuration(Program::Retained) {
        Ok(configuration) => configuration,
        // Clap has taken both from the command line; in a file they are out of place.
        Err(Stop::Help | Stop::Version) => return ExitCode::FAILURE,
        Err(Stop::Wrong(complaint)) => return wrong_usage(&complaint, &name),
    };
    match action.check(&configuration) {
        Ok(()) => connection::run(&configuration, action.run(&configuration)),
        Err(complaint) => wrong_usage(&complaint, &name),
    }
}

fn wrong_usage(complaint: &Complaint, name: &str) -> ExitCode {
    say::error(format_args!(
        "{complaint}\n\nUse '{name} --help' to see usage."
    ));
    ExitCode::FAILURE
}

impl Action {
    const fn name(&self) -> &'static str {
        match self {
            Self::Ls(_) => "ls",
            Self::Clear(_) => "clear",
            Self::Export(_) => "export",
            Self::Import(_) => "import",
        }
    }

    const fn connection(&self) -> &RetainedArguments {
        match self {
            Self::Ls(arguments) => &arguments.connection,
            Self::Clear(arguments) => &arguments.connection,
            Self::Export(arguments) => &arguments.connection,
            Self::Import(arguments) => &arguments.connection,
        }
    }

    /// Complains before there is a connection.
    fn check(&self, configuration: &Configuration) -> Result<(), Complaint> {
        let topics = &configuration.topics;
        let wrong = match self {
            Self::Clear(_) if topics.is_empty() => {
                "Say what to remove: -t FILTER, where '#' is all."
            }
            Self::Clear(arguments) if !arguments.yes && !arguments.dry_run && !clear::can_ask() => {
                "Nothing is removed without being asked, and there is no terminal to ask on: give --yes, or --dry-run."
            }
            Self::Import(_) if !topics.is_empty() => {
                "All of the file is imported: -t is not for that."
            }
            Self::Import(_) if io::stdin().is_terminal() => {
                "The file is standard input: mqtt retained import < FILE"
            }
            Self::Ls(_) | Self::Clear(_) | Self::Export(_) | Self::Import(_) => return Ok(()),
        };
        Err(Complaint(format!("Error: {wrong}")))
    }

    async fn run(&self, configuration: &Configuration) -> Result<(), Failure> {
        match self {
            Self::Ls(arguments) => {
                let server = Server::connect(configuration, arguments.wait).await?;
                let style = list::Style::new(arguments);
                server.watch(list::run(&server, style)).await?;
                server.disconnect().await
            }
            Self::Clear(arguments) => {
                let server = Server::connect(configuration, arguments.wait).await?;
                server
                    .watch(clear::run(&server, clear::Manner::new(arguments)))
                    .await?;
                server.disconnect().await
            }
            Self::Export(arguments) => {
                let server = Server::connect(configuration, arguments.wait).await?;
                server.watch(export::run(&server)).await?;
                server.disconnect().await
            }
            Self::Import(arguments) if arguments.dry_run => import::check(),
            Self::Import(_) => {
                let wait = Duration::ZERO;
                let server = Server::connect(configuration, Wait { wait }).await?;
                server.watch(import::run(&server)).await?;
                server.disconnect().await
            }
        }
    }
}

/// A server that is connected to, and what is wanted of it.
struct Server<'a> {
    configuration: &'a Configuration,
    client: Client,
    filters: Vec<TopicFilter>,
    silence: Duration,
}

impl<'a> Server<'a> {
    async fn connect(configuration: &'a Configuration, wait: Wait) -> Result<Self, Failure> {
        let builder = connection::builder(configuration)
            .map_err(|Complaint(line)| Failure::new(line, 1))?
            // Servers drop what is retained beyond that and some queue of theirs.
            .receive_maximum(u16::MAX)
            .in_flight_max(IN_FLIGHT_MAX);
        let failed = |error| Failure::of(&error, configuration);
        let client = builder.connect().await.map_err(failed)?;
        let topics = configuration.topics.iter().map(String::as_str);
        let all = configuration.topics.is_empty().then_some("#");
        let filters: Result<_, _> = topics.chain(all).map(TopicFilter::from_text).collect();
        Ok(Self {
            configuration,
            client,
            filters: filters.map_err(|error| failed(Error::Invalid(error)))?,
            silence: wait.wait,
        })
    }

    fn collection(&self) -> Collection<'_> {
        Collection {
            client: &self.client,
            filters: &self.filters,
            silence: self.silence,
        }
    }

    /// Does `work`, unless the connection is lost meanwhile: nobody could say what is missing then.
    async fn watch(&self, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
        tokio::select! {
            biased;
            result = work => result,
            failure = connection::lost(self.configuration, &self.client) => Err(failure),
        }
    }

    async fn disconnect(&self) -> Result<(), Failure> {
        let report = self.client.disconnect().drain(DRAIN).await;
        report
            .map(drop)
            .map_err(|error| Failure::of(&error, self.configuration))
    }

    fn failure(&self, problem: Problem) -> Failure {
        match problem {
            Problem::Client(error) => Failure::of(&error, self.configuration),
            Problem::Refused { .. } | Problem::Output(_) | Problem::Random(_) => failure(problem),
        }
    }

    /// Says what is not certain about a collection.
    fn caution(&self, summary: Summary) {
        if summary.end == End::Silence {
            say::error(format_args!(
                "Warning: the server let no marker through, so this ended after {} s of silence: there may be more (--wait).",
                self.silence.as_secs_f64()
            ));
        }
        if summary.qos_unknown > 0 {
            say::error(format_args!(
                "Warning: of {} messages the server told no QoS, since they were more than it queues: taken for QoS 1.",
                summary.qos_unknown
            ));
        }
    }
}

fn failure(problem: impl Display) -> Failure {
    Failure::new(format!("Error: {problem}."), 1)
}

/// Whoever reads standard output may have seen enough, as `head` has.
fn unless_closed(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            Err(failure(format_args!("cannot write: {cause}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
