//! From configuration to tables, sockets and places: everything that is decided before the first turn.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cluster::GroupId;
use reflex::layout::{Key, LAYOUT_VERSION};
use reflex::{Facts, KEYS_MAX, LINKS_MAX, Orders, gate, mac, watch};

use crate::config::{Config, LinkSpec, Method, VipSpec};
use crate::datapath::netlink::{self, Label, Netlink};
use crate::datapath::vips::Entry;
use crate::datapath::xdp::Life;
use crate::links::{Link, Target, ucast};
use crate::resources::{self, Scripts, Spec};
use crate::sys::clock;

/// Keys in the form in which the kernel uses them, by number.
pub(super) fn keys(config: &Config) -> Result<[Key; KEYS_MAX]> {
    use sha1::Digest as _;
    let mut keys = [Key::default(); KEYS_MAX];
    for (&number, key) in &config.keys.keys {
        let long = key.secret.len() > 64;
        let (method, secret) = match key.method {
            Method::Sha1 if long => (mac::SHA1, sha1::Sha1::digest(&key.secret).to_vec()),
            Method::Sha1 => (mac::SHA1, key.secret.clone()),
            Method::Sha256 if long => (mac::SHA256, sha2::Sha256::digest(&key.secret).to_vec()),
            Method::Sha256 => (mac::SHA256, key.secret.clone()),
            Method::Crc | Method::Md5 => continue,
        };
        if let Some(slot) = keys.get_mut(usize::from(number)) {
            *slot = Key::new(method, &secret).map_err(|_| anyhow::anyhow!("key {number} is too long"))?;
        }
    }
    Ok(keys)
}

/// What a valid configuration asks for that this version cannot do, in words for a person: the agent does not start
/// then, and `xbeat check` says so.
#[must_use]
pub fn refusal(config: &Config) -> Option<String> {
    if !config.has_used_link() {
        return Some(
            "ha.cf names no link that this version can use: it would hear nobody and serve beside its peer; \
             add a `ucast INTERFACE PEER` line"
                .to_owned(),
        );
    }
    let current = config.keys.current_key().map(|key| key.method);
    if matches!(current, Some(Method::Md5 | Method::Crc)) {
        return Some(
            "authkeys: the key that `auth` names is md5 or crc, which the kernel does not check; \
             use `sha1 SECRET` or `sha256 SECRET` on all nodes"
                .to_owned(),
        );
    }
    if config.xdp == crate::config::XdpMode::Tc {
        return Some("ha.cf: `xdp tc` is not there yet; use `xdp auto`, `generic` or `off`".to_owned());
    }
    None
}

/// Whether the tables of an earlier agent hold something that is worth going on with: of the same node and
/// configuration, with an open gate. After a crash they do not, unless nobody was there to take over.
pub(super) fn is_worth_adopting(config: &Config, orders: &Orders, facts: &Facts) -> bool {
    orders.own.get() == config.own as u64
        && orders.config.get() == u64::from(config.digest)
        && !open_groups(config, orders, facts).is_empty()
}

/// The groups whose gates are open.
pub(super) fn open_groups(config: &Config, orders: &Orders, facts: &Facts) -> Vec<GroupId> {
    let groups = 0..config.groups.len() as GroupId;
    groups.filter(|&group| gate::is_open(orders, facts, group, clock::now())).collect()
}

