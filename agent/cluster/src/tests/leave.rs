//! A node that is told to stop.

use super::net::Setup;
use super::node::{DEADTIME, MS, Runs};
use crate::{Command, Operation, Set};

#[test]
fn stop_hands_over_and_ends() {
    let mut net = Setup::pair().homes(&[0, 1]).running();
    let id = net.command(0, Command::Stop);
    net.run_until(1_000 * MS, |net| net.node(0).exited);
    assert_eq!(net.reply(id).cloned(), Some(Ok(crate::Done::Stopped)));
    assert!(net.is_served_by(0, 1), "handed over before it ends");
    net.run(10_000 * MS);
    assert!(net.is_served_by(0, 1) && net.is_served_by(1, 1));
    assert_eq!(net.node(0).count(0, Operation::Stop), 1);
    assert_eq!(net.shared, 0);
    // And it comes back.
    net.boot(0);
    net.run(5_000 * MS);
    assert!(net.is_served_by(0, 0) && net.is_served_by(1, 1));
}

#[test]
fn alone_stop_gives_up_and_ends() {
    let mut net = Setup::pair().running();
    net.crash(1);
    net.run(2 * DEADTIME);
    let id = net.command(0, Command::Stop);
    net.run_until(1_000 * MS, |net| net.node(0).exited);
    assert!(matches!(net.reply(id), Some(Ok(_))));
    assert_eq!(net.node(0).count(0, Operation::Stop), 1);
    assert_eq!(net.owners(0), []);
}

#[test]
fn stop_before_the_start_is_over_ends_at_once() {
    let mut net = Setup::pair().off();
    net.boot(0);
    net.run(100 * MS);
    net.command(0, Command::Stop);
    assert!(net.node(0).exited);
}

#[test]
fn both_stop_at_once() {
    let mut net = Setup::pair().homes(&[0, 1]).running();
    let ids = [net.command(0, Command::Stop), net.command(1, Command::Stop)];
    net.run_until(10_000 * MS, |net| net.node(0).exited && net.node(1).exited);
    for id in ids {
        assert!(matches!(net.reply(id), Some(Ok(_))));
    }
    for (node, group) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        assert_eq!(net.node(node).runs(group), Runs::Down);
    }
    assert_eq!(net.shared, 0);
}

#[test]
fn stop_ends_also_when_the_heir_never_gets_ready() {
    let mut net = Setup::pair().running();
    // It hears nothing any more, but is heard: willing by its word, armed against an older epoch at best.
    net.cut_one_way(0, 1);
    net.freeze(1);
    net.command(0, Command::Stop);
    net.run_until(20_000 * MS, |net| net.node(0).exited);
}

#[test]
fn stop_twice_is_answered_twice() {
    let mut net = Setup::pair().running();
    net.plan(0, 0).stop = 1_000 * MS;
    let ids = [net.command(0, Command::Stop), net.command(0, Command::Stop)];
    net.run(5_000 * MS);
    for id in ids {
        assert!(matches!(net.reply(id), Some(Ok(_))), "{id}: {:?}", net.reply(id));
    }
}

#[test]
fn commands_that_wait_are_answered_before_it_ends() {
    let mut net = Setup::pair().running();
    net.plan(0, 0).stop = 1_000 * MS;
    let standby = net.command(0, Command::Standby(Set::All));
    let takeover = net.command(1, Command::Takeover(Set::All));
    net.command(0, Command::Stop);
    net.command(1, Command::Stop);
    net.run_until(20_000 * MS, |net| net.node(0).exited && net.node(1).exited);
    assert!(net.reply(standby).is_some() && net.reply(takeover).is_some());
}

#[test]
fn slow_scripts_are_waited_for() {
    let mut net = Setup::pair().running();
    net.plan(0, 0).stop = 30_000 * MS;
    net.command(0, Command::Stop);
    net.run(20_000 * MS);
    assert!(!net.node(0).exited && net.is_served_by(0, 0));
    net.run(11_000 * MS);
    assert!(net.node(0).exited && net.is_served_by(0, 1));
    assert_eq!(net.shared, 0);
}
