//! One connection: bytes in, many packets at a time, and bytes out, many packets at a time.
//!
//! The buffers belong to the thread. A connection holds bytes of its own only while half a packet has come or the network does
//! not take what there is to write, so that many idle connections cost next to nothing.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mqtt_codec::{
    Cut, DecodeError, Frame, Packet, PacketId, PacketType, PublishQoS, ReasonCode, Version, cut,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of the buffer that all connections of a thread read into.
const READ_BYTES: usize = 256 * 1024;
/// Bytes that may wait to be written; who has more to say waits.
const BACKLOG_MAX: usize = 128 * 1024;

/// Whatever carries the bytes.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Why a connection is not usable, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("connection refused: {} (0x{:02X})", .0.text(), *.0 as u8)]
    Refused(ReasonCode),
    #[error("subscription refused: {} (0x{:02X})", .0.text(), *.0 as u8)]
    SubscriptionRefused(ReasonCode),
    #[error("disconnected by the broker: {} (0x{:02X})", .0.text(), *.0 as u8)]
    Disconnected(ReasonCode),
    #[error("connection closed by the broker without a reason")]
    Closed,
    #[error("connection broken: {0}")]
    Broken(String),
    #[error("the broker broke the protocol: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the broker broke the protocol: {0:?} where there can be none")]
    Unexpected(PacketType),
    #[error("no answer in {0} s")]
    NoAnswer(u64),
    #[error("cannot encode a packet: {0}")]
    Encode(#[from] mqtt_codec::EncodeError),
}

thread_local! {
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static WRITE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A connection.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    version: Version,
    packet_bytes_max: usize,
    /// The begin of a packet whose rest has not come.
    partial: Vec<u8>,
    /// What the network has not taken; written from `written` on.
    out: Vec<u8>,
    written: usize,
    /// True while what was written may yet be in the stream: a WebSocket and TLS have buffers.
    flushing: bool,
}

impl Wire {
    /// Over a stream whose packets from the broker are not larger than `packet_bytes_max`.
    pub(crate) fn new(stream: Box<dyn Stream>, version: Version, packet_bytes_max: usize) -> Self {
        Self {
            stream,
            version,
            packet_bytes_max,
            partial: Vec::new(),
            out: Vec::new(),
            written: 0,
            flushing: false,
        }
    }

    pub(crate) const fn version(&self) -> Version {
        self.version
    }

    /// True while so much waits to be written that nothing should be added.
    pub(crate) fn is_congested(&self) -> bool {
        self.out.len() - self.written >= BACKLOG_MAX
    }

    /// Reads once and hands each whole packet to `handle`, which may append what is to be written: [`Wire::poll_flush`] writes it,
    /// and has to be called in any case.
    ///
    /// Cancel-safe. An error is final.
    pub(crate) fn poll_packets(
        &mut self,
        context: &mut Context<'_>,
        mut handle: impl FnMut(Packet<&[u8]>, &mut Vec<u8>) -> Result<(), Fault>,
    ) -> Poll<Result<(), Fault>> {
        let mut buffer = READ.take();
        let polled = self.poll_fill(context, &mut buffer);
        let outcome = match polled {
            Poll::Ready(Ok(filled)) => {
                let bytes = buffer.get(..filled).unwrap_or_default();
                let version = self.version;
                self.borrow_buffer();
                let used = for_each(bytes, self.packet_bytes_max, |frame| {
                    handle(Packet::decode(frame, version)?, &mut self.out)
                });
                Poll::Ready(used.map(|used| self.keep(bytes, used)))
            }
            Poll::Ready(Err(fault)) => Poll::Ready(Err(fault)),
            Poll::Pending => Poll::Pending,
        };
        READ.set(buffer);
        outcome
    }

