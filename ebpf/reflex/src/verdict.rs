//! What the reflex answers: a verdict per packet, and events for the agent when something changed.

use crate::frame::Frame;

/// What was decided about one packet; each is also a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u32)]
pub enum Verdict {
    /// Not for us: the stack gets it.
    Unrelated = 0,
    /// A probe, answered.
    ProbeAnswered = 1,
    /// A probe of a life that has not answered our challenge yet: answered, not believed.
    ProbeUnproven = 2,
    /// A pong to a probe of ours.
    PongTaken = 3,
    /// ARP for a VIP that is served here, answered.
    ArpAnswered = 4,
    /// ARP for a VIP that is not served here, dropped.
    ArpClosed = 5,
    /// ARP for a VIP that is served here, left to the stack (`XDP_TX` untested, or another interface).
    ArpToStack = 6,
    /// Somebody else says that one of our VIPs is his.
    ArpConflict = 7,
    /// ARP that is none of ours, or not Ethernet and IPv4.
    ArpOther = 8,
    /// To our port, but too short or too long for a frame, or in an IP fragment.
    BadLength = 9,
    /// No frame of ours, or of another version; or over IPv6 without a UDP checksum.
    BadFormat = 10,
    /// From or to a node that the configuration does not name.
    BadNode = 11,
    /// Signed with a key number that we do not have.
    UnknownKey = 12,
    /// The MAC does not fit.
    BadMac = 13,
    /// Authentic, but heard before, or older than something heard before.
    Replayed = 14,
    /// Authentic, but an answer to another life of ours, or of no life: its agent has not begun.
    Stale = 15,
    /// To a VIP that is not served here, dropped.
    VipClosed = 16,
    /// From a VIP that is not served here, kept from leaving.
    EgressClosed = 17,
    /// A frame to a broadcast or multicast address, for another node.
    ForOther = 18,
    /// A frame of our own, heard back from a broadcast or multicast address.
    Echo = 19,
    /// A neighbour solicitation for an IPv6 VIP that is served here, answered.
    NdAnswered = 20,
    /// One for a VIP that is not served here, dropped.
    NdClosed = 21,
    /// One for a VIP that is served here, left to the stack (`XDP_TX` untested, another interface, or of another form than
    /// neighbours use).
    NdToStack = 22,
    /// Somebody else says that one of our IPv6 VIPs is his.
    NdConflict = 23,
    /// To a VIP that was handed to another node just now, passed on to it.
    PassedOn = 24,
    /// A letter, taken for the agent and answered.
    LetterTaken = 25,
    /// A letter that was taken before, answered again: its answer was lost, or it came by two links.
    LetterAgain = 26,
    /// A letter that could not be taken, and is not answered: its sender repeats it. The agent is not there, or has not read
    /// those before.
    LetterRefused = 27,
    /// An answer to a letter of ours.
    LetterAnswered = 28,
    /// To a VIP that is changing hands, held back for the node that will have it.
    Held = 29,
}

/// Number of verdicts: the size of the counter table.
pub const VERDICTS: usize = 30;

impl Verdict {
    /// All verdicts, in the order of their numbers.
    pub const ALL: [Self; VERDICTS] = [
        Self::Unrelated,
        Self::ProbeAnswered,
        Self::ProbeUnproven,
        Self::PongTaken,
        Self::ArpAnswered,
        Self::ArpClosed,
        Self::ArpToStack,
        Self::ArpConflict,
        Self::ArpOther,
        Self::BadLength,
        Self::BadFormat,
        Self::BadNode,
        Self::UnknownKey,
        Self::BadMac,
        Self::Replayed,
        Self::Stale,
        Self::VipClosed,
        Self::EgressClosed,
        Self::ForOther,
        Self::Echo,
        Self::NdAnswered,
        Self::NdClosed,
        Self::NdToStack,
        Self::NdConflict,
        Self::PassedOn,
        Self::LetterTaken,
        Self::LetterAgain,
        Self::LetterRefused,
        Self::LetterAnswered,
        Self::Held,
    ];

    /// Whether the frame is answered: its answer lies on the desk.
    #[inline(always)]
    #[must_use]
    pub const fn answers(self) -> bool {
        matches!(self, Self::ProbeAnswered | Self::ProbeUnproven | Self::LetterTaken | Self::LetterAgain)
    }

