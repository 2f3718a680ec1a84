//! How to connect, beyond what an address says.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::proxy::Proxy;
#[cfg(feature = "tls")]
use super::tls::Tls;
#[cfg(feature = "websocket")]
use super::websocket::Headers;

#[cfg(feature = "websocket")]
pub use super::websocket::HeaderError;

/// How to connect, beyond what an [`Address`](crate::Address) says. `Debug` shows no secrets.
#[derive(Clone, Debug)]
pub struct TransportOptions {
    #[cfg(feature = "tls")]
    pub(super) tls: Tls,
    pub(super) proxy: Option<Proxy>,
    pub(super) bind: Option<IpAddr>,
    pub(super) connect_timeout: Duration,
    pub(super) tcp_keep_alive: Option<Duration>,
    pub(super) resolved: Resolved,
    #[cfg(feature = "websocket")]
    pub(super) websocket_headers: Headers,
    #[cfg(feature = "websocket")]
    pub(super) websocket_message_bytes_max: usize,
}

/// What is known of names without asking.
#[derive(Clone, Default)]
pub(super) struct Resolved(BTreeMap<String, Vec<SocketAddr>>);

impl Resolved {
    pub(super) fn get(&self, host: &str) -> Option<&[SocketAddr]> {
        self.0.get(&host.to_ascii_lowercase()).map(Vec::as_slice)
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Default for TransportOptions {
    /// TLS with the system's roots, no proxy, 10 seconds for all of a connection, keep-alive of TCP after
    /// a minute, messages of a WebSocket up to 16 MiB.
    fn default() -> Self {
        Self {
            #[cfg(feature = "tls")]
            tls: Tls::native_roots(),
            proxy: None,
            bind: None,
            connect_timeout: Duration::from_secs(10),
            tcp_keep_alive: Some(Duration::from_secs(60)),
            resolved: Resolved::default(),
            #[cfg(feature = "websocket")]
            websocket_headers: Headers::default(),
            #[cfg(feature = "websocket")]
            websocket_message_bytes_max: 16 * 1024 * 1024,
        }
    }
}

impl TransportOptions {
    /// Whom to trust, and as whom to be trusted, where the address asks for TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(self, tls: Tls) -> Self {
        Self { tls, ..self }
    }

    /// Goes through a proxy. Unix sockets are beyond the reach of proxies, and connected directly.
    #[must_use]
    pub fn proxy(self, proxy: Proxy) -> Self {
        Self {
            proxy: Some(proxy),
            ..self
        }
    }

    /// The address of this machine to connect from. Servers whose addresses are of the other family are
    /// then out of reach.
    #[must_use]
    pub fn bind(self, address: IpAddr) -> Self {
        Self {
            bind: Some(address),
            ..self
        }
    }

    /// The time for all of [`open`](super::open) together: the name, the socket, the proxy, and the
    /// handshakes of TLS and the WebSocket. 10 seconds by default.
    #[must_use]
    pub fn connect_timeout(self, limit: Duration) -> Self {
        Self {
            connect_timeout: limit,
            ..self
        }
    }

    /// The silence after which TCP itself asks whether the peer is still there (`SO_KEEPALIVE`), or `None`
    /// not to ask. 60 seconds by default. It finds dead peers where MQTT's own keep alive is off.
    #[must_use]
    pub fn tcp_keep_alive(self, idle: Option<Duration>) -> Self {
        Self {
            tcp_keep_alive: idle,
            ..self
        }
    }

    /// Where a name leads, instead of asking the system's resolver, for servers and proxies alike. A port
    /// of 0 is the port of the address; no addresses at all make the name unknown.
    #[must_use]
    pub fn resolve(mut self, host: &str, addresses: impl Into<Vec<SocketAddr>>) -> Self {
        let host = host.to_ascii_lowercase();
        self.resolved.0.insert(host, addresses.into());
        self
    }

    /// A header for the request that opens a WebSocket, such as `Authorization`. The same name may come
    /// again.
    ///
    /// # Errors
    ///
    /// The name or the value is no header, or the header is one that the handshake itself is made of.
    #[cfg(feature = "websocket")]
    pub fn websocket_header(mut self, name: &str, value: &str) -> Result<Self, HeaderError> {
        self.websocket_headers.add(name, value)?;
        Ok(self)
    }

    /// Bytes of the largest message that is taken from a WebSocket, 16 MiB by default. A message is held in
    /// memory as a whole. It may be part of a packet or several packets, so the limit should be above the
    /// largest packet that is expected.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn websocket_message_bytes_max(self, bytes: usize) -> Self {
        Self {
            websocket_message_bytes_max: bytes,
            ..self
        }
    }
}
