//! See `fuzz_bodies::session`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_bodies::session(data));
