//! Subscribing: the builder. What it gives is in [`stream`].

mod delivery;
mod filters;
mod queue;
mod stream;

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;

use mqtt_codec::{Properties, QoS, RetainHandling, SubscriptionOptions, TopicFilter};

pub use self::delivery::{Delivery, Item};
pub use self::filters::{FilterWithQoS, IntoFilter, IntoFilters};
pub(crate) use self::queue::{Granted, Queue, Received};
pub use self::stream::Subscription;
use crate::client::Client;
use crate::session::SubscriptionId;
use crate::shared::Inner;
use crate::{Error, Instant, Message, properties};

/// How many QoS 0 messages a stream holds by default.
pub(crate) const CAPACITY: usize = 1000;

/// What happens to QoS 0 messages for which a stream has no room.
///
/// QoS 1 and 2 need none of this: a server sends no more than Receive Maximum of them before the application
/// takes some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamFull {
    /// They are dropped, and counted in [`Metrics::qos0_dropped`](crate::Metrics::qos0_dropped).
    #[default]
    DropNewest,
    /// Nothing is read from the server until the application takes some, and the server has to wait, or to drop
    /// messages itself. All streams of the client wait with this one; what was read at once is still let in.
    Wait,
}

/// A subscription that is about to be made: from [`Client::subscribe`]. Nothing happens before it is awaited
/// or started.
///
/// ```no_run
/// # async fn example(client: mqtt_client::Client) -> mqtt_client::Result<()> {
/// use mqtt_client::QoS;
///
/// let mut all = client.subscribe(["sensors/#", "alarms/#"]).qos(QoS::ExactlyOnce).await?;
/// while let Some(message) = all.next().await {
///     println!("{}", message.topic());
/// }
///
/// let mut jobs = client.subscribe("$share/workers/jobs").manual_ack().await?;
/// while let Some(job) = jobs.next().await {
///     println!("{}", job.topic());
///     job.ack();
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a subscription is made when this is awaited or started"]
pub struct Subscribe<T: Item = Message> {
    client: Client,
    filters: Result<Vec<FilterWithQoS>, Error>,
    options: SubscriptionOptions,
    properties: Result<Properties, Error>,
    capacity: usize,
    when_full: StreamFull,
    refusals: Refusals,
    items: PhantomData<fn() -> T>,
}

/// Whether a subscription is of use if the server refuses some of its filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusals {
    Fail,
    Allow,
}

impl<T: Item> Subscribe<T> {
    pub(crate) fn new(client: Client, filters: impl IntoFilters) -> Self {
        Self {
            client,
            filters: filters.into_filters().map_err(Error::Invalid),
            options: SubscriptionOptions::of_qos(QoS::AtLeastOnce),
            properties: Ok(Properties::default()),
            capacity: CAPACITY,
            when_full: StreamFull::DropNewest,
            refusals: Refusals::Fail,
            items: PhantomData,
        }
    }

    /// The highest quality of service that messages come with, for filters that have none of their own. QoS 1
    /// by default.
    pub fn qos(mut self, qos: QoS) -> Self {
        self.options.qos = qos;
        self
    }

    /// What this client publishes itself does not come back (5.0). Not for shared subscriptions.
    pub fn no_local(mut self) -> Self {
        self.options.no_local = true;
        self
    }

    /// Messages say whether they were published as retained ones (5.0). By default only those that the server
    /// sends because of the subscription do.
    pub fn retain_as_published(mut self) -> Self {
        self.options.retain_as_published = true;
        self
    }

    /// Whether the server sends the retained messages that match (5.0). By default it does, also when a lost
    /// session is subscribed anew.
    pub fn retain_handling(mut self, handling: RetainHandling) -> Self {
        self.options.retain_handling = handling;
        self
    }

