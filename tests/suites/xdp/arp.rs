//! ARP for the VIPs: answered only through an open gate, silent otherwise, and everybody else's left alone.

use std::net::Ipv4Addr;

use reflex::layout::Vip;
use reflex::{EventKind, Verdict};
use xbeat::sys::clock;

use crate::fixture::{DROP, HOUR, INTERFACE, Node, PASS, TX, need_root};
use crate::packets::{
    ARP_REPLY, ARP_REQUEST, CLIENT, CLIENT_MAC, OTHER, OTHER_MAC, OWN, OWN_MAC, arp, put, who_has,
};
use crate::peer::Peer;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const GROUP: usize = 2;

/// A node that serves the VIP.
fn serving() -> Node {
    let mut node = Node::new();
    node.vip(VIP, GROUP as u32);
    node.grant(GROUP, 5);
    node
}

/// Through an open gate a request is answered with the VIP's MAC, byte by byte as RFC 826 wants it, padding untouched.
#[test]
fn a_request_is_answered_through_an_open_gate() {
    need_root!("a_request_is_answered_through_an_open_gate");
    let mut node = serving();
    let mut request = who_has(VIP);
    request[42..].fill(0x5a);
    let ran = node.run(&request);
    assert_eq!((ran.action, ran.verdict), (TX, Verdict::ArpAnswered));
    let mut expected = arp(ARP_REPLY, OWN_MAC, VIP, CLIENT);
    expected[0..6].copy_from_slice(&CLIENT_MAC);
    expected[32..38].copy_from_slice(&CLIENT_MAC);
    expected[42..].fill(0x5a);
    assert_eq!(ran.bytes, expected);
    // Unpadded, as a veth delivers it, and unicast, as a client does that refreshes its entry.
    let mut short = who_has(VIP)[..42].to_vec();
    short[..6].copy_from_slice(&OWN_MAC);
    assert_eq!(node.run(&short).bytes, arp_without_padding());
}

fn arp_without_padding() -> Vec<u8> {
    let mut reply = arp(ARP_REPLY, OWN_MAC, VIP, CLIENT)[..42].to_vec();
    reply[0..6].copy_from_slice(&CLIENT_MAC);
    reply[32..38].copy_from_slice(&CLIENT_MAC);
    reply
}

/// Closed: never granted, resigned, fenced, behind a resource that is not started, with the lease over. Nobody answers,
/// not even the stack, which may have the address already, or still.
#[test]
fn a_closed_gate_is_silent() {
    need_root!("a_closed_gate_is_silent");
    let closed = |node: &mut Node, what| node.acts(&who_has(VIP), DROP, Verdict::ArpClosed, what);
    let mut node = Node::new();
    let vip = node.vip(VIP, GROUP as u32);
    closed(&mut node, "never granted");
    node.grant(GROUP, 5);
    node.acts(&who_has(VIP), TX, Verdict::ArpAnswered, "granted");
    node.kernel.set_vip(VIP, Vip { ready: 0, ..vip }).unwrap();
    closed(&mut node, "not ready");
    node.kernel.set_vip(VIP, vip).unwrap();
    node.acts(&who_has(VIP), TX, Verdict::ArpAnswered, "ready");
    node.orders.gates[GROUP].resigned.set(5);
    closed(&mut node, "resigned");
    node.grant(GROUP, 6);
    node.acts(&who_has(VIP), TX, Verdict::ArpAnswered, "granted again");
}

/// The first request after the lease fences the gate on the spot: a late renewal opens nothing, a new epoch does.
#[test]
fn an_expired_lease_closes_for_good() {
    need_root!("an_expired_lease_closes_for_good");
    let mut node = serving();
    node.orders.lease_until.set(clock::now());
    node.acts(&who_has(VIP), TX, Verdict::ArpAnswered, "expired, but nobody is there to yield to");
    node.orders.lease_until.set(clock::now() + HOUR);
    node.admit(&mut Peer::new(1));
    node.orders.lease_until.set(clock::now());
    node.acts(&who_has(VIP), DROP, Verdict::ArpClosed, "expired");
    node.orders.lease_until.set(clock::now() + HOUR);
    node.acts(&who_has(VIP), DROP, Verdict::ArpClosed, "renewed too late");
    assert_eq!(node.facts.gates[GROUP].fenced.get(), 5);
    node.grant(GROUP, 6);
    node.acts(&who_has(VIP), TX, Verdict::ArpAnswered, "granted anew");
}

/// Where `XDP_TX` is not known to work, and on interfaces that the VIP does not live on, the stack decides, if the gate
/// is open. Through a closed one nothing gets to it.
#[test]
fn the_stack_answers_where_we_cannot() {
    need_root!("the_stack_answers_where_we_cannot");
    let mut node = serving();
    let vip = node.vip(VIP, GROUP as u32);
    for (what, other) in [
        ("cannot bounce", Vip { bounce: 0, ..vip }),
        ("another interface", Vip { ifindex: INTERFACE + 1, ..vip }),
    ] {
        node.kernel.set_vip(VIP, other).unwrap();
        node.acts(&who_has(VIP), PASS, Verdict::ArpToStack, what);
        node.orders.gates[GROUP].resigned.set(5);
        node.acts(&who_has(VIP), DROP, Verdict::ArpClosed, what);
        node.orders.gates[GROUP].resigned.set(0);
    }
}

