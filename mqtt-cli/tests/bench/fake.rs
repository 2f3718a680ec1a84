//! A broker that is wrong in one way, and says so nowhere.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::{
    Ack, ConnAck, Connect, Cut, Disconnect, PACKET_BYTES_MAX, Packet, PacketId, Properties,
    Publish, PublishQoS, QoS, ReasonCode, SubAck, Version, cut,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// What it does wrong. Where a number is named, it does so with each message whose count is 3 above a multiple of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Loses(u64),
    /// All messages from this one up to that one are lost.
    LosesAll(u64, u64),
    Doubles(u64),
    /// The next message comes first.
    Swaps(u64),
    /// Two subscribers see what two publishers send in different orders.
    Disagrees,
    /// Each message comes to a subscriber that it is not for.
    Misroutes,
    /// A payload has a byte more.
    Alters(u64),
    RefusesConnections,
    RefusesSubscriptions,
    /// QoS 2 is granted as QoS 1.
    GrantsLess,
    RefusesMessages(u64),
    /// The message is delivered, and not acknowledged.
    AcknowledgesNot(u64),
    AcknowledgesTwice(u64),
    /// After so many messages, all connections are told to go.
    Disconnects(u64),
    /// The same, without a word.
    Closes(u64),
    /// Nothing is done for so many milliseconds, once.
    Stalls(u64),
}

/// Where a subscriber's packets go.
type Out = UnboundedSender<Vec<u8>>;

struct State {
    fault: Fault,
    /// All connections, and the filter of those that have one.
    connections: Vec<(Out, Option<String>)>,
    count: u64,
    /// What has been put aside, for each of two publishers.
    aside: [VecDeque<Message>; 2],
    ended: bool,
}

#[derive(Clone)]
struct Message {
    topic: String,
    payload: Bytes,
    qos: u8,
}

/// Starts the broker; its port.
pub(crate) async fn start(fault: Fault) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let state = State {
        fault,
        connections: Vec::new(),
        count: 0,
        aside: Default::default(),
        ended: false,
    };
    let state = Arc::new(Mutex::new(state));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, state.clone()));
        }
    });
    port
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let (mut reader, mut writer) = stream.into_split();
    let (out, mut outgoing) = unbounded_channel::<Vec<u8>>();
    tokio::spawn(async move {
        // An empty one means the end.
        while let Some(bytes) = outgoing.recv().await.filter(|bytes| !bytes.is_empty()) {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    });
    let (mut buffer, mut version, mut index) = (Vec::new(), Version::V5, 0);
    while reader
        .read_buf(&mut buffer)
        .await
        .is_ok_and(|count| count > 0)
    {
        while let Ok(Cut::Whole(frame)) = cut(&buffer, PACKET_BYTES_MAX) {
            version = Connect::peek_version(frame).unwrap_or(version);
            let count = frame.bytes.len();
            let packet = Packet::decode(frame, version).unwrap().to_bytes();
            buffer.drain(..count);
            let stall = state
                .lock()
                .unwrap()
                .handle(packet, version, &out, &mut index);
            tokio::time::sleep(stall).await;
        }
    }
}

fn send<B: AsRef<[u8]>>(out: &Out, packet: &Packet<B>, version: Version) {
    let _ = out.send(packet.to_vec(version).unwrap());
}

impl State {
    fn hit(&self, every: u64) -> bool {
        self.count % every == 3
    }

