//! The floor that brokers are compared with: forwards each PUBLISH as it came, and does nothing that a broker is for.
//!
//! One thread. It knows just enough of MQTT 3.1.1 for clients that connect, subscribe to exact topics and publish at QoS 0. What
//! follows one another on one topic costs one look-up and one copy for each subscriber, whatever came at once costs one read,
//! and whatever is to be sent one write. What it takes is about what the kernel takes to move the bytes.

#![allow(
    clippy::print_stderr,
    reason = "a program that says why it cannot start"
)]

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use clap::Parser;
use foldhash::fast::FixedState;
use mqtt_codec::{Cut, Frame, PACKET_BYTES_MAX, cut};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// Bytes of one read.
const READ_BYTES: usize = 256 * 1024;
/// Connections that are handled between two looks for those that are ready.
const EVENTS: usize = 1024;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// The listener among what is looked at.
const LISTENER: u64 = u64::MAX;

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 8;
const PING: u8 = 12;

/// Forwards messages at QoS 0 from publishers to subscribers of the same topic.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port on 127.0.0.1.
    #[arg(long, default_value_t = 1883)]
    port: u16,
}

fn main() -> ExitCode {
    raise_open_files();
    let listener = TcpListener::bind(("127.0.0.1", Arguments::parse().port));
    match listener.and_then(|listener| serve(&listener)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("floor: {cause}");
            ExitCode::FAILURE
        }
    }
}

fn serve(listener: &TcpListener) -> io::Result<()> {
    // More than the standard library asks for: a connection that finds no room there waits for a second.
    rustix::net::listen(listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(
        &epoll,
        listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    let mut floor = Floor {
        epoll,
        connections: Vec::new(),
        free: Vec::new(),
        topics: HashMap::default(),
        to_write: Vec::new(),
    };
    let mut buffer = vec![0; READ_BYTES];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        match epoll::wait(&floor.epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(cause) => return Err(cause.into()),
        }
        for event in &events {
            match event.data.u64() {
                LISTENER => floor.accept(listener)?,
                index => floor.handle(index as usize, event.flags, &mut buffer),
            }
        }
        floor.write_all();
    }
}

/// Each connection is an open file.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without it there is room for fewer connections, and those that are too many are refused.
    let _ = setrlimit(Resource::Nofile, limit);
}

struct Floor {
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// The connections that have subscribed to a topic.
    topics: HashMap<Box<[u8]>, Vec<usize>, FixedState>,
    /// Connections that something is to be written to.
    to_write: Vec<usize>,
}

struct Connection {
    socket: TcpStream,
    /// The begin of a packet that has not come as a whole.
    partial: Vec<u8>,
    out: Vec<u8>,
    /// True while the socket takes no more.
    congested: bool,
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(cause) if cause.kind() == ErrorKind::ConnectionAborted => continue,
                Err(cause) => return Err(cause),
            };
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or(self.connections.len());
            epoll::add(
                &self.epoll,
                &socket,
                EventData::new_u64(index as u64),
                EventFlags::IN,
            )?;
            let connection = Some(Connection {
                socket,
                partial: Vec::new(),
                out: Vec::new(),
                congested: false,
            });
            match self.connections.get_mut(index) {
                Some(place) => *place = connection,
                None => self.connections.push(connection),
            }
        }
    }

    fn handle(&mut self, index: usize, flags: EventFlags, buffer: &mut [u8]) {
        if flags.contains(EventFlags::OUT) {
            self.write(index);
        }
        if !flags.contains(EventFlags::OUT) || flags.contains(EventFlags::IN) {
            let read = self.read(index, buffer);
            if read.is_none() {
                self.close(index);
            }
        }
    }

    /// Reads once, and handles the packets that are there as a whole; `None` where the connection is to be closed.
    fn read(&mut self, index: usize, buffer: &mut [u8]) -> Option<()> {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return Some(());
        };
        let count = match connection.socket.read(buffer) {
            Ok(0) => return None,
            Ok(count) => count,
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Some(()),
            Err(_) => return None,
        };
        let fresh = buffer.get(..count)?;
        if connection.partial.is_empty() {
            let used = self.packets(index, fresh)?;
            let connection = self.connections.get_mut(index)?.as_mut()?;
            connection.partial.extend_from_slice(fresh.get(used..)?);
        } else {
            let mut bytes = std::mem::take(&mut connection.partial);
            bytes.extend_from_slice(fresh);
            let used = self.packets(index, &bytes)?;
            bytes.drain(..used);
            self.connections.get_mut(index)?.as_mut()?.partial = bytes;
        }
        Some(())
    }

    /// Handles packets; how many bytes they are.
    fn packets(&mut self, index: usize, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(packet) = next(bytes.get(at..)?)? {
            let length = packet.bytes.len();
            match packet.first >> 4 {
                PUBLISH => {
                    let topic = text(packet.body)?;
                    let run = at..at + length + same_topic(bytes.get(at + length..)?, topic)?;
                    at = run.end;
                    self.forward(topic, bytes, run);
                    continue;
                }
                CONNECT => self.answer(index, &[0x20, 2, 0, 0]),
                PING => self.answer(index, &[0xD0, 0]),
                SUBSCRIBE => {
                    let ([high, low], rest) = packet.body.split_first_chunk::<2>()?;
                    let topic = text(rest)?;
                    let subscribers = self.topics.entry(topic.into()).or_default();
                    subscribers.push(index);
                    self.answer(index, &[0x90, 3, *high, *low, 0]);
                }
                _ => return None,
            }
            at += length;
        }
        Some(at)
    }

    fn forward(&mut self, topic: &[u8], bytes: &[u8], run: Range<usize>) {
        let Some((subscribers, packets)) = self.topics.get(topic).zip(bytes.get(run)) else {
            return;
        };
        for index in subscribers {
            let Some(connection) = self.connections.get_mut(*index).and_then(Option::as_mut) else {
                continue;
            };
            if connection.out.is_empty() {
                self.to_write.push(*index);
            }
            connection.out.extend_from_slice(packets);
        }
    }

    fn answer(&mut self, index: usize, packet: &[u8]) {
        if let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) {
            if connection.out.is_empty() {
                self.to_write.push(index);
            }
            connection.out.extend_from_slice(packet);
        }
    }

    fn write_all(&mut self) {
        let mut to_write = std::mem::take(&mut self.to_write);
        for index in to_write.drain(..) {
            self.write(index);
        }
        self.to_write = to_write;
    }

    fn write(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let written = match connection.socket.write(&connection.out) {
            Ok(written) => written,
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return self.close(index),
        };
        if written == connection.out.len() {
            connection.out.clear();
        } else {
            connection.out.drain(..written);
        }
        let congested = !connection.out.is_empty();
        if congested != connection.congested {
            connection.congested = congested;
            let flags = if congested {
                EventFlags::IN | EventFlags::OUT
            } else {
                EventFlags::IN
            };
            let data = EventData::new_u64(index as u64);
            // It is in the list, so it can be changed.
            let _ = epoll::modify(&self.epoll, &connection.socket, data, flags);
        }
    }

    /// Forgets a connection; that closes its socket, and takes it from the list.
    fn close(&mut self, index: usize) {
        if let Some(connection) = self.connections.get_mut(index)
            && connection.take().is_some()
        {
            for subscribers in self.topics.values_mut() {
                subscribers.retain(|subscriber| *subscriber != index);
            }
            self.to_write.retain(|other| *other != index);
            self.free.push(index);
        }
    }
}

