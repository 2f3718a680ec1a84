//! Where the broker is, and how to get a connection to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use mqtt_client::transport::{self, TransportOptions};
use mqtt_client::{Address, Scheme, Tls};
use mqtt_codec::{
    Connect, Packet, PacketId, Properties, QoS, ReasonCode, SubAck, Subscribe, Subscription,
    SubscriptionOptions, Subscriptions, Text, TopicFilter, Version,
};
use tokio::net::{TcpSocket, UnixStream};

use super::wire::{Fault, Stream, Wire};

/// Connections from one address of this machine to a broker on it. The kernel has 28,000 ports for them, and looks ever longer for
/// a free one.
const CONNECTIONS_OF_ADDRESS: usize = 4000;

/// Where the broker is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// The addresses of a host; the first one that answers is used.
    Tcp(Vec<SocketAddr>),
    /// A socket in the file system.
    Unix(PathBuf),
    /// Whatever else there is between here and the broker: TLS, a WebSocket, or both.
    Upgraded(Box<(Address, TransportOptions)>),
}

/// How a client introduces itself.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) place: Place,
    pub(crate) version: Version,
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
    /// Seconds; 0: none.
    pub(crate) keep_alive: u16,
    /// How long any one answer of the broker may take.
    pub(crate) patience: Duration,
    /// Bytes of the largest packet taken from the broker.
    pub(crate) packet_bytes_max: usize,
}

/// A connection that the broker has accepted.
pub(crate) struct Connected {
    pub(crate) wire: Wire,
    /// How many QoS 1 and 2 messages the broker takes at once.
    pub(crate) receive_maximum: u16,
    /// Seconds of the keep alive that the broker wants.
    pub(crate) keep_alive: u16,
    /// What was granted to its subscription, if it has one.
    pub(crate) granted: Option<QoS>,
}

impl Place {
    /// The place of an address, whose name is looked up now and not for each connection.
    ///
    /// # Errors
    /// That there is no such name.
    pub(crate) async fn find(address: &Address, tls: Tls) -> Result<Self, String> {
        if let Some(path) = address.socket() {
            return Ok(Self::Unix(path.to_owned()));
        }
        let host = address.host().unwrap_or_default();
        let found = tokio::net::lookup_host((host, address.port().unwrap_or(0))).await;
        let found: Vec<SocketAddr> = found.map_err(|cause| format!("{host}: {cause}"))?.collect();
        if address.scheme() == Scheme::Tcp {
            return Ok(Self::Tcp(found));
        }
        let options = TransportOptions::default().tls(tls).resolve(host, found);
        Ok(Self::Upgraded(Box::new((address.clone(), options))))
    }
}

impl Target {
    /// Connects the client that is the `number`-th of the run.
    ///
    /// # Errors
    /// Why there is no connection.
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "all other packets are equally out of place"
    )]
    pub(crate) async fn connect(&self, number: usize, client_id: &str) -> Result<Connected, Fault> {
        let connecting = async {
            let stream = self.open(number).await?;
            let mut wire = Wire::new(stream, self.version, self.packet_bytes_max);
            wire.send(&self.introduction(number, client_id)?).await?;
            match wire.next().await? {
                Packet::ConnAck(ack) if ack.reason == ReasonCode::Success => Ok(Connected {
                    receive_maximum: ack.properties.receive_maximum().unwrap_or(u16::MAX),
                    keep_alive: ack
                        .properties
                        .server_keep_alive()
                        .unwrap_or(self.keep_alive),
                    granted: None,
                    wire,
                }),
                Packet::ConnAck(ack) => Err(Fault::Refused(ack.reason)),
                other => Err(unexpected(&other)),
            }
        };
        self.in_time(connecting).await
    }

    /// Subscribes; the quality of service that the broker has granted.
    ///
    /// # Errors
    /// Why there is no subscription.
    pub(crate) async fn subscribe(
        &self,
        wire: &mut Wire,
        filter: &str,
        qos: QoS,
    ) -> Result<QoS, Fault> {
        self.subscribe_all(wire, &[filter], qos).await
    }

    /// Makes several subscriptions at once; the lowest quality of service that the broker has granted.
    ///
    /// # Errors
    /// Why one of them was not made.
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "all other packets are equally out of place"
    )]
    pub(crate) async fn subscribe_all<S: AsRef<str>>(
        &self,
        wire: &mut Wire,
        filters: &[S],
        qos: QoS,
    ) -> Result<QoS, Fault> {
        self.in_time(async {
            wire.send(&subscriptions(filters, qos)?).await?;
            loop {
                match wire.next().await? {
                    Packet::SubAck(ack) => return granted(&ack),
                    // What is retained may come first; it is not of this run.
                    Packet::Publish(publish) => wire.acknowledge(publish.qos).await?,
                    other => return Err(unexpected(&other)),
                }
            }
        })
        .await
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        match tokio::time::timeout(self.patience, answer).await {
            Ok(answered) => answered,
            Err(_) => Err(Fault::NoAnswer(self.patience.as_secs())),
        }
    }

    async fn open(&self, number: usize) -> Result<Box<dyn Stream>, Fault> {
        match &self.place {
            Place::Tcp(addresses) => {
                let mut last = Fault::Connect("the name has no address".to_owned());
                for address in addresses {
                    match open_tcp(*address, number).await {
                        Ok(stream) => return Ok(Box::new(stream)),
                        Err(cause) => last = Fault::Connect(format!("{address}: {cause}")),
                    }
                }
                Err(last)
            }
            Place::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(cause) => Err(Fault::Connect(format!("{}: {cause}", path.display()))),
            },
            Place::Upgraded(route) => match transport::open(&route.0, &route.1).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(Fault::Connect(error.to_string())),
            },
        }
    }

    fn introduction(&self, number: usize, client_id: &str) -> Result<Packet, Fault> {
        let user_name = match &self.user_name {
            Some(name) => Some(Text::from_string(numbered(name, number))?),
            None => None,
        };
        Ok(Packet::Connect(Connect {
            version: self.version,
            bridge: false,
            clean_start: true,
            keep_alive: self.keep_alive,
            properties: Properties::default(),
            client_id: Text::from_string(client_id)?,
            will: None,
            user_name,
            password: self.password.clone().map(Bytes::from),
        }))
    }
}

