//! Partitions: both sides serve, and the first frame after it settles the matter.

use reflex::Reason;

use super::net::{Net, Setup};
use super::node::{DEADTIME, KEEPALIVE, MS, Runs};
use crate::Note;

fn split() -> Net {
    let mut net = Setup::pair().stay().running();
    net.cut(0, 1);
    net.run(DEADTIME * 3);
    assert_eq!(net.owners(0), [0, 1], "neither can know of the other");
    net
}

#[test]
fn after_a_partition_the_higher_epoch_keeps_the_group() {
    let mut net = split();
    net.heal();
    net.run_until(KEEPALIVE + 2 * MS, |net| net.is_served_by(0, 1));
    net.run(20_000 * MS);
    assert!(net.is_served_by(0, 1));
    assert_eq!(net.node(0).runs(0), Runs::Down);
    assert_eq!(net.node(1).runs(0), Runs::Up);
    let fenced = |note: &Note| *note == Note::Fenced { group: 0, reason: Reason::HigherEpoch };
    assert_eq!(net.node(0).noted(fenced), 1);
    assert_eq!(net.shared, 1);
}

#[test]
fn after_a_partition_with_auto_failback_home_has_it_in_the_end() {
    let mut net = Setup::pair().running();
    net.cut(0, 1);
    net.run(DEADTIME * 3);
    net.heal();
    net.run_until(5_000 * MS, |net| net.is_served_by(0, 0));
    net.run(20_000 * MS);
    assert!(net.is_served_by(0, 0));
    assert_eq!(net.shared, 1);
}

#[test]
fn equal_epochs_are_kept_by_the_lower_index() {
    let mut net = Setup::pair().stay().off();
    net.cut(0, 1);
    net.boot_all();
    net.run(10_000 * MS);
    assert_eq!(net.owners(0), [0, 1], "{}", net.describe());
    net.heal();
    net.run_until(3 * KEEPALIVE, |net| net.is_served_by(0, 0));
    net.run(20_000 * MS);
    assert!(net.is_served_by(0, 0));
    assert_eq!(net.node(1).runs(0), Runs::Down);
}

#[test]
fn a_link_that_carries_one_way_only_leaves_one_owner() {
    for (from, to) in [(0, 1), (1, 0)] {
        let mut net = Setup::pair().running();
        net.cut_one_way(from, to);
        net.run(30_000 * MS);
        assert_eq!(net.owners(0).len(), 1, "{from} to {to}: {}", net.describe());
        let mark = net.mark();
        net.run(30_000 * MS);
        assert_eq!(net.mark(), mark, "{from} to {to}: {}", net.describe());
        net.heal();
        net.run(20_000 * MS);
        assert!(net.is_served_by(0, 0), "{from} to {to}: {}", net.describe());
    }
}

#[test]
fn three_nodes_of_which_one_is_cut_off() {
    for lost in 0..3 {
        let mut net = Setup::nodes(3).homes(&[0, 1, 2]).running();
        for other in (0..3).filter(|&other| other != lost) {
            net.cut(lost, other);
        }
        net.run(5_000 * MS);
        net.heal();
        net.run(20_000 * MS);
        for group in 0..3 {
            assert!(net.is_served_by(group, group as u8), "{}", net.describe());
        }
    }
}
