//! A failover as the user of a telephone hears it.
//!
//! The pair is a pair of routers: the virtual address is the gateway of the client's network, and another one that of a
//! network behind it. A G.711 call (172 bytes each 20 ms) and a stream of 1,000 packets a second go to the virtual address
//! and, at the same time, through it to a host behind; each packet comes back, so it is lost if it is lost on either way.
//!
//! ```text
//!   client 192.0.2.50 ---- 192.0.2.100 [pair] 198.51.100.100 ---- 198.51.100.60 far
//! ```
//!
//! The systems take turns, fault by fault, on networks of their own.

mod emodel;
mod stream;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use xbeat_tests::client::Client;
use xbeat_tests::lan::{Lan, Network, VIP, Wiring};
use xbeat_tests::peers::System;
use xbeat_tests::peers::keepalived::Keepalived;
use xbeat_tests::peers::pair::Pair;
use xbeat_tests::peers::xbeat::Xbeat;
use xbeat_tests::responder::{PORT, Responder};
use xbeat_tests::stage::NODES;
use xbeat_tests::wait::{self, pause};
use xbeat_tests::{clock, host};

use crate::compare::case::{Fault, START_LIMIT};
use crate::compare::{Absent, Described, sort_out};
use crate::figures;
use crate::file::{self, Header};
pub(crate) use stream::{Rate, Way, Window};

/// A call through a failover: packets lost, gaps, how it sounds
#[derive(Args)]
pub(crate) struct VoipArgs {
    /// How often each fault is played on each system
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// These systems only: xbeat, xbeat-250us, keepalived, keepalived-1s (may be given several times)
    #[arg(long, value_name = "SYSTEM")]
    only: Vec<String>,
    /// What happens to the node that has the address; `return` and `freeze` are not played
    #[arg(long, value_enum, value_name = "FAULT", value_delimiter = ',', default_values_t = [Fault::Silent, Fault::Kill, Fault::HandOver])]
    faults: Vec<Fault>,
    /// How much of a call is rated, before the fault and from it on
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(5..))]
    seconds: u64,
    /// Also write the results to FILE, as JSON; it is complete after every call
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The figures in the JSON file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Voip {
    pub(crate) repeat: u32,
    pub(crate) seconds: u64,
    pub(crate) systems: Vec<Described>,
    pub(crate) skipped: Vec<Absent>,
    pub(crate) calls: Vec<Call>,
}

/// One fault, and the streams that went on meanwhile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) system: String,
    pub(crate) fault: Fault,
    pub(crate) repetition: u32,
    pub(crate) streams: Vec<Stream>,
    /// Why it was not played to the end.
    pub(crate) error: Option<String>,
}

/// One stream: the seconds before the fault, and those from it on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub(crate) way: Way,
    pub(crate) rate: Rate,
    pub(crate) before: Window,
    pub(crate) after: Window,
}

/// Gateway of the network behind the pair, and the host there.
const BEHIND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 100);
const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 60);
/// RTP header and 20 ms of G.711.
const LENGTH: usize = 172;

const STREAMS: [(Way, Rate); 4] = [
    (Way::To, Rate::Call),
    (Way::To, Rate::Thousand),
    (Way::Through, Rate::Call),
    (Way::Through, Rate::Thousand),
];

