//! What cannot be read: said, and moved out of the way, so that the rest goes on.

use std::fmt;

use mqtt_broker_core::store::{RecordError, StoreError};
use rocksdb::{DB, WriteBatch};
use tracing::error;

use crate::database::failed;
use crate::key;
use crate::table::{Table, handle};

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) table: Table,
    pub(crate) key: Vec<u8>,
    pub(crate) why: RecordError,
}

impl Unreadable {
    pub(crate) fn new(table: Table, key: &[u8], why: RecordError) -> Self {
        Self {
            table,
            key: key.to_vec(),
            why,
        }
    }

    /// Says which row it is.
    pub(crate) fn report(&self) {
        error!("set aside, since it cannot be read: {self}");
    }

    /// Moves the row to the table for such rows, where it can be looked at.
    pub(crate) fn move_away(&self, db: &DB, batch: &mut WriteBatch) -> Result<(), StoreError> {
        let from = handle(db, self.table)?;
        let Some(value) = db.get_pinned_cf(from, &self.key).map_err(failed)? else {
            return Ok(());
        };
        let mut place = self.table.name().as_bytes().to_vec();
        place.push(0);
        place.extend_from_slice(&self.key);
        batch.put_cf(handle(db, Table::Aside)?, place, value);
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
}

/// The table, its key in the terms of MQTT, and what is wrong.
impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, key, why) = (self.table.name(), self.key.as_slice(), self.why);
        match self.table {
            Table::Session | Table::Message => match key::parse_number(key) {
                Some(number) => write!(f, "{table} {number}: {why}"),
                None => write!(f, "{table} {}: {why}", key.escape_ascii()),
            },
            Table::Delivery | Table::Released => match key::parse_pair(key) {
                Some((session, seq)) => write!(f, "{table} of session {session}, {seq}: {why}"),
                None => write!(f, "{table} {}: {why}", key.escape_ascii()),
            },
            Table::Subscription | Table::Received => {
                let mut rest = key;
                match key::take_number(&mut rest) {
                    Some(session) => write!(
                        f,
                        "{table} of session {session}, {}: {why}",
                        rest.escape_ascii()
                    ),
                    None => write!(f, "{table} {}: {why}", key.escape_ascii()),
                }
            }
            Table::Meta | Table::Retained | Table::Due | Table::Aside => {
                write!(f, "{table} {}: {why}", key.escape_ascii())
            }
        }
    }
}
