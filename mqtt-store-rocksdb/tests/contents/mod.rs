//! All that is in a store, to be compared.

#![allow(dead_code, reason = "not every test needs everything")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mqtt_broker_core::store::{Delivery, Expiring, Model, SessionStore, StoreError, StoredSession};
use mqtt_broker_core::{ClientId, Message};
use mqtt_store_rocksdb::RocksStore;

/// All that is in a store.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Contents {
    sessions: BTreeMap<ClientId, StoredSession>,
    deliveries: Vec<(ClientId, u64, Delivery)>,
    expiring: BTreeSet<Expiring>,
    retained: Vec<Arc<Message>>,
}

impl Contents {
    /// What these changes add up to.
    pub(crate) fn of(model: &Model) -> Self {
        let sessions = model.sessions(None, usize::MAX);
        let deliveries = sessions.iter().flat_map(|(client, _)| {
            let page = model.deliveries(client, None, usize::MAX).into_iter();
            page.map(move |(seq, delivery)| (client.clone(), seq, delivery))
        });
        Self {
            deliveries: deliveries.collect(),
            sessions: sessions.iter().cloned().collect(),
            expiring: model.expiring(None, usize::MAX).into_iter().collect(),
            retained: model.retained(None, usize::MAX),
        }
    }

    /// Without what is known of deliveries before they are read.
    pub(crate) fn without_forecast(mut self) -> Self {
        for session in self.sessions.values_mut() {
            session.deliveries = None;
        }
        self.expiring.clear();
        self
    }

    /// What a store hands out, in pages of two.
    pub(crate) async fn read(store: &RocksStore) -> Result<Self, StoreError> {
        let mut contents = Self::default();
        let mut after: Option<ClientId> = None;
        loop {
            let page = store.sessions(after.as_ref(), 2).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (client, session) in page {
                let before = contents.sessions.insert(client.clone(), session);
                assert_eq!(before, None, "{client:?} is there twice");
            }
        }
        for client in contents.sessions.keys() {
            let mut after = None;
            loop {
                let page = store.deliveries(client, after, 2).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(*last);
                let page = page.into_iter();
                let rows = page.map(|(seq, delivery)| (client.clone(), seq, delivery));
                contents.deliveries.extend(rows);
            }
        }
        let mut after: Option<Expiring> = None;
        loop {
            let page = store.expiring(after.as_ref(), 2).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            contents.expiring.extend(page);
        }
        let mut after = None;
        loop {
            let page = store.retained(after.as_ref(), 2).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.topic());
            contents.retained.extend(page);
        }
        Ok(contents)
    }
}

/// Both are the same. Payloads are long, so only the beginning is shown of what is not.
pub(crate) fn assert_same(found: &Contents, expected: &Contents, name: &str) {
    let show = |text: String| text.chars().take(2000).collect::<String>();
    let part = |contents: &Contents| show(format!("{:?}", contents.sessions));
    assert_eq!(part(found), part(expected), "{name}");
    let part = |contents: &Contents| show(format!("{:?}", contents.expiring));
    assert_eq!(part(found), part(expected), "{name}");
    let part = |contents: &Contents| {
        let deliveries = contents.deliveries.iter();
        let lines = deliveries.map(|delivery| format!("{delivery:?}").chars().take(200).collect());
        lines.collect::<Vec<String>>()
    };
    assert_eq!(part(found), part(expected), "{name}");
    assert!(found == expected, "{name}: what is not shown differs");
}
