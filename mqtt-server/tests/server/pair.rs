//! Two clients that mind their own business while others attack the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mqtt_codec::{Ack, Packet, PublishQoS, QoS, ReasonCode, Version};

use super::{Peer, Server, post};

/// The longest that an exchange may take. What is noticed at all is two orders below.
const PATIENCE: Duration = Duration::from_secs(3);

/// A subscriber of 3.1.1 and a publisher of 5.0, who exchange QoS 1 messages all the time.
pub(crate) struct Pair {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Exchanged>,
}

/// What a pair has seen.
pub(crate) struct Exchanged {
    pub(crate) messages: usize,
    pub(crate) slowest: Duration,
}

/// Runs an attack on a server of its own. The server has to survive it, and a pair must notice
/// nothing: no message may be lost, come twice, or come late.
pub(crate) fn beside_others(attack: impl FnOnce(&Server)) {
    let mut server = Server::start();
    let pair = Pair::start(server.address());
    attack(&server);
    let exchanged = pair.end();
    assert!(exchanged.messages > 0);
    assert!(
        exchanged.slowest < PATIENCE,
        "an exchange took {:?}",
        exchanged.slowest
    );
    server.is_alive();
}

impl Pair {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let mut subscriber = Peer::connect(address, Version::V3_1_1, "pair-subscriber");
        subscriber.subscribe("pair", QoS::AtLeastOnce);
        let mut publisher = Peer::connect(address, Version::V5, "pair-publisher");
        let ends = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let ends = ends.clone();
            move || {
                let (mut messages, mut slowest) = (0, Duration::ZERO);
                while messages == 0 || !ends.load(Ordering::Relaxed) {
                    let took = exchange(&mut publisher, &mut subscriber, messages);
                    slowest = slowest.max(took);
                    messages += 1;
                    thread::sleep(Duration::from_millis(5));
                }
                Exchanged { messages, slowest }
            }
        });
        Self { ends, thread }
    }

    /// Lets the pair end, and fails if a message was lost or came twice.
    pub(crate) fn end(self) -> Exchanged {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().expect("all exchanges were whole")
    }
}

/// Publishes one message, and waits until it has come and has been acknowledged.
fn exchange(publisher: &mut Peer, subscriber: &mut Peer, number: usize) -> Duration {
    let start = Instant::now();
    let payload = number.to_string();
    let id = (number % 1000) as u16 + 1;
    publisher.send(&post("pair", payload.as_bytes(), Some(id)));
    match subscriber.packet() {
        Packet::Publish(publish) if publish.payload == payload.as_bytes() => {
            let PublishQoS::AtLeastOnce(id) = publish.qos else {
                panic!("{publish:?}");
            };
            let ack = Ack::new(id, ReasonCode::Success);
            subscriber.send(&Packet::PubAck(ack));
        }
        other => panic!("{other:?} instead of message {number}"),
    }
    match publisher.packet() {
        Packet::PubAck(ack) => assert_eq!(ack.packet_id.get(), id),
        other => panic!("{other:?} instead of a PUBACK"),
    }
    start.elapsed()
}
