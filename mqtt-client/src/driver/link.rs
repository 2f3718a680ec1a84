//! One transport: bytes in, bytes out, and its end.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::ConnectionError;
use crate::transport::Connection;

/// Bytes that are read at a time at first; where that fills up, it doubles up to the second.
const READ_BYTES: std::ops::RangeInclusive<usize> = 4 << 10..=64 << 10;
/// The buffer for writing does not stay larger than this.
const WRITE_CAPACITY_MAX: usize = 256 << 10;

/// A transport with its buffers.
pub(super) struct Link {
    stream: Box<dyn Connection>,
    /// What was read, and not understood yet.
    pub(super) received: BytesMut,
    read_bytes: usize,
    /// What is to be written; all of it before there is more.
    out: Vec<u8>,
    written: usize,
    output: Output,
    /// Why nothing more can be written. What the server said before that is still to be read: it may be why.
    write_error: Option<io::Error>,
    /// Why there is nothing to be read or written any more.
    pub(super) error: Option<ConnectionError>,
}

/// How far the bytes are that were written.
///
/// ```text
/// Idle --bytes to write--> Writing --all written--> Flushing --> Idle
/// any --finish, when Idle--> Shutting --> Shut
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Idle,
    Writing,
    Flushing,
    Shutting,
    Shut,
}

/// Whether bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Yes, they are understood.
    Wanted,
    /// No, they stay in the socket.
    Unwanted,
    /// Yes, and thrown away: a socket that is closed with bytes unread resets the connection, and the last
    /// packet is lost.
    Discarded,
}

impl Link {
    pub(super) fn new(stream: Box<dyn Connection>) -> Self {
        Self {
            stream,
            received: BytesMut::new(),
            read_bytes: *READ_BYTES.start(),
            out: Vec::new(),
            written: 0,
            output: Output::Idle,
            write_error: None,
            error: None,
        }
    }

    /// Where to put what is to be written next, if all before is.
    pub(super) fn wants_output(&mut self) -> Option<&mut Vec<u8>> {
        (self.output == Output::Idle).then_some(&mut self.out)
    }

    /// Begins to write what was put there.
    pub(super) fn write(&mut self) {
        if self.output == Output::Idle && !self.out.is_empty() {
            self.output = Output::Writing;
        }
    }

    /// Nothing more will be written: closes this direction.
    pub(super) fn finish(&mut self) {
        if self.output == Output::Idle {
            self.output = Output::Shutting;
        }
    }

    /// Reads and writes what is possible; ready as soon as that has changed something.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, reading: Reading) -> Poll<()> {
        if self.error.is_some() {
            return Poll::Pending;
        }
        let wrote = self.poll_write(cx);
        let read = match reading {
            Reading::Wanted | Reading::Discarded => self.poll_read(cx),
            Reading::Unwanted => Poll::Pending,
        };
        if read.is_pending()
            && let Some(error) = self.write_error.take()
        {
            self.broken(error);
        }
        if reading == Reading::Discarded {
            self.received.clear();
        }
        if wrote.is_ready() || read.is_ready() || self.error.is_some() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let spare = self.received.capacity() - self.received.len();
        if spare < self.read_bytes / 8 {
            // A large packet that is here in part doubles the room at the least.
            self.received
                .reserve(self.read_bytes.max(self.received.len()));
        }
        let room = self.received.capacity() - self.received.len();
        let read = pin!(self.stream.read_buf(&mut self.received)).poll(cx);
        match read {
            Poll::Ready(Ok(0)) => self.error = Some(ConnectionError::ClosedByServer),
            Poll::Ready(Ok(count)) if count == room => {
                self.read_bytes = (self.read_bytes * 2).min(*READ_BYTES.end());
            }
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => self.broken(error),
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(())
    }

    /// Ready when all is written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.write_error.is_some() {
            return Poll::Pending;
        }
        let done = loop {
            let step = match self.output {
                Output::Idle | Output::Shut => return Poll::Pending,
                Output::Writing => self.poll_bytes(cx),
                Output::Flushing => Pin::new(&mut self.stream).poll_flush(cx),
                Output::Shutting => Pin::new(&mut self.stream).poll_shutdown(cx),
            };
            match (step, self.output) {
                (Poll::Pending, _) => return Poll::Pending,
                (Poll::Ready(Ok(())), Output::Writing) => self.output = Output::Flushing,
                (Poll::Ready(Ok(())), Output::Flushing) => break Output::Idle,
                (Poll::Ready(_), Output::Shutting) => break Output::Shut,
                (Poll::Ready(Ok(())), Output::Idle | Output::Shut) => return Poll::Pending,
                (Poll::Ready(Err(error)), _) => {
                    self.write_error = Some(error);
                    return Poll::Pending;
                }
            }
        };
        self.output = done;
        self.out.clear();
        self.out.shrink_to(WRITE_CAPACITY_MAX);
        self.written = 0;
        Poll::Ready(())
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn broken(&mut self, error: io::Error) {
        self.error = Some(ConnectionError::Broken(Arc::new(error)));
    }
}
