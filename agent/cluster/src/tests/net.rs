//! The world around the nodes: virtual time, one seed, a network that can be cut, power switches, and
//! an eye on every gate after every event.

use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use reflex::{Frame, Sight};

use super::node::{Alarm, KEEPALIVE, MS, Node, Plan};
use crate::{Command, Config, Done, GroupConfig, GroupId, Input, Instant, NodeId, Refusal};

use super::node::{DEADTIME, INITDEAD};

/// SplitMix64: small, and the same everywhere.
#[derive(Clone, Debug)]
pub(super) struct Luck(u64);

impl Luck {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `end`, without `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// A node that is switched off, alarms included, by the number of its life.
enum Event {
    Arrive { to: NodeId, frame: Frame },
    Ring { node: NodeId, life: u32, alarm: Alarm },
}

/// One change of one gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) at: Instant,
    pub(super) group: GroupId,
    pub(super) node: NodeId,
    pub(super) open: bool,
}

pub(super) struct Net {
    pub(super) now: Instant,
    pub(super) luck: Luck,
    pub(super) nodes: Vec<Node>,
    /// From, to.
    cut: Vec<Vec<bool>>,
    /// Groups whose addresses a machine outside the cluster answers for.
    pub(super) strangers: Vec<GroupId>,
    queue: BTreeMap<(Instant, u64), Event>,
    queued: u64,
    /// When the last frame from, to arrives.
    last: Vec<Vec<Instant>>,
    /// Since when both hear each other.
    linked: Vec<Vec<Option<Instant>>>,
    /// By node and group: since when the gate is open.
    open: Vec<Vec<Option<Instant>>>,
    /// How often a second gate opened for a group that is open elsewhere.
    pub(super) shared: usize,
    pub(super) changes: Vec<Change>,
    commands: u64,
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) nodes: usize,
    /// Home of each group.
    pub(super) homes: Vec<NodeId>,
    pub(super) auto_failback: bool,
    pub(super) seed: u64,
    pub(super) hands_over: bool,
}

impl Setup {
    /// Two nodes, one group that is at home on node 0, auto_failback on.
    pub(super) fn pair() -> Self {
        Self { nodes: 2, homes: vec![0], auto_failback: true, seed: 1, hands_over: false }
    }

    pub(super) fn nodes(nodes: usize) -> Self {
        Self { nodes, ..Self::pair() }
    }

    pub(super) fn homes(self, homes: &[NodeId]) -> Self {
        Self { homes: homes.to_vec(), ..self }
    }

    pub(super) fn stay(self) -> Self {
        Self { auto_failback: false, ..self }
    }

    /// Addresses may be up on two nodes while they change hands.
    pub(super) fn hands_over(self) -> Self {
        Self { hands_over: true, ..self }
    }

    /// All nodes off.
    pub(super) fn off(self) -> Net {
        Net::new(&self)
    }

    /// All nodes switched on at once, and every group served by its home.
    pub(super) fn running(self) -> Net {
        let mut net = self.off();
        net.boot_all();
        net.run(2_000 * MS);
        for group in net.groups() {
            assert_eq!(net.owners(group), [net.nodes[0].config.groups[group as usize].home]);
        }
        net
    }
}

impl Net {
    pub(super) fn new(setup: &Setup) -> Self {
        let groups: Vec<GroupConfig> =
            setup.homes.iter().map(|&home| GroupConfig { home, hands_over: setup.hands_over }).collect();
        let node = |own| {
            Node::new(Config {
                own,
                nodes: setup.nodes,
                groups: groups.clone(),
                auto_failback: setup.auto_failback,
                initdead: INITDEAD,
                deadtime: DEADTIME,
                damping: DEADTIME,
            })
        };
        let len = setup.nodes;
        Self {
            // Not 0, which means never in the tables.
            now: 1_000 * MS,
            luck: Luck::new(setup.seed),
            nodes: (0..len as NodeId).map(node).collect(),
            cut: vec![vec![false; len]; len],
            strangers: Vec::new(),
            queue: BTreeMap::new(),
            queued: 0,
            last: vec![vec![0; len]; len],
            linked: vec![vec![None; len]; len],
            open: vec![vec![None; groups.len()]; len],
            shared: 0,
            changes: Vec::new(),
            commands: 0,
        }
    }

    // ---- switches ----

    pub(super) fn boot(&mut self, node: NodeId) {
        let session = self.luck.next() | 1;
        self.nodes[usize::from(node)].boot(self.now, session);
        self.after(node);
    }

    pub(super) fn boot_all(&mut self) {
        for node in self.ids() {
            self.boot(node);
        }
    }

    /// Pulls the plug.
    pub(super) fn crash(&mut self, node: NodeId) {
        self.nodes[usize::from(node)].up = false;
        self.look();
    }

    /// The agent gets no processor from now on.
    pub(super) fn freeze(&mut self, node: NodeId) {
        self.nodes[usize::from(node)].frozen = true;
        self.look();
    }

    pub(super) fn thaw(&mut self, node: NodeId) {
        self.nodes[usize::from(node)].thaw(self.now);
        self.after(node);
    }

    pub(super) fn cut_one_way(&mut self, from: NodeId, to: NodeId) {
        self.cut[usize::from(from)][usize::from(to)] = true;
        self.look();
    }

    pub(super) fn cut(&mut self, a: NodeId, b: NodeId) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    pub(super) fn heal(&mut self) {
        for row in &mut self.cut {
            row.fill(false);
        }
        self.look();
    }

    pub(super) fn plan(&mut self, node: NodeId, group: GroupId) -> &mut Plan {
        &mut self.nodes[usize::from(node)].plans[group as usize]
    }

    /// What a node can see of a group's network from now on.
    pub(super) fn see(&mut self, node: NodeId, group: GroupId, sight: Sight) {
        self.nodes[usize::from(node)].on_input(self.now, Input::Sight { group, sight });
        self.after(node);
    }

    /// An operator's command; its answer will be in [`Self::reply`].
    pub(super) fn command(&mut self, node: NodeId, command: Command) -> u64 {
        self.commands += 1;
        let id = self.commands;
        self.nodes[usize::from(node)].on_input(self.now, Input::Command { id, command });
        self.after(node);
        id
    }

    /// Anything else that a driver tells.
    pub(super) fn input(&mut self, node: NodeId, input: Input) {
        self.nodes[usize::from(node)].on_input(self.now, input);
        self.after(node);
    }

    // ---- time ----

    pub(super) fn run(&mut self, time: u64) {
        let end = self.now + time;
        while let Some((&(at, _), _)) = self.queue.first_key_value()
            && at <= end
        {
            self.step();
        }
        self.now = end;
        self.look();
    }

    /// Runs until `done`; the time that it took.
    #[track_caller]
    pub(super) fn run_until(&mut self, limit: u64, done: impl Fn(&Self) -> bool) -> u64 {
        let start = self.now;
        while !done(self) {
            assert!(self.now - start <= limit, "not within {} ms:\n{}", limit / MS, self.describe());
            self.step();
        }
        self.now - start
    }

    fn step(&mut self) {
        let Some(((at, _), event)) = self.queue.pop_first() else { panic!("nothing will ever happen") };
        self.now = at;
        match event {
            Event::Arrive { to, frame } => {
                if self.node(to).up {
                    self.nodes[usize::from(to)].on_frame(at, frame);
                    self.after(to);
                }
            }
            Event::Ring { node, life, alarm } => {
                if self.node(node).up && self.node(node).life == life {
                    self.ring(node, alarm);
                    self.after(node);
                }
            }
        }
    }

    fn ring(&mut self, node: NodeId, alarm: Alarm) {
        let now = self.now;
        if let Alarm::Asked(group) = alarm {
            let answered = self.arp_answered(node, group);
            self.nodes[usize::from(node)].on_input(now, Input::Asked { group, answered });
        } else {
            self.nodes[usize::from(node)].on_alarm(now, alarm);
        }
    }

    fn arp_answered(&self, node: NodeId, group: GroupId) -> bool {
        let hears =
            |peer: &Node| peer.id != node && !self.is_cut(node, peer.id) && !self.is_cut(peer.id, node);
        self.strangers.contains(&group)
            || self.nodes.iter().any(|peer| hears(peer) && peer.serves(self.now, group))
    }

    /// Sends what a node left, sets its alarms, and looks at the gates.
    fn after(&mut self, id: NodeId) {
        let node = &mut self.nodes[usize::from(id)];
        if node.exited {
            node.up = false;
        }
        let life = node.life;
        let (outbox, alarms) = (core::mem::take(&mut node.outbox), core::mem::take(&mut node.alarms));
        for (at, alarm) in alarms {
            self.push(at, Event::Ring { node: id, life, alarm });
        }
        for (to, frame) in outbox {
            self.send(id, to, frame);
        }
        self.look();
    }

    fn send(&mut self, from: NodeId, to: NodeId, frame: Frame) {
        let flight = 50_000 + self.luck.below(MS);
        if self.is_cut(from, to) {
            return;
        }
        let last = &mut self.last[usize::from(from)][usize::from(to)];
        let at = (self.now + flight).max(*last + 1);
        *last = at;
        self.push(at, Event::Arrive { to, frame });
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.queued += 1;
        self.queue.insert((at.max(self.now), self.queued), event);
    }

    // ---- the eye on the gates ----

    fn look(&mut self) {
        self.look_at_links();
        for group in self.groups() {
            let before = self.owners_seen(group);
            for id in self.ids() {
                let open = self.node(id).serves(self.now, group);
                let was = &mut self.open[usize::from(id)][group as usize];
                if was.is_some() != open {
                    *was = open.then_some(self.now);
                    self.changes.push(Change { at: self.now, group, node: id, open });
                }
            }
            let owners = self.owners_seen(group);
            if owners.len() > 1 {
                self.shared += usize::from(owners.len() > before.len());
                self.assert_settled(group, &owners);
            }
        }
    }

    fn look_at_links(&mut self) {
        for a in self.ids() {
            for b in (0..a).filter(|&b| b != a) {
                let (one, other) = (self.node(a), self.node(b));
                let hear = one.up
                    && other.up
                    // A starved node challenges nobody: of a new life it learns when its lease is over.
                    && !one.frozen
                    && !other.frozen
                    && one.secret == other.secret
                    && !self.is_cut(a, b)
                    && !self.is_cut(b, a);
                let now = self.now;
                let linked = &mut self.linked[usize::from(a)][usize::from(b)];
                *linked = if hear { Some(linked.unwrap_or(now)) } else { None };
            }
        }
    }

    /// Promise 1: two nodes that hear each other do not both serve a group for longer than it takes to say so: every
    /// page once, and the keepalive that was under way.
    fn assert_settled(&self, group: GroupId, owners: &[NodeId]) {
        let pages = self.groups().len().div_ceil(8) as u64;
        let bound = (pages + 1) * KEEPALIVE + 10 * MS;
        for &a in owners {
            for &b in owners.iter().filter(|&&b| b < a) {
                let linked = self.linked[usize::from(a)][usize::from(b)];
                let open = |node| self.open[usize::from(node)][group as usize];
                if let (Some(linked), Some(a_open), Some(b_open)) = (linked, open(a), open(b)) {
                    let both = self.now - linked.max(a_open).max(b_open);
                    assert!(
                        both <= bound,
                        "group {group}: nodes {b} and {a} both serve:\n{}",
                        self.describe()
                    );
                }
            }
        }
    }

    fn owners_seen(&self, group: GroupId) -> Vec<NodeId> {
        self.ids().into_iter().filter(|&id| self.open[usize::from(id)][group as usize].is_some()).collect()
    }

    // ---- questions ----

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[usize::from(id)]
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        (0..self.nodes.len() as NodeId).collect()
    }

    pub(super) fn groups(&self) -> core::ops::Range<GroupId> {
        0..self.nodes[0].groups()
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut[usize::from(from)][usize::from(to)]
    }

    /// Nodes whose kernels serve the group now.
    pub(super) fn owners(&self, group: GroupId) -> Vec<NodeId> {
        self.ids().into_iter().filter(|&id| self.node(id).serves(self.now, group)).collect()
    }

    pub(super) fn is_served_by(&self, group: GroupId, node: NodeId) -> bool {
        self.owners(group) == [node]
    }

    pub(super) fn reply(&self, id: u64) -> Option<&Result<Done, Refusal>> {
        self.nodes.iter().find_map(|node| node.replies.get(&id))
    }

    /// How often gates changed so far.
    pub(super) fn mark(&self) -> usize {
        self.changes.len()
    }

    /// For a person who wonders how it came to this.
    pub(super) fn describe(&self) -> String {
        let mut text = format!("now {} ms\n", self.now / MS);
        for change in self.changes.iter().rev().take(20).rev() {
            text += &format!("{} ms: {change:?}\n", change.at / MS);
        }
        for node in &self.nodes {
            text += &format!("node {}: up {} frozen {}\n", node.id, node.up, node.frozen);
            for (at, note) in node.notes.iter().rev().take(12).rev() {
                text += &format!("  {} ms: {note:?}\n", at / MS);
            }
            text += &format!("  {:?}\n", node.cluster.report());
        }
        text
    }
}
