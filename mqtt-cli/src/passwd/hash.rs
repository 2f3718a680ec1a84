//! Hashes of passwords, in the three forms that Mosquitto's password files have.
//!
//! | form | what it is | who writes it by default |
//! |---|---|---|
//! | `$argon2id$v=19$m=47104,t=1,p=1$salt$hash` | Argon2id, in the PHC format | Mosquitto 2.1, `mqtt passwd` |
//! | `$7$iterations$salt$hash` | PBKDF2 with HMAC-SHA-512 | Mosquitto 2.0 |
//! | `$6$salt$hash` | SHA-512 of password and salt, once | Mosquitto 1.6 |
//!
//! Salts and hashes are in base64, for Argon2id without padding.

use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha512};

/// Bytes of a hash, in all three forms.
const HASH_BYTES: usize = 64;
/// Bytes of a salt in the forms of Mosquitto 2.0 and earlier, which take no other length.
const SALT_BYTES: usize = 12;
/// Bytes of a salt for Argon2id: what RFC 9106 recommends.
const ARGON2_SALT_BYTES: usize = 16;

/// What Mosquitto 2.1 writes: 46 MiB, one pass, one lane.
const ARGON2_MEMORY_KIB: u32 = 47_104;
const ARGON2_PASSES: u32 = 1;
const ARGON2_LANES: u32 = 1;

// A line of a file must not take all memory, or hours.
const ARGON2_MEMORY_KIB_MAX: u32 = 1 << 20;
const ARGON2_PASSES_MAX: u32 = 1_000;
const ITERATIONS_MAX: u32 = 10_000_000;

/// How a password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// With the parameters of Mosquitto 2.1.
    Argon2id,
    /// PBKDF2 with HMAC-SHA-512.
    Pbkdf2 { iterations: NonZeroU32 },
    /// SHA-512, once: graphics cards try billions of passwords a second against it.
    Sha512,
}

