//! A subscription that was made: a stream.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use mqtt_codec::{QoS, ReasonCode, TopicFilter};

use super::Item;
use super::delivery::Delivery;
use super::delivery::sealed::{Acknowledged, Taken};
use super::queue::{Granted, Received};
use crate::client::Client;
use crate::session::SubscriptionId;
use crate::shared::{Answer, Inner};
use crate::{Error, Instant, Message};

/// The messages of a subscription, in the order in which they came: a [`Stream`], and with
/// [`next`](Self::next) one that needs no other crate.
///
/// It survives losses of the connection, and of the session at the server. A message is acknowledged when it is
/// taken out of here, not before; so who takes none stops the server, after
/// [`receive_maximum`](crate::Builder::receive_maximum) messages of QoS 1 and 2 for the whole client. A message
/// that matches several subscriptions comes out of each.
///
/// The stream ends when the client does: then it gives what it has, but for QoS 2 messages, which a server that
/// keeps the session sends again. It also ends if the server refuses all of it.
///
/// It is a handle of the client: that does not end as long as this is there. Dropped, it is unsubscribed; or, in
/// a session that outlives the client, it stays subscribed, and its messages wait for whoever subscribes next.
#[must_use = "a subscription that is dropped is unsubscribed"]
pub struct Subscription<T: Item = Message> {
    client: Client,
    id: SubscriptionId,
    filters: Vec<TopicFilter>,
    hold: Hold,
    items: PhantomData<fn() -> T>,
}

/// Whether dropping it gives up the subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Held,
    /// It is unsubscribed already, or lives on in another value.
    Released,
}

impl<T: Item> Subscription<T> {
    pub(crate) const fn new(client: Client, id: SubscriptionId, filters: Vec<TopicFilter>) -> Self {
        Self {
            client,
            id,
            filters,
            hold: Hold::Held,
            items: PhantomData,
        }
    }

    /// The next message; `None` at the end of the stream.
    ///
    /// # Cancel safety
    /// Safe: a message is taken only by the call that returns it.
    pub async fn next(&mut self) -> Option<T> {
        std::future::poll_fn(|cx| self.poll_take(cx)).await
    }

    /// The next message, if there is one now. Never blocks.
    pub fn try_next(&mut self) -> Option<T> {
        let taken = self
            .client
            .shared()
            .with(|inner, now| self.take(inner, now));
        taken.map(|received| self.item(received))
    }

    fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<T>> {
        let shared = self.client.shared();
        let taken = shared.with(|inner, now| {
            if let Some(received) = self.take(inner, now) {
                return Poll::Ready(Some(received));
            }
            match inner.queues.get_mut(&self.id) {
                Some(queue) if !queue.is_over() => {
                    queue.wait(cx);
                    Poll::Pending
                }
                Some(_) | None => Poll::Ready(None),
            }
        });
        taken.map(|received| received.map(|received| self.item(received)))
    }

    /// Takes a message out of the queue, which acknowledges it.
    fn take(&self, inner: &mut Inner, now: Instant) -> Option<Received> {
        let queue = inner.queues.get_mut(&self.id)?;
        let full_before = inner.full_queues;
        let received = queue.pop(&mut inner.full_queues)?;
        let mut has_work = inner.full_queues < full_before;
        if let Some(delivery) = received.delivery
            && T::ACKNOWLEDGED == Acknowledged::OnTake
        {
            inner.session.acknowledge(now, self.id, delivery);
            has_work = true;
        }
        if has_work {
            self.client.shared().work.notify_one();
        }
        Some(received)
    }

    fn item(&self, received: Received) -> T {
        T::of(Taken {
            client: &self.client,
            subscription: self.id,
            received,
        })
    }

    /// The topic filters.
    #[must_use]
    pub fn filters(&self) -> &[TopicFilter] {
        &self.filters
    }

