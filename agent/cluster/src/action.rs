//! Everything that the election can ask of the world.

use alloc::string::String;

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
    /// Order: what frames say of our plans for the group. Only flags and heir count.
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
    /// Announce the group's addresses again: somebody else may have announced them meanwhile.
    Announce(GroupId),
    /// Ask ARP whether somebody serves the group's addresses; answer with [`crate::Input::Asked`].
    Ask(GroupId),
    /// A command is done, or cannot be.
    Reply {
        /// The command's id.
        id: u64,
        /// In words for a person.
        result: Result<String, String>,
    },
    /// Something that a person wants to know.
    Note(Note),
    /// Everything is handed over: end.
    Exit,
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
    /// Resources could not be started or stopped.
    Failed {
        /// Whose.
        group: GroupId,
        /// What.
        what: String,
    },
}
