use proptest::prelude::*;

use super::*;
use crate::testing::{MS, Tables};
use crate::{Event, EventKind};

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xc1];
const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];

/// Who has 10.0.0.100? Tell 10.0.0.9.
#[rustfmt::skip]
const REQUEST: [u8; ARP_LEN] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0xc1, 0x08, 0x06,
    0, 1, 8, 0, 6, 4, 0, 1,
    2, 0, 0, 0, 0, 0xc1, 10, 0, 0, 9,
    0, 0, 0, 0, 0, 0, 10, 0, 0, 100,
];

fn vip() -> Vip {
    Vip { group: 2, ifindex: 5, mac: OUR_MAC, ready: 1, bounce: 1, ..Vip::default() }
}

/// A node that serves group 2 until 10 ms.
fn serving() -> Tables {
    let tables = Tables::new(0);
    tables.orders.lease_until.set(LEASE);
    tables.orders.gates[2].granted.set(1);
    tables
}

const LEASE: u64 = 10 * MS;

/// Another node is there.
fn company(tables: &Tables) {
    tables.facts.nodes[1].session.set(0xb1);
}

fn ask(tables: &Tables, vip: &Vip, ifindex: u32, now: u64) -> Verdict {
    on_request(&tables.orders, &tables.facts, vip, ifindex, now)
}

#[test]
fn the_answer_is_exact_to_the_byte() {
    let mut arp = Arp { bytes: REQUEST };
    assert_eq!(arp.operation(), Some(Operation::Request));
    assert_eq!((arp.sender(), arp.target()), ([10, 0, 0, 9], [10, 0, 0, 100]));
    assert_eq!(arp.sender_mac(), CLIENT_MAC);
    arp.answer(OUR_MAC);
    #[rustfmt::skip]
    let answer = [
        2, 0, 0, 0, 0, 0xc1, 2, 0, 0, 0, 0, 0x0a, 0x08, 0x06,
        0, 1, 8, 0, 6, 4, 0, 2,
        2, 0, 0, 0, 0, 0x0a, 10, 0, 0, 100,
        2, 0, 0, 0, 0, 0xc1, 10, 0, 0, 9,
    ];
    assert_eq!(arp.bytes, answer);
    assert_eq!(arp.operation(), Some(Operation::Reply));
}

/// A probe for duplicates (RFC 5227) has no sender address; the answer goes to its MAC address all the same.
#[test]
fn an_address_probe_is_answered() {
    let mut arp = Arp { bytes: REQUEST };
    arp.bytes[28..32].fill(0);
    arp.answer(OUR_MAC);
    assert_eq!(arp.bytes[..6], CLIENT_MAC);
    assert_eq!(arp.bytes[38..], [0, 0, 0, 0]);
}

#[test]
fn what_is_not_arp_for_ethernet_and_ipv4_has_no_operation() {
    for (at, byte) in [(14, 1), (15, 6), (16, 0x86), (17, 0xdd), (18, 8), (19, 16), (20, 1), (21, 0), (21, 3)]
    {
        let mut arp = Arp { bytes: REQUEST };
        arp.bytes[at] = byte;
        assert_eq!(arp.operation(), None, "byte {at} is {byte}");
    }
}

#[test]
fn a_request_is_answered_through_an_open_gate_only() {
    for (name, change, verdict) in [
        ("open", (|_, _| {}) as fn(&Tables, &mut Vip), Verdict::ArpAnswered),
        ("never granted", |t, _| t.orders.gates[2].granted.set(0), Verdict::ArpClosed),
        ("fenced", |t, _| t.facts.gates[2].fenced.set(1), Verdict::ArpClosed),
        ("resigned", |t, _| t.orders.gates[2].resigned.set(1), Verdict::ArpClosed),
        ("without lease", |t, _| (t.orders.lease_until.set(MS), company(t)).1, Verdict::ArpClosed),
        ("without lease, but alone", |t, _| t.orders.lease_until.set(MS), Verdict::ArpAnswered),
        ("after the agent's exit", |t, _| (company(t), t.facts.exited.set(LEASE)).1, Verdict::ArpClosed),
        ("behind another resource", |_, vip| vip.ready = 0, Verdict::ArpClosed),
        ("XDP_TX untested", |_, vip| vip.bounce = 0, Verdict::ArpToStack),
        ("other interface", |_, vip| vip.ifindex = 6, Verdict::ArpToStack),
        (
            "closed and other interface",
            |t, vip| (t.orders.gates[2].granted.set(0), vip.ifindex = 6).1,
            Verdict::ArpClosed,
        ),
    ] {
        let (tables, mut vip) = (serving(), vip());
        change(&tables, &mut vip);
        assert_eq!(ask(&tables, &vip, 5, MS), verdict, "{name}");
        let first = tables.facts.gates[2].first_arp_at.get();
        assert_eq!(first != 0, verdict == Verdict::ArpAnswered, "{name}: first answer noted");
    }
}

#[test]
fn tables_of_zeros_answer_nothing() {
    let (orders, facts) = (std::boxed::Box::new(Orders::new()), std::boxed::Box::new(Facts::new()));
    for now in [0, 1, u64::MAX] {
        assert_eq!(on_request(&orders, &facts, &vip(), 5, now), Verdict::ArpClosed);
    }
}

#[test]
fn the_first_answer_is_noted_once() {
    let tables = serving();
    assert_eq!(ask(&tables, &vip(), 5, 3), Verdict::ArpAnswered);
    assert_eq!(ask(&tables, &vip(), 5, 4), Verdict::ArpAnswered);
    assert_eq!(tables.facts.gates[2].first_arp_at.get(), 3);
}

#[test]
fn a_foreign_claim_is_a_conflict_only_while_we_serve() {
    let mut events = std::vec::Vec::new();
    let mut sink = |e: Event| events.push(e);
    let tables = serving();
    let claim =
        |tables: &Tables, sink: &mut _| on_foreign_claim(&tables.orders, &tables.facts, &vip(), 7, sink);
    assert_eq!(claim(&tables, &mut sink), Verdict::ArpConflict);
    assert_eq!(claim(&Tables::new(0), &mut sink), Verdict::ArpOther);
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].kind, events[0].group, events[0].at), (EventKind::Conflict as u32, 2, 7));
}

proptest! {
    #[test]
    fn any_answer_is_a_reply_to_its_asker(bytes in prop::collection::vec(any::<u8>(), ARP_LEN)) {
        let mut arp = Arp { bytes: bytes.try_into().unwrap() };
        // The fields that a request has fixed.
        arp.bytes[12..22].copy_from_slice(&REQUEST[12..22]);
        let request = arp;
        arp.answer(OUR_MAC);
        prop_assert_eq!(arp.operation(), Some(Operation::Reply));
        prop_assert_eq!(arp.sender(), request.target());
        prop_assert_eq!(arp.target(), request.sender());
        prop_assert_eq!(arp.sender_mac(), OUR_MAC);
        prop_assert_eq!(&arp.bytes[..6], &request.sender_mac()[..]);
        prop_assert_eq!(&arp.bytes[12..20], &request.bytes[12..20]);
    }

    #[test]
    fn any_bytes_have_an_operation_or_none(bytes in prop::collection::vec(any::<u8>(), ARP_LEN)) {
        let mut arp = Arp { bytes: bytes.try_into().unwrap() };
        prop_assert!(arp.operation().is_none() || arp.bytes[14..20] == REQUEST[14..20]);
        arp.answer(OUR_MAC);
    }
}
