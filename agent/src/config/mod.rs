//! The configuration: `ha.cf`, `haresources` and `authkeys` as Heartbeat reads them, and our few extensions
//! (docs/configuration.md).
//!
//! [`load`] reads all three files and tells everything that is wrong with any of them at once. A [`Config`] is right:
//! nobody checks again. Reads files, resolves host names, and does nothing else.

mod authkeys;
mod check;
mod diagnostic;
mod difference;
mod digest;
mod directives;
mod environment;
mod ha_cf;
mod haresources;
mod media;
mod model;
mod names;
mod programs;
mod resource;
mod scanner;
mod settings;
mod time;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use diagnostic::{Diagnostic, Severity, render};
pub use difference::{Change, How, difference};
pub use digest::same_cluster;
pub use haresources::ResourceGroup;
pub use model::{
    AuthKeys, EgressMode, Facility, Key, LinkDead, LinkSpec, Method, PingSpec, Respawn, Stonith, XdpMode,
};
pub use names::World;
pub use resource::{BadResource, Resource, Vip6Spec, VipSpec};

use crate::resources::{Device, Via};
use diagnostic::Source;
use names::Machine;

/// The directives that have a default which follows from no other, and that default as one would write it.
pub fn defaults() -> impl Iterator<Item = (&'static str, String)> {
    let times = [("keepalive", check::KEEPALIVE), ("deadtime", check::DEADTIME)];
    let times = times.map(|(name, value)| (name, time::shown(value)));
    let others = directives::DIRECTIVES.iter();
    times
        .into_iter()
        .chain(others.filter_map(|directive| Some((directive.name, directive.default?.to_owned()))))
}

/// Most nodes in a cluster.
pub const NODES_MAX: usize = 16;

/// Everything the three files say, defaults filled in.
#[derive(Debug, Clone)]
pub struct Config {
    /// Names in lower case, in the order of the `node` lines. Nodes are addressed by index into it.
    pub nodes: Vec<String>,
    /// Index of this node.
    pub own: usize,
    /// Interval of keepalives.
    pub keepalive: Duration,
    /// Silence after which a node is dead; more than two keepalives.
    pub deadtime: Duration,
    /// Silence after which a heartbeat is called late.
    pub warntime: Duration,
    /// Takes the place of `deadtime` until every node was heard or found dead once; at least `deadtime`.
    pub initdead: Duration,
    /// Silence after which a ping node is dead.
    pub deadping: Duration,
    /// How long the kernel goes on without hearing from the agent; at least two keepalives.
    pub lease: Duration,
    /// Longest time for one `start` of a script.
    pub starttime: Duration,
    /// Longest time for one `stop` of a script, and after which a failed one is not tried again.
    pub stoptime: Duration,
    /// The devices that reset nodes, by node, found and ready to be used; where one cannot be, a warning tells.
    pub devices: BTreeMap<usize, Device>,
    /// What is run when resources do not stop, and its arguments.
    pub fence: Option<(PathBuf, Vec<String>)>,
    /// Resources that are asked for their status while they are up, by word, name or `*`, and how often.
    pub monitors: Vec<(String, Duration)>,
    /// How mails leave.
    pub mailer: Via,
    /// The sender of mails; none: root at this node.
    pub mailfrom: Option<String>,
    /// UDP port of `ucast`, `ucast6` and `bcast` links.
    pub udpport: u16,
    /// Groups return to their home node.
    pub auto_failback: bool,
    /// Where the kernel part is attached.
    pub xdp: XdpMode,
    /// How the egress gate is attached.
    pub egress: EgressMode,
    /// Heartbeat paths, at least one.
    pub links: Vec<LinkSpec>,
    /// Links with a dead time of their own.
    pub linkdead: Vec<LinkDead>,
    /// Ping nodes.
    pub pings: Vec<PingSpec>,
    /// Resource groups in the order of their lines. Groups are addressed by index into it.
    pub groups: Vec<ResourceGroup>,
    /// Keys of frames.
    pub keys: AuthKeys,
    /// Programs that live as long as the agent.
    pub respawn: Vec<Respawn>,
    /// The last line that tells of a device.
    pub stonith: Option<Stonith>,
    /// The device that resets this machine.
    pub watchdog: Option<PathBuf>,
    /// File of all messages but debug ones.
    pub logfile: Option<PathBuf>,
    /// File of all messages, and of what scripts print.
    pub debugfile: Option<PathBuf>,
    /// Syslog facility.
    pub logfacility: Option<Facility>,
    /// Debug level, 0 to 255.
    pub debug: u8,
    /// Real-time scheduling and locked memory are wanted.
    pub realtime: bool,
    /// Real-time priority, 1 to 99; none: the agent's choice.
    pub rtprio: Option<u8>,
    /// Environment of scripts: `HA_<directive>` for every directive, then the `env` lines. Each name once.
    pub env: Vec<(String, String)>,
    /// Fingerprint of what should be equal on all nodes: node names and groups ([`same_cluster`]); keepalive, deadtime,
    /// initdead, lease, auto_failback.
    pub digest: u32,
    /// What somebody should look at.
    pub warnings: Vec<Diagnostic>,
}

