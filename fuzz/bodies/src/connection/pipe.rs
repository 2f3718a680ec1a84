//! A transport in memory, whose near end says what the broker may read and write, and looks what it does.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use mqtt_broker_core::{Peer, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that the pipe takes from the broker while nobody reads.
pub(super) const CAPACITY: usize = 64;
/// Polls without an effect, between two rests, above which the broker turns in circles.
const IDLE_POLLS_MAX: usize = 1000;

/// How a pipe treats the broker.
#[derive(Clone, Copy)]
pub(super) struct Manners {
    /// Bytes that it moves at a time.
    pub(super) piece: usize,
    /// True if each second write has to wait.
    pub(super) halting: bool,
}

/// The near end.
pub(super) struct Pipe(Arc<Mutex<State>>);

/// The far end: what the broker holds.
pub(super) struct Far {
    state: Arc<Mutex<State>>,
    peer: Peer,
}

#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
struct State {
    manners: Manners,
    to_broker: Vec<u8>,
    /// How much of `to_broker` has been read.
    consumed: usize,
    ended: bool,
    broken: bool,
    from_broker: Vec<u8>,
    reads: bool,
    halted: bool,
    shut_down: bool,
    dropped: bool,
    idle_polls: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    pub(super) fn new(manners: Manners, address: &str) -> (Self, Far) {
        let state = Arc::new(Mutex::new(State {
            manners,
            to_broker: Vec::new(),
            consumed: 0,
            ended: false,
            broken: false,
            from_broker: Vec::new(),
            reads: true,
            halted: false,
            shut_down: false,
            dropped: false,
            idle_polls: 0,
            reader: None,
            writer: None,
        }));
        let peer = Peer {
            address: address.into(),
        };
        let far = Far {
            state: state.clone(),
            peer,
        };
        (Self(state), far)
    }

    pub(super) fn write(&self, bytes: &[u8]) {
        let mut state = lock(&self.0);
        if !state.ended && !state.broken {
            state.to_broker.extend_from_slice(bytes);
            state.wake();
        }
    }

    /// Nothing more is written.
    pub(super) fn end(&self) {
        let mut state = lock(&self.0);
        state.ended = true;
        state.wake();
    }

    /// The connection is lost: reads and writes fail.
    pub(super) fn break_off(&self) {
        let mut state = lock(&self.0);
        state.broken = true;
        state.wake();
    }

    pub(super) fn set_reads(&self, reads: bool) {
        let mut state = lock(&self.0);
        state.reads = reads;
        state.wake();
    }

    pub(super) fn reads(&self) -> bool {
        lock(&self.0).reads
    }

    /// True if all that was written, and the end of it, can be read.
    pub(super) fn is_ended(&self) -> bool {
        lock(&self.0).ended
    }

    /// What the broker has read since the last call.
    pub(super) fn take_consumed(&self) -> Vec<u8> {
        let mut state = lock(&self.0);
        state.idle_polls = 0;
        let consumed = std::mem::take(&mut state.consumed);
        state.to_broker.drain(..consumed).collect()
    }

    /// What the broker has written since the last call.
    pub(super) fn take_written(&self) -> Vec<u8> {
        let mut state = lock(&self.0);
        if !state.reads {
            return Vec::new();
        }
        state.wake();
        std::mem::take(&mut state.from_broker)
    }

    /// True if the broker writes nothing more.
    pub(super) fn is_over(&self) -> bool {
        let state = lock(&self.0);
        state.shut_down || state.dropped
    }

    /// True if the broker has let go of the transport.
    pub(super) fn is_dropped(&self) -> bool {
        lock(&self.0).dropped
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn wake(&mut self) {
        let wakers = [self.reader.take(), self.writer.take()];
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn idle(&mut self) {
        self.idle_polls += 1;
        assert!(self.idle_polls < IDLE_POLLS_MAX, "polled without end");
    }

    fn lost() -> io::Error {
        io::ErrorKind::ConnectionReset.into()
    }
}

impl Transport for Far {
    fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl AsyncRead for Far {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        if state.broken {
            return Poll::Ready(Err(State::lost()));
        }
        let (from, manners) = (state.consumed, state.manners);
        let rest = state.to_broker.get(from..).unwrap_or_default();
        let count = rest.len().min(manners.piece).min(buf.remaining());
        if count > 0 {
            buf.put_slice(rest.get(..count).unwrap_or_default());
            state.consumed += count;
            return Poll::Ready(Ok(()));
        }
        state.idle();
        if state.ended {
            return Poll::Ready(Ok(()));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Far {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.state);
        assert!(!state.shut_down, "written after the end");
        if state.broken {
            return Poll::Ready(Err(State::lost()));
        }
        if state.manners.halting && !std::mem::replace(&mut state.halted, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        state.halted = false;
        let room = if state.reads {
            usize::MAX
        } else {
            CAPACITY.saturating_sub(state.from_broker.len())
        };
        let count = bytes.len().min(state.manners.piece).min(room);
        if count == 0 {
            state.idle();
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let written = bytes.get(..count).unwrap_or_default();
        state.from_broker.extend_from_slice(written);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.state).shut_down = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        lock(&self.state).dropped = true;
    }
}
