//! What the writer counts at start: the numbers that are free, and how many deliveries share a
//! message.
//!
//! A number is free only if nothing in any table has it, not even what was set aside: what a lost
//! session has left behind is never taken for another's.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use mqtt_broker_core::store::StoreError;
use rocksdb::DB;

use crate::key;
use crate::record::DeliveryRecord;
use crate::scan::{Rows, Scan};
use crate::table::Table;

/// How many deliveries each message has that has several.
pub(crate) type Owners = HashMap<u64, u32, RandomState>;

/// What is counted.
pub(crate) struct Counted {
    pub(crate) next_session: u64,
    pub(crate) next_message: u64,
    pub(crate) owners: Owners,
}

impl Counted {
    /// Reads all deliveries.
    pub(crate) fn read(db: &DB) -> Result<Self, StoreError> {
        let mut last = last_aside(db)?;
        for table in [
            Table::Session,
            Table::Subscription,
            Table::Delivery,
            Table::Released,
            Table::Received,
        ] {
            last.session = last.session.max(last_number(db, table)?);
        }
        last.message = last.message.max(last_number(db, Table::Message)?);
        let mut owners = Owners::default();
        let mut rows = Rows::of(db, Table::Delivery, Scan::All)?;
        while let Some((_, value)) = rows.next()? {
            if let Ok(record) = DeliveryRecord::parse(value) {
                // The message may be lost, and its deliveries not have been looked at yet.
                last.message = last.message.max(record.message);
                if record.shared {
                    *owners.entry(record.message).or_default() += 1;
                }
            }
        }
        Ok(Self {
            next_session: behind(last.session)?,
            next_message: behind(last.message)?,
            owners,
        })
    }

    /// One delivery of its message is gone: true if it was the last one.
    pub(crate) fn is_last_owner(&mut self, record: &DeliveryRecord) -> bool {
        if !record.shared {
            return true;
        }
        let Some(count) = self.owners.get_mut(&record.message) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.owners.remove(&record.message);
            return true;
        }
        false
    }
}

/// The highest numbers that were seen.
#[derive(Default)]
struct Last {
    session: u64,
    message: u64,
}

fn behind(last: u64) -> Result<u64, StoreError> {
    last.checked_add(1)
        .ok_or_else(|| StoreError::failed("no number is left: the highest one is in use"))
}

/// The number that the last key of a table begins with, or 0. Keys that begin with none are behind.
fn last_number(db: &DB, table: Table) -> Result<u64, StoreError> {
    let mut rows = Rows::of(db, table, Scan::Last)?;
    let mut row = rows.next()?;
    while let Some((mut key, _)) = row {
        if let Some(number) = key::take_number(&mut key) {
            return Ok(number);
        }
        row = rows.previous()?;
    }
    Ok(0)
}

/// The highest numbers of what was set aside.
fn last_aside(db: &DB) -> Result<Last, StoreError> {
    let mut last = Last::default();
    let mut rows = Rows::of(db, Table::Aside, Scan::All)?;
    while let Some((key, _)) = rows.next()? {
        let Some((table, mut key)) = Table::of_aside(key) else {
            continue;
        };
        match table {
            Table::Session
            | Table::Subscription
            | Table::Delivery
            | Table::Released
            | Table::Received => {
                let number = key::take_number(&mut key).unwrap_or(0);
                last.session = last.session.max(number);
            }
            Table::Message => {
                let number = key::parse_number(key).unwrap_or(0);
                last.message = last.message.max(number);
            }
            Table::Due => {
                let session = key::parse_due(key).map_or(0, |(_, session, _)| session);
                last.session = last.session.max(session);
            }
            Table::Meta | Table::Retained | Table::Aside => {}
        }
    }
    Ok(last)
}
