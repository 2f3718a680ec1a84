//! A run with messages under way: clients connect, load is made and measured, what is under way arrives, and all is counted.

mod start;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

use self::start::{clients, running};
use super::clock::{nanoseconds, now_ns};
use super::connect::{Faults, OnFault, connect_all};
use super::flow::{Flow, Lane};
use super::meter::{Course, Moment};
use super::options::Scenario;
use super::order::Order;
use super::plan::{Plan, shares};
use super::publisher::Sender;
use super::sequence::Group;
use super::session::Signal;
use super::subscriber::Checker;
use super::subscriptions::{self, Made};
use super::wire::Fault;
use super::worker::UnderWay;
use super::{Bench, lock};

/// How often it is looked whether a run is over.
const LOOK: Duration = Duration::from_millis(10);
/// The time without any message after which a closed loop no longer waits for what is missing, so that it goes on.
const STALL_NS: u64 = 1_000_000_000;
/// From row to row.
const ROW_NS: u64 = 1_000_000_000;

/// All that was found.
pub(crate) struct Findings {
    pub(crate) course: Course,
    pub(crate) end: Moment,
    /// When the last message came.
    pub(crate) last_ns: u64,
    /// Deliveries that the sent messages call for.
    pub(crate) expected: u64,
    /// Sent, and not acknowledged.
    pub(crate) unacknowledged: u64,
    /// At a fixed rate: due, and not sent.
    pub(crate) overdue: u64,
    pub(crate) refused: u64,
    pub(crate) refusal: Option<mqtt_codec::ReasonCode>,
    pub(crate) unexpected_answers: u64,
    pub(crate) order_violations: Option<u64>,
    /// Messages of each member of a shared subscription.
    pub(crate) members: Vec<u64>,
    /// The lowest quality of service that was granted to a subscription.
    pub(crate) granted: Option<mqtt_codec::QoS>,
    pub(crate) faults: Faults,
    /// How often the loop had come to rest.
    pub(crate) stalls: u64,
    pub(crate) connect_latencies: super::tally::Latencies,
    pub(crate) connect_s: f64,
    pub(crate) connected: u64,
    /// Those that no message matches.
    pub(crate) subscriptions: Option<Made>,
    pub(crate) interrupted: bool,
}

/// What all clients of a run share.
struct Shared {
    signal: Signal,
    publishers: AtomicUsize,
    subscribers: AtomicUsize,
}

/// A flow while it runs.
struct Running {
    flow: Arc<Flow>,
    group: Option<Arc<Mutex<Group>>>,
    order: Option<Arc<Mutex<Order>>>,
    copies: u64,
    streams: std::ops::Range<u32>,
    subscribers: usize,
}

type Published = JoinHandle<(Sender, Option<Fault>)>;
type Subscribed = JoinHandle<(Checker, Option<Fault>)>;

/// A run from the connecting of its clients to their end.
struct Run<'a> {
    bench: &'a Bench,
    shared: Arc<Shared>,
    /// False once nothing more is to be sent.
    sending: Arc<AtomicBool>,
    lanes: Vec<Arc<Lane>>,
    flows: Vec<Running>,
    course: Course,
    stalls: u64,
}

