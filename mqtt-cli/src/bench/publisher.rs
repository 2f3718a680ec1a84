//! A publisher while messages flow: sends as much as it may, and takes the acknowledgements.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use mqtt_codec::{Packet, PacketType, QoS, ReasonCode};

use super::acknowledge::{Answer, Unacknowledged};
use super::clock::now_ns;
use super::flow::{Flow, Lane};
use super::pace::Schedule;
use super::stamp::{Stamp, Template};
use super::tally::Tally;
use super::wire::{Fault, Wire, put_ack};

/// Messages in one write at most, so that one publisher does not keep the others of its thread waiting.
const BURST_MAX: u64 = 1024;
/// Bytes in one write at most, but for one message.
const BURST_BYTES: usize = 64 * 1024;

/// What lets a publisher send.
pub(crate) enum Pacing {
    /// The window of its flow.
    Closed(Arc<Flow>),
    /// A clock; of the messages of all publishers, in turn, it sends those from `first` on, each `step`-th.
    Open {
        schedule: Arc<Schedule>,
        first: u64,
        step: u64,
    },
}

/// What a publisher is made of.
pub(crate) struct Publisher {
    pub(crate) wire: Wire,
    pub(crate) sender: Sender,
}

/// What a publisher knows of the messages that it sent.
pub(crate) struct Sender {
    pub(crate) stream: u32,
    pub(crate) template: Template,
    pub(crate) qos: QoS,
    pub(crate) lane: Arc<Lane>,
    pub(crate) pacing: Pacing,
    /// Messages that it has to send in all.
    pub(crate) limit: u32,
    pub(crate) unacknowledged: Unacknowledged,
    pub(crate) tally: Arc<Tally>,
    pub(crate) sent: u32,
    /// Chunks that it has asked its flow for.
    pub(crate) asked: u64,
    /// Messages that the broker has refused, and the last reason.
    pub(crate) refused: u64,
    pub(crate) refusal: Option<ReasonCode>,
    /// Acknowledgements that nothing waited for.
    pub(crate) unexpected: u64,
    /// False once nothing more is to be sent.
    pub(crate) sending: Arc<AtomicBool>,
}

impl Publisher {
    /// Handles what there is and sends what may be sent; ready when the connection has ended, with the reason.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Fault> {
        let polled = self.poll_both(context);
        let waiting = self.sender.unacknowledged.waiting();
        self.sender.lane.set_waiting(waiting as u64);
        polled
    }

    fn poll_both(&mut self, context: &mut Context<'_>) -> Poll<Fault> {
        let Self { wire, sender } = self;
        loop {
            match sender.poll_answers(wire, context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(fault)) => return Poll::Ready(fault),
                Poll::Pending => break,
            }
        }
        loop {
            match wire.poll_flush(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(fault)) => return Poll::Ready(fault),
                Poll::Pending => return Poll::Pending,
            }
            let mut count = sender.may_send();
            if count == 0 {
                // What is granted from here on wakes; what was granted up to here is seen now.
                sender.lane.register(context.waker());
                count = sender.may_send();
            }
            if count == 0 {
                return Poll::Pending;
            }
            if let Poll::Ready(Err(fault)) = wire.poll_write(context, |out| sender.fill(count, out))
            {
                return Poll::Ready(fault);
            }
        }
    }
}

impl Sender {
    /// Reads once and handles what has come.
    fn poll_answers(
        &mut self,
        wire: &mut Wire,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        wire.poll_packets(context, |packet, out| {
            let (id, answer, reason) = match &packet {
                Packet::PubAck(ack) => (ack.packet_id, Answer::Acknowledged, ack.reason),
                Packet::PubComp(ack) => (ack.packet_id, Answer::Complete, ack.reason),
                Packet::PubRec(ack) if ack.reason.is_failure() => {
                    (ack.packet_id, Answer::Refused, ack.reason)
                }
                Packet::PubRec(ack) => {
                    put_ack(PacketType::PubRel, ack.packet_id, out);
                    (ack.packet_id, Answer::Received, ack.reason)
                }
                Packet::PingResp => return Ok(()),
                Packet::Disconnect(disconnect) => {
                    return Err(Fault::Disconnected(disconnect.reason));
                }
                Packet::Connect(_)
                | Packet::ConnAck(_)
                | Packet::Publish(_)
                | Packet::PubRel(_)
                | Packet::Subscribe(_)
                | Packet::SubAck(_)
                | Packet::Unsubscribe(_)
                | Packet::UnsubAck(_)
                | Packet::PingReq
                | Packet::Auth(_) => return Err(Fault::Unexpected(packet.packet_type())),
            };
            if self.unacknowledged.answer(id, answer).is_err() {
                self.unexpected += 1;
            } else if reason.is_failure() {
                self.refused += 1;
                self.refusal = Some(reason);
            }
            Ok(())
        })
    }

    /// Messages to send now. Asks for more where that is for it to do.
    fn may_send(&mut self) -> u64 {
        if !self.sending.load(Ordering::Relaxed) {
            return 0;
        }
        let room = if self.qos == QoS::AtMostOnce {
            BURST_MAX
        } else {
            self.unacknowledged.room() as u64
        };
        let burst = (BURST_BYTES / self.template.packet_bytes()).max(1) as u64;
        let wanted = u64::from(self.limit - self.sent)
            .min(room)
            .min(burst)
            .min(BURST_MAX);
        let mut granted = self.lane.granted();
        if let Pacing::Closed(flow) = &self.pacing {
            while granted < u64::from(self.sent) + wanted && flow.chunks(granted) == self.asked {
                flow.take(self.stream);
                self.asked += 1;
                granted = self.lane.granted();
            }
        }
        granted.saturating_sub(u64::from(self.sent)).min(wanted)
    }

    /// No longer counts on this publisher, whose connection has ended.
    pub(crate) fn leave(&self) {
        if let Pacing::Closed(flow) = &self.pacing {
            flow.retire(self.stream);
        }
        self.lane.set_waiting(0);
    }

    /// Appends the next messages.
    fn fill(&mut self, count: u64, out: &mut Vec<u8>) {
        let now = now_ns();
        let tally = self.tally.clone();
        let mut lags = matches!(self.pacing, Pacing::Open { .. }).then(|| tally.lock());
        for _ in 0..count {
            let sent_ns = match &self.pacing {
                Pacing::Closed(_) => now,
                Pacing::Open {
                    schedule,
                    first,
                    step,
                } => schedule.due_ns(first + u64::from(self.sent) * step),
            };
            if let Some(lags) = &mut lags {
                lags.lag(now.saturating_sub(sent_ns));
            }
            let packet_id = match self.qos {
                QoS::AtMostOnce => None,
                QoS::AtLeastOnce => self.unacknowledged.send(false),
                QoS::ExactlyOnce => self.unacknowledged.send(true),
            };
            let stamp = Stamp {
                stream: self.stream,
                sequence: self.sent,
                sent_ns,
            };
            self.template.write(packet_id, stamp, out);
            self.sent += 1;
        }
        self.lane.set_sent(u64::from(self.sent));
        if self.sent == self.limit
            && let Pacing::Closed(flow) = &self.pacing
        {
            flow.finish(u64::from(self.limit));
        }
    }
}
