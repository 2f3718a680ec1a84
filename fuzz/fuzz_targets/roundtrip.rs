//! See `fuzz_bodies::roundtrip`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_bodies::roundtrip(data));
