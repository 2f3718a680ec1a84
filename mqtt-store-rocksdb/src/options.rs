//! How a store is opened, and why so.

use rocksdb::DBRecoveryMode;

/// What `Ok` from a commit means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The changes survive the end of the process, however it ends: they have been handed to the
    /// system. A loss of power may lose the last seconds.
    Process,
    /// The changes survive the loss of power: they are on the disk, by `fdatasync`.
    #[default]
    Disk,
}

/// How a store is opened. The defaults are for a small machine: what is not written to costs
/// hardly any memory.
#[derive(Clone, Debug)]
pub struct Options {
    /// Default [`Durability::Disk`].
    pub durability: Durability,
    /// Bytes that all tables together gather in memory before they are written to a table file.
    /// Default 64 MiB: what is acknowledged before that never gets there.
    pub write_buffer_bytes: usize,
    /// Bytes of the log of changes, which a start after a crash has to read again. Default 256 MiB:
    /// one to two seconds. When there is more, the oldest tables in memory are written out.
    pub log_bytes_max: u64,
    /// Bytes of table blocks that are kept in memory, and of what finds them. Default 32 MiB:
    /// queues are read once, and sessions only at start.
    pub block_cache_bytes: usize,
    /// Files that may be open at a time. Default 256: of the limit that connections need more.
    pub open_files_max: i32,
    /// True if RocksDB counts what it does, at the cost of some time. Default false.
    pub statistics: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            write_buffer_bytes: 64 << 20,
            log_bytes_max: 256 << 20,
            block_cache_bytes: 32 << 20,
            open_files_max: 256,
            statistics: false,
        }
    }
}

impl Options {
    /// The options of the database as a whole.
    pub(crate) fn rocksdb(&self) -> rocksdb::Options {
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_db_write_buffer_size(self.write_buffer_bytes);
        options.set_max_total_wal_size(self.log_bytes_max);
        options.set_max_open_files(self.open_files_max);
        // After the loss of power the end of the log may be there in parts, in any order. What was
        // synced is in front of that.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        // A log that is missing or too short is noticed.
        options.set_track_and_verify_wals_in_manifest(true);
        // One thread writes: the machinery for several costs time.
        options.set_allow_concurrent_memtable_write(false);
        options.set_enable_write_thread_adaptive_yield(false);
        // Table files are handed to the disk bit by bit: one large write would hold up the syncs
        // that acknowledgements wait for.
        options.set_bytes_per_sync(1 << 20);
        options.set_max_background_jobs(2);
        // RocksDB's own log says little that people need, and is not to fill the disk.
        options.set_log_level(rocksdb::LogLevel::Warn);
        options.set_max_log_file_size(1 << 20);
        options.set_keep_log_file_num(2);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        if self.statistics {
            options.enable_statistics();
        }
        options
    }
}
