//! A broker that serves pipes, and clients at their other ends.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use mqtt_broker_core::store::SessionStore;
use mqtt_broker_core::{Broker, Builder, Limits, Listener, Stream, Transport};
use mqtt_codec::{
    Ack, Cut, Disconnect, PACKET_BYTES_MAX, Packet, PacketId, Properties, PublishQoS, QoS,
    ReasonCode, Subscribe, Subscription, SubscriptionOptions, Subscriptions, TopicFilter, Version,
    cut,
};
use mqtt_store_memory::MemoryStore;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::describe::describe;
use crate::script::{Hello, Post};

/// Bytes that a pipe holds in each direction, unless a test needs fewer.
const PIPE_BYTES: usize = 1024 * 1024;
/// How long a client waits for what must come. Long before that, all is lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often all tasks of a runtime of one thread get a turn before they count as having come to
/// rest. No chain of wake-ups in these tests is nearly as long.
const TURNS: usize = 200;

/// A broker that is served with pipes.
pub(crate) struct Net {
    pub(crate) broker: Broker,
    pipes: mpsc::UnboundedSender<Box<dyn Transport>>,
    pub(crate) serving: JoinHandle<io::Result<()>>,
}

/// Accepts what the test opens.
pub(crate) struct Pipes(mpsc::UnboundedReceiver<Box<dyn Transport>>);

#[async_trait]
impl Listener for Pipes {
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>> {
        let pipe = self.0.recv().await;
        pipe.ok_or_else(|| io::Error::other("the test has let go of its listener"))
    }
}

impl Net {
    /// A broker with its sessions in memory.
    pub(crate) async fn new() -> Self {
        Self::of(Broker::builder(Arc::new(MemoryStore::default()))).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::of(Broker::builder(Arc::new(MemoryStore::default())).limits(limits)).await
    }

    pub(crate) async fn on(store: Arc<dyn SessionStore>) -> Self {
        Self::of(Broker::builder(store)).await
    }

    pub(crate) async fn of(builder: Builder) -> Self {
        Self::spread(builder, super::SHARDS).await
    }

    /// A broker with so many shards.
    pub(crate) async fn spread(builder: Builder, shards: usize) -> Self {
        Self::serve(builder.shards(shards).build().await.unwrap())
    }

    /// Serves one more listener of a broker.
    pub(crate) fn serve(broker: Broker) -> Self {
        let (pipes, accepted) = mpsc::unbounded_channel();
        let serving = tokio::spawn(broker.serve(Pipes(accepted)));
        Self {
            broker,
            pipes,
            serving,
        }
    }

    /// Lets the listener fail.
    pub(crate) async fn fail(self) -> io::Result<()> {
        drop(self.pipes);
        self.serving.await.unwrap()
    }

    /// A client that has said nothing yet.
    pub(crate) fn open(&self, name: &str) -> Client {
        self.open_narrow(name, PIPE_BYTES)
    }

    /// A client behind a pipe that holds few bytes.
    pub(crate) fn open_narrow(&self, name: &str, pipe_bytes: usize) -> Client {
        self.open_through(name, pipe_bytes, |far| Stream::new(far, name))
    }

    /// A client whose pipe the broker sees through an adapter.
    pub(crate) fn open_through<T: Transport>(
        &self,
        name: &str,
        pipe_bytes: usize,
        adapt: impl FnOnce(DuplexStream) -> T,
    ) -> Client {
        let (near, far) = tokio::io::duplex(pipe_bytes);
        // Nobody accepts once the broker shuts down: then the pipe is closed.
        let _ = self.pipes.send(Box::new(adapt(far)));
        Client {
            name: name.to_owned(),
            stream: near,
            version: Version::V5,
            received: Vec::new(),
            next_id: 0,
        }
    }

    /// A client that has been let in.
    pub(crate) async fn connect(&self, name: &str, hello: Hello) -> Client {
        let mut client = self.open(name);
        client.hello(&hello).await;
        client.expect("CONNACK Success").await;
        client
    }
}

/// One client, at the other end of a pipe.
pub(crate) struct Client {
    name: String,
    stream: DuplexStream,
    version: Version,
    received: Vec<u8>,
    next_id: u16,
}

impl Client {
    /// What the packets that come are decoded by; [`Client::hello`] does it too.
    pub(crate) fn speak(&mut self, version: Version) {
        self.version = version;
    }

