//! The one place of the agent where `unsafe` is allowed: thin wrappers around system calls that no
//! safe API offers. Each says what must hold and why it does.

pub mod script;
