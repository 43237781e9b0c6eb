//! The rules R1 to R7 (docs/protocol.md) by table; [`properties`] runs any order of events against them.

mod exit;
mod properties;

use std::boxed::Box;
use std::sync::Barrier;
use std::thread;

use super::*;
use crate::GROUPS_MAX;
use crate::testing::{MS, Tables};

/// Node 1, with a lease until 10 ms, in company of node 2.
fn leased() -> Tables {
    let tables = Tables::new(1);
    tables.facts.nodes[2].session.set(0xc1);
    tables.orders.lease_until.set(10 * MS);
    tables
}

#[test]
fn r1_open_follows_from_four_numbers_and_the_lease() {
    for (granted, taken, fenced, resigned, now, open) in [
        (0, 0, 0, 0, MS, false),
        (1, 0, 0, 0, MS, true),
        (0, 1, 0, 0, MS, true),
        (1, 0, 1, 0, MS, false),
        (0, 1, 1, 0, MS, false),
        (1, 0, 0, 1, MS, false),
        (0, 1, 0, 1, MS, false),
        (2, 0, 1, 0, MS, true),
        (1, 2, 1, 0, MS, true),
        (1, 2, 1, 2, MS, false),
        (2, 1, 2, 0, MS, false),
        (1, 0, 7, 0, MS, false),
        (1, 0, 0, 0, 10 * MS - 1, true),
        (1, 0, 0, 0, 10 * MS, false),
        (1, 0, 0, 0, u64::MAX, false),
    ] {
        let tables = leased();
        let (orders, facts) = tables.gate(3);
        orders.granted.set(granted);
        orders.resigned.set(resigned);
        facts.taken.set(taken);
        facts.fenced.set(fenced);
        assert_eq!(tables.is_open(3, now), open, "{granted} {taken} {fenced} {resigned} at {now}");
        assert!(!tables.is_open(2, now), "the neighbour has numbers of its own");
    }
}

#[test]
fn r2_what_the_lease_closed_stays_closed_when_it_is_renewed() {
    let mut tables = leased();
    tables.gate(0).0.granted.set(5);
    assert!(!tables.is_open(0, 11 * MS));
    tables.orders.lease_until.set(100 * MS);
    assert!(!tables.is_open(0, 12 * MS), "a late renewal opens nothing");
    tables.gate(0).0.granted.set(6);
    assert!(tables.is_open(0, 12 * MS), "a higher epoch does");

    tables.fence_all(13 * MS);
    tables.gate(0).0.granted.raise(6);
    assert!(!tables.is_open(0, 13 * MS));
}

#[test]
fn r2_a_lease_that_ran_out_unseen_fences_when_it_is_renewed() {
    let mut tables = leased();
    tables.gate(0).0.granted.set(5);
    let events = &mut tables.events;
    let mut renew =
        |now| renew_lease(&tables.orders, &tables.facts, now, now + 10 * MS, &mut |e| events.push(e));
    assert!(renew(9 * MS));
    assert!(renew(19 * MS - 1));
    assert!(!renew(29 * MS));
    assert!(renew(30 * MS), "the lease is valid again");
    assert!(!tables.is_open(0, 30 * MS), "the gate is not");
    assert_eq!(tables.count(EventKind::GateFenced), 1);
}

/// The look of one packet is enough to fence; the reason and the change must not get lost over it.
#[test]
fn a_packet_that_finds_the_lease_expired_leaves_the_reason() {
    let mut tables = leased();
    tables.gate(0).0.granted.set(5);
    let version = tables.facts.version.get();
    assert!(!tables.is_open(0, 11 * MS));
    assert!(tables.facts.version.get() > version, "the agent looks again");
    assert!(!tables.check_lease(11 * MS));
    let claim = tables.claim(0);
    assert_eq!((claim.state(), claim.epoch), (ClaimState::Fenced, 5));
    assert_eq!(claim.reason, Reason::Lease as u8);
}

#[test]
fn r3_fenced_is_said_after_the_fence_is_stored() {
    let mut tables = leased();
    tables.gate(0).0.granted.set(5);
    tables.gate(1).0.granted.set(1);
    assert!(tables.check_lease(10 * MS - 1));
    assert_eq!(tables.claim(0).state(), ClaimState::Open);

    assert!(!tables.check_lease(10 * MS));
    for (group, epoch) in [(0, 5), (1, 1)] {
        assert_eq!(tables.claim(group).state(), ClaimState::Fenced);
        assert_eq!(tables.gate(group as usize).1.fenced.get(), epoch);
    }
    assert_eq!(tables.count(EventKind::GateFenced), 2);
    assert!(!tables.check_lease(11 * MS));
    assert_eq!(tables.count(EventKind::GateFenced), 2, "told once");
}

