//! What operators ask for, and what they are told.

use super::net::{Net, Setup};
use super::node::{DEADTIME, MS, Runs};
use crate::{Command, Done, NodeId, Note, Operation, Refusal, Set};

const PATIENCE: u64 = 2_000 * MS;

#[track_caller]
fn asked(net: &mut Net, node: NodeId, command: Command) -> Result<Done, Refusal> {
    let id = net.command(node, command);
    net.run_until(20_000 * MS, |net| net.reply(id).is_some());
    net.reply(id).cloned().expect("just seen")
}

/// Groups 0 and 1 at home on node 0, 2 and 3 on node 1.
fn four() -> Net {
    Setup::pair().homes(&[0, 0, 1, 1]).running()
}

#[track_caller]
fn assert_owners(net: &Net, owners: &[NodeId]) {
    for (group, owner) in net.groups().zip(owners) {
        assert!(net.is_served_by(group, *owner), "group {group}:\n{}", net.describe());
        assert_eq!(net.node(*owner).runs(group), Runs::Up, "group {group}");
    }
    assert_eq!(net.shared, 0);
}

#[test]
fn standby_gives_and_stays_given() {
    for (set, owners) in [
        (Set::All, [1, 1, 1, 1]),
        (Set::Local, [1, 1, 1, 1]),
        (Set::Foreign, [0, 0, 1, 1]),
        (Set::Group(1), [0, 1, 1, 1]),
    ] {
        let mut net = four();
        assert!(asked(&mut net, 0, Command::Standby(set)).is_ok());
        net.run(30_000 * MS);
        assert_owners(&net, &owners);
    }
}

#[test]
fn standby_of_what_is_not_here_gives_nothing() {
    let mut net = four();
    let mark = net.mark();
    let said = asked(&mut net, 0, Command::Standby(Set::Foreign));
    assert_eq!(said.expect("no harm done"), Done::NothingToGive);
    net.run(1_000 * MS);
    assert_eq!(net.mark(), mark);
}

#[test]
fn takeover_takes_and_keeps() {
    for (set, owners) in [
        (Set::All, [1, 1, 1, 1]),
        (Set::Foreign, [1, 1, 1, 1]),
        (Set::Local, [0, 0, 1, 1]),
        (Set::Group(0), [1, 0, 1, 1]),
    ] {
        let mut net = four();
        assert!(asked(&mut net, 1, Command::Takeover(set)).is_ok());
        net.run(30_000 * MS);
        assert_owners(&net, &owners);
    }
}

#[test]
fn standby_of_foreign_groups_is_the_failback_by_hand() {
    let mut net = Setup::pair().homes(&[0, 0, 1, 1]).stay().running();
    assert!(asked(&mut net, 1, Command::Takeover(Set::All)).is_ok());
    assert_owners(&net, &[1, 1, 1, 1]);
    assert!(asked(&mut net, 1, Command::Standby(Set::Foreign)).is_ok());
    net.run(1_000 * MS);
    assert_owners(&net, &[0, 0, 1, 1]);
}

#[test]
fn takeover_is_answered_when_the_resources_are_up() {
    let mut net = Setup::pair().running();
    net.plan(1, 0).start = 3_000 * MS;
    assert!(asked(&mut net, 1, Command::Takeover(Set::All)).is_ok());
    assert_eq!(net.node(1).runs(0), Runs::Up);
}

#[test]
fn scripts_that_take_longer_than_patience_change_no_answer() {
    for command in [Command::Standby(Set::All), Command::Takeover(Set::All)] {
        let mut net = Setup::pair().running();
        net.plan(0, 0).stop = 3 * PATIENCE;
        net.plan(1, 0).start = 3 * PATIENCE;
        let node = u8::from(matches!(command, Command::Takeover(_)));
        let said = asked(&mut net, node, command);
        assert!(said.is_ok(), "{said:?}\n{}", net.describe());
        net.run(3 * PATIENCE + 1_000 * MS);
        assert_owners(&net, &[1]);
    }
}

