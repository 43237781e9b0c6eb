//! What is none of ours goes to the stack untouched, whatever else it resembles.

use std::net::Ipv4Addr;

use etherparse::{PacketBuilder, VlanId};
use reflex::Verdict;

use crate::fixture::{Node, TX, need_root};
use crate::packets::{
    FROM_PORT, IP_AT, OTHER, OTHER_MAC, OWN, OWN_MAC, PORT, UDP_AT, arp, built, put, udp_to,
};
use crate::peer::Peer;

/// A node, a genuine frame, and a function that shows that only what is around the frame keeps it from being answered.
fn node_and_frame() -> (Node, [u8; 144]) {
    let mut node = Node::new();
    let frame = Peer::new(1).probe_frame();
    assert_eq!(node.run(&built(udp_to(OWN, PORT), &frame.bytes)).action, TX, "alone it is answered");
    (node, frame.bytes)
}

/// TCP, ICMP, IPv6, other UDP: a host's ordinary traffic.
#[test]
fn ordinary_traffic_passes() {
    need_root!("ordinary_traffic_passes");
    let (mut node, frame) = node_and_frame();
    let ip = || PacketBuilder::ethernet2(OTHER_MAC, OWN_MAC).ipv4(OTHER.octets(), OWN.octets(), 64);
    let mut packet = Vec::new();
    ip().tcp(FROM_PORT, PORT, 1, 1000).write(&mut packet, &frame).unwrap();
    node.passes(&packet, "TCP to our port's number");
    packet.clear();
    ip().icmpv4_echo_request(1, 1).write(&mut packet, &frame).unwrap();
    node.passes(&packet, "ping");
    for port in [0, 53, PORT - 1, PORT + 1, PORT.swap_bytes(), u16::MAX] {
        node.passes(&built(udp_to(OWN, port), &frame), &format!("UDP to port {port}"));
    }
    packet.clear();
    PacketBuilder::ethernet2(OTHER_MAC, OWN_MAC)
        .ipv6([1; 16], [2; 16], 64)
        .udp(FROM_PORT, PORT)
        .write(&mut packet, &frame)
        .unwrap();
    node.passes(&packet, "IPv6");
    for ether_type in [0x0000, 0x0026, 0x0801, 0x86dd, 0x88cc, 0x8847, 0xffff] {
        let mut packet = built(udp_to(OWN, PORT), &frame);
        put(&mut packet, 12, ether_type);
        node.passes(&packet, &format!("EtherType {ether_type:#06x}"));
    }
}

/// Frames between two other clusters whose gateway we are: addressed to somebody else, they are nobody's business.
#[test]
fn frames_for_other_hosts_pass() {
    need_root!("frames_for_other_hosts_pass");
    let (mut node, frame) = node_and_frame();
    for to in [
        Ipv4Addr::new(10, 9, 0, 9),
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(10, 9, 0, 255),
        Ipv4Addr::new(239, 0, 0, 1),
        // What an unused slot in the table of own addresses holds.
        Ipv4Addr::UNSPECIFIED,
    ] {
        node.passes(&built(udp_to(to, PORT), &frame), &format!("to {to}"));
    }
}

/// All addresses of the node are its own, and none but them.
#[test]
fn every_own_address_counts() {
    need_root!("every_own_address_counts");
    let mut node = Node::new();
    let own = |i: u8| Ipv4Addr::new(10, 9, i, 1);
    for i in 0..8u8 {
        let mut peer = Peer::new(1);
        let packet = built(udp_to(own(i), PORT), &peer.probe_frame().bytes);
        if i > 0 {
            node.passes(&packet, "not yet ours");
            node.orders.addresses[usize::from(i)].set(reflex::path::ipv4(own(i).octets()));
        }
        let ran = node.run(&packet);
        assert_eq!((ran.action, ran.verdict), (TX, Verdict::ProbeUnproven), "slot {i}");
    }
}

