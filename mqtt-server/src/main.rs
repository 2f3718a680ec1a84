//! `mqttd`: a broker with its listeners, its log, and its end.

mod cli;
mod listen;
mod memory;
mod open_files;
mod replace;
mod snapshot;
mod store;
#[cfg(feature = "rocksdb")]
mod store_command;
mod store_file;
mod walk;
mod websocket;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use mqtt_broker_core::{Broker, Engine, Limits, Listener};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use crate::cli::Arguments;
#[cfg(feature = "rocksdb")]
use crate::cli::Command;
use crate::snapshot::Snapshot;
use crate::websocket::WebSocketListener;

/// How long clients get to take what was sent to them when the server ends.
const DRAIN: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments = match cli::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(arguments.log)
        .with_target(false)
        .init();
    let threads = threads(&arguments);
    let mut runtime = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = match runtime.worker_threads(threads).enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => {
            error!("cannot start: {cause}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        #[cfg(feature = "rocksdb")]
        if let Some(Command::Store(command)) = &arguments.command {
            return store_command::run(command).await;
        }
        run(&arguments, threads).await
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            error!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// How many threads handle connections.
fn threads(arguments: &Arguments) -> usize {
    let wanted = arguments.threads.map(usize::from);
    let there_are = || std::thread::available_parallelism().map_or(1, usize::from);
    wanted.unwrap_or_else(there_are).min(Engine::SHARDS_MAX)
}

/// Runs the server until it is told to end. An error is one line for the person who started it.
async fn run(arguments: &Arguments, threads: usize) -> Result<(), String> {
    let mut terminate = signal(SignalKind::terminate())
        .map_err(|cause| format!("cannot handle signals: {cause}"))?;
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|cause| format!("cannot handle signals: {cause}"))?;
    open_files::raise_limit();
    // All are bound first: a wanted listener that fails fails the start. Nobody gets through to one
    // before the sessions are restored, so that no message misses them.
    let bound = listen::bind_all(&arguments.listen)?;
    let bound_websockets = listen::bind_all(&arguments.websocket)?;
    let store = store::open(arguments)?;
    let snapshot = match &arguments.snapshot {
        Some(file) => Some(Snapshot::open(file, &*store).await?),
        None => None,
    };
    let limits = Limits {
        memory_bytes_max: memory::budget(arguments.max_memory),
        ..Limits::default()
    };
    let broker = Broker::builder(store.clone())
        .limits(limits)
        .shards(threads)
        .build()
        .await
        .map_err(|cause| cause.to_string())?;
    let (sessions, retained) = (broker.sessions(), broker.retained());
    if sessions + retained > 0 {
        info!("restored, sessions: {sessions}, retained messages: {retained}");
    }
    tokio::spawn(memory::watch(broker.clone()));
    for listener in listen::listen_all(bound)? {
        let address = listener.address();
        info!("listening on {address}");
        tokio::spawn(serve(broker.clone(), listener, address));
    }
    for listener in listen::listen_all(bound_websockets)? {
        let address = listener.address();
        info!("listening for WebSockets on {address}");
        tokio::spawn(serve(broker.clone(), WebSocketListener(listener), address));
    }
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: shutting down"),
        _ = interrupt.recv() => info!("SIGINT: shutting down"),
        cause = broker.failed() => return Err(cause.to_string()),
    }
    let ended = tokio::select! {
        ended = broker.shutdown(DRAIN) => ended.map_err(|cause| cause.to_string()),
        _ = terminate.recv() => Err("SIGTERM again: not waiting for clients".to_owned()),
        _ = interrupt.recv() => Err("SIGINT again: not waiting for clients".to_owned()),
    };
    // Whoever is in a hurry wants no clients to be waited for, and still wants the state.
    if let Some(snapshot) = snapshot {
        snapshot.save(&*store).await?;
    }
    ended
}

async fn serve(broker: Broker, listener: impl Listener, address: SocketAddr) {
    if let Err(cause) = broker.serve(listener).await {
        warn!("no longer listening on {address}: {cause}");
    }
}