/// A SUBSCRIBE for this filter.
pub(crate) fn subscription(filter: &str, qos: QoS) -> Result<Packet, Fault> {
    subscriptions(&[filter], qos)
}

/// A SUBSCRIBE for these filters.
fn subscriptions<S: AsRef<str>>(filters: &[S], qos: QoS) -> Result<Packet, Fault> {
    let mut all = Vec::with_capacity(filters.len());
    for filter in filters {
        all.push(Subscription {
            filter: TopicFilter::new(filter.as_ref().as_bytes())?,
            options: SubscriptionOptions::of_qos(qos),
        });
    }
    Ok(Packet::Subscribe(Subscribe {
        packet_id: PacketId::new(1).ok_or(Fault::Closed)?,
        properties: Properties::default(),
        subscriptions: Subscriptions::new(all)?,
    }))
}

/// The lowest quality of service that a SUBACK grants.
///
/// # Errors
/// Why it grants none.
pub(crate) fn granted<B: AsRef<[u8]>>(ack: &SubAck<B>) -> Result<QoS, Fault> {
    let reason = ack.reasons.iter().max_by_key(rank);
    let reason = reason.unwrap_or(ReasonCode::UnspecifiedError);
    QoS::from_number(reason as u8).ok_or(Fault::SubscriptionRefused(reason))
}

/// Failures are above all that is granted, and what is granted the higher the less it is.
fn rank(reason: &ReasonCode) -> u8 {
    QoS::from_number(*reason as u8).map_or(u8::MAX, |qos| QoS::ExactlyOnce as u8 - qos as u8)
}

/// `%i` is the number of the client.
pub(crate) fn numbered(template: &str, number: usize) -> String {
    template.replace("%i", &number.to_string())
}

/// What another packet than the one waited for means.
pub(crate) fn unexpected<B: AsRef<[u8]>>(packet: &Packet<B>) -> Fault {
    if let Packet::Disconnect(disconnect) = packet {
        Fault::Disconnected(disconnect.reason)
    } else {
        Fault::Unexpected(packet.packet_type())
    }
}

async fn open_tcp(address: SocketAddr, number: usize) -> std::io::Result<tokio::net::TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(source) = source(address.ip(), number) {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// The address to connect from: another one where the ports of the usual one would run out.
fn source(broker: IpAddr, number: usize) -> Option<IpAddr> {
    let IpAddr::V4(broker) = broker else {
        return None;
    };
    let block = number / CONNECTIONS_OF_ADDRESS;
    let host = u8::try_from(block + 1)
        .ok()
        .filter(|_| block > 0 && broker.is_loopback())?;
    Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn very_many_connections_to_this_machine_come_from_several_addresses() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(source(loopback, 3999), None);
        assert_eq!(
            source(loopback, 4000),
            Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)))
        );
        assert_eq!(
            source(loopback, 999_999),
            Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 250)))
        );
        assert_eq!(source(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 4000), None);
    }
}