/// An answer to a group address would come from one, which no station may: a frame that was sent to many is not
/// answered, although its IP address is ours.
#[test]
fn a_frame_to_a_group_of_stations_is_not_answered() {
    need_root!("a_frame_to_a_group_of_stations_is_not_answered");
    let (mut node, frame) = node_and_frame();
    for to in [[0xff; 6], [0x01, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]] {
        let mut packet = built(udp_to(OWN, PORT), &frame);
        packet[..6].copy_from_slice(&to);
        node.passes(&packet, &format!("to {to:02x?}"));
    }
}

/// Tagged once or twice: the frame belongs to a VLAN device on top of this interface, where the reflex is attached as
/// well, if it is to answer there. The same for ARP.
#[test]
fn vlan_tagged_packets_pass() {
    need_root!("vlan_tagged_packets_pass");
    let (mut node, frame) = node_and_frame();
    let tag = |id| VlanId::try_new(id).unwrap();
    let mut packet = Vec::new();
    PacketBuilder::ethernet2(OTHER_MAC, OWN_MAC)
        .single_vlan(tag(7))
        .ipv4(OTHER.octets(), OWN.octets(), 64)
        .udp(FROM_PORT, PORT)
        .write(&mut packet, &frame)
        .unwrap();
    node.passes(&packet, "802.1Q");
    packet.clear();
    PacketBuilder::ethernet2(OTHER_MAC, OWN_MAC)
        .double_vlan(tag(7), tag(8))
        .ipv4(OTHER.octets(), OWN.octets(), 64)
        .udp(FROM_PORT, PORT)
        .write(&mut packet, &frame)
        .unwrap();
    node.passes(&packet, "QinQ");
    let vip = Ipv4Addr::new(10, 9, 0, 100);
    node.vip(vip, 0);
    let mut tagged = arp(1, OTHER_MAC, OTHER, vip);
    for at in [12, 12] {
        tagged.splice(at..at, [0x81, 0x00, 0x00, 0x07]);
        node.passes(&tagged, "tagged ARP");
    }
}

/// IP options move everything behind them; no frame of ours has any. Neither has it another version of IP, or a header
/// that says to be too short.
#[test]
fn ip_options_and_odd_headers_pass() {
    need_root!("ip_options_and_odd_headers_pass");
    let (mut node, frame) = node_and_frame();
    let plain = built(udp_to(OWN, PORT), &frame);
    for first_byte in (0..=255u8).filter(|byte| *byte != 0x45) {
        let mut packet = plain.clone();
        packet[IP_AT] = first_byte;
        node.passes(&packet, &format!("first byte {first_byte:#04x}"));
    }
    let mut with_options = plain;
    with_options[IP_AT] = 0x46;
    with_options.splice(UDP_AT..UDP_AT, [1, 1, 1, 0]);
    let length = (with_options.len() - IP_AT) as u16;
    put(&mut with_options, IP_AT + 2, length);
    node.passes(&with_options, "one word of options");
}

/// Fragments behind the first have no UDP header: what lies in its place means nothing.
#[test]
fn later_fragments_pass() {
    need_root!("later_fragments_pass");
    let (mut node, frame) = node_and_frame();
    for fragment in [0x0001u16, 0x2001, 0x1fff, 0x3fff] {
        let mut packet = built(udp_to(OWN, PORT), &frame);
        put(&mut packet, IP_AT + 6, fragment);
        node.passes(&packet, &format!("flags and offset {fragment:#06x}"));
    }
    // Don't-fragment is no fragment.
    let mut peer = Peer { seq: 100, ..Peer::new(1) };
    let mut packet = built(udp_to(OWN, PORT), &peer.probe_frame().bytes);
    put(&mut packet, IP_AT + 6, 0x4000);
    assert_eq!(node.run(&packet).action, TX);
}

/// Before the agent has given its orders nothing is ours.
#[test]
fn without_orders_everything_passes() {
    need_root!("without_orders_everything_passes");
    let mut node = Node::with(|orders| *orders = reflex::Orders::new());
    node.passes(&Peer::new(1).probe(), "a probe");
    let to_nobody = built(udp_to(Ipv4Addr::UNSPECIFIED, 0), &Peer::new(1).probe_frame().bytes);
    node.passes(&to_nobody, "a probe to address 0, port 0");
}
