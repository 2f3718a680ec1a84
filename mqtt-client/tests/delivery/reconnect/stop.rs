//! Reasons that end a client for good, because trying again would not help; all others do not.

use std::time::Duration;

use mqtt_client::{Client, ConnectionError, Ended, Error, QoS, State, Version};
use mqtt_codec::{Disconnect, Packet, PacketType, ReasonCode};

use super::connected;
use crate::broker::{Broker, Kind};
use crate::fake_broker::{FakeBroker, Session};
use crate::parties::builder;
use crate::soon;

/// Longer than any delay of these tests.
const A_WHILE: Duration = Duration::from_millis(60);

const FINAL: [ReasonCode; 7] = [
    ReasonCode::UnsupportedProtocolVersion,
    ReasonCode::ClientIdentifierNotValid,
    ReasonCode::BadUserNameOrPassword,
    ReasonCode::NotAuthorized,
    ReasonCode::Banned,
    ReasonCode::BadAuthenticationMethod,
    ReasonCode::SessionTakenOver,
];

/// Another server would have to be asked, and is not by default.
const ELSEWHERE: [ReasonCode; 2] = [ReasonCode::UseAnotherServer, ReasonCode::ServerMoved];

/// What the standard allows in this packet, and whether it is final.
fn reasons(packet: PacketType) -> impl Iterator<Item = (ReasonCode, bool)> {
    let failures = ReasonCode::ALL.iter().copied();
    failures
        .filter(move |reason| reason.is_failure() && reason.allowed_in(packet))
        .map(|reason| {
            (
                reason,
                FINAL.contains(&reason) || ELSEWHERE.contains(&reason),
            )
        })
}

/// These are about the CONNECT itself, which would be the same again.
const ABOUT_THE_CONNECT: [ReasonCode; 5] = [
    ReasonCode::TopicNameInvalid,
    ReasonCode::PacketTooLarge,
    ReasonCode::PayloadFormatInvalid,
    ReasonCode::RetainNotSupported,
    ReasonCode::QoSNotSupported,
];

#[tokio::test]
async fn a_connack_may_be_the_end() {
    for (reason, is_final) in reasons(PacketType::ConnAck) {
        let is_final = is_final || ABOUT_THE_CONNECT.contains(&reason);
        let broker = FakeBroker::start();
        let (client, link) = connected(&broker, Version::V5).await;
        link.close().await;
        broker.connection().await.refuse(reason).await;
        ends_or_goes_on(&client, &broker, reason, is_final).await;
    }
}

#[tokio::test]
async fn a_disconnect_may_be_the_end() {
    for (reason, is_final) in reasons(PacketType::Disconnect) {
        if !allowed_from_server(reason) {
            continue;
        }
        let broker = FakeBroker::start();
        let (client, link) = connected(&broker, Version::V5).await;
        link.disconnect(reason).await;
        ends_or_goes_on(&client, &broker, reason, is_final).await;
    }
}

/// Only a client says this.
fn allowed_from_server(reason: ReasonCode) -> bool {
    reason != ReasonCode::DisconnectWithWill
}

async fn ends_or_goes_on(client: &Client, broker: &FakeBroker, reason: ReasonCode, is_final: bool) {
    println!(
        "{reason:?}: {}",
        if is_final { "the end" } else { "goes on" }
    );
    if !is_final {
        let mut link = broker.accept(Session::Present).await;
        let publishing = tokio::spawn(client.publish("t", "later").into_future());
        let publish = link.packet().await;
        link.answer(&publish).await;
        soon("the PUBACK", publishing).await.unwrap().unwrap();
        return;
    }
    let error = soon("the end", client.publish("t", "never").into_future())
        .await
        .unwrap_err();
    let refusal = refusal(&error).unwrap_or_else(|| panic!("{reason:?}: {error:?}"));
    assert_eq!(refusal, reason);
    assert!(client.state().now().is_ended());
    broker.nobody_comes(A_WHILE).await;
}

/// The reason that the server gave for the end.
fn refusal(error: &Error) -> Option<ReasonCode> {
    match error {
        Error::Ended(Ended::Connection(
            ConnectionError::Refused(refusal) | ConnectionError::Disconnected(refusal),
        )) => Some(refusal.reason),
        _ => None,
    }
}

