//! Proxies: HTTP CONNECT and SOCKS5.

mod http;
mod socks;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;

use tokio::net::TcpStream;

use super::error::words;
use super::{ConnectError, Step};
use crate::address::{AddressError, Network, Parts, authority, host_and_port, host_of};

/// The port of SOCKS.
const SOCKS_PORT: u16 = 1080;
/// Bytes of a user name or a password, which SOCKS5 counts in one byte. [RFC 1929]
const CREDENTIAL_BYTES_MAX: usize = 255;

/// A proxy on the way to the server. `Display` and `Debug` do not show the password.
///
/// ```
/// use mqtt_client::Proxy;
///
/// let proxy: Proxy = "socks5h://user:secret@proxy.example".parse()?;
/// assert_eq!(proxy.to_string(), "socks5h://user@proxy.example:1080");
/// # Ok::<(), mqtt_client::transport::ProxyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    protocol: Protocol,
    host: String,
    port: u16,
    credentials: Option<Credentials>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    /// The name of the server is resolved here.
    Socks5,
    /// The name of the server is resolved by the proxy.
    Socks5Hostname,
}

#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    user_name: String,
    password: Vec<u8>,
}

/// What a proxy is asked for.
pub(super) enum Target {
    Name(Network),
    Address(SocketAddr),
}

impl Proxy {
    /// A proxy that is asked with HTTP's `CONNECT`. It resolves the name of the server.
    ///
    /// # Errors
    ///
    /// The host cannot be one, or the port is 0.
    pub fn http(host: &str, port: u16) -> Result<Self, ProxyError> {
        Self::new(Protocol::Http, host, port)
    }

    /// A SOCKS5 proxy that is asked for an IP address: names are resolved here.
    ///
    /// # Errors
    ///
    /// The host cannot be one, or the port is 0.
    pub fn socks5(host: &str, port: u16) -> Result<Self, ProxyError> {
        Self::new(Protocol::Socks5, host, port)
    }

    /// A SOCKS5 proxy that is asked for a name: the proxy resolves it.
    ///
    /// # Errors
    ///
    /// The host cannot be one, or the port is 0.
    pub fn socks5h(host: &str, port: u16) -> Result<Self, ProxyError> {
        Self::new(Protocol::Socks5Hostname, host, port)
    }

    fn new(protocol: Protocol, host: &str, port: u16) -> Result<Self, ProxyError> {
        if port == 0 {
            return Err(AddressError::Port.into());
        }
        let host = host
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(host);
        Ok(Self {
            protocol,
            host: host_of(host)?,
            port,
            credentials: None,
        })
    }

