//! SCRAM-SHA-256 with a real broker, in packets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at what it did not expect"
)]

mod scram_broker;

use bytes::BytesMut;
use mqtt_client::{AuthenticationError, Authenticator, ScramSha256};
use mqtt_codec::{
    Auth, Connect, Cut, PACKET_BYTES_MAX, Packet, Properties, Property, ReasonCode, Text, Version,
    cut,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use self::scram_broker::{Deceit, deceitful_broker, dial, scram_broker};

/// A connection, and who authenticates on it.
struct Peer {
    stream: DuplexStream,
    received: BytesMut,
    scram: ScramSha256,
}

/// How an exchange ended.
#[derive(Debug)]
enum End {
    /// The server let us in, and is who it says it is.
    Authenticated,
    /// The server did not let us in.
    Refused(ReasonCode),
    /// We did not take the server's word.
    Failed(AuthenticationError),
}

impl Peer {
    fn new(stream: DuplexStream, user: &str, password: &str) -> Self {
        Self {
            stream,
            received: BytesMut::new(),
            scram: ScramSha256::new(user, password),
        }
    }

    async fn send(&mut self, packet: Packet) {
        let bytes = packet.to_vec(Version::V5).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn receive(&mut self) -> Packet {
        loop {
            if let Cut::Whole(frame) = cut(&self.received, PACKET_BYTES_MAX).unwrap() {
                let packet = Packet::decode(frame, Version::V5).unwrap().to_bytes();
                let length = frame.bytes.len();
                let _ = self.received.split_to(length);
                return packet;
            }
            let read = self.stream.read_buf(&mut self.received).await.unwrap();
            assert_ne!(read, 0, "the broker closed the connection");
        }
    }

    fn properties(&self, data: &[u8]) -> Properties {
        let method = Text::new(self.scram.method().as_bytes()).unwrap();
        Properties::new([
            Property::AuthenticationMethod(method),
            Property::AuthenticationData(data),
        ])
        .unwrap()
    }

    async fn auth(&mut self, reason: ReasonCode, data: &[u8]) {
        let properties = self.properties(data);
        self.send(Packet::Auth(Auth { reason, properties })).await;
    }

    async fn connect(&mut self) -> End {
        let first = self.scram.start().unwrap();
        let connect = Connect {
            version: Version::V5,
            bridge: false,
            clean_start: true,
            keep_alive: 0,
            properties: self.properties(&first),
            client_id: Text::from_static("scram").unwrap(),
            will: None,
            user_name: None,
            password: None,
        };
        self.send(Packet::Connect(connect)).await;
        self.go_on().await
    }

    async fn authenticate_again(&mut self) -> End {
        let first = self.scram.start().unwrap();
        self.auth(ReasonCode::ReAuthenticate, &first).await;
        self.go_on().await
    }

    /// From the server's first answer to its last.
    async fn go_on(&mut self) -> End {
        for _ in 0..10 {
            let (reason, properties) = match self.receive().await {
                Packet::Auth(auth) => (auth.reason, auth.properties),
                Packet::ConnAck(ack) => (ack.reason, ack.properties),
                Packet::Disconnect(disconnect) => (disconnect.reason, disconnect.properties),
                other => panic!("{other:?}"),
            };
            let data = properties.authentication_data();
            match reason {
                // [MQTT-4.12.0-3]
                ReasonCode::ContinueAuthentication => {
                    match self.scram.challenge(data.unwrap_or_default()) {
                        Ok(answer) => self.auth(reason, &answer).await,
                        Err(error) => return End::Failed(error),
                    }
                }
                ReasonCode::Success => {
                    return match self.scram.finish(data) {
                        Ok(()) => End::Authenticated,
                        Err(error) => End::Failed(error),
                    };
                }
                reason => return End::Refused(reason),
            }
        }
        panic!("the exchange does not end");
    }
}

async fn connect(deceit: Deceit, user: &str, password: &str) -> End {
    let broker = deceitful_broker("Zoë, =1", "p€ncil", deceit).await;
    Peer::new(dial(&broker), user, password).connect().await
}

#[tokio::test]
async fn a_broker_and_a_client_prove_themselves() {
    let end = connect(Deceit::None, "Zoë, =1", "p€ncil").await;
    assert!(matches!(end, End::Authenticated), "{end:?}");
}

#[tokio::test]
async fn a_client_authenticates_again() {
    let broker = scram_broker("user", "pencil").await;
    let mut peer = Peer::new(dial(&broker), "user", "pencil");
    let end = peer.connect().await;
    assert!(matches!(end, End::Authenticated), "{end:?}");
    for _ in 0..2 {
        let end = peer.authenticate_again().await;
        assert!(matches!(end, End::Authenticated), "{end:?}");
    }
}

#[tokio::test]
async fn who_does_not_know_the_password_is_not_let_in() {
    for (user, password) in [("Zoë, =1", "pencil"), ("zoë", "p€ncil")] {
        let end = connect(Deceit::None, user, password).await;
        assert!(
            matches!(end, End::Refused(ReasonCode::NotAuthorized)),
            "{end:?}"
        );
    }
}

#[tokio::test]
async fn a_broker_that_cheats_is_refused() {
    for (deceit, result) in [
        (
            Deceit::Impostor,
            "the server did not prove that it knows the password",
        ),
        (
            Deceit::Unproven,
            "the server did not prove that it knows the password",
        ),
        (Deceit::Nonce, "its nonce does not continue ours"),
        (Deceit::Iterations, "not within 4096 and 600000"),
        (
            Deceit::Error,
            "the server refuses the authentication: other-error",
        ),
        (
            Deceit::Endless,
            "the server sent an authentication step out of turn",
        ),
    ] {
        let end = connect(deceit, "Zoë, =1", "p€ncil").await;
        let End::Failed(error) = end else {
            panic!("{deceit:?}: {end:?}");
        };
        assert!(error.to_string().ends_with(result), "{deceit:?}: {error}");
    }
}
