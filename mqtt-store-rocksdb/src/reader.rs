//! Pages of what is there, as it was at one moment.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use mqtt_broker_core::store::{
    Delivery, Expiring, Record, RecordError, SessionRecord, StoreError, StoredSession,
    SubscriptionRecord,
};
use mqtt_broker_core::{ClientId, Message};
use mqtt_codec::{PacketId, TopicFilter, TopicName};
use rocksdb::{DB, ReadOptions, Snapshot};

use crate::aside::Unreadable;
use crate::database::{Database, failed};
use crate::key;
use crate::record::{DeliveryRecord, parse_session, take_client};
use crate::scan::{Row, Rows, Scan};
use crate::table::{Table, handle};
use crate::writer::Request;

/// Bytes of messages in one page: a page of large messages is a short one.
const PAGE_BYTES: usize = 4 << 20;
/// Subscriptions and packet identifiers in one page of sessions.
const PAGE_PARTS: usize = 100_000;
/// Deliveries of one session that are stepped over before it is quicker to look for the last one.
const STEPS_MAX: usize = 16;

/// Reads what is there.
pub(crate) struct Reader {
    pub(crate) database: Arc<Database>,
    /// Where what cannot be read is sent, to be moved out of the way.
    pub(crate) writer: Sender<Request>,
}

impl Reader {
    /// As [`SessionStore::sessions`](mqtt_broker_core::store::SessionStore::sessions), in the order
    /// of their numbers: all tables that have something about sessions have it in that order.
    pub(crate) fn sessions(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientId, StoredSession)>, StoreError> {
        let first = match after {
            None => 0,
            Some(client) => match self.database.number(client) {
                Some(number) => number + 1,
                None => {
                    let absent = format!("the session {client:?}, where to go on, is not there");
                    return Err(StoreError::failed(absent));
                }
            },
        };
        let db = &self.database.db;
        let first = key::number(first);
        let snapshot = db.snapshot();
        let rows = |table| Rows::at(db, &snapshot, table, Scan::From(&first));
        let mut sessions = rows(Table::Session)?;
        let mut parts = Parts {
            reader: self,
            subscriptions: rows(Table::Subscription)?,
            received: rows(Table::Received)?,
            deliveries: rows(Table::Delivery)?,
        };
        parts.subscriptions.next()?;
        parts.received.next()?;
        parts.deliveries.next()?;
        let (mut page, mut count) = (Vec::new(), 0);
        while page.len() < limit
            && count < PAGE_PARTS
            && let Some((key, value)) = sessions.next()?
        {
            let number = key::parse_number(key).ok_or(RecordError::Damaged);
            let parsed = number.and_then(|number| Ok((number, parse_session(value)?)));
            match parsed {
                Ok((number, (client, record))) => {
                    let session = parts.session(number, record)?;
                    count += session.subscriptions.len() + session.received.len();
                    page.push((client, session));
                }
                Err(why) => self.set_aside(Table::Session, key, why),
            }
        }
        Ok(page)
    }

    /// As [`SessionStore::deliveries`](mqtt_broker_core::store::SessionStore::deliveries).
    pub(crate) fn deliveries(
        &self,
        client: &ClientId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Delivery)>, StoreError> {
        let Some(session) = self.database.number(client) else {
            return Ok(Vec::new());
        };
        let Some(first) = after.map_or(Some(0), |after| after.checked_add(1)) else {
            return Ok(Vec::new());
        };
        let db = &self.database.db;
        let snapshot = db.snapshot();
        let scan = Scan::SessionFrom(session, first);
        let mut rows = Rows::at(db, &snapshot, Table::Delivery, scan)?;
        let mut released = Rows::at(db, &snapshot, Table::Released, scan)?;
        let mut released_at = released.next()?.map(|(key, _)| key.to_vec());
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < limit
            && bytes < PAGE_BYTES
            && let Some((key, value)) = rows.next()?
        {
            let parsed = DeliveryRecord::parse(value)
                .and_then(|record| Ok((key::parse_pair(key).ok_or(RecordError::Damaged)?, record)));
            let ((_, seq), record) = match parsed {
                Ok(parsed) => parsed,
                Err(why) => {
                    self.set_aside(Table::Delivery, key, why);
                    continue;
                }
            };
            let Some(message) = self.message(db, &snapshot, record.message)? else {
                self.set_aside(Table::Delivery, key, RecordError::Damaged);
                continue;
            };
            while released_at.as_deref().is_some_and(|at| at < key) {
                released_at = released.next()?.map(|(key, _)| key.to_vec());
            }
            bytes += message.len();
            let delivery = Delivery {
                message: Arc::new(message),
                qos: record.qos,
                retain: record.retain,
                subscription_identifiers: record.subscription_identifiers,
                released: released_at.as_deref() == Some(key),
            };
            page.push((seq, delivery));
        }
        Ok(page)
    }

    /// As [`SessionStore::expiring`](mqtt_broker_core::store::SessionStore::expiring).
    pub(crate) fn expiring(
        &self,
        after: Option<&Expiring>,
        limit: usize,
    ) -> Result<Vec<Expiring>, StoreError> {
        let db = &self.database.db;
        let after = after.map_or_else(Vec::new, |after| {
            // The place of a session that has ended since is that of the moment.
            let session = self.database.number(&after.client).unwrap_or(0);
            key::due(after.at, &key::pair(session, after.seq))
        });
        let sessions = handle(db, Table::Session)?;
        let mut rows = Rows::of(db, Table::Due, Scan::From(&after))?;
        let mut page: Vec<Expiring> = Vec::new();
        while page.len() < limit
            && let Some((key, _)) = rows.next()?
        {
            if key == after {
                continue;
            }
            let Some((at, session, seq)) = key::parse_due(key) else {
                self.set_aside(Table::Due, key, RecordError::Damaged);
                continue;
            };
            let value = db.get_pinned_cf(sessions, key::number(session));
            if let Some(value) = value.map_err(failed)?
                && let Ok((client, _)) = take_client(&value)
            {
                page.push(Expiring { at, client, seq });
            }
        }
        Ok(page)
    }

