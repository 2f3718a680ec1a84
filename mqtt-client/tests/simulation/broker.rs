//! The broker's engine with its store, driven by hand.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use mqtt_broker_core::authority::{AllowAll, Authority};
use mqtt_broker_core::store::SessionStore;
use mqtt_broker_core::{
    ConnectionId, Engine, Input, Instant, Limits, Outbox, Output, Peer, Read, Settings,
};
use mqtt_codec::{Connect, Cut, Packet, Version, cut};
use mqtt_store_memory::MemoryStore;

/// A connection, as the broker has it.
pub(crate) struct Link {
    id: ConnectionId,
    outbox: Arc<Outbox>,
    version: Option<Version>,
    incoming: Vec<u8>,
}

/// What comes out of a connection.
pub(crate) struct Sent {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_closing: bool,
}

pub(crate) struct Broker {
    engine: Engine,
    out: Output,
    store: Arc<MemoryStore>,
    settings: Settings,
}

impl Broker {
    pub(crate) fn new(limits: Limits) -> Self {
        let settings = Settings {
            limits,
            seed: 1,
            response_information: None,
        };
        Self {
            engine: Engine::new(settings.clone()),
            out: Output::default(),
            store: Arc::new(MemoryStore::default()),
            settings,
        }
    }

    pub(crate) fn open(&mut self, now: u64) -> Link {
        let outbox = Arc::new(Outbox::default());
        let id = self.engine.open(at(now), outbox.clone());
        Link {
            id,
            outbox,
            version: None,
            incoming: Vec::new(),
        }
    }

    /// Takes bytes of a client, and shows each packet before the engine sees it.
    pub(crate) fn receive(
        &mut self,
        now: u64,
        link: &mut Link,
        bytes: &[u8],
        mut see: impl FnMut(&Packet<&[u8]>),
    ) {
        link.incoming.extend_from_slice(bytes);
        loop {
            let bytes = std::mem::take(&mut link.incoming);
            let frame = match cut(&bytes, 1 << 20).expect("the client sends packets") {
                Cut::Whole(frame) => frame,
                Cut::Incomplete(_) => {
                    link.incoming = bytes;
                    return;
                }
            };
            link.incoming = bytes[frame.bytes.len()..].to_vec();
            let version = link.version.or_else(|| Connect::peek_version(frame));
            let packet = Packet::decode(frame, version.unwrap()).expect("a sound packet");
            link.version = version;
            see(&packet);
            self.handle(now, Input::Packet(link.id, &packet));
            if let Some((id, question)) = self.out.take_question() {
                let decision = ready(AllowAll::default().decide(&Peer::default(), question));
                self.handle(now, Input::Decided(id, decision));
            }
        }
    }

    pub(crate) fn take(&mut self, now: u64, link: &Link) -> Sent {
        let taken = link.outbox.take();
        let (bytes, is_closing) = (taken.bytes.clone(), taken.closing);
        if link.outbox.written(taken.bytes) {
            self.handle(now, Input::Written(link.id));
        }
        Sent { bytes, is_closing }
    }

    pub(crate) fn close(&mut self, now: u64, link: &Link) {
        self.handle(now, Input::Closed(link.id));
    }

    pub(crate) fn pass(&mut self, now: u64) {
        for _ in 0..1000 {
            let due = self.engine.deadline().is_some_and(|due| due <= at(now));
            if !due {
                return;
            }
            self.handle(now, Input::Deadline);
            self.commit(now);
        }
        panic!("the engine's deadline stays");
    }

    /// Commits what has changed, and reads what is wanted.
    pub(crate) fn commit(&mut self, now: u64) {
        for _ in 0..1000 {
            let reads = self.out.take_reads(usize::MAX);
            let batch = self.out.take_batch();
            if reads.is_empty() && batch.is_none() {
                return;
            }
            if let Some(batch) = batch {
                ready(self.store.commit(batch)).unwrap();
                self.out.committed();
            }
            for read in reads {
                let input = match read {
                    Read::Deliveries(load) => {
                        let read =
                            self.store
                                .deliveries(&load.client, Some(load.after), load.limit);
                        let deliveries = ready(read).unwrap();
                        Input::Loaded(load, deliveries)
                    }
                    Read::Expiring { after } => {
                        Input::Expiring(ready(self.store.expiring(after.as_ref(), 10)).unwrap())
                    }
                };
                self.handle(now, input);
            }
        }
        panic!("the engine always wants more");
    }

    /// The process is killed, and another one starts on what was committed.
    pub(crate) fn restart(&mut self, now: u64) {
        self.engine = Engine::new(self.settings.clone());
        self.out = Output::default();
        for (client, stored) in ready(self.store.sessions(None, usize::MAX)).unwrap() {
            self.engine.restore_session(at(now), client, stored);
        }
        for message in ready(self.store.retained(None, usize::MAX)).unwrap() {
            self.engine.restore_retained(message);
        }
    }

    /// The same, and everything is lost.
    pub(crate) fn lose_all(&mut self, now: u64) {
        self.store = Arc::new(MemoryStore::default());
        self.restart(now);
    }

    fn handle(&mut self, now: u64, input: Input<'_>) {
        self.engine.handle(at(now), input, &mut self.out);
        self.out.wakers().for_each(drop);
    }
}

fn at(now: u64) -> Instant {
    Instant::from_millis(now)
}

/// The store in memory answers at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the store in memory never waits"),
    }
}
