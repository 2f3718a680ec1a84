//! What the driver and all handles share: the session and those who wait for it, behind one lock.
//!
//! A call locks, changes the session, hands its events to those whom they concern, unlocks, and only then
//! wakes them. Nobody holds the lock across an `await`, and nobody is called back under it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use mqtt_codec::TopicFilter;
use tokio::sync::{Notify, watch};

use crate::metrics::Metrics;
use crate::publish::Publishes;
use crate::request::Requests;
use crate::session::{
    AuthenticationStep, DeliveryId, Disconnecting, Event, Session, SessionOptions, SubscriptionId,
    WhenFull,
};
use crate::state::{Stamped, State};
use crate::subscribe::{Queue, Received};
use crate::{Authenticator, Ended, Error, Instant, Message};

/// An authenticator that is called where it may block.
pub(crate) type SharedAuthenticator = Arc<Mutex<Box<dyn Authenticator>>>;

/// A map whose keys are counted up by us.
pub(crate) type ById<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// The lock, and what is beside it.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// Wakes the driver.
    pub(crate) work: Notify,
    pub(crate) clock: Clock,
    state: watch::Sender<Stamped>,
    pub(crate) authenticator: Option<SharedAuthenticator>,
}

/// What is behind the lock.
pub(crate) struct Inner {
    pub(crate) session: Session,
    pub(crate) publishes: Publishes,
    pub(crate) queues: ById<SubscriptionId, Queue>,
    pub(crate) unsubscribing: ById<SubscriptionId, Answer<Result<(), Error>>>,
    /// Streams that were asked for before there was a client.
    pub(crate) pre_subscribed: Vec<(SubscriptionId, Vec<TopicFilter>)>,
    pub(crate) requests: Requests,
    pub(crate) has_outbox: bool,
    /// A step that the driver has to take.
    pub(crate) authentication: Option<AuthenticationStep>,
    pub(crate) reauthenticating: Option<Answer<Result<(), Error>>>,
    /// The server that the transport leads to, or led to last, and its place in the list.
    pub(crate) server: Option<Arc<str>>,
    pub(crate) server_index: usize,
    pub(crate) metrics: Metrics,
    /// Queues that want nothing to be read while they are full.
    pub(crate) full_queues: usize,
    pub(crate) when_full: WhenFull,
    pub(crate) received_bytes_max: usize,
    pub(crate) ending: Ending,
    /// Those who wait for the driver's end.
    pub(crate) end_wakers: Vec<Waker>,
    pub(crate) wakes: Wakes,
    state: Stamped,
}

/// How far the client is from its end.
///
/// ```text
/// Running --the session ends--> Ended --the driver ends--> Finished
/// ```
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    Running,
    /// The session takes no more calls; the driver still closes and commits.
    Ended(Ended),
    /// Nothing happens any more.
    Finished(Ended),
}

impl Ending {
    pub(crate) fn ended(&self) -> Option<&Ended> {
        match self {
            Self::Ended(ended) | Self::Finished(ended) => Some(ended),
            Self::Running => None,
        }
    }
}

/// Whom to wake once the lock is released.
#[derive(Default)]
pub(crate) struct Wakes {
    wakers: Vec<Waker>,
    state: Option<Stamped>,
}

impl Wakes {
    pub(crate) fn push(&mut self, waker: Option<Waker>) {
        self.wakers.extend(waker);
    }
}

impl Shared {
    pub(crate) fn new(
        options: SessionOptions,
        seed: u64,
        authenticator: Option<Box<dyn Authenticator>>,
    ) -> Self {
        let state = Stamped::first();
        let clock = Clock::new();
        Self {
            inner: Mutex::new(Inner::new(options, seed, clock.now(), state.clone())),
            work: Notify::new(),
            clock,
            state: watch::Sender::new(state),
            authenticator: authenticator.map(|it| Arc::new(Mutex::new(it))),
        }
    }

