//! A scene: a network whose nodes run the real agent, and a witness for every virtual address.
//!
//! [`play`] sets it up, plays what a test wants to see, and then looks at what all witnesses saw: a question that two
//! nodes answered is a failure, whatever else went well. When a test fails, the agents' logs are its report.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::arp::Mac;
use crate::clock;
use crate::files::Files;
use crate::host::Host;
use crate::lan::{Lan, Network, Wiring};
use crate::process::Output;
use crate::require::root_or_skip;
use crate::status::Status;
use crate::wait::{eventually, pause};
use crate::witness::{self, Round, TWO_OWNERS, Witness};

/// Far more than any step takes, on a machine that is busy with other scenes: only so that a broken agent ends a test.
pub const LIMIT: Duration = Duration::from_secs(120);

/// Between two looks through `xbeat status`, each of which starts a process.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// How much of each agent's log is shown when a test fails.
const LOG_LINES: usize = 100;

/// A network with its nodes and witnesses.
#[derive(Debug)]
pub struct Scene {
    /// The nodes, in the order of [`Lan`]; there may be fewer, then the other stations run no agent.
    pub hosts: Vec<Host>,
    /// The network.
    pub lan: Lan,
    witnesses: Vec<(Ipv4Addr, Witness)>,
    /// Times in which two owners may answer: from the end of a partition until one has heard the other.
    healings: Vec<Range<u64>>,
}

/// Plays `act` on `nodes` with `files`, wired by eth0. Skipped without root.
///
/// # Panics
/// When the act fails, or two nodes answered one question.
pub fn play(nodes: &[&str], files: &Files, act: impl FnOnce(&mut Scene) -> Result<()>) {
    play_on(|| Lan::new(nodes, Wiring::One), nodes.len(), files, act);
}

/// Like [`play`], on another network, of whose nodes the first `agents` have one.
///
/// # Panics
/// As [`play`].
pub fn play_on(
    lan: impl FnOnce() -> Result<Lan>,
    agents: usize,
    files: &Files,
    act: impl FnOnce(&mut Scene) -> Result<()>,
) {
    let thread = thread::current();
    if !root_or_skip(thread.name().unwrap_or("test")) {
        return;
    }
    let played = lan().and_then(|lan| Scene::new(lan, agents, files)).and_then(|mut scene| {
        let acted = act(&mut scene);
        // First of all: an act that failed is no excuse for two owners.
        let played = scene.nobody_answered_twice().and(acted);
        if played.is_err() {
            scene.tell();
        }
        played
    });
    if let Err(error) = played {
        panic!("{error:#}");
    }
}

impl Scene {
    fn new(lan: Lan, agents: usize, files: &Files) -> Result<Self> {
        let hosts = (0..agents).map(|node| Host::new(&lan, node, files)).collect::<Result<_>>()?;
        let watch = |address| Ok((address, Witness::start(&lan, address, witness::PERIOD)?));
        let witnesses = files.addresses().into_iter().map(watch).collect::<Result<_>>()?;
        Ok(Self { hosts, lan, witnesses, healings: Vec::new() })
    }

    /// Starts the agents of `nodes`, all at once.
    pub fn start(&mut self, nodes: &[usize]) -> Result<()> {
        nodes.iter().try_for_each(|&node| self.hosts[node].start_agent())
    }

    /// Starts the agents of `nodes`, each when the one before is there: it sends, hears and is told of.
    pub fn start_in_turn(&mut self, nodes: &[usize]) -> Result<()> {
        nodes.iter().try_for_each(|&node| {
            self.start(&[node])?;
            self.shows(node, "anything", |_| true)
        })
    }

    /// Starts all agents and waits until `owner` serves all groups and everybody agrees on it.
    pub fn start_all(&mut self, owner: usize) -> Result<()> {
        let nodes: Vec<usize> = (0..self.hosts.len()).collect();
        self.start_in_turn(&nodes)?;
        self.settles_on(owner)
    }

    /// Waits for `condition`, looking through `xbeat status` or the like.
    pub fn until(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) -> Result<()> {
        let mut first = true;
        eventually(LIMIT, what, || {
            let pause = if std::mem::take(&mut first) { Ok(()) } else { pause(LOOK_EVERY) };
            // An interruption ends the wait itself.
            pause.is_ok() && condition(self)
        })
    }

