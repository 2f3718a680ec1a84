//! A broker in a thread of its own, for what `mqttd` does not have: users, permissions, and an
//! authentication method. It is the engine of `mqttd` with an authority that never changes, and a
//! Receive Maximum of 20 that a client can exceed.
//!
//! | who or what | comes to |
//! |---|---|
//! | user name `alice` with the password `secret` | let in |
//! | user name `alice` with another password or none | bad user name or password |
//! | user name `banned` | not authorized |
//! | any other user name, or none | let in |
//! | a client identifier that ends in `unwelcome` | client identifier not valid |
//! | authentication method `CHALLENGE` | counts to `3`, from whatever number the client begins with |
//! | another authentication method | bad authentication method |
//! | a topic whose last level is `unwritable` | nobody may publish to it |
//! | a topic filter whose last level is `unreadable` | nobody may subscribe to it |

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use mqtt_broker_core::authority::{Authority, Credentials, Decision, Grant, Permissions, Question};
use mqtt_broker_core::{Broker, Limits, Listener, Peer, Stream, Transport};
use mqtt_codec::{ReasonCode, TopicFilter, TopicName};
use mqtt_store_memory::MemoryStore;
use tokio::sync::oneshot;

/// A broker that runs until this is dropped.
pub(crate) struct Embedded {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// # Errors
    /// If the broker cannot listen.
    pub(crate) fn start() -> Result<Self, String> {
        let (started, has_started) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let run = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .and_then(|runtime| runtime.block_on(serve(&started, stopped)));
            if let Err(error) = run {
                let _ = started.send(Err(error));
            }
        });
        let address = has_started
            .recv()
            .map_err(|_| "the embedded broker has ended".to_owned())?
            .map_err(|error| format!("the embedded broker cannot listen: {error}"))?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves until the sender of `stopped` is gone; says where, once it listens.
async fn serve(
    started: &mpsc::Sender<io::Result<SocketAddr>>,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let broker = Broker::builder(Arc::new(MemoryStore::default()))
        .authority(Arc::new(Fixed))
        .limits(Limits {
            receive_maximum: 20,
            ..Limits::default()
        })
        .build()
        .await
        .map_err(io::Error::other)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let _ = started.send(listener.local_addr());
    tokio::select! {
        served = broker.serve(Tcp(listener)) => served,
        _ = stopped => Ok(()),
    }
}

struct Tcp(tokio::net::TcpListener);

#[async_trait]
impl Listener for Tcp {
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>> {
        let (stream, address) = self.0.accept().await?;
        // A client that has gone again already is no reason to accept no others.
        let _ = stream.set_nodelay(true);
        Ok(Box::new(Stream::new(stream, address)))
    }
}

/// The table at the top.
struct Fixed;

#[async_trait]
impl Authority for Fixed {
    async fn decide(&self, _: &Peer, question: Question) -> Decision {
        match question {
            Question::Connect(credentials) => match credentials.method.as_deref() {
                None => password(&credentials),
                Some("CHALLENGE") => challenge(credentials.data.as_deref()),
                Some(_) => Decision::Refuse(ReasonCode::BadAuthenticationMethod),
            },
            Question::Authenticate { data, .. } => challenge(data.as_deref()),
        }
    }
}

fn password(credentials: &Credentials) -> Decision {
    if credentials.client_id.ends_with("unwelcome") {
        return Decision::Refuse(ReasonCode::ClientIdentifierNotValid);
    }
    let user = credentials.user_name.as_deref();
    match (user, credentials.password.as_deref()) {
        (Some("banned"), _) => Decision::Refuse(ReasonCode::NotAuthorized),
        (Some("alice"), password) if password != Some(b"secret") => {
            Decision::Refuse(ReasonCode::BadUserNameOrPassword)
        }
        _ => accept(None),
    }
}

fn challenge(data: Option<&[u8]>) -> Decision {
    match data {
        Some(b"1") => Decision::Continue(Some(Bytes::from_static(b"2?"))),
        Some(b"2") => Decision::Continue(Some(Bytes::from_static(b"3?"))),
        Some(b"3") => accept(Some(Bytes::from_static(b"done"))),
        _ => Decision::Refuse(ReasonCode::NotAuthorized),
    }
}

fn accept(data: Option<Bytes>) -> Decision {
    Decision::Accept(Grant {
        identity: None,
        permissions: Arc::new(Fixed),
        data,
    })
}

impl Permissions for Fixed {
    fn may_publish(&self, topic: TopicName<&[u8]>) -> bool {
        last_level(topic.bytes()) != b"unwritable"
    }

    fn may_subscribe(&self, filter: TopicFilter<&[u8]>) -> bool {
        last_level(filter.filter()) != b"unreadable"
    }
}

fn last_level(topic: &[u8]) -> &[u8] {
    topic
        .rsplit(|byte| *byte == b'/')
        .next()
        .unwrap_or_default()
}