/// Runs the measurement.
pub(crate) fn run(arguments: &VoipArgs) -> Result<()> {
    wait::catch_interrupts()?;
    for fault in &arguments.faults {
        ensure!(!matches!(fault, Fault::Return | Fault::Freeze), "{} is not played here", fault.name());
    }
    let header = Header::new("voip");
    let (systems, skipped) = sort_out(routers()?, &arguments.only)?;
    let mut figures = Voip {
        repeat: arguments.repeat,
        seconds: arguments.seconds,
        systems: systems.iter().map(|system| Described::new(system.as_ref())).collect(),
        skipped: skipped.iter().map(Absent::new).collect(),
        calls: Vec::new(),
    };
    let all = arguments.repeat as usize * arguments.faults.len() * systems.len();
    for repetition in 0..arguments.repeat {
        for &fault in &arguments.faults {
            for system in &systems {
                let number = figures.calls.len() + 1;
                eprint!("{number:>4} of {all}  {:<10} {:<14}", fault.name(), system.name());
                let played = call(system.as_ref(), fault, Duration::from_secs(arguments.seconds));
                if wait::interrupted() {
                    eprintln!();
                    print!("{}", figures.text());
                    return played.map(drop);
                }
                let error = played.as_ref().err().map(|error| format!("{error:#}"));
                let streams = played.unwrap_or_default();
                let call = Call { system: system.name().to_owned(), fault, repetition, streams, error };
                eprintln!("{}", call.says());
                figures.calls.push(call);
                file::save(arguments.json.as_deref(), &header, &figures)?;
            }
        }
    }
    println!("{}", header.machine);
    print!("{}", figures.text());
    Ok(())
}

/// All that can be played: routers with an address on either side.
fn routers() -> Result<Vec<Box<dyn System>>> {
    let binary = host::binary()?;
    let xbeat = |name, keepalive, deadtime| {
        Box::new(Xbeat::new(name, &binary, keepalive, deadtime).also(&["198.51.100.100/24/eth1"]))
    };
    let keepalived = |system: Keepalived| Box::new(system.also(&["198.51.100.100/24 dev eth1"]));
    Ok(vec![
        xbeat("xbeat", "1ms", "3ms"),
        xbeat("xbeat-250us", "250us", "1ms"),
        keepalived(Keepalived::tuned()),
        keepalived(Keepalived::one_second()),
    ])
}

/// Plays one fault under the streams.
fn call(system: &dyn System, fault: Fault, time: Duration) -> Result<Vec<Stream>> {
    let lan = Lan::new(&NODES, Wiring::Two).context("building the network")?;
    let far = lan.station("far", Network::Eth1, 60)?;
    Lan::route(&far, Network::Eth1, (Ipv4Addr::new(192, 0, 2, 0), 24), Some(BEHIND))?;
    Lan::route(lan.client(), Network::Eth0, (Ipv4Addr::new(198, 51, 100, 0), 24), Some(VIP))?;
    (0..NODES.len()).try_for_each(|node| lan.forwards(node))?;
    let _host = Responder::start(&far, "far")?;
    let mut pair = Pair::on(lan, system)?;
    pair.start_all(START_LIMIT).with_context(|| pair.logs())?;
    let streams: Vec<Client> =
        STREAMS.iter().map(|&stream| start(&pair.lan, stream)).collect::<Result<_>>()?;
    for (stream, (way, _)) in streams.iter().zip(STREAMS) {
        wait::eventually(START_LIMIT, &format!("a stream is answered, {way:?} the pair"), || {
            stream.answerer().is_some()
        })
        .with_context(|| pair.logs())?;
    }
    // One second more: the first packets waited for ARP.
    pause(time + Duration::from_secs(1))?;
    let at = clock::now();
    match fault {
        Fault::Silent => pair.power_off(0)?,
        Fault::Carrier => pair.lan.pull(0, Network::Eth0)?,
        Fault::Kill => pair.node(0).kill()?,
        Fault::HandOver => pair.node(0).hand_over()?,
        Fault::Freeze | Fault::Return => unreachable!("refused before"),
    }
    let span = u64::try_from(time.as_nanos())?;
    pause(Duration::from_nanos((at + span).saturating_sub(clock::now())))?;
    let mut ended = Vec::new();
    for (stream, (way, rate)) in streams.into_iter().zip(STREAMS) {
        let requests = stream.finish()?.requests;
        let before = Window::of(&requests, at - span, at);
        ended.push(Stream { way, rate, before, after: Window::of(&requests, at, at + span) });
    }
    pair.finish()?;
    Ok(ended)
}

fn start(lan: &Lan, (way, rate): (Way, Rate)) -> Result<Client> {
    let (target, names) = match way {
        Way::To => (VIP, NODES.map(str::to_owned).to_vec()),
        Way::Through => (FAR, vec!["far".to_owned()]),
    };
    let period = Duration::from_micros(rate.period_us());
    Client::start_in(lan.client(), names, SocketAddrV4::new(target, PORT), period, LENGTH)
}