/// Without a lease a node tells its peers that all its gates are fenced, so nothing may slip in afterwards.
#[test]
fn r3_what_is_granted_or_armed_without_a_lease_is_fenced_too() {
    let mut tables = leased();
    assert!(!tables.check_lease(10 * MS));
    tables.gate(0).0.granted.set(5);
    tables.arm(1, 0, 7);
    assert!(!tables.check_lease(11 * MS));
    assert_eq!(tables.claim(0).state(), ClaimState::Fenced);
    tables.orders.lease_until.set(100 * MS);
    assert!(!tables.is_open(0, 12 * MS));
    tables.take_over(1, 0, 12 * MS);
    assert!(!tables.is_open(1, 12 * MS));
}

#[test]
fn r3_so_it_is_before_the_first_lease() {
    let mut tables = leased();
    tables.orders.lease_until.set(0);
    tables.gate(0).0.granted.set(5);
    assert!(!tables.check_lease(0));
    assert_eq!(tables.claim(0).state(), ClaimState::Fenced);
}

#[test]
fn r4_an_armed_gate_opens_when_all_of_it_holds() {
    type Change = fn(&mut Tables);
    let cases: [(&str, Change, bool); 10] = [
        ("armed", |_| {}, true),
        ("armed against another", |t| t.arm(0, 2, 6), false),
        ("not armed", |t| t.orders.gates[0].armed.set(0), false),
        ("without lease", |t| t.orders.lease_until.set(MS), false),
        ("a rival has this epoch", |t| t.hear(2, 0, ClaimState::Open, 6, MS), false),
        ("a rival had this epoch", |t| t.hear(2, 0, ClaimState::Fenced, 6, MS), false),
        ("a rival has the one before", |t| t.hear(2, 0, ClaimState::Open, 5, MS), true),
        ("this epoch is fenced", |t| t.fence(0, 6, MS), false),
        ("this epoch was resigned", |t| t.orders.gates[0].resigned.set(6), false),
        ("only the one before is fenced", |t| t.fence(0, 5, MS), true),
    ];
    for (name, change, opens) in cases {
        let mut tables = leased();
        tables.arm(0, 0, 6);
        change(&mut tables);
        tables.take_over(0, 0, MS);
        assert_eq!(tables.is_open(0, MS), opens, "{name}");
        assert_eq!(tables.facts.gates[0].taken.get(), if opens { 6 } else { 0 }, "{name}");
        assert_eq!(tables.count(EventKind::GateOpened), usize::from(opens), "{name}");
    }
}

#[test]
fn r4_the_holders_word_opens_for_its_epoch_only() {
    for (name, source, state, epoch, opens) in [
        ("fenced", 0, ClaimState::Fenced, 5, true),
        ("resigned", 0, ClaimState::Resigned, 5, true),
        ("still open", 0, ClaimState::Open, 5, false),
        ("an earlier epoch fenced", 0, ClaimState::Fenced, 4, false),
        ("an earlier epoch resigned", 0, ClaimState::Resigned, 4, false),
        ("nothing held", 0, ClaimState::None, 0, false),
        ("said by another", 2, ClaimState::Fenced, 5, false),
        // Our plan is older than what the holder did since: somebody else may be armed for that.
        ("fenced at our own epoch", 0, ClaimState::Fenced, 6, false),
        ("fenced above our epoch", 0, ClaimState::Resigned, 9, false),
    ] {
        let mut tables = leased();
        tables.arm(0, 0, 6);
        tables.hear(source, 0, state, epoch, MS);
        assert_eq!(tables.is_open(0, MS), opens, "{name}");
    }
}

#[test]
fn r4_a_resign_opens_only_whom_it_names() {
    for (state, heir, opens) in [
        (ClaimState::Resigned, 0, true),
        (ClaimState::Resigned, 1 + 1, true),
        (ClaimState::Resigned, 2 + 1, false),
        (ClaimState::Resigned, u8::MAX, false),
        // Whom a fenced node wanted to hand it to counts no more.
        (ClaimState::Fenced, 2 + 1, true),
    ] {
        let mut tables = leased();
        tables.arm(0, 0, 6);
        let claim = Claim { epoch: 5, state: state as u8, heir, ..Claim::default() };
        tables.hear_claim(0, 0, claim, MS);
        assert_eq!(tables.is_open(0, MS), opens, "{state:?} for {heir}");
    }
}

#[test]
fn r4_a_takeover_happens_once() {
    let mut tables = leased();
    tables.arm(0, 0, 6);
    for now in [1, 2, 3] {
        tables.hear(0, 0, ClaimState::Resigned, 5, now);
    }
    assert_eq!(tables.count(EventKind::GateOpened), 1);
    assert_eq!(tables.facts.gates[0].taken_at.get(), 1);
    assert_eq!(tables.claim(0).state(), ClaimState::Open);
}

