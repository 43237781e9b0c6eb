//! The tables of an agent, as another process of the same machine finds them.

use std::fs;
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use aya::maps::{MapData, MapInfo};
use reflex::Orders;
use xbeat::sys::Table;

/// The map of that name which the process `agent`, alive now, has open.
pub fn map(agent: u32, name: &str) -> Result<MapData> {
    let descriptors = format!("/proc/{agent}/fdinfo");
    let ids =
        fs::read_dir(&descriptors).with_context(|| descriptors.clone())?.flatten().filter_map(|entry| {
            let info = fs::read_to_string(entry.path()).ok()?;
            info.lines().find_map(|line| line.strip_prefix("map_id:"))?.trim().parse().ok()
        });
    let named = |id: &u32| MapInfo::from_id(*id).is_ok_and(|map| map.name_as_str() == Some(name));
    let id = ids.into_iter().find(named).with_context(|| format!("{descriptors} has no {name}"))?;
    Ok(MapData::from_id(id)?)
}

/// What it orders. Whoever changes a word changes it for the agent and its kernel, too.
pub fn orders(agent: u32) -> Result<Table<Orders>> {
    Ok(Table::of_map(map(agent, "ORDERS")?.fd().as_fd())?)
}
