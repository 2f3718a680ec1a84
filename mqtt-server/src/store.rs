//! Where the server keeps its state: in memory, or in a directory.

use std::sync::Arc;

use mqtt_broker_core::store::SessionStore;
use mqtt_store_memory::MemoryStore;
use tracing::info;

use crate::cli::Arguments;

/// Opens the store that the arguments ask for, and says which one it is.
///
/// # Errors
/// One line that says what is wrong.
pub(crate) fn open(arguments: &Arguments) -> Result<Arc<dyn SessionStore>, String> {
    #[cfg(feature = "rocksdb")]
    if let Some(directory) = &arguments.data_dir {
        return on_disk(directory, arguments.durability);
    }
    let version = env!("CARGO_PKG_VERSION");
    match &arguments.snapshot {
        None => info!(
            "mqttd {version} keeps its state in memory: sessions and retained messages end with it"
        ),
        Some(file) => info!(
            "mqttd {version} keeps its state in memory, and saves it to {} when SIGTERM or SIGINT ends it: a crash loses all changes since the start",
            file.display()
        ),
    }
    Ok(Arc::new(MemoryStore::default()))
}

#[cfg(feature = "rocksdb")]
fn on_disk(
    directory: &std::path::Path,
    level: crate::cli::Level,
) -> Result<Arc<dyn SessionStore>, String> {
    use mqtt_store_rocksdb::{Durability, Options, RocksStore};

    use crate::cli::Level;

    let (durability, survives) = match level {
        Level::Process => (Durability::Process, "the end of the process"),
        Level::Disk => (Durability::Disk, "the loss of power"),
    };
    let options = Options {
        durability,
        ..Options::default()
    };
    let store = RocksStore::open(directory, &options)
        .map_err(|cause| format!("cannot keep state in {}: {cause}", directory.display()))?;
    info!(
        "mqttd {} keeps its state in {}: what is acknowledged survives {survives}",
        env!("CARGO_PKG_VERSION"),
        directory.display()
    );
    Ok(Arc::new(store))
}
