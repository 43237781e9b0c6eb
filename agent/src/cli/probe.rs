//! `xbeat probe`: its options and its exit codes.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Exit, say, tell};
use crate::probe::{self, Mode, Options};

#[derive(Debug, Args)]
pub(super) struct Probe {
    /// The virtual address to measure, or a name that stands for it
    #[arg(value_name = "TARGET")]
    target: String,
    /// Ask by UDP echo at this port instead of ICMP echo
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "arp")]
    udp: Option<u16>,
    /// Ask by ARP instead of ICMP echo: says exactly who answers, and whether two do
    #[arg(long)]
    arp: bool,
    /// Requests per second, such as 1000 or 10k
    #[arg(long, value_name = "RATE", default_value = "1000", value_parser = probe::rate)]
    rate: f64,
    /// Ask by this interface [default: the one of the route]
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// End after this time [default: Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = probe::time)]
    duration: Option<Duration>,
    /// End after so many requests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// A request that is not answered within this time is lost
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = probe::time)]
    wait: Duration,
    /// Exit with 1 if an outage was longer than this, or two answered one request
    #[arg(long, value_name = "TIME", value_parser = probe::time)]
    max_outage: Option<Duration>,
    /// Do without real-time scheduling
    #[arg(long)]
    no_realtime: bool,
    /// Show nothing while it runs
    #[arg(long)]
    quiet: bool,
    /// Print the whole result as JSON
    #[arg(long)]
    json: bool,
}

/// Measures, prints the result, and says by the exit code how it went.
pub(super) fn run(words: Probe) -> ExitCode {
    let mode = match (words.udp, words.arp) {
        (Some(port), _) => Mode::Udp(port),
        (None, true) => Mode::Arp,
        (None, false) => Mode::Icmp,
    };
    let options = Options {
        target: words.target,
        mode,
        rate: words.rate,
        interface: words.interface,
        duration: words.duration,
        count: words.count,
        wait: words.wait,
        max_outage: words.max_outage,
        realtime: !words.no_realtime,
        quiet: words.quiet,
        json: words.json,
    };
    let ended = match probe::run(&options) {
        Ok(ended) => ended,
        Err(error) => {
            tell(&format!("xbeat: {error}\n"));
            return Exit::Usage.into();
        }
    };
    let page = if options.json {
        match serde_json::to_string_pretty(&ended.report) {
            Ok(json) => json + "\n",
            Err(error) => {
                return super::refuse(&format!("the result cannot be written as JSON: {error}")).into();
            }
        }
    } else {
        ended.page
    };
    let said = say(&page);
    if let Some(verdict) = ended.verdict {
        tell(&format!("xbeat: {verdict}\n"));
    }
    if said == Exit::Done { ExitCode::from(ended.report.exit) } else { said.into() }
}