    /// Locks, lets `act` work, and wakes whom it concerns. For the driver, and for calls that give it
    /// nothing to do.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Inner, Instant) -> T) -> T {
        let mut inner = self.lock();
        let now = self.clock.now();
        let result = act(&mut inner, now);
        inner.dispatch(now);
        let wakes = std::mem::take(&mut inner.wakes);
        drop(inner);
        self.wake(wakes);
        result
    }

    /// As [`with`](Self::with), and wakes the driver.
    pub(crate) fn call<T>(&self, act: impl FnOnce(&mut Inner, Instant) -> T) -> T {
        let result = self.with(act);
        self.work.notify_one();
        result
    }

    fn wake(&self, wakes: Wakes) {
        if let Some(state) = wakes.state {
            // Two threads may come here in the other order.
            self.state
                .send_if_modified(|current| current.replace(state));
        }
        for waker in wakes.wakers {
            waker.wake();
        }
    }

    /// A panic under the lock was the driver's or a caller's; the driver says so by ending.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Stamped> {
        self.state.subscribe()
    }

    /// Ends the client in the background, unless it is ending already.
    pub(crate) fn disconnect(&self, how: Disconnecting) {
        self.call(|inner, now| inner.session.disconnect(now, how));
    }

    /// Waits until nothing more will happen.
    pub(crate) async fn finished(&self) -> Ended {
        std::future::poll_fn(|cx| self.with(|inner, _| inner.poll_finished(cx))).await
    }

    /// The driver is gone: nothing more will happen.
    pub(crate) fn finish(&self) {
        self.with(|inner, now| {
            // After a panic, the session may be in no state to be asked.
            if !std::thread::panicking() {
                inner.session.end(now, Ended::Disconnected);
                inner.dispatch(now);
            }
            let ended = inner.ending.ended().cloned();
            let ended = ended.unwrap_or(Ended::Disconnected);
            inner.end(ended.clone());
            inner.ending = Ending::Finished(ended);
        });
    }
}

impl Inner {
    fn new(options: SessionOptions, seed: u64, now: Instant, state: Stamped) -> Self {
        Self {
            when_full: options.when_full,
            received_bytes_max: options.received_bytes_max,
            session: Session::new(options, seed, now),
            publishes: Publishes::default(),
            queues: ById::default(),
            unsubscribing: ById::default(),
            pre_subscribed: Vec::new(),
            requests: Requests::default(),
            has_outbox: false,
            authentication: None,
            reauthenticating: None,
            server: None,
            server_index: 0,
            metrics: Metrics::default(),
            full_queues: 0,
            ending: Ending::Running,
            end_wakers: Vec::new(),
            wakes: Wakes::default(),
            state,
        }
    }

    /// Fails once the client has ended.
    pub(crate) fn alive(&self) -> Result<(), Error> {
        match self.ending.ended() {
            Some(ended) => Err(Error::Ended(ended.clone())),
            None => Ok(()),
        }
    }

