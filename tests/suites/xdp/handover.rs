//! A planned move: what still comes to the node that had the addresses goes on to the one that has them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reflex::Verdict;
use reflex::layout::Vip;

use xbeat::sys::clock;

use crate::fixture::{DROP, HOUR, INTERFACE, Node, TX, need_root};
use crate::packets::{OTHER_MAC, OWN_MAC, built, udp_to, udp6_to};
use crate::peer::Peer;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 9, 0, 0, 0, 100);
const HEIR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];
const PORT: u16 = 80;

/// A node that was asked to hand both VIPs over, and has.
fn resigned() -> (Node, Vip) {
    let mut node = Node::new();
    let vip = Vip { pass_to: HEIR_MAC, ..node.vip(VIP, 0) };
    for address in [IpAddr::from(VIP), VIP6.into()] {
        node.kernel.set_vip(address, vip).unwrap();
    }
    node.orders.vips6.set(1);
    node.grant(0, 5);
    (node, vip)
}

#[test]
fn what_comes_after_the_resignation_goes_on_to_the_heir() {
    need_root!("what_comes_after_the_resignation_goes_on_to_the_heir");
    let (mut node, _) = resigned();
    for packet in [built(udp_to(VIP, PORT), b"request"), built(udp6_to(VIP6, PORT), b"request")] {
        node.orders.gates[0].resigned.set(0);
        node.passes(&packet, "while the gate is open");
        node.orders.gates[0].resigned.set(5);
        let ran = node.run(&packet);
        assert_eq!((ran.action, ran.verdict), (TX, Verdict::PassedOn));
        assert_eq!(
            (&ran.bytes[..6], &ran.bytes[6..12]),
            (&HEIR_MAC[..], &OWN_MAC[..]),
            "from us, to the heir"
        );
        assert_eq!(ran.bytes[12..], packet[12..], "the rest as it came");
    }
}

#[test]
fn what_comes_while_addresses_change_hands_is_held_for_the_heir() {
    need_root!("what_comes_while_addresses_change_hands_is_held_for_the_heir");
    let (mut node, _) = resigned();
    let packets = [built(udp_to(VIP, PORT), b"request"), built(udp6_to(VIP6, PORT), &[7; 1400])];
    node.orders.gates[0].held_until.set(clock::now() + HOUR);
    // Before the gate is shut, and after.
    for resigned in [0, 5] {
        node.orders.gates[0].resigned.set(resigned);
        for packet in &packets {
            let ran = node.run(packet);
            assert_eq!((ran.action, ran.verdict), (DROP, Verdict::Held), "resigned: {resigned}");
            let held = node.held();
            let [(ifindex, bytes)] = &held[..] else { panic!("{} are held", held.len()) };
            assert_eq!(*ifindex, INTERFACE);
            assert_eq!((&bytes[..6], &bytes[6..12]), (&HEIR_MAC[..], &OWN_MAC[..]), "from us, to the heir");
            assert_eq!(bytes[12..], packet[12..], "the rest as it came, all of it");
        }
    }
    // Not for ever, whatever becomes of the agent.
    node.orders.gates[0].held_until.set(clock::now());
    assert_eq!(node.run(&packets[0]).verdict, Verdict::PassedOn);
    node.orders.gates[0].resigned.set(0);
    node.passes(&packets[0], "the gate is open");
}

#[test]
fn what_cannot_be_held_goes_where_it_went_otherwise() {
    need_root!("what_cannot_be_held_goes_where_it_went_otherwise");
    let (mut node, vip) = resigned();
    node.orders.gates[0].resigned.set(0);
    node.orders.gates[0].held_until.set(clock::now() + HOUR);
    let packet = built(udp_to(VIP, PORT), b"request");
    let mut from_heir = packet.clone();
    from_heir[6..12].copy_from_slice(&HEIR_MAC);
    let mut to_other = packet.clone();
    to_other[..6].copy_from_slice(&OTHER_MAC);
    node.passes(&from_heir, "it comes from the heir");
    node.passes(&to_other, "for somebody else");
    node.passes(&built(udp_to(VIP, PORT), &[7; 2100]), "too long");
    // Until nobody has room for more.
    let mut room = 0;
    while node.run(&packet).verdict == Verdict::Held {
        room += 1;
        assert!(room < 1000, "there is no end");
    }
    assert!(room > 100, "room for {room}");
    node.passes(&packet, "no room");
    assert_eq!(node.held().len(), room);
    node.kernel.set_vip(VIP, Vip { pass_to: [0; 6], ..vip }).unwrap();
    node.passes(&packet, "there is no heir");
}

#[test]
fn nothing_else_goes_on_to_the_heir() {
    need_root!("nothing_else_goes_on_to_the_heir");
    let (mut node, vip) = resigned();
    node.orders.gates[0].resigned.set(5);
    let packet = built(udp_to(VIP, PORT), b"request");
    let mut to_all = packet.clone();
    to_all[..6].fill(0xff);
    let mut to_other = packet.clone();
    to_other[..6].copy_from_slice(&OTHER_MAC);
    let mut from_heir = packet.clone();
    from_heir[6..12].copy_from_slice(&HEIR_MAC);
    node.refuses(&from_heir, Verdict::VipClosed, "it was passed on to us");
    node.refuses(&to_all, Verdict::VipClosed, "everybody has got it, the heir, too");
    node.refuses(&to_other, Verdict::VipClosed, "for somebody else");
    for (what, vip) in [
        ("the time is over", Vip { pass_to: [0; 6], ..vip }),
        ("by another interface", Vip { ifindex: INTERFACE + 1, ..vip }),
    ] {
        node.kernel.set_vip(VIP, vip).unwrap();
        let ran = node.run(&packet);
        assert_eq!((ran.action, ran.verdict), (DROP, Verdict::VipClosed), "{what}");
    }
}

#[test]
fn the_heir_is_known_by_the_frames_that_it_sends() {
    need_root!("the_heir_is_known_by_the_frames_that_it_sends");
    let mut node = Node::new();
    let mut peer = Peer::new(1);
    node.admit(&mut peer);
    let link = &node.facts.nodes[1].links[usize::from(peer.link)];
    assert_eq!(reflex::strangers::mac_of(link.mac.get()), OTHER_MAC);
    assert_eq!(link.ifindex.get(), u64::from(INTERFACE));
}
