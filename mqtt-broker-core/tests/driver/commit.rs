//! Commits: nothing is promised before one, many share one, and none follows one that failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mqtt_broker_core::authority::{Authority, Decision, Grant, Permissions, Question};
use mqtt_broker_core::store::testkit::FlakyStore;
use mqtt_broker_core::store::{Batch, Delivery, Expiring, SessionStore, StoreError, StoredSession};
use mqtt_broker_core::{Broker, ClientId, Limits, Message, Peer};
use mqtt_codec::{Ack, Packet, PacketId, ReasonCode, TopicFilter, TopicName};
use mqtt_store_memory::MemoryStore;

use crate::net::{Client, Net, rest};
use crate::script::{post, v5, v311};
use crate::store::GateStore;
use crate::{Q1, Q2};

#[tokio::test]
async fn an_answer_leaves_after_its_commit() {
    let store = GateStore::shut();
    let net = Net::on(store.clone()).await;
    let mut a = net.open("a");
    a.hello(&v5().stays()).await;
    assert_eq!(a.lines().await, [""; 0]);
    store.allow(1);
    assert_eq!(a.lines().await, ["CONNACK Success"]);

    let subscribe = a.subscribe_packet("t", Q1);
    a.send(&subscribe).await;
    assert_eq!(a.lines().await, [""; 0]);
    store.allow(1);
    assert_eq!(a.lines().await, ["SUBACK id1 GrantedQoS1"]);

    // A QoS 1 message may go at once: it promises nothing to its receiver.
    a.publish(post("t", "x").qos(Q2)).await;
    a.ping().await;
    assert_eq!(a.lines().await, ["PUBLISH t x q1 id1"]);
    store.allow(1);
    let answers = ["PUBREC id2", "PINGRESP"];
    assert_eq!(a.lines().await, answers, "nothing overtakes what waits");
}

/// Clients whose sessions end with their connections do not wait for the store.
#[tokio::test]
async fn nobody_waits_for_the_commits_of_others() {
    let store = GateStore::shut();
    let net = Net::on(store.clone()).await;
    let mut waiting = net.open("waiting");
    waiting.hello(&v311().stays()).await;
    let mut a = net.connect("a", v5()).await;
    a.subscribe("t", Q2).await;
    a.publish(post("t", "x").qos(Q1)).await;
    assert_eq!(a.lines().await, ["PUBLISH t x q1 id1", "PUBACK id2"]);
    assert_eq!(store.asked(), [1]);
    assert_eq!(waiting.lines().await, [""; 0]);
}

/// The busier the broker, the larger its commits.
#[tokio::test]
async fn what_comes_during_a_commit_shares_the_next() {
    let store = GateStore::shut();
    let net = Net::on(store.clone()).await;
    let mut clients = Vec::new();
    for number in 0..100 {
        let mut client = net.open(&format!("c{number}"));
        client.hello(&v5().stays()).await;
        rest().await;
        clients.push(client);
    }
    assert_eq!(store.asked(), [1], "one is under way");
    store.allow(1);
    rest().await;
    assert_eq!(store.asked(), [99], "the others wait for one more");
    assert_eq!(clients[0].lines().await, ["CONNACK Success"]);
    assert_eq!(clients[1].lines().await, [""; 0]);
    store.allow(1);
    for client in &mut clients[1..] {
        assert_eq!(client.lines().await, ["CONNACK Success"]);
    }
    assert_eq!(store.asked(), [0; 0]);
}

