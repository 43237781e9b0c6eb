//! From the lines of ha.cf to open links and their times.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, bail};
use reflex::word::Word;
use reflex::{Facts, LINKS_MAX, Orders, watch};

use super::paths::{aim, broadcast};
use super::setup::nanos;
use crate::config::{Config, LinkSpec, Method};
use crate::datapath::netlink::Interface;
use crate::links::plan::{Plan, plan};
use crate::links::udp::{Group, Reach, Settings, Socket};
use crate::links::{Findings, Kind, Link, Transport, serial};
use crate::sys::Table;

/// Bytes of an HMAC-SHA1; the rest of its room in the frame is zero.
const SHA1_LEN: usize = 20;

/// The links of the configuration, opened.
pub(super) fn open(config: &Config, interfaces: &[Interface]) -> Result<Vec<Arc<Link>>> {
    let plans = plan(config.links.iter());
    if plans.len() > LINKS_MAX {
        bail!("ha.cf names {} links; at most {LINKS_MAX} are possible", plans.len());
    }
    (0u8..).zip(plans).map(|(id, plan)| link(config, interfaces, id, plan).map(Arc::new)).collect()
}

fn link(config: &Config, interfaces: &[Interface], id: u8, plan: Plan<'_>) -> Result<Link> {
    let (kind, name) = (Kind::of(plan.spec), plan.spec.name().to_owned());
    let (ifindex, transport) = match *plan.spec {
        LinkSpec::Serial { ref device, baud } => {
            let pace = serial_pace(config, baud);
            let line = serial::Line::new(device.clone(), baud, pace, config.keepalive)
                .with_context(|| format!("{kind} {name}"))?;
            (None, Transport::Serial(Arc::new(line)))
        }
        LinkSpec::Ucast { .. } => network(interfaces, &name, kind, Reach::Ipv4, config.udpport)?,
        LinkSpec::Ucast6 { .. } => network(interfaces, &name, kind, Reach::Ipv6, config.udpport)?,
        LinkSpec::Bcast { .. } => {
            let Some(address) = broadcast(find(interfaces, kind, &name)?, &[]) else {
                bail!("bcast {name}: the interface has no IPv4 address with a broadcast address");
            };
            network(interfaces, &name, kind, Reach::Broadcast(Some(address)), config.udpport)?
        }
        LinkSpec::Mcast { group, port, ttl, loopback, .. } => {
            let group = Group { address: group.into(), hops: ttl, loopback };
            network(interfaces, &name, kind, Reach::Group(group), port)?
        }
        LinkSpec::Mcast6 { group, port, hops, loopback, .. } => {
            let group = Group { address: group.into(), hops, loopback };
            network(interfaces, &name, kind, Reach::Group(group), port)?
        }
    };
    let (peers, targets, troubles) = (plan.peers, Mutex::default(), Mutex::default());
    let link = Link { id, kind, name, ifindex, transport, peers, targets, troubles };
    aim(config, &link, interfaces);
    Ok(link)
}

/// A socket on the interface of that name.
fn network(
    interfaces: &[Interface],
    name: &str,
    kind: Kind,
    reach: Reach,
    port: u16,
) -> Result<(Option<u32>, Transport)> {
    let interface = find(interfaces, kind, name)?;
    let settings = Settings { interface: name, ifindex: interface.index, port, reach };
    let socket =
        Socket::open(&settings).with_context(|| format!("{kind} {name}: opening UDP port {port}"))?;
    Ok((Some(interface.index), Transport::Udp(socket)))
}

/// What a line of this speed carries with this configuration's frames.
pub(super) fn serial_pace(config: &Config, baud: u32) -> serial::Pace {
    let mac = match config.keys.current_key().map(|key| key.method) {
        Some(Method::Sha256) => reflex::mac::MAC_LEN,
        _ => SHA1_LEN,
    };
    serial::Pace::new(baud, serial::framing::encoded_bound(config.groups.len(), mac))
}

/// When a word of the orders takes a new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Now.
    Now,
    /// Only if that makes a verdict later: the rest follows when all times have changed that belong together.
    IfPatient,
}

/// Fills in the times of links that have their own: lines, and those with a `linkdead`.
pub(super) fn fill_times(orders: &Orders, config: &Config, change: Change) {
    let fill = |word: &Word, value: u64| match change {
        Change::Now => word.set(value),
        Change::IfPatient => word.set(value.max(word.get())),
    };
    let plans = plan(config.links.iter());
    for (id, times) in orders.links.iter().enumerate() {
        let spec = plans.get(id).map(|plan| plan.spec);
        let linkdead =
            spec.and_then(|spec| config.linkdead.iter().find(|linkdead| linkdead.link == spec.name()));
        let linkdead = linkdead.map(|linkdead| linkdead.time);
        let line = match spec {
            Some(LinkSpec::Serial { baud, .. }) => Some(serial_pace(config, *baud)),
            _ => None,
        };
        let keepalive = line.map_or(config.keepalive, |pace| pace.keepalive(config.keepalive));
        let deadtime = linkdead
            .or_else(|| line.map(|pace| pace.deadtime(config.deadtime, config.keepalive, config.lease)));
        // 0: as for all links.
        let unanswered =
            deadtime.map_or(0, |deadtime| watch::unanswered_min(nanos(keepalive), nanos(deadtime)));
        fill(&times.deadtime, deadtime.map_or(0, nanos));
        fill(&times.unanswered_min, unanswered);
        fill(&times.warntime, line.map_or(0, |_| nanos(config.warntime.max(keepalive * 2))));
        fill(&times.grace, line.map_or(0, |pace| nanos(pace.grace())));
    }
}

/// Starts the threads of the lines among `links`.
pub(super) fn start_lines(
    links: &[Arc<Link>],
    orders: &Arc<Table<Orders>>,
    facts: &Arc<Table<Facts>>,
    findings: &Findings,
    realtime: bool,
) -> Result<Vec<serial::Running>> {
    let lines = links.iter().filter_map(|link| link.line().map(|line| (link.id, Arc::clone(line))));
    let start = |(id, line)| {
        let (orders, facts) = (Arc::clone(orders), Arc::clone(facts));
        serial::Running::start(line, id, orders, facts, findings.clone(), realtime)
    };
    lines.map(start).collect::<std::io::Result<_>>().context("starting the thread of a serial line")
}

fn find<'a>(interfaces: &'a [Interface], kind: Kind, name: &str) -> Result<&'a Interface> {
    if let Some(interface) = interfaces.iter().find(|interface| interface.name == name) {
        return Ok(interface);
    }
    let known: Vec<&str> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
    bail!("{kind} {name}: there is no such interface; there are: {}", known.join(", "));
}
