//! From configuration to tables, sockets and places: everything that is decided before the first turn.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use reflex::layout::{Key, LAYOUT_VERSION};
use reflex::{KEYS_MAX, Orders, mac, watch};

use super::runner::Rules;
use super::{RunOptions, links};
use crate::config::{Config, Method, ResourceGroup, VipSpec};
use crate::datapath::Mode;
use crate::datapath::interfaces::{EgressGate, Interface};
use crate::datapath::netlink::{self, Label, Netlink};
use crate::datapath::vips::{Entry, Entry6, Vips};
use crate::datapath::xdp::Life;
use crate::links::Link;
use crate::resources::{self, Fencing, Mailer, Pseudo, Scripts, Spec, builtin};
use crate::voices::doubt::Ground;
use crate::voices::neighbours::Own;

/// Keys in the form in which the kernel uses them, by number.
pub(super) fn keys(config: &Config) -> Result<[Key; KEYS_MAX]> {
    use sha1::Digest as _;
    let mut keys = std::array::from_fn(|_| Key::default());
    for (&number, key) in &config.keys.keys {
        let long = key.secret.len() > 64;
        let (method, secret) = match key.method {
            Method::Sha1 if long => (mac::SHA1, sha1::Sha1::digest(&key.secret).to_vec()),
            Method::Sha1 => (mac::SHA1, key.secret.clone()),
            Method::Sha256 if long => (mac::SHA256, sha2::Sha256::digest(&key.secret).to_vec()),
            Method::Sha256 => (mac::SHA256, key.secret.clone()),
            Method::Md5 if long => (mac::MD5, md5::Md5::digest(&key.secret).to_vec()),
            Method::Md5 => (mac::MD5, key.secret.clone()),
            // A checksum finds what was damaged, and so does this. It has no secret: whoever knows the program can sign.
            Method::Crc => (mac::SHA1, Vec::new()),
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
    if config.xdp == crate::config::XdpMode::Tc {
        return Some("ha.cf: `xdp tc` is not there yet; use `xdp auto`, `generic` or `off`".to_owned());
    }
    None
}

/// Fills in the orders. In a new life everything is closed: no lease, no epoch. An adopted one keeps its session, its
/// gates and its sequence numbers, so that the others notice nothing.
pub(super) fn fill_orders(
    orders: &mut Orders,
    config: &Config,
    keys: &[Key; KEYS_MAX],
    session: u64,
    life: Life,
) {
    orders.set_keys(keys, config.keys.current);
    orders.layout.set(LAYOUT_VERSION);
    if life == Life::New {
        orders.session.set(session);
    }
    orders.own.set(config.own as u64);
    orders.groups_len.set(config.groups.len() as u64);
    orders.config.set(u64::from(config.digest));
    Times::of(config).order(orders);
    links::fill_times(orders, config, links::Change::Now);
    orders.nodes_len.set(config.nodes.len() as u64);
}

/// The times that the reflex goes by, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    keepalive: u64,
    deadtime: u64,
    warntime: u64,
    unanswered_min: u64,
    grace: u64,
}

impl Times {
    pub(super) fn of(config: &Config) -> Self {
        let (keepalive, deadtime) = (nanos(config.keepalive), nanos(config.deadtime));
        Self {
            keepalive,
            deadtime,
            warntime: nanos(config.warntime),
            unanswered_min: watch::unanswered_min(keepalive, deadtime),
            grace: (keepalive / 4).clamp(50_000, 50_000_000),
        }
    }

    /// Of both, what makes a verdict later: nobody is found dead by these whom either would let live.
    pub(super) fn patient(self, other: Self) -> Self {
        Self {
            keepalive: self.keepalive.max(other.keepalive),
            deadtime: self.deadtime.max(other.deadtime),
            warntime: self.warntime.max(other.warntime),
            unanswered_min: self.unanswered_min.max(other.unanswered_min),
            grace: self.grace.max(other.grace),
        }
    }

    pub(super) fn order(self, orders: &Orders) {
        orders.keepalive.set(self.keepalive);
        orders.deadtime.set(self.deadtime);
        orders.warntime.set(self.warntime);
        orders.unanswered_min.set(self.unanswered_min);
        orders.grace.set(self.grace);
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
                None => leading &= resource.is_address(),
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

/// The same for IPv6.
pub(super) async fn place_vips6(config: &Config, netlink: &Netlink) -> Result<Vec<Entry6>> {
    let mut entries = Vec::new();
    for (group, resources) in (0u32..).zip(&config.groups) {
        let mut leading = true;
        for resource in &resources.resources {
            leading &= resource.is_address();
            let Some(vip) = resource.vip6() else { continue };
            let placed = netlink.place6(vip).await?;
            let placed = placed.map_err(|why| anyhow::anyhow!("haresources: {why}"))?;
            entries.push(Entry6::new(placed, group, leading));
        }
    }
    Ok(entries)
}

/// All virtual addresses, of both families.
pub(super) fn virtual_addresses(entries: &[Entry], six: &[Entry6]) -> Vec<IpAddr> {
    let v4 = entries.iter().map(|entry| IpAddr::V4(entry.placed.address));
    v4.chain(six.iter().map(|entry| IpAddr::V6(entry.placed.address))).collect()
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
    // Those of IPv6 are counted behind all others.
    let mut vip6 =
        config.groups.iter().flat_map(|group| &group.resources).filter(|r| r.vip().is_some()).count();
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
                    if resource.vip6().is_some() {
                        vip6 += 1;
                        return resources::Resource::Address { vip: vip6 - 1, spec };
                    }
                    if resource.vip().is_none() {
                        return resources::Resource::Script(spec);
                    }
                    vip += 1;
                    resources::Resource::Address { vip: vip - 1, spec }
                })
                .collect(),
            monitors: monitors(config, group),
        })
        .collect()
}

