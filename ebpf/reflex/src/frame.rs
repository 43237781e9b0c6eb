//! The frame: one fixed layout for all kinds, big-endian, 144 bytes of UDP payload.
//!
//! ```text
//!  0        1        2        3        4        5        6        7
//! +--------+--------+--------+--------+--------+--------+--------+--------+
//! |  'x'   |  'b'   | version|  kind  |  key   | source |  dest. |  link  |   0
//! +--------+--------+--------+--------+--------+--------+--------+--------+
//! |                      session of the source                            |   8
//! +--------+--------+--------+--------+--------+--------+--------+--------+
//! |          session of the destination, as the source knows it           |  16
//! +--------+--------+--------+--------+--------+--------+--------+--------+
//! |     sequence number (probe: the source's; pong: that of the probe)    |  24
//! +--------+--------+--------+--------+--------+--------+--------+--------+
//! |               the source's monotonic clock, ns                        |  32
//! +--------+--------+--------+--------+--------+--------+--------+--------+
//! |       configuration digest        |      hears      | status |  page  |  40
//! +--------+--------+--------+--------+--------+--------+--------+--------+
//! |     claim 0: epoch                |why|stat| flags  |  heir  | sight  |  48
//! +--------+--------+--------+--------+--------+--------+--------+--------+
//! |                              claims 1 to 7                            |  56
//! +--------+--------+--------+--------+--------+--------+--------+--------+
//! |       MAC over bytes 0 to 111 (HMAC-SHA1: 20 bytes, then zeros)       | 112
//! +--------+--------+--------+--------+--------+--------+--------+--------+
//! ```
//!
//! Claim `i` is about group `page * 8 + i`. Nothing in a frame is believed before its MAC is. What a letter carries instead of
//! claims: [`crate::letter`].

use crate::{CLAIMS_PER_FRAME, Sight};

/// Bytes of a frame.
pub const FRAME_LEN: usize = 144;
/// Bytes of it that the MAC covers.
pub const SIGNED_LEN: usize = 112;
/// Version of this layout; a frame of another one is not read.
pub const VERSION: u8 = 2;

const MAGIC: [u8; 2] = *b"xb";

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asks, and tells the sender's state. Sent by the agent.
    Probe,
    /// Answers a probe, from the kernel.
    Pong,
    /// Carries a piece of a message that a program wrote. Sent by the agent.
    Letter,
    /// Says that a letter was taken, from the kernel.
    Taken,
}

/// A frame as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Frame {
    /// The bytes.
    pub bytes: [u8; FRAME_LEN],
}

impl Default for Frame {
    fn default() -> Self {
        Self { bytes: [0; FRAME_LEN] }
    }
}

macro_rules! field {
    ($(#[$doc:meta])* $name:ident, $set:ident, $at:literal, u8) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name(&self) -> u8 {
            self.bytes[$at]
        }
        #[doc = concat!("Sets [`Self::", stringify!($name), "`].")]
        #[inline(always)]
        pub fn $set(&mut self, value: u8) {
            self.bytes[$at] = value;
        }
    };
    ($(#[$doc:meta])* $name:ident, $set:ident, $at:literal, $type:ty) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name(&self) -> $type {
            let mut bytes = [0; size_of::<$type>()];
            bytes.copy_from_slice(&self.bytes[$at..$at + size_of::<$type>()]);
            <$type>::from_be_bytes(bytes)
        }
        #[doc = concat!("Sets [`Self::", stringify!($name), "`].")]
        #[inline(always)]
        pub fn $set(&mut self, value: $type) {
            self.bytes[$at..$at + size_of::<$type>()].copy_from_slice(&value.to_be_bytes());
        }
    };
}

