//! How fast each kind of link tells that a node is gone: the owner falls silent, and the other one answers the client.
//!
//! One run measures all kinds one after the other, each with its own pair of agents in namespaces. What is measured is the
//! outage that a client sees, so detection and takeover together; the takeover is the same for all kinds and takes well under
//! a millisecond.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use xbeat_tests::files::Files;
use xbeat_tests::kinds::Kind;
use xbeat_tests::lan::{Lan, Network, Wiring};
use xbeat_tests::stage::{NODES, Stage};
use xbeat_tests::{clock, host};

use crate::figures::{Spread, ms};
use crate::file::{self, Header};

/// Time to notice a dead node and take over, by kind of link
#[derive(Args)]
pub(crate) struct LinksArgs {
    /// Kinds to measure; all without it
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<String>,
    /// Takeovers per kind
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Time between two keepalives, as in ha.cf
    #[arg(long, default_value = "1ms")]
    keepalive: String,
    /// Silence after which a node is dead, as in ha.cf
    #[arg(long, default_value = "3ms")]
    deadtime: String,
    /// Where the kernel part is attached (`xdp` in ha.cf)
    #[arg(long, default_value = "auto")]
    xdp: String,
    /// Also write the figures to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    keepalive: String,
    deadtime: String,
    kinds: Vec<Figures>,
}

/// What was measured of one kind.
#[derive(Serialize)]
struct Figures {
    kind: &'static str,
    datapath: String,
    rounds: usize,
    /// Outages that the client saw, in microseconds.
    outage_us: Spread,
    /// From probe to pong, in microseconds, at the end.
    rtt_us: u64,
}

/// Runs the measurement.
pub(crate) fn run(arguments: &LinksArgs) -> Result<()> {
    let header = Header::new("links");
    let mut kinds = Vec::new();
    let is_wanted =
        |kind: &Kind| arguments.kinds.is_empty() || arguments.kinds.iter().any(|name| name == kind.name());
    for kind in Kind::ALL.into_iter().filter(is_wanted) {
        eprintln!("measuring {} takeovers over {}", arguments.rounds, kind.name());
        kinds.push(measure(kind, arguments).with_context(|| format!("over {}", kind.name()))?);
    }
    let (keepalive, deadtime) = (arguments.keepalive.clone(), arguments.deadtime.clone());
    let report = Report { keepalive, deadtime, kinds };
    print(&header, &report);
    file::save(arguments.json.as_deref(), &header, &report)
}

/// How often the client asks.
const PERIOD: Duration = Duration::from_micros(200);

fn measure(kind: Kind, arguments: &LinksArgs) -> Result<Figures> {
    let lan = Lan::new(&NODES, Wiring::One)?.with_ipv6()?;
    let files = Files::howto_001()
        .fast()
        .directive("keepalive", &arguments.keepalive)
        .directive("deadtime", &arguments.deadtime)
        .directive("warntime", &arguments.deadtime)
        // A stall of the machine is not what is measured.
        .directive("lease", "5s")
        .links(&kind.lines(&lan, Network::Eth0))
        .directive("xdp", &arguments.xdp);
    let mut stage = Stage::on(lan, host::binary()?, &files, PERIOD)?;
    let (faults, status) = takeovers(&mut stage, arguments.rounds).with_context(|| stage.logs())?;
    let link = &status["links"][0];
    let (datapath, rtt) = (link["datapath"].as_str().unwrap_or("?").to_owned(), &link["peers"][0]["rtt_us"]);
    let rtt_us = rtt.as_u64().unwrap_or(0);
    let seen = stage.finish()?;
    let outages = faults.iter().map(|&(from, to)| seen.record.outage(from, to).micros());
    Ok(Figures {
        kind: kind.name(),
        datapath,
        rounds: faults.len(),
        outage_us: Spread::of(outages).context("no takeover was asked for")?,
        rtt_us,
    })
}

/// Takes the owner off the network again and again: from when to when each time, and what the other one said of the link.
fn takeovers(stage: &mut Stage, rounds: usize) -> Result<(Vec<(u64, u64)>, serde_json::Value)> {
    stage.start_all(0)?;
    let status = stage.status(1)?;
    let mut faults = Vec::new();
    for _ in 0..rounds {
        stage.settles_on(0)?;
        let from = clock::now();
        stage.partition(0)?;
        stage.serves(1)?;
        faults.push((from, clock::now()));
        stage.lan.heal(0)?;
        stage.settles_on(0)?;
        stage.reunited();
    }
    Ok((faults, status))
}

fn print(header: &Header, report: &Report) {
    println!("{}", header.machine);
    println!(
        "keepalive {}, deadtime {}; outage as the client sees it, ms",
        report.keepalive, report.deadtime
    );
    println!("| link | datapath | takeovers | min | median | max | round trip, us |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for kind in &report.kinds {
        println!(
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            kind.kind,
            kind.datapath,
            kind.rounds,
            ms(kind.outage_us.min),
            ms(kind.outage_us.median),
            ms(kind.outage_us.max),
            kind.rtt_us
        );
    }
}
