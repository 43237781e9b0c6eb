//! Packets of no sense at all: whatever they hold, the kernel answers none that it should not, and believes none.

use std::cell::RefCell;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reflex::Verdict;
use reflex::frame::{FRAME_LEN, VERSION};

use crate::fixture::{DROP, Node, PASS, TX, need_root};
use crate::packets::{FRAME_AT, OWN, PORT, built, carrying, udp_to, who_has};
use crate::peer::Peer;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);

/// A node that serves a VIP and believes node 1.
fn node() -> (RefCell<Node>, Peer) {
    let mut node = Node::new();
    let mut peer = Peer::new(1);
    node.vip(VIP, 0);
    node.grant(0, 5);
    node.admit(&mut peer);
    // The stamp of the first answer, which is no belief of a frame.
    assert_eq!(node.run(&who_has(VIP)).action, TX);
    (RefCell::new(node), peer)
}

fn for_all<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&strategy, test).unwrap();
}

/// Runs `packet`, which must not be answered, nor change, nor be believed.
fn is_harmless(node: &RefCell<Node>, packet: &[u8]) -> Result<Verdict, TestCaseError> {
    let mut node = node.borrow_mut();
    let before = node.believed();
    let ran = node.run(packet);
    prop_assert!(ran.action == PASS || ran.action == DROP, "action {}", ran.action);
    prop_assert_eq!(&ran.bytes, packet);
    prop_assert!(node.believed() == before, "something was believed");
    Ok(ran.verdict)
}

/// Bytes from the wire that mean nothing.
#[test]
fn random_bytes_do_nothing() {
    need_root!("random_bytes_do_nothing");
    let (node, _) = node();
    for_all(800, prop::collection::vec(any::<u8>(), 14..400), |packet| {
        is_harmless(&node, &packet).map(|_| ())
    });
}

/// Random bytes behind headers that are right up to some point, each EtherType in turn.
#[test]
fn random_bytes_behind_good_headers_do_nothing() {
    need_root!("random_bytes_behind_good_headers_do_nothing");
    let (node, mut peer) = node();
    let genuine = peer.probe();
    let request = who_has(VIP);
    let good = prop_oneof![Just(genuine), Just(request)];
    // Up to the end of the fixed part of ARP, so that the address that is asked for is never right.
    for_all(800, (good, 12..38usize, prop::collection::vec(any::<u8>(), 0..300)), |(good, keep, rest)| {
        let packet = [&good[..keep], &rest[..]].concat();
        prop_assume!(packet.get(38..42) != Some(&VIP.octets()[..]) && packet.len() >= 14);
        is_harmless(&node, &packet).map(|_| ())
    });
}

/// Frames of random content, as long as they must be: the MAC keeps all of them out.
#[test]
fn random_frames_are_refused() {
    need_root!("random_frames_are_refused");
    let (node, _) = node();
    let content = prop::collection::vec(any::<u8>(), FRAME_LEN);
    for_all(800, (content, any::<bool>()), |(mut bytes, plausible)| {
        if plausible {
            // Right up to the MAC: magic, version, kind, key, names.
            let (kind, key) = (1 + (bytes[3] & 3), 1 + (bytes[4] & 1));
            bytes[..7].copy_from_slice(&[b'x', b'b', VERSION, kind, key, 1, 0]);
        }
        let verdict = is_harmless(&node, &built(udp_to(OWN, PORT), &bytes))?;
        let expected = if plausible { Verdict::BadMac } else { Verdict::BadFormat };
        prop_assert_eq!(verdict, expected);
        Ok(())
    });
}

/// Genuine frames with random damage: some bytes, or a cut.
#[test]
fn damaged_frames_are_refused() {
    need_root!("damaged_frames_are_refused");
    let (node, peer) = node();
    let peer = RefCell::new(peer);
    let damage = prop::collection::vec((0..FRAME_LEN, 1..=255u8), 1..6);
    for_all(800, (damage, any::<Option<u8>>()), |(damage, cut)| {
        let mut frame = peer.borrow_mut().probe_frame();
        let whole = frame;
        for (at, flip) in damage {
            frame.bytes[at] ^= flip;
        }
        prop_assume!(frame != whole);
        let mut packet = carrying(&frame);
        if let Some(cut) = cut {
            packet.truncate(FRAME_AT + usize::from(cut) % FRAME_LEN);
        }
        is_harmless(&node, &packet).map(|_| ())
    });
}

/// Random ARP: answered if, and only if, it is a request for the VIP from somebody who does not say to be it.
#[test]
fn random_arp_is_answered_only_for_the_vip() {
    need_root!("random_arp_is_answered_only_for_the_vip");
    let (node, _) = node();
    let strategy = (prop::collection::vec(any::<u8>(), 42..64), 0..4u16, any::<bool>(), any::<bool>());
    for_all(800, strategy, |(mut packet, operation, to_vip, from_vip)| {
        packet[12..20].copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4]);
        packet[20..22].copy_from_slice(&operation.to_be_bytes());
        if to_vip {
            packet[38..42].copy_from_slice(&VIP.octets());
        }
        if from_vip {
            packet[28..32].copy_from_slice(&VIP.octets());
        }
        let ran = node.borrow_mut().run(&packet);
        let (to_vip, from_vip) = (packet[38..42] == VIP.octets(), packet[28..32] == VIP.octets());
        let expected = match operation {
            1 if to_vip && !from_vip => (TX, Verdict::ArpAnswered),
            1 | 2 if from_vip => (PASS, Verdict::ArpConflict),
            _ => (PASS, Verdict::ArpOther),
        };
        prop_assert_eq!((ran.action, ran.verdict), expected);
        Ok(())
    });
}
