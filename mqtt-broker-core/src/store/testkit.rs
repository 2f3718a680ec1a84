//! The conformance suite of session stores, and a store that fails on purpose.
//!
//! A store proves itself in a test of five lines:
//!
//! ```no_run
//! # use std::{path::Path, sync::Arc};
//! # use mqtt_broker_core::store::{SessionStore, testkit::{Restart, mqtt_store_testkit}};
//! # async fn my_store(_: &Path) -> Arc<dyn SessionStore> { unimplemented!() }
//! # async fn example() {
//! mqtt_store_testkit(my_store, Restart::Keeps).await;
//! # }
//! ```

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a store that is wrong ends its test"
)]

mod cases;
mod changes;
mod contents;
mod flaky;
mod random;

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

pub use self::flaky::FlakyStore;
use super::{Batch, Change, Model, SessionStore, StoreError};

/// What a store does when it is opened again where it was opened before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It has all that was committed.
    Keeps,
    /// It is empty: it keeps everything in memory.
    Forgets,
}

/// Checks that a store does what [`SessionStore`] and [`Change`] say.
///
/// `open` opens a store in an empty directory, or, for [`Restart::Keeps`], in one where a store has
/// been before, and is there no more. Named cases come first, one for each sentence of the
/// documentation; then random batches, whose seed is told on failure. What is committed is what an
/// engine commits: deliveries and packet identifiers are put once, and what is deleted or released
/// is there.
///
/// Needs no runtime of its own; takes about as long as 1,000 commits.
///
/// # Panics
/// If the store is wrong; the message names the case.
pub async fn mqtt_store_testkit(
    open: impl AsyncFn(&Path) -> Arc<dyn SessionStore>,
    restart: Restart,
) {
    let kit = Kit { open, restart };
    cases::run(&kit).await;
    random::run(&kit).await;
}

/// Checks a store whose next commit fails, however its author has brought that about: nothing of
/// the batch is applied, and everything later is refused.
///
/// # Panics
/// If the store is wrong.
pub async fn mqtt_store_testkit_failure(store: &dyn SessionStore) {
    let before = contents::read(store, 3, "before the failure").await;
    let batch = || changes::session_with_everything("failed");
    match store.commit(batch()).await {
        Err(StoreError::Failed(_)) => {}
        other => panic!("the commit that was to fail answers {other:?}"),
    }
    for _ in 0..2 {
        match store.commit(batch()).await {
            Err(StoreError::Poisoned) => {}
            other => panic!("a commit after one that has failed answers {other:?}"),
        }
    }
    let after = contents::read(store, 3, "after the failure").await;
    assert_eq!(
        before, after,
        "a commit that has failed left something behind"
    );
}

/// How stores are made.
struct Kit<F> {
    open: F,
    restart: Restart,
}

impl<F: AsyncFn(&Path) -> Arc<dyn SessionStore>> Kit<F> {
    /// A store in a directory of its own.
    async fn subject(&self, case: &str) -> Subject<'_, F> {
        let directory = Directory::new();
        let store = (self.open)(&directory.0).await;
        let subject = Subject {
            kit: self,
            case: case.to_owned(),
            store: Some(store),
            model: Model::default(),
            directory,
        };
        subject.check().await;
        subject
    }
}

/// A store under test, and what it should be like.
struct Subject<'k, F> {
    kit: &'k Kit<F>,
    case: String,
    /// Dropped before the next one is opened, and before the directory is removed.
    store: Option<Arc<dyn SessionStore>>,
    model: Model,
    directory: Directory,
}

impl<F: AsyncFn(&Path) -> Arc<dyn SessionStore>> Subject<'_, F> {
    fn store(&self) -> &dyn SessionStore {
        self.store.as_deref().expect("a store is open")
    }

    /// Commits these changes.
    async fn commit(&mut self, changes: impl IntoIterator<Item = Change>) {
        let changes: Vec<_> = changes.into_iter().collect();
        for change in &changes {
            self.model.apply(change.clone());
        }
        let committed = self.store().commit(batch(changes)).await;
        assert!(committed.is_ok(), "{}: {committed:?}", self.case);
    }

    /// Commits these changes, and looks at all that there is then.
    async fn commit_and_check(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.commit(changes).await;
        self.check().await;
    }

    /// The store has what the model has, and nothing else, by pages of any size.
    async fn check(&self) {
        let expected = contents::of_model(&self.model);
        for page in [1, 2, 3, 1000] {
            let case = format!("{}, pages of {page}", self.case);
            let found = contents::read(self.store(), page, &case).await;
            assert_eq!(found, expected, "{case}: the store, and what it should be");
        }
    }

    /// Opens the store again, if it keeps what it has.
    async fn restart(&mut self) {
        match self.kit.restart {
            Restart::Keeps => {
                self.reopen().await;
                self.check().await;
            }
            Restart::Forgets => {}
        }
    }

    async fn reopen(&mut self) {
        self.store = None;
        self.store = Some((self.kit.open)(&self.directory.0).await);
    }
}

fn batch(changes: Vec<Change>) -> Batch {
    Batch {
        changes,
        ..Batch::default()
    }
}

/// A directory for one store, removed in the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("mqtt-store-testkit-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            // One that is there is another's.
            if fs::create_dir(&path).is_ok() {
                return Self(path);
            }
            assert!(number < 1_000_000, "no directory can be made: {path:?}");
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is the system's to remove: it is in its directory for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Lets a future go on as far as it can at once.
fn poll_once<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Lets all futures go on at the same time until all are done.
async fn join_all<T>(futures: Vec<Pin<Box<dyn Future<Output = T> + '_>>>) {
    let mut futures = futures;
    std::future::poll_fn(|cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Lets others go on.
async fn yield_now() {
    let mut yielded = false;
    let yielding = pin!(std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }));
    yielding.await;
}
