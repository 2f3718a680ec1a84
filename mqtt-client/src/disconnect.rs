//! The end that the user wants.

use std::pin::Pin;
use std::time::Duration;

use mqtt_codec::{Properties, ReasonCode};

use crate::client::Client;
use crate::session::Disconnecting;
use crate::{Ended, Error, Message, properties};

/// A client that is about to be disconnected: from [`Client::disconnect`]. Nothing happens before it is awaited.
#[derive(Clone, Debug)]
#[must_use = "the client is disconnected when this is awaited"]
pub struct Disconnect {
    client: Client,
    how: Result<Disconnecting, Error>,
}

/// What has become of a client that was disconnected.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The messages that were accepted and not delivered, in the order of acceptance. With an outbox, those of QoS 1
    /// and 2 stay there for the next client.
    pub undelivered: Vec<Message>,
    /// Why the client has ended: [`Ended::Disconnected`], or what came before that.
    pub ended: Ended,
}

impl Disconnect {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            how: Ok(Disconnecting::default()),
        }
    }

    /// How long messages that were accepted may take to be delivered before the connection is closed. 5 seconds by
    /// default; with zero, they are reported at once.
    pub fn drain(self, time: Duration) -> Self {
        self.with(|how| how.drain = time)
    }

    /// How long the server keeps the session from now on, in whole seconds (5.0). A session that was made without
    /// an expiry cannot get one now.
    pub fn session_expiry(self, expiry: Duration) -> Self {
        self.with(|how| how.session_expiry = Some(expiry))
    }

    /// Has the server publish the will (5.0).
    pub fn with_will(self) -> Self {
        self.with(|how| how.reason = ReasonCode::DisconnectWithWill)
    }

    /// Adds a user property (5.0). The same name may come again.
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        self.how = self.how.and_then(|mut how| {
            how.properties = properties::add_user_property(&how.properties, name, value)
                .map_err(Error::Encode)?;
            Ok(how)
        });
        self
    }

    /// These properties, in place of all that were set (5.0).
    pub fn properties(self, properties: Properties) -> Self {
        self.with(|how| how.properties = properties)
    }

    fn with(mut self, change: impl FnOnce(&mut Disconnecting)) -> Self {
        if let Ok(how) = &mut self.how {
            change(how);
        }
        self
    }
}

/// Takes no more messages, delivers those that were accepted, and closes the connection. Resolves when all of it is
/// done, and the process may exit. Of several calls, the first says how, except that the shortest
/// [`drain`](Disconnect::drain) holds; the report of what was not delivered goes to one of them.
///
/// # Errors
/// [`Error::Encode`] for a user property that does not fit into a packet. A client that had ended before is no
/// error: the report says why it did.
///
/// # Cancel safety
/// Once it was polled, the client ends, also if the future is dropped.
impl IntoFuture for Disconnect {
    type Output = Result<Report, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let how = self.how?;
            self.client.shared().disconnect(how);
            let shared = self.client.shared();
            let ended = shared.finished().await;
            let undelivered = shared.with(|inner, _| inner.session.undelivered());
            Ok(Report {
                undelivered: undelivered
                    .into_iter()
                    .map(|(_, message)| message)
                    .collect(),
                ended,
            })
        })
    }
}
