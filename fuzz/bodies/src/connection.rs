//! Any bytes through whole connections: transports, tasks, engine, store and back.

mod authority;
mod bystander;
mod known;
mod peer;
mod pipe;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mqtt_broker_core::{Broker, Limits, Listener, Transport};
use mqtt_codec::{Packet, PacketId, PublishQoS, ReasonCode};
use mqtt_store_memory::MemoryStore;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use self::authority::{BYSTANDER, Gate};
use self::bystander::Bystander;
use self::known::Known;
use self::peer::Peer;
use self::pipe::{Far, Manners, Pipe};

/// Connections at a time that the bytes are for.
const PEERS: usize = 3;
/// How long the broker may take to let go of a connection: 5 s to take what was written to it.
const LINGER: Duration = Duration::from_secs(9);

/// What bystanders publish: one while its reader is away, three while it is there.
const MESSAGES: [&[u8]; 4] = [b"before", &[b'0'; 100], &[b'1'; 100], &[b'2'; 100]];

/// The first byte is how the transports behave and how much the broker takes. Then come steps: a byte
/// says what, and to which connection; most take a length, and bytes to send.
///
/// What comes back is what may come back, and what has to come does; connections end when they have
/// to, and not before; and bystanders get their messages.
pub fn connection(data: &[u8]) {
    // Its time passes at once when all tasks wait: so "everything has come to rest" is exact.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without a driver for input and output");
    runtime.block_on(async {
        let mut input = data;
        let mut trial = Trial::new(take_byte(&mut input).unwrap_or_default()).await;
        while let Some(step) = take_byte(&mut input) {
            trial.step(step, &mut input).await;
        }
        trial.end().await;
    });
}

fn take_byte(input: &mut &[u8]) -> Option<u8> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    Some(*first)
}

/// As many bytes as the next one says, or all there are.
fn take_bytes<'a>(input: &mut &'a [u8]) -> &'a [u8] {
    let count = usize::from(take_byte(input).unwrap_or_default());
    let (bytes, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    bytes
}

struct Trial {
    broker: Broker,
    pipes: mpsc::UnboundedSender<Box<dyn Transport>>,
    limits: Limits,
    manners: Manners,
    peers: [Option<Peer>; PEERS],
    known: Known,
    /// One that is away, and gets its messages in the end.
    reader: Bystander,
    writer: Bystander,
}

/// Accepts what is opened.
struct Pipes(mpsc::UnboundedReceiver<Box<dyn Transport>>);

#[async_trait]
impl Listener for Pipes {
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>> {
        let pipe = self.0.recv().await;
        pipe.ok_or_else(|| io::Error::other("nobody opens any more"))
    }
}

fn limits(large: bool) -> Limits {
    Limits {
        packet_bytes_max: if large { 200_000 } else { 300 },
        connect_bytes_max: if large { 100_000 } else { 300 },
        outbox_bytes_max: if large { 1024 * 1024 } else { 100 },
        topic_levels_max: 8,
        topic_alias_maximum: 4,
        receive_maximum: 4,
        in_flight_max: 4,
        queue_page: 4,
        retained_max: 4,
        subscriptions_max: 8,
        ..Limits::default()
    }
}

impl Trial {
    async fn new(manners: u8) -> Self {
        let limits = limits(manners & 0x80 != 0);
        let manners = Manners {
            piece: match manners & 0x3F {
                0 => usize::MAX,
                piece => piece.into(),
            },
            halting: manners & 0x40 != 0,
        };
        let builder = Broker::builder(Arc::new(MemoryStore::default()));
        let builder = builder.limits(limits.clone()).authority(Arc::new(Gate));
        let broker = builder.build().await.expect("an empty store");
        let (pipes, accepted) = mpsc::unbounded_channel();
        tokio::spawn(broker.serve(Pipes(accepted)));
        let calm = Manners {
            piece: usize::MAX,
            halting: false,
        };
        let open = || {
            let (near, far) = Pipe::new(calm, BYSTANDER);
            accept(&pipes, far);
            near
        };
        let mut trial = Self {
            reader: Bystander::reader(open()),
            writer: Bystander::writer(open()),
            broker,
            pipes,
            limits,
            manners,
            peers: [const { None }; PEERS],
            known: Known::default(),
        };
        trial.prepare().await;
        trial
    }

    /// One bystander subscribes and goes, the other one leaves it a message.
    async fn prepare(&mut self) {
        let topic = bystander::topic().as_view().bytes().to_vec();
        for message in MESSAGES {
            let message = (topic.clone(), message.to_vec());
            self.known.messages.insert(message);
        }
        self.reader.subscribe();
        self.rest().await;
        self.reader.receive();
        expect_connack(&self.reader.next(), false);
        assert!(matches!(self.reader.next(), Packet::SubAck(_)));
        self.reader.pipe.break_off();
        self.rest().await;
        let [before, ..] = MESSAGES;
        self.writer.publish(PublishQoS::AtLeastOnce(id(1)), before);
        self.rest().await;
        self.writer.receive();
        expect_connack(&self.writer.next(), false);
        assert!(matches!(self.writer.next(), Packet::PubAck(_)));
    }

