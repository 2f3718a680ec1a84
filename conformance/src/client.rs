//! One connection to the broker: it sends any bytes, and looks closely at what comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Version;
use crate::codes::Codes;
use crate::fields::{hex, whole_packet};
use crate::notation::Notation;
use crate::packet::{Kind, Packet};

/// How long a broker may take for anything that it has to do at once.
const SOON: Duration = Duration::from_secs(8);

/// How long nothing has to come for a test to believe that nothing will.
const SILENCE: Duration = Duration::from_millis(100);

/// A connection to the broker.
pub(crate) struct Client {
    stream: TcpStream,
    version: Version,
    /// What stands for `~` in the notation.
    name: String,
    reasons: Reasons,
    /// A larger packet of the broker is an error.
    packet_bytes_max: usize,
    received: Vec<u8>,
    /// How much of it has been taken.
    taken: usize,
}

/// Whether a broker of 5.0 has to say why it closes a connection. The standard lets it keep silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reasons {
    /// It has to, and with the reason code expected.
    Required,
    /// It may close without a word; what it says must be right.
    Optional,
}

/// What comes next from the broker.
enum Next {
    Packet(Packet),
    Closed,
    Nothing,
}

impl Client {
    /// A connection on which nothing has been said.
    pub(crate) fn open(
        address: SocketAddr,
        version: Version,
        name: &str,
        reasons: Reasons,
    ) -> Self {
        let stream = TcpStream::connect_timeout(&address, SOON).expect("the broker listens");
        stream.set_nodelay(true).expect("an open socket");
        Self {
            stream,
            version,
            name: name.to_owned(),
            reasons,
            packet_bytes_max: usize::MAX,
            received: Vec::new(),
            taken: 0,
        }
    }

    /// The broker has been told to send no larger packets: from now on, each is checked.
    pub(crate) fn takes_at_most(&mut self, packet_bytes_max: usize) {
        self.packet_bytes_max = packet_bytes_max;
    }

    /// Sends bytes in the [notation](crate::notation).
    #[track_caller]
    pub(crate) fn send(&mut self, notation: &str) {
        self.send_bytes(&self.encode(notation));
    }

    /// The bytes that [`Client::send`] would send.
    #[track_caller]
    pub(crate) fn encode(&self, notation: &str) -> Vec<u8> {
        Notation::read(notation, self.version, &self.name).bytes()
    }

    /// Sends any bytes. That the broker may have closed is seen when something is expected of it.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next packet, which has to come soon.
    #[track_caller]
    pub(crate) fn packet(&mut self) -> Packet {
        match self.next(SOON) {
            Next::Packet(packet) => packet,
            Next::Closed => panic!("the connection was closed; a packet was expected"),
            Next::Nothing => panic!("nothing came; a packet was expected"),
        }
    }

    /// The next packet, or `None` if the broker closes the connection instead.
    #[track_caller]
    pub(crate) fn packet_or_end(&mut self) -> Option<Packet> {
        match self.next(SOON) {
            Next::Packet(packet) => Some(packet),
            Next::Closed => None,
            Next::Nothing => panic!("nothing came, and the connection is still open"),
        }
    }

