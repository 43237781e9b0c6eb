//! Voices from outside: who sees more of a group's network serves it, and nothing flaps.

use reflex::{Reach, Sight};

use super::net::{Net, Setup};
use super::node::{DEADTIME, KEEPALIVE, MS};
use crate::{Note, Why};

/// The harness's damping of ping nodes.
const DAMPING: u64 = DEADTIME;

fn pings(count: u8) -> Sight {
    Sight::default().pinging(Some(count))
}

fn reach(reach: Reach) -> Sight {
    Sight::default().reaches(reach, true).doubting(true)
}

fn both(net: &mut Net, one: Sight, other: Sight) {
    net.see(0, 0, one);
    net.see(1, 0, other);
}

fn moves(net: &Net, why: Why) -> usize {
    net.nodes
        .iter()
        .map(|node| node.noted(|n| matches!(n, Note::Moving { why: found, .. } if *found == why)))
        .sum()
}

#[test]
fn a_blinded_owner_hands_over_after_the_damping() {
    let mut net = Setup::pair().running();
    both(&mut net, pings(2), pings(2));
    net.run(10 * DAMPING);
    assert!(net.is_served_by(0, 0));
    net.see(0, 0, pings(1));
    net.run(DAMPING - MS);
    assert!(net.is_served_by(0, 0), "not before the damping is over");
    net.run_until(KEEPALIVE, |net| net.is_served_by(0, 1));
    net.run(5_000 * MS);
    assert_eq!((moves(&net, Why::Blind), net.shared), (1, 0));
}

#[test]
fn a_deaf_owner_closes_first_and_its_scripts_stop_after() {
    let mut net = Setup::pair().running();
    net.plan(0, 0).stop = 1_000 * MS;
    both(&mut net, reach(Reach::Deaf), reach(Reach::Answered));
    let took = net.run_until(KEEPALIVE, |net| net.is_served_by(0, 1));
    assert!(took < 20 * MS, "{took} ns");
    net.run(5_000 * MS);
    assert_eq!((moves(&net, Why::Deaf), net.shared), (1, 0));
}

#[test]
fn nothing_moves_when_the_standby_is_blind_or_both_are_or_one_does_not_know() {
    let none = Sight::default();
    for (one, other) in [
        (pings(1), pings(0)),
        (pings(0), pings(0)),
        (none, pings(3)),
        (pings(0), none),
        (reach(Reach::Answered), reach(Reach::Deaf)),
        (reach(Reach::Deaf), reach(Reach::Deaf)),
        (reach(Reach::Deaf), none),
        (none, reach(Reach::Answered)),
        (Sight::default().reaches(Reach::Hears, false), reach(Reach::Answered)),
        // The other node's port was healed this moment, and ours answered it.
        (reach(Reach::Hears), reach(Reach::Answered).doubting(false)),
    ] {
        let mut net = Setup::pair().running();
        let mark = net.mark();
        both(&mut net, one, other);
        net.run(60_000 * MS);
        assert_eq!(net.mark(), mark, "{one:?} {other:?}");
    }
}

#[test]
fn a_gateway_that_flaps_for_both_moves_nothing() {
    let mut net = Setup::pair().running();
    let mark = net.mark();
    for round in 0..100u64 {
        let seen = pings((round % 2) as u8);
        // They notice one after the other, now this one first, now that one.
        let first = (round / 2 % 2) as u8;
        net.see(first, 0, seen);
        net.run(DAMPING * 4 / 5);
        net.see(1 - first, 0, seen);
        net.run(300 * MS);
    }
    assert_eq!(net.mark(), mark);
}

#[test]
fn a_gateway_that_flaps_for_the_owner_moves_the_group_once() {
    let mut net = Setup::pair().running();
    both(&mut net, pings(1), pings(1));
    for _ in 0..100 {
        net.see(0, 0, pings(0));
        net.run(2 * DAMPING);
        net.see(0, 0, pings(1));
        net.run(2 * DAMPING);
    }
    assert!(net.is_served_by(0, 1));
    assert_eq!((moves(&net, Why::Blind), moves(&net, Why::Failback)), (1, 0));
    // Well for a while, it gets its group back.
    net.run_until(11_000 * MS, |net| net.is_served_by(0, 0));
    assert_eq!((moves(&net, Why::Failback), net.shared), (1, 0));
}

#[test]
fn no_group_goes_home_to_a_node_that_sees_less() {
    for stay in [false, true] {
        let mut net = if stay { Setup::pair().stay() } else { Setup::pair() }.running();
        net.crash(0);
        net.run_until(2 * DEADTIME, |net| net.is_served_by(0, 1));
        net.see(1, 0, pings(1));
        net.boot(0);
        net.see(0, 0, pings(0));
        net.run(60_000 * MS);
        assert!(net.is_served_by(0, 1));
        net.see(0, 0, pings(1));
        net.run(9_000 * MS);
        assert!(net.is_served_by(0, 1), "seen as much for a while first");
        net.run(3_000 * MS);
        assert!(net.is_served_by(0, u8::from(stay)), "auto_failback off: {stay}");
    }
}

#[test]
fn of_three_the_one_that_sees_more_is_the_heir_and_a_blind_one_is_better_than_none() {
    let mut net = Setup::nodes(3).stay().running();
    for (node, seen) in [(0, pings(1)), (1, pings(0)), (2, pings(1))] {
        net.see(node, 0, seen);
    }
    net.run(2 * KEEPALIVE);
    assert_eq!(net.node(0).cluster.report()[0].heir, Some(2));
    net.crash(0);
    net.run_until(2 * DEADTIME, |net| net.is_served_by(0, 2));
    net.run(2_000 * MS);
    net.crash(2);
    net.run_until(2 * DEADTIME, |net| net.is_served_by(0, 1));
}

#[test]
fn a_start_goes_to_the_node_that_sees() {
    let mut net = Setup::pair().off();
    net.boot(0);
    net.see(0, 0, pings(0));
    net.boot(1);
    net.see(1, 0, pings(1));
    net.run_until(3_000 * MS, |net| net.is_served_by(0, 1));
}
