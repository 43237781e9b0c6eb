//! Random schedules of faults and commands. While they last, the eye of [`Net`] holds promise 1 after every event, and
//! every node checks that the election settles and never asks to be woken in the past. Then everything is repaired,
//! and every group must have one owner before long, and keep it, unless its scripts have failed on every node.
//!
//! A failure names its seed. `CLUSTER_SEED=n cargo test -p cluster property` plays that one alone, and
//! `CLUSTER_SEEDS=n` plays as many.

use std::vec::Vec;
use std::{env, println};

use super::net::{Luck, Net, Setup};
use super::node::{DEADTIME, INITDEAD, KEEPALIVE, MS, Runs};
use crate::{Command, GroupId, NodeId, Set};

/// A few seconds of a debug build.
const SEEDS: u64 = 12;
const FAULTS: u64 = 20_000 * MS;
const PATIENCE: u64 = 2_000 * MS;
const SCRIPT_MAX: u64 = 3_000 * MS;
/// Everything that may happen after the last fault, one after the other: a start, a move that is given up, a move
/// that is not, and scripts at each step.
const CALM: u64 = INITDEAD + DEADTIME + 4 * PATIENCE + 4 * SCRIPT_MAX;

#[test]
fn any_schedule_of_faults_ends_with_one_owner_each() {
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("CLUSTER_SEED") {
        return play(seed);
    }
    for seed in 0..number("CLUSTER_SEEDS").unwrap_or(SEEDS) {
        // Shown when the test fails.
        println!("seed {seed}");
        play(seed);
    }
}

fn play(seed: u64) {
    let mut luck = Luck::new(seed);
    let mut net = setup(&mut luck, seed).off();
    for node in &mut net.nodes {
        node.gates_first = luck.percent(50);
    }
    net.reorder = luck.percent(50);
    let scripts_fail = luck.percent(30);
    net.boot_all();
    let mut commands = Vec::new();
    let end = net.now + FAULTS;
    while net.now < end {
        fault(&mut net, &mut luck, scripts_fail, &mut commands);
        // Mostly close to each other: what races is what happens at the same time.
        let pause = if luck.percent(50) { luck.below(50 * MS) } else { luck.below(2_000 * MS) };
        net.run(pause);
    }
    repair(&mut net);
    net.run(CALM);
    assert_settled(&net);
    let mark = net.mark();
    net.run(4 * PATIENCE);
    assert_eq!(net.mark(), mark, "flapping:\n{}", net.describe());
    for (id, node, life) in commands {
        // Commands end with the agent that they were given to.
        if net.node(node).life == life {
            assert!(net.reply(id).is_some(), "command {id} was never answered:\n{}", net.describe());
        }
    }
}

fn setup(luck: &mut Luck, seed: u64) -> Setup {
    let nodes = 2 + luck.below(3) as usize;
    let groups = if luck.percent(20) { 10 } else { 1 + luck.below(4) };
    let homes: Vec<NodeId> = (0..groups).map(|_| luck.below(nodes as u64) as NodeId).collect();
    Setup { nodes, homes, auto_failback: luck.percent(50), seed }
}

fn fault(net: &mut Net, luck: &mut Luck, scripts_fail: bool, commands: &mut Vec<(u64, NodeId, u32)>) {
    let (node, other, group) = some(net, luck);
    let is_up = net.node(node).up;
    match luck.below(14) {
        0 => net.cut(node, other),
        1 => net.cut_one_way(node, other),
        2 | 3 => net.heal(),
        4 => net.loss = luck.below(60),
        5 if is_up => net.crash(node),
        5..=7 if !is_up => net.boot(node),
        6 if is_up => net.freeze(node),
        7 | 8 => thaw(net, node),
        9 => {
            let plan = net.plan(node, group);
            (plan.start, plan.stop) = (luck.below(SCRIPT_MAX), luck.below(SCRIPT_MAX));
            if scripts_fail {
                (plan.start_fails, plan.stop_fails) = (luck.percent(50), luck.percent(20));
            }
        }
        10..=13 if is_up => {
            let command = command(luck, group);
            let life = net.node(node).life;
            let id = net.command(node, command);
            commands.push((id, node, life));
        }
        _ => {}
    }
}

fn some(net: &Net, luck: &mut Luck) -> (NodeId, NodeId, GroupId) {
    let nodes = net.nodes.len() as u64;
    let node = luck.below(nodes);
    let other = (node + 1 + luck.below(nodes - 1)) % nodes;
    (node as NodeId, other as NodeId, luck.below(u64::from(net.groups().end)) as GroupId)
}

fn command(luck: &mut Luck, group: GroupId) -> Command {
    let set = match luck.below(4) {
        0 => Set::All,
        1 => Set::Local,
        2 => Set::Foreign,
        _ => Set::Group(group),
    };
    match luck.below(10) {
        0 => Command::Stop,
        1..=4 => Command::Standby(set),
        _ => Command::Takeover(set),
    }
}

fn thaw(net: &mut Net, node: NodeId) {
    if net.node(node).up && net.node(node).frozen {
        net.thaw(node);
    }
}

fn repair(net: &mut Net) {
    net.heal();
    for node in net.ids() {
        thaw(net, node);
    }
    // Who is going down is let go, and comes again.
    net.run(2 * SCRIPT_MAX + 2 * PATIENCE);
    for node in net.ids() {
        if !net.node(node).up {
            net.boot(node);
        }
    }
    net.run(2 * KEEPALIVE);
}

#[track_caller]
fn assert_settled(net: &Net) {
    for group in net.groups() {
        let owners = net.owners(group);
        let failed = net.ids().iter().all(|&node| net.node(node).failure(group).is_some());
        assert!(
            owners.len() == 1 || owners.is_empty() && failed,
            "group {group}: {owners:?}:\n{}",
            net.describe()
        );
        for node in net.ids() {
            let wanted = if owners.contains(&node) { Runs::Up } else { Runs::Down };
            assert_eq!(net.node(node).runs(group), wanted, "node {node}, group {group}:\n{}", net.describe());
        }
    }
}
