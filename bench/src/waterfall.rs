//! Where the time of a failover goes: each step from the last frame of the old owner to the first answered request of the new one,
//! stamped on the kernel's clock (`CLOCK_MONOTONIC`, which `bpf_ktime_get_ns` reads).
//!
//! The kernel programs stamp what they do (heard, verdict, gate); the agent stamps what it does, into its recording; the client
//! stamps its requests. All nodes are on one machine, so all stamps are of one clock. Several agents can be measured in turns,
//! to see what a change brings, under each condition.

mod report;
mod steps;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddrV4;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use xbeat::record::{Line, Stamp};
use xbeat_tests::client::Client;
use xbeat_tests::files::Files;
use xbeat_tests::host::Host;
use xbeat_tests::lan::{Lan, VIP, Wiring};
use xbeat_tests::responder::PORT;
use xbeat_tests::stage::NODES;
use xbeat_tests::wait::{self, eventually, pause};
use xbeat_tests::{clock, host};

use crate::compare::case::{Condition, under};
use crate::compare::chosen;
use crate::file::{self, Header};
pub(crate) use report::{AfterDeadline, Series, Step, Waterfall};
use steps::Played;
pub(crate) use steps::{Moment, Run, WAITED_FOR};

/// Where the time of a failover goes, step by step
#[derive(Args)]
pub(crate) struct WaterfallArgs {
    /// Failovers of each kind
    #[arg(long, default_value_t = 30)]
    runs: usize,
    /// As in ha.cf
    #[arg(long, default_value = "1ms")]
    keepalive: String,
    /// As in ha.cf
    #[arg(long, default_value = "3ms")]
    deadtime: String,
    /// The client asks so often, in microseconds: nothing is known more exactly
    #[arg(long, value_name = "US", default_value_t = 50, value_parser = clap::value_parser!(u64).range(20..))]
    period: u64,
    /// Another agent to measure in turns, as NAME=FILE (may be given several times); this one is called `xbeat`
    #[arg(long, value_name = "NAME=FILE")]
    also: Vec<String>,
    /// Only this kind
    #[arg(long, value_enum)]
    only: Option<Kind>,
    /// Under these conditions
    #[arg(long, value_enum, value_name = "CONDITION", value_delimiter = ',', default_value = "quiet")]
    conditions: Vec<Condition>,
    /// Also write the figures to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How the address moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The owner's switch port drops everything, and its agent stands still
    Silent,
    /// `xbeat standby`
    HandOver,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Silent, Self::HandOver];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::HandOver => "hand-over",
        }
    }
}

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// How long everything runs under the condition before the fault. What the status commands left to do is over then.
const BEFORE: Duration = Duration::from_millis(300);

/// How long it goes on after the other node serves: its last steps are taken by then.
const AFTER: Duration = Duration::from_millis(100);

/// Runs before the network and its agents are made anew: the recordings stay short.
const RUNS_PER_NETWORK: usize = 10;

/// Runs the measurement.
pub(crate) fn run(arguments: &WaterfallArgs) -> Result<()> {
    wait::catch_interrupts()?;
    let header = Header::new("waterfall");
    let agents = agents(&arguments.also)?;
    let names = agents.iter().map(|(name, _)| name.clone()).collect();
    let mut figures = Waterfall::new(&arguments.keepalive, &arguments.deadtime, arguments.period, names);
    let cases = cases(arguments);
    let mut left = arguments.runs;
    while left > 0 {
        let number = left.min(RUNS_PER_NETWORK);
        for &(condition, kind) in &cases {
            for (agent, binary) in &agents {
                let series = Series { agent, kind, condition };
                eprintln!("{left} of {} to go: {number} by {series}", arguments.runs);
                let runs = measure(arguments, binary, series, number).with_context(|| series.to_string())?;
                if runs.len() < number {
                    eprintln!("{} of them left out: a stamp is missing", number - runs.len());
                }
                figures.add(series, number, runs);
            }
        }
        left -= number;
        file::save(arguments.json.as_deref(), &header, &figures)?;
    }
    println!("{}", header.machine);
    print!("{}", figures.text());
    Ok(())
}

/// The kinds that were asked for, under each condition that was.
fn cases(arguments: &WaterfallArgs) -> Vec<(Condition, Kind)> {
    let conditions = chosen(&arguments.conditions, &Condition::ALL);
    let kinds = chosen(arguments.only.as_slice(), &Kind::ALL);
    conditions.iter().flat_map(|&condition| kinds.iter().map(move |&kind| (condition, kind))).collect()
}

/// Names and programs of those to measure.
fn agents(also: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let mut agents = Vec::new();
    for also in also {
        let (name, path) = also.split_once('=').with_context(|| format!("{also} is not NAME=FILE"))?;
        ensure!(Path::new(path).is_file(), "there is no agent {path}");
        agents.push((name.to_owned(), PathBuf::from(path)));
    }
    agents.push(("xbeat".to_owned(), host::binary()?));
    Ok(agents)
}

/// One network: the nodes with their recordings, and who asks.
struct Scene {
    hosts: [Host; 2],
    client: Client,
    recordings: [PathBuf; 2],
    lan: Lan,
}