/// How many addresses a group begins with that the kernel may serve as soon as its gate opens.
pub(super) fn leading(group: &resources::Group, vips: &Vips) -> usize {
    let is_leading = |resource: &&resources::Resource| match resource {
        resources::Resource::Address { vip, .. } => vips.is_leading(*vip),
        resources::Resource::Script(_) => false,
    };
    group.resources.iter().take_while(is_leading).count()
}

/// By group: whether its leading addresses may be up while its gate is shut, because kernel gates guard them in both
/// directions.
pub(super) fn hands_over(
    config: &Config,
    vips: &Vips,
    interfaces: &[Interface],
    egress: &[EgressGate],
) -> Vec<bool> {
    let is_guarded = |index: u32, name: &str| {
        let ingress = interfaces.iter().find(|interface| interface.index == index);
        let egress = egress.iter().find(|gate| gate.interface == name);
        ingress.is_some_and(|interface| interface.mode != Mode::None)
            && egress.is_some_and(|gate| gate.how.is_some())
    };
    let mut guarded = vec![None; config.groups.len()];
    vips.each(|entry| {
        if entry.leading {
            let all = guarded[entry.group as usize].get_or_insert(true);
            *all &= is_guarded(entry.placed.index, &entry.placed.interface);
        }
    });
    vips.each6(|entry| {
        if entry.leading {
            let all = guarded[entry.group as usize].get_or_insert(true);
            *all &= is_guarded(entry.placed.index, &entry.placed.interface);
        }
    });
    guarded.into_iter().map(|all| all == Some(true)).collect()
}

/// How often which resource of a group is looked after: the last line that names it counts. Addresses are looked after
/// anyway.
fn monitors(config: &Config, group: &ResourceGroup) -> BTreeMap<usize, Duration> {
    let scripts = group.resources.iter().enumerate().filter(|(_, resource)| !resource.is_address());
    scripts
        .filter_map(|(index, resource)| {
            let named = |name: &str| name == "*" || name == resource.word() || name == resource.name;
            let line = config.monitors.iter().rfind(|(name, _)| named(name))?;
            Some((index, line.1))
        })
        .collect()
}

/// What sends mails; nothing if nobody asks for it, or if there is no thread for it.
fn mailer(config: &Config) -> Option<Mailer> {
    let mut resources = config.groups.iter().flat_map(|group| &group.resources);
    if !resources.any(|resource| resource.name == "MailTo") {
        return None;
    }
    let from = config.mailfrom.clone().unwrap_or_else(|| format!("root@{}", config.nodes[config.own]));
    let started = Mailer::start(config.mailer.clone(), from);
    started.inspect_err(|error| tracing::error!("no mails: {error}")).ok()
}

