//! Why a text is no address.

/// Why a text is no address. The message never quotes what could be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// There is no `://`.
    #[error(
        "the address has no scheme: write it like mqtt://host, mqtts://host:8883, ws://host/mqtt, or unix:///run/mqtt.sock"
    )]
    NoScheme,
    /// What stands before `://` is not known.
    #[error("the scheme {0} is unknown: expected mqtt, mqtts, ws, wss, or unix")]
    UnknownScheme(String),
    /// It is a URL of the web.
    #[error("http and https are not for MQTT: for a WebSocket, write ws or wss")]
    Http,
    /// Nothing stands where the host should.
    #[error("the address has no host: write it like mqtt://host")]
    NoHost,
    /// The host is neither a name nor an IP address.
    #[error(
        "the host is neither a name nor an IP address (names beyond ASCII are written in their form with xn--)"
    )]
    Host,
    /// Brackets around an IPv6 address are missing or not closed.
    #[error("an IPv6 address is written in brackets, with the port after them: [::1]:1883")]
    Brackets,
    /// The port is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// A delimiter of URLs in the user name or password.
    #[error(
        "the host or the port is none; in a user name or password, write / as %2F, ? as %3F, @ as %40, and % as %25"
    )]
    UserNotEscaped,
    /// A `%` without two hexadecimal digits, or an escape that gives no UTF-8.
    #[error(
        "a % in the {part} is not followed by two hexadecimal digits, or they make no UTF-8 (a % itself is %25)"
    )]
    Escape {
        /// Where it is: `user name`, `password`, `path`, or `query`.
        part: &'static str,
    },
    /// The path of a WebSocket does not begin with a slash.
    #[error("the path of a WebSocket begins with a slash: /mqtt")]
    WebSocketPath,
    /// The path of a Unix socket is missing, or follows a host.
    #[error("a Unix socket has an absolute path, and no host before it: unix:///run/mqtt.sock")]
    SocketPath,
    /// A line break or the like.
    #[error("the address contains a control character")]
    ControlCharacter,
}

impl AddressError {
    pub(super) fn unknown_scheme(name: &str) -> Self {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        match name.to_ascii_lowercase().as_str() {
            "http" | "https" => Self::Http,
            lower if !lower.is_empty() && lower.bytes().all(known) => {
                Self::UnknownScheme(lower.to_owned())
            }
            _ => Self::NoScheme,
        }
    }
}
