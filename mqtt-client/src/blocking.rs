//! The client without `async`: calls block the thread that makes them.
//!
//! ```no_run
//! use mqtt_client::blocking::Client;
//!
//! # fn main() -> mqtt_client::Result<()> {
//! let client = Client::connect("mqtt://localhost")?;
//! client.publish("sensors/a/temp", "21.5")?;
//! for message in client.subscribe("sensors/+/temp")? {
//!     println!("{}", message.topic());
//! }
//! # Ok(()) }
//! ```
//!
//! None of this may be used in an asynchronous context: a call there panics, as it would stop everything else.

use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::publish::IntoTopic;
use crate::session::PublishAck;
use crate::shared::Shared;
use crate::subscribe::{IntoFilters, Item};
use crate::{Builder, Error, Message, Report, Subscribe};

/// A client whose calls block. Cheap to clone, and usable from any thread.
///
/// It works on a thread of its own. Dropping the last handle, which may be a [`Subscription`], disconnects, and waits
/// for that: seven seconds at the most.
#[derive(Clone)]
pub struct Client {
    client: crate::Client,
    worker: Arc<Worker>,
}

impl Client {
    /// Connects to the server that a URL names: as [`Client::connect`](crate::Client::connect).
    ///
    /// # Errors
    /// As [`Builder::connect`].
    ///
    /// # Panics
    /// In an asynchronous context.
    pub fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_with(crate::Client::builder(url))
    }

    /// Connects as a builder says.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    ///
    /// # Panics
    /// In an asynchronous context.
    pub fn connect_with(builder: Builder) -> Result<Self, Error> {
        Self::new(|handle| handle.block_on(builder.connect()))
    }

    /// Gives the client at once, and connects in the background: as [`Builder::start`].
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub fn start_with(builder: Builder) -> Result<Self, Error> {
        Self::new(|handle| {
            let _context = handle.enter();
            builder.start()
        })
    }

    fn new(make: impl FnOnce(&Handle) -> Result<crate::Client, Error>) -> Result<Self, Error> {
        let (worker, working) = Worker::start()?;
        let client = make(&worker.handle)?;
        // The worker cannot be gone: it waits for this.
        let _ = working.send(Arc::clone(client.shared()));
        Ok(Self {
            client,
            worker: Arc::new(worker),
        })
    }

    /// Publishes a message with QoS 1, and waits for the server's answer.
    ///
    /// # Errors
    /// As [`Publishing`](crate::Publishing).
    ///
    /// # Panics
    /// In an asynchronous context.
    pub fn publish(
        &self,
        topic: impl IntoTopic,
        payload: impl Into<Bytes>,
    ) -> Result<PublishAck, Error> {
        self.run(|client| client.publish(topic, payload))
    }

    /// Subscribes with QoS 1, and waits for the server's answer.
    ///
    /// # Errors
    /// As [`Subscribe`].
    ///
    /// # Panics
    /// In an asynchronous context.
    pub fn subscribe(&self, filters: impl IntoFilters) -> Result<Subscription, Error> {
        self.subscribe_with(|client| client.subscribe(filters))
    }

    /// Subscribes as `call` says.
    ///
    /// ```no_run
    /// # fn example(client: mqtt_client::blocking::Client) -> mqtt_client::Result<()> {
    /// for job in client.subscribe_with(|client| client.subscribe("jobs").manual_ack())? {
    ///     job.ack();
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Subscribe`].
    ///
    /// # Panics
    /// In an asynchronous context.
    pub fn subscribe_with<T: Item>(
        &self,
        call: impl FnOnce(&crate::Client) -> Subscribe<T>,
    ) -> Result<Subscription<T>, Error> {
        Ok(Subscription {
            subscription: self.run(call)?,
            worker: Arc::clone(&self.worker),
        })
    }

    /// Asks whoever is subscribed to a topic, and waits for the response.
    ///
    /// # Errors
    /// As [`RequestBuilder`](crate::RequestBuilder).
    ///
    /// # Panics
    /// In an asynchronous context.
    pub fn request(
        &self,
        topic: impl IntoTopic,
        payload: impl Into<Bytes>,
    ) -> Result<Message, Error> {
        self.run(|client| client.request(topic, payload))
    }

    /// Delivers what was accepted, for five seconds at the most, and disconnects.
    ///
    /// # Errors
    /// As [`Disconnect`](crate::Disconnect).
    ///
    /// # Panics
    /// In an asynchronous context.
    pub fn disconnect(&self) -> Result<Report, Error> {
        self.run(crate::Client::disconnect)
    }

    /// Makes any call of the other [`Client`](crate::Client), and waits for its end.
    ///
    /// ```no_run
    /// # fn example(client: mqtt_client::blocking::Client) -> mqtt_client::Result<()> {
    /// client.run(|client| client.publish("lamp", "on").retain())?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    /// In an asynchronous context.
    pub fn run<F: IntoFuture>(&self, call: impl FnOnce(&crate::Client) -> F) -> F::Output {
        let call = call(&self.client);
        self.worker.handle.block_on(async { call.await })
    }

    /// The other client, for calls that do not block: its state, its metrics.
    #[must_use]
    pub const fn client(&self) -> &crate::Client {
        &self.client
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.client.fmt(f)
    }
}

