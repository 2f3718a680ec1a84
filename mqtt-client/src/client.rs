//! The handle: what one can do with a client.

use std::fmt;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use mqtt_codec::TopicFilter;

use crate::builder::Builder;
use crate::disconnect::Disconnect;
use crate::metrics::Metrics;
use crate::publish::{IntoTopic, Publish};
use crate::request::{Request, RequestBuilder};
use crate::session::{Connected, Disconnecting};
use crate::shared::{Answer, Inner, Shared, SharedAuthenticator};
use crate::state::StateWatch;
use crate::subscribe::{IntoFilters, Subscribe, Subscription};
use crate::{AuthenticationError, ConnectionError, Ended, Error, Message};

/// A client: cheap to clone, and usable from any task or thread. A task of its own does the work, so nothing has to
/// be polled; and whatever a caller does or leaves undone, that task goes on.
///
/// A lost connection is made again, and calls keep working meanwhile: messages wait in a bounded queue,
/// subscriptions are made when there is a connection. [`state`](Self::state) tells.
///
/// The client ends by [`disconnect`](Self::disconnect); or in the background, with a DISCONNECT and five seconds for
/// what was accepted, when its last handle is dropped. Handles are clients, [`Subscription`]s, [`Request`]s, and
/// futures that were not awaited to their end. No handles are [`Receipt`](crate::Receipt)s,
/// [`Delivery`](crate::Delivery)s and [`StateWatch`]es.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// All handles together: dropped with the last one.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.disconnect(Disconnecting::default());
    }
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            handle: Arc::new(Handle { shared }),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Connects to the server that a URL such as `mqtt://localhost` names, with the default options.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    ///
    /// # Cancel safety
    /// Dropping the future gives up the attempt.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder(url).connect().await
    }

    /// Says how to connect to the server that a URL names: `mqtt://`, `mqtts://`, `ws://`, `wss://` or `unix://`.
    /// A URL that is none is told when it is connected to.
    pub fn builder(url: &str) -> Builder {
        Builder::new().server(url)
    }

    /// Publishes a message: await it, or enqueue it. With QoS 1, if nothing else is said.
    pub fn publish(&self, topic: impl IntoTopic, payload: impl Into<Bytes>) -> Publish {
        Publish::new(self.clone(), topic, payload)
    }

    /// Publishes a message that is there already, such as one that was received. Of its properties, topic aliases
    /// and subscription identifiers are left out.
    pub fn publish_message(&self, message: Message) -> Publish {
        Publish::of(self.clone(), Ok(message))
    }

    /// Subscribes to a topic filter, or to a list of them: await it to get the stream of messages.
    pub fn subscribe(&self, filters: impl IntoFilters) -> Subscribe {
        Subscribe::new(self.clone(), filters)
    }

    /// The stream of a subscription that [`Builder::pre_subscribe`] has made, by one of its filters. Each is given
    /// once.
    pub fn pre_subscribed(&self, filter: &str) -> Option<Subscription> {
        let (id, filters) = self.shared().with(|inner, _| {
            let is_it = |filters: &[TopicFilter]| filters.iter().any(|one| **one == *filter);
            let mut all = inner.pre_subscribed.iter();
            let at = all.position(|(_, filters)| is_it(filters))?;
            Some(inner.pre_subscribed.swap_remove(at))
        })?;
        Some(Subscription::new(self.clone(), id, filters))
    }

    /// Asks whoever is subscribed to a topic, and gives the response (5.0): await it.
    pub fn request(&self, topic: impl IntoTopic, payload: impl Into<Bytes>) -> RequestBuilder {
        RequestBuilder::new(self.clone(), topic, payload)
    }

    /// Subscribes to requests (5.0): await it to get their stream, and answer each with [`Request::reply`].
    pub fn serve(&self, filters: impl IntoFilters) -> Subscribe<Request> {
        Subscribe::new(self.clone(), filters)
    }

    /// Disconnects: await it.
    pub fn disconnect(&self) -> Disconnect {
        Disconnect::new(self.clone())
    }

    /// Whether there is a connection, and how to hear of changes.
    #[must_use]
    pub fn state(&self) -> StateWatch {
        StateWatch::new(self.shared().watch())
    }

    /// What was agreed on with the server; `None` without a connection.
    #[must_use]
    pub fn connected(&self) -> Option<Arc<Connected>> {
        self.shared()
            .with(|inner, _| inner.session.connected().cloned())
    }

    /// The server that is connected to, or was last, as a URL without secrets; `None` before the first.
    #[must_use]
    pub fn server(&self) -> Option<Arc<str>> {
        self.shared().with(|inner, _| inner.server.clone())
    }

    /// Counts of what the client has done.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.shared().with(|inner, _| Metrics {
            session: inner.session.counters(),
            ..inner.metrics.clone()
        })
    }

    /// Authenticates again on this connection, with the method that it was made with (5.0).
    ///
    /// # Errors
    /// [`Error::Unsupported`] without an [`authenticator`](Builder::authenticator), or while an authentication is under
    /// way; [`Error::Offline`], also if the connection is lost meanwhile; [`Error::Ended`] if it fails, since that ends
    /// the client.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the answer. Once it was sent, the authentication goes on.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn reauthenticate(&self) -> Result<(), Error> {
        let shared = self.shared();
        let Some(authenticator) = shared.authenticator.clone() else {
            return Err(Error::Unsupported("a new authentication without a method"));
        };
        let data = start_authentication(authenticator).await.map_err(|error| {
            Error::Ended(Ended::Connection(ConnectionError::Authentication(error)))
        })?;
        shared.call(|inner, now| {
            inner.alive()?;
            inner.session.reauthenticate(now, Some(&data.data))?;
            inner.reauthenticating = Some(Answer::default());
            Ok(())
        })?;
        std::future::poll_fn(|cx| shared.with(|inner, _| inner.poll_reauthentication(cx))).await
    }
}

impl Inner {
    fn poll_reauthentication(
        &mut self,
        cx: &std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Error>> {
        use std::task::Poll;

        let alive = self.alive();
        let Some(answer) = &mut self.reauthenticating else {
            return Poll::Ready(alive.and(Err(Error::Offline)));
        };
        match (answer.poll(cx), alive) {
            (Poll::Pending, Err(error)) => Poll::Ready(Err(error)),
            (answer, _) => answer,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state().now();
        f.debug_struct("Client")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

/// The beginning of an authentication.
pub(crate) struct FirstStep {
    pub(crate) method: String,
    pub(crate) data: Vec<u8>,
}

/// Asks the authenticator for its first step, on a thread where it may block.
pub(crate) async fn start_authentication(
    authenticator: SharedAuthenticator,
) -> Result<FirstStep, AuthenticationError> {
    let started = tokio::task::spawn_blocking(move || {
        let mut authenticator = authenticator.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(FirstStep {
            method: authenticator.method().to_owned(),
            data: authenticator.start()?,
        })
    });
    started
        .await
        .unwrap_or_else(|panic| Err(AuthenticationError::failed(panic)))
}
