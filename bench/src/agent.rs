//! What the agent costs: processor time of each of its threads, and memory, by keepalive.
//!
//! Two real agents in namespaces, one peer each. The figure is the scheduler's own account (`schedstat`), not
//! ticks, which fall on the same moments as a keepalive of whole milliseconds. On a veth pair the sender's thread also
//! carries its frame through the switch and runs the *other* node's kernel program and the way back: on a
//! network card that is done by interrupts of the machine that receives.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use xbeat_tests::files::Files;
use xbeat_tests::host::Host;
use xbeat_tests::lan::{Lan, Wiring};
use xbeat_tests::wait::eventually;

/// Processor share and memory of the agent, by keepalive
#[derive(Args)]
pub(crate) struct AgentArgs {
    /// Keepalives to measure, as in ha.cf; deadtime is three of them
    #[arg(long, value_delimiter = ',', default_value = "10ms,1ms,500us")]
    keepalive: Vec<String>,
    /// How long each is measured, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Where the kernel part is attached (`xdp` in ha.cf)
    #[arg(long, default_value = "auto")]
    xdp: String,
    /// Also write the figures to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What was measured with one keepalive.
#[derive(Serialize)]
struct Cost {
    keepalive: String,
    datapath: String,
    /// Share of one processor, in per cent, of all threads.
    cpu_percent: f64,
    /// The same by thread.
    threads: BTreeMap<String, f64>,
    /// Resident memory, in KiB.
    resident_kib: u64,
}

/// Runs the measurement.
pub(crate) fn run(arguments: &AgentArgs) -> Result<()> {
    let mut costs = Vec::new();
    for keepalive in &arguments.keepalive {
        eprintln!("measuring keepalive {keepalive} for {} s", arguments.seconds);
        costs.push(measure(keepalive, arguments)?);
    }
    print(&costs);
    if let Some(file) = &arguments.json {
        fs::write(file, serde_json::to_vec_pretty(&costs)?)
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

fn measure(keepalive: &str, arguments: &AgentArgs) -> Result<Cost> {
    let (number, unit) =
        keepalive.split_at(keepalive.find(|c: char| c.is_alphabetic()).unwrap_or(keepalive.len()));
    let deadtime =
        format!("{}{unit}", 3 * number.parse::<u64>().context("a keepalive is a number and a unit")?);
    let files = Files::howto_001()
        .fast()
        .directive("keepalive", keepalive)
        .directive("deadtime", &deadtime)
        .directive("warntime", &deadtime)
        .line(&format!("xdp {}", arguments.xdp));
    let lan = Lan::new(&["server1", "server2"], Wiring::One)?;
    let mut hosts = [Host::new(&lan, 0, &files)?, Host::new(&lan, 1, &files)?];
    for host in &mut hosts {
        host.start_agent()?;
    }
    eventually(Duration::from_secs(60), "both agents are active", || {
        hosts
            .iter()
            .all(|host| host.status().is_ok_and(|status| status.nodes.iter().all(|n| n.status == "active")))
    })?;
    let process = hosts[0].agent()?.id();
    let (before, begun) = (threads(process)?, Instant::now());
    thread::sleep(Duration::from_secs(arguments.seconds));
    let (after, took) = (threads(process)?, begun.elapsed().as_secs_f64());
    let share = |name: &String, ns: &u64| (ns - before.get(name).unwrap_or(&0)) as f64 / took / 1e7;
    let threads: BTreeMap<String, f64> =
        after.iter().map(|(name, ns)| (name.clone(), share(name, ns))).collect();
    let status = hosts[0].status()?;
    Ok(Cost {
        keepalive: keepalive.to_owned(),
        datapath: status.links.first().map(|link| link.datapath.clone()).unwrap_or_default(),
        cpu_percent: threads.values().sum(),
        threads,
        resident_kib: resident(process)?,
    })
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

fn print(costs: &[Cost]) {
    println!("{:<10} {:<9} {:>8} {:>10}  by thread", "keepalive", "datapath", "CPU", "resident");
    for cost in costs {
        let threads: Vec<String> = cost
            .threads
            .iter()
            .filter(|(_, share)| **share >= 0.005)
            .map(|(name, share)| format!("{name} {share:.2} %"))
            .collect();
        println!(
            "{:<10} {:<9} {:>6.2} % {:>6.1} MiB  {}",
            cost.keepalive,
            cost.datapath,
            cost.cpu_percent,
            cost.resident_kib as f64 / 1024.0,
            threads.join(", ")
        );
    }
}
