//! The tables, which RocksDB calls column families, and how it is to keep each.

use mqtt_broker_core::store::StoreError;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
};

use crate::key;

/// A table. The comment says what its key is, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    /// A name: a value about the whole, such as the version of the format.
    Meta,
    /// A session's number: its client identifier and its record. A session that begins anew gets a
    /// new number, so that nothing of the old one is ever taken for its own.
    Session,
    /// A session's number and a topic filter: the subscription.
    Subscription,
    /// A message's number: the message, once for all deliveries of it.
    Message,
    /// A session's number and a sequence number: the delivery, with its message's number.
    Delivery,
    /// The same key as the delivery's, and nothing: PUBREC has come for it.
    Released,
    /// A session's number and a packet identifier, and nothing: a QoS 2 message was taken from the
    /// client.
    Received,
    /// A topic: its retained message.
    Retained,
    /// A moment, and a delivery's key: when the lifetime of its message ends.
    Due,
    /// A table's name, a byte 0 and a key: what was there and could not be read.
    Aside,
}

impl Table {
    pub(crate) const ALL: [Self; 10] = [
        Self::Meta,
        Self::Session,
        Self::Subscription,
        Self::Message,
        Self::Delivery,
        Self::Released,
        Self::Received,
        Self::Retained,
        Self::Due,
        Self::Aside,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Session => "sess",
            Self::Subscription => "sub",
            Self::Message => "msg",
            Self::Delivery => "ref",
            Self::Released => "rel",
            Self::Received => "in2",
            Self::Retained => "ret",
            Self::Due => "due",
            Self::Aside => "aside",
        }
    }

    /// A key of this table in the terms of MQTT, or what can be shown of it.
    pub(crate) fn describe(self, key: &[u8]) -> String {
        let described = match self {
            Self::Session | Self::Message => key::parse_number(key).map(|it| it.to_string()),
            Self::Delivery | Self::Released => {
                key::parse_pair(key).map(|(session, seq)| format!("of session {session}, {seq}"))
            }
            Self::Subscription => take_session(key)
                .map(|(session, filter)| format!("of session {session}, {}", escape(filter))),
            Self::Received => take_session(key).map(|(session, id)| {
                let number = <[u8; 2]>::try_from(id).map(u16::from_be_bytes);
                let id = number.map_or_else(|_| escape(id), |number| number.to_string());
                format!("of session {session}, {id}")
            }),
            Self::Due => key::parse_due(key).map(|(at, session, seq)| {
                format!("of session {session}, {seq}, at {} ms", at.as_millis())
            }),
            Self::Aside => Self::of_aside(key)
                .map(|(table, key)| format!("{} {}", table.name(), table.describe(key))),
            Self::Meta | Self::Retained => None,
        };
        described.unwrap_or_else(|| escape(key))
    }

    /// Where something that was set aside was before, by its key in [`Table::Aside`].
    pub(crate) fn of_aside(key: &[u8]) -> Option<(Self, &[u8])> {
        let at = key.iter().position(|byte| *byte == 0)?;
        let (name, rest) = key.split_at_checked(at)?;
        let table = Self::ALL
            .into_iter()
            .find(|table| table.name().as_bytes() == name)?;
        Some((table, rest.get(1..)?))
    }

    /// How RocksDB is to keep this table.
    pub(crate) fn descriptor(self, cache: &Cache) -> ColumnFamilyDescriptor {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(cache);
        // What is not cached is not held in memory either: a start with a million sessions reads
        // each block once, and then needs hardly any of them.
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        let mut options = rocksdb::Options::default();
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_level_compaction_dynamic_level_bytes(true);
        match self {
            // Put once and deleted once, most often before it is flushed: the largest share of what
            // is written. A look-up of a key that is there, as all of these are, gains nothing from
            // a filter at the last level.
            Self::Message => {
                options.set_write_buffer_size(32 << 20);
                options.set_optimize_filters_for_hits(true);
                blocks.set_bloom_filter(10.0, false);
                large_values_apart(&mut options);
            }
            Self::Delivery => {
                options.set_write_buffer_size(16 << 20);
                options.set_optimize_filters_for_hits(true);
                blocks.set_bloom_filter(10.0, false);
            }
            Self::Retained => {
                options.set_write_buffer_size(16 << 20);
                large_values_apart(&mut options);
            }
            Self::Session | Self::Subscription | Self::Released | Self::Received | Self::Due => {
                options.set_write_buffer_size(8 << 20)
            }
            Self::Meta | Self::Aside => options.set_write_buffer_size(1 << 20),
        }
        options.set_block_based_table_factory(&blocks);
        ColumnFamilyDescriptor::new(self.name(), options)
    }
}

fn take_session(mut key: &[u8]) -> Option<(u64, &[u8])> {
    let session = key::take_number(&mut key)?;
    Some((session, key))
}

/// Text as it is; what is none, or cannot be seen, as numbers.
fn escape(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok("") => "\"\"".to_owned(),
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => key.escape_ascii().to_string(),
    }
}

/// Values from 4 KiB on are kept in files of their own, so that a compaction does not copy them.
fn large_values_apart(options: &mut rocksdb::Options) {
    options.set_enable_blob_files(true);
    options.set_min_blob_size(4096);
    options.set_blob_compression_type(DBCompressionType::Lz4);
    options.set_enable_blob_gc(true);
}

/// The handles of all tables.
pub(crate) struct Tables<'a> {
    pub(crate) session: &'a ColumnFamily,
    pub(crate) subscription: &'a ColumnFamily,
    pub(crate) message: &'a ColumnFamily,
    pub(crate) delivery: &'a ColumnFamily,
    pub(crate) released: &'a ColumnFamily,
    pub(crate) received: &'a ColumnFamily,
    pub(crate) retained: &'a ColumnFamily,
    pub(crate) due: &'a ColumnFamily,
}

/// The handle of one table.
pub(crate) fn handle(db: &DB, table: Table) -> Result<&ColumnFamily, StoreError> {
    // All are opened, or made, when the database is.
    db.cf_handle(table.name())
        .ok_or_else(|| StoreError::failed(format!("the table {} is missing", table.name())))
}

impl<'a> Tables<'a> {
    pub(crate) fn of(db: &'a DB) -> Result<Self, StoreError> {
        Ok(Self {
            session: handle(db, Table::Session)?,
            subscription: handle(db, Table::Subscription)?,
            message: handle(db, Table::Message)?,
            delivery: handle(db, Table::Delivery)?,
            released: handle(db, Table::Released)?,
            received: handle(db, Table::Received)?,
            retained: handle(db, Table::Retained)?,
            due: handle(db, Table::Due)?,
        })
    }
}