/// Behind a commit that takes its time, reading stops when too much waits for it, and goes on.
#[tokio::test]
async fn reading_stops_while_too_much_waits_for_a_commit() {
    let tight = [
        Limits {
            held_bytes_max: 1000,
            ..Limits::default()
        },
        Limits {
            batch_changes_max: 100,
            ..Limits::default()
        },
    ];
    for limits in tight {
        let store = GateStore::shut();
        store.open();
        let builder = Broker::builder(store.clone());
        let net = Net::of(builder.limits(limits.clone())).await;
        let mut keeper = net.connect("keeper", v5().stays()).await;
        keeper.subscribe("t", Q1).await;
        keeper.goodbye().await;
        keeper.expect("CLOSED").await;
        let mut publisher = net.open_narrow("publisher", 1000);
        publisher.hello(&v5()).await;
        publisher.expect("CONNACK Success").await;

        store.shut_again();
        let before = net.broker.counters().messages_received;
        let publishing = tokio::spawn(async move {
            let posts = (0..5000).map(|number| post("t", number.to_string()).qos(Q1));
            publisher.publish_all(posts.collect(), 5000).await;
            publisher
        });
        rest().await;
        let read = net.broker.counters().messages_received - before;
        assert!((50..1000).contains(&read), "{read} with {limits:?}");
        assert!(!publishing.is_finished());

        store.open();
        publishing.await.unwrap();
        let read = net.broker.counters().messages_received - before;
        assert_eq!(read, 5000);
        let mut keeper = net.open("keeper");
        keeper.hello(&v5().stays()).await;
        keeper.expect("CONNACK Success present").await;
        let expected: Vec<_> = (0..5000)
            .map(|number| number.to_string().into_bytes())
            .collect();
        assert_eq!(keeper.take_messages(5000).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn when_a_commit_fails_nothing_is_acknowledged_and_all_is_closed() {
    let store = Arc::new(FlakyStore::new(Arc::new(MemoryStore::default())));
    let net = Net::on(store.clone()).await;
    let [mut a, mut b] = pair(&net).await;
    store.fail_after(0);
    b.publish(post("t", "x").qos(Q1)).await;
    b.expect("CLOSED").await;
    // It was sent before the commit, as it may be.
    a.expect("PUBLISH t x q1 id1").await;
    a.expect("CLOSED").await;
    is_dead(&net, "the session store failed: it was told to fail").await;
}

/// The failure may come late, with many clients waiting, and some that have gone.
#[tokio::test(start_paused = true)]
async fn when_a_commit_fails_nothing_that_waited_is_sent() {
    let store = GateStore::shut();
    store.open();
    let net = Net::on(store.clone()).await;
    let [mut a, mut b] = pair(&net).await;
    store.shut_again();
    b.publish(post("t", "x").qos(Q2)).await;
    rest().await;
    b.publish(post("t", "y").qos(Q1)).await;
    let mut late = net.open("late");
    late.hello(&v5().stays()).await;
    assert_eq!(
        a.lines().await,
        ["PUBLISH t x q1 id1", "PUBLISH t y q1 id2"]
    );
    store.asked();
    store.break_down();
    for client in [&mut a, &mut b, &mut late] {
        client.expect("CLOSED").await;
    }
    is_dead(&net, "the session store failed: it was told to fail").await;
    assert_eq!(store.asked(), [0; 0], "none is tried after the failure");
}

/// A connection that is to be closed behind an answer that waits is closed without it.
#[tokio::test(start_paused = true)]
async fn when_a_commit_fails_those_are_closed_who_said_goodbye() {
    let store = GateStore::shut();
    store.open();
    let net = Net::on(store.clone()).await;
    let [_a, mut b] = pair(&net).await;
    store.shut_again();
    b.publish(post("t", "x").qos(Q1)).await;
    b.goodbye().await;
    assert_eq!(b.lines().await, [""; 0]);
    store.break_down();
    b.expect("CLOSED").await;
}

/// The client was told nothing, and waited for an answer for ever.
#[tokio::test(start_paused = true)]
async fn a_store_that_panics_has_failed() {
    let store = Arc::new(PanickingStore::default());
    let net = Net::on(store.clone()).await;
    let [mut a, mut b] = pair(&net).await;
    store.panics.store(true, Ordering::Relaxed);
    b.publish(post("t", "x").qos(Q1)).await;
    b.expect("CLOSED").await;
    a.expect("PUBLISH t x q1 id1").await;
    a.expect("CLOSED").await;
    let text = "the session store takes nothing more since a commit failed";
    is_dead(&net, text).await;
}

/// Permissions are asked under the lock of the engine, which may be half-way through something when
/// they panic.
#[tokio::test(start_paused = true)]
async fn permissions_that_panic_end_the_broker() {
    let builder = Broker::builder(Arc::new(MemoryStore::default()));
    let net = Net::of(builder.authority(Arc::new(Panicking))).await;
    let mut idle = net.connect("idle", v5()).await;
    let mut busy = net.connect("busy", v5()).await;
    let mut cause = net.connect("cause", v5()).await;
    cause.publish(post("t", "x")).await;
    cause.expect("CLOSED").await;
    busy.ping().await;
    for client in [&mut busy, &mut idle] {
        client.expect("CLOSED").await;
    }
    let text = "the session store takes nothing more since a commit failed";
    is_dead(&net, text).await;
}

/// A client with a session that stays and is subscribed to `t`, and one that publishes.
async fn pair(net: &Net) -> [Client; 2] {
    let mut a = net.connect("a", v5().stays()).await;
    a.subscribe("t", Q1).await;
    [a, net.connect("b", v5().stays()).await]
}

/// A broker that has lost its store handles nothing more, and says why.
async fn is_dead(net: &Net, why: &str) {
    assert_eq!(net.broker.failed().await.to_string(), why);
    let mut client = net.open("too late");
    client.expect("CLOSED").await;
    assert_eq!(net.broker.connections(), 0);
    let ended = net.broker.shutdown(Duration::from_secs(3600)).await;
    assert_eq!(ended.unwrap_err().to_string(), why);
}

/// Keeps everything in memory until it panics.
#[derive(Default)]
struct PanickingStore {
    inner: MemoryStore,
    panics: AtomicBool,
}

#[async_trait]
impl SessionStore for PanickingStore {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        assert!(!self.panics.load(Ordering::Relaxed), "it was told to panic");
        self.inner.commit(batch).await
    }

    async fn sessions(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, StoredSession)>, StoreError> {
        self.inner.sessions(after, limit).await
    }

    async fn deliveries(
        &self,
        client: &ClientId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Delivery)>, StoreError> {
        self.inner.deliveries(client, after, limit).await
    }

    async fn expiring(
        &self,
        after: Option<&Expiring>,
        limit: usize,
    ) -> Result<Vec<Expiring>, StoreError> {
        self.inner.expiring(after, limit).await
    }

    async fn retained(
        &self,
        after: Option<&TopicName>,
        limit: usize,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        self.inner.retained(after, limit).await
    }
}

/// Lets everybody in, and panics at the first message.
struct Panicking;

#[async_trait]
impl Authority for Panicking {
    async fn decide(&self, _: &Peer, _: Question) -> Decision {
        Decision::Accept(Grant {
            permissions: Arc::new(Self),
            ..Grant::all()
        })
    }
}

impl Permissions for Panicking {
    fn may_publish(&self, _: TopicName<&[u8]>) -> bool {
        panic!("it was told to panic")
    }

    fn may_subscribe(&self, _: TopicFilter<&[u8]>) -> bool {
        true
    }
}

/// A subscriber whose session stays, who has acknowledged a message.
async fn acknowledged(store: &Arc<GateStore>, net: &Net) -> Client {
    let mut a = net.connect("a", v311().stays()).await;
    a.subscribe("t", Q2).await;
    a.publish(post("t", "x").qos(Q1)).await;
    rest().await;
    a.expect("PUBLISH t x q1 id1").await;
    a.expect("PUBACK id2").await;
    store.asked();
    let id = PacketId::new(1).unwrap();
    a.send(&Packet::<&[u8]>::PubAck(Ack::new(id, ReasonCode::Success)))
        .await;
    rest().await;
    a
}

/// Nobody waits for the removal of a delivery. It takes part in the next commit, or has one of its
/// own after a while.
#[tokio::test(start_paused = true)]
async fn removals_wait_for_company() {
    let store = GateStore::shut();
    store.open();
    let net = Net::on(store.clone()).await;
    let mut a = acknowledged(&store, &net).await;
    assert_eq!(store.asked(), [0; 0]);
    a.subscribe("u", Q1).await;
    assert_eq!(store.asked(), [2], "with the subscription");

    a.publish(post("t", "y").qos(Q2)).await;
    a.expect("PUBLISH t y q2 id2").await;
    a.expect("PUBREC id4").await;
    let id = PacketId::new(2).unwrap();
    a.send(&Packet::<&[u8]>::PubRec(Ack::new(id, ReasonCode::Success)))
        .await;
    a.expect("PUBREL id2").await;
    store.asked();
    a.send(&Packet::<&[u8]>::PubComp(Ack::new(id, ReasonCode::Success)))
        .await;
    rest().await;
    tokio::time::sleep(Duration::from_millis(90)).await;
    assert_eq!(store.asked(), [0; 0]);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(store.asked(), [1]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(store.asked(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn removals_are_committed_before_the_end() {
    let store = GateStore::shut();
    store.open();
    let net = Net::on(store.clone()).await;
    let _a = acknowledged(&store, &net).await;
    net.broker.shutdown(Duration::ZERO).await.unwrap();
    let client = ClientId::new("a");
    let left = store.inner.deliveries(&client, None, 10).await.unwrap();
    assert_eq!(left, []);
}

/// What is sent after the next commit does not wait for removals to have waited for long enough.
#[tokio::test(start_paused = true)]
async fn removals_hold_up_nobody() {
    let store = GateStore::shut();
    store.open();
    let net = Net::on(store.clone()).await;
    let mut a = acknowledged(&store, &net).await;
    // PUBCOMP waits for a commit, whichever it is.
    let id = PacketId::new(9).unwrap();
    a.send(&Packet::<&[u8]>::PubRel(Ack::new(id, ReasonCode::Success)))
        .await;
    // No time passes while the tasks have something to do.
    rest().await;
    assert_eq!(store.asked(), [1]);
    a.expect("PUBCOMP id9").await;
}

/// When a fleet comes back, and its queues are read, acknowledgements do not wait for all of that.
#[tokio::test]
async fn commits_have_their_turn_between_reads() {
    const CLIENTS: usize = 200;
    let store = GateStore::shut();
    store.open();
    let net = Net::on(store.clone()).await;
    for number in 0..CLIENTS {
        let mut client = net.connect(&format!("c{number}"), v5().stays()).await;
        client.subscribe("t", Q1).await;
    }
    net.broker.shutdown(Duration::ZERO).await.unwrap();
    let net = Net::on(store.clone()).await;
    let mut publisher = net.connect("publisher", v5().stays()).await;
    publisher.publish(post("t", "x").qos(Q1)).await;
    publisher.expect("PUBACK id1").await;
    rest().await;
    store.reads_before();

    // All are back with one commit, and their queues are to be read.
    store.shut_again();
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = net.open(&format!("c{number}"));
        client.hello(&v5().stays()).await;
        clients.push(client);
    }
    rest().await;
    store.open();
    publisher.publish(post("t", "y").qos(Q1)).await;
    publisher.expect("PUBACK id2").await;
    for client in &mut clients {
        client.expect("CONNACK Success present").await;
        client.expect("PUBLISH t x q1 id1").await;
    }
    let reads = store.reads_before();
    let most = reads.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(most.is_some_and(|most| most <= 32), "{reads:?}");
    assert!(
        reads.iter().any(|count| (1..CLIENTS).contains(count)),
        "{reads:?}"
    );
}

/// Large messages fill memory sooner than many changes do: behind a commit that takes its time, they
/// are counted by their bytes.
#[tokio::test]
async fn reading_stops_while_too_many_bytes_wait_for_a_commit() {
    const BYTES: usize = 10_000;
    let store = GateStore::shut();
    store.open();
    let limits = Limits {
        held_bytes_max: 20 * BYTES,
        ..Limits::default()
    };
    let builder = Broker::builder(store.clone());
    let net = Net::of(builder.limits(limits)).await;
    for number in 0..10 {
        let name = format!("keeper {number}");
        let mut keeper = net.connect(&name, v5().stays()).await;
        keeper.subscribe("t", Q1).await;
        keeper.goodbye().await;
        keeper.expect("CLOSED").await;
    }
    let mut publisher = net.open_narrow("publisher", BYTES);
    publisher.hello(&v5()).await;
    publisher.expect("CONNACK Success").await;

    store.shut_again();
    let before = net.broker.counters().messages_received;
    let publishing = tokio::spawn(async move {
        let posts = (0..500).map(|_| post("t", vec![b'x'; BYTES]).qos(Q1));
        publisher.publish_all(posts.collect(), 500).await;
    });
    rest().await;
    let read = net.broker.counters().messages_received - before;
    // A message counts once in each shard, however many sessions it is for. One batch is under way, one
    // gathers.
    let least = 15 / super::SHARDS as u64;
    assert!((least..=50).contains(&read), "{read}");
    store.open();
    publishing.await.unwrap();
    let read = net.broker.counters().messages_received - before;
    assert_eq!(read, 500);
}
