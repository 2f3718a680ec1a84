//! Whom to trust.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::TlsError;
use crate::transport::{ConnectError, Step};

/// Whom to trust: perhaps whom the system trusts, and whoever was given.
#[derive(Clone, Debug)]
pub(super) struct Roots {
    native: Native,
    given: RootCertStore,
}

/// Whether to trust whom the system trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Native {
    Trusted,
    Ignored,
}

impl Roots {
    pub(super) fn native() -> Self {
        Self::new(Native::Trusted)
    }

    pub(super) fn none() -> Self {
        Self::new(Native::Ignored)
    }

    fn new(native: Native) -> Self {
        Self {
            native,
            given: RootCertStore::empty(),
        }
    }

    pub(super) fn add_pem(&mut self, pem: &[u8], place: &str) -> Result<(), TlsError> {
        let found = certificates(pem, place)?;
        self.add(found, place)
    }

    pub(super) fn add_directory(&mut self, path: &Path) -> Result<(), TlsError> {
        std::fs::read_dir(path).map_err(|error| TlsError::file(path, &error))?;
        let found = rustls_native_certs::load_certs_from_paths(None, Some(path));
        let place = path.display().to_string();
        for error in &found.errors {
            tracing::warn!(directory = %place, %error, "a file of roots is left out");
        }
        if found.certs.is_empty() {
            return Err(TlsError::NoCertificate { place });
        }
        self.add(found.certs, &place)
    }

    /// Adds those that can be roots, of which there must be one.
    fn add(&mut self, found: Vec<CertificateDer<'static>>, place: &str) -> Result<(), TlsError> {
        match self.given.add_parsable_certificates(found) {
            (0, _) => Err(TlsError::Pem {
                place: place.to_owned(),
                cause: "none of its certificates can be understood".to_owned(),
            }),
            (_, 0) => Ok(()),
            (_, ignored) => {
                tracing::warn!(%place, ignored, "roots that cannot be understood are left out");
                Ok(())
            }
        }
    }

    /// All of them together. The first call that needs those of the system waits for a thread to read
    /// them.
    pub(super) async fn load(&self) -> Result<RootCertStore, ConnectError> {
        let mut all = self.given.clone();
        if self.native == Native::Trusted {
            match of_the_system().await {
                Ok(native) => all.roots.extend(native.roots.iter().cloned()),
                // What was given may be all that is needed.
                Err(cause) if !all.is_empty() => {
                    tracing::warn!(%cause, "only the roots that were given are trusted");
                }
                Err(cause) => {
                    let detail = format!("nobody is trusted: {cause}");
                    let kind = io::ErrorKind::NotFound;
                    return Err(ConnectError::new(Step::Configure, kind, detail));
                }
            }
        }
        if all.is_empty() {
            let detail = "nobody is trusted: TLS needs the system's roots or others";
            return Err(ConnectError::unsupported(detail));
        }
        Ok(all)
    }
}

/// The certificates in a text of PEM, one at least.
pub(super) fn certificates(
    pem: &[u8],
    place: &str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(TlsError::NoCertificate {
            place: place.to_owned(),
        }),
        Ok(found) => Ok(found),
        Err(error) => Err(TlsError::Pem {
            place: place.to_owned(),
            cause: error.to_string(),
        }),
    }
}

async fn of_the_system() -> Result<Arc<RootCertStore>, String> {
    static LOADED: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(loaded) = LOADED.get() {
        return Ok(Arc::clone(loaded));
    }
    let loaded = tokio::task::spawn_blocking(read_system).await;
    let loaded = loaded.map_err(|_| "the runtime is shutting down".to_owned())??;
    Ok(Arc::clone(LOADED.get_or_init(|| Arc::new(loaded))))
}

fn read_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(found.certs);
    for error in &found.errors {
        tracing::debug!(%error, "some of the system's roots are left out");
    }
    tracing::debug!(count = roots.len(), ignored, "read the system's roots");
    match found.errors.first() {
        _ if !roots.is_empty() => Ok(roots),
        Some(error) => Err(format!("the system's roots cannot be read: {error}")),
        None => Err("the system has no roots (on Debian they are in ca-certificates)".to_owned()),
    }
}
