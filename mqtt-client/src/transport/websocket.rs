//! MQTT over a WebSocket: the handshake. What follows it is in `stream`.

mod stream;

use std::fmt;
use std::io;

use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::error::{ProtocolError, SubProtocolError};
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response, generate_key};
use tokio_tungstenite::tungstenite::http::header::{self, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, http};

use self::stream::WebSocket;
use super::error::{quoted, words};
use super::{ConnectError, Connection, Step, TransportOptions};
use crate::address::{Network, authority};

/// The name of MQTT as a subprotocol. [MQTT-6.0.0-3]
const SUBPROTOCOL: HeaderValue = HeaderValue::from_static("mqtt");
/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// What the handshake is made of, which nobody else may set.
const RESERVED: [HeaderName; 7] = [
    header::HOST,
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_VERSION,
];

/// Headers beyond those of the handshake. Their values are secret to `Debug`.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    pub(super) fn add(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let name: HeaderName = name.parse().map_err(|_| HeaderError::Name)?;
        if RESERVED.contains(&name) {
            return Err(HeaderError::Reserved(name.to_string()));
        }
        let mut value =
            HeaderValue::from_str(value).map_err(|_| HeaderError::Value(name.to_string()))?;
        value.set_sensitive(true);
        self.0.push((name, value));
        Ok(())
    }
}

/// What is wrong with a header for the request that opens a WebSocket. Values are not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name cannot be that of a header.
    #[error("the name of a header is made of letters, digits, and hyphens")]
    Name,
    /// The value has a line break or the like.
    #[error("the value of the header {0} contains a control character")]
    Value(String),
    /// The handshake sets this header itself.
    #[error("the handshake sets the header {0} itself")]
    Reserved(String),
}

/// All that a handshake needs, apart from its random key.
pub(super) struct Handshake {
    request: Request,
    config: WebSocketConfig,
}

impl Handshake {
    pub(super) fn prepare(
        network: &Network,
        options: &TransportOptions,
    ) -> Result<Self, ConnectError> {
        let request = request(network, &options.websocket_headers).map_err(|error| {
            ConnectError::unsupported(format!("there is no request for the address: {error}"))
        })?;
        let bytes_max = options.websocket_message_bytes_max;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(bytes_max))
            .max_frame_size(Some(bytes_max));
        Ok(Self { request, config })
    }

    pub(super) async fn shake(
        &self,
        stream: Box<dyn Connection>,
        peer: &str,
    ) -> Result<WebSocket, ConnectError> {
        let mut request = self.request.clone();
        let fail = |kind, cause: &dyn fmt::Display| {
            ConnectError::new(
                Step::WebSocket,
                kind,
                format!("WebSocket with {peer}: {cause}"),
            )
        };
        let key = HeaderValue::from_str(&generate_key())
            .map_err(|error| fail(io::ErrorKind::Other, &error))?;
        request.headers_mut().insert(header::SEC_WEBSOCKET_KEY, key);
        match client_async_with_config(request, stream, Some(self.config)).await {
            Ok((open, _)) => Ok(WebSocket::new(open)),
            Err(error) => {
                let path = self.request.uri().path();
                Err(fail(kind_of(&error), &explain(&error, path)))
            }
        }
    }
}

fn request(network: &Network, headers: &Headers) -> http::Result<Request> {
    let Network {
        scheme,
        host,
        port,
        path,
        query,
    } = network;
    // A zone is of no use to anybody but this machine.
    let host = host.split('%').next().unwrap_or(host);
    let whole = authority(host, *port);
    let question = if query.is_empty() { "" } else { "?" };
    let uri = format!("{}://{whole}{path}{question}{query}", scheme.name());
    let shown = match whole.strip_suffix(&format!(":{port}")) {
        Some(host) if Some(*port) == scheme.default_port() => host,
        Some(_) | None => &whole,
    };
    let mut request = Request::builder()
        .uri(uri)
        .header(header::HOST, shown)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
        .body(())?;
    for (name, value) in &headers.0 {
        request.headers_mut().append(name, value.clone());
    }
    Ok(request)
}

