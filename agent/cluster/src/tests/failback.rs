//! The home node returns.

use super::net::{Net, Setup};
use super::node::{DEADTIME, INITDEAD, MS, Runs};
use crate::{Command, Input, Note, Operation, Set, Why};

fn home_was_away(setup: Setup) -> Net {
    let mut net = setup.running();
    net.crash(0);
    net.run_until(1_000 * MS, |net| net.is_served_by(0, 1));
    net.run(1_000 * MS);
    net.boot(0);
    net
}

#[test]
fn with_auto_failback_home_gets_its_group_by_a_planned_move() {
    let mut net = home_was_away(Setup::pair());
    net.run_until(2_000 * MS, |net| net.is_served_by(0, 0));
    net.run(20_000 * MS);
    assert!(net.is_served_by(0, 0));
    assert_eq!(net.shared, 0);
    assert_eq!(net.node(0).count(0, Operation::Start), 1);
    assert_eq!(net.node(1).count(0, Operation::Stop), 1);
    assert_eq!(net.node(1).noted(|n| matches!(n, Note::Moving { why: Why::Failback, .. })), 1);
}

#[test]
fn the_address_is_on_nobody_for_a_frames_flight_only() {
    let mut net = home_was_away(Setup::pair());
    net.run_until(2_000 * MS, |net| net.is_served_by(0, 0));
    let [closed, opened] = net.changes[net.mark() - 2..] else { panic!() };
    assert!(!closed.open && opened.open);
    assert!(opened.at - closed.at <= 2 * MS, "{closed:?} {opened:?}");
}

#[test]
fn without_auto_failback_it_stays() {
    let mut net = home_was_away(Setup::pair().stay());
    let mark = net.mark();
    net.run(60_000 * MS);
    assert!(net.is_served_by(0, 1));
    assert_eq!(net.mark(), mark);
}

fn rules(auto_failback: bool) -> Input {
    Input::Rules { auto_failback, initdead: INITDEAD, deadtime: DEADTIME, damping: DEADTIME }
}

#[test]
fn a_rule_that_is_turned_on_is_for_nodes_that_return_from_then_on() {
    let mut net = home_was_away(Setup::pair().stay());
    net.run(1_000 * MS);
    let mark = net.mark();
    for node in net.ids() {
        net.input(node, rules(true));
    }
    net.run(60_000 * MS);
    assert!(net.is_served_by(0, 1));
    assert_eq!(net.mark(), mark);
    net.crash(0);
    net.run(1_000 * MS);
    net.boot(0);
    net.run_until(2_000 * MS, |net| net.is_served_by(0, 0));
}

#[test]
fn a_rule_that_is_turned_off_keeps_groups_where_they_are() {
    let mut net = Setup::pair().running();
    for node in net.ids() {
        net.input(node, rules(false));
    }
    net.crash(0);
    net.run_until(1_000 * MS, |net| net.is_served_by(0, 1));
    net.boot(0);
    net.run(60_000 * MS);
    assert!(net.is_served_by(0, 1));
}

#[test]
fn home_that_comes_while_the_scripts_still_start_waits_for_them() {
    let mut net = Setup::pair().off();
    net.plan(1, 0).start = 10_000 * MS;
    net.boot(1);
    net.run_until(2 * INITDEAD, |net| net.is_served_by(0, 1));
    net.boot(0);
    net.run(5_000 * MS);
    assert!(net.is_served_by(0, 1));
    net.run(10_000 * MS);
    assert!(net.is_served_by(0, 0));
    assert_eq!(net.shared, 0);
}

#[test]
fn a_standby_of_home_after_a_failback_does_not_bounce_back() {
    let mut net = home_was_away(Setup::pair());
    net.run_until(2_000 * MS, |net| net.is_served_by(0, 0));
    net.run(1_000 * MS);
    let id = net.command(0, Command::Standby(Set::All));
    net.run_until(2_000 * MS, |net| net.reply(id).is_some());
    assert!(net.is_served_by(0, 1));
    let mark = net.mark();
    net.run(60_000 * MS);
    assert!(net.is_served_by(0, 1));
    assert_eq!(net.mark(), mark);
}

#[test]
fn a_standby_after_home_was_lost_from_sight_for_a_while_does_not_bounce_back() {
    let mut net = Setup::pair().running();
    // Node 1 would not take the group, so home serves through the silence and its claim never changes.
    net.plan(1, 0).start_fails = true;
    let id = net.command(1, Command::Takeover(Set::All));
    net.run_until(5_000 * MS, |net| net.reply(id).is_some() && net.is_served_by(0, 0));
    net.run(1_000 * MS);
    net.cut(0, 1);
    net.run(2_000 * MS);
    net.heal();
    net.run(1_000 * MS);
    assert!(net.is_served_by(0, 0));
    net.plan(1, 0).start_fails = false;
    net.command(1, Command::Takeover(Set::All));
    net.run(2_000 * MS);
    assert!(net.is_served_by(0, 1));
    net.run(20_000 * MS);
    assert!(net.is_served_by(0, 1), "{}", net.describe());
}

#[test]
fn a_failback_that_was_given_up_is_tried_again() {
    let mut net = home_was_away(Setup::pair());
    net.run_until(2_000 * MS, |net| net.node(1).noted(|n| matches!(n, Note::Moving { .. })) == 1);
    // Starved just now, with a lease that is still good: it never arms.
    net.freeze(0);
    net.run(10_000 * MS);
    net.thaw(0);
    net.run_until(5_000 * MS, |net| net.is_served_by(0, 0));
    net.run(10_000 * MS);
    assert_eq!(net.node(0).runs(0), Runs::Up);
    assert_eq!(net.shared, 0);
}
