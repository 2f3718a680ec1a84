//! `-L` and the URL argument: server, user and topic in one; and the URL of `--proxy`.

use std::ffi::OsStr;

use super::{Complaint, Configuration, Dialect, error};
use crate::option::{Program, Setting};

/// The parts of what stands between the scheme and the topic.
#[derive(Debug, PartialEq, Eq)]
struct Authority<'a> {
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
}

impl<'a> Authority<'a> {
    fn parse(text: &'a str) -> Self {
        let (user, host) = match text.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, text),
        };
        let (user, password) = match user.map(|user| user.split_once(':').ok_or(user)) {
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
            None => (None, None),
        };
        // An address of IPv6 stands in brackets.
        let (host, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => match host.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host, None),
            },
        };
        Self {
            user,
            password,
            host,
            port,
        }
    }
}

impl Configuration {
    /// Takes server, user and topic from a URL.
    pub(super) fn url(&mut self, value: &OsStr) -> Result<(), Complaint> {
        let url = value
            .to_str()
            .ok_or_else(|| error("Malformed UTF-8 in -L argument."))?;
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let port = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => 1883,
            "mqtts" | "ssl" | "tls" => {
                self.flag(Setting::OsCertificates);
                8883
            }
            "ws" => {
                self.flag(Setting::WebSocket);
                80
            }
            "wss" => {
                self.flag(Setting::WebSocket);
                self.flag(Setting::OsCertificates);
                443
            }
            _ => return Err(error("unsupported URL scheme.")),
        };
        let (authority, topic) = match rest.split_once('/') {
            Some((authority, topic)) => (authority, Some(topic)),
            None => (rest, None),
        };
        match topic {
            Some("") | None if self.dialect == Dialect::Native => {}
            Some(topic) => self.topic(topic)?,
            None => {
                return Err(Complaint(
                    "Error: Invalid URL for -L argument specified - topic missing.".to_owned(),
                ));
            }
        }
        let authority = Authority::parse(authority);
        if let Some(user) = authority.user {
            self.user_name = Some(self.decoded(user)?);
        }
        if let Some(password) = authority.password {
            self.password = Some(self.decoded(password)?.into_bytes());
        }
        self.server.host = Some(authority.host.to_owned());
        self.server.port = Some(match authority.port {
            Some(text) => text
                .parse()
                .map_err(|_| error(format_args!("Invalid port given: {text}")))?,
            None => port,
        });
        Ok(())
    }

    /// Mosquitto takes user and password as they stand.
    fn decoded(&self, text: &str) -> Result<String, Complaint> {
        match self.dialect {
            Dialect::Mosquitto => Ok(text.to_owned()),
            Dialect::Native => percent_decoded(text).ok_or_else(|| error("Invalid % in the URL.")),
        }
    }

    /// Checks the URL of a proxy.
    pub(super) fn proxy(&self, url: &str) -> Result<String, Complaint> {
        let known: &[&str] = match self.dialect {
            Dialect::Mosquitto => &["socks5h://"],
            Dialect::Native => &["socks5h://", "socks5://", "http://"],
        };
        let rest = known.iter().find_map(|scheme| url.strip_prefix(scheme));
        let rest = rest.ok_or_else(|| error(format_args!("Unsupported proxy protocol: {url}")))?;
        let authority = Authority::parse(rest.trim_end_matches('/'));
        if authority.host.is_empty() {
            return Err(error("Invalid proxy."));
        }
        match authority.port.map(str::parse::<u16>) {
            Some(Err(_) | Ok(0)) => Err(error(format_args!(
                "Invalid proxy port {}",
                authority.port.unwrap_or_default()
            ))),
            Some(Ok(_)) | None => Ok(url.to_owned()),
        }
    }

    /// Takes the URL that stands on the command line without an option.
    pub(crate) fn url_argument(&mut self, value: &OsStr) -> Result<(), Complaint> {
        if value.to_str().is_some_and(|text| text.contains("://")) {
            return self.url(value);
        }
        let hint = match self.program {
            Program::Publish | Program::Request => "a topic is -t TOPIC, a message -m TEXT",
            Program::Subscribe | Program::Retained => "a filter is -t FILTER",
        };
        Err(error(format_args!(
            "'{}' is no URL; {hint}.",
            value.display()
        )))
    }
}

/// Text with `%41` for `A`, if it is right and comes out as UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            u8::try_from(digit()? * 16 + digit()?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_has_four_parts() {
        let part = |text| {
            let Authority {
                user,
                password,
                host,
                port,
            } = Authority::parse(text);
            (user, password, host, port)
        };
        assert_eq!(part("host"), (None, None, "host", None));
        assert_eq!(part("host:1"), (None, None, "host", Some("1")));
        assert_eq!(part("u@host"), (Some("u"), None, "host", None));
        assert_eq!(
            part("u:p:q@host:1"),
            (Some("u"), Some("p:q"), "host", Some("1"))
        );
        assert_eq!(
            part("u:p@q@[::1]:1"),
            (Some("u"), Some("p@q"), "::1", Some("1"))
        );
        assert_eq!(part("[::1]"), (None, None, "::1", None));
    }

    #[test]
    fn a_percent_sign_needs_two_digits() {
        assert_eq!(percent_decoded("a%20%C3%a9%25").as_deref(), Some("a é%"));
        for wrong in ["%", "%2", "%zz", "%ff", "%+1"] {
            assert_eq!(percent_decoded(wrong), None, "{wrong}");
        }
    }
}
