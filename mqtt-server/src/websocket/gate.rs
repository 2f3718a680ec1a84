//! A socket that lets in no large message before its client has been answered.
//!
//! A WebSocket hands over whole messages, and keeps what has come of one. Whoever has not been let in is
//! not to fill memory with it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes of the handshake, or of a message before the first answer: twice what the engine takes as a
/// CONNECT by default.
const BYTES_MAX: usize = 1024 * 1024;

/// A socket behind the gate.
pub(super) struct Gate {
    stream: TcpStream,
    /// Bytes that may still come; `None` once the gate is open.
    left: Option<usize>,
}

impl Gate {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            left: Some(BYTES_MAX),
        }
    }

    /// A message has come to its end: the next one may begin.
    pub(super) fn next_message(&mut self) {
        self.left = self.left.and(Some(BYTES_MAX));
    }

    /// The client has been answered.
    pub(super) fn open(&mut self) {
        self.left = None;
    }
}

impl AsyncRead for Gate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if let Some(left) = &mut self.left {
            let count = buf.filled().len() - before;
            *left = left
                .checked_sub(count)
                .ok_or_else(|| io::Error::other("a large message before the CONNECT"))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gate {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
