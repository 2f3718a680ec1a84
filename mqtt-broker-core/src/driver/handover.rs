//! Who sees to what has come for a shard: whoever holds its lock, or else whoever brought it.
//!
//! Whoever puts something into an inbox calls [`see_to`] afterwards, and so does whoever has let go of the
//! shard's lock. If the lock is held when something comes, its holder finds it there after letting go.

/// How often one looks again before somebody else has to: others who bring something are not to keep one
/// busy for ever.
const ROUNDS: usize = 8;

/// What became of an attempt to handle what has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// It is handled.
    Handled,
    /// Somebody holds the lock, and looks after letting go of it.
    Held,
}

/// Handles what has come, by `attempt`, as long as something has `arrived`. False if it is still coming
/// after many rounds.
///
/// `arrived` locks the inbox, as those who put something in do. So what is put in after it has looked is
/// put in after the shard's lock has been let go, and whoever puts it in gets that lock.
pub(crate) fn see_to(arrived: impl Fn() -> bool, mut attempt: impl FnMut() -> Attempt) -> bool {
    for _ in 0..ROUNDS {
        if !arrived() || attempt() == Attempt::Held {
            return true;
        }
    }
    !arrived()
}