    /// Hands the events of the session to those whom they concern.
    pub(crate) fn dispatch(&mut self, now: Instant) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Connected(agreed) => self.set_state(State::Connected(agreed)),
                Event::SessionLost => tracing::debug!("the server had no session"),
                Event::Disconnected {
                    error,
                    attempt,
                    next,
                } => {
                    self.publishes.forget_sample();
                    self.authentication = None;
                    self.set_state(State::Connecting {
                        attempt,
                        next_in: next.since(now),
                        last_error: Some(error),
                    });
                }
                Event::Ended(ended) => self.end(ended),
                Event::Published { id, result } => {
                    let round_trip = self.publishes.answer(id, result, &mut self.wakes);
                    self.metrics.round_trips.record(round_trip);
                }
                Event::Stored { id } => self.publishes.stored(id, &mut self.wakes),
                Event::Room => self.publishes.room(&mut self.wakes),
                Event::Subscribed { id, result } => self.subscribed(id, result),
                Event::Unsubscribed { id, result } => {
                    if let Some(answer) = self.unsubscribing.get_mut(&id) {
                        answer.give(result, &mut self.wakes);
                    }
                }
                Event::Message {
                    subscription,
                    delivery,
                    message,
                } => self.received(now, subscription, delivery, message),
                Event::Unclaimed { topic } => tracing::warn!(
                    %topic,
                    "a message waits for somebody who subscribes to it; if many do, no others come"
                ),
                Event::Authentication(step) => self.authentication = Some(step),
                Event::Reauthenticated(result) => {
                    if let Some(answer) = &mut self.reauthenticating {
                        answer.give(result, &mut self.wakes);
                    }
                }
            }
        }
    }

    fn received(
        &mut self,
        now: Instant,
        subscription: SubscriptionId,
        delivery: Option<DeliveryId>,
        message: Message,
    ) {
        if self.requests.is_for(subscription) {
            self.requests.respond(message, &mut self.wakes);
            if let Some(delivery) = delivery {
                self.session.acknowledge(now, subscription, delivery);
            }
        } else if let Some(queue) = self.queues.get_mut(&subscription) {
            let received = Received { delivery, message };
            queue.push(
                received,
                &mut self.full_queues,
                &mut self.metrics,
                &mut self.wakes,
            );
        }
    }

    /// The end for all who wait; what they find is [`Error::Ended`], or the end of their stream.
    fn end(&mut self, ended: Ended) {
        if self.ending.ended().is_none() {
            self.ending = Ending::Ended(ended.clone());
            self.set_state(State::Ended(ended));
        }
        self.publishes.end(&mut self.wakes);
        self.requests.end(&mut self.wakes);
        for queue in self.queues.values_mut() {
            queue.end(&mut self.wakes);
        }
        self.full_queues = 0;
        for answer in self.unsubscribing.values_mut() {
            answer.wake(&mut self.wakes);
        }
        if let Some(answer) = &mut self.reauthenticating {
            answer.wake(&mut self.wakes);
        }
        self.wakes.wakers.append(&mut self.end_wakers);
    }

    /// Why the client has ended, once its driver has, too.
    fn poll_finished(&mut self, cx: &Context<'_>) -> Poll<Ended> {
        if let Ending::Finished(ended) = &self.ending {
            return Poll::Ready(ended.clone());
        }
        let is_known = |waker: &Waker| waker.will_wake(cx.waker());
        if !self.end_wakers.iter().any(is_known) {
            self.end_wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn set_state(&mut self, state: State) {
        self.state = self.state.next(state);
        self.wakes.state = Some(self.state.clone());
    }
}

/// The one answer to something that was asked, and who waits for it.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    Awaited(Option<Waker>),
    Given(T),
    Taken,
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self::Awaited(None)
    }
}

impl<T> Answer<T> {
    pub(crate) fn give(&mut self, value: T, wakes: &mut Wakes) {
        if let Self::Awaited(waker) = self {
            wakes.push(waker.take());
            *self = Self::Given(value);
        }
    }

    pub(crate) const fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited(_))
    }

    /// Lets who waits look again.
    pub(crate) fn wake(&mut self, wakes: &mut Wakes) {
        if let Self::Awaited(waker) = self {
            wakes.push(waker.take());
        }
    }

    pub(crate) fn take(&mut self) -> Option<T> {
        match std::mem::replace(self, Self::Taken) {
            Self::Given(value) => Some(value),
            other @ (Self::Awaited(_) | Self::Taken) => {
                *self = other;
                None
            }
        }
    }

    /// Takes the answer, or sees to being woken for it.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<T> {
        if let Some(value) = self.take() {
            return Poll::Ready(value);
        }
        if let Self::Awaited(waker) = self {
            remember(waker, cx);
        }
        Poll::Pending
    }
}

/// Keeps the waker of the task that polled last.
pub(crate) fn remember(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

/// The wall clock at the start, the monotonic clock from then on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: tokio::time::Instant,
    start_wall: Instant,
}

impl Clock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one clock of the client"
    )]
    pub(crate) fn new() -> Self {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            start: tokio::time::Instant::now(),
            start_wall: Instant::from_millis(0) + wall,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.start_wall + self.start.elapsed()
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one clock of the client"
    )]
    pub(crate) fn timer_now(&self) -> tokio::time::Instant {
        tokio::time::Instant::now()
    }

    /// The moment as the timer knows it; at the most a year from the start.
    pub(crate) fn timer(&self, moment: Instant) -> tokio::time::Instant {
        const YEAR: std::time::Duration = std::time::Duration::from_secs(365 * 86_400);
        self.start + moment.since(self.start_wall).min(YEAR)
    }
}

/// A hasher for numbers that are counted up, and that no peer chooses.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // The golden ratio: neighbours land far from each other.
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