    /// As [`SessionStore::retained`](mqtt_broker_core::store::SessionStore::retained).
    pub(crate) fn retained(
        &self,
        after: Option<&TopicName>,
        limit: usize,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        // The least that is behind a topic is that topic and one byte more.
        let first = after.map_or_else(Vec::new, |after| [after.as_bytes(), b"\0"].concat());
        let mut rows = Rows::of(&self.database.db, Table::Retained, Scan::From(&first))?;
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < limit
            && bytes < PAGE_BYTES
            && let Some((key, value)) = rows.next()?
        {
            match Message::from_bytes(value) {
                Ok(message) if message.topic_bytes() == key => {
                    bytes += message.len();
                    page.push(Arc::new(message));
                }
                Ok(_) => self.set_aside(Table::Retained, key, RecordError::Damaged),
                Err(why) => self.set_aside(Table::Retained, key, why),
            }
        }
        Ok(page)
    }

    fn message(
        &self,
        db: &DB,
        snapshot: &Snapshot<'_>,
        number: u64,
    ) -> Result<Option<Message>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_snapshot(snapshot);
        let key = key::number(number);
        let table = handle(db, Table::Message)?;
        let value = db.get_pinned_cf_opt(table, &key, &options);
        let Some(value) = value.map_err(failed)? else {
            return Ok(None);
        };
        let message = Message::from_bytes(&value);
        if let Err(why) = message {
            self.set_aside(Table::Message, &key, why);
        }
        Ok(message.ok())
    }

    /// Says that a row cannot be read, and has it moved out of the way.
    fn set_aside(&self, table: Table, key: &[u8], why: RecordError) {
        let unreadable = Unreadable::new(table, key, why);
        unreadable.report();
        // After a failed write there is no writer any more.
        let _ = self.writer.send(Request::SetAside(unreadable));
    }
}

/// What is in other tables about sessions, each scan as far as the sessions are.
struct Parts<'a> {
    reader: &'a Reader,
    subscriptions: Rows<'a>,
    received: Rows<'a>,
    deliveries: Rows<'a>,
}

impl Parts<'_> {
    /// The session with this number. Sessions are asked for in the order of their numbers.
    fn session(&mut self, number: u64, record: SessionRecord) -> Result<StoredSession, StoreError> {
        Ok(StoredSession {
            record,
            subscriptions: self.subscriptions(number)?,
            received: self.received(number)?,
            deliveries: self.deliveries(number)?,
        })
    }

    fn subscriptions(
        &mut self,
        number: u64,
    ) -> Result<Vec<(TopicFilter, SubscriptionRecord)>, StoreError> {
        let mut subscriptions = Vec::new();
        let mut row = self.subscriptions.current()?;
        while let Some((key, value)) = row {
            let mut filter = key;
            match key::take_number(&mut filter) {
                Some(owner) if owner > number => break,
                Some(owner) if owner == number => {
                    let filter = TopicFilter::new(bytes::Bytes::copy_from_slice(filter));
                    let filter = filter.map_err(|_| RecordError::Damaged);
                    match filter
                        .and_then(|filter| Ok((filter, SubscriptionRecord::from_bytes(value)?)))
                    {
                        Ok(subscription) => subscriptions.push(subscription),
                        Err(why) => self.reader.set_aside(Table::Subscription, key, why),
                    }
                }
                // Those of a session that was set aside.
                Some(_) | None => {}
            }
            row = self.subscriptions.next()?;
        }
        Ok(subscriptions)
    }

    fn received(&mut self, number: u64) -> Result<Vec<PacketId>, StoreError> {
        let mut received = Vec::new();
        let mut row = self.received.current()?;
        while let Some((key, _)) = row {
            let mut id = key;
            match key::take_number(&mut id) {
                Some(owner) if owner > number => break,
                Some(owner) if owner == number => {
                    let id = <[u8; 2]>::try_from(id).ok().map(u16::from_be_bytes);
                    match id.and_then(PacketId::new) {
                        Some(id) => received.push(id),
                        None => {
                            let why = RecordError::Damaged;
                            self.reader.set_aside(Table::Received, key, why);
                        }
                    }
                }
                Some(_) | None => {}
            }
            row = self.received.next()?;
        }
        Ok(received)
    }

    /// The first and the last sequence number.
    fn deliveries(
        &mut self,
        number: u64,
    ) -> Result<Option<std::ops::RangeInclusive<u64>>, StoreError> {
        let owned = |row: Option<Row<'_>>| row.and_then(|(key, _)| key::parse_pair(key));
        let mut at = owned(self.deliveries.current()?);
        if at.is_some_and(|(owner, _)| owner < number) {
            at = owned(self.deliveries.seek(&key::number(number))?);
        }
        let Some((_, first)) = at.filter(|(owner, _)| *owner == number) else {
            return Ok(None);
        };
        let mut last = first;
        for _ in 0..STEPS_MAX {
            match owned(self.deliveries.next()?) {
                Some((owner, seq)) if owner == number => last = seq,
                Some(_) | None => return Ok(Some(first..=last)),
            }
        }
        let behind = key::number(number + 1);
        if let Some((_, seq)) = owned(self.deliveries.seek_back(&behind)?) {
            last = seq;
        }
        self.deliveries.seek(&behind)?;
        Ok(Some(first..=last))
    }
}
