//! From tables to inputs: what changed since the last look.

use crate::config::same_cluster;
use cluster::{GateView, GroupId, Input, NodeId, NodeView};
use reflex::node::Said;
use reflex::{CLAIMS_PER_FRAME, Claim, Facts, Orders, Reason, Status, gate, watch};

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

/// How long a refused frame is remembered, ns.
fn refused_memory(deadtime: u64) -> u64 {
    deadtime.max(REFUSED_MEMORY_MIN)
}

impl Observer {
    pub(super) fn new(nodes: usize, groups: usize, deadtime: u64) -> Self {
        Self {
            nodes: vec![NodeView::default(); nodes],
            claims: vec![vec![0; groups]; nodes],
            gates: vec![GateView::default(); groups],
            refused_memory: refused_memory(deadtime),
        }
    }

    /// The dead time is another one now.
    pub(super) fn set_deadtime(&mut self, deadtime: u64) {
        self.refused_memory = refused_memory(deadtime);
    }

    /// The next thing that changed since the last look, as an input; to be asked until there is none, and anew
    /// after each input, because what the election orders changes the tables.
    ///
    /// One input is one look at a node: who it is first, then what it claims, so that claims are never older than
    /// the view that they come with. A gate comes before the claim that has opened it: an heir that heard of the
    /// resignation alone would let the addresses go, and take them up again.
    pub(super) fn next(&mut self, orders: &Orders, facts: &Facts, now: u64) -> Option<Input> {
        let own = orders.own.get() as usize;
        let others = (0..self.nodes.len()).filter(|&index| index != own);
        let changed = others
            .map(|index| (index, self.node_view(orders, facts, index, now), self.new_claims(facts, index)))
            .find(|(index, view, claims)| *view != self.nodes[*index] || !claims.is_empty());
        if let Some(gate) = self.next_gate(orders, facts, now) {
            return Some(gate);
        }
        let (index, view, claims) = changed?;
        self.nodes[index] = view;
        claims.iter().for_each(|&(group, word)| self.claims[index][group as usize] = word);
        let claims = claims.into_iter().map(|(group, word)| (group, Claim::unpack(word))).collect();
        Some(Input::Node { node: index as NodeId, view, claims })
    }

    fn next_gate(&mut self, orders: &Orders, facts: &Facts, now: u64) -> Option<Input> {
        let views = (0..)
            .zip(&mut self.gates)
            .map(|(group, seen)| (group, seen, gate_view(orders, facts, group, now)));
        let (group, seen, gate) = views.into_iter().find(|(_, seen, gate)| gate != *seen)?;
        *seen = gate;
        Some(Input::Gate { group, gate })
    }

    /// The claims of a node that changed, also to nothing: the reflex forgets them when a new life begins.
    fn new_claims(&self, facts: &Facts, index: usize) -> Vec<(GroupId, u64)> {
        let told = (0..).zip(&self.claims[index]);
        let now =
            told.map(|(group, seen): (GroupId, _)| (group, *seen, facts.claims[index][group as usize].get()));
        now.filter(|(_, seen, word)| seen != word).map(|(group, _, word)| (group, word)).collect()
    }

    fn node_view(&self, orders: &Orders, facts: &Facts, index: usize, now: u64) -> NodeView {
        let node = &facts.nodes[index];
        let said = Said::unpack(node.said.get());
        let session = node.session.get();
        let refused_at = node.refused_at.get();
        let alive = is_heard(orders, facts, index, now) && node.said.get() != 0;
        NodeView {
            session,
            alive,
            active: said.status & Status::ACTIVE != 0,
            leaving: said.status & Status::LEAVING != 0,
            starved: node.said.get() != 0 && said.status & Status::LEASE == 0,
            hears_us: said.hears & (1 << orders.own.get()) != 0,
            config_matches: node.said.get() == 0 || same_cluster(said.config, orders.config.get() as u32),
            // Silent for deadtime and not yet dead: what it held before may be old.
            complete: alive
                && now < node.heard_until.get()
                && pages_heard(facts, index, orders.groups_len.get()),
            refused: refused_at != 0 && now.saturating_sub(refused_at) < self.refused_memory,
        }
    }
}

/// Whether a node is there, as far as is known: admitted, not declared dead, and either heard lately or somebody who can be
/// asked.
pub(super) fn is_heard(orders: &Orders, facts: &Facts, index: usize, now: u64) -> bool {
    let node = &facts.nodes[index];
    node.session.get() != 0 && node.dead_at.get() == 0 && !watch::is_cut_off(orders, facts, index as u8, now)
}

fn pages_heard(facts: &Facts, index: usize, groups: u64) -> bool {
    let pages = (groups as usize).div_ceil(CLAIMS_PER_FRAME).max(1);
    (0..pages).all(|page| facts.nodes[index].pages[page / 64].get() & (1 << (page % 64)) != 0)
}

/// A gate as the election sees it. The lease counts here too: what its end has closed is fenced a moment later.
pub(super) fn gate_view(orders: &Orders, facts: &Facts, group: GroupId, now: u64) -> GateView {
    let (gate_orders, gate_facts) = (&orders.gates[group as usize], &facts.gates[group as usize]);
    let held = gate::held(gate_orders, gate_facts);
    let shut = gate::shut(gate_orders, gate_facts);
    let open = held > shut && gate::may_serve(orders, facts, now);
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

#[cfg(test)]
mod tests {
    use reflex::ClaimState;

    use super::*;

    #[test]
    fn a_gate_comes_before_the_claim_that_has_opened_it() {
        let (orders, facts) = (Box::new(Orders::new()), Box::new(Facts::new()));
        orders.nodes_len.set(2);
        orders.groups_len.set(1);
        orders.lease_until.set(u64::MAX);
        let mut observer = Observer::new(2, 1, 1);
        let resigned = Claim { epoch: 4, state: ClaimState::Resigned as u8, ..Claim::default() };
        facts.claims[1][0].set(resigned.pack());
        facts.gates[0].taken.set(5);
        let gate = GateView { held: 5, open: true, ..GateView::default() };
        assert_eq!(observer.next(&orders, &facts, 1), Some(Input::Gate { group: 0, gate }));
        let Some(Input::Node { node: 1, claims, .. }) = observer.next(&orders, &facts, 1) else {
            panic!("the claim comes next")
        };
        assert_eq!(claims, [(0, resigned)]);
        assert_eq!(observer.next(&orders, &facts, 1), None, "each is told once");
    }
}
