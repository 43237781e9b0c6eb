//! Messages of neighbour discovery from anybody.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::frames::nd(bytes));
