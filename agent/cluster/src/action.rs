//! Everything that the election can ask of the world.

use alloc::string::String;
use alloc::vec::Vec;

use reflex::gate::Armed;
use reflex::{Claim, Reason};

use crate::{Epoch, GroupId, NodeId};

/// One thing to do, in the order in which they are drained.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Action {
    /// Order: the gate may be open with this epoch.
    Grant {
        /// Which gate.
        group: GroupId,
        /// Above every epoch heard of.
        epoch: Epoch,
    },
    /// Order: this epoch is given up.
    Resign {
        /// Which gate.
        group: GroupId,
        /// The epoch that was held.
        epoch: Epoch,
    },
    /// Order: take over when the holder is gone; `None`: do not.
    Arm {
        /// Which gate.
        group: GroupId,
        /// From whom, with which epoch.
        armed: Option<Armed>,
    },
    /// Order: what frames say of our plans for the group. Only flags, heir and sight count.
    Plan {
        /// Which group.
        group: GroupId,
        /// The plan.
        plan: Claim,
    },
    /// Order: what frames say of ourselves ([`reflex::Status`] bits).
    Status(u8),
    /// Send probes now instead of at the next keepalive: something changed that others wait for.
    Say,
    /// Start the group's resources.
    Start(GroupId),
    /// Stop the group's resources, also when a start is under way.
    Stop(GroupId),
    /// Bring up the addresses that the group begins with, and take down all else of it, whatever is up now: the gate
    /// decides whether they serve. Only for groups that [may be up on two nodes](crate::GroupConfig::hands_over).
    Ready(GroupId),
    /// Announce the group's addresses again: somebody else may have announced them meanwhile.
    Announce(GroupId),
    /// Ask ARP whether somebody serves the group's addresses; answer with [`crate::Input::Asked`].
    Ask(GroupId),
    /// A command is done, or cannot be.
    Reply {
        /// The command's id.
        id: u64,
        /// What came of it.
        result: Result<Done, Refusal>,
    },
    /// Something that a person wants to know.
    Note(Note),
    /// Everything is handed over: end.
    Exit,
}

/// How a command was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Done {
    /// As it was meant.
    Done,
    /// This node serves none of the groups that it was to give.
    NothingToGive,
    /// This node serves all the groups that it was to take.
    NothingToTake,
    /// This node holds nothing any more and ends.
    Stopped,
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Refusal {
    /// No other node is up that could have the group.
    Nobody {
        /// Which.
        group: GroupId,
    },
    /// Another node is up, but does not want the group now.
    Unwilling {
        /// Which.
        group: GroupId,
        /// Who.
        node: NodeId,
    },
    /// The heir did not get ready; the group stays.
    NotReady {
        /// Which.
        group: GroupId,
        /// Who.
        node: NodeId,
    },
    /// The heir was given the group and did not take it.
    NotTaken {
        /// Which.
        group: GroupId,
        /// Who.
        node: NodeId,
    },
    /// Its holder did not give the group to this node in time.
    NotGiven {
        /// Which.
        group: GroupId,
    },
    /// Its resources failed here.
    Failed {
        /// Whose.
        group: GroupId,
        /// What, in words for a person.
        what: String,
    },
    /// This node was stopped meanwhile.
    Stopped,
}

/// What happened, for logs and events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Note {
    /// This node takes part in elections from now on; `alone` if not every node was heard.
    Active {
        /// Not every node was heard.
        alone: bool,
    },
    /// This node serves groups and does not hear these nodes, which never said that they go: they may serve, too.
    MayNotBeAlone {
        /// All that are not heard.
        nodes: Vec<NodeId>,
    },
    /// That is over.
    NotAlone {
        /// Who was not heard.
        nodes: Vec<NodeId>,
        /// This node serves something nevertheless: it heard them, or they have gone.
        serves: bool,
    },
    /// The start waits although initdead has passed, because of a node whose key or configuration differs.
    Held {
        /// Because of whom.
        node: NodeId,
        /// Its key, not its configuration, differs.
        key: bool,
    },
    /// Another node was heard for the first time, or again.
    NodeUp(NodeId),
    /// Another node is dead.
    NodeDead(NodeId),
    /// Another node says that it goes down.
    NodeLeaving(NodeId),
    /// Another node's configuration differs.
    ConfigDiffers(NodeId),
    /// We took a group that nobody held.
    Granted {
        /// Which.
        group: GroupId,
        /// With which epoch.
        epoch: Epoch,
    },
    /// Our kernel took a group over.
    TookOver {
        /// Which.
        group: GroupId,
        /// With which epoch.
        epoch: Epoch,
    },
    /// Somebody answers for a group's addresses whom we do not hear.
    Occupied(GroupId),
    /// Our kernel fenced a group.
    Fenced {
        /// Which.
        group: GroupId,
        /// Why.
        reason: Reason,
    },
    /// A move begins.
    Moving {
        /// Which group.
        group: GroupId,
        /// To whom.
        to: NodeId,
        /// Why.
        why: crate::Why,
    },
    /// A move was given up; the group stays.
    MoveAborted {
        /// Which group.
        group: GroupId,
        /// To whom it should have gone.
        to: NodeId,
    },
    /// We gave a group up.
    Resigned {
        /// Which.
        group: GroupId,
        /// To whom, if to somebody.
        to: Option<NodeId>,
    },
    /// The resources of a group are up.
    Started(GroupId),
    /// The resources of a group are down.
    Stopped(GroupId),
    /// A resource of a group that is up here died, and no other node can take the group; `None`: it runs again.
    Ailing {
        /// Whose.
        group: GroupId,
        /// What is wrong.
        what: Option<String>,
    },
    /// Resources could not be started or stopped.
    Failed {
        /// Whose.
        group: GroupId,
        /// What.
        what: String,
    },
}
