//! What is done to the nodes, how it is repaired, and how often the group may move for it.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use nix::sys::signal::Signal;
use xbeat_tests::hog::{Hogs, Kind};
use xbeat_tests::lan::{Direction, Network, VIP};
use xbeat_tests::stage::{LIMIT, NODES, Stage};
use xbeat_tests::wait::{eventually, pause};

use super::random::Random;

/// How often the group may change its node: less or more is worth a word.
pub(super) type Moves = RangeInclusive<usize>;

/// A kind of fault. `Owner` is the node that has the address, `heir` the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Fault {
    /// Nothing but the load.
    Nothing,
    /// `kill -9` of the owner's agent.
    Kill,
    /// `kill -9` of the heir's agent.
    KillHeir,
    /// SIGSTOP of the owner's agent for longer than its lease.
    Freeze,
    /// The same for much less than the lease.
    FreezeBriefly,
    /// SIGSTOP of the heir's agent.
    FreezeHeir,
    /// The owner's switch port drops everything.
    Isolate,
    /// The heir's switch port drops everything.
    IsolateHeir,
    /// The owner's cable is pulled: it loses its carrier.
    Pull,
    /// What the owner sends is lost.
    Mute,
    /// What is sent to the owner is lost.
    Deaf,
    /// What the heir sends is lost.
    MuteHeir,
    /// The owner's agent is ended in order and started again.
    Restart,
    /// The owner's agent is restarted by `stop --keep`.
    RestartKeep,
    /// Both agents are given other files, again and again.
    Reload,
    /// Somebody deletes the address on the owner.
    Delete,
}

impl Fault {
    /// All of them.
    pub(super) const ALL: [Self; 16] = [
        Self::Nothing,
        Self::Kill,
        Self::KillHeir,
        Self::Freeze,
        Self::FreezeBriefly,
        Self::FreezeHeir,
        Self::Isolate,
        Self::IsolateHeir,
        Self::Pull,
        Self::Mute,
        Self::Deaf,
        Self::MuteHeir,
        Self::Restart,
        Self::RestartKeep,
        Self::Reload,
        Self::Delete,
    ];

    /// As on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Kill => "kill",
            Self::KillHeir => "kill-heir",
            Self::Freeze => "freeze",
            Self::FreezeBriefly => "freeze-briefly",
            Self::FreezeHeir => "freeze-heir",
            Self::Isolate => "isolate",
            Self::IsolateHeir => "isolate-heir",
            Self::Pull => "pull",
            Self::Mute => "mute",
            Self::Deaf => "deaf",
            Self::MuteHeir => "mute-heir",
            Self::Restart => "restart",
            Self::RestartKeep => "restart-keep",
            Self::Reload => "reload",
            Self::Delete => "delete",
        }
    }

    /// Plays the fault and repairs it. Returns how often the group may move.
    pub(super) fn play(self, stage: &mut Stage, length: Duration, load: Load) -> Result<Moves> {
        let owner = some_owner(stage)?;
        let hogs = load.start()?;
        if !hogs.is_empty() {
            // What their start costs is not the fault's.
            pause(WARM_UP)?;
        }
        let owner = stage.client.answerer().unwrap_or(owner);
        let heir = 1 - owner;
        match self {
            Self::Nothing => pause(length).map(|()| 0..=0),
            Self::Kill => kill(stage, owner, length).map(|()| 1..=1),
            Self::KillHeir => kill(stage, heir, length).map(|()| 0..=0),
            Self::Freeze => freeze(stage, owner, length).map(|()| 1..=1),
            Self::FreezeBriefly => freeze(stage, owner, length).map(|()| 0..=0),
            Self::FreezeHeir => freeze(stage, heir, length).map(|()| 0..=0),
            // The heir's epoch is the higher one: it keeps the group when they meet again.
            Self::Isolate => isolate(stage, owner, length).map(|()| 1..=1),
            Self::IsolateHeir => isolate(stage, heir, length).map(|()| 1..=1),
            Self::Pull => {
                stage.parted();
                stage.lan.pull(owner, Network::Eth0)?;
                pause(length)?;
                reunite(stage, owner).map(|()| 1..=1)
            }
            Self::Mute => cut(stage, owner, Direction::FromNode, length).map(|()| 1..=1),
            Self::Deaf => cut(stage, owner, Direction::ToNode, length).map(|()| 0..=0),
            Self::MuteHeir => cut(stage, heir, Direction::FromNode, length).map(|()| 0..=0),
            Self::Restart => restart(stage, owner).map(|()| 1..=1),
            Self::RestartKeep => restart_keep(stage, owner).map(|()| 0..=0),
            Self::Reload => reload(stage).map(|()| 0..=0),
            Self::Delete => {
                stage.lan.delete_address(owner, VIP)?;
                pause(length)?;
                let there = || stage.lan.addresses(owner, Network::Eth0).unwrap_or_default();
                let back = || there().iter().any(|(address, _)| *address == VIP);
                eventually(LIMIT, "the address is there again", || {
                    back() || self::owner(stage) != Some(owner)
                })
                .map(|()| 0..=1)
            }
        }
    }

    /// How long it lasts if nobody says otherwise, in milliseconds.
    pub(super) fn length(self, random: &mut Random) -> u64 {
        match self {
            // The lease is 200 ms.
            Self::Freeze => 400 + random.below(1600),
            Self::FreezeBriefly => 5 + random.below(70),
            // Longer than deadtime (3 ms) under any load.
            Self::Isolate | Self::IsolateHeir | Self::Pull | Self::Mute => 300 + random.below(2700),
            Self::Nothing => 1000 + random.below(2000),
            _ => 20 + random.below(1000),
        }
    }
}

