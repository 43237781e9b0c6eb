//! Frames from one who has the key, and everything else that happens to a kernel meanwhile.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|acts: fuzz::acts::Acts| fuzz::frames::signed(&acts));
