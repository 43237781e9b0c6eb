//! One group's state on this node.

use alloc::string::String;
use alloc::vec::Vec;

use reflex::gate::Armed;
use reflex::{Claim, Sight, Voice};

use crate::input::GateView;
use crate::{Instant, NodeId};

/// Where the group's resources are on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Phase {
    /// Down.
    Stopped,
    /// Going up.
    Starting,
    /// Up.
    Started,
    /// Going down.
    Stopping,
    /// Its addresses are coming up alone, from [`Self::Stopped`] on the way to [`Self::Ready`].
    Readying,
    /// Only its addresses are up, and the gate decides whether they serve: where a planned move changes hands.
    Ready,
    /// These are let go again. Nothing else is up, so the group may be had here any time.
    Releasing,
}

/// Why a group moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Why {
    /// An operator on this node said standby.
    Standby,
    /// An operator on the other node said takeover.
    Takeover,
    /// Its home node is back.
    Failback,
    /// This node is going down.
    Leaving,
    /// Its resources do not start here.
    Failure,
    /// The interface of its addresses is down here.
    Unreachable,
    /// The other node reaches others on the group's own network, this one does not.
    Deaf,
    /// The other node sees more ping nodes.
    Blind,
}

/// A planned move away from this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) to: NodeId,
    pub(crate) why: Why,
    pub(crate) stage: Stage,
    /// When the present stage is given up.
    pub(crate) until: Instant,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The heir is named; its kernel is not armed yet, or its addresses are not up.
    Preparing,
    /// Our resources go down, but for the addresses if the gates guard them.
    Stopping,
    /// We gave the group up; the heir has not claimed it yet.
    Resigned,
}

/// Whether the group's addresses were seen unanswered: needed to take a group without having heard everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Not asked.
    No,
    /// Asked, no answer yet.
    Waiting,
    /// Nobody answers.
    Free,
    /// Somebody answers; ask again then.
    Occupied(Instant),
}

/// Everything about one group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) home: NodeId,
    pub(crate) phase: Phase,
    pub(crate) gate: GateView,
    pub(crate) moving: Option<Move>,
    /// What went wrong; while it stands, this node does not want the group.
    pub(crate) failure: Option<String>,
    /// A resource died here and does not come back: the group moves as soon as somebody can take it.
    pub(crate) ailing: Option<String>,
    /// The interface of its addresses is down: nobody can be served here.
    pub(crate) unreachable: bool,
    /// The home node came back while the group was elsewhere.
    pub(crate) failback_due: bool,
    /// The life of its home node in which an earlier agent did not give it back.
    pub(crate) stays: Option<u64>,
    /// Not before then: the last try was given up.
    pub(crate) failback_after: Instant,
    /// The home node sees less than this one, which holds the group: by which voice, and since when.
    pub(crate) home_sees_less: Option<(Voice, Instant)>,
    /// What this node sees of the group's network.
    pub(crate) sight: Sight,
    /// The same node sees more than we do, by the same voice, since then.
    pub(crate) outseen: Option<(NodeId, Voice, Instant)>,
    /// The group has to go and its heir did not get ready in time: it is stopped and given up, not handed over.
    pub(crate) heirless: bool,
    /// An operator here wants the group until then.
    pub(crate) wanted_until: Option<Instant>,
    pub(crate) asked: Asked,
    /// Its interface was down: somebody may have taken it over whom we have not heard since.
    pub(crate) was_unreachable: bool,
    /// Nobody holds the group since then.
    pub(crate) free_since: Option<Instant>,
    /// The last operation asked for is to leave, or bring up, the addresses alone.
    pub(crate) readying: bool,
    /// Last orders, so that only changes are ordered.
    pub(crate) armed: Option<Armed>,
    /// An earlier agent gave the last orders; what they were is not known.
    pub(crate) inherited: bool,
    pub(crate) plan: Claim,
    /// Commands that end with this group's move.
    pub(crate) waiting: Vec<u64>,
}

impl Group {
    pub(crate) fn new(home: NodeId) -> Self {
        Self {
            home,
            phase: Phase::Stopped,
            gate: GateView::default(),
            moving: None,
            failure: None,
            ailing: None,
            unreachable: false,
            failback_due: false,
            stays: None,
            failback_after: 0,
            home_sees_less: None,
            sight: Sight::default(),
            outseen: None,
            heirless: false,
            wanted_until: None,
            asked: Asked::No,
            was_unreachable: false,
            free_since: None,
            readying: false,
            armed: None,
            inherited: false,
            plan: Claim::default(),
            waiting: Vec::new(),
        }
    }

    /// Whom this group is handed to, if it is.
    pub(crate) fn heir_named(&self) -> Option<NodeId> {
        self.moving.as_ref().map(|m| m.to)
    }
}
