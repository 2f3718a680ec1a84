//! How a client is to be, before there is one.

use std::fmt;
use std::future::Future;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::{
    Properties, Property, QoS, ReasonCode, SubscriptionOptions, TopicFilter, Version,
};

use crate::client::Client;
use crate::driver::{BoxError, CredentialsSource, Dialler, Driver, Opener, Source};
use crate::outbox::{Outbox, OutboxError, Stored};
use crate::session::{
    Credentials, Offline, OnSessionLoss, Redirects, SessionOptions, Versions, WhenFull,
};
use crate::shared::Shared;
use crate::state::State;
use crate::subscribe::{CAPACITY, IntoFilters, Queue, StreamFull};
#[cfg(feature = "tls")]
use crate::transport::Tls;
use crate::transport::{Connection, Proxy, TransportOptions};
use crate::{Address, Authenticator, ConnectionError, Ended, Error, Will, properties};

/// How a client is to be: from [`Client::builder`]. The defaults are right for most.
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
    /// too early for it. [`Client::pre_subscribed`] gives its stream.
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

/// The options of the session.
impl Builder {
    /// The client identifier. By default, the server chooses.
    pub fn client_id(mut self, client_id: &str) -> Self {
        client_id.clone_into(&mut self.options.client_id);
        self
    }

    /// The only version to speak. By default, it is 5.0, and 3.1.1 with a server that refuses that.
    pub fn version(mut self, version: Version) -> Self {
        self.options.versions = Versions::Only(version);
        self
    }

    /// Whether the first connection begins a new session. By default it does, unless
    /// [`session_expiry`](Self::session_expiry) is set. Later ones go on with the session wherever there is one.
    pub fn clean_start(mut self, clean_start: bool) -> Self {
        self.options.clean_start = Some(clean_start);
        self
    }

    /// How long the server keeps the session without a connection, in whole seconds; [`Duration::MAX`] is for ever. A
    /// session whose expiry is set outlives this client. By default it does not, but any loss of the connection that
    /// is shorter than five minutes.
    pub fn session_expiry(mut self, expiry: Duration) -> Self {
        self.options.session_expiry = Some(expiry);
        self
    }

    /// After how long a silence the client shows that it is there, and wants to know whether the server is; in whole
    /// seconds up to 65,535. Zero: never. 60 seconds by default.
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.options.keep_alive = u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX);
        self
    }

    /// The message that the server publishes if the connection is lost. By default, none.
    pub fn will(mut self, will: Will) -> Self {
        self.options.will = Some(will);
        self
    }

    /// Adds a user property of the CONNECT (5.0). The same name may come again.
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        match properties::add_user_property(&self.options.connect_properties, name, value) {
            Ok(properties) => {
                self.options.connect_properties = properties;
                self
            }
            Err(error) => self.wrong(Error::Encode(error)),
        }
    }

    /// Properties of the CONNECT that nothing else here sets (5.0), in place of those that were set. By default, the
    /// server is asked for Response Information.
    pub fn connect_properties(mut self, properties: Properties) -> Self {
        self.options.connect_properties = properties;
        self
    }

    /// How many QoS 1 and 2 messages may wait to be acknowledged by the application, in all streams together. The server
    /// sends no more. 256 by default.
    pub fn receive_maximum(mut self, messages: u16) -> Self {
        self.options.receive_maximum = messages;
        self
    }

    /// The largest packet that is received, in bytes. 10 MiB by default.
    pub fn packet_bytes_max(mut self, bytes: usize) -> Self {
        self.options.packet_bytes_max = bytes;
        self
    }

    /// Bytes of QoS 1 and 2 messages that wait to be acknowledged by the application, above which nothing more is read
    /// from the server; and bytes of QoS 0 messages that one stream holds. 64 MiB by default.
    pub fn received_bytes_max(mut self, bytes: usize) -> Self {
        self.options.received_bytes_max = bytes;
        self
    }

    /// How many topic aliases the server may use, and how many the client uses at the most. 64 each by default.
    pub fn topic_aliases(mut self, theirs: u16, ours: u16) -> Self {
        self.options.topic_alias_maximum = theirs;
        self.options.topic_aliases_used_max = ours;
        self
    }

    /// How many QoS 1 and 2 messages are sent and not acknowledged at a time, 1 to 16,383. The server may take fewer.
    /// 1,000 by default.
    pub fn in_flight_max(mut self, messages: u16) -> Self {
        self.options.in_flight_max = messages;
        self
    }

    /// How many messages wait to be sent, and how many bytes of topics and payloads. 10,000, and 64 MiB by default.
    pub fn queue(mut self, messages_max: usize, bytes_max: usize) -> Self {
        self.options.queue_messages_max = messages_max;
        self.options.queue_bytes_max = bytes_max;
        self
    }

    /// What happens to a message for which the queue has no room. By default, publishing waits for some.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.options.when_full = when_full;
        self
    }

    /// What happens to QoS 0 messages while there is no connection. By default, publishing them fails.
    pub fn offline_qos0(mut self, offline: Offline) -> Self {
        self.options.offline_qos0 = offline;
        self
    }

    /// What happens to a QoS 2 message of which nobody knows whether it arrived, since the server has lost the session. By
    /// default it fails with [`Error::DeliveryUnknown`].
    pub fn on_session_loss(mut self, policy: OnSessionLoss) -> Self {
        self.options.on_session_loss = policy;
        self
    }

    /// The delay before another attempt to connect: anything from zero to a bound, which begins with the first of these and
    /// doubles up to the last. 250 ms to 30 s by default.
    pub fn backoff(mut self, bounds: RangeInclusive<Duration>) -> Self {
        self.options.backoff = bounds;
        self
    }

    /// How long it may take to open a transport, and then for the server to answer the CONNECT. 10 seconds each by
    /// default.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.options.connect_timeout = time;
        self
    }

    /// Goes on trying after refusals and disconnections with these reasons, which end the client by default, such as
    /// [`ReasonCode::SessionTakenOver`].
    pub fn retry_on(mut self, reasons: impl IntoIterator<Item = ReasonCode>) -> Self {
        self.options.retry_on.extend(reasons);
        self
    }

    /// Whether the server may send the client to another one. By default it may not, and the client ends.
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.options.redirects = redirects;
        self
    }
}

