//! Neighbour discovery for the IPv6 VIPs, and the gates before them: answered only through an open one, silent otherwise, and
//! everybody else's left alone.

use std::net::Ipv6Addr;

use etherparse::{IpHeaders, Ipv6Extensions, Ipv6Header, PacketBuilder, ip_number};
use reflex::layout::Vip;
use reflex::{EventKind, Verdict};
use xbeat::sys::clock;

use crate::fixture::{DROP, HOUR, INTERFACE, Node, PASS, TX, need_root};
use crate::packets::{CLIENT_MAC, OTHER_MAC, OTHER6, OWN_MAC, OWN6, PORT, built, udp6_to};
use crate::peer::Peer;

const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 9, 0, 0, 0x12, 0x3456);
const CLIENT6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 9, 0, 0, 0, 0x77);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const GROUP: usize = 2;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Options, by type: of the source's and the target's hardware address, and a nonce.
const SOURCE: u8 = 1;
const TARGET: u8 = 2;
const NONCE: u8 = 14;

/// A node that serves the VIP.
fn serving() -> Node {
    let mut node = Node::new();
    node.vip(VIP6, GROUP as u32);
    node.grant(GROUP, 5);
    node
}

fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (a & 0xff), b)
}

/// A message of neighbour discovery, its checksum reckoned by `etherparse`.
fn message(
    mac: ([u8; 6], [u8; 6]),
    from: Ipv6Addr,
    to: Ipv6Addr,
    (kind, flags): (u8, u8),
    target: Ipv6Addr,
    options: &[(u8, [u8; 6])],
) -> Vec<u8> {
    let mut payload = target.octets().to_vec();
    for (kind, value) in options {
        payload.extend([*kind, 1]);
        payload.extend(value);
    }
    let ip = Ipv6Header {
        payload_length: 0,
        next_header: ip_number::IPV6_ICMP,
        hop_limit: 255,
        source: from.octets(),
        destination: to.octets(),
        ..Ipv6Header::default()
    };
    let builder = PacketBuilder::ethernet2(mac.0, mac.1).ip(IpHeaders::Ipv6(ip, Ipv6Extensions::default()));
    let builder = builder.icmpv6_raw(kind, 0, [flags, 0, 0, 0]);
    let mut packet = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut packet, &payload).unwrap();
    packet
}

