//! What a stream gives: messages, or messages that the application acknowledges itself.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use mqtt_codec::{PacketId, PacketType, ReasonCode};

use self::sealed::{Acknowledged, Sealed, Taken};
use super::queue::Received;
use crate::Message;
use crate::request::Request;
use crate::session::{DeliveryId, SubscriptionId};
use crate::shared::Shared;

/// What comes out of a [`Subscription`](super::Subscription): [`Message`], [`Delivery`] or [`Request`].
pub trait Item: Sealed {}

impl Item for Message {}
impl Item for Delivery {}
impl Item for Request {}

pub(crate) mod sealed {
    use super::super::queue::Received;
    use crate::client::Client;
    use crate::session::SubscriptionId;

    /// When a message is acknowledged.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Acknowledged {
        /// When it is taken.
        OnTake,
        /// When the application says so.
        ByHand,
    }

    /// A message as it was taken out of its stream.
    pub struct Taken<'a> {
        pub(crate) client: &'a Client,
        pub(crate) subscription: SubscriptionId,
        pub(crate) received: Received,
    }

    pub trait Sealed: Sized + Send + 'static {
        const ACKNOWLEDGED: Acknowledged;

        fn of(taken: Taken<'_>) -> Self;
    }
}

impl Sealed for Message {
    const ACKNOWLEDGED: Acknowledged = Acknowledged::OnTake;

    fn of(taken: Taken<'_>) -> Self {
        taken.received.message
    }
}

impl Sealed for Request {
    const ACKNOWLEDGED: Acknowledged = Acknowledged::OnTake;

    fn of(taken: Taken<'_>) -> Self {
        Self::new(taken.client.clone(), taken.received.message)
    }
}

impl Sealed for Delivery {
    const ACKNOWLEDGED: Acknowledged = Acknowledged::ByHand;

    fn of(taken: Taken<'_>) -> Self {
        Self {
            shared: Arc::clone(taken.client.shared()),
            subscription: taken.subscription,
            delivery: taken.received.delivery,
            message: taken.received.message,
        }
    }
}

/// A message that the application acknowledges when it is done with it: [`ack`](Self::ack) or
/// [`reject`](Self::reject). The server sends no more than
/// [`receive_maximum`](crate::Builder::receive_maximum) messages before.
///
/// One that is dropped without either goes back to the front of its stream, and is the next to be taken. So a
/// task that fails or is cancelled loses nothing. At QoS 0 there is nothing to acknowledge, and nothing goes
/// back.
///
/// Acknowledgements may come in any order, from any task; they are sent in the order that the standard demands,
/// that of the messages. A delivery does not keep the client from ending.
#[must_use = "a message that is dropped without `ack` or `reject` goes back to its stream"]
pub struct Delivery {
    shared: Arc<Shared>,
    subscription: SubscriptionId,
    /// Nothing at QoS 0, and once it is acknowledged.
    delivery: Option<DeliveryId>,
    message: Message,
}

impl Delivery {
    /// The message.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// The packet identifier that the message came with; `None` at QoS 0. Of use only to show it.
    #[must_use]
    pub fn packet_id(&self) -> Option<PacketId> {
        self.delivery.and_then(DeliveryId::packet_id)
    }

    /// Acknowledges the message. Never blocks.
    pub fn ack(mut self) {
        let subscription = self.subscription;
        if let Some(delivery) = self.delivery.take() {
            self.shared.call(|inner, now| {
                inner.session.acknowledge(now, subscription, delivery);
            });
        }
    }

    /// Tells the server that the message is not accepted, and why (5.0; an older server takes it for an
    /// acknowledgement). It is not sent again. What is no failure, or none that a PUBACK may have, is sent as
    /// [`ReasonCode::UnspecifiedError`]. Never blocks.
    pub fn reject(mut self, reason: ReasonCode) {
        let is_allowed = reason.is_failure() && reason.allowed_in(PacketType::PubAck);
        let reason = if is_allowed {
            reason
        } else {
            ReasonCode::UnspecifiedError
        };
        let subscription = self.subscription;
        if let Some(delivery) = self.delivery.take() {
            self.shared.call(|inner, now| {
                inner.session.reject(now, subscription, delivery, reason);
            });
        }
    }
}

impl Deref for Delivery {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let Some(delivery) = self.delivery.take() else {
            return;
        };
        let received = Received {
            delivery: Some(delivery),
            message: self.message.clone(),
        };
        self.shared.with(|inner, _| {
            // Without its stream, the session has it for whoever subscribes next.
            if let Some(queue) = inner.queues.get_mut(&self.subscription) {
                queue.put_back(received, &mut inner.wakes);
            }
        });
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}