impl Way {
    pub(crate) const fn says(self) -> &'static str {
        match self {
            Self::To => "to the pair",
            Self::Through => "through the pair",
        }
    }
}

impl Rate {
    pub(crate) const fn says(self) -> &'static str {
        match self {
            Self::Call => "call, 50/s",
            Self::Thousand => "1,000/s",
        }
    }
}

impl Call {
    fn says(&self) -> String {
        if let Some(error) = &self.error {
            return format!("failed: {}", error.lines().next().unwrap_or_default());
        }
        let lost = |stream: &Stream| format!("{} of {}", stream.after.lost, stream.after.sent);
        format!("lost {}", self.streams.iter().map(lost).collect::<Vec<_>>().join(", "))
    }
}

/// All calls of one system with one fault, by stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summary {
    pub(crate) system: String,
    pub(crate) fault: Fault,
    pub(crate) way: Way,
    pub(crate) rate: Rate,
    pub(crate) calls: usize,
    /// Median and most.
    pub(crate) lost: [usize; 2],
    pub(crate) gap_us: [u64; 2],
    /// Median before the fault; median and least from it on.
    pub(crate) mos_before: f64,
    pub(crate) mos: [f64; 2],
}

impl Voip {
    /// By fault, stream and system.
    pub(crate) fn summaries(&self) -> Vec<Summary> {
        let mut faults: Vec<Fault> = self.calls.iter().map(|call| call.fault).collect();
        faults.sort_unstable();
        faults.dedup();
        let mut all = Vec::new();
        for fault in faults {
            for (way, rate) in STREAMS {
                for system in &self.systems {
                    let calls =
                        self.calls.iter().filter(|call| call.system == system.name && call.fault == fault);
                    let streams = calls.flat_map(|call| &call.streams);
                    let streams: Vec<&Stream> =
                        streams.filter(|stream| (stream.way, stream.rate) == (way, rate)).collect();
                    all.extend(Summary::of(&system.name, fault, (way, rate), &streams));
                }
            }
        }
        all
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{:<10} {:<17} {:<11} {:<14} {:>5} {:>11} {:>19} {:>11} {:>18}\n",
            "fault",
            "stream",
            "",
            "system",
            "calls",
            "lost (most)",
            "longest gap ms",
            "MOS before",
            "after (least)"
        );
        for Summary { system, fault, way, rate, calls, lost, gap_us, mos_before, mos } in self.summaries() {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{:<10} {:<17} {:<11} {system:<14} {calls:>5} {:>11} {:>19} {mos_before:>11.2} {:>18}",
                fault.name(),
                way.says(),
                rate.says(),
                format!("{} ({})", lost[0], lost[1]),
                format!("{} ({})", figures::ms(gap_us[0]), figures::ms(gap_us[1])),
                format!("{:.2} ({:.2})", mos[0], mos[1]),
            );
        }
        let failed = self.calls.iter().filter(|call| call.error.is_some()).count();
        if failed > 0 {
            let _ = writeln!(text, "{failed} calls could not be played");
        }
        text
    }
}

impl Summary {
    fn of(system: &str, fault: Fault, (way, rate): (Way, Rate), streams: &[&Stream]) -> Option<Self> {
        let lost = figures::sorted(streams.iter().map(|stream| stream.after.lost));
        let gaps = figures::sorted(streams.iter().map(|stream| stream.after.longest_gap_us));
        let mos = figures::sorted(streams.iter().map(|stream| stream.after.rating.mos));
        Some(Self {
            system: system.to_owned(),
            fault,
            way,
            rate,
            calls: streams.len(),
            lost: [figures::rank(&lost, 50)?, *lost.last()?],
            gap_us: [figures::rank(&gaps, 50)?, *gaps.last()?],
            mos_before: figures::median(streams.iter().map(|stream| stream.before.rating.mos))?,
            mos: [figures::rank(&mos, 50)?, *mos.first()?],
        })
    }
}
