//! How long a client waits before another attempt.

use std::time::Duration;

use mqtt_client::{Client, State, Version};
use mqtt_codec::ReasonCode;

use crate::fake_broker::{FakeBroker, MemoryBroker, Session};
use crate::parties::builder;
use crate::soon;

/// The delays that a client announces while its server refuses it so, one an attempt.
async fn delays(
    broker: &FakeBroker,
    client: &Client,
    reason: ReasonCode,
    attempts: usize,
) -> Vec<Duration> {
    let mut state = client.state();
    let mut delays = Vec::new();
    for _ in 0..attempts {
        broker.connection().await.refuse(reason).await;
        let delay = soon("another attempt", async {
            loop {
                if let State::Connecting {
                    next_in,
                    last_error: Some(_),
                    ..
                } = state.changed().await
                {
                    return next_in;
                }
            }
        });
        delays.push(delay.await);
    }
    delays
}

fn slow(broker: &FakeBroker) -> Client {
    builder(broker.address(), Version::V5, "client")
        .backoff(Duration::from_millis(8)..=Duration::from_millis(64))
        .start()
        .unwrap()
}

fn millis(bounds: [u64; 6]) -> [Duration; 6] {
    bounds.map(Duration::from_millis)
}

/// Anything from zero to a bound that doubles, up to a maximum.
#[tokio::test]
async fn delays_double_with_full_jitter() {
    let mut small = 0;
    let mut large = 0;
    for _ in 0..8 {
        let broker = FakeBroker::start();
        let client = slow(&broker);
        let delays = delays(&broker, &client, ReasonCode::UnspecifiedError, 6).await;
        for (delay, bound) in delays.iter().zip(millis([8, 16, 32, 64, 64, 64])) {
            assert!(*delay <= bound, "{delays:?}");
            small += usize::from(*delay < bound / 2);
            large += usize::from(*delay > bound / 2);
        }
    }
    // 48 of them: all on one side is a chance of 2⁻⁴⁷.
    assert!(small > 0 && large > 0, "{small} {large}");
}

/// A server that has too much to do is left alone for longer.
#[tokio::test]
async fn a_busy_server_gets_more_time() {
    let mut longer = 0;
    for reason in [
        ReasonCode::ServerUnavailable,
        ReasonCode::ServerBusy,
        ReasonCode::QuotaExceeded,
        ReasonCode::ConnectionRateExceeded,
    ] {
        for _ in 0..4 {
            let broker = FakeBroker::start();
            let client = slow(&broker);
            let delay = delays(&broker, &client, reason, 1).await[0];
            assert!(delay <= Duration::from_millis(16), "{delay:?}");
            longer += usize::from(delay > Duration::from_millis(8));
        }
    }
    // 16 of them: none above the half is a chance of 2⁻¹⁶.
    assert!(longer > 0);
}

/// In memory, with a clock that jumps: delays as long as they are by default.
#[tokio::test(start_paused = true)]
async fn a_connection_that_lasts_is_a_new_beginning() {
    for (lasts, bound) in [(11_000, 250), (9_000, 4_000)] {
        let mut largest = Duration::ZERO;
        for seed in 0..30 {
            let client = Client::builder("mqtt://nowhere")
                .client_id("client")
                .seed(seed);
            let (mut broker, client) = MemoryBroker::new(client);
            let mut state = client.state();
            // Some failures, then a connection.
            for _ in 0..4 {
                broker
                    .connection()
                    .await
                    .refuse(ReasonCode::UnspecifiedError)
                    .await;
            }
            let link = broker.accept(Session::New).await;
            tokio::time::sleep(Duration::from_millis(lasts)).await;
            drop(link);
            let delay = loop {
                if let State::Connecting { next_in, .. } = state.changed().await {
                    break next_in;
                }
            };
            assert!(
                delay <= Duration::from_millis(bound),
                "{lasts} ms: {delay:?}"
            );
            largest = largest.max(delay);
        }
        // Thirty of them: all below the half is a chance of 2⁻³⁰.
        assert!(
            largest > Duration::from_millis(bound / 2),
            "{lasts} ms: {largest:?}"
        );
    }
}

/// The delays that are announced are those that are kept.
#[tokio::test(start_paused = true)]
async fn the_next_attempt_comes_when_it_was_announced() {
    let client = Client::builder("mqtt://nowhere")
        .client_id("client")
        .seed(1);
    let (mut broker, client) = MemoryBroker::new(client);
    let mut state = client.state();
    broker
        .connection()
        .await
        .refuse(ReasonCode::UnspecifiedError)
        .await;
    for _ in 0..20 {
        let State::Connecting { next_in, .. } = state.changed().await else {
            panic!("it is not connected");
        };
        let start = tokio::time::Instant::now();
        let link = broker.connection().await;
        let waited = start.elapsed();
        assert!(waited >= next_in, "{waited:?} {next_in:?}");
        assert!(
            waited < next_in + Duration::from_millis(20),
            "{waited:?} {next_in:?}"
        );
        link.refuse(ReasonCode::UnspecifiedError).await;
    }
}
