//! Who serves without hearing everybody says that it may not be alone: once, by name, and when it is over.

use std::vec;

use super::net::{Net, Setup};
use super::node::{INITDEAD, MS};
use crate::{Command, NodeId, Note};

fn doubts(net: &Net, node: NodeId, nodes: &[NodeId]) -> usize {
    net.node(node).noted(|note| *note == Note::MayNotBeAlone { nodes: nodes.to_vec() })
}

fn any(net: &Net, node: NodeId) -> usize {
    net.node(node).noted(|note| matches!(note, Note::MayNotBeAlone { .. } | Note::NotAlone { .. }))
}

#[test]
fn each_partition_is_said_once_by_both_and_its_end_too() {
    let mut net = Setup::pair().stay().running();
    assert_eq!((any(&net, 0), any(&net, 1)), (0, 0), "all are heard");
    for partition in 1..=3 {
        net.cut(0, 1);
        net.run(20_000 * MS);
        assert_eq!((doubts(&net, 0, &[1]), doubts(&net, 1, &[0])), (partition, partition));
        net.heal();
        net.run(10_000 * MS);
        let over = |node: NodeId, other: NodeId, serves: bool| {
            net.node(node).noted(|note| *note == Note::NotAlone { nodes: vec![other], serves })
        };
        // The winner and the loser change places each time.
        let lost = |node: NodeId, other: NodeId| (over(node, other, true), over(node, other, false));
        let (odd, even) = (partition.div_ceil(2), partition / 2);
        assert_eq!((lost(0, 1), lost(1, 0)), ((even, odd), (odd, even)));
    }
}

#[test]
fn who_goes_in_order_leaves_no_doubt() {
    let mut net = Setup::pair().running();
    net.command(1, Command::Stop);
    net.run(20_000 * MS);
    assert!(net.is_served_by(0, 0));
    assert_eq!(any(&net, 0), 0);
}

#[test]
fn who_takes_over_from_the_silent_is_in_doubt_and_each_more_is_named() {
    let mut net = Setup::nodes(3).running();
    net.crash(0);
    net.run(10_000 * MS);
    assert_eq!(doubts(&net, 1, &[0]), 1);
    assert_eq!(any(&net, 2), 0, "it serves nothing");
    net.crash(2);
    net.run(10_000 * MS);
    assert_eq!(doubts(&net, 1, &[0, 2]), 1);
    assert_eq!(any(&net, 1), 2);
}

#[test]
fn one_that_starts_alone_is_in_doubt() {
    let mut net = Setup::pair().off();
    net.boot(1);
    net.run(2 * INITDEAD + 10_000 * MS);
    assert!(net.is_served_by(0, 1));
    assert_eq!(doubts(&net, 1, &[0]), 1);
}
