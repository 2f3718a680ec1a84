//! The same random script of several clients on two brokers: do subscribers see the same?
//!
//! Scripts are legal, and each step is done before the next one begins, so that what is seen is a
//! matter of the standard and not of timing. Where the standard leaves a choice, or the other broker
//! is known to deviate, [`normal`] makes both the same, with the reason.

mod normal;
mod play;
mod script;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use self::play::{Seen, play};
use self::script::Step;

/// So many scripts run at once: they mostly wait.
const THREADS: usize = 16;

/// Two brokers to compare.
pub(crate) struct Differential {
    /// The broker under test.
    pub(crate) ours: SocketAddr,
    /// The one to compare it with.
    pub(crate) theirs: SocketAddr,
}

/// What came of comparing.
pub(crate) struct Comparison {
    pub(crate) scripts: u64,
    pub(crate) steps: u64,
    pub(crate) messages: u64,
    /// For each script that differs: its seed, its shortest form, and what was seen.
    pub(crate) differences: Vec<String>,
}

impl Differential {
    /// Plays the scripts of these seeds on both brokers.
    pub(crate) fn compare(&self, seeds: std::ops::Range<u64>) -> Comparison {
        // What stops a script is told with it.
        std::panic::set_hook(Box::new(|_| ()));
        let next = AtomicU64::new(seeds.start);
        let result = Mutex::new(Comparison {
            scripts: 0,
            steps: 0,
            messages: 0,
            differences: Vec::new(),
        });
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return;
                }
                let script = script::write(seed);
                let (ours, theirs) = self.both(&script);
                let difference = differ(&ours, &theirs).then(|| self.explain(seed, script.clone()));
                let mut result = result.lock().expect("no thread panics with it");
                result.scripts += 1;
                result.steps += script.len() as u64;
                result.messages += ours.iter().map(Seen::messages).sum::<u64>();
                result.differences.extend(difference);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(work);
            }
        });
        let _ = std::panic::take_hook();
        result.into_inner().expect("no thread panics with it")
    }

    /// What is seen on each of the brokers, step by step.
    fn both(&self, script: &[Step]) -> (Vec<Seen>, Vec<Seen>) {
        let seen = |address| {
            let played = catch_unwind(AssertUnwindSafe(|| play(address, script)));
            played.unwrap_or_else(|cause| {
                let words = cause
                    .downcast_ref::<&str>()
                    .map(|words| (*words).to_owned());
                let cause = cause.downcast_ref::<String>().cloned().or(words);
                vec![Seen::stopped(&cause.unwrap_or_default())]
            })
        };
        let (mut ours, mut theirs) = (seen(self.ours), seen(self.theirs));
        normal::settle(&mut ours, &mut theirs);
        (ours, theirs)
    }

    /// Leaves out steps as long as there is a difference, and writes down what is left.
    fn explain(&self, seed: u64, mut script: Vec<Step>) -> String {
        let mut length = script.len().div_ceil(2);
        while length > 0 {
            let mut at = 0;
            while at < script.len() {
                let mut shorter = script.clone();
                shorter.drain(at..(at + length).min(script.len()));
                let (ours, theirs) = self.both(&shorter);
                if differ(&ours, &theirs) {
                    script = shorter;
                } else {
                    at += length;
                }
            }
            length = if length == 1 { 0 } else { length.div_ceil(2) };
        }
        let (ours, theirs) = self.both(&script);
        let mut text = format!("seed {seed}\n");
        for (number, step) in script.iter().enumerate() {
            let _ = writeln!(text, "  {step:?}");
            let (ours, theirs) = (ours.get(number), theirs.get(number));
            if ours != theirs {
                let _ = writeln!(text, "    ours:   {ours:?}\n    theirs: {theirs:?}");
            }
        }
        if ours.len() != script.len() || theirs.len() != script.len() {
            let _ = writeln!(text, "  ours: {ours:?}\n  theirs: {theirs:?}");
        }
        text
    }
}

/// Whether this is not how it should be: a legal script runs to its end on both, and looks the same.
fn differ(ours: &[Seen], theirs: &[Seen]) -> bool {
    ours != theirs || ours.iter().any(Seen::is_stopped)
}
