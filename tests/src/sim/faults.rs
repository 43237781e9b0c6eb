//! Everything that goes wrong, drawn from the seed.

use std::fmt;

use cluster::{Command, GroupId, NodeId, Set};
use reflex::{Reach, Sight};

use super::agent::Health;
use super::luck::Luck;
use super::node::{Node, Power};
use super::times::{MS, PATIENCE, SCRIPT_MAX};
use super::trace::Detail;
use super::world::World;

/// One thing that goes wrong, or is put right.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    CutOneWay { link: usize, from: NodeId, to: NodeId },
    Cut { link: usize, a: NodeId, b: NodeId },
    Part { a: NodeId, b: NodeId },
    Isolate(NodeId),
    Unplug { node: NodeId, link: usize },
    HealLink(usize),
    Heal,
    Lose { link: usize, percent: u64 },
    Double { link: usize, percent: u64 },
    PullThePlug(NodeId),
    Pause(NodeId),
    Resume(NodeId),
    Start(NodeId),
    Kill { node: NodeId, restart: Option<u64> },
    Restart { node: NodeId, after: u64 },
    Freeze(NodeId),
    Hang(NodeId),
    Thaw(NodeId),
    Scripts { node: NodeId, group: GroupId, start: u64, stop: u64, fail: (bool, bool) },
    Order { node: NodeId, command: Command },
    See { node: NodeId, sight: Sight },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The schedule of one run.
pub(super) struct Faults {
    luck: Luck,
    scripts_fail: bool,
    /// Not all nodes see the same in the end.
    some_are_blind: bool,
    /// Agents that will be started again: when, where.
    restarts: Vec<(u64, NodeId)>,
    /// Commands that were given: number, node, life of its agent.
    commands: Vec<(u64, NodeId, u32)>,
}

impl Faults {
    pub(super) fn new(mut luck: Luck) -> Self {
        let scripts_fail = luck.percent(30);
        let some_are_blind = luck.percent(30);
        Self { luck, scripts_fail, some_are_blind, restarts: Vec::new(), commands: Vec::new() }
    }

    /// Lets things go wrong for `time`.
    pub(super) fn play(&mut self, world: &mut World, time: u64) -> Result<(), String> {
        let end = world.now + time;
        while world.now < end {
            let fault = self.draw(world);
            self.apply(world, fault)?;
            // Mostly close to each other: what races is what happens at the same time.
            let pause =
                if self.luck.percent(50) { self.luck.below(50 * MS) } else { self.luck.below(1_500 * MS) };
            self.pass(world, pause)?;
        }
        Ok(())
    }

    /// Lets time pass, and agents that are to start again do so.
    fn pass(&mut self, world: &mut World, time: u64) -> Result<(), String> {
        let end = world.now + time;
        while let Some(next) = self.restarts.iter().position(|(at, _)| *at <= end) {
            let (at, node) = self.restarts.remove(next);
            world.run(at.saturating_sub(world.now))?;
            self.apply(world, Fault::Start(node))?;
        }
        world.run(end.saturating_sub(world.now))
    }

    fn draw(&mut self, world: &World) -> Fault {
        let luck = &mut self.luck;
        let nodes = world.nodes.len() as u64;
        let a = luck.below(nodes);
        let b = ((a + 1 + luck.below(nodes - 1)) % nodes) as NodeId;
        let (node, group) = (a as NodeId, luck.below(u64::from(world.groups().end)) as GroupId);
        let link = luck.below(world.links.len() as u64) as usize;
        match luck.below(36) {
            0 | 1 => Fault::CutOneWay { link, from: node, to: b },
            2 => Fault::Cut { link, a: node, b },
            3 | 4 => Fault::Part { a: node, b },
            5 => Fault::Isolate(node),
            6 => Fault::HealLink(link),
            7..=9 => Fault::Heal,
            10 => Fault::Lose { link, percent: luck.below(60) },
            11 => Fault::Double { link, percent: luck.below(60) },
            12 => Fault::PullThePlug(node),
            13 => Fault::Pause(node),
            14 => Fault::Resume(node),
            15 | 16 => Fault::Start(node),
            17 => Fault::Kill { node, restart: luck.percent(60).then(|| luck.below(3_000 * MS)) },
            18 | 19 => Fault::Restart { node, after: luck.below(2_500 * MS) },
            20 => Fault::Freeze(node),
            21 => Fault::Hang(node),
            22 | 23 => Fault::Thaw(node),
            24 | 25 => {
                let fail = (self.scripts_fail && luck.percent(50), self.scripts_fail && luck.percent(20));
                let (start, stop) = (luck.below(SCRIPT_MAX), luck.below(SCRIPT_MAX));
                Fault::Scripts { node, group, start, stop, fail }
            }
            26 | 27 => Fault::Unplug { node, link },
            28..=31 => Fault::Order { node, command: command(luck, group) },
            _ => Fault::See { node, sight: sight(luck) },
        }
    }

