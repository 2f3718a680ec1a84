//! The outbox: one commit at a time, on a thread where it may block.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::outbox::{Outbox, OutboxChange, OutboxError};

/// Changes that nobody waits for are committed so long after something happened, at the latest.
const LAZY_AFTER: Duration = Duration::from_secs(1);

/// The outbox, and the commit under way.
pub(super) struct Commits {
    state: State,
    /// When to look for changes that nobody waits for.
    pub(super) look_at: Option<Instant>,
}

enum State {
    None,
    Idle(Box<dyn Outbox>),
    Running(JoinHandle<(Box<dyn Outbox>, Result<(), OutboxError>)>),
    Failed,
}

impl Commits {
    pub(super) fn new(outbox: Option<Box<dyn Outbox>>) -> Self {
        Self {
            state: outbox.map_or(State::None, State::Idle),
            look_at: None,
        }
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle(_))
    }

    pub(super) const fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }

    /// Something happened: there may be changes.
    pub(super) fn expect(&mut self, now: Instant) {
        if !matches!(self.state, State::None) && self.look_at.is_none() {
            self.look_at = Some(now + LAZY_AFTER);
        }
    }

    /// Begins to commit, if there is something and nothing is being committed.
    pub(super) fn begin(&mut self, changes: Vec<OutboxChange>) {
        self.look_at = None;
        if changes.is_empty() {
            return;
        }
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(mut outbox) => {
                let commit = tokio::task::spawn_blocking(move || {
                    let result = outbox.commit(&changes);
                    (outbox, result)
                });
                self.state = State::Running(commit);
            }
            other @ (State::None | State::Running(_) | State::Failed) => self.state = other,
        }
    }

    /// The result of the commit under way.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OutboxError>> {
        let State::Running(commit) = &mut self.state else {
            return Poll::Pending;
        };
        match Pin::new(commit).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok((outbox, result))) => {
                self.state = State::Idle(outbox);
                Poll::Ready(result)
            }
            Poll::Ready(Err(panic)) => {
                self.state = State::Failed;
                Poll::Ready(Err(OutboxError::failed(panic)))
            }
        }
    }
}
