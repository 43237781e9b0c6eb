//! Frames that come to a broadcast or multicast address: answered to their sender alone, from our own address.

use std::net::Ipv4Addr;

use etherparse::{PacketBuilder, PacketHeaders, TransportHeader};
use reflex::frame::FRAME_LEN;
use reflex::{Frame, Kind, Verdict, path};

use crate::fixture::{DROP, MCAST, Node, TX, UCAST, need_root};
use crate::packets::{
    FROM_PORT, GROUP, GROUP_PORT, IP_AT, OTHER, OTHER_MAC, OWN, OWN_MAC, PORT, UDP_AT, built, put,
};
use crate::peer::Peer;

const GROUP_MAC: [u8; 6] = [0x01, 0x00, 0x5e, 0, 0, 1];
const BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 255);

/// `payload` as it comes to a group.
fn to_group(mac: [u8; 6], group: Ipv4Addr, port: u16, payload: &[u8]) -> Vec<u8> {
    let builder =
        PacketBuilder::ethernet2(OTHER_MAC, mac).ipv4(OTHER.octets(), group.octets(), 1).udp(FROM_PORT, port);
    built(builder, payload)
}

fn to_mcast(frame: &Frame) -> Vec<u8> {
    to_group(GROUP_MAC, GROUP, GROUP_PORT, &frame.bytes)
}

/// A peer on the multicast link.
fn peer() -> Peer {
    Peer { link: MCAST, ..Peer::new(1) }
}

#[track_caller]
fn assert_pong(bytes: &[u8], port: u16) {
    let parsed = PacketHeaders::from_ethernet_slice(bytes).unwrap();
    let ethernet = parsed.link.unwrap().ethernet2().unwrap();
    assert_eq!((ethernet.source, ethernet.destination), (OWN_MAC, OTHER_MAC), "to the sender alone");
    let (ip, _) = parsed.net.unwrap().ipv4_ref().map(|(ip, rest)| (ip.clone(), rest.clone())).unwrap();
    assert_eq!((ip.source, ip.destination), (OWN.octets(), OTHER.octets()), "from our address");
    assert_eq!(ip.time_to_live, 64, "also where the probe had one hop");
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    let Some(TransportHeader::Udp(udp)) = parsed.transport else { panic!("no UDP") };
    assert_eq!((udp.source_port, udp.destination_port, udp.checksum), (port, FROM_PORT, 0));
    let frame = Frame { bytes: parsed.payload.slice().try_into().expect("the payload is a frame") };
    assert_eq!((frame.kind(), frame.source(), frame.destination()), (Some(Kind::Pong), 0, 1));
}

#[test]
fn a_probe_to_a_group_is_answered_to_its_sender_from_our_own_address() {
    need_root!("a_probe_to_a_group_is_answered_to_its_sender_from_our_own_address");
    let mut node = Node::new();
    let mut peer = peer();
    node.admit(&mut peer);
    let ran = node.run(&to_mcast(&peer.probe_frame()));
    assert_eq!((ran.action, ran.verdict), (TX, Verdict::ProbeAnswered));
    assert_pong(&ran.bytes, GROUP_PORT);
    let link = &node.facts.nodes[1].links[usize::from(MCAST)];
    assert_eq!(link.address.get(), path::ipv4(OTHER.octets()));
    // A switch may make single packets of a group's (wireless ones do).
    let single = to_group(OWN_MAC, GROUP, GROUP_PORT, &peer.probe_frame().bytes);
    assert_eq!(node.run(&single).verdict, Verdict::ProbeAnswered);
    // The pong to our own probe came to our address, on the link's port.
    let seq = node.ask(1, MCAST);
    let pong = peer.frame(Kind::Pong, seq, crate::fixture::SESSION);
    let builder = crate::packets::udp_to(OWN, GROUP_PORT);
    assert_eq!(node.run(&built(builder, &pong.bytes)).verdict, Verdict::PongTaken);
}

#[test]
fn a_broadcast_is_a_group_too() {
    need_root!("a_broadcast_is_a_group_too");
    let mut node =
        Node::with(|orders| orders.paths[usize::from(UCAST)].group.set(path::ipv4(BROADCAST.octets())));
    let mut peer = Peer::new(1);
    node.admit(&mut peer);
    let ran = node.run(&to_group([0xff; 6], BROADCAST, PORT, &peer.probe_frame().bytes));
    assert_eq!((ran.action, ran.verdict), (TX, Verdict::ProbeAnswered));
    assert_pong(&ran.bytes, PORT);
    let all = to_group([0xff; 6], Ipv4Addr::BROADCAST, PORT, &peer.probe_frame().bytes);
    node.passes(&all, "255.255.255.255 is another address");
}

