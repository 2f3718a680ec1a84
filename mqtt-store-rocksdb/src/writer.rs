//! The one thread that writes. It takes all batches that wait, and applies what they come to with
//! one write and one sync: the busier the store, the more messages share a sync.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use foldhash::fast::RandomState;
use mqtt_broker_core::store::{Batch, Delivery, Record, StoreError};
use mqtt_broker_core::{ClientId, Message};
use mqtt_codec::QoS;
use rocksdb::{DB, WriteBatch, WriteOptions};
use tokio::sync::oneshot;

use crate::SetAside;
use crate::aside::{Unreadable, delete_due};
use crate::count::Counted;
use crate::database::{Database, failed};
use crate::key;
use crate::net::{Net, NetDelivery, NetReceived, NetSession};
use crate::options::Durability;
use crate::record::{DeliveryRecord, push_session};
use crate::scan::{Rows, Scan};
use crate::table::{Table, Tables, handle};

/// Changes that are written together at most: more would keep those who wait for the first of them
/// waiting for longer than a sync takes.
const GROUP_CHANGES_MAX: usize = 100_000;

/// What the writer is asked for.
pub(crate) enum Request {
    /// To apply a batch, and to say when it is durable.
    Commit(Batch, oneshot::Sender<Result<(), StoreError>>),
    /// To move something that cannot be read out of the way.
    SetAside(Unreadable),
    /// To say how much has been moved so far.
    CountAside(oneshot::Sender<SetAside>),
}

pub(crate) struct Writer {
    database: Arc<Database>,
    durability: Durability,
    counted: Counted,
    set_aside: SetAside,
}

impl Writer {
    /// The writer of a database. Reads all deliveries, to count those of each message.
    pub(crate) fn new(database: Arc<Database>, durability: Durability) -> Result<Self, StoreError> {
        Ok(Self {
            counted: Counted::read(&database.db)?,
            set_aside: database.set_aside,
            durability,
            database,
        })
    }

    /// Handles requests until nobody can make them any more, or a write has failed.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        while let Ok(request) = requests.recv() {
            let mut group = Group::default();
            group.add(request);
            while group.changes < GROUP_CHANGES_MAX
                && let Ok(request) = requests.try_recv()
            {
                group.add(request);
            }
            let written = self
                .set_aside(&group.aside)
                .and_then(|()| self.write(group.net));
            for waiting in group.waiting {
                // Who no longer waits for the answer does not get it.
                let _ = waiting.send(written.clone());
            }
            if written.is_err() {
                return;
            }
            for waiting in group.counts {
                let _ = waiting.send(self.set_aside);
            }
        }
    }

    /// Moves rows out of the way, before anything else is written: what is written may be about the
    /// same keys.
    fn set_aside(&mut self, rows: &[Unreadable]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let database = self.database.clone();
        let db = &database.db;
        let mut undated = BTreeSet::new();
        let mut batch = WriteBatch::default();
        let mut seen = BTreeSet::new();
        for row in rows {
            if !seen.insert((row.table, &row.key)) || !row.is_there(db)? {
                continue;
            }
            row.report();
            row.move_away(db, &mut batch)?;
            self.set_aside.now += 1;
            match row.table {
                Table::Session => database.forget(&row.key),
                Table::Delivery => self.set_delivery_aside(row, &mut batch, &mut undated)?,
                Table::Meta
                | Table::Subscription
                | Table::Message
                | Table::Released
                | Table::Received
                | Table::Retained
                | Table::Due
                | Table::Aside => {}
            }
        }
        if !undated.is_empty() {
            delete_due(db, &undated, &mut batch)?;
        }
        // Not synced: what a crash brings back is found again.
        db.write(batch).map_err(failed)
    }

    /// Deletes what other tables have about a delivery: after a crash, its sequence number may be
    /// that of another.
    fn set_delivery_aside(
        &mut self,
        row: &Unreadable,
        batch: &mut WriteBatch,
        undated: &mut BTreeSet<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let db = &self.database.db;
        let released = handle(db, Table::Released)?;
        if db
            .get_pinned_cf(released, &row.key)
            .map_err(failed)?
            .is_some()
        {
            batch.single_delete_cf(released, &row.key);
        }
        let Some(record) = row.delivery() else {
            undated.insert(row.key.clone());
            return Ok(());
        };
        if let Some(expires) = record.expires {
            batch.single_delete_cf(handle(db, Table::Due)?, key::due(expires, &row.key));
        }
        // Its message is not there.
        self.counted.is_last_owner(&record);
        Ok(())
    }

    fn write(&mut self, net: Net) -> Result<(), StoreError> {
        let database = self.database.clone();
        let mut options = WriteOptions::default();
        // What is only removed comes back in the worst case, and is durable with the next sync.
        options.set_sync(self.durability == Durability::Disk && !net.only_removes());
        let mut writing = Writing {
            db: &database.db,
            tables: Tables::of(&database.db)?,
            batch: WriteBatch::default(),
            messages: count_messages(&net),
            opened: Vec::new(),
            ended: Vec::new(),
            undated: BTreeSet::new(),
            writer: self,
            key: Vec::new(),
            value: Vec::new(),
        };
        for (client, session) in net.sessions {
            writing.session(&client, session)?;
        }
        for (topic, message) in net.retained {
            writing.retained(topic.as_bytes(), message.as_deref());
        }
        let Writing {
            mut batch,
            opened,
            ended,
            undated,
            ..
        } = writing;
        if batch.is_empty() {
            return Ok(());
        }
        if !undated.is_empty() {
            delete_due(&database.db, &undated, &mut batch)?;
        }
        database.db.write_opt(batch, &options).map_err(failed)?;
        database.renumber(&ended, opened);
        Ok(())
    }
}

