//! The way through all tables.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use foldhash::fast::RandomState;
use mqtt_broker_core::store::{Record, StoreError, SubscriptionRecord};
use mqtt_broker_core::{ClientId, Message};
use mqtt_codec::{PacketId, TopicFilter};
use rocksdb::DB;

use super::findings::Findings;
use super::messages::{Lifetime, Messages};
use super::{Check, TableRows};
use crate::aside::Fault;
use crate::database::FORMAT_KEY;
use crate::key;
use crate::record::{DeliveryRecord, parse_session};
use crate::scan::{Row, Rows, Scan};
use crate::table::{Table, handle};

/// What is known of the tables that have been walked through.
pub(super) struct Walk<'a> {
    db: &'a DB,
    findings: Findings,
    rows: Vec<TableRows>,
    /// Tables that were not read to their end: what is not found may be there.
    incomplete: Vec<Table>,
    /// The numbers of the sessions, rising.
    sessions: Vec<u64>,
    clients: HashMap<ClientId, u64, RandomState>,
    /// Sessions that were set aside.
    lost: BTreeSet<u64>,
    messages: Messages,
}

impl<'a> Walk<'a> {
    pub(super) fn new(db: &'a DB, findings: Findings) -> Self {
        Self {
            db,
            findings,
            rows: Vec::new(),
            incomplete: Vec::new(),
            sessions: Vec::new(),
            clients: HashMap::default(),
            lost: BTreeSet::new(),
            messages: Messages::default(),
        }
    }

    /// Reads all rows. First what others point to.
    pub(super) fn through_all(mut self) -> Check {
        self.each(Table::Meta, Self::meta);
        self.each(Table::Aside, Self::aside);
        self.each(Table::Session, Self::session);
        self.clients = HashMap::default();
        self.each(Table::Message, Self::message);
        self.each(Table::Delivery, Self::delivery);
        self.owners();
        self.each(Table::Subscription, Self::subscription);
        self.each(Table::Received, Self::received);
        self.each(Table::Released, Self::released);
        self.each(Table::Due, Self::due);
        self.each(Table::Retained, Self::retained);
        Check {
            tables: self.rows,
            damage: self.findings.damage,
            waste: self.findings.waste,
            findings: self.findings.kept,
        }
    }

