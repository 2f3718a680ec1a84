//! See `fuzz_bodies::decode`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_bodies::decode(data));
