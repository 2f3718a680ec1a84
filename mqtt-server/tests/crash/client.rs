//! One client with a session, over all lives of the server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mqtt_codec::{Connect, Packet, Properties, Property, Version};

use crate::findings::{Findings, Kind};
use crate::server::{Got, Peer, SOON, hello};

/// One life of the server, from its start until it is killed.
pub(crate) struct Life<'a> {
    /// Its number, counted from 0.
    pub(crate) round: usize,
    pub(crate) address: SocketAddr,
    pub(crate) clock: &'a Clock,
}

/// A clock that all clients share: what happens later has a higher number.
#[derive(Default)]
pub(crate) struct Clock(AtomicU64);

/// When something happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) round: usize,
    pub(crate) tick: u64,
}

impl Life<'_> {
    pub(crate) fn now(&self) -> Moment {
        Moment {
            round: self.round,
            tick: self.clock.0.fetch_add(1, Ordering::SeqCst),
        }
    }
}

/// A client whose session outlives its connections.
pub(crate) struct Client {
    pub(crate) hello: Connect,
    pub(crate) presence: Presence,
    peer: Option<Peer>,
    pub(crate) findings: Findings,
}

/// Whether the server has a session of the client, by all that it has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Absent,
    Present,
    /// A CONNECT was not answered.
    Unknown,
}

/// What a CONNACK said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    New,
    Resumed,
}

impl Client {
    pub(crate) fn new(version: Version, client_id: &str) -> Self {
        let mut hello = hello(version, client_id);
        hello.clean_start = false;
        if version == Version::V5 {
            let forever = [Property::SessionExpiryInterval(u32::MAX)];
            hello.properties = Properties::new(forever).expect("it is short");
        }
        Self {
            hello,
            presence: Presence::Absent,
            peer: None,
            findings: Findings::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.hello.client_id.as_str()
    }

    /// Connects; `None` if the server is gone.
    pub(crate) fn connect(&mut self, life: &Life<'_>) -> Option<Session> {
        self.peer = None;
        let mut peer = Peer::try_open(life.address, self.hello.version).ok()?;
        let mut expected = self.presence;
        if expected == Presence::Absent || self.hello.clean_start {
            self.presence = Presence::Unknown;
        }
        if self.hello.clean_start {
            expected = Presence::Absent;
        }
        peer.try_send(&Packet::Connect(self.hello.clone())).ok()?;
        let packet = match peer.next(SOON) {
            Got::Packet(packet) => packet,
            Got::Closed => return None,
            Got::Nothing => panic!("{} gets no CONNACK", self.name()),
        };
        let Packet::ConnAck(ack) = packet else {
            panic!("{} gets {packet:?} instead of a CONNACK", self.name());
        };
        assert!(!ack.reason.is_failure(), "{}: {ack:?}", self.name());
        let (session, truth) = match ack.session_present {
            true => (Session::Resumed, Presence::Present),
            false => (Session::New, Presence::Absent),
        };
        if expected != Presence::Unknown && expected != truth {
            let text = format!(
                "{} in life {}: the session is {truth:?}, but was {expected:?}",
                self.name(),
                life.round
            );
            self.findings.add(Kind::Session, text);
        }
        // Before 5.0, a clean session ends with its connection.
        let ends = self.hello.clean_start && self.hello.version != Version::V5;
        self.presence = if ends {
            Presence::Absent
        } else {
            Presence::Present
        };
        self.peer = Some(peer);
        Some(session)
    }

    /// Sends a packet. Whether the server is still there shows when something is read.
    pub(crate) fn send<B: AsRef<[u8]>>(&mut self, packet: &Packet<B>) {
        if let Some(peer) = &mut self.peer {
            let _ = peer.try_send(packet);
        }
    }

    /// The next packet, if it comes in this time.
    pub(crate) fn next(&mut self, within: Duration) -> Got {
        let Some(peer) = &mut self.peer else {
            return Got::Closed;
        };
        // At zero nothing would be read.
        let got = peer.next(within.max(Duration::from_micros(100)));
        match &got {
            Got::Packet(Packet::Disconnect(packet)) => {
                let text = format!("{} gets {packet:?}", self.name());
                self.findings.add(Kind::Protocol, text);
            }
            Got::Closed => self.peer = None,
            Got::Packet(_) | Got::Nothing => {}
        }
        got
    }

    /// Ends the connection without a goodbye.
    pub(crate) fn vanish(&mut self) {
        self.peer = None;
    }
}
