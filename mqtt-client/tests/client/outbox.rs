//! Accepting with an outbox: not before it is there.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use mqtt_client::outbox::{OutboxChange, Stored};
use mqtt_client::{Ended, Error, Outbox, OutboxError, testing};

use crate::settle;

/// Commits when it is told to, or fails.
struct Gate {
    stored: Arc<Mutex<Stored>>,
    opened: mpsc::Receiver<Result<(), OutboxError>>,
}

impl Outbox for Gate {
    fn load(&mut self) -> Result<Stored, OutboxError> {
        Ok(self.stored.lock().unwrap().clone())
    }

    fn commit(&mut self, changes: &[OutboxChange]) -> Result<(), OutboxError> {
        self.opened.recv().unwrap_or(Ok(()))?;
        self.stored.lock().unwrap().apply(changes);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn enqueue_resolves_when_the_message_is_in_the_outbox() {
    let (open, opened) = mpsc::channel();
    let stored = Arc::new(Mutex::new(Stored::default()));
    let gate = Gate {
        stored: Arc::clone(&stored),
        opened,
    };
    let (builder, mut broker) = testing::pair();
    broker.unreachable();
    let client = builder.client_id("c").outbox(gate).start().unwrap();
    let accepted = tokio::spawn(client.publish("a", "1").enqueue());
    tokio::task::yield_now().await;
    assert!(!accepted.is_finished());
    assert!(stored.lock().unwrap().outgoing.is_empty());
    // From here on, every commit goes through.
    drop(open);
    drop(accepted.await.unwrap().unwrap());
    assert_eq!(stored.lock().unwrap().outgoing.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_fails_ends_the_client() {
    let (open, opened) = mpsc::channel();
    let gate = Gate {
        stored: Arc::default(),
        opened,
    };
    let (builder, mut broker) = testing::pair();
    broker.unreachable();
    let client = builder.client_id("c").outbox(gate).start().unwrap();
    for _ in 0..10 {
        open.send(Err(OutboxError::Poisoned)).unwrap();
    }
    let error = client.publish("a", "1").await.unwrap_err();
    assert!(matches!(error, Error::Ended(Ended::Outbox(_))), "{error:?}");
    settle().await;
    assert!(client.state().now().is_ended());
}