/// What else takes the processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Load {
    /// Nothing of ours.
    Rest,
    /// Two busy programs per processor.
    Hogs,
    /// A busy real-time program of lower priority than the agents.
    RealTime,
    /// Both.
    Both,
}

impl Load {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Rest, Self::Hogs, Self::RealTime, Self::Both];

    /// As on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Hogs => "hogs",
            Self::RealTime => "real-time",
            Self::Both => "both",
        }
    }

    /// For a person.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Rest => "at rest",
            Self::Hogs => "hogs",
            Self::RealTime => "a real-time hog",
            Self::Both => "hogs and a real-time hog",
        }
    }

    fn start(self) -> Result<Vec<Hogs>> {
        let kinds: &[Kind] = match self {
            Self::Rest => &[],
            Self::Hogs => &[Kind::Ordinary],
            Self::RealTime => &[Kind::RealTime],
            Self::Both => &[Kind::Ordinary, Kind::RealTime],
        };
        kinds.iter().map(|&kind| Hogs::start(kind)).collect()
    }
}

/// From the start of the hogs to the fault.
const WARM_UP: Duration = Duration::from_millis(300);

/// The node whose gate is open, if exactly one is and it is where the client is served.
fn owner(stage: &Stage) -> Option<usize> {
    let open = |node: usize| stage.status(node).is_ok_and(|status| status["groups"][0]["open"] == true);
    let answers = stage.client.answerer()?;
    (open(answers) && !open(1 - answers)).then_some(answers)
}

/// Whoever has the address. Where the machine stood still for longer than `deadtime`, it is just now changing hands.
fn some_owner(stage: &Stage) -> Result<usize> {
    let mut found = None;
    stage.until("one node has the address", |stage| {
        found = owner(stage);
        found.is_some()
    })?;
    found.context("nobody has the address")
}

/// Waits until everything is repaired, whoever has the address then.
pub(super) fn settle(stage: &Stage) -> Result<()> {
    stage.until("both nodes are active and agree on one owner", |stage| {
        let settled = |owner| (0..NODES.len()).all(|node| stage.is_settled(node, owner));
        stage.client.answerer().is_some_and(settled)
    })
}

fn kill(stage: &mut Stage, node: usize, down: Duration) -> Result<()> {
    stage.hosts[node].kill_agent()?;
    pause(down)?;
    stage.hosts[node].start_agent()
}

fn freeze(stage: &mut Stage, node: usize, length: Duration) -> Result<()> {
    stage.hosts[node].agent()?.signal(Signal::SIGSTOP)?;
    pause(length)?;
    stage.hosts[node].agent()?.signal(Signal::SIGCONT)
}

fn isolate(stage: &mut Stage, node: usize, length: Duration) -> Result<()> {
    stage.partition(node)?;
    pause(length)?;
    reunite(stage, node)
}

/// Heals the node's port and waits until one of the two has yielded.
fn reunite(stage: &mut Stage, node: usize) -> Result<()> {
    stage.heal(node)?;
    let what = "one of the two yields";
    eventually(LIMIT, what, || {
        let views: Vec<_> = (0..NODES.len()).filter_map(|node| stage.status(node).ok()).collect();
        let open = views.iter().filter(|view| view["groups"][0]["open"] == true).count();
        views.len() == NODES.len() && open == 1 && views.iter().all(|view| view["alone"] == false)
    })?;
    stage.reunited();
    Ok(())
}

fn cut(stage: &mut Stage, node: usize, direction: Direction, length: Duration) -> Result<()> {
    stage.lan.cut(node, Network::Eth0, direction)?;
    pause(length)?;
    // While one direction was cut, a pause of the sender that is still heard is silence with every probe unanswered: the
    // other may have taken over from an owner that could not be told. As after a partition, the first frame settles it.
    stage.parted();
    reunite(stage, node)
}

fn restart(stage: &mut Stage, node: usize) -> Result<()> {
    stage.hosts[node].stop_agent(LIMIT)?;
    stage.hosts[node].start_agent()
}

fn restart_keep(stage: &mut Stage, node: usize) -> Result<()> {
    stage.hosts[node].command(&["stop", "--keep"])?.ok().context("xbeat stop --keep")?;
    let agent = stage.hosts[node].agent()?;
    eventually(LIMIT, "the old agent is gone", || agent.exit_status().is_some())?;
    stage.hosts[node].start_agent()
}

/// How often each agent reads new files.
const RELOADS: usize = 10;

/// Every reload changes the rhythm of the probes. Ends with the files of the beginning.
fn reload(stage: &Stage) -> Result<()> {
    let files: Vec<_> = stage.hosts.iter().map(|host| host.config_dir().join("ha.cf")).collect();
    let begin = files.iter().map(std::fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    for round in 0..RELOADS {
        for (node, (file, begin)) in files.iter().zip(&begin).enumerate() {
            let other = begin.replace("keepalive 1ms", "keepalive 1200us");
            std::fs::write(file, if round % 2 == 0 { &other } else { begin })?;
            stage.hosts[node].command(&["reload"])?.ok().context("xbeat reload")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_and_load_is_named_as_on_the_command_line() {
        for fault in Fault::ALL {
            assert_eq!(Fault::from_str(fault.name(), false), Ok(fault));
        }
        for load in Load::ALL {
            assert_eq!(Load::from_str(load.name(), false), Ok(load));
        }
        assert_eq!(Fault::value_variants().len(), Fault::ALL.len());
    }
}
