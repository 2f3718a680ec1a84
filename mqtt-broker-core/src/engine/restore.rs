//! What a store hands back at start becomes sessions and retained messages again.

use std::sync::Arc;

use super::output::Output;
use super::{Engine, put_session};
use crate::budget::SUBSCRIPTION_BYTES;
use crate::state::{Granted, Outbound};
use crate::store::StoredSession;
use crate::{ClientId, Instant, Message};

/// Sessions that are noted in one go: they share a commit, and others have their turn between two.
const UNRECORDED_PAGE: usize = 1000;

impl Engine {
    /// Takes over a session of this [shard](Engine::shard_of) from the store. Called before the first
    /// connection is opened, so that no message misses it.
    ///
    /// A session that was connected when the broker ended counts as disconnected from now on.
    pub fn restore_session(&mut self, now: Instant, client: ClientId, stored: StoredSession) {
        let record = stored.record;
        let queued = stored.deliveries.is_some();
        // The numbers go on, or else what comes next would seem to have been sent.
        let behind = stored
            .deliveries
            .as_ref()
            .map_or(1, |seqs| seqs.end().saturating_add(1));
        let next_seq = behind.max(record.sent_before);
        let base = stored.deliveries.map_or(next_seq, |seqs| *seqs.start());
        // Which deliveries were sent is not known after a crash: all may have been.
        let sent_before = match record.disconnected {
            Some(_) => record.sent_before,
            None => next_seq,
        };
        let outbound = Outbound::resumed(base, next_seq, sent_before);
        let id = self.new_session(client, outbound);
        let mut filters = stored.subscriptions.iter().map(|(filter, _)| filter);
        let shares = filters.any(|filter| filter.share_name().is_some());
        let readiness = shares.then(|| self.seat.exchange.readiness(id)).flatten();
        let subscriptions = stored
            .subscriptions
            .iter()
            .map(|(filter, subscription)| {
                let granted = Granted::new(*subscription, true);
                self.seat.exchange.subscribe(id, filter.as_view(), granted)
            })
            .collect();
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        session.subscriptions = subscriptions;
        self.budget
            .take(session.subscriptions.len() * SUBSCRIPTION_BYTES);
        session.readiness = readiness;
        session.stored = true;
        session.expiry_interval = record.expiry_interval;
        session.disconnected = Some(record.disconnected.unwrap_or(now));
        for id in stored.received {
            session.receive(id);
        }
        session.will = record.will.map(Box::new);
        session.identity = record.identity;
        if record.disconnected.is_none() {
            session.unrecorded = true;
            self.unrecorded.push(id);
        }
        self.watch_session(id);
        if queued {
            // Some lifetimes may have ended while there was no broker.
            self.note_expiry(now);
        }
    }

    /// Notes in the store, a few at a time, that sessions are without a connection now.
    pub(super) fn put_unrecorded(&mut self, out: &mut Output) {
        for _ in 0..UNRECORDED_PAGE {
            let Some(id) = self.unrecorded.pop() else {
                // It may have held a million.
                self.unrecorded = Vec::new();
                return;
            };
            if let Some(session) = self.sessions.get_mut(id)
                && session.unrecorded
            {
                put_session(session, out);
            }
        }
    }

    /// Takes over a retained message from the store, for all shards.
    pub fn restore_retained(&mut self, mut message: Arc<Message>) {
        // Nobody else has it yet, but for a store in memory, where it counts already.
        if let Some(message) = Arc::get_mut(&mut message) {
            message.charge = self.budget.charge(message.len());
        }
        let exchange = &self.seat.exchange;
        let mut retained = exchange.retained_mut();
        retained.put(message);
        exchange.count_retained(&retained);
    }
}
