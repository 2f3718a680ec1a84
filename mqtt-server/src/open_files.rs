//! The limit of open files: each connection is one.

use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Below this many open files, people are told: it is fewer connections than they may expect.
const ENOUGH: u64 = 16_384;

/// Raises the limit as far as it goes without privileges.
pub(crate) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        limit.current = limit.maximum;
        if let Err(cause) = setrlimit(Resource::Nofile, limit) {
            warn!("cannot raise the limit of open files: {cause}");
            limit.current = before;
        }
    }
    match limit.current {
        Some(count) if count < ENOUGH => {
            warn!(
                "at most {count} files may be open, so there can be fewer connections than that: see ulimit -Hn"
            );
        }
        Some(count) => debug!("at most {count} files may be open"),
        None => debug!("any number of files may be open"),
    }
}
