//! Why no connection came about, for people and for the reconnect logic.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::address::Address;

/// Failures of other IP addresses that a message lists, at most.
const FAILURES_SHOWN: usize = 4;
/// Characters of a text of the peer's that a message quotes, at most.
const QUOTED_CHARS_MAX: usize = 200;

/// How far [`open`](super::open) came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Nothing was tried: the options or the features of this build do not allow it.
    #[default]
    Configure,
    /// Finding the IP addresses of a name.
    Resolve,
    /// Connecting a socket.
    Connect,
    /// Asking a proxy.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// The handshake of the WebSocket.
    WebSocket,
}

/// Why no connection came about. `Display` is one line that tells all of it.
///
/// ```text
/// cannot connect to mqtts://broker.example:8883: TLS with 192.0.2.7:8883: the server's certificate expired 3 days ago
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError {
    address: String,
    step: Step,
    kind: io::ErrorKind,
    detail: String,
    earlier: Vec<String>,
    permanent: bool,
}

impl ConnectError {
    /// The step that failed.
    pub const fn step(&self) -> Step {
        self.step
    }

    /// The kind of failure, such as `ConnectionRefused`, `TimedOut`, or `PermissionDenied` where a proxy or
    /// a server refused. For a certificate or an answer that is no good it is `InvalidData`.
    pub const fn kind(&self) -> io::ErrorKind {
        self.kind
    }

    /// Whether the time was up.
    pub fn is_timeout(&self) -> bool {
        self.kind == io::ErrorKind::TimedOut
    }

    /// Whether another attempt with the same address and options must fail the same way, since the reason
    /// is in them or in this build: a feature that is missing, roots that do not exist.
    ///
    /// What the other side says is never permanent: certificates are renewed, proxies and servers
    /// restarted with better configurations.
    pub const fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// What failed, without the address that was asked for.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn new(step: Step, kind: io::ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            address: String::new(),
            step,
            kind,
            detail: detail.into(),
            earlier: Vec::new(),
            permanent: false,
        }
    }

    /// An error of a socket: what was tried, and how that ended.
    pub(super) fn io(step: Step, tried: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(step, error.kind(), format!("{tried}: {}", words(error)))
    }

    /// The options ask for something that cannot be.
    pub(super) fn unsupported(detail: impl Into<String>) -> Self {
        Self {
            permanent: true,
            ..Self::new(Step::Configure, io::ErrorKind::Unsupported, detail)
        }
    }

    pub(super) fn timed_out(step: Step, peer: &str, limit: Duration) -> Self {
        let doing = match step {
            Step::Configure => "still loading the system's certificates".to_owned(),
            Step::Resolve => format!("no answer about the name {peer}"),
            Step::Connect => format!("no answer from {peer}"),
            Step::Proxy => format!("no answer from the proxy {peer}"),
            Step::Tls => format!("TLS with {peer}: the handshake is not complete"),
            Step::WebSocket => format!("WebSocket with {peer}: no answer"),
        };
        let detail = format!("{doing} after {limit:?}");
        Self::new(step, io::ErrorKind::TimedOut, detail)
    }

    /// With what failed before this.
    pub(super) fn after(self, earlier: &[String]) -> Self {
        Self {
            earlier: earlier.to_vec(),
            ..self
        }
    }

    /// With where the connection should have led.
    pub(super) fn to(self, address: &Address) -> Self {
        Self {
            address: address.to_string(),
            ..self
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect to {}: {}", self.address, self.detail)?;
        if !self.earlier.is_empty() {
            write!(f, "; before that, {}", listed(&self.earlier))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConnectError {}

/// Some failures in one line.
fn listed(failures: &[String]) -> String {
    let shown: Vec<&str> = failures
        .iter()
        .take(FAILURES_SHOWN)
        .map(String::as_str)
        .collect();
    match failures.len().saturating_sub(FAILURES_SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

/// An error of the system without its number.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// A text that a peer chose, fit for one line of a message.
pub(super) fn quoted(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(QUOTED_CHARS_MAX)
        .collect()
}