fn group_mac(group: Ipv6Addr) -> [u8; 6] {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// The client asks who has `address`.
fn who_has(address: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(address);
    let mac = (CLIENT_MAC, group_mac(group));
    message(mac, CLIENT6, group, (SOLICITATION, 0), address, &[(SOURCE, CLIENT_MAC)])
}

/// It asks the address itself whether it is still there.
fn still_there(options: &[(u8, [u8; 6])]) -> Vec<u8> {
    message((CLIENT_MAC, OWN_MAC), CLIENT6, VIP6, (SOLICITATION, 0), VIP6, options)
}

/// Somebody without an address wants this one.
fn may_i(options: &[(u8, [u8; 6])]) -> Vec<u8> {
    let group = solicited_node(VIP6);
    let mac = (CLIENT_MAC, group_mac(group));
    message(mac, Ipv6Addr::UNSPECIFIED, group, (SOLICITATION, 0), VIP6, options)
}

fn claim(mac: [u8; 6]) -> Vec<u8> {
    message((mac, ALL_NODES_MAC), VIP6, ALL_NODES, (ADVERTISEMENT, 0x20), VIP6, &[(TARGET, mac)])
}

/// RFC 4861 7.2.4: to the asker, solicited, to be believed, with our hardware address; what is behind it stays.
#[test]
fn a_solicitation_is_answered_through_an_open_gate() {
    need_root!("a_solicitation_is_answered_through_an_open_gate");
    let mut node = serving();
    let mut asked = who_has(VIP6);
    asked.extend([0x5a; 4]);
    let ran = node.run(&asked);
    assert_eq!((ran.action, ran.verdict), (TX, Verdict::NdAnswered));
    let back = (OWN_MAC, CLIENT_MAC);
    let mut expected = message(back, VIP6, CLIENT6, (ADVERTISEMENT, 0x60), VIP6, &[(TARGET, OWN_MAC)]);
    expected.extend([0x5a; 4]);
    assert_eq!(ran.bytes, expected);
    // A router says that it is one.
    let vip = node.vip(VIP6, GROUP as u32);
    node.kernel.set_vip(VIP6, Vip { router: 1, ..vip }).unwrap();
    assert_eq!(node.run(&who_has(VIP6)).bytes[58], 0xe0);
    assert_ne!(node.facts.gates[GROUP].first_arp_at.get(), 0);
}

#[test]
fn the_address_itself_may_be_asked_with_and_without_an_option() {
    need_root!("the_address_itself_may_be_asked_with_and_without_an_option");
    let mut node = serving();
    let back = (OWN_MAC, CLIENT_MAC);
    for (asked, answer) in [(vec![], vec![]), (vec![(SOURCE, CLIENT_MAC)], vec![(TARGET, OWN_MAC)])] {
        let ran = node.run(&still_there(&asked));
        assert_eq!((ran.action, ran.verdict), (TX, Verdict::NdAnswered), "{asked:?}");
        let expected = message(back, VIP6, CLIENT6, (ADVERTISEMENT, 0x60), VIP6, &answer);
        assert_eq!(ran.bytes, expected, "{asked:?}");
    }
}

/// Duplicate address detection (RFC 4862 5.4): everybody is told, nobody in particular.
#[test]
fn who_wants_the_address_is_told_that_it_is_taken() {
    need_root!("who_wants_the_address_is_told_that_it_is_taken");
    let mut node = serving();
    let ran = node.run(&may_i(&[(NONCE, [1, 2, 3, 4, 5, 6])]));
    assert_eq!((ran.action, ran.verdict), (TX, Verdict::NdAnswered));
    let to_all = (OWN_MAC, ALL_NODES_MAC);
    assert_eq!(
        ran.bytes,
        message(to_all, VIP6, ALL_NODES, (ADVERTISEMENT, 0x20), VIP6, &[(TARGET, OWN_MAC)])
    );
    node.acts(&may_i(&[]), PASS, Verdict::NdToStack, "no room for our hardware address");
    node.orders.gates[GROUP].resigned.set(5);
    node.acts(&may_i(&[]), DROP, Verdict::NdClosed, "closed");
}

/// Closed in each of the ways: nobody answers, not even the stack, which may have the address already, or still.
#[test]
fn a_closed_gate_is_silent() {
    need_root!("a_closed_gate_is_silent");
    let closed = |node: &mut Node, what| {
        for packet in [who_has(VIP6), still_there(&[]), may_i(&[(NONCE, [0; 6])])] {
            node.acts(&packet, DROP, Verdict::NdClosed, what);
        }
    };
    let mut node = Node::new();
    let vip = node.vip(VIP6, GROUP as u32);
    closed(&mut node, "never granted");
    node.grant(GROUP, 5);
    node.acts(&who_has(VIP6), TX, Verdict::NdAnswered, "granted");
    node.kernel.set_vip(VIP6, Vip { ready: 0, ..vip }).unwrap();
    closed(&mut node, "not ready");
    node.kernel.set_vip(VIP6, vip).unwrap();
    node.admit(&mut Peer::new(1));
    node.orders.lease_until.set(clock::now());
    closed(&mut node, "the lease is over");
    node.orders.lease_until.set(clock::now() + HOUR);
    closed(&mut node, "renewed too late");
    assert_eq!(node.facts.gates[GROUP].fenced.get(), 5);
    node.grant(GROUP, 6);
    node.acts(&who_has(VIP6), TX, Verdict::NdAnswered, "granted anew");
}

/// Whatever is not the usual form goes to the stack if the gate is open, and nowhere if it is not.
#[test]
fn odd_forms_are_for_the_stack() {
    need_root!("odd_forms_are_for_the_stack");
    let mut node = serving();
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut packet = who_has(VIP6);
        change(&mut packet);
        packet
    };
    let two_options = [(SOURCE, CLIENT_MAC), (NONCE, [0; 6])];
    let cases = [
        ("routed: hop limit 254", changed(|packet| packet[21] = 254)),
        ("a wrong checksum", changed(|packet| packet[56] ^= 0x40)),
        ("an option of no length", changed(|packet| packet[79] = 0)),
        ("more length than there is", changed(|packet| packet[19] = 40)),
        ("cut off in its option", changed(|packet| packet.truncate(82))),
        ("two options", still_there(&two_options)),
        ("to everybody", {
            let mac = (CLIENT_MAC, ALL_NODES_MAC);
            message(mac, CLIENT6, ALL_NODES, (SOLICITATION, 0), VIP6, &[(SOURCE, CLIENT_MAC)])
        }),
    ];
    for (what, packet) in &cases {
        node.acts(packet, PASS, Verdict::NdToStack, what);
    }
    let vip = node.vip(VIP6, GROUP as u32);
    for (what, other) in [
        ("cannot bounce", Vip { bounce: 0, ..vip }),
        ("another interface", Vip { ifindex: INTERFACE + 1, ..vip }),
    ] {
        node.kernel.set_vip(VIP6, other).unwrap();
        node.acts(&who_has(VIP6), PASS, Verdict::NdToStack, what);
    }
    node.orders.gates[GROUP].resigned.set(5);
    for (what, packet) in &cases {
        node.acts(packet, DROP, Verdict::NdClosed, what);
    }
}

