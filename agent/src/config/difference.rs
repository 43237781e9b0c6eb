//! What changed between two configurations, and whether the running agent can take it over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::path::PathBuf;
use std::time::Duration;

use super::directives;
use super::time::shown;
use super::{AuthKeys, Config, ResourceGroup};

/// What it takes to bring a change into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Nothing: it is taken over while the agent runs.
    InService,
    /// A planned restart of this agent, which nobody notices.
    Restart,
    /// New files on all nodes before the cluster elects again: what frames say of groups by number means something else.
    AllNodes,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A value of ha.cf.
    Value {
        /// The directive.
        name: &'static str,
        /// What counted so far, for a person.
        old: String,
        /// What is to count.
        new: String,
        /// What that takes.
        how: How,
    },
    /// A key that was not there.
    KeyAdded(u8),
    /// A key that is not there any more.
    KeyRemoved(u8),
    /// A number that means another key.
    KeyChanged(u8),
    /// Another key signs.
    Signs {
        /// The number that signed.
        old: u8,
        /// The number that is to sign.
        new: u8,
    },
    /// A group that was not there; its key.
    GroupAdded(String),
    /// A group that is not there any more.
    GroupRemoved(String),
    /// A group with another home, other resources, or in another place of the order.
    GroupChanged(String),
    /// A variable that scripts see; of those that follow from a directive, the directive is the change.
    Variable {
        /// Its name.
        name: String,
        /// Its value, unless it is gone.
        new: Option<String>,
    },
}

impl Change {
    /// What it takes to bring it into force.
    #[must_use]
    pub fn how(&self) -> How {
        match self {
            Self::Value { how, .. } => *how,
            Self::KeyAdded(_)
            | Self::KeyRemoved(_)
            | Self::KeyChanged(_)
            | Self::Signs { .. }
            | Self::Variable { .. } => How::InService,
            Self::GroupAdded(_) | Self::GroupRemoved(_) | Self::GroupChanged(_) => How::AllNodes,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { name, old, new, .. } => write!(f, "{name}: {old} -> {new}"),
            Self::KeyAdded(number) => write!(f, "key {number} added"),
            Self::KeyRemoved(number) => write!(f, "key {number} removed"),
            Self::KeyChanged(number) => write!(f, "key {number} is another one"),
            Self::Signs { old, new } => write!(f, "signs with key {new} instead of {old}"),
            Self::GroupAdded(key) => write!(f, "group {key} added"),
            Self::GroupRemoved(key) => write!(f, "group {key} removed"),
            Self::GroupChanged(key) => write!(f, "group {key} changed"),
            Self::Variable { name, new: Some(new) } => write!(f, "environment of scripts: {name}={new}"),
            Self::Variable { name, new: None } => write!(f, "environment of scripts: no {name}"),
        }
    }
}

/// What changed from `old` to `new`, in the order of a person's interest: times, rules, keys, logs, then what cannot be
/// taken over. Warnings and the fingerprint are no changes of their own.
#[must_use]
pub fn difference(old: &Config, new: &Config) -> Vec<Change> {
    // Taken apart so that a new field cannot be forgotten here.
    let Config {
        nodes,
        own,
        keepalive,
        deadtime,
        warntime,
        initdead,
        deadping,
        lease,
        starttime,
        stoptime,
        udpport,
        auto_failback,
        xdp,
        egress,
        links,
        linkdead,
        pings,
        groups,
        keys,
        respawn,
        stonith,
        devices,
        fence,
        monitors,
        mailer,
        mailfrom,
        watchdog,
        logfile,
        debugfile,
        logfacility,
        debug,
        realtime,
        rtprio,
        env,
        digest: _,
        warnings: _,
    } = old;
    let mut found = Difference(Vec::new());
    // A serial line keeps the pace that it began with.
    let paced = links.iter().any(|link| matches!(link, super::LinkSpec::Serial { .. }));
    let keeps_pace = if paced { How::Restart } else { How::InService };
    found.time("keepalive", *keepalive, new.keepalive, keeps_pace);
    found.time("deadtime", *deadtime, new.deadtime, How::InService);
    found.time("warntime", *warntime, new.warntime, How::InService);
    found.time("initdead", *initdead, new.initdead, How::InService);
    found.time("lease", *lease, new.lease, How::InService);
    found.time("starttime", *starttime, new.starttime, How::InService);
    found.time("stoptime", *stoptime, new.stoptime, How::InService);
    found.value(
        "auto_failback",
        auto_failback,
        &new.auto_failback,
        |on| if *on { "on" } else { "off" },
        How::InService,
    );
    found.keys(keys, &new.keys);
    found.value("logfile", logfile, &new.logfile, path, How::InService);
    found.value("debugfile", debugfile, &new.debugfile, path, How::InService);
    let facility = |facility: &Option<super::Facility>| facility.map_or("none", |facility| facility.name);
    found.value("logfacility", logfacility, &new.logfacility, facility, How::InService);
    found.value("debug", debug, &new.debug, u8::to_string, How::InService);
    found.environment(env, &new.env);
    found.value("node", nodes, &new.nodes, |nodes| nodes.join(" "), How::AllNodes);
    if nodes == &new.nodes {
        found.value("this node's name", own, &new.own, |own| nodes[*own].clone(), How::Restart);
        found.groups(groups, &new.groups);
    }
    found.value(
        "links",
        links,
        &new.links,
        list(|link: &super::LinkSpec| format!("{} {}", link.directive(), link.name())),
        How::Restart,
    );
    found.value("udpport", udpport, &new.udpport, u16::to_string, How::AllNodes);
    found.value("xdp", xdp, &new.xdp, debugged, How::Restart);
    found.value("egress", egress, &new.egress, debugged, How::Restart);
    found.value("realtime", realtime, &new.realtime, bool::to_string, How::Restart);
    found.time("deadping", *deadping, new.deadping, How::InService);
    found.value(
        "linkdead",
        linkdead,
        &new.linkdead,
        list(|dead: &super::LinkDead| format!("{} {}", dead.link, shown(dead.time))),
        How::Restart,
    );
    found.value("ping", pings, &new.pings, |all| counted(all), How::Restart);
    found.value("respawn", respawn, &new.respawn, |all| counted(all), How::Restart);
    // Its parameters are passwords.
    found.value(
        "stonith",
        &(stonith, devices),
        &(&new.stonith, &new.devices),
        |(_, devices)| format!("devices for {} nodes", devices.len()),
        How::InService,
    );
    let program = |fence: &Option<(PathBuf, Vec<String>)>| {
        fence.as_ref().map_or_else(|| "none".to_owned(), |(program, _)| program.display().to_string())
    };
    found.value("fence", fence, &new.fence, program, How::InService);
    found.value("mailer", mailer, &new.mailer, debugged, How::InService);
    found.value("mailfrom", mailfrom, &new.mailfrom, debugged, How::InService);
    found.value(
        "monitor",
        monitors,
        &new.monitors,
        list(|(name, every): &(String, Duration)| format!("{name} {}", shown(*every))),
        How::Restart,
    );
    found.value("watchdog", watchdog, &new.watchdog, path, How::Restart);
    let priority =
        |priority: &Option<u8>| priority.map_or("the agent's choice".to_owned(), |n| n.to_string());
    found.value("rtprio", rtprio, &new.rtprio, priority, How::Restart);
    found.0
}