/// From here on there is a client.
impl Builder {
    /// Connects, and gives the client. If the first attempt fails on all servers, there is no client: so wrong addresses
    /// and passwords show at once. Later, a lost connection is made again.
    ///
    /// # Errors
    /// [`Error::Connect`] with the reason, [`Error::Options`] and others for arguments that are wrong, [`Error::Ended`]
    /// if the outbox cannot be read.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the attempt. An outbox is dropped with it.
    pub async fn connect(mut self) -> Result<Client, Error> {
        let mut stored = None;
        if let Some(mut outbox) = self.outbox.take() {
            let load = tokio::task::spawn_blocking(move || {
                let stored = outbox.load();
                (outbox, stored)
            });
            let (outbox, loaded) = load
                .await
                .map_err(|panic| Error::Ended(Ended::Outbox(OutboxError::failed(panic))))?;
            self.outbox = Some(outbox);
            stored = Some(loaded.map_err(|error| Error::Ended(Ended::Outbox(error)))?);
        }
        let failures_max = u32::try_from(self.servers.len().max(1)).unwrap_or(u32::MAX);
        let tries_both = self.options.versions == Versions::Newest;
        let client = self.begin(stored)?;
        first_connection(&client, failures_max, tries_both).await?;
        Ok(client)
    }

    /// Gives the client at once; it connects in the background, and goes on trying until it does, or a server refuses it
    /// for good. An outbox is read before this returns, which takes as long as the disk does.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect), without those of the connection. [`Error::Options`] outside a tokio runtime.
    pub fn start(mut self) -> Result<Client, Error> {
        let stored = match &mut self.outbox {
            Some(outbox) => {
                let loaded = outbox.load();
                Some(loaded.map_err(|error| Error::Ended(Ended::Outbox(error)))?)
            }
            None => None,
        };
        self.begin(stored)
    }

    fn begin(mut self, stored: Option<Stored>) -> Result<Client, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| Error::options("a client is made within a tokio runtime"))?;
        let time = self.options.connect_timeout;
        let source = match self.opener {
            Some(opener) => Source::Custom(opener),
            None if self.servers.is_empty() => {
                return Err(Error::options("there is no server to connect to"));
            }
            None => Source::Servers(self.servers, Box::new(self.transport.connect_timeout(time))),
        };
        if self
            .options
            .connect_properties
            .request_response_information()
            .is_none()
        {
            let wish = Property::RequestResponseInformation(true);
            self.options.connect_properties =
                properties::set(&self.options.connect_properties, wish).map_err(Error::Encode)?;
        }
        let seed = self
            .seed
            .unwrap_or_else(|| getrandom::u64().unwrap_or_else(|_| fastrand::u64(..)));
        let shared = Arc::new(Shared::new(self.options, seed, self.authenticator));
        shared.with(|inner, now| {
            if let Some(stored) = stored {
                inner.has_outbox = true;
                inner.session.restore(stored);
            }
            for filters in self.pre_subscriptions {
                let names = filters.iter().map(|(filter, _)| filter.clone()).collect();
                let queue = |bytes_max| Queue::new(CAPACITY, bytes_max, StreamFull::DropNewest);
                let id = inner.subscribe(now, filters, &Properties::default(), queue)?;
                inner.pre_subscribed.push((id, names));
            }
            Ok(())
        })?;
        let dialler = Dialler {
            source,
            credentials: self.credentials,
            authenticator: shared.authenticator.clone(),
            time,
        };
        let driver = Driver::new(Arc::clone(&shared), dialler, self.outbox);
        let client = Client::new(shared);
        runtime.spawn(driver.run());
        Ok(client)
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

/// Waits for the first connection, or for the failures that are enough.
async fn first_connection(
    client: &Client,
    failures_max: u32,
    tries_both: bool,
) -> Result<(), Error> {
    let mut states = client.state();
    let mut state = states.now();
    loop {
        match state {
            State::Connected(_) => return Ok(()),
            State::Ended(Ended::Connection(error)) => return Err(Error::Connect(error)),
            State::Ended(ended) => return Err(Error::Ended(ended)),
            State::Connecting {
                attempt,
                last_error: Some(error),
                ..
            } => {
                // Servers of an older version may close without a word: that one is spoken next.
                let is_mute = tries_both && matches!(error, ConnectionError::ClosedByServer);
                let failures_max = failures_max.max(if is_mute { 2 } else { 1 });
                if attempt >= failures_max {
                    return Err(Error::Connect(error));
                }
            }
            State::Connecting { .. } => {}
        }
        state = states.changed().await;
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
