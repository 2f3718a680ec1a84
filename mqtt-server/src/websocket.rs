//! MQTT over WebSockets: the bytes in the binary messages of one connection, as a stream.
//!
//! Messages and packets need not coincide, in either direction. [MQTT-6.0.0-2]

mod gate;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use futures_util::{Sink as _, Stream as _};
use mqtt_broker_core::{Listener, Peer, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use self::gate::Gate;
use crate::listen::TcpListener;

/// Bytes of the largest message: a packet of the largest size, and something before and after it.
const MESSAGE_BYTES_MAX: usize = 11 * 1024 * 1024;
/// Bytes that an idle connection has to read into.
const READ_BYTES: usize = 4 * 1024;
/// Bytes of the largest message that is sent. One waits for the socket, at most.
const WRITE_BYTES: usize = 64 * 1024;

/// The names of MQTT as a subprotocol: of 3.1.1 and 5.0, and what clients of 3.1 use.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// A TCP socket that listens for WebSockets.
pub(crate) struct WebSocketListener(pub(crate) TcpListener);

#[async_trait]
impl Listener for WebSocketListener {
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>> {
        let (stream, address) = self.0.accept_stream().await;
        Ok(Box::new(WebSocket::new(stream, address)))
    }
}

/// A connection of MQTT over a WebSocket.
struct WebSocket {
    state: State,
    /// What has come in a message and is not read yet.
    unread: Bytes,
    peer: Peer,
}

/// Handshake -> Open -> Over, or Handshake -> Over.
enum State {
    /// It goes on while the driver waits for the first byte, in the time that it gives a client for
    /// the CONNECT.
    Handshake(Pin<Box<dyn Future<Output = Result<Open, tungstenite::Error>> + Send>>),
    Open(Box<Open>),
    Over,
}

type Open = WebSocketStream<Gate>;

impl WebSocket {
    fn new(stream: TcpStream, address: SocketAddr) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let handshake =
            accept_hdr_async_with_config(Gate::new(stream), choose_subprotocol, Some(config));
        Self {
            state: State::Handshake(Box::pin(handshake)),
            unread: Bytes::new(),
            peer: Peer {
                address: address.to_string().into(),
            },
        }
    }

    /// The open WebSocket; `None` when it is over.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Pin<&mut Open>>>> {
        if let State::Handshake(handshake) = &mut self.state {
            let done = ready!(handshake.as_mut().poll(cx));
            self.state = match done {
                Ok(open) => State::Open(Box::new(open)),
                Err(cause) => {
                    self.state = State::Over;
                    return Poll::Ready(Err(io::Error::other(cause)));
                }
            };
        }
        Poll::Ready(Ok(match &mut self.state {
            State::Open(open) => Some(Pin::new(&mut **open)),
            State::Handshake(_) | State::Over => None,
        }))
    }
}

fn gate(open: Pin<&mut Open>) -> &mut Gate {
    open.get_mut().get_mut()
}

/// Echoes the name of MQTT that the client offers, and refuses one that speaks only other protocols.
/// One that offers none is taken, as not all clients do. [MQTT-6.0.0-4]
#[allow(
    clippy::result_large_err,
    reason = "the signature is that of tungstenite's callback"
)]
fn choose_subprotocol(
    request: &Request,
    mut response: Response,
) -> Result<Response, ErrorResponse> {
    let headers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let offered: Vec<&str> = headers
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    if offered.is_empty() {
        return Ok(response);
    }
    let Some(chosen) = SUBPROTOCOLS.into_iter().find(|name| offered.contains(name)) else {
        let text = "This server speaks the WebSocket subprotocol mqtt.".to_owned();
        let mut refusal = ErrorResponse::new(Some(text));
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Err(refusal);
    };
    let headers = response.headers_mut();
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(chosen));
    Ok(response)
}

impl Transport for WebSocket {
    fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.unread.is_empty() {
            let Some(mut open) = ready!(this.poll_open(cx))? else {
                return Poll::Ready(Ok(()));
            };
            let message = ready!(open.as_mut().poll_next(cx)).transpose();
            gate(open.as_mut()).next_message();
            match message.map_err(io::Error::other)? {
                Some(Message::Binary(bytes)) => this.unread = bytes,
                // Answered where they are read.
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                // [MQTT-6.0.0-1]
                Some(Message::Text(_)) => {
                    let close = CloseFrame {
                        code: CloseCode::Unsupported,
                        reason: "MQTT is sent in binary messages".into(),
                    };
                    let told = open.as_mut().start_send(Message::Close(Some(close)));
                    this.state = State::Over;
                    told.map_err(io::Error::other)?;
                }
                Some(Message::Close(_) | Message::Frame(_)) | None => this.state = State::Over,
            }
        }
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
        let Some(mut open) = ready!(self.get_mut().poll_open(cx))? else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        ready!(open.as_mut().poll_ready(cx)).map_err(io::Error::other)?;
        let bytes = buf.get(..WRITE_BYTES).unwrap_or(buf);
        let message = Message::Binary(Bytes::copy_from_slice(bytes));
        gate(open.as_mut()).open();
        open.start_send(message).map_err(io::Error::other)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().state {
            State::Open(open) => Pin::new(&mut **open)
                .poll_flush(cx)
                .map_err(io::Error::other),
            State::Handshake(_) | State::Over => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().state {
            State::Open(open) => Pin::new(&mut **open)
                .poll_close(cx)
                .map_err(io::Error::other),
            State::Handshake(_) | State::Over => Poll::Ready(Ok(())),
        }
    }
}
