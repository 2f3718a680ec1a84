//! Packets and raw bytes over a connection, whichever end it is.

use std::io::ErrorKind;
use std::time::Duration;

use mqtt_codec::{Connect, Cut, PACKET_BYTES_MAX, Packet, Version, cut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::SOON;

/// A connection, and what has come over it so far.
pub(crate) struct Wire<S = TcpStream> {
    pub(crate) stream: S,
    pub(crate) version: Version,
    received: Vec<u8>,
}

/// What came.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum Got {
    Packet(Packet),
    /// The end of the connection.
    Closed,
    /// Nothing in the time given.
    Nothing,
}

impl Wire {
    pub(crate) fn tcp(stream: TcpStream, version: Version) -> Self {
        stream.set_nodelay(true).unwrap();
        Self::new(stream, version)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S, version: Version) -> Self {
        Self {
            stream,
            version,
            received: Vec::new(),
        }
    }

    /// Sends a packet; the other end may have closed.
    pub(crate) async fn send<B: AsRef<[u8]>>(&mut self, packet: &Packet<B>) {
        let bytes = packet
            .to_vec(self.version)
            .expect("a packet of this version");
        self.write(&bytes).await;
    }

    /// Sends any bytes; the other end may have closed.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next packet, which has to come soon.
    pub(crate) async fn packet(&mut self) -> Packet {
        match self.next(SOON).await {
            Got::Packet(packet) => packet,
            other @ (Got::Closed | Got::Nothing) => panic!("{other:?} instead of a packet"),
        }
    }

    /// The next packet or the end, if it comes in this time. Bytes that are no packet fail the test.
    pub(crate) async fn next(&mut self, within: Duration) -> Got {
        match tokio::time::timeout(within, self.read()).await {
            Ok(Some(packet)) => Got::Packet(packet),
            Ok(None) => Got::Closed,
            Err(_) => Got::Nothing,
        }
    }

    /// The next packet, or `None` at the end. Cancel-safe.
    async fn read(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.take() {
                return Some(packet);
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) => return None,
                Ok(_) => {}
                Err(cause) => match cause.kind() {
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return None,
                    _ => panic!("{cause}"),
                },
            }
        }
    }

    fn take(&mut self) -> Option<Packet> {
        let Cut::Whole(frame) = cut(&self.received, PACKET_BYTES_MAX).expect("a packet") else {
            return None;
        };
        let packet = Packet::decode(frame, self.version).expect("a packet");
        let (packet, bytes) = (packet.to_bytes(), frame.bytes.len());
        self.received.drain(..bytes);
        Some(packet)
    }

    /// The CONNECT, which has to come soon. Its version is the connection's from here on.
    pub(crate) async fn connect(&mut self) -> Connect {
        match self.packet().await {
            Packet::Connect(connect) => {
                self.version = connect.version;
                connect
            }
            other => panic!("{other:?} instead of a CONNECT"),
        }
    }
}
