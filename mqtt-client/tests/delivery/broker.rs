//! The brokers that the promises are checked with, and how they are ended and started again.

mod embedded;
mod process;

use std::fmt;
use std::net::SocketAddr;

use self::embedded::Embedded;
use self::process::Process;

/// A broker that runs, or that was ended and can be started again on the same port.
pub(crate) enum Broker {
    Embedded(Embedded),
    Process(Process),
}

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours, in this process.
    Embedded,
    /// Ours, as a program.
    Mqttd,
    /// Debian's.
    Mosquitto,
}

/// What becomes of a broker's sessions when it is ended and started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sessions {
    Kept,
    Lost,
}

impl Broker {
    /// Starts one; `None`, said loudly, if this machine has none of the kind.
    pub(crate) async fn start(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Embedded => Some(Self::Embedded(Embedded::start())),
            Kind::Mqttd | Kind::Mosquitto => {
                let process = Process::new(kind)?;
                let mut broker = Self::Process(process);
                broker.restart().await;
                Some(broker)
            }
        }
    }

    /// Where it listens, always.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Embedded(embedded) => embedded.address(),
            Self::Process(process) => process.address(),
        }
    }

    /// Where it listens for WebSockets, if it is `mqttd`.
    pub(crate) fn websocket_address(&self) -> SocketAddr {
        match self {
            Self::Embedded(_) => panic!("an embedded broker has no WebSockets"),
            Self::Process(process) => process.websocket_address(),
        }
    }

    /// Ends it as abruptly as it can be with its sessions kept, or lost.
    pub(crate) async fn kill(&mut self, sessions: Sessions) {
        match self {
            Self::Embedded(embedded) => embedded.kill(sessions),
            Self::Process(process) => process.kill(sessions).await,
        }
    }

    /// Starts it again, after `kill`. It listens when this returns.
    pub(crate) async fn restart(&mut self) {
        match self {
            Self::Embedded(embedded) => embedded.restart(),
            Self::Process(process) => process.restart().await,
        }
    }
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Embedded, Self::Mqttd, Self::Mosquitto];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "an embedded broker",
            Self::Mqttd => "mqttd",
            Self::Mosquitto => "Mosquitto",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use mqtt_codec::{QoS, ReasonCode};
    use tokio::net::TcpStream;

    use super::*;
    use crate::peer::Peer;

    /// A broker is what the tests take it for: with its sessions kept it sends what it has
    /// acknowledged, and with its sessions lost it knows nobody.
    async fn keeps_or_loses(kind: Kind) {
        let Some(mut broker) = Broker::start(kind).await else {
            return;
        };
        let (mut subscriber, present) = Peer::connect(broker.address(), "subscriber").await;
        assert!(!present);
        assert_eq!(
            subscriber.subscribe("t", QoS::AtLeastOnce).await,
            ReasonCode::GrantedQoS1
        );
        drop(subscriber);
        let (mut publisher, _) = Peer::connect(broker.address(), "publisher").await;
        publisher.publish("t", "kept").await;

        broker.kill(Sessions::Kept).await;
        let refused = TcpStream::connect(broker.address()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        broker.restart().await;
        let (mut subscriber, present) = Peer::connect(broker.address(), "subscriber").await;
        assert!(present, "{kind}");
        assert_eq!(subscriber.message().await.payload, "kept");

        broker.kill(Sessions::Lost).await;
        broker.restart().await;
        let (_, present) = Peer::connect(broker.address(), "subscriber").await;
        assert!(!present, "{kind}");
    }

    #[tokio::test]
    async fn the_embedded_broker_keeps_or_loses_its_sessions() {
        keeps_or_loses(Kind::Embedded).await;
    }

    #[tokio::test]
    async fn mqttd_keeps_or_loses_its_sessions() {
        keeps_or_loses(Kind::Mqttd).await;
    }

    #[tokio::test]
    async fn mosquitto_keeps_or_loses_its_sessions() {
        keeps_or_loses(Kind::Mosquitto).await;
    }
}
