//! Publishing: the builder, the futures, and who waits for room and for answers.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::{DecodeError, EncodeError, Properties, Property, QoS, TopicName};

use crate::client::Client;
use crate::properties;
use crate::session::{PublishAck, PublishId, WhenFull};
use crate::shared::{Answer, ById, Inner, Shared, Wakes, remember};
use crate::{Error, Instant, Message};

/// What can be a topic name: text, which is checked, or a [`TopicName`], which was.
pub trait IntoTopic {
    /// The topic name.
    ///
    /// # Errors
    /// If it is none: empty, too long, or with a wildcard.
    fn into_topic(self) -> Result<TopicName, DecodeError>;
}

impl IntoTopic for TopicName {
    fn into_topic(self) -> Result<TopicName, DecodeError> {
        Ok(self)
    }
}

impl IntoTopic for &TopicName {
    fn into_topic(self) -> Result<TopicName, DecodeError> {
        Ok(self.clone())
    }
}

impl IntoTopic for &str {
    fn into_topic(self) -> Result<TopicName, DecodeError> {
        TopicName::from_text(self)
    }
}

impl IntoTopic for &String {
    fn into_topic(self) -> Result<TopicName, DecodeError> {
        TopicName::from_text(self)
    }
}

impl IntoTopic for String {
    fn into_topic(self) -> Result<TopicName, DecodeError> {
        TopicName::new(self.into())
    }
}

/// A message that is about to be published: from [`Client::publish`]. Nothing happens before it is awaited
/// or enqueued.
///
/// ```no_run
/// # async fn example(client: mqtt_client::Client) -> mqtt_client::Result<()> {
/// use std::time::Duration;
/// use mqtt_client::QoS;
///
/// // Waits for the server's answer: PUBACK or PUBCOMP.
/// client.publish("sensors/a/temp", "21.5").retain().expiry(Duration::from_secs(60)).await?;
///
/// // Waits until it is accepted. The receipt may be awaited, or dropped.
/// let receipt = client.publish("sensors/a/temp", "21.6").qos(QoS::ExactlyOnce).enqueue().await?;
/// receipt.await?;
///
/// // Does not wait at all.
/// client.publish("sensors/a/temp", "21.7").try_enqueue()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a message is published when this is awaited or enqueued"]
pub struct Publish {
    client: Client,
    message: Result<Message, Error>,
}

impl Publish {
    pub(crate) fn new(client: Client, topic: impl IntoTopic, payload: impl Into<Bytes>) -> Self {
        let topic = topic.into_topic().map_err(Error::Invalid);
        let message = topic.map(|topic| Message::to(topic, payload));
        Self { client, message }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) const fn of(client: Client, message: Result<Message, Error>) -> Self {
        Self { client, message }
    }

    /// The quality of service. QoS 1 by default.
    pub fn qos(mut self, qos: QoS) -> Self {
        if let Ok(message) = &mut self.message {
            message.qos = qos;
        }
        self
    }

    /// Has the server keep it as the topic's retained message; one without a payload removes that.
    pub fn retain(self) -> Self {
        self.retained(true)
    }

    /// Whether the server keeps it as the topic's retained message. False by default.
    pub fn retained(mut self, retain: bool) -> Self {
        if let Ok(message) = &mut self.message {
            message.retain = retain;
        }
        self
    }

    /// Its lifetime, in whole seconds, the rest rounded up: it is delivered to nobody later, and given up if
    /// it could not be sent by then. For ever by default. Before 5.0, the server knows no lifetimes.
    pub fn expiry(self, lifetime: Duration) -> Self {
        let seconds = lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.set(|| Ok(Property::MessageExpiryInterval(seconds)))
    }

    /// What the payload is, such as `application/json` (5.0).
    pub fn content_type(self, content_type: &str) -> Self {
        self.set(|| properties::text(content_type).map(Property::ContentType))
    }

    /// Says that the payload is UTF-8 text (5.0). A server may check that.
    pub fn utf8(self) -> Self {
        self.set(|| Ok(Property::PayloadFormatIndicator(true)))
    }

    /// Where a response is to be published (5.0). [`Client::request`] does all of this by itself.
    pub fn response_topic(mut self, topic: &str) -> Self {
        match TopicName::new(topic.as_bytes()) {
            Ok(topic) => self.set(|| Ok(Property::ResponseTopic(topic))),
            Err(error) => {
                self.message = self.message.and(Err(Error::Invalid(error)));
                self
            }
        }
    }