    /// For each filter, in order, the QoS that the server granted, or why it refused. Empty before its answer.
    #[must_use]
    pub fn granted(&self) -> Vec<Result<QoS, ReasonCode>> {
        let answer = |inner: &mut Inner, _: Instant| {
            let answer = inner.queues.get(&self.id)?.answer()?;
            answer.as_ref().ok().cloned()
        };
        self.client.shared().with(answer).unwrap_or_default()
    }

    /// Waits for the server's answer, which [`granted`](Self::granted) then tells. Of use after
    /// [`start`](super::Subscribe::start): who awaits a [`Subscribe`](super::Subscribe) has waited.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this server has no such subscriptions, [`Error::Refused`] if the request is too
    /// large for it, [`Error::Ended`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ready(&self) -> Result<Vec<Result<QoS, ReasonCode>>, Error> {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await
    }

    fn poll_ready(&self, cx: &Context<'_>) -> Poll<Result<Granted, Error>> {
        self.client.shared().with(|inner, _| {
            let alive = inner.alive();
            let Some(queue) = inner.queues.get_mut(&self.id) else {
                return Poll::Pending;
            };
            match (queue.answer(), alive) {
                (Some(answer), _) => Poll::Ready(answer.clone()),
                (None, Err(error)) => Poll::Ready(Err(error)),
                (None, Ok(())) => {
                    queue.wait_for_answer(cx);
                    Poll::Pending
                }
            }
        })
    }

    /// Unsubscribes, and waits for the server's answer; without a connection, for the next one. Messages that were
    /// not taken are given up, and acknowledged.
    ///
    /// # Errors
    /// [`Error::Refused`] if the server does, [`Error::Ended`].
    ///
    /// # Cancel safety
    /// Once it was polled, the subscription ends, also if the future is dropped.
    pub async fn unsubscribe(mut self) -> Result<(), Error> {
        let shared = self.client.shared();
        let waiting = shared.call(|inner, now| {
            inner.alive()?;
            inner.unsubscribing.insert(self.id, Answer::default());
            inner.remove_queue(self.id);
            inner.session.unsubscribe(now, self.id);
            Ok(Unsubscribing {
                client: self.client.clone(),
                id: self.id,
            })
        });
        self.hold = Hold::Released;
        let waiting = waiting?;
        std::future::poll_fn(|cx| waiting.poll(cx)).await
    }
}

impl Subscription {
    /// From now on the application acknowledges each message itself.
    pub fn manual_ack(mut self) -> Subscription<Delivery> {
        self.hold = Hold::Released;
        let filters = std::mem::take(&mut self.filters);
        Subscription::new(self.client.clone(), self.id, filters)
    }
}

impl<T: Item> Stream for Subscription<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_take(cx)
    }
}

impl<T: Item> Drop for Subscription<T> {
    fn drop(&mut self) {
        if self.hold == Hold::Held {
            self.client.shared().call(|inner, now| {
                inner.remove_queue(self.id);
                inner.session.detach(now, self.id);
            });
        }
    }
}

impl<T: Item> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("filters", &self.filters)
            .finish_non_exhaustive()
    }
}

/// Waits for an UNSUBACK.
struct Unsubscribing {
    client: Client,
    id: SubscriptionId,
}

impl Unsubscribing {
    fn poll(&self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        self.client.shared().with(|inner, _| {
            let alive = inner.alive();
            let Some(answer) = inner.unsubscribing.get_mut(&self.id) else {
                return Poll::Pending;
            };
            match (answer.poll(cx), alive) {
                (Poll::Pending, Err(error)) => Poll::Ready(Err(error)),
                (answer, _) => answer,
            }
        })
    }
}

impl Drop for Unsubscribing {
    fn drop(&mut self) {
        self.client
            .shared()
            .with(|inner, _| inner.unsubscribing.remove(&self.id));
    }
}

impl Inner {
    fn remove_queue(&mut self, id: SubscriptionId) {
        if let Some(mut queue) = self.queues.remove(&id) {
            queue.let_read(&mut self.full_queues);
        }
    }
}