    /// Adds a user property (5.0). The same name may come again.
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        self.properties = self.properties.and_then(|properties| {
            properties::add_user_property(&properties, name, value).map_err(Error::Encode)
        });
        self
    }

    /// How many QoS 0 messages the stream holds, at least one. 1,000 by default, and never more bytes than
    /// [`Builder::received_bytes_max`](crate::Builder::received_bytes_max).
    pub fn capacity(mut self, messages: usize) -> Self {
        self.capacity = messages.max(1);
        self
    }

    /// What happens to QoS 0 messages for which the stream has no room. By default they are dropped.
    pub fn when_full(mut self, when_full: StreamFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// Is content if the server grants at least one of the filters: [`Subscription::granted`] tells. By default
    /// the subscription fails with the first refusal.
    pub fn allow_refusals(mut self) -> Self {
        self.refusals = Refusals::Allow;
        self
    }

    /// Gives the stream without waiting for the server: it is subscribed to now or at the next connection, and
    /// again at a server that has lost the session. [`Subscription::ready`] waits for the answer.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no filter, [`Error::Encode`] without one, [`Error::Ended`].
    pub fn start(self) -> Result<Subscription<T>, Error> {
        let filters = self.filters?;
        let properties = self.properties?;
        let options = self.options;
        let with_options = |(filter, qos): FilterWithQoS| {
            let qos = qos.unwrap_or(options.qos);
            (filter, SubscriptionOptions { qos, ..options })
        };
        let filters: Vec<_> = filters.into_iter().map(with_options).collect();
        let names = filters.iter().map(|(filter, _)| filter.clone()).collect();
        let (capacity, when_full) = (self.capacity, self.when_full);
        let id = self.client.shared().call(|inner, now| {
            inner.subscribe(now, filters, &properties, |bytes_max| {
                Queue::new(capacity, bytes_max, when_full)
            })
        })?;
        Ok(Subscription::new(self.client, id, names))
    }
}

impl Subscribe {
    /// The application acknowledges each message itself. By default it is acknowledged when it is taken out of
    /// the stream.
    pub fn manual_ack(self) -> Subscribe<Delivery> {
        Subscribe {
            client: self.client,
            filters: self.filters,
            options: self.options,
            properties: self.properties,
            capacity: self.capacity,
            when_full: self.when_full,
            refusals: self.refusals,
            items: PhantomData,
        }
    }
}

/// Subscribes, and resolves with the stream when the server's answer has come: with [`Error::Refused`] if it
/// refuses a filter. Without a connection, it waits for the next one.
///
/// # Cancel safety
/// Dropped before it was polled, nothing is sent. Dropped later, it is unsubscribed again, as by dropping the
/// [`Subscription`].
impl<T: Item> IntoFuture for Subscribe<T> {
    type Output = Result<Subscription<T>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let refusals = self.refusals;
            let subscription = self.start()?;
            let granted = subscription.ready().await?;
            let refusal = granted.iter().find_map(|answer| answer.err());
            let is_refused = match refusals {
                Refusals::Fail => refusal.is_some(),
                Refusals::Allow => granted.iter().all(Result::is_err),
            };
            match refusal {
                Some(reason) if is_refused => Err(Error::refused(reason)),
                Some(_) | None => Ok(subscription),
            }
        })
    }
}

impl Inner {
    /// Subscribes, and gives the subscription a queue before the first message.
    pub(crate) fn subscribe(
        &mut self,
        now: Instant,
        filters: Vec<(TopicFilter, SubscriptionOptions)>,
        properties: &Properties,
        queue: impl FnOnce(usize) -> Queue,
    ) -> Result<SubscriptionId, Error> {
        self.alive()?;
        let id = self.session.subscribe(now, filters, properties)?;
        self.queues.insert(id, queue(self.received_bytes_max));
        Ok(id)
    }

    /// The server's answer to a subscription, or to one that is made again.
    pub(crate) fn subscribed(&mut self, id: SubscriptionId, result: Result<Granted, Error>) {
        if self.requests.is_for(id) {
            self.requests.subscribed(result, &mut self.wakes);
        } else if let Some(queue) = self.queues.get_mut(&id) {
            queue.answered(result, &mut self.wakes);
        }
    }
}
