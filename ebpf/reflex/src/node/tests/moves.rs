//! Takeovers by word: a resign, a fence, a higher epoch, a new life.

use super::world::{Node, ask, pair};
use crate::frame::ClaimState;
use crate::testing::MS;
use crate::verdict::{EventKind, Verdict};

/// Node 0 holds group 0 with epoch 5, node 1 is armed to follow with 6; both know it.
fn holder_and_heir() -> (Node, Node) {
    let (mut holder, mut heir, _) = pair();
    holder.tables.orders.gates[0].granted.set(5);
    heir.tables.arm(0, 0, 6);
    ask(&mut holder, &mut heir, 0, 2 * MS);
    ask(&mut heir, &mut holder, 0, 2 * MS + 1);
    assert!(holder.tables.is_open(0, 3 * MS) && !heir.tables.is_open(0, 3 * MS));
    (holder, heir)
}

#[test]
fn a_resign_opens_the_heir_on_receipt() {
    let (mut holder, mut heir) = holder_and_heir();
    holder.tables.orders.gates[0].resigned.set(5);
    let probe = holder.probe(1, 0, 3 * MS);
    assert!(!holder.tables.is_open(0, 3 * MS), "closed before it is said");
    let (_, pong) = heir.receive(&probe, 3 * MS + 40_000);
    assert!(heir.tables.is_open(0, 3 * MS + 40_000));
    assert_eq!(heir.tables.facts.gates[0].taken_at.get(), 3 * MS + 40_000);
    assert_eq!(heir.tables.count(EventKind::GateOpened), 1);
    let claim = pong.unwrap().claim(0);
    assert_eq!((claim.epoch, claim.state()), (6, ClaimState::Open), "the pong says so at once");
}

#[test]
fn a_resign_that_is_lost_is_said_again_by_every_frame() {
    let (mut holder, mut heir) = holder_and_heir();
    holder.tables.orders.gates[0].resigned.set(5);
    let _lost = holder.probe(1, 0, 3 * MS);
    let (_, _, [_, pong]) = ask(&mut heir, &mut holder, 0, 3 * MS + 500);
    assert_eq!(pong.claim(0).state(), ClaimState::Resigned);
    assert!(heir.tables.is_open(0, 3 * MS + 500));
}

#[test]
fn a_frame_without_lease_opens_the_heir_and_the_holder_is_closed_by_then() {
    for by_pong in [true, false] {
        let (mut holder, mut heir) = holder_and_heir();
        holder.tables.orders.lease_until.set(3 * MS);
        // The group is on another page than the frame: its claims do not tell of it.
        for tables in [&holder.tables, &heir.tables] {
            tables.orders.groups_len.set(16);
        }
        let frame = if by_pong {
            let probe = heir.probe_page(0, 0, 1, 4 * MS);
            holder.receive(&probe, 4 * MS).1.unwrap()
        } else {
            holder.probe_page(1, 0, 1, 4 * MS)
        };
        holder.tables.orders.lease_until.set(u64::MAX);
        assert!(!holder.tables.is_open(0, 4 * MS), "fenced for good");
        assert!(!heir.tables.is_open(0, 4 * MS));
        heir.receive(&frame, 4 * MS);
        assert!(heir.tables.is_open(0, 4 * MS), "by pong: {by_pong}");
    }
}

/// The holder lost its lease, got the group back with a higher epoch, and only then does the old pong arrive.
#[test]
fn a_late_pong_without_lease_opens_nothing_that_was_granted_since() {
    let (mut holder, mut heir) = holder_and_heir();
    holder.tables.orders.lease_until.set(3 * MS);
    let late = holder.receive(&heir.probe(0, 1, 4 * MS), 4 * MS).1.unwrap();
    holder.tables.orders.lease_until.set(u64::MAX);
    holder.tables.orders.gates[0].granted.set(7);
    heir.tables.orders.gates[0].armed.set(0);
    ask(&mut holder, &mut heir, 0, 5 * MS);
    heir.tables.arm(0, 0, 8);

    assert_eq!(heir.receive(&late, 6 * MS).0, Verdict::PongTaken, "it is no replay");
    assert!(holder.tables.is_open(0, 6 * MS));
    assert!(!heir.tables.is_open(0, 6 * MS), "both would serve");
}

#[test]
fn a_higher_epoch_fences_on_receipt() {
    let (mut holder, mut heir) = holder_and_heir();
    // A partition: the heir took over while the holder went on.
    heir.tables.take_over(0, 0, 10 * MS);
    assert!(holder.tables.is_open(0, 20 * MS) && heir.tables.is_open(0, 20 * MS));
    let (_, pong) = holder.receive(&heir.probe(0, 0, 20 * MS), 20 * MS);
    assert!(!holder.tables.is_open(0, 20 * MS), "the first frame settles it");
    assert_eq!(pong.unwrap().claim(0).state(), ClaimState::Fenced);
    heir.receive(&pong.unwrap(), 20 * MS);
    assert!(heir.tables.is_open(0, 20 * MS));
}

#[test]
fn of_two_with_the_same_epoch_the_lower_index_keeps_it() {
    let (mut zero, mut one, _) = pair();
    for node in [&zero, &one] {
        node.tables.orders.gates[0].granted.set(5);
    }
    ask(&mut one, &mut zero, 0, 2 * MS);
    assert!(zero.tables.is_open(0, 2 * MS) && !one.tables.is_open(0, 2 * MS));
}

#[test]
fn a_new_life_of_the_holder_opens_the_heir() {
    let (holder, mut heir) = holder_and_heir();
    drop(holder);
    let mut holder = Node::new(0, 0xa2);
    let probe = holder.probe(1, 0, 3 * MS);
    assert_eq!(heir.receive(&probe, 3 * MS).0, Verdict::ProbeUnproven);
    assert!(!heir.tables.is_open(0, 3 * MS), "anybody could have recorded that");
    ask(&mut heir, &mut holder, 0, 4 * MS);
    assert!(heir.tables.is_open(0, 4 * MS));
}

#[test]
fn the_first_life_that_is_heard_opens_nothing() {
    let mut heir = Node::new(1, 0xb1);
    heir.tables.arm(0, 0, 6);
    let mut holder = Node::new(0, 0xa1);
    holder.tables.orders.gates[0].granted.set(5);
    ask(&mut heir, &mut holder, 0, MS);
    assert!(!heir.tables.is_open(0, MS));
}

#[test]
fn a_third_nodes_word_opens_nothing_that_is_armed_against_the_holder() {
    let (_holder, mut heir) = holder_and_heir();
    let mut third = Node::new(2, 0xc1);
    third.tables.orders.lease_until.set(0);
    third.tables.orders.gates[0].granted.set(5);
    ask(&mut heir, &mut third, 0, 3 * MS);
    assert_eq!(heir.facts_of(2).session.get(), 0xc1);
    assert!(!heir.tables.is_open(0, 3 * MS));
}
