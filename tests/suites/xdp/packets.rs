//! Packets, built by `etherparse` or by hand: never by the code under test.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{PacketBuilder, PacketBuilderStep, UdpHeader};
use reflex::Frame;
use reflex::frame::FRAME_LEN;

pub(crate) const PORT: u16 = 694;
/// The port that peers send from.
pub(crate) const FROM_PORT: u16 = 40_694;

pub(crate) const OWN: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub(crate) const OTHER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
pub(crate) const OWN6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 9, 0, 0, 0, 1);
pub(crate) const OTHER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 9, 0, 0, 0, 2);
/// Where the multicast links of the node under test meet.
pub(crate) const GROUP: Ipv4Addr = Ipv4Addr::new(239, 0, 0, 1);
pub(crate) const GROUP_PORT: u16 = 4242;
pub(crate) const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x694);
pub(crate) const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Offsets in an untagged packet.
pub(crate) const IP_AT: usize = 14;
pub(crate) const UDP_AT: usize = 34;
pub(crate) const FRAME_AT: usize = 42;
/// A whole packet with a frame in it.
pub(crate) const PACKET_LEN: usize = FRAME_AT + FRAME_LEN;

/// An untagged UDP packet from the other node, up to the payload.
pub(crate) fn udp_to(to: Ipv4Addr, port: u16) -> PacketBuilderStep<UdpHeader> {
    PacketBuilder::ethernet2(OTHER_MAC, OWN_MAC).ipv4(OTHER.octets(), to.octets(), 17).udp(FROM_PORT, port)
}

/// An untagged UDP packet over IPv6 from the other node, up to the payload.
pub(crate) fn udp6_to(to: Ipv6Addr, port: u16) -> PacketBuilderStep<UdpHeader> {
    PacketBuilder::ethernet2(OTHER_MAC, OWN_MAC).ipv6(OTHER6.octets(), to.octets(), 17).udp(FROM_PORT, port)
}

/// A packet with `payload`.
pub(crate) fn built(builder: PacketBuilderStep<UdpHeader>, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut packet, payload).unwrap();
    packet
}

/// `frame` as it comes from the other node.
pub(crate) fn carrying(frame: &Frame) -> Vec<u8> {
    built(udp_to(OWN, PORT), &frame.bytes)
}

/// Writes a big-endian number.
pub(crate) fn put(packet: &mut [u8], at: usize, value: u16) {
    packet[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

pub(crate) const ARP_REQUEST: u16 = 1;
pub(crate) const ARP_REPLY: u16 = 2;
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 77);
pub(crate) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x77];
const NOBODY: [u8; 6] = [0; 6];

/// ARP as RFC 826 draws it, broadcast, padded to the 60 bytes of a short Ethernet frame.
pub(crate) fn arp(operation: u16, sender_mac: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut p = Vec::with_capacity(60);
    p.extend([0xff; 6]);
    p.extend(sender_mac);
    p.extend([0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4]);
    p.extend(operation.to_be_bytes());
    p.extend(sender_mac);
    p.extend(sender.octets());
    p.extend(NOBODY);
    p.extend(target.octets());
    p.resize(60, 0);
    p
}

/// The client asks who has `address`.
pub(crate) fn who_has(address: Ipv4Addr) -> Vec<u8> {
    arp(ARP_REQUEST, CLIENT_MAC, CLIENT, address)
}
