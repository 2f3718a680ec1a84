//! One connection: a future that reads, hands what it read to the engine, and writes its outbox.
//!
//! It is written by hand to be small: an idle connection holds no buffer, and its future is about
//! 150 bytes.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mqtt_codec::{Cut, Packet, Publish, Version, cut};
use tokio::io::ReadBuf;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::packets::{Next, emptied, next};
use super::{Dead, Shards};
use crate::authority::{Decision, Question};
use crate::{ConnectionId, Engine, Input, Instant, Outbox, Output, Transport};

/// Bytes read at a time: some hundred small packets.
const READ_BYTES: usize = 64 * 1024;
/// A started packet up to this size is completed in the thread's buffer, a larger one in its own.
const PARTIAL_BYTES_SMALL: usize = READ_BYTES / 2;
/// PUBLISH packets that are handled together at most.
const PUBLISHES_MAX: usize = 64;
/// Bytes that a client may still send after it was told that its connection is closed.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

thread_local! {
    /// What all connections of this thread read into, one after the other.
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
    /// The memory for packets that are handled together.
    static PUBLISHES: Cell<Vec<Publish<&'static [u8]>>> = const { Cell::new(Vec::new()) };
}

/// The task of one connection.
pub(crate) struct ConnectionTask {
    transport: Box<dyn Transport>,
    shards: Arc<Shards>,
    /// The shard that the connection is in.
    shard: usize,
    outbox: Arc<Outbox>,
    id: ConnectionId,
    /// What the CONNECT said; `None` before it has come.
    version: Option<Version>,
    /// True while too much waits for a commit.
    stalled: bool,
    /// What has come and could not be handled yet: most often the start of a packet.
    partial: Vec<u8>,
    /// What that takes up, as far as it is counted.
    partial_counted: usize,
    /// What is being written, and how much of it has been.
    writing: Vec<u8>,
    written: usize,
    /// The authority's answer, while it is awaited. Nothing is read meanwhile.
    decision: Option<Pin<Box<dyn Future<Output = Decision> + Send>>>,
    closing: Option<Box<Closing>>,
    /// Dropped with the task: the broker waits for that when it shuts down.
    _alive: mpsc::Sender<()>,
}

/// The end of a connection: what is left is written, then the client gets time to read it. If the
/// socket were closed at once, unread input would make the system throw the reason code away.
struct Closing {
    deadline: Pin<Box<Sleep>>,
    shut_down: bool,
    linger_bytes: usize,
}

/// The connection is over, and the engine need not be told.
struct Over;

