//! One node's agent: the real election, and the driver's part, played as plainly as it can be. What the kernel found
//! becomes inputs, what the election asks for becomes orders, frames and scripts.

use std::collections::BTreeSet;
use std::mem;

use cluster::{
    Action, Cluster, Config, Done, GateView, GroupId, Input, NodeId, NodeView, Operation, Refusal,
};
use reflex::node::Said;
use reflex::{CLAIMS_PER_FRAME, Claim, Reason, Status, gate, watch};

use super::kernel::{DIGEST, Kernel};
use super::trace::Trace;

/// How an agent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// As it should.
    Well,
    /// Not scheduled at all.
    Frozen,
    /// The decision loop hangs; the prober's thread goes on.
    Stuck,
}

/// What the agent wants of its machine.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Run(GroupId, Operation),
    Ask(GroupId),
    Reply(u64, Result<Done, Refusal>),
    Exit,
}

/// What the election was last told.
#[derive(Clone, Debug)]
struct Told {
    nodes: Vec<NodeView>,
    claims: Vec<Vec<u64>>,
    gates: Vec<GateView>,
}

pub(super) struct Agent {
    id: NodeId,
    pub(super) cluster: Cluster,
    pub(super) health: Health,
    /// Which life this is: timers of an earlier one ring for nobody.
    pub(super) life: u32,
    groups: usize,
    told: Told,
    /// Tells the election of gates before it tells of nodes: a driver may do either.
    gates_first: bool,
    pub(super) inbox: Vec<Input>,
    pub(super) wishes: Vec<Wish>,
    /// Pages that changed since they were last told.
    dirty: BTreeSet<u8>,
    /// Pages to be sent now.
    pub(super) say: BTreeSet<u8>,
    pub(super) page: u8,
    pub(super) woken_at: Option<u64>,
    /// A turn of the prober that fell into a sleep.
    pub(super) missed_tick: bool,
    trace: Trace,
}

impl Agent {
    pub(super) fn new(config: &Config, now: u64, life: u32, gates_first: bool, trace: Trace) -> Self {
        let (nodes, groups) = (config.nodes, config.groups.len());
        Self {
            id: config.own,
            cluster: Cluster::new(config.clone(), now),
            health: Health::Well,
            life,
            groups,
            told: Told {
                nodes: vec![NodeView::default(); nodes],
                claims: vec![vec![0; groups]; nodes],
                gates: vec![GateView::default(); groups],
            },
            gates_first,
            inbox: Vec::new(),
            wishes: Vec::new(),
            dirty: BTreeSet::new(),
            say: BTreeSet::new(),
            page: 0,
            woken_at: None,
            missed_tick: false,
            trace,
        }
    }

    pub(super) fn pages(&self) -> u8 {
        self.groups.div_ceil(CLAIMS_PER_FRAME).max(1) as u8
    }

    /// Tells the election everything that is new and does what it asks for, until there is nothing more.
    ///
    /// # Errors
    /// When the election never settles, or wants to be called in the past.
    pub(super) fn turn(&mut self, now: u64, kernel: &Kernel) -> Result<(), String> {
        self.drain(kernel);
        for input in mem::take(&mut self.inbox) {
            self.feed(now, kernel, input)?;
        }
        // What is news is looked up again after each input: an order changes the tables.
        while let Some(input) = self.news(now, kernel) {
            self.feed(now, kernel, input)?;
        }
        if self.cluster.poll_timeout().is_some_and(|at| at <= now) {
            self.feed(now, kernel, Input::Timeout)?;
        }
        Ok(())
    }

    fn feed(&mut self, now: u64, kernel: &Kernel, input: Input) -> Result<(), String> {
        self.trace.node(self.id, || format!("  {input:?}"));
        let what = input.clone();
        self.cluster.handle(now, input);
        self.drain(kernel);
        if self.cluster.poll_timeout().is_some_and(|at| at <= now) {
            return Err(format!("node {}: busy loop after {what:?}", self.id));
        }
        let mut again = self.cluster.clone();
        again.handle(now, Input::Timeout);
        match again.poll_action() {
            None => Ok(()),
            Some(more) => Err(format!("node {}: not settled after {what:?}: {more:?}", self.id)),
        }
    }

    fn drain(&mut self, kernel: &Kernel) {
        while let Some(action) = self.cluster.poll_action() {
            self.trace.node(self.id, || format!("    -> {action:?}"));
            self.act(kernel, action);
        }
    }

