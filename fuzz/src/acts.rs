//! What can happen to one node's kernel, as the fuzzer chooses it. Numbers are mostly near those that count, so that
//! what is chosen gets somewhere.

use arbitrary::Arbitrary;
use reflex::frame::Kind;

/// A story.
#[derive(Arbitrary, Clone, Debug)]
pub struct Acts {
    /// Which of the nodes this one is.
    pub own: u8,
    /// Nodes that are admitted before it begins, bit by index.
    pub admitted: u8,
    /// What happens.
    pub acts: Vec<Act>,
}

/// One thing that happens.
#[derive(Arbitrary, Clone, Debug)]
pub enum Act {
    /// A frame comes in that is signed with a key that we know.
    Frame(Box<Words>),
    /// One that came in before comes in again.
    Again(u8),
    /// Time passes, in units of 16 us.
    Pass(u8),
    /// The prober sends.
    Probe {
        /// To whom.
        to: u8,
        /// On which link.
        link: u8,
        /// With which groups.
        page: u8,
        /// It can be sent.
        goes: bool,
    },
    /// The watch looks at a node.
    Look(u8),
    /// The agent grants itself a group, with an epoch so much higher than the last one granted.
    Grant(u8, Epoch),
    /// The agent gives up what it holds.
    Resign(u8),
    /// The agent arms a takeover.
    Arm {
        /// Of which group.
        group: u8,
        /// From whom.
        holder: u8,
        /// With which epoch.
        epoch: Epoch,
        /// How far the holder is behind.
        behind: u8,
    },
    /// The agent disarms one.
    Disarm(u8),
    /// What frames say of the agent's plans.
    Plan(u8, u16),
    /// What frames say of the agent.
    Status(u8),
    /// The agent renews its lease, in units of 1 ms.
    Renew(u8),
    /// A planned restart: the lease as it is survives the exit.
    Keep,
    /// The agent's thread exits.
    Exit,
    /// An operator fences a group.
    Fence(u8),
    /// A packet to or from a virtual address asks whether it may pass.
    Packet(u8),
    /// Somebody asks for a virtual address by ARP.
    Arp {
        /// Of which group.
        group: u8,
        /// [`reflex::layout::Vip::ready`], `bounce`, and whether it came in by the address's interface.
        bits: u8,
    },
    /// Somebody else claims a virtual address by ARP.
    Claim(u8),
}

/// An epoch.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Epoch {
    /// Up to three more or less than the highest that was ever held or heard of here.
    Near(i8),
    /// Just this one.
    Any(u32),
}

/// The fields of a frame. Those with few right values mostly have one: else nearly every frame would be refused for one of
/// them, and the rest never be looked at.
#[derive(Arbitrary, Clone, Debug)]
pub struct Words {
    /// What it is: [`Words::kind`].
    pub kind: u8,
    /// The destination; below 240: this node.
    pub destination: u8,
    /// 0: sent to this node. Else to a group of nodes, by that path, plus one.
    pub group: u8,
    /// Who says to have sent it.
    pub source: u8,
    /// Its key: [`Words::key`].
    pub signed: [u8; 3],
    /// On which link.
    pub link: u8,
    /// Which of the source's lives; below 192: the one that we know, else two others, or none.
    pub session: u8,
    /// Which of ours; below 240: this one.
    pub peer_session: u8,
    /// Relative to the last one that counts.
    pub seq: Near,
    /// Relative to the last one that the source said something with.
    pub at: Near,
    /// As it is.
    pub config: u32,
    /// As it is.
    pub hears: u16,
    /// As it is.
    pub status: u8,
    /// The page; below 240: one of those that there are.
    pub page: u8,
    /// Epoch, then state, flags, heir, reason and sight.
    pub claims: [(Epoch, [u8; 5]); 8],
}

impl Words {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match (self.kind, self.kind & 1) {
            (0..208, 0) => Kind::Probe,
            (0..208, _) => Kind::Pong,
            (208..=255, 0) => Kind::Letter,
            (208..=255, _) => Kind::Taken,
        }
    }

    /// What it is signed with.
    #[must_use]
    pub fn key(&self) -> Key {
        match self.signed {
            [0..160, ..] => Key::Current,
            [160..208, ..] => Key::Other,
            [208..232, number, _] => Key::Number(number),
            [232..=255, at, mask] => Key::Forged(at, mask),
        }
    }
}

/// What a frame is signed with.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// The key that signs.
    Current,
    /// Another one that is known.
    Other,
    /// This number, and the key that signs.
    Number(u8),
    /// The key that signs, but then this byte is changed by this mask.
    Forged(u8, u8),
}

/// A number.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Near {
    /// So much more than the one that counts; below -100: less.
    By(i8),
    /// Just this one.
    Any(u64),
}

impl Near {
    /// The number.
    #[must_use]
    pub fn to(self, base: u64) -> u64 {
        match self {
            Self::By(more) if more < -100 => base.saturating_add_signed(more.into()),
            Self::By(more) => base.saturating_add(more.unsigned_abs().into()),
            Self::Any(number) => number,
        }
    }
}
