//! Publishing many messages at once, and hearing of each whether the server took it.

use std::collections::VecDeque;

use mqtt_client::{Client, Error, Message, QoS, Receipt};

/// How many messages wait for their PUBACK at once.
const WAITING_MAX: usize = 1000;

/// Messages on their way, each with a name for when it fails.
pub(super) struct Publisher<'a, T> {
    client: &'a Client,
    waiting: VecDeque<(T, Receipt)>,
    published: u64,
    failed: u64,
    report: fn(&T, &Error),
}

/// What became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) published: u64,
    pub(super) failed: u64,
}

impl<'a, T> Publisher<'a, T> {
    /// One that gives each failure to `report`.
    pub(super) fn new(client: &'a Client, report: fn(&T, &Error)) -> Self {
        Self {
            client,
            waiting: VecDeque::new(),
            published: 0,
            failed: 0,
            report,
        }
    }

    /// Publishes a message at QoS 1 at least. Waits for the oldest ones if there are many.
    pub(super) async fn publish(&mut self, name: T, mut message: Message) {
        if message.qos == QoS::AtMostOnce {
            // At QoS 0 nobody would know whether it has arrived.
            message.qos = QoS::AtLeastOnce;
        }
        match self.client.publish_message(message).enqueue().await {
            Ok(receipt) => self.waiting.push_back((name, receipt)),
            Err(error) => self.fail(&name, &error),
        }
        while self.waiting.len() > WAITING_MAX {
            self.answer().await;
        }
    }

    /// Waits for all answers.
    pub(super) async fn finish(mut self) -> Published {
        while !self.waiting.is_empty() {
            self.answer().await;
        }
        Published {
            published: self.published,
            failed: self.failed,
        }
    }

    async fn answer(&mut self) {
        let Some((name, receipt)) = self.waiting.pop_front() else {
            return;
        };
        match receipt.await {
            Ok(_) => self.published += 1,
            Err(error) => self.fail(&name, &error),
        }
    }

    fn fail(&mut self, name: &T, error: &Error) {
        self.failed += 1;
        (self.report)(name, error);
    }
}
