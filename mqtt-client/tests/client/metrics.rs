//! The counters.

use std::time::Duration;

use crate::Pair;

#[tokio::test(start_paused = true)]
async fn a_round_trip_is_timed() {
    let mut pair = Pair::new().await;
    let receipt = pair.client.publish("a", "1").try_enqueue().unwrap();
    let publish = pair.connection.expect_publish().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    pair.connection.acknowledge(&publish).await;
    receipt.await.unwrap();
    let times = pair.client.metrics().round_trips;
    assert_eq!(times.count(), 1);
    let mean = times.mean().unwrap();
    assert!((100..110).contains(&mean.as_millis()), "{mean:?}");
}
