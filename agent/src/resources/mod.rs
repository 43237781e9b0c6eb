//! Resources: what a node serves beside answering for its addresses.
//!
//! A *resource group* is one line of `haresources`: started from left to right, stopped from right to left.
//! Its members are virtual addresses, which are built in and which the caller supplies ([`Addresses`]), and what
//! `lookup.rs` finds: scripts in Heartbeat's contract, systemd units, OCF agents, and a few built-in ones ([`builtin`]).
//!
//! ```text
//!   haresources:  www1  192.0.2.3  Filesystem::/dev/sdb1::/srv  apache
//!                       start ─────────────────────────────────▶
//!                       ◀────────────────────────────────── stop
//! ```
//!
//! This module promises that every operation ends: a script that hangs is killed with all that it started. It decides nothing about who serves; it does not touch gates, and it never reboots: what could
//! not be stopped is returned to the caller.

pub mod builtin;
mod capture;
mod env;
mod fence;
mod group;
mod hooks;
mod lookup;
mod mail;
mod monitor;
mod ocf;
mod process;
mod respawn;
mod script;
mod status;

#[cfg(test)]
mod tests;

pub use builtin::Pseudo;
pub use capture::Captured;
pub use env::{Place, environment};
pub use fence::{Device, DeviceAndHosts, FENCE_PAUSE, Fencing};
pub use group::{
    Addresses, Group, Left, Limits, Reason, Resource, StartFailure, start_group, start_group_after,
    start_leading, still_left, stop_behind, stop_group, stop_leading,
};
pub use hooks::{Event, Hooks};
pub use lookup::Manner;
pub use mail::{Mail, Mailer, Via};
pub use monitor::watch_group;
pub use process::GRACE;
pub use respawn::{Patience, Respawned};
pub use script::{Ending, Operation, Report, ScriptError, Scripts};
pub use status::{Status, judge};

use std::fmt;

/// One resource as written in `haresources`: `name::arg1::arg2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The script's file name.
    pub name: String,
    /// Its arguments, which precede the operation on the command line.
    pub args: Vec<String>,
}

impl Spec {
    /// Splits a word of `haresources` at each `::`.
    pub fn parse(word: &str) -> Self {
        let mut parts = word.split("::").map(str::to_owned);
        Self { name: parts.next().unwrap_or_default(), args: parts.collect() }
    }
}

/// As it is written in `haresources`.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.args.iter().try_for_each(|arg| write!(f, "::{arg}"))
    }
}
