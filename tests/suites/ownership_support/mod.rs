//! What the suites of ownership share.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "no suite uses all of it")]

pub mod connections;
pub mod counters;
pub mod pinned;

use std::ops::Range;

use anyhow::{Context as _, Result, ensure};
use tests::clock;
use tests::lan::{Network, VIP};
use tests::stage::{self, Seen, Stage};

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

/// How things stood before something of the owner's that nobody may notice.
pub struct Peace {
    life: String,
    epoch: u64,
    calls: Vec<String>,
    log: String,
    from: u64,
}

impl Peace {
    /// Looks, before it.
    pub fn before(stage: &Stage) -> Result<Self> {
        Ok(Self {
            life: session(stage, OTHER, OWNER)?,
            epoch: epoch(stage, OTHER)?,
            calls: stage.hosts[OWNER].script_calls(),
            log: stage.hosts[OTHER].log(),
            from: clock::now(),
        })
    }

    /// Looks again: nothing is different. Returns the time between, for which [`undisturbed`] looks at the client.
    pub fn holds(self, stage: &Stage) -> Result<Range<u64>> {
        let between = self.from..clock::now();
        ensure!(epoch(stage, OTHER)? == self.epoch, "the epoch is the same");
        ensure!(session(stage, OTHER, OWNER)? == self.life, "to the other node it is the same life");
        let after = stage.hosts[OWNER].script_calls();
        ensure!(after == self.calls, "scripts were called: {:?}", &after[self.calls.len()..]);
        let after = stage.hosts[OTHER].log();
        ensure!(after == self.log, "the other node noticed: {}", &after[self.log.len()..]);
        Ok(between)
    }
}

/// The client got every answer, and from the owner.
///
/// # Panics
/// Else.
pub fn undisturbed(played: Option<(Range<u64>, Seen)>) {
    let Some((between, seen)) = played else { return };
    let missed = seen.missed(OWNER, between.start, between.end);
    assert_eq!(missed, (0, 0), "requests lost, and answered by the other");
}
