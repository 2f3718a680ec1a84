//! What cannot be read: said, and moved out of the way, so that the rest goes on.

use std::collections::BTreeSet;

use mqtt_broker_core::store::{RecordError, StoreError};
use rocksdb::{DB, WriteBatch};
use tracing::error;

use crate::database::failed;
use crate::key;
use crate::record::DeliveryRecord;
use crate::scan::{Rows, Scan};
use crate::table::{Table, handle};

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Record(RecordError),
    #[error("the key has no form that there is")]
    Key,
    #[error("the message is of another topic")]
    OtherTopic,
    #[error("its message, {0}, is missing or damaged")]
    NoMessage(u64),
    #[error("session {0} has the same client identifier, and is newer")]
    Older(u64),
}

impl From<RecordError> for Fault {
    fn from(cause: RecordError) -> Self {
        Self::Record(cause)
    }
}

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) table: Table,
    pub(crate) key: Vec<u8>,
    value: Vec<u8>,
    fault: Fault,
}

impl Unreadable {
    pub(crate) fn new(table: Table, key: &[u8], value: &[u8], fault: Fault) -> Self {
        Self {
            table,
            key: key.to_vec(),
            value: value.to_vec(),
            fault,
        }
    }

    /// Says which row it is.
    pub(crate) fn report(&self) {
        let (table, key) = (self.table.name(), self.table.describe(&self.key));
        error!(
            "set aside, since it cannot be read: {table} {key}: {}",
            self.fault
        );
    }

    /// True if the row is still there as it was found. It may have been written anew since, or have
    /// been found twice.
    pub(crate) fn is_there(&self, db: &DB) -> Result<bool, StoreError> {
        let found = db.get_pinned_cf(handle(db, self.table)?, &self.key);
        Ok(found.map_err(failed)?.as_deref() == Some(&self.value[..]))
    }

    /// Moves the row to the table for such rows, where it can be looked at.
    pub(crate) fn move_away(&self, db: &DB, batch: &mut WriteBatch) -> Result<(), StoreError> {
        let mut place = self.table.name().as_bytes().to_vec();
        place.push(0);
        place.extend_from_slice(&self.key);
        batch.put_cf(handle(db, Table::Aside)?, place, &self.value);
        let from = handle(db, self.table)?;
        match self.table {
            Table::Message | Table::Delivery | Table::Released | Table::Received | Table::Due => {
                batch.single_delete_cf(from, &self.key);
            }
            Table::Meta | Table::Session | Table::Subscription | Table::Retained | Table::Aside => {
                batch.delete_cf(from, &self.key)
            }
        }
        Ok(())
    }

    /// The record of a delivery, if it can be read.
    pub(crate) fn delivery(&self) -> Option<DeliveryRecord> {
        DeliveryRecord::parse(&self.value).ok()
    }
}

/// Deletes what says when the lifetimes of these deliveries end. Reads all of the table: it is for
/// those of which it is not known.
pub(crate) fn delete_due(
    db: &DB,
    deliveries: &BTreeSet<Vec<u8>>,
    batch: &mut WriteBatch,
) -> Result<(), StoreError> {
    let mut rows = Rows::of(db, Table::Due, Scan::All)?;
    while let Some((key, _)) = rows.next()? {
        let mut delivery = key;
        if key::take_number(&mut delivery).is_some() && deliveries.contains(delivery) {
            batch.single_delete_cf(handle(db, Table::Due)?, key);
        }
    }
    Ok(())
}
