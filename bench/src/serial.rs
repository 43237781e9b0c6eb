//! The null-modem cable: what a line carries at each baud rate, how fast a death is noticed over it alone, and what a hundred
//! faults of the cable do beside a network that lives.
//!
//! Real agents at both ends of two pseudo terminals, with a thread between them that carries bytes at the baud rate. A death
//! is the owner's agent killed: its kernel fences at once and has no way to say so, so the other side waits for silence.
//! From there to the first ARP answer of the other node, as a witness on the network sees it.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde::Serialize;
use xbeat_tests::cable::Cable;
use xbeat_tests::files::Files;
use xbeat_tests::host::Host;
use xbeat_tests::lan::{Lan, VIP, Wiring};
use xbeat_tests::status::Link;
use xbeat_tests::wait::{eventually, pause};
use xbeat_tests::witness::Witness;

use crate::file::{self, Header};

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(120);
const NODES: [&str; 2] = ["julius", "caesar"];
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Serial lines: rates, detection, faults of the cable
#[derive(Args)]
pub(crate) struct SerialArgs {
    /// Baud rates to measure, with the fastest times that the line allows
    #[arg(long, value_delimiter = ',', default_value = "19200,115200,921600")]
    baud: Vec<u32>,
    /// How long the traffic of each is counted, in seconds
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Deaths for each
    #[arg(long, default_value_t = 5)]
    deaths: usize,
    /// Also the times of how-to 003 at 19200 baud (keepalive 5, deadtime 15), one death
    #[arg(long)]
    howto: bool,
    /// Pull, unplug and disturb a cable so many times beside a network that lives, and measure nothing else
    #[arg(long, value_name = "N")]
    repeat: Option<u32>,
    /// Also write the figures to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    lines: Vec<Figures>,
    faults: Option<Faults>,
}

/// What was measured with one speed.
#[derive(Serialize)]
struct Figures {
    baud: u32,
    keepalive_ms: f64,
    deadtime_ms: f64,
    /// From probe to pong.
    rtt_ms: f64,
    /// Bytes that one side sends in a second, and their share of what the line can carry.
    bytes_per_second: f64,
    share_percent: f64,
    /// From the owner's end to the first ARP answer of the other.
    detection_ms: Vec<f64>,
}

/// What became of the faults.
#[derive(Default, Serialize)]
struct Faults {
    pulled: u32,
    removed: u32,
    disturbed: u32,
    /// Pieces that were no frame.
    garbage: u64,
    /// Longest time until both sides heard each other again, as the status tells.
    resync_max_ms: f64,
}

/// Runs the measurement.
pub(crate) fn run(arguments: &SerialArgs) -> Result<()> {
    let header = Header::new("serial");
    let mut report = Report { lines: Vec::new(), faults: None };
    if let Some(times) = arguments.repeat {
        report.faults = Some(faults(times)?);
    } else {
        let second = Duration::from_secs(arguments.seconds);
        for &baud in &arguments.baud {
            eprintln!("{baud} baud: {} s of traffic, then {} deaths", arguments.seconds, arguments.deaths);
            report.lines.push(measure(baud, Files::fast, second, arguments.deaths)?);
        }
        if arguments.howto {
            eprintln!("the times of how-to 003: 30 s of traffic, then one death");
            report.lines.push(measure(19_200, |files| files, Duration::from_secs(30), 1)?);
        }
    }
    print(&report);
    file::save(arguments.json.as_deref(), &header, &report)
}

/// Two routers, a cable, and a witness on the network.
struct Routers {
    cable: Cable,
    hosts: [Host; 2],
    lan: Lan,
}

impl Routers {
    fn new(baud: u32, files: impl Fn(Files) -> Files) -> Result<Self> {
        let cable = Cable::new(baud)?;
        let of = |end| files(Files::howto_003(&cable.device(end)).directive("baud", &baud.to_string()));
        let lan = Lan::new(&NODES, Wiring::One)?;
        let mut hosts = [Host::new(&lan, 0, &of(0))?, Host::new(&lan, 1, &of(1))?];
        for host in &mut hosts {
            host.start_agent()?;
        }
        let routers = Self { cable, hosts, lan };
        routers.are_active()?;
        Ok(routers)
    }

    fn are_active(&self) -> Result<()> {
        eventually(LIMIT, "both agents are active", || {
            self.hosts.iter().all(|host| {
                host.status().is_ok_and(|status| {
                    status.nodes.iter().all(|node| node.status == "active")
                        && status.groups.iter().all(|group| group.owner.is_some() && group.heir.is_some())
                })
            })
        })
    }

    fn link(&self, end: usize) -> Result<Link> {
        let status = self.hosts[end].status()?;
        let device = self.cable.device(end);
        status.link(&device.display().to_string()).cloned().context("the status shows no line")
    }

    /// How long it takes until both ends are heard, or are not.
    fn heard(&self, up: bool) -> Result<Duration> {
        let begun = Instant::now();
        eventually(LIMIT, "the cable is as it should be", || {
            (0..2).all(|end| self.link(end).is_ok_and(|link| link.peers.iter().all(|peer| peer.up == up)))
        })?;
        Ok(begun.elapsed())
    }
}