/// The first packet; `Some(None)` where it has not come as a whole, `None` where it cannot be one.
#[allow(
    clippy::option_option,
    reason = "one ends the connection, the other waits"
)]
fn next(bytes: &[u8]) -> Option<Option<Frame<'_>>> {
    match cut(bytes, PACKET_BYTES_MAX).ok()? {
        Cut::Incomplete(_) => Some(None),
        Cut::Whole(frame) => Some(Some(frame)),
    }
}

/// The text that has its length before it.
fn text(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

/// The bytes of the packets that publish to the same topic.
fn same_topic(bytes: &[u8], topic: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(packet) = next(bytes.get(at..)?)? {
        if packet.first >> 4 != PUBLISH || text(packet.body)? != topic {
            break;
        }
        at += packet.bytes.len();
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test may stop at what it did not expect"
    )]

    use super::*;

    const A: &[u8] = b"\x30\x04\x00\x01ax";
    const B: &[u8] = b"\x30\x04\x00\x01bx";

    #[test]
    fn what_follows_on_one_topic_is_taken_together() {
        let bytes = [A, A, B, A].concat();
        assert_eq!(same_topic(&bytes, b"a"), Some(12));
        assert_eq!(same_topic(&bytes[..11], b"a"), Some(6), "one is not whole");
        assert_eq!(same_topic(&bytes[12..], b"a"), Some(0));
        assert_eq!(same_topic(b"\xC0\x00", b"a"), Some(0), "a PINGREQ");
        assert_eq!(same_topic(b"\x30\x02\x00\x09", b"a"), None, "no topic");
    }

    #[test]
    fn a_packet_is_cut_from_what_has_come() {
        let packet = next(A).unwrap().unwrap();
        assert_eq!((packet.first >> 4, packet.bytes.len()), (PUBLISH, 6));
        assert_eq!(text(packet.body), Some(&b"a"[..]));
        assert!(next(&A[..5]).unwrap().is_none());
        assert!(next(b"\x30\xFF\xFF\xFF\xFF\x01").is_none());
    }

    #[test]
    fn messages_come_as_they_were_to_those_who_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || serve(&listener));
        let connect = || {
            let mut client = TcpStream::connect(address).unwrap();
            let patience = std::time::Duration::from_secs(10);
            client.set_read_timeout(Some(patience)).unwrap();
            client
                .write_all(b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x00\x00\x00")
                .unwrap();
            expect(&mut client, b"\x20\x02\x00\x00");
            client
        };
        let (mut subscriber, mut publisher) = (connect(), connect());
        subscriber
            .write_all(b"\x82\x06\x00\x07\x00\x01a\x00")
            .unwrap();
        expect(&mut subscriber, b"\x90\x03\x00\x07\x00");
        publisher.write_all(&[A, B, A, &A[..3]].concat()).unwrap();
        expect(&mut subscriber, &[A, A].concat());
        publisher
            .write_all(&[&A[3..], b"\xC0\x00"].concat())
            .unwrap();
        expect(&mut subscriber, A);
        expect(&mut publisher, b"\xD0\x00");
    }

    fn expect(client: &mut TcpStream, packets: &[u8]) {
        let mut bytes = vec![0; packets.len()];
        client.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, packets);
    }
}
