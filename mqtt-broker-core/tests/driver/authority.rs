//! Authorities that take their time, and what waits for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use mqtt_broker_core::authority::{Authority, Decision, Grant, Question};
use mqtt_broker_core::{Broker, Peer};
use mqtt_codec::{Auth, Packet, Properties, Property, ReasonCode};
use mqtt_store_memory::MemoryStore;
use tokio::sync::oneshot;

use crate::net::{Net, rest};
use crate::script::{post, text, v5, v311};
use crate::{Q0, Q1};

/// Answers when the test does.
#[derive(Default)]
struct Desk {
    /// What was asked and not answered yet, by client identifier.
    asked: Mutex<HashMap<String, oneshot::Sender<Decision>>>,
    peers: Mutex<Vec<String>>,
}

#[async_trait]
impl Authority for Desk {
    async fn decide(&self, peer: &Peer, question: Question) -> Decision {
        let client = match question {
            Question::Connect(credentials) => credentials.client_id,
            Question::Authenticate { credentials, .. } => credentials.client_id.clone(),
        };
        self.peers.lock().unwrap().push(peer.to_string());
        let (answer, answered) = oneshot::channel();
        self.asked.lock().unwrap().insert(client, answer);
        let decision = answered.await;
        decision.unwrap_or(Decision::Refuse(ReasonCode::ServerUnavailable))
    }
}

impl Desk {
    fn answer(&self, client: &str, decision: Decision) {
        let question = self.asked.lock().unwrap().remove(client);
        question.unwrap().send(decision).unwrap();
    }

    fn accept(&self, client: &str) {
        self.answer(client, Decision::Accept(Grant::all()));
    }

    /// True if nobody waits for the answer any more.
    fn is_dropped(&self, client: &str) -> bool {
        self.asked.lock().unwrap()[client].is_closed()
    }
}

async fn net(desk: &Arc<Desk>) -> Net {
    let builder = Broker::builder(Arc::new(MemoryStore::default()));
    Net::of(builder.authority(desk.clone())).await
}

#[tokio::test]
async fn only_the_connection_in_question_waits() {
    let desk = Arc::new(Desk::default());
    let net = net(&desk).await;
    let mut slow = net.open("slow");
    slow.hello(&v5()).await;
    let mut quick = net.open("quick");
    quick.hello(&v5()).await;
    assert_eq!(quick.lines().await, [""; 0]);
    desk.accept("quick");
    quick.expect("CONNACK Success").await;
    quick.subscribe("t", Q0).await;
    quick.publish(post("t", "x")).await;
    quick.expect("PUBLISH t x q0").await;
    assert_eq!(slow.lines().await, [""; 0]);
    desk.accept("slow");
    slow.expect("CONNACK Success").await;
    assert_eq!(*desk.peers.lock().unwrap(), ["slow", "quick"]);
}

/// Clients need not wait for the CONNACK; what they send waits for the answer.
#[tokio::test]
async fn packets_behind_the_connect_are_handled_after_the_answer() {
    let desk = Arc::new(Desk::default());
    let net = net(&desk).await;
    for hello in [v5(), v311()] {
        let mut client = net.open("a");
        let packets = [
            Packet::Connect(hello.packet("a")),
            client.subscribe_packet("t", Q1),
            client.post(post("t", "x".repeat(200_000))),
            client.post(post("t", "2").qos(Q1)),
            Packet::PingReq,
        ];
        let mut bytes = Vec::new();
        for packet in packets {
            packet.encode(hello.version, &mut bytes).unwrap();
        }
        client.speak(hello.version);
        client.write(&bytes).await;
        assert_eq!(client.lines().await, [""; 0]);
        desk.accept("a");
        let expected = [
            "CONNACK Success",
            "SUBACK id1 GrantedQoS1",
            "PUBLISH t (200000 bytes) q0",
            "PUBLISH t 2 q1 id1",
            "PUBACK id2",
            "PINGRESP",
        ];
        assert_eq!(client.lines().await, expected);
    }
}

#[tokio::test]
async fn what_is_behind_a_refused_connect_is_not_handled() {
    let desk = Arc::new(Desk::default());
    let net = net(&desk).await;
    let mut watcher = net.open("watcher");
    watcher.hello(&v5()).await;
    rest().await;
    desk.accept("watcher");
    watcher.expect("CONNACK Success").await;
    watcher.subscribe("#", Q0).await;
    for hello in [v5(), v311()] {
        let mut client = net.open("a");
        client.hello(&hello.will(post("will", "x"))).await;
        client.publish(post("t", "x")).await;
        rest().await;
        desk.answer("a", Decision::Refuse(ReasonCode::NotAuthorized));
        client.expect("CONNACK NotAuthorized").await;
        client.expect("CLOSED").await;
    }
    assert_eq!(watcher.lines().await, [""; 0]);
}

/// An exchange of AUTH packets, with all that the client has to say sent ahead.
#[tokio::test]
async fn each_step_of_an_authentication_waits_for_the_one_before() {
    let desk = Arc::new(Desk::default());
    let net = net(&desk).await;
    let mut client = net.open("a");
    client.hello(&v5().method("dance", b"1")).await;
    client.send(&auth(b"2")).await;
    client.send(&auth(b"3")).await;
    client.ping().await;
    for step in [&b"one"[..], b"two"] {
        assert_eq!(client.lines().await, [""; 0]);
        let data = Some(Bytes::copy_from_slice(step));
        desk.answer("a", Decision::Continue(data));
        let text = step.escape_ascii();
        client
            .expect(&format!("AUTH ContinueAuthentication {text}"))
            .await;
    }
    rest().await;
    desk.accept("a");
    assert_eq!(client.lines().await, ["CONNACK Success", "PINGRESP"]);
}

#[tokio::test]
async fn nobody_is_asked_any_more_when_the_broker_shuts_down() {
    let desk = Arc::new(Desk::default());
    let net = net(&desk).await;
    let mut client = net.open("a");
    client.hello(&v5()).await;
    rest().await;
    assert!(!desk.is_dropped("a"));
    let broker = net.broker.clone();
    let shutdown = tokio::spawn(async move { broker.shutdown(std::time::Duration::MAX).await });
    client.expect("CLOSED").await;
    assert!(desk.is_dropped("a"));
    drop(client);
    shutdown.await.unwrap().unwrap();
}

fn auth(data: &[u8]) -> Packet {
    let method = text("dance");
    let properties = [
        Property::AuthenticationMethod(method.as_view()),
        Property::AuthenticationData(data),
    ];
    Packet::Auth(Auth {
        reason: ReasonCode::ContinueAuthentication,
        properties: Properties::new(properties).unwrap(),
    })
}
