//! A store's directory as RocksDB sees it, to do what no store would do.

#![allow(dead_code, reason = "not every test does everything")]

use std::path::Path;

use rocksdb::{ColumnFamilyDescriptor, DB, Options, WriteBatch};

/// A database that is open without its store.
pub(crate) struct Raw(pub(crate) DB);

impl Raw {
    pub(crate) fn open(directory: &Path) -> Self {
        let mut options = Options::default();
        options.set_keep_log_file_num(1);
        let names = DB::list_cf(&options, directory).unwrap();
        let tables = names.into_iter().map(|name| {
            let mut options = Options::default();
            options.set_compression_type(rocksdb::DBCompressionType::Lz4);
            ColumnFamilyDescriptor::new(name, options)
        });
        Self(DB::open_cf_descriptors(&options, directory, tables).unwrap())
    }

    pub(crate) fn get(&self, table: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.0
            .get_cf(self.0.cf_handle(table).unwrap(), key)
            .unwrap()
    }

    pub(crate) fn put(&self, table: &str, key: &[u8], value: &[u8]) {
        // What the store deletes with a single delete has to be put once.
        self.delete(table, key);
        let table = self.0.cf_handle(table).unwrap();
        self.0.put_cf(table, key, value).unwrap();
    }

    pub(crate) fn delete(&self, table: &str, key: &[u8]) {
        let mut batch = WriteBatch::default();
        batch.single_delete_cf(self.0.cf_handle(table).unwrap(), key);
        self.0.write(batch).unwrap();
    }

    /// Writes all to the files of the tables.
    pub(crate) fn compact(&self) {
        for table in ["sess", "sub", "msg", "ref", "rel", "in2", "ret", "due"] {
            let table = self.0.cf_handle(table).unwrap();
            self.0.flush_cf(table).unwrap();
            self.0.compact_range_cf(table, None::<&[u8]>, None::<&[u8]>);
        }
    }
}
