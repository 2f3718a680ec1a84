//! A store that fits no memory: it makes what it is asked for, and keeps nothing.

use std::io::{self, BufReader, BufWriter, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Weak};

use async_trait::async_trait;
use mqtt_broker_core::store::{Batch, Expiring, StoreError};

use super::*;

const DELIVERIES: u64 = 20_000;
/// No more than this many messages may be in memory at a time.
const MESSAGES_MAX: usize = 300;

/// One session with many deliveries of a kilobyte each.
#[derive(Default)]
struct Endless {
    /// The messages that were handed out.
    handed_out: Mutex<Vec<Weak<Message>>>,
    /// Sessions and deliveries that were committed.
    sessions: AtomicUsize,
    deliveries: AtomicUsize,
}

impl Endless {
    fn record() -> StoredSession {
        StoredSession {
            deliveries: Some(1..=DELIVERIES),
            ..StoredSession::default()
        }
    }

    fn deliver(&self, seq: u64) -> Delivery {
        let payload = vec![b'x'; 1000];
        let message = message("t", [], &payload, QoS::AtLeastOnce, false);
        let mut handed_out = self.handed_out.lock().unwrap();
        handed_out.retain(|message| message.strong_count() > 0);
        assert!(handed_out.len() < MESSAGES_MAX, "at delivery {seq}");
        handed_out.push(Arc::downgrade(&message));
        Delivery {
            message,
            qos: QoS::AtLeastOnce,
            retain: false,
            subscription_identifiers: Box::default(),
            released: false,
        }
    }
}

#[async_trait]
impl SessionStore for Endless {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        assert!(batch.changes.len() <= MESSAGES_MAX);
        for change in batch.changes {
            let counter = if matches!(change, Change::PutDelivery { .. }) {
                &self.deliveries
            } else {
                &self.sessions
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn sessions(
        &self,
        after: Option<&ClientId>,
        _: usize,
    ) -> Result<Vec<(ClientId, StoredSession)>, StoreError> {
        let there = after.is_none() && self.sessions.load(Ordering::Relaxed) > 0;
        let session = there.then(|| (ClientId::new("a"), Self::record()));
        Ok(session.into_iter().collect())
    }

    async fn deliveries(
        &self,
        _: &ClientId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Delivery)>, StoreError> {
        let next = after.unwrap_or(0) + 1..=DELIVERIES;
        Ok(next
            .take(limit)
            .map(|seq| (seq, self.deliver(seq)))
            .collect())
    }

    async fn expiring(&self, _: Option<&Expiring>, _: usize) -> Result<Vec<Expiring>, StoreError> {
        Ok(Vec::new())
    }

    async fn retained(
        &self,
        _: Option<&TopicName>,
        _: usize,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        Ok(Vec::new())
    }
}

/// Checks that what is read is committed soon.
struct Ahead<'s, R> {
    inner: R,
    store: &'s Endless,
    lines: usize,
}

impl<R: Read> Read for Ahead<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let committed = self.store.deliveries.load(Ordering::Relaxed);
        assert!(self.lines < committed + MESSAGES_MAX, "{committed}");
        let count = self.inner.read(buffer)?;
        let line_feeds = buffer[..count].iter().filter(|byte| **byte == b'\n');
        self.lines += line_feeds.count();
        Ok(count)
    }
}

/// Goes straight from one store to the other, without a file.
#[tokio::test(flavor = "current_thread")]
async fn a_store_is_never_whole_in_memory() {
    let (reader, writer) = io::pipe().unwrap();
    let exporting = std::thread::spawn(move || {
        let store = Endless::default();
        store.sessions.store(1, Ordering::Relaxed);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.unwrap();
        let exported = runtime.block_on(export(&store, BufWriter::new(writer)));
        exported.unwrap()
    });
    let store = Endless::default();
    let input = Ahead {
        inner: reader,
        store: &store,
        lines: 0,
    };
    let counts = import(BufReader::new(input), &store).await.unwrap();
    assert_eq!(counts, exporting.join().unwrap());
    assert_eq!(counts.deliveries, DELIVERIES);
    assert_eq!(store.deliveries.load(Ordering::Relaxed) as u64, DELIVERIES);
}
