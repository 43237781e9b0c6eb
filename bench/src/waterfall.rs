//! Where the time of a failover goes: each step from the last frame of the old owner to the first answered request of the new one,
//! stamped on the kernel's clock (`CLOCK_MONOTONIC`, which `bpf_ktime_get_ns` reads).
//!
//! The kernel programs stamp what they do (heard, verdict, gate); the agent stamps what it does, into its recording; the client
//! stamps its requests. All nodes are on one machine, so all stamps are of one clock. Several agents can be measured in turns,
//! to see what a change brings.

mod steps;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use xbeat::record::{Line, Stamp};
use xbeat_tests::client::{Client, Record};
use xbeat_tests::files::Files;
use xbeat_tests::host::Host;
use xbeat_tests::lan::{Lan, VIP, Wiring};
use xbeat_tests::responder::PORT;
use xbeat_tests::stage::NODES;
use xbeat_tests::wait::{self, eventually, pause};
use xbeat_tests::{clock, host};

use crate::figures::{self, Spread, three};
use crate::file::{self, Header};
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

/// The figures in the JSON file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Waterfall {
    pub(crate) keepalive: String,
    pub(crate) deadtime: String,
    pub(crate) request_period_us: u64,
    /// In the order of measuring; the last is the one of this tree.
    pub(crate) agents: Vec<String>,
    pub(crate) runs: Vec<Run>,
}

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs before the network and its agents are made anew: the recordings stay short.
const RUNS_PER_NETWORK: usize = 10;

/// Runs the measurement.
pub(crate) fn run(arguments: &WaterfallArgs) -> Result<()> {
    wait::catch_interrupts()?;
    let header = Header::new("waterfall");
    let agents = agents(&arguments.also)?;
    let mut figures = Waterfall {
        keepalive: arguments.keepalive.clone(),
        deadtime: arguments.deadtime.clone(),
        request_period_us: arguments.period,
        agents: agents.iter().map(|(name, _)| name.clone()).collect(),
        runs: Vec::new(),
    };
    let kinds: Vec<Kind> =
        Kind::ALL.into_iter().filter(|kind| arguments.only.is_none_or(|only| only == *kind)).collect();
    let mut left = arguments.runs;
    while left > 0 {
        let number = left.min(RUNS_PER_NETWORK);
        for (name, binary) in &agents {
            for &kind in &kinds {
                eprintln!("{} of {} to go: {number} by {name}, {}", left, arguments.runs, kind.name());
                let runs = measure(arguments, binary, kind, number)
                    .with_context(|| format!("{name}, {}", kind.name()))?;
                figures.runs.extend(runs.into_iter().map(|run| Run { agent: name.clone(), ..run }));
            }
        }
        left -= number;
        file::save(arguments.json.as_deref(), &header, &figures)?;
    }
    println!("{}", header.machine);
    print(&figures);
    Ok(())
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
}

fn measure(arguments: &WaterfallArgs, binary: &Path, kind: Kind, number: usize) -> Result<Vec<Run>> {
    let directory = tempfile::tempdir()?;
    let mut scene = Scene::new(arguments, binary, directory.path())?;
    let mut owner = 0;
    let mut times = Vec::new();
    for _ in 0..number {
        scene.settles_on(owner).with_context(|| scene.logs())?;
        // What the status commands left to do is over.
        pause(Duration::from_millis(300))?;
        let from = clock::now();
        match kind {
            Kind::Silent => {
                // A machine without power does nothing; all nodes share the processors of this one.
                scene.hosts[owner].agent()?.signal(Signal::SIGSTOP)?;
                scene.lan.silence(owner)?;
            }
            Kind::HandOver => drop(scene.hosts[owner].command(&["standby"])?.ok()?),
        }
        let heir = 1 - owner;
        eventually(LIMIT, "the other node serves", || scene.client.answerer() == Some(heir))?;
        pause(Duration::from_millis(100))?;
        times.push((owner, from, clock::now()));
        if kind == Kind::Silent {
            scene.lan.heal(owner)?;
            scene.hosts[owner].agent()?.signal(Signal::SIGCONT)?;
        }
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
    Ok(times
        .into_iter()
        .filter_map(|(owner, from, to)| steps(kind, owner, from..to, &stamps, &record))
        .collect())
}

fn steps(
    kind: Kind,
    owner: usize,
    time: std::ops::Range<u64>,
    stamps: &[Vec<(u64, Stamp)>; 2],
    record: &Record,
) -> Option<Run> {
    let (old, new) = (&stamps[owner], &stamps[1 - owner]);
    Run::of(kind, 1 - owner, time, (old, new), &record.requests)
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

/// The figures of one step, over all runs of one agent and kind.
pub(crate) struct Step {
    pub(crate) moment: Moment,
    /// Since the beginning of the outage, us.
    pub(crate) at_us: Spread<f64>,
}

impl Waterfall {
    /// The runs of one agent and kind.
    pub(crate) fn of<'a>(&'a self, agent: &'a str, kind: Kind) -> impl Iterator<Item = &'a Run> + Clone {
        self.runs.iter().filter(move |run| run.agent == agent && run.kind == kind)
    }

    /// Their steps, in the order in which they happen.
    pub(crate) fn steps(&self, agent: &str, kind: Kind) -> Vec<Step> {
        let step = |&moment: &Moment| {
            let times = self.of(agent, kind).filter_map(|run| run.at(moment));
            Some(Step { moment, at_us: Spread::of(times)? })
        };
        let mut steps: Vec<Step> = Moment::ALL.iter().filter_map(step).collect();
        steps.sort_by(|a, b| a.at_us.median.total_cmp(&b.at_us.median));
        steps
    }

    /// From the open gate to `moment`, us.
    pub(crate) fn since_opened(&self, agent: &str, kind: Kind, moment: Moment) -> Option<Spread<f64>> {
        Spread::of(self.of(agent, kind).filter_map(|run| run.since_opened(moment)))
    }

    /// The outages of one agent and kind, us.
    pub(crate) fn outages(&self, agent: &str, kind: Kind) -> Option<Spread<f64>> {
        Spread::of(self.of(agent, kind).map(|run| run.outage_us))
    }
}

fn print(figures: &Waterfall) {
    for kind in Kind::ALL {
        for agent in &figures.agents {
            let Some(outage) = figures.outages(agent, kind) else { continue };
            let runs = figures.of(agent, kind).count();
            println!(
                "\n{}, {agent}, {runs} runs: times since the last answered request was sent, us",
                kind.name()
            );
            println!("{:<52} {:>9} {:>9} {:>9} {:>9}", "", "min", "median", "p99", "max");
            let row = |what: &str, Spread { min, median, p99, max }: Spread<f64>| {
                let [min, median, p99, max] = [min, median, p99, max].map(three);
                println!("{what:<52} {min:>9} {median:>9} {p99:>9} {max:>9}");
            };
            for step in figures.steps(agent, kind) {
                row(step.moment.says(), step.at_us);
            }
            row("outage", outage);
            for (moment, says) in WAITED_FOR {
                if let Some(spread) = figures.since_opened(agent, kind, moment) {
                    row(says, spread);
                }
            }
            let median = figures::median(figures.of(agent, kind).map(|run| run.client_pause_us));
            println!(
                "the client stood still for {} us at most, in the middle run",
                three(median.unwrap_or(0.0))
            );
        }
    }
}
