//! ARP for the VIPs (RFC 826), answered in the kernel: by our own gate, or not at all.

use crate::layout::{Facts, Orders, Vip};
use crate::verdict::{Sink, Verdict};
use crate::vip::{self, Asked};

/// Bytes of an ARP packet for Ethernet and IPv4, with the Ethernet header.
pub const ARP_LEN: usize = 42;

/// An Ethernet frame with ARP for IPv4 in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Arp {
    /// The bytes.
    pub bytes: [u8; ARP_LEN],
}

/// What an ARP packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has its address.
    Reply,
}

impl Arp {
    /// What it wants; `None` if it is not ARP for Ethernet and IPv4.
    #[inline(always)]
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        let b = &self.bytes;
        let hardware = u16::from_be_bytes([b[14], b[15]]);
        let protocol = u16::from_be_bytes([b[16], b[17]]);
        if hardware != 1 || protocol != 0x0800 || b[18] != 6 || b[19] != 4 {
            return None;
        }
        match u16::from_be_bytes([b[20], b[21]]) {
            1 => Some(Operation::Request),
            2 => Some(Operation::Reply),
            _ => None,
        }
    }

    /// Address that is asked for, network order.
    #[inline(always)]
    #[must_use]
    pub fn target(&self) -> [u8; 4] {
        let b = &self.bytes;
        [b[38], b[39], b[40], b[41]]
    }

    /// Address of the sender, network order.
    #[inline(always)]
    #[must_use]
    pub fn sender(&self) -> [u8; 4] {
        let b = &self.bytes;
        [b[28], b[29], b[30], b[31]]
    }

    /// MAC address that the sender gives as its own.
    #[inline(always)]
    #[must_use]
    pub fn sender_mac(&self) -> [u8; 6] {
        let b = &self.bytes;
        [b[22], b[23], b[24], b[25], b[26], b[27]]
    }

    /// Turns the request into its answer: the target address is at `mac`.
    #[inline(always)]
    pub fn answer(&mut self, mac: [u8; 6]) {
        let (asker, asker_ip, ip) = (self.sender_mac(), self.sender(), self.target());
        let b = &mut self.bytes;
        b[0..6].copy_from_slice(&asker);
        b[6..12].copy_from_slice(&mac);
        b[22..28].copy_from_slice(&mac);
        b[32..38].copy_from_slice(&asker);
        b[20] = 0;
        b[21] = 2;
        b[28..32].copy_from_slice(&ip);
        b[38..42].copy_from_slice(&asker_ip);
    }
}

/// Somebody asks for `vip`, which `target` of the request named.
#[inline(always)]
pub fn on_request(orders: &Orders, facts: &Facts, vip: &Vip, ifindex: u32, now: u64) -> Verdict {
    match vip::asked(orders, facts, vip, ifindex, now) {
        Asked::Closed => Verdict::ArpClosed,
        Asked::ToStack => Verdict::ArpToStack,
        Asked::Here => {
            vip::answered(facts, vip, now);
            Verdict::ArpAnswered
        }
    }
}

/// Somebody with another MAC address says that `vip` is his. That is a conflict only while we serve it.
#[inline(always)]
pub fn on_foreign_claim<S: Sink>(
    orders: &Orders,
    facts: &Facts,
    vip: &Vip,
    now: u64,
    sink: &mut S,
) -> Verdict {
    if vip::is_conflict(orders, facts, vip, now, sink) { Verdict::ArpConflict } else { Verdict::ArpOther }
}

#[cfg(test)]
mod tests;
