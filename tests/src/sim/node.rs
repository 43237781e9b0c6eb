//! One machine: its clock, its kernel, its agent and its scripts. Kernel and agent are separate: either goes on without the
//! other, and a node knows no network. It leaves frames in `outbox`.

mod life;

use std::collections::BTreeMap;
use std::mem;

use cluster::{Config, Done, GroupId, Input, NodeId, Refusal};
use reflex::{EventKind, Frame};

use super::agent::{Agent, Health, Wish};
use super::clock::Clock;
use super::kernel::{Kernel, Mutation};
use super::times::{ASKING, KEEPALIVE, LEASE, MS};
use super::trace::{Detail, Trace};

/// What a node asks to be called for, on its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// The kernel's timer for one node, in that life of the tables.
    Look { peer: NodeId, life: u32 },
    /// The prober's keepalive.
    Tick { life: u32 },
    /// The decision loop's own timer.
    Turn { life: u32 },
    /// The election's timeout.
    Wake { life: u32 },
    /// A script ends, unless another one was called since.
    Script { group: GroupId, run: u64 },
    /// The time to answer ARP is over.
    Asked { group: GroupId, life: u32 },
}

/// Whether the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    Off,
    On,
    /// A virtual machine that stands still, its clock included.
    Paused,
}

/// How a node's scripts behave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) start: u64,
    pub(super) stop: u64,
    pub(super) start_fails: bool,
    pub(super) stop_fails: bool,
}

/// Where a group's resources are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    Down,
    Starting,
    Up,
    Stopping,
    /// From below on the way to [`Self::Ready`].
    Readying,
    /// From above on the way there.
    Clearing,
    /// Only the addresses are up.
    Ready,
    /// These are let go again, which no script can spoil.
    Releasing,
}

impl Runs {
    /// The addresses are up, or come up, alone.
    pub(super) fn is_alone(self) -> bool {
        matches!(self, Self::Readying | Self::Clearing | Self::Ready)
    }
}

#[derive(Clone, Copy, Debug)]
struct Script {
    runs: Runs,
    run: u64,
}

/// The note that a planned restart leaves for the next agent.
#[derive(Clone, Debug, Default)]
struct Kept {
    session: u64,
    started: Vec<GroupId>,
    /// By group.
    stays: Vec<Option<u64>>,
}

pub(super) struct Node {
    pub(super) id: NodeId,
    config: Config,
    links: u8,
    mutation: Mutation,
    gates_first: bool,
    pub(super) plans: Vec<Plan>,
    pub(super) power: Power,
    /// By link: its cable is out, so that nothing can be sent by it.
    pub(super) unplugged: Vec<bool>,
    /// Keepalives in a row that left by no link.
    pub(super) unsent: u32,
    pub(super) clock: Clock,
    pub(super) kernel: Option<Kernel>,
    pub(super) agent: Option<Agent>,
    scripts: Vec<Script>,
    kept: Option<Kept>,
    lives: u32,
    alarms: BTreeMap<(u64, u64), Alarm>,
    alarms_set: u64,
    /// Frames that arrived while the machine was paused.
    pub(super) backlog: Vec<Frame>,
    /// To whom, by which link.
    pub(super) outbox: Vec<(NodeId, u8, Frame)>,
    pub(super) replies: Vec<(u64, Result<Done, Refusal>)>,
    /// Nodes that the kernel declared dead since the eye last looked.
    pub(super) deaths: Vec<NodeId>,
    /// Something that must never happen.
    pub(super) broken: Option<String>,
    trace: Trace,
}

/// What does not change about a node.
pub(super) struct Make {
    pub(super) config: Config,
    pub(super) links: u8,
    pub(super) mutation: Mutation,
    pub(super) gates_first: bool,
    pub(super) clock: Clock,
    pub(super) trace: Trace,
}

impl Node {
    /// A machine that is switched off.
    pub(super) fn new(make: Make) -> Self {
        let groups = make.config.groups.len();
        let plan = Plan { start: 20 * MS, stop: 20 * MS, start_fails: false, stop_fails: false };
        Self {
            id: make.config.own,
            config: make.config,
            links: make.links,
            mutation: make.mutation,
            gates_first: make.gates_first,
            plans: vec![plan; groups],
            power: Power::Off,
            unplugged: vec![false; usize::from(make.links)],
            unsent: 0,
            clock: make.clock,
            kernel: None,
            agent: None,
            scripts: vec![Script { runs: Runs::Down, run: 0 }; groups],
            kept: None,
            lives: 0,
            alarms: BTreeMap::new(),
            alarms_set: 0,
            backlog: Vec::new(),
            outbox: Vec::new(),
            replies: Vec::new(),
            deaths: Vec::new(),
            broken: None,
            trace: make.trace,
        }
    }

