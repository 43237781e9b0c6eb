//! The machine: inputs in, actions out.

mod inputs;
mod orders;
mod steps;

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use reflex::{Claim, ClaimState, Status};

use crate::action::{Action, Done, Note, Refusal};
use crate::group::{Asked, Group, Phase, Why};
use crate::input::{Input, NodeView};
use crate::view::{Config, GroupReport, Held};
use crate::{GroupId, Instant, NodeId};

/// How long a heir gets to arm its kernel, and then to claim what it was given: this, or deadtime if that is
/// longer. Both take a frame's flight each way; the rest is room for a busy machine.
const HEIR_PATIENCE: u64 = 2_000_000_000;

/// How long an election that was resumed takes no free group: its first look at the tables is many inputs, and before the
/// last of them it does not know which epochs are used up.
const FIRST_LOOK: u64 = 100_000_000;

/// The election of one node. Plain data.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(crate) config: Config,
    started: Instant,
    /// The moment of the last input: what was due until then has been looked at.
    seen_at: Instant,
    pub(crate) active: bool,
    /// It goes on where an earlier agent stopped, and takes nothing that is free before then.
    resumed: Option<Instant>,
    pub(crate) leaving: bool,
    held_by: Option<NodeId>,
    pub(crate) nodes: Vec<NodeView>,
    pub(crate) claims: Vec<Vec<Claim>>,
    pub(crate) groups: Vec<Group>,
    actions: VecDeque<Action>,
    /// The commands that made this node leave.
    stops: Vec<u64>,
    exited: bool,
    /// Nodes that may serve beside this one, which serves and does not hear them.
    unheard: Vec<NodeId>,
}

