//! A broker in this process, on a thread and a runtime of its own, so that it can die at once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use mqtt_broker_core::{Broker, Listener, Stream, Transport};
use mqtt_store_memory::MemoryStore;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::Sessions;
use crate::SOON;
use crate::port::Port;

pub(crate) struct Embedded {
    port: Arc<Port>,
    /// What a broker leaves to the next one.
    store: MemoryStore,
    running: Option<Running>,
}

struct Running {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Embedded {
    pub(super) fn start() -> Self {
        let mut embedded = Self {
            port: Arc::new(Port::new()),
            store: MemoryStore::default(),
            running: None,
        };
        embedded.restart();
        embedded
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// All its tasks end where they are, as in a process that is killed; the store has what was
    /// committed.
    pub(super) fn kill(&mut self, sessions: Sessions) {
        let running = self.running.take().expect("it runs");
        // It may have failed, which its thread tells.
        let _ = running.end.send(());
        running.thread.join().expect("the broker did not panic");
        if sessions == Sessions::Lost {
            self.store = MemoryStore::default();
        }
    }

    pub(super) fn restart(&mut self) {
        assert!(self.running.is_none(), "it runs");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (store, port) = (Arc::new(self.store.clone()), Arc::clone(&self.port));
        let (end, ended) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let broker = Broker::builder(store).build().await.unwrap();
                let served = broker.serve(Accepted(port.listener()));
                ready.send(()).unwrap();
                tokio::select! {
                    // Its owner is gone, too, if this fails.
                    _ = ended => {}
                    served = served => panic!("it ended: {served:?}"),
                }
            });
        });
        is_ready.recv_timeout(SOON).expect("the broker listens");
        self.running = Some(Running { end, thread });
    }
}

struct Accepted(TcpListener);

#[async_trait::async_trait]
impl Listener for Accepted {
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>> {
        let (stream, peer) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(Stream::new(stream, peer)))
    }
}