impl Frame {
    /// What it is, if this is a frame of our version at all.
    #[inline(always)]
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        if self.bytes[0] != MAGIC[0] || self.bytes[1] != MAGIC[1] || self.bytes[2] != VERSION {
            return None;
        }
        match self.bytes[3] {
            1 => Some(Kind::Probe),
            2 => Some(Kind::Pong),
            3 => Some(Kind::Letter),
            4 => Some(Kind::Taken),
            _ => None,
        }
    }

    /// Writes magic, version and kind.
    #[inline(always)]
    pub fn set_kind(&mut self, kind: Kind) {
        self.bytes[0] = MAGIC[0];
        self.bytes[1] = MAGIC[1];
        self.bytes[2] = VERSION;
        self.bytes[3] = match kind {
            Kind::Probe => 1,
            Kind::Pong => 2,
            Kind::Letter => 3,
            Kind::Taken => 4,
        };
    }

    field!(/// Number of the key that it is signed with.
        key, set_key, 4, u8);
    field!(/// Node that sent it.
        source, set_source, 5, u8);
    field!(/// Node that it is for.
        destination, set_destination, 6, u8);
    field!(/// Link that the probe was sent on, in the prober's count: it tells the prober which of its probes a pong answers, and
        /// whoever is asked which probes are new. Which link a probe came by the receiver sees for itself.
        link, set_link, 7, u8);
    field!(/// Life of the source.
        session, set_session, 8, u64);
    field!(/// Life of the destination, as the source knows it; 0: unknown.
        peer_session, set_peer_session, 16, u64);
    field!(/// Number of the probe, per link and destination, from 1; of a letter, see [`crate::letter`].
        seq, set_seq, 24, u64);
    field!(/// The source's monotonic clock, ns: orders the words of one source over all links.
        at, set_at, 32, u64);
    field!(/// Digest of the source's configuration.
        config, set_config, 40, u32);
    field!(/// Nodes that the source hears, bit by index.
        hears, set_hears, 44, u16);
    field!(/// [`Status`] bits.
        status, set_status, 46, u8);
    field!(/// Which groups the claims are about.
        page, set_page, 47, u8);

    /// The claim in slot `i`.
    #[inline(always)]
    #[must_use]
    pub fn claim(&self, i: usize) -> Claim {
        let at = 48 + (i % CLAIMS_PER_FRAME) * 8;
        let b = &self.bytes;
        Claim {
            epoch: u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]),
            state: b[at + 4] & NIBBLE,
            flags: b[at + 5],
            heir: b[at + 6],
            reason: b[at + 4] >> 4,
            sight: Sight(b[at + 7]),
        }
    }

    /// Writes the claim in slot `i`.
    #[inline(always)]
    pub fn set_claim(&mut self, i: usize, claim: Claim) {
        let at = 48 + (i % CLAIMS_PER_FRAME) * 8;
        let epoch = claim.epoch.to_be_bytes();
        let b = &mut self.bytes;
        b[at] = epoch[0];
        b[at + 1] = epoch[1];
        b[at + 2] = epoch[2];
        b[at + 3] = epoch[3];
        b[at + 4] = claim.fate();
        b[at + 5] = claim.flags;
        b[at + 6] = claim.heir;
        b[at + 7] = claim.sight.0;
    }
}

/// Bits of [`Frame::status`].
#[derive(Clone, Copy, Debug)]
pub struct Status;

impl Status {
    /// The source's agent has finished its start and takes part in elections.
    pub const ACTIVE: u8 = 1;
    /// The source's lease is valid. A frame without it says: all my gates are fenced.
    pub const LEASE: u8 = 2;
    /// The source is going down and hands over what it holds.
    pub const LEAVING: u8 = 4;
    /// The source received a pong of the destination on this link within deadtime.
    pub const PONG_HEARD: u8 = 8;
}

/// What a node says of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct Claim {
    /// Highest epoch that it ever held the group with; 0: never.
    pub epoch: u32,
    /// [`ClaimState`] as its number, below 16.
    pub state: u8,
    /// [`Claim::WILLING`], [`Claim::ARMED`], [`Claim::READY`].
    pub flags: u8,
    /// Node that it wants to hand the group to, plus one; 0: none.
    pub heir: u8,
    /// Why it is fenced: [`crate::Reason`], below 16.
    pub reason: u8,
    /// What it can see of the group's network.
    pub sight: Sight,
}

const NIBBLE: u8 = 15;

/// What became of the highest epoch that a node held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum ClaimState {
    /// It never held the group in this life.
    None = 0,
    /// It holds it.
    Open = 1,
    /// It gave it up in a planned move.
    Resigned = 2,
    /// It is fenced.
    Fenced = 3,
}

impl Claim {
    /// The node would take the group if it were its turn.
    pub const WILLING: u8 = 1;
    /// The node's kernel is armed to take the group from the holder of the highest epoch that it heard of.
    pub const ARMED: u8 = 2;
    /// The node was named as the heir and has the addresses up behind its shut gate, or nothing to prepare: it can serve
    /// the moment its gate opens.
    pub const READY: u8 = 4;

    /// The state; an unknown number of a later version reads as fenced: it does not serve.
    #[inline(always)]
    #[must_use]
    pub fn state(self) -> ClaimState {
        match self.state {
            0 => ClaimState::None,
            1 => ClaimState::Open,
            2 => ClaimState::Resigned,
            _ => ClaimState::Fenced,
        }
    }

    /// State and reason in one byte.
    #[inline(always)]
    const fn fate(self) -> u8 {
        self.reason << 4 | self.state & NIBBLE
    }

    /// As one word of [`crate::Facts::claims`].
    #[inline(always)]
    #[must_use]
    pub const fn pack(self) -> u64 {
        (self.epoch as u64) << 32
            | (self.fate() as u64) << 24
            | (self.flags as u64) << 16
            | (self.heir as u64) << 8
            | self.sight.0 as u64
    }

    /// From one word of [`crate::Facts::claims`].
    #[inline(always)]
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "takes the word apart")]
    pub const fn unpack(word: u64) -> Self {
        Self {
            epoch: (word >> 32) as u32,
            state: (word >> 24) as u8 & NIBBLE,
            flags: (word >> 16) as u8,
            heir: (word >> 8) as u8,
            reason: (word >> 28) as u8 & NIBBLE,
            sight: Sight(word as u8),
        }
    }
}

#[cfg(test)]
mod tests;
