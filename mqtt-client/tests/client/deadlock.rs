//! What must not block.

use mqtt_client::{QoS, testing};

use crate::{Pair, SECOND};

#[tokio::test(start_paused = true)]
async fn publishing_from_the_loop_that_reads_with_a_queue_of_one() {
    let mut pair = Pair::with(|builder| builder.queue(1, usize::MAX).in_flight_max(1)).await;
    let mut stream = pair.subscribe("in", QoS::AtLeastOnce).await;
    let client = pair.client.clone();
    let echo = tokio::spawn(async move {
        for _ in 0..50 {
            let message = stream.next().await.unwrap();
            client.publish("out", message.payload).await.unwrap();
        }
    });
    for _ in 0..50 {
        pair.connection.publish("in", "x", QoS::AtLeastOnce).await;
    }
    let mut published = 0;
    while published < 50 {
        if let mqtt_codec::Packet::Publish(publish) = pair.connection.receive().await {
            pair.connection.acknowledge(&publish).await;
            published += 1;
        }
    }
    echo.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_with_a_small_queue() {
    let (builder, mut broker) = testing::pair();
    let client = builder
        .queue(3, usize::MAX)
        .in_flight_max(2)
        .start()
        .unwrap();
    let mut connection = broker.accept().await;
    let tasks: Vec<_> = (0..20)
        .map(|task: u32| {
            let client = client.clone();
            tokio::spawn(async move {
                for number in 0_u32..50 {
                    let published =
                        client.publish(format!("t/{task}"), number.to_be_bytes().to_vec());
                    if number % 7 == 0 {
                        drop(published.enqueue().await.unwrap());
                    } else {
                        published.await.unwrap();
                    }
                }
            })
        })
        .collect();
    let mut next = [0_u32; 20];
    for _ in 0..20 * 50 {
        let publish = connection.expect_publish().await;
        connection.acknowledge(&publish).await;
        let topic = publish.topic.unwrap();
        let task: usize = topic.as_str().strip_prefix("t/").unwrap().parse().unwrap();
        assert_eq!(publish.payload, next[task].to_be_bytes().to_vec());
        next[task] += 1;
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_waits_for_room_ends_with_the_client() {
    let (builder, mut broker) = testing::pair();
    broker.unreachable();
    let client = builder.queue(1, usize::MAX).start().unwrap();
    drop(client.publish("a", "0").try_enqueue().unwrap());
    let waiting = tokio::spawn(client.publish("a", "1").into_future());
    crate::settle().await;
    let report = client.disconnect().drain(SECOND).await.unwrap();
    assert_eq!(report.undelivered.len(), 1);
    waiting.await.unwrap().unwrap_err();
}