    pub(super) fn others(&self) -> impl Iterator<Item = NodeId> + use<> {
        let own = self.id;
        (0..self.config.nodes as NodeId).filter(move |&node| node != own)
    }

    fn groups(&self) -> impl Iterator<Item = GroupId> + use<> {
        0..self.config.groups.len() as GroupId
    }

    // ---- alarms ----

    fn set(&mut self, at: u64, alarm: Alarm) {
        self.alarms_set += 1;
        self.alarms.insert((at, self.alarms_set), alarm);
    }

    /// The true time of the next alarm.
    pub(super) fn next_alarm(&self) -> Option<u64> {
        if self.power != Power::On {
            return None;
        }
        self.alarms.first_key_value().and_then(|((at, _), _)| self.clock.when(*at))
    }

    pub(super) fn pop_alarm(&mut self) -> Option<Alarm> {
        self.alarms.pop_first().map(|(_, alarm)| alarm)
    }

    pub(super) fn ring(&mut self, now: u64, alarm: Alarm) {
        match alarm {
            Alarm::Look { peer, life } => self.look(now, peer, life),
            Alarm::Script { group, run } if self.scripts[group as usize].run == run => {
                self.end_script(now, group);
            }
            Alarm::Tick { life } if self.is_life(life) => self.tick(now),
            Alarm::Turn { life } if self.is_life(life) => {
                self.set(now + LEASE / 4, alarm);
                self.turn(now);
            }
            Alarm::Wake { life } if self.is_life(life) => self.turn(now),
            Alarm::Script { .. } | Alarm::Tick { .. } | Alarm::Turn { .. } | Alarm::Wake { .. } => {}
            Alarm::Asked { .. } => self.broken = Some("ARP is the network's".to_owned()),
        }
    }