    /// All that still comes: what is there when a PINGREQ is answered, and in the silence after it.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<Packet> {
        let (mut packets, over) = self.drain();
        assert!(!over, "the connection was closed");
        while let Some(packet) = self.packet_within(SILENCE) {
            packets.push(packet);
        }
        packets
    }

    /// The next packet, which has to be of this type.
    #[track_caller]
    pub(crate) fn packet_of(&mut self, kind: Kind) -> Packet {
        let packet = self.packet();
        assert!(packet.kind == kind, "{packet:?} instead of a {kind:?}");
        packet
    }

    /// The next packet, which has to be as described in the notation.
    #[track_caller]
    pub(crate) fn expect(&mut self, notation: &str) -> Packet {
        let packet = self.packet();
        assert!(
            packet.is(notation, &self.name),
            "{packet:?} instead of {notation}"
        );
        packet
    }

    /// The next packet is a PUBLISH on this topic with this payload. Returns it, for a closer look.
    #[track_caller]
    pub(crate) fn message(&mut self, topic: &str, payload: &str) -> Packet {
        let packet = self.packet_of(Kind::Publish);
        let topic = topic.replace('~', &self.name);
        let got = (
            packet.topic.as_str(),
            String::from_utf8_lossy(&packet.payload),
        );
        assert!(
            got.0 == topic && got.1 == payload,
            "{got:?} instead of the message {payload:?} on {topic:?}"
        );
        packet
    }

    pub(crate) fn is_v5(&self) -> bool {
        self.version == Version::V5
    }

    /// Whether the broker has closed the connection, whatever came before.
    #[track_caller]
    pub(crate) fn has_ended(&mut self) -> bool {
        self.drain().1
    }

    /// The sizes of all packets that come up to the end of the connection.
    #[track_caller]
    pub(crate) fn sizes(&mut self) -> Vec<usize> {
        let mut sizes = Vec::new();
        loop {
            match self.next(SOON) {
                Next::Packet(packet) => sizes.push(packet.bytes.len()),
                Next::Closed => return sizes,
                Next::Nothing => panic!("the connection is still open"),
            }
        }
    }

    /// The next message, if one comes in half a second.
    #[track_caller]
    pub(crate) fn message_soon(&mut self) -> Option<Packet> {
        self.packet_within(SILENCE * 5)
    }

    /// The messages that have come so far, each acknowledged if it is of QoS 1, and then nothing.
    #[track_caller]
    pub(crate) fn messages_so_far(&mut self) -> Vec<Packet> {
        self.send("c000");
        let (mut messages, mut wait) = (Vec::new(), SOON);
        while let Some(packet) = self.packet_within(wait) {
            if packet.kind == Kind::PingResp {
                wait = SILENCE * 5;
                continue;
            }
            assert!(
                packet.kind == Kind::Publish,
                "{packet:?} instead of a message"
            );
            if packet.qos() == 1 {
                self.acknowledge(&packet);
            }
            messages.push(packet);
        }
        messages
    }

    /// A PINGREQ is answered, and besides nothing comes.
    #[track_caller]
    pub(crate) fn quiet(&mut self) {
        self.pinged();
        self.silent_for(SILENCE);
    }

    /// A PINGREQ is answered before anything else comes: all that was sent before it has been handled.
    #[track_caller]
    pub(crate) fn pinged(&mut self) {
        self.send("c000");
        self.expect("d000");
    }

    /// Subscribes, and waits for the SUBACK, which has to grant it. `options` are the last byte of
    /// the SUBSCRIBE: in 3.x the QoS.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, filter: &str, options: u8) {
        self.send(&format!(r#"82 <7FFF {{}} "{filter}" {options:02x}>"#));
        let granted = options & 3;
        self.expect(&format!("90 <7FFF {{..}} {granted:02x}>"));
    }

    /// Publishes, and waits until the broker has taken the message, at QoS 0 for a PINGRESP.
    #[track_caller]
    pub(crate) fn publish(&mut self, topic: &str, qos: u8, payload: &str) {
        self.publish_with(topic, qos << 1, "", payload);
    }

    /// The same with RETAIN.
    #[track_caller]
    pub(crate) fn retain(&mut self, topic: &str, qos: u8, payload: &str) {
        self.publish_with(topic, qos << 1 | 1, "", payload);
    }

    /// The same with these flags and properties.
    #[track_caller]
    pub(crate) fn publish_with(&mut self, topic: &str, flags: u8, properties: &str, payload: &str) {
        let first = 0x30 | flags;
        let qos = flags >> 1 & 3;
        let id = if qos == 0 { "" } else { "7FFE" };
        self.send(&format!(
            r#"{first:02x} <"{topic}" {id} {{{properties}}} '{payload}'>"#
        ));
        match qos {
            0 => self.pinged(),
            1 => drop(self.expect("40 <7FFE ..>")),
            _ => {
                self.expect("50 <7FFE ..>");
                self.send("62 <7FFE>");
                self.expect("70 <7FFE ..>");
            }
        }
    }

    /// Answers a PUBLISH as its QoS demands, to the end of the handshake.
    #[track_caller]
    pub(crate) fn acknowledge(&mut self, message: &Packet) {
        match message.qos() {
            0 => {}
            1 => self.send(&format!("40 <{:04x}>", message.id())),
            _ => {
                let id = message.id();
                self.send(&format!("50 <{id:04x}>"));
                self.expect(&format!("62 <{id:04x} ..>"));
                self.send(&format!("70 <{id:04x}>"));
            }
        }
    }

    /// The broker ends the connection for what was sent: with a DISCONNECT of one of these reason
    /// codes in 5.0, and without a word in 3.x. Nothing else comes before.
    #[track_caller]
    pub(crate) fn refused(&mut self, reasons: impl Into<Codes>) {
        let codes = reasons.into().0;
        match self.next(SOON) {
            Next::Closed if self.version != Version::V5 => {}
            Next::Closed if self.reasons == Reasons::Optional => {}
            Next::Closed => panic!("closed without a DISCONNECT; {codes:02x?} was expected"),
            Next::Nothing => panic!("the connection is still open"),
            Next::Packet(packet) => {
                let right = packet.kind == Kind::Disconnect && codes.contains(&packet.reason());
                assert!(right, "{packet:?} instead of a DISCONNECT {codes:02x?}");
                self.closed();
            }
        }
    }

    /// The broker does not take the CONNECT: a CONNACK with one of these reason codes in 5.0, with
    /// one of those return codes in 3.x (none: it closes without a word), then the end.
    #[track_caller]
    pub(crate) fn turned_away(&mut self, reasons: impl Into<Codes>, returns: impl Into<Codes>) {
        let codes = match self.version {
            Version::V5 => reasons.into().0,
            Version::V3_1 | Version::V3_1_1 => returns.into().0,
        };
        match self.next(SOON) {
            Next::Closed if codes.is_empty() || self.reasons == Reasons::Optional => {}
            Next::Closed => panic!("closed without a CONNACK; {codes:02x?} was expected"),
            Next::Nothing => panic!("the connection is still open"),
            Next::Packet(packet) => {
                let right = packet.kind == Kind::ConnAck && codes.contains(&packet.reason());
                assert!(right, "{packet:?} instead of a CONNACK {codes:02x?}");
                self.closed();
            }
        }
    }

    /// The same where the broker may just as well close without a word.
    #[track_caller]
    pub(crate) fn not_let_in(&mut self, reasons: impl Into<Codes>, returns: impl Into<Codes>) {
        self.reasons = Reasons::Optional;
        self.turned_away(reasons, returns);
    }

    /// The broker closes, after a CONNACK of any version or without one.
    #[track_caller]
    pub(crate) fn closed_after_any_connack(&mut self) {
        let mut bytes = Vec::new();
        let end = self.read_to_end(&mut bytes);
        let told = matches!(bytes[..], [] | [0x20, 2, 0, 1] | [0x20, 3, 0, 0x84, 0]);
        assert!(told, "{} instead of a CONNACK that refuses", hex(&bytes));
        assert!(end, "the connection is still open");
    }

    /// The bytes that come within a short time, whatever they are, also up to the end.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        self.stream
            .set_read_timeout(Some(SILENCE))
            .expect("a time that is not zero");
        while let Ok(count @ 1..) = self.stream.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..count]);
        }
        bytes
    }

    /// Reads all that comes; true if the connection then ends.
    fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> bool {
        self.stream
            .set_read_timeout(Some(SOON))
            .expect("a time that is not zero");
        match self.stream.read_to_end(bytes) {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    /// The broker closes the connection soon, and nothing comes before.
    #[track_caller]
    pub(crate) fn closed(&mut self) {
        match self.next(SOON) {
            Next::Closed => {}
            Next::Packet(packet) => panic!("{packet:?} instead of the end of the connection"),
            Next::Nothing => panic!("the connection is still open"),
        }
    }

    /// Leaves with a DISCONNECT, and waits until the broker has closed.
    #[track_caller]
    pub(crate) fn disconnect(mut self) {
        self.send("e000");
        self.end();
    }

    /// Vanishes without a DISCONNECT, and waits until the broker has noticed.
    #[track_caller]
    pub(crate) fn vanish(mut self) {
        self.end();
    }

    /// What comes before the answer to a PINGREQ; true if the connection has ended instead.
    #[track_caller]
    pub(crate) fn drain(&mut self) -> (Vec<Packet>, bool) {
        self.send("c000");
        let mut packets = Vec::new();
        loop {
            match self.next(SOON) {
                Next::Packet(packet) if packet.kind == Kind::PingResp => return (packets, false),
                Next::Packet(packet) => packets.push(packet),
                Next::Closed => return (packets, true),
                Next::Nothing => panic!("no answer to a PINGREQ"),
            }
        }
    }

    /// Sends no more, and waits until the broker has closed.
    #[track_caller]
    pub(crate) fn end(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            match self.next(SOON) {
                Next::Packet(_) => {}
                Next::Closed => return,
                Next::Nothing => break,
            }
        }
        panic!("the broker does not close");
    }

    /// Nothing comes for so long.
    #[track_caller]
    pub(crate) fn silent_for(&mut self, time: Duration) {
        if let Some(packet) = self.packet_within(time) {
            panic!("{packet:?} though nothing was expected");
        }
    }

    /// The next packet, if one comes in this time. The connection has to go on.
    #[track_caller]
    fn packet_within(&mut self, time: Duration) -> Option<Packet> {
        match self.next(time) {
            Next::Packet(packet) => Some(packet),
            Next::Nothing => None,
            Next::Closed => panic!("the connection was closed"),
        }
    }

    #[track_caller]
    fn next(&mut self, wait: Duration) -> Next {
        let end = Instant::now() + wait;
        let mut buffer = [0; 64 * 1024];
        loop {
            let rest = &self.received[self.taken..];
            if let Some(length) = whole_packet(rest) {
                let bytes_max = self.packet_bytes_max;
                assert!(
                    length <= bytes_max,
                    "{length} bytes though {bytes_max} are allowed: {}",
                    hex(&rest[..length])
                );
                let packet = Packet::read(&rest[..length], self.version);
                self.taken += length;
                return match packet {
                    Ok(packet) => Next::Packet(packet),
                    Err(error) => panic!("the broker sent {error}"),
                };
            }
            self.received.drain(..self.taken);
            self.taken = 0;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            self.stream
                .set_read_timeout(Some(left))
                .expect("a time that is not zero");
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => break,
                },
            }
        }
        assert!(
            self.received.is_empty(),
            "the connection ended within a packet: {}",
            hex(&self.received)
        );
        Next::Closed
    }
}