impl ConnectionTask {
    /// The task of a transport that has been accepted; `None` if the broker is dead.
    pub(crate) fn new(
        transport: Box<dyn Transport>,
        shards: Arc<Shards>,
        alive: mpsc::Sender<()>,
    ) -> Option<Self> {
        let outbox = Arc::new(Outbox::default());
        let shard = shards.next();
        let id = shards
            .with(shard, |engine, now, _| engine.open(now, outbox.clone()))
            .ok()?;
        Some(Self {
            transport,
            shards,
            shard,
            outbox,
            id,
            version: None,
            stalled: false,
            partial: Vec::new(),
            partial_counted: 0,
            writing: Vec::new(),
            written: 0,
            decision: None,
            closing: None,
            _alive: alive,
        })
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        // Before anything is looked at, so that nothing is missed.
        self.outbox.set_waker(cx.waker());
        if !self.is_clogged() {
            self.poll_read(cx)?;
            return self.poll_write(cx);
        }
        self.poll_write(cx)?;
        if !self.is_clogged() {
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    /// True if more waits to be written than there are deliveries at a time: answers to a client
    /// that does not read them. Until it does, it is not read from.
    fn is_clogged(&self) -> bool {
        let limits = &self.shards.limits;
        // A delivery may begin as long as there is room, whatever its size.
        let deliveries_max = limits.outbox_bytes_max + limits.packet_bytes_max as usize;
        let deliveries_max = deliveries_max.min(self.shards.budget().share());
        !self.writing.is_empty() && self.outbox.waiting() > deliveries_max
    }

    fn poll_decision(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        // What waits behind the answer may hold the next question.
        while let Some(decision) = &mut self.decision {
            let Poll::Ready(decision) = decision.as_mut().poll(cx) else {
                return Ok(());
            };
            self.decision = None;
            let id = self.id;
            self.handle(|engine, now, out| engine.handle(now, Input::Decided(id, decision), out))?;
            let bytes = mem::take(&mut self.partial);
            let rest = self.batch(&bytes)?;
            self.set_partial(rest);
        }
        Ok(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        if self.stalled {
            self.stalled = self
                .shards
                .is_stalled(self.shard, cx)
                .map_err(|Dead| Over)?;
        }
        while !self.stalled {
            // What has just been read may hold a question, and what is behind it waits.
            self.poll_decision(cx)?;
            if self.decision.is_some() {
                return Ok(());
            }
            let Poll::Ready(read) = self.poll_read_once(cx) else {
                return Ok(());
            };
            match read? {
                Read::Some => {}
                // One full buffer at a time: others want their turn.
                Read::Full => {
                    cx.waker().wake_by_ref();
                    return Ok(());
                }
            }
            self.stalled = self
                .shards
                .is_stalled(self.shard, cx)
                .map_err(|Dead| Over)?;
        }
        Ok(())
    }

    fn poll_read_once(&mut self, cx: &mut Context<'_>) -> Poll<Result<Read, Over>> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let small = self.partial.len() <= PARTIAL_BYTES_SMALL;
            let kept = if small { self.partial.len() } else { 0 };
            let Some((front, free)) = buffer.split_at_mut_checked(kept) else {
                return Poll::Ready(Err(Over));
            };
            let mut free = ReadBuf::new(free);
            let read = ready!(Pin::new(&mut *self.transport).poll_read(cx, &mut free));
            let (count, full) = (free.filled().len(), free.remaining() == 0);
            if read.is_err() || count == 0 {
                return Poll::Ready(Err(self.lost()));
            }
            if small {
                front.copy_from_slice(&self.partial);
                self.partial = Vec::new();
                let bytes = buffer.get(..kept + count).unwrap_or_default();
                let rest = self.batch(bytes)?;
                self.set_partial(rest);
            } else {
                self.partial.extend_from_slice(free.filled());
                let bytes = mem::take(&mut self.partial);
                let rest = self.batch_large(bytes)?;
                self.set_partial(rest);
                if !self.check_partial()? {
                    return Poll::Ready(Ok(Read::Full));
                }
            }
            Poll::Ready(Ok(if full { Read::Full } else { Read::Some }))
        })
    }

    /// Keeps what could not be handled, and counts what it takes up.
    fn set_partial(&mut self, partial: Vec<u8>) {
        self.partial = partial;
        let capacity = self.partial.capacity();
        if capacity != self.partial_counted {
            let budget = self.shards.budget();
            budget.take(capacity.saturating_sub(self.partial_counted));
            budget.give(self.partial_counted.saturating_sub(capacity));
            self.partial_counted = capacity;
        }
    }

    /// Ends the connection if there is no memory for the packet that is coming; false if so.
    fn check_partial(&mut self) -> Result<bool, Over> {
        if self.partial.len() <= PARTIAL_BYTES_SMALL || self.shards.budget().may_be_large() {
            return Ok(true);
        }
        self.set_partial(Vec::new());
        let id = self.id;
        self.handle(|engine, now, out| engine.handle(now, Input::TooLarge(id), out))?;
        Ok(false)
    }

    /// A packet that is larger than the buffer is looked at again only when it can be whole.
    fn batch_large(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Over> {
        match cut(&bytes, self.packet_bytes_max()) {
            Ok(Cut::Incomplete(_)) => Ok(bytes),
            Ok(Cut::Whole(_)) | Err(_) => self.batch(&bytes),
        }
    }

    /// Hands all whole packets to the engine. Returns what is left: the start of the next one, or
    /// all that is behind a question to the authority.
    fn batch(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Over> {
        if self.version.is_none() && self.shards.are_several() {
            self.move_to_shard(bytes)?;
        }
        let (id, bytes_max) = (self.id, self.packet_bytes_max());
        let version = &mut self.version;
        let mut rest = bytes;
        // PUBLISH packets that have come one behind the other, and are handled together.
        let mut publishes: Vec<Publish<&[u8]>> = PUBLISHES.take();
        let question = self.shards.with(self.shard, |engine, now, out| {
            loop {
                let next = match next(&mut rest, bytes_max, *version) {
                    Next::Packet(Packet::Publish(publish)) => {
                        publishes.push(publish);
                        if publishes.len() < PUBLISHES_MAX {
                            continue;
                        }
                        None
                    }
                    next @ (Next::Packet(_) | Next::Malformed(..) | Next::Incomplete) => Some(next),
                };
                if !publishes.is_empty() {
                    engine.handle(now, Input::Publishes(id, &publishes), out);
                    publishes.clear();
                }
                match next {
                    None => {}
                    Some(Next::Incomplete) => return None,
                    Some(Next::Packet(packet)) => {
                        if let Packet::Connect(connect) = &packet {
                            version.get_or_insert(connect.version);
                        }
                        engine.handle(now, Input::Packet(id, &packet), out);
                    }
                    Some(Next::Malformed(error, version)) => {
                        engine.handle(now, Input::Malformed(id, error, version), out);
                    }
                }
                if let Some((_, question)) = out.take_question() {
                    return Some(question);
                }
            }
        });
        PUBLISHES.set(emptied(publishes));
        let question = question.map_err(|Dead| Over)?;
        self.decision = question.map(|question| self.ask(question));
        Ok(rest.to_vec())
    }

    /// Goes to the shard of the session that a CONNECT at the start of these bytes is about.
    fn move_to_shard(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let mut rest = bytes;
        let first = next(&mut rest, self.packet_bytes_max(), None);
        let Next::Packet(Packet::Connect(connect)) = first else {
            return Ok(());
        };
        let client = connect.client_id.as_str();
        let target = self.shards.shard_of(client);
        // Who has no client identifier gets one that belongs where it is.
        if client.is_empty() || target == self.shard {
            return Ok(());
        }
        let id = self.id;
        let released = self
            .shards
            .with(self.shard, |engine, _, _| engine.release(id));
        if released.map_err(|Dead| Over)? {
            let outbox = self.outbox.clone();
            let opened = self
                .shards
                .with(target, |engine, now, _| engine.open(now, outbox));
            self.id = opened.map_err(|Dead| Over)?;
            self.shard = target;
        }
        Ok(())
    }

    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Decision> + Send>> {
        let (authority, peer) = (self.shards.authority.clone(), self.transport.peer().clone());
        Box::pin(async move { authority.decide(&peer, question).await })
    }

    fn packet_bytes_max(&self) -> usize {
        let limits = &self.shards.limits;
        let max = if self.version.is_some() {
            limits.packet_bytes_max
        } else {
            limits.connect_bytes_max
        };
        max as usize
    }

    /// Writes what the outbox holds, in one go.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        loop {
            let resumed = !self.writing.is_empty();
            let closing = if resumed {
                self.outbox.is_closing()
            } else {
                let taken = self.outbox.take();
                self.writing = taken.bytes;
                taken.closing
            };
            if closing {
                self.start_closing();
                return Ok(());
            }
            match self.poll_write_rest(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(_)) => return Err(self.lost()),
                Poll::Ready(Ok(())) => {}
            }
            self.written = 0;
            if self.outbox.written(mem::take(&mut self.writing)) {
                let id = self.id;
                self.handle(|engine, now, out| engine.handle(now, Input::Written(id), out))?;
            } else if !resumed {
                return Ok(());
            }
            // What came while this was being written has woken the task already, in vain.
        }
    }

