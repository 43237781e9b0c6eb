//! How cost and takeover grow: by nodes, by resource groups, by addresses in one group.
//!
//! Real agents in namespaces of one machine. So the cost is that of one agent, while all share the processors; with many
//! nodes the machine carries the traffic of all of them. After the cost the first node falls silent, and the next one takes
//! everything that it had: a client asks for the first address and another for the last one, and it is looked for how long
//! all of them are on the interface.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use xbeat_tests::client::{self, Client};
use xbeat_tests::clock;
use xbeat_tests::files::Files;
use xbeat_tests::host::Host;
use xbeat_tests::lan::{Lan, Network, Wiring};
use xbeat_tests::responder::PORT;
use xbeat_tests::wait::{self, eventually, pause};

use crate::figures::millis;
use crate::file::{self, Header};
use crate::gauge::Gauge;

/// Cost and takeover by nodes, groups and addresses
#[derive(Args)]
pub(crate) struct GrowthArgs {
    /// Numbers of nodes, with one group and one address
    #[arg(long, value_delimiter = ',', default_value = "2,4,8,16")]
    nodes: Vec<usize>,
    /// Numbers of groups with one address each, on two nodes
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,300,1000")]
    groups: Vec<usize>,
    /// Numbers of addresses in one group, on two nodes
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,300,1000")]
    addresses: Vec<usize>,
    /// As in ha.cf
    #[arg(long, default_value = "10ms")]
    keepalive: String,
    /// As in ha.cf
    #[arg(long, default_value = "100ms")]
    deadtime: String,
    /// How long the cost of each is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    seconds: u64,
    /// Also write the figures to FILE, as JSON; it is complete after every row
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The figures in the JSON file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Growth {
    pub(crate) keepalive: String,
    pub(crate) deadtime: String,
    pub(crate) rows: Vec<Row>,
}

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum By {
    Nodes,
    Groups,
    Addresses,
}

/// One size.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) by: By,
    pub(crate) nodes: usize,
    pub(crate) groups: usize,
    /// In all groups together.
    pub(crate) addresses: usize,
    /// `None` if it did not get that far.
    pub(crate) gauge: Option<Gauge>,
    /// From the start of the agents until all is served by the first node and the next one is armed for all of it.
    pub(crate) ready_ms: Option<f64>,
    /// The outage of the first address, as a client sees it, and of the last one.
    pub(crate) first_outage_ms: Option<f64>,
    pub(crate) last_outage_ms: Option<f64>,
    /// From the silence until all addresses were on the next node's interface.
    pub(crate) all_there_ms: Option<f64>,
    /// What went wrong.
    pub(crate) error: Option<String>,
}

/// With a thousand groups, whose words come page by page.
const LIMIT: Duration = Duration::from_secs(180);

/// Beside the network of the nodes, so that there is room for thousands.
const FIRST: u32 = 0x0a40_0001;

/// Runs the measurement.
pub(crate) fn run(arguments: &GrowthArgs) -> Result<()> {
    wait::catch_interrupts()?;
    let header = Header::new("growth");
    let sizes = |by, sizes: &[usize]| sizes.iter().map(move |&size| (by, size)).collect::<Vec<_>>();
    let all = [
        sizes(By::Nodes, &arguments.nodes),
        sizes(By::Groups, &arguments.groups),
        sizes(By::Addresses, &arguments.addresses),
    ];
    let (keepalive, deadtime) = (arguments.keepalive.clone(), arguments.deadtime.clone());
    let mut figures = Growth { keepalive, deadtime, rows: Vec::new() };
    println!("{}", header.machine);
    println!("keepalive {}, deadtime {}", figures.keepalive, figures.deadtime);
    println!("{}", Row::HEAD);
    for (by, size) in all.concat() {
        let mut row = Row::new(by, size);
        eprintln!("measuring {} nodes, {} groups, {} addresses", row.nodes, row.groups, row.addresses);
        if let Err(error) = row.measure(arguments) {
            if wait::interrupted() {
                return Err(error);
            }
            row.error = Some(format!("{error:#}"));
        }
        println!("{}", row.text());
        figures.rows.push(row);
        file::save(arguments.json.as_deref(), &header, &figures)?;
    }
    Ok(())
}

fn address(index: usize) -> Ipv4Addr {
    Ipv4Addr::from(FIRST + u32::try_from(index).unwrap_or(0))
}

impl Row {
    const HEAD: &str = "  nodes  groups  addresses      CPU   resident  frames/s      ready  first outage  last outage  all there";

    fn new(by: By, size: usize) -> Self {
        let (nodes, groups, addresses) = match by {
            By::Nodes => (size, 1, 1),
            By::Groups => (2, size, size),
            By::Addresses => (2, 1, size),
        };
        Self {
            by,
            nodes,
            groups,
            addresses,
            gauge: None,
            ready_ms: None,
            first_outage_ms: None,
            last_outage_ms: None,
            all_there_ms: None,
            error: None,
        }
    }