fn kind_of(error: &Error) -> io::ErrorKind {
    match error {
        Error::Io(error) => error.kind(),
        Error::Http(_) => io::ErrorKind::PermissionDenied,
        Error::Protocol(ProtocolError::HandshakeIncomplete) => io::ErrorKind::UnexpectedEof,
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Tls(_)
        | Error::Capacity(_)
        | Error::Protocol(_)
        | Error::WriteBufferFull(_)
        | Error::Utf8(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::HttpFormat(_) => io::ErrorKind::InvalidData,
    }
}

fn explain(error: &Error, path: &str) -> String {
    match error {
        Error::Io(error) => words(error),
        Error::Http(response) => refusal(response, path),
        Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            "the server closed the connection instead of answering".to_owned()
        }
        Error::Protocol(ProtocolError::HttparseError(_)) => {
            "the server does not answer in HTTP: is the port one for WebSockets?".to_owned()
        }
        Error::Protocol(
            ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::SecWebSocketAcceptKeyMismatch,
        ) => "the server answers in HTTP, but as no WebSocket does".to_owned(),
        // [MQTT-6.0.0-4]
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(
            SubProtocolError::NoSubProtocol,
        )) => "the server did not choose the subprotocol mqtt: it may not speak MQTT".to_owned(),
        Error::AttackAttempt | Error::Capacity(_) => "the server's answer is too long".to_owned(),
        Error::Protocol(error) => error.to_string(),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Tls(_)
        | Error::WriteBufferFull(_)
        | Error::Utf8(_)
        | Error::Url(_)
        | Error::HttpFormat(_) => error.to_string(),
    }
}

fn refusal(response: &Response, path: &str) -> String {
    let status = response.status();
    let target = response
        .headers()
        .get(header::LOCATION)
        .and_then(|location| location.to_str().ok());
    match target {
        Some(target) if status.is_redirection() => {
            format!(
                "the server answers {status}, and points to {}",
                quoted(target)
            )
        }
        Some(_) | None if status == http::StatusCode::NOT_FOUND => {
            format!("the server answers {status} to the path {path}")
        }
        Some(_) | None => format!("the server answers {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Address, Place};

    fn request_for(url: &str) -> Request {
        let address: Address = url.parse().unwrap();
        let Place::Network(network) = address.place() else {
            panic!("{url} is no place in the network");
        };
        let mut headers = Headers::default();
        headers.add("Cookie", "a=b").unwrap();
        request(network, &headers).unwrap()
    }

    /// [MQTT-6.0.0-3]
    #[test]
    fn a_request_names_path_host_and_subprotocol() {
        let request = request_for("ws://u:p@h/a%20b?c=d&client_id=x");
        assert_eq!(request.uri(), "ws://h:80/a%20b?c=d");
        let header = |name: HeaderName| request.headers()[name].to_str().unwrap();
        assert_eq!(header(header::HOST), "h");
        assert_eq!(header(header::SEC_WEBSOCKET_PROTOCOL), "mqtt");
        assert_eq!(header(header::COOKIE), "a=b");
        assert!(!request.headers().contains_key(header::AUTHORIZATION));
        let host = |url: &str| {
            let value = request_for(url).headers()[header::HOST].clone();
            value.to_str().unwrap().to_owned()
        };
        assert_eq!(host("ws://h:8080"), "h:8080");
        assert_eq!(host("wss://h"), "h");
        assert_eq!(host("wss://[::1]:80"), "[::1]:80");
        assert_eq!(host("ws://[fe80::1%25eth0]"), "[fe80::1]");
    }

    #[test]
    fn headers_are_checked_and_not_shown() {
        let mut headers = Headers::default();
        let reserved = HeaderError::Reserved("sec-websocket-protocol".into());
        assert_eq!(headers.add("Sec-WebSocket-Protocol", "x"), Err(reserved));
        assert_eq!(headers.add("a b", "x"), Err(HeaderError::Name));
        let value = HeaderError::Value("x-a".into());
        assert_eq!(headers.add("X-A", "a\r\nb"), Err(value));
        assert_eq!(headers.add("Authorization", "Bearer secret"), Ok(()));
        let shown = format!("{headers:?}");
        assert!(shown.contains("authorization"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