    fn poll_write_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self
            .writing
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match ready!(Pin::new(&mut *self.transport).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        if self.writing.is_empty() {
            return Poll::Ready(Ok(()));
        }
        // A transport may keep what its socket had no room for, as that of TLS does.
        Pin::new(&mut *self.transport).poll_flush(cx)
    }

    /// Writes all there is: nothing more comes.
    fn poll_write_last(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_write_rest(cx))?;
            self.written = 0;
            self.writing = self.outbox.take().bytes;
            if self.writing.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn start_closing(&mut self) {
        let linger = Duration::from_millis(self.shards.limits.linger_ms.into());
        let deadline = Box::pin(tokio::time::sleep(linger));
        self.closing = Some(Box::new(Closing {
            deadline,
            shut_down: false,
            linger_bytes: 0,
        }));
        self.decision = None;
        self.set_partial(Vec::new());
    }

    /// Writes what is left, and waits until the client closes too, or its time is over.
    fn poll_closing(&mut self, closing: &mut Closing, cx: &mut Context<'_>) -> Poll<()> {
        if closing.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !closing.shut_down {
            let shut_down = ready!(self.poll_write_last(cx)).is_ok()
                && ready!(Pin::new(&mut *self.transport).poll_shutdown(cx)).is_ok();
            if !shut_down {
                return Poll::Ready(());
            }
            closing.shut_down = true;
        }
        READ_BUFFER.with_borrow_mut(|buffer| {
            loop {
                let mut buffer = ReadBuf::new(buffer);
                let read = ready!(Pin::new(&mut *self.transport).poll_read(cx, &mut buffer));
                closing.linger_bytes += buffer.filled().len();
                if read.is_err()
                    || buffer.filled().is_empty()
                    || closing.linger_bytes > LINGER_BYTES_MAX
                {
                    return Poll::Ready(());
                }
            }
        })
    }

    /// Tells the engine that the transport is gone.
    fn lost(&self) -> Over {
        let id = self.id;
        // If the broker is dead, nobody needs to know.
        let _ = self.shards.with(self.shard, |engine, now, out| {
            engine.handle(now, Input::Closed(id), out);
        });
        Over
    }

    fn handle(&self, act: impl FnOnce(&mut Engine, Instant, &mut Output)) -> Result<(), Over> {
        self.shards.with(self.shard, act).map_err(|Dead| Over)
    }
}

impl Drop for ConnectionTask {
    fn drop(&mut self) {
        self.shards.budget().give(self.partial_counted);
    }
}

enum Read {
    Some,
    Full,
}

impl Future for ConnectionTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.closing.is_none() && self.run(cx).is_err() {
            return Poll::Ready(());
        }
        match self.closing.take() {
            None => Poll::Pending,
            Some(mut closing) => {
                let polled = self.poll_closing(&mut closing, cx);
                self.closing = Some(closing);
                polled
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is one for each connection, busy or not.
    #[test]
    fn a_connection_s_future_is_small() {
        let bytes = size_of::<ConnectionTask>();
        assert!(bytes <= 200, "{bytes} bytes");
    }
}