impl Scene {
    fn new(arguments: &WaterfallArgs, binary: &Path, directory: &Path) -> Result<Self> {
        let files = Files::howto_001()
            .haresources(&format!("{} IPaddr::{VIP}/24/eth0\n", NODES[0]))
            .fast()
            .directive("keepalive", &arguments.keepalive)
            .directive("deadtime", &arguments.deadtime)
            .directive("warntime", &arguments.deadtime)
            .directive("auto_failback", "off")
            // A stall of the machine is not what is measured.
            .directive("lease", "5s");
        let lan = Lan::new(&NODES, Wiring::One)?;
        let host = |index| Host::with_binary(&lan, index, &files, binary.to_owned());
        let mut hosts = [host(0)?, host(1)?];
        let recordings = NODES.map(|name| directory.join(format!("{name}.jsonl")));
        for (host, recording) in hosts.iter_mut().zip(&recordings) {
            host.start_responder()?;
            let name = host.name().to_owned();
            host.start_agent_with(|command| {
                command.args(["--node", &name, "--record"]).arg(recording);
            })?;
        }
        let target = SocketAddrV4::new(VIP, PORT);
        let client = Client::start(&lan, target, Duration::from_micros(arguments.period))?;
        Ok(Self { hosts, client, recordings, lan })
    }

    /// All that the agents have said.
    fn logs(&self) -> String {
        self.hosts.iter().map(|host| format!("--- {}\n{}", host.name(), host.log())).collect()
    }

    fn settles_on(&self, owner: usize) -> Result<()> {
        eventually(LIMIT, "the cluster is at rest", || {
            let rests = |(node, host): (usize, &Host)| {
                host.status().is_ok_and(|status| {
                    let group = status.groups.first();
                    status.nodes.iter().all(|node| node.status == "active")
                        && group.is_some_and(|group| {
                            group.owner.as_deref() == Some(NODES[owner])
                                && group.armed == (node != owner)
                                && group.state == if node == owner { "started" } else { "stopped" }
                        })
                })
            };
            self.client.answerer() == Some(owner) && self.hosts.iter().enumerate().all(rests)
        })
    }

    /// Deadtime as the agents have it, ns.
    fn deadtime_ns(&self) -> Result<u64> {
        let status = self.hosts[0].status()?;
        let link = status.links.first().context("the status shows no link")?;
        Ok(link.deadtime_us * 1000)
    }

    /// Lets the address move away from `owner` and waits until the other node has served for a while; in which time that was.
    fn move_from(&mut self, owner: usize, kind: Kind) -> Result<Range<u64>> {
        pause(BEFORE)?;
        let from = clock::now();
        match kind {
            Kind::Silent => {
                // A machine without power does nothing; all nodes share the processors of this one.
                self.hosts[owner].agent()?.signal(Signal::SIGSTOP)?;
                self.lan.silence(owner)?;
            }
            Kind::HandOver => drop(self.hosts[owner].command(&["standby"])?.ok()?),
        }
        eventually(LIMIT, "the other node serves", || self.client.answerer() == Some(1 - owner))?;
        pause(AFTER)?;
        Ok(from..clock::now())
    }

    /// `owner`, which fell silent, is there again.
    fn revive(&mut self, owner: usize) -> Result<()> {
        self.lan.heal(owner)?;
        self.hosts[owner].agent()?.signal(Signal::SIGCONT)
    }
}

/// Plays `number` failovers in one network. Those with a stamp missing are left out.
fn measure(arguments: &WaterfallArgs, binary: &Path, series: Series<'_>, number: usize) -> Result<Vec<Run>> {
    let directory = tempfile::tempdir()?;
    let mut scene = Scene::new(arguments, binary, directory.path())?;
    let mut owner = 0;
    let mut played = Vec::new();
    for _ in 0..number {
        scene.settles_on(owner).with_context(|| scene.logs())?;
        let (heir, deadtime_ns) = (1 - owner, scene.deadtime_ns()?);
        let time = under(series.condition, || scene.move_from(owner, series.kind))?;
        if series.kind == Kind::Silent {
            scene.revive(owner)?;
        }
        played.push(Played { kind: series.kind, condition: series.condition, heir, deadtime_ns, time });
        owner = heir;
    }
    let Scene { mut hosts, client, recordings, lan } = scene;
    let record = client.finish()?;
    for host in &mut hosts {
        // In order, so that all stamps are in the file.
        host.stop_agent(LIMIT)?;
    }
    drop((hosts, lan));
    let stamps = [stamps(&recordings[0])?, stamps(&recordings[1])?];
    let run = |played: Played| {
        let (old, new) = (&stamps[1 - played.heir], &stamps[played.heir]);
        Some(Run { agent: series.agent.to_owned(), ..Run::of(&played, (old, new), &record.requests)? })
    };
    Ok(played.into_iter().filter_map(run).collect())
}

/// The stamps of a recording, in order.
fn stamps(recording: &Path) -> Result<Vec<(u64, Stamp)>> {
    let file = fs::File::open(recording).with_context(|| recording.display().to_string())?;
    let mut stamps = Vec::new();
    for line in BufReader::new(file).lines() {
        if let Line::Stamp { at, stamp } = serde_json::from_str(&line?).context("a line of a recording")? {
            stamps.push((at, stamp));
        }
    }
    Ok(stamps)
}
