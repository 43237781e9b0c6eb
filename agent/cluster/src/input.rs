//! Everything that the world can tell the election.

use alloc::string::String;
use alloc::vec::Vec;

use reflex::{Claim, Reason, Sight};

use crate::{Epoch, GroupId, NodeId};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Input {
    /// What is known of another node changed, or what it says of groups. One input is one look at the tables, the
    /// view read before the claims: a view that came without the claims that belong to it would show a node that
    /// is heard and holds nothing.
    Node {
        /// Which.
        node: NodeId,
        /// What is known now.
        view: NodeView,
        /// What it says now, of those groups of which it said something else the last time; also that it says
        /// nothing any more, because it has a new life.
        claims: Vec<(GroupId, Claim)>,
    },
    /// Our kernel's gate changed. Read after all actions so far were carried out.
    Gate {
        /// Whose gate.
        group: GroupId,
        /// How it is now.
        gate: GateView,
    },
    /// The resources of a group were started or stopped.
    Done {
        /// Which group's.
        group: GroupId,
        /// What was asked for.
        operation: Operation,
        /// Whether it worked; else what did not, in words for a person.
        outcome: Result<(), String>,
    },
    /// A resource of a group that is up died and does not come back here, or all of them run again.
    Monitored {
        /// Which group's.
        group: GroupId,
        /// What is wrong, in words for a person.
        outcome: Result<(), String>,
    },
    /// The interface that a group's addresses are on went up or down.
    Reach {
        /// Which group's.
        group: GroupId,
        /// It is up.
        up: bool,
    },
    /// What this node can see of a group's network.
    Sight {
        /// Which group's.
        group: GroupId,
        /// What it sees.
        sight: Sight,
    },
    /// The answer to [`crate::Action::Ask`]: does somebody answer ARP for the group's addresses?
    Asked {
        /// Which group's.
        group: GroupId,
        /// Somebody does.
        answered: bool,
    },
    /// An operator wants something.
    Command {
        /// Names the command in [`crate::Action::Reply`].
        id: u64,
        /// What.
        command: Command,
    },
    /// The files were read anew, and these of their values count from now on.
    Rules {
        /// [`crate::Config::auto_failback`]. Turned on, it is for nodes that return from now on: what is away stays away.
        auto_failback: bool,
        /// [`crate::Config::initdead`].
        initdead: u64,
        /// [`crate::Config::deadtime`].
        deadtime: u64,
        /// [`crate::Config::damping`].
        damping: u64,
    },
    /// Nothing but that time passed.
    Timeout,
}

/// What is known of another node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NodeView {
    /// Its life; 0 until it answered our challenge.
    pub session: u64,
    /// It was heard and has not been declared dead since.
    pub alive: bool,
    /// It has finished its start.
    pub active: bool,
    /// It is going down.
    pub leaving: bool,
    /// Its lease has expired ([`reflex::Status::LEASE`] is not set): its kernel answers, its agent does not work.
    pub starved: bool,
    /// It says that it hears us.
    pub hears_us: bool,
    /// Its configuration has the digest of ours.
    pub config_matches: bool,
    /// All its claims were heard in this life.
    pub complete: bool,
    /// Somebody in its name was refused for his key lately.
    pub refused: bool,
}

/// Our kernel's gate of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GateView {
    /// Highest epoch that it was ever open with.
    pub held: Epoch,
    /// Highest epoch that nobody here may use any more, or that was heard of elsewhere.
    pub seen: Epoch,
    /// It is open.
    pub open: bool,
    /// Why it was fenced, if it was fenced rather than resigned.
    pub fenced: Option<Reason>,
}

/// What the resource scripts were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Operation {
    /// Bring the group up, left to right.
    Start,
    /// Take it down, right to left.
    Stop,
    /// Leave up, or bring up, only the addresses that it begins with.
    Ready,
}

/// What an operator may want.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Command {
    /// Give these groups to another node.
    Standby(Set),
    /// Take these groups from another node.
    Takeover(Set),
    /// Hand over everything and end.
    Stop,
}

/// Which groups, from this node's point of view. Heartbeat's words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Set {
    /// All groups.
    All,
    /// Those whose home is this node.
    Local,
    /// Those whose home is another node.
    Foreign,
    /// One.
    Group(GroupId),
}
