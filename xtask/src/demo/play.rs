//! One run of the story: start, silent owner, return with failback, standby, killed agent, frozen agent, isolated owner,
//! healed network.

use std::net::SocketAddrV4;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::Signal;
use xbeat_tests::client::{self, Change, Client};
use xbeat_tests::clock;
use xbeat_tests::files::Files;
use xbeat_tests::host::Host;
use xbeat_tests::lan::{Lan, VIP, Wiring};
use xbeat_tests::responder::PORT;
use xbeat_tests::wait::{Interrupted, eventually, eventually_some, interrupted, pause};
use xbeat_tests::witness::{self, Witness};

use super::Datapath;
use super::report::{Fault, Measured};
use super::timeline::{News, Timeline};

/// In the order of the `node` line of how-to 001. Server1 is preferred.
const NODES: [&str; 2] = ["server1", "server2"];
const SERVER1: usize = 0;
const SERVER2: usize = 1;

/// Far more than any step takes (`initdead` is one second); only so that a broken agent ends the demo.
const LIMIT: Duration = Duration::from_secs(20);

/// How long each fault is watched after the new owner's first answer, so that a second hole would be seen.
const WATCH: Duration = Duration::from_secs(1);

/// What a node logs that hears after a partition that another one owns the group.
const YIELDED: &str = "is fenced here: another node holds it with a higher epoch";

/// How much of an agent's log is shown when it has failed.
const LOG_LINES: usize = 25;

/// A fault that was played: which, from when, and how the new owner handles frames.
struct Played {
    fault: Fault,
    from: u64,
    datapath: String,
}

/// Plays the story once with the agent `binary`.
pub(crate) fn play(binary: &Path, datapath: Datapath, timeline: &mut Timeline) -> Result<Vec<Measured>> {
    let mut files = Files::howto_001().fast();
    if datapath != Datapath::Auto {
        files = files.directive("xdp", datapath.word());
    }
    let mut stage = Stage::new(binary, &files, timeline)?;
    let played = stage.acts();
    if played.as_ref().is_err_and(|error| !error.is::<Interrupted>() && !interrupted()) {
        stage.show_logs();
    }
    stage.measure(&played?)
}

struct Stage<'a> {
    timeline: &'a mut Timeline,
    client: Client,
    witness: Witness,
    hosts: Vec<Host>,
    lan: Lan,
    /// When the nodes could not hear each other, up to where one has yielded: both serve then, by design.
    partition: Range<u64>,
}

impl<'a> Stage<'a> {
    fn new(binary: &Path, files: &Files, timeline: &'a mut Timeline) -> Result<Self> {
        timeline.act(
            clock::now(),
            &format!("1. {} and {} are switched on; the address is {VIP}", NODES[0], NODES[1]),
        );
        let lan = Lan::new(&NODES, Wiring::One).context("building the network")?;
        let host = |node| Host::with_binary(&lan, node, files, binary.to_owned());
        let hosts = (0..NODES.len()).map(host).collect::<Result<_>>()?;
        let client = Client::start(&lan, SocketAddrV4::new(VIP, PORT), client::PERIOD)?;
        let witness = Witness::start(&lan, VIP, witness::PERIOD)?;
        timeline.event(clock::now(), News::Done, "a switch, a client and two nodes are cabled");
        Ok(Self { timeline, client, witness, hosts, lan, partition: 0..0 })
    }

    fn acts(&mut self) -> Result<Vec<Played>> {
        self.start()?;
        let planned = [self.silent_owner()?, self.failback()?, self.standby()?];
        let agents = [self.killed_agent()?, self.frozen_agent()?];
        let network = [self.isolated_owner()?, self.healed_network()?];
        Ok(planned.into_iter().chain(agents).chain(network).collect())
    }

    fn start(&mut self) -> Result<()> {
        for node in [SERVER1, SERVER2] {
            self.start_node(node)?;
        }
        self.see_owner(SERVER1)?;
        self.settle(SERVER1)
    }

    fn silent_owner(&mut self) -> Result<Played> {
        let from = self.act("2. The owner falls silent");
        self.lan.silence(SERVER1)?;
        let silent = clock::now();
        self.timeline.count_from(silent);
        self.hosts[SERVER1].power_off()?;
        self.timeline.event(
            silent,
            News::Broken,
            "server1's switch port drops everything; all on it is killed",
        );
        self.see_owner(SERVER2)?;
        self.watch(SERVER2)?;
        self.played(Fault::Silent, from, SERVER2)
    }