/// With three nodes on a group two thirds of what is heard is for somebody else; that is no error, and nothing is
/// believed of it.
#[test]
fn frames_for_others_and_our_own_are_told_from_bad_ones() {
    need_root!("frames_for_others_and_our_own_are_told_from_bad_ones");
    let mut node = Node::new();
    let mut peer = peer();
    node.admit(&mut peer);
    node.refuses(&to_mcast(&Peer { to: 2, ..peer.clone() }.probe_frame()), Verdict::ForOther, "for node 2");
    let echo = Peer { index: 0, to: 1, ..peer.clone() }.probe_frame();
    node.refuses(&to_mcast(&echo), Verdict::Echo, "our own");
    for to in [3, 15, 16, 255] {
        let frame = Peer { to, ..peer.clone() }.probe_frame();
        node.refuses(&to_mcast(&frame), Verdict::BadNode, &format!("for node {to}, which is not configured"));
    }
    // What came to us alone and is not for us stays bad.
    node.refuses(&Peer { to: 2, ..peer.clone() }.probe(), Verdict::BadNode, "to our address, for node 2");
}

/// A stranger who knows the group can send to it as well as to us.
#[test]
fn what_is_forged_or_replayed_to_a_group_is_refused_as_elsewhere() {
    need_root!("what_is_forged_or_replayed_to_a_group_is_refused_as_elsewhere");
    let mut node = Node::new();
    let mut peer = peer();
    node.admit(&mut peer);
    let genuine = peer.probe_frame();
    let mut forged = genuine;
    forged.bytes[50] ^= 1;
    node.refuses(&to_mcast(&forged), Verdict::BadMac, "forged");
    assert_eq!(node.run(&to_mcast(&genuine)).verdict, Verdict::ProbeAnswered);
    node.refuses(&to_mcast(&genuine), Verdict::Replayed, "again");
    node.refuses(&to_mcast(&Frame::default()), Verdict::BadFormat, "zeros");
    let to = |payload: &[u8]| to_group(GROUP_MAC, GROUP, GROUP_PORT, payload);
    for len in [0, 1, FRAME_LEN - 1, FRAME_LEN + 1, 1400] {
        node.refuses(&to(&vec![7; len]), Verdict::BadLength, &format!("{len} bytes"));
    }
    let mut fragment = to_mcast(&peer.probe_frame());
    put(&mut fragment, IP_AT + 6, 0x2000);
    node.refuses(&fragment, Verdict::BadLength, "in fragments");
    let whole = to_mcast(&peer.probe_frame());
    for length in IP_AT..whole.len() {
        let cut = &whole[..length];
        if length < UDP_AT + 6 {
            node.passes(cut, &format!("{length} bytes"));
        } else {
            node.refuses(cut, Verdict::BadLength, &format!("{length} bytes"));
        }
    }
}

/// A group counts on its own port and interface; what is sent to it otherwise is other people's.
#[test]
fn another_port_or_group_or_interface_passes() {
    need_root!("another_port_or_group_or_interface_passes");
    let mut node = Node::new();
    let frame = peer().probe_frame().bytes;
    for port in [0, PORT, GROUP_PORT - 1, GROUP_PORT + 64, u16::MAX] {
        node.passes(&to_group(GROUP_MAC, GROUP, port, &frame), &format!("port {port}"));
    }
    for last in [0, 2, 255] {
        let group = Ipv4Addr::new(239, 0, 0, last);
        node.passes(&to_group(GROUP_MAC, group, GROUP_PORT, &frame), &format!("group {group}"));
    }
    node.orders.paths[usize::from(MCAST)].ifindex.set(99);
    node.passes(&to_group(GROUP_MAC, GROUP, GROUP_PORT, &frame), "a link of another interface");
    node.orders.paths[usize::from(MCAST)].ifindex.set(u64::from(crate::fixture::INTERFACE));
    node.orders.paths[usize::from(MCAST)].port.set(0);
    node.passes(&to_group(GROUP_MAC, GROUP, GROUP_PORT, &frame), "a link without an address to answer from");
    assert_eq!(node.run(&crate::packets::carrying(&Peer::new(1).probe_frame())).action, TX);
    let ran = node.run(&built(crate::packets::udp_to(OWN, PORT), &[0; 10]));
    assert_eq!(ran.action, DROP);
}
