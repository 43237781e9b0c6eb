//! What must hold between the values of ha.cf (heartbeat's consistency checks, in its order), and the defaults that
//! depend on other values. A value that was wrong in itself takes part in no check.

use std::path::Path;
use std::time::Duration;

use super::diagnostic::{Diagnostic, Severity, Source, quoted};
use super::ha_cf::{Draft, Setting};
use super::model::{LinkDead, LinkSpec};
use super::scanner::Place;
use super::time::shown;
use crate::links::serial::Pace;
use crate::links::serial::framing::encoded_bound;

pub(super) const KEEPALIVE: Duration = Duration::from_secs(1);
pub(super) const DEADTIME: Duration = Duration::from_secs(30);

/// Below this `initdead` a booting network may not be up in time.
const INITDEAD_USUAL: Duration = Duration::from_secs(10);

/// Shorter leases would fence for every hiccup of the scheduler.
const LEASE_MIN: Duration = Duration::from_millis(5);

/// The lease at short dead times: the kernel speaks for itself meanwhile.
const LEASE_USUAL: Duration = Duration::from_millis(200);

/// How long a script may take, where nothing is said: what systemd gives a service (`DefaultTimeoutStartSec`).
const SCRIPT_TIME: Duration = Duration::from_secs(90);

/// The times of a configuration, defaults filled in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) keepalive: Duration,
    pub(super) deadtime: Duration,
    pub(super) warntime: Duration,
    pub(super) initdead: Duration,
    pub(super) deadping: Duration,
    pub(super) lease: Duration,
    pub(super) starttime: Duration,
    pub(super) stoptime: Duration,
}

impl Times {
    fn new(draft: &Draft) -> Self {
        let keepalive = or(draft.keepalive, KEEPALIVE);
        let deadtime = or(draft.deadtime, DEADTIME);
        Self {
            keepalive,
            deadtime,
            warntime: or(draft.warntime, deadtime / 2),
            initdead: or(draft.initdead, initdead(deadtime)),
            deadping: or(draft.deadping, deadtime),
            lease: or(draft.lease, lease(draft, deadtime)),
            starttime: or(draft.starttime, SCRIPT_TIME),
            stoptime: or(draft.stoptime, SCRIPT_TIME),
        }
    }
}

fn or(setting: Setting<Duration>, default: Duration) -> Duration {
    match setting {
        Setting::Given(time, _) => time,
        Setting::Absent | Setting::Bad => default,
    }
}

/// The lease must be over before a line's deadtime is (`Pace::safe_deadtime`): beside a line it is half as long.
fn lease(draft: &Draft, deadtime: Duration) -> Duration {
    let line = draft.links.iter().any(|link| matches!(link, LinkSpec::Serial { .. }));
    if line { (deadtime / 2).max(LEASE_USUAL) } else { deadtime.max(LEASE_USUAL) }
}

/// Heartbeat's default: long enough for a network to come up.
fn initdead(deadtime: Duration) -> Duration {
    if deadtime > Duration::from_secs(10) {
        deadtime
    } else if deadtime >= Duration::from_secs(6) {
        deadtime * 2
    } else {
        Duration::from_secs(12)
    }
}

/// Runs all checks. The index of this node is given if it is in the list.
pub(super) fn check(
    source: &Source,
    draft: &Draft,
    own_name: &str,
) -> (Times, Option<usize>, Vec<Diagnostic>) {
    let mut checker = Checker { source, draft, times: Times::new(draft), diagnostics: Vec::new() };
    checker.links();
    let own = checker.nodes(own_name);
    checker.deadtime();
    checker.initdead();
    checker.more_than_two_keepalives(draft.deadping, "deadping");
    checker.auto_failback();
    checker.lease();
    checker.linkdead();
    checker.devices();
    (checker.times, own, checker.diagnostics)
}

