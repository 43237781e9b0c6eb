//! Frames over IPv6: answered with a checksum; what has extension headers is not ours to read.

use std::net::Ipv6Addr;

use etherparse::{PacketBuilder, PacketHeaders, TransportHeader};
use reflex::frame::FRAME_LEN;
use reflex::{Frame, Kind, Verdict, path};

use crate::fixture::{DROP, MCAST6, Node, SESSION, TX, need_root};
use crate::packets::{
    FROM_PORT, GROUP_PORT, GROUP6, IP_AT, OTHER_MAC, OTHER6, OWN_MAC, OWN6, PORT, built, put, udp6_to,
};
use crate::peer::Peer;

/// Offset of the UDP header.
const UDP6_AT: usize = 54;
const GROUP6_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0x06, 0x94];

fn carrying(frame: &Frame) -> Vec<u8> {
    built(udp6_to(OWN6, PORT), &frame.bytes)
}

fn to_group(frame: &Frame) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(OTHER_MAC, GROUP6_MAC)
        .ipv6(OTHER6.octets(), GROUP6.octets(), 1)
        .udp(FROM_PORT, PORT);
    built(builder, &frame.bytes)
}

fn peer() -> Peer {
    Peer { link: MCAST6, ..Peer::new(1) }
}

/// The pong in a packet that the program sent back, after checking everything around it.
#[track_caller]
fn pong_in(bytes: &[u8]) -> Frame {
    let parsed = PacketHeaders::from_ethernet_slice(bytes).unwrap();
    let ethernet = parsed.link.unwrap().ethernet2().unwrap();
    assert_eq!((ethernet.source, ethernet.destination), (OWN_MAC, OTHER_MAC));
    let (ip, _) = parsed.net.unwrap().ipv6_ref().map(|(ip, rest)| (ip.clone(), rest.clone())).unwrap();
    assert_eq!((ip.source, ip.destination), (OWN6.octets(), OTHER6.octets()));
    assert_eq!((ip.hop_limit, ip.traffic_class, ip.flow_label.value()), (64, 0xc0, 0));
    let Some(TransportHeader::Udp(udp)) = parsed.transport else { panic!("no UDP") };
    assert_eq!((udp.source_port, udp.destination_port), (PORT, FROM_PORT));
    let payload = parsed.payload.slice();
    assert_eq!(udp.checksum, udp.calc_checksum_ipv6(&ip, payload).unwrap(), "RFC 8200 8.1");
    assert_ne!(udp.checksum, 0);
    Frame { bytes: payload.try_into().expect("the payload is a frame") }
}

#[test]
fn a_probe_over_ipv6_is_answered_with_a_checksum() {
    need_root!("a_probe_over_ipv6_is_answered_with_a_checksum");
    let mut node = Node::new();
    let mut peer = peer();
    let seq = node.ask(1, MCAST6);
    let pong = peer.frame(Kind::Pong, seq, SESSION);
    assert_eq!(node.run(&carrying(&pong)).verdict, Verdict::PongTaken);
    // Enough of them that a carry that was forgotten would show.
    for _ in 0..200 {
        let probe = peer.probe_frame();
        let ran = node.run(&carrying(&probe));
        assert_eq!((ran.action, ran.verdict), (TX, Verdict::ProbeAnswered));
        let pong = pong_in(&ran.bytes);
        assert_eq!((pong.kind(), pong.seq()), (Some(Kind::Pong), probe.seq()));
    }
    let link = &node.facts.nodes[1].links[usize::from(MCAST6)];
    assert_eq!(link.address.get(), path::ipv6(OTHER6.octets()));
}

#[test]
fn a_probe_to_an_ipv6_group_is_answered_to_its_sender_from_our_own_address() {
    need_root!("a_probe_to_an_ipv6_group_is_answered_to_its_sender_from_our_own_address");
    let mut node = Node::new();
    let mut peer = peer();
    node.admit(&mut peer);
    for _ in 0..50 {
        let ran = node.run(&to_group(&peer.probe_frame()));
        assert_eq!((ran.action, ran.verdict), (TX, Verdict::ProbeAnswered));
        pong_in(&ran.bytes);
    }
    node.refuses(&to_group(&Peer { to: 2, ..peer.clone() }.probe_frame()), Verdict::ForOther, "for node 2");
    node.refuses(&to_group(&Peer { index: 0, ..peer.clone() }.probe_frame()), Verdict::Echo, "our own");
    let mut forged = peer.probe_frame();
    forged.bytes[143] ^= 1;
    forged.bytes[120] ^= 1;
    node.refuses(&to_group(&forged), Verdict::BadMac, "forged");
}