    /// The name of the counter in `xbeat status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unrelated => "unrelated",
            Self::ProbeAnswered => "probe_answered",
            Self::ProbeUnproven => "probe_unproven",
            Self::PongTaken => "pong_taken",
            Self::ArpAnswered => "arp_answered",
            Self::ArpClosed => "arp_closed",
            Self::ArpToStack => "arp_to_stack",
            Self::ArpConflict => "arp_conflict",
            Self::ArpOther => "arp_other",
            Self::BadLength => "bad_length",
            Self::BadFormat => "bad_format",
            Self::BadNode => "bad_node",
            Self::UnknownKey => "unknown_key",
            Self::BadMac => "bad_mac",
            Self::Replayed => "replayed",
            Self::Stale => "stale",
            Self::VipClosed => "vip_closed",
            Self::EgressClosed => "egress_closed",
            Self::ForOther => "for_other",
            Self::Echo => "echo",
            Self::NdAnswered => "nd_answered",
            Self::NdClosed => "nd_closed",
            Self::NdToStack => "nd_to_stack",
            Self::NdConflict => "nd_conflict",
            Self::PassedOn => "passed_on",
            Self::LetterTaken => "letter_taken",
            Self::LetterAgain => "letter_again",
            Self::LetterRefused => "letter_refused",
            Self::LetterAnswered => "letter_answered",
            Self::Held => "held",
        }
    }
}

/// Why a gate was fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[repr(u8)]
pub enum Reason {
    /// The agent did not renew its lease in time.
    Lease = 1,
    /// The agent's thread exited.
    Exit = 2,
    /// Another node holds the group with a higher epoch.
    HigherEpoch = 3,
    /// The agent or its operator asked for it.
    Operator = 4,
}

impl Reason {
    /// The reason with that number, if there is one.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Lease),
            2 => Some(Self::Exit),
            3 => Some(Self::HigherEpoch),
            4 => Some(Self::Operator),
            _ => None,
        }
    }
}

/// What kind of change an [`Event`] tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EventKind {
    /// A node is heard that was not heard before, or was dead.
    NodeAlive = 1,
    /// A node is silent for deadtime on every link, with our probes unanswered.
    NodeDead = 2,
    /// A node answered our challenge with a new life.
    NodeAdmitted = 3,
    /// A node's word (status, claims, whom it hears) changed.
    NodeSaid = 4,
    /// Somebody who says to be this node signs with another key.
    NodeRefused = 5,
    /// An armed gate opened; `epoch` is the one taken.
    GateOpened = 6,
    /// A gate was fenced; `detail` is the [`Reason`].
    GateFenced = 7,
    /// Somebody else answers for a VIP of this group.
    Conflict = 8,
    /// A node was heard again after more than warntime; `epoch` holds the gap in ns.
    NodeLate = 9,
    /// A node's kernel has taken a letter of ours: it is time for the next one.
    LetterAnswered = 10,
    /// A node will be dead in a moment, unless it is heard: for the thread that waits for opened gates alone.
    NodeDoubted = 11,
}

impl EventKind {
    /// The kind with that number, if there is one.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::NodeAlive),
            2 => Some(Self::NodeDead),
            3 => Some(Self::NodeAdmitted),
            4 => Some(Self::NodeSaid),
            5 => Some(Self::NodeRefused),
            6 => Some(Self::GateOpened),
            7 => Some(Self::GateFenced),
            8 => Some(Self::Conflict),
            9 => Some(Self::NodeLate),
            10 => Some(Self::LetterAnswered),
            11 => Some(Self::NodeDoubted),
            _ => None,
        }
    }
}

/// Something changed: wakes the agent, and is material for its log. The tables hold the truth; a lost
/// event loses nothing but its line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// When, on the monotonic clock, ns.
    pub at: u64,
    /// Epoch that it is about, or 0; a time for some kinds.
    pub epoch: u64,
    /// [`EventKind`] as its number.
    pub kind: u32,
    /// Node that it is about.
    pub node: u32,
    /// Group that it is about.
    pub group: u32,
    /// More, by kind.
    pub detail: u32,
}

impl Event {
    /// From a record of the ring buffer; `None` if it is shorter than an event.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let long = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let short = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        Some(Self {
            at: long(0)?,
            epoch: long(8)?,
            kind: short(16)?,
            node: short(20)?,
            group: short(24)?,
            detail: short(28)?,
        })
    }
}

/// Where the reflex leaves its events, and letters: a BPF ring buffer, a queue, a test's vector.
pub trait Sink {
    /// Takes one event; may drop it when full.
    fn emit(&mut self, event: Event);

    /// Takes a letter for the agent. False: there is no room, and it was not taken.
    fn letter(&mut self, letter: &Frame) -> bool;

    /// A node will be dead in a moment, unless it is heard. Nothing has changed: whoever has nothing to prepare ignores it.
    fn forewarn(&mut self, _node: u8, _now: u64) {}
}

/// For events alone: letters are refused.
impl<F: FnMut(Event)> Sink for F {
    fn emit(&mut self, event: Event) {
        self(event);
    }

    fn letter(&mut self, _letter: &Frame) -> bool {
        false
    }
}
