//! A real broker that lets in who knows a password by SCRAM-SHA-256, and some that cheat.
//!
//! The server's side of RFC 5802, written apart from the client's: they share no code but the hash.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use mqtt_broker_core::authority::{Authority, Decision, Grant, Question};
use mqtt_broker_core::{Broker, Listener, Peer, Stream, Transport};
use mqtt_codec::ReasonCode;
use mqtt_store_memory::MemoryStore;
use sha2::{Digest, Sha256};
use tokio::io::DuplexStream;

/// A broker that lets this user in, and nobody else, by SCRAM-SHA-256 alone.
pub(crate) async fn scram_broker(user: &str, password: &str) -> Broker {
    deceitful_broker(user, password, Deceit::None).await
}

/// The same, with a server's part that does something wrong.
pub(crate) async fn deceitful_broker(user: &str, password: &str, deceit: Deceit) -> Broker {
    let authority = Scram::new(user, password, deceit);
    Broker::builder(Arc::new(MemoryStore::default()))
        .authority(Arc::new(authority))
        .build()
        .await
        .unwrap()
}

/// What a server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deceit {
    /// Nothing.
    None,
    /// It takes any proof, and does not know the password.
    Impostor,
    /// It takes any proof, and gives none.
    Unproven,
    /// Its nonce does not continue the client's.
    Nonce,
    /// It asks for one iteration.
    Iterations,
    /// It has an error for the client, and lets it in.
    Error,
    /// It never has enough.
    Endless,
}

/// A connection to the broker, in memory.
pub(crate) fn dial(broker: &Broker) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    tokio::spawn(broker.serve(One(Some(theirs))));
    ours
}

/// A listener with a single connection.
struct One(Option<DuplexStream>);

#[async_trait]
impl Listener for One {
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>> {
        match self.0.take() {
            Some(stream) => Ok(Box::new(Stream::new(stream, "memory"))),
            None => std::future::pending().await,
        }
    }
}

const ITERATIONS: u32 = 4096;

struct Scram {
    user: String,
    salt: Vec<u8>,
    stored_key: [u8; 32],
    server_key: [u8; 32],
    deceit: Deceit,
    /// By the nonce of both: what was said so far.
    begun: Mutex<HashMap<String, String>>,
}

impl Scram {
    fn new(user: &str, password: &str, deceit: Deceit) -> Self {
        let salt = b"the salt of the server".to_vec();
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, ITERATIONS, &mut salted);
        let client_key = sign(&salted, "Client Key");
        Self {
            user: user.to_owned(),
            salt,
            stored_key: Sha256::digest(client_key).into(),
            server_key: match deceit {
                Deceit::Impostor => [0; 32],
                _ => sign(&salted, "Server Key"),
            },
            deceit,
            begun: Mutex::default(),
        }
    }

    fn step(&self, data: &[u8]) -> Decision {
        let text = std::str::from_utf8(data).unwrap_or_default();
        let answer = match text.strip_prefix("n,,") {
            Some(bare) => self.first(bare),
            None => self.last(text),
        };
        answer.unwrap_or(Decision::Refuse(ReasonCode::NotAuthorized))
    }

    /// The client's first message, without its header.
    fn first(&self, bare: &str) -> Option<Decision> {
        let (user, nonce) = bare.strip_prefix("n=")?.split_once(",r=")?;
        if user.replace("=2C", ",").replace("=3D", "=") != self.user || nonce.is_empty() {
            return None;
        }
        let mut nonce = format!("{nonce}{:x}", fastrand::u64(..));
        if self.deceit == Deceit::Nonce {
            nonce = format!("x{nonce}");
        }
        let iterations = match self.deceit {
            Deceit::Iterations => 1,
            _ => ITERATIONS,
        };
        let answer = format!("r={nonce},s={},i={iterations}", STANDARD.encode(&self.salt));
        let said = format!("{bare},{answer}");
        self.begun.lock().unwrap().insert(nonce, said);
        Some(Decision::Continue(Some(answer.into())))
    }

    /// The client's last message.
    fn last(&self, text: &str) -> Option<Decision> {
        let (unproven, proof) = text.rsplit_once(",p=")?;
        let nonce = unproven.strip_prefix("c=biws,r=")?;
        let said = self.begun.lock().unwrap().remove(nonce)?;
        let said = format!("{said},{unproven}");
        let proof = STANDARD.decode(proof).ok()?;
        let signature = sign(&self.stored_key, &said);
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let known = proof.len() == 32 && Sha256::digest(client_key)[..] == self.stored_key;
        let own = format!("v={}", STANDARD.encode(sign(&self.server_key, &said)));
        let data = match self.deceit {
            Deceit::Unproven => None,
            Deceit::Error => Some("e=other-error".to_owned()),
            Deceit::Endless => return Some(Decision::Continue(Some(own.into()))),
            Deceit::Impostor => Some(own),
            Deceit::None | Deceit::Nonce | Deceit::Iterations => Some(known.then_some(own)?),
        };
        Some(Decision::Accept(Grant {
            identity: Some(self.user.as_str().into()),
            data: data.map(Into::into),
            ..Grant::all()
        }))
    }
}

#[async_trait]
impl Authority for Scram {
    async fn decide(&self, _: &Peer, question: Question) -> Decision {
        match question {
            Question::Connect(credentials) => match credentials.method.as_deref() {
                Some("SCRAM-SHA-256") => self.step(&credentials.data.unwrap_or_default()),
                Some(_) => Decision::Refuse(ReasonCode::BadAuthenticationMethod),
                None => Decision::Refuse(ReasonCode::NotAuthorized),
            },
            Question::Authenticate { data, .. } => self.step(&data.unwrap_or_default()),
        }
    }
}

fn sign(key: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}
