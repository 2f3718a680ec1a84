//! The test suite of stores finds what is wrong with a store: here are stores with one fault each.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at what it did not expect"
)]

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use mqtt_broker_core::store::testkit::{
    FlakyStore, Restart, mqtt_store_testkit, mqtt_store_testkit_failure,
};
use mqtt_broker_core::store::{
    Batch, Change, Delivery, Expiring, Model, SessionRecord, SessionStore, StoreError,
    StoredSession,
};
use mqtt_broker_core::{ClientId, Message};
use mqtt_codec::TopicName;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    BatchInReverse,
    LastChangeLost,
    ChangesBeyondAThousandLost,
    EmptyBatchRefused,
    DeleteSessionForgetsDeliveries,
    DeleteSessionForgetsSubscriptions,
    DeleteSessionTakesThoseWithThePrefix,
    PutSessionForgetsTheRest,
    ReleaseForgotten,
    ReceivedForgotten,
    WillForgotten,
    IdentityForgotten,
    IdentifiersForgotten,
    ExpiryForgotten,
    PropertiesForgotten,
    PayloadCutAtSixtyFourKilobytes,
    DoneForOneIsDoneForAll,
    ClearedWithItsChildren,
    PageRunsOnIntoTheNextSession,
    PageOneTooLong,
    PageBeginsAtItsKey,
    PageIgnoresWhereToGoOn,
    LastPageEmpty,
    SessionsByLength,
    DeliveriesByText,
    LifetimesForgotten,
    RestartLosesTheLastBatch,
    RestartLosesReleases,
    RestartDoublesQueues,
    DroppedCommitLeavesHalf,
    CommitsAtTheSameTimeAreLost,
}

use Fault::*;

const FAULTS: [Fault; 30] = [
    BatchInReverse,
    LastChangeLost,
    ChangesBeyondAThousandLost,
    EmptyBatchRefused,
    DeleteSessionForgetsDeliveries,
    DeleteSessionForgetsSubscriptions,
    DeleteSessionTakesThoseWithThePrefix,
    PutSessionForgetsTheRest,
    ReleaseForgotten,
    ReceivedForgotten,
    WillForgotten,
    IdentityForgotten,
    IdentifiersForgotten,
    ExpiryForgotten,
    PropertiesForgotten,
    PayloadCutAtSixtyFourKilobytes,
    DoneForOneIsDoneForAll,
    ClearedWithItsChildren,
    PageRunsOnIntoTheNextSession,
    PageOneTooLong,
    PageBeginsAtItsKey,
    PageIgnoresWhereToGoOn,
    LastPageEmpty,
    DeliveriesByText,
    LifetimesForgotten,
    RestartLosesTheLastBatch,
    RestartLosesReleases,
    RestartDoublesQueues,
    DroppedCommitLeavesHalf,
    CommitsAtTheSameTimeAreLost,
];

/// What a directory holds.
#[derive(Clone, Default)]
struct Disk {
    model: Model,
    /// As it was before the last batch.
    before: Model,
}

/// A store on a disk in memory, with a fault.
struct Faulty {
    fault: Fault,
    disk: Arc<Mutex<Disk>>,
}

impl Faulty {
    fn model(&self) -> Model {
        self.disk.lock().unwrap().model.clone()
    }

