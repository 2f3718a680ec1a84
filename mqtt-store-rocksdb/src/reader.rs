//! Pages of what is there, as it was at one moment.

use std::sync::Arc;
use std::sync::mpsc::{SendError, Sender};

use mqtt_broker_core::store::{
    Delivery, Expiring, Record, SessionRecord, StoreError, StoredSession, SubscriptionRecord,
};
use mqtt_broker_core::{ClientId, Message};
use mqtt_codec::{PacketId, TopicFilter, TopicName};
use rocksdb::{DB, ReadOptions, Snapshot};

use crate::aside::{Fault, Unreadable};
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
            None => Vec::new(),
            Some(client) => match self.database.number(client) {
                Some(number) => key::behind(number),
                None => {
                    let absent = format!("the session {client:?}, where to go on, is not there");
                    return Err(StoreError::failed(absent));
                }
            },
        };
        let db = &self.database.db;
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
            let number = key::parse_number(key).ok_or(Fault::Key);
            let parsed = number.and_then(|number| Ok((number, parse_session(value)?)));
            match parsed {
                Ok((number, (client, record))) => {
                    let session = parts.session(number, record)?;
                    count += session.subscriptions.len() + session.received.len();
                    page.push((client, session));
                }
                Err(fault) => self.set_aside(Table::Session, (key, value), fault),
            }
        }
        if page.len() < limit && count < PAGE_PARTS {
            parts.rest()?;
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
        let mut released_at = self.next_released(&mut released)?;
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < limit
            && bytes < PAGE_BYTES
            && let Some((key, value)) = rows.next()?
        {
            let parsed = key::parse_pair(key)
                .ok_or(Fault::Key)
                .and_then(|(_, seq)| Ok((seq, DeliveryRecord::parse(value)?)));
            let (seq, record) = match parsed {
                Ok(parsed) => parsed,
                Err(fault) => {
                    self.set_aside(Table::Delivery, (key, value), fault);
                    continue;
                }
            };
            let Some(message) = self.message(db, &snapshot, record.message)? else {
                let fault = Fault::NoMessage(record.message);
                self.set_aside(Table::Delivery, (key, value), fault);
                continue;
            };
            while released_at.as_deref().is_some_and(|at| at < key) {
                released_at = self.next_released(&mut released)?;
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
        if page.len() < limit && bytes < PAGE_BYTES {
            // Those that are left belong to no delivery, or cannot be read.
            while self.next_released(&mut released)?.is_some() {}
        }
        Ok(page)
    }

    /// The next key of this scan of [`Table::Released`].
    fn next_released(&self, released: &mut Rows<'_>) -> Result<Option<Vec<u8>>, StoreError> {
        while let Some((key, value)) = released.next()? {
            if key::parse_pair(key).is_some() {
                return Ok(Some(key.to_vec()));
            }
            self.set_aside(Table::Released, (key, value), Fault::Key);
        }
        Ok(None)
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
            && let Some((key, value)) = rows.next()?
        {
            if key == after {
                continue;
            }
            let Some((at, session, seq)) = key::parse_due(key) else {
                self.set_aside(Table::Due, (key, value), Fault::Key);
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
                Ok(_) => self.set_aside(Table::Retained, (key, value), Fault::OtherTopic),
                Err(why) => self.set_aside(Table::Retained, (key, value), why.into()),
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
            self.set_aside(Table::Message, (&key, &value), why.into());
        }
        Ok(message.ok())
    }

    /// Has a row that cannot be read moved out of the way. The writer says so, once.
    fn set_aside(&self, table: Table, (key, value): Row<'_>, fault: Fault) {
        let unreadable = Unreadable::new(table, key, value, fault);
        if let Err(SendError(Request::SetAside(unreadable))) =
            self.writer.send(Request::SetAside(unreadable))
        {
            // After a failed write there is no writer any more.
            unreadable.report();
        }
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
                    let parsed = filter
                        .map_err(|_| Fault::Key)
                        .and_then(|filter| Ok((filter, SubscriptionRecord::from_bytes(value)?)));
                    match parsed {
                        Ok(subscription) => subscriptions.push(subscription),
                        Err(fault) => {
                            self.reader
                                .set_aside(Table::Subscription, (key, value), fault);
                        }
                    }
                }
                // Those of a session that was set aside.
                Some(_) => {}
                None => {
                    let fault = Fault::Key;
                    self.reader
                        .set_aside(Table::Subscription, (key, value), fault);
                }
            }
            row = self.subscriptions.next()?;
        }
        Ok(subscriptions)
    }

    fn received(&mut self, number: u64) -> Result<Vec<PacketId>, StoreError> {
        let mut received = Vec::new();
        let mut row = self.received.current()?;
        while let Some((key, value)) = row {
            let mut id = key;
            let owner = key::take_number(&mut id);
            if owner.is_some_and(|owner| owner > number) {
                break;
            }
            let id = <[u8; 2]>::try_from(id).ok().map(u16::from_be_bytes);
            match (owner, id.and_then(PacketId::new)) {
                (Some(owner), Some(id)) if owner == number => received.push(id),
                // That of a session that was set aside.
                (Some(_), Some(_)) => {}
                (None, _) | (_, None) => {
                    let fault = Fault::Key;
                    self.reader.set_aside(Table::Received, (key, value), fault);
                }
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
        let mut at = self.delivery()?;
        if at.is_some_and(|at| at.session < number) {
            self.deliveries.seek(&key::number(number))?;
            at = self.delivery()?;
        }
        let Some(first) = at.filter(|at| at.session == number) else {
            return Ok(None);
        };
        let mut last = first.seq;
        for _ in 0..STEPS_MAX {
            self.deliveries.next()?;
            match self.delivery()? {
                Some(at) if at.session == number => last = at.seq,
                Some(_) | None => return Ok(Some(first.seq..=last)),
            }
        }
        let behind = key::behind(number);
        let mut row = self.deliveries.seek_back(&behind)?;
        while let Some((key, value)) = row {
            if let Some((_, seq)) = key::parse_pair(key) {
                last = seq;
                break;
            }
            let fault = Fault::Key;
            self.reader.set_aside(Table::Delivery, (key, value), fault);
            row = self.deliveries.previous()?;
        }
        self.deliveries.seek(&behind)?;
        Ok(Some(first.seq..=last))
    }

    /// The delivery where its scan is, or the first one behind that whose key can be read.
    fn delivery(&mut self) -> Result<Option<Place>, StoreError> {
        let mut row = self.deliveries.current()?;
        while let Some((key, value)) = row {
            if let Some((session, seq)) = key::parse_pair(key) {
                return Ok(Some(Place { session, seq }));
            }
            let fault = Fault::Key;
            self.reader.set_aside(Table::Delivery, (key, value), fault);
            row = self.deliveries.next()?;
        }
        Ok(None)
    }

    /// What is behind the last session: nothing, unless it cannot be read.
    fn rest(&mut self) -> Result<(), StoreError> {
        let tables = [
            (Table::Subscription, &mut self.subscriptions),
            (Table::Received, &mut self.received),
            (Table::Delivery, &mut self.deliveries),
        ];
        for (table, rows) in tables {
            let mut row = rows.seek(key::BEHIND_NUMBERS)?;
            while let Some((key, value)) = row {
                self.reader.set_aside(table, (key, value), Fault::Key);
                row = rows.next()?;
            }
        }
        Ok(())
    }
}

/// Whose delivery it is, and which.
#[derive(Clone, Copy)]
struct Place {
    session: u64,
    seq: u64,
}
