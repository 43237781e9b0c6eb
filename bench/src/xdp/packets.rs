//! Packets by hand, from node 1 to node 0, or a client's.

use std::net::Ipv4Addr;

use reflex::Frame;

pub(crate) const PORT: u16 = 694;
pub(crate) const OWN: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
pub(crate) const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

const TCP: u8 = 6;
const UDP: u8 = 17;

fn ethernet(ether_type: u16) -> Vec<u8> {
    [&OWN_MAC[..], &OTHER_MAC, &ether_type.to_be_bytes()].concat()
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let mut packet = ethernet(0x0800);
    packet.extend([0x45, 0]);
    packet.extend(length.to_be_bytes());
    // No checksum: the programs do not look at it, and whoever does is behind them.
    packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(OTHER.octets());
    packet.extend(OWN.octets());
    packet.extend(payload);
    packet
}

/// UDP to `port` of this node.
pub(crate) fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    let mut datagram = Vec::with_capacity(usize::from(length));
    for word in [PORT, port, length, 0] {
        datagram.extend(word.to_be_bytes());
    }
    datagram.extend(payload);
    ipv4(UDP, &datagram)
}

/// A frame as it comes from the other node.
pub(crate) fn carrying(frame: &Frame) -> Vec<u8> {
    udp(PORT, &frame.bytes)
}

/// A TCP segment to this node.
pub(crate) fn tcp() -> Vec<u8> {
    ipv4(TCP, &[0; 144])
}

/// An IPv6 packet.
pub(crate) fn ipv6() -> Vec<u8> {
    let mut packet = ethernet(0x86dd);
    packet.extend([0x60, 0, 0, 0, 0, 132, TCP, 64]);
    packet.resize(14 + 40 + 132, 0);
    packet
}

/// The other node asks who has `address`.
pub(crate) fn who_has(address: Ipv4Addr) -> Vec<u8> {
    let mut packet = ethernet(0x0806);
    packet[..6].fill(0xff);
    packet.extend([0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    packet.extend(OTHER_MAC);
    packet.extend(OTHER.octets());
    packet.extend([0; 6]);
    packet.extend(address.octets());
    packet.resize(60, 0);
    packet
}
