//! TLS: whom to trust, as whom to be trusted, and the handshake.

mod explain;
mod identity;
mod roots;
mod stream;
mod verify;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use self::identity::{Identity, NoIdentity};
use self::roots::Roots;
use self::stream::Secured;
use super::{ConnectError, Step};

/// Whom to trust, and as whom to be trusted. A clone shares the sessions that can be resumed.
///
/// ```no_run
/// use mqtt_client::Tls;
///
/// # fn example() -> Result<(), mqtt_client::transport::TlsError> {
/// let public = Tls::native_roots();
/// let own = Tls::no_roots()
///     .roots_file("/etc/press/ca.pem")?
///     .identity_files("/etc/press/client.pem", "/etc/press/client.key")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls {
    roots: Roots,
    trust: Trust,
    identity: Option<Arc<Identity>>,
    protocols: Vec<Vec<u8>>,
    server_name: Option<ServerName<'static>>,
    oldest: TlsVersion,
    made: Arc<Mutex<Option<Made>>>,
}

/// A configuration, made at the first connection, for the roots of the system take a while.
struct Made {
    /// That of the identity in it. A renewed one needs other sessions: who resumes is taken for who he was.
    generation: u64,
    config: Arc<ClientConfig>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// What a server must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// A certificate for its name, by somebody who is trusted.
    Certificate,
    /// A certificate by somebody who is trusted, for any name.
    AnyName,
    /// Any certificate.
    Anyone,
}

impl Default for Tls {
    /// The same as [`native_roots`](Self::native_roots).
    fn default() -> Self {
        Self::native_roots()
    }
}

impl Tls {
    /// Trusts whom the system trusts. More roots may be added.
    ///
    /// They are read at the first connection of the process that needs them, on a thread of its own, and
    /// then kept. The variables `SSL_CERT_FILE` and `SSL_CERT_DIR` are obeyed.
    pub fn native_roots() -> Self {
        Self::new(Roots::native())
    }

    /// Trusts nobody. Without roots that are added, no connection will come about.
    pub fn no_roots() -> Self {
        Self::new(Roots::none())
    }

    fn new(roots: Roots) -> Self {
        Self {
            roots,
            trust: Trust::Certificate,
            identity: None,
            protocols: Vec::new(),
            server_name: None,
            oldest: TlsVersion::V1_2,
            made: Arc::default(),
        }
    }

    /// Trusts the certificates in a text of PEM, too. A server's own certificate is as good as that of
    /// its authority, if it signed itself.
    ///
    /// # Errors
    ///
    /// The text has no certificate, or none that can be a root.
    pub fn roots_pem(mut self, pem: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        self.roots.add_pem(pem.as_ref(), "the PEM of the roots")?;
        Ok(self.anew())
    }

    /// Trusts the certificates in a file of PEM, too. The file is read at once, and blocks meanwhile.
    ///
    /// # Errors
    ///
    /// The file cannot be read, has no certificate, or none that can be a root.
    pub fn roots_file(mut self, path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = path.as_ref();
        let pem = std::fs::read(path).map_err(|error| TlsError::file(path, &error))?;
        self.roots.add_pem(&pem, &path.display().to_string())?;
        Ok(self.anew())
    }

    /// Trusts the certificates in all files of PEM in a directory, too, as OpenSSL's `c_rehash` makes
    /// them. The files are read at once, and block meanwhile.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, or its files have no certificate.
    pub fn roots_directory(mut self, path: impl AsRef<Path>) -> Result<Self, TlsError> {
        self.roots.add_directory(path.as_ref())?;
        Ok(self.anew())
    }

