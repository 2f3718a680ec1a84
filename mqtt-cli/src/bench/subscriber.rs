//! A subscriber while messages flow: takes them, checks them, acknowledges them.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use mqtt_codec::{Packet, PacketType, Publish};

use super::clock::now_ns;
use super::flow::{Flow, Passed};
use super::lock;
use super::order::Order;
use super::sequence::{Arrival, Group, Seen};
use super::stamp::Stamp;
use super::tally::{Counts, Tally};
use super::wire::{Fault, Wire, acknowledge, put_ack};

/// What a subscriber is to get.
pub(crate) enum Expected {
    /// All messages of its streams.
    All(Vec<Seen>),
    /// Some of the messages of its streams: its group gets all. The numbers behind the highest that it has got.
    Some(Vec<u32>, Arc<Mutex<Group>>),
}

/// What a subscriber is made of.
pub(crate) struct Subscriber {
    pub(crate) wire: Wire,
    pub(crate) checker: Checker,
}

/// What a subscriber knows of the messages that came to it.
pub(crate) struct Checker {
    /// The tag of the run.
    pub(crate) tag: u16,
    pub(crate) payload_bytes: usize,
    pub(crate) first_stream: u32,
    pub(crate) expected: Expected,
    /// The order that all subscribers of the topic have in common, and which of them this is.
    pub(crate) order: Option<(Arc<Mutex<Order>>, usize)>,
    /// The flow, in a closed loop.
    pub(crate) flow: Option<Arc<Flow>>,
    pub(crate) tally: Arc<Tally>,
    /// Messages that came.
    pub(crate) received: u64,
    /// Scratch: the chunks that a batch has got past.
    pub(crate) passed: Vec<Passed>,
}

impl Subscriber {
    /// Handles what there is; ready when the connection has ended, with the reason.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Fault> {
        loop {
            match self.wire.poll_flush(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(fault)) => return Poll::Ready(fault),
                // A broker that takes no acknowledgements gets no more of them.
                Poll::Pending if self.wire.is_congested() => return Poll::Pending,
                Poll::Pending => {}
            }
            match self.checker.poll_batch(&mut self.wire, context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(fault)) => return Poll::Ready(fault),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Checker {
    /// Reads once and handles what has come.
    fn poll_batch(
        &mut self,
        wire: &mut Wire,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        let tally = self.tally.clone();
        let before = self.received;
        let mut batch = None;
        let polled = wire.poll_packets(context, |packet, out| {
            // Taken at the first packet: nobody holds a lock while it reads.
            let (counts, now) = batch.get_or_insert_with(|| (tally.lock(), now_ns()));
            self.handle(&packet, *now, counts, out)
        });
        if let Some((mut counts, now)) = batch {
            counts.last_ns = now;
            counts.largest_read = counts.largest_read.max(self.received - before);
        }
        if let Some(flow) = &self.flow
            && !self.passed.is_empty()
        {
            flow.pass(&self.passed);
            self.passed.clear();
        }
        polled
    }

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
            Packet::PingResp => Ok(()),
            Packet::Disconnect(disconnect) => Err(Fault::Disconnected(disconnect.reason)),
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::PubAck(_)
            | Packet::PubRec(_)
            | Packet::PubComp(_)
            | Packet::Subscribe(_)
            | Packet::SubAck(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingReq
            | Packet::Auth(_) => Err(Fault::Unexpected(packet.packet_type())),
        }
    }

    #[inline]
    fn message(&mut self, publish: &Publish<&[u8]>, now_ns: u64, counts: &mut Counts) {
        let stamp = Stamp::read(publish.payload, self.tag)
            .filter(|_| publish.payload.len() == self.payload_bytes);
        let Some(stamp) = stamp else {
            // What was retained before this run is nobody's fault.
            counts.received.unexpected += u64::from(!publish.retain);
            return;
        };
        let Some(arrival) = self.note(stamp) else {
            counts.received.unexpected += 1;
            return;
        };
        if arrival != Arrival::Duplicate
            && let Some((order, seat)) = &self.order
        {
            lock(order).note(*seat, stamp.stream, stamp.sequence);
        }
        self.received += 1;
        counts.message(arrival, now_ns.saturating_sub(stamp.sent_ns));
    }

    /// Notes a message; `None` for one of a stream that is not this subscriber's.
    #[inline]
    fn note(&mut self, stamp: Stamp) -> Option<Arrival> {
        let Stamp {
            stream, sequence, ..
        } = stamp;
        let index = stream.checked_sub(self.first_stream)?;
        let (before, after, arrival) = match &mut self.expected {
            Expected::All(streams) => {
                let seen = streams.get_mut(index as usize)?;
                let before = u64::from(seen.reached());
                let arrival = seen.note(sequence);
                (before, u64::from(seen.reached()), arrival)
            }
            Expected::Some(reached, group) => {
                let reached = reached.get_mut(index as usize)?;
                let mut group = lock(group);
                let before = group.progress(index);
                let arrival = group.note(index, sequence, reached)?;
                (before, group.progress(index), arrival)
            }
        };
        if let Some(flow) = &self.flow {
            let (from, to) = (flow.chunks(before), flow.chunks(after));
            if from != to {
                self.passed.push(Passed { stream, from, to });
            }
        }
        Some(arrival)
    }

    /// No longer counts on this subscriber, whose connection has ended.
    pub(crate) fn leave(&self) {
        if let Some((order, seat)) = &self.order {
            lock(order).leave(*seat);
        }
        if let (Some(flow), Expected::All(streams)) = (&self.flow, &self.expected) {
            let chunks = |seen: &Seen| flow.chunks(u64::from(seen.reached()));
            flow.leave(&streams.iter().map(chunks).collect::<Vec<_>>());
        }
    }
}
