//! Frames of and to a node whose agent is gone.

use super::world::{Node, pair};
use crate::frame::{Claim, ClaimState, Status};
use crate::gate::{self, Armed};
use crate::testing::MS;
use crate::verdict::Verdict;

/// Node 0 serves group 0 with epoch 5; node 1 was declared dead, and the lease of node 0 ended at 10 ms.
fn survivor() -> (Node, Node) {
    let (a, b, _) = pair();
    a.tables.orders.gates[0].granted.set(5);
    a.tables.orders.lease_until.set(10 * MS);
    a.tables.facts.nodes[1].dead_at.set(9 * MS);
    assert!(a.tables.is_open(0, 11 * MS));
    (a, b)
}

#[test]
fn the_first_frame_of_a_node_that_was_dead_fences() {
    let (mut a, mut b) = survivor();
    let (verdict, pong) = a.receive(&b.probe(0, 0, 12 * MS), 12 * MS);
    assert_eq!(verdict, Verdict::ProbeAnswered);
    assert!(!a.tables.is_open(0, 12 * MS));
    let pong = pong.unwrap();
    assert_eq!((pong.claim(0).state(), pong.status() & Status::LEASE), (ClaimState::Fenced, 0));
}

/// It cannot tell yet whether that is a recording; but being wrong about it costs nothing but an address that nobody
/// asked for, and being wrong the other way costs promise 1.
#[test]
fn the_first_frame_of_an_unproven_life_fences_too() {
    let (mut a, _) = survivor();
    let mut b = Node::new(1, 0xb2);
    let (verdict, pong) = a.receive(&b.probe(0, 0, 12 * MS), 12 * MS);
    assert_eq!(verdict, Verdict::ProbeUnproven);
    assert!(!a.tables.is_open(0, 12 * MS));
    assert_eq!(pong.unwrap().claim(0).state(), ClaimState::Fenced);
}

#[test]
fn a_late_pong_fences_too() {
    let (mut a, mut b) = survivor();
    let pong = b.receive(&a.probe(1, 0, 9 * MS), 9 * MS).1.unwrap();
    assert_eq!(a.receive(&pong, 12 * MS).0, Verdict::PongTaken);
    assert!(!a.tables.is_open(0, 12 * MS));
}

#[test]
fn a_frame_without_the_key_fences_nobody() {
    let (mut a, mut b) = survivor();
    let mut forged = b.probe(0, 0, 12 * MS);
    forged.set_seq(forged.seq() + 1);
    assert_eq!(a.receive(&forged, 12 * MS), (Verdict::BadMac, None));
    assert!(a.tables.is_open(0, 12 * MS));
}

/// The prober may live on beside a decision loop that hangs: what it sends must not promise anything.
#[test]
fn without_a_lease_nothing_is_planned_aloud() {
    for alone in [false, true] {
        for (until, plans) in [(10 * MS, false), (20 * MS, true)] {
            let (mut a, mut b) = survivor();
            a.tables.orders.lease_until.set(until);
            if !alone {
                a.tables.facts.nodes[1].dead_at.set(0);
            }
            let plan = Claim { flags: Claim::WILLING, heir: 2, ..Claim::default() };
            a.tables.orders.gates[1].plan.set(plan.pack());
            a.tables.orders.gates[1].armed.set(Armed { epoch: 7, holder: 1, behind: 1 }.pack());
            let said = a.probe(1, 0, 12 * MS);
            let claim = said.claim(1);
            assert_eq!(claim.heir, if plans { 2 } else { 0 });
            assert_eq!(claim.flags, if plans { Claim::WILLING | Claim::ARMED } else { 0 });
            let answered = a.receive(&b.probe(0, 0, 12 * MS), 12 * MS).1.unwrap().claim(1);
            assert_eq!((answered.flags, answered.heir), (claim.flags, claim.heir));
        }
    }
}

#[test]
fn after_the_exit_every_answer_says_fenced() {
    let (mut a, mut b, _) = pair();
    a.tables.orders.gates[0].granted.set(5);
    a.tables.orders.lease_until.set(100 * MS);
    gate::on_exit(&a.tables.orders, &a.tables.facts, 2 * MS, &mut |_| {});
    let pong = a.receive(&b.probe(0, 0, 3 * MS), 3 * MS).1.unwrap();
    assert_eq!((pong.claim(0).state(), pong.status() & Status::LEASE), (ClaimState::Fenced, 0));
}