struct Difference(Vec<Change>);

impl Difference {
    fn value<T: PartialEq, S: Into<String>>(
        &mut self,
        name: &'static str,
        old: &T,
        new: &T,
        shown: impl Fn(&T) -> S,
        how: How,
    ) {
        if old != new {
            self.0.push(Change::Value { name, old: shown(old).into(), new: shown(new).into(), how });
        }
    }

    fn time(&mut self, name: &'static str, old: Duration, new: Duration, how: How) {
        self.value(name, &old, &new, |time| shown(*time), how);
    }

    fn keys(&mut self, old: &AuthKeys, new: &AuthKeys) {
        let numbers: BTreeSet<u8> = old.keys.keys().chain(new.keys.keys()).copied().collect();
        for number in numbers {
            match (old.keys.get(&number), new.keys.get(&number)) {
                (None, Some(_)) => self.0.push(Change::KeyAdded(number)),
                (Some(_), None) => self.0.push(Change::KeyRemoved(number)),
                (before, now) if before != now => self.0.push(Change::KeyChanged(number)),
                _ => {}
            }
        }
        if old.current != new.current {
            self.0.push(Change::Signs { old: old.current, new: new.current });
        }
    }

    fn environment(&mut self, old: &[(String, String)], new: &[(String, String)]) {
        let own = |variables: &[(String, String)]| -> BTreeMap<String, String> {
            let is_own = |name: &str| directives::find(name.strip_prefix("HA_").unwrap_or(name)).is_none();
            variables.iter().filter(|(name, _)| is_own(name)).cloned().collect()
        };
        let (old, new) = (own(old), own(new));
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names.into_iter().filter(|&name| old.get(name) != new.get(name)) {
            self.0.push(Change::Variable { name: name.clone(), new: new.get(name).cloned() });
        }
    }

    fn groups(&mut self, old: &[ResourceGroup], new: &[ResourceGroup]) {
        let place = |groups: &[ResourceGroup], key: &str| groups.iter().position(|group| group.key() == key);
        for (index, group) in old.iter().enumerate() {
            match place(new, group.key()) {
                None => self.0.push(Change::GroupRemoved(group.key().to_owned())),
                Some(now) if now != index || new[now] != *group => {
                    self.0.push(Change::GroupChanged(group.key().to_owned()));
                }
                Some(_) => {}
            }
        }
        for group in new.iter().filter(|group| place(old, group.key()).is_none()) {
            self.0.push(Change::GroupAdded(group.key().to_owned()));
        }
    }
}

fn path(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string())
}

/// The name of a variant, in lower case as in ha.cf.
fn debugged(value: &impl Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn list<T>(shown: impl Fn(&T) -> String) -> impl Fn(&Vec<T>) -> String {
    move |all| {
        let all: Vec<String> = all.iter().map(&shown).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    }
}

fn counted<T>(all: &[T]) -> String {
    format!("{} of them", all.len())
}