impl Cluster {
    /// A node that starts at `now` and holds nothing.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        let groups: Vec<Group> = config.groups.iter().map(|group| Group::new(group.home)).collect();
        let claims = vec![vec![Claim::default(); groups.len()]; config.nodes];
        let nodes = vec![NodeView::default(); config.nodes];
        let mut cluster = Self {
            config,
            started: now,
            seen_at: now,
            active: false,
            resumed: None,
            leaving: false,
            held_by: None,
            nodes,
            claims,
            groups,
            actions: VecDeque::new(),
            stops: Vec::new(),
            exited: false,
            unheard: Vec::new(),
        };
        cluster.evaluate(now);
        cluster
    }

    /// Goes on where an earlier agent of this node stopped: with these gates open and their resources up or down. To be
    /// called before the first input.
    pub fn resume(&mut self, now: Instant, held: Vec<Held>) {
        for held in held {
            if let Some(group) = self.groups.get_mut(held.group as usize) {
                (group.gate, group.phase, group.stays) = (held.gate, held.phase, held.stays);
            }
        }
        for group in &mut self.groups {
            // What was ordered last is not known; every plan differs from this one.
            group.inherited = true;
            group.plan.flags = u8::MAX;
        }
        (self.active, self.resumed) = (true, Some(now.saturating_add(FIRST_LOOK)));
        self.act(Action::Status(Status::ACTIVE));
        self.evaluate(now);
    }

    /// Resources that an earlier agent of this node left behind: they are stopped before their group can be held here. To
    /// be called before the first input; a group whose gate is open is no leftover.
    pub fn clean_up(&mut self, now: Instant, left: impl IntoIterator<Item = GroupId>) {
        for id in left {
            if let Some(group) = self.groups.get_mut(id as usize)
                && !group.gate.open
            {
                group.phase = Phase::Started;
            }
        }
        self.evaluate(now);
    }

    /// Takes one input. Never fails, never blocks.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Node { node, view, claims } => {
                let found = self.resumed.is_some() && self.view(node).session == 0;
                self.on_node(node, view);
                for (group, claim) in claims {
                    self.on_claim(node, group, claim);
                }
                if found {
                    self.on_found(node);
                }
            }
            Input::Gate { group, gate } => self.on_gate(group, gate),
            Input::Done { group, operation, outcome } => self.on_done(group, operation, outcome),
            Input::Monitored { group, outcome } => self.on_monitored(group, outcome),
            Input::Reach { group, up } => {
                if let Some(group) = self.groups.get_mut(group as usize) {
                    if group.unreachable && up {
                        // What was found out before counts no more.
                        (group.was_unreachable, group.asked) = (true, Asked::No);
                    }
                    group.unreachable = !up;
                }
            }
            Input::Sight { group, sight } => {
                if let Some(group) = self.groups.get_mut(group as usize) {
                    group.sight = sight;
                }
            }
            Input::Asked { group, answered } => self.on_asked(now, group, answered),
            Input::Command { id, command } => self.on_command(now, id, command),
            Input::Rules { auto_failback, initdead, deadtime, damping } => {
                if auto_failback && !self.config.auto_failback {
                    self.groups.iter_mut().for_each(|group| group.failback_due = false);
                }
                self.config = Config { auto_failback, initdead, deadtime, damping, ..self.config.clone() };
            }
            Input::Timeout => {}
        }
        self.evaluate(now);
    }

    /// The next thing to do; to be drained after every [`Self::handle`].
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Self::handle`] with [`Input::Timeout`], if nothing else happens before. Always later than the
    /// last input: a deadline that has passed was acted upon, or waits for something else than time.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let start = (!self.active).then(|| self.started.saturating_add(self.config.initdead));
        let groups = self.groups.iter().flat_map(|group| {
            let asked = match group.asked {
                Asked::Occupied(again) => Some(again),
                Asked::No | Asked::Waiting | Asked::Free => None,
            };
            let free = group.free_since.map(|since| since.saturating_add(self.patience()));
            let failback = group.failback_due.then_some(group.failback_after);
            let outseen = group.outseen.map(|(_, voice, since)| since.saturating_add(self.damping(voice)));
            [group.moving.as_ref().map(|m| m.until), group.wanted_until, asked, free, failback, outseen]
        });
        groups.flatten().chain(start).chain(self.resumed).filter(|&at| at > self.seen_at).min()
    }

    /// Whether this node takes part in elections.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Whether this node is going down.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether another node claims a group that is served here.
    fn serves_too(&self, node: NodeId) -> bool {
        (0..)
            .zip(&self.groups)
            .any(|(id, group)| group.gate.open && self.claim(node, id).state() == ClaimState::Open)
    }

    /// The nodes that may serve beside this one: it serves, does not hear them, and they never said that they go.
    #[must_use]
    pub fn unheard(&self) -> &[NodeId] {
        &self.unheard
    }

    /// How the groups stand.
    #[must_use]
    pub fn report(&self) -> Vec<GroupReport> {
        (0..self.groups.len() as GroupId)
            .map(|id| {
                let group = &self.groups[id as usize];
                let holder = self.holder(id).filter(|holder| !holder.dead);
                GroupReport {
                    group: id,
                    owner: holder.map(|holder| holder.node),
                    epoch: holder.map_or(group.gate.held, |holder| holder.epoch),
                    phase: group.phase,
                    heir: holder.and_then(|holder| self.heir(id, holder.node)),
                    better: holder.and_then(|holder| self.better(id, holder.node)).map(|(node, _)| node),
                    failure: group.failure.clone().or_else(|| group.ailing.clone()),
                    stays: self.stays(group),
                }
            })
            .collect()
    }

    /// The life of its home node in which the group does not go back to it.
    fn stays(&self, group: &Group) -> Option<u64> {
        let home = self.view(group.home);
        let goes = group.failback_due || group.moving.as_ref().is_some_and(|m| m.why == Why::Failback);
        (!goes && group.home != self.config.own && home.alive && !home.starved).then_some(home.session)
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn note(&mut self, note: Note) {
        self.act(Action::Note(note));
    }

    fn patience(&self) -> u64 {
        self.config.deadtime.max(HEIR_PATIENCE)
    }

    fn evaluate(&mut self, now: Instant) {
        self.seen_at = now;
        self.try_activate(now);
        let mut say = false;
        for id in 0..self.groups.len() as GroupId {
            if self.groups[id as usize].gate.open {
                self.drive_held(now, id);
            }
            // Also when it was open until just now.
            if !self.groups[id as usize].gate.open {
                self.drive_other(now, id);
            }
            self.answer(now, id);
            say |= self.order_plan(id);
        }
        if say {
            self.act(Action::Say);
        }
        self.judge_company(now);
        self.try_exit();
    }

    /// Whether somebody may serve beside us whom we do not hear. Once for each that falls silent, and once when it is over.
    fn judge_company(&mut self, now: Instant) {
        if self.resumed.is_some_and(|until| now < until) {
            return;
        }
        let serves = self.groups.iter().any(|group| group.gate.open);
        let is_unheard = |node: &NodeId| {
            let view = self.view(*node);
            let is_silent = !view.alive && !view.leaving;
            // Heard again, but the conflict is not settled yet.
            let is_open =
                self.unheard.contains(node) && view.alive && (!view.complete || self.serves_too(*node));
            serves && (is_silent || is_open)
        };
        let unheard: Vec<NodeId> = self.others().filter(is_unheard).collect();
        if unheard == self.unheard {
            return;
        }
        let before = core::mem::replace(&mut self.unheard, unheard.clone());
        if unheard.iter().any(|node| !before.contains(node)) {
            self.note(Note::MayNotBeAlone { nodes: unheard });
        } else if unheard.is_empty() {
            self.note(Note::NotAlone { nodes: before, serves });
        }
    }

    /// R6: nothing is held before every node was heard, or initdead has passed.
    fn try_activate(&mut self, now: Instant) {
        if self.active || self.leaving {
            return;
        }
        let all_heard = self.others().all(|node| {
            let view = self.view(node);
            view.alive && view.complete
        });
        if !all_heard && now < self.started.saturating_add(self.config.initdead) {
            return;
        }
        if let Some((node, key)) = self.held_back_by() {
            if self.held_by != Some(node) {
                self.held_by = Some(node);
                self.note(Note::Held { node, key });
            }
            return;
        }
        self.active = true;
        self.act(Action::Status(Status::ACTIVE));
        self.note(Note::Active { alone: !all_heard });
        self.act(Action::Say);
    }

    /// A node that this one must not start beside: it is there, but its claims cannot be read or do not mean
    /// what ours mean. Where both start, the lower index goes first.
    fn held_back_by(&self) -> Option<(NodeId, bool)> {
        self.others().find_map(|node| {
            let view = self.view(node);
            let first = self.config.own < node;
            if view.alive && !view.config_matches && (view.active || !first) {
                return Some((node, false));
            }
            (view.refused && !view.alive && !first).then_some((node, true))
        })
    }

    fn try_exit(&mut self) {
        if !self.leaving || self.exited {
            return;
        }
        let busy = self
            .groups
            .iter()
            .any(|group| group.gate.open || group.phase != Phase::Stopped || group.moving.is_some());
        if !busy {
            self.exited = true;
            for id in 0..self.groups.len() as GroupId {
                self.reply(id, &Err(Refusal::Stopped));
            }
            for id in core::mem::take(&mut self.stops) {
                self.act(Action::Reply { id, result: Ok(Done::Stopped) });
            }
            self.act(Action::Exit);
        }
    }
}
