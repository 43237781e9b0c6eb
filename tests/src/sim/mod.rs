//! The simulator: whole clusters in virtual time, from one seed.
//!
//! Every node is the real election ([`cluster::Cluster`]) over real reflex tables, the same code that runs in the kernel.
//! Kernel and agent are separate actors: the kernel goes on while its agent is frozen, hangs, was killed or restarts.
//! Around them is a world in which everything fails: links that lose, delay, double and reorder frames or carry one way
//! only, partitions, power, paused virtual machines whose clocks stood still, clocks that drift, scripts that are slow or
//! fail, nodes that see less than others of their network, and operators.
//!
//! After every step the eye (`eye`) asks: do two nodes answer in the name of a group that hear each other? Was anybody
//! declared dead who answers? The bounds are in [`times`], each with its arithmetic. After the faults everything is put
//! right, and every group must have one owner before long, and keep it. At the end of a run one fault happens alone
//! (`drill`): a move, a kill, a freeze, a loss of power, a planned restart, whose effect is known to the millisecond.
//!
//! Runs are exact: the same seed and the same options give the same run, step by step. [`Mutation`] takes a rule out of the
//! kernel, to see that the simulator misses it.

use std::fmt;
use std::ops::RangeInclusive;

mod agent;
mod clock;
mod drill;
mod eye;
mod faults;
mod kernel;
mod luck;
mod node;
pub mod times;
mod trace;
mod world;

use cluster::NodeId;
use reflex::Sight;

use faults::Faults;
use luck::Luck;
use node::Runs;
use trace::Trace;
use world::{Setup, World};

pub use kernel::Mutation;
pub use trace::Detail;

/// How long things go wrong, ns.
const FAULTS: u64 = 12_000 * times::MS;

/// What a run is made of, besides its seed.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sizes of clusters to draw from, 2 to 5.
    pub nodes: RangeInclusive<usize>,
    /// The rule that is missing.
    pub mutation: Mutation,
    /// What is written down.
    pub detail: Detail,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 2..=5, mutation: Mutation::None, detail: Detail::None }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it was drawn from.
    pub seed: u64,
    /// What was wrong, if anything was, in words for a person.
    pub violation: Option<String>,
    /// How everybody stood at the end.
    pub end: String,
    /// What was written down.
    pub trace: Vec<String>,
    /// Frames and timers.
    pub steps: u64,
    /// How often a gate opened or closed.
    pub changes: u64,
    /// How often a second gate opened beside a first: in partitions it must.
    pub shared: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.violation {
            Some(what) => write!(f, "seed {}: {what}", self.seed),
            None => write!(f, "seed {}: nothing wrong", self.seed),
        }
    }
}

/// Plays one seed.
#[must_use]
pub fn play(seed: u64, options: &Options) -> Outcome {
    let trace = Trace::new(options.detail);
    let mut luck = Luck::new(seed);
    let sizes = (*options.nodes.start() as u64, *options.nodes.end() as u64);
    let nodes = (sizes.0 + luck.below(sizes.1.saturating_sub(sizes.0) + 1)) as usize;
    let groups = if luck.percent(15) { 9 + luck.below(3) } else { 1 + luck.below(3) };
    let homes: Vec<NodeId> = (0..groups).map(|_| luck.below(nodes as u64) as NodeId).collect();
    let setup = Setup {
        nodes,
        homes,
        links: if luck.percent(40) { 2 } else { 1 },
        auto_failback: luck.percent(50),
        mutation: options.mutation,
    };
    let mut faults = Faults::new(Luck::new(luck.next()));
    let mut world = World::new(&setup, luck, trace.clone());
    let result = run(&mut world, &mut faults);
    if let Err(what) = &result {
        trace.line(Detail::Decisions, "WRONG", || what.clone());
    }
    Outcome {
        seed,
        violation: result.err(),
        end: world.describe(),
        trace: trace.take(),
        steps: world.steps,
        changes: world.eye.changes,
        shared: world.eye.shared,
    }
}

fn run(world: &mut World, faults: &mut Faults) -> Result<(), String> {
    for id in world.ids() {
        world.start_agent(id)?;
    }
    if world.luck.percent(70) {
        world.run(1_000 * times::MS)?;
    }
    faults.play(world, FAULTS)?;
    faults.repair(world)?;
    world.run(times::CALM)?;
    has_one_owner_each(world)?;
    if world.sights.iter().any(|sight| *sight != Sight::default()) {
        // Who lost a group for what he saw during the faults may get it back.
        world.run(times::SETTLE)?;
        has_one_owner_each(world)?;
        who_sees_most_serves(world)?;
    }
    let changes = world.eye.changes;
    world.run(times::STEADY)?;
    if world.eye.changes != changes {
        return Err("gates still move although nothing is wrong any more".to_owned());
    }
    if let Some(number) = faults.unanswered(world) {
        return Err(format!("command {number} was never answered"));
    }
    for id in world.ids() {
        world.see(id, Sight::default())?;
    }
    world.run(times::SETTLE)?;
    let mut luck = Luck::new(world.luck.next());
    drill::run(world, &mut luck)
}

/// No other node that could serve a group sees more of its network than its owner.
fn who_sees_most_serves(world: &World) -> Result<(), String> {
    for group in world.groups() {
        for owner in world.eye.owners(group) {
            let seen = world.sights[usize::from(owner)];
            let better = world.ids().find(|&id| {
                world.sights[usize::from(id)].more_than(seen).is_some() && !world.node(id).has_failed(group)
            });
            // In a circle of three that know different things somebody always sees more.
            if let Some(better) = better.filter(|_| world.nodes.len() == 2) {
                return Err(format!("group {group} is on node {owner}, and node {better} sees more"));
            }
        }
    }
    Ok(())
}

/// After the faults every group has one owner, where its resources are up and nowhere else, unless its scripts failed
/// everywhere.
fn has_one_owner_each(world: &World) -> Result<(), String> {
    for group in world.groups() {
        let owners = world.eye.owners(group);
        let failed = world.nodes.iter().all(|node| node.has_failed(group));
        if owners.len() != 1 && !(owners.is_empty() && failed) {
            return Err(format!("group {group} is served by {owners:?} although nothing is wrong any more"));
        }
        for node in &world.nodes {
            let wanted = if owners.contains(&node.id) { Runs::Up } else { Runs::Down };
            let runs = node.runs(group);
            if runs != wanted {
                return Err(format!(
                    "node {}: the resources of group {group} are {runs:?}, not {wanted:?}",
                    node.id
                ));
            }
        }
    }
    Ok(())
}
