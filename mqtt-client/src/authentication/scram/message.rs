//! The two messages of the server. Nothing here is trusted: each field has a bound.

use std::str::Split;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{HASH_BYTES, Hash, ITERATIONS_MAX, ITERATIONS_MIN};
use crate::AuthenticationError;

/// What our first message begins with: no channel binding, and no other user to act for.
pub(super) const HEADER: &str = "n,,";

/// The largest message that is looked into, in bytes: ten times what servers send.
const MESSAGE_BYTES_MAX: usize = 2048;

/// The largest salt in bytes. Common are 16 to 36.
const SALT_BYTES_MAX: usize = 256;

/// Bytes of a server's error that are shown. The longest that RFC 5802 knows has 37.
const ERROR_BYTES_MAX: usize = 64;

/// The server's first message: `r=nonce,s=salt,i=iterations`.
pub(super) struct ServerFirst<'a> {
    /// All of it.
    pub(super) text: &'a str,
    /// Our nonce and what the server has put behind it.
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

impl<'a> ServerFirst<'a> {
    /// `nonce` is ours.
    pub(super) fn parse(data: &'a [u8], nonce: &str) -> Result<Self, AuthenticationError> {
        let text = text(data)?;
        let mut fields = text.split(',');
        let nonce = value(&mut fields, "r", "it has no nonce")
            .and_then(|nonce_of_both| continued(nonce_of_both, nonce))?;
        let salt = value(&mut fields, "s", "it has no salt").and_then(salt)?;
        let iterations =
            value(&mut fields, "i", "it has no iteration count").and_then(iterations)?;
        extensions(fields)?;
        Ok(Self {
            text,
            nonce,
            salt,
            iterations,
        })
    }
}

/// The server's last message, `v=signature`.
pub(super) fn signature(data: &[u8]) -> Result<Hash, AuthenticationError> {
    let mut fields = text(data)?.split(',');
    let value = value(&mut fields, "v", "it has no signature")?;
    extensions(fields)?;
    let bytes = STANDARD.decode(value).ok();
    bytes
        .and_then(|bytes| <[u8; HASH_BYTES]>::try_from(bytes).ok())
        .ok_or(AuthenticationError::Malformed("its signature is none"))
}

fn text(data: &[u8]) -> Result<&str, AuthenticationError> {
    if data.len() > MESSAGE_BYTES_MAX {
        return Err(AuthenticationError::Malformed("it is too long"));
    }
    std::str::from_utf8(data).map_err(|_| AuthenticationError::Malformed("it is no text"))
}

/// The value of the next field, which must have this name.
fn value<'a>(
    fields: &mut Split<'a, char>,
    name: &str,
    missing: &'static str,
) -> Result<&'a str, AuthenticationError> {
    match fields.next().unwrap_or_default().split_once('=') {
        Some((found, value)) if found == name => Ok(value),
        Some(("e", error)) => Err(refused(error)),
        // What it would mean is not known, but it must not be ignored.
        Some(("m", _)) => Err(AuthenticationError::Malformed(
            "it demands an extension that is not supported",
        )),
        Some(_) | None => Err(AuthenticationError::Malformed(missing)),
    }
}

/// The server's own words, made harmless: they end up on somebody's terminal.
fn refused(error: &str) -> AuthenticationError {
    let shown = error.get(..ERROR_BYTES_MAX.min(error.len()));
    let shown = shown.unwrap_or("other-error");
    AuthenticationError::Refused(shown.escape_debug().to_string().into())
}

/// The nonce of both, if it is ours with something behind it: else the message belongs to another exchange.
fn continued<'a>(nonce: &'a str, ours: &str) -> Result<&'a str, AuthenticationError> {
    let theirs = nonce.strip_prefix(ours).unwrap_or_default();
    if theirs.is_empty() {
        Err(AuthenticationError::Malformed(
            "its nonce does not continue ours",
        ))
    } else if !theirs.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err(AuthenticationError::Malformed(
            "its nonce has a character that it must not have",
        ))
    } else {
        Ok(nonce)
    }
}

fn salt(value: &str) -> Result<Vec<u8>, AuthenticationError> {
    match STANDARD.decode(value) {
        Ok(salt) if (1..=SALT_BYTES_MAX).contains(&salt.len()) => Ok(salt),
        Ok(_) => Err(AuthenticationError::Malformed(
            "its salt is empty or too long",
        )),
        Err(_) => Err(AuthenticationError::Malformed("its salt is no base64")),
    }
}

fn iterations(value: &str) -> Result<u32, AuthenticationError> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || value.is_empty() || value.starts_with('0') {
        return Err(AuthenticationError::Malformed(
            "its iteration count is no number",
        ));
    }
    // More digits than there is room for are a number, too, and one that is too large.
    let count = value.parse().unwrap_or(u64::MAX);
    match u32::try_from(count) {
        Ok(count) if (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&count) => Ok(count),
        Ok(_) | Err(_) => Err(AuthenticationError::Iterations(count)),
    }
}

/// What comes behind may be ignored, if it has the form of a field.
fn extensions(mut fields: Split<'_, char>) -> Result<(), AuthenticationError> {
    let well_formed = fields.all(|field| {
        let mut bytes = field.bytes();
        bytes.next().is_some_and(|name| name.is_ascii_alphabetic()) && bytes.next() == Some(b'=')
    });
    if well_formed {
        Ok(())
    } else {
        Err(AuthenticationError::Malformed(
            "it has a part that is no field",
        ))
    }
}
