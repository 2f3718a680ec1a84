//! The task that owns the transport: it does what the session wants.
//!
//! Each turn locks once: it hands over what has come, fetches what is to be sent and to be committed. Then it
//! waits for whatever comes first: bytes, room to write, a commit, a call of a handle, or the deadline.

mod commit;
mod dial;
mod link;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant as TimerInstant, Sleep};

use self::commit::Commits;
pub(crate) use self::dial::{BoxError, CredentialsSource, Dialler, Opener, Source};
use self::dial::{Opened, Opening};
use self::link::{Link, Reading};
use crate::outbox::{Outbox, OutboxError};
use crate::session::{AuthenticationStep, Wanted};
use crate::shared::{Inner, Shared};
use crate::{AuthenticationError, ConnectionError, Instant};

/// A transport that we close may take so long for it: for the last packet to leave, and for the server to see it.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// The task.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    dialler: Arc<Dialler>,
    transport: Transport,
    /// The server to try first.
    next_server: usize,
    commits: Commits,
    committed: Option<Result<(), OutboxError>>,
    authentication: Authentication,
    /// As it was in the last turn.
    reading: Reading,
    timer: Pin<Box<Sleep>>,
}

/// Drawn in [`crate::session`]; here is what of it has a transport.
enum Transport {
    None,
    Opening(Opening),
    Opened(Box<Result<Opened, ConnectionError>>),
    Open(Link),
    /// To be gone at this time, whatever happens.
    Closing(Link, TimerInstant),
}

/// A step of an authenticator.
enum Authentication {
    None,
    Running(JoinHandle<Result<Option<Vec<u8>>, AuthenticationError>>),
    Done(Result<Option<Vec<u8>>, AuthenticationError>),
}

/// What a turn has found.
struct Outlook {
    wanted: Wanted,
    deadline: Option<Instant>,
    step: Option<AuthenticationStep>,
}

