//! What the agent costs by keepalive: processor time of each of its threads, memory, frames.
//!
//! Two real agents in namespaces, one peer each. On a veth pair the sender's thread also carries its frame through the switch
//! and runs the *other* node's kernel program and the way back: on a network card that is done by interrupts of the machine
//! that receives.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use xbeat_tests::files::Files;
use xbeat_tests::host::Host;
use xbeat_tests::lan::{Lan, Wiring};
use xbeat_tests::stage::NODES;
use xbeat_tests::wait::{self, eventually};

use crate::file::{self, Header};
use crate::gauge::Gauge;

/// Processor share, memory and frames of the agent, by keepalive
#[derive(Args)]
pub(crate) struct AgentArgs {
    /// Keepalives to measure, as in ha.cf; deadtime is three of them
    #[arg(long, value_delimiter = ',', default_value = "10ms,5ms,2ms,1ms,500us,250us,200us")]
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

/// The figures in the JSON file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Costs {
    pub(crate) seconds: u64,
    pub(crate) costs: Vec<Cost>,
}

/// What was measured with one keepalive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) keepalive: String,
    pub(crate) keepalive_us: f64,
    pub(crate) datapath: String,
    #[serde(flatten)]
    pub(crate) gauge: Gauge,
}

/// Runs the measurement.
pub(crate) fn run(arguments: &AgentArgs) -> Result<()> {
    wait::catch_interrupts()?;
    let header = Header::new("agent");
    let mut figures = Costs { seconds: arguments.seconds, costs: Vec::new() };
    for keepalive in &arguments.keepalive {
        eprintln!("measuring keepalive {keepalive} for {} s", arguments.seconds);
        figures.costs.push(measure(keepalive, arguments).with_context(|| format!("keepalive {keepalive}"))?);
    }
    print(&figures.costs);
    file::save(arguments.json.as_deref(), &header, &figures)
}

fn measure(keepalive: &str, arguments: &AgentArgs) -> Result<Cost> {
    let (number, unit) =
        keepalive.split_at(keepalive.find(|c: char| c.is_alphabetic()).unwrap_or(keepalive.len()));
    let number: u64 = number.parse().context("a keepalive is a number and a unit, such as 500us")?;
    let deadtime = format!("{}{unit}", 3 * number);
    let files = Files::howto_001()
        .fast()
        .directive("keepalive", keepalive)
        .directive("deadtime", &deadtime)
        .directive("warntime", &deadtime)
        .line(&format!("xdp {}", arguments.xdp));
    let lan = Lan::new(&NODES, Wiring::One)?;
    let mut hosts = [Host::new(&lan, 0, &files)?, Host::new(&lan, 1, &files)?];
    for host in &mut hosts {
        host.start_agent()?;
    }
    eventually(Duration::from_secs(60), "both agents are active", || {
        hosts
            .iter()
            .all(|host| host.status().is_ok_and(|status| status.nodes.iter().all(|n| n.status == "active")))
    })?;
    let gauge = Gauge::read(&mut hosts[0], Duration::from_secs(arguments.seconds))?;
    let status = hosts[0].status()?;
    Ok(Cost {
        keepalive: keepalive.to_owned(),
        keepalive_us: number as f64
            * match unit {
                "us" => 1.0,
                "ms" => 1e3,
                _ => 1e6,
            },
        datapath: status.links.first().map(|link| link.datapath.clone()).unwrap_or_default(),
        gauge,
    })
}

fn print(costs: &[Cost]) {
    println!(
        "{:<10} {:<9} {:>8} {:>10} {:>10}  by thread",
        "keepalive", "datapath", "CPU", "resident", "frames/s"
    );
    for Cost { keepalive, datapath, gauge, .. } in costs {
        let threads: Vec<String> = gauge
            .threads
            .iter()
            .filter(|(_, share)| **share >= 0.005)
            .map(|(name, share)| format!("{name} {share:.2} %"))
            .collect();
        println!(
            "{keepalive:<10} {datapath:<9} {:>6.2} % {:>6.1} MiB {:>10.0}  {}",
            gauge.cpu_percent,
            gauge.resident_kib as f64 / 1024.0,
            gauge.frames_per_s,
            threads.join(", ")
        );
    }
}
