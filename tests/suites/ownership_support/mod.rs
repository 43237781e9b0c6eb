//! What the suites of ownership share.

#![allow(dead_code, unreachable_pub, reason = "no suite uses all of it")]

pub mod connections;
pub mod counters;

use anyhow::{Context as _, Result};
use tests::lan::{Network, VIP};
use tests::stage::{self, Stage};

/// The preferred node of how-to 001.
pub const OWNER: usize = 0;
/// The one that takes over.
pub const OTHER: usize = 1;

pub use stage::LIMIT;

/// The epoch of the group, as `node` knows it.
pub fn epoch(stage: &Stage, node: usize) -> Result<u64> {
    stage.status(node)?["groups"][0]["epoch"].as_u64().context("the status has no epoch")
}

/// Whether the gate of `node` is open.
pub fn open(stage: &Stage, node: usize) -> Result<bool> {
    stage.status(node)?["groups"][0]["open"].as_bool().context("the status has no gate")
}

/// The life of `of` that `node` believes in.
pub fn session(stage: &Stage, node: usize, of: usize) -> Result<String> {
    let session = stage.status(node)?["nodes"][of]["session"].as_str().map(str::to_owned);
    session.context("the status has no session")
}

/// Whether the virtual address is on eth0 of `node`.
pub fn has_address(stage: &Stage, node: usize) -> Result<bool> {
    Ok(stage.lan.addresses(node, Network::Eth0)?.iter().any(|(address, _)| *address == VIP))
}
