//! Neighbour discovery for the IPv6 VIPs (RFC 4861), answered in the kernel: by our own gate, or not at all.
//!
//! ```text
//!   ethernet                            14 bytes    0
//!   IPv6, hop limit 255                 40          14    source 22, destination 38
//!   ICMPv6 135 or 136, code 0, checksum 24          54    flags 58, target 62
//!   one option, perhaps                  8          78    type, length 1, MAC address
//! ```
//!
//! These two lengths are what neighbours send. Whatever is longer, or has extension headers, is looked at for its target and
//! never answered here: with the gate open the stack has it.

use crate::layout::{Facts, Orders, Vip};
use crate::path::{Ip, ipv6};
use crate::verdict::{Sink, Verdict};
use crate::vip::{self, Asked};

/// Bytes of a message with one option, with the Ethernet header.
pub const ND_LEN: usize = 86;
/// Bytes of one without.
pub const ND_SHORT_LEN: usize = 78;

/// Neighbour solicitation.
pub const SOLICITATION: u8 = 135;
/// Neighbour advertisement.
pub const ADVERTISEMENT: u8 = 136;

const ICMP_V6: u8 = 58;
const HOP_LIMIT: u8 = 255;
const SOURCE_LINK: u8 = 1;
const TARGET_LINK: u8 = 2;
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// All nodes of the link, `ff02::1`.
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// The MAC address of that group.
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// An Ethernet frame with a neighbour's message in it. Of a short one the last eight bytes are zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Nd {
    /// The bytes.
    pub bytes: [u8; ND_LEN],
}

/// What a neighbour's message wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who has the target?
    Solicitation,
    /// The target is at the sender's.
    Advertisement,
}

/// How a solicitation is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To the asker, at this hardware address.
    To([u8; 6]),
    /// To everybody: the asker has no address yet, it asks whether it may have this one (RFC 4862 5.4).
    ToAll,
}

impl Nd {
    /// The message in a frame's first bytes.
    #[must_use]
    pub fn of(bytes: [u8; ND_LEN]) -> Self {
        let mut nd = Self { bytes };
        nd.trim();
        nd
    }

    /// What is behind a short message does not count.
    #[inline(always)]
    pub fn trim(&mut self) {
        if (self.bytes[18], self.bytes[19]) == (0, 24) {
            self.bytes[ND_SHORT_LEN..].fill(0);
        }
    }

