//! Request and response (5.0): who asks, and who answers.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::{QoS, ReasonCode, SubscriptionOptions, TopicFilter, TopicName, Version};

use crate::client::Client;
use crate::publish::{IntoTopic, Publish};
use crate::session::{Connected, SubscriptionId};
use crate::shared::{Answer, Inner, Wakes};
use crate::state::State;
use crate::subscribe::Granted;
use crate::{Error, Message, Properties};

/// How long a request waits for its response by default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A request that is about to be made: from [`Client::request`]. Nothing happens before it is awaited.
///
/// The response comes to a topic that only this client knows, below the one that the server recommends if it
/// does. All requests share one subscription.
#[derive(Debug)]
#[must_use = "a request is made when this is awaited"]
pub struct RequestBuilder {
    publish: Publish,
    timeout: Duration,
}

impl RequestBuilder {
    pub(crate) fn new(client: Client, topic: impl IntoTopic, payload: impl Into<Bytes>) -> Self {
        Self {
            publish: Publish::new(client, topic, payload),
            timeout: TIMEOUT,
        }
    }

    /// How long all of it may take. 10 seconds by default. It is the lifetime of the request message, too, rounded
    /// up to whole seconds: nobody is to work on a request that nobody waits for.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The quality of service of the request, and the highest of the response. QoS 1 by default.
    pub fn qos(mut self, qos: QoS) -> Self {
        self.publish = self.publish.qos(qos);
        self
    }

    /// What the payload is, such as `application/json`.
    pub fn content_type(mut self, content_type: &str) -> Self {
        self.publish = self.publish.content_type(content_type);
        self
    }

    /// Adds a user property. The same name may come again.
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        self.publish = self.publish.user_property(name, value);
        self
    }

    async fn run(self) -> Result<Message, Error> {
        let client = self.publish.client().clone();
        let topic = response_topic(&client).await?;
        let pending = Pending::new(&client);
        let publish = self
            .publish
            .response_topic(topic.as_str())
            .correlation_data(&pending.number.to_be_bytes())
            .expiry(self.timeout);
        let answer = publish.await?;
        // At QoS 0 the server says nothing; there only the time tells.
        if answer.reason == ReasonCode::NoMatchingSubscribers {
            return Err(Error::NoResponder);
        }
        std::future::poll_fn(|cx| pending.poll(cx)).await
    }
}

/// Makes the request, and resolves with the response: with [`Error::NoResponder`] if the server says that nobody
/// is subscribed to the topic, [`Error::Timeout`] if no response comes in time, [`Error::Unsupported`] if the server
/// does not speak 5.0. Without a connection, it waits for the next one.
///
/// # Cancel safety
/// Dropped before the message was accepted, nothing is sent. Dropped later, only the response is lost.
impl IntoFuture for RequestBuilder {
    type Output = Result<Message, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let timeout = self.timeout;
            let response = tokio::time::timeout(timeout, self.run()).await;
            response.unwrap_or(Err(Error::Timeout))
        })
    }
}

/// Waits for a connection, and for the subscription to the topic of responses.
async fn response_topic(client: &Client) -> Result<TopicName, Error> {
    let agreed = connected(client).await?;
    if agreed.version != Version::V5 {
        return Err(Error::Unsupported(
            "requests and responses: it speaks an older version",
        ));
    }
    let base = agreed.response_information.clone();
    client.shared().call(|inner, now| {
        inner.alive()?;
        if inner
            .requests
            .route
            .as_ref()
            .is_none_or(|route| route.base != base)
        {
            inner.make_route(now, base)?;
        }
        Ok(())
    })?;
    std::future::poll_fn(|cx| {
        client.shared().with(|inner, _| {
            let alive = inner.alive();
            match (inner.requests.poll_route(cx), alive) {
                (Poll::Pending, Err(error)) => Poll::Ready(Err(error)),
                (topic, _) => topic,
            }
        })
    })
    .await
}

async fn connected(client: &Client) -> Result<Arc<Connected>, Error> {
    let mut states = client.state();
    let mut state = states.now();
    loop {
        match state {
            State::Connected(agreed) => return Ok(agreed),
            State::Ended(ended) => return Err(Error::Ended(ended)),
            State::Connecting { .. } => state = states.changed().await,
        }
    }
}

/// The requests that wait for a response, and where that comes to.
#[derive(Default)]
pub(crate) struct Requests {
    route: Option<Route>,
    waiting: HashMap<u64, Answer<Message>>,
    next: u64,
}

/// The topic of responses.
struct Route {
    /// What the server recommended when it was made.
    base: Option<Arc<str>>,
    topic: TopicName,
    subscription: SubscriptionId,
    subscribed: Subscribed,
    wakers: Vec<Waker>,
}

enum Subscribed {
    NotYet,
    Yes,
    Failed(Error),
}

impl Requests {
    pub(crate) fn is_for(&self, subscription: SubscriptionId) -> bool {
        let route = self.route.as_ref();
        route.is_some_and(|route| route.subscription == subscription)
    }

