//! Frames from anybody: bytes as they come off the wire.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::frames::raw(bytes));