/// A hash as it is in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PasswordHash {
    Argon2id {
        memory_kib: u32,
        passes: u32,
        lanes: u32,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    Pbkdf2 {
        iterations: NonZeroU32,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    Sha512 {
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
}

/// A password cannot be hashed, or a hash not be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("Argon2 refuses: {0}")]
    Argon2(argon2::Error),
    /// What is in the file is none of the three forms: a plain text password, mostly.
    #[error("it is not hashed in a form that is known ($argon2id$, $7$ and $6$ are)")]
    UnknownForm,
    #[error("its hash is damaged: {0}")]
    Damaged(&'static str),
    #[error("its hash would take too much work: {0}")]
    TooCostly(&'static str),
}

impl Scheme {
    /// The hash of `password` with a fresh salt, as it is written into a file.
    ///
    /// # Errors
    /// If there are no random numbers, or if Argon2 refuses, which it does for passwords over 4 GiB.
    pub(crate) fn hash(self, password: &[u8]) -> Result<String, HashError> {
        let mut salt = [0; ARGON2_SALT_BYTES];
        getrandom::fill(&mut salt)?;
        let mosquitto_salt = salt.first_chunk::<SALT_BYTES>().unwrap_or(&[0; SALT_BYTES]);
        Ok(match self {
            Self::Argon2id => {
                let (memory, passes, lanes) = (ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES);
                let hash = argon2id(password, &salt, memory, passes, lanes, HASH_BYTES)?;
                let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
                format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}")
            }
            Self::Pbkdf2 { iterations } => {
                let hash = STANDARD.encode(pbkdf2(password, mosquitto_salt, iterations));
                format!("$7${iterations}${}${hash}", STANDARD.encode(mosquitto_salt))
            }
            Self::Sha512 => {
                let hash = STANDARD.encode(sha512(password, mosquitto_salt));
                format!("$6${}${hash}", STANDARD.encode(mosquitto_salt))
            }
        })
    }
}

impl PasswordHash {
    /// The hash that a line of a file has behind the user's name.
    ///
    /// # Errors
    /// If it is in none of the three forms, damaged, or made to take more than 1 GiB of memory,
    /// 1,000 passes or 10,000,000 iterations.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, HashError> {
        let text = std::str::from_utf8(text).map_err(|_| HashError::UnknownForm)?;
        let fields: Vec<_> = text.split('$').collect();
        match *fields {
            ["", "argon2id", version, parameters, salt, hash] => {
                if version != "v=19" {
                    return Err(HashError::Damaged("the version of Argon2 is not 19"));
                }
                Self::parse_argon2id(parameters, salt, hash)
            }
            ["", "7", iterations, salt, hash] => {
                let iterations = number(iterations)
                    .and_then(NonZeroU32::new)
                    .ok_or(HashError::Damaged("the number of iterations"))?;
                if iterations.get() > ITERATIONS_MAX {
                    return Err(HashError::TooCostly("more than 10,000,000 iterations"));
                }
                Ok(Self::Pbkdf2 {
                    iterations,
                    salt: decode(salt)?,
                    hash: decode_hash(hash)?,
                })
            }
            ["", "6", salt, hash] => Ok(Self::Sha512 {
                salt: decode(salt)?,
                hash: decode_hash(hash)?,
            }),
            _ => Err(HashError::UnknownForm),
        }
    }

    fn parse_argon2id(parameters: &str, salt: &str, hash: &str) -> Result<Self, HashError> {
        let damaged = HashError::Damaged;
        let mut values = parameters.split(',');
        let mut parameter = |name| number(values.next()?.strip_prefix(name)?);
        let memory_kib = parameter("m=").ok_or(damaged("the memory"))?;
        let passes = parameter("t=").ok_or(damaged("the number of passes"))?;
        let lanes = parameter("p=").ok_or(damaged("the number of lanes"))?;
        if values.next().is_some() {
            return Err(damaged("a parameter that is not known"));
        }
        if memory_kib > ARGON2_MEMORY_KIB_MAX {
            return Err(HashError::TooCostly("more than 1 GiB of memory"));
        }
        if passes > ARGON2_PASSES_MAX {
            return Err(HashError::TooCostly("more than 1,000 passes"));
        }
        let decode = |text: &str| {
            let text = text.trim_end_matches('=');
            STANDARD_NO_PAD
                .decode(text)
                .map_err(|_| damaged("it is not base64"))
        };
        let (salt, hash) = (decode(salt)?, decode(hash)?);
        if !(Params::MIN_OUTPUT_LEN..=1024).contains(&hash.len()) {
            return Err(damaged("its length"));
        }
        Ok(Self::Argon2id {
            memory_kib,
            passes,
            lanes,
            salt,
            hash,
        })
    }

    /// Whether it is the hash of `password`.
    ///
    /// # Errors
    /// If Argon2 refuses its parameters.
    pub(crate) fn is_of(&self, password: &[u8]) -> Result<bool, HashError> {
        Ok(match self {
            Self::Argon2id {
                memory_kib,
                passes,
                lanes,
                salt,
                hash,
            } => argon2id(password, salt, *memory_kib, *passes, *lanes, hash.len())? == *hash,
            Self::Pbkdf2 {
                iterations,
                salt,
                hash,
            } => pbkdf2(password, salt, *iterations) == hash.as_slice(),
            Self::Sha512 { salt, hash } => sha512(password, salt) == hash.as_slice(),
        })
    }
}

fn argon2id(
    password: &[u8],
    salt: &[u8],
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    hash_bytes: usize,
) -> Result<Vec<u8>, HashError> {
    let parameters =
        Params::new(memory_kib, passes, lanes, Some(hash_bytes)).map_err(HashError::Argon2)?;
    let mut hash = vec![0; hash_bytes];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into(password, salt, &mut hash)
        .map_err(HashError::Argon2)?;
    Ok(hash)
}

fn pbkdf2(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> [u8; HASH_BYTES] {
    let mut hash = [0; HASH_BYTES];
    pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations.get(), &mut hash);
    hash
}

fn sha512(password: &[u8], salt: &[u8]) -> [u8; HASH_BYTES] {
    let digest = Sha512::new().chain_update(password).chain_update(salt);
    digest.finalize().into()
}

/// A decimal number, without the sign that `FromStr` would take.
fn number(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn decode(text: &str) -> Result<Vec<u8>, HashError> {
    STANDARD
        .decode(text)
        .map_err(|_| HashError::Damaged("it is not base64"))
}

fn decode_hash(text: &str) -> Result<Vec<u8>, HashError> {
    let hash = decode(text)?;
    if hash.len() == HASH_BYTES {
        Ok(hash)
    } else {
        Err(HashError::Damaged("it is not 64 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_of(text: &str, password: &str) -> bool {
        let hash = PasswordHash::parse(text.as_bytes()).unwrap();
        hash.is_of(password.as_bytes()).unwrap()
    }

    #[test]
    fn what_mosquitto_wrote_is_read() {
        // By mosquitto_passwd of 2.0.11, for the password "x".
        let pbkdf2 = "$7$101$QhWRkXJuhgcDLvT0$7toUBAj3szccykkRHDZ6tUhVJ9H6M1K4DUJ53Yvcg51bS5I0RLh2p7+iCQvWorfiLD1uiC6fjtlemQkYCDHASQ==";
        assert!(is_of(pbkdf2, "x"));
        assert!(!is_of(pbkdf2, "y"));
        assert!(!is_of(pbkdf2, ""));
        // And for "y", with -H sha512.
        let sha512 = "$6$OBN7cqiR0/ROG/DS$w1HmEsduceKaQHorsXrpe7AUKswQ457HPzaji+O0PDtHQMMog4wd6jCHVnkYxkXnsOT6IKkTNi3LY2mW32pYxA==";
        assert!(is_of(sha512, "y"));
        assert!(!is_of(sha512, "x"));
    }

    #[test]
    fn the_reference_program_of_argon2_agrees() {
        // echo -n password | argon2 somesalt -id -t 2 -k 256 -p 1 -l 32 of the reference implementation, its test vectors.
        let reference =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(is_of(reference, "password"));
        assert!(!is_of(reference, "Password"));
    }

    #[test]
    fn each_scheme_reads_what_it_writes() {
        let iterations = NonZeroU32::new(3).unwrap();
        for scheme in [
            Scheme::Argon2id,
            Scheme::Pbkdf2 { iterations },
            Scheme::Sha512,
        ] {
            let text = scheme.hash("päss:$".as_bytes()).unwrap();
            assert!(is_of(&text, "päss:$"), "{text}");
            assert!(!is_of(&text, "pass:$"), "{text}");
            // Each has a salt of its own.
            assert_ne!(text, scheme.hash("päss:$".as_bytes()).unwrap());
        }
        let text = Scheme::Argon2id.hash(b"x").unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=47104,t=1,p=1$"));
        let PasswordHash::Argon2id { hash, .. } = PasswordHash::parse(text.as_bytes()).unwrap()
        else {
            panic!("{text}")
        };
        assert_eq!(hash.len(), 64);
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let salt = "AAAAAAAAAAAAAAAA";
        let hash = STANDARD.encode([0; 64]);
        let refused = |text: &str| {
            PasswordHash::parse(text.as_bytes())
                .unwrap_err()
                .to_string()
        };
        for text in [
            "",
            "plain",
            "$",
            "$5$a$b",
            "$7$a$b",
            "7$1$a$b",
            "$7$1$a$b$c",
        ] {
            assert!(refused(text).contains("not hashed"), "{text}");
        }
        for iterations in ["0", "-1", "+1", "", "1x", "99999999999"] {
            let text = format!("$7${iterations}${salt}${hash}");
            assert!(refused(&text).contains("iterations"), "{text}");
        }
        assert!(refused(&format!("$7$1${salt}$AAAA")).contains("64 bytes"));
        assert!(refused(&format!("$7$1$?${hash}")).contains("base64"));
        assert!(refused(&format!("$7$10000001${salt}${hash}")).contains("too much"));
        let argon2 = |parameters: &str| format!("$argon2id$v=19${parameters}$c29tZXNhbHQ$AAAAAA");
        assert!(refused(&argon2("m=1048577,t=1,p=1")).contains("too much"));
        assert!(refused(&argon2("m=256,t=1001,p=1")).contains("too much"));
        assert!(refused(&argon2("m=256,p=1,t=1")).contains("passes"));
        assert!(refused(&argon2("m=256,t=1,p=1,x=1")).contains("parameter"));
        assert!(refused("$argon2id$v=16$m=256,t=1,p=1$c29tZXNhbHQ$AAAAAA").contains("version"));
        assert!(refused("$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHQ$AAA").contains("length"));
        // What the parameters say must fit together, which Argon2 itself knows.
        let text = argon2("m=1,t=1,p=1");
        assert!(
            PasswordHash::parse(text.as_bytes())
                .unwrap()
                .is_of(b"")
                .is_err()
        );
    }
}
