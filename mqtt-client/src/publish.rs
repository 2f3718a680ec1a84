//! Publishing: the builder, the futures, and who waits for room and for answers.

mod line;
mod receipt;

use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::{DecodeError, EncodeError, Properties, Property, QoS, TopicName};

pub(crate) use self::line::Publishes;
use self::receipt::{Accepting, Stage};
pub use self::receipt::{Publishing, Receipt};
use crate::client::Client;
use crate::properties;
use crate::session::PublishAck;
use crate::{Error, Message};

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