    fn apply(&self, model: &mut Model, change: Change) {
        let all = usize::MAX;
        match (self.fault, change) {
            (DeleteSessionForgetsDeliveries, Change::DeleteSession { client }) => {
                let deliveries = model.deliveries(&client, None, all);
                delete_session(model, &client);
                if !deliveries.is_empty() {
                    // They wait for the next session of this name.
                    put_session(model, &client);
                    put_all(model, &client, deliveries);
                }
            }
            (DeleteSessionForgetsSubscriptions, Change::DeleteSession { client }) => {
                let sessions = model.sessions(None, all);
                let session = sessions.into_iter().find(|(there, _)| *there == client);
                delete_session(model, &client);
                let subscriptions = session.map(|(_, session)| session.subscriptions);
                for (filter, subscription) in subscriptions.unwrap_or_default() {
                    put_session(model, &client);
                    let client = client.clone();
                    model.apply(Change::PutSubscription {
                        client,
                        filter,
                        subscription,
                    });
                }
            }
            (DeleteSessionTakesThoseWithThePrefix, Change::DeleteSession { client }) => {
                for (other, _) in model.sessions(None, all) {
                    if other.as_str().starts_with(client.as_str()) {
                        delete_session(model, &other);
                    }
                }
            }
            (PutSessionForgetsTheRest, Change::PutSession { client, record }) => {
                delete_session(model, &client);
                model.apply(Change::PutSession { client, record });
            }
            (ReleaseForgotten, Change::ReleaseDelivery { .. })
            | (ReceivedForgotten, Change::PutReceived { .. }) => {}
            (DoneForOneIsDoneForAll, Change::DeleteDelivery { client, seq }) => {
                for (other, _) in model.sessions(None, all) {
                    if other == client || seq == 1 {
                        model.apply(Change::DeleteDelivery { client: other, seq });
                    }
                }
            }
            (ClearedWithItsChildren, Change::DeleteRetained { topic }) => {
                for message in model.retained(None, all) {
                    if message.topic_bytes().starts_with(topic.as_bytes()) {
                        let topic = message.topic();
                        model.apply(Change::DeleteRetained { topic });
                    }
                }
            }
            (_, change) => model.apply(self.spoilt_change(change)),
        }
    }

    /// The change with a field missing.
    fn spoilt_change(&self, mut change: Change) -> Change {
        match (self.fault, &mut change) {
            (WillForgotten, Change::PutSession { record, .. }) => record.will = None,
            (IdentityForgotten, Change::PutSession { record, .. }) => record.identity = None,
            (IdentifiersForgotten, Change::PutDelivery { delivery, .. }) => {
                delivery.subscription_identifiers = Box::default();
            }
            (ExpiryForgotten, Change::PutRetained { message }) => {
                Arc::make_mut(message).expires = None;
            }
            (
                PropertiesForgotten | PayloadCutAtSixtyFourKilobytes,
                Change::PutDelivery { delivery, .. },
            ) => delivery.message = self.spoilt(&delivery.message),
            _ => {}
        }
        change
    }

    fn spoilt(&self, message: &Message) -> Arc<Message> {
        let (mut properties, mut payload) = (message.properties(), message.payload());
        match self.fault {
            PropertiesForgotten => properties = Default::default(),
            _ => payload = &payload[..payload.len().min(65_535)],
        }
        let topic = message.topic();
        let mut spoilt = Message::new(topic.as_view(), properties, payload);
        (spoilt.qos, spoilt.retain, spoilt.expires) =
            (message.qos, message.retain, message.expires);
        Arc::new(spoilt)
    }

    /// Where a page begins and how long it is.
    fn page<K>(&self, after: Option<K>, limit: usize) -> (Option<K>, usize) {
        match self.fault {
            PageOneTooLong => (after, limit + 1),
            PageIgnoresWhereToGoOn => (None, limit),
            _ => (after, limit),
        }
    }

    fn cut<T>(&self, mut page: Vec<T>, limit: usize) -> Vec<T> {
        if self.fault == LastPageEmpty && page.len() < limit {
            page.clear();
        }
        page
    }
}

fn put_session(model: &mut Model, client: &ClientId) {
    let (client, record) = (client.clone(), SessionRecord::default());
    model.apply(Change::PutSession { client, record });
}

fn delete_session(model: &mut Model, client: &ClientId) {
    let client = client.clone();
    model.apply(Change::DeleteSession { client });
}

fn put_all(model: &mut Model, client: &ClientId, deliveries: Vec<(u64, Delivery)>) {
    for (seq, delivery) in deliveries {
        model.apply(Change::PutDelivery {
            client: client.clone(),
            seq,
            delivery,
        });
    }
}

#[async_trait]
impl SessionStore for Faulty {
    async fn commit(&self, mut batch: Batch) -> Result<(), StoreError> {
        let half = batch.changes.len() / 2;
        match self.fault {
            BatchInReverse => batch.changes.reverse(),
            LastChangeLost => drop(batch.changes.pop()),
            ChangesBeyondAThousandLost => batch.changes.truncate(1000),
            EmptyBatchRefused if batch.changes.is_empty() => {
                return Err(StoreError::failed("there is nothing to do"));
            }
            _ => {}
        }
        let mut model = self.model();
        let before = model.clone();
        for (number, change) in batch.changes.into_iter().enumerate() {
            if number == half && self.fault == DroppedCommitLeavesHalf {
                self.disk.lock().unwrap().model = model.clone();
                yield_once().await;
            }
            self.apply(&mut model, change);
        }
        if self.fault == CommitsAtTheSameTimeAreLost {
            yield_once().await;
        }
        *self.disk.lock().unwrap() = Disk { model, before };
        Ok(())
    }

