//! What each call of the client says of itself: with a broker that the test plays, and in paused time.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at what it did not expect"
)]

mod authenticate;
mod blocking;
mod connect;
mod deadlock;
mod disconnect;
mod embedded;
mod metrics;
mod outbox;
mod publish;
mod request;
mod subscribe;
mod take;

use std::time::Duration;

use mqtt_client::testing::{self, Broker, Connection};
use mqtt_client::{Builder, Client, Delivery, QoS, Subscription};

/// A client that is connected.
struct Pair {
    client: Client,
    broker: Broker,
    connection: Connection,
}

impl Pair {
    async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(options: impl FnOnce(Builder) -> Builder) -> Self {
        let (builder, mut broker) = testing::pair();
        let client = options(builder).start().unwrap();
        let connection = broker.accept().await;
        settle().await;
        Self {
            client,
            broker,
            connection,
        }
    }

    async fn subscribe(&mut self, filter: &str, qos: QoS) -> Subscription {
        let subscribe = tokio::spawn(self.client.subscribe(filter).qos(qos).into_future());
        self.connection.expect_and_grant().await;
        subscribe.await.unwrap().unwrap()
    }

    async fn subscribe_manually(&mut self, filter: &str, qos: QoS) -> Subscription<Delivery> {
        self.subscribe(filter, qos).await.manual_ack()
    }
}

/// Lets everybody do what they can do now.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

const SECOND: Duration = Duration::from_secs(1);
