//! 3.1.1 with a server that does not know 5.0: once.

use std::time::Duration;

use mqtt_client::{Client, Error, Version};
use mqtt_codec::ReasonCode;

use crate::fake_broker::{FakeBroker, Session};
use crate::soon;

fn any_version(broker: &FakeBroker) -> Client {
    Client::builder(&format!("mqtt://{}", broker.address()))
        .backoff(Duration::from_millis(1)..=Duration::from_millis(5))
        .start()
        .unwrap()
}

#[tokio::test]
async fn a_server_without_5_0_gets_3_1_1() {
    let broker = FakeBroker::start();
    let client = any_version(&broker);
    let link = broker.connection().await;
    assert_eq!(link.connect.version, Version::V5);
    link.refuse(ReasonCode::UnsupportedProtocolVersion).await;
    let mut link = broker.connection().await;
    assert_eq!(link.connect.version, Version::V3_1_1);
    link.welcome(Session::New, &[]).await;

    // It is not asked again what it does not know.
    link.close().await;
    let link = broker.connection().await;
    assert_eq!(link.connect.version, Version::V3_1_1);

    // What it does not know either is the end.
    link.refuse(ReasonCode::UnsupportedProtocolVersion).await;
    let error = soon("the end", client.publish("t", "x").into_future())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Ended(_)), "{error}");
    broker.nobody_comes(Duration::from_millis(50)).await;
}

/// The CONNACK with which a server of 3.1.1 refuses 5.0 is not one of 5.0: it has no properties.
#[tokio::test]
async fn the_refusal_of_an_old_server_is_understood() {
    let broker = FakeBroker::start();
    let _client = any_version(&broker);
    let mut link = broker.connection().await;
    link.write(&[0x20, 2, 0, 1]).await;
    link.close().await;
    let link = broker.connection().await;
    assert_eq!(link.connect.version, Version::V3_1_1);
}

/// Some old servers close the connection and say nothing.
#[tokio::test]
async fn both_versions_are_tried_where_nothing_is_said() {
    let broker = FakeBroker::start();
    let _client = any_version(&broker);
    for version in [Version::V5, Version::V3_1_1, Version::V5] {
        let link = broker.connection().await;
        assert_eq!(link.connect.version, version);
        link.close().await;
    }
    let mut link = broker.connection().await;
    assert_eq!(link.connect.version, Version::V3_1_1);
    link.welcome(Session::New, &[]).await;
    link.close().await;
    // What has worked stays.
    for _ in 0..3 {
        let link = broker.connection().await;
        assert_eq!(link.connect.version, Version::V3_1_1);
        link.close().await;
    }
}
