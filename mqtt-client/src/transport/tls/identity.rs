//! As whom to be trusted: a certificate and its private key, which may be renewed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::sign::CertifiedKey;

use super::{TlsError, provider, roots};

/// A certificate, with those that lead to its root, and its private key.
pub(super) struct Identity {
    current: Mutex<Current>,
    files: Option<Files>,
}

struct Current {
    /// Rises with each renewal.
    generation: u64,
    certified: Arc<CertifiedKey>,
    stamps: Option<Stamps>,
}

struct Files {
    certificates: PathBuf,
    key: PathBuf,
}

/// What tells one state of the files from another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamps([(SystemTime, u64); 2]);

impl Identity {
    pub(super) fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let certified = certify(certificates, "the PEM given", key, "the PEM given")?;
        Ok(Self {
            current: Mutex::new(Current {
                generation: 0,
                certified,
                stamps: None,
            }),
            files: None,
        })
    }

    pub(super) fn from_files(certificates: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files {
            certificates: certificates.to_owned(),
            key: key.to_owned(),
        };
        // Taken before the files are read: what changes meanwhile is then read again.
        let stamps = files.stamps();
        let certified = files.read()?;
        Ok(Self {
            current: Mutex::new(Current {
                generation: 0,
                certified,
                stamps,
            }),
            files: Some(files),
        })
    }

    /// Reads the files again if they have changed, on a thread of their own. The number that is returned
    /// is another one after each renewal.
    pub(super) async fn refresh(identity: &Arc<Self>) -> u64 {
        if identity.files.is_some() {
            let identity = Arc::clone(identity);
            // It fails only where the runtime is shutting down.
            let _ = tokio::task::spawn_blocking(move || identity.read_if_changed()).await;
        }
        identity.current().generation
    }

    fn read_if_changed(&self) {
        let Some(files) = &self.files else {
            return;
        };
        let stamps = files.stamps();
        if stamps.is_none() || stamps == self.current().stamps {
            return;
        }
        match files.read() {
            Ok(certified) => {
                tracing::info!(file = %files.certificates.display(), "read the renewed certificate");
                let mut current = self.current();
                current.generation += 1;
                current.certified = certified;
                current.stamps = stamps;
            }
            Err(error) => tracing::warn!(%error, "the certificate from before is kept"),
        }
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn read(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| TlsError::file(path, &error));
        certify(
            &read(&self.certificates)?,
            &self.certificates.display().to_string(),
            &read(&self.key)?,
            &self.key.display().to_string(),
        )
    }

    /// `None` where one cannot be looked at.
    fn stamps(&self) -> Option<Stamps> {
        let stamp = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        Some(Stamps([stamp(&self.certificates)?, stamp(&self.key)?]))
    }
}

fn certify(
    certificates: &[u8],
    certificates_place: &str,
    key: &[u8],
    key_place: &str,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = roots::certificates(certificates, certificates_place)?;
    let key = private_key(key, key_place)?;
    CertifiedKey::from_der(chain, key, &provider())
        .map(Arc::new)
        .map_err(|error| TlsError::Identity {
            place: key_place.to_owned(),
            cause: if matches!(error, rustls::Error::InconsistentKeys(_)) {
                "the key is that of another certificate".to_owned()
            } else {
                error.to_string()
            },
        })
}

fn private_key(text: &[u8], place: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let place = || place.to_owned();
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        // In `BEGIN ENCRYPTED PRIVATE KEY` as well as in the older `Proc-Type: 4,ENCRYPTED`.
        if text.windows(9).any(|window| window == b"ENCRYPTED") {
            TlsError::EncryptedKey { place: place() }
        } else if matches!(error, pem::Error::NoItemsFound) {
            TlsError::NoKey { place: place() }
        } else {
            TlsError::Pem {
                place: place(),
                cause: error.to_string(),
            }
        }
    })
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current().certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// No certificate is shown.
#[derive(Debug)]
pub(super) struct NoIdentity;

impl ResolvesClientCert for NoIdentity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
