//! `mqtt bench`: measures a broker under load.
//!
//! It is to be so cheap that the broker is the limit, so it goes without the client library: packets are encoded once and then
//! patched, one read and one write carry many of them, and nothing is allocated for a message. Each thread has a runtime, its
//! connections and its counters of its own; this file and what connects, measures and reports run beside them.

mod acknowledge;
mod clock;
mod connect;
mod connections;
mod flow;
mod html;
mod live;
mod messaging;
mod meter;
mod options;
mod order;
mod pace;
mod plan;
mod plot;
mod process;
mod publisher;
mod report;
mod retained;
mod scenario;
mod sequence;
mod session;
mod stamp;
mod subscriber;
mod subscriptions;
mod tally;
mod target;
mod text;
mod usage;
mod wire;
mod worker;

use std::fs;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use self::live::Live;
use self::meter::{Course, Meter};
pub(crate) use self::options::Arguments;
use self::options::{Options, Scenario};
use self::report::Report;
use self::target::{Place, Target};
use self::text::Text;
use self::worker::Worker;

/// No run could be made.
const NO_RUN: u8 = 2;
/// How long the broker may take for any one answer before the run.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a packet around its payload: the topic, properties, and room for what a broker adds.
const AROUND_PAYLOAD: usize = 256 * 1024;

/// Files that are open besides the connections.
const OTHER_FILES: u64 = 64;

/// What all parts of a run have in common.
struct Bench {
    options: Options,
    target: Arc<Target>,
    workers: Vec<Worker>,
    interrupt: Arc<Interrupt>,
    live: Live,
}

/// Whether the run is to end before its time.
#[derive(Debug, Default)]
struct Interrupt {
    set: AtomicBool,
    notify: Notify,
}

impl Interrupt {
    fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }

    fn set(&self) {
        self.set.store(true, Ordering::Relaxed);
        self.notify.notify_waiters();
    }

    /// Ends when it is set. Cancel-safe.
    async fn wait(&self) {
        let notified = self.notify.notified();
        if !self.is_set() {
            notified.await;
        }
    }
}

/// Runs `mqtt bench`.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let options = match arguments.resolve(fastrand::u16(..)) {
        Ok(options) => options,
        Err(problem) => {
            complain(&problem);
            return ExitCode::FAILURE;
        }
    };
    match measure(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            complain(&problem);
            ExitCode::from(NO_RUN)
        }
    }
}

/// One line for the person who called; nothing is left to say it to if it fails.
fn complain(problem: &str) {
    let _ = writeln!(std::io::stderr(), "mqtt bench: {problem}");
}

/// Makes the run and its report; true if all was well.
fn measure(options: &Options) -> Result<bool, String> {
    raise_open_files(options)?;
    if let Some(file) = &options.html {
        // Before the run, which may be long.
        fs::File::create(file).map_err(|cause| format!("{}: {cause}", file.display()))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| format!("cannot start: {cause}"))?;
    let report = runtime.block_on(bench(options.clone()))?;
    if let Some(file) = &options.html {
        fs::write(file, html::page(&report))
            .map_err(|cause| format!("{}: {cause}", file.display()))?;
    }
    let text = if options.json {
        let document = serde_json::to_string_pretty(&report);
        document.map_err(|cause| format!("cannot write JSON: {cause}"))? + "\n"
    } else {
        Text(&report).to_string()
    };
    // Who closes stdout has read enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(report.ok)
}

async fn bench(options: Options) -> Result<Report, String> {
    let interrupt = Arc::new(Interrupt::default());
    tokio::spawn(watch(interrupt.clone()));
    let target = Arc::new(target(&options).await?);
    let workers = (0..options.threads)
        .map(Worker::start)
        .collect::<Result<Vec<Worker>, String>>()?;
    let meter = Meter::new(options.pid, &workers)?;
    let empty = meter.read();
    let course = Course::new(meter, &workers, empty);
    let length = options
        .limit
        .is_none()
        .then(|| options.warm_up + options.duration);
    let bench = Bench {
        live: Live::new(options.quiet, options.scenario, length),
        options,
        target,
        workers,
        interrupt,
    };
    let options = &bench.options;
    let report = match options.scenario {
        Scenario::Connections => {
            Report::of_connections(options, connections::run(&bench, course).await)
        }
        Scenario::Retained => {
            let (findings, replay) = retained::run(&bench, course).await?;
            Report::of_messages(options, findings, Some(&replay))
        }
        Scenario::FanIn | Scenario::FanOut | Scenario::Pairs | Scenario::Shared => {
            Report::of_messages(options, messaging::run(&bench, course).await?, None)
        }
    };
    bench.live.end();
    Ok(report)
}

/// Ctrl-C ends the measurement, and the report is of what came before. A second one ends the program.
async fn watch(interrupt: Arc<Interrupt>) {
    while tokio::signal::ctrl_c().await.is_ok() {
        if interrupt.is_set() {
            std::process::exit(130);
        }
        interrupt.set();
    }
}

async fn target(options: &Options) -> Result<Target, String> {
    let place = Place::find(&options.broker, options.tls.clone()).await?;
    Ok(Target {
        place,
        version: options.version,
        user_name: options.username.clone(),
        password: options.password.clone(),
        keep_alive: options.keep_alive,
        patience: PATIENCE,
        packet_bytes_max: options.payload_bytes + AROUND_PAYLOAD,
    })
}

/// Each connection is an open file: as many as may be without privileges, and enough.
fn raise_open_files(options: &Options) -> Result<(), String> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What cannot be had shows below.
    let _ = setrlimit(Resource::Nofile, limit);
    let clients = u64::from(options.publishers) + u64::from(options.subscribers);
    match getrlimit(Resource::Nofile).current {
        Some(most) if clients + OTHER_FILES > most => Err(format!(
            "{clients} clients need more files than the {most} that may be open here: see ulimit -Hn"
        )),
        Some(_) | None => Ok(()),
    }
}

/// A lock; nothing that holds one can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