    /// Sends the CONNECT.
    pub(crate) async fn hello(&mut self, hello: &Hello) {
        self.version = hello.version;
        let packet = Packet::Connect(hello.packet(&self.name));
        self.send(&packet).await;
    }

    /// Sends the CONNECT, unless the broker has closed.
    pub(crate) async fn try_hello(&mut self, hello: &Hello) -> io::Result<()> {
        let packet = Packet::Connect(hello.packet(&self.name));
        let bytes = packet.to_vec(hello.version).unwrap();
        self.stream.write_all(&bytes).await
    }

    pub(crate) async fn send<B: AsRef<[u8]>>(&mut self, packet: &Packet<B>) {
        let bytes = packet.to_vec(self.version).unwrap();
        self.write(&bytes).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Ends what the client sends; it still reads.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    pub(crate) async fn publish(&mut self, post: Post) {
        let packet = self.post(post);
        self.send(&packet).await;
    }

    /// The PUBLISH of a message, with the client's next packet identifier.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "a message is made where it is sent"
    )]
    pub(crate) fn post(&mut self, post: Post) -> Packet {
        let id = (post.qos > QoS::AtMostOnce).then(|| self.next_id());
        Packet::Publish(post.publish(id))
    }

    pub(crate) fn subscribe_packet(&mut self, filter: &str, qos: QoS) -> Packet {
        let filter = TopicFilter::from_text(filter).unwrap();
        let subscription = Subscription {
            filter: filter.as_view(),
            options: SubscriptionOptions::of_qos(qos),
        };
        Packet::Subscribe(Subscribe {
            packet_id: self.next_id(),
            properties: Properties::default(),
            subscriptions: Subscriptions::new([subscription]).unwrap(),
        })
    }

    /// Subscribes, and waits for the SUBACK.
    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) {
        let packet = self.subscribe_packet(filter, qos);
        self.send(&packet).await;
        let line = self.line().await;
        assert!(line.starts_with("SUBACK"), "{line}");
    }

    pub(crate) async fn ping(&mut self) {
        self.send(&Packet::<&[u8]>::PingReq).await;
    }

    pub(crate) async fn goodbye(&mut self) {
        let packet = Packet::Disconnect(Disconnect::new(ReasonCode::Success));
        self.send(&packet).await;
    }

    fn next_id(&mut self) -> PacketId {
        self.next_id += 1;
        PacketId::new(self.next_id).unwrap()
    }

    /// The next packet, as one line; `CLOSED` if the broker has closed.
    pub(crate) async fn line(&mut self) -> String {
        match self.packet().await {
            Some(packet) => line(&packet),
            None => "CLOSED".to_owned(),
        }
    }

    pub(crate) async fn expect(&mut self, expected: &str) {
        assert_eq!(self.line().await, expected, "{}", self.name);
    }

    /// What has come until everything has come to rest, on a runtime of one thread.
    pub(crate) async fn lines(&mut self) -> Vec<String> {
        rest().await;
        let mut lines = Vec::new();
        loop {
            if let Some(packet) = self.take() {
                lines.push(line(&packet));
                continue;
            }
            match self.try_read().await {
                Poll::Ready(0) => {
                    lines.push("CLOSED".to_owned());
                    return lines;
                }
                Poll::Ready(_) => {}
                Poll::Pending => return lines,
            }
            // There is room in the pipe again.
            rest().await;
        }
    }

    /// The next packet; `None` if the broker has closed.
    pub(crate) async fn packet(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.take() {
                return Some(packet);
            }
            let read = self.stream.read_buf(&mut self.received);
            let count = tokio::time::timeout(PATIENCE, read)
                .await
                .unwrap_or_else(|_| panic!("{} waits for a packet that does not come", self.name));
            if count.unwrap() == 0 {
                assert!(self.received.is_empty(), "closed within a packet");
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<Packet> {
        match cut(&self.received, PACKET_BYTES_MAX).unwrap() {
            Cut::Whole(frame) => {
                let packet = Packet::decode(frame, self.version).unwrap().to_bytes();
                let len = frame.bytes.len();
                self.received.drain(..len);
                Some(packet)
            }
            Cut::Incomplete(_) => None,
        }
    }

    /// Reads what is there now.
    async fn try_read(&mut self) -> Poll<usize> {
        let mut bytes = vec![0; PIPE_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        let stream = &mut self.stream;
        let read =
            poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buffer))).await;
        self.received.extend_from_slice(buffer.filled());
        read.map(|read| {
            read.unwrap();
            buffer.filled().len()
        })
    }

    /// Sends a PINGREQ if there is room for it.
    pub(crate) async fn try_ping(&mut self) -> bool {
        let stream = &mut self.stream;
        let written = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_write(cx, &[0xC0, 0])));
        match written.await {
            Poll::Ready(count) => {
                assert_eq!(count.unwrap(), 2, "pipes of even size hold whole PINGREQs");
                true
            }
            Poll::Pending => false,
        }
    }

    /// True if the broker has closed, without a word.
    pub(crate) async fn is_closed(&mut self) -> bool {
        rest().await;
        let closed = self.try_read().await == Poll::Ready(0);
        assert!(self.received.is_empty(), "something was said");
        closed
    }

    /// True if the broker's end of the pipe is gone.
    pub(crate) async fn is_cut_off(&mut self) -> bool {
        let stream = &mut self.stream;
        let written = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_write(cx, &[0xC0])));
        matches!(written.await, Poll::Ready(Err(_)))
    }

    /// Takes the next message to this topic, passing over others, and returns its payload.
    pub(crate) async fn take_message(&mut self, topic: &str) -> String {
        loop {
            let Some(Packet::Publish(publish)) = self.packet().await else {
                panic!("{} gets no message", self.name);
            };
            if let PublishQoS::AtLeastOnce(id) = publish.qos {
                self.send(&Packet::PubAck(Ack::new(id, ReasonCode::Success)))
                    .await;
            }
            if publish.topic.is_some_and(|name| name.to_string() == topic) {
                return String::from_utf8(publish.payload.to_vec()).unwrap();
            }
        }
    }

    /// Takes so many messages, answers them as their QoS wants it, and returns their payloads.
    pub(crate) async fn take_messages(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut payloads = Vec::new();
        let mut open = 0;
        while payloads.len() < count || open > 0 {
            let packet = self.packet().await.expect("the broker has closed");
            match packet {
                Packet::Publish(publish) => {
                    match publish.qos {
                        PublishQoS::AtMostOnce => {}
                        PublishQoS::AtLeastOnce(id) => {
                            self.send(&Packet::PubAck(Ack::new(id, ReasonCode::Success)))
                                .await;
                        }
                        PublishQoS::ExactlyOnce(id) => {
                            open += 1;
                            self.send(&Packet::PubRec(Ack::new(id, ReasonCode::Success)))
                                .await;
                        }
                    }
                    payloads.push(publish.payload.to_vec());
                }
                Packet::PubRel(ack) => {
                    open -= 1;
                    let packet = Packet::PubComp(Ack::new(ack.packet_id, ReasonCode::Success));
                    self.send(&packet).await;
                }
                other => panic!("{other:?} among the messages"),
            }
        }
        payloads
    }

    /// Publishes all, at most `window` at a time, and does its part in the exchanges.
    pub(crate) async fn publish_all(&mut self, posts: Vec<Post>, window: usize) {
        let mut open = 0;
        for post in posts {
            while open >= window {
                open -= self.settle_one().await;
            }
            open += usize::from(post.qos > QoS::AtMostOnce);
            self.publish(post).await;
        }
        while open > 0 {
            open -= self.settle_one().await;
        }
    }

    /// How many exchanges the next packet ends.
    async fn settle_one(&mut self) -> usize {
        match self.packet().await.expect("the broker has closed") {
            Packet::PubAck(_) | Packet::PubComp(_) => 1,
            Packet::PubRec(ack) => {
                let packet = Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::Success));
                self.send(&packet).await;
                0
            }
            other => panic!("{other:?} among the acknowledgements"),
        }
    }
}

fn line(packet: &Packet) -> String {
    let bytes = packet.to_vec(Version::V5).unwrap();
    let Ok(Cut::Whole(frame)) = cut(&bytes, PACKET_BYTES_MAX) else {
        panic!("it was encoded just now");
    };
    let view = Packet::decode(frame, Version::V5).unwrap();
    let topic = match &view {
        Packet::Publish(publish) => publish.topic.map(|topic| topic.to_string()),
        _ => None,
    };
    describe(&view, &topic.unwrap_or_default())
}

/// Lets all tasks of a runtime of one thread do what they can do without more from the test.
pub(crate) async fn rest() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}
