//! Nothing is left in a shard's inbox, in whichever order threads get their turn: all orders are tried in
//! which a thread is interrupted at most three times.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

#[path = "../src/driver/handover.rs"]
mod handover;

use std::collections::VecDeque;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

use handover::{Attempt, see_to};

/// A shard as the driver has it: what was handled, behind a lock, and an inbox behind another.
#[derive(Default)]
struct Shard {
    handled: Mutex<Vec<u32>>,
    inbox: Mutex<VecDeque<u32>>,
    /// Counts what is done with the lock held: others may have their turn there.
    steps: AtomicUsize,
}

impl Shard {
    /// Works with the shard, as a connection does.
    fn work(&self, own: u32) {
        let mut handled = self.handled.lock().unwrap();
        self.receive(&mut handled);
        handled.push(own);
        drop(handled);
        assert!(self.see_to());
    }

    /// Brings something to the shard.
    fn post(&self, item: u32) {
        self.inbox.lock().unwrap().push_back(item);
        assert!(self.see_to());
    }

    fn receive(&self, handled: &mut Vec<u32>) {
        let arrived = std::mem::take(&mut *self.inbox.lock().unwrap());
        self.steps.fetch_add(1, Ordering::Relaxed);
        handled.extend(arrived);
    }

    fn see_to(&self) -> bool {
        see_to(
            || !self.inbox.lock().unwrap().is_empty(),
            || match self.handled.try_lock() {
                Ok(mut handled) => {
                    self.receive(&mut handled);
                    Attempt::Handled
                }
                Err(_) => Attempt::Held,
            },
        )
    }
}

fn check(threads: [fn(&Shard); 3]) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let shard = Arc::new(Shard::default());
        let [first, others @ ..] = threads;
        let others = others.map(|act| {
            let shard = shard.clone();
            thread::spawn(move || act(&shard))
        });
        first(&shard);
        for other in others {
            other.join().unwrap();
        }
        assert!(shard.inbox.lock().unwrap().is_empty(), "something is left");
        let mut handled = shard.handled.lock().unwrap().clone();
        let of = |who: u32| handled.iter().filter(move |item| **item / 10 == who);
        for who in 0..3 {
            assert!(of(who).is_sorted(), "{handled:?}");
        }
        handled.sort_unstable();
        handled.dedup();
        assert_eq!(handled.len(), 4, "something is lost: {handled:?}");
    });
}

#[test]
fn what_two_bring_while_one_works_is_handled() {
    check([
        |shard| shard.work(1),
        |shard| {
            shard.post(10);
            shard.post(11);
        },
        |shard| shard.post(20),
    ]);
}

#[test]
fn what_one_brings_while_two_work_is_handled() {
    check([
        |shard| shard.work(1),
        |shard| {
            shard.post(10);
            shard.post(11);
        },
        |shard| shard.work(20),
    ]);
}