/// Says what an operator may stumble over: scripts that are not run because the resource is built in, and built-in ones
/// that will not start because nobody can understand them.
pub(super) fn tell_of_built_in(config: &Config, scripts: &Scripts) {
    let resources = config.groups.iter().flat_map(|group| &group.resources);
    let mut named: Vec<&str> = resources.clone().map(|resource| resource.name.as_str()).collect();
    named.sort_unstable();
    named.dedup();
    for name in named.into_iter().filter(|name| builtin::ALWAYS.contains(name)) {
        let script = scripts.resource_d.join(name);
        if script.exists() {
            tracing::info!("{name} is built in: {} is not run", script.display());
        }
    }
    for resource in resources {
        let spec = Spec { name: resource.name.clone(), args: resource.args.clone() };
        let replaced = !builtin::ALWAYS.contains(&spec.name.as_str()) && scripts.locate(&spec.name).is_ok();
        if let Some(Err(expected)) = builtin::parse(&spec)
            && !replaced
        {
            tracing::error!("haresources: {}: expected {expected}", resource.word());
        }
    }
}

/// What starts and stops of resources go by.
pub(super) fn rules(config: &Config, options: &RunOptions) -> Rules {
    let others = config.devices.iter().filter(|(node, _)| **node != config.own);
    let others = others.map(|(&node, device)| (node as u8, device.clone()));
    let fencing = Fencing {
        script: config.fence.clone(),
        device: config.devices.get(&config.own).cloned(),
        others: others.collect(),
        pause: resources::FENCE_PAUSE,
    };
    Rules {
        limits: limits(config),
        scripts: scripts(config, &options.config_dir, &options.state_dir),
        fencing,
        node: config.nodes[config.own].clone(),
    }
}

/// How long scripts may take.
fn limits(config: &Config) -> resources::Limits {
    resources::Limits { start: config.starttime, stop: config.stoptime, ..resources::Limits::default() }
}

/// Where scripts are, and what they are told.
fn scripts(config: &Config, config_dir: &Path, state_dir: &Path) -> Scripts {
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
        mailer: mailer(config),
        pseudo: Pseudo::default(),
    }
}

/// Interfaces that frames or VIPs are on, and whether a link is.
pub(super) fn interfaces(
    links: &[Arc<Link>],
    entries: &[Entry],
    six: &[Entry6],
) -> BTreeMap<u32, (String, bool)> {
    let mut all = BTreeMap::new();
    for entry in entries {
        all.insert(entry.placed.index, (entry.placed.interface.clone(), false));
    }
    for entry in six {
        all.insert(entry.placed.index, (entry.placed.interface.clone(), false));
    }
    for link in links {
        all.extend(link.ifindex.map(|index| (index, (link.name.clone(), true))));
    }
    all
}

/// The networks that VIPs share with links: there a silent node tells something.
pub(super) fn grounds(links: &[Arc<Link>], entries: &[Entry]) -> Vec<Ground> {
    let mut grounds: BTreeMap<u32, Ground> = BTreeMap::new();
    for entry in entries {
        let (index, name) = (entry.placed.index, entry.placed.interface.clone());
        let links: Vec<u8> =
            links.iter().filter(|link| link.ifindex == Some(index)).map(|link| link.id).collect();
        if links.is_empty() {
            continue;
        }
        let ground = grounds.entry(index).or_insert(Ground { index, name, links, groups: Vec::new() });
        if !ground.groups.contains(&entry.group) {
            ground.groups.push(entry.group);
        }
    }
    grounds.into_values().collect()
}

/// This node's addresses, without the VIPs, and those.
pub(super) fn own_addresses(interfaces: &[netlink::Interface], entries: &[Entry]) -> Own {
    let vips: Vec<Ipv4Addr> = entries.iter().map(|entry| entry.placed.address).collect();
    let fixed = |interface: &netlink::Interface| {
        let all = interface.addresses.iter().map(|known| known.address);
        (interface.index, all.filter(|address| !vips.contains(address)).collect())
    };
    Own { addresses: interfaces.iter().map(fixed).collect(), vips: vips.clone() }
}
