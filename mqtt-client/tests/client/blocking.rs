//! The client that blocks.

use std::time::Duration;

use mqtt_client::{QoS, blocking, testing};

#[test]
fn it_publishes_iterates_and_disconnects_when_it_is_dropped() {
    let (builder, mut broker) = testing::pair();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut connection = broker.accept().await;
            connection.expect_and_grant().await;
            let publish = connection.expect_publish().await;
            connection.acknowledge(&publish).await;
            connection.publish("in", "1", QoS::AtMostOnce).await;
            connection.publish("in", "2", QoS::AtMostOnce).await;
            let unsubscribe = connection.expect_unsubscribe().await;
            connection.release(&unsubscribe).await;
            connection.expect_disconnect().await;
        });
    });
    let client = blocking::Client::connect_with(builder).unwrap();
    let mut stream = client
        .subscribe_with(|it| it.subscribe("in").qos(QoS::AtMostOnce))
        .unwrap();
    assert!(stream.try_next().is_none());
    assert!(stream.next_timeout(Duration::from_millis(1)).is_none());
    client.publish("out", "x").unwrap();
    assert_eq!(stream.next().unwrap().payload, "1");
    assert_eq!(
        stream
            .next_timeout(Duration::from_secs(10))
            .unwrap()
            .payload,
        "2"
    );
    drop(client);
    stream.unsubscribe().unwrap();
    server.join().unwrap();
}
