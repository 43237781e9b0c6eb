//! The kernel's counters of one agent, readable also when that is dead or frozen.

use anyhow::Result;
use aya::maps::{Map, MapData, PerCpuArray};
use reflex::Verdict;

/// The map behind the counters in `xbeat status`.
pub struct Counters(PerCpuArray<MapData, u64>);

impl Counters {
    /// Of the agent with process id `agent`, which must be alive now.
    pub fn of(agent: u32) -> Result<Self> {
        Ok(Self(PerCpuArray::try_from(Map::PerCpuArray(super::pinned::map(agent, "COUNTERS")?))?))
    }

    /// Packets that met `verdict` so far.
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.0.get(&(verdict as u32), 0).map_or(0, |counts| counts.iter().sum())
    }
}