    /// Waits until node `by` answers for all addresses.
    pub fn serves(&self, by: usize) -> Result<()> {
        let what = format!("{} answers for all addresses", self.lan.name(by));
        eventually(LIMIT, &what, || self.witnesses.iter().all(|(vip, _)| self.answerer(*vip) == Some(by)))
    }

    /// Waits until each group is started at its node and all that run an agent agree on it. A group that is named
    /// by its address is also answered for there.
    pub fn places(&self, places: &[(&str, usize)]) -> Result<()> {
        let owner = |key: &str| places.iter().find(|(name, _)| *name == key).map(|(_, node)| *node);
        self.until(&format!("the groups are at {places:?}"), |scene| scene.agree(owner))?;
        for (key, node) in places {
            let Ok(vip) = key.trim_start_matches("IPaddr::").parse() else { continue };
            let what = format!("{} answers for {vip}", self.lan.name(*node));
            eventually(LIMIT, &what, || self.answerer(vip) == Some(*node))?;
        }
        Ok(())
    }

    /// Waits until the status of `node` is as `wanted`.
    pub fn shows(&self, node: usize, what: &str, wanted: impl Fn(&Status) -> bool) -> Result<()> {
        let what = format!("the status of {} shows {what}", self.lan.name(node));
        self.until(&what, |scene| scene.status(node).is_ok_and(|status| wanted(&status)))
    }

    /// Waits until `owner` answers for all addresses, all groups are started there, and all that run an agent name
    /// it and see each other active.
    pub fn settles_on(&self, owner: usize) -> Result<()> {
        self.serves(owner)?;
        let what = format!("all nodes are active and agree on {}", self.lan.name(owner));
        self.until(&what, |scene| scene.agree(|_| Some(owner)))?;
        self.has_addresses(owner, true)
    }

    /// Whether all running agents see each other active and name `owner(key)` as each group's owner, where it is
    /// started.
    pub fn agree(&self, owner: impl Fn(&str) -> Option<usize>) -> bool {
        let running: Vec<usize> =
            (0..self.hosts.len()).filter(|&node| self.hosts[node].has_agent()).collect();
        let views: Vec<Status> = running.iter().filter_map(|&node| self.hosts[node].status().ok()).collect();
        let all_active =
            |view: &Status| running.iter().all(|&node| view.node_status(self.lan.name(node)) == "active");
        views.len() == running.len()
            && views.iter().all(|view| {
                all_active(view)
                    && !view.groups.is_empty()
                    && view.groups.iter().all(|group| {
                        let owner = owner(&group.key).map(|node| self.lan.name(node));
                        let started = Some(view.node.as_str()) == owner;
                        group.owner.as_deref() == owner
                            && group.state == if started { "started" } else { "stopped" }
                    })
            })
    }

    /// Waits until node `node` has all addresses of the groups on its eth0, or none of them.
    pub fn has_addresses(&self, node: usize, all: bool) -> Result<()> {
        let what = format!("{} has {} addresses", self.lan.name(node), if all { "all" } else { "no" });
        eventually(LIMIT, &what, || {
            let there = self.lan.addresses(node, Network::Eth0).unwrap_or_default();
            self.witnesses.iter().all(|(vip, _)| there.iter().any(|(address, _)| address == vip) == all)
        })
    }

