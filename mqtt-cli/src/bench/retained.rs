//! The scenario of retained messages: they are stored, then subscribers get all of them at once, then they are deleted.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mqtt_codec::{Ack, Forward, Packet, PacketId, PacketType, Publish, QoS, ReasonCode};
use tokio::task::JoinHandle;

use super::Bench;
use super::clock::{nanoseconds, now_ns, seconds};
use super::connect::{Client, Faults, OnFault, connect_all};
use super::messaging;
use super::meter::Course;
use super::plan::filter_of;
use super::sequence::{Arrival, Sequence};
use super::session::{Client as Driven, Signal, drive};
use super::stamp::{STAMP_BYTES, Stamp, with_id};
use super::tally::{Counts, Latencies, Tally, latencies};
use super::target::{Connected, granted, numbered, subscription, unexpected};
use super::wire::{Fault, Wire, acknowledge, put_ack};

/// Messages stored, and not acknowledged, at a time.
const BATCH: usize = 64;
/// How long a subscriber that has got all is watched for more.
const WATCH: Duration = Duration::from_millis(100);
/// From row to row.
const ROW_NS: u64 = 1_000_000_000;

/// What was found of the messages that are retained, besides what is found of any.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    pub(crate) stored: u64,
    pub(crate) store_s: f64,
    /// From the SUBSCRIBE of each subscriber to its first message, in nanoseconds.
    pub(crate) first: Latencies,
    /// The same to its last message.
    pub(crate) complete: Latencies,
}

/// Stores, lets all subscribers subscribe at once, and deletes.
///
/// # Errors
/// One line that says why there could be no run.
pub(crate) async fn run(
    bench: &Bench,
    mut course: Course,
) -> Result<(messaging::Findings, Replay), String> {
    let options = &bench.options;
    let count =
        u32::try_from(options.limit.unwrap_or(0)).map_err(|_| "too many messages to retain")?;
    let client = |number: usize, letter, worker| Client {
        number,
        id: format!("{}{letter}{number}", options.prefix),
        worker,
        filter: None,
    };
    let keeper = [client(options.subscribers as usize, 'p', 0)];
    let stored = connect_all(bench, "publisher", &keeper, OnFault::Stop).await;
    let keeper = stored.all()?.pop().ok_or("no publisher")?;
    let workers = bench.workers.len().max(1);
    let readers: Vec<Client> = (0..options.subscribers as usize)
        .map(|i| client(i, 's', i % workers))
        .collect();
    let connected = connect_all(bench, "subscriber", &readers, OnFault::Stop).await;
    let (connect_latencies, connect_s) = (connected.latencies.clone(), connected.seconds);
    let connected = connected.all()?;
    let clients = connected.len() as u64 + 1;

    let mut keeper = Keeper::new(bench, keeper);
    let begin_ns = now_ns();
    let stored = keeper.store_all(count, true).await;
    let store_s = seconds(now_ns() - begin_ns);
    let outcome = match stored {
        Ok(()) if bench.interrupt.is_set() => Err("interrupted".to_owned()),
        Ok(()) => Ok(replay(bench, &mut course, connected, &readers, count).await),
        Err(fault) => Err(format!("storing the messages: {fault}")),
    };
    // Nothing is left behind, whatever has happened.
    let (stored, refused) = (u64::from(keeper.stored), keeper.refused);
    let mut faults = keeper.delete_all().await;
    let (readers, last_ns, end) = outcome?;
    let mut replay = Replay {
        stored,
        store_s,
        first: latencies(),
        complete: latencies(),
    };
    for (reader, fault) in readers {
        reader.times(&mut replay);
        if let Some(fault) = fault {
            faults.add("subscriber", &fault);
        }
    }
    let findings = messaging::Findings {
        end,
        last_ns,
        expected: stored * u64::from(options.subscribers),
        unacknowledged: 0,
        overdue: 0,
        refused: refused.map_or(0, |(_, count)| count),
        refusal: refused.map(|(reason, _)| reason),
        unexpected_answers: 0,
        order_violations: None,
        members: Vec::new(),
        granted: None,
        faults,
        stalls: 0,
        connect_latencies,
        connect_s,
        connected: clients,
        subscriptions: None,
        interrupted: bench.interrupt.is_set(),
        course,
    };
    Ok((findings, replay))
}

type Read = (Reader, Option<Fault>);

