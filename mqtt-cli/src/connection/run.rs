//! The life of a program: a runtime, a connection, signals, and a DISCONNECT at the end.

use std::process::ExitCode;
use std::time::Duration;

use mqtt_client::{Client, Error, Property, State, Version};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, builder, password, version};
use crate::configuration::{Complaint, Configuration};
use crate::trace::Trace;

/// Runs a program to its end, and says what has gone wrong.
///
/// The client has a thread of its own, for this one may be stopped by a pipe that nobody reads.
pub(crate) fn run(
    configuration: &Configuration,
    program: impl Future<Output = Result<(), Failure>>,
) -> ExitCode {
    if let Err(failure) = password::ask(configuration) {
        return failure.say(configuration);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(cause) => return Failure::new(format!("Error: {cause}."), 1).say(configuration),
    };
    let result = runtime.block_on(program);
    // What still waits for a name or for standard input is not waited for.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.say(configuration),
    }
}

/// Connects as the options say.
pub(crate) async fn connect(
    configuration: &Configuration,
    trace: &Trace,
) -> Result<Client, Failure> {
    let builder = builder(configuration).map_err(|Complaint(line)| Failure::new(line, 1))?;
    trace.connect();
    let client = builder
        .connect()
        .await
        .map_err(|error| Failure::of(&error, configuration))?;
    trace.connected(&client);
    Ok(client)
}

/// What becomes of the will when the client disconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WillAtEnd {
    Discarded,
    /// Before 5.0 a server cannot be asked for that.
    Published,
}

/// Disconnects when all that was accepted is delivered, or `drain` is over.
pub(crate) async fn disconnect(
    configuration: &Configuration,
    client: &Client,
    trace: &Trace,
    drain: Duration,
    will: WillAtEnd,
) -> Result<(), Failure> {
    let properties = &configuration.properties.disconnect;
    let rest =
        properties.without(|property| matches!(property, Property::SessionExpiryInterval(_)));
    let mut disconnect = client.disconnect().drain(drain).properties(rest);
    if let Some(seconds) = properties.session_expiry_interval() {
        disconnect = disconnect.session_expiry(Duration::from_secs(seconds.into()));
    }
    if will == WillAtEnd::Published && version(configuration) == Version::V5 {
        disconnect = disconnect.with_will();
    }
    trace.disconnect();
    let report = disconnect
        .await
        .map_err(|error| Failure::of(&error, configuration))?;
    match report.undelivered.len() {
        0 => Ok(()),
        count => Err(Failure::new(
            format!("Error: {count} messages were not delivered."),
            1,
        )),
    }
}

/// Waits until there is no connection any more, and says why.
pub(crate) async fn lost(configuration: &Configuration, client: &Client) -> Failure {
    let mut states = client.state();
    let mut state = states.now();
    loop {
        match state {
            State::Connected(_) => state = states.changed().await,
            State::Connecting { last_error, .. } => {
                return Failure::lost(last_error.as_ref(), configuration);
            }
            State::Ended(ended) => return Failure::of(&Error::Ended(ended), configuration),
        }
    }
}

/// SIGINT and SIGTERM, from now on.
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// From now on they do not end the process any more.
    pub(crate) fn new() -> Result<Self, Failure> {
        let failed = |cause| Failure::new(format!("Error: {cause}."), 1);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    /// Waits for one. Cancel safe.
    pub(crate) async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        }
    }
}
