//! QoS 1 messages through a server to a session that stays, at each level of durability.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use benches::Directory;
use mqtt_codec::{
    Connect, Cut, PACKET_BYTES_MAX, Packet, PacketId, Properties, Publish, PublishQoS, QoS,
    Subscribe, Subscription, SubscriptionOptions, Subscriptions, Text, TopicFilter, TopicName,
    Version, cut,
};

use crate::server::Server;

/// Messages that may be unacknowledged: as many as clients with a few under way each have together.
const IN_FLIGHT: [u16; 3] = [1, 100, 10_000];

pub(crate) fn run(dir: &Path, mqttd: &Path, seconds: u64) {
    println!("one publisher, 64 bytes, QoS 1, to one session that stays");
    println!("level | subscriber | in flight | messages/s | PUBACK p50 | p99 | CPU us each");
    for level in ["memory", "process", "disk"] {
        for subscriber in ["there", "away"] {
            for in_flight in IN_FLIGHT {
                let run = Run::new(dir, mqttd, level, subscriber);
                let result = run.publish(in_flight, None, Duration::from_secs(seconds));
                println!("{level} | {subscriber} | {in_flight} | {result}");
                if in_flight == 10_000 {
                    let half = result.rate / 2.0;
                    let run = Run::new(dir, mqttd, level, subscriber);
                    let result = run.publish(in_flight, Some(half), Duration::from_secs(seconds));
                    println!("{level} | {subscriber} | half load | {result}");
                }
            }
        }
    }
}

struct Run {
    server: Server,
    publisher: TcpStream,
    _directory: Directory,
}

struct Outcome {
    rate: f64,
    median: Duration,
    p99: Duration,
    cpu_each: f64,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.0} | {:.2?} | {:.2?} | {:.2}",
            self.rate, self.median, self.p99, self.cpu_each
        )
    }
}

impl Run {
    fn new(dir: &Path, mqttd: &Path, level: &str, subscriber: &str) -> Self {
        let directory = Directory::new(dir, "publish");
        let path = directory.path().to_str().expect("it is text");
        let server = match level {
            "memory" => Server::start(mqttd, &[]),
            level => Server::start(mqttd, &["--data-dir", path, "--durability", level]),
        };
        let mut session = connect(&server, "subscriber", CleanStart::No);
        send(&mut session, &subscribe());
        assert!(matches!(receive(&mut session), Packet::SubAck(_)));
        if subscriber == "there" {
            std::thread::spawn(move || acknowledge_all(session));
        }
        let publisher = connect(&server, "publisher", CleanStart::Yes);
        Self {
            server,
            publisher,
            _directory: directory,
        }
    }