/// Each return code of 3.1.1, as the reason that says the same.
#[tokio::test]
async fn a_return_code_may_be_the_end() {
    for (reason, is_final) in [
        (ReasonCode::UnsupportedProtocolVersion, true),
        (ReasonCode::ClientIdentifierNotValid, true),
        (ReasonCode::ServerUnavailable, false),
        (ReasonCode::BadUserNameOrPassword, true),
        (ReasonCode::NotAuthorized, true),
    ] {
        let broker = FakeBroker::start();
        let (client, link) = connected(&broker, Version::V3_1_1).await;
        link.close().await;
        broker.connection().await.refuse(reason).await;
        ends_or_goes_on(&client, &broker, reason, is_final).await;
    }
}

/// All that waits for something fails with the reason, and a stream ends.
#[tokio::test]
async fn the_end_is_told_to_all_who_wait() {
    let broker = FakeBroker::start();
    let (client, mut link) = connected(&broker, Version::V5).await;
    let mut stream = client.subscribe("t").start().unwrap();
    link.subscribed().await;
    let publishing = tokio::spawn(client.publish("t", "x").into_future());
    link.publish().await;
    let subscribing = tokio::spawn(client.subscribe("u").into_future());
    link.packet().await;
    let mut state = client.state();
    assert!(state.now().is_connected());
    link.disconnect(ReasonCode::SessionTakenOver).await;

    let error = soon("an answer", publishing).await.unwrap().unwrap_err();
    assert_eq!(refusal(&error), Some(ReasonCode::SessionTakenOver));
    let error = soon("an answer", subscribing).await.unwrap().unwrap_err();
    assert_eq!(refusal(&error), Some(ReasonCode::SessionTakenOver));
    assert!(soon("the end of the stream", stream.next()).await.is_none());
    let end = soon("the last state", async {
        loop {
            if let State::Ended(ended) = state.changed().await {
                return ended;
            }
        }
    })
    .await;
    assert!(end.to_string().contains("0x8E"), "{end}");
    let error = client.publish("t", "x").await.unwrap_err();
    assert_eq!(refusal(&error), Some(ReasonCode::SessionTakenOver));
}

#[tokio::test]
async fn a_final_reason_can_be_made_to_mean_try_again() {
    for reason in [ReasonCode::NotAuthorized, ReasonCode::SessionTakenOver] {
        let broker = FakeBroker::start();
        let _client = builder(broker.address(), Version::V5, "client")
            .retry_on([reason])
            .start()
            .unwrap();
        let link = broker.accept(Session::New).await;
        link.disconnect(reason).await;
        broker.accept(Session::Present).await;
    }
}

/// What the server says last is heard, also by a client that is writing when the connection is reset right behind it.
#[tokio::test]
async fn the_reason_is_heard_while_writing() {
    for _ in 0..5 {
        let broker = FakeBroker::start();
        let (client, mut link) = connected(&broker, Version::V5).await;
        let mut state = client.state();
        soon("a connection", async {
            while !state.now().is_connected() {
                state.changed().await;
            }
        })
        .await;
        // Nobody reads this: it fills the sockets.
        for _ in 0..500 {
            let publish = client.publish("t", vec![0; 64 << 10]).qos(QoS::AtMostOnce);
            drop(publish.try_enqueue().unwrap());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let disconnect = Disconnect::new(ReasonCode::SessionTakenOver);
        link.send(&Packet::Disconnect(disconnect)).await;
        link.reset();
        let end = soon("the end", async {
            loop {
                if let State::Ended(ended) = state.now() {
                    return ended;
                }
                state.changed().await;
            }
        })
        .await;
        assert!(end.to_string().contains("0x8E"), "{end}");
    }
}

/// Two clients with one identifier do not throw each other out for ever: the first one stops. Mosquitto 2.0.11 does not say
/// why it closes, so there they do, if ever more seldom.
#[tokio::test]
async fn the_client_that_is_taken_over_stops() {
    for kind in [Kind::Embedded, Kind::Mqttd] {
        let Some(broker) = Broker::start(kind).await else {
            continue;
        };
        let client = || {
            builder(broker.address(), Version::V5, "the same")
                .start()
                .unwrap()
        };
        let first = client();
        soon("an answer", first.publish("t", "x").into_future())
            .await
            .unwrap();
        let second = client();
        soon("an answer", second.publish("t", "x").into_future())
            .await
            .unwrap();
        let error = soon("the end", async {
            loop {
                if let Err(error) = first.publish("t", "x").await {
                    return error;
                }
            }
        })
        .await;
        assert_eq!(
            refusal(&error),
            Some(ReasonCode::SessionTakenOver),
            "{kind}"
        );
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(second.metrics().session.connections, 1, "{kind}");
    }
}