#[test]
fn standby_with_nobody_to_give_to_is_refused_and_moves_nothing() {
    let mut net = four();
    net.crash(1);
    net.run(DEADTIME * 2);
    let mark = net.mark();
    assert_eq!(asked(&mut net, 0, Command::Standby(Set::All)), Err(Refusal::Nobody { group: 0 }));
    net.run(10_000 * MS);
    assert_eq!(net.mark(), mark);
}

#[test]
fn standby_of_several_of_which_one_cannot_go_is_refused_as_a_whole() {
    let mut net = four();
    net.plan(1, 1).start_fails = true;
    let _ = asked(&mut net, 1, Command::Takeover(Set::Group(1)));
    net.run(PATIENCE);
    assert_owners(&net, &[0, 0, 1, 1]);
    let said = asked(&mut net, 0, Command::Standby(Set::Local));
    assert_eq!(said, Err(Refusal::Unwilling { group: 1, node: 1 }));
    net.run(10_000 * MS);
    assert_owners(&net, &[0, 0, 1, 1]);
}

#[test]
fn a_target_that_dies_in_the_middle_of_a_move_costs_nothing_but_time() {
    let mut net = Setup::pair().running();
    // Cut at this moment: by its last word node 1 is armed, so it is given the group and never hears of it.
    net.cut(0, 1);
    let said = asked(&mut net, 0, Command::Standby(Set::All));
    assert!(said.is_err(), "{said:?}");
    net.crash(1);
    net.run(10_000 * MS);
    assert!(net.is_served_by(0, 0), "{}", net.describe());
    assert_eq!(net.node(0).runs(0), Runs::Up);
}

#[test]
fn a_takeover_of_what_the_other_cannot_give_up_fails_in_time() {
    let mut net = Setup::pair().running();
    net.freeze(0);
    // Lease still good: the holder does not answer, then its kernel fences and node 1 has it.
    let said = asked(&mut net, 1, Command::Takeover(Set::All));
    assert!(said.is_ok(), "{said:?}");
    assert!(net.is_served_by(0, 1));
}

#[test]
fn two_commands_for_one_group_are_both_answered() {
    let mut net = Setup::pair().running();
    let one = net.command(0, Command::Standby(Set::All));
    let two = net.command(0, Command::Standby(Set::Local));
    let three = net.command(1, Command::Takeover(Set::Foreign));
    net.run(10_000 * MS);
    for id in [one, two, three] {
        assert!(matches!(net.reply(id), Some(Ok(_))), "{id}: {:?}", net.reply(id));
    }
    assert_owners(&net, &[1]);
}

#[test]
fn a_takeover_tries_again_what_had_failed() {
    let mut net = Setup::pair().running();
    net.plan(1, 0).start_fails = true;
    assert_eq!(
        asked(&mut net, 1, Command::Takeover(Set::All)),
        Err(Refusal::Failed { group: 0, what: "Start of 0 failed".into() })
    );
    net.run(PATIENCE);
    assert_owners(&net, &[0]);
    net.plan(1, 0).start_fails = false;
    assert!(asked(&mut net, 1, Command::Takeover(Set::All)).is_ok());
    net.run(PATIENCE);
    assert_owners(&net, &[1]);
    assert_eq!(net.node(1).count(0, Operation::Start), 2);
}

#[test]
fn with_three_nodes_only_the_one_that_is_named_opens() {
    for seed in 0..40 {
        let mut net = Setup { seed, ..Setup::nodes(3) }.running();
        // The first in line is armed in peace time; the command asks for the group to go to the other.
        let id = net.command(2, Command::Takeover(Set::All));
        net.run_until(5_000 * MS, |net| net.reply(id).is_some());
        net.run(1_000 * MS);
        assert!(net.is_served_by(0, 2), "{}", net.describe());
        assert_eq!(net.shared, 0, "{}", net.describe());
        assert_eq!(net.node(1).noted(|note| matches!(note, Note::TookOver { .. })), 0);
    }
}