    async fn sessions(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, StoredSession)>, StoreError> {
        let model = &self.disk.lock().unwrap().model;
        let (after, limit) = self.page(after, limit);
        if self.fault != SessionsByLength {
            return Ok(self.cut(model.sessions(after, limit), limit));
        }
        let mut sessions = model.sessions(None, usize::MAX);
        let key = |client: &ClientId| (client.as_str().len(), client.clone());
        sessions.sort_by_key(|(client, _)| key(client));
        sessions.retain(|(client, _)| after.is_none_or(|after| key(client) > key(after)));
        sessions.truncate(limit);
        Ok(sessions)
    }

    async fn deliveries(
        &self,
        client: &ClientId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Delivery)>, StoreError> {
        let model = &self.disk.lock().unwrap().model;
        let (after, limit) = self.page(after, limit);
        let mut page = match self.fault {
            DeliveriesByText => {
                let mut all = model.deliveries(client, None, usize::MAX);
                all.sort_by_key(|(seq, _)| seq.to_string());
                all.retain(|(seq, _)| {
                    after.is_none_or(|after| seq.to_string() > after.to_string())
                });
                all.truncate(limit);
                all
            }
            PageBeginsAtItsKey => {
                let after = after.map(|after| after.saturating_sub(1));
                model.deliveries(client, after, limit)
            }
            _ => model.deliveries(client, after, limit),
        };
        if self.fault == PageRunsOnIntoTheNextSession && page.len() < limit {
            let next = model.sessions(Some(client), 1);
            if let Some((next, _)) = next.first()
                && next.as_str().starts_with(client.as_str())
            {
                page.extend(model.deliveries(next, after, limit - page.len()));
            }
        }
        Ok(self.cut(page, limit))
    }

    async fn expiring(
        &self,
        after: Option<&Expiring>,
        limit: usize,
    ) -> Result<Vec<Expiring>, StoreError> {
        let model = &self.disk.lock().unwrap().model;
        let (after, limit) = self.page(after, limit);
        let mut page = model.expiring(after, limit);
        if self.fault == LifetimesForgotten {
            page.clear();
        }
        Ok(self.cut(page, limit))
    }

    async fn retained(
        &self,
        after: Option<&TopicName>,
        limit: usize,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        let (after, limit) = self.page(after, limit);
        let model = &self.disk.lock().unwrap().model;
        Ok(self.cut(model.retained(after, limit), limit))
    }
}

/// Opens stores in directories that outlive them.
fn opener(fault: Fault) -> impl AsyncFn(&Path) -> Arc<dyn SessionStore> {
    let disks: Mutex<BTreeMap<PathBuf, Arc<Mutex<Disk>>>> = Mutex::default();
    async move |path: &Path| {
        let mut disks = disks.lock().unwrap();
        let again = disks.contains_key(path);
        let disk = disks.entry(path.to_owned()).or_default().clone();
        if again {
            restart(fault, &mut disk.lock().unwrap());
        }
        Arc::new(Faulty { fault, disk }) as _
    }
}

fn restart(fault: Fault, disk: &mut Disk) {
    if fault == RestartLosesTheLastBatch {
        disk.model = disk.before.clone();
    }
    for (client, _) in disk.model.sessions(None, usize::MAX) {
        let mut deliveries = disk.model.deliveries(&client, None, usize::MAX);
        match fault {
            RestartLosesReleases => {
                for (_, delivery) in &mut deliveries {
                    delivery.released = false;
                }
            }
            RestartDoublesQueues => {
                let twice: Vec<_> = deliveries
                    .iter()
                    .map(|(seq, delivery)| (seq.wrapping_add(1_000_000), delivery.clone()))
                    .collect();
                deliveries.extend(twice);
            }
            _ => continue,
        }
        put_all(&mut disk.model, &client, deliveries);
    }
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut yielded, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// None of these stores waits for anything.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return output;
        }
    }
}