    /// Reads all rows of a table, with their checksums and large values.
    fn each(&mut self, table: Table, look: fn(&mut Self, Row<'_>) -> Result<(), Fault>) {
        let mut count = 0;
        let mut read = || {
            let mut rows = Rows::of(self.db, table, Scan::All)?;
            while let Some((key, value)) = rows.next()? {
                count += 1;
                if let Err(fault) = look(self, (key, value)) {
                    self.damage(table, key, fault.to_string());
                }
            }
            Ok::<_, StoreError>(())
        };
        let read = read();
        if self.db.cf_handle(table.name()).is_none() {
            // That has been found when the table was opened.
            self.incomplete.push(table);
        } else if let Err(cause) = read {
            self.incomplete.push(table);
            self.findings
                .damage(table, String::new(), cause.to_string());
        }
        self.rows.push(TableRows {
            name: table.name(),
            rows: count,
        });
    }

    fn meta(&mut self, (key, _): Row<'_>) -> Result<(), Fault> {
        if key == FORMAT_KEY {
            Ok(())
        } else {
            Err(Fault::Key)
        }
    }

    fn aside(&mut self, (key, _): Row<'_>) -> Result<(), Fault> {
        let (table, inner) = Table::of_aside(key).ok_or(Fault::Key)?;
        if table == Table::Session {
            self.lost.extend(key::parse_number(inner));
        }
        let what = "it was set aside, since it could not be read".to_owned();
        self.damage(Table::Aside, key, what);
        Ok(())
    }

    fn session(&mut self, (key, value): Row<'_>) -> Result<(), Fault> {
        let number = key::parse_number(key).ok_or(Fault::Key)?;
        self.sessions.push(number);
        let (client, _) = parse_session(value)?;
        if let Some(older) = self.clients.insert(client, number) {
            let what = Fault::Older(number).to_string();
            self.damage(Table::Session, &key::number(older), what);
        }
        Ok(())
    }

    fn message(&mut self, (key, value): Row<'_>) -> Result<(), Fault> {
        let number = key::parse_number(key).ok_or(Fault::Key)?;
        let message = Message::from_bytes(value);
        let lifetime = match &message {
            Ok(message) => message.expires.map_or(Lifetime::Endless, Lifetime::Ends),
            Err(_) => Lifetime::Unknown,
        };
        self.messages.push(number, lifetime);
        message.map(|_| ()).map_err(Fault::from)
    }

    fn delivery(&mut self, (key, value): Row<'_>) -> Result<(), Fault> {
        let (session, _) = key::parse_pair(key).ok_or(Fault::Key)?;
        let record = DeliveryRecord::parse(value)?;
        self.owner(Table::Delivery, key, session);
        let own = record.expires.map_or(Lifetime::Endless, Lifetime::Ends);
        let Some(message) = self.messages.find(record.message) else {
            if self.is_complete(Table::Message) {
                return Err(Fault::NoMessage(record.message));
            }
            return Ok(());
        };
        message.deliveries += 1;
        message.unshared += u32::from(!record.shared);
        if message.lifetime != own && message.lifetime != Lifetime::Unknown {
            let what = "its lifetime is another than that of its message".to_owned();
            self.damage(Table::Delivery, key, what);
        }
        if let Some(expires) = record.expires
            && self.is_absent(Table::Due, &key::due(expires, key))
        {
            let what = "it is not noted when its lifetime ends".to_owned();
            self.damage(Table::Delivery, key, what);
        }
        Ok(())
    }

    /// Who has the messages.
    fn owners(&mut self) {
        let complete = self.is_complete(Table::Delivery);
        for message in std::mem::take(&mut self.messages).into_all() {
            let key = message.number.to_string();
            if message.deliveries > 1 && message.unshared > 0 {
                let what = format!(
                    "{} deliveries have it, {} of which would delete it for the others",
                    message.deliveries, message.unshared
                );
                self.findings.damage(Table::Message, key, what);
            } else if message.deliveries == 0 && complete {
                let what = "no delivery has it".to_owned();
                self.findings.waste(Table::Message, key, what);
            }
        }
    }

    fn subscription(&mut self, (key, value): Row<'_>) -> Result<(), Fault> {
        let mut filter = key;
        let session = key::take_number(&mut filter).ok_or(Fault::Key)?;
        self.owner(Table::Subscription, key, session);
        TopicFilter::new(Bytes::copy_from_slice(filter)).map_err(|_| Fault::Key)?;
        SubscriptionRecord::from_bytes(value)?;
        Ok(())
    }

    fn received(&mut self, (key, value): Row<'_>) -> Result<(), Fault> {
        let mut id = key;
        let session = key::take_number(&mut id).ok_or(Fault::Key)?;
        let id = <[u8; 2]>::try_from(id).map(u16::from_be_bytes);
        let id = id.map_err(|_| Fault::Key)?;
        PacketId::new(id).ok_or(Fault::Key)?;
        self.owner(Table::Received, key, session);
        self.nothing_in(Table::Received, (key, value));
        Ok(())
    }

    fn released(&mut self, (key, value): Row<'_>) -> Result<(), Fault> {
        let (session, _) = key::parse_pair(key).ok_or(Fault::Key)?;
        self.owner(Table::Released, key, session);
        self.nothing_in(Table::Released, (key, value));
        if self.has_session(session) && self.is_absent(Table::Delivery, key) {
            let what = "there is no such delivery".to_owned();
            self.damage(Table::Released, key, what);
        }
        Ok(())
    }

    fn due(&mut self, (key, value): Row<'_>) -> Result<(), Fault> {
        let (at, session, seq) = key::parse_due(key).ok_or(Fault::Key)?;
        self.owner(Table::Due, key, session);
        self.nothing_in(Table::Due, (key, value));
        let delivery = key::pair(session, seq);
        if !self.has_session(session) {
            return Ok(());
        }
        let what = match self.get(Table::Delivery, &delivery) {
            Some(None) => "there is no such delivery",
            Some(Some(value))
                if DeliveryRecord::parse(&value).is_ok_and(|it| it.expires != Some(at)) =>
            {
                "the lifetime of the delivery is another"
            }
            Some(Some(_)) | None => return Ok(()),
        };
        self.damage(Table::Due, key, what.to_owned());
        Ok(())
    }

    fn retained(&mut self, (key, value): Row<'_>) -> Result<(), Fault> {
        if Message::from_bytes(value)?.topic_bytes() == key {
            Ok(())
        } else {
            Err(Fault::OtherTopic)
        }
    }
}

impl Walk<'_> {
    fn damage(&mut self, table: Table, key: &[u8], what: String) {
        self.findings.damage(table, table.describe(key), what);
    }

    fn waste(&mut self, table: Table, key: &[u8], what: String) {
        self.findings.waste(table, table.describe(key), what);
    }

    /// A row belongs to a session.
    fn owner(&mut self, table: Table, key: &[u8], session: u64) {
        if self.has_session(session) {
            return;
        }
        if self.lost.contains(&session) {
            let what = "its session was set aside".to_owned();
            self.waste(table, key, what);
        } else if self.is_complete(Table::Session) {
            let what = "there is no such session".to_owned();
            self.damage(table, key, what);
        }
    }

    /// A row has no value.
    fn nothing_in(&mut self, table: Table, (key, value): Row<'_>) {
        if !value.is_empty() {
            let what = "it has a value, which nobody reads".to_owned();
            self.waste(table, key, what);
        }
    }

    fn has_session(&self, number: u64) -> bool {
        self.sessions.binary_search(&number).is_ok()
    }

    fn is_complete(&self, table: Table) -> bool {
        !self.incomplete.contains(&table)
    }

    /// True if a row is not there for certain.
    fn is_absent(&self, table: Table, key: &[u8]) -> bool {
        self.get(table, key) == Some(None)
    }

    /// The value of a row, if it is there. `None` if that cannot be read: that is found where the
    /// table is read.
    fn get(&self, table: Table, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let handle = handle(self.db, table).ok()?;
        self.db.get_cf(handle, key).ok()
    }
}