    pub(crate) fn subscribed(&mut self, result: Result<Granted, Error>, wakes: &mut Wakes) {
        let Some(route) = &mut self.route else { return };
        route.subscribed = match result {
            Err(error) => Subscribed::Failed(error),
            Ok(granted) => match granted.first() {
                Some(Err(reason)) => Subscribed::Failed(Error::refused(*reason)),
                Some(Ok(_)) | None => Subscribed::Yes,
            },
        };
        for waker in route.wakers.drain(..) {
            wakes.push(Some(waker));
        }
    }

    /// A failure is told to who waits now; the next request subscribes anew.
    fn poll_route(&mut self, cx: &Context<'_>) -> Poll<Result<TopicName, Error>> {
        let Some(route) = &mut self.route else {
            return Poll::Ready(Err(Error::Offline));
        };
        match &route.subscribed {
            Subscribed::Yes => Poll::Ready(Ok(route.topic.clone())),
            Subscribed::Failed(error) => Poll::Ready(Err(error.clone())),
            Subscribed::NotYet => {
                if !route.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    route.wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Gives a response to the request that it is for. Others are nobody's.
    pub(crate) fn respond(&mut self, message: Message, wakes: &mut Wakes) {
        let number = message
            .correlation_data()
            .and_then(|data| data.try_into().ok())
            .map(u64::from_be_bytes);
        if let Some(answer) = number.and_then(|number| self.waiting.get_mut(&number)) {
            answer.give(message, wakes);
        }
    }

    pub(crate) fn end(&mut self, wakes: &mut Wakes) {
        for waker in self
            .route
            .iter_mut()
            .flat_map(|route| route.wakers.drain(..))
        {
            wakes.push(Some(waker));
        }
        for answer in self.waiting.values_mut() {
            answer.wake(wakes);
        }
    }
}

impl Inner {
    /// Subscribes to a topic of responses that nobody else knows.
    fn make_route(&mut self, now: crate::Instant, base: Option<Arc<str>>) -> Result<(), Error> {
        let mut dice = fastrand::Rng::new();
        let secret: String = std::iter::repeat_with(|| dice.lowercase())
            .take(20)
            .collect();
        let prefix = base.as_deref().unwrap_or("responses").trim_end_matches('/');
        let name = format!("{prefix}/{secret}");
        let topic = TopicName::from_text(&name).map_err(Error::Invalid)?;
        let filter = TopicFilter::from_text(&name).map_err(Error::Invalid)?;
        let filters = vec![(filter, SubscriptionOptions::of_qos(QoS::ExactlyOnce))];
        let subscription = self
            .session
            .subscribe(now, filters, &Properties::default())?;
        let route = Route {
            base,
            topic,
            subscription,
            subscribed: Subscribed::NotYet,
            wakers: Vec::new(),
        };
        if let Some(old) = self.requests.route.replace(route) {
            self.session.unsubscribe(now, old.subscription);
            for waker in old.wakers {
                self.wakes.push(Some(waker));
            }
        }
        Ok(())
    }
}

/// A request that waits for its response.
struct Pending {
    client: Client,
    number: u64,
}

impl Pending {
    fn new(client: &Client) -> Self {
        let number = client.shared().with(|inner, _| {
            let requests = &mut inner.requests;
            requests.next += 1;
            requests.waiting.insert(requests.next, Answer::default());
            requests.next
        });
        Self {
            client: client.clone(),
            number,
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Result<Message, Error>> {
        self.client.shared().with(|inner, _| {
            let alive = inner.alive();
            let Some(answer) = inner.requests.waiting.get_mut(&self.number) else {
                return Poll::Pending;
            };
            match (answer.poll(cx), alive) {
                (Poll::Ready(message), _) => Poll::Ready(Ok(message)),
                (Poll::Pending, Err(error)) => Poll::Ready(Err(error)),
                (Poll::Pending, Ok(())) => Poll::Pending,
            }
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.client
            .shared()
            .with(|inner, _| inner.requests.waiting.remove(&self.number));
    }
}

/// A request that came to this client: from the stream of [`Client::serve`]. It was acknowledged when it was taken.
pub struct Request {
    client: Client,
    message: Message,
}

impl Request {
    pub(crate) const fn new(client: Client, message: Message) -> Self {
        Self { client, message }
    }

    /// The message.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// The response, to be awaited or enqueued like every message: to the topic that the request names, with what
    /// it wants back, and with its quality of service. A request that names no topic cannot be answered; that is
    /// [`Error::NoResponseTopic`].
    ///
    /// A request may have more than one response; who made it by [`Client::request`] takes the first.
    pub fn reply(&self, payload: impl Into<Bytes>) -> Publish {
        let Some(topic) = self.message.response_topic() else {
            return Publish::of(self.client.clone(), Err(Error::NoResponseTopic));
        };
        let reply = Publish::new(self.client.clone(), topic, payload).qos(self.message.qos);
        match self.message.correlation_data() {
            Some(data) => reply.correlation_data(data),
            None => reply,
        }
    }
}

impl Deref for Request {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(&self.message).finish()
    }
}