/// Reads the configuration in `dir`. May wait for the resolver where peers are named by host names.
///
/// `node` is the name of this node; none: the first line of `dir/nodeinfo`, else what `uname -n` says.
///
/// # Errors
///
/// Every error of the three files, and the warnings, in the order in which Heartbeat checks: ha.cf, authkeys, what
/// must hold between values, haresources.
pub fn load(dir: &Path, node: Option<&str>) -> Result<Config, Vec<Diagnostic>> {
    load_in(&Machine, dir, node)
}

/// As [`load`], in a world that need not be this machine: the files too are what it says.
///
/// # Errors
///
/// As [`load`].
pub fn load_in(world: &dyn World, dir: &Path, node: Option<&str>) -> Result<Config, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    let own_name = own_name(world, dir, node, &mut diagnostics);

    let ha_cf = read(world, dir, "ha.cf", &mut diagnostics);
    let (source, bytes) = source(dir, "ha.cf", ha_cf.as_deref());
    let (draft, found) = ha_cf::Reader::new(&source, world, &own_name).read(bytes);
    let mailer = draft.mailer.clone().unwrap_or_else(|| programs::usual_mailer(world));
    diagnostics.extend(found);

    let keys = read(world, dir, "authkeys", &mut diagnostics).and_then(|bytes| {
        let (keys, found) = authkeys::parse(&Source::new(&dir.join("authkeys"), &bytes), &bytes);
        diagnostics.extend(found);
        keys
    });

    let (times, own, found) = check::check(&source, &draft, &own_name);
    // A file that is not there lacks everything; once is enough to say.
    if ha_cf.is_some() {
        diagnostics.extend(found);
    }

    let nodes: Vec<String> = draft.nodes.iter().map(|node| node.text.clone()).collect();
    let groups = read(world, dir, "haresources", &mut diagnostics).map(|bytes| {
        let (groups, found) =
            haresources::parse(&Source::new(&dir.join("haresources"), &bytes), &bytes, &nodes);
        diagnostics.extend(found);
        groups
    });

    let is_good = !diagnostics.iter().any(Diagnostic::is_error);
    match (own, keys, groups) {
        (Some(own), Some(keys), Some(groups)) if is_good => {
            Ok(assemble(draft, times, (nodes, own), keys, groups, mailer, diagnostics))
        }
        _ => Err(diagnostics),
    }
}