    /// Lets `time` pass in which nobody but `owner` answers for any address.
    pub fn stays(&self, owner: usize, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            for (vip, witness) in &self.witnesses {
                let answers = witness.answers();
                let other = answers.iter().find(|&&mac| mac != self.mac(owner));
                ensure!(other.is_none(), "{vip} left {}: {answers:02x?} answered", self.lan.name(owner));
            }
            pause(witness::PERIOD)?;
        }
        Ok(())
    }

    /// Lets `time` pass in which `owner` goes on answering for all addresses: as many questions as half of the time has, or
    /// longer, because a busy machine may lose some, or stand still.
    pub fn keeps_answering(&self, owner: usize, time: Duration) -> Result<()> {
        let (end, limit) = (Instant::now() + time, Instant::now() + time + LIMIT);
        let wanted = time.as_millis() / witness::PERIOD.as_millis() / 2;
        let mut answered = 0;
        while Instant::now() < end || answered < wanted {
            let name = self.lan.name(owner);
            ensure!(Instant::now() < limit, "{name} answered {answered} questions instead of {wanted}");
            answered += u128::from(self.witnesses.iter().all(|(vip, _)| self.answerer(*vip) == Some(owner)));
            pause(witness::PERIOD)?;
        }
        Ok(())
    }

    /// The node that answered the newest question for `vip`, if it is one and no other did.
    pub fn answerer(&self, vip: Ipv4Addr) -> Option<usize> {
        let (_, witness) = self.witnesses.iter().find(|(watched, _)| *watched == vip)?;
        match witness.answers().as_slice() {
            [mac] => self.lan.node_of(*mac),
            _ => None,
        }
    }

    /// Whether nobody answers for any address.
    pub fn nobody_serves(&self) -> bool {
        self.witnesses.iter().all(|(_, witness)| witness.answers().is_empty())
    }

    /// The node loses power: it is silent, and everything on it ends.
    pub fn power_off(&mut self, node: usize) -> Result<()> {
        self.lan.silence(node)?;
        self.hosts[node].power_off()
    }

    /// Power is back, and the agent is started.
    pub fn power_on(&mut self, node: usize) -> Result<()> {
        self.power_on_with(node, |_| Ok(()))
    }

    /// The same, with `prepare` done to the node in between.
    pub fn power_on_with(&mut self, node: usize, prepare: impl FnOnce(&Host) -> Result<()>) -> Result<()> {
        self.hosts[node].boot(&mut self.lan)?;
        prepare(&self.hosts[node])?;
        self.hosts[node].start_agent()
    }

    /// The owner `node`, which was cut off and replaced, is connected again. Until the first frame of the other reaches
    /// it, at most one keepalive, both are owners, as documented; that time is not held against them.
    pub fn heal_owner(&mut self, node: usize) -> Result<()> {
        let from = clock::now();
        self.lan.heal(node)?;
        self.logs(node, "is fenced here: another node holds it with a higher epoch")?;
        self.healings.push(from..clock::now());
        Ok(())
    }

    /// Runs `xbeat` on `node` and fails unless it ends with `code`; returns what it said.
    pub fn xbeat(&self, node: usize, arguments: &[&str], code: i32) -> Result<String> {
        let Output { status, stdout, stderr } = self.hosts[node].command(arguments)?;
        let said = format!("{stdout}{stderr}");
        let what = format!("xbeat {} on {}", arguments.join(" "), self.lan.name(node));
        ensure!(status.code() == Some(code), "{what}: {status} instead of {code}: {}", said.trim());
        Ok(said)
    }

    /// The status of `node`.
    pub fn status(&self, node: usize) -> Result<Status> {
        self.hosts[node].status()
    }

    /// Waits until the log of `node` has `text`.
    pub fn logs(&self, node: usize, text: &str) -> Result<()> {
        let what = format!("the log of {} says {text:?}", self.lan.name(node));
        eventually(LIMIT, &what, || self.hosts[node].log().contains(text))
    }

    /// Waits until the agent of `node` has ended by itself, and returns its exit code.
    pub fn ends(&mut self, node: usize) -> Result<Option<i32>> {
        let agent = self.hosts[node].agent()?;
        eventually(LIMIT, "the agent ends", || agent.exit_status().is_some())?;
        Ok(agent.exit_status().and_then(|status| status.code()))
    }

    fn mac(&self, node: usize) -> Mac {
        self.lan.mac(node, Network::Eth0)
    }

    /// Ends the witnesses and looks at all they saw.
    fn nobody_answered_twice(&mut self) -> Result<()> {
        for (vip, witness) in std::mem::take(&mut self.witnesses) {
            let seen = witness.finish().with_context(|| format!("the witness of {vip}"))?;
            let healing = |round: &Round| self.healings.iter().any(|time| time.contains(&round.asked));
            let twice = seen.rounds.iter().filter(|round| round.answers.len() > 1 && !healing(round));
            let twice: Vec<_> = twice.collect();
            if let Some(first) = twice.first() {
                let (number, all) = (twice.len(), seen.rounds.len());
                bail!("{vip}: {TWO_OWNERS} {number} of {all} questions, first {:02x?}", first.answers);
            }
        }
        Ok(())
    }

    #[expect(clippy::print_stderr, reason = "libtest shows it with the failed test")]
    fn tell(&self) {
        for host in &self.hosts {
            let log = host.log();
            let lines: Vec<_> = log.lines().collect();
            let mut text = format!("--- the end of {}'s log\n", host.name());
            for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
                let _ = writeln!(text, "{line}");
            }
            let page = host.command(&["status"]).map(|page| page.stdout + &page.stderr);
            eprintln!("{text}--- its status\n{}", page.unwrap_or_else(|error| error.to_string()));
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if thread::panicking() {
            self.tell();
        }
    }
}
