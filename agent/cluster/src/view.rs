//! What the election knows when it begins, and what it shows of itself.

use alloc::string::String;
use alloc::vec::Vec;

use crate::{GateView, GroupId, NodeId, Phase};

/// What it knows. Nodes and groups do not change while the agent runs; the rest may ([`crate::Input::Rules`]).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// This node.
    pub own: NodeId,
    /// Number of nodes.
    pub nodes: usize,
    /// Groups, by index.
    pub groups: Vec<GroupConfig>,
    /// Groups go back to their home when it returns.
    pub auto_failback: bool,
    /// How long a start waits for nodes that are not heard, ns.
    pub initdead: u64,
    /// Silence after which a node is dead, ns: the measure for how long others get to act.
    pub deadtime: u64,
    /// How long another node must see more ping nodes before a group moves to it, ns: longer than two nodes take to
    /// notice the same.
    pub damping: u64,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GroupConfig {
    /// Node that it is at home on.
    pub home: NodeId,
    /// Its addresses may be up on two nodes for the moment of a planned move: the group begins with them, and on this node
    /// kernel gates stand on all their interfaces.
    #[cfg_attr(feature = "serde", serde(default))]
    pub hands_over: bool,
}

/// How a group stands, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupReport {
    /// Which.
    pub group: GroupId,
    /// Who serves it.
    pub owner: Option<NodeId>,
    /// With which epoch.
    pub epoch: u32,
    /// Our own resources.
    pub phase: Phase,
    /// Who is next.
    pub heir: Option<NodeId>,
    /// The owner stays although another node sees more of its network, or will move to it: who that is.
    pub better: Option<NodeId>,
    /// What went wrong, in words for a person.
    pub failure: Option<String>,
    /// The life of its home node in which the group does not go back to it: that was there, and lost it or gave it away,
    /// or somebody wanted it elsewhere.
    pub stays: Option<u64>,
}

/// What an agent that goes on finds of one group: see [`crate::Cluster::resume`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Held {
    /// Which.
    pub group: GroupId,
    /// Its gate.
    pub gate: GateView,
    /// Its resources.
    pub phase: Phase,
    /// [`GroupReport::stays`] of the agent before, if that is known.
    pub stays: Option<u64>,
}
