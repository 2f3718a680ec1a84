//! SCRAM-SHA-256, our side: the password is never sent, and the server proves that it knows it, too.
//!
//! RFC 5802 is the method, RFC 7677 its hash. Without channel binding: MQTT does not say which it would be.

mod message;
mod text;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use self::message::ServerFirst;
use super::{AuthenticationError, Authenticator};

/// Fewer iterations are refused. RFC 7677 names 4,096 as the least that a server should ask for; one that asks
/// for less may be an impostor who wants a proof that is cheap to guess passwords with.
pub(super) const ITERATIONS_MIN: u32 = 4096;

/// More iterations are refused: these take a tenth of a second on a processor with instructions for SHA-256,
/// several times that on others, and are what is recommended for stored passwords. A hostile server could ask for
/// four billion, which take minutes.
pub(super) const ITERATIONS_MAX: u32 = 600_000;

/// Random bytes of a nonce: nobody meets the same one twice.
const NONCE_BYTES: usize = 18;

/// Bytes of a hash, and of the keys made with it.
const HASH_BYTES: usize = 32;

/// Bytes that the hash takes in at a time.
const BLOCK_BYTES: usize = 64;

type Hash = [u8; HASH_BYTES];

/// The authentication method `SCRAM-SHA-256`, for a user name and a password.
///
/// The password is not sent, and who listens learns nothing that would let them connect. The server is
/// authenticated as well: one that does not know the password is refused. What SCRAM does not do is hide the
/// messages after it, so use TLS all the same.
///
/// User name and password may consist of ASCII, of the letters of Latin, Greek and Cyrillic, of kana, hangul
/// and Chinese characters. Others are refused when the authentication starts: their normalisation (SASLprep)
/// would need tables that this crate does without. A user name must not be empty.
///
/// Hashing the password takes from milliseconds to a second, as the server has chosen. The result is kept, so
/// that only the first connection pays for it.
///
/// ```
/// use mqtt_client::{Authenticator, ScramSha256};
///
/// let mut scram = ScramSha256::new("press-17", "secret");
/// assert!(scram.start()?.starts_with(b"n,,n=press-17,r="));
/// # Ok::<(), mqtt_client::AuthenticationError>(())
/// ```
pub struct ScramSha256 {
    user: String,
    password: String,
    exchange: Exchange,
    keys: Option<Keys>,
}

/// Where the exchange of messages is.
///
/// ```text
///            start             challenge              finish
///   Idle ------------> Started ---------> Answered ----------> Idle
///    ^                    |                  |
///    +--------------------+------------------+  any error, or a call that is not the next
/// ```
///
/// `start` begins anew from anywhere.
enum Exchange {
    Idle,
    /// The first message, without its header, and the nonce that it ends with.
    Started {
        bare: String,
        nonce: String,
    },
    /// What the server will show if it knows the password.
    Answered(Hash),
}

/// What the password is hashed to. The server keeps the same keys, or what they are hashed to.
struct Keys {
    salt: Vec<u8>,
    iterations: u32,
    client: Hash,
    server: Hash,
}

impl ScramSha256 {
    /// The method for this user. Whether user name and password can be sent is found out when the
    /// authentication starts.
    #[must_use]
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
            exchange: Exchange::Idle,
            keys: None,
        }
    }

    fn start_with(&mut self, nonce: String) -> Result<Vec<u8>, AuthenticationError> {
        self.exchange = Exchange::Idle;
        text::check("user name", &self.user)?;
        text::check("password", &self.password)?;
        if self.user.is_empty() {
            return Err(AuthenticationError::Unusable {
                field: "user name",
                problem: "is empty",
            });
        }
        let bare = format!("n={},r={nonce}", text::escape(&self.user));
        let first = format!("{}{bare}", message::HEADER).into_bytes();
        self.exchange = Exchange::Started { bare, nonce };
        Ok(first)
    }

    /// The keys for this salt: those of the last time, if it was the same.
    fn keys(&mut self, salt: Vec<u8>, iterations: u32) -> &Keys {
        let known = self
            .keys
            .take_if(|keys| keys.salt == salt && keys.iterations == iterations);
        self.keys
            .insert(known.unwrap_or_else(|| Keys::new(&self.password, salt, iterations)))
    }
}

impl Authenticator for ScramSha256 {
    fn method(&self) -> &'static str {
        "SCRAM-SHA-256"
    }

    fn start(&mut self) -> Result<Vec<u8>, AuthenticationError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(AuthenticationError::failed)?;
        self.start_with(STANDARD.encode(nonce))
    }

    fn challenge(&mut self, data: &[u8]) -> Result<Vec<u8>, AuthenticationError> {
        let Exchange::Started { bare, nonce } =
            std::mem::replace(&mut self.exchange, Exchange::Idle)
        else {
            return Err(AuthenticationError::OutOfTurn);
        };
        let first = ServerFirst::parse(data, &nonce)?;
        let keys = self.keys(first.salt, first.iterations);
        let unproven = format!("c={},r={}", STANDARD.encode(message::HEADER), first.nonce);
        let signed = [&bare, ",", first.text, ",", &unproven];
        let proof = STANDARD.encode(keys.proof(&signed));
        let expected = hmac(&keys.server, &signed);
        self.exchange = Exchange::Answered(expected);
        Ok(format!("{unproven},p={proof}").into_bytes())
    }

    fn finish(&mut self, data: Option<&[u8]>) -> Result<(), AuthenticationError> {
        let Exchange::Answered(expected) = std::mem::replace(&mut self.exchange, Exchange::Idle)
        else {
            return Err(AuthenticationError::OutOfTurn);
        };
        let data = data.ok_or(AuthenticationError::ServerUnproven)?;
        let signature = message::signature(data)?;
        if bool::from(signature.ct_eq(&expected)) {
            Ok(())
        } else {
            Err(AuthenticationError::ServerUnproven)
        }
    }
}

impl fmt::Debug for ScramSha256 {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramSha256")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Keys {
    fn new(password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        let salted: Hash =
            pbkdf2::pbkdf2_hmac_array::<Sha256, HASH_BYTES>(password.as_bytes(), &salt, iterations);
        Self {
            client: hmac(&salted, &["Client Key"]),
            server: hmac(&salted, &["Server Key"]),
            salt,
            iterations,
        }
    }

    /// What shows the server that we know the password, and helps nobody else.
    fn proof(&self, signed: &[&str]) -> Hash {
        let stored: Hash = Sha256::digest(self.client).into();
        let mut proof = hmac(&stored, signed);
        for (byte, key) in proof.iter_mut().zip(self.client) {
            *byte ^= key;
        }
        proof
    }
}

/// HMAC-SHA-256 of the parts, one behind the other.
fn hmac(key: &Hash, parts: &[&str]) -> Hash {
    // A key shorter than a block counts as one that is filled up with zeros.
    let mut block = [0; BLOCK_BYTES];
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    for part in parts {
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