    /// Whether this is the agent that runs.
    pub(super) fn is_life(&self, life: u32) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.life == life)
    }

    // ---- the kernel's part ----

    pub(super) fn on_frame(&mut self, now: u64, frame: Frame) {
        let Some(kernel) = &mut self.kernel else { return };
        if let Some(answer) = kernel.on_frame(now, frame) {
            self.outbox.push((answer.destination(), answer.link(), answer));
        }
        self.on_events(now);
    }

    fn look(&mut self, now: u64, peer: NodeId, life: u32) {
        let Some(kernel) = self.kernel.as_mut().filter(|kernel| kernel.life == life) else { return };
        let next = kernel.look(now, peer);
        self.set(now + next, Alarm::Look { peer, life });
        self.on_events(now);
    }

    /// The kernel's events wake the agent.
    fn on_events(&mut self, now: u64) {
        if self.take_events() {
            self.turn(now);
        }
    }

    fn take_events(&mut self) -> bool {
        let Some(kernel) = &mut self.kernel else { return false };
        let any = !kernel.events.is_empty();
        for event in kernel.events.drain(..) {
            let kind = EventKind::from_number(event.kind);
            if kind == Some(EventKind::NodeDead) {
                self.deaths.push(event.node as NodeId);
            }
            self.trace.node(self.id, || {
                let name = kind.map_or_else(|| event.kind.to_string(), |kind| format!("{kind:?}"));
                let (node, group, epoch) = (event.node, event.group, event.epoch);
                format!("kernel: {name} node {node} group {group} epoch {epoch} detail {}", event.detail)
            });
        }
        any
    }

    // ---- the agent's part ----

    /// The decision loop turns.
    fn turn(&mut self, now: u64) {
        let (Some(agent), Some(kernel)) = (&mut self.agent, &mut self.kernel) else { return };
        if agent.health != Health::Well {
            return;
        }
        kernel.renew(now, now + LEASE);
        if let Err(what) = agent.turn(now, kernel) {
            self.broken.get_or_insert(what);
            return;
        }
        let (pages, wishes) = (mem::take(&mut agent.say), mem::take(&mut agent.wishes));
        for page in pages {
            self.probe(now, page);
        }
        self.take_events();
        for wish in wishes {
            self.grant(now, wish);
        }
        let Some(agent) = &mut self.agent else { return };
        let (timeout, life) = (agent.cluster.poll_timeout(), agent.life);
        if mem::replace(&mut agent.woken_at, timeout) != timeout
            && let Some(at) = timeout
        {
            self.set(at, Alarm::Wake { life });
        }
    }

    fn tick(&mut self, now: u64) {
        let pages = {
            let Some(agent) = &mut self.agent else { return };
            if agent.health == Health::Frozen {
                agent.missed_tick = true;
                return;
            }
            agent.page = (agent.page + 1) % agent.pages();
            (agent.page, agent.life)
        };
        self.set(now + KEEPALIVE, Alarm::Tick { life: pages.1 });
        self.unsent = if self.unplugged.contains(&false) { 0 } else { self.unsent + 1 };
        self.probe(now, pages.0);
        self.on_events(now);
    }

    fn probe(&mut self, now: u64, page: u8) {
        let Some(kernel) = &mut self.kernel else { return };
        for link in 0..self.links {
            for to in (0..self.config.nodes as NodeId).filter(|&to| to != self.id) {
                let went = !self.unplugged[usize::from(link)];
                let frame = kernel.probe(now, (to, link), page, went);
                self.outbox.push((to, link, frame));
            }
        }
    }

    /// The driver hears of something by other ways than the tables.
    pub(super) fn on_input(&mut self, now: u64, input: Input) {
        if let Some(agent) = &mut self.agent {
            agent.inbox.push(input);
            self.turn(now);
        }
    }

    fn grant(&mut self, now: u64, wish: Wish) {
        match wish {
            Wish::Run(group, operation) => self.call(now, group, operation),
            Wish::Ask(group) => {
                let life = self.lives;
                self.set(now + ASKING, Alarm::Asked { group, life });
            }
            Wish::Reply(id, result) => self.replies.push((id, result)),
            Wish::Exit => {
                // The last word, for those who missed the one before; then nothing of ours stays in the kernel.
                (0..self.pages()).for_each(|page| self.probe(now, page));
                self.agent = None;
                self.kernel = None;
                if let Some(group) = self.groups().find(|&group| self.runs(group) != Runs::Down) {
                    self.broken = Some(format!("node {} ends with group {group} up", self.id));
                }
            }
        }
    }

    fn pages(&self) -> u8 {
        self.agent.as_ref().map_or(1, Agent::pages)
    }

    // ---- questions ----

    pub(super) fn health(&self) -> Option<Health> {
        self.agent.as_ref().map(|agent| agent.health)
    }

    /// Whether somebody here sends probes.
    pub(super) fn asks(&self) -> bool {
        self.power == Power::On && matches!(self.health(), Some(Health::Well | Health::Stuck))
    }

    /// Whether its kernel serves the group.
    pub(super) fn is_open(&self, now: u64, group: GroupId) -> bool {
        self.power == Power::On && self.kernel.as_ref().is_some_and(|kernel| kernel.is_open(now, group))
    }

    /// Whether the outside can get an answer in the group's name: through the gate, or from a stack that has the address.
    pub(super) fn answers(&self, now: u64, group: GroupId) -> bool {
        let let_out = |kernel: &Kernel| kernel.lets_out(now, group) && self.runs(group) != Runs::Down;
        self.is_open(now, group) || self.power == Power::On && self.kernel.as_ref().is_some_and(let_out)
    }

    pub(super) fn runs(&self, group: GroupId) -> Runs {
        self.scripts[group as usize].runs
    }

    pub(super) fn home(&self, group: GroupId) -> NodeId {
        self.config.groups[group as usize].home
    }

    /// Whether it held the group at any time in its present life.
    pub(super) fn has_held(&self, group: GroupId) -> bool {
        let kernel = self.kernel.as_ref();
        kernel.is_some_and(|kernel| reflex::gate::claim(&kernel.orders, &kernel.facts, group).epoch != 0)
    }

    /// Why it does not want the group, if so.
    pub(super) fn has_failed(&self, group: GroupId) -> bool {
        let agent = self.agent.as_ref();
        agent.is_some_and(|agent| agent.cluster.report()[group as usize].failure.is_some())
    }

    /// For a person who wonders how it came to this.
    pub(super) fn describe(&self) -> String {
        let mut text = format!("node {}: {:?}, agent {:?}", self.id, self.power, self.health());
        for (group, script) in self.scripts.iter().enumerate() {
            text += &format!("\n  group {group}: resources {:?}", script.runs);
            if let Some(kernel) = &self.kernel {
                let claim = reflex::gate::claim(&kernel.orders, &kernel.facts, group as u32);
                text += &format!(", gate {claim:?}");
            }
            if let Some(agent) = &self.agent {
                text += &format!(", election {:?}", agent.cluster.report()[group]);
            }
        }
        text
    }

    pub(super) fn trace_frame(&self, frame: &Frame) {
        self.trace.line(Detail::Frames, format_args!("node {}", self.id), || {
            format!(
                "hears {:?} {} of node {} on link {}, page {}, status {:04b}, {:?}",
                frame.kind(),
                frame.seq(),
                frame.source(),
                frame.link(),
                frame.page(),
                frame.status(),
                frame.claim(0)
            )
        });
    }
}
