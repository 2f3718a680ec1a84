//! What went wrong, as a line or two and an exit code: Mosquitto's where its programs are called, else what the library says.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::process::ExitCode;

use mqtt_client::transport::{ConnectError, Step};
use mqtt_client::{ConnectionError, Ended, Error, ReasonCode, Refusal, Version};

use crate::configuration::{Configuration, Dialect};
use crate::option::{Program, Setting};
use crate::say;

/// Exit codes that are errors of Mosquitto's library.
const PROTOCOL: u8 = 2;
const CONNECTION_LOST: u8 = 7;
const TLS: u8 = 8;
const PROXY: u8 = 16;
/// The time of `-W` is over.
const TIMEOUT: u8 = 27;

/// The end of a program that did not do what it was to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    lines: Vec<String>,
    code: u8,
}

impl Failure {
    /// One line, and an exit code.
    pub(crate) fn new(line: impl Into<String>, code: u8) -> Self {
        Self {
            lines: vec![line.into()],
            code,
        }
    }

    /// An exit code, where all has been said.
    pub(crate) const fn silent(code: u8) -> Self {
        Self {
            lines: Vec::new(),
            code,
        }
    }

    /// The same, with another line behind the others.
    pub(crate) fn and(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// The time of `-W` is over.
    pub(crate) fn timed_out() -> Self {
        Self::new("Timed out", TIMEOUT)
    }

    /// Why the first connection was not made, or the client has ended, or a call has failed.
    pub(crate) fn of(error: &Error, configuration: &Configuration) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others have nothing to do with a connection"
        )]
        match error {
            Error::Connect(cause) | Error::Ended(Ended::Connection(cause)) => {
                Self::of_connection(cause, configuration)
            }
            Error::Timeout => Self::timed_out(),
            other => Self::new(format!("Error: {other}."), 1),
        }
    }

    /// Why there is no connection, or not any longer.
    pub(crate) fn of_connection(error: &ConnectionError, configuration: &Configuration) -> Self {
        if let ConnectionError::Refused(refusal) = error {
            return Self::of_refusal(refusal, configuration);
        }
        let native = || Self::new(format!("Error: {error}."), 1);
        if configuration.dialect == Dialect::Native {
            return native();
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "Mosquitto has no more words than these"
        )]
        match error {
            ConnectionError::Open(cause) => match transport_error(&**cause) {
                Some(cause) => Self::of_transport(cause),
                None => native(),
            },
            ConnectionError::Malformed(_) | ConnectionError::Violation(_) => Self::new(
                "Error: A network protocol error occurred when communicating with the broker.",
                PROTOCOL,
            ),
            ConnectionError::ConnectTimeout
            | ConnectionError::Broken(_)
            | ConnectionError::ClosedByServer
            | ConnectionError::KeepAliveTimeout
            | ConnectionError::Disconnected(_) => Self::lost(Some(error), configuration),
            _ => native(),
        }
    }

    /// The connection was lost, and this program does not make another.
    pub(crate) fn lost(cause: Option<&ConnectionError>, configuration: &Configuration) -> Self {
        match (configuration.dialect, cause) {
            (Dialect::Native, Some(cause)) => Self::new(
                format!("Error: The connection was lost: {cause}."),
                CONNECTION_LOST,
            ),
            (_, _) => Self::new("Error: The connection was lost.", CONNECTION_LOST),
        }
    }

    fn of_transport(error: &ConnectError) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "Mosquitto has no words for the others"
        )]
        match error.step() {
            Step::Resolve => Self::new("Unable to connect (Lookup error.).", 1),
            Step::Tls => Self {
                lines: vec!["Error: A TLS error occurred.".to_owned(), error.to_string()],
                code: TLS,
            },
            Step::Proxy if error.kind() != ErrorKind::ConnectionRefused => Self {
                lines: vec!["Error: Proxy error.".to_owned(), error.to_string()],
                code: PROXY,
            },
            Step::Connect | Step::Proxy => match system_words(error.kind()) {
                Some(words) => Self::new(format!("Error: {words}"), 1),
                None => Self::new(format!("Error: {error}"), 1),
            },
            _ => Self::new(format!("Error: {error}"), 1),
        }
    }

    fn of_refusal(refusal: &Refusal, configuration: &Configuration) -> Self {
        let version = super::version(configuration);
        let code = exit_code(refusal.reason, version);
        if configuration.dialect == Dialect::Native {
            let text = ConnectionError::Refused(refusal.clone()).to_string();
            return Self::new(format!("Error: {text}."), code);
        }
        let mut lines = vec![format!(
            "Connection error: {}",
            words(refusal.reason, version)
        )];
        // Mosquitto's publisher says it twice.
        if configuration.program == Program::Publish {
            lines.push(match version {
                Version::V5 => {
                    "Error: A network protocol error occurred when communicating with the broker."
                        .to_owned()
                }
                Version::V3_1 | Version::V3_1_1 => "Error: The connection was refused.".to_owned(),
            });
        }
        Self { lines, code }
    }

    /// Says it, unless errors are not wanted, and gives the exit code.
    pub(crate) fn say(&self, configuration: &Configuration) -> ExitCode {
        if !configuration.has(Setting::Quiet) {
            for line in &self.lines {
                say::error(format_args!("{line}"));
            }
        }
        ExitCode::from(self.code)
    }
}

