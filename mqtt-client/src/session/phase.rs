//! Where the session is between having no connection and having ended, and in which version.

use mqtt_codec::Version;

use super::connect::Connecting;
use super::link::Link;
use super::options::Versions;
use crate::{ConnectionError, Ended, Instant};

/// See the drawing in [`super`].
#[derive(Debug)]
pub(super) enum Phase {
    /// No connection; the next attempt is at this moment.
    Waiting { until: Instant },
    /// The driver is opening a transport.
    Opening,
    /// The CONNECT is sent, or about to be.
    Connecting(Box<Connecting>),
    /// The CONNACK has come.
    Connected(Box<Link>),
    /// A DISCONNECT is on its way out; nothing else is done with this connection. `[MQTT-3.14.4-1]`
    Closing(After),
    /// For good.
    Ended(Ended),
}

/// What comes after a connection that we close.
#[derive(Clone, Debug)]
pub(super) enum After {
    /// Another attempt: this was wrong.
    Retry(ConnectionError),
    /// Nothing.
    End(Ended),
}

impl Phase {
    pub(super) fn deadline(&self, is_reading: bool) -> Option<Instant> {
        match self {
            Self::Waiting { until } => Some(*until),
            Self::Connecting(connecting) => Some(connecting.deadline),
            Self::Connected(link) => link.keep_alive_deadline(is_reading),
            Self::Opening | Self::Closing(_) | Self::Ended(_) => None,
        }
    }
}

/// The version for the next CONNECT: 5.0, and 3.1.1 if a server does not know that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Protocol {
    pub(super) version: Version,
    choice: Choice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// No server has said anything about 5.0 yet.
    Open,
    /// There has been a connection, or a refusal, or only one version is spoken.
    Settled,
}

impl Protocol {
    pub(super) const fn new(versions: Versions) -> Self {
        match versions {
            Versions::Newest => Self {
                version: Version::V5,
                choice: Choice::Open,
            },
            Versions::Only(version) => Self {
                version,
                choice: Choice::Settled,
            },
        }
    }

    /// A connection was made.
    pub(super) const fn settle(&mut self) {
        self.choice = Choice::Settled;
    }

    /// The server said that it does not know the version. True if there is another one to try: once.
    pub(super) fn refused(&mut self) -> bool {
        let falls_back = self.choice == Choice::Open && self.version == Version::V5;
        if falls_back {
            self.version = Version::V3_1_1;
        }
        self.choice = Choice::Settled;
        falls_back
    }

    /// The server closed without a CONNACK: some old ones do that for 5.0, but so does a broken network.
    /// Until there has been a connection, both versions are tried in turn.
    pub(super) fn closed_unanswered(&mut self) {
        if self.choice == Choice::Open {
            self.version = match self.version {
                Version::V5 => Version::V3_1_1,
                Version::V3_1 | Version::V3_1_1 => Version::V5,
            };
        }
    }
}
