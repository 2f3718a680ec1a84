//! One peer of the server: it sends any bytes, and reads the packets that come back.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mqtt_codec::{
    Ack, Connect, Cut, PACKET_BYTES_MAX, Packet, PacketId, Properties, Publish, PublishQoS, QoS,
    ReasonCode, Subscribe, Subscription, SubscriptionOptions, Subscriptions, Text, TopicFilter,
    TopicName, Version, cut,
};

use super::SOON;

/// A TCP connection to the server.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    version: Version,
    received: Vec<u8>,
}

/// What came from the server.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum Got {
    /// A packet.
    Packet(Packet),
    /// The end of the connection.
    Closed,
    /// Nothing in the time given.
    Nothing,
}

impl Peer {
    /// One that has said nothing yet.
    pub(crate) fn open(address: SocketAddr, version: Version) -> Self {
        Self::try_open(address, version).expect("the server listens")
    }

    pub(crate) fn try_open(address: SocketAddr, version: Version) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            version,
            received: Vec::new(),
        })
    }

    /// One that has been let in.
    pub(crate) fn connect(address: SocketAddr, version: Version, client_id: &str) -> Self {
        Self::connect_as(address, hello(version, client_id))
    }

    pub(crate) fn connect_as(address: SocketAddr, hello: Connect) -> Self {
        let mut peer = Self::open(address, hello.version);
        peer.send(&Packet::Connect(hello));
        let packet = peer.packet();
        let accepted = matches!(&packet, Packet::ConnAck(ack) if !ack.reason.is_failure());
        assert!(accepted, "{packet:?}");
        peer
    }

    /// One whose session outlives its connection. `is_there`: it has one already.
    pub(crate) fn persistent(address: SocketAddr, client_id: &str, is_there: bool) -> Self {
        let mut peer = Self::open(address, Version::V3_1_1);
        let mut hello = hello(Version::V3_1_1, client_id);
        hello.clean_start = false;
        peer.send(&Packet::Connect(hello));
        match peer.packet() {
            Packet::ConnAck(ack) => assert_eq!(ack.session_present, is_there, "{client_id}"),
            other => panic!("{other:?} instead of a CONNACK"),
        }
        peer
    }

    pub(crate) fn send<B: AsRef<[u8]>>(&mut self, packet: &Packet<B>) {
        self.try_send(packet).expect("the server has not closed");
    }

    pub(crate) fn try_send<B: AsRef<[u8]>>(&mut self, packet: &Packet<B>) -> io::Result<()> {
        let bytes = packet
            .to_vec(self.version)
            .expect("a packet of this version");
        self.try_write(&bytes)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).expect("the server has not closed");
    }

    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends no more, but still reads.
    pub(crate) fn finish(&self) {
        // The server may have closed.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Subscribes, and waits for the SUBACK.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.send(&subscribe(&[filter], qos));
        let packet = self.packet();
        assert!(matches!(packet, Packet::SubAck(_)), "{packet:?}");
    }

    /// The next packet, which has to come soon.
    pub(crate) fn packet(&mut self) -> Packet {
        match self.next(SOON) {
            Got::Packet(packet) => packet,
            other @ (Got::Closed | Got::Nothing) => panic!("{other:?} instead of a packet"),
        }
    }

    /// The payload of a PUBLISH, which has to come soon. One of QoS 1 is acknowledged.
    pub(crate) fn payload(&mut self) -> Vec<u8> {
        let packet = self.packet();
        let Packet::Publish(publish) = packet else {
            panic!("{packet:?} instead of a PUBLISH");
        };
        if let PublishQoS::AtLeastOnce(id) = publish.qos {
            self.send(&Packet::PubAck(Ack::new(id, ReasonCode::Success)));
        }
        publish.payload.to_vec()
    }

    /// The next packet or the end, if it comes in this time.
    pub(crate) fn next(&mut self, within: Duration) -> Got {
        let start = Instant::now();
        let mut buffer = [0; 64 * 1024];
        loop {
            if let Cut::Whole(frame) = cut(&self.received, PACKET_BYTES_MAX).expect("a packet") {
                let packet = Packet::decode(frame, self.version).expect("a packet");
                let (packet, len) = (packet.to_bytes(), frame.bytes.len());
                self.received.drain(..len);
                return Got::Packet(packet);
            }
            let left = within.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Got::Nothing;
            }
            let timeout = self.stream.set_read_timeout(Some(left));
            timeout.expect("it is not zero");
            match self.stream.read(&mut buffer) {
                Ok(0) => return Got::Closed,
                Ok(count) => self.received.extend(&buffer[..count]),
                Err(cause) => match cause.kind() {
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return Got::Closed,
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Got::Nothing,
                    _ => panic!("{cause}"),
                },
            }
        }
    }

    /// What the server says before it closes, which has to come soon: `CONNACK 84`,
    /// `DISCONNECT 81`, or nothing.
    pub(crate) fn last_words(&mut self) -> String {
        let mut words = String::new();
        loop {
            match self.next(SOON) {
                Got::Closed => return words.trim_end().to_owned(),
                Got::Nothing => panic!("it is not closed; {words:?} came"),
                Got::Packet(Packet::ConnAck(ack)) => {
                    let _ = write!(words, "CONNACK {:02X} ", ack.reason as u8);
                }
                Got::Packet(Packet::Disconnect(packet)) => {
                    let _ = write!(words, "DISCONNECT {:02X} ", packet.reason as u8);
                }
                Got::Packet(other) => {
                    let _ = write!(words, "{:?} ", other.packet_type());
                }
            }
        }
    }

    /// All bytes that come until the server closes, which has to be soon.
    pub(crate) fn last_bytes(&mut self) -> Vec<u8> {
        self.stream.set_read_timeout(Some(SOON)).expect("not zero");
        let mut bytes = Vec::new();
        if let Err(cause) = self.stream.read_to_end(&mut bytes) {
            assert_eq!(cause.kind(), ErrorKind::ConnectionReset, "{cause}");
        }
        bytes
    }
}

/// The CONNECT of a client whose session ends with its connection.
pub(crate) fn hello(version: Version, client_id: &str) -> Connect {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 0,
        properties: Properties::default(),
        client_id: Text::from_string(client_id).expect("short"),
        will: None,
        user_name: None,
        password: None,
    }
}

/// A SUBSCRIBE with packet identifier 1.
pub(crate) fn subscribe(filters: &[&str], qos: QoS) -> Packet {
    let filters: Vec<_> = filters
        .iter()
        .map(|filter| TopicFilter::from_text(filter).expect(filter))
        .collect();
    let subscriptions = filters.iter().map(|filter| Subscription {
        filter: filter.as_view(),
        options: SubscriptionOptions::of_qos(qos),
    });
    Packet::Subscribe(Subscribe {
        packet_id: PacketId::new(1).expect("not 0"),
        properties: Properties::default(),
        subscriptions: Subscriptions::new(subscriptions).expect("short"),
    })
}

/// A PUBLISH; with a packet identifier at QoS 1, without one at QoS 0.
pub(crate) fn post(topic: &str, payload: impl Into<Vec<u8>>, id: Option<u16>) -> Packet {
    let id = id.map(|id| PacketId::new(id).expect("not 0"));
    Packet::Publish(Publish {
        dup: false,
        qos: id.map_or(PublishQoS::AtMostOnce, PublishQoS::AtLeastOnce),
        retain: false,
        topic: Some(TopicName::from_text(topic).expect(topic)),
        properties: Properties::default(),
        payload: payload.into().into(),
    })
}