/// ARP between others, for our own address, replies to ourselves: the stack's business.
#[test]
fn other_arp_passes() {
    need_root!("other_arp_passes");
    let mut node = serving();
    for (what, packet) in [
        ("another address", who_has(Ipv4Addr::new(10, 9, 0, 101))),
        ("our own address", who_has(OWN)),
        ("a reply", arp(ARP_REPLY, OTHER_MAC, OTHER, OWN)),
        ("a reply that names the VIP as target", arp(ARP_REPLY, OTHER_MAC, OTHER, VIP)),
        ("a gratuitous one of another host", arp(ARP_REQUEST, OTHER_MAC, OTHER, OTHER)),
        ("our own announcement, come back", arp(ARP_REQUEST, OWN_MAC, VIP, VIP)),
        ("our own announcement, as a reply", arp(ARP_REPLY, OWN_MAC, VIP, VIP)),
    ] {
        node.acts(&packet, PASS, Verdict::ArpOther, what);
    }
    assert_eq!(node.event_kinds(), []);
}

/// Somebody asks whether the VIP is free (RFC 5227, sender 0.0.0.0): through an open gate it hears that it is not.
#[test]
fn a_probe_for_a_duplicate_is_answered() {
    need_root!("a_probe_for_a_duplicate_is_answered");
    let mut node = serving();
    let probe = arp(ARP_REQUEST, CLIENT_MAC, Ipv4Addr::UNSPECIFIED, VIP);
    let ran = node.run(&probe);
    assert_eq!((ran.action, ran.verdict), (TX, Verdict::ArpAnswered));
    assert_eq!(ran.bytes[28..32], VIP.octets());
    assert_eq!(ran.bytes[38..42], [0; 4]);
    node.orders.gates[GROUP].resigned.set(5);
    node.acts(&probe, DROP, Verdict::ArpClosed, "closed");
}

/// Somebody else says that the VIP is his: an alarm while we serve it, nothing to us while we do not. The stack sees it
/// either way.
#[test]
fn a_foreign_claim_is_a_conflict_only_while_we_serve() {
    need_root!("a_foreign_claim_is_a_conflict_only_while_we_serve");
    let mut node = serving();
    let claims = [
        arp(ARP_REQUEST, OTHER_MAC, VIP, VIP),
        arp(ARP_REPLY, OTHER_MAC, VIP, VIP),
        arp(ARP_REPLY, OTHER_MAC, VIP, CLIENT),
        arp(ARP_REQUEST, OTHER_MAC, VIP, CLIENT),
    ];
    for claim in &claims {
        node.acts(claim, PASS, Verdict::ArpConflict, "open");
        let events = node.events();
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].kind, events[0].group as usize), (EventKind::Conflict as u32, GROUP));
    }
    node.orders.gates[GROUP].resigned.set(5);
    for claim in &claims {
        node.acts(claim, PASS, Verdict::ArpOther, "closed");
    }
    assert_eq!(node.event_kinds(), []);
}

/// ARP for other hardware or protocols, with wrong lengths, of operations other than the two, or cut off anywhere: not
/// ours to judge, so the stack gets it, and a request for the VIP that is not one gets no answer.
#[test]
fn malformed_arp_passes() {
    need_root!("malformed_arp_passes");
    let mut node = serving();
    let other = |node: &mut Node, packet: &[u8], what: &str| {
        node.acts(packet, PASS, Verdict::ArpOther, what);
    };
    for (what, at, values) in [
        ("hardware", 14, &[0u16, 2, 6, 0x0100, 0xffff][..]),
        ("protocol", 16, &[0, 0x0801, 0x0008, 0x86dd, 0xffff]),
        ("lengths", 18, &[0, 0x0604 ^ 1, 0x0504, 0x0610, 0x0406, 0xffff]),
        ("operation", 20, &[0, 3, 4, 8, 0x0100, 0xffff]),
    ] {
        for &value in values {
            let mut packet = who_has(VIP);
            put(&mut packet, at, value);
            other(&mut node, &packet, &format!("{what} {value:#06x}"));
        }
    }
    for length in 14..42 {
        other(&mut node, &who_has(VIP)[..length], &format!("{length} bytes"));
    }
    let mut long = who_has(VIP);
    long.resize(1500, 0xee);
    node.acts(&long, TX, Verdict::ArpAnswered, "what lies behind is no part of it");
}

/// Two thousand addresses, each in its own group or sharing one, are found.
#[test]
fn many_addresses_are_told_apart() {
    need_root!("many_addresses_are_told_apart");
    let mut node = Node::new();
    let address = |i: u32| Ipv4Addr::from(0x0a0a_0000 + i);
    for i in 0..2000 {
        node.vip(address(i), i % 20);
    }
    node.grant(7, 1);
    for i in (0..2000).step_by(13) {
        let (action, verdict) =
            if i % 20 == 7 { (TX, Verdict::ArpAnswered) } else { (DROP, Verdict::ArpClosed) };
        node.acts(&who_has(address(i)), action, verdict, &address(i).to_string());
    }
    node.acts(&who_has(address(2000)), PASS, Verdict::ArpOther, "one more");
}
