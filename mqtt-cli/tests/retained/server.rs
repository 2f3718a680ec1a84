//! Brokers to keep retained messages: ours within the test, and Mosquitto.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mqtt_broker_core::authority::{Authority, Credentials, Decision, Grant, Permissions, Question};
use mqtt_broker_core::{Broker, Listener, Peer, Stream, Transport};
use mqtt_client::{TopicFilter, TopicName};
use mqtt_store_memory::MemoryStore;
use tokio::runtime::Runtime;

/// A broker that ends when it is dropped.
pub(crate) enum Server {
    Ours {
        port: u16,
        _runtime: Runtime,
    },
    Mosquitto {
        port: u16,
        child: Child,
        configuration: PathBuf,
    },
}

impl Server {
    /// Ours, which refuses messages and filters whose names begin with one of `forbidden`.
    pub(crate) fn ours(forbidden: Forbidden) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let port = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let store = Arc::new(MemoryStore::default());
            let builder = Broker::builder(store).authority(Arc::new(forbidden));
            let broker = builder.build().await.unwrap();
            tokio::spawn(broker.serve(Tcp(listener)));
            port
        });
        Self::Ours {
            port,
            _runtime: runtime,
        }
    }

    /// `None`, and a word about it, where it is not installed.
    pub(crate) fn mosquitto() -> Option<Self> {
        if !Path::new("/usr/sbin/mosquitto").exists() {
            println!("SKIPPED: mosquitto is not installed (Debian: apt-get install mosquitto)");
            return None;
        }
        // Another program may take the port before the broker does.
        let server = (0..5).find_map(|_| Self::try_mosquitto());
        Some(server.expect("mosquitto starts"))
    }

    fn try_mosquitto() -> Option<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let name = format!("mqtt-retained-{}-{port}.conf", std::process::id());
        let configuration = std::env::temp_dir().join(name);
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\n");
        std::fs::write(&configuration, text).unwrap();
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.arg("-c").arg(&configuration).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let mut server = Self::Mosquitto {
            port,
            child,
            configuration,
        };
        for _ in 0..1000 {
            if let Self::Mosquitto { child, .. } = &mut server
                && child.try_wait().unwrap().is_some()
            {
                return None;
            }
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    pub(crate) const fn port(&self) -> u16 {
        match self {
            Self::Ours { port, .. } | Self::Mosquitto { port, .. } => *port,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Mosquitto {
            child,
            configuration,
            ..
        } = self
        {
            let _ = child.kill();
            let _ = child.wait();
            let _ = std::fs::remove_file(configuration);
        }
    }
}

struct Tcp(tokio::net::TcpListener);

#[async_trait]
impl Listener for Tcp {
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>> {
        let (stream, peer) = self.0.accept().await?;
        Ok(Box::new(Stream::new(stream, peer)))
    }
}

/// What clients may not do, by the beginning of a topic or a filter; the user `root` may.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Forbidden {
    pub(crate) publish: Option<&'static str>,
    pub(crate) subscribe: Option<&'static str>,
}

#[async_trait]
impl Authority for Forbidden {
    async fn decide(&self, _: &Peer, question: Question) -> Decision {
        let mut grant = Grant::all();
        let is_root = matches!(
            question,
            Question::Connect(Credentials { user_name: Some(name), .. }) if name == "root"
        );
        if !is_root {
            grant.permissions = Arc::new(*self);
        }
        Decision::Accept(grant)
    }
}

impl Permissions for Forbidden {
    fn may_publish(&self, topic: TopicName<&[u8]>) -> bool {
        !self
            .publish
            .is_some_and(|start| topic.as_str().starts_with(start))
    }

    fn may_subscribe(&self, filter: TopicFilter<&[u8]>) -> bool {
        !self
            .subscribe
            .is_some_and(|start| filter.as_str().starts_with(start))
    }
}