    /// How long to wait before the next packet.
    fn handle(
        &mut self,
        packet: Packet,
        version: Version,
        out: &Out,
        index: &mut usize,
    ) -> Duration {
        let properties = Properties::default();
        match packet {
            Packet::Connect(_) => {
                let refused = self.fault == Fault::RefusesConnections;
                let reason = if refused {
                    ReasonCode::NotAuthorized
                } else {
                    ReasonCode::Success
                };
                send(
                    out,
                    &Packet::ConnAck(ConnAck {
                        session_present: false,
                        reason,
                        properties,
                    }),
                    version,
                );
                *index = self.connections.len();
                self.connections.push((out.clone(), None));
            }
            Packet::Subscribe(subscribe) => {
                let refused = self.fault == Fault::RefusesSubscriptions;
                let grant = |qos| match qos {
                    _ if refused => ReasonCode::UnspecifiedError,
                    QoS::ExactlyOnce if self.fault != Fault::GrantsLess => ReasonCode::GrantedQoS2,
                    QoS::ExactlyOnce | QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
                    QoS::AtMostOnce => ReasonCode::Success,
                };
                let filters: Vec<String> = subscribe
                    .subscriptions
                    .iter()
                    .map(|s| filter(s.filter.filter()))
                    .collect();
                let wanted = subscribe.subscriptions.iter();
                let reasons = wanted.map(|s| grant(s.options.qos)).collect();
                send(
                    out,
                    &Packet::SubAck(SubAck {
                        packet_id: subscribe.packet_id,
                        properties,
                        reasons,
                    }),
                    version,
                );
                self.connections[*index].1 = filters.into_iter().next();
            }
            Packet::Publish(publish) => return self.publish(publish, version, out),
            Packet::PubRel(ack) => send(
                out,
                &Packet::PubComp(Ack::new(ack.packet_id, ReasonCode::Success)),
                version,
            ),
            Packet::PubRec(ack) => send(
                out,
                &Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::Success)),
                version,
            ),
            Packet::PingReq => send(out, &Packet::<&[u8]>::PingResp, version),
            _ => {}
        }
        Duration::ZERO
    }

    fn publish(&mut self, publish: Publish, version: Version, out: &Out) -> Duration {
        if self.ended {
            return Duration::ZERO;
        }
        self.acknowledge(&publish, version, out);
        let message = Message {
            topic: publish.topic.unwrap().as_str().to_owned(),
            payload: publish.payload,
            qos: publish.qos.level() as u8,
        };
        match self.fault {
            Fault::Loses(every) if self.hit(every) => {}
            Fault::LosesAll(first, end) if (first..end).contains(&self.count) => {}
            Fault::RefusesMessages(every) if self.hit(every) => {}
            Fault::Doubles(every) if self.hit(every) => {
                self.deliver(&message, version, |_| true);
                self.deliver(&message, version, |_| true);
            }
            Fault::Swaps(every) if self.hit(every) => self.aside[0].push_back(message),
            Fault::Swaps(_) => {
                self.deliver(&message, version, |_| true);
                if let Some(late) = self.aside[0].pop_front() {
                    self.deliver(&late, version, |_| true);
                }
            }
            Fault::Alters(every) if self.hit(every) => {
                let payload = [&message.payload[..], b"!"].concat().into();
                self.deliver(&Message { payload, ..message }, version, |_| true);
            }
            Fault::Disagrees => self.disagree(message, version),
            Fault::Misroutes => {
                // A pair's topic ends with its number.
                let (start, number) = message.topic.rsplit_once('/').unwrap();
                let other = 1 - number.parse::<u32>().unwrap();
                self.deliver(
                    &Message {
                        topic: format!("{start}/{other}"),
                        ..message.clone()
                    },
                    version,
                    |_| true,
                );
            }
            Fault::Disconnects(after) if self.count >= after => self.end(version, true),
            Fault::Closes(after) if self.count >= after => self.end(version, false),
            _ => self.deliver(&message, version, |_| true),
        }
        self.count += 1;
        match self.fault {
            Fault::Stalls(milliseconds) if self.count == 300 => Duration::from_millis(milliseconds),
            _ => Duration::ZERO,
        }
    }

    fn acknowledge(&self, publish: &Publish, version: Version, out: &Out) {
        let Some(id) = publish.qos.packet_id() else {
            return;
        };
        let (times, reason) = match self.fault {
            Fault::AcknowledgesNot(every) if self.hit(every) => (0, ReasonCode::Success),
            Fault::AcknowledgesTwice(every) if self.hit(every) => (2, ReasonCode::Success),
            Fault::RefusesMessages(every) if self.hit(every) => (1, ReasonCode::QuotaExceeded),
            _ => (1, ReasonCode::Success),
        };
        for _ in 0..times {
            match publish.qos {
                PublishQoS::ExactlyOnce(_) => {
                    send(out, &Packet::PubRec(Ack::new(id, reason)), version)
                }
                _ => send(out, &Packet::PubAck(Ack::new(id, reason)), version),
            }
        }
    }

    /// Of two messages of two publishers, the second subscriber gets the second one first.
    fn disagree(&mut self, message: Message, version: Version) {
        let stream = usize::from(message.payload[11]);
        self.aside[stream].push_back(message);
        while !self.aside.iter().any(VecDeque::is_empty) {
            let pair = [0, 1].map(|stream| self.aside[stream].pop_front().unwrap());
            let subscribers: Vec<usize> = (0..self.connections.len())
                .filter(|i| self.connections[*i].1.is_some())
                .collect();
            for (turn, subscriber) in subscribers.into_iter().enumerate() {
                for at in [turn % 2, 1 - turn % 2] {
                    self.deliver(&pair[at], version, |index| index == subscriber);
                }
            }
        }
    }

    fn deliver(&self, message: &Message, version: Version, to: impl Fn(usize) -> bool) {
        let id = PacketId::new(1).unwrap();
        let qos = match message.qos {
            0 => PublishQoS::AtMostOnce,
            1 => PublishQoS::AtLeastOnce(id),
            _ => PublishQoS::ExactlyOnce(id),
        };
        let topic = mqtt_codec::TopicName::new(Bytes::from(message.topic.clone())).unwrap();
        let publish = Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic: Some(topic),
            properties: Properties::default(),
            payload: message.payload.clone(),
        });
        for (index, (out, filter)) in self.connections.iter().enumerate() {
            if filter.as_ref() == Some(&message.topic) && to(index) {
                send(out, &publish, version);
            }
        }
    }

    fn end(&mut self, version: Version, say_so: bool) {
        self.ended = true;
        for (out, _) in &self.connections {
            if say_so {
                send(
                    out,
                    &Packet::Disconnect(Disconnect::new(ReasonCode::ServerShuttingDown)),
                    version,
                );
            }
            let _ = out.send(Vec::new());
        }
    }
}

fn filter(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