    fn files(&self, names: &[&str], arguments: &GrowthArgs) -> Files {
        let each = self.addresses / self.groups;
        let group = |group: usize| {
            let addresses = (group * each..(group + 1) * each).map(address);
            let words: String = addresses.map(|address| format!(" IPaddr::{address}/32/eth0")).collect();
            format!("{}{words}\n", names[0])
        };
        let haresources: String = (0..self.groups).map(group).collect();
        Files::cluster(names, &haresources)
            .directive("keepalive", &arguments.keepalive)
            .directive("deadtime", &arguments.deadtime)
            .directive("warntime", &arguments.deadtime)
            // A stall of a machine that carries sixteen nodes is not what is measured.
            .directive("lease", "5s")
    }

    fn measure(&mut self, arguments: &GrowthArgs) -> Result<()> {
        let names: Vec<String> = (1..=self.nodes).map(|number| format!("node{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let lan = Lan::new(&names, Wiring::One)?;
        Lan::route(lan.client(), Network::Eth0, (Ipv4Addr::new(10, 64, 0, 0), 10), None)?;
        let files = self.files(&names, arguments);
        let begun = Instant::now();
        let mut hosts: Vec<Host> =
            (0..self.nodes).map(|index| Host::new(&lan, index, &files)).collect::<Result<_>>()?;
        for host in &mut hosts {
            host.start_responder()?;
            host.start_agent()?;
        }
        self.settle(&hosts).with_context(|| end_of_log(&hosts[0]))?;
        self.ready_ms = Some(begun.elapsed().as_secs_f64() * 1e3);
        self.gauge = Some(Gauge::read(&mut hosts[0], Duration::from_secs(arguments.seconds))?);
        self.takeover(&lan).with_context(|| end_of_log(&hosts[1]))
    }

    /// Waits until the first node serves everything and the second is ready to take it.
    fn settle(&self, hosts: &[Host]) -> Result<()> {
        eventually(LIMIT, "all is served by the first node, and the second is armed", || {
            // The status of many groups is long: no need to ask faster.
            if pause(Duration::from_millis(100)).is_err() {
                return false;
            }
            let is_ready = |(index, host): (usize, &Host)| {
                host.status().is_ok_and(|status| {
                    status.nodes.iter().all(|node| node.status == "active")
                        && status.groups.len() == self.groups
                        && status.groups.iter().all(|group| {
                            group.owner.as_deref() == Some("node1")
                                && group.open == (index == 0)
                                && group.armed == (index == 1)
                                && (index != 0 || group.state == "started")
                        })
                })
            };
            hosts.iter().enumerate().all(is_ready)
        })
    }

    fn takeover(&mut self, lan: &Lan) -> Result<()> {
        let client = |index| Client::start(lan, SocketAddrV4::new(address(index), PORT), client::PERIOD);
        let last = self.addresses - 1;
        let mut clients = vec![client(0)?];
        if last > 0 {
            clients.push(client(last)?);
        }
        for client in &clients {
            client.wait_for(0, LIMIT, |_| {})?;
        }
        pause(Duration::from_millis(500))?;
        let from = clock::now();
        lan.silence(0)?;
        let there = || {
            let addresses = lan.addresses(1, Network::Eth0);
            addresses.is_ok_and(|all| {
                all.iter().filter(|(address, _)| address.octets()[0] == 10).count() == self.addresses
            })
        };
        eventually(LIMIT, "the second node has all addresses", there)?;
        let to = clock::now();
        for client in &clients {
            eventually(LIMIT, "the second node answers", || client.answerer() == Some(1))?;
        }
        pause(Duration::from_millis(200))?;
        let to_see = clock::now();
        let mut outages = Vec::new();
        for client in clients {
            let outage = client.finish()?.outage(from, to_see);
            ensure!(outage.over, "an address is not served any more");
            outages.push(millis(outage.length));
        }
        self.all_there_ms = Some(millis(to - from));
        self.first_outage_ms = outages.first().copied();
        self.last_outage_ms = outages.last().copied();
        Ok(())
    }

    fn text(&self) -> String {
        let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
        let (cpu, resident, frames) = match &self.gauge {
            Some(gauge) => (
                format!("{:.2} %", gauge.cpu_percent),
                format!("{:.1} MiB", gauge.resident_kib as f64 / 1024.0),
                format!("{:.0}", gauge.frames_per_s),
            ),
            None => ("-".into(), "-".into(), "-".into()),
        };
        let Self {
            nodes, groups, addresses, ready_ms, first_outage_ms, last_outage_ms, all_there_ms, ..
        } = self;
        let error = self.error.as_ref().and_then(|error| error.lines().next()).unwrap_or_default();
        let row = format!(
            "{nodes:>7} {groups:>7} {addresses:>10} {cpu:>8} {resident:>10} {frames:>9} {:>10} {:>13} {:>12} {:>10}  {error}",
            ms(*ready_ms),
            ms(*first_outage_ms),
            ms(*last_outage_ms),
            ms(*all_there_ms)
        );
        row.trim_end().to_owned()
    }
}

fn end_of_log(host: &Host) -> String {
    let log = host.log();
    let lines: Vec<&str> = log.lines().collect();
    format!("the end of {}'s log:\n{}", host.name(), lines[lines.len().saturating_sub(12)..].join("\n"))
}
