//! The bytes in the binary messages of a WebSocket, as a stream.
//!
//! Messages and packets need not coincide, in either direction. [MQTT-6.0.0-2]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::transport::Connection;
use crate::transport::error::quoted;

/// Bytes of the largest message that is sent. One waits for the socket, at most.
const WRITE_BYTES: usize = 64 * 1024;

type Open = WebSocketStream<Box<dyn Connection>>;

/// An open WebSocket. A read copies out of the message that has come; a write copies into one of its own.
pub(in crate::transport) struct WebSocket {
    open: Box<Open>,
    /// What has come in a message and is not read yet.
    unread: Bytes,
    incoming: Incoming,
}

/// Open -> Closing -> Over, or Open -> Over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Incoming {
    Open,
    /// The server's Close has come, and the answer to it has not left.
    Closing,
    Over,
}

impl WebSocket {
    pub(super) fn new(open: Open) -> Self {
        Self {
            open: Box::new(open),
            unread: Bytes::new(),
            incoming: Incoming::Open,
        }
    }

    fn open(&mut self) -> Pin<&mut Open> {
        Pin::new(&mut *self.open)
    }

    /// The next bytes; empty when there will be none.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match self.incoming {
                Incoming::Open => {}
                Incoming::Closing => {
                    // Whether the farewell arrives matters to nobody any more.
                    let _ = ready!(self.open().poll_flush(cx));
                    self.incoming = Incoming::Over;
                    return Poll::Ready(Ok(()));
                }
                Incoming::Over => return Poll::Ready(Ok(())),
            }
            match ready!(self.open().poll_next(cx)) {
                Some(Ok(message)) => self.take(message)?,
                // Many a server hangs up without a Close: MQTT tells with its own packets whether
                // something is missing.
                None | Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
                    self.incoming = Incoming::Over;
                }
                Some(Err(error)) => {
                    self.incoming = Incoming::Over;
                    return Poll::Ready(Err(error_of(error)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, message: Message) -> io::Result<()> {
        match message {
            Message::Binary(bytes) => self.unread = bytes,
            // They are answered where they are read.
            Message::Ping(_) | Message::Pong(_) => {}
            // [MQTT-6.0.0-1]
            Message::Text(_) => {
                let close = CloseFrame {
                    code: CloseCode::Unsupported,
                    reason: "MQTT is sent in binary messages".into(),
                };
                self.incoming = Incoming::Over;
                // Whether it arrives matters to nobody: the connection is given up.
                let _ = self.open().start_send(Message::Close(Some(close)));
                let says = "the server sent a text message: MQTT is sent in binary ones";
                return Err(io::Error::new(io::ErrorKind::InvalidData, says));
            }
            Message::Close(close) => {
                self.incoming = Incoming::Closing;
                return close.map_or(Ok(()), |close| farewell(&close));
            }
            // Those are for writing only.
            Message::Frame(_) => {}
        }
        Ok(())
    }
}

/// A Close is the end of the stream, or an error where the server says that something was wrong.
fn farewell(close: &CloseFrame) -> io::Result<()> {
    let code = u16::from(close.code);
    if matches!(close.code, CloseCode::Normal | CloseCode::Away) {
        return Ok(());
    }
    let reason = quoted(close.reason.as_str());
    let says = format!("the server closed the WebSocket: {code} {reason}");
    Err(io::Error::new(
        io::ErrorKind::ConnectionAborted,
        says.trim_end(),
    ))
}

fn error_of(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::Capacity(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        other @ (Error::Protocol(_) | Error::Utf8(_)) => {
            io::Error::new(io::ErrorKind::InvalidData, other)
        }
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        other @ (Error::Tls(_)
        | Error::WriteBufferFull(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_)) => io::Error::other(other),
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_bytes(cx))?;
        let count = this.unread.len().min(buf.remaining());
        buf.put_slice(&this.unread.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut open = self.get_mut().open();
        ready!(open.as_mut().poll_ready(cx)).map_err(error_of)?;
        let bytes = buf.get(..WRITE_BYTES).unwrap_or(buf);
        let message = Message::Binary(Bytes::copy_from_slice(bytes));
        open.start_send(message).map_err(error_of)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().open().poll_flush(cx).map_err(error_of)
    }

    /// Sends the Close. The socket stays open for the server's answer, which is the end of what can be
    /// read.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().open().poll_close(cx).map_err(error_of)
    }
}
