//! The kernel's counters of one agent, readable also when that is dead or frozen.

use std::fs;

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, MapInfo, PerCpuArray};
use reflex::Verdict;

/// The map behind the counters in `xbeat status`.
pub struct Counters(PerCpuArray<MapData, u64>);

impl Counters {
    /// Of the agent with process id `agent`, which must be alive now.
    pub fn of(agent: u32) -> Result<Self> {
        let descriptors = format!("/proc/{agent}/fdinfo");
        let ids =
            fs::read_dir(&descriptors).with_context(|| descriptors.clone())?.flatten().filter_map(|entry| {
                let info = fs::read_to_string(entry.path()).ok()?;
                info.lines().find_map(|line| line.strip_prefix("map_id:"))?.trim().parse().ok()
            });
        let counters =
            |id: &u32| MapInfo::from_id(*id).is_ok_and(|map| map.name_as_str() == Some("COUNTERS"));
        let id = ids.into_iter().find(counters).with_context(|| format!("{descriptors} has no counters"))?;
        Ok(Self(PerCpuArray::try_from(Map::PerCpuArray(MapData::from_id(id)?))?))
    }

    /// Packets that met `verdict` so far.
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.0.get(&(verdict as u32), 0).map_or(0, |counts| counts.iter().sum())
    }
}