/// Has all readers subscribe, and waits for what they get.
async fn replay(
    bench: &Bench,
    course: &mut Course,
    connected: Vec<Connected>,
    clients: &[Client],
    count: u32,
) -> (Vec<Read>, u64, super::meter::Moment) {
    let options = &bench.options;
    let expected = u64::from(count) * connected.len() as u64;
    let signal = Arc::new(Signal::default());
    course.watch(Vec::new());
    course.begin();
    let mut tasks: Vec<JoinHandle<Read>> = Vec::new();
    for (connected, client) in connected.into_iter().zip(clients) {
        let Some(worker) = bench.workers.get(client.worker) else {
            continue;
        };
        let mut reader = Reader {
            wire: connected.wire,
            check: Check {
                tag: options.tag,
                payload_bytes: options.payload_bytes,
                seen: Sequence::of_any_order(count as usize),
                count,
                tally: worker.tally.clone(),
                subscribed_ns: 0,
                first_ns: None,
                last_ns: 0,
                fresh: 0,
            },
        };
        let (signal, filter, qos) = (signal.clone(), filter_of(&options.topic), options.qos);
        tasks.push(worker.handle.spawn(async move {
            reader.check.subscribed_ns = now_ns();
            let fault = match subscription(&filter, qos) {
                Ok(packet) => reader.wire.send(&packet).await.err(),
                Err(fault) => Some(fault),
            };
            let fault = match fault {
                Some(fault) => Some(fault),
                None => drive(&mut reader, &signal).await,
            };
            (reader, fault)
        }));
    }
    watch(bench, course, &tasks, expected).await;
    let end = course.moment();
    let last_ns = course.last_ns();
    tokio::time::sleep(WATCH).await;
    let row = course.row();
    bench.live.row(&row, &course.recent, true, 0);
    signal.end();
    let mut readers = Vec::new();
    for task in tasks {
        if let Ok(read) = task.await {
            readers.push(read);
        }
    }
    let end = super::meter::Moment {
        received: course.received(),
        ..end
    };
    (readers, last_ns, end)
}

/// Waits until all has come, nothing comes any more, or all connections have ended.
async fn watch(bench: &Bench, course: &mut Course, tasks: &[JoinHandle<Read>], expected: u64) {
    let patience_ns = nanoseconds(bench.options.drain);
    let (mut fresh, mut active_ns) = (0, now_ns());
    let mut next_row_ns = now_ns() + ROW_NS;
    while !tasks.iter().all(JoinHandle::is_finished) {
        let now = now_ns();
        let received = course.received().fresh;
        if received >= expected || now - active_ns > patience_ns {
            return;
        }
        if received > fresh {
            (fresh, active_ns) = (received, now);
        }
        if now >= next_row_ns {
            let row = course.row();
            bench.live.row(&row, &course.recent, true, 0);
            next_row_ns += ROW_NS;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Who stores and deletes the messages.
struct Keeper<'a> {
    bench: &'a Bench,
    wire: Wire,
    /// Messages that were sent to be stored.
    stored: u32,
    batch: usize,
    /// Why messages were not stored, and how many.
    refused: Option<(ReasonCode, u64)>,
}

impl<'a> Keeper<'a> {
    fn new(bench: &'a Bench, connected: Connected) -> Self {
        Self {
            bench,
            wire: connected.wire,
            stored: 0,
            batch: BATCH.min(connected.receive_maximum.into()),
            refused: None,
        }
    }

    /// Stores the first `count` messages, or deletes them. An interrupted storing ends early; a deleting does not.
    async fn store_all(&mut self, count: u32, store: bool) -> Result<(), Fault> {
        let options = &self.bench.options;
        let mut payload = vec![b'x'; options.payload_bytes];
        let mut next = 0;
        while next < count && !(store && self.bench.interrupt.is_set()) {
            let end = count.min(next + self.batch as u32);
            let mut bytes = Vec::new();
            for (index, number) in (next..end).enumerate() {
                let stamp = Stamp {
                    stream: 0,
                    sequence: number,
                    sent_ns: now_ns(),
                };
                if let Some(place) = payload.first_chunk_mut::<STAMP_BYTES>() {
                    *place = stamp.to_bytes(options.tag);
                }
                let topic = numbered(&options.topic, number as usize);
                let message = Forward {
                    version: options.version,
                    dup: false,
                    qos: with_id(options.qos, PacketId::new(index as u16 + 1)),
                    retain: true,
                    topic: topic.as_bytes(),
                    topic_alias: None,
                    message_expiry_interval: None,
                    subscription_identifiers: &[],
                    properties: &[],
                    payload: if store { &payload } else { &[] },
                };
                message.encode(&mut bytes)?;
            }
            self.wire.send_bytes(&bytes).await?;
            let pending = if options.qos == QoS::AtMostOnce {
                0
            } else {
                end - next
            };
            let patience = self.bench.target.patience;
            let answered = tokio::time::timeout(patience, self.answers(pending)).await;
            answered.map_err(|_| Fault::NoAnswer(patience.as_secs()))??;
            if store {
                self.stored = end;
            }
            next = end;
        }
        Ok(())
    }

    /// Deletes what was stored, and says goodbye; what went wrong.
    async fn delete_all(mut self) -> Faults {
        let mut faults = Faults::default();
        if let Err(fault) = self.store_all(self.stored, false).await {
            faults.add("deleting the messages", &fault);
        }
        self.wire.disconnect().await;
        faults
    }

    /// Waits until the broker has handled all that was sent: so many acknowledgements, or a PINGRESP.
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "all other packets are equally out of place"
    )]
    async fn answers(&mut self, mut pending: u32) -> Result<(), Fault> {
        let ping = pending == 0;
        if ping {
            self.wire.send(&Packet::<&[u8]>::PingReq).await?;
        }
        while ping || pending > 0 {
            let (done, reason) = match self.wire.next().await? {
                Packet::PubAck(ack) | Packet::PubComp(ack) => (true, ack.reason),
                Packet::PubRec(ack) if ack.reason.is_failure() => (true, ack.reason),
                Packet::PubRec(ack) => {
                    let release = Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::Success));
                    self.wire.send(&release).await?;
                    (false, ack.reason)
                }
                Packet::PingResp if ping => return Ok(()),
                other => return Err(unexpected(&other)),
            };
            pending = pending.saturating_sub(u32::from(done));
            if reason.is_failure() {
                let before = self.refused.map_or(0, |(_, count)| count);
                self.refused = Some((reason, before + 1));
            }
        }
        Ok(())
    }
}