fn passes(test: impl Future<Output = ()>) -> bool {
    catch_unwind(AssertUnwindSafe(|| block_on(test))).is_ok()
}

/// The order of sessions is the store's own.
#[test]
fn a_store_without_a_fault_passes() {
    for sound in [Nothing, SessionsByLength] {
        block_on(mqtt_store_testkit(opener(sound), Restart::Keeps));
    }
}

#[test]
fn every_fault_is_found() {
    let missed: Vec<_> = FAULTS
        .into_iter()
        .filter(|fault| passes(mqtt_store_testkit(opener(*fault), Restart::Keeps)))
        .collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// A store that forgets is not one that keeps, nor the other way round.
#[test]
fn what_a_store_says_of_itself_is_checked() {
    assert!(!passes(mqtt_store_testkit(
        opener(Nothing),
        Restart::Forgets
    )));
    let forgets = async |_: &Path| {
        let disk = Arc::default();
        let fault = Nothing;
        Arc::new(Faulty { fault, disk }) as _
    };
    assert!(passes(mqtt_store_testkit(forgets, Restart::Forgets)));
    assert!(!passes(mqtt_store_testkit(forgets, Restart::Keeps)));
}

#[test]
fn directories_are_removed() {
    let seen: Mutex<Vec<PathBuf>> = Mutex::default();
    let open = async |path: &Path| {
        assert!(path.is_dir());
        std::fs::write(path.join("file"), "x").unwrap();
        seen.lock().unwrap().push(path.to_owned());
        let disk = Arc::default();
        let fault = LastChangeLost;
        Arc::new(Faulty { fault, disk }) as _
    };
    assert!(!passes(mqtt_store_testkit(open, Restart::Forgets)));
    let seen = seen.into_inner().unwrap();
    assert!(!seen.is_empty() && seen.iter().all(|path| !path.exists()));
}

/// A store that fails as the trait demands, and one that goes on afterwards.
struct GoesOn {
    failed: Mutex<bool>,
    applies: bool,
    inner: Faulty,
}

#[async_trait]
impl SessionStore for GoesOn {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let first = !std::mem::replace(&mut *self.failed.lock().unwrap(), true);
        if first && !self.applies {
            return Err(StoreError::failed("once"));
        }
        self.inner.commit(batch).await?;
        if first {
            Err(StoreError::failed("and done all the same"))
        } else if self.applies {
            Err(StoreError::Poisoned)
        } else {
            Ok(())
        }
    }

    async fn sessions(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, StoredSession)>, StoreError> {
        self.inner.sessions(after, limit).await
    }

    async fn deliveries(
        &self,
        client: &ClientId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Delivery)>, StoreError> {
        self.inner.deliveries(client, after, limit).await
    }

    async fn expiring(
        &self,
        after: Option<&Expiring>,
        limit: usize,
    ) -> Result<Vec<Expiring>, StoreError> {
        self.inner.expiring(after, limit).await
    }

    async fn retained(
        &self,
        after: Option<&TopicName>,
        limit: usize,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        self.inner.retained(after, limit).await
    }
}

#[test]
fn a_failure_is_final() {
    let sound = || Faulty {
        fault: Nothing,
        disk: Arc::default(),
    };
    let flaky = FlakyStore::new(Arc::new(sound()));
    assert!(!passes(mqtt_store_testkit_failure(&flaky)));
    let flaky = FlakyStore::new(Arc::new(sound()));
    flaky.fail_after(0);
    block_on(mqtt_store_testkit_failure(&flaky));
    for applies in [false, true] {
        let store = GoesOn {
            failed: Mutex::new(false),
            applies,
            inner: sound(),
        };
        assert!(!passes(mqtt_store_testkit_failure(&store)));
    }
}

#[test]
fn a_flaky_store_counts_its_commits() {
    let flaky = FlakyStore::new(Arc::new(Faulty {
        fault: Nothing,
        disk: Arc::default(),
    }));
    let commit = || block_on(flaky.commit(Batch::default()));
    assert!((0..10).all(|_| commit().is_ok()));
    flaky.fail_after(2);
    assert!(commit().is_ok() && commit().is_ok());
    assert!(matches!(commit(), Err(StoreError::Failed(_))));
    assert!((0..10).all(|_| matches!(commit(), Err(StoreError::Poisoned))));
}