    fn apply(&mut self, world: &mut World, fault: Fault) -> Result<(), String> {
        let trace = world.trace.clone();
        trace.line(Detail::Decisions, "fault", || fault.to_string());
        let node_of = |world: &World, id: NodeId| (world.node(id).power, world.node(id).health());
        match fault {
            Fault::CutOneWay { link, from, to } => world.on_links(|links| {
                links[link].cut[usize::from(from)][usize::from(to)] = true;
            }),
            Fault::Cut { link, a, b } => world.on_links(|links| cut(&mut links[link].cut, a, b)),
            Fault::Part { a, b } => {
                world.on_links(|links| links.iter_mut().for_each(|link| cut(&mut link.cut, a, b)))
            }
            Fault::Isolate(node) => {
                let others: Vec<NodeId> = world.node(node).others().collect();
                world.on_links(|links| {
                    for link in links {
                        others.iter().for_each(|&other| cut(&mut link.cut, node, other));
                    }
                })
            }
            Fault::Unplug { node: id, link } => world.at(id, |node, now| node.plug(now, link, false)),
            Fault::HealLink(link) => {
                plug_in(world, link)?;
                world.on_links(|links| heal(&mut links[link]))
            }
            Fault::Heal => {
                (0..world.links.len()).try_for_each(|link| plug_in(world, link))?;
                world.on_links(|links| links.iter_mut().for_each(heal))
            }
            Fault::Lose { link, percent } => world.on_links(|links| links[link].loss = percent),
            Fault::Double { link, percent } => world.on_links(|links| links[link].twice = percent),
            Fault::PullThePlug(id) => {
                let now = world.now;
                world.at(id, |node, _| node.crash(now))
            }
            Fault::Pause(id) if node_of(world, id).0 == Power::On => {
                let now = world.now;
                world.at(id, |node, _| {
                    node.power = Power::Paused;
                    node.clock.stop(now);
                })
            }
            Fault::Resume(id) if node_of(world, id).0 == Power::Paused => world.resume(id),
            Fault::Start(id) if node_of(world, id).0 != Power::Paused && node_of(world, id).1.is_none() => {
                world.start_agent(id)
            }
            Fault::Kill { node: id, restart } if node_of(world, id).0 == Power::On => {
                self.restarts.extend(restart.map(|after| (world.now + after, id)));
                world.at(id, Node::kill_agent)
            }
            Fault::Restart { node: id, after } if node_of(world, id) == (Power::On, Some(Health::Well)) => {
                self.restarts.push((world.now + after, id));
                world.at(id, Node::keep_and_end)
            }
            Fault::Freeze(id) => self.set_health(world, id, Health::Frozen),
            Fault::Hang(id) => self.set_health(world, id, Health::Stuck),
            Fault::Thaw(id) if node_of(world, id).0 == Power::On => world.at(id, Node::thaw),
            Fault::Scripts { node: id, group, start, stop, fail } => world.at(id, |node, _| {
                let plan = &mut node.plans[group as usize];
                (plan.start, plan.stop) = (start, stop);
                (plan.start_fails, plan.stop_fails) = fail;
            }),
            Fault::Order { node: id, command } if node_of(world, id).0 == Power::On => {
                let Some(life) = world.node(id).agent.as_ref().map(|agent| agent.life) else { return Ok(()) };
                let number = world.command(id, command)?;
                self.commands.push((number, id, life));
                Ok(())
            }
            Fault::See { node, sight } => world.see(node, sight),
            Fault::Pause(_)
            | Fault::Resume(_)
            | Fault::Start(_)
            | Fault::Kill { .. }
            | Fault::Restart { .. }
            | Fault::Thaw(_)
            | Fault::Order { .. } => Ok(()),
        }
    }

    fn set_health(&mut self, world: &mut World, id: NodeId, health: Health) -> Result<(), String> {
        if world.node(id).power != Power::On {
            return Ok(());
        }
        world.at(id, |node, _| {
            if let Some(agent) = node.agent.as_mut().filter(|agent| agent.health == Health::Well) {
                agent.health = health;
            }
        })
    }

    /// Puts everything right. Who is going down is let go, and comes again.
    pub(super) fn repair(&mut self, world: &mut World) -> Result<(), String> {
        self.apply(world, Fault::Heal)?;
        world.on_links(|links| links.iter_mut().for_each(|link| (link.loss, link.twice) = (0, 0)))?;
        for id in world.ids() {
            self.apply(world, Fault::Resume(id))?;
            self.apply(world, Fault::Thaw(id))?;
            self.apply(world, Fault::Start(id))?;
        }
        // Some see less than others, for good; the rest of the run asks who serves then.
        for id in world.ids() {
            let sight = if self.some_are_blind { sight(&mut self.luck) } else { Sight::default() };
            world.see(id, sight)?;
        }
        self.restarts.clear();
        world.run(2 * SCRIPT_MAX + 2 * PATIENCE)?;
        for id in world.ids() {
            self.apply(world, Fault::Start(id))?;
        }
        Ok(())
    }

    /// Commands that were never answered although their agent lives.
    pub(super) fn unanswered(&self, world: &World) -> Option<u64> {
        let open = self
            .commands
            .iter()
            .find(|(number, node, life)| world.node(*node).is_life(*life) && world.reply(*number).is_none());
        open.map(|(number, _, _)| *number)
    }
}

/// What a node may see: mostly ping nodes, now and then a network in doubt.
fn sight(luck: &mut Luck) -> Sight {
    let pings = (!luck.percent(15)).then(|| luck.below(3) as u8);
    let reach = match luck.below(10) {
        0 => Reach::Deaf,
        1 => Reach::Hears,
        2 => Reach::Answered,
        _ => Reach::Unknown,
    };
    Sight::default().pinging(pings).reaches(reach, luck.percent(80)).doubting(luck.percent(80))
}

fn cut(cut: &mut [Vec<bool>], a: NodeId, b: NodeId) {
    let (a, b) = (usize::from(a), usize::from(b));
    (cut[a][b], cut[b][a]) = (true, true);
}

/// Everybody's cable of that link.
fn plug_in(world: &mut World, link: usize) -> Result<(), String> {
    world.ids().try_for_each(|id| world.at(id, |node, now| node.plug(now, link, true)))
}

fn heal(link: &mut super::world::Link) {
    link.cut.iter_mut().for_each(|row| row.fill(false));
    link.loss = 0;
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
