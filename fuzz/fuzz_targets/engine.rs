//! See `fuzz_bodies::engine`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_bodies::engine(data));
