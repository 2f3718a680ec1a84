//! A store that is being filled, batch by batch.

use std::collections::BTreeSet;

use mqtt_broker_core::ClientId;
use mqtt_broker_core::store::{Change, SessionStore, StoreError};
use mqtt_codec::{PacketId, TopicFilter};

use super::Counts;
use super::form::{DeliveryForm, ReceivedForm, Record, SessionForm, SubscriptionForm};

/// Changes in a batch.
const BATCH_CHANGES_MAX: usize = 256;
/// Bytes of messages in a batch; the last one may exceed it.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// How far a session's first delivery may be from its last, and from what was sent. An engine keeps
/// something in memory for each number in between; its own queues are shorter by far.
const SPAN_MAX: u64 = 10_000_000;

/// Takes records in the order of a file, and commits what they say.
pub(super) struct Filling<'s> {
    store: &'s dyn SessionStore,
    changes: Vec<Change>,
    bytes: usize,
    counts: Counts,
    session: Option<SessionSoFar>,
}

/// What a record asks for.
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum Step {
    /// To be [pushed](Filling::push).
    Change(Change),
    /// That these are all.
    End(Counts),
}

/// What has come of the session that the file is at.
struct SessionSoFar {
    client: ClientId,
    filters: BTreeSet<TopicFilter>,
    packet_id: Option<PacketId>,
    sent_before: u64,
    /// The first and the last sequence number.
    seqs: Option<(u64, u64)>,
}

impl<'s> Filling<'s> {
    pub(super) fn new(store: &'s dyn SessionStore) -> Self {
        Self {
            store,
            changes: Vec::new(),
            bytes: 0,
            counts: Counts::default(),
            session: None,
        }
    }

    /// What has come so far.
    pub(super) const fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a change; a full batch is committed.
    pub(super) async fn push(&mut self, change: Change) -> Result<(), StoreError> {
        self.bytes += message_bytes(&change);
        self.changes.push(change);
        if self.changes.len() >= BATCH_CHANGES_MAX || self.bytes >= BATCH_BYTES_MAX {
            self.commit().await?;
        }
        Ok(())
    }

    /// Commits what has not been committed yet.
    pub(super) async fn commit(&mut self) -> Result<(), StoreError> {
        let changes = std::mem::take(&mut self.changes);
        self.bytes = 0;
        if changes.is_empty() {
            return Ok(());
        }
        self.store.commit(changes.into()).await
    }

    /// What a record asks for; or what is wrong with the place where it is.
    pub(super) fn step(&mut self, record: Record) -> Result<Step, String> {
        Ok(Step::Change(match record {
            Record::Session(form) => self.session(form).into(),
            Record::Subscription(form) => self.subscription(form)?.into(),
            Record::Received(form) => self.received(form)?.into(),
            Record::Delivery(form) => self.delivery(form)?.into(),
            Record::Retained(message) => {
                self.counts.retained += 1;
                self.session = None;
                Change::PutRetained { message }
            }
            Record::End(expected) => return Ok(Step::End(expected)),
        }))
    }

    fn session(&mut self, form: SessionForm) -> SessionForm {
        self.counts.sessions += 1;
        self.session = Some(SessionSoFar {
            client: form.client.clone(),
            filters: BTreeSet::new(),
            packet_id: None,
            sent_before: form.sent_before,
            seqs: None,
        });
        form
    }

    fn subscription(&mut self, form: SubscriptionForm) -> Result<SubscriptionForm, String> {
        self.counts.subscriptions += 1;
        let session = self.session_of("subscription", &form.client)?;
        if session.filters.insert(form.filter.clone()) {
            return Ok(form);
        }
        let filter = form.filter;
        Err(format!(
            "subscription.filter: {filter:?} again, expected once in a session"
        ))
    }

    fn received(&mut self, form: ReceivedForm) -> Result<ReceivedForm, String> {
        self.counts.received += 1;
        let session = self.session_of("received", &form.client)?;
        let new = form.packet_id;
        match session.packet_id.replace(new) {
            Some(last) if new <= last => Err(format!(
                "received.packet_id: {new}, expected more than {last}"
            )),
            Some(_) | None => Ok(form),
        }
    }

    fn delivery(&mut self, form: DeliveryForm) -> Result<DeliveryForm, String> {
        self.counts.deliveries += 1;
        let session = self.session_of("delivery", &form.client)?;
        session.deliver(form.seq)?;
        Ok(form)
    }

    fn session_of(&mut self, key: &str, client: &ClientId) -> Result<&mut SessionSoFar, String> {
        let expected = match &mut self.session {
            Some(session) => {
                if session.client == *client {
                    return Ok(session);
                }
                format!(
                    "expected {:?}, whose session the file is at",
                    session.client
                )
            }
            None => "expected behind the record of its session".to_owned(),
        };
        Err(format!("{key}.client: {client:?}, {expected}"))
    }
}

impl SessionSoFar {
    fn deliver(&mut self, seq: u64) -> Result<(), String> {
        let (first, last) = self.seqs.unwrap_or((seq, 0));
        let (end, sent) = (first.saturating_add(SPAN_MAX), self.sent_before);
        self.seqs = Some((first, seq));
        if seq <= last {
            Err(format!("delivery.seq: {seq}, expected more than {last}"))
        } else if seq > end {
            Err(format!("delivery.seq: {seq}, expected {end} at most"))
        } else if sent > end {
            Err(format!(
                "delivery.seq: {seq}, expected nearer to the session's sent_before, {sent}"
            ))
        } else {
            Ok(())
        }
    }
}

/// Bytes that a change holds on to, apart from what all changes have.
fn message_bytes(change: &Change) -> usize {
    match change {
        Change::PutSession { record, .. } => {
            let will = record.will.as_ref();
            will.map_or(0, |will| will.message.len())
        }
        Change::PutDelivery { delivery, .. } => delivery.message.len(),
        Change::PutRetained { message } => message.len(),
        Change::DeleteSession { .. }
        | Change::PutSubscription { .. }
        | Change::DeleteSubscription { .. }
        | Change::ReleaseDelivery { .. }
        | Change::DeleteDelivery { .. }
        | Change::PutReceived { .. }
        | Change::DeleteReceived { .. }
        | Change::DeleteRetained { .. } => 0,
    }
}
