//! Which datagrams are frames, and how their senders are answered: by port and address, before anything else is
//! looked at.
//!
//! A frame comes to an address of this node, or to the group of a link: a broadcast or multicast address. What came to a
//! group is answered to its sender alone, from the link's own address, because no packet may come from a group.
//!
//! Which link it came by is seen here too, and not taken from the frame: each node counts its links as they stand in its own
//! file.

use crate::layout::Orders;
use crate::word::Word;

/// An IP address of either family: its 16 bytes as they lie in a packet, as two words; IPv4 as a mapped address (RFC 4291
/// 2.5.5.2). Zeros: none.
pub type Ip = [u64; 2];

/// No address.
pub const NO_IP: Ip = [0, 0];

/// An IPv4 address, its four bytes as they lie in a packet.
#[inline(always)]
#[must_use]
pub const fn ipv4(bytes: [u8; 4]) -> Ip {
    let [a, b, c, d] = bytes;
    [0, u64::from_ne_bytes([0, 0, 0xff, 0xff, a, b, c, d])]
}

/// An IPv6 address, its bytes as they lie in a packet.
#[inline(always)]
#[must_use]
pub const fn ipv6(bytes: [u8; 16]) -> Ip {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes([i, j, k, l, m, n, o, p])]
}

/// The 16 bytes of an address.
#[inline(always)]
#[must_use]
pub const fn bytes(ip: Ip) -> [u8; 16] {
    let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]) = (ip[0].to_ne_bytes(), ip[1].to_ne_bytes());
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// A place for an address.
#[repr(C)]
#[derive(Debug)]
pub struct Address([Word; 2]);

impl Address {
    /// A place that holds [`NO_IP`].
    #[must_use]
    pub const fn new() -> Self {
        Self([Word::new(0), Word::new(0)])
    }

    /// What it holds.
    #[inline(always)]
    #[must_use]
    pub fn get(&self) -> Ip {
        [self.0[0].get(), self.0[1].get()]
    }

    /// Puts an address there. Not in one piece: see [`Path`].
    #[inline(always)]
    pub fn set(&self, ip: Ip) {
        self.0[0].set(ip[0]);
        self.0[1].set(ip[1]);
    }

    #[inline(always)]
    fn is(&self, ip: Ip) -> bool {
        // The second word first: it tells more addresses apart.
        self.0[1].get() == ip[1] && self.0[0].get() == ip[0]
    }
}

impl Default for Address {
    fn default() -> Self {
        Self::new()
    }
}

/// How frames come in by one link. To change one that is in use, take its port away first and give it last.
#[repr(C)]
#[derive(Debug)]
pub struct Path {
    /// UDP port; 0: no such link, or not to be had now.
    pub port: Word,
    /// Interface.
    pub ifindex: Word,
    /// Broadcast or multicast address of the link; [`NO_IP`]: it has none.
    pub group: Address,
    /// This node's address there: answers to frames that came to the group come from it.
    pub own: Address,
    /// The interface's hardware address, as [`mac`] packs it.
    pub mac: Word,
}

impl Path {
    pub(crate) const fn new() -> Self {
        let (group, own) = (Address::new(), Address::new());
        Self { port: Word::new(0), ifindex: Word::new(0), group, own, mac: Word::new(0) }
    }
}

/// A hardware address in one word, its bytes as they lie in a packet.
#[inline(always)]
#[must_use]
pub const fn mac(bytes: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = bytes;
    u64::from_ne_bytes([a, b, c, d, e, f, 0, 0])
}

/// The bit of a port in [`Orders::ports4`] and [`Orders::ports6`].
#[inline(always)]
#[must_use]
pub const fn port_bit(port: u16) -> u64 {
    1 << (port & 63)
}

/// How a frame came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// To an address of this node.
    Own,
    /// To the group of the path with that index.
    Group(u8),
}

/// How a datagram to `port` of `to` came, if it is one of ours. Own addresses count on every interface, as in Linux; a
/// group on its own.
#[inline(always)]
#[must_use]
pub fn arrival(orders: &Orders, ifindex: u64, port: u16, to: Ip) -> Option<Arrival> {
    // What unused places hold is nobody's address.
    if port == 0 || to == NO_IP {
        return None;
    }
    // Loops that end with what they find, and remember nothing: a verifier follows every way through them.
    let is_on = |path: &Path| path.port.get() == u64::from(port);
    for (index, path) in orders.paths.iter().enumerate() {
        if path.group.is(to) && is_on(path) && path.ifindex.get() == ifindex {
            return Some(Arrival::Group(index as u8));
        }
    }
    if !orders.paths.iter().any(is_on) {
        return None;
    }
    orders.addresses.iter().any(|own| own.is(to)).then_some(Arrival::Own)
}

