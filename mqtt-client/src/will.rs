//! Building a will.

use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::QoS;

use crate::publish::IntoTopic;
use crate::{Error, Message, Will};

impl Will {
    /// A will of QoS 1, not retained, published at once when the connection is lost.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `topic` is no topic name.
    pub fn new(topic: impl IntoTopic, payload: impl Into<Bytes>) -> Result<Self, Error> {
        Ok(Self {
            message: Message::to(topic.into_topic().map_err(Error::Invalid)?, payload),
            delay: Duration::ZERO,
        })
    }

    /// The quality of service.
    #[must_use]
    pub const fn qos(mut self, qos: QoS) -> Self {
        self.message.qos = qos;
        self
    }

    /// Has the server keep it as the topic's retained message.
    #[must_use]
    pub const fn retain(mut self) -> Self {
        self.message.retain = true;
        self
    }

    /// How long after the loss it is published, unless the client is back by then (5.0); whole seconds.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}
