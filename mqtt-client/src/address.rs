//! Where a server is: a URL, taken apart and checked once.
//!
//! ```
//! use mqtt_client::{Address, Scheme};
//!
//! let address: Address = "mqtts://press:s%40fe@broker.example/?client_id=press-17".parse()?;
//! assert_eq!(address.scheme(), Scheme::Tls);
//! assert_eq!(address.port(), Some(8883));
//! assert_eq!(address.password(), Some(&b"s@fe"[..]));
//! assert_eq!(address.options(), [("client_id".into(), "press-17".into())]);
//! assert_eq!(address.to_string(), "mqtts://press@broker.example:8883/");
//! # Ok::<(), mqtt_client::AddressError>(())
//! ```

mod error;
mod escape;
mod parse;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

pub use self::error::AddressError;
pub(crate) use self::parse::{Parts, host_and_port, host_of};

/// References that are taken out of one Server Reference. More are of no use, and it is the server
/// that writes them.
const REFERENCES_MAX: usize = 16;

/// What is spoken below MQTT, as the first part of a URL says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `mqtt://` or `tcp://`: TCP, port 1883.
    Tcp,
    /// `mqtts://`, `ssl://`, or `tls://`: TLS over TCP, port 8883.
    Tls,
    /// `ws://`: a WebSocket over TCP, port 80.
    WebSocket,
    /// `wss://`: a WebSocket over TLS, port 443.
    SecureWebSocket,
    /// `unix://`: a Unix domain socket.
    Unix,
}

impl Scheme {
    /// The name that stands before `://`: `mqtt`, `mqtts`, `ws`, `wss`, or `unix`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::WebSocket => "ws",
            Self::SecureWebSocket => "wss",
            Self::Unix => "unix",
        }
    }

    /// The port where the address names none; `None` for Unix sockets, which have no ports.
    pub const fn default_port(self) -> Option<u16> {
        match self {
            Self::Tcp => Some(1883),
            Self::Tls => Some(8883),
            Self::WebSocket => Some(80),
            Self::SecureWebSocket => Some(443),
            Self::Unix => None,
        }
    }

    /// Whether it encrypts, and checks who the server is.
    pub const fn is_secure(self) -> bool {
        match self {
            Self::Tls | Self::SecureWebSocket => true,
            Self::Tcp | Self::WebSocket | Self::Unix => false,
        }
    }

    /// Whether MQTT goes through a WebSocket.
    pub const fn is_websocket(self) -> bool {
        match self {
            Self::WebSocket | Self::SecureWebSocket => true,
            Self::Tcp | Self::Tls | Self::Unix => false,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => Self::Tcp,
            "mqtts" | "ssl" | "tls" => Self::Tls,
            "ws" => Self::WebSocket,
            "wss" => Self::SecureWebSocket,
            "unix" => Self::Unix,
            _ => return None,
        })
    }
}

/// Where a server is, and what its URL says about how to log in.
///
/// `Display` and `Debug` show neither the password nor the query: both are safe in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    place: Place,
    user_name: Option<String>,
    password: Option<Vec<u8>>,
    options: Vec<(String, String)>,
}

/// A place to connect to.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Network(Network),
    Socket(PathBuf),
}

/// A place in the network.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) scheme: Scheme,
    /// A name or an IP address, IPv6 without brackets. It is made of letters, digits, and `-._:%` only.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// As in the URL, with its slash, or empty.
    pub(crate) path: String,
    /// What a WebSocket's server is to see after the `?`, which is not part of it.
    pub(crate) query: String,
}

impl Address {
    /// What the query of a URL may set: an address keeps these, and the client's builder obeys them.
    /// Whatever else is in the query of a `ws://` or `wss://` URL goes to the server.
    pub const OPTIONS: [&'static str; 5] = [
        "client_id",
        "keep_alive",
        "clean_start",
        "session_expiry",
        "version",
    ];

    /// A server on TCP. The host is a name or an IP address; brackets around IPv6 are optional.
    ///
    /// # Errors
    ///
    /// The host cannot be one, or the port is 0.
    pub fn tcp(host: &str, port: u16) -> Result<Self, AddressError> {
        Self::network(Scheme::Tcp, host, port, "")
    }

    /// A server on TLS over TCP. The host is the name in the server's certificate, too.
    ///
    /// # Errors
    ///
    /// The host cannot be one, or the port is 0.
    pub fn tls(host: &str, port: u16) -> Result<Self, AddressError> {
        Self::network(Scheme::Tls, host, port, "")
    }

    /// A server on a WebSocket. The path is usually `/mqtt`.
    ///
    /// # Errors
    ///
    /// The host cannot be one, the port is 0, or the path does not begin with a slash.
    pub fn websocket(host: &str, port: u16, path: &str) -> Result<Self, AddressError> {
        Self::network(Scheme::WebSocket, host, port, path)
    }

    /// A server on a WebSocket over TLS. The path is usually `/mqtt`.
    ///
    /// # Errors
    ///
    /// The host cannot be one, the port is 0, or the path does not begin with a slash.
    pub fn secure_websocket(host: &str, port: u16, path: &str) -> Result<Self, AddressError> {
        Self::network(Scheme::SecureWebSocket, host, port, path)
    }