/// Answers for a writer that could not begin.
pub(crate) fn refuse(requests: &Receiver<Request>, cause: &StoreError) {
    for request in requests {
        if let Request::Commit(_, waiting) = request {
            let _ = waiting.send(Err(cause.clone()));
            return;
        }
    }
}

/// Batches that are written together.
#[derive(Default)]
struct Group {
    net: Net,
    aside: Vec<Unreadable>,
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
    counts: Vec<oneshot::Sender<SetAside>>,
    changes: usize,
}

impl Group {
    fn add(&mut self, request: Request) {
        match request {
            Request::Commit(batch, waiting) => {
                self.changes += batch.changes.len();
                self.net.add(batch);
                self.waiting.push(waiting);
            }
            Request::SetAside(unreadable) => self.aside.push(unreadable),
            Request::CountAside(waiting) => self.counts.push(waiting),
        }
    }
}

/// A message that is new, and how many new deliveries have it.
struct NewMessage {
    deliveries: u32,
    /// `None` until the first of them is written.
    number: Option<u64>,
}

fn count_messages(net: &Net) -> HashMap<*const Message, NewMessage, RandomState> {
    let mut messages: HashMap<_, NewMessage, _> = HashMap::default();
    let sessions = net.sessions.values();
    for delivery in sessions.flat_map(|session| session.deliveries.values()) {
        if let NetDelivery::Put(delivery) = delivery {
            let message = messages.entry(Arc::as_ptr(&delivery.message));
            let new = NewMessage {
                deliveries: 0,
                number: None,
            };
            message.or_insert(new).deliveries += 1;
        }
    }
    messages
}

