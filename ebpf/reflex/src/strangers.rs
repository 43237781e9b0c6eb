//! Strangers: who else is on the network of a VIP?
//!
//! While an interface is in doubt (a node is silent on it that lives elsewhere), every frame whose sender is no node of
//! the cluster shows that something is still heard. In peace nothing of this is looked at; only who uses ARP is remembered,
//! to be asked in doubt.

use crate::layout::{Facts, Orders, at};
use crate::{CALLERS_MAX, DOUBTS_MAX};

/// A hardware address as one word; never that of an unused one, 0, for an address that a station may have.
#[inline(always)]
#[must_use]
pub const fn mac_word(mac: [u8; 6]) -> u64 {
    u64::from_le_bytes([mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], 0, 0])
}

/// The hardware address that [`mac_word`] made the word of.
#[must_use]
pub const fn mac_of(word: u64) -> [u8; 6] {
    let [a, b, c, d, e, f, ..] = word.to_le_bytes();
    [a, b, c, d, e, f]
}

/// A frame came in by `ifindex` from hardware address `from` while [`Orders::doubt`] is not 0: if the interface is in
/// doubt and the sender no node of the cluster, the time is stamped.
#[inline(always)]
pub fn on_frame(orders: &Orders, facts: &Facts, ifindex: u32, from: u64, now: u64) {
    for i in 0..DOUBTS_MAX {
        if at!(orders.doubts, i).get() == u64::from(ifindex) && !is_of_cluster(orders, from) {
            at!(facts.strangers, i).set(now);
        }
    }
}

#[inline(always)]
fn is_of_cluster(orders: &Orders, mac: u64) -> bool {
    let mut known = false;
    for word in &orders.macs {
        known |= word.get() == mac;
    }
    known
}

/// Somebody with this IPv4 address used ARP on `ifindex`: remembered in the place of whoever had it before.
#[inline(always)]
pub fn on_caller(facts: &Facts, ifindex: u32, address: [u8; 4]) {
    // The last byte tells the hosts of most networks apart.
    at!(facts.callers, address[3] as usize % CALLERS_MAX).set(caller_word(ifindex, address));
}

/// One word of [`Facts::callers`].
#[inline(always)]
#[must_use]
pub const fn caller_word(ifindex: u32, address: [u8; 4]) -> u64 {
    (ifindex as u64) << 32 | u32::from_be_bytes(address) as u64
}

/// The interface and the address in one word of [`Facts::callers`]; nothing in an unused one.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "takes the word apart")]
pub const fn caller(word: u64) -> Option<(u32, [u8; 4])> {
    if word == 0 {
        return None;
    }
    Some(((word >> 32) as u32, (word as u32).to_be_bytes()))
}

const _: () = assert!(DOUBTS_MAX.is_power_of_two() && CALLERS_MAX.is_power_of_two());

#[cfg(test)]
mod tests {
    use std::boxed::Box;

    use super::*;

    const PEER: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const HOST: [u8; 6] = [2, 0, 0, 0, 0, 9];

    #[test]
    fn only_strangers_on_an_interface_in_doubt_are_stamped() {
        let (orders, facts) = (Box::new(Orders::new()), Box::new(Facts::new()));
        orders.macs[3].set(mac_word(PEER));
        orders.doubts[1].set(7);
        let stamps = || facts.strangers.each_ref().map(|word| word.get());
        on_frame(&orders, &facts, 7, mac_word(PEER), 5);
        on_frame(&orders, &facts, 8, mac_word(HOST), 5);
        assert_eq!(stamps(), [0; 4]);
        on_frame(&orders, &facts, 7, mac_word(HOST), 6);
        assert_eq!(stamps(), [0, 6, 0, 0]);
    }

    #[test]
    fn callers_are_remembered_with_their_interface() {
        let facts = Box::new(Facts::new());
        on_caller(&facts, 3, [192, 0, 2, 50]);
        on_caller(&facts, 4, [192, 0, 2, 51]);
        let known: std::vec::Vec<_> = facts.callers.iter().filter_map(|word| caller(word.get())).collect();
        assert_eq!(known, [(3, [192, 0, 2, 50]), (4, [192, 0, 2, 51])]);
    }
}