    fn failback(&mut self) -> Result<Played> {
        let from = self.act("3. It comes back");
        self.hosts[SERVER1].boot(&mut self.lan)?;
        self.timeline.event(clock::now(), News::Done, "server1 has power and its switch port works again");
        self.start_node(SERVER1)?;
        self.see_owner(SERVER1)?;
        self.settle(SERVER1)?;
        self.played(Fault::Failback, from, SERVER1)
    }

    fn standby(&mut self) -> Result<Played> {
        let from = self.act("4. `xbeat standby` on server1: maintenance");
        let done = self.hosts[SERVER1].command(&["standby"]).and_then(xbeat_tests::process::Output::ok);
        done.context("xbeat standby on server1")?;
        let returned = clock::now();
        self.see_owner(SERVER2)?;
        self.timeline.event(returned, News::Done, "the command has returned: done");
        self.settle(SERVER2)?;
        self.played(Fault::Standby, from, SERVER2)
    }

    fn killed_agent(&mut self) -> Result<Played> {
        let from = self.act("5. `kill -9` of server2's agent; the machine goes on, with the address on it");
        let killed = clock::now();
        self.hosts[SERVER2].kill_agent()?;
        self.timeline.count_from(killed);
        self.timeline.event(killed, News::Broken, "killed; its kernel shuts the gate and says so to server1");
        self.see_owner(SERVER1)?;
        self.hosts[SERVER2].start_agent()?;
        self.timeline.event(
            clock::now(),
            News::Done,
            "server2: a new agent finds the gate shut and cleans up",
        );
        self.settle(SERVER1)?;
        self.played(Fault::Sigkill, from, SERVER1)
    }

    fn frozen_agent(&mut self) -> Result<Played> {
        let from = self.act("6. server1's agent is frozen (SIGSTOP)");
        let frozen = clock::now();
        self.hosts[SERVER1].agent()?.signal(Signal::SIGSTOP)?;
        self.timeline.count_from(frozen);
        self.timeline.event(
            frozen,
            News::Broken,
            "frozen; its kernel serves on until the lease ends (200 ms)",
        );
        self.see_owner(SERVER2)?;
        self.watch(SERVER2)?;
        self.hosts[SERVER1].agent()?.signal(Signal::SIGCONT)?;
        self.timeline.event(
            clock::now(),
            News::Done,
            "it runs again: it stops what it had, then gets it back",
        );
        self.see_owner(SERVER1)?;
        self.settle(SERVER1)?;
        self.played(Fault::Freeze, from, SERVER1)
    }

    fn isolated_owner(&mut self) -> Result<Played> {
        self.act("7. The owner is isolated: alive, but nobody hears it");
        // The loser of the partition is to be the node that the address does not belong to: nothing moves at the end.
        let done = self.hosts[SERVER1].command(&["standby"]).and_then(xbeat_tests::process::Output::ok);
        done.context("xbeat standby on server1")?;
        self.see_owner(SERVER2)?;
        self.settle(SERVER2)?;
        let from = clock::now();
        self.lan.silence(SERVER2)?;
        self.timeline.count_from(from);
        self.partition = from..u64::MAX;
        self.timeline.event(
            from,
            News::Broken,
            "server2's switch port drops everything; server2 itself is well",
        );
        self.see_owner(SERVER1)?;
        self.watch(SERVER1)?;
        if !self.hosts.iter().all(serves) {
            bail!("in a partition both nodes serve, each for those that it reaches; one of them does not");
        }
        let news = "both serve now, each for those it reaches: two alone cannot know better";
        self.timeline.event(clock::now(), News::Done, news);
        self.played(Fault::Isolate, from, SERVER1)
    }

    fn healed_network(&mut self) -> Result<Played> {
        let from = self.act("8. The network is healed");
        let log = self.hosts[SERVER2].log().len();
        self.lan.heal(SERVER2)?;
        self.timeline.count_from(from);
        self.timeline.event(clock::now(), News::Done, "server2's switch port works again");
        let host = &self.hosts[SERVER2];
        let yielded = || host.log().get(log..).is_some_and(|news| news.contains(YIELDED));
        eventually(LIMIT, "server2 yields to the higher epoch", yielded)?;
        self.partition.end = clock::now();
        let news = "server2 heard the higher epoch: its gate is shut, it stops its resources";
        self.timeline.event(self.partition.end, News::Served, news);
        self.settle(SERVER1)?;
        self.timeline.event(clock::now(), News::Served, "server1 has served all the while");
        self.played(Fault::Heal, from, SERVER1)
    }

    fn act(&mut self, title: &str) -> u64 {
        let from = clock::now();
        self.timeline.act(from, title);
        from
    }

    fn start_node(&mut self, node: usize) -> Result<()> {
        self.hosts[node].start_responder()?;
        self.hosts[node].start_agent()?;
        self.timeline.event(clock::now(), News::Done, &format!("{}: service and agent started", NODES[node]));
        Ok(())
    }