    fn act(&mut self, kernel: &Kernel, action: Action) {
        let orders = &kernel.orders;
        match action {
            // Nobody here has an ARP cache.
            Action::Announce(_) => {}
            Action::Grant { group, epoch } => {
                orders.gates[group as usize].granted.set(u64::from(epoch));
                self.touch(group);
            }
            Action::Resign { group, epoch } => {
                orders.gates[group as usize].resigned.set(u64::from(epoch));
                self.touch(group);
            }
            Action::Arm { group, armed } => {
                orders.gates[group as usize].armed.set(armed.map_or(0, gate::Armed::pack));
                self.touch(group);
            }
            Action::Plan { group, plan } => {
                orders.gates[group as usize].plan.set(plan.pack());
                self.touch(group);
            }
            Action::Status(bits) => {
                orders.status.set(u64::from(bits));
                (0..self.groups as GroupId).for_each(|group| self.touch(group));
            }
            Action::Say => {
                self.say.append(&mut self.dirty);
                if self.say.is_empty() {
                    self.say.insert(0);
                }
            }
            Action::Start(group) => self.wishes.push(Wish::Run(group, Operation::Start)),
            Action::Stop(group) => self.wishes.push(Wish::Run(group, Operation::Stop)),
            Action::Ready(group) => self.wishes.push(Wish::Run(group, Operation::Ready)),
            Action::Ask(group) => self.wishes.push(Wish::Ask(group)),
            Action::Reply { id, result } => self.wishes.push(Wish::Reply(id, result)),
            Action::Note(_) => {}
            Action::Exit => self.wishes.push(Wish::Exit),
        }
    }

    fn touch(&mut self, group: GroupId) {
        self.dirty.insert((group as usize / CLAIMS_PER_FRAME) as u8);
    }

    // ---- from tables to inputs, as the driver's observer does it ----

    fn news(&mut self, now: u64, kernel: &Kernel) -> Option<Input> {
        if self.gates_first {
            return self.gate_news(now, kernel).or_else(|| self.node_news(now, kernel));
        }
        self.node_news(now, kernel).or_else(|| self.gate_news(now, kernel))
    }

    fn node_news(&mut self, now: u64, kernel: &Kernel) -> Option<Input> {
        for node in (0..self.told.nodes.len()).filter(|&node| node != usize::from(self.id)) {
            let view = self.view(now, kernel, node);
            let mut claims = Vec::new();
            for (group, told) in (0..).zip(self.told.claims[node].iter_mut()) {
                let word = kernel.facts.claims[node][group as usize].get();
                if mem::replace(told, word) != word {
                    claims.push((group, Claim::unpack(word)));
                }
            }
            if mem::replace(&mut self.told.nodes[node], view) != view || !claims.is_empty() {
                return Some(Input::Node { node: node as NodeId, view, claims });
            }
        }
        None
    }

    fn gate_news(&mut self, now: u64, kernel: &Kernel) -> Option<Input> {
        for (group, told) in (0..).zip(self.told.gates.iter_mut()) {
            let gate = gate_view(kernel, group, now);
            if mem::replace(told, gate) != gate {
                return Some(Input::Gate { group, gate });
            }
        }
        None
    }

    fn view(&self, now: u64, kernel: &Kernel, node: usize) -> NodeView {
        let facts = &kernel.facts.nodes[node];
        let heard = facts.said.get() != 0;
        let said = Said::unpack(facts.said.get());
        let session = facts.session.get();
        let cut_off = watch::is_cut_off(&kernel.orders, &kernel.facts, node as NodeId, now);
        let alive = session != 0 && facts.dead_at.get() == 0 && heard && !cut_off;
        NodeView {
            session,
            alive,
            active: said.status & Status::ACTIVE != 0,
            leaving: said.status & Status::LEAVING != 0,
            starved: heard && said.status & Status::LEASE == 0,
            hears_us: said.hears >> self.id & 1 != 0,
            config_matches: !heard || said.config == DIGEST,
            complete: alive
                && now < facts.heard_until.get()
                && (0..self.pages()).all(|page| facts.pages[0].get() >> page & 1 != 0),
            refused: false,
        }
    }
}

/// A gate as the election sees it.
pub(super) fn gate_view(kernel: &Kernel, group: GroupId, now: u64) -> GateView {
    let (orders, facts) = (&kernel.orders.gates[group as usize], &kernel.facts.gates[group as usize]);
    let (held, shut) = (gate::held(orders, facts), gate::shut(orders, facts));
    let open = kernel.is_open(now, group);
    let silent = open || orders.resigned.get() >= held || held == 0;
    GateView {
        held: held as u32,
        seen: shut.max(facts.rival.get()) as u32,
        open,
        fenced: if silent { None } else { Reason::from_number(facts.reason.get()) },
    }
}
