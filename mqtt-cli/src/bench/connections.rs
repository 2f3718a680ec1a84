//! The scenario of clients that connect and stay: how fast they come, and what each costs the broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Bench;
use super::clock::{nanoseconds, now_ns};
use super::connect::{Client, Faults, OnFault, connect_all};
use super::meter::{Course, Readings};
use super::session::{Idle, Signal, drive};
use super::subscriptions::{self, Made};
use super::tally::Latencies;

/// From row to row.
const ROW_NS: u64 = 1_000_000_000;

/// What was found.
pub(crate) struct Findings {
    pub(crate) course: Course,
    pub(crate) attempted: u64,
    pub(crate) established: u64,
    /// From the start of a connection to its CONNACK.
    pub(crate) latencies: Latencies,
    pub(crate) connect_s: f64,
    /// Why clients could not connect.
    pub(crate) failed: Faults,
    /// Why connections have ended.
    pub(crate) ended: Faults,
    /// When the last one was connected.
    pub(crate) connected: Readings,
    /// When they had stayed for a while.
    pub(crate) settled: Readings,
    /// What was made of subscriptions that no message matches.
    pub(crate) subscriptions: Option<Made>,
    pub(crate) interrupted: bool,
}

/// Connects the clients, keeps them for a while, and closes them.
pub(crate) async fn run(bench: &Bench, mut course: Course) -> Findings {
    let options = &bench.options;
    let workers = bench.workers.len().max(1);
    let client = |index: usize| Client {
        number: index,
        id: format!("{}c{index}", options.prefix),
        worker: index % workers,
        filter: None,
    };
    let clients: Vec<Client> = (0..options.publishers as usize).map(client).collect();
    course.watch(Vec::new());
    course.begin();
    let mut outcome = connect_all(bench, "client", &clients, OnFault::GoOn).await;
    let connected = course.moment().readings;
    let mut clients_connected: Vec<_> = outcome.connected.iter_mut().flatten().collect();
    let made = subscriptions::make(bench, &course, clients_connected.drain(..)).await;
    let established = outcome.connected.iter().flatten().count() as u64;

    let signal = Arc::new(Signal::default());
    let gone = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    let mut keep_alive = None;
    for (client, connection) in clients.iter().zip(outcome.connected) {
        let Some((connection, worker)) = connection.zip(bench.workers.get(client.worker)) else {
            continue;
        };
        let wanted = (connection.keep_alive > 0).then_some(connection.keep_alive);
        keep_alive = wanted.min(keep_alive.or(wanted));
        let (signal, gone) = (signal.clone(), gone.clone());
        tasks.push(worker.handle.spawn(async move {
            let mut idle = Idle(connection.wire);
            let fault = drive(&mut idle, &signal).await;
            if fault.is_none() {
                idle.0.disconnect().await;
            } else {
                gone.fetch_add(1, Ordering::Relaxed);
            }
            fault
        }));
    }
    if established > 0 {
        stay(bench, &mut course, &signal, &gone, keep_alive).await;
    }
    let settled = course.moment().readings;
    signal.end();
    let mut ended = Faults::default();
    let subscriptions = made.unwrap_or_else(|problem| {
        ended.add_line(problem);
        None
    });
    for task in tasks {
        if let Ok(Some(fault)) = task.await {
            ended.add("client", &fault);
        }
    }
    Findings {
        course,
        attempted: outcome.attempted,
        established,
        latencies: outcome.latencies,
        connect_s: outcome.seconds,
        failed: outcome.faults,
        ended,
        connected,
        settled,
        subscriptions,
        interrupted: bench.interrupt.is_set(),
    }
}

async fn stay(
    bench: &Bench,
    course: &mut Course,
    signal: &Signal,
    gone: &AtomicU64,
    keep_alive: Option<u16>,
) {
    let until_ns = now_ns() + nanoseconds(bench.options.duration);
    let beat_ns = keep_alive.map_or(u64::MAX, |seconds| u64::from(seconds) * 500_000_000);
    let mut next_beat_ns = now_ns().saturating_add(beat_ns);
    let mut next_row_ns = now_ns() + ROW_NS;
    while !bench.interrupt.is_set() {
        let now = now_ns();
        if now >= until_ns {
            break;
        }
        if now >= next_beat_ns {
            signal.beat();
            next_beat_ns = now.saturating_add(beat_ns);
        }
        if now >= next_row_ns {
            let row = course.row();
            bench.live.row(
                &row,
                &course.recent,
                true,
                gone.load(Ordering::Relaxed) as usize,
            );
            next_row_ns = now + ROW_NS;
        }
        let next_ns = until_ns.min(next_row_ns).min(next_beat_ns);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_nanos(next_ns.saturating_sub(now))) => {}
            () = bench.interrupt.wait() => {}
        }
    }
}