    /// Waits for the first answer of `node`, telling every change of the answering node on the way. An agent
    /// that has ended is an error at once.
    fn see_owner(&mut self, node: usize) -> Result<()> {
        let (timeline, client, hosts) = (&mut *self.timeline, &self.client, &mut self.hosts);
        eventually_some(LIMIT, &format!("{} answers the client", NODES[node]), || {
            let mut changes = client.changes().inspect(|change| tell(timeline, change));
            if changes.any(|change| change.by == node) {
                return Some(Ok(()));
            }
            hosts.iter_mut().find_map(ended).map(Err)
        })?
    }

    /// Waits until both agents agree that `owner` has the address and that the other is there to take it over.
    fn settle(&mut self, owner: usize) -> Result<()> {
        let agreed = || self.hosts.iter().all(|host| agrees(host, NODES[owner]));
        eventually(LIMIT, "both nodes are active and name one owner in `xbeat status`", agreed)?;
        let news = format!("both nodes agree: {} has it, the other stands by", NODES[owner]);
        self.timeline.event(clock::now(), News::Done, &news);
        self.watch(owner)
    }

    /// Lets the service run, and fails if the address leaves `owner` meanwhile.
    fn watch(&mut self, owner: usize) -> Result<()> {
        pause(WATCH)?;
        let timeline = &mut *self.timeline;
        self.client.changes().for_each(|change| tell(timeline, &change));
        if self.client.answerer() != Some(owner) {
            bail!("{} had the address and lost it again", NODES[owner]);
        }
        Ok(())
    }

    fn played(&self, fault: Fault, from: u64, owner: usize) -> Result<Played> {
        let datapath = self.hosts[owner].status()?.datapath("eth0").to_owned();
        Ok(Played { fault, from, datapath })
    }

    /// Ends the measurement and cuts it into the time of each fault.
    fn measure(self, played: &[Played]) -> Result<Vec<Measured>> {
        let (record, sightings) = (self.client.finish()?, self.witness.finish()?);
        // Of the partition nothing counts: that both serve was said there.
        let twice = |from: u64, to: u64| {
            let divided = from.max(self.partition.start)..to.min(self.partition.end);
            sightings.both_answered(from, to) - sightings.both_answered(divided.start, divided.end)
        };
        let (asked, both) = (sightings.rounds.len(), twice(0, u64::MAX));
        let news = if both == 0 { News::Served } else { News::Broken };
        let line = format!("the network was asked {asked} times by ARP; two nodes answered {both} times");
        self.timeline.event(clock::now(), news, &line);
        let ends = played.iter().skip(1).map(|next| next.from).chain([u64::MAX]);
        // Every round counts: those of the start belong to the first fault.
        let starts = std::iter::once(0).chain(played.iter().skip(1).map(|next| next.from));
        let row = |((played, start), end): ((&Played, u64), u64)| {
            let outage = record.outage(played.from, end);
            Measured {
                fault: played.fault,
                outage_us: outage.micros(),
                lost: outage.lost,
                both_answered: twice(start, end),
                datapath: played.datapath.clone(),
            }
        };
        Ok(played.iter().zip(starts).zip(ends).map(row).collect())
    }

    fn show_logs(&self) {
        for host in &self.hosts {
            let log = host.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- the end of {}'s log", host.name());
            for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
                eprintln!("{line}");
            }
        }
    }
}

/// The error that a started agent has ended by itself.
fn ended(host: &mut Host) -> Option<anyhow::Error> {
    let status = host.agent().ok()?.exit_status()?;
    Some(anyhow!("the agent on {} has ended: {status}", host.name()))
}

fn agrees(host: &Host, owner: &str) -> bool {
    host.status().is_ok_and(|status| {
        let active = NODES.iter().all(|node| status.node_status(node) == "active");
        let groups = &status.groups;
        active && !groups.is_empty() && groups.iter().all(|group| group.owner.as_deref() == Some(owner))
    })
}

/// Whether the node's own gates are open.
fn serves(host: &Host) -> bool {
    host.status().is_ok_and(|status| status.groups.iter().all(|group| group.open))
}

fn tell(timeline: &mut Timeline, change: &Change) {
    let node = NODES[change.by];
    timeline.owner(node);
    let news = match change.last_before {
        None => format!("{node} answers: it has the address"),
        Some(before) => {
            let gap = change.sent.saturating_sub(before) as f64 / clock::MS as f64;
            format!("{node} answers: it has the address, after {gap:.2} ms")
        }
    };
    timeline.event(change.at, News::Served, &news);
}
