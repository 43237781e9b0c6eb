//! `bench xdp`: what the kernel program costs per packet, by `BPF_PROG_TEST_RUN`, beside a program that only passes;
//! and how long it takes from the kernel's verdict to the first ARP answer through the gate.

mod cost;
mod node;
mod packets;
mod takeover;

use std::path::PathBuf;
use std::thread;

use anyhow::{Result, anyhow};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::figures::Spread;
use crate::file::{self, Header};
pub(crate) use cost::Cost;

/// What the kernel program costs per kind of packet, as time and as a ratio to a bare pass program, and the time from
/// the kernel's verdict to the first ARP answer. Needs root; attaches nothing
#[derive(Args)]
pub(crate) struct XdpArgs {
    /// Rounds; each measures every kind of packet once
    #[arg(long, default_value_t = 41, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Runs per round of what may be repeated on one packet
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Packets per round of what may not
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    packets: u32,
    /// Resource groups of the node
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    groups: u64,
    /// Takeovers to time
    #[arg(long, default_value_t = 200)]
    takeovers: u32,
    /// Write the figures to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The figures in the JSON file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PerPacket {
    pub(crate) groups: u64,
    pub(crate) rounds: u32,
    /// The bare pass program, ns.
    pub(crate) pass_ns: f64,
    pub(crate) cost: Vec<Cost>,
    /// From verdict to answer.
    pub(crate) verdict_to_arp_us: Option<Spread<f64>>,
    /// How often.
    pub(crate) takeovers: u32,
}

pub(crate) fn run(arguments: &XdpArgs) -> Result<()> {
    let header = Header::new("xdp");
    println!("{}", header.machine);
    let cost::Costs { pass_ns, classes } = on_own_thread(|| cost::measure(arguments))?;
    print_costs(pass_ns, &classes);
    let verdict_to_arp_us = match arguments.takeovers {
        0 => None,
        runs => Some(on_own_thread(|| takeover::measure(runs))?),
    };
    if let Some(Spread { min, median, p99, max }) = &verdict_to_arp_us {
        println!(
            "\nkernel verdict to first ARP answer, {} takeovers: min {min:.1} us, median {median:.1} us, p99 {p99:.1} us, \
             max {max:.1} us",
            arguments.takeovers
        );
    }
    let figures = PerPacket {
        groups: arguments.groups,
        rounds: arguments.rounds,
        pass_ns,
        cost: classes,
        verdict_to_arp_us,
        takeovers: arguments.takeovers,
    };
    file::save(arguments.json.as_deref(), &header, &figures)
}

/// Runs `measure` on a thread of its own: it binds it to a processor, or gives it another priority.
fn on_own_thread<T: Send>(measure: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(measure).join()).map_err(|_| anyhow!("a measurement panicked"))?
}

fn print_costs(pass_ns: f64, classes: &[Cost]) {
    println!("\n{:<34} {:>9} {:>10} {:>8}", "packet", "ns", "over pass", "ratio");
    println!("{:<34} {:>9.1} {:>10} {:>8}", "bare pass program", pass_ns, "", "1.0");
    for class in classes {
        println!("{:<34} {:>9.1} {:>+10.1} {:>8.1}", class.name, class.ns, class.over_pass_ns, class.ratio);
    }
    let unrelated = classes.iter().filter(|class| class.unrelated).map(|class| class.over_pass_ns);
    println!(
        "\nunrelated traffic costs at most {:.1} ns more than a bare pass",
        unrelated.fold(0.0, f64::max)
    );
}