/// What is about to be written in one go.
struct Writing<'a> {
    db: &'a DB,
    tables: Tables<'a>,
    batch: WriteBatch,
    messages: HashMap<*const Message, NewMessage, RandomState>,
    /// Sessions that are there once this is written, and those that are no more.
    opened: Vec<(ClientId, u64)>,
    ended: Vec<ClientId>,
    /// Deliveries that are gone, and of which it cannot be read when they would have expired.
    undated: BTreeSet<Vec<u8>>,
    writer: &'a mut Writer,
    /// Buffers, kept for the next use.
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Writing<'_> {
    fn session(&mut self, client: &ClientId, session: NetSession) -> Result<(), StoreError> {
        let mut number = self.writer.database.number(client);
        if session.ended
            && let Some(old) = number.take()
        {
            self.end_session(old)?;
            self.ended.push(client.clone());
        }
        if let Some(record) = &session.record {
            let number = *number.get_or_insert_with(|| {
                let number = self.writer.counted.next_session;
                self.writer.counted.next_session += 1;
                self.opened.push((client.clone(), number));
                number
            });
            self.key.clear();
            key::push_number(&mut self.key, number);
            self.value.clear();
            push_session(&mut self.value, client, record);
            let (batch, table) = (&mut self.batch, self.tables.session);
            batch.put_cf(table, &self.key, &self.value);
        }
        let Some(number) = number else {
            // What is not there does not change.
            return Ok(());
        };
        self.subscriptions(number, &session);
        self.received(number, &session);
        for (seq, delivery) in session.deliveries {
            match delivery {
                NetDelivery::Put(delivery) => self.put_delivery(number, seq, &delivery),
                NetDelivery::Release => {
                    let key = key::pair(number, seq);
                    self.batch.put_cf(self.tables.released, key, []);
                }
                NetDelivery::Delete => self.delete_delivery(number, seq)?,
            }
        }
        Ok(())
    }

    fn subscriptions(&mut self, number: u64, session: &NetSession) {
        for (filter, subscription) in &session.subscriptions {
            self.key.clear();
            key::push_number(&mut self.key, number);
            self.key.extend_from_slice(filter.as_bytes());
            match subscription {
                Some(record) => {
                    self.value.clear();
                    record.append_to(&mut self.value);
                    let (batch, table) = (&mut self.batch, self.tables.subscription);
                    batch.put_cf(table, &self.key, &self.value);
                }
                None => self.batch.delete_cf(self.tables.subscription, &self.key),
            }
        }
    }

    fn received(&mut self, number: u64, session: &NetSession) {
        for (id, change) in &session.received {
            self.key.clear();
            key::push_number(&mut self.key, number);
            self.key.extend_from_slice(&id.get().to_be_bytes());
            let (batch, table) = (&mut self.batch, self.tables.received);
            match change {
                NetReceived::Put => batch.put_cf(table, &self.key, []),
                NetReceived::Delete => batch.single_delete_cf(table, &self.key),
            }
        }
    }

    fn put_delivery(&mut self, session: u64, seq: u64, delivery: &Delivery) {
        let (message, shared) = self.put_message(&delivery.message);
        let record = DeliveryRecord {
            message,
            shared,
            qos: delivery.qos,
            retain: delivery.retain,
            expires: delivery.message.expires,
            subscription_identifiers: delivery.subscription_identifiers.clone(),
        };
        self.key.clear();
        key::push_number(&mut self.key, session);
        key::push_number(&mut self.key, seq);
        self.value.clear();
        record.push(&mut self.value);
        let (batch, tables) = (&mut self.batch, &self.tables);
        batch.put_cf(tables.delivery, &self.key, &self.value);
        if delivery.released {
            batch.put_cf(tables.released, &self.key, []);
        }
        if let Some(expires) = record.expires {
            batch.put_cf(tables.due, key::due(expires, &self.key), []);
        }
    }

    /// Writes a message, unless it has been for another delivery. Returns its number, and whether
    /// several deliveries have it.
    fn put_message(&mut self, message: &Arc<Message>) -> (u64, bool) {
        let Some(new) = self.messages.get_mut(&Arc::as_ptr(message)) else {
            unreachable!("all messages of the new deliveries have been counted");
        };
        let shared = new.deliveries > 1;
        if let Some(number) = new.number {
            return (number, shared);
        }
        let number = self.writer.counted.next_message;
        self.writer.counted.next_message += 1;
        new.number = Some(number);
        if shared {
            self.writer.counted.owners.insert(number, new.deliveries);
        }
        self.key.clear();
        key::push_number(&mut self.key, number);
        self.value.clear();
        message.append_to(&mut self.value);
        let (batch, table) = (&mut self.batch, self.tables.message);
        batch.put_cf(table, &self.key, &self.value);
        (number, shared)
    }

    fn delete_delivery(&mut self, session: u64, seq: u64) -> Result<(), StoreError> {
        let key = key::pair(session, seq);
        let stored = self.db.get_pinned_cf(self.tables.delivery, &key);
        // One that could not be read was set aside.
        let Some(value) = stored.map_err(failed)? else {
            return Ok(());
        };
        let released = self.remove_delivery(&key, &value) != Some(QoS::AtLeastOnce) && {
            let released = self.db.get_pinned_cf(self.tables.released, &key);
            released.map_err(failed)?.is_some()
        };
        if released {
            self.batch.single_delete_cf(self.tables.released, &key);
        }
        Ok(())
    }

    /// Removes a delivery, and its message if no other has it. Returns its QoS, if it can be read.
    fn remove_delivery(&mut self, key: &[u8], value: &[u8]) -> Option<QoS> {
        let (batch, tables) = (&mut self.batch, &self.tables);
        batch.single_delete_cf(tables.delivery, key);
        let Ok(record) = DeliveryRecord::parse(value) else {
            self.undated.insert(key.to_vec());
            return None;
        };
        if let Some(expires) = record.expires {
            batch.single_delete_cf(tables.due, key::due(expires, key));
        }
        if self.writer.counted.is_last_owner(&record) {
            batch.single_delete_cf(tables.message, key::number(record.message));
        }
        Some(record.qos)
    }

    /// Deletes all that a session has, key by key: few sessions have much, and ranges that are
    /// deleted slow down reading until they are compacted.
    fn end_session(&mut self, number: u64) -> Result<(), StoreError> {
        let own = key::number(number);
        self.batch.delete_cf(self.tables.session, &own);
        let db = self.db;
        let rows = |table| Rows::of(db, table, Scan::Session(number));
        let mut deliveries = rows(Table::Delivery)?;
        while let Some((key, value)) = deliveries.next()? {
            self.remove_delivery(key, value);
        }
        let mut released = rows(Table::Released)?;
        while let Some((key, _)) = released.next()? {
            self.batch.single_delete_cf(self.tables.released, key);
        }
        let mut received = rows(Table::Received)?;
        while let Some((key, _)) = received.next()? {
            self.batch.single_delete_cf(self.tables.received, key);
        }
        let mut subscriptions = rows(Table::Subscription)?;
        while let Some((key, _)) = subscriptions.next()? {
            self.batch.delete_cf(self.tables.subscription, key);
        }
        Ok(())
    }

    fn retained(&mut self, topic: &[u8], message: Option<&Message>) {
        match message {
            Some(message) => {
                self.value.clear();
                message.append_to(&mut self.value);
                let (batch, table) = (&mut self.batch, self.tables.retained);
                batch.put_cf(table, topic, &self.value);
            }
            None => self.batch.delete_cf(self.tables.retained, topic),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use mqtt_broker_core::store::{Change, RecordError};
    use mqtt_codec::{Properties, TopicName};

    use super::*;
    use crate::aside::Fault;
    use crate::options::Options;
    use crate::scratch::Directory;

    /// The reader has looked at a row; by the time when it is to be moved, it may have been written
    /// anew, by an earlier group or by this one.
    #[test]
    fn a_row_that_is_written_anew_is_not_set_aside() {
        for (stored, now) in [(b"?", 1), (b"!", 0)] {
            let directory = Directory::new(&format!("anew-{now}"));
            let database = Database::open(directory.path(), &Options::default()).unwrap();
            let database = Arc::new(database);
            let table = handle(&database.db, Table::Retained).unwrap();
            database.db.put_cf(table, b"t", stored).unwrap();
            let writer = Writer::new(database.clone(), Durability::Process).unwrap();
            let (requests, asked) = channel();
            let fault = Fault::Record(RecordError::Damaged);
            let unreadable = Unreadable::new(Table::Retained, b"t", b"?", fault);
            let topic = TopicName::from_text("t").unwrap();
            let message = Message::new(topic.as_view(), Properties::default(), b"new");
            let message = Arc::new(message);
            let put = Change::PutRetained {
                message: message.clone(),
            };
            let (done, committed) = oneshot::channel();
            let commit = Request::Commit(vec![put].into(), done);
            requests.send(commit).unwrap();
            // Found twice, since two pages had it.
            requests
                .send(Request::SetAside(unreadable.clone()))
                .unwrap();
            requests.send(Request::SetAside(unreadable)).unwrap();
            let (done, counted) = oneshot::channel();
            requests.send(Request::CountAside(done)).unwrap();
            drop(requests);
            writer.run(&asked);
            committed.blocking_recv().unwrap().unwrap();
            let expected = SetAside { now, earlier: 0 };
            assert_eq!(counted.blocking_recv().unwrap(), expected);
            let value = database.db.get_cf(table, b"t").unwrap().unwrap();
            assert_eq!(Message::from_bytes(&value).unwrap(), *message);
        }
    }
}
