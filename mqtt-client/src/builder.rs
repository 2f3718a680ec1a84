//! How a client is to be, before there is one.

mod begin;
mod session;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::{QoS, SubscriptionOptions, TopicFilter, Version};

use crate::driver::{BoxError, CredentialsSource, Opener};
use crate::outbox::Outbox;
use crate::session::{Credentials, SessionOptions};
use crate::subscribe::IntoFilters;
#[cfg(feature = "tls")]
use crate::transport::Tls;
use crate::transport::{Connection, Proxy, TransportOptions};
use crate::{Address, Authenticator, Error};

/// How a client is to be: from [`Client::builder`](crate::Client::builder). The defaults are right for most.
///
/// What is wrong with the arguments, such as a URL that is none, is told by [`connect`](Self::connect) and
/// [`start`](Self::start).
///
/// ```no_run
/// # async fn fetch_token() -> Result<String, std::io::Error> { Ok(String::new()) }
/// # async fn example() -> mqtt_client::Result<()> {
/// use std::time::Duration;
/// use mqtt_client::{Client, QoS, Will};
///
/// let client = Client::builder("mqtts://broker.example")
///     .server("mqtts://standby.example")
///     .client_id("press-17")
///     .session_expiry(Duration::from_secs(86_400))
///     .credentials_from(|| async { Ok(("press-17", fetch_token().await?)) })
///     .will(Will::new("press/17/state", "offline")?.retain())
///     .keep_alive(Duration::from_secs(30))
///     .pre_subscribe("commands/press-17/#", QoS::ExactlyOnce)
///     .connect()
///     .await?;
/// let commands = client.pre_subscribed("commands/press-17/#");
/// # Ok(()) }
/// ```
#[must_use = "a client is made by `connect` or `start`"]
pub struct Builder {
    servers: Vec<Address>,
    opener: Option<Opener>,
    transport: TransportOptions,
    options: SessionOptions,
    credentials: Option<CredentialsSource>,
    authenticator: Option<Box<dyn Authenticator>>,
    outbox: Option<Box<dyn Outbox>>,
    pre_subscriptions: Vec<Vec<(TopicFilter, SubscriptionOptions)>>,
    seed: Option<u64>,
    error: Option<Error>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// A builder without a server.
    pub fn new() -> Self {
        Self {
            servers: Vec::new(),
            opener: None,
            transport: TransportOptions::default(),
            options: SessionOptions::default(),
            credentials: None,
            authenticator: None,
            outbox: None,
            pre_subscriptions: Vec::new(),
            seed: None,
            error: None,
        }
    }

    /// Adds a server by its URL. Of several, each attempt tries one after the other, the one that was connected to
    /// last first; and the next one first, if that refused or ended the connection.
    ///
    /// The URL of the first may also set options: `client_id`, `keep_alive` and `session_expiry` in seconds,
    /// `clean_start` (`true` or `false`), `version` (`5`, `3.1.1` or `3.1`), as in
    /// `mqtt://localhost?client_id=press-17`. User name and password in a URL are for this server.
    pub fn server(self, url: &str) -> Self {
        match url.parse() {
            Ok(address) => self.address(address),
            Err(error) => self.wrong(Error::options(error)),
        }
    }

    /// Adds a server by its address: as [`server`](Self::server).
    pub fn address(mut self, address: Address) -> Self {
        if self.servers.is_empty() {
            for (name, value) in address.options() {
                self = self.option(name, value);
            }
        }
        self.servers.push(address);
        self
    }

    fn option(self, name: &str, value: &str) -> Self {
        let seconds = || value.parse().ok().map(Duration::from_secs);
        let known = match name {
            "client_id" => return self.client_id(value),
            "keep_alive" => {
                seconds().map(|it| (it, Self::keep_alive as fn(Self, Duration) -> Self))
            }
            "session_expiry" => {
                seconds().map(|it| (it, Self::session_expiry as fn(Self, Duration) -> Self))
            }
            "clean_start" => match value {
                "true" | "1" => return self.clean_start(true),
                "false" | "0" => return self.clean_start(false),
                _ => None,
            },
            "version" => match value {
                "5" | "5.0" => return self.version(Version::V5),
                "4" | "3.1.1" => return self.version(Version::V3_1_1),
                "3" | "3.1" => return self.version(Version::V3_1),
                _ => None,
            },
            _ => {
                return self.wrong(Error::options(format_args!(
                    "the URL has an unknown option `{name}`"
                )));
            }
        };
        match known {
            Some((duration, set)) => set(self, duration),
            None => self.wrong(Error::options(format_args!(
                "the option `{name}` of the URL cannot be `{value}`"
            ))),
        }
    }

