//! The end of a broker: what clients are told, who is waited for, and for how long.

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker_core::store::SessionStore;
use mqtt_store_memory::MemoryStore;
use tokio::time::Instant;

use crate::net::{Net, rest};
use crate::script::{post, v5, v311};
use crate::store::GateStore;
use crate::{Q0, Q1};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn clients_are_told_and_their_wills_published() {
    let net = Net::new().await;
    let mut a = net.connect("a", v5().will(post("will", "of a"))).await;
    let mut b = net.connect("b", v311().will(post("will", "of b"))).await;
    a.subscribe("will", Q0).await;
    b.subscribe("will", Q0).await;
    let silent = net.open("silent");
    let start = now();
    let broker = net.broker.clone();
    let shutdown = tokio::spawn(async move { broker.shutdown(HOUR).await });
    for client in [&mut a, &mut b] {
        let mut wills = [client.line().await, client.line().await];
        wills.sort();
        assert_eq!(wills, ["PUBLISH will of a q0", "PUBLISH will of b q0"]);
    }
    a.expect("DISCONNECT ServerShuttingDown").await;
    a.expect("CLOSED").await;
    b.expect("CLOSED").await;
    assert!(!shutdown.is_finished());
    drop((a, b, silent));
    shutdown.await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(1));
    net.serving.await.unwrap().unwrap();
    assert_eq!(net.broker.connections(), 0);
}

/// Nobody is waited for longer than the linger time, and not longer than the caller wants.
#[tokio::test(start_paused = true)]
async fn who_never_reads_is_not_waited_for() {
    for (within, most) in [(HOUR, 5000), (Duration::from_secs(2), 2000)] {
        let net = Net::new().await;
        let mut never = net.open_narrow("never", 64);
        never.hello(&v5()).await;
        never.expect("CONNACK Success").await;
        never.subscribe("t", Q0).await;
        let mut other = net.connect("other", v5()).await;
        other.publish(post("t", "x".repeat(1000))).await;
        rest().await;
        drop(other);
        let start = now();
        net.broker.shutdown(within).await.unwrap();
        let took = start.elapsed().as_millis();
        assert!((most - 100..most + 100).contains(&took), "{took} ms");
    }
}

/// Clients that come meanwhile are closed, and one that slips in is not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_may_come_while_it_shuts_down() {
    for round in 0..1000 {
        let net = Arc::new(Net::new().await);
        let coming: Vec<_> = (0..20)
            .map(|number| {
                let net = net.clone();
                tokio::spawn(async move {
                    let mut client = net.open(&format!("c{number}"));
                    drop(net);
                    let _ = client.try_hello(&v5()).await;
                    while client.line().await != "CLOSED" {}
                })
            })
            .collect();
        for _ in 0..(round % 200) * 50 {
            std::hint::spin_loop();
        }
        let broker = net.broker.clone();
        // With the last of them, what nobody has accepted is gone.
        drop(net);
        let shutdown = broker.shutdown(HOUR);
        let ended = tokio::time::timeout(Duration::from_secs(30), shutdown).await;
        ended.expect("it waits for somebody").unwrap();
        for client in coming {
            client.await.unwrap();
        }
        assert_eq!(broker.connections(), 0);
    }
}

#[tokio::test]
async fn afterwards_nothing_more_happens() {
    let net = Net::new().await;
    net.broker.shutdown(HOUR).await.unwrap();
    net.broker.shutdown(HOUR).await.unwrap();
    let again = Net::serve(net.broker.clone());
    let mut late = again.open("late");
    late.expect("CLOSED").await;
    again.serving.await.unwrap().unwrap();
    let failed = tokio::time::timeout(Duration::from_millis(10), net.broker.failed());
    assert!(failed.await.is_err(), "to end is not to fail");
}

/// What was sent before the end is committed, with what the end itself changes.
#[tokio::test]
async fn all_is_committed() {
    let store = GateStore::shut();
    store.open();
    let net = Net::on(store.clone()).await;
    let mut a = net.connect("a", v5().stays()).await;
    a.subscribe("t", Q1).await;
    store.shut_again();
    a.publish(post("t", "x").qos(Q1)).await;
    a.expect("PUBLISH t x q1 id1").await;
    let broker = net.broker.clone();
    let shutdown = tokio::spawn(async move { broker.shutdown(HOUR).await });
    rest().await;
    assert!(!shutdown.is_finished());
    store.open();
    // The answer was promised by nobody else.
    a.expect("PUBACK id2").await;
    a.expect("DISCONNECT ServerShuttingDown").await;
    drop(a);
    shutdown.await.unwrap().unwrap();
    let sessions = store.inner.sessions(None, 10).await.unwrap();
    let (_, session) = &sessions[0];
    assert!(session.record.disconnected.is_some());
    assert_eq!(session.deliveries, Some(1..=1));
}

/// Two that shut down at once both wait for the end.
#[tokio::test]
async fn it_may_be_asked_for_twice_at_once() {
    let net = Net::on(Arc::new(MemoryStore::default())).await;
    let client = net.connect("a", v5()).await;
    let shutdowns = [(); 2].map(|()| {
        let broker = net.broker.clone();
        tokio::spawn(async move { broker.shutdown(HOUR).await })
    });
    rest().await;
    assert!(shutdowns.iter().all(|shutdown| !shutdown.is_finished()));
    drop(client);
    for shutdown in shutdowns {
        shutdown.await.unwrap().unwrap();
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "it is the paused clock of the test"
)]
fn now() -> Instant {
    Instant::now()
}
