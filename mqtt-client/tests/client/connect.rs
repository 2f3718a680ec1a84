//! The first connection, the state, and where credentials come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mqtt_client::{Client, ConnectionError, Ended, Error, ReasonCode, State, Version, testing};

use crate::{Pair, SECOND, settle};

#[tokio::test(start_paused = true)]
async fn connect_fails_if_the_first_attempt_does() {
    let (builder, mut broker) = testing::pair();
    broker.unreachable();
    let error = builder.connect().await.unwrap_err();
    assert!(
        matches!(error, Error::Connect(ConnectionError::Open(_))),
        "{error:?}"
    );
    broker.reachable();
    broker.expect_no_connection(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn connect_tells_why_it_was_refused() {
    let (builder, mut broker) = testing::pair();
    let connecting = tokio::spawn(builder.connect());
    let mut connection = broker.connection().await;
    connection.expect_connect().await;
    connection.refuse(ReasonCode::BadUserNameOrPassword).await;
    let error = connecting.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::Connect(ConnectionError::Refused(refusal))
            if refusal.reason == ReasonCode::BadUserNameOrPassword),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn connect_falls_back_to_the_older_version() {
    let (builder, mut broker) = testing::pair();
    let connecting = tokio::spawn(builder.connect());
    let mut connection = broker.connection().await;
    assert_eq!(connection.expect_connect().await.version, Version::V5);
    connection
        .refuse(ReasonCode::UnsupportedProtocolVersion)
        .await;
    let mut connection = broker.connection().await;
    let connect = connection.expect_connect().await;
    assert_eq!(connect.version, Version::V3_1_1);
    connection.accept(&connect).await;
    let client = connecting.await.unwrap().unwrap();
    assert_eq!(client.connected().unwrap().version, Version::V3_1_1);
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_is_dropped_gives_up() {
    let (builder, mut broker) = testing::pair();
    let connecting = tokio::spawn(builder.connect());
    let mut connection = broker.connection().await;
    connection.expect_connect().await;
    connecting.abort();
    connection.expect_closed().await;
    broker.expect_no_connection(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn start_goes_on_trying_and_the_state_tells() {
    let (builder, mut broker) = testing::pair();
    broker.unreachable();
    let client = builder.start().unwrap();
    let mut states = client.state();
    let State::Connecting {
        attempt: 0,
        last_error: None,
        ..
    } = states.now()
    else {
        panic!("{:?}", states.now());
    };
    for expected in 1..5 {
        match states.changed().await {
            State::Connecting {
                attempt,
                last_error: Some(_),
                next_in,
            } => {
                assert_eq!(attempt, expected);
                assert!(next_in <= Duration::from_secs(30));
            }
            other => panic!("{other:?}"),
        }
    }
    broker.reachable();
    let connection = broker.accept().await;
    while !states.now().is_connected() {
        states.changed().await;
    }
    connection.close();
    assert!(matches!(states.changed().await, State::Connecting { .. }));
    let mut connection = broker.resume().await;
    assert!(states.changed().await.is_connected());
    drop(client);
    connection.expect_disconnect().await;
    assert!(matches!(
        states.changed().await,
        State::Ended(Ended::Disconnected)
    ));
    assert!(
        tokio::time::timeout(SECOND, states.changed())
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn credentials_are_asked_for_at_every_attempt() {
    let (builder, mut broker) = testing::pair();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let _client = builder
        .credentials_from(move || {
            let call = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                if call == 1 {
                    return Err("no token".into());
                }
                Ok(("press", format!("token {call}")))
            }
        })
        .start()
        .unwrap();
    for token in ["token 0", "token 2"] {
        let mut connection = broker.connection().await;
        let connect = connection.expect_connect().await;
        assert_eq!(connect.user_name.unwrap(), "press");
        assert_eq!(connect.password.unwrap(), token);
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_never_come_fail_the_attempt() {
    let (builder, _broker) = testing::pair();
    let never = || std::future::pending::<Result<(String, String), _>>();
    let error = builder.credentials_from(never).connect().await.unwrap_err();
    assert!(
        matches!(error, Error::Connect(ConnectionError::Credentials(_))),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn wrong_arguments_are_told_by_start() {
    for url in [
        "nonsense",
        "mqtt://host?keep_alive=soon",
        "mqtt://host?unknown=1",
    ] {
        let error = Client::builder(url).start().unwrap_err();
        assert!(matches!(error, Error::Options(_)), "{url}: {error:?}");
    }
    let error = mqtt_client::Builder::new().start().unwrap_err();
    assert_eq!(error.to_string(), "there is no server to connect to");
}

#[test]
fn outside_a_runtime_there_is_an_error_and_no_panic() {
    let error = Client::builder("mqtt://localhost").start().unwrap_err();
    assert!(matches!(error, Error::Options(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_url_may_set_options() {
    let (builder, mut broker) = testing::pair();
    let url = "mqtt://host?client_id=c&keep_alive=7&session_expiry=9&clean_start=true&version=5";
    let _client = builder.server(url).start().unwrap();
    let connect = broker.connection().await.expect_connect().await;
    assert_eq!(connect.client_id, "c");
    assert_eq!(connect.keep_alive, 7);
    assert!(connect.clean_start);
    assert_eq!(connect.properties.session_expiry_interval(), Some(9));
}

#[tokio::test(start_paused = true)]
async fn a_taken_over_session_is_not_fought_for() {
    let mut pair = Pair::new().await;
    pair.connection
        .send(mqtt_codec::Packet::Disconnect(mqtt_codec::Disconnect {
            reason: ReasonCode::SessionTakenOver,
            properties: mqtt_client::Properties::default(),
        }))
        .await;
    settle().await;
    assert!(pair.client.state().now().is_ended());
    pair.broker
        .expect_no_connection(Duration::from_secs(60))
        .await;
    let error = pair.client.publish("a", "x").await.unwrap_err();
    assert!(
        matches!(error, Error::Ended(Ended::Connection(_))),
        "{error:?}"
    );
}
