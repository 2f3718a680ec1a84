//! A broker as a value: built, served on any number of listeners, on any runtime, several in one
//! process.

use std::sync::Arc;

use async_trait::async_trait;
use mqtt_broker_core::store::{Batch, Delivery, Expiring, SessionStore, StoreError, StoredSession};
use mqtt_broker_core::{Broker, BuildError, ClientId, Message};
use mqtt_codec::TopicName;

use crate::net::{Net, rest};
use crate::script::{post, v5, v31, v311};
use crate::{Q0, Q1, Q2};

#[tokio::test]
async fn clients_connect_subscribe_and_publish() {
    let net = Net::new().await;
    let mut new = net.connect("new", v5()).await;
    let mut usual = net.connect("usual", v311()).await;
    let mut old = net.connect("old", v31()).await;
    new.subscribe("t", Q2).await;
    usual.subscribe("t", Q1).await;
    old.subscribe("t", Q0).await;
    usual.publish(post("t", "hello").qos(Q2)).await;
    assert_eq!(new.lines().await, ["PUBLISH t hello q2 id1"]);
    assert_eq!(
        usual.lines().await,
        ["PUBLISH t hello q1 id1", "PUBREC id2"]
    );
    assert_eq!(old.lines().await, ["PUBLISH t hello q0"]);
    assert_eq!(net.broker.connections(), 3);
    assert_eq!(net.broker.counters().messages_received, 1);
    assert_eq!(net.broker.counters().messages_sent, 3);
    drop((new, usual));
    rest().await;
    assert_eq!(net.broker.connections(), 1);
}

#[tokio::test]
async fn brokers_in_one_process_know_nothing_of_each_other() {
    let (one, two) = (Net::new().await, Net::new().await);
    let mut clients = Vec::new();
    for net in [&one, &two] {
        let mut client = net.connect("same", v5()).await;
        client.subscribe("#", Q0).await;
        clients.push(client);
    }
    clients[0].publish(post("t", "one").retain()).await;
    assert_eq!(clients[0].lines().await, ["PUBLISH t one q0"]);
    assert_eq!(clients[1].lines().await, [""; 0]);
    one.broker
        .shutdown(std::time::Duration::ZERO)
        .await
        .unwrap();
    clients[0].expect("DISCONNECT ServerShuttingDown").await;
    clients[1].publish(post("t", "two")).await;
    assert_eq!(clients[1].lines().await, ["PUBLISH t two q0"]);
}

#[tokio::test]
async fn listeners_of_one_broker_serve_the_same_sessions() {
    let one = Net::new().await;
    let two = Net::serve(one.broker.clone());
    let mut a = one.connect("a", v5()).await;
    a.subscribe("t", Q0).await;
    let mut b = two.connect("b", v5()).await;
    b.publish(post("t", "hello")).await;
    a.expect("PUBLISH t hello q0").await;
    let _again = two.connect("a", v5()).await;
    a.expect("DISCONNECT SessionTakenOver").await;
}

#[tokio::test]
async fn connections_go_on_when_their_listener_ends() {
    let net = Net::new().await;
    let mut a = net.connect("a", v5()).await;
    a.subscribe("t", Q0).await;
    let other = Net::serve(net.broker.clone());
    let mut b = other.connect("b", v5()).await;
    // One listener is dropped, the other fails.
    net.serving.abort();
    let failed = other.fail().await;
    assert_eq!(
        failed.unwrap_err().to_string(),
        "the test has let go of its listener"
    );
    b.publish(post("t", "hello")).await;
    a.expect("PUBLISH t hello q0").await;
}

/// An embedder hands futures to a runtime of any kind, and the broker to any thread.
#[test]
fn all_can_be_sent_to_other_threads() {
    fn is_send<T: Send>(_: &T) {}
    let builder = Broker::builder(Arc::new(Unreadable));
    is_send(&builder.build());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let net = Net::new().await;
        is_send(&net.broker.shutdown(std::time::Duration::ZERO));
        is_send(&net.broker.failed());
        let mut client = net.connect("a", v5()).await;
        client.ping().await;
        client.expect("PINGRESP").await;
    });
}

#[tokio::test]
async fn a_store_that_cannot_be_read_fails_the_start() {
    let built = Broker::builder(Arc::new(Unreadable)).build().await;
    let Err(BuildError::Store(StoreError::Failed(cause))) = built.map(drop) else {
        panic!("it has been built");
    };
    assert_eq!(cause.to_string(), "it is not readable");
}

/// A store that fails to read.
struct Unreadable;

#[async_trait]
impl SessionStore for Unreadable {
    async fn commit(&self, _: Batch) -> Result<(), StoreError> {
        Ok(())
    }

    async fn sessions(
        &self,
        _: Option<&ClientId>,
        _: usize,
    ) -> Result<Vec<(ClientId, StoredSession)>, StoreError> {
        Ok(Vec::new())
    }

    async fn deliveries(
        &self,
        _: &ClientId,
        _: Option<u64>,
        _: usize,
    ) -> Result<Vec<(u64, Delivery)>, StoreError> {
        Ok(Vec::new())
    }

    async fn expiring(&self, _: Option<&Expiring>, _: usize) -> Result<Vec<Expiring>, StoreError> {
        Ok(Vec::new())
    }

    async fn retained(
        &self,
        _: Option<&TopicName>,
        _: usize,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        Err(StoreError::failed("it is not readable"))
    }
}
