//! The start of a run with messages: the clients of its plan, and a task for each.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::super::acknowledge::Unacknowledged;
use super::super::clock::nanoseconds;
use super::super::connect::Client;
use super::super::flow::{Flow, Lane};
use super::super::options::Options;
use super::super::order::Order;
use super::super::pace::{Paced, Schedule, pace};
use super::super::plan::{Delivery, Flows, Plan, shares};
use super::super::publisher::{Pacing, Publisher, Sender};
use super::super::sequence::{Group, Seen};
use super::super::session::drive;
use super::super::stamp::{STAMP_BYTES, Template};
use super::super::subscriber::{Checker, Expected, Subscriber};
use super::super::target::Connected;
use super::super::wire::Fault;
use super::{Published, Run, Running, Shared, Subscribed};

/// The clients of a plan, subscribers and publishers. Those of a pair have one worker.
pub(super) fn clients(
    options: &Options,
    plan: &Plan,
    workers: usize,
) -> (Vec<Client>, Vec<Client>) {
    let client = |number: usize, letter, index: usize, filter| Client {
        number,
        id: format!("{}{letter}{index}", options.prefix),
        worker: index % workers.max(1),
        filter,
    };
    let subscribers = plan.subscribers.iter().enumerate();
    let subscribers: Vec<Client> = subscribers
        .map(|(i, s)| client(i, 's', i, Some(s.filter.clone())))
        .collect();
    let first = subscribers.len();
    let publishers = (0..plan.publishers.len())
        .map(|i| client(first + i, 'p', i, None))
        .collect();
    (subscribers, publishers)
}

pub(super) fn running(options: &Options, flow: &Flows, lanes: &[Arc<Lane>]) -> Running {
    let streams = flow.streams.start as usize..flow.streams.end as usize;
    let own = lanes.get(streams.clone()).unwrap_or_default().to_vec();
    let shared = flow.delivery == Delivery::Shared;
    let (window, parties) = if shared {
        (options.window.saturating_mul(flow.subscribers), 1)
    } else {
        (options.window, flow.subscribers)
    };
    Running {
        flow: Arc::new(Flow::new(window, flow.streams.start, own, parties)),
        group: shared.then(|| Arc::new(Mutex::new(Group::new(streams.len())))),
        order: (flow.delivery == Delivery::AllInOneOrder)
            .then(|| Arc::new(Mutex::new(Order::new(flow.subscribers as usize)))),
        copies: flow.copies(),
        streams: flow.streams.clone(),
        subscribers: flow.subscribers as usize,
    }
}

