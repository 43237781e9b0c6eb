//! The only module with `unsafe`: shared tables, scheduling, sockets' raw addresses. Each block says why it is sound
//! and each function is safe to call.
#![allow(unsafe_code, reason = "the calls here have no safe wrapper in a well-kept crate; see each block")]

pub mod alarm;
pub mod clock;
pub mod pidfd;
pub mod readiness;
pub mod schedule;
pub mod script;
pub mod table;
pub mod terminal;
pub mod wall_clock;
pub mod watchdog;

pub use table::Table;
