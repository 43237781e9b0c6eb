//! ha.cf from anybody, beside two good files.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::files::check("ha.cf", bytes));
