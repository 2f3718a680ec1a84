//! A directory for one test, removed in the end.

use std::path::{Path, PathBuf};

pub(crate) struct Directory(PathBuf);

impl Directory {
    /// An empty directory below that for temporary files.
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("mqtt-store-rocksdb-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // One that is there was left behind by another process with this number.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("a directory can be made");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is the system's to remove: it is in its directory for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
