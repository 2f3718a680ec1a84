//! Where bytes wait until their connection's task writes them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::budget::Budget;
use crate::buffers;

/// The bytes that wait to be written to one connection.
///
/// The engine appends to it, the connection's task takes what is there and writes it in one go. An
/// empty outbox holds no memory: buffers are borrowed from a pool of the thread.
#[derive(Debug, Default)]
pub struct Outbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// Bytes that the task has taken and not yet written.
    writing: usize,
    /// The size of the buffer that they are in.
    writing_capacity: usize,
    /// What the buffers take up is counted there.
    budget: Option<Budget>,
    counted: usize,
    waker: Option<Waker>,
    /// True since the waker was handed out and until the task looks.
    woken: bool,
    /// True if the engine waits to be told that all has been written.
    wants_room: bool,
    /// True if nothing follows: the connection is closed once all is written.
    closing: bool,
}

/// What the connection's task finds in its outbox.
#[derive(Debug)]
pub struct Taken {
    /// What is to be written; may be empty.
    pub bytes: Vec<u8>,
    /// True if the connection is to be closed after that.
    pub closing: bool,
}

impl Outbox {
    /// Appends what `write` writes, and returns the waker of the task if it has to be woken.
    pub(crate) fn append(&self, write: impl FnOnce(&mut Vec<u8>)) -> Option<Waker> {
        let mut state = self.lock();
        if state.bytes.capacity() == 0 {
            state.bytes = buffers::take();
        }
        write(&mut state.bytes);
        state.count();
        state.wake()
    }

    /// Counts what the buffers take up from now on.
    pub(crate) fn count_with(&self, budget: &Budget) {
        self.lock().budget = budget.is_limited().then(|| budget.clone());
    }

    /// Asks to be told by [`Outbox::written`] when nothing waits, also if nothing waits now.
    pub(crate) fn ask_written(&self) -> Option<Waker> {
        let mut state = self.lock();
        state.wants_room = true;
        state.wake()
    }

    /// Marks the connection as one to close once all is written.
    pub(crate) fn close(&self) -> Option<Waker> {
        let mut state = self.lock();
        state.closing = true;
        state.wake()
    }

    /// True if fewer than `max` bytes wait. If not, [`Outbox::written`] will say when they are gone.
    pub(crate) fn has_room(&self, max: usize) -> bool {
        let mut state = self.lock();
        let room = state.waiting() < max;
        state.wants_room |= !room;
        room
    }

    /// Says whom to wake when something is there.
    pub fn set_waker(&self, waker: &Waker) {
        let mut state = self.lock();
        match &mut state.waker {
            Some(old) => old.clone_from(waker),
            None => state.waker = Some(waker.clone()),
        }
    }

    /// Takes all that waits. The caller gives the buffer back by [`Outbox::written`].
    #[must_use]
    pub fn take(&self) -> Taken {
        let mut state = self.lock();
        // Cleared before the write: what is appended meanwhile wakes the task again.
        state.woken = false;
        let bytes = std::mem::take(&mut state.bytes);
        state.writing = bytes.len();
        state.writing_capacity = bytes.capacity();
        Taken {
            bytes,
            closing: state.closing,
        }
    }

    /// True if the connection is to be closed. As with [`Outbox::take`], the task has looked: what
    /// comes from now on wakes it again.
    pub(crate) fn is_closing(&self) -> bool {
        let mut state = self.lock();
        state.woken = false;
        state.closing
    }

    /// Bytes that wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting()
    }

    /// Says that all that was taken, if anything, has been written. True if the engine waits for
    /// that: it is to be told by `Input::Written`.
    #[must_use]
    pub fn written(&self, buffer: Vec<u8>) -> bool {
        buffers::give(buffer);
        let mut state = self.lock();
        state.writing = 0;
        state.writing_capacity = 0;
        state.count();
        state.bytes.is_empty() && std::mem::take(&mut state.wants_room)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each critical section leaves the state whole, so one that panicked did no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give(self.counted);
        }
    }
}

impl State {
    /// Counts what the buffers take up now.
    fn count(&mut self) {
        let Some(budget) = &self.budget else { return };
        let capacity = self.bytes.capacity() + self.writing_capacity;
        budget.take(capacity.saturating_sub(self.counted));
        budget.give(self.counted.saturating_sub(capacity));
        self.counted = capacity;
    }

    const fn waiting(&self) -> usize {
        self.bytes.len() + self.writing
    }

    fn wake(&mut self) -> Option<Waker> {
        if self.woken {
            return None;
        }
        self.woken = true;
        self.waker.clone()
    }
}