/// What the transport says; of several servers, the last.
fn transport_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a ConnectError> {
    error
        .downcast_ref()
        .or_else(|| error.source()?.downcast_ref())
}

/// The exit code of a refusal is what the CONNACK said.
fn exit_code(reason: ReasonCode, version: Version) -> u8 {
    match version {
        Version::V5 => reason as u8,
        Version::V3_1 | Version::V3_1_1 => return_code(reason),
    }
}

/// The return code of 3.1.1 that says the same.
fn return_code(reason: ReasonCode) -> u8 {
    #[expect(clippy::wildcard_enum_match_arm, reason = "3.1.1 has no more")]
    match reason {
        ReasonCode::UnsupportedProtocolVersion => 1,
        ReasonCode::ClientIdentifierNotValid => 2,
        ReasonCode::ServerUnavailable => 3,
        ReasonCode::BadUserNameOrPassword => 4,
        _ => 5,
    }
}

fn words(reason: ReasonCode, version: Version) -> String {
    match (version, return_code(reason)) {
        (Version::V5, 1) => {
            "Unsupported protocol version. Try connecting to an MQTT v5 broker, or use MQTT v3.x mode.".to_owned()
        }
        (Version::V5, _) => reason_words(reason),
        (_, 1) => "Connection Refused: unacceptable protocol version.".to_owned(),
        (_, 2) => "Connection Refused: identifier rejected.".to_owned(),
        (_, 3) => "Connection Refused: broker unavailable.".to_owned(),
        (_, 4) => "Connection Refused: bad user name or password.".to_owned(),
        (_, _) => "Connection Refused: not authorised.".to_owned(),
    }
}

/// What Mosquitto calls a reason code: the standard's name, with one capital letter.
pub(crate) fn reason_words(reason: ReasonCode) -> String {
    if reason == ReasonCode::BadUserNameOrPassword {
        return "Bad username or password".to_owned();
    }
    let mut words = String::new();
    for (index, word) in reason.text().split(' ').enumerate() {
        if index > 0 {
            words.push(' ');
            words.push_str(&if word == "QoS" {
                word.to_owned()
            } else {
                word.to_lowercase()
            });
        } else {
            words.push_str(word);
        }
    }
    words
}

/// What C's library calls an error of the system.
fn system_words(kind: ErrorKind) -> Option<&'static str> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others are shown as they are"
    )]
    match kind {
        ErrorKind::ConnectionRefused => Some("Connection refused"),
        ErrorKind::NotFound => Some("No such file or directory"),
        ErrorKind::AddrNotAvailable => Some("Cannot assign requested address"),
        ErrorKind::HostUnreachable => Some("No route to host"),
        ErrorKind::NetworkUnreachable => Some("Network is unreachable"),
        ErrorKind::TimedOut => Some("Connection timed out"),
        ErrorKind::PermissionDenied => Some("Permission denied"),
        ErrorKind::ConnectionReset => Some("Connection reset by peer"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_one_capital_letter() {
        for (reason, text) in [
            (ReasonCode::NotAuthorized, "Not authorized"),
            (
                ReasonCode::BadUserNameOrPassword,
                "Bad username or password",
            ),
            (
                ReasonCode::ClientIdentifierNotValid,
                "Client identifier not valid",
            ),
            (ReasonCode::QoSNotSupported, "QoS not supported"),
            (ReasonCode::TopicNameInvalid, "Topic name invalid"),
        ] {
            assert_eq!(reason_words(reason), text);
        }
    }

    #[test]
    fn before_5_the_exit_code_is_the_return_code() {
        assert_eq!(exit_code(ReasonCode::NotAuthorized, Version::V3_1_1), 5);
        assert_eq!(
            exit_code(ReasonCode::BadUserNameOrPassword, Version::V3_1),
            4
        );
        assert_eq!(exit_code(ReasonCode::NotAuthorized, Version::V5), 135);
    }
}