    async fn step(&mut self, step: u8, input: &mut &[u8]) {
        let index = usize::from(step) % PEERS;
        match usize::from(step) / PEERS % 16 {
            // The usual case: bytes, and time to answer them.
            0..=8 => {
                let bytes = take_bytes(input);
                self.peer(index).pipe.write(bytes);
                self.settle().await;
            }
            // More bytes come before the broker looks.
            9 => {
                let bytes = take_bytes(input);
                self.peer(index).pipe.write(bytes);
            }
            10 => {
                let count = usize::from(take_byte(input).unwrap_or_default());
                self.peer(index).pipe.write(&vec![b'f'; count * 256]);
                self.settle().await;
            }
            11 => {
                self.peer(index).pipe.end();
                self.settle().await;
            }
            12 => {
                let peer = self.peer(index);
                let reads = peer.pipe.reads();
                peer.set_reads(!reads);
                self.settle().await;
            }
            13 => {
                let seconds = take_byte(input).unwrap_or_default();
                sleep(Duration::from_secs(seconds.into())).await;
                self.settle().await;
            }
            // The connection is lost; the next step opens another one.
            14 => {
                self.settle().await;
                if let Some(peer) = self.peers.get_mut(index).and_then(Option::take) {
                    peer.pipe.break_off();
                    self.settle().await;
                    assert!(peer.pipe.is_dropped(), "lost, and kept");
                }
            }
            // The client ends it, and does not look any more.
            _ => {
                let peer = self.peer(index);
                // One that neither reads nor goes away may stay for ever.
                peer.set_reads(true);
                peer.pipe.end();
                self.settle().await;
                self.peers.get_mut(index).map(Option::take);
            }
        }
    }

    /// The connection, opened if there is none.
    fn peer(&mut self, index: usize) -> &mut Peer {
        let slot = self.peers.get_mut(index).expect("one of them");
        slot.get_or_insert_with(|| {
            let (near, far) = Pipe::new(self.manners, "peer");
            accept(&self.pipes, far);
            Peer::new(index, near, self.limits.clone(), now())
        })
    }

    /// Lets the broker do what it can, and looks at what it did.
    async fn settle(&mut self) {
        self.rest().await;
        let now = now();
        for peer in self.peers.iter_mut().flatten() {
            peer.hear(&mut self.known, now);
        }
        for (index, client_id) in std::mem::take(&mut self.known.arrived) {
            for peer in self.peers.iter_mut().flatten() {
                if peer.index != index {
                    peer.taken_over(&client_id);
                }
            }
        }
        for peer in self.peers.iter_mut().flatten() {
            peer.pass_time(now);
            peer.receive(&self.known);
            peer.check();
        }
    }

    /// Returns when all tasks wait for something else than time.
    async fn rest(&self) {
        sleep(Duration::from_millis(1)).await;
    }

    async fn end(&mut self) {
        for peer in self.peers.iter_mut().flatten() {
            peer.set_reads(true);
        }
        self.settle().await;
        for peer in self.peers.iter_mut().flatten() {
            peer.pipe.end();
        }
        sleep(LINGER).await;
        self.settle().await;
        for peer in self.peers.iter().flatten() {
            assert!(peer.pipe.is_dropped(), "the peer has ended, it has not");
        }
        assert_eq!(self.broker.connections(), 1, "the writer alone is there");
        assert!(self.broker.sessions() <= 2 + self.known.connects);
        assert!(self.broker.retained() <= self.limits.retained_max);
        self.bystanders_are_served().await;
        let shut_down = self.broker.shutdown(Duration::from_secs(9)).await;
        shut_down.expect("a store that does not fail");
        assert_eq!(self.broker.connections(), 0);
    }

    async fn bystanders_are_served(&mut self) {
        let (near, far) = Pipe::new(self.manners, BYSTANDER);
        accept(&self.pipes, far);
        self.reader = Bystander::reader(near);
        self.rest().await;
        self.reader.receive();
        // More than may wait for a client that does not read.
        self.reader.pipe.set_reads(false);
        let [_, first, second, third] = MESSAGES;
        self.writer.publish(PublishQoS::AtMostOnce, first);
        self.writer.publish(PublishQoS::AtLeastOnce(id(2)), second);
        self.writer.publish(PublishQoS::ExactlyOnce(id(3)), third);
        self.rest().await;
        self.reader.pipe.set_reads(true);
        for _ in 0..6 {
            self.rest().await;
            self.reader.receive();
            self.writer.receive();
        }
        expect_connack(&self.reader.next(), true);
        assert!(matches!(self.reader.next(), Packet::PubRel(_)));
        assert!(matches!(self.writer.next(), Packet::PubAck(_)));
        assert!(matches!(self.writer.next(), Packet::PubRec(_)));
        assert!(matches!(self.writer.next(), Packet::PubComp(_)));
        assert!(self.reader.packets.is_empty() && self.writer.packets.is_empty());
        assert_eq!(self.reader.payloads, MESSAGES);
        assert!(self.writer.payloads.is_empty());
    }
}

fn accept(pipes: &mpsc::UnboundedSender<Box<dyn Transport>>, far: Far) {
    let accepted = pipes.send(Box::new(far));
    assert!(accepted.is_ok(), "the broker serves");
}

fn expect_connack(packet: &Packet, present: bool) {
    let Packet::ConnAck(connack) = packet else {
        panic!("{packet:?} is no CONNACK");
    };
    assert_eq!(connack.reason, ReasonCode::Success);
    assert_eq!(connack.session_present, present);
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not 0")
}

#[allow(
    clippy::disallowed_methods,
    reason = "the time of this runtime is the run's own, and begins where the broker's does"
)]
fn now() -> Instant {
    Instant::now()
}