    /// What it wants, judged by type and code alone: also of what is otherwise no valid message.
    #[inline(always)]
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        let b = &self.bytes;
        if b[14] >> 4 != 6 || b[20] != ICMP_V6 || b[55] != 0 {
            return None;
        }
        match b[54] {
            SOLICITATION => Some(Kind::Solicitation),
            ADVERTISEMENT => Some(Kind::Advertisement),
            _ => None,
        }
    }

    /// The address that it is about.
    #[inline(always)]
    #[must_use]
    pub fn target(&self) -> Ip {
        ipv6(self.sixteen::<62>())
    }

    /// Who sent it; [`crate::path::NO_IP`]: somebody without an address.
    #[inline(always)]
    #[must_use]
    pub fn source(&self) -> Ip {
        ipv6(self.sixteen::<22>())
    }

    /// The hardware address that it comes from, as the sender says, else as the frame does.
    #[inline(always)]
    #[must_use]
    pub fn sender_mac(&self) -> [u8; 6] {
        let says = matches!(self.bytes[78], SOURCE_LINK | TARGET_LINK) && self.bytes[79] == 1;
        if says { self.six::<80>() } else { self.six::<6>() }
    }

    #[inline(always)]
    fn six<const AT: usize>(&self) -> [u8; 6] {
        let b = &self.bytes;
        [b[AT], b[AT + 1], b[AT + 2], b[AT + 3], b[AT + 4], b[AT + 5]]
    }

    #[inline(always)]
    fn sixteen<const AT: usize>(&self) -> [u8; 16] {
        let mut address = [0; 16];
        address.copy_from_slice(&self.bytes[AT..AT + 16]);
        address
    }

    /// Whether it is of one of the two lengths, with a whole option behind the longer one.
    #[inline(always)]
    fn has_option(&self) -> Option<bool> {
        match u16::from_be_bytes([self.bytes[18], self.bytes[19]]) {
            24 => Some(false),
            32 if self.bytes[79] == 1 => Some(true),
            _ => None,
        }
    }

    /// Whether a node of this link sent it (7.1.1, 7.1.2), in one of the forms that are understood here.
    #[inline(always)]
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.bytes[21] == HOP_LIMIT && self.has_option().is_some() && self.sum() == 0xffff
    }

    /// How it is to be answered, if it is a valid solicitation (RFC 4861 7.1.1) in one of the forms that are understood here.
    /// Every other one is for the stack.
    #[inline(always)]
    #[must_use]
    pub fn answer_to(&self) -> Option<Answer> {
        let has_option = self.has_option()?;
        if !self.is_sound() {
            return None;
        }
        let names_source = has_option && self.bytes[78] == SOURCE_LINK;
        let to_group = self.is_to_solicited_node();
        if self.source() == crate::path::NO_IP {
            // The answer needs room for our hardware address.
            return (has_option && !names_source && to_group).then_some(Answer::ToAll);
        }
        // To a group it goes with the asker's address, and the answer needs room.
        let is_to_target = self.bytes[38..54] == self.bytes[62..78];
        if !(names_source && to_group || is_to_target) {
            return None;
        }
        let asker = if names_source { self.six::<80>() } else { self.six::<6>() };
        // Not to a group of stations, and not from a group of nodes.
        let is_one = asker[0] & 1 == 0 && asker != [0; 6] && self.bytes[22] != 0xff;
        is_one.then_some(Answer::To(asker))
    }

    /// Whether it went to the group of all whose addresses end like the target (RFC 4291 2.7.1).
    #[inline(always)]
    fn is_to_solicited_node(&self) -> bool {
        let b = &self.bytes;
        b[38..51] == [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff] && b[51..54] == b[75..78]
    }

    /// Turns the solicitation into its answer: the target is at `mac`. `is_router`: this node forwards, so that neighbours which
    /// take it for their router go on doing so.
    #[inline(always)]
    pub fn answer(&mut self, to: Answer, mac: [u8; 6], is_router: bool) {
        let has_option = self.has_option() == Some(true);
        // Byte by byte within the message: a BPF stack has no room for addresses.
        let b = &mut self.bytes;
        let (asker_mac, solicited) = match to {
            Answer::To(asker) => {
                for i in 0..16 {
                    b[38 + i] = b[22 + i];
                }
                (asker, SOLICITED)
            }
            Answer::ToAll => {
                b[38..54].copy_from_slice(&ALL_NODES);
                (ALL_NODES_MAC, 0)
            }
        };
        for i in 0..16 {
            b[22 + i] = b[62 + i];
        }
        b[0..6].copy_from_slice(&asker_mac);
        b[6..12].copy_from_slice(&mac);
        // No traffic class, no flow.
        b[14..18].copy_from_slice(&[0x60, 0, 0, 0]);
        b[54] = ADVERTISEMENT;
        b[58] = OVERRIDE | solicited | if is_router { ROUTER } else { 0 };
        b[59..62].copy_from_slice(&[0; 3]);
        if has_option {
            b[78..80].copy_from_slice(&[TARGET_LINK, 1]);
            b[80..86].copy_from_slice(&mac);
        }
        self.seal();
    }

    /// Puts the right checksum in.
    #[inline(always)]
    fn seal(&mut self) {
        self.bytes[56..58].fill(0);
        let sum = !self.sum();
        self.bytes[56..58].copy_from_slice(&sum.to_be_bytes());
    }

    /// The sum in ones' complement over the pseudo-header and the message (RFC 8200 8.1): all ones where the checksum is right.
    #[inline(always)]
    fn sum(&self) -> u16 {
        let b = &self.bytes;
        let mut sum = u32::from(ICMP_V6) + u32::from(u16::from_be_bytes([b[18], b[19]]));
        let mut at = 22;
        // Zeros behind a short message add nothing.
        while at < ND_LEN {
            sum += u32::from(u16::from_be_bytes([b[at], b[at + 1]]));
            at += 2;
        }
        // 33 words: one carry, and one of that.
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum as u16
    }
}

