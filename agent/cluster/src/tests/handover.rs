//! Planned moves of groups whose addresses may be up on two nodes while the gates change hands.

use std::vec::Vec;

use super::net::{Net, Setup};
use super::node::{MS, Runs};
use crate::{Command, Instant, NodeId, Note, Operation, Set};

fn pair() -> Net {
    Setup::pair().hands_over().running()
}

/// When `node` was asked for the operation, which it was once.
#[track_caller]
fn asked_for(net: &Net, node: NodeId, operation: Operation) -> Instant {
    let calls: Vec<_> = net.node(node).calls.iter().filter(|call| call.2 == operation).collect();
    assert_eq!(calls.len(), 1, "node {node}: {operation:?}");
    calls[0].0
}

#[test]
fn the_heir_is_ready_before_the_holder_resigns_and_the_holder_lets_go_after() {
    let mut net = pair();
    let id = net.command(0, Command::Standby(Set::All));
    net.run_until(1_000 * MS, |net| net.reply(id).is_some());
    net.run(1_000 * MS);
    assert!(matches!(net.reply(id), Some(Ok(_))));
    assert!(net.is_served_by(0, 1));
    assert_eq!((net.node(0).runs(0), net.node(1).runs(0)), (Runs::Down, Runs::Up));
    assert_eq!(net.shared, 0);

    let resigned = net.node(0).notes.iter().find(|(_, note)| matches!(note, Note::Resigned { .. }));
    let resigned = resigned.expect("it resigned").0;
    let prepared = asked_for(&net, 1, Operation::Ready);
    let cleared = asked_for(&net, 0, Operation::Ready);
    let (released, started) = (asked_for(&net, 0, Operation::Stop), asked_for(&net, 1, Operation::Start));
    assert!(prepared < cleared && cleared < resigned, "{prepared} {cleared} {resigned}");
    assert!(resigned <= released && resigned < started, "{resigned} {released} {started}");
}

#[test]
fn a_holder_whose_other_resources_do_not_stop_gives_the_group_up() {
    let mut net = pair();
    net.plan(0, 0).stop_fails = true;
    net.command(0, Command::Standby(Set::All));
    net.run(10_000 * MS);
    assert!(net.is_served_by(0, 1), "as after a stop that fails: {}", net.describe());
    assert!(net.node(0).failure(0).is_some());
    assert_eq!(net.shared, 0);
}

#[test]
fn a_holder_that_dies_in_the_middle_leaves_a_ready_heir() {
    let mut net = pair();
    net.plan(0, 0).stop = 500 * MS;
    net.command(0, Command::Standby(Set::All));
    net.run_until(1_000 * MS, |net| net.node(1).runs(0) == Runs::Ready);
    net.crash(0);
    net.run(5_000 * MS);
    assert!(net.is_served_by(0, 1));
    assert_eq!(net.node(1).runs(0), Runs::Up);
    assert_eq!(net.shared, 0);
}

#[test]
fn an_heir_that_dies_in_the_middle_leaves_the_group_where_it_was() {
    let mut net = pair();
    net.plan(0, 0).stop = 500 * MS;
    net.command(0, Command::Standby(Set::All));
    net.run_until(1_000 * MS, |net| net.node(0).runs(0) == Runs::Clearing);
    net.crash(1);
    net.run(5_000 * MS);
    assert!(net.is_served_by(0, 0));
    assert_eq!(net.node(0).runs(0), Runs::Up);
    assert_eq!(net.shared, 0);
}

#[test]
fn who_is_not_named_any_more_lets_the_addresses_go() {
    let mut net = pair();
    net.plan(0, 0).stop = 500 * MS;
    let id = net.command(0, Command::Standby(Set::All));
    net.run_until(1_000 * MS, |net| net.node(1).runs(0) == Runs::Ready);
    // The heir's own agent goes down before it got the group.
    net.command(1, Command::Stop);
    net.run(10_000 * MS);
    assert!(net.reply(id).is_some());
    assert_eq!(net.owners(0), [0], "{}", net.describe());
    assert_eq!((net.node(0).runs(0), net.node(1).runs(0)), (Runs::Up, Runs::Down));
    assert_eq!(net.shared, 0);
}

#[test]
fn a_group_that_stays_whole_until_it_resigns_needs_no_preparation() {
    // Each node by its own means: the other need not have kernel gates.
    for own in [0, 1] {
        let mut net = Setup::pair().hands_over().off();
        net.nodes[own].config.groups[0].hands_over = false;
        net.boot_all();
        net.run(2_000 * MS);
        let id = net.command(0, Command::Standby(Set::All));
        net.run(2_000 * MS);
        assert!(matches!(net.reply(id), Some(Ok(_))), "{:?}", net.reply(id));
        assert!(net.is_served_by(0, 1));
        assert_eq!(net.node(own as NodeId).count(0, Operation::Ready), 0);
        assert_eq!(net.shared, 0);
    }
}
