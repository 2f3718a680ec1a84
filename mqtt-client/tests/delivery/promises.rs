//! What is accepted is delivered as promised, whatever becomes of the connections and the broker.

use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use mqtt_client::{Client, QoS, Version};

use crate::broker::{Broker, Kind, Sessions};
use crate::ledger::Promise;
use crate::parties::{Book, Load, Reader, builder_of, outcome, publish_all, settle, tell_states};
use crate::proxy::{Plan, Proxy};
use crate::seeds::seeds;
use crate::soon;

/// How many connections a proxy cuts.
const CUT: usize = 8;

/// How a run goes, apart from its seed.
#[derive(Clone, Copy, Debug)]
struct Run {
    kind: Kind,
    transport: Transport,
    version: Version,
    trouble: Trouble,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    WebSocket,
}

impl Run {
    fn address(self, broker: &Broker) -> SocketAddr {
        match self.transport {
            Transport::Tcp => broker.address(),
            Transport::WebSocket => broker.websocket_address(),
        }
    }

    fn url(self, proxy: &Proxy) -> String {
        match self.transport {
            Transport::Tcp => format!("mqtt://{}", proxy.address()),
            Transport::WebSocket => format!("ws://{}/mqtt", proxy.address()),
        }
    }

    /// Mosquitto counts badly, and what it sends too early overtakes what waits: there, nothing has to wait.
    fn receive_maximum(self, random: &mut Rng) -> u16 {
        let few = random.choice([1, 3, 256]).unwrap();
        if self.kind == Kind::Mosquitto {
            256
        } else {
            few
        }
    }

    /// Mosquitto 2.0.11 now and then sends the PUBLISH again for which it has sent a PUBREL: exactly once is not for
    /// a client to promise there.
    fn subscribed(self) -> QoS {
        match self.kind {
            Kind::Mosquitto => QoS::AtLeastOnce,
            Kind::Embedded | Kind::Mqttd => QoS::ExactlyOnce,
        }
    }
}

/// What is done to connections and broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Connections are cut, but not before the CONNACK has arrived.
    CutLater,
    /// Connections are cut.
    Cut,
    /// Connections are cut, and the broker is killed.
    Killed(Sessions),
}

impl Trouble {
    const fn promise(self) -> Promise {
        match self {
            Self::CutLater => Promise::Exact,
            Self::Cut | Self::Killed(Sessions::Kept) => Promise::Kept,
            Self::Killed(Sessions::Lost) => Promise::Lost,
        }
    }

    fn plan(self, random: &mut Rng) -> Plan {
        let plan = Plan::random(random.u64(..), CUT);
        match self {
            // More than a CONNECT and a CONNACK have.
            Self::CutLater => plan.after(200),
            Self::Cut | Self::Killed(_) => plan,
        }
    }
}

async fn both_versions(kind: Kind, trouble: Trouble, few: u64) {
    over(Transport::Tcp, kind, trouble, few).await;
}

async fn over(transport: Transport, kind: Kind, trouble: Trouble, few: u64) {
    for seed in seeds(few) {
        for version in [Version::V3_1_1, Version::V5] {
            let run = Run {
                kind,
                transport,
                version,
                trouble,
            };
            if !keeps_its_promise(run, seed).await {
                return;
            }
        }
    }
}