/// A subscriber that gets all that is retained.
struct Reader {
    wire: Wire,
    check: Check,
}

struct Check {
    tag: u16,
    payload_bytes: usize,
    seen: Sequence,
    count: u32,
    tally: Arc<Tally>,
    subscribed_ns: u64,
    first_ns: Option<u64>,
    last_ns: u64,
    fresh: u32,
}

impl Reader {
    fn times(&self, replay: &mut Replay) {
        let since = |ns: u64| ns.saturating_sub(self.check.subscribed_ns).max(1);
        if let Some(first_ns) = self.check.first_ns {
            replay.first.saturating_record(since(first_ns));
        }
        if self.check.fresh == self.check.count {
            replay.complete.saturating_record(since(self.check.last_ns));
        }
    }
}

impl Driven for Reader {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Fault> {
        let Self { wire, check } = self;
        loop {
            match wire.poll_flush(context) {
                Poll::Ready(Err(fault)) => return Poll::Ready(fault),
                Poll::Pending if wire.is_congested() => return Poll::Pending,
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            let now = now_ns();
            let tally = check.tally.clone();
            let read = wire.poll_packets(context, |packet, out| {
                check.handle(&packet, now, &mut tally.lock(), out)
            });
            match read {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(fault)) => return Poll::Ready(fault),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

impl Check {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "all other packets are equally out of place"
    )]
    fn handle(
        &mut self,
        packet: &Packet<&[u8]>,
        now_ns: u64,
        counts: &mut Counts,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        match packet {
            Packet::Publish(publish) => {
                self.message(publish, now_ns, counts);
                acknowledge(publish.qos, out);
                Ok(())
            }
            Packet::PubRel(ack) => {
                put_ack(PacketType::PubComp, ack.packet_id, out);
                Ok(())
            }
            Packet::SubAck(ack) => granted(ack).map(|_| ()),
            other => Err(unexpected(other)),
        }
    }

    /// Topics have no order among one another, so none is late.
    fn message(&mut self, publish: &Publish<&[u8]>, now_ns: u64, counts: &mut Counts) {
        let stamp = Stamp::read(publish.payload, self.tag).filter(|stamp| {
            publish.payload.len() == self.payload_bytes
                && publish.retain
                && stamp.sequence < self.count
        });
        let Some(stamp) = stamp else {
            counts.received.unexpected += 1;
            return;
        };
        let arrival = if self.seen.note(stamp.sequence) {
            self.first_ns.get_or_insert(now_ns);
            self.last_ns = now_ns;
            self.fresh += 1;
            Arrival::New
        } else {
            Arrival::Duplicate
        };
        counts.last_ns = now_ns;
        counts.message(arrival, now_ns.saturating_sub(self.subscribed_ns));
    }
}
