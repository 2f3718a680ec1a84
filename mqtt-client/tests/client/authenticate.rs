//! Enhanced authentication, step by step.

use mqtt_client::{
    AuthenticationError, Authenticator, ConnectionError, Ended, Error, Properties, Property, QoS,
    ReasonCode, testing,
};
use mqtt_codec::{Auth, ConnAck, Connect, Packet, Publish, PublishQoS, Text, TopicName, Version};

use crate::settle;

/// Says `hello`, answers with what it was asked, and wants to see `proof`.
struct Echo;

impl Authenticator for Echo {
    fn method(&self) -> &str {
        "ECHO"
    }

    fn start(&mut self) -> Result<Vec<u8>, AuthenticationError> {
        Ok(b"hello".to_vec())
    }

    fn challenge(&mut self, data: &[u8]) -> Result<Vec<u8>, AuthenticationError> {
        Ok(data.to_vec())
    }

    fn finish(&mut self, data: Option<&[u8]>) -> Result<(), AuthenticationError> {
        match data {
            Some(b"proof") => Ok(()),
            Some(_) | None => Err(AuthenticationError::ServerUnproven),
        }
    }
}

fn step(data: &[u8]) -> Properties {
    let method = Text::new(&b"ECHO"[..]).unwrap();
    let step = [
        Property::AuthenticationMethod(method),
        Property::AuthenticationData(data),
    ];
    Properties::new(step).unwrap()
}

fn connack(data: &[u8]) -> Packet {
    Packet::ConnAck(ConnAck {
        session_present: false,
        reason: ReasonCode::Success,
        properties: step(data),
    })
}

fn data_of(packet: &Packet) -> (ReasonCode, Vec<u8>) {
    let Packet::Auth(auth) = packet else {
        panic!("{packet:?}");
    };
    let data = auth.properties.authentication_data().unwrap_or_default();
    (auth.reason, data.to_vec())
}

async fn until_connack(connection: &mut testing::Connection) -> Connect {
    let connect = connection.expect_connect().await;
    assert_eq!(
        connect.properties.authentication_data(),
        Some(&b"hello"[..])
    );
    let reason = ReasonCode::ContinueAuthentication;
    connection
        .send(Packet::Auth(Auth {
            reason,
            properties: step(b"what?"),
        }))
        .await;
    assert_eq!(
        data_of(&connection.receive().await),
        (reason, b"what?".to_vec())
    );
    connect
}

#[tokio::test(start_paused = true)]
async fn what_comes_right_behind_the_connack_is_handled_after_the_proof() {
    let (builder, mut broker) = testing::pair();
    let client = builder
        .client_id("c")
        .authenticator(Echo)
        .pre_subscribe("a", QoS::AtMostOnce)
        .start()
        .unwrap();
    let mut connection = broker.connection().await;
    until_connack(&mut connection).await;
    let publish = Packet::Publish(Publish {
        dup: false,
        qos: PublishQoS::AtMostOnce,
        retain: false,
        topic: Some(TopicName::from_text("a").unwrap()),
        properties: Properties::default(),
        payload: "early".into(),
    });
    let mut bytes = connack(b"proof").to_vec(Version::V5).unwrap();
    publish.encode(Version::V5, &mut bytes).unwrap();
    connection.send_bytes(&bytes).await;
    let mut stream = client.pre_subscribed("a").unwrap();
    assert_eq!(stream.next().await.unwrap().payload, "early");
    assert!(client.state().now().is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_server_without_the_proof_ends_the_client() {
    let (builder, mut broker) = testing::pair();
    let connecting = tokio::spawn(builder.client_id("c").authenticator(Echo).connect());
    let mut connection = broker.connection().await;
    until_connack(&mut connection).await;
    connection.send(connack(b"lie")).await;
    let error = connecting.await.unwrap().unwrap_err();
    assert!(
        matches!(error, Error::Connect(ConnectionError::Authentication(_))),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn it_can_authenticate_again() {
    let (builder, mut broker) = testing::pair();
    let client = builder.client_id("c").authenticator(Echo).start().unwrap();
    let offline = client.reauthenticate().await;
    assert!(matches!(offline, Err(Error::Offline)), "{offline:?}");
    let mut connection = broker.connection().await;
    until_connack(&mut connection).await;
    connection.send(connack(b"proof")).await;
    settle().await;

    for proof in [&b"proof"[..], b"lie"] {
        let other = client.clone();
        let again = tokio::spawn(async move { other.reauthenticate().await });
        let first = data_of(&connection.receive().await);
        assert_eq!(first, (ReasonCode::ReAuthenticate, b"hello".to_vec()));
        let reason = ReasonCode::Success;
        connection
            .send(Packet::Auth(Auth {
                reason,
                properties: step(proof),
            }))
            .await;
        let answer = again.await.unwrap();
        if proof == b"proof" {
            answer.unwrap();
        } else {
            let error = answer.unwrap_err();
            assert!(
                matches!(error, Error::Ended(Ended::Connection(_)) | Error::Offline),
                "{error:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_method_there_is_nothing_to_do_again() {
    let pair = crate::Pair::new().await;
    let answer = pair.client.reauthenticate().await;
    assert!(matches!(answer, Err(Error::Unsupported(_))), "{answer:?}");
}
