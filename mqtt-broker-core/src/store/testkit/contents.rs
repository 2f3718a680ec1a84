//! All that is in a store, read page by page, and whether the pages are as they should be.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use mqtt_codec::TopicName;

use crate::store::{Delivery, Expiring, Model, SessionStore, StoredSession};
use crate::{ClientId, Message};

/// All that is in a store.
#[derive(Debug, PartialEq)]
pub(super) struct Contents {
    sessions: Vec<(ClientId, StoredSession)>,
    deliveries: Vec<(ClientId, Vec<(u64, Delivery)>)>,
    expiring: Vec<Expiring>,
    retained: Vec<Arc<Message>>,
}

/// What a store with this model's changes has.
pub(super) fn of_model(model: &Model) -> Contents {
    let sessions = model.sessions(None, usize::MAX);
    let deliveries = sessions.iter().map(|(client, _)| {
        let deliveries = model.deliveries(client, None, usize::MAX);
        (client.clone(), deliveries)
    });
    Contents {
        deliveries: deliveries.collect(),
        sessions,
        expiring: model.expiring(None, usize::MAX),
        retained: model.retained(None, usize::MAX),
    }
}

/// What a store has, read by pages of `limit`.
pub(super) async fn read(store: &dyn SessionStore, limit: usize, case: &str) -> Contents {
    let sessions = sessions(store, limit, case).await;
    let mut deliveries = Vec::new();
    for (client, _) in &sessions {
        deliveries.push((client.clone(), queue(store, client, limit, case).await));
    }
    // As after a session that is not there.
    for client in ["", "no such client", "a\u{1}"] {
        let client = ClientId::new(client);
        if sessions.iter().all(|(there, _)| *there != client) {
            let page = queue(store, &client, limit, case).await;
            assert!(page.is_empty(), "{case}: {client:?} has {page:?}");
        }
    }
    Contents {
        sessions,
        deliveries,
        expiring: expiring(store, limit, case).await,
        retained: retained(store, limit, case).await,
    }
}

/// All deliveries with lifetimes. Those that end together come in an order that is the store's own.
async fn expiring(store: &dyn SessionStore, limit: usize, case: &str) -> Vec<Expiring> {
    let mut all: Vec<Expiring> = Vec::new();
    loop {
        let page = store.expiring(all.last(), limit).await;
        let page = page.unwrap_or_else(|error| panic!("{case}: lifetimes: {error}"));
        let count = page.len();
        assert!(count <= limit, "{case}: {count} in a page of {limit}");
        if count == 0 {
            break;
        }
        for next in page {
            let later = all.last().is_none_or(|last| last.at <= next.at);
            assert!(
                later && !all.contains(&next),
                "{case}: {next:?} is behind {all:?}"
            );
            all.push(next);
        }
    }
    all.sort();
    all
}

/// All sessions, by their client identifiers: the order of the pages is the store's own.
async fn sessions(
    store: &dyn SessionStore,
    limit: usize,
    case: &str,
) -> Vec<(ClientId, StoredSession)> {
    let mut sessions = BTreeMap::new();
    let mut after: Option<ClientId> = None;
    loop {
        let page = store.sessions(after.as_ref(), limit).await;
        let page = page.unwrap_or_else(|error| panic!("{case}: sessions: {error}"));
        let count = page.len();
        assert!(count <= limit, "{case}: {count} in a page of {limit}");
        let Some((last, _)) = page.last() else {
            return sessions.into_iter().collect();
        };
        after = Some(last.clone());
        for (client, session) in page {
            let before = sessions.insert(client.clone(), session);
            assert!(before.is_none(), "{case}: {client:?} is there twice");
        }
    }
}

async fn queue(
    store: &dyn SessionStore,
    client: &ClientId,
    limit: usize,
    case: &str,
) -> Vec<(u64, Delivery)> {
    let mut deliveries = Vec::new();
    loop {
        let after = deliveries.last().map(|(seq, _): &(u64, _)| *seq);
        let page = store.deliveries(client, after, limit).await;
        let page = page.unwrap_or_else(|error| panic!("{case}: deliveries: {error}"));
        let keys = page.iter().map(|(seq, _)| *seq);
        if !check(after, keys, limit, case) {
            return deliveries;
        }
        deliveries.extend(page);
    }
}

async fn retained(store: &dyn SessionStore, limit: usize, case: &str) -> Vec<Arc<Message>> {
    let mut messages: Vec<Arc<Message>> = Vec::new();
    loop {
        let after: Option<TopicName> = messages.last().map(|message| message.topic());
        let page = store.retained(after.as_ref(), limit).await;
        let page = page.unwrap_or_else(|error| panic!("{case}: retained: {error}"));
        let keys = page.iter().map(|message| message.topic());
        if !check(after, keys, limit, case) {
            return messages;
        }
        messages.extend(page);
    }
}

/// The keys of a page rise, from behind the last page on, and are not too many. False for an empty
/// page, which is the end.
fn check<K: Ord + Debug>(
    after: Option<K>,
    keys: impl Iterator<Item = K>,
    limit: usize,
    case: &str,
) -> bool {
    let (mut last, mut count) = (after, 0);
    for key in keys {
        if let Some(last) = &last {
            assert!(*last < key, "{case}: {key:?} comes behind {last:?}");
        }
        last = Some(key);
        count += 1;
    }
    assert!(count <= limit, "{case}: {count} in a page of {limit}");
    count > 0
}
