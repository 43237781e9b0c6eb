use std::vec::Vec;

use proptest::prelude::*;

use super::world::{Node, key, pair};
use crate::frame::{Claim, ClaimState, FRAME_LEN, Frame};
use crate::layout::Key;
use crate::mac::{self, Scratch};
use crate::testing::MS;
use crate::verdict::{EventKind, Verdict};

const SECOND: u64 = 1_000 * MS;

/// Changes a frame and signs it again, as one who has the key can.
fn resigned(mut frame: Frame, change: impl FnOnce(&mut Frame)) -> Frame {
    change(&mut frame);
    mac::sign(&key(), &mut frame, &mut Scratch::default());
    frame
}

#[test]
fn every_refusal_has_its_verdict() {
    type Change = fn(&mut Frame);
    let cases: [(&str, Change, Verdict); 8] = [
        ("magic", |f| f.bytes[0] = 0, Verdict::BadFormat),
        ("version", |f| f.bytes[2] += 1, Verdict::BadFormat),
        ("kind", |f| f.bytes[3] = 5, Verdict::BadFormat),
        ("for another", |f| f.set_destination(2), Verdict::BadNode),
        ("from ourselves", |f| f.set_source(0), Verdict::BadNode),
        ("from a node that is not configured", |f| f.set_source(3), Verdict::BadNode),
        ("from a node that cannot be", |f| f.set_source(255), Verdict::BadNode),
        ("of no life", |f| f.set_session(0), Verdict::Stale),
    ];
    for (name, change, verdict) in cases {
        let (mut a, mut b, _) = pair();
        let frame = resigned(b.probe(0, 0, 2 * MS), change);
        std::println!("{name}");
        a.refuses(&frame, 2 * MS, verdict);
    }
}

#[test]
fn unknown_keys_are_refused_and_counted() {
    for number in [0, 2, 15, 16, 17, 255] {
        let (mut a, mut b, _) = pair();
        let frame = resigned(b.probe(0, 0, 2 * MS), |f| f.set_key(number));
        let facts = a.tables.facts_but_counters();
        assert_eq!(a.receive(&frame, 2 * MS), (Verdict::UnknownKey, None), "key {number}");
        assert!(a.tables.facts_but_counters() == facts);
        assert_eq!(a.facts_of(1).refused.get(), 1);
    }
}

#[test]
fn another_key_under_the_same_number_is_an_alarm_once_a_second() {
    let (mut a, mut b, _) = pair();
    b.tables.orders.set_key(1, &Key::new(mac::SHA1, b"something else").unwrap());
    let facts = a.tables.facts_but_counters();
    let start = 5 * MS;
    for i in 0..2_500 {
        let now = start + i * MS;
        assert_eq!(a.receive(&b.probe(0, 0, now), now), (Verdict::BadMac, None));
    }
    assert!(a.tables.facts_but_counters() == facts);
    assert_eq!(a.facts_of(1).refused.get(), 2_500);
    let told: Vec<u64> =
        a.tables.events.iter().filter(|e| e.kind == EventKind::NodeRefused as u32).map(|e| e.at).collect();
    assert_eq!(told, [start, start + SECOND, start + 2 * SECOND]);
}

#[test]
fn keys_may_differ_by_direction_while_they_are_changed() {
    let (mut a, mut b, _) = pair();
    let new = Key::new(mac::SHA256, b"the next one").unwrap();
    a.tables.orders.set_key(2, &new);
    b.tables.orders.set_key(2, &new);
    b.tables.orders.key_current.set(2);
    let probe = b.probe(0, 0, 2 * MS);
    assert_eq!(probe.key(), 2);
    let (verdict, pong) = a.receive(&probe, 2 * MS);
    assert_eq!(verdict, Verdict::ProbeAnswered);
    assert_eq!(pong.unwrap().key(), 1);
    assert_eq!(b.receive(&pong.unwrap(), 2 * MS).0, Verdict::PongTaken);
}

#[test]
fn a_reflected_frame_is_refused() {
    let (mut a, mut b, _) = pair();
    let probe = a.probe(1, 0, 2 * MS);
    a.refuses(&probe, 2 * MS, Verdict::BadNode);
    let (_, pong) = b.receive(&probe, 2 * MS);
    b.refuses(&pong.unwrap(), 2 * MS, Verdict::BadNode);
}