/// About others, too short for a target, other messages: the stack's business.
#[test]
fn what_is_not_about_a_vip_passes() {
    need_root!("what_is_not_about_a_vip_passes");
    let mut node = serving();
    node.passes(&who_has(OWN6), "our own address");
    node.passes(&who_has(CLIENT6), "a stranger's");
    node.passes(&who_has(VIP6)[..77], "without the end of its target");
    let mut other = who_has(VIP6);
    other[55] = 1;
    node.passes(&other, "another code");
    node.passes(&claim(OWN_MAC), "our own announcement, heard back");
    let mut extended = who_has(VIP6);
    extended[20] = 60;
    extended.splice(54..54, [58, 0, 1, 4, 0, 0, 0, 0]);
    extended[19] += 8;
    node.passes(&extended, "behind an extension header, to a group");
    // Without IPv6 VIPs nothing is looked at.
    let mut node = Node::new();
    node.passes(&who_has(VIP6), "no VIP");
}

#[test]
fn somebody_elses_claim_is_a_conflict_while_we_serve() {
    need_root!("somebody_elses_claim_is_a_conflict_while_we_serve");
    let mut node = serving();
    node.events();
    node.acts(&claim(OTHER_MAC), PASS, Verdict::NdConflict, "claimed");
    assert_eq!(node.event_kinds(), [EventKind::Conflict]);
    let group = solicited_node(CLIENT6);
    let mac = (OTHER_MAC, group_mac(group));
    let asks = message(mac, VIP6, group, (SOLICITATION, 0), CLIENT6, &[(SOURCE, OTHER_MAC)]);
    node.acts(&asks, PASS, Verdict::NdConflict, "asks in its name");
    let mut routed = claim(OTHER_MAC);
    routed[21] = 64;
    node.passes(&routed, "from another network");
    node.orders.gates[GROUP].resigned.set(5);
    node.passes(&claim(OTHER_MAC), "he serves it");
}

/// To a VIP whose gate is shut nothing gets, whatever it is; what is for others is not touched.
#[test]
fn traffic_to_a_closed_vip_is_dropped() {
    need_root!("traffic_to_a_closed_vip_is_dropped");
    let mut node = serving();
    let echo = || {
        let builder = PacketBuilder::ethernet2(OTHER_MAC, OWN_MAC).ipv6(OTHER6.octets(), VIP6.octets(), 64);
        let mut packet = Vec::new();
        builder.icmpv6_echo_request(1, 1).write(&mut packet, &[0; 40]).unwrap();
        packet
    };
    let mut extended = built(udp6_to(VIP6, 80), &[0; 64]);
    extended[20] = 60;
    extended.splice(54..54, [17, 0, 1, 4, 0, 0, 0, 0]);
    extended[19] += 8;
    let packets = [
        ("UDP", built(udp6_to(VIP6, 80), &[0; 64])),
        ("UDP to a link's port", built(udp6_to(VIP6, PORT), &[0; 64])),
        ("ICMP", echo()),
        ("behind an extension header", extended),
        ("an answer of a neighbour", {
            message((OTHER_MAC, OWN_MAC), OTHER6, VIP6, (ADVERTISEMENT, 0x60), OTHER6, &[(TARGET, OTHER_MAC)])
        }),
    ];
    for (what, packet) in &packets {
        node.passes(packet, what);
    }
    node.orders.gates[GROUP].resigned.set(5);
    for (what, packet) in &packets {
        node.acts(packet, DROP, Verdict::VipClosed, what);
    }
    node.passes(&built(udp6_to(OWN6, 80), &[0; 64]), "to our own address");
}
