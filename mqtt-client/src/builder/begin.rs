//! From here on there is a client.

use std::sync::Arc;

use mqtt_codec::{Properties, Property};

use super::Builder;
use crate::client::Client;
use crate::driver::{Dialler, Driver, Source};
use crate::outbox::{OutboxError, Stored};
use crate::session::Versions;
use crate::shared::Shared;
use crate::state::State;
use crate::subscribe::{CAPACITY, Queue, StreamFull};
use crate::{ConnectionError, Ended, Error, properties};

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
