//! See `fuzz_bodies::topic`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_bodies::topic(data));