/// Fills in the orders. In a new life everything is closed: no lease, no epoch. An adopted one keeps its session, its
/// gates and its sequence numbers, so that the others notice nothing.
pub(super) fn fill_orders(
    orders: &mut Orders,
    config: &Config,
    keys: &[Key; KEYS_MAX],
    addresses: &[Ipv4Addr],
    session: u64,
    life: Life,
) {
    let (keepalive, deadtime) = (nanos(config.keepalive), nanos(config.deadtime));
    orders.keys = *keys;
    orders.key_current.set(u64::from(config.keys.current));
    for (word, address) in orders.addresses.iter().zip(addresses) {
        word.set(u64::from(u32::from_ne_bytes(address.octets())));
    }
    orders.layout.set(LAYOUT_VERSION);
    if life == Life::New {
        orders.session.set(session);
    }
    orders.own.set(config.own as u64);
    orders.groups_len.set(config.groups.len() as u64);
    orders.config.set(u64::from(config.digest));
    orders.keepalive.set(keepalive);
    orders.deadtime.set(deadtime);
    orders.warntime.set(nanos(config.warntime));
    orders.unanswered_min.set(watch::unanswered_min(keepalive, deadtime));
    orders.grace.set((keepalive / 4).clamp(50_000, 50_000_000));
    // Last: with these the programs begin to look.
    orders.port.set(u64::from(config.udpport));
    orders.nodes_len.set(config.nodes.len() as u64);
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The links of the configuration: one per interface, in the order of their first lines.
pub(super) fn links(config: &Config, interfaces: &[netlink::Interface]) -> Result<Vec<Arc<Link>>> {
    let mut peers: Vec<(String, Vec<Ipv4Addr>)> = Vec::new();
    for spec in &config.links {
        let LinkSpec::Ucast { interface, peer } = spec else { continue };
        let own = interfaces.iter().flat_map(|known| &known.addresses).any(|known| known.address == *peer);
        let index = peers.iter().position(|(name, _)| name == interface).unwrap_or_else(|| {
            peers.push((interface.clone(), Vec::new()));
            peers.len() - 1
        });
        // Identical files on all nodes name ourselves too.
        if !own && !peers[index].1.contains(peer) {
            peers[index].1.push(*peer);
        }
    }
    if peers.len() > LINKS_MAX {
        bail!("ha.cf names {} links; at most {LINKS_MAX} are possible", peers.len());
    }
    peers
        .into_iter()
        .zip(0u8..)
        .map(|((name, peers), id)| link(config, interfaces, id, name, &peers))
        .collect()
}

fn link(
    config: &Config,
    interfaces: &[netlink::Interface],
    id: u8,
    name: String,
    peers: &[Ipv4Addr],
) -> Result<Arc<Link>> {
    let Some(interface) = interfaces.iter().find(|interface| interface.name == name) else {
        let known: Vec<&str> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
        bail!("ucast {name}: there is no such interface; there are: {}", known.join(", "));
    };
    let only = (config.nodes.len() == 2).then_some(if config.own == 0 { 1 } else { 0 });
    let targets = peers.iter().map(|&address| Target { address, node: only }).collect();
    let socket = ucast::Socket::open(&name, config.udpport)
        .with_context(|| format!("opening UDP port {} on {name}", config.udpport))?;
    Ok(Arc::new(Link { id, ifindex: interface.index, name, socket, targets: Mutex::new(targets) }))
}

/// Finds a place for every VIP. An address without one is an error: it could never be served.
pub(super) async fn place_vips(config: &Config, netlink: &Netlink) -> Result<Vec<Entry>> {
    let mut specs = Vec::new();
    let mut owners = Vec::new();
    for (group, resources) in (0u32..).zip(&config.groups) {
        let mut leading = true;
        for resource in &resources.resources {
            match resource.vip() {
                Some(vip) => {
                    specs.push(vip_spec(&resource.name, vip));
                    owners.push((group, leading));
                }
                None => leading = false,
            }
        }
    }
    let places = netlink.place(&specs).await?;
    places
        .into_iter()
        .zip(owners)
        .map(|(placed, (group, leading))| {
            Ok(Entry::new(placed.context("haresources: an address has no place")?, group, leading))
        })
        .collect()
}

fn vip_spec(script: &str, vip: &VipSpec) -> netlink::VipSpec {
    let label = match &vip.label {
        Some(label) => Label::Named(label.clone()),
        None if script == "IPaddr2" => Label::Interface,
        None => Label::FirstFree,
    };
    netlink::VipSpec {
        address: vip.address,
        prefix: vip.prefix,
        interface: vip.interface.clone(),
        broadcast: vip.broadcast,
        label,
    }
}

/// The groups as the runner takes them: VIPs by their number over all groups.
pub(super) fn groups(config: &Config) -> Vec<resources::Group> {
    let mut vip = 0;
    config
        .groups
        .iter()
        .map(|group| resources::Group {
            home: config.nodes[group.home].clone(),
            resources: group
                .resources
                .iter()
                .map(|resource| {
                    let spec = Spec { name: resource.name.clone(), args: resource.args.clone() };
                    if resource.vip().is_none() {
                        return resources::Resource::Script(spec);
                    }
                    vip += 1;
                    resources::Resource::Address { vip: vip - 1, spec }
                })
                .collect(),
        })
        .collect()
}

/// How long scripts may take.
pub(super) fn limits(config: &Config) -> resources::Limits {
    resources::Limits { start: config.starttime, stop: config.stoptime, ..resources::Limits::default() }
}

/// Where scripts are, and what they are told.
pub(super) fn scripts(config: &Config, config_dir: &Path, state_dir: &Path) -> Scripts {
    let directives: Vec<(String, String)> = config
        .env
        .iter()
        .map(|(name, value)| (name.strip_prefix("HA_").unwrap_or(name).to_owned(), value.clone()))
        .collect();
    let place = resources::Place {
        config_dir,
        state_dir,
        node: &config.nodes[config.own],
        logfile: config.logfile.as_deref(),
        debugfile: config.debugfile.as_deref(),
        logfacility: config.logfacility.map(|facility| facility.name),
    };
    Scripts {
        resource_d: config_dir.join("resource.d"),
        init_d: "/etc/init.d".into(),
        env: resources::environment(&place, &directives, &[]),
    }
}

/// Interfaces that frames or VIPs are on, and whether a link is.
pub(super) fn interfaces(links: &[Arc<Link>], entries: &[Entry]) -> BTreeMap<u32, (String, bool)> {
    let mut all = BTreeMap::new();
    for entry in entries {
        all.insert(entry.placed.index, (entry.placed.interface.clone(), false));
    }
    for link in links {
        all.insert(link.ifindex, (link.name.clone(), true));
    }
    all
}
