use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::testing::{MS, Tables};
use crate::{Event, EventKind};

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xc1];
const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];
/// 2001:db8::9.
const CLIENT: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
/// 2001:db8::12:3456.
const VIP: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56];
const LEASE: u64 = 10 * MS;

/// Who has the VIP? Asked of its group, by a client that says where it is.
#[rustfmt::skip]
const ASKED: [u8; ND_LEN] = [
    0x33, 0x33, 0xff, 0x12, 0x34, 0x56, 2, 0, 0, 0, 0, 0xc1, 0x86, 0xdd,
    0x60, 0, 0, 0, 0, 32, 58, 255,
    0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,
    0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0x12, 0x34, 0x56,
    135, 0, 0, 0, 0, 0, 0, 0,
    0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56,
    1, 1, 2, 0, 0, 0, 0, 0xc1,
];

/// With the checksum that belongs there, reckoned as RFC 1071 writes it.
fn sealed(mut bytes: [u8; ND_LEN]) -> Nd {
    bytes[56..58].fill(0);
    let sum = !reckoned(&bytes);
    bytes[56..58].copy_from_slice(&sum.to_be_bytes());
    Nd { bytes }
}

fn reckoned(bytes: &[u8; ND_LEN]) -> u16 {
    let length = usize::from(u16::from_be_bytes([bytes[18], bytes[19]])).min(32);
    let mut all: Vec<u8> = bytes[22..54].to_vec();
    all.extend([0, 0, bytes[18], bytes[19], 0, 0, 0, 58]);
    all.extend(&bytes[54..54 + length]);
    let mut sum = 0u32;
    for pair in all.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn changed(change: impl FnOnce(&mut [u8; ND_LEN])) -> Nd {
    let mut bytes = ASKED;
    change(&mut bytes);
    sealed(bytes)
}

/// As an owner's neighbour asks now and then, to see that it is still there: of the address itself.
fn unicast(b: &mut [u8; ND_LEN]) {
    b[0..6].copy_from_slice(&OUR_MAC);
    b[38..54].copy_from_slice(&VIP);
}

fn short(b: &mut [u8; ND_LEN]) {
    b[19] = 24;
    b[78..].fill(0);
}

/// As a node asks that wants the address for itself, with a nonce (RFC 7527).
fn duplicate(b: &mut [u8; ND_LEN]) {
    b[22..38].fill(0);
    b[78] = 14;
}

fn vip() -> Vip {
    Vip { group: 2, ifindex: 5, mac: OUR_MAC, ready: 1, bounce: 1, ..Vip::default() }
}

fn serving() -> Tables {
    let tables = Tables::new(0);
    tables.orders.lease_until.set(LEASE);
    tables.orders.gates[2].granted.set(1);
    tables.facts.nodes[1].session.set(0xb1);
    tables
}

fn ask(tables: &Tables, vip: &Vip, ifindex: u32, now: u64) -> Verdict {
    on_solicitation(&tables.orders, &tables.facts, vip, &sealed(ASKED), ifindex, now).0
}

#[test]
fn the_answer_is_exact_to_the_byte() {
    let mut nd = sealed(ASKED);
    assert_eq!(nd.kind(), Some(Kind::Solicitation));
    assert_eq!((nd.source(), nd.target(), nd.sender_mac()), (ipv6(CLIENT), ipv6(VIP), CLIENT_MAC));
    let to = nd.answer_to().unwrap();
    assert_eq!(to, Answer::To(CLIENT_MAC));
    nd.answer(to, OUR_MAC, false);
    #[rustfmt::skip]
    let expected = [
        2, 0, 0, 0, 0, 0xc1, 2, 0, 0, 0, 0, 0x0a, 0x86, 0xdd,
        0x60, 0, 0, 0, 0, 32, 58, 255,
        0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56,
        0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,
        136, 0, 0, 0, 0x60, 0, 0, 0,
        0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56,
        2, 1, 2, 0, 0, 0, 0, 0x0a,
    ];
    assert_eq!(nd, sealed(expected));
    assert_eq!(nd.kind(), Some(Kind::Advertisement));
    let mut nd = sealed(ASKED);
    nd.answer(to, OUR_MAC, true);
    assert_eq!(nd.bytes[58], 0xe0, "a router says so");
    assert!(nd.is_sound());
}

#[test]
fn who_wants_the_address_for_itself_is_answered_before_everybody() {
    let mut nd = changed(duplicate);
    let to = nd.answer_to().unwrap();
    assert_eq!(to, Answer::ToAll);
    nd.answer(to, OUR_MAC, false);
    assert_eq!(nd, advertisement(OUR_MAC, VIP, false));
    // Not solicited: nobody asked who could be told so (RFC 4861 7.2.4).
    assert_eq!(nd.bytes[58], OVERRIDE);
    assert_eq!((&nd.bytes[..6], &nd.bytes[38..54]), (&ALL_NODES_MAC[..], &ALL_NODES[..]));
    assert_eq!(nd.sum(), 0xffff);
}

#[test]
fn who_asks_the_address_itself_is_answered_in_the_length_of_the_question() {
    let nd = changed(unicast);
    assert_eq!(nd.answer_to(), Some(Answer::To(CLIENT_MAC)));
    let mut nd = changed(|b| {
        unicast(b);
        short(b);
    });
    let to = nd.answer_to().unwrap();
    assert_eq!(to, Answer::To(CLIENT_MAC), "the frame's sender: the message names none");
    nd.answer(to, OUR_MAC, false);
    assert_eq!((nd.bytes[19], &nd.bytes[78..]), (24, &[0; 8][..]));
    assert_eq!((nd.sum(), nd.bytes[58]), (0xffff, OVERRIDE | SOLICITED));
}

#[test]
fn what_stands_behind_a_short_message_does_not_count() {
    let mut trailed = changed(|b| {
        unicast(b);
        short(b);
    });
    trailed.bytes[78..].copy_from_slice(&[1, 1, 9, 9, 9, 9, 9, 9]);
    assert_eq!(Nd::of(trailed.bytes).answer_to(), Some(Answer::To(CLIENT_MAC)));
    // Of one with an option everything counts.
    assert_eq!(Nd::of(sealed(ASKED).bytes), sealed(ASKED));
}

#[test]
fn our_own_question_is_a_valid_one_that_claims_nothing() {
    let nd = question(OUR_MAC, VIP, [1, 2, 3, 4, 5, 6]);
    assert_eq!((nd.kind(), nd.is_sound()), (Some(Kind::Solicitation), true));
    assert_eq!((nd.source(), nd.target(), nd.sender_mac()), (crate::path::NO_IP, ipv6(VIP), OUR_MAC));
    assert_eq!(nd.answer_to(), Some(Answer::ToAll));
    assert_eq!(solicited_node(VIP), nd.bytes[38..54]);
}

/// What is done to a good message.
type Change = fn(&mut [u8; ND_LEN]);

/// Each of these is somebody else's to answer, or nobody's (RFC 4861 7.1.1).
#[test]
fn what_is_not_valid_is_not_answered() {
    let cases: [(&str, Change); 14] = [
        ("routed", |b| b[21] = 254),
        ("too short", |b| b[19] = 16),
        ("more than one option", |b| b[19] = 40),
        ("more than 64 KiB", |b| b[18] = 1),
        ("an option of no length", |b| b[79] = 0),
        ("an option that goes on", |b| b[79] = 2),
        ("to everybody", |b| b[38..54].copy_from_slice(&ALL_NODES)),
        ("to the group of another address", |b| b[53] = 0x57),
        ("to another group", |b| b[39] = 5),
        ("to a group, without a hardware address", |b| b[78] = 14),
        ("to a group, without any option", short),
        ("from nobody, with a hardware address", |b| b[22..38].fill(0)),
        ("from a group of stations", |b| b[80] = 3),
        ("from a group of nodes", |b| b[22] = 0xff),
    ];
    for (what, change) in cases {
        let nd = changed(change);
        assert_eq!((nd.kind(), nd.answer_to()), (Some(Kind::Solicitation), None), "{what}");
    }
    let mut nd = sealed(ASKED);
    nd.bytes[56] ^= 1;
    assert_eq!((nd.is_sound(), nd.answer_to()), (false, None), "a wrong checksum");
    let nobody = changed(|b| {
        duplicate(b);
        short(b);
    });
    assert_eq!(nobody.answer_to(), None, "there is no room for our hardware address");
    let nobody = changed(|b| {
        duplicate(b);
        unicast(b);
    });
    assert_eq!(nobody.answer_to(), None, "from nobody, to the address");
}

#[test]
fn what_is_no_neighbours_message_has_no_kind() {
    for (at, byte) in [(14, 0x40), (20, 17), (20, 0), (54, 134), (54, 137), (54, 128), (55, 1)] {
        let nd = changed(|b| b[at] = byte);
        assert_eq!(nd.kind(), None, "byte {at} is {byte}");
    }
}

#[test]
fn a_solicitation_is_answered_through_an_open_gate_only() {
    let tables = serving();
    assert_eq!(ask(&tables, &vip(), 5, MS), Verdict::NdAnswered);
    assert_eq!(tables.facts.gates[2].first_arp_at.get(), MS);
    assert_eq!(ask(&tables, &Vip { ready: 0, ..vip() }, 5, MS), Verdict::NdClosed);
    assert_eq!(ask(&tables, &Vip { group: 3, ..vip() }, 5, MS), Verdict::NdClosed);
    assert_eq!(ask(&tables, &Vip { bounce: 0, ..vip() }, 5, MS), Verdict::NdToStack);
    assert_eq!(ask(&tables, &vip(), 6, MS), Verdict::NdToStack);
    assert_eq!(ask(&tables, &vip(), 5, LEASE), Verdict::NdClosed, "the lease is over");
    tables.orders.lease_until.set(3 * LEASE);
    assert_eq!(ask(&tables, &vip(), 5, LEASE + 1), Verdict::NdClosed, "for good");
}

/// The gate counts before the form does: what cannot be answered here is still kept from a stack that could.
#[test]
fn a_closed_gate_is_silent_to_every_form() {
    let (open, closed) = (serving(), Tables::new(0));
    let routed = changed(|b| b[21] = 254);
    let ask = |tables: &Tables| on_solicitation(&tables.orders, &tables.facts, &vip(), &routed, 5, MS);
    assert_eq!(ask(&closed), (Verdict::NdClosed, None));
    assert_eq!(ask(&open), (Verdict::NdToStack, None));
}

fn claim(tables: &Tables, nd: &Nd) -> (Verdict, Vec<Event>) {
    let mut events = Vec::new();
    let mut sink = |event: Event| events.push(event);
    (on_claim(&tables.orders, &tables.facts, &vip(), nd, MS, &mut sink), events)
}

#[test]
fn another_one_who_has_the_address_is_a_conflict_while_we_serve_it() {
    let other = advertisement(CLIENT_MAC, VIP, false);
    let (verdict, events) = claim(&serving(), &other);
    assert_eq!(verdict, Verdict::NdConflict);
    assert_eq!((events.len(), events[0].kind, events[0].group), (1, EventKind::Conflict as u32, 2));
    assert_eq!(claim(&Tables::new(0), &other), (Verdict::Unrelated, Vec::new()), "he serves it");
    assert_eq!(claim(&serving(), &advertisement(OUR_MAC, VIP, true)).0, Verdict::Unrelated, "ourselves");
    let mut routed = other;
    routed.bytes[21] = 64;
    routed.seal();
    assert_eq!(claim(&serving(), &routed).0, Verdict::Unrelated, "from far away anybody says anything");
    let mut broken = other;
    broken.bytes[84] ^= 1;
    assert_eq!(claim(&serving(), &broken).0, Verdict::Unrelated, "a wrong checksum");
    let in_its_name = changed(|b| b[22..38].copy_from_slice(&VIP));
    assert_eq!(claim(&serving(), &in_its_name).0, Verdict::NdConflict, "he asks in its name");
}

proptest! {
    /// Whatever comes in: what is answered is a valid question, and the answer a valid answer, to the asker or to all.
    #[test]
    fn what_is_answered_is_a_question_and_gets_an_answer(
        at in proptest::collection::vec((14..ND_LEN, any::<u8>()), 0..6),
        form in 0..4u8,
        router in any::<bool>(),
    ) {
        let asked = Nd::of(changed(|b| {
            match form {
                0 => {}
                1 => unicast(b),
                2 => duplicate(b),
                _ => { unicast(b); short(b) }
            }
            at.iter().for_each(|&(at, byte)| b[at] = byte);
        }).bytes);
        prop_assert_eq!(asked.is_sound(), asked.bytes[21] == 255 && asked.has_option().is_some());
        let Some(to) = asked.answer_to() else { return Ok(()) };
        prop_assert!(asked.is_sound());
        let mut nd = asked;
        nd.answer(to, OUR_MAC, router);
        let b = &nd.bytes;
        prop_assert_eq!(reckoned(b), 0xffff);
        prop_assert_eq!((nd.target(), nd.source()), (asked.target(), asked.target()));
        prop_assert_eq!((b[54], b[58] & ROUTER != 0, b[18], b[19]), (136, router, asked.bytes[18], asked.bytes[19]));
        prop_assert_eq!(&b[6..12], &OUR_MAC);
        prop_assert_eq!(b[0] & 1 == 1, asked.source() == crate::path::NO_IP);
        match to {
            Answer::To(mac) => prop_assert_eq!((&b[..6], &b[38..54]), (&mac[..], &asked.bytes[22..38])),
            Answer::ToAll => prop_assert_eq!(&b[38..54], &ALL_NODES),
        }
    }

    /// No bytes at all make it panic.
    #[test]
    fn any_bytes_are_looked_at(bytes in proptest::collection::vec(any::<u8>(), ND_LEN)) {
        let mut nd = Nd::of(bytes.try_into().unwrap());
        let _ = (nd.kind(), nd.target(), nd.source(), nd.sender_mac(), nd.is_sound());
        if let Some(to) = nd.answer_to() {
            nd.answer(to, OUR_MAC, false);
        }
    }
}
