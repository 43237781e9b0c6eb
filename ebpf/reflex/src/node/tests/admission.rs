use super::world::{Node, ask, pair};
use crate::frame::{ClaimState, Status};
use crate::node::{Said, hears};
use crate::testing::MS;
use crate::verdict::{EventKind, Verdict};

#[test]
fn each_side_admits_the_other_by_its_own_challenge() {
    let (mut a, mut b) = (Node::new(0, 0xa1), Node::new(1, 0xb1));
    let (at_b, at_a, _) = ask(&mut a, &mut b, 0, MS);
    assert_eq!((at_b, at_a), (Verdict::ProbeUnproven, Verdict::PongTaken));
    assert_eq!(a.facts_of(1).session.get(), 0xb1, "a admitted b");
    assert_eq!(b.facts_of(0).session.get(), 0, "b asked nothing yet");
    assert_eq!(a.tables.count(EventKind::NodeAdmitted), 1);

    let (at_a, at_b, _) = ask(&mut b, &mut a, 0, 2 * MS);
    assert_eq!((at_a, at_b), (Verdict::ProbeAnswered, Verdict::PongTaken));
    assert_eq!(b.facts_of(0).session.get(), 0xa1);

    let (at_b, at_a, _) = ask(&mut a, &mut b, 0, 3 * MS);
    assert_eq!((at_b, at_a), (Verdict::ProbeAnswered, Verdict::PongTaken));
    assert_eq!(a.tables.count(EventKind::NodeAdmitted), 1, "once");
}

#[test]
fn unproven_probes_are_answered_and_change_a_counter_only() {
    let (mut a, mut b) = (Node::new(0, 0xa1), Node::new(1, 0xb1));
    a.tables.orders.gates[0].granted.set(9);
    b.tables.orders.gates[0].granted.set(1);
    let (facts, events) = (b.tables.facts_but_counters(), b.tables.events.len());
    for i in 1..=3 {
        let (verdict, pong) = b.receive(&a.probe(1, 0, i * MS), i * MS);
        assert_eq!(verdict, Verdict::ProbeUnproven);
        let pong = pong.unwrap();
        assert_eq!((pong.session(), pong.peer_session(), pong.seq()), (0xb1, 0xa1, i));
        assert_eq!(pong.hears(), 0, "nor is it heard");
        assert_eq!(b.facts_of(0).links[0].unconfirmed.get(), i);
    }
    assert!(b.tables.facts_but_counters() == facts);
    assert_eq!(b.tables.events.len(), events);
    assert!(b.tables.is_open(0, 4 * MS), "their higher epoch is no reason to fence yet");
}

#[test]
fn a_pong_says_what_its_sender_knows() {
    let (mut a, mut b, _) = pair();
    b.tables.orders.gates[0].granted.set(4);
    b.tables.orders.gates[7].granted.set(2);
    let (_, _, [probe, pong]) = ask(&mut a, &mut b, 0, 2 * MS);
    assert_eq!((probe.source(), probe.destination(), probe.link(), probe.seq()), (0, 1, 0, 2));
    assert_eq!((probe.session(), probe.peer_session()), (0xa1, 0xb1));
    assert_eq!((pong.source(), pong.destination(), pong.link(), pong.seq()), (1, 0, 0, 2));
    assert_eq!((pong.session(), pong.peer_session()), (0xb1, 0xa1));
    assert_eq!((pong.at(), pong.config(), pong.hears()), (2 * MS, 0xc0ff_ee00, 0b001));
    assert_eq!(pong.status(), Status::ACTIVE | Status::LEASE | Status::PONG_HEARD);
    assert_eq!((pong.claim(0).epoch, pong.claim(0).state()), (4, ClaimState::Open));
    assert_eq!((pong.claim(7).epoch, pong.claim(7).state()), (2, ClaimState::Open));

    let said = Said::unpack(a.facts_of(1).said.get());
    assert_eq!(said, Said { status: pong.status(), hears: 0b001, config: 0xc0ff_ee00 });
    assert_eq!(a.tables.facts.claims[1][7].get(), pong.claim(7).pack());
    assert_eq!(a.facts_of(1).links[0].ifindex.get(), 3);
}

