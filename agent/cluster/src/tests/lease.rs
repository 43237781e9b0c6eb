//! The agent is not scheduled: the kernel fences when the lease is over.

use super::net::Setup;
use super::node::{INITDEAD, KEEPALIVE, LEASE, MS, Runs};
use crate::{Command, Note, Operation, Set};

#[test]
fn the_heir_takes_over_on_the_word_of_the_fenced_kernel() {
    let mut net = Setup::pair().stay().running();
    net.freeze(0);
    let took = net.run_until(LEASE + 2 * KEEPALIVE, |net| net.is_served_by(0, 1));
    assert!(took + KEEPALIVE >= LEASE);
    net.run(5_000 * MS);
    net.thaw(0);
    net.run(10_000 * MS);
    assert!(net.is_served_by(0, 1));
    assert_eq!(net.shared, 0);
    assert_eq!(net.node(0).runs(0), Runs::Down);
    assert_eq!(net.node(0).count(0, Operation::Stop), 1);
    assert_eq!(net.node(0).noted(|n| matches!(n, Note::Fenced { .. })), 1);
}

#[test]
fn with_auto_failback_home_gets_it_back_when_it_is_scheduled_again() {
    let mut net = Setup::pair().running();
    net.freeze(0);
    net.run(5_000 * MS);
    net.plan(0, 0).stop = 4_000 * MS;
    net.thaw(0);
    net.run(3_000 * MS);
    assert!(net.is_served_by(0, 1), "not before its own resources are down");
    net.run(5_000 * MS);
    assert!(net.is_served_by(0, 0));
    assert_eq!(net.node(0).runs(0), Runs::Up);
    assert_eq!(net.shared, 0);
}

#[test]
fn a_sole_survivor_serves_on_and_touches_no_resource() {
    let mut net = Setup::pair().off();
    net.boot(0);
    net.run(INITDEAD + 1_000 * MS);
    assert!(net.is_served_by(0, 0));
    net.freeze(0);
    net.run(20 * LEASE);
    assert!(net.is_served_by(0, 0), "there is nobody to yield to");
    net.thaw(0);
    net.run(1_500 * MS);
    assert!(net.is_served_by(0, 0));
    assert_eq!(net.mark(), 1, "{}", net.describe());
    assert_eq!(net.node(0).count(0, Operation::Stop), 0);
}

#[test]
fn a_survivor_that_lost_its_lease_yields_to_the_first_frame() {
    let mut net = Setup::pair().stay().off();
    net.boot(0);
    net.run(INITDEAD + 1_000 * MS);
    net.freeze(0);
    net.run(4 * LEASE);
    assert!(net.is_served_by(0, 0));
    net.boot(1);
    net.run_until(KEEPALIVE, |net| net.owners(0).is_empty());
    net.run(INITDEAD);
    assert!(net.is_served_by(0, 1), "{}", net.describe());
    net.thaw(0);
    net.run(10_000 * MS);
    assert!(net.is_served_by(0, 1), "{}", net.describe());
    assert_eq!(net.node(0).runs(0), Runs::Down);
    assert_eq!(net.shared, 0);
}

#[test]
fn fenced_in_company_it_stops_its_resources_before_it_serves_again() {
    let mut net = Setup::pair().off();
    // Nobody takes it over: it does not start there.
    net.plan(1, 0).start_fails = true;
    net.boot_all();
    net.run(2_000 * MS);
    net.freeze(1);
    net.run(2 * LEASE);
    net.plan(0, 0).stop = 2_000 * MS;
    net.freeze(0);
    net.run(2 * LEASE);
    assert_eq!(net.owners(0), [], "node 1 is there, though its agent is not");
    net.thaw(0);
    net.run(1_500 * MS);
    assert_eq!(net.owners(0), [], "its resources are not down yet");
    assert_eq!(net.node(0).runs(0), Runs::Stopping);
    net.run_until(4_000 * MS, |net| net.is_served_by(0, 0));
    net.run(1_000 * MS);
    assert_eq!(net.node(0).runs(0), Runs::Up);
}

#[test]
fn fenced_in_the_middle_of_a_move_the_heir_has_it() {
    for delay in [0, 1, 5, 60, 200, 400] {
        let mut net = Setup::pair().stay().running();
        net.plan(0, 0).stop = 300 * MS;
        let id = net.command(0, Command::Standby(Set::All));
        net.run(delay * MS);
        net.freeze(0);
        net.run(3_000 * MS);
        assert!(net.is_served_by(0, 1), "{delay}: {}", net.describe());
        net.thaw(0);
        net.run(10_000 * MS);
        assert!(net.is_served_by(0, 1), "{delay}: {}", net.describe());
        assert!(net.reply(id).is_some(), "{delay}");
        assert_eq!(net.shared, 0, "{delay}");
    }
}

#[test]
fn both_starved_at_once_come_back_to_one_owner() {
    let mut net = Setup::pair().running();
    net.freeze(0);
    net.freeze(1);
    net.run(3_000 * MS);
    assert_eq!(net.owners(0), []);
    net.thaw(1);
    net.run(20 * MS);
    net.thaw(0);
    net.run(20_000 * MS);
    assert_eq!(net.owners(0).len(), 1, "{}", net.describe());
    assert_eq!(net.shared, 0);
}
