//! Publishing.

use mqtt_client::testing;

#[tokio::test(start_paused = true)]
async fn a_publish_resolves_with_the_puback() {
    let (builder, mut broker) = testing::pair();
    let client = builder.start().unwrap();
    let mut connection = broker.accept().await;
    let published = tokio::spawn(client.publish("lamp", "on").into_future());
    let publish = connection.expect_publish().await;
    assert!(!published.is_finished());
    connection.acknowledge(&publish).await;
    published.await.unwrap().unwrap();
    drop(client);
    connection.expect_disconnect().await;
}
