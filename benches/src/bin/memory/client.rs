//! A client of raw bytes (MQTT 3.1.1), so that what is measured depends on no code of ours.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::server::Server;

/// The first byte of a PUBLISH that is to be retained.
pub(crate) const RETAIN: u8 = 0x31;
/// The first byte of a PUBLISH at QoS 1.
pub(crate) const AT_LEAST_ONCE: u8 = 0x32;

/// Packets that wait for their answers at a time.
const WINDOW: usize = 500;

const UPGRADE: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

/// How a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Over TCP, with a clean session.
    Tcp,
    /// Over a WebSocket, with a clean session.
    WebSocket,
    /// Over TCP, with a session that stays.
    Session,
}

impl Transport {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "idle connection",
            Self::WebSocket => "idle WebSocket connection",
            Self::Session => "connection with a session that stays",
        }
    }
}

/// A connection that the server has accepted.
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) fn connect(server: &Server, transport: Transport, id: u32) -> Self {
        let address = match transport {
            Transport::Tcp | Transport::Session => server.tcp,
            Transport::WebSocket => server.websocket,
        };
        let stream = TcpStream::connect(address).expect("the server listens");
        let mut client = Self { stream };
        let flags = if transport == Transport::Session {
            0
        } else {
            2
        };
        let mut body = b"\0\x04MQTT\x04".to_vec();
        // No keep alive.
        body.extend([flags, 0, 0]);
        text(&mut body, &format!("device-{id:07}"));
        let connect = packet(0x10, &body);
        if transport == Transport::WebSocket {
            client.send(UPGRADE);
            client.read_response();
            // A masked binary frame; with a mask of zeros, the bytes are as they were.
            let length = u8::try_from(connect.len()).expect("it is short");
            client.send(&[&[0x82, 0x80 | length, 0, 0, 0, 0], &*connect].concat());
            client.receive(2);
        } else {
            client.send(&connect);
        }
        let connack = client.receive(4);
        assert_eq!(connack.last(), Some(&0), "the server has refused");
        client
    }

    /// One SUBSCRIBE for each filter, at QoS 1.
    pub(crate) fn subscribe(&mut self, filters: impl Iterator<Item = String>) {
        self.exchange(filters, 5, |filter, id| {
            let mut body = id.to_be_bytes().to_vec();
            text(&mut body, filter);
            body.push(1);
            packet(0x82, &body)
        });
    }

    /// One PUBLISH for each topic, and returns when the server has handled all.
    pub(crate) fn publish(
        &mut self,
        topics: impl Iterator<Item = String>,
        first: u8,
        payload: &[u8],
    ) {
        let answer = if first == AT_LEAST_ONCE { 4 } else { 0 };
        self.exchange(topics, answer, |topic, id| {
            let mut body = Vec::new();
            text(&mut body, topic);
            if first == AT_LEAST_ONCE {
                body.extend(id.to_be_bytes());
            }
            body.extend(payload);
            packet(first, &body)
        });
        // PINGREQ: its answer comes behind all that is before it.
        self.send(&[0xC0, 0]);
        self.receive(2);
    }

    pub(crate) fn disconnect(mut self) {
        self.send(&[0xE0, 0]);
        // The server closes when it has handled it.
        let mut end = [0; 16];
        while self.stream.read(&mut end).is_ok_and(|count| count > 0) {}
    }

    /// Sends packets in windows, and takes an answer of so many bytes for each.
    fn exchange(
        &mut self,
        names: impl Iterator<Item = String>,
        answer: usize,
        encode: impl Fn(&str, u16) -> Vec<u8>,
    ) {
        let mut names = names.zip((1..=u16::MAX).cycle()).peekable();
        while names.peek().is_some() {
            let packets: Vec<_> = names
                .by_ref()
                .take(WINDOW)
                .map(|(name, id)| encode(&name, id))
                .collect();
            self.send(&packets.concat());
            self.receive(answer * packets.len());
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream
            .read_exact(&mut bytes)
            .expect("the server answers");
        bytes
    }

    /// Reads the head of an HTTP response.
    fn read_response(&mut self) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.receive(1));
        }
    }
}

fn text(body: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("it is short");
    body.extend(length.to_be_bytes());
    body.extend(text.as_bytes());
}

/// A packet of less than 128 bytes behind its first two.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).expect("it is short");
    assert!(length < 128, "one byte of length is enough");
    [&[first, length], body].concat()
}
