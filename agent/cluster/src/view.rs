//! What the election knows when it begins, and what it shows of itself.

use alloc::string::String;
use alloc::vec::Vec;

use crate::{GroupId, NodeId, Phase};

/// What does not change while the agent runs.
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
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GroupConfig {
    /// Node that it is at home on.
    pub home: NodeId,
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
    /// What went wrong, in words for a person.
    pub failure: Option<String>,
}
