//! A URL, taken apart.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Address, AddressError, Place, Scheme, escape};

/// The path of a WebSocket where the URL names none.
const WEBSOCKET_PATH: &str = "/mqtt";
/// Bytes of the longest name that can exist. [RFC 1035, section 2.3.4]
const HOST_BYTES_MAX: usize = 253;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        let parts = Parts::of(url)?;
        let scheme = Scheme::from_name(parts.scheme)
            .ok_or_else(|| AddressError::unknown_scheme(parts.scheme))?;
        let mut address = match scheme {
            Scheme::Unix => Self::unix(socket_of(&parts)?),
            Scheme::Tcp | Scheme::Tls | Scheme::WebSocket | Scheme::SecureWebSocket => {
                network_of(scheme, &parts)?
            }
        };
        address.user_name = parts.user_name()?;
        address.password = parts.password()?;
        for pair in parts.query.split('&').filter(|pair| !pair.is_empty()) {
            address.take_pair(pair)?;
        }
        Ok(address)
    }
}

impl Address {
    /// Takes one pair of the query as an option, or leaves it to the server of a WebSocket.
    fn take_pair(&mut self, pair: &str) -> Result<(), AddressError> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = escape::text(name);
        if let Place::Network(network) = &mut self.place
            && network.scheme.is_websocket()
            && !name
                .as_deref()
                .is_some_and(|name| Self::OPTIONS.contains(&name))
        {
            if !network.query.is_empty() {
                network.query.push('&');
            }
            network.query.push_str(&escape::for_request(pair));
            return Ok(());
        }
        let bad = AddressError::Escape { part: "query" };
        let value = escape::text(value).ok_or_else(|| bad.clone())?;
        self.options.push((name.ok_or(bad)?, value));
        Ok(())
    }
}

/// The parts of a URL between its delimiters, nothing decoded.
pub(crate) struct Parts<'a> {
    pub(crate) scheme: &'a str,
    user: Option<&'a str>,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(url: &'a str) -> Result<Self, AddressError> {
        if url.chars().any(char::is_control) {
            return Err(AddressError::ControlCharacter);
        }
        let (scheme, rest) = url.split_once("://").ok_or(AddressError::NoScheme)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Ok(Self {
            scheme,
            user,
            host,
            path,
            query,
        })
    }

    pub(crate) fn user_name(&self) -> Result<Option<String>, AddressError> {
        let name = self
            .user
            .map(|user| user.split_once(':').map_or(user, |(name, _)| name));
        // With an empty name there is only a password, which MQTT 5 allows.
        name.filter(|name| !name.is_empty())
            .map(|name| escape::text(name).ok_or(AddressError::Escape { part: "user name" }))
            .transpose()
    }

    pub(crate) fn password(&self) -> Result<Option<Vec<u8>>, AddressError> {
        self.user
            .and_then(|user| user.split_once(':'))
            .map(|(_, word)| escape::bytes(word).ok_or(AddressError::Escape { part: "password" }))
            .transpose()
    }
}

fn network_of(scheme: Scheme, parts: &Parts<'_>) -> Result<Address, AddressError> {
    // What looks like a host may be half of a password, which is not to be shown.
    let slash_in_user =
        parts.user.is_none() && (parts.path.contains('@') || parts.query.contains('@'));
    let explain = |error| {
        if slash_in_user && matches!(error, AddressError::Port | AddressError::Host) {
            AddressError::UserNotEscaped
        } else {
            error
        }
    };
    let (host, port) = host_and_port(parts.host).map_err(explain)?;
    let port = port.or(scheme.default_port()).ok_or(AddressError::Port)?;
    let path = match parts.path {
        "" if scheme.is_websocket() => WEBSOCKET_PATH,
        path => path,
    };
    Address::network(scheme, host, port, path).map_err(explain)
}

fn socket_of(parts: &Parts<'_>) -> Result<PathBuf, AddressError> {
    if !parts.host.is_empty() || parts.path.len() < 2 {
        return Err(AddressError::SocketPath);
    }
    let path = escape::text(parts.path).ok_or(AddressError::Escape { part: "path" })?;
    Ok(path.into())
}

/// Takes `host`, `host:port`, `[ipv6]`, or `[ipv6]:port` apart. Brackets are gone afterwards.
pub(crate) fn host_and_port(text: &str) -> Result<(&str, Option<u16>), AddressError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(AddressError::Brackets)?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(AddressError::Brackets),
            }
        }
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(AddressError::Brackets),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map(port_of).transpose()?;
    Ok((host, port))
}

fn port_of(text: &str) -> Result<u16, AddressError> {
    let port: u16 = text.parse().map_err(|_| AddressError::Port)?;
    if port == 0 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressError::Port);
    }
    Ok(port)
}

/// Checks a host without brackets. What passes is safe in a line of HTTP.
pub(crate) fn host_of(text: &str) -> Result<String, AddressError> {
    if text.is_empty() {
        return Err(AddressError::NoHost);
    }
    if text.len() > HOST_BYTES_MAX {
        return Err(AddressError::Host);
    }
    if !text.contains(':') {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if !text.bytes().all(known) {
            return Err(AddressError::Host);
        }
        return Ok(text.to_owned());
    }
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
        None => (text, None),
    };
    let address: Ipv6Addr = address.parse().map_err(|_| AddressError::Host)?;
    match zone {
        None => Ok(address.to_string()),
        Some(zone) if is_zone(zone) => Ok(format!("{address}%{zone}")),
        Some(_) => Err(AddressError::Host),
    }
}

fn is_zone(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !text.is_empty() && text.bytes().all(known)
}