#[test]
fn the_round_trip_is_that_of_the_last_probe() {
    let (mut a, mut b, _) = pair();
    let first = a.probe(1, 0, 2 * MS);
    let (_, first_pong) = b.receive(&first, 2 * MS + 100);
    let second = a.probe(1, 0, 3 * MS);
    a.receive(&first_pong.unwrap(), 3 * MS + 50);
    assert_eq!(a.facts_of(1).links[0].rtt.get(), 0, "its time of sending is not known any more");
    let (_, second_pong) = b.receive(&second, 3 * MS + 100);
    a.receive(&second_pong.unwrap(), 3 * MS + 200);
    assert_eq!(a.facts_of(1).links[0].rtt.get(), 200);
}

#[test]
fn a_confirmed_pong_ends_the_count_of_unconfirmed_ones() {
    let (mut a, mut b, _) = pair();
    ask(&mut a, &mut b, 0, 2 * MS);
    assert_eq!(b.facts_of(0).links[0].unconfirmed.get(), 0);
    // Nothing comes back to a for deadtime: its probes do not say PONG_HEARD any more.
    for i in 1..=3 {
        let probe = a.probe(1, 0, (10 + i) * MS);
        b.receive(&probe, (10 + i) * MS);
        assert_eq!(b.facts_of(0).links[0].unconfirmed.get(), i);
    }
    ask(&mut a, &mut b, 0, 20 * MS);
    assert_eq!(b.facts_of(0).links[0].unconfirmed.get(), 4, "this one was sent before its pong");
    ask(&mut a, &mut b, 0, 21 * MS);
    assert_eq!(b.facts_of(0).links[0].unconfirmed.get(), 0);
}

#[test]
fn three_nodes_hear_each_other_and_say_so() {
    let mut nodes = [Node::new(0, 0xa1), Node::new(1, 0xb1), Node::new(2, 0xc1)];
    for now in [MS, 2 * MS] {
        for (after, (i, j)) in (1..).zip([(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)]) {
            let [one, other] = nodes.get_disjoint_mut([i, j]).unwrap();
            ask(one, other, 0, now + after);
        }
    }
    for (i, node) in nodes.iter().enumerate() {
        let others = 0b111 & !(1 << i);
        assert_eq!(hears(&node.tables.orders, &node.tables.facts, 2 * MS + 9), others);
        assert_eq!(hears(&node.tables.orders, &node.tables.facts, 9 * MS), 0, "deadtime later");
    }
    // A one-way link is visible: 2 hears 0, and 0 does not hear 2.
    let [zero, one, two] = &mut nodes;
    for i in 0..4 {
        ask(zero, one, 0, (10 + i) * MS);
        two.receive(&zero.probe(2, 0, (10 + i) * MS), (10 + i) * MS);
    }
    assert_eq!(Said::unpack(two.facts_of(0).said.get()).hears & 0b100, 0);
    assert_ne!(hears(&two.tables.orders, &two.tables.facts, 13 * MS) & 0b001, 0);
}

#[test]
fn a_new_life_forgets_the_words_of_the_old_one() {
    let (mut a, b, _) = pair();
    drop(b);
    a.tables.facts.claims[1][3].set(77);
    // The new life's clock begins anew: the machine was restarted.
    let mut b = Node::new(1, 0xb2);
    let (_, pong) = b.receive(&a.probe(1, 0, 500 * MS), 10);
    assert_eq!(a.receive(&pong.unwrap(), 500 * MS).0, Verdict::PongTaken);
    assert_eq!(a.facts_of(1).session.get(), 0xb2);
    assert_eq!(a.facts_of(1).said_at.get(), 10);
    assert_eq!(a.tables.facts.claims[1][3].get(), 0);
    assert_eq!(a.tables.count(EventKind::NodeAdmitted), 2);
    // Its probes, counted from 1 again, are believed.
    let probe = b.probe(0, 0, 20);
    assert_eq!(a.receive(&probe, 501 * MS).0, Verdict::ProbeAnswered);
    assert_eq!(a.facts_of(1).said_at.get(), 20);
}

#[test]
fn life_zero_is_nobodys() {
    let (mut a, mut b) = (Node::new(0, 0xa1), Node::new(1, 0));
    b.tables.orders.gates[0].granted.set(9);
    a.tables.orders.gates[0].granted.set(1);
    a.refuses(&b.probe(0, 0, MS), MS, Verdict::Stale);
    let (_, pong) = b.receive(&a.probe(1, 0, 2 * MS), 2 * MS);
    a.refuses(&pong.unwrap(), 2 * MS, Verdict::Stale);
    assert!(a.tables.is_open(0, 3 * MS));
}
