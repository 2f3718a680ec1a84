//! Replays the corpus: every input that a fuzzer kept, through the body of its target.

#![allow(clippy::expect_used, reason = "without the corpus there is no test")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fuzz_bodies::{BODIES, Body};

#[test]
fn the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for Body { name, run } in BODIES {
        let folder = fs::read_dir(corpus.join(name)).expect("a corpus of each target");
        let inputs: Vec<_> = folder
            .map(|entry| entry.expect("a file of the corpus").path())
            .collect();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        let fails = |input: &&PathBuf| {
            let data = fs::read(input).expect("a file of the corpus");
            catch_unwind(|| run(&data)).is_err()
        };
        let failing: Vec<_> = inputs.iter().filter(fails).collect();
        assert!(failing.is_empty(), "{name} fails with {failing:?}");
    }
}