/// The link of single addresses on that interface, by its index plus one; 0: there is none. What came to an address of this
/// node came by it, whatever number its sender has for it.
#[inline(always)]
#[must_use]
pub fn link_of_one(orders: &Orders, ifindex: u64, is_ipv6: bool) -> u64 {
    let is_it = |path: &Path| {
        path.ifindex.get() == ifindex
            && path.port.get() != 0
            && path.group.is(NO_IP)
            // A mapped address begins with zeros, and no IPv6 address that a packet may carry does.
            && (path.own.get()[0] != 0) == is_ipv6
    };
    for (index, path) in orders.paths.iter().enumerate() {
        if is_it(path) {
            return index as u64 + 1;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;

    use super::*;

    const GROUP: Ip = ipv4([239, 0, 0, 1]);
    const GROUP6: Ip = ipv6([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0x94]);
    const OWN: Ip = ipv4([192, 0, 2, 11]);

    fn orders() -> Box<Orders> {
        let orders = Box::new(Orders::new());
        for (path, (port, ifindex, group)) in
            orders.paths.iter().zip([(694, 2, NO_IP), (695, 2, GROUP), (694, 3, GROUP6)])
        {
            path.port.set(port);
            path.ifindex.set(ifindex);
            path.group.set(group);
        }
        orders.addresses[3].set(OWN);
        orders
    }

    #[test]
    fn a_group_counts_on_its_port_and_interface_and_own_addresses_everywhere() {
        let orders = orders();
        assert_eq!(arrival(&orders, 2, 695, GROUP), Some(Arrival::Group(1)));
        assert_eq!(arrival(&orders, 3, 694, GROUP6), Some(Arrival::Group(2)));
        for (ifindex, port, to) in [(2, 694, GROUP), (3, 695, GROUP), (2, 694, GROUP6), (3, 696, GROUP6)] {
            assert_eq!(arrival(&orders, ifindex, port, to), None, "{ifindex} {port} {to:x?}");
        }
        for ifindex in [0, 2, 3, 9] {
            assert_eq!(arrival(&orders, ifindex, 694, OWN), Some(Arrival::Own));
            assert_eq!(arrival(&orders, ifindex, 695, OWN), Some(Arrival::Own));
            assert_eq!(arrival(&orders, ifindex, 693, OWN), None);
        }
    }

    #[test]
    fn a_link_of_single_addresses_is_known_by_interface_and_family() {
        const OWN6: Ip = ipv6([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let orders = Box::new(Orders::new());
        // mcast eth0, ucast6 eth0, ucast eth0, ucast eth1
        for (path, (ifindex, group, own)) in
            orders.paths.iter().zip([(2, GROUP, OWN), (2, NO_IP, OWN6), (2, NO_IP, OWN), (3, NO_IP, OWN)])
        {
            path.port.set(694);
            path.ifindex.set(ifindex);
            path.group.set(group);
            path.own.set(own);
        }
        let link = |ifindex, is_ipv6| link_of_one(&orders, ifindex, is_ipv6);
        assert_eq!([link(2, true), link(2, false), link(3, false)], [2, 3, 4]);
        assert_eq!([link(3, true), link(4, false), link(0, false)], [0; 3], "no such link");
        orders.paths[3].port.set(0);
        assert_eq!(link(3, false), 0, "it is not to be had now");
    }

    #[test]
    fn nothing_is_ours_before_there_are_orders() {
        let orders = Box::new(Orders::new());
        assert_eq!(link_of_one(&orders, 0, false), 0);
        for to in [NO_IP, OWN, GROUP] {
            assert_eq!(arrival(&orders, 0, 0, to), None);
            assert_eq!(arrival(&orders, 2, 694, to), None);
        }
        assert_eq!(arrival(&self::orders(), 2, 694, NO_IP), None, "the unspecified address is nobody's");
    }

    #[test]
    fn addresses_keep_their_bytes_and_families_apart() {
        assert_eq!(bytes(OWN)[10..], [0xff, 0xff, 192, 0, 2, 11]);
        assert_eq!(ipv6(bytes(GROUP6)), GROUP6);
        assert_ne!(ipv4([0, 0, 0, 0]), NO_IP, "0.0.0.0 is mapped too");
        assert_eq!(mac([1, 2, 3, 4, 5, 6]).to_ne_bytes(), [1, 2, 3, 4, 5, 6, 0, 0]);
    }
}
