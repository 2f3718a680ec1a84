//! The futures of a publish: until it is accepted, and until it is answered.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Publish;
use super::line::{Place, Ticket};
use crate::client::Client;
use crate::session::{PublishAck, PublishId};
use crate::shared::{Answer, Shared, remember};
use crate::{Error, Message};

/// Publishes a message, and resolves with the server's answer: a PUBACK at QoS 1, a PUBCOMP at QoS 2. At QoS 0
/// it resolves when the message was given to the transport.
///
/// # Cancel safety
/// Dropped before the message was accepted, which is while it waits for room, nothing is sent. Dropped later,
/// only the answer is lost: the message is delivered all the same.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Publishing {
    /// The client does not end while somebody waits.
    pub(super) _client: Client,
    pub(super) stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    Accepting(Accepting),
    Accepted(Receipt),
}

impl Future for Publishing {
    type Output = Result<PublishAck, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Stage::Accepting(accepting) = &mut self.stage {
            match Pin::new(accepting).poll(cx) {
                Poll::Ready(Ok(receipt)) => self.stage = Stage::Accepted(receipt),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        match &mut self.stage {
            Stage::Accepted(receipt) => Pin::new(receipt).poll(cx),
            Stage::Accepting(_) => Poll::Pending,
        }
    }
}

/// Waits for room for one message, in the order in which this was asked for.
pub(super) struct Accepting {
    client: Client,
    message: Option<Result<Message, Error>>,
    ticket: Option<Ticket>,
}

impl Accepting {
    pub(super) fn new(publish: Publish) -> Self {
        Self {
            client: publish.client,
            message: Some(publish.message),
            ticket: None,
        }
    }
}

impl Future for Accepting {
    type Output = Result<Receipt, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            client,
            message,
            ticket,
        } = &mut *self;
        let shared = client.shared();
        let wanted = match message.take() {
            Some(Ok(wanted)) => wanted,
            Some(Err(error)) => return Poll::Ready(Err(error)),
            // It was accepted, or was not: who polls again waits for nothing.
            None => return Poll::Pending,
        };
        let accepted = shared.call(|inner, now| {
            inner.alive()?;
            if inner.waits_for_room(&wanted, ticket, cx) {
                *message = Some(Ok(wanted));
                return Ok(None);
            }
            inner.publishes.leave(ticket, &mut inner.wakes);
            inner.publish(now, shared, wanted).map(Some)
        });
        match accepted {
            Ok(Some(id)) => Poll::Ready(Ok(Receipt::new(shared.clone(), id))),
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            let ticket = &mut self.ticket;
            self.client
                .shared()
                .with(|inner, _| inner.publishes.leave(ticket, &mut inner.wakes));
        }
    }
}

impl fmt::Debug for Accepting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepting")
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

/// Becomes the server's answer to an accepted message. Dropping it gives up the answer, and changes nothing
/// else: it does not keep the client from ending, and the message is delivered with or without it.
///
/// # Cancel safety
/// Safe: the answer stays until a poll returns it. Polled after that, it is pending for ever.
#[must_use = "it is the only way to hear of a failure; `drop` it to say that none matters"]
pub struct Receipt {
    shared: Arc<Shared>,
    id: PublishId,
}

impl Receipt {
    pub(super) const fn new(shared: Arc<Shared>, id: PublishId) -> Self {
        Self { shared, id }
    }

    /// The answer, if it is there. Never blocks; the answer is given once.
    pub fn try_answer(&mut self) -> Option<Result<PublishAck, Error>> {
        self.shared.with(|inner, _| {
            let slot = inner.publishes.slots.get_mut(&self.id)?;
            slot.answer.take().or_else(|| inner.alive().err().map(Err))
        })
    }

    pub(super) fn poll_stored(&self, cx: &Context<'_>) -> Poll<()> {
        self.shared.with(|inner, _| {
            let ended = inner.alive().is_err();
            match inner.publishes.slots.get_mut(&self.id) {
                Some(slot) if slot.place == Place::Memory && !ended => {
                    if let Answer::Awaited(waker) = &mut slot.answer {
                        remember(waker, cx);
                        return Poll::Pending;
                    }
                    Poll::Ready(())
                }
                Some(_) | None => Poll::Ready(()),
            }
        })
    }
}

impl Future for Receipt {
    type Output = Result<PublishAck, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.shared.with(|inner, _| {
            let ended = inner.alive();
            match inner.publishes.slots.get_mut(&self.id) {
                Some(slot) => match (slot.answer.poll(cx), ended) {
                    (Poll::Pending, Err(error)) if slot.answer.is_awaited() => {
                        slot.answer = Answer::Taken;
                        Poll::Ready(Err(error))
                    }
                    (answer, _) => answer,
                },
                None => Poll::Pending,
            }
        })
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.shared
            .with(|inner, _| inner.publishes.slots.remove(&self.id));
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receipt").field(&self.id).finish()
    }
}
