//! Many clients at once, on runtimes with one thread and with several, with fewer and more shards than
//! threads: nothing is lost, nothing comes twice, and all subscribers of a topic see one order.

use std::sync::Arc;

use mqtt_broker_core::Broker;
use mqtt_codec::QoS;
use mqtt_store_memory::MemoryStore;
use tokio::runtime::Builder;

use crate::net::Net;
use crate::script::{post, v5, v311};
use crate::{Q0, Q1, Q2};

const PUBLISHERS: usize = 6;
const SUBSCRIBERS: usize = 6;
const MESSAGES: usize = 200;

#[test]
fn one_thread_serves_many_clients() {
    for shards in [1, 2, 5] {
        let runtime = Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(crowd(shards));
    }
}

#[test]
fn several_threads_serve_many_clients() {
    for shards in [1, 2, 4, 7] {
        let runtime = Builder::new_multi_thread()
            .worker_threads(4)
            .enable_time()
            .build();
        runtime.unwrap().block_on(crowd(shards));
    }
}

async fn crowd(shards: usize) {
    for qos in [Q0, Q1, Q2] {
        let builder = Broker::builder(Arc::new(MemoryStore::default()));
        let net = Arc::new(Net::spread(builder, shards).await);
        let mut subscribers = Vec::new();
        for number in 0..SUBSCRIBERS {
            let net = net.clone();
            // Every second one has a session that is stored.
            let hello = [v5(), v311().stays()][number % 2].clone();
            let mut client = net.connect(&format!("s{number}"), hello).await;
            let filter = ["crowd", "+", "#"][number % 3];
            client.subscribe(filter, qos).await;
            subscribers.push(tokio::spawn(async move {
                client.take_messages(PUBLISHERS * MESSAGES).await
            }));
        }
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|number| tokio::spawn(publish(net.clone(), number, qos)))
            .collect();
        for publisher in publishers {
            publisher.await.unwrap();
        }
        let mut seen = Vec::new();
        for subscriber in subscribers {
            seen.push(subscriber.await.unwrap());
        }
        check(&seen);
    }
}

async fn publish(net: Arc<Net>, number: usize, qos: QoS) {
    let hello = [v5().stays(), v311()][number % 2].clone();
    let mut client = net.connect(&format!("p{number}"), hello).await;
    let posts = (0..MESSAGES).map(|at| post("crowd", format!("{number} {at}")).qos(qos));
    client.publish_all(posts.collect(), 20).await;
}

fn check(seen: &[Vec<Vec<u8>>]) {
    let first = &seen[0];
    for other in seen {
        assert!(other == first, "two subscribers see different orders");
    }
    for number in 0..PUBLISHERS {
        let prefix = format!("{number} ");
        let own = first
            .iter()
            .filter(|payload| payload.starts_with(prefix.as_bytes()));
        let expected = (0..MESSAGES).map(|at| format!("{number} {at}").into_bytes());
        assert!(own.eq(&expected.collect::<Vec<_>>()), "publisher {number}");
    }
}
