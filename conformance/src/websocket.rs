//! A WebSocket, written by hand: what a client of RFC 6455 sends, frame by frame.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Version;
use crate::notation::Notation;

/// How long a broker may take for anything that it has to do at once.
const SOON: Duration = Duration::from_secs(8);

/// A connection over which a handshake has been made.
pub(crate) struct WebSocket {
    stream: TcpStream,
    version: Version,
    name: String,
    /// What the broker answered to the handshake.
    pub(crate) answer: String,
    received: Vec<u8>,
    /// Bytes of MQTT that have come in binary frames.
    pub(crate) bytes: Vec<u8>,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are those of RFC 6455")]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl WebSocket {
    /// Asks for a WebSocket with these subprotocols, a list as in HTTP, or none if it is empty.
    pub(crate) fn open(
        address: SocketAddr,
        version: Version,
        name: &str,
        subprotocols: &str,
    ) -> Self {
        let mut stream = TcpStream::connect_timeout(&address, SOON).expect("the broker listens");
        stream.set_nodelay(true).expect("an open socket");
        stream
            .set_read_timeout(Some(SOON))
            .expect("a time that is not zero");
        let offer = if subprotocols.is_empty() {
            String::new()
        } else {
            format!("Sec-WebSocket-Protocol: {subprotocols}\r\n")
        };
        let request = format!(
            "GET /mqtt HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
        );
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1)
        {
            answer.push(byte[0]);
        }
        Self {
            stream,
            version,
            name: name.to_owned(),
            answer: String::from_utf8_lossy(&answer).to_ascii_lowercase(),
            received: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// Sends packets in the [notation](crate::notation) as binary frames of so many bytes at most.
    #[track_caller]
    pub(crate) fn send(&mut self, notation: &str, frame_bytes: usize) {
        let bytes = Notation::read(notation, self.version, &self.name).bytes();
        for part in bytes.chunks(frame_bytes) {
            self.send_frame(Opcode::Binary, part);
        }
    }

    /// Sends one whole frame.
    pub(crate) fn send_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let mask = [1, 2, 3, 4];
        let length = u16::try_from(payload.len()).expect("a short frame");
        let mut frame = vec![0x80 | opcode as u8];
        if length < 126 {
            frame.push(0x80 | length as u8);
        } else {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        frame.extend(mask);
        frame.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        // That the broker may have closed is seen when something is expected of it.
        let _ = self.stream.write_all(&frame);
    }

    /// Sends the start of a binary frame: so many of its bytes, or until the broker has closed.
    pub(crate) fn send_unfinished_frame(&mut self, length: u64, sent: usize) {
        let mut frame = vec![0x80 | Opcode::Binary as u8, 0x80 | 127];
        frame.extend(length.to_be_bytes());
        frame.extend([0; 4]);
        frame.resize(frame.len() + sent, 0);
        let _ = self.stream.write_all(&frame);
    }

    /// Whether the broker has closed, or does so within a second.
    pub(crate) fn is_closed_soon(&mut self) -> bool {
        self.stream
            .set_read_timeout(Some(Duration::from_secs(1)))
            .expect("a time that is not zero");
        let ended = |kind| kind == ErrorKind::ConnectionReset || kind == ErrorKind::BrokenPipe;
        let mut first = [0];
        match self.stream.read(&mut first) {
            Ok(count) => count == 0 || first == [0x80 | Opcode::Close as u8],
            Err(error) => ended(error.kind()),
        }
    }

    /// Reads binary frames until so many bytes of MQTT have come, and compares them.
    #[track_caller]
    pub(crate) fn expect(&mut self, notation: &str, length: usize) {
        while self.bytes.len() < length {
            match self.frame() {
                Some((Opcode::Binary | Opcode::Continuation, mut payload)) => {
                    self.bytes.append(&mut payload);
                }
                other => panic!("{other:?} instead of a binary frame"),
            }
        }
        let bytes: Vec<u8> = self.bytes.drain(..length).collect();
        let expected = Notation::read(notation, self.version, &self.name);
        assert!(
            expected.matches(&bytes),
            "{bytes:02x?} instead of {notation}"
        );
    }

    /// The broker closes: a close frame or none, then the end.
    #[track_caller]
    pub(crate) fn closed(&mut self) {
        while let Some((opcode, payload)) = self.frame() {
            assert!(
                opcode == Opcode::Close,
                "{opcode:?} {payload:02x?} instead of the end"
            );
        }
    }

    /// The next frame; `None` at the end of the connection.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> Option<(Opcode, Vec<u8>)> {
        let head = self.take(2)?;
        let opcode = match head[0] & 15 {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            other => panic!("a frame with the opcode {other}"),
        };
        let length = match head[1] {
            126 => {
                let length = self.take(2)?;
                usize::from(u16::from_be_bytes([length[0], length[1]]))
            }
            length if length < 126 => usize::from(length),
            other => panic!("a frame with the length byte {other}"),
        };
        Some((opcode, self.take(length)?))
    }

    #[track_caller]
    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut buffer = [0; 4096];
        while self.received.len() < length {
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the broker neither sends nor closes: {error}"),
            }
        }
        Some(self.received.drain(..length).collect())
    }
}