    /// A server on a Unix domain socket.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::Socket(path.into()))
    }

    fn network(scheme: Scheme, host: &str, port: u16, path: &str) -> Result<Self, AddressError> {
        if path.chars().any(char::is_control) {
            return Err(AddressError::ControlCharacter);
        }
        if scheme.is_websocket() && !path.starts_with('/') {
            return Err(AddressError::WebSocketPath);
        }
        if port == 0 {
            return Err(AddressError::Port);
        }
        let host = host
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(host);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Ok(Self::at(Place::Network(Network {
            scheme,
            host: host_of(host)?,
            port,
            path: path_of(scheme, path),
            query: escape::for_request(query),
        })))
    }

    const fn at(place: Place) -> Self {
        Self {
            place,
            user_name: None,
            password: None,
            options: Vec::new(),
        }
    }

    /// What is spoken below MQTT.
    pub const fn scheme(&self) -> Scheme {
        match &self.place {
            Place::Network(network) => network.scheme,
            Place::Socket(_) => Scheme::Unix,
        }
    }

    /// The name or IP address, IPv6 without brackets; `None` for a Unix socket.
    pub fn host(&self) -> Option<&str> {
        match &self.place {
            Place::Network(network) => Some(&network.host),
            Place::Socket(_) => None,
        }
    }

    /// The port; `None` for a Unix socket.
    pub const fn port(&self) -> Option<u16> {
        match &self.place {
            Place::Network(network) => Some(network.port),
            Place::Socket(_) => None,
        }
    }

    /// The path of the URL as it is written there, with its first slash, or nothing. It is the path of
    /// the request for a WebSocket, and empty for a Unix socket.
    pub fn path(&self) -> &str {
        match &self.place {
            Place::Network(network) => &network.path,
            Place::Socket(_) => "",
        }
    }

    /// The file of a Unix socket.
    pub fn socket(&self) -> Option<&Path> {
        match &self.place {
            Place::Network(_) => None,
            Place::Socket(path) => Some(path),
        }
    }

    /// The topic in a URL like `mqtt://host/topic/name`: its path without the first slash. A `%` that
    /// begins no escape stands for itself, and so do `+` and `#`.
    ///
    /// `None` where there is no path, and for WebSockets and Unix sockets, whose path is another thing.
    pub fn topic(&self) -> Option<Cow<'_, str>> {
        let path = match self.scheme() {
            Scheme::Tcp | Scheme::Tls => self.path().strip_prefix('/')?,
            Scheme::WebSocket | Scheme::SecureWebSocket | Scheme::Unix => return None,
        };
        match escape::text(path) {
            _ if path.is_empty() => None,
            Some(topic) => Some(topic.into()),
            None => Some(path.into()),
        }
    }

    /// The user name in the URL.
    pub fn user_name(&self) -> Option<&str> {
        self.user_name.as_deref()
    }

    /// The password in the URL. It need not be text.
    pub fn password(&self) -> Option<&[u8]> {
        self.password.as_deref()
    }

    /// What the query says, decoded and in its order. The names are not checked here, except that of a
    /// WebSocket's query only those in [`OPTIONS`](Self::OPTIONS) are options.
    pub fn options(&self) -> &[(String, String)] {
        &self.options
    }

    /// The addresses in a Server Reference that this server sent: what is spoken, how to log in and the
    /// options remain, the host and the port are others. At most 16 are taken.
    ///
    /// The reference is as the standard recommends: names or IP addresses between spaces, each perhaps
    /// with a colon and a port, IPv6 in brackets.
    ///
    /// # Errors
    ///
    /// A host cannot be one or a port is none; or this is the address of a Unix socket.
    pub fn redirected(&self, reference: &str) -> Result<Vec<Self>, AddressError> {
        let Place::Network(here) = &self.place else {
            return Err(AddressError::Host);
        };
        let references = reference.split_ascii_whitespace().take(REFERENCES_MAX);
        references
            .map(|reference| {
                let (host, port) = host_and_port(reference)?;
                let port = port.or(here.scheme.default_port());
                let there = Network {
                    host: host_of(host)?,
                    port: port.ok_or(AddressError::Port)?,
                    ..here.clone()
                };
                Ok(Self {
                    place: Place::Network(there),
                    ..self.clone()
                })
            })
            .collect()
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }
}

impl Network {
    /// Host and port as they stand in a URL: IPv6 in brackets.
    pub(crate) fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

/// Host and port as they stand in a URL: IPv6 in brackets.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn path_of(scheme: Scheme, path: &str) -> String {
    if scheme.is_websocket() {
        escape::for_request(path)
    } else {
        path.to_owned()
    }
}

/// As a URL without password and query.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme().name())?;
        if let Some(name) = &self.user_name {
            write!(f, "{}@", escape::for_user(name))?;
        }
        match &self.place {
            Place::Network(network) => write!(f, "{}{}", network.authority(), network.path),
            Place::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests;
