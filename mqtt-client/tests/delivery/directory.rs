//! A directory for the files of one test.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// An empty directory of its own, removed in the end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("mqtt-client-test-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            // One that is there is another's.
            if fs::create_dir(&path).is_ok() {
                return Self(path);
            }
            assert!(number < 1_000_000, "no directory can be made: {path:?}");
        }
    }

    /// The path of something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Removes what is in it.
    pub(crate) fn clear(&self) {
        fs::remove_dir_all(&self.0).unwrap();
        fs::create_dir(&self.0).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is the system's to remove.
        let _ = fs::remove_dir_all(&self.0);
    }
}