/// Runs a scenario with messages.
///
/// # Errors
/// One line that says why there could be no run.
pub(crate) async fn run(bench: &Bench, course: Course) -> Result<Findings, String> {
    let options = &bench.options;
    let plan = Plan::new(options)?;
    let (subscribers, publishers) = clients(options, &plan, bench.workers.len());
    let subscribed = connect_all(bench, "subscriber", &subscribers, OnFault::Stop).await;
    let (mut latencies, subscribe_s) = (subscribed.latencies.clone(), subscribed.seconds);
    let mut subscribed = subscribed.all()?;
    let subscriptions = subscriptions::make(bench, &course, subscribed.iter_mut()).await?;
    let connected = connect_all(bench, "publisher", &publishers, OnFault::Stop).await;
    let _ = latencies.add(&connected.latencies);
    let connect_s = subscribe_s + connected.seconds;
    let connected = connected.all()?;
    let clients_connected = (subscribed.len() + connected.len()) as u64;
    let keep_alive = subscribed
        .iter()
        .chain(&connected)
        .map(|c| c.keep_alive)
        .filter(|s| *s > 0)
        .min();

    let granted = subscribed.iter().filter_map(|c| c.granted).min();

    let lanes: Vec<Arc<Lane>> = plan.publishers.iter().map(|_| Arc::default()).collect();
    let mut run = Run {
        bench,
        shared: Arc::new(Shared {
            signal: Signal::default(),
            publishers: AtomicUsize::new(connected.len()),
            subscribers: AtomicUsize::new(subscribed.len()),
        }),
        sending: Arc::new(AtomicBool::new(true)),
        flows: plan
            .flows
            .iter()
            .map(|flow| running(options, flow, &lanes))
            .collect(),
        lanes,
        course,
        stalls: 0,
    };
    run.course.watch(run.lanes.clone());
    if options.warm_up.is_zero() {
        // From the very first message.
        run.course.begin();
    }
    let receiving = run.receive(&plan, subscribed, &subscribers);
    let begin_ns = now_ns();
    let sending = run.send(&plan, connected, &publishers, begin_ns)?;
    let interrupted = run.load(begin_ns, keep_alive).await;
    let end = run.course.moment();
    run.shared.signal.end();
    let mut findings = run.findings(end, interrupted);
    findings.connect_latencies = latencies;
    findings.connect_s = connect_s;
    findings.granted = granted;
    findings.connected = clients_connected;
    findings.subscriptions = subscriptions;
    for task in receiving {
        if let Ok((checker, fault)) = task.await {
            findings.received(options.scenario, &checker, fault);
        }
    }
    for task in sending {
        if let Ok((sender, fault)) = task.await {
            findings.sent(&sender, fault);
        }
    }
    Ok(findings)
}

