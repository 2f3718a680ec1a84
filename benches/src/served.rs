//! A whole broker with its driver, served on streams: those of memory, or TCP on the loopback device.

use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use mqtt_broker_core::{Broker, Listener, Stream, Transport};
use mqtt_codec::{Packet, QoS, Version};
use mqtt_store_memory::MemoryStore;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::engine::{Lifetime, connect, publish, subscribe};
use crate::flow::{Flow, TOPIC};

/// Bytes that a stream of memory holds in each direction.
const STREAM_BYTES: usize = 256 * 1024;

/// What carries the bytes.
#[derive(Clone, Copy, Debug)]
pub enum Carrier {
    /// Memory: no system calls.
    Memory,
    /// TCP on the loopback device.
    Tcp,
}

/// Messages from one publisher to subscribers of its topic, through a broker on the same thread.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// What carries the bytes.
    pub carrier: Carrier,
    /// How many clients subscribe.
    pub subscribers: usize,
    /// Messages that are written at a time, and received before the next are.
    pub batch: usize,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

impl Served {
    /// Messages that arrive in one step.
    #[must_use]
    pub const fn messages(self) -> u64 {
        (self.subscribers * self.batch) as u64
    }

    /// The flow: a step writes one batch, and ends when all subscribers have received it. QoS 0, 64 bytes,
    /// 3.1.1. Its messages are those that arrive.
    ///
    /// # Panics
    /// If there can be no such broker.
    #[must_use]
    pub fn flow(self) -> Flow {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        let mut clients = runtime.block_on(Clients::new(self)).expect("clients");
        Flow::new(self.messages(), move || clients.step(&runtime))
    }
}

struct Clients {
    publisher: Box<dyn Duplex>,
    subscribers: Vec<Box<dyn Duplex>>,
    batch: Vec<u8>,
    received: Vec<u8>,
    /// Dropped last: the clients know nothing of it.
    _broker: Broker,
}

impl Clients {
    async fn new(served: Served) -> io::Result<Self> {
        let broker = Broker::builder(Arc::new(MemoryStore::default()));
        let broker = broker.build().await.map_err(io::Error::other)?;
        let mut door = Door::open(served.carrier, &broker).await?;
        let mut publisher = door.enter().await?;
        exchange(&mut publisher, &connect_packet("publisher"), 4).await?;
        let mut subscribers = Vec::new();
        for number in 0..served.subscribers {
            let mut subscriber = door.enter().await?;
            let connect = connect_packet(&format!("subscriber-{number}"));
            exchange(&mut subscriber, &connect, 4).await?;
            let subscribe = subscribe(&[TOPIC.to_owned()], QoS::AtMostOnce);
            exchange(&mut subscriber, &subscribe, 5).await?;
            subscribers.push(subscriber);
        }
        let message = Packet::Publish(publish(TOPIC, QoS::AtMostOnce, 1, 64));
        let message = message.to_vec(Version::V3_1_1).map_err(io::Error::other)?;
        let batch = message.repeat(served.batch);
        Ok(Self {
            publisher,
            subscribers,
            received: vec![0; batch.len()],
            batch,
            _broker: broker,
        })
    }

    fn step(&mut self, runtime: &Runtime) {
        let Self {
            publisher,
            subscribers,
            batch,
            received,
            ..
        } = self;
        runtime.block_on(async {
            publisher.write_all(batch).await.expect("it is written");
            for subscriber in subscribers {
                let read = subscriber.read_exact(received).await;
                read.expect("it is received");
            }
        });
        assert!(received == batch, "what arrives is what was sent");
    }
}

fn connect_packet(name: &str) -> Packet {
    connect(name, Version::V3_1_1, Lifetime::Connection)
}

/// Sends a packet, and reads its answer, of so many bytes.
async fn exchange(stream: &mut Box<dyn Duplex>, packet: &Packet, bytes: usize) -> io::Result<()> {
    let packet = packet.to_vec(Version::V3_1_1).map_err(io::Error::other)?;
    stream.write_all(&packet).await?;
    stream.read_exact(&mut vec![0; bytes]).await?;
    Ok(())
}

/// Where clients come in.
enum Door {
    Memory(mpsc::UnboundedSender<Box<dyn Transport>>),
    Tcp(std::net::SocketAddr),
}

impl Door {
    async fn open(carrier: Carrier, broker: &Broker) -> io::Result<Self> {
        match carrier {
            Carrier::Memory => {
                let (streams, accepted) = mpsc::unbounded_channel();
                tokio::spawn(broker.serve(Streams(accepted)));
                Ok(Self::Memory(streams))
            }
            Carrier::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let address = listener.local_addr()?;
                tokio::spawn(broker.serve(Tcp(listener)));
                Ok(Self::Tcp(address))
            }
        }
    }

    async fn enter(&mut self) -> io::Result<Box<dyn Duplex>> {
        match self {
            Self::Memory(streams) => {
                let (ours, theirs) = duplex(STREAM_BYTES);
                let theirs = Box::new(Stream::new(theirs, "memory"));
                let sent = streams.send(theirs);
                sent.map_err(|_| io::Error::other("the broker does not accept"))?;
                Ok(Box::new(ours))
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(*address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}

struct Streams(mpsc::UnboundedReceiver<Box<dyn Transport>>);

#[async_trait]
impl Listener for Streams {
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>> {
        let stream = self.0.recv().await;
        stream.ok_or_else(|| io::Error::other("no more come"))
    }
}

struct Tcp(TcpListener);

#[async_trait]
impl Listener for Tcp {
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>> {
        let (stream, peer) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(Stream::new(stream, peer)))
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            carrier,
            subscribers,
            batch,
        } = self;
        let carrier = match carrier {
            Carrier::Memory => "memory",
            Carrier::Tcp => "tcp",
        };
        write!(f, "{carrier}, 1:{subscribers}, batches of {batch}")
    }
}