    /// Has `fill` append packets, and writes what the network takes of them and of what was there before. Ready once all is
    /// written.
    ///
    /// Cancel-safe. An error is final.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Poll<Result<(), Fault>> {
        self.borrow_buffer();
        fill(&mut self.out);
        self.poll_flush(context)
    }

    /// Writes what the network takes of what waits. Ready once all is written.
    ///
    /// Cancel-safe. An error is final.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest)) {
                Ok(0) => return Poll::Ready(Err(Fault::Closed)),
                Ok(count) => {
                    self.written += count;
                    self.flushing = true;
                }
                Err(cause) => return Poll::Ready(Err(broken(&cause))),
            }
        }
        if self.flushing {
            match ready!(Pin::new(&mut self.stream).poll_flush(context)) {
                Ok(()) => self.flushing = false,
                Err(cause) => return Poll::Ready(Err(broken(&cause))),
            }
        }
        self.written = 0;
        self.out.clear();
        if self.out.capacity() > 0 {
            WRITE.set(std::mem::take(&mut self.out));
        }
        Poll::Ready(Ok(()))
    }

    /// The next packet, while there is one at a time: before the run, and behind it.
    pub(crate) async fn next(&mut self) -> Result<Packet, Fault> {
        loop {
            if let Cut::Whole(frame) = cut(&self.partial, self.packet_bytes_max)? {
                let (packet, count) = (
                    Packet::decode(frame, self.version)?.to_bytes(),
                    frame.bytes.len(),
                );
                self.partial.drain(..count);
                return Ok(packet);
            }
            poll_fn(|context| self.poll_keep(context)).await?;
        }
    }

    /// Writes one packet.
    pub(crate) async fn send<B: AsRef<[u8]>>(&mut self, packet: &Packet<B>) -> Result<(), Fault> {
        self.borrow_buffer();
        packet.encode(self.version, &mut self.out)?;
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Writes packets that are encoded.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.borrow_buffer();
        self.out.extend_from_slice(bytes);
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Answers a PUBLISH as its QoS demands.
    pub(crate) async fn acknowledge(&mut self, qos: PublishQoS) -> Result<(), Fault> {
        self.borrow_buffer();
        acknowledge(qos, &mut self.out);
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Says goodbye and closes.
    pub(crate) async fn disconnect(mut self) {
        let goodbye = Packet::Disconnect(mqtt_codec::Disconnect::new(ReasonCode::Success));
        // Whoever has gone already needs no goodbye.
        if self.send(&goodbye).await.is_ok() {
            let _ = poll_fn(|context| Pin::new(&mut self.stream).poll_shutdown(context)).await;
        }
    }

    /// Reads once and keeps it all.
    fn poll_keep(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut buffer = READ.take();
        let polled = self.poll_fill(context, &mut buffer);
        if let Poll::Ready(Ok(filled)) = &polled {
            self.keep(buffer.get(..*filled).unwrap_or_default(), 0);
        }
        READ.set(buffer);
        polled.map_ok(|_| ())
    }

    /// Reads behind what is left of the time before; the number of bytes then in `buffer`.
    fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Vec<u8>,
    ) -> Poll<Result<usize, Fault>> {
        let kept = self.partial.len();
        if buffer.len() < READ_BYTES.max(kept * 2) {
            buffer.resize(READ_BYTES.max(kept * 2), 0);
        }
        let Some((front, room)) = buffer.split_at_mut_checked(kept) else {
            return Poll::Ready(Err(Fault::Malformed(DecodeError::PacketTooLarge)));
        };
        let mut room = ReadBuf::new(room);
        match ready!(Pin::new(&mut self.stream).poll_read(context, &mut room)) {
            Err(cause) => Poll::Ready(Err(broken(&cause))),
            Ok(()) if room.filled().is_empty() => Poll::Ready(Err(Fault::Closed)),
            Ok(()) => {
                front.copy_from_slice(&self.partial);
                Poll::Ready(Ok(kept + room.filled().len()))
            }
        }
    }

    /// Keeps what is behind the first `used` bytes.
    fn keep(&mut self, bytes: &[u8], used: usize) {
        let rest = bytes.get(used..).unwrap_or_default();
        if rest.is_empty() {
            if self.partial.capacity() > 0 {
                self.partial = Vec::new();
            }
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
    }

    fn borrow_buffer(&mut self) {
        if self.out.capacity() == 0 {
            self.out = WRITE.take();
        }
    }
}

/// Appends the answer to a PUBLISH that its QoS demands.
#[inline]
pub(crate) fn acknowledge(qos: PublishQoS, out: &mut Vec<u8>) {
    match qos {
        PublishQoS::AtMostOnce => {}
        PublishQoS::AtLeastOnce(id) => put_ack(PacketType::PubAck, id, out),
        PublishQoS::ExactlyOnce(id) => put_ack(PacketType::PubRec, id, out),
    }
}

/// Appends an acknowledgement that says success, which is the same four bytes in every version.
#[inline]
pub(crate) fn put_ack(packet: PacketType, id: PacketId, out: &mut Vec<u8>) {
    let [high, low] = id.get().to_be_bytes();
    out.extend_from_slice(&[packet.first_byte(), 2, high, low]);
}

/// Hands on each whole packet that `bytes` begins with; how many bytes they are.
fn for_each(
    bytes: &[u8],
    packet_bytes_max: usize,
    mut handle: impl FnMut(Frame<'_>) -> Result<(), Fault>,
) -> Result<usize, Fault> {
    let mut used = 0;
    while let Cut::Whole(frame) = cut(bytes.get(used..).unwrap_or_default(), packet_bytes_max)? {
        used += frame.bytes.len();
        handle(frame)?;
    }
    Ok(used)
}

fn broken(cause: &std::io::Error) -> Fault {
    Fault::Broken(cause.to_string())
}

#[cfg(test)]
mod tests {
    use mqtt_codec::Ack;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[test]
    fn acknowledgements_are_those_of_the_codec() {
        let id = PacketId::new(0x1234).unwrap();
        let ack = Ack::new(id, ReasonCode::Success);
        for version in [Version::V3_1_1, Version::V5] {
            let packets = [
                Packet::PubAck(ack.clone()),
                Packet::PubRec(ack.clone()),
                Packet::PubRel(ack.clone()),
                Packet::PubComp(ack.clone()),
            ];
            for packet in packets {
                let mut out = Vec::new();
                put_ack(packet.packet_type(), id, &mut out);
                assert_eq!(out, packet.to_vec(version).unwrap());
            }
        }
    }

    #[tokio::test]
    async fn packets_in_pieces_are_whole_and_those_behind_are_not_lost() {
        let (near, mut far) = duplex(1 << 16);
        let mut wire = Wire::new(Box::new(near), Version::V5, 1000);
        let mut bytes = Vec::new();
        for number in 1..=50 {
            put_ack(
                PacketType::PubAck,
                PacketId::new(number).unwrap(),
                &mut bytes,
            );
        }
        tokio::spawn(async move {
            for piece in bytes.chunks(7) {
                far.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            far
        });
        let mut seen = Vec::new();
        for _ in 0..10 {
            let Packet::PubAck(ack) = wire.next().await.unwrap() else {
                panic!("not a PUBACK");
            };
            seen.push(ack.packet_id.get());
        }
        while seen.len() < 50 {
            let read = poll_fn(|context| {
                wire.poll_packets(context, |packet, _| {
                    let Packet::PubAck(ack) = packet else {
                        panic!("not a PUBACK");
                    };
                    seen.push(ack.packet_id.get());
                    Ok(())
                })
            });
            read.await.unwrap();
        }
        assert_eq!(seen, (1..=50).collect::<Vec<_>>());
        let ended = poll_fn(|context| wire.poll_packets(context, |_, _| Ok(()))).await;
        assert_eq!(ended, Err(Fault::Closed));
    }

    #[tokio::test]
    async fn what_the_network_does_not_take_is_kept_and_then_written() {
        let (near, mut far) = duplex(10);
        let mut wire = Wire::new(Box::new(near), Version::V5, 1000);
        let bytes: Vec<u8> = (0..=255).collect();
        let first = poll_fn(|context| {
            Poll::Ready(wire.poll_write(context, |out| out.extend_from_slice(&bytes)))
        })
        .await;
        assert!(first.is_pending());
        let mut read = vec![0; 256];
        let (written, _) = tokio::join!(
            poll_fn(|context| wire.poll_flush(context)),
            far.read_exact(&mut read)
        );
        assert_eq!((written, read), (Ok(()), bytes));
    }

    #[tokio::test]
    async fn a_packet_that_is_too_large_ends_it() {
        let (near, mut far) = duplex(1 << 16);
        let mut wire = Wire::new(Box::new(near), Version::V5, 1000);
        far.write_all(&[0x30, 0xFF, 0xFF, 0x7F]).await.unwrap();
        let read = poll_fn(|context| wire.poll_packets(context, |_, _| Ok(()))).await;
        assert_eq!(read, Err(Fault::Malformed(DecodeError::PacketTooLarge)));
    }
}
