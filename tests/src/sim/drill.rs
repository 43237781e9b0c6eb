//! After the faults, when everybody is well: one fault alone, whose effect is known to the millisecond.

use cluster::{Command, GroupId, NodeId, Set};
use reflex::{Reach, Sight};

use super::agent::Health;
use super::luck::Luck;
use super::node::Node;
use super::times::{
    CALM, DAMPING, DEADTIME, FLIGHT_MAX, GRACE, KEEPALIVE, LEASE, MS, PATIENCE, RESTART_LEASE, SCRIPT_MAX,
    SETTLE, drifted,
};
use super::trace::Detail;
use super::world::World;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drill {
    /// An operator moves the group.
    Move,
    /// `kill -9` of the owner's agent.
    Kill,
    /// SIGSTOP of it.
    Freeze,
    /// The owner loses its power.
    PullThePlug,
    /// The owner's agent restarts as planned.
    Restart,
    /// The owner sees fewer ping nodes than the others.
    Blind,
    /// The owner's port is dead on the group's network, and the frames go by another path.
    Deaf,
    /// A gateway comes and goes; who notices first differs.
    Flap,
}

/// Time from the fault until another node serves the group.
///
/// Gasp: the heir's next probe is answered *fenced*. Lease: the same, after the lease. Power: deadtime after the last
/// thing heard, until a probe that is old enough to count is looked at.
const fn failover_max(drill: Drill) -> u64 {
    let word = KEEPALIVE + 2 * FLIGHT_MAX;
    drifted(match drill {
        Drill::Kill => word,
        Drill::Freeze => LEASE + word,
        Drill::PullThePlug => DEADTIME + KEEPALIVE + 2 * GRACE + FLIGHT_MAX,
        // The heir is named and armed, the resources go down, the heir's go up: a page's turn each.
        Drill::Move => 2 * PATIENCE + 2 * SCRIPT_MAX,
        Drill::Restart | Drill::Flap => 0,
        // The heir may have to be armed first, in the turn of its page.
        Drill::Blind => DAMPING + 2 * PATIENCE + SCRIPT_MAX,
        Drill::Deaf => 2 * PATIENCE + SCRIPT_MAX,
    })
}

/// Tries one thing on one group, in a world where all is well.
pub(super) fn run(world: &mut World, luck: &mut Luck) -> Result<(), String> {
    let group = luck.below(u64::from(world.groups().end)) as GroupId;
    let [owner] = world.eye.owners(group)[..] else { return Ok(()) };
    let willing = |id: &NodeId| *id != owner && !world.node(*id).has_failed(group);
    let heirs: Vec<NodeId> = world.ids().filter(willing).collect();
    let drill = match luck.below(8) {
        0 => Drill::Move,
        1 => Drill::Kill,
        2 => Drill::Freeze,
        3 => Drill::PullThePlug,
        4 => Drill::Blind,
        5 => Drill::Deaf,
        6 => Drill::Flap,
        _ => Drill::Restart,
    };
    world.trace.line(Detail::Decisions, "drill", || format!("{drill:?} of group {group} on node {owner}"));
    match drill {
        Drill::Restart => restart(world, luck, owner),
        Drill::Flap => flap(world, luck),
        _ if heirs.is_empty() => Ok(()),
        Drill::Move => {
            let to = heirs[luck.below(heirs.len() as u64) as usize];
            hand_over(world, group, owner, to)
        }
        Drill::Kill | Drill::Freeze | Drill::PullThePlug => fail(world, drill, group, owner),
        Drill::Blind | Drill::Deaf => outsee(world, drill, group, owner),
    }
}

/// Another node serves the group in time and alone, and goes on when the owner sees again.
fn outsee(world: &mut World, drill: Drill, group: GroupId, owner: NodeId) -> Result<(), String> {
    let (less, more) = match drill {
        Drill::Deaf => {
            let reaches = |reach| Sight::default().reaches(reach, true).doubting(true);
            (reaches(Reach::Deaf), reaches(Reach::Hears))
        }
        _ => (Sight::default().pinging(Some(0)), Sight::default().pinging(Some(1))),
    };
    let shared = world.eye.shared;
    for id in world.ids().filter(|&id| id != owner) {
        // A group that does not start there comes back.
        world.at(id, |node, _| node.plans[group as usize].start_fails = false)?;
        world.see(id, more)?;
    }
    world.see(owner, less)?;
    let limit = failover_max(drill);
    let moved =
        world.run_until(limit, |world| matches!(world.eye.owners(group)[..], [node] if node != owner))?;
    if !moved {
        return Err(format!("group {group} is still on node {owner} {} ms after {drill:?}", limit / MS));
    }
    world.run(2 * SCRIPT_MAX)?;
    if world.eye.shared != shared {
        return Err(format!("group {group} was on two nodes after {drill:?} of node {owner}"));
    }
    for id in world.ids() {
        world.see(id, Sight::default())?;
    }
    world.run(SETTLE)?;
    super::has_one_owner_each(world)
}