#[test]
fn r5_a_higher_epoch_fences_and_of_equals_the_lower_index_keeps_it() {
    for (name, source, epoch, keeps) in [
        ("higher, from above", 2, 6, false),
        ("higher, from below", 0, 6, false),
        ("equal, from above", 2, 5, true),
        ("equal, from below", 0, 5, false),
        ("lower, from above", 2, 4, true),
        ("lower, from below", 0, 4, true),
    ] {
        let mut tables = leased();
        tables.gate(0).0.granted.set(5);
        tables.hear(source, 0, ClaimState::Open, epoch, MS);
        assert_eq!(tables.is_open(0, MS), keeps, "{name}");
        let claim = tables.claim(0);
        let reason = if keeps { 0 } else { Reason::HigherEpoch as u8 };
        assert_eq!((claim.epoch, claim.reason), (5, reason), "{name}");
        assert_eq!(tables.count(EventKind::GateFenced), usize::from(!keeps), "{name}");
    }
}

#[test]
fn r5_what_is_not_open_fences_nobody() {
    for state in [ClaimState::None, ClaimState::Resigned, ClaimState::Fenced] {
        let mut tables = leased();
        tables.gate(0).0.granted.set(5);
        tables.hear(0, 0, state, 9, MS);
        assert!(tables.is_open(0, MS), "{state:?}");
    }
}

#[test]
fn r7_tables_of_zeros_are_closed() {
    let (orders, facts) = (Box::new(Orders::default()), Box::new(Facts::default()));
    for group in [0, 1, GROUPS_MAX as u32 - 1, GROUPS_MAX as u32, u32::MAX] {
        for now in [0, 1, MS, u64::MAX] {
            assert!(!is_open(&orders, &facts, group, now));
            assert_eq!(claim(&orders, &facts, group), Claim::default());
        }
    }
    assert!(!lease_valid(&orders, &facts, 0));
}

#[test]
fn a_claim_says_what_was_held_planned_and_armed() {
    let mut tables = leased();
    assert_eq!(tables.claim(0), Claim::default());

    let sight = crate::Sight(0x73);
    let plan = Claim { flags: 0xff, heir: 3, epoch: 9, state: 9, reason: 9, sight };
    tables.gate(0).0.plan.set(plan.pack());
    let said = tables.claim(0);
    let planned = Claim::WILLING | Claim::READY;
    assert_eq!(said, Claim { flags: planned, heir: 3, sight, ..Claim::default() }, "plans alone");

    tables.arm(0, 0, 6);
    assert_eq!(tables.claim(0).flags, planned | Claim::ARMED);
    tables.hear(0, 0, ClaimState::Open, 6, MS);
    assert_eq!(tables.claim(0).flags, planned, "armed in vain is not armed");

    tables.gate(0).0.granted.set(7);
    tables.gate(0).0.resigned.set(7);
    assert_eq!((tables.claim(0).state(), tables.claim(0).epoch), (ClaimState::Resigned, 7));
}

#[test]
fn a_number_of_groups_that_cannot_be_is_cut() {
    for (len, fenced) in
        [(0, 0), (3, 3), (GROUPS_MAX as u64, GROUPS_MAX), (1 << 32, GROUPS_MAX), (u64::MAX, GROUPS_MAX)]
    {
        let mut tables = leased();
        tables.orders.groups_len.set(len);
        tables.orders.gates.iter().for_each(|gate| gate.granted.set(1));
        tables.fence_all(MS);
        assert_eq!(tables.count(EventKind::GateFenced), fenced, "{len} groups");
    }
}

#[test]
fn armed_comes_back_from_its_word() {
    for armed in [
        Armed { epoch: 1, holder: 0, behind: 1 },
        Armed { epoch: u32::MAX, holder: 15, behind: u8::MAX },
        Armed { epoch: 0, holder: 0, behind: 0 },
    ] {
        assert_eq!(Armed::unpack(armed.pack()), Some(armed));
    }
    assert_eq!(Armed::unpack(0), None);
    assert_eq!(Armed { epoch: 9, holder: 0, behind: 2 }.holder_epoch(), 7);
}

/// The worst bug that there could be: a fence that a takeover on another CPU undoes.
#[test]
fn a_fence_and_a_takeover_at_once_end_closed() {
    for _ in 0..500 {
        let (tables, start) = (leased(), Barrier::new(3));
        tables.arm(0, 0, 6);
        let (orders, facts) = (&*tables.orders, &*tables.facts);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                take_over(orders, facts, 0, 0, MS, &mut |_| {});
            });
            scope.spawn(|| {
                start.wait();
                fence_all(orders, facts, Reason::Exit, MS, &mut |_| {});
            });
            start.wait();
            // What is said meanwhile must be true for good: fenced is fenced.
            if claim(orders, facts, 0).state() == ClaimState::Fenced {
                assert!(!is_open(orders, facts, 0, MS));
            }
        });
        assert!(!tables.is_open(0, MS));
    }
}