/// The messages of a subscription: an iterator that waits for the next, and ends when the client does.
#[must_use = "a subscription that is dropped is unsubscribed"]
pub struct Subscription<T: Item = Message> {
    subscription: crate::Subscription<T>,
    worker: Arc<Worker>,
}

impl<T: Item> Subscription<T> {
    /// The next message, if it comes in time; `None` too at the end.
    ///
    /// # Panics
    /// In an asynchronous context.
    pub fn next_timeout(&mut self, time: Duration) -> Option<T> {
        let next = self.subscription.next();
        let next = async { tokio::time::timeout(time, next).await.ok().flatten() };
        self.worker.handle.block_on(next)
    }

    /// The next message, if there is one now. Never blocks.
    pub fn try_next(&mut self) -> Option<T> {
        self.subscription.try_next()
    }

    /// Unsubscribes, and waits for the server's answer.
    ///
    /// # Errors
    /// As [`Subscription::unsubscribe`](crate::Subscription::unsubscribe).
    ///
    /// # Panics
    /// In an asynchronous context.
    pub fn unsubscribe(self) -> Result<(), Error> {
        self.worker.handle.block_on(self.subscription.unsubscribe())
    }

    /// The other subscription: what was granted, its filters.
    pub const fn subscription(&self) -> &crate::Subscription<T> {
        &self.subscription
    }
}

impl<T: Item> Iterator for Subscription<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.worker.handle.block_on(self.subscription.next())
    }
}

impl<T: Item> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.subscription.fmt(f)
    }
}

/// The thread that the client works on. It ends with the client.
struct Worker {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// The thread waits to be told of the client, and for the end of that.
    fn start() -> Result<(Self, oneshot::Sender<Arc<Shared>>), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::options)?;
        let handle = runtime.handle().clone();
        let (working, client) = oneshot::channel::<Arc<Shared>>();
        let work = move || {
            runtime.block_on(async {
                if let Ok(shared) = client.await {
                    shared.finished().await;
                }
            });
        };
        let thread = thread::Builder::new()
            .name("mqtt-client".to_owned())
            .spawn(work)
            .map_err(Error::options)?;
        let worker = Self {
            handle,
            thread: Some(thread),
        };
        Ok((worker, working))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // In an asynchronous context nobody may wait; the thread ends by itself.
        if let Some(thread) = self.thread.take()
            && Handle::try_current().is_err()
        {
            // Its panic has been printed, and has told all who wait.
            let _ = thread.join();
        }
    }
}
