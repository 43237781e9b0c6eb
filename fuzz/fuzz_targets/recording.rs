//! A recording from anybody, for `xbeat replay`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::recording::check(bytes));
