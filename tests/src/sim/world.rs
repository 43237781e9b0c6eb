//! The world around the nodes: true time, links that can be cut, lossy or slow, and the queue of what will happen.

use std::collections::BTreeMap;
use std::mem;

use cluster::{Command, Config, Done, GroupConfig, GroupId, Input, NodeId, Refusal};
use reflex::{Frame, Sight};

use super::clock::Clock;
use super::eye::Eye;
use super::kernel::Mutation;
use super::luck::Luck;
use super::node::{Alarm, Make, Node, Power};
use super::times::{DAMPING, DEADTIME, DRIFT_PPM_MAX, FLIGHT_MAX, INITDEAD, MS};
use super::trace::Trace;

/// One link: a segment that every node is on.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// From, to.
    pub(super) cut: Vec<Vec<bool>>,
    /// Chance that a frame is lost, percent.
    pub(super) loss: u64,
    /// Chance that a frame comes twice, percent.
    pub(super) twice: u64,
    /// Shortest flight, and how much longer one may take.
    flight: (u64, u64),
    /// Frames may overtake one another.
    reorders: bool,
    /// When the last frame from, to arrives.
    last: Vec<Vec<u64>>,
}

/// What a cluster is made of.
pub(super) struct Setup {
    pub(super) nodes: usize,
    /// Home of each group.
    pub(super) homes: Vec<NodeId>,
    pub(super) links: u8,
    pub(super) auto_failback: bool,
    pub(super) mutation: Mutation,
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) luck: Luck,
    pub(super) nodes: Vec<Node>,
    pub(super) links: Vec<Link>,
    pub(super) eye: Eye,
    pub(super) trace: Trace,
    groups: usize,
    /// Frames under way.
    queue: BTreeMap<(u64, u64), (NodeId, Box<Frame>)>,
    queued: u64,
    pub(super) steps: u64,
    commands: u64,
    replies: BTreeMap<u64, Result<Done, Refusal>>,
    /// Links, machines or agents changed.
    changed: bool,
    /// What each node can see of the groups' network.
    pub(super) sights: Vec<Sight>,
}

impl World {
    /// All nodes off.
    pub(super) fn new(setup: &Setup, mut luck: Luck, trace: Trace) -> Self {
        // Not 0, which means never in the tables.
        let now = 1_000 * MS;
        let len = setup.nodes;
        let mut node = |own| {
            // Nodes need not agree: one may have no kernel gates.
            let group = |&home| GroupConfig { home, hands_over: luck.percent(70) };
            let groups = setup.homes.iter().map(group).collect();
            Node::new(Make {
                config: Config {
                    own,
                    nodes: len,
                    groups,
                    auto_failback: setup.auto_failback,
                    initdead: INITDEAD,
                    deadtime: DEADTIME,
                    damping: DAMPING,
                },
                links: setup.links,
                mutation: setup.mutation,
                gates_first: luck.percent(50),
                clock: Clock::new(now, 1_000 * MS + luck.below(1 << 40), luck.below(2 * DRIFT_PPM_MAX)),
                trace: trace.clone(),
            })
        };
        let nodes = (0..len as NodeId).map(&mut node).collect();
        let mut link = || {
            let shortest = if luck.percent(50) { MS / 20 } else { luck.below(FLIGHT_MAX) };
            Link {
                cut: vec![vec![false; len]; len],
                loss: 0,
                twice: 0,
                flight: (shortest, luck.below(FLIGHT_MAX - shortest)),
                reorders: luck.percent(50),
                last: vec![vec![0; len]; len],
            }
        };
        let links = (0..setup.links).map(|_| link()).collect();
        Self {
            now,
            luck,
            nodes,
            links,
            eye: Eye::new(len, setup.homes.len()),
            trace,
            groups: setup.homes.len(),
            queue: BTreeMap::new(),
            queued: 0,
            steps: 0,
            commands: 0,
            replies: BTreeMap::new(),
            changed: true,
            sights: vec![Sight::default(); len],
        }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[usize::from(id)]
    }