/// Nothing moves, however often.
fn flap(world: &mut World, luck: &mut Luck) -> Result<(), String> {
    let changes = world.eye.changes;
    for round in 0..20u8 {
        let seen = Sight::default().pinging(Some(round % 2));
        let mut ids: Vec<NodeId> = world.ids().collect();
        // Any order, and as far apart as the damping allows, less a turn of the last page.
        let first = luck.below(ids.len() as u64) as usize;
        ids.rotate_left(first);
        let apart = (DAMPING - 2 * KEEPALIVE - 2 * FLIGHT_MAX) / ids.len() as u64;
        for id in ids {
            world.see(id, seen)?;
            world.run(luck.below(apart))?;
        }
        world.run(luck.below(500 * MS))?;
    }
    for id in world.ids() {
        world.see(id, Sight::default())?;
    }
    world.run(SETTLE)?;
    if world.eye.changes != changes {
        return Err("a gateway that flaps for all moved something".to_owned());
    }
    Ok(())
}

/// Nobody notices a planned restart.
fn restart(world: &mut World, luck: &mut Luck, owner: NodeId) -> Result<(), String> {
    // What failed there the new agent tries again; everything else stays where it is.
    // What its home never held in its present life the new agent takes for due there (an operator may have kept it away).
    let stays = |group: &GroupId| {
        !world.node(owner).has_failed(*group) && world.node(world.node(owner).home(*group)).has_held(*group)
    };
    let groups: Vec<GroupId> = world.groups().filter(stays).collect();
    let served = |world: &World| -> Vec<_> {
        groups.iter().map(|&group| world.eye.served_since(group)).filter(|since| !since.is_empty()).collect()
    };
    let before = served(world);
    world.at(owner, Node::keep_and_end)?;
    world.run(luck.below(RESTART_LEASE - 100 * MS))?;
    world.start_agent(owner)?;
    world.run(2 * PATIENCE)?;
    if before.iter().any(|since| !served(world).contains(since)) {
        return Err(format!("a planned restart of node {owner} moved something"));
    }
    Ok(())
}

/// The group is where it was sent, in time, and was never on two nodes.
fn hand_over(world: &mut World, group: GroupId, owner: NodeId, to: NodeId) -> Result<(), String> {
    // A group that does not start there comes back.
    world.at(to, |node, _| node.plans[group as usize].start_fails = false)?;
    world.at(owner, |node, _| node.plans[group as usize].stop_fails = false)?;
    let shared = world.eye.shared;
    let number = world.command(to, Command::Takeover(Set::Group(group)))?;
    let moved = world.run_until(failover_max(Drill::Move), |world| world.eye.owners(group) == [to])?;
    if !moved {
        return Err(format!("node {to} was not given group {group}"));
    }
    world.run(2 * SCRIPT_MAX)?;
    if world.eye.shared != shared {
        return Err(format!("group {group} was on two nodes while it moved"));
    }
    match world.reply(number) {
        Some(Ok(_)) => Ok(()),
        answer => Err(format!("the takeover of group {group} worked and the answer is {answer:?}")),
    }
}

/// Another node serves the group in time, and what comes back takes nothing away from it.
fn fail(world: &mut World, drill: Drill, group: GroupId, owner: NodeId) -> Result<(), String> {
    let (shared, now) = (world.eye.shared, world.now);
    world.at(owner, |node, local| match drill {
        Drill::Kill => node.kill_agent(local),
        Drill::Freeze => {
            if let Some(agent) = &mut node.agent {
                agent.health = Health::Frozen;
            }
        }
        _ => node.crash(now),
    })?;
    let limit = failover_max(drill);
    let followed =
        world.run_until(limit, |world| world.eye.owners(group).iter().any(|node| *node != owner))?;
    if !followed {
        return Err(format!("nobody serves group {group} {} ms after {drill:?} of node {owner}", limit / MS));
    }
    if world.eye.shared != shared {
        return Err(format!("group {group} was on two nodes after {drill:?} of node {owner}"));
    }
    match drill {
        Drill::Freeze => world.at(owner, Node::thaw)?,
        _ => world.start_agent(owner)?,
    }
    world.run(CALM)?;
    super::has_one_owner_each(world)
}
