//! Connects all clients of a run: at a rate or as fast as they are answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mqtt_codec::QoS;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Bench;
use super::clock::{nanoseconds, now_ns, seconds};
use super::tally::{Latencies, latencies};
use super::target::{Connected, Target};
use super::wire::Fault;

/// A client to connect.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Among all clients of the run.
    pub(crate) number: usize,
    pub(crate) id: String,
    /// The worker that it belongs to.
    pub(crate) worker: usize,
    pub(crate) filter: Option<String>,
}

/// What became of all of them.
pub(crate) struct Outcome {
    /// In the order of the clients; those are missing that have failed.
    pub(crate) connected: Vec<Option<Connected>>,
    /// From the start of a connection to its CONNACK.
    pub(crate) latencies: Latencies,
    pub(crate) faults: Faults,
    /// Clients that were begun with.
    pub(crate) attempted: u64,
    pub(crate) seconds: f64,
}

/// Why connections have ended, and how many for each reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults(BTreeMap<String, u64>);

impl Faults {
    /// Counts one; `who` is in the singular.
    pub(crate) fn add(&mut self, who: &str, fault: &Fault) {
        *self.0.entry(format!("{who}: {fault}")).or_insert(0) += 1;
    }

    /// Counts one that is told as a whole.
    pub(crate) fn add_line(&mut self, line: String) {
        *self.0.entry(line).or_insert(0) += 1;
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// A line for each reason.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .map(|(what, count)| format!("{count} × {what}"))
    }
}

/// What to do when a client cannot connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFault {
    /// Connect the others.
    GoOn,
    /// Begin with no more.
    Stop,
}

/// Connects the clients and makes their subscriptions. Ends early when the run is interrupted.
pub(crate) async fn connect_all(
    bench: &Bench,
    who: &'static str,
    clients: &[Client],
    on_fault: OnFault,
) -> Outcome {
    let options = &bench.options;
    let gap = options.connect_rate.map(|rate| 1.0 / rate);
    let limit = Arc::new(Semaphore::new(options.concurrency));
    let mut tasks = JoinSet::new();
    let begin_ns = now_ns();
    let mut outcome = Outcome {
        connected: clients.iter().map(|_| None).collect(),
        latencies: latencies(),
        faults: Faults::default(),
        attempted: 0,
        seconds: 0.0,
    };
    let progress = bench.live.connecting(who, clients.len() as u64);
    for (index, client) in clients.iter().enumerate() {
        if let Some(gap) = gap {
            let due = begin_ns + nanoseconds(Duration::from_secs_f64(gap * index as f64));
            let pause = Duration::from_nanos(due.saturating_sub(now_ns()));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = bench.interrupt.wait() => {}
            }
        }
        let Ok(permit) = limit.clone().acquire_owned().await else {
            break;
        };
        while let Some(done) = tasks.try_join_next() {
            outcome.take(who, done.ok());
            progress.inc(1);
        }
        let failed = on_fault == OnFault::Stop && outcome.faults.count() > 0;
        let Some(worker) = bench
            .workers
            .get(client.worker)
            .filter(|_| !failed && !bench.interrupt.is_set())
        else {
            break;
        };
        outcome.attempted += 1;
        let (target, client, qos) = (bench.target.clone(), client.clone(), options.qos);
        let task = async move {
            let done = connect(&target, &client, qos).await;
            drop(permit);
            (index, done)
        };
        tasks.spawn_on(task, &worker.handle);
    }
    while let Some(done) = tasks.join_next().await {
        outcome.take(who, done.ok());
        progress.inc(1);
    }
    progress.finish_and_clear();
    outcome.seconds = seconds(now_ns() - begin_ns);
    outcome
}

/// A connection and how many nanoseconds it took.
type Done = Result<(Connected, u64), Fault>;

async fn connect(target: &Target, client: &Client, qos: QoS) -> Done {
    let begin_ns = now_ns();
    let mut connected = target.connect(client.number, &client.id).await?;
    let took_ns = now_ns() - begin_ns;
    if let Some(filter) = &client.filter {
        let granted = target.subscribe(&mut connected.wire, filter, qos).await?;
        connected.granted = Some(granted);
    }
    Ok((connected, took_ns))
}

impl Outcome {
    fn take(&mut self, who: &str, done: Option<(usize, Done)>) {
        match done {
            Some((index, Ok((connected, took_ns)))) => {
                self.latencies.saturating_record(took_ns.max(1));
                if let Some(place) = self.connected.get_mut(index) {
                    *place = Some(connected);
                }
            }
            Some((_, Err(fault))) => self.faults.add(who, &fault),
            // The task was cancelled, and the run with it.
            None => {}
        }
    }

    /// All connections.
    ///
    /// # Errors
    /// Why some are missing, in one line.
    pub(crate) fn all(self) -> Result<Vec<Connected>, String> {
        if self.faults.count() > 0 {
            return Err(self.faults.lines().collect::<Vec<_>>().join("; "));
        }
        let all: Option<Vec<Connected>> = self.connected.into_iter().collect();
        all.ok_or_else(|| "interrupted".to_owned())
    }
}