/// Publishes through one bad proxy and receives through another, while the broker is killed now and then.
/// False if there is no such broker here.
async fn keeps_its_promise(run: Run, seed: u64) -> bool {
    println!("seed {seed}, {run:?}");
    let mut random = Rng::with_seed(seed);
    let Some(mut broker) = Broker::start(run.kind).await else {
        return false;
    };
    println!("the publisher's proxy:");
    let upstream = Proxy::start(run.address(&broker), run.trouble.plan(&mut random));
    println!("the subscriber's proxy:");
    let downstream = Proxy::start(run.address(&broker), run.trouble.plan(&mut random));
    let book = Book::new(run.subscribed());

    let mut client = |proxy: &Proxy, client_id| {
        builder_of(&run.url(proxy), run.version, client_id)
            .receive_maximum(run.receive_maximum(&mut random))
            .in_flight_max(random.choice([1, 10, 1000]).unwrap())
            .start()
            .unwrap()
    };
    let subscriber = client(&downstream, "subscriber");
    tell_states("subscriber", &subscriber);
    let _reader = Reader::start(&subscriber, book.clone()).await;
    let publisher = client(&upstream, "publisher");
    tell_states("publisher", &publisher);
    // Some are larger than what is read or written at once.
    let (messages, payload_bytes_max) = if seed % 3 == 2 {
        (40, 20_000)
    } else {
        (150, 100)
    };
    let load = Load {
        messages,
        pause: Duration::from_millis(3),
        payload_bytes_max,
    };
    let publishing = publish_all(publisher.clone(), book.clone(), load, random.fork());
    let publishing = tokio::spawn(publishing);
    if let Trouble::Killed(sessions) = run.trouble {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(random.u64(20..200))).await;
            broker.kill(sessions).await;
            tokio::time::sleep(Duration::from_millis(random.u64(0..40))).await;
            broker.restart().await;
        }
    }
    publishing.await.unwrap();
    still_works(&publisher, &book, load.messages).await;
    let promise = run.trouble.promise();
    settle(&book, promise).await;

    let ledger = book.open();
    let broken = ledger.broken(promise);
    assert!(broken.is_empty(), "not as promised:\n{broken}");
    // A message is given up after three connections at the least.
    let connections = upstream.seen().connections;
    if !matches!(run.trouble, Trouble::Killed(_)) {
        // It is not the clients that end connections.
        let most = connections.max(downstream.seen().connections);
        assert!(most <= CUT + 1, "{most} connections");
    }
    let poisoned = ledger.poisoned();
    assert!(
        3 * poisoned <= connections,
        "{poisoned} given up in {connections} connections"
    );
    println!(
        "{} duplicates, {poisoned} given up, {connections} connections",
        ledger.duplicates()
    );
    true
}

/// In the end, what is published arrives, whatever was lost before: a subscriber that is connected, but not
/// subscribed any more, would wait for ever.
async fn still_works(publisher: &Client, book: &Book, last: u64) {
    let arrives = async {
        for number in last + 1.. {
            let index = book.open().accept("t/1/0", number, QoS::AtLeastOnce);
            let publish = publisher.publish("t/1/0", format!("{number} "));
            let outcome = outcome(publish.await);
            book.open().settle(index, outcome);
            tokio::time::sleep(Duration::from_millis(20)).await;
            if book.open().has_received("t/1/0", last + 1..) {
                break;
            }
        }
    };
    soon("a message after all that", arrives).await;
}

#[tokio::test]
async fn connections_are_cut_later() {
    both_versions(Kind::Embedded, Trouble::CutLater, 3).await;
}

#[tokio::test]
async fn connections_are_cut_anywhere() {
    both_versions(Kind::Embedded, Trouble::Cut, 3).await;
}

#[tokio::test]
async fn connections_to_mqttd_are_cut() {
    both_versions(Kind::Mqttd, Trouble::CutLater, 1).await;
    both_versions(Kind::Mqttd, Trouble::Cut, 1).await;
}

#[tokio::test]
async fn websockets_are_cut() {
    over(Transport::WebSocket, Kind::Mqttd, Trouble::Cut, 2).await;
}

#[tokio::test]
async fn connections_to_mosquitto_are_cut() {
    both_versions(Kind::Mosquitto, Trouble::CutLater, 1).await;
    both_versions(Kind::Mosquitto, Trouble::Cut, 1).await;
}

#[tokio::test]
async fn the_broker_dies_and_keeps_its_sessions() {
    both_versions(Kind::Embedded, Trouble::Killed(Sessions::Kept), 3).await;
}

#[tokio::test]
async fn mqttd_dies_and_keeps_its_sessions() {
    both_versions(Kind::Mqttd, Trouble::Killed(Sessions::Kept), 2).await;
}

#[tokio::test]
async fn mosquitto_ends_and_keeps_its_sessions() {
    both_versions(Kind::Mosquitto, Trouble::Killed(Sessions::Kept), 2).await;
}

#[tokio::test]
async fn the_broker_dies_and_loses_its_sessions() {
    both_versions(Kind::Embedded, Trouble::Killed(Sessions::Lost), 3).await;
}

#[tokio::test]
async fn mqttd_dies_and_loses_its_sessions() {
    both_versions(Kind::Mqttd, Trouble::Killed(Sessions::Lost), 2).await;
}

#[tokio::test]
async fn mosquitto_dies_and_loses_its_sessions() {
    both_versions(Kind::Mosquitto, Trouble::Killed(Sessions::Lost), 2).await;
}
