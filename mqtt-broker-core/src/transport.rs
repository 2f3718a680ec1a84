//! What carries bytes: one connection, and where connections come from.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An established, ordered stream of bytes to one client, and what is known of its other end.
///
/// Any tokio stream will do: TCP, TLS, a WebSocket adapter, `tokio::io::DuplexStream` in tests.
///
/// `[MQTT-4.2-1]`
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// The other end.
    fn peer(&self) -> &Peer;
}

/// Any stream, with what is known of its other end, as a transport.
#[derive(Debug)]
pub struct Stream<S> {
    stream: S,
    peer: Peer,
}

impl<S> Stream<S> {
    /// The transport of a stream to the peer at this address.
    pub fn new(stream: S, address: impl fmt::Display) -> Self {
        Self {
            stream,
            peer: Peer {
                address: address.to_string().into(),
            },
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for Stream<S> {
    fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
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

/// The other end of a transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address, as the listener writes addresses.
    pub address: Box<str>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

/// A source of transports.
#[async_trait]
pub trait Listener: Send + 'static {
    /// The next connection. A client that fails its handshake is passed over inside.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// An error is about the listener, and ends it: what passes by itself, as a lack of file
    /// descriptors does, is waited out inside.
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>>;
}