impl Run<'_> {
    /// Has the subscribers take what comes.
    pub(super) fn receive(
        &self,
        plan: &Plan,
        connected: Vec<Connected>,
        clients: &[Client],
    ) -> Vec<Subscribed> {
        let options = &self.bench.options;
        let mut tasks = Vec::new();
        for (seat, ((connected, client), subscribes)) in connected
            .into_iter()
            .zip(clients)
            .zip(&plan.subscribers)
            .enumerate()
        {
            let Some((flow, worker)) = self
                .flows
                .get(subscribes.flow)
                .zip(self.bench.workers.get(client.worker))
            else {
                continue;
            };
            let streams = flow.streams.len();
            let expected = match &flow.group {
                Some(group) => Expected::Some(vec![0; streams], group.clone()),
                None => Expected::All(vec![Seen::new(); streams]),
            };
            let mut subscriber = Subscriber {
                wire: connected.wire,
                checker: Checker {
                    tag: options.tag,
                    payload_bytes: options.payload_bytes,
                    first_stream: flow.streams.start,
                    expected,
                    order: flow.order.clone().map(|order| (order, seat)),
                    flow: options.rate.is_none().then(|| flow.flow.clone()),
                    tally: worker.tally.clone(),
                    received: 0,
                    passed: Vec::new(),
                },
            };
            let shared = self.shared.clone();
            tasks.push(worker.handle.spawn(async move {
                let fault = drive(&mut subscriber, &shared.signal).await;
                if fault.is_some() {
                    shared.subscribers.fetch_sub(1, Ordering::Relaxed);
                    subscriber.checker.leave();
                } else {
                    subscriber.wire.disconnect().await;
                }
                (subscriber.checker, fault)
            }));
        }
        tasks
    }

    /// Has the publishers send.
    pub(super) fn send(
        &self,
        plan: &Plan,
        connected: Vec<Connected>,
        clients: &[Client],
        begin_ns: u64,
    ) -> Result<Vec<Published>, String> {
        let options = &self.bench.options;
        let schedule = options
            .rate
            .map(|rate| Arc::new(Schedule::new(begin_ns, rate)));
        let filler: Arc<[u8]> = vec![b'x'; options.payload_bytes - STAMP_BYTES].into();
        let limits = shares(options.limit.unwrap_or(u64::MAX), connected.len());
        let turns = connected.len() as u64;
        let mut tasks = Vec::new();
        let parts = connected
            .into_iter()
            .zip(clients)
            .zip(&plan.publishers)
            .zip(limits)
            .zip(&self.lanes);
        for (stream, ((((connected, client), publishes), limit), lane)) in (0_u32..).zip(parts) {
            let Some((running, worker)) = self
                .flows
                .get(publishes.flow)
                .zip(self.bench.workers.get(client.worker))
            else {
                continue;
            };
            let template = Template::new(
                options.version,
                &publishes.topic,
                options.qos,
                filler.clone(),
                options.tag,
            );
            let pacing = match &schedule {
                None => Pacing::Closed(running.flow.clone()),
                Some(schedule) => Pacing::Open {
                    schedule: schedule.clone(),
                    first: stream.into(),
                    step: turns,
                },
            };
            let sender = Sender {
                stream,
                template: template
                    .map_err(|problem| format!("--topic {}: {problem}", publishes.topic))?,
                qos: options.qos,
                lane: lane.clone(),
                pacing,
                limit,
                unacknowledged: Unacknowledged::new(
                    options.inflight.min(connected.receive_maximum),
                ),
                tally: worker.tally.clone(),
                sent: 0,
                asked: 0,
                refused: 0,
                refusal: None,
                unexpected: 0,
                sending: self.sending.clone(),
            };
            let publisher = Publisher {
                wire: connected.wire,
                sender,
            };
            tasks.push(worker.handle.spawn(publish(publisher, self.shared.clone())));
        }
        if let Some(schedule) = schedule {
            self.pace(&schedule, clients, begin_ns);
        }
        Ok(tasks)
    }

    /// Starts the clocks of an open loop, one for each worker.
    fn pace(&self, schedule: &Arc<Schedule>, clients: &[Client], begin_ns: u64) {
        let options = &self.bench.options;
        let until_ns = begin_ns + nanoseconds(options.warm_up) + nanoseconds(options.duration);
        for (index, worker) in self.bench.workers.iter().enumerate() {
            let own = (0_u64..)
                .zip(clients)
                .zip(&self.lanes)
                .filter(|((_, client), _)| client.worker == index);
            let paced = own
                .map(|((turn, _), lane)| Paced {
                    lane: lane.clone(),
                    turn,
                })
                .collect();
            let (schedule, turns) = (schedule.clone(), clients.len() as u64);
            // It ends by itself; without a timer nothing is sent, which the report says.
            worker.handle.spawn(pace(schedule, paced, turns, until_ns));
        }
    }
}

async fn publish(mut publisher: Publisher, shared: Arc<Shared>) -> (Sender, Option<Fault>) {
    let fault = drive(&mut publisher, &shared.signal).await;
    if fault.is_some() {
        shared.publishers.fetch_sub(1, Ordering::Relaxed);
        publisher.sender.leave();
    } else {
        publisher.wire.disconnect().await;
    }
    (publisher.sender, fault)
}