    /// The first of the errors is told.
    fn wrong(mut self, error: Error) -> Self {
        self.error.get_or_insert(error);
        self
    }

    /// Transports come from `open`, in place of servers: called for each attempt, which fails with its error. Whatever
    /// is `AsyncRead` and `AsyncWrite` will do, such as one half of `tokio::io::duplex`.
    pub fn transport<F, Fut, C>(mut self, open: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<C>> + Send + 'static,
        C: Connection,
    {
        self.opener = Some(Arc::new(move || {
            let opened = open();
            Box::pin(async move { Ok(Box::new(opened.await?) as Box<dyn Connection>) })
        }));
        self
    }

    /// Whom to trust, and as whom to be trusted, where a URL asks for TLS. By default, the roots of the system.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.transport = self.transport.tls(tls);
        self
    }

    /// Goes through a proxy. By default, none.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.transport = self.transport.proxy(proxy);
        self
    }

    /// How to connect, beyond all this: in place of what [`tls`](Self::tls) and [`proxy`](Self::proxy) have set. Its
    /// time limit is that of [`connect_timeout`](Self::connect_timeout).
    pub fn transport_options(mut self, options: TransportOptions) -> Self {
        self.transport = options;
        self
    }

    /// The user name, without a password.
    pub fn user_name(self, user_name: &str) -> Self {
        self.fixed(Credentials {
            user_name: Some(user_name.to_owned()),
            ..Credentials::default()
        })
    }

    /// User name and password, in place of those in URLs.
    pub fn credentials(self, user_name: &str, password: impl Into<Bytes>) -> Self {
        self.fixed(Credentials::from((user_name, password)))
    }

    fn fixed(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(Arc::new(move || {
            let credentials = credentials.clone();
            Box::pin(async { Ok(credentials) })
        }));
        self
    }

    /// Where user name and password come from: called for every attempt to connect, so that they may expire. An error
    /// fails the attempt, and there will be another; so does one that takes longer than the
    /// [`connect_timeout`](Self::connect_timeout).
    pub fn credentials_from<F, Fut, C>(mut self, source: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<C, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
        C: Into<Credentials> + 'static,
    {
        self.credentials = Some(Arc::new(move || {
            let credentials = source();
            Box::pin(async move { Ok::<_, BoxError>(credentials.await?.into()) })
        }));
        self
    }

    /// Authenticates by challenge and response (5.0), such as [`ScramSha256`](crate::ScramSha256). It is started anew for
    /// every attempt to connect.
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(Box::new(authenticator));
        self
    }

    /// Where accepted messages are kept, so that they survive the process. By default, in memory only.
    ///
    /// Give such a client an identifier and a session expiry: exactly once needs the server to remember, too.
    pub fn outbox(mut self, outbox: impl Outbox) -> Self {
        self.outbox = Some(Box::new(outbox));
        self
    }

    /// Makes a subscription before there is a connection, so that no message of a session that the server has kept comes
    /// too early for it. [`Client::pre_subscribed`](crate::Client::pre_subscribed) gives its stream.
    ///
    /// Messages of QoS 1 and 2 are never too early: they wait for whoever subscribes. Those of QoS 0 do not.
    pub fn pre_subscribe(mut self, filters: impl IntoFilters, qos: QoS) -> Self {
        match filters.into_filters() {
            Ok(filters) => {
                let filters = filters
                    .into_iter()
                    .map(|(filter, own)| (filter, SubscriptionOptions::of_qos(own.unwrap_or(qos))));
                self.pre_subscriptions.push(filters.collect());
                self
            }
            Err(error) => self.wrong(Error::Invalid(error)),
        }
    }

    /// Where jitter and made-up client identifiers come from, for tests that must repeat. By default, chance.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("servers", &self.servers)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<U: Into<String>, P: Into<Bytes>> From<(U, P)> for Credentials {
    fn from((user_name, password): (U, P)) -> Self {
        Self {
            user_name: Some(user_name.into()),
            password: Some(password.into()),
            authentication: None,
        }
    }
}