    /// As whom to use the proxy: Basic authentication of HTTP, the user name and password of SOCKS5. Both
    /// go to the proxy in clear text.
    ///
    /// # Errors
    ///
    /// The protocol of the proxy cannot carry them: SOCKS5 takes 1 to 255 bytes of each, and a user name
    /// for HTTP has no colon and no control characters.
    pub fn credentials(
        self,
        user_name: &str,
        password: impl Into<Vec<u8>>,
    ) -> Result<Self, ProxyError> {
        let password = password.into();
        let fits = |bytes: &[u8]| (1..=CREDENTIAL_BYTES_MAX).contains(&bytes.len());
        let is_good = match self.protocol {
            Protocol::Http => !user_name.contains(|c: char| c == ':' || c.is_control()),
            Protocol::Socks5 | Protocol::Socks5Hostname => {
                fits(user_name.as_bytes()) && fits(&password)
            }
        };
        if !is_good {
            return Err(ProxyError::Credentials);
        }
        Ok(Self {
            credentials: Some(Credentials {
                user_name: user_name.to_owned(),
                password,
            }),
            ..self
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn resolves_names(&self) -> bool {
        match self.protocol {
            Protocol::Http | Protocol::Socks5Hostname => true,
            Protocol::Socks5 => false,
        }
    }

    /// Asks the proxy at the other end of a socket for a way to the target. The socket that comes back
    /// leads there.
    pub(super) async fn lead(
        &self,
        mut stream: TcpStream,
        target: &Target,
    ) -> Result<TcpStream, ConnectError> {
        let credentials = self.credentials.as_ref();
        let led = match self.protocol {
            Protocol::Http => http::connect(&mut stream, target, credentials).await,
            Protocol::Socks5 | Protocol::Socks5Hostname => {
                socks::connect(&mut stream, target, credentials).await
            }
        };
        match led {
            Ok(()) => Ok(stream),
            Err(Refusal { kind, says }) => {
                let detail = format!("the proxy {self} {says}");
                Err(ConnectError::new(Step::Proxy, kind, detail))
            }
        }
    }
}

/// What a proxy did instead of leading on: a sentence about it.
struct Refusal {
    kind: io::ErrorKind,
    says: String,
}

impl Refusal {
    fn new(kind: io::ErrorKind, says: impl Into<String>) -> Self {
        let says = says.into();
        Self { kind, says }
    }

    /// It does not speak the protocol.
    fn nonsense(says: impl Into<String>) -> Self {
        Self::new(io::ErrorKind::InvalidData, says)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let says = if error.kind() == io::ErrorKind::UnexpectedEof {
            "closed the connection instead of answering".to_owned()
        } else {
            format!("cannot be asked: {}", words(&error))
        };
        Self::new(error.kind(), says)
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(url: &str) -> Result<Self, ProxyError> {
        let parts = Parts::of(url).map_err(|error| {
            if error == AddressError::NoScheme {
                ProxyError::Scheme
            } else {
                error.into()
            }
        })?;
        let protocol = match parts.scheme.to_ascii_lowercase().as_str() {
            "http" => Protocol::Http,
            "socks5" => Protocol::Socks5,
            "socks5h" => Protocol::Socks5Hostname,
            _ => return Err(ProxyError::Scheme),
        };
        if !matches!(parts.path, "" | "/") || !parts.query.is_empty() {
            return Err(ProxyError::Path);
        }
        let (host, port) = host_and_port(parts.host)?;
        let port = match (protocol, port) {
            (_, Some(port)) => port,
            (Protocol::Socks5 | Protocol::Socks5Hostname, None) => SOCKS_PORT,
            // The port of HTTP itself is that of hardly any proxy, and there are several habits.
            (Protocol::Http, None) => return Err(ProxyError::Port),
        };
        let proxy = Self::new(protocol, host, port)?;
        match (parts.user_name()?, parts.password()?) {
            (None, None) => Ok(proxy),
            (name, password) => {
                proxy.credentials(&name.unwrap_or_default(), password.unwrap_or_default())
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(network) => f.write_str(&network.authority()),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// As a URL without the password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Http => "http",
            Protocol::Socks5 => "socks5",
            Protocol::Socks5Hostname => "socks5h",
        };
        write!(f, "{scheme}://")?;
        if let Some(credentials) = &self.credentials {
            write!(f, "{}@", credentials.user_name.escape_debug())?;
        }
        f.write_str(&authority(&self.host, self.port))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Why a text is no proxy. The message never quotes what could be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The scheme is missing or unknown.
    #[error("a proxy is written like http://host:port, socks5://host, or socks5h://host")]
    Scheme,
    /// A proxy of HTTP without a port.
    #[error("the port of the proxy is missing: http://host:port")]
    Port,
    /// Something follows the host.
    #[error("a proxy has no path and no query")]
    Path,
    /// The user name or the password does not fit into the protocol.
    #[error(
        "the user name or password does not suit the proxy: SOCKS5 takes 1 to 255 bytes of each, and a user name for HTTP no colon"
    )]
    Credentials,
    /// The host, the port or an escape is wrong.
    #[error("the proxy: {0}")]
    Address(#[from] AddressError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_written_as_urls() {
        let shown = |url: &str| url.parse::<Proxy>().map(|proxy| proxy.to_string());
        assert_eq!(shown("socks5://h").as_deref(), Ok("socks5://h:1080"));
        assert_eq!(shown("SOCKS5H://h:1/").as_deref(), Ok("socks5h://h:1"));
        assert_eq!(
            shown("http://[::1]:3128").as_deref(),
            Ok("http://[::1]:3128")
        );
        let user = shown("http://u:secret@h:1");
        assert_eq!(user.as_deref(), Ok("http://u@h:1"));
        assert_eq!(shown("http://h"), Err(ProxyError::Port));
        assert_eq!(shown("http://h:1/x"), Err(ProxyError::Path));
        assert_eq!(shown("https://h:1"), Err(ProxyError::Scheme));
        assert_eq!(shown("h:1080"), Err(ProxyError::Scheme));
        let error = ProxyError::Address(AddressError::Host);
        assert_eq!(shown("socks5://a b"), Err(error));
        let error = ProxyError::Address(AddressError::NoHost);
        assert_eq!(shown("socks5://:1"), Err(error));
    }

    #[test]
    fn credentials_must_suit_the_protocol() {
        let long = "x".repeat(256);
        let socks = Proxy::socks5("h", 1).unwrap();
        assert!(socks.clone().credentials("u", "p").is_ok());
        for (name, password) in [("u", ""), ("", "p"), (&long, "p"), ("u", &long)] {
            let error = socks.clone().credentials(name, password);
            assert_eq!(error, Err(ProxyError::Credentials));
        }
        let http = Proxy::http("h", 1).unwrap();
        assert!(http.clone().credentials("u", "").is_ok());
        for name in ["a:b", "a\nb"] {
            let error = http.clone().credentials(name, "p");
            assert_eq!(error, Err(ProxyError::Credentials));
        }
        assert!("socks5://u@h".parse::<Proxy>().is_err());
        assert!("http://u@h:1".parse::<Proxy>().is_ok());
    }

    #[test]
    fn no_password_is_shown() {
        let proxy: Proxy = "socks5://u:secret@h".parse().unwrap();
        assert_eq!(format!("{proxy:?}"), "Proxy(socks5://u@h:1080)");
    }
}