#[test]
fn a_pong_for_a_probe_that_was_never_sent_is_refused() {
    let (mut a, mut b, frames) = pair();
    let pong = frames[1];
    for (seq, verdict) in [(0, Verdict::Replayed), (2, Verdict::Replayed), (u64::MAX, Verdict::Replayed)] {
        a.refuses(&resigned(pong, |f| f.set_seq(seq)), 2 * MS, verdict);
    }
    let link = resigned(pong, |f| f.set_link(1));
    a.refuses(&link, 2 * MS, Verdict::Replayed);
    assert_eq!(b.receive(&a.probe(1, 0, 3 * MS), 3 * MS).0, Verdict::ProbeAnswered);
}

/// Claims of groups and pages that are not configured must not reach any gate.
#[test]
fn claims_beyond_the_groups_are_not_read() {
    let (mut a, mut b, _) = pair();
    a.tables.orders.groups_len.set(3);
    for group in 0..3 {
        a.tables.orders.gates[group].granted.set(1);
    }
    let high = Claim { epoch: 9, state: ClaimState::Open as u8, ..Claim::default() };
    for page in [0u8, 1, 127, 128, 255] {
        let now = (2 + u64::from(page)) * MS;
        let frame = resigned(b.probe(0, 0, now), |f| {
            f.set_page(page);
            (if page == 0 { 3..8 } else { 0..8 }).for_each(|slot| f.set_claim(slot, high));
        });
        assert_eq!(a.receive(&frame, now).0, Verdict::ProbeAnswered);
    }
    assert!((0..3).all(|group| a.tables.is_open(group, 400 * MS)));
    assert!(a.tables.facts.claims[1].iter().all(|word| word.get() == 0));
}

proptest! {
    #[test]
    fn a_changed_frame_changes_nothing(
        pong in any::<bool>(),
        changes in prop::collection::vec((0..FRAME_LEN, 1..=u8::MAX), 1..4),
    ) {
        let (mut a, mut b, _) = pair();
        let good = if pong {
            b.receive(&a.probe(1, 0, 2 * MS), 2 * MS).1.unwrap()
        } else {
            b.probe(0, 0, 2 * MS)
        };
        let mut frame = good;
        changes.iter().for_each(|&(at, mask)| frame.bytes[at] ^= mask);
        prop_assume!(frame != good);
        let facts = a.tables.facts_but_counters();
        let (verdict, answer) = a.receive(&frame, 2 * MS);
        let refused = matches!(
            verdict,
            Verdict::BadFormat | Verdict::BadNode | Verdict::UnknownKey | Verdict::BadMac
        );
        prop_assert!(refused && answer.is_none());
        prop_assert!(a.tables.facts_but_counters() == facts);
        let counted: u64 = a.tables.facts.nodes.iter().map(|n| n.refused.get()).sum();
        prop_assert_eq!(counted == 1, matches!(verdict, Verdict::UnknownKey | Verdict::BadMac));
        prop_assert!(a.receive(&good, 2 * MS).0 != Verdict::Replayed, "the good one is still good");
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), FRAME_LEN), head in 0..8usize) {
        let (mut a, mut b, _) = pair();
        let mut frame = Frame { bytes: bytes.try_into().unwrap() };
        // The more of the head is right, the deeper it gets.
        frame.bytes[..head].copy_from_slice(&b.probe(0, 0, 2 * MS).bytes[..head]);
        let facts = a.tables.facts_but_counters();
        let (_, answer) = a.receive(&frame, 2 * MS);
        prop_assert_eq!(answer, None);
        prop_assert!(a.tables.facts_but_counters() == facts);
    }

    /// Whoever has the key may say anything: that must not crash, nor reach beyond its own name.
    #[test]
    fn any_signed_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), FRAME_LEN), kind in 1u8..=4) {
        let (mut a, mut b, _) = pair();
        let good = b.probe(0, 0, 2 * MS);
        let mut frame = Frame { bytes: bytes.try_into().unwrap() };
        frame.bytes[..7].copy_from_slice(&good.bytes[..7]);
        frame.bytes[3] = kind;
        let frame = resigned(frame, |_| {});
        a.receive(&frame, 2 * MS);
        prop_assert_eq!(a.facts_of(2).session.get(), 0);
        let c = &mut Node::new(2, 0xc1);
        prop_assert_eq!(a.receive(&c.probe(0, 0, 3 * MS), 3 * MS).0, Verdict::ProbeUnproven);
    }
}