    /// Shows the server a certificate, with those that lead to its root, and proves it with the private
    /// key of it. Both are PEM; the key is PKCS #8, PKCS #1, or SEC 1, and not encrypted.
    ///
    /// # Errors
    ///
    /// One of them is missing or damaged, or the key is that of another certificate.
    pub fn identity_pem(
        self,
        certificates: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, TlsError> {
        let identity = Identity::from_pem(certificates.as_ref(), key.as_ref())?;
        Ok(self.with_identity(identity))
    }

    /// Shows the server a certificate as [`identity_pem`](Self::identity_pem) does, out of files.
    ///
    /// They are read at once, and block meanwhile. Before a connection they are read again if they have
    /// changed, on a thread of their own, so that a certificate can be renewed while the client runs. Where
    /// that fails, the last good ones are kept, and a warning is logged.
    ///
    /// # Errors
    ///
    /// One of them is missing or damaged, or the key is that of another certificate.
    pub fn identity_files(
        self,
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let identity = Identity::from_files(certificates.as_ref(), key.as_ref())?;
        Ok(self.with_identity(identity))
    }

    fn with_identity(self, identity: Identity) -> Self {
        Self {
            identity: Some(Arc::new(identity)),
            ..self.anew()
        }
    }

    /// Offers protocols by ALPN, such as `mqtt` for a server that speaks several on one port. None are
    /// offered by default.
    #[must_use]
    pub fn alpn<P: Into<Vec<u8>>>(self, protocols: impl IntoIterator<Item = P>) -> Self {
        Self {
            protocols: protocols.into_iter().map(Into::into).collect(),
            ..self.anew()
        }
    }

    /// The name that the server is asked for, and that its certificate must have, if that is not the host
    /// of the address. It may be an IP address.
    ///
    /// # Errors
    ///
    /// It is no such name.
    pub fn server_name(self, name: &str) -> Result<Self, TlsError> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName)?;
        Ok(Self {
            server_name: Some(name),
            ..self
        })
    }

    /// The oldest version of TLS that is spoken, 1.2 by default.
    #[must_use]
    pub fn version_min(self, oldest: TlsVersion) -> Self {
        Self {
            oldest,
            ..self.anew()
        }
    }

    /// **Dangerous**: trusts a server with a good certificate for any name whatever. Whoever holds a
    /// certificate of one of the roots can then read and change everything.
    #[must_use]
    pub fn danger_accept_any_name(self) -> Self {
        Self {
            trust: Trust::AnyName,
            ..self.anew()
        }
    }

    /// **Dangerous**: trusts any server. Whoever is on the way can then read and change everything,
    /// passwords included. This is for tests, and for finding out what is wrong.
    #[must_use]
    pub fn danger_accept_any_certificate(self) -> Self {
        Self {
            trust: Trust::Anyone,
            ..self.anew()
        }
    }

    /// Forgets the configuration that was made, for this one differs, and its sessions, for they were
    /// begun under other conditions.
    fn anew(self) -> Self {
        Self {
            made: Arc::default(),
            ..self
        }
    }

    /// All that a handshake with a host needs. An identity out of files is up to date then.
    pub(super) async fn handshake(&self, host: &str) -> Result<Handshake, ConnectError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => name_of(host)?,
        };
        let generation = match &self.identity {
            Some(identity) => Identity::refresh(identity).await,
            None => 0,
        };
        let config = match self.made(generation) {
            Some(config) => config,
            None => {
                let config = Arc::new(self.configure().await?);
                self.keep(generation, config)
            }
        };
        Ok(Handshake { config, name })
    }

    fn made(&self, generation: u64) -> Option<Arc<ClientConfig>> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.as_ref()
            .filter(|made| made.generation == generation)
            .map(|made| Arc::clone(&made.config))
    }

    /// Keeps a configuration, unless another connection was faster: the sessions of that are then shared.
    fn keep(&self, generation: u64, config: Arc<ClientConfig>) -> Arc<ClientConfig> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some(made) if made.generation >= generation => Arc::clone(&made.config),
            Some(_) | None => {
                *made = Some(Made {
                    generation,
                    config: Arc::clone(&config),
                });
                config
            }
        }
    }

    async fn configure(&self) -> Result<ClientConfig, ConnectError> {
        let provider = provider();
        let versions = match self.oldest {
            TlsVersion::V1_2 => &[&TLS13, &TLS12][..],
            TlsVersion::V1_3 => &[&TLS13][..],
        };
        let verifier: Arc<dyn ServerCertVerifier> = match self.trust {
            Trust::Certificate => self.web_pki(&provider).await?,
            Trust::AnyName => Arc::new(verify::AnyName(self.web_pki(&provider).await?)),
            Trust::Anyone => Arc::new(verify::Anyone::new(&provider)),
        };
        let identity: Arc<dyn ResolvesClientCert> = match &self.identity {
            Some(identity) => Arc::clone(identity) as Arc<dyn ResolvesClientCert>,
            None => Arc::new(NoIdentity),
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| ConnectError::unsupported(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(identity);
        config.alpn_protocols.clone_from(&self.protocols);
        Ok(config)
    }

    async fn web_pki(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<WebPkiServerVerifier>, ConnectError> {
        let roots = Arc::new(self.roots.load().await?);
        WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|error| ConnectError::unsupported(error.to_string()))
    }
}

/// Given to everything explicitly: a process may have another one as its default, or none.
fn provider() -> Arc<CryptoProvider> {
    static RING: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(RING.get_or_init(|| Arc::new(ring::default_provider())))
}

fn name_of(host: &str) -> Result<ServerName<'static>, ConnectError> {
    // A certificate knows nothing of zones.
    let host = host.split('%').next().unwrap_or(host);
    ServerName::try_from(host.to_owned())
        .map_err(|_| ConnectError::unsupported(format!("no certificate can have the name {host}")))
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("roots", &self.roots)
            .field("trust", &self.trust)
            .field("has_identity", &self.identity.is_some())
            .field("server_name", &self.server_name)
            .field("version_min", &self.oldest)
            .finish_non_exhaustive()
    }
}