fn assemble(
    draft: ha_cf::Draft,
    times: check::Times,
    (nodes, own): (Vec<String>, usize),
    keys: AuthKeys,
    groups: Vec<ResourceGroup>,
    mailer: Via,
    warnings: Vec<Diagnostic>,
) -> Config {
    let env = environment::variables(&draft, &times);
    let devices = devices(&draft, &nodes);
    // Absent means `legacy`, which gives back too.
    let auto_failback = !matches!(draft.auto_failback, ha_cf::Setting::Given(false, _));
    let mut config = Config {
        nodes,
        own,
        keepalive: times.keepalive,
        deadtime: times.deadtime,
        warntime: times.warntime,
        initdead: times.initdead,
        deadping: times.deadping,
        lease: times.lease,
        starttime: times.starttime,
        stoptime: times.stoptime,
        udpport: draft.udpport,
        auto_failback,
        xdp: draft.xdp,
        egress: draft.egress,
        links: draft.links,
        linkdead: draft.linkdead.into_iter().map(|(linkdead, ..)| linkdead).collect(),
        pings: draft.pings,
        groups,
        keys,
        respawn: draft.respawn,
        stonith: draft.stonith,
        devices,
        fence: draft.fence,
        monitors: draft.monitors,
        mailer,
        mailfrom: draft.mailfrom,
        watchdog: draft.watchdog,
        logfile: draft.logfile,
        debugfile: draft.debugfile,
        logfacility: draft.logfacility,
        debug: draft.debug,
        realtime: draft.realtime,
        rtprio: draft.rtprio,
        env,
        digest: 0,
        warnings,
    };
    config.digest = digest::digest(&config);
    config
}

/// Which device resets which node: the last line that names a node counts.
fn devices(draft: &ha_cf::Draft, nodes: &[String]) -> BTreeMap<usize, Device> {
    let mut by_node = BTreeMap::new();
    for (device, hosts, _) in &draft.devices {
        for (index, node) in nodes.iter().enumerate() {
            if hosts.as_ref().is_none_or(|hosts| hosts.contains(node)) {
                by_node.insert(index, device.clone());
            }
        }
    }
    by_node
}

fn source<'a>(dir: &Path, name: &str, bytes: Option<&'a [u8]>) -> (Source, &'a [u8]) {
    let bytes = bytes.unwrap_or_default();
    (Source::new(&dir.join(name), bytes), bytes)
}

/// Reads one file; says why not. Keys that others can read are an error, and read all the same for their own errors.
fn read(world: &dyn World, dir: &Path, name: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<Vec<u8>> {
    let path = dir.join(name);
    match world.read(&path) {
        Ok((mode, bytes)) => {
            if name == "authkeys" && mode & 0o044 != 0 {
                let found = format!("mode {mode:04o}: others can read the keys");
                let expected = format!("mode 0600: `chmod 600 {}`", path.display());
                diagnostics.push(Diagnostic::of_file(Severity::Error, &path, found, expected));
            }
            Some(bytes)
        }
        Err(error) => {
            let found = match error.kind() {
                std::io::ErrorKind::NotFound => "no such file".into(),
                _ => format!("a file that cannot be read ({error})"),
            };
            let expected = match name {
                "ha.cf" => "the nodes, links and times of the cluster",
                "haresources" => "the resource groups, such as `server1 192.0.2.100`",
                _ => "the keys: `auth 1` and `1 sha1 SECRET`, mode 0600",
            };
            diagnostics.push(Diagnostic::of_file(Severity::Error, &path, found, expected));
            None
        }
    }
}

/// The name of this node, in lower case.
fn own_name(world: &dyn World, dir: &Path, node: Option<&str>, diagnostics: &mut Vec<Diagnostic>) -> String {
    if let Some(node) = node {
        return node.to_ascii_lowercase();
    }
    let path = dir.join("nodeinfo");
    match world.read(&path) {
        Ok((_, bytes)) => {
            let name = String::from_utf8_lossy(bytes.split(|&byte| byte == b'\n').next().unwrap_or_default())
                .trim()
                .to_ascii_lowercase();
            if name.is_empty() {
                let found = "an empty first line";
                diagnostics.push(Diagnostic::of_file(Severity::Error, &path, found, "the name of this node"));
            }
            name
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            nix::unistd::gethostname().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
        }
        Err(error) => {
            let found = format!("a file that cannot be read ({error})");
            diagnostics.push(Diagnostic::of_file(Severity::Error, &path, found, "the name of this node"));
            String::new()
        }
    }
}
