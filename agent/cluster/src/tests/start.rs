//! Starts: together, one after the other, alone, beside strangers.

use super::net::Setup;
use super::node::{ASKING, DEADTIME, INITDEAD, KEEPALIVE, MS, Runs};
use crate::{Note, Operation};

const PATIENCE: u64 = 2_000 * MS;

#[test]
fn both_start_together_and_home_serves() {
    let mut net = Setup::pair().off();
    net.boot_all();
    let took = net.run_until(INITDEAD, |net| net.is_served_by(0, 0));
    assert!(took < 2 * KEEPALIVE, "nobody waits for initdead when every node is heard: {took}");
    net.run(20_000 * MS);
    assert!(net.is_served_by(0, 0));
    assert_eq!(net.mark(), 1, "{}", net.describe());
    assert_eq!(net.node(0).runs(0), Runs::Up);
    assert_eq!(net.node(1).count(0, Operation::Start), 0);
    for node in &net.nodes {
        assert_eq!(node.noted(|note| *note == Note::Active { alone: false }), 1);
    }
}

#[test]
fn one_alone_waits_initdead_asks_arp_and_serves() {
    let mut net = Setup::pair().off();
    net.boot(1);
    let took = net.run_until(2 * INITDEAD, |net| net.is_served_by(0, 1));
    assert!((INITDEAD + ASKING..INITDEAD + ASKING + KEEPALIVE).contains(&took), "{took}");
    assert_eq!(net.node(1).noted(|note| *note == Note::Active { alone: true }), 1);
    net.run(1_000 * MS);
    assert_eq!(net.node(1).runs(0), Runs::Up);
}

#[test]
fn a_stranger_that_answers_arp_keeps_it_back_until_he_stops() {
    let mut net = Setup::pair().off();
    net.strangers.push(0);
    net.boot(0);
    net.run(INITDEAD + 5 * PATIENCE);
    assert_eq!(net.owners(0), []);
    let occupied = net.node(0).noted(|note| *note == Note::Occupied(0));
    assert!((3..=6).contains(&occupied), "asked again now and then: {occupied}");
    net.strangers.clear();
    net.run_until(PATIENCE + 2 * ASKING, |net| net.is_served_by(0, 0));
}

#[test]
fn the_second_to_start_takes_its_groups_back_from_the_first() {
    let mut net = Setup::pair().homes(&[0, 1]).off();
    net.boot(1);
    net.run_until(2 * INITDEAD, |net| net.is_served_by(0, 1) && net.is_served_by(1, 1));
    net.run(1_000 * MS);
    net.boot(0);
    net.run_until(2_000 * MS, |net| net.is_served_by(0, 0) && net.is_served_by(1, 1));
    net.run(20_000 * MS);
    assert!(net.is_served_by(0, 0) && net.is_served_by(1, 1));
    assert_eq!(net.shared, 0);
}

#[test]
fn the_second_starts_within_the_first_ones_initdead() {
    let mut net = Setup::pair().off();
    net.boot(1);
    net.run(INITDEAD / 2);
    net.boot(0);
    net.run_until(2 * KEEPALIVE, |net| net.is_served_by(0, 0));
    net.run(10_000 * MS);
    assert_eq!(net.mark(), 1);
}

#[test]
fn with_scripts_that_take_long_nobody_else_starts_them() {
    let mut net = Setup::pair().off();
    net.plan(0, 0).start = 30_000 * MS;
    net.boot_all();
    net.run(40_000 * MS);
    assert_eq!(net.node(0).runs(0), Runs::Up);
    assert_eq!(net.node(1).count(0, Operation::Start), 0);
    assert_eq!(net.mark(), 1);
}

#[test]
fn nodes_with_different_configurations_do_not_both_serve() {
    let mut net = Setup::pair().homes(&[0, 1]).off();
    net.nodes[1].digest = 8;
    net.boot_all();
    net.run(INITDEAD + 10_000 * MS);
    assert!(net.is_served_by(0, 0), "{}", net.describe());
    assert!(net.is_served_by(1, 0), "nobody else can: {}", net.describe());
    assert_eq!(net.node(1).noted(|note| *note == Note::Held { node: 0, key: false }), 1);
    assert_eq!(net.node(0).noted(|note| *note == Note::ConfigDiffers(1)), 1);
    assert_eq!(net.mark(), 2, "{}", net.describe());

    // When the first is gone the second may start.
    net.crash(0);
    net.run_until(DEADTIME + KEEPALIVE + 2 * PATIENCE, |net| {
        net.is_served_by(0, 1) && net.is_served_by(1, 1)
    });
}

#[test]
fn nodes_with_different_keys_do_not_both_serve() {
    for first in [0, 1] {
        let mut net = Setup::pair().off();
        net.nodes[1].secret = "another";
        net.boot(first);
        net.run(50 * MS);
        net.boot(1 - first);
        net.run(INITDEAD + 60_000 * MS);
        assert_eq!(net.owners(0), [0], "{}", net.describe());
        assert_eq!(net.mark(), 1, "{}", net.describe());
        assert_eq!(net.node(1).noted(|note| *note == Note::Held { node: 0, key: true }), 1);

        net.crash(0);
        net.run_until(20_000 * MS, |net| net.is_served_by(0, 1));
    }
}

#[test]
fn a_node_that_comes_with_another_key_changes_nothing() {
    for old in [0, 1] {
        let mut net = Setup::pair().off();
        net.boot(old);
        net.run_until(2 * INITDEAD, |net| net.is_served_by(0, old));
        let mark = net.mark();
        net.nodes[usize::from(1 - old)].secret = "another";
        net.boot(1 - old);
        net.run(60_000 * MS);
        assert!(net.is_served_by(0, old));
        assert_eq!(net.mark(), mark, "{}", net.describe());
    }
}
