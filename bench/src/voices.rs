//! The free voice: how long until the other node serves when the owner's port is dead and its carrier up, and that
//! nothing moves when it is the standby's.
//!
//! Two real agents on two networks, a client on the first. The port is silenced at the switch, both directions.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use xbeat_tests::client::Client;
use xbeat_tests::clock;
use xbeat_tests::files::Files;
use xbeat_tests::host::Host;
use xbeat_tests::lan::{Lan, Network, VIP, Wiring};
use xbeat_tests::responder::PORT;
use xbeat_tests::wait::{eventually, pause};

use crate::figures::Spread;
use crate::file::{self, Header};

const NODES: [&str; 2] = ["server1", "server2"];
/// Far beyond what anything takes.
const LIMIT: Duration = Duration::from_secs(60);
/// How long the standby's port stays dead in each run, and nothing may move.
const STANDBY_DEAD: Duration = Duration::from_secs(1);

/// A dead port on the address's network: time until the other node serves, and moves
#[derive(Args)]
pub(crate) struct VoicesArgs {
    /// Runs of each fault
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// Interval of keepalives, as in ha.cf
    #[arg(long, default_value = "10ms")]
    keepalive: String,
    /// Dead time, as in ha.cf
    #[arg(long, default_value = "50ms")]
    deadtime: String,
    /// Where the kernel part is attached (`xdp` in ha.cf)
    #[arg(long, default_value = "auto")]
    xdp: String,
    /// Show the agents' logs in the end
    #[arg(long)]
    logs: bool,
    /// Also write the figures to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    keepalive: String,
    deadtime: String,
    xdp: String,
    /// From the fault to the first answer of the other node, ms, by run.
    owner_dead_ms: Vec<f64>,
    /// Runs in which something moved although the standby's port was dead.
    standby_dead_moves: usize,
    standby_dead_runs: usize,
}

/// Runs the measurement.
pub(crate) fn run(arguments: &VoicesArgs) -> Result<()> {
    let header = Header::new("voices");
    let files = Files::cluster(&NODES, "server1 192.0.2.100\n")
        .directive("keepalive", &arguments.keepalive)
        .directive("deadtime", &arguments.deadtime)
        .directive("warntime", &arguments.deadtime)
        .directive("auto_failback", "off")
        .directive("xdp", &arguments.xdp)
        .line("ucast eth1 198.51.100.11")
        .line("ucast eth1 198.51.100.12");
    let lan = Lan::new(&NODES, Wiring::Two)?;
    let mut hosts = [Host::new(&lan, 0, &files)?, Host::new(&lan, 1, &files)?];
    for host in &mut hosts {
        lan.meet_client(host.index())?;
        host.start_responder()?;
        host.start_agent()?;
    }
    let client = Client::start(&lan, SocketAddrV4::new(VIP, PORT), Duration::from_millis(1))?;
    let mut owner = 0;
    let mut owner_dead_ms = Vec::new();
    let mut standby_dead_moves = 0;
    for run in 0..arguments.runs {
        settle(&hosts, &client, owner)?;
        eprintln!("run {} of {}", run + 1, arguments.runs);
        let fault = clock::now();
        lan.silence_on(owner, Network::Eth0)?;
        let change = client.wait_for(1 - owner, LIMIT, |_| {})?;
        owner_dead_ms.push(change.at.saturating_sub(fault) as f64 / 1e6);
        lan.heal(owner)?;
        owner = 1 - owner;

        settle(&hosts, &client, owner)?;
        let before = epoch(&hosts[owner])?;
        lan.silence_on(1 - owner, Network::Eth0)?;
        pause(STANDBY_DEAD)?;
        lan.heal(1 - owner)?;
        standby_dead_moves += usize::from(epoch(&hosts[owner])? != before);
    }
    let report = Report {
        keepalive: arguments.keepalive.clone(),
        deadtime: arguments.deadtime.clone(),
        xdp: arguments.xdp.clone(),
        owner_dead_ms,
        standby_dead_moves,
        standby_dead_runs: arguments.runs,
    };
    print(&header, &report);
    if arguments.logs {
        hosts.iter().for_each(|host| eprintln!("--- {}\n{}", host.name(), host.log()));
    }
    file::save(arguments.json.as_deref(), &header, &report)
}

/// Waits until `owner` serves, everybody is heard everywhere, and the other node is ready.
fn settle(hosts: &[Host; 2], client: &Client, owner: usize) -> Result<()> {
    eventually(LIMIT, "the cluster is at rest", || {
        let rests = |(node, host): (usize, &Host)| {
            host.status().is_ok_and(|status| {
                let group = status.groups.first();
                status.nodes.iter().all(|node| node.status == "active")
                    && status
                        .networks
                        .iter()
                        .all(|network| network.state == "peace" && network.neighbours > 0)
                    && status.links.iter().all(|link| link.tx_tested || link.datapath == "none")
                    && group.is_some_and(|group| {
                        group.owner.as_deref() == Some(NODES[owner]) && group.armed == (node != owner)
                    })
            })
        };
        client.answerer() == Some(owner) && hosts.iter().enumerate().all(rests)
    })
}

fn epoch(host: &Host) -> Result<u64> {
    Ok(host.status()?.groups.first().context("no group")?.epoch)
}

fn print(header: &Header, report: &Report) {
    println!("{}", header.machine);
    println!("keepalive {}, deadtime {}, xdp {}", report.keepalive, report.deadtime, report.xdp);
    println!("{:<28} {:>5} {:>6} {:>9} {:>9} {:>9}", "fault", "runs", "moves", "min ms", "median", "max");
    if let Some(Spread { min, median, max, .. }) = Spread::of(report.owner_dead_ms.iter().copied()) {
        let runs = report.owner_dead_ms.len();
        let what = "the owner's port is dead";
        println!("{what:<28} {runs:>5} {runs:>6} {min:>9.1} {median:>9.1} {max:>9.1}");
    }
    println!(
        "{:<28} {:>5} {:>6} {:>9} {:>9} {:>9}",
        "the standby's port is dead", report.standby_dead_runs, report.standby_dead_moves, "-", "-", "-"
    );
}
