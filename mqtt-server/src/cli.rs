//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
#[cfg(feature = "rocksdb")]
use clap::Subcommand;
use clap::error::ErrorKind;
use tracing::level_filters::LevelFilter;

/// A small and fast MQTT server for 3.1, 3.1.1 and 5.0.
#[derive(Debug, Parser)]
#[command(name = "mqttd", version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// What to do instead of serving.
    #[cfg(feature = "rocksdb")]
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Address to listen on for MQTT over TCP; may be given several times. Port 0: any free port.
    ///
    /// Everybody who can reach the address may connect, publish and subscribe.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883", value_parser = address)]
    pub(crate) listen: Vec<String>,

    /// Address to listen on for MQTT over WebSockets; may be given several times.
    ///
    /// There is none by default. Any path will do, as in ws://HOST:PORT/mqtt.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub(crate) websocket: Vec<String>,

    /// Directory for sessions, queues and retained messages. It is made if it is not there.
    ///
    /// Without it, all is kept in memory and ends with the server; or see --snapshot.
    #[cfg(feature = "rocksdb")]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// What all that has been acknowledged survives.
    #[cfg(feature = "rocksdb")]
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "disk",
        requires = "data_dir"
    )]
    pub(crate) durability: Level,

    /// File that keeps the state in memory from a clean end to the next start.
    ///
    /// It is read at the start, if it is there, and saved when SIGTERM or SIGINT ends the server.
    ///
    /// A crash loses all changes since the start.
    #[arg(long, value_name = "FILE")]
    #[cfg_attr(feature = "rocksdb", arg(conflicts_with = "data_dir"))]
    pub(crate) snapshot: Option<PathBuf>,

    /// Threads that handle connections, from 1 to 64; by default one for each processor.
    ///
    /// All of them keep one order for each topic. With one, a message costs the least.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: Option<u8>,

    /// Bytes of memory for all that waits, such as 512M or 2G; by default 3/4 of what there is.
    ///
    /// When it runs short, clients with a backlog lose messages, and others do not notice.
    ///
    /// The program itself and the cache of the data directory come on top.
    #[arg(long, value_name = "BYTES", value_parser = crate::memory::parse)]
    pub(crate) max_memory: Option<u64>,

    /// How much to log to stderr: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info", global = true)]
    pub(crate) log: LevelFilter,
}

/// What an acknowledged message survives.
#[cfg(feature = "rocksdb")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Level {
    /// The end of the process, also by kill -9
    Process,
    /// The loss of power: the disk is synced before each batch of acknowledgements
    Disk,
}

/// What `mqttd` does instead of serving.
#[cfg(feature = "rocksdb")]
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copies, fills or examines the data directory of a server that does not run.
    #[command(
        subcommand,
        subcommand_required = true,
        arg_required_else_help = false,
        disable_help_subcommand = true
    )]
    Store(StoreCommand),
}

/// What is done with a data directory.
#[cfg(feature = "rocksdb")]
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Writes all sessions and retained messages as lines of JSON.
    Export {
        /// The data directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Where to; standard output if it is not given.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Tells how much there is.
    Stats {
        /// The data directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Reads all, and looks whether it is sound. Changes nothing.
    ///
    /// Exits with 1 if something is damaged, and prints what it is.
    Check {
        /// The data directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Fills a new data directory with what export, or a server with --snapshot, has written.
    Import {
        /// The data directory. It is made if it is not there.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Where from; standard input if it is not given.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// The arguments of this process; or, after help, version or one line about what is wrong with
/// them, the code to exit with.
pub(crate) fn parse() -> Result<Arguments, ExitCode> {
    Arguments::try_parse().map_err(|error| {
        if matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
        ) {
            // Who closes our stdout has read enough.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        complain(&first_paragraph(&error.to_string()));
        ExitCode::from(2)
    })
}

/// What is wrong; what follows is advice and the usage. Names of what is missing are on lines of
/// their own.
fn first_paragraph(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

#[allow(clippy::print_stderr, reason = "there is no log yet")]
fn complain(line: &str) {
    eprintln!(
        "mqttd: {} (see mqttd --help)",
        line.trim_start_matches("error: ")
    );
}

/// Checks the form of an address; whether it exists shows when it is bound.
fn address(text: &str) -> Result<String, String> {
    let form = "expected HOST:PORT, for example 127.0.0.1:1883 or [::1]:1883";
    let (host, port) = text.rsplit_once(':').ok_or(form)?;
    let bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    if host.is_empty() || bare_ipv6 || port.parse::<u16>().is_err() {
        return Err(form.to_owned());
    }
    Ok(text.to_owned())
}