fn measure(baud: u32, files: impl Fn(Files) -> Files, traffic: Duration, deaths: usize) -> Result<Figures> {
    let mut routers = Routers::new(baud, files)?;
    let before = routers.link(0)?.line.context("no line")?.bytes_out;
    let begun = Instant::now();
    thread::sleep(traffic);
    let link = routers.link(0)?;
    let line = link.line.clone().context("no line")?;
    let bytes = (line.bytes_out - before) as f64 / begun.elapsed().as_secs_f64();
    let rtt = link.peers.first().and_then(|peer| peer.rtt_us).context("no round trip")?;
    let witness = Witness::start(&routers.lan, VIP, LOOK_EVERY)?;
    let mut detection_ms = Vec::new();
    for _ in 0..deaths {
        let owner = usize::from(!routers.hosts[0].status()?.groups.iter().all(|group| group.open));
        let heir = 1 - owner;
        let heirs = [routers.lan.mac(heir, xbeat_tests::lan::Network::Eth0)];
        pause(Duration::from_millis(300))?;
        // Before: it is not back from there until the process is gone for good.
        let killed = Instant::now();
        routers.hosts[owner].kill_agent()?;
        while witness.answers() != heirs {
            ensure!(killed.elapsed() < LIMIT, "{} does not take over", NODES[heir]);
            pause(LOOK_EVERY)?;
        }
        detection_ms.push(killed.elapsed().as_secs_f64() * 1e3);
        routers.hosts[owner].start_agent()?;
        routers.are_active()?;
    }
    drop(witness);
    Ok(Figures {
        baud,
        keepalive_ms: line.keepalive_us as f64 / 1e3,
        deadtime_ms: link.deadtime_us as f64 / 1e3,
        rtt_ms: rtt as f64 / 1e3,
        bytes_per_second: bytes,
        share_percent: bytes * 1e3 / f64::from(baud),
        detection_ms,
    })
}

/// `times` pulls, removals and disturbances each, beside a network that lives.
fn faults(times: u32) -> Result<Faults> {
    // The line may stand still with the machine; the network has how-to 001's deadtime.
    let files = |files: Files| {
        let files = files.brisk().directive("deadtime", "2s").directive("warntime", "1s");
        let files = files.line("ucast eth0 192.0.2.11").line("ucast eth0 192.0.2.12");
        let device = files.ha_cf.lines().find_map(|line| line.strip_prefix("serial")).map(str::trim);
        let linkdead = format!("linkdead {} 500ms", device.unwrap_or_default());
        files.line(&linkdead)
    };
    let routers = Routers::new(115_200, files)?;
    routers.heard(true)?;
    let owner = routers.hosts[0].status()?.groups[0].epoch;
    let mut faults = Faults::default();
    for round in 0..times {
        let end = round as usize % 2;
        routers.cable.pull();
        routers.heard(false)?;
        routers.cable.plug();
        let after_pull = routers.heard(true)?;
        faults.pulled += 1;

        routers.cable.remove(end)?;
        routers.heard(false)?;
        routers.cable.restore(end)?;
        let after_removal = routers.heard(true)?;
        faults.removed += 1;

        let before = routers.link(end)?.line.context("no line")?;
        let noise: Vec<u8> =
            (0..5_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> (8 + round % 16)) as u8).collect();
        routers.cable.noise(end, &noise);
        eventually(LIMIT, "frames after the noise", || {
            let line = routers.link(end).ok().and_then(|link| link.line);
            line.is_some_and(|line| line.garbage > before.garbage && line.frames_in > before.frames_in + 3)
        })?;
        faults.disturbed += 1;
        let resync = after_pull.max(after_removal).as_secs_f64() * 1e3;
        faults.resync_max_ms = faults.resync_max_ms.max(resync);
        for host in &routers.hosts {
            if host.log().contains("is dead") {
                bail!("{} declared somebody dead in round {round}:\n{}", host.name(), host.log());
            }
        }
        eprint!("\r{} of {times} rounds", round + 1);
    }
    eprintln!();
    for end in 0..2 {
        faults.garbage += routers.link(end)?.line.context("no line")?.garbage;
    }
    let now = routers.hosts[0].status()?.groups[0].epoch;
    ensure!(now == owner, "the group moved: epoch {owner} became {now}");
    Ok(faults)
}

fn print(report: &Report) {
    if !report.lines.is_empty() {
        println!(
            "{:>8} {:>12} {:>12} {:>10} {:>10} {:>8}  detection, ms",
            "baud", "keepalive", "deadtime", "rtt", "bytes/s", "of line"
        );
    }
    for line in &report.lines {
        let detection: Vec<String> = line.detection_ms.iter().map(|ms| format!("{ms:.0}")).collect();
        println!(
            "{:>8} {:>9.1} ms {:>9.1} ms {:>7.1} ms {:>10.0} {:>6.1} %  {}",
            line.baud,
            line.keepalive_ms,
            line.deadtime_ms,
            line.rtt_ms,
            line.bytes_per_second,
            line.share_percent,
            detection.join(", ")
        );
    }
    if let Some(faults) = &report.faults {
        println!(
            "pulled {}, device removed {}, disturbed {}: nobody was declared dead, the group did not move; {} pieces were no \
             frame; heard again after {:.0} ms at most",
            faults.pulled, faults.removed, faults.disturbed, faults.garbage, faults.resync_max_ms
        );
    }
}