/// What tells the neighbours unasked that `address` is at `mac` (RFC 4861 7.2.6).
#[must_use]
pub fn advertisement(mac: [u8; 6], address: [u8; 16], is_router: bool) -> Nd {
    let mut nd = Nd { bytes: [0; ND_LEN] };
    let b = &mut nd.bytes;
    b[12..14].copy_from_slice(&[0x86, 0xdd]);
    b[18..22].copy_from_slice(&[0, 32, ICMP_V6, HOP_LIMIT]);
    b[62..78].copy_from_slice(&address);
    b[79] = 1;
    nd.answer(Answer::ToAll, mac, is_router);
    nd
}

/// The question of a node without an address whether somebody has `address` (RFC 4862 5.4.2); it claims nothing.
#[must_use]
pub fn question(mac: [u8; 6], address: [u8; 16], nonce: [u8; 6]) -> Nd {
    /// RFC 3971 5.3.2. Tells our own question, heard back, from another one (RFC 7527), and makes room for the answer.
    const NONCE: u8 = 14;
    let mut nd = Nd { bytes: [0; ND_LEN] };
    let [.., x, y, z] = address;
    let b = &mut nd.bytes;
    b[0..6].copy_from_slice(&[0x33, 0x33, 0xff, x, y, z]);
    b[6..12].copy_from_slice(&mac);
    b[12..18].copy_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
    b[18..22].copy_from_slice(&[0, 32, ICMP_V6, HOP_LIMIT]);
    b[38..54].copy_from_slice(&solicited_node(address));
    b[54] = SOLICITATION;
    b[62..78].copy_from_slice(&address);
    b[78..80].copy_from_slice(&[NONCE, 1]);
    b[80..86].copy_from_slice(&nonce);
    nd.seal();
    nd
}

/// The group that solicitations for an address go to (RFC 4291 2.7.1).
#[must_use]
pub const fn solicited_node(address: [u8; 16]) -> [u8; 16] {
    let [.., x, y, z] = address;
    [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, x, y, z]
}

/// Somebody asks for `vip`, the target of `nd`. With [`Verdict::NdAnswered`] comes how.
#[inline(always)]
pub fn on_solicitation(
    orders: &Orders,
    facts: &Facts,
    vip: &Vip,
    nd: &Nd,
    ifindex: u32,
    now: u64,
) -> (Verdict, Option<Answer>) {
    match vip::asked(orders, facts, vip, ifindex, now) {
        Asked::Closed => (Verdict::NdClosed, None),
        Asked::ToStack => (Verdict::NdToStack, None),
        Asked::Here => match nd.answer_to() {
            Some(answer) => {
                vip::answered(facts, vip, now);
                (Verdict::NdAnswered, Some(answer))
            }
            None => (Verdict::NdToStack, None),
        },
    }
}

/// Somebody says that `vip` is his. That is a conflict only while we serve it, if it is not we ourselves, heard back.
#[inline(always)]
pub fn on_claim<S: Sink>(
    orders: &Orders,
    facts: &Facts,
    vip: &Vip,
    nd: &Nd,
    now: u64,
    sink: &mut S,
) -> Verdict {
    if nd.sender_mac() == vip.mac || !nd.is_sound() || !vip::is_conflict(orders, facts, vip, now, sink) {
        return Verdict::Unrelated;
    }
    Verdict::NdConflict
}

#[cfg(test)]
mod tests;