    pub(super) fn ids(&self) -> std::ops::Range<NodeId> {
        0..self.nodes.len() as NodeId
    }

    pub(super) fn groups(&self) -> std::ops::Range<GroupId> {
        0..self.groups as GroupId
    }

    pub(super) fn reply(&self, id: u64) -> Option<&Result<Done, Refusal>> {
        self.replies.get(&id)
    }

    // ---- faults ----

    /// Something happens to a node, at the node's own time.
    pub(super) fn at(&mut self, id: NodeId, what: impl FnOnce(&mut Node, u64)) -> Result<(), String> {
        let node = &mut self.nodes[usize::from(id)];
        let now = node.clock.read(self.now);
        what(node, now);
        self.changed = true;
        self.after(id)
    }

    /// Something happens to the links.
    pub(super) fn on_links(&mut self, what: impl FnOnce(&mut [Link])) -> Result<(), String> {
        what(&mut self.links);
        self.changed = true;
        self.look()
    }

    pub(super) fn start_agent(&mut self, id: NodeId) -> Result<(), String> {
        let session = self.luck.next() | 1;
        self.at(id, |node, now| {
            if node.power == Power::Off {
                node.power = Power::On;
            }
            node.start_agent(now, session);
        })?;
        self.see(id, self.sights[usize::from(id)])
    }

    /// What a node can see of every group's network from now on; its agent is told, if there is one to tell.
    pub(super) fn see(&mut self, id: NodeId, sight: Sight) -> Result<(), String> {
        self.sights[usize::from(id)] = sight;
        if self.node(id).power != Power::On {
            return Ok(());
        }
        let groups = self.groups();
        self.at(id, |node, now| {
            groups.for_each(|group| node.on_input(now, Input::Sight { group, sight }));
        })
    }

    pub(super) fn resume(&mut self, id: NodeId) -> Result<(), String> {
        let node = &mut self.nodes[usize::from(id)];
        node.power = Power::On;
        node.clock.resume(self.now);
        self.at(id, |node, now| {
            for frame in mem::take(&mut node.backlog) {
                node.on_frame(now, frame);
            }
        })?;
        self.see(id, self.sights[usize::from(id)])
    }

    /// An operator's command; its answer will be in [`Self::reply`].
    pub(super) fn command(&mut self, id: NodeId, command: Command) -> Result<u64, String> {
        self.commands += 1;
        let number = self.commands;
        self.at(id, |node, now| node.on_input(now, Input::Command { id: number, command }))?;
        Ok(number)
    }

    // ---- time ----

    pub(super) fn run(&mut self, time: u64) -> Result<(), String> {
        let end = self.now + time;
        while self.step(end)? {}
        self.now = end;
        self.trace.set_now(end);
        self.look()
    }

