//! From tables to inputs: what changed since the last look.

use cluster::{GateView, GroupId, Input, NodeId, NodeView};
use reflex::node::Said;
use reflex::{CLAIMS_PER_FRAME, Claim, Facts, Orders, Reason, Status, gate};

/// What was seen at the last look.
pub(super) struct Observer {
    nodes: Vec<NodeView>,
    claims: Vec<Vec<u64>>,
    gates: Vec<GateView>,
    /// How long a refused frame is remembered, ns.
    refused_memory: u64,
}

/// Refused frames count as a sign of presence for this long at least, ns.
const REFUSED_MEMORY_MIN: u64 = 2_500_000_000;

impl Observer {
    pub(super) fn new(nodes: usize, groups: usize, deadtime: u64) -> Self {
        Self {
            nodes: vec![NodeView::default(); nodes],
            claims: vec![vec![0; groups]; nodes],
            gates: vec![GateView::default(); groups],
            refused_memory: deadtime.max(REFUSED_MEMORY_MIN),
        }
    }

    /// Everything that changed about the others, as inputs: first what nodes say, then who they are.
    ///
    /// Claims come before the node's life so that a node is complete only when its claims are known; a new life
    /// clears them first.
    pub(super) fn look_at_nodes(&mut self, orders: &Orders, facts: &Facts, now: u64) -> Vec<Input> {
        let mut inputs = Vec::new();
        let own = orders.own.get() as usize;
        for index in (0..self.nodes.len()).filter(|&index| index != own) {
            let node = index as NodeId;
            let view = self.node_view(orders, facts, index, now);
            if view.session != self.nodes[index].session {
                self.claims[index].fill(0);
                inputs.push(Input::Node { node, view: NodeView { complete: false, ..view } });
                self.nodes[index] = NodeView { complete: false, ..view };
            }
            for (group, seen) in (0..).zip(self.claims[index].iter_mut()) {
                let word = facts.claims[index][group as usize].get();
                if word != *seen {
                    *seen = word;
                    inputs.push(Input::Claim { node, group, claim: Claim::unpack(word) });
                }
            }
            if view != self.nodes[index] {
                self.nodes[index] = view;
                inputs.push(Input::Node { node, view });
            }
        }
        inputs
    }

    /// Our gate of `group`, if it changed.
    ///
    /// To be told before the next gate is looked at: any input may make the election open or close any gate, and what
    /// was seen before that would undo it.
    pub(super) fn look_at_gate(
        &mut self,
        orders: &Orders,
        facts: &Facts,
        group: GroupId,
        now: u64,
    ) -> Option<Input> {
        let gate = gate_view(orders, facts, group, now);
        let seen = self.gates.get_mut(group as usize)?;
        let changed = *seen != gate;
        *seen = gate;
        changed.then_some(Input::Gate { group, gate })
    }

    fn node_view(&self, orders: &Orders, facts: &Facts, index: usize, now: u64) -> NodeView {
        let node = &facts.nodes[index];
        let said = Said::unpack(node.said.get());
        let session = node.session.get();
        let refused_at = node.refused_at.get();
        let alive = session != 0 && node.dead_at.get() == 0 && node.said.get() != 0;
        NodeView {
            session,
            alive,
            active: said.status & Status::ACTIVE != 0,
            leaving: said.status & Status::LEAVING != 0,
            hears_us: said.hears & (1 << orders.own.get()) != 0,
            config_matches: node.said.get() == 0 || u64::from(said.config) == orders.config.get(),
            complete: alive && pages_heard(facts, index, orders.groups_len.get()),
            refused: refused_at != 0 && now.saturating_sub(refused_at) < self.refused_memory,
        }
    }
}

fn pages_heard(facts: &Facts, index: usize, groups: u64) -> bool {
    let pages = (groups as usize).div_ceil(CLAIMS_PER_FRAME).max(1);
    (0..pages).all(|page| facts.nodes[index].pages[page / 64].get() & (1 << (page % 64)) != 0)
}

/// A gate as the election sees it. The lease counts here too: what it has closed is fenced a moment later.
pub(super) fn gate_view(orders: &Orders, facts: &Facts, group: GroupId, now: u64) -> GateView {
    let (gate_orders, gate_facts) = (&orders.gates[group as usize], &facts.gates[group as usize]);
    let held = gate::held(gate_orders, gate_facts);
    let shut = gate::shut(gate_orders, gate_facts);
    let open = held > shut && gate::lease_valid(orders, now);
    let resigned = gate_orders.resigned.get() >= held;
    GateView {
        held: held as u32,
        seen: shut.max(gate_facts.rival.get()) as u32,
        open,
        fenced: if open || resigned || held == 0 {
            None
        } else {
            Reason::from_number(gate_facts.reason.get())
        },
    }
}
