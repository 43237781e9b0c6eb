//! The holder dies: the kernel of the next in line takes over.

use super::net::Setup;
use super::node::{DEADTIME, GRACE, INITDEAD, KEEPALIVE, MS, Runs};
use crate::{Note, Operation};

/// Silence, the last unanswered probe, and one look of the kernel's timer.
const TAKEOVER: u64 = DEADTIME + KEEPALIVE + GRACE;

#[test]
fn the_kernel_of_the_heir_takes_over_and_starts_once() {
    let mut net = Setup::pair().running();
    net.crash(0);
    let took = net.run_until(TAKEOVER, |net| net.is_served_by(0, 1));
    assert!(took + KEEPALIVE >= DEADTIME, "not before deadtime: {took}");
    net.run(20_000 * MS);
    assert!(net.is_served_by(0, 1));
    assert_eq!(net.node(1).runs(0), Runs::Up);
    assert_eq!(net.node(1).count(0, Operation::Start), 1);
    assert_eq!(net.node(1).noted(|note| matches!(note, Note::TookOver { .. })), 1);
    assert_eq!(net.node(1).noted(|note| matches!(note, Note::Granted { .. })), 0);
    assert_eq!(net.shared, 0);
}

#[test]
fn a_holder_that_restarts_faster_than_deadtime_has_lost_its_groups() {
    let mut net = Setup::pair().stay().running();
    net.crash(0);
    net.run(DEADTIME / 4);
    net.boot(0);
    net.run_until(2 * KEEPALIVE, |net| net.is_served_by(0, 1));
    net.run(10_000 * MS);
    assert!(net.is_served_by(0, 1));
    assert_eq!(net.shared, 0);
}

#[test]
fn holder_and_heir_die_in_turn() {
    let mut net = Setup::nodes(3).running();
    net.crash(0);
    net.run_until(TAKEOVER, |net| net.is_served_by(0, 1));
    net.run(1_000 * MS);
    net.crash(1);
    net.run_until(TAKEOVER, |net| net.is_served_by(0, 2));
    net.run(10_000 * MS);
    assert!(net.is_served_by(0, 2));
    assert_eq!(net.shared, 0);
    assert_eq!(net.node(2).count(0, Operation::Start), 1);
}

#[test]
fn holder_and_heir_die_at_once() {
    let mut net = Setup::nodes(3).running();
    net.crash(0);
    net.crash(1);
    // If the holder is seen to be dead first, nobody is armed for this: the agent waits for the heir and asks ARP.
    net.run_until(TAKEOVER + 3_000 * MS, |net| net.is_served_by(0, 2));
    net.run(1_000 * MS);
    assert_eq!(net.node(2).count(0, Operation::Start), 1);
}

#[test]
fn the_holder_dies_while_a_third_node_starts() {
    for delay in 0..20 {
        let mut net = Setup::nodes(3).off();
        net.boot(0);
        net.boot(1);
        net.run_until(2 * INITDEAD, |net| net.is_served_by(0, 0));
        net.run(1_000 * MS);
        net.boot(2);
        net.run(delay * 7 * MS);
        net.crash(0);
        net.run_until(TAKEOVER, |net| net.is_served_by(0, 1));
        net.run(10_000 * MS);
        assert!(net.is_served_by(0, 1));
        assert_eq!(net.shared, 0, "{}", net.describe());
    }
}

#[test]
fn an_heir_whose_agent_is_starved_is_passed_over() {
    let mut net = Setup::nodes(3).running();
    net.freeze(1);
    net.run(2_000 * MS);
    net.crash(0);
    net.run_until(TAKEOVER, |net| net.is_served_by(0, 2));
    net.thaw(1);
    net.run(10_000 * MS);
    assert!(net.is_served_by(0, 2));
    assert_eq!(net.shared, 0);
}

#[test]
fn the_dead_holder_comes_back_and_goes_again() {
    let mut net = Setup::pair().running();
    for _ in 0..3 {
        net.crash(0);
        net.run_until(TAKEOVER, |net| net.is_served_by(0, 1));
        net.run(1_000 * MS);
        net.boot(0);
        net.run_until(2_000 * MS, |net| net.is_served_by(0, 0));
        net.run(1_000 * MS);
    }
    assert_eq!(net.shared, 0);
}