    /// Runs until `done`, but no longer than `limit`; whether it came to that.
    pub(super) fn run_until(&mut self, limit: u64, done: impl Fn(&Self) -> bool) -> Result<bool, String> {
        let end = self.now + limit;
        while !done(self) {
            if !self.step(end)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Does the next thing, if it is due by `end`.
    fn step(&mut self, end: u64) -> Result<bool, String> {
        let frame = self.queue.first_key_value().map(|((at, _), _)| *at);
        let alarm = self.ids().filter_map(|id| Some((self.node(id).next_alarm()?, id))).min();
        let Some(at) = frame.into_iter().chain(alarm.map(|(at, _)| at)).min().filter(|&at| at <= end) else {
            return Ok(false);
        };
        self.now = at.max(self.now);
        self.trace.set_now(self.now);
        self.steps += 1;
        match alarm {
            Some((due, id)) if frame.is_none_or(|frame| due <= frame) => self.ring(id)?,
            _ => self.arrive()?,
        }
        Ok(true)
    }

    fn ring(&mut self, id: NodeId) -> Result<(), String> {
        let node = &mut self.nodes[usize::from(id)];
        let now = node.clock.read(self.now);
        match node.pop_alarm() {
            Some(Alarm::Asked { group, life }) if node.is_life(life) => {
                let answered = self.is_arp_answered(id, group);
                self.nodes[usize::from(id)].on_input(now, Input::Asked { group, answered });
            }
            Some(Alarm::Asked { .. }) | None => {}
            Some(alarm) => node.ring(now, alarm),
        }
        self.after(id)
    }

    fn arrive(&mut self) -> Result<(), String> {
        let Some((_, (to, frame))) = self.queue.pop_first() else { return Ok(()) };
        let node = &mut self.nodes[usize::from(to)];
        match node.power {
            Power::Off => Ok(()),
            Power::Paused => {
                // What the hypervisor's queue holds.
                if node.backlog.len() < 16 {
                    node.backlog.push(*frame);
                }
                Ok(())
            }
            Power::On if node.unplugged[usize::from(frame.link())] => Ok(()),
            Power::On => {
                node.trace_frame(&frame);
                let now = node.clock.read(self.now);
                node.on_frame(now, *frame);
                self.after(to)
            }
        }
    }

    /// Addresses live on link 0.
    fn is_arp_answered(&self, id: NodeId, group: GroupId) -> bool {
        let cut = &self.links[0].cut;
        self.nodes.iter().any(|peer| {
            let (a, b) = (usize::from(id), usize::from(peer.id));
            let plugged = !peer.unplugged[0] && !self.nodes[a].unplugged[0];
            a != b && plugged && !cut[a][b] && !cut[b][a] && peer.answers(peer.clock.read(self.now), group)
        })
    }

    /// Sends what a node left, and looks at the gates.
    fn after(&mut self, id: NodeId) -> Result<(), String> {
        let node = &mut self.nodes[usize::from(id)];
        let (outbox, replies) = (mem::take(&mut node.outbox), mem::take(&mut node.replies));
        let ended = node.agent.is_none();
        for (number, result) in replies {
            if self.replies.insert(number, result).is_some() {
                return Err(format!("node {id}: command {number} is answered twice"));
            }
        }
        for (to, link, frame) in outbox {
            self.send(id, to, link, frame);
        }
        self.changed |= ended;
        self.look()
    }

    fn send(&mut self, from: NodeId, to: NodeId, link: u8, frame: Frame) {
        let number = usize::from(link);
        let link = &mut self.links[number];
        let (a, b) = (usize::from(from), usize::from(to));
        let is_out = |node: usize| self.nodes[node].unplugged[number];
        if is_out(a) || is_out(b) || link.cut[a][b] || self.luck.percent(link.loss) {
            return;
        }
        let copies = if self.luck.percent(link.twice) { 2 } else { 1 };
        for _ in 0..copies {
            let at = self.now + link.flight.0 + self.luck.below(link.flight.1);
            let last = &mut link.last[a][b];
            // A queue in between keeps the order, and is no longer than the longest flight.
            let at = if link.reorders { at } else { at.max(*last) };
            *last = at;
            self.queued += 1;
            self.queue.insert((at, self.queued), (to, Box::new(frame)));
        }
    }

    fn look(&mut self) -> Result<(), String> {
        if mem::take(&mut self.changed) {
            let (links, nodes) = (&self.links, &self.nodes);
            let works = |a: usize, b: usize| {
                links.iter().enumerate().any(|(number, link)| {
                    let plugged = !nodes[a].unplugged[number] && !nodes[b].unplugged[number];
                    plugged && !link.cut[a][b] && !link.cut[b][a] && link.loss == 0
                })
            };
            self.eye.look_at_links(self.now, &self.nodes, works);
        }
        self.eye.look(self.now, &mut self.nodes, &self.trace)
    }

    /// For a person who wonders how it came to this.
    pub(super) fn describe(&self) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(Node::describe).collect();
        format!("at {} ms:\n{}", self.now / MS, nodes.join("\n"))
    }
}
