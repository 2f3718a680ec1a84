//! What went wrong with TLS, in words for whoever has to mend it.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "these enums are rustls's, and grow; what is not explained is named as rustls names it"
)]

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use crate::transport::error::{quoted, words};

/// What TLS itself says about an error of its stream.
pub(super) fn cause(error: &io::Error) -> Option<String> {
    let cause = error.get_ref()?.downcast_ref::<Error>()?;
    Some(explain(cause))
}

/// Why a handshake failed.
pub(super) fn handshake(error: &io::Error) -> String {
    match cause(error) {
        Some(cause) => cause,
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server closed the connection during the handshake: is TLS spoken on this port?"
                .to_owned()
        }
        None => words(error),
    }
}

fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(alert) => alerted(*alert),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => "the server does not answer in TLS: is the port one for clear text?".to_owned(),
        Error::PeerIncompatible(
            PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ) => "the server speaks only versions of TLS that are not allowed here".to_owned(),
        Error::NoApplicationProtocol => "no protocol of those offered by ALPN is spoken".to_owned(),
        other => other.to_string(),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => "the server's certificate has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the server's certificate expired {} ago (or the clock of this machine is wrong)",
            between(*not_after, *time)
        ),
        CertificateError::NotValidYet => "the server's certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the server's certificate becomes valid in {} (or the clock of this machine is wrong)",
            between(*time, *not_before)
        ),
        CertificateError::UnknownIssuer => {
            "the server's certificate is by nobody who is trusted: its authority is not among the roots, or the server sends too few certificates"
                .to_owned()
        }
        CertificateError::NotValidForName => {
            "the server's certificate is for another name".to_owned()
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let expected = expected.to_str();
            match presented.as_slice() {
                [] => format!("the server's certificate is for no name, and not for {expected}"),
                names => {
                    let names: Vec<&str> = names.iter().map(|name| plain(name)).collect();
                    let names = quoted(&names.join(", "));
                    format!("the server's certificate is for {names}, and not for {expected}")
                }
            }
        }
        CertificateError::Revoked => "the server's certificate is revoked".to_owned(),
        CertificateError::BadEncoding => "the server's certificate is damaged".to_owned(),
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the server shows the certificate of an authority as its own (CA:TRUE)".to_owned()
        }
        other => {
            let other = quoted(&other.to_string());
            format!("the server's certificate is not accepted: {other}")
        }
    }
}

/// A name out of `DnsName("broker.example")` or `IpAddress(192.0.2.1)`, which is how rustls gives them.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner);
    let inner = inner.strip_suffix(')').unwrap_or(inner);
    inner.trim_matches('"')
}

fn alerted(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "the server asks for a client certificate".to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::DecryptError => {
            format!("the server does not accept the client certificate ({alert:?})")
        }
        AlertDescription::UnknownCA => {
            "the server does not trust the authority of the client certificate".to_owned()
        }
        AlertDescription::CertificateExpired => {
            "the server says that the client certificate has expired".to_owned()
        }
        AlertDescription::CertificateRevoked => {
            "the server says that the client certificate is revoked".to_owned()
        }
        AlertDescription::AccessDenied => "the server denies access".to_owned(),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            "the server finds no way to encrypt in common, or wants a client certificate".to_owned()
        }
        AlertDescription::ProtocolVersion => {
            "the server speaks none of the allowed versions of TLS".to_owned()
        }
        AlertDescription::UnrecognisedName => {
            "the server does not know the name it was asked for".to_owned()
        }
        AlertDescription::NoApplicationProtocol => {
            "the server speaks none of the protocols offered by ALPN".to_owned()
        }
        other => format!("the server gave up with the alert {other:?}"),
    }
}

/// A span of time, coarsely.
fn between(earlier: UnixTime, later: UnixTime) -> String {
    let seconds = later.as_secs().saturating_sub(earlier.as_secs());
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn spans_are_coarse() {
        let span = |seconds: u64| {
            let time = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            between(time(1000), time(1000 + seconds))
        };
        assert_eq!(span(1), "1 second");
        assert_eq!(span(119), "119 seconds");
        assert_eq!(span(120), "2 minutes");
        assert_eq!(span(86_400), "24 hours");
        assert_eq!(span(3 * 86_400 + 1), "3 days");
    }
}