    /// Publishes for so long, as fast as acknowledgements come or at this rate. A queue takes 100,000
    /// messages, so that a subscriber that is away gets no more.
    fn publish(self, in_flight: u16, rate: Option<f64>, time: Duration) -> Outcome {
        let mut stream = self.publisher;
        let (mut sent, mut acknowledged) = (0_u64, 0_u64);
        let mut due: std::collections::VecDeque<Instant> = std::collections::VecDeque::new();
        let mut latencies = Vec::new();
        let (mut out, mut unread) = (Vec::new(), Vec::new());
        let mut buffer = vec![0; 65_536];
        let (began, cpu) = (Instant::now(), self.server.cpu_seconds());
        while began.elapsed() < time && acknowledged < 95_000 || sent > acknowledged {
            let over = began.elapsed() >= time || sent >= 95_000;
            let allowed = rate.map_or(u64::MAX, |rate| {
                (began.elapsed().as_secs_f64() * rate) as u64
            });
            while !over
                && sent - acknowledged < in_flight.into()
                && sent < allowed
                && out.len() < 32_768
            {
                let id = PacketId::new((sent % 65_535) as u16 + 1).expect("not 0");
                let publish: Packet<&[u8]> = publish(id);
                publish
                    .encode(Version::V3_1_1, &mut out)
                    .expect("it is small");
                // At a rate, latency counts from when it was due.
                due.push_back(rate.map_or_else(Instant::now, |rate| {
                    began + Duration::from_secs_f64(sent as f64 / rate)
                }));
                sent += 1;
            }
            stream.write_all(&out).expect("the server reads");
            out.clear();
            if sent == acknowledged {
                std::thread::sleep(Duration::from_micros(50));
                continue;
            }
            stream
                .set_read_timeout(Some(Duration::from_micros(200)))
                .expect("it is TCP");
            let Ok(count) = stream.read(&mut buffer) else {
                continue;
            };
            assert!(count > 0, "the server has closed");
            unread.extend_from_slice(buffer.get(..count).unwrap_or_default());
            let now = Instant::now();
            let acks = unread.len() / 4;
            unread.drain(..acks * 4);
            for _ in 0..acks {
                acknowledged += 1;
                latencies.push(now - due.pop_front().expect("it was sent"));
            }
        }
        let took = began.elapsed().as_secs_f64();
        let cpu = self.server.cpu_seconds() - cpu;
        latencies.sort_unstable();
        let at = |part: usize| latencies.get(latencies.len() * part / 100).copied();
        Outcome {
            rate: acknowledged as f64 / took,
            median: at(50).unwrap_or_default(),
            p99: at(99).unwrap_or_default(),
            cpu_each: cpu * 1e6 / acknowledged as f64,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CleanStart {
    Yes,
    No,
}

fn connect(server: &Server, client: &'static str, clean: CleanStart) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).expect("the server listens");
    stream.set_nodelay(true).expect("it is TCP");
    let connect = Connect {
        version: Version::V3_1_1,
        bridge: false,
        clean_start: clean == CleanStart::Yes,
        keep_alive: 0,
        properties: Properties::default(),
        client_id: Text::from_static(client).expect("it is text"),
        will: None,
        user_name: None,
        password: None,
    };
    send(&mut stream, &Packet::Connect(connect));
    assert!(matches!(receive(&mut stream), Packet::ConnAck(_)));
    stream
}

fn subscribe() -> Packet {
    let subscription = Subscription {
        filter: TopicFilter::new(b"t".as_slice()).expect("a filter"),
        options: SubscriptionOptions::of_qos(QoS::AtLeastOnce),
    };
    Packet::Subscribe(Subscribe {
        packet_id: PacketId::new(1).expect("not 0"),
        properties: Properties::default(),
        subscriptions: Subscriptions::new([subscription]).expect("not empty"),
    })
}

fn publish(id: PacketId) -> Packet<&'static [u8]> {
    Packet::Publish(Publish {
        dup: false,
        qos: PublishQoS::AtLeastOnce(id),
        retain: false,
        topic: Some(TopicName::new(b"t".as_slice()).expect("a topic")),
        properties: Properties::default(),
        payload: &[b'x'; 64],
    })
}

fn send(stream: &mut TcpStream, packet: &Packet) {
    let bytes = packet.to_vec(Version::V3_1_1).expect("it can be encoded");
    stream.write_all(&bytes).expect("the server reads");
}

fn receive(stream: &mut TcpStream) -> Packet {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the server answers");
        bytes.extend(byte);
        if let Ok(Cut::Whole(frame)) = cut(&bytes, PACKET_BYTES_MAX) {
            let packet = Packet::decode(frame, Version::V3_1_1).expect("it is one");
            return packet.to_bytes();
        }
    }
}

/// Acknowledges each message as it comes, a read at a time.
fn acknowledge_all(mut stream: TcpStream) {
    let (mut buffer, mut unread, mut out) = (vec![0; 65_536], Vec::new(), Vec::new());
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        unread.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let mut rest = unread.as_slice();
        while let Ok(Cut::Whole(frame)) = cut(rest, PACKET_BYTES_MAX) {
            rest = rest.get(frame.bytes.len()..).unwrap_or_default();
            if let Ok(Packet::Publish(publish)) = Packet::decode(frame, Version::V3_1_1)
                && let PublishQoS::AtLeastOnce(id) = publish.qos
            {
                out.extend([0x40, 2]);
                out.extend(id.get().to_be_bytes());
            }
        }
        unread = rest.to_vec();
        if stream.write_all(&out).is_err() {
            return;
        }
        out.clear();
    }
}