#[test]
fn what_is_not_for_us_passes() {
    need_root!("what_is_not_for_us_passes");
    let mut node = Node::new();
    let frame = peer().probe_frame().bytes;
    for port in [0, PORT - 1, PORT + 1, PORT + 64, GROUP_PORT, u16::MAX] {
        node.passes(&built(udp6_to(OWN6, port), &frame), &format!("port {port}"));
    }
    for to in ["fd00:0:0:9::9", "ff02::1", "ff02::695", "::", "::1", "::ffff:10.9.0.1"] {
        let to: Ipv6Addr = to.parse().unwrap();
        node.passes(&built(udp6_to(to, PORT), &frame), &format!("to {to}"));
    }
    let mut to_many = built(udp6_to(OWN6, PORT), &frame);
    to_many[..6].copy_from_slice(&GROUP6_MAC);
    node.passes(&to_many, "to a group of stations, for our address");
    let mut packet = Vec::new();
    PacketBuilder::ethernet2(OTHER_MAC, OWN_MAC)
        .ipv6(OTHER6.octets(), OWN6.octets(), 17)
        .tcp(FROM_PORT, PORT, 1, 1000)
        .write(&mut packet, &frame)
        .unwrap();
    node.passes(&packet, "TCP to our port's number");
    for version in (0..=15u8).filter(|version| *version != 6) {
        let mut packet = built(udp6_to(OWN6, PORT), &frame);
        packet[IP_AT] = version << 4;
        node.passes(&packet, &format!("IP version {version}"));
    }
    node.orders.ports6.set(0);
    node.passes(&built(udp6_to(OWN6, PORT), &frame), "without a link over IPv6");
}

/// Behind an extension header the stack may find a datagram for us; no node of ours sends one.
#[test]
fn extension_headers_and_fragments_pass() {
    need_root!("extension_headers_and_fragments_pass");
    let mut node = Node::new();
    let whole = built(udp6_to(OWN6, PORT), &peer().probe_frame().bytes);
    const UDP: u8 = 17;
    // Hop-by-hop, routing, fragment (first, later), destination options; ESP and AH end or hide the chain.
    for (next, header) in [
        (0u8, [UDP, 0, 1, 4, 0, 0, 0, 0]),
        (43, [UDP, 0, 0, 0, 0, 0, 0, 0]),
        (44, [UDP, 0, 0, 1, 0, 0, 0, 7]),
        (44, [UDP, 0, 0, 9, 0, 0, 0, 7]),
        (60, [UDP, 0, 1, 4, 0, 0, 0, 0]),
        (50, [0; 8]),
        (51, [UDP, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        let mut packet = whole.clone();
        packet[IP_AT + 6] = next;
        packet.splice(UDP6_AT..UDP6_AT, header);
        put(&mut packet, IP_AT + 4, (8 + FRAME_LEN + 8) as u16);
        node.passes(&packet, &format!("next header {next}"));
        let mut lying = whole.clone();
        lying[IP_AT + 6] = next;
        node.passes(&lying, &format!("says next header {next}"));
    }
}

/// RFC 8200 8.1: a receiver must not take a datagram without a checksum.
#[test]
fn a_datagram_without_a_checksum_is_dropped() {
    need_root!("a_datagram_without_a_checksum_is_dropped");
    let mut node = Node::new();
    let mut peer = peer();
    node.admit(&mut peer);
    for mut packet in [carrying(&peer.probe_frame()), to_group(&peer.probe_frame())] {
        put(&mut packet, UDP6_AT + 6, 0);
        node.refuses(&packet, Verdict::BadFormat, "no checksum");
        // Hardware may fill it in later, so a wrong one says nothing; the MAC does.
        put(&mut packet, UDP6_AT + 6, 0x1234);
        assert_eq!(node.run(&packet).verdict, Verdict::ProbeAnswered);
    }
}

#[test]
fn a_length_that_is_no_frames_is_refused() {
    need_root!("a_length_that_is_no_frames_is_refused");
    let mut node = Node::new();
    let mut peer = peer();
    for len in [0, 1, FRAME_LEN - 1, FRAME_LEN + 1, 1400] {
        node.refuses(&built(udp6_to(OWN6, PORT), &vec![7; len]), Verdict::BadLength, &format!("{len} bytes"));
    }
    for (what, at) in [("UDP", UDP6_AT + 4), ("IPv6", IP_AT + 4)] {
        for lie in [0u16, 8, 151, 153, 160, u16::MAX] {
            let mut packet = carrying(&peer.probe_frame());
            put(&mut packet, at, lie);
            node.refuses(&packet, Verdict::BadLength, &format!("{what} length {lie}"));
        }
    }
    let whole = carrying(&peer.probe_frame());
    for length in IP_AT..whole.len() {
        let cut = &whole[..length];
        if length < UDP6_AT + 6 {
            node.passes(cut, &format!("{length} bytes"));
        } else {
            node.refuses(cut, Verdict::BadLength, &format!("{length} bytes"));
        }
    }
    assert_ne!(node.run(&whole).action, DROP, "all of it is fine");
}

/// Bytes of all kinds behind a good Ethernet header: nothing is ever answered, whatever it resembles.
#[test]
fn garbage_over_ipv6_is_never_answered() {
    need_root!("garbage_over_ipv6_is_never_answered");
    let mut node = Node::new();
    let whole = carrying(&peer().probe_frame());
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..2000 {
        let mut packet = whole.clone();
        // Up to eight bytes changed, one of them in the frame: the MAC does not fit any more.
        for _ in 0..random() % 8 {
            let at = IP_AT + random() as usize % (packet.len() - IP_AT);
            packet[at] = random() as u8;
        }
        let at = UDP6_AT + 8 + random() as usize % FRAME_LEN;
        packet[at] ^= 1 << (random() % 8);
        let ran = node.run(&packet);
        assert_ne!(ran.action, TX, "{packet:02x?}");
    }
}
