//! What a client may send to the agent, and an agent to a client.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::control::check(bytes));
