//! Resources that do not start or stop.

use super::net::Setup;
use super::node::{MS, Runs};
use crate::{Command, GroupId, Input, Note, Operation, Set};

#[test]
fn a_group_that_does_not_start_goes_to_the_other_and_stays_there() {
    let mut net = Setup::pair().off();
    net.plan(0, 0).start_fails = true;
    net.boot_all();
    net.run(60_000 * MS);
    assert!(net.is_served_by(0, 1));
    assert_eq!(net.node(1).runs(0), Runs::Up);
    assert_eq!(net.node(0).count(0, Operation::Start), 1);
    assert_eq!(net.node(1).count(0, Operation::Start), 1);
    assert_eq!(net.node(0).failure(0).as_deref(), Some("Start of 0 failed"));
    assert_eq!(net.shared, 0);
    assert_eq!(net.mark(), 3, "{}", net.describe());
}

#[test]
fn a_group_that_starts_nowhere_is_stopped_and_said_to_have_failed() {
    let mut net = Setup::nodes(3).off();
    for node in 0..3 {
        net.plan(node, 0).start_fails = true;
    }
    net.boot_all();
    net.run(60_000 * MS);
    assert_eq!(net.owners(0), []);
    for node in net.ids() {
        assert_eq!(net.node(node).runs(0), Runs::Down);
        assert_eq!(net.node(node).count(0, Operation::Start), 1, "node {node}");
        assert_eq!(net.node(node).failure(0).as_deref(), Some("Start of 0 failed"));
    }
    // The operator repairs it and says so.
    net.plan(1, 0).start_fails = false;
    let id = net.command(1, Command::Takeover(Set::All));
    net.run(5_000 * MS);
    assert!(matches!(net.reply(id), Some(Ok(_))), "{:?}", net.reply(id));
    assert!(net.is_served_by(0, 1));
}

#[test]
fn alone_a_group_that_does_not_start_is_given_up() {
    let mut net = Setup::pair().off();
    net.plan(0, 0).start_fails = true;
    net.boot(0);
    net.run(60_000 * MS);
    assert_eq!(net.owners(0), []);
    assert_eq!(net.node(0).count(0, Operation::Start), 1);
    assert_eq!(net.node(0).noted(|n| matches!(n, Note::Resigned { to: None, .. })), 1);
    // A second node comes: it may try.
    net.boot(1);
    net.run(10_000 * MS);
    assert!(net.is_served_by(0, 1), "{}", net.describe());
}

#[test]
fn a_failed_stop_is_said_and_the_group_goes_on_elsewhere() {
    let mut net = Setup::pair().running();
    net.plan(0, 0).stop_fails = true;
    let id = net.command(0, Command::Standby(Set::All));
    net.run(30_000 * MS);
    assert!(net.is_served_by(0, 1));
    assert_eq!(net.node(0).failure(0).as_deref(), Some("Stop of 0 failed"));
    assert!(matches!(net.reply(id), Some(Err(_))), "{:?}", net.reply(id));
    assert_eq!(net.mark(), 3);
}

#[test]
fn one_of_two_groups_fails_and_the_other_does_not_care() {
    let mut net = Setup::pair().homes(&[0, 0]).off();
    net.plan(0, 1).start_fails = true;
    net.boot_all();
    net.run(10_000 * MS);
    assert!(net.is_served_by(0, 0) && net.is_served_by(1, 1));
    assert_eq!(net.node(0).count(0, Operation::Stop), 0);
}

#[test]
fn a_holder_that_dies_during_its_start_is_followed() {
    let mut net = Setup::pair().off();
    net.plan(0, 0).start = 5_000 * MS;
    net.boot_all();
    net.run(1_000 * MS);
    net.crash(0);
    net.run(2_000 * MS);
    assert!(net.is_served_by(0, 1));
    assert_eq!(net.node(1).runs(0), Runs::Up);
}

fn ails(group: GroupId) -> Input {
    Input::Monitored { group, outcome: Err("web is dead".into()) }
}

#[test]
fn a_group_whose_resource_died_moves_once_and_stays_there() {
    let mut net = Setup::pair().running();
    net.input(0, ails(0));
    net.run(30_000 * MS);
    assert!(net.is_served_by(0, 1));
    assert_eq!(net.node(0).failure(0).as_deref(), Some("web is dead"));
    // There it dies too: the first node has had its turn.
    net.input(1, ails(0));
    net.run(30_000 * MS);
    assert!(net.is_served_by(0, 1), "it went where it died before: {}", net.describe());
    assert_eq!((net.node(0).count(0, Operation::Start), net.node(1).count(0, Operation::Start)), (1, 1));
    assert_eq!(net.mark(), 3);
}

#[test]
fn alone_a_group_whose_resource_died_stays_until_somebody_can_take_it() {
    let mut net = Setup::pair().off();
    net.boot(0);
    net.run(30_000 * MS);
    assert!(net.is_served_by(0, 0));
    net.input(0, ails(0));
    net.run(10_000 * MS);
    assert!(net.is_served_by(0, 0));
    assert_eq!(net.node(0).noted(|note| matches!(note, Note::Ailing { what: Some(_), .. })), 1);
    assert_eq!(net.node(0).failure(0).as_deref(), Some("web is dead"));
    net.boot(1);
    net.run(30_000 * MS);
    assert!(net.is_served_by(0, 1), "{}", net.describe());
}

#[test]
fn a_resource_that_recovers_in_time_moves_nothing() {
    let mut net = Setup::pair().off();
    net.boot(0);
    net.run(30_000 * MS);
    net.input(0, ails(0));
    net.input(0, Input::Monitored { group: 0, outcome: Ok(()) });
    assert_eq!(net.node(0).failure(0), None);
    net.boot(1);
    net.run(30_000 * MS);
    assert!(net.is_served_by(0, 0), "{}", net.describe());
    assert_eq!(net.node(0).count(0, Operation::Stop), 0);
}

#[test]
fn what_a_monitor_says_of_a_group_that_is_not_up_is_old_news() {
    let mut net = Setup::pair().running();
    net.input(1, ails(0));
    net.run(10_000 * MS);
    assert!(net.is_served_by(0, 0));
    assert_eq!(net.node(1).failure(0), None);
}
