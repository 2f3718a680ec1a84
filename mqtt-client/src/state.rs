//! Whether there is a connection, and how to hear of changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::session::Connected;
use crate::{ConnectionError, Ended};

/// Where the client stands.
#[derive(Clone, Debug)]
pub enum State {
    /// There is no connection: one is being made, or waited for.
    Connecting {
        /// How many attempts have failed since the last connection that lasted.
        attempt: u32,
        /// How long it was until the next attempt when this state began.
        next_in: Duration,
        /// Why the last attempt failed, or the last connection ended; `None` before the first.
        last_error: Option<ConnectionError>,
    },
    /// There is a connection, and this was agreed on.
    Connected(Arc<Connected>),
    /// The client has ended, and why. It stays so.
    Ended(Ended),
}

impl State {
    /// True for [`State::Connected`].
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self, Self::Connected(_))
    }

    /// True for [`State::Ended`].
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self, Self::Ended(_))
    }
}

/// The state of a client, and its changes: from [`Client::state`](crate::Client::state).
///
/// It does not keep the client from ending when its last handle is dropped.
#[derive(Clone, Debug)]
pub struct StateWatch {
    receiver: watch::Receiver<Stamped>,
}

impl StateWatch {
    pub(crate) fn new(receiver: watch::Receiver<Stamped>) -> Self {
        Self { receiver }
    }

    /// The state now. The next [`changed`](Self::changed) waits for another one.
    #[must_use]
    pub fn now(&mut self) -> State {
        self.receiver.borrow_and_update().state.clone()
    }

    /// Waits until the state is another one than was seen last, and gives it. Who is slow sees the last of
    /// several changes. After [`State::Ended`] there are none, and this never resolves.
    ///
    /// # Cancel safety
    /// Safe: a change is seen only by the call that returns it.
    pub async fn changed(&mut self) -> State {
        if self.receiver.changed().await.is_err() {
            // The client is gone, and its last state was seen.
            std::future::pending::<()>().await;
        }
        self.now()
    }
}

/// A state with its place in the order of states.
#[derive(Clone, Debug)]
pub(crate) struct Stamped {
    number: u64,
    pub(crate) state: State,
}

impl Stamped {
    pub(crate) const fn first() -> Self {
        Self {
            number: 0,
            state: State::Connecting {
                attempt: 0,
                next_in: Duration::ZERO,
                last_error: None,
            },
        }
    }

    pub(crate) const fn next(&self, state: State) -> Self {
        Self {
            number: self.number + 1,
            state,
        }
    }

    /// Becomes `other`, if that is the later one.
    pub(crate) fn replace(&mut self, other: Self) -> bool {
        let is_later = other.number > self.number;
        if is_later {
            *self = other;
        }
        is_later
    }
}
