//! Who holds a group, who should, who is next: pure questions about what is known.

use alloc::vec::Vec;

use reflex::{Claim, ClaimState};

use crate::cluster::Cluster;
use crate::group::{Group, Phase};
use crate::input::NodeView;
use crate::{Epoch, GroupId, NodeId};

/// Who holds a group, and with which epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) node: NodeId,
    pub(crate) epoch: Epoch,
    /// It was declared dead: the claim is its last word.
    pub(crate) dead: bool,
}

impl Cluster {
    pub(crate) fn view(&self, node: NodeId) -> NodeView {
        self.nodes.get(usize::from(node)).copied().unwrap_or_default()
    }

    pub(crate) fn claim(&self, node: NodeId, group: GroupId) -> Claim {
        self.claims
            .get(usize::from(node))
            .and_then(|claims| claims.get(group as usize))
            .copied()
            .unwrap_or_default()
    }

    /// All nodes but this one.
    pub(crate) fn others(&self) -> impl Iterator<Item = NodeId> + '_ {
        (0..self.config.nodes as NodeId).filter(|&node| node != self.config.own)
    }

    /// The node that holds the group by the highest epoch claimed; living nodes come before dead ones. What a dead
    /// node claimed is old news when anybody had a higher epoch since.
    pub(crate) fn holder(&self, group: GroupId) -> Option<Holder> {
        let mut best: Option<Holder> = None;
        let own = &self.groups[group as usize].gate;
        if own.open {
            best = Some(Holder { node: self.config.own, epoch: own.held, dead: false });
        }
        for node in self.others() {
            let claim = self.claim(node, group);
            if claim.state() != ClaimState::Open {
                continue;
            }
            let found = Holder { node, epoch: claim.epoch, dead: !self.view(node).alive };
            if found.dead && found.epoch.saturating_add(1) < self.next_epoch(group) {
                continue;
            }
            let better = best.is_none_or(|best| {
                (!found.dead, found.epoch, best.node) > (!best.dead, best.epoch, found.node)
            });
            if better {
                best = Some(found);
            }
        }
        best
    }

    /// An epoch above every one that was heard of.
    pub(crate) fn next_epoch(&self, group: GroupId) -> Epoch {
        let gate = &self.groups[group as usize].gate;
        let claimed = self.others().map(|node| self.claim(node, group).epoch).max().unwrap_or(0);
        gate.held.max(gate.seen).max(claimed).saturating_add(1)
    }

    /// The nodes in the order in which they should have the group: its home, then round from there.
    pub(crate) fn preference(&self, group: GroupId) -> Vec<NodeId> {
        let (home, len) = (self.groups[group as usize].home, self.config.nodes as NodeId);
        (0..len).map(|i| (home + i) % len).collect()
    }

    /// Whether `node` would take the group now.
    pub(crate) fn is_willing(&self, node: NodeId, group: GroupId) -> bool {
        if node == self.config.own {
            return self.wants(&self.groups[group as usize]);
        }
        let view = self.view(node);
        view.alive
            && view.active
            && !view.leaving
            && !view.starved
            && view.config_matches
            && self.claim(node, group).flags & Claim::WILLING != 0
    }

    /// Whether this node would take or keep the group.
    pub(crate) fn wants(&self, group: &Group) -> bool {
        self.active && self.would_want(group)
    }

    /// The same, but for being active. Frames say so from the first on: being active is said once per frame, this
    /// on one page of many, and whoever hears that we are active must not have to wait for the other pages.
    pub(crate) fn would_want(&self, group: &Group) -> bool {
        // Who has lost the interface keeps what nobody else can take, and takes nothing: it would serve nobody, and might
        // win against who does.
        let is_down =
            matches!(group.phase, Phase::Stopped | Phase::Readying | Phase::Ready | Phase::Releasing);
        let can_take = is_down && !group.unreachable;
        !self.leaving && group.failure.is_none() && (group.gate.open || can_take)
    }

    /// Whether `node` may become willing before long: it is starting, or is there with another key. Groups
    /// that are at home there wait for it.
    fn may_come(&self, node: NodeId) -> bool {
        let view = self.view(node);
        (view.refused && !view.alive) || (view.alive && !view.active && !view.leaving && view.config_matches)
    }

    /// Whose turn it is when nobody holds the group. `None` also when the one whose turn it would be is about
    /// to come.
    pub(crate) fn candidate(&self, group: GroupId) -> Option<NodeId> {
        if self.groups[group as usize].wanted_until.is_some() && self.is_willing(self.config.own, group) {
            return Some(self.config.own);
        }
        if let Some(asking) = self.asks_for(group) {
            return Some(asking);
        }
        if let Some(named) = self.named_by_last_holder(group)
            && self.is_willing(named, group)
        {
            return Some(named);
        }
        let mut willing = Vec::new();
        for node in self.preference(group) {
            if self.is_willing(node, group) {
                willing.push(node);
            } else if willing.is_empty() && node != self.config.own && self.may_come(node) {
                return None;
            }
        }
        self.first_who_sees(group, &willing)
    }

    /// The node that the last holder handed the group to.
    fn named_by_last_holder(&self, group: GroupId) -> Option<NodeId> {
        let own = &self.groups[group as usize];
        let mut best = (own.gate.held, own.heir_named());
        for node in self.others() {
            let claim = self.claim(node, group);
            if claim.epoch > best.0 && claim.state() == ClaimState::Resigned {
                best = (claim.epoch, claim.heir.checked_sub(1));
            }
        }
        best.1
    }

    /// The node that should follow `holder`.
    pub(crate) fn heir(&self, group: GroupId, holder: NodeId) -> Option<NodeId> {
        let named = if holder == self.config.own {
            self.groups[group as usize].heir_named()
        } else {
            self.claim(holder, group).heir.checked_sub(1)
        };
        if let Some(named) = named
            && named != holder
            && self.is_willing(named, group)
        {
            return Some(named);
        }
        let willing = |node: &NodeId| *node != holder && self.is_willing(*node, group);
        let willing: Vec<NodeId> = self.preference(group).into_iter().filter(willing).collect();
        self.first_who_sees(group, &willing)
    }

    /// Whether who holds the group, or held it until just now, hands it to this node, which wants it.
    pub(crate) fn is_named(&self, group: GroupId) -> bool {
        let own = self.config.own;
        let named = match self.holder(group) {
            Some(holder) if holder.node == own => None,
            Some(holder) => self.claim(holder.node, group).heir.checked_sub(1),
            // Our kernel opens on the same word; the election may hear of the one before the other.
            None => self.named_by_last_holder(group),
        };
        named == Some(own) && self.is_willing(own, group)
    }

    /// [`crate::GroupConfig::hands_over`].
    pub(crate) fn hands_over(&self, group: GroupId) -> bool {
        self.config.groups.get(group as usize).is_some_and(|group| group.hands_over)
    }

    /// A node other than this one that asks for the group.
    pub(crate) fn asks_for(&self, group: GroupId) -> Option<NodeId> {
        self.others().find(|&node| {
            let claim = self.claim(node, group);
            claim.heir == node + 1 && claim.state() != ClaimState::Open && self.is_willing(node, group)
        })
    }
}