impl Driver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        dialler: Dialler,
        outbox: Option<Box<dyn Outbox>>,
    ) -> Self {
        let now = shared.clock.timer_now();
        Self {
            shared,
            dialler: Arc::new(dialler),
            transport: Transport::None,
            next_server: 0,
            commits: Commits::new(outbox),
            committed: None,
            authentication: Authentication::None,
            reading: Reading::Unwanted,
            timer: Box::pin(tokio::time::sleep_until(now)),
        }
    }

    /// Runs until the session has ended.
    pub(crate) async fn run(mut self) {
        loop {
            let outlook = self.turn();
            if outlook.wanted == Wanted::End && self.is_done() {
                return;
            }
            self.prepare(&outlook);
            self.wait().await;
        }
    }

    /// True if nothing is left to be written or committed.
    fn is_done(&self) -> bool {
        !self.commits.is_running() && matches!(self.transport, Transport::None)
    }

    /// The one place where the session and the world meet.
    fn turn(&mut self) -> Outlook {
        let shared = Arc::clone(&self.shared);
        shared.with(|inner, now| {
            self.hand_over(inner, now);
            inner.dispatch(now);
            if inner.full_queues > 0 {
                inner.session.pause_reading();
            } else if self.reading == Reading::Unwanted {
                inner.session.resume_reading(now);
            }
            if inner.session.deadline().is_some_and(|due| due <= now) {
                inner.session.handle_deadline(now);
            }
            self.fetch_output(inner, now);
            inner.dispatch(now);
            self.fetch_changes(inner);
            self.reading = self.reading(inner);
            Outlook {
                wanted: inner.session.wanted(),
                deadline: inner.session.deadline(),
                step: inner.authentication.take(),
            }
        })
    }

    /// Tells the session what has happened.
    fn hand_over(&mut self, inner: &mut Inner, now: Instant) {
        if let Some(result) = self.committed.take() {
            inner.session.handle_committed(now, result);
        }
        if matches!(self.authentication, Authentication::Done(_))
            && let Authentication::Done(answer) =
                std::mem::replace(&mut self.authentication, Authentication::None)
        {
            inner.session.handle_authentication(now, answer);
        }
        match std::mem::replace(&mut self.transport, Transport::None) {
            Transport::Opened(opened) => match *opened {
                Ok(opened) => self.opened(inner, now, opened),
                Err(error) => {
                    tracing::debug!(%error, "no connection");
                    inner.session.handle_open_failed(now, error);
                }
            },
            Transport::Open(mut link) => {
                if matches!(self.authentication, Authentication::None) && !link.received.is_empty()
                {
                    inner.session.handle_received(now, &mut link.received);
                    self.commits.expect(self.shared.clock.timer_now());
                }
                match link.error.take() {
                    Some(error) => self.closed(inner, now, error),
                    None => self.transport = Transport::Open(link),
                }
            }
            Transport::Closing(link, until) => {
                if link.error.is_some() || until <= self.shared.clock.timer_now() {
                    self.closed(inner, now, ConnectionError::ClosedByServer);
                } else {
                    self.transport = Transport::Closing(link, until);
                }
            }
            other @ (Transport::None | Transport::Opening(_)) => self.transport = other,
        }
    }

    fn opened(&mut self, inner: &mut Inner, now: Instant, opened: Opened) {
        // If this one comes to nothing, it is the turn of the next.
        self.next_server = opened.index + 1;
        tracing::debug!(server = %opened.server, "transport open");
        inner.server = Some(opened.server);
        inner.server_index = opened.index;
        inner.session.handle_opened(now, opened.credentials);
        self.transport = Transport::Open(Link::new(opened.stream));
    }

    fn closed(&mut self, inner: &mut Inner, now: Instant, error: ConnectionError) {
        if inner.session.connected().is_some() {
            self.next_server = inner.server_index;
        }
        tracing::debug!(%error, "connection closed");
        inner.session.handle_closed(now, error);
        self.authentication = Authentication::None;
    }

    /// Gets what is to be written, if all before is.
    fn fetch_output(&mut self, inner: &mut Inner, now: Instant) {
        match (inner.session.wanted(), &mut self.transport) {
            (Wanted::Connection, Transport::Open(link)) => {
                if let Some(out) = link.wants_output() {
                    inner.session.write(now, out);
                    link.write();
                }
            }
            (Wanted::Close, Transport::Open(_) | Transport::Closing(..)) => self.close(inner, now),
            (Wanted::Connection | Wanted::Close, _) => {}
            (Wanted::Nothing | Wanted::Open(_) | Wanted::End, Transport::Open(_)) => {
                // The session has given up on it: there is nothing more to say.
                self.transport = Transport::None;
                self.authentication = Authentication::None;
            }
            (Wanted::Nothing | Wanted::End, _) => self.transport = Transport::None,
            (Wanted::Open(_), Transport::Closing(..)) => self.transport = Transport::None,
            (Wanted::Open(_), Transport::None | Transport::Opening(_) | Transport::Opened(_)) => {}
        }
        // The last write may have ended the connection, with a DISCONNECT.
        if inner.session.wanted() == Wanted::Close && matches!(self.transport, Transport::Open(_)) {
            self.close(inner, now);
        }
    }

    /// Writes what is left, then closes.
    fn close(&mut self, inner: &mut Inner, now: Instant) {
        let until = self.shared.clock.timer_now() + CLOSE_TIME;
        self.transport = match std::mem::replace(&mut self.transport, Transport::None) {
            Transport::Open(link) => Transport::Closing(link, until),
            other @ (Transport::None
            | Transport::Opening(_)
            | Transport::Opened(_)
            | Transport::Closing(..)) => other,
        };
        if let Transport::Closing(link, _) = &mut self.transport
            && let Some(out) = link.wants_output()
        {
            inner.session.write(now, out);
            if out.is_empty() {
                link.finish();
            } else {
                link.write();
            }
        }
    }

    fn fetch_changes(&mut self, inner: &mut Inner) {
        let is_due = self
            .commits
            .look_at
            .is_some_and(|due| due <= self.shared.clock.timer_now());
        let is_over = inner.session.wanted() == Wanted::End;
        let is_wanted = is_due || is_over || inner.session.has_urgent_changes();
        if self.commits.is_idle() && is_wanted {
            self.commits.begin(inner.session.take_changes());
        }
    }

    fn reading(&self, inner: &Inner) -> Reading {
        match &self.transport {
            Transport::Closing(..) => Reading::Discarded,
            // What comes while the authenticator is asked is for what it says.
            Transport::Open(_)
                if inner.session.wants_to_read()
                    && inner.authentication.is_none()
                    && matches!(self.authentication, Authentication::None) =>
            {
                Reading::Wanted
            }
            Transport::Open(_) | Transport::None | Transport::Opening(_) | Transport::Opened(_) => {
                Reading::Unwanted
            }
        }
    }

    /// Begins what the session wants, and sets the timer.
    fn prepare(&mut self, outlook: &Outlook) {
        if let (Wanted::Open(redirect), Transport::None) = (&outlook.wanted, &self.transport) {
            let dialler = Arc::clone(&self.dialler);
            let opening = dialler.open(self.next_server, redirect.clone());
            self.transport = Transport::Opening(opening);
        }
        if let (Some(step), Some(authenticator)) = (&outlook.step, &self.shared.authenticator) {
            let (step, authenticator) = (step.clone(), Arc::clone(authenticator));
            let answer = tokio::task::spawn_blocking(move || {
                let mut authenticator =
                    authenticator.lock().unwrap_or_else(PoisonError::into_inner);
                match step {
                    AuthenticationStep::Challenge(data) => authenticator.challenge(&data).map(Some),
                    AuthenticationStep::Finish(data) => {
                        authenticator.finish(data.as_deref()).map(|()| None)
                    }
                }
            });
            self.authentication = Authentication::Running(answer);
        }
        let deadline = outlook.deadline.map(|due| self.shared.clock.timer(due));
        let closing = match &self.transport {
            Transport::Closing(_, until) => Some(*until),
            Transport::None | Transport::Opening(_) | Transport::Opened(_) | Transport::Open(_) => {
                None
            }
        };
        let all = [deadline, closing, self.commits.look_at];
        let due = all.into_iter().flatten().min();
        // Without one, it is looked once a day.
        let due =
            due.unwrap_or_else(|| self.shared.clock.timer_now() + Duration::from_secs(86_400));
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
    }

    async fn wait(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut called = pin!(shared.work.notified());
        std::future::poll_fn(|cx| {
            let was_called = called.as_mut().poll(cx).is_ready();
            let has_news = self.poll(cx).is_ready();
            if was_called || has_news {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut news = self.timer.as_mut().poll(cx).is_ready();
        if let Poll::Ready(result) = self.commits.poll(cx) {
            self.committed = Some(result);
            news = true;
        }
        if let Authentication::Running(answer) = &mut self.authentication
            && let Poll::Ready(answer) = Pin::new(answer).poll(cx)
        {
            let answer = answer.unwrap_or_else(|panic| Err(AuthenticationError::failed(panic)));
            self.authentication = Authentication::Done(answer);
            news = true;
        }
        match &mut self.transport {
            Transport::Opening(opening) => {
                if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
                    self.transport = Transport::Opened(Box::new(opened));
                    news = true;
                }
            }
            Transport::Open(link) | Transport::Closing(link, _) => {
                news |= link.poll(cx, self.reading).is_ready();
            }
            Transport::None | Transport::Opened(_) => {}
        }
        if news { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Whether it has run to its end, or its runtime was shut down, or it has panicked: nobody waits in vain.
impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.finish();
    }
}
