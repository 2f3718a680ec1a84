//! Who waits for room, and who for an answer.

use std::collections::VecDeque;
use std::task::{Context, Waker};
use std::time::Duration;

use mqtt_codec::QoS;

use crate::session::{PublishAck, PublishId, WhenFull};
use crate::shared::{Answer, ById, Inner, Shared, Wakes, remember};
use crate::{Error, Instant, Message};

/// A place in the line of those who wait for room.
#[derive(Debug)]
pub(crate) struct Ticket(u64);

/// Accepted messages whose answer somebody may want, and messages that wait for room.
#[derive(Default)]
pub(crate) struct Publishes {
    pub(super) slots: ById<PublishId, Slot>,
    line: VecDeque<(u64, Option<Waker>)>,
    next_ticket: u64,
    sample: Option<(PublishId, tokio::time::Instant)>,
}

pub(super) struct Slot {
    pub(super) answer: Answer<Result<PublishAck, Error>>,
    pub(super) place: Place,
}

/// Where an accepted message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Only in memory yet.
    Memory,
    /// Wherever it has to be.
    Kept,
}

impl Publishes {
    pub(crate) fn someone_waits(&self) -> bool {
        !self.line.is_empty()
    }

    /// The server's answer; gives how long it took, if that was measured.
    pub(crate) fn answer(
        &mut self,
        id: PublishId,
        result: Result<PublishAck, Error>,
        wakes: &mut Wakes,
    ) -> Option<Duration> {
        let is_sample = self.sample.is_some_and(|(sample, _)| sample == id);
        let sample = if is_sample { self.sample.take() } else { None };
        let round_trip = sample.filter(|_| result.is_ok());
        match (self.slots.get_mut(&id), result) {
            (Some(slot), result) => slot.answer.give(result, wakes),
            // Its publisher has dropped the receipt, or was a process before this: nobody else would hear of it.
            (None, Err(error @ (Error::DeliveryUnknown | Error::Poison))) => {
                tracing::warn!(%error, "a message was given up");
            }
            (None, Ok(_) | Err(_)) => {}
        }
        round_trip.map(|(_, since)| since.elapsed())
    }

    pub(crate) fn forget_sample(&mut self) {
        self.sample = None;
    }

    pub(crate) fn stored(&mut self, id: PublishId, wakes: &mut Wakes) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.place = Place::Kept;
            slot.answer.wake(wakes);
        }
    }

    /// There is some room: it is the turn of the first in the line.
    pub(crate) fn room(&mut self, wakes: &mut Wakes) {
        if let Some((_, waker)) = self.line.front_mut() {
            wakes.push(waker.take());
        }
    }

    pub(crate) fn end(&mut self, wakes: &mut Wakes) {
        for (_, waker) in &mut self.line {
            wakes.push(waker.take());
        }
        for slot in self.slots.values_mut() {
            slot.answer.wake(wakes);
        }
    }

    fn is_first(&self, ticket: Option<&Ticket>) -> bool {
        match (self.line.front(), ticket) {
            (None, _) => true,
            (Some((first, _)), Some(Ticket(number))) => first == number,
            (Some(_), None) => false,
        }
    }

    fn wait(&mut self, ticket: &mut Option<Ticket>, cx: &Context<'_>) {
        let number = match ticket {
            Some(Ticket(number)) => *number,
            None => {
                let number = self.next_ticket;
                self.next_ticket += 1;
                *ticket = Some(Ticket(number));
                self.line.push_back((number, None));
                number
            }
        };
        if let Ok(at) = self
            .line
            .binary_search_by_key(&number, |(number, _)| *number)
            && let Some((_, waker)) = self.line.get_mut(at)
        {
            remember(waker, cx);
        }
    }

    /// Leaves the line; if that was its head, it is the turn of the next.
    pub(super) fn leave(&mut self, ticket: &mut Option<Ticket>, wakes: &mut Wakes) {
        let Some(Ticket(number)) = ticket.take() else {
            return;
        };
        if let Ok(at) = self
            .line
            .binary_search_by_key(&number, |(number, _)| *number)
        {
            self.line.remove(at);
            if at == 0 {
                self.room(wakes);
            }
        }
    }
}

impl Inner {
    pub(super) fn waits_for_room(
        &mut self,
        message: &Message,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
    ) -> bool {
        let waits = match self.when_full {
            WhenFull::Block => {
                !self.publishes.is_first(ticket.as_ref()) || !self.session.has_room_for(message)
            }
            WhenFull::Reject | WhenFull::DropOldestQoS0 => false,
        };
        if waits {
            self.publishes.wait(ticket, cx);
        }
        waits
    }

    pub(super) fn publish(
        &mut self,
        now: Instant,
        shared: &Shared,
        message: Message,
    ) -> Result<PublishId, Error> {
        let is_kept = message.qos != QoS::AtMostOnce && self.has_outbox;
        let is_sampled = self.publishes.sample.is_none()
            && message.qos != QoS::AtMostOnce
            && self.session.connected().is_some()
            && self.session.counters().queued == 0;
        let id = self.session.publish(now, message)?;
        if is_sampled {
            self.publishes.sample = Some((id, shared.clock.timer_now()));
        }
        let place = if is_kept { Place::Memory } else { Place::Kept };
        self.publishes.slots.insert(
            id,
            Slot {
                answer: Answer::default(),
                place,
            },
        );
        Ok(id)
    }
}