/// All that a handshake needs.
pub(super) struct Handshake {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Handshake {
    pub(super) async fn shake(
        &self,
        stream: TcpStream,
        peer: &str,
    ) -> Result<Secured, ConnectError> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        match connector.connect(self.name.clone(), stream).await {
            Ok(stream) => Ok(Secured::new(stream)),
            Err(error) => {
                let detail = format!("TLS with {peer}: {}", explain::handshake(&error));
                Err(ConnectError::new(Step::Tls, error.kind(), detail))
            }
        }
    }
}

/// What is wrong with roots or an identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file or directory cannot be read.
    #[error("{path} cannot be read: {cause}")]
    File {
        /// Its path.
        path: String,
        /// What the system says.
        cause: String,
    },
    /// What should be PEM is not, or is damaged.
    #[error("{place} is damaged: {cause}")]
    Pem {
        /// A path, or what the text is for.
        place: String,
        /// What is wrong with it.
        cause: String,
    },
    /// There is no `BEGIN CERTIFICATE` in it.
    #[error("{place} has no certificate: -----BEGIN CERTIFICATE----- is expected")]
    NoCertificate {
        /// A path, or what the text is for.
        place: String,
    },
    /// There is no private key in it.
    #[error(
        "{place} has no private key: -----BEGIN PRIVATE KEY-----, RSA PRIVATE KEY, or EC PRIVATE KEY is expected"
    )]
    NoKey {
        /// A path, or what the text is for.
        place: String,
    },
    /// The private key is encrypted.
    #[error(
        "the private key in {place} is encrypted: `openssl pkey -in KEY -out PLAIN` decrypts it"
    )]
    EncryptedKey {
        /// A path, or what the text is for.
        place: String,
    },
    /// Certificate and private key cannot be used.
    #[error("the certificate and the private key in {place} do not work: {cause}")]
    Identity {
        /// A path, or what the text is for.
        place: String,
        /// What is wrong with them.
        cause: String,
    },
    /// A certificate cannot have this name.
    #[error("the name of the server is neither a name nor an IP address")]
    ServerName,
}

impl TlsError {
    fn file(path: &Path, error: &io::Error) -> Self {
        Self::File {
            path: path.display().to_string(),
            cause: super::error::words(error),
        }
    }
}