    /// What a response has to bring back with it (5.0).
    pub fn correlation_data(self, data: &[u8]) -> Self {
        self.set(|| Ok(Property::CorrelationData(data)))
    }

    /// Adds a user property (5.0). The same name may come again.
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        self.message = self.message.and_then(|mut message| {
            message.properties = properties::add_user_property(&message.properties, name, value)
                .map_err(Error::Encode)?;
            Ok(message)
        });
        self
    }

    /// These properties, in place of all that were set (5.0).
    pub fn properties(mut self, properties: Properties) -> Self {
        if let Ok(message) = &mut self.message {
            message.properties = properties;
        }
        self
    }

    fn set<'a>(mut self, property: impl FnOnce() -> Result<Property<'a>, EncodeError>) -> Self {
        self.message = self.message.and_then(|mut message| {
            message.properties = property()
                .and_then(|property| properties::set(&message.properties, property))
                .map_err(Error::Encode)?;
            Ok(message)
        });
        self
    }

    /// Waits until the message is accepted: there is room for it, and it is in the outbox if the client has
    /// one (QoS 1 and 2). From then on it is delivered, whatever becomes of the receipt.
    ///
    /// # Errors
    /// All of [`Error`] that says why a message is not accepted, such as [`Error::Offline`] at QoS 0.
    ///
    /// # Cancel safety
    /// A future that is dropped while it waits for room has sent nothing, and never will. Dropped while the
    /// outbox commits, the message stays accepted.
    pub async fn enqueue(self) -> Result<Receipt, Error> {
        let receipt = Accepting::new(self).await?;
        std::future::poll_fn(|cx| receipt.poll_stored(cx)).await;
        Ok(receipt)
    }

    /// Accepts the message now, or not at all. Never blocks. With an outbox, the message is accepted before it
    /// is in there: the receipt tells more.
    ///
    /// # Errors
    /// [`Error::QueueFull`] if there is no room, or others wait for room; else as for
    /// [`enqueue`](Self::enqueue).
    pub fn try_enqueue(self) -> Result<Receipt, Error> {
        let message = self.message?;
        let shared = self.client.shared();
        let id = shared.call(|inner, now| {
            inner.alive()?;
            if inner.publishes.someone_waits() {
                return Err(Error::QueueFull);
            }
            inner.publish(now, shared, message)
        })?;
        Ok(Receipt::new(shared.clone(), id))
    }
}

impl IntoFuture for Publish {
    type Output = Result<PublishAck, Error>;
    type IntoFuture = Publishing;

    fn into_future(self) -> Publishing {
        Publishing {
            _client: self.client.clone(),
            stage: Stage::Accepting(Accepting::new(self)),
        }
    }
}

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
    _client: Client,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
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
struct Accepting {
    client: Client,
    message: Option<Result<Message, Error>>,
    ticket: Option<Ticket>,
}

impl Accepting {
    fn new(publish: Publish) -> Self {
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
    const fn new(shared: Arc<Shared>, id: PublishId) -> Self {
        Self { shared, id }
    }

    /// The answer, if it is there. Never blocks; the answer is given once.
    pub fn try_answer(&mut self) -> Option<Result<PublishAck, Error>> {
        self.shared.with(|inner, _| {
            let slot = inner.publishes.slots.get_mut(&self.id)?;
            slot.answer.take().or_else(|| inner.alive().err().map(Err))
        })
    }

    fn poll_stored(&self, cx: &Context<'_>) -> Poll<()> {
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

/// A place in the line of those who wait for room.
#[derive(Debug)]
pub(crate) struct Ticket(u64);

/// Accepted messages whose answer somebody may want, and messages that wait for room.
#[derive(Default)]
pub(crate) struct Publishes {
    slots: ById<PublishId, Slot>,
    line: VecDeque<(u64, Option<Waker>)>,
    next_ticket: u64,
    sample: Option<(PublishId, tokio::time::Instant)>,
}

struct Slot {
    answer: Answer<Result<PublishAck, Error>>,
    place: Place,
}

/// Where an accepted message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
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
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.answer.give(result, wakes);
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
    fn leave(&mut self, ticket: &mut Option<Ticket>, wakes: &mut Wakes) {
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
    fn waits_for_room(
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

    fn publish(
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