impl Run<'_> {
    /// Makes load, measures, and waits for what is under way. True if the run was interrupted.
    async fn load(&mut self, begin_ns: u64, keep_alive: Option<u16>) -> bool {
        let options = &self.bench.options;
        self.gather();
        let measure_ns = begin_ns + nanoseconds(options.warm_up);
        let until_ns = measure_ns + nanoseconds(options.duration);
        let beat_ns = keep_alive.map(|seconds| u64::from(seconds) * 500_000_000);
        let mut next_beat_ns = beat_ns.map(|beat| begin_ns + beat);
        let mut next_row_ns = begin_ns + ROW_NS;
        let (mut progress, mut active_ns) = (self.progress(), begin_ns);
        loop {
            let now = now_ns();
            if self.course.begin.is_none() && now >= measure_ns {
                self.course.begin();
                next_row_ns = now + ROW_NS;
            } else if now >= next_row_ns {
                self.show();
                next_row_ns += ROW_NS;
            }
            if let (Some(next), Some(beat)) = (&mut next_beat_ns, beat_ns)
                && now >= *next
            {
                self.shared.signal.beat();
                *next += beat;
            }
            let made = self.progress();
            if made != progress {
                (progress, active_ns) = (made, now);
            }
            if now >= until_ns
                || self.bench.interrupt.is_set()
                || self.is_all_sent()
                || self.is_deserted()
            {
                break;
            }
            if options.rate.is_none() && now - active_ns > STALL_NS {
                self.forgive();
                active_ns = now;
            }
            let next_ns = until_ns
                .min(next_row_ns)
                .min(if self.course.begin.is_none() {
                    measure_ns
                } else {
                    u64::MAX
                });
            let pause = Duration::from_nanos(next_ns.saturating_sub(now)).min(LOOK);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.bench.interrupt.wait() => {}
            }
        }
        if self.course.begin.is_none() {
            self.course.begin();
        }
        self.sending.store(false, Ordering::Relaxed);
        self.drain().await;
        self.course.row();
        self.bench
            .workers
            .iter()
            .for_each(|worker| worker.gathering.stop());
        self.bench.interrupt.is_set()
    }

    /// Waits until all has come, or nothing comes any more.
    async fn drain(&self) {
        let patience_ns = nanoseconds(self.bench.options.drain);
        let (mut progress, mut active_ns) = (self.progress(), now_ns());
        while !self.is_complete() && !self.is_deserted() && now_ns() - active_ns <= patience_ns {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let made = self.progress();
            if made != progress {
                (progress, active_ns) = (made, now_ns());
            }
        }
    }

    fn show(&mut self) {
        let row = self.course.row();
        let lost = self.bench_clients()
            - self.shared.publishers.load(Ordering::Relaxed)
            - self.shared.subscribers.load(Ordering::Relaxed);
        self.bench
            .live
            .row(&row, &self.course.recent, self.course.begin.is_some(), lost);
    }

    fn bench_clients(&self) -> usize {
        self.lanes.len()
            + self
                .flows
                .iter()
                .map(|flow| flow.subscribers)
                .sum::<usize>()
    }

    /// Something that changes whenever anything happens.
    fn progress(&self) -> (u64, u64, u64) {
        let waiting = self.lanes.iter().map(|lane| lane.waiting()).sum();
        (self.course.sent(), self.course.received().messages, waiting)
    }

    fn is_all_sent(&self) -> bool {
        self.bench
            .options
            .limit
            .is_some_and(|limit| self.course.sent() >= limit)
    }

    /// True if nobody is left to send, or nobody to receive.
    fn is_deserted(&self) -> bool {
        self.shared.publishers.load(Ordering::Relaxed) == 0
            || self.shared.subscribers.load(Ordering::Relaxed) == 0
    }

    fn is_complete(&self) -> bool {
        self.course.received().fresh >= self.expected()
            && self.lanes.iter().all(|lane| lane.waiting() == 0)
    }

    fn expected(&self) -> u64 {
        let of = |flow: &Running| {
            let lanes = self
                .lanes
                .get(flow.streams.start as usize..flow.streams.end as usize);
            let sent: u64 = lanes
                .unwrap_or_default()
                .iter()
                .map(|lane| lane.sent())
                .sum();
            sent * flow.copies
        };
        self.flows.iter().map(of).sum()
    }

    /// Lets messages gather before they are read, in a closed loop.
    fn gather(&self) {
        let options = &self.bench.options;
        if options.rate.is_some() {
            return;
        }
        let workers = self.bench.workers.len() as u64;
        let subscribers = self
            .flows
            .iter()
            .map(|flow| flow.subscribers as u64)
            .sum::<u64>();
        let bounded = options.qos != mqtt_codec::QoS::AtMostOnce;
        let publishers = self
            .flows
            .first()
            .map_or(1, |flow| flow.streams.len() as u64);
        let messages = if bounded {
            u64::from(options.window).min(publishers * u64::from(options.inflight))
        } else {
            u64::from(options.window)
        };
        for worker in &self.bench.workers {
            worker.gathering.start(UnderWay {
                subscribers: subscribers.div_ceil(workers),
                messages,
                bounded,
                payload_bytes: options.payload_bytes as u64,
            });
        }
    }

    /// Goes on without what is missing.
    fn forgive(&mut self) {
        let mut any = false;
        for running in &self.flows {
            any |= running.flow.forgive(|stream, sent| {
                if let Some(group) = &running.group {
                    lock(group).forgive(stream - running.streams.start, sent);
                }
            });
        }
        self.stalls += u64::from(any);
    }

    fn findings(self, end: Moment, interrupted: bool) -> Findings {
        let orders = self.flows.iter().filter_map(|flow| flow.order.as_ref());
        let violations: Vec<u64> = orders.map(|order| lock(order).violations()).collect();
        let limits = shares(
            self.bench.options.limit.unwrap_or(u64::MAX),
            self.lanes.len(),
        );
        let overdue = |(lane, limit): (&Arc<Lane>, u32)| {
            lane.granted()
                .min(u64::from(limit))
                .saturating_sub(lane.sent())
        };
        let open = self.bench.options.rate.is_some();
        Findings {
            last_ns: self.course.last_ns(),
            expected: self.expected(),
            unacknowledged: self.lanes.iter().map(|lane| lane.waiting()).sum(),
            overdue: if open {
                self.lanes.iter().zip(limits).map(overdue).sum()
            } else {
                0
            },
            refused: 0,
            refusal: None,
            unexpected_answers: 0,
            order_violations: (!violations.is_empty()).then(|| violations.iter().sum()),
            members: Vec::new(),
            granted: None,
            faults: Faults::default(),
            stalls: self.stalls,
            connect_latencies: super::tally::latencies(),
            connect_s: 0.0,
            connected: 0,
            subscriptions: None,
            interrupted,
            course: self.course,
            end,
        }
    }
}

impl Findings {
    fn received(&mut self, scenario: Scenario, checker: &Checker, fault: Option<Fault>) {
        if scenario == Scenario::Shared {
            self.members.push(checker.received);
        }
        if let Some(fault) = fault {
            self.faults.add("subscriber", &fault);
        }
    }

    fn sent(&mut self, sender: &Sender, fault: Option<Fault>) {
        self.refused += sender.refused;
        self.refusal = sender.refusal.or(self.refusal);
        self.unexpected_answers += sender.unexpected;
        if let Some(fault) = fault {
            self.faults.add("publisher", &fault);
        }
    }
}
