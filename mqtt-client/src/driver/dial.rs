//! From nothing to an open transport: credentials, servers in turn.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use crate::client::start_authentication;
use crate::session::{Authentication, Credentials};
use crate::shared::SharedAuthenticator;
use crate::transport::{self, Connection, TransportOptions};
use crate::{Address, ConnectionError};

/// What credentials and transports fail with, whatever it is.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

type Attempt<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Gives the credentials for one attempt.
pub(crate) type CredentialsSource = Arc<dyn Fn() -> Attempt<Credentials, BoxError> + Send + Sync>;

/// Opens one transport.
pub(crate) type Opener = Arc<dyn Fn() -> Attempt<Box<dyn Connection>, io::Error> + Send + Sync>;

/// Where transports come from.
#[derive(Clone)]
pub(crate) enum Source {
    /// From these servers, of which there is one at least.
    Servers(Vec<Address>, Box<TransportOptions>),
    /// From the application.
    Custom(Opener),
}

/// All that an attempt to connect needs.
pub(crate) struct Dialler {
    pub(crate) source: Source,
    pub(crate) credentials: Option<CredentialsSource>,
    pub(crate) authenticator: Option<SharedAuthenticator>,
    /// What the application provides, credentials or a transport, may take so long.
    pub(crate) time: Duration,
}

/// A transport, and what to say on it first.
pub(super) struct Opened {
    pub(super) stream: Box<dyn Connection>,
    pub(super) credentials: Credentials,
    pub(super) server: Arc<str>,
    /// Its place in the list of servers.
    pub(super) index: usize,
}

pub(super) type Opening = Attempt<Opened, ConnectionError>;

impl Dialler {
    /// Tries the servers, or those that `redirect` names, once each and in turn, `first` first.
    pub(super) fn open(self: Arc<Self>, first: usize, redirect: Option<Arc<str>>) -> Opening {
        Box::pin(async move {
            let mut credentials = self.credentials().await?;
            let (stream, address, index) = self.transport(first, redirect.as_deref()).await?;
            if let (None, Some(address)) = (&self.credentials, &address) {
                credentials.user_name = address.user_name().map(str::to_owned);
                credentials.password = address.password().map(Bytes::copy_from_slice);
            }
            let server = address.map_or_else(|| "custom transport".into(), |it| it.to_string());
            Ok(Opened {
                stream,
                credentials,
                server: server.into(),
                index,
            })
        })
    }

    async fn credentials(&self) -> Result<Credentials, ConnectionError> {
        let mut credentials = match &self.credentials {
            Some(source) => match timeout(self.time, source()).await {
                Ok(Ok(credentials)) => credentials,
                Ok(Err(error)) => return Err(ConnectionError::Credentials(Arc::from(error))),
                Err(error) => return Err(ConnectionError::Credentials(Arc::new(error))),
            },
            None => Credentials::default(),
        };
        if let Some(authenticator) = &self.authenticator {
            let first = start_authentication(Arc::clone(authenticator))
                .await
                .map_err(ConnectionError::Authentication)?;
            credentials.authentication = Some(Authentication {
                method: first.method,
                data: Some(first.data),
            });
        }
        Ok(credentials)
    }

    async fn transport(
        &self,
        first: usize,
        redirect: Option<&str>,
    ) -> Result<(Box<dyn Connection>, Option<Address>, usize), ConnectionError> {
        let (servers, options) = match &self.source {
            Source::Servers(servers, options) => (servers, options),
            Source::Custom(open) => {
                return match timeout(self.time, open()).await {
                    Ok(Ok(stream)) => Ok((stream, None, 0)),
                    Ok(Err(error)) => Err(ConnectionError::Open(Arc::new(error))),
                    Err(error) => Err(ConnectionError::Open(Arc::new(error))),
                };
            }
        };
        let redirected;
        let servers = match (redirect, servers.get(first).or(servers.first())) {
            (Some(reference), Some(here)) => {
                redirected = here
                    .redirected(reference)
                    .map_err(|error| ConnectionError::Open(Arc::new(error)))?;
                &redirected
            }
            (_, _) => servers,
        };
        let mut failures = Failures(Vec::new());
        for step in 0..servers.len() {
            let index = (first + step) % servers.len();
            let Some(address) = servers.get(index) else {
                break;
            };
            match transport::open(address, options).await {
                Ok(stream) => {
                    // One that another has named has no place in the list.
                    let index = if redirect.is_some() { first } else { index };
                    return Ok((stream, Some(address.clone()), index));
                }
                Err(error) => failures.0.push(error),
            }
        }
        Err(ConnectionError::Open(Arc::new(failures)))
    }
}

/// Why each server could not be reached.
#[derive(Debug)]
struct Failures(Vec<transport::ConnectError>);

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the server reference names no server");
        }
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl StdError for Failures {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let last = self.0.last()?;
        Some(last)
    }
}
