//! Many groups, spread over the nodes: every page of a frame is used.

use std::vec::Vec;

use super::net::{Net, Setup};
use super::node::{DEADTIME, GRACE, KEEPALIVE, MS, Runs};
use crate::{Command, NodeId, Set};

fn spread(nodes: usize) -> Setup {
    let homes: Vec<NodeId> = (0..20).map(|group| (group % nodes) as NodeId).collect();
    Setup::nodes(nodes).homes(&homes)
}

#[track_caller]
fn assert_at_home(net: &Net) {
    for group in net.groups() {
        let home = net.node(0).config.groups[group as usize].home;
        assert!(net.is_served_by(group, home), "group {group}:\n{}", net.describe());
        assert_eq!(net.node(home).runs(group), Runs::Up, "group {group}");
    }
}

#[test]
fn twenty_groups_on_two_nodes_change_sides_and_come_back() {
    let mut net = spread(2).running();
    net.crash(0);
    net.run_until(DEADTIME + KEEPALIVE + GRACE, |net| net.groups().all(|g| net.is_served_by(g, 1)));
    net.run(1_000 * MS);
    net.boot(0);
    net.run(5_000 * MS);
    assert_at_home(&net);
    assert_eq!(net.shared, 0);
}

#[test]
fn twenty_groups_on_four_nodes_survive_two_deaths() {
    let mut net = spread(4).running();
    net.crash(1);
    net.run(2_000 * MS);
    net.crash(2);
    net.run(2_000 * MS);
    for group in net.groups() {
        assert_eq!(net.owners(group).len(), 1, "group {group}:\n{}", net.describe());
    }
    net.boot(1);
    net.boot(2);
    net.run(10_000 * MS);
    assert_at_home(&net);
    assert_eq!(net.shared, 0);
}

#[test]
fn all_of_them_given_away_by_one_command_get_one_answer() {
    let mut net = spread(2).running();
    let id = net.command(1, Command::Takeover(Set::All));
    net.run(3_000 * MS);
    assert!(matches!(net.reply(id), Some(Ok(_))), "{:?}", net.reply(id));
    assert!(net.groups().all(|group| net.is_served_by(group, 1)));
    let id = net.command(1, Command::Standby(Set::Foreign));
    net.run(3_000 * MS);
    assert!(matches!(net.reply(id), Some(Ok(_))), "{:?}", net.reply(id));
    assert_at_home(&net);
    assert_eq!(net.shared, 0);
}

#[test]
fn five_nodes_start_together() {
    let mut net = spread(5).running();
    assert_at_home(&net);
    let mark = net.mark();
    net.run(20_000 * MS);
    assert_eq!(net.mark(), mark);
    assert_eq!(mark, 20);
}
