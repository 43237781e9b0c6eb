//! What a running agent costs: processor time of each of its threads by the scheduler's own account (`schedstat`: ticks would
//! fall on the same moments as a keepalive of whole milliseconds), memory, frames.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use xbeat_tests::host::Host;
use xbeat_tests::wait::pause;

/// The cost of one agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Gauge {
    /// Share of one processor, in per cent, of all threads.
    pub(crate) cpu_percent: f64,
    /// The same by thread.
    pub(crate) threads: BTreeMap<String, f64>,
    /// Resident memory, in KiB.
    pub(crate) resident_kib: u64,
    /// Probes and pongs that its kernel accepted, a second. As many leave.
    pub(crate) frames_per_s: f64,
}

impl Gauge {
    /// Watches the agent of `host` for `time`.
    pub(crate) fn read(host: &mut Host, time: Duration) -> Result<Self> {
        let process = host.agent()?.id();
        let (frames, before, begun) = (frames(host)?, threads(process)?, Instant::now());
        pause(time)?;
        let (after, took) = (threads(process)?, begun.elapsed().as_secs_f64());
        // Between the same two moments: to ask for the status costs the agent time.
        let frames = (self::frames(host)? - frames) as f64 / begun.elapsed().as_secs_f64();
        let share = |name: &String, ns: &u64| (ns - before.get(name).unwrap_or(&0)) as f64 / took / 1e7;
        let threads: BTreeMap<String, f64> =
            after.iter().map(|(name, ns)| (name.clone(), share(name, ns))).collect();
        Ok(Self {
            cpu_percent: threads.values().sum(),
            threads,
            resident_kib: resident(process)?,
            frames_per_s: frames,
        })
    }
}

fn frames(host: &Host) -> Result<u64> {
    let counters = host.status()?.counters;
    Ok(["probe_answered", "pong_taken"].iter().filter_map(|name| counters.get(*name)).sum())
}

/// Processor time of each thread so far, ns, by name.
fn threads(process: u32) -> Result<BTreeMap<String, u64>> {
    let mut times = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?.path();
        let name = fs::read_to_string(task.join("comm"))?.trim().to_owned();
        let stat = fs::read_to_string(task.join("schedstat"))?;
        let ns: u64 = stat.split_whitespace().next().unwrap_or("0").parse()?;
        *times.entry(name).or_insert(0) += ns;
    }
    Ok(times)
}

fn resident(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