struct Checker<'a> {
    source: &'a Source,
    draft: &'a Draft,
    times: Times,
    diagnostics: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn links(&mut self) {
        let links = &self.draft.links;
        if links.is_empty() && !self.draft.has_bad_link {
            self.of_file(Severity::Error, "no link", "at least one, such as `ucast eth0 192.0.2.12`");
        }
    }

    fn nodes(&mut self, own_name: &str) -> Option<usize> {
        let nodes = &self.draft.nodes;
        let own = nodes.iter().position(|node| node.text == own_name);
        match nodes.first() {
            None if !self.draft.has_bad_node => {
                self.of_file(
                    Severity::Error,
                    "no `node` line",
                    "the names of all nodes, such as `node server1 server2`",
                );
            }
            Some(first) if own.is_none() && !self.draft.has_bad_node => {
                let found = format!("no `node` line for this machine, {}", quoted(own_name));
                let known: Vec<String> = nodes.iter().map(|node| quoted(&node.text)).collect();
                let expected =
                    format!("its name (`uname -n`, or the file `nodeinfo`) among {}", known.join(", "));
                self.at(Severity::Error, first.place, found, expected);
            }
            _ => {}
        }
        own
    }

    fn deadtime(&mut self) {
        // With the default dead time it is the keepalive that must give way.
        let place = match (self.draft.deadtime, self.draft.keepalive) {
            (Setting::Bad, _) | (_, Setting::Bad) => return,
            (Setting::Given(_, place), _) | (Setting::Absent, Setting::Given(_, place)) => place,
            (Setting::Absent, Setting::Absent) => return,
        };
        let Times { keepalive, deadtime, .. } = self.times;
        if deadtime <= keepalive * 2 {
            let found = format!("a deadtime of {} with a keepalive of {}", shown(deadtime), shown(keepalive));
            let expected =
                format!("a deadtime of more than two keepalives, more than {}", shown(keepalive * 2));
            self.at(Severity::Error, place, found, expected);
        }
    }

    fn initdead(&mut self) {
        let Setting::Given(initdead, place) = self.draft.initdead else { return };
        if self.draft.deadtime == Setting::Bad {
            return;
        }
        let deadtime = self.times.deadtime;
        if initdead < deadtime {
            let found = format!("an initdead of {} with a deadtime of {}", shown(initdead), shown(deadtime));
            self.at(Severity::Error, place, found, format!("at least the deadtime, {}", shown(deadtime)));
        } else if initdead < INITDEAD_USUAL && deadtime >= Duration::from_secs(1) {
            let found = format!("an initdead of {}", shown(initdead));
            let expected =
                "at least 10s: a network that is not up by then makes a booting node believe to be alone";
            self.at(Severity::Warning, place, found, expected);
        }
    }

    /// The rule for every time after which something counts as dead.
    fn more_than_two_keepalives(&mut self, setting: Setting<Duration>, name: &str) {
        let Setting::Given(time, place) = setting else { return };
        let keepalive = self.times.keepalive;
        if self.draft.keepalive != Setting::Bad && time <= keepalive * 2 {
            let found = format!("a {name} of {} with a keepalive of {}", shown(time), shown(keepalive));
            self.at(
                Severity::Error,
                place,
                found,
                format!("more than two keepalives, {}", shown(keepalive * 2)),
            );
        }
    }

    fn auto_failback(&mut self) {
        if self.draft.auto_failback == Setting::Absent {
            let expected = "`auto_failback on` or `off`; it is taken for `on`, because Heartbeat's default, `legacy`, \
                            gives the home node its groups back too";
            self.of_file(Severity::Warning, "no `auto_failback` line", expected);
        }
    }

    fn lease(&mut self) {
        let Setting::Given(lease, place) = self.draft.lease else { return };
        let keepalive = self.times.keepalive;
        if lease < LEASE_MIN {
            let found = format!("a lease of {}", shown(lease));
            self.at(Severity::Error, place, found, format!("at least {}", shown(LEASE_MIN)));
        } else if self.draft.keepalive != Setting::Bad && lease < keepalive * 2 {
            let found = format!("a lease of {} with a keepalive of {}", shown(lease), shown(keepalive));
            self.at(
                Severity::Error,
                place,
                found,
                format!("at least two keepalives, {}", shown(keepalive * 2)),
            );
        }
    }

    fn linkdead(&mut self) {
        for (linkdead, word, place) in &self.draft.linkdead {
            let mut names: Vec<&str> = self.draft.links.iter().map(LinkSpec::name).collect();
            names.dedup();
            if !names.contains(&linkdead.link.as_str()) && !self.draft.has_bad_link {
                let names: Vec<String> = names.into_iter().map(quoted).collect();
                let expected = format!("the interface or terminal of a link: {}", names.join(" or "));
                self.at(Severity::Error, word.place, quoted(&linkdead.link), expected);
            }
            self.more_than_two_keepalives(Setting::Given(linkdead.time, *place), "linkdead");
            self.more_than_two_of_the_line(linkdead, *place);
        }
    }

    fn devices(&mut self) {
        let nodes: Vec<&str> = self.draft.nodes.iter().map(|node| node.text.as_str()).collect();
        for (_, hosts, place) in &self.draft.devices {
            for host in hosts.iter().flatten().filter(|host| !nodes.contains(&host.as_str())) {
                let found = format!("a device that resets {}, which is no node", quoted(host));
                self.at(Severity::Warning, *place, found, "nodes of this cluster behind `hosts=`");
            }
        }
    }

    /// A slow line cannot be asked every keepalive.
    fn more_than_two_of_the_line(&mut self, linkdead: &LinkDead, place: Place) {
        let mut lines = self.draft.links.iter().filter(|link| link.name() == linkdead.link);
        let Some(LinkSpec::Serial { baud, .. }) = lines.next() else { return };
        // The shortest frames that there are: with more groups a line is asked less often still.
        let pace = Pace::new(*baud, encoded_bound(1, 20));
        let keepalive = pace.keepalive(self.times.keepalive);
        let safe = pace.safe_deadtime(self.times.keepalive, self.times.lease);
        if linkdead.time <= keepalive * 2 {
            let every = shown(Duration::from_millis(keepalive.as_millis() as u64));
            let found =
                format!("{} for a line that is asked every {every} at {baud} baud", shown(linkdead.time));
            self.at(Severity::Error, place, found, "more than two of that");
        } else if linkdead.time < safe {
            let found = format!("{} with a lease of {}", shown(linkdead.time), shown(self.times.lease));
            let expected = format!(
                "at least {}, or a shorter `lease`: until then a node whose agent stands still may serve beside its \
                 successor, if the line is all that joins them",
                shown(Duration::from_millis(safe.as_millis() as u64 + 1))
            );
            self.at(Severity::Warning, place, found, expected);
        }
    }

    fn at(&mut self, severity: Severity, place: Place, found: String, expected: impl Into<String>) {
        self.diagnostics.push(self.source.diagnostic(severity, place, found, expected));
    }

    fn of_file(&mut self, severity: Severity, found: &str, expected: &str) {
        let path: &Path = &self.source.path;
        self.diagnostics.push(Diagnostic::of_file(severity, path, found, expected));
    }
}
