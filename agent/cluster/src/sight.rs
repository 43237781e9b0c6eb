//! Who sees more of a group's network, and what follows from it.
//!
//! Ping nodes and the neighbours on a group's own network are voices from outside of the cluster. Where they tell two nodes
//! apart that hear each other, the one that sees more serves: the owner hands the group over by itself. Where they do not
//! (both blind, both see, one does not know), nothing moves. Nobody takes a group for having seen more.

use reflex::{Sight, Voice};

use crate::cluster::Cluster;
use crate::group::Why;
use crate::{GroupId, Instant, NodeId};

/// How long a node on whose network others are reached must be the only one, ns. Short, because the network was asked
/// several times before anybody says that it does not answer; it bridges the moment between the two nodes' findings.
const REACH_DAMPING: u64 = 10_000_000;

/// How many dampings the home node must see as much as the owner before a group that it lost for seeing less goes back.
const SETTLE: u64 = 10;

/// The same at least, ns.
const SETTLE_MIN: u64 = 10_000_000_000;

impl Cluster {
    /// What a node sees of the group's network, by its own word.
    pub(crate) fn sight(&self, node: NodeId, group: GroupId) -> Sight {
        if node == self.config.own {
            return self.groups[group as usize].sight;
        }
        // Of a node that is dead or has no agent, nothing is known.
        let view = self.view(node);
        if view.alive && !view.starved { self.claim(node, group).sight } else { Sight::default() }
    }

    /// Whether `other` sees strictly more of the group's network than `node`, and by which voice.
    pub(crate) fn sees_less(&self, group: GroupId, node: NodeId, other: NodeId) -> Option<Voice> {
        self.sight(other, group).more_than(self.sight(node, group))
    }

    /// The first of `nodes` than which no other of them sees more.
    pub(crate) fn first_who_sees(&self, group: GroupId, nodes: &[NodeId]) -> Option<NodeId> {
        let sees = |&&node: &&NodeId| nodes.iter().all(|&other| self.sees_less(group, node, other).is_none());
        // With three kinds of knowing nothing there may be a circle.
        nodes.iter().find(sees).or_else(|| nodes.first()).copied()
    }

    /// The node that should have the group instead of its holder, because it sees more.
    pub(crate) fn better(&self, group: GroupId, holder: NodeId) -> Option<(NodeId, Voice)> {
        let heir = self.heir(group, holder)?;
        Some((heir, self.sees_less(group, holder, heir)?))
    }

    /// How long one node must see more than the other before that means something, ns.
    pub(crate) fn damping(&self, voice: Voice) -> u64 {
        match voice {
            Voice::Reach => REACH_DAMPING,
            Voice::Pings => self.config.damping,
        }
    }

    /// The node that sees more than this one, which holds the group, and has for long enough.
    pub(crate) fn outseen(&mut self, now: Instant, id: GroupId) -> Option<(NodeId, Why)> {
        let found = self.better(id, self.config.own);
        let group = &mut self.groups[id as usize];
        let same = |(node, voice, _): &(NodeId, Voice, Instant)| found == Some((*node, *voice));
        group.outseen = group.outseen.filter(same).or_else(|| found.map(|(node, voice)| (node, voice, now)));
        let (to, voice, since) = group.outseen?;
        let why = match voice {
            Voice::Reach => Why::Deaf,
            Voice::Pings => Why::Blind,
        };
        (now >= since.saturating_add(self.damping(voice))).then_some((to, why))
    }

    /// Whether the home node sees less than this one, which holds the group. When it does no more, after so long that it
    /// lost the group for it or would have, the group is due to go home, after a while in which it sees as much.
    pub(crate) fn home_sees_less(&mut self, now: Instant, id: GroupId) -> bool {
        let less = self.sees_less(id, self.groups[id as usize].home, self.config.own);
        let before = self.groups[id as usize].home_sees_less;
        let meant = before.is_some_and(|(voice, since)| now >= since.saturating_add(self.damping(voice)));
        let settle = self.config.damping.saturating_mul(SETTLE).max(SETTLE_MIN);
        let group = &mut self.groups[id as usize];
        group.home_sees_less = less.map(|voice| before.unwrap_or((voice, now)));
        if less.is_none() && meant {
            (group.failback_due, group.failback_after) = (true, now.saturating_add(settle));
        }
        less.is_some()
    }
}
