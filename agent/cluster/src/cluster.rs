//! The machine: inputs in, actions out.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use reflex::gate::Armed;
use reflex::{Claim, ClaimState, Status};

use crate::action::{Action, Note};
use crate::group::{Asked, Group, Move, Phase, Stage, Why};
use crate::input::{Command, GateView, Input, NodeView, Operation, Set};
use crate::view::{Config, GroupReport};
use crate::{GroupId, Instant, NodeId};

/// How long a heir gets to arm its kernel, and then to claim what it was given: this, or deadtime if that is
/// longer. Both take a frame's flight each way; the rest is room for a busy machine.
const HEIR_PATIENCE: u64 = 2_000_000_000;

/// The election of one node. Plain data.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(crate) config: Config,
    started: Instant,
    /// The moment of the last input: what was due until then has been looked at.
    seen_at: Instant,
    pub(crate) active: bool,
    pub(crate) leaving: bool,
    held_by: Option<NodeId>,
    pub(crate) nodes: Vec<NodeView>,
    pub(crate) claims: Vec<Vec<Claim>>,
    pub(crate) groups: Vec<Group>,
    actions: VecDeque<Action>,
    /// The commands that made this node leave.
    stops: Vec<u64>,
    exited: bool,
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
            leaving: false,
            held_by: None,
            nodes,
            claims,
            groups,
            actions: VecDeque::new(),
            stops: Vec::new(),
            exited: false,
        };
        cluster.evaluate(now);
        cluster
    }

    /// Takes one input. Never fails, never blocks.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Node { node, view, claims } => {
                self.on_node(node, view);
                for (group, claim) in claims {
                    self.on_claim(node, group, claim);
                }
            }
            Input::Gate { group, gate } => self.on_gate(group, gate),
            Input::Done { group, operation, outcome } => self.on_done(group, operation, outcome),
            Input::Asked { group, answered } => self.on_asked(now, group, answered),
            Input::Command { id, command } => self.on_command(now, id, command),
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
            [group.moving.as_ref().map(|m| m.until), group.wanted_until, asked, free, failback]
        });
        groups.flatten().chain(start).filter(|&at| at > self.seen_at).min()
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
                    failure: group.failure.clone(),
                }
            })
            .collect()
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

    // ---- inputs ----

    fn on_node(&mut self, node: NodeId, view: NodeView) {
        let Some(slot) = self.nodes.get_mut(usize::from(node)) else { return };
        let before = core::mem::replace(slot, view);
        let new_life = view.session != before.session;
        let returned = view.alive && (!before.alive || new_life);
        if returned {
            self.note(Note::NodeUp(node));
        }
        if before.alive && !view.alive {
            self.note(Note::NodeDead(node));
        }
        if view.leaving && !before.leaving {
            self.note(Note::NodeLeaving(node));
        }
        if view.alive && !view.config_matches && (returned || before.config_matches) {
            self.note(Note::ConfigDiffers(node));
        }
        let well = |view: NodeView| view.alive && !view.starved;
        if well(view) && (!well(before) || new_life) {
            for group in self.groups.iter_mut().filter(|group| group.home == node) {
                group.failback_due = true;
            }
        }
    }

    fn on_claim(&mut self, node: NodeId, group: GroupId, claim: Claim) {
        if let Some(claims) = self.claims.get_mut(usize::from(node))
            && let Some(slot) = claims.get_mut(group as usize)
        {
            *slot = claim;
        }
    }

    fn on_gate(&mut self, id: GroupId, gate: GateView) {
        let Some(group) = self.groups.get_mut(id as usize) else { return };
        let before = core::mem::replace(&mut group.gate, gate);
        if gate.open && (!before.open || gate.held > before.held) && gate.held > before.seen {
            self.note(Note::TookOver { group: id, epoch: gate.held });
        }
        if before.open
            && !gate.open
            && let Some(reason) = gate.fenced
        {
            self.note(Note::Fenced { group: id, reason });
        }
    }

    fn on_done(&mut self, id: GroupId, operation: Operation, outcome: Result<(), String>) {
        let Some(group) = self.groups.get_mut(id as usize) else { return };
        match (operation, outcome) {
            // A start that was overtaken by a stop: the stop's answer counts.
            (Operation::Start, _) if group.phase != Phase::Starting => {}
            (Operation::Start, Ok(())) => {
                group.phase = Phase::Started;
                self.note(Note::Started(id));
            }
            (Operation::Start, Err(what)) => {
                group.phase = Phase::Stopped;
                group.failure = Some(what.clone());
                self.note(Note::Failed { group: id, what });
            }
            (Operation::Stop, Ok(())) => {
                group.phase = Phase::Stopped;
                self.note(Note::Stopped(id));
            }
            (Operation::Stop, Err(what)) => {
                group.phase = Phase::Stopped;
                group.failure = Some(what.clone());
                self.note(Note::Failed { group: id, what });
            }
        }
    }

    fn on_asked(&mut self, now: Instant, id: GroupId, answered: bool) {
        let again = now.saturating_add(self.patience());
        let Some(group) = self.groups.get_mut(id as usize) else { return };
        group.asked = if answered { Asked::Occupied(again) } else { Asked::Free };
        if answered {
            self.note(Note::Occupied(id));
        }
    }

    fn on_command(&mut self, now: Instant, id: u64, command: Command) {
        match command {
            Command::Standby(set) => self.on_standby(now, id, &set),
            Command::Takeover(set) => self.on_takeover(now, id, &set),
            Command::Stop => {
                self.leaving = true;
                self.stops.push(id);
                self.act(Action::Status(Status::ACTIVE | Status::LEAVING));
                self.act(Action::Say);
            }
        }
    }

    fn selected(&self, set: &Set) -> Vec<GroupId> {
        let own = self.config.own;
        (0..self.groups.len() as GroupId)
            .filter(|&id| match set {
                Set::All => true,
                Set::Local => self.groups[id as usize].home == own,
                Set::Foreign => self.groups[id as usize].home != own,
                Set::Group(group) => *group == id,
            })
            .collect()
    }

    fn on_standby(&mut self, now: Instant, id: u64, set: &Set) {
        let mut heirs = Vec::new();
        for group in self.selected(set) {
            if !self.groups[group as usize].gate.open {
                continue;
            }
            let Some(to) = self.heir(group, self.config.own) else {
                // All or nothing.
                let result = Err(self.why_nobody(group));
                return self.act(Action::Reply { id, result });
            };
            heirs.push((group, to));
        }
        if heirs.is_empty() {
            let result = Ok(String::from("nothing to give: this node serves none of these groups"));
            return self.act(Action::Reply { id, result });
        }
        for (group, to) in heirs {
            if self.groups[group as usize].moving.is_none() {
                self.begin_move(now, group, to, Why::Standby);
            }
            self.groups[group as usize].waiting.push(id);
        }
    }

    fn why_nobody(&self, group: GroupId) -> String {
        match self.others().find(|&node| self.view(node).alive) {
            Some(node) => format!("node {node} is up, but cannot take group {group} now"),
            None => "no other node is up".to_string(),
        }
    }

    fn on_takeover(&mut self, now: Instant, id: u64, set: &Set) {
        let until = now.saturating_add(self.patience().saturating_mul(2));
        let mut wanted = 0;
        for group in self.selected(set) {
            let slot = &mut self.groups[group as usize];
            if slot.gate.open {
                continue;
            }
            // The operator has looked at what went wrong.
            slot.failure = None;
            slot.wanted_until = Some(until);
            slot.waiting.push(id);
            wanted += 1;
        }
        if wanted == 0 {
            let result = Ok(String::from("nothing to take: this node serves these groups already"));
            self.act(Action::Reply { id, result });
        }
    }

    // ---- one step towards what ought to be ----

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
        self.try_exit();
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

    /// Our gate is open.
    fn drive_held(&mut self, now: Instant, id: GroupId) {
        self.arm(id, None);
        let group = &mut self.groups[id as usize];
        group.free_since = None;
        group.asked = Asked::No;
        group.wanted_until = None;
        if group.moving.as_ref().is_some_and(|m| m.stage == Stage::Resigned) {
            // Open again, with a new epoch: that move is over.
            group.moving = None;
        }
        if group.failure.is_some() || self.leaving {
            return self.drive_yield(now, id);
        }
        self.drive_move(now, id);
        let group = &mut self.groups[id as usize];
        if !group.gate.open || group.moving.is_some() {
            return;
        }
        match group.phase {
            Phase::Stopped => {
                group.phase = Phase::Starting;
                self.act(Action::Start(id));
                self.act(Action::Say);
            }
            Phase::Started => {
                if let Some((to, why)) = self.should_move(now, id) {
                    self.begin_move(now, id, to, why);
                    self.drive_move(now, id);
                }
            }
            Phase::Starting | Phase::Stopping => {}
        }
    }

    fn should_move(&mut self, now: Instant, id: GroupId) -> Option<(NodeId, Why)> {
        if let Some(to) = self.asks_for(id) {
            return Some((to, Why::Takeover));
        }
        let group = &self.groups[id as usize];
        if group.home == self.config.own {
            self.groups[id as usize].failback_due = false;
            return None;
        }
        let (home, due) = (group.home, group.failback_due && now >= group.failback_after);
        (due && self.config.auto_failback && self.is_willing(home, id)).then_some((home, Why::Failback))
    }

    /// The group cannot stay: hand it to somebody, or give it up.
    fn drive_yield(&mut self, now: Instant, id: GroupId) {
        loop {
            if self.groups[id as usize].moving.is_none() {
                let why = if self.leaving { Why::Leaving } else { Why::Failure };
                match self.heir(id, self.config.own) {
                    Some(to) if !self.groups[id as usize].heirless => self.begin_move(now, id, to, why),
                    Some(_) | None => return self.give_up(now, id),
                }
            }
            self.drive_move(now, id);
            let group = &self.groups[id as usize];
            // Else the heir is gone: is there another?
            if group.moving.is_some() || !group.gate.open {
                return;
            }
        }
    }

    /// Nobody can take the group: stop it and close.
    fn give_up(&mut self, now: Instant, id: GroupId) {
        match self.groups[id as usize].phase {
            Phase::Started | Phase::Starting => self.stop(id),
            Phase::Stopping => {}
            Phase::Stopped => self.resign(now, id, None),
        }
    }

    fn begin_move(&mut self, now: Instant, id: GroupId, to: NodeId, why: Why) {
        let until = now.saturating_add(self.patience());
        let group = &mut self.groups[id as usize];
        group.failback_due = false;
        group.moving = Some(Move { to, why, stage: Stage::Preparing, until });
        self.note(Note::Moving { group: id, to, why });
    }

    fn drive_move(&mut self, now: Instant, id: GroupId) {
        let Some(Move { to, why, stage, until }) = self.groups[id as usize].moving.clone() else { return };
        match stage {
            Stage::Preparing if self.is_ready(to, id) => {
                self.groups[id as usize].moving = Some(Move { to, why, stage: Stage::Stopping, until });
                match self.groups[id as usize].phase {
                    Phase::Started | Phase::Starting => self.stop(id),
                    Phase::Stopping => {}
                    Phase::Stopped => self.resign(now, id, Some(to)),
                }
            }
            Stage::Preparing if now >= until || !self.is_willing(to, id) => {
                self.groups[id as usize].heirless = now >= until;
                self.abort_move(now, id);
            }
            Stage::Stopping if self.groups[id as usize].phase == Phase::Stopped => {
                if self.is_willing(to, id) {
                    self.resign(now, id, Some(to));
                } else {
                    self.abort_move(now, id);
                }
            }
            Stage::Preparing | Stage::Stopping | Stage::Resigned => {}
        }
    }

    /// The heir will not have it: the group stays, for now.
    fn abort_move(&mut self, now: Instant, id: GroupId) {
        let again = now.saturating_add(self.patience());
        let group = &mut self.groups[id as usize];
        let Some(Move { to, why, .. }) = group.moving.take() else { return };
        if why == Why::Failback {
            (group.failback_due, group.failback_after) = (true, again);
        }
        self.note(Note::MoveAborted { group: id, to });
        self.reply(id, &Err(format!("node {to} did not get ready; the group stays")));
    }

    /// Whether `to` and nobody else will open when we resign: a third node that is still armed against us would
    /// open on the same frame.
    fn is_ready(&self, to: NodeId, id: GroupId) -> bool {
        let armed = |node| self.view(node).alive && self.claim(node, id).flags & Claim::ARMED != 0;
        self.is_willing(to, id) && self.others().all(|node| armed(node) == (node == to))
    }

    fn stop(&mut self, id: GroupId) {
        self.groups[id as usize].phase = Phase::Stopping;
        self.act(Action::Stop(id));
    }

    /// Closes our gate for good with this epoch. The driver reports the closed gate back.
    fn resign(&mut self, now: Instant, id: GroupId, to: Option<NodeId>) {
        let until = now.saturating_add(self.patience());
        let group = &mut self.groups[id as usize];
        let epoch = group.gate.held;
        group.gate.open = false;
        if let Some(m) = &mut group.moving {
            (m.stage, m.until) = (Stage::Resigned, until);
        }
        self.act(Action::Resign { group: id, epoch });
        self.act(Action::Say);
        self.note(Note::Resigned { group: id, to });
    }

    /// Our gate is closed.
    fn drive_other(&mut self, now: Instant, id: GroupId) {
        match self.groups[id as usize].phase {
            // Fenced: the resources follow the gate, and only then may we be elected again.
            Phase::Started | Phase::Starting => self.stop(id),
            Phase::Stopping | Phase::Stopped => {}
        }
        self.end_move(now, id);
        self.groups[id as usize].heirless = false;
        let own = self.config.own;
        match self.holder(id) {
            Some(holder) => {
                if !holder.dead {
                    let group = &mut self.groups[id as usize];
                    group.free_since = None;
                    group.asked = Asked::No;
                    // Home again: whatever moves it away from now on is meant.
                    group.failback_due &= holder.node != group.home;
                }
                if !holder.dead && self.claim(holder.node, id).heir == own + 1 {
                    // It is on its way, however long the holder's scripts take.
                    let until = now.saturating_add(self.patience().saturating_mul(2));
                    let wanted = &mut self.groups[id as usize].wanted_until;
                    *wanted = wanted.map(|_| until);
                }
                let next = self.heir(id, holder.node) == Some(own);
                let epoch = self.next_epoch(id);
                let armed = next.then(|| Armed {
                    epoch,
                    holder: holder.node,
                    behind: u8::try_from(epoch - holder.epoch).unwrap_or(u8::MAX),
                });
                self.arm(id, armed);
                if holder.dead {
                    self.drive_free(now, id);
                }
            }
            None => {
                // What was armed stays so: the claim that ended is being acted on in the kernel.
                if !self.is_willing(own, id) {
                    self.arm(id, None);
                }
                self.drive_free(now, id);
            }
        }
    }

    /// A move is over when the heir claims the group, or did not in time.
    fn end_move(&mut self, now: Instant, id: GroupId) {
        let Some(m) = &self.groups[id as usize].moving else { return };
        if m.stage != Stage::Resigned {
            // Fenced in the middle of it.
            self.groups[id as usize].moving = None;
            return;
        }
        let (to, until) = (m.to, m.until);
        let claim = self.claim(to, id);
        let own_epoch = self.groups[id as usize].gate.held;
        if claim.state() == ClaimState::Open && claim.epoch > own_epoch {
            self.groups[id as usize].moving = None;
        } else if now >= until || !self.view(to).alive {
            self.groups[id as usize].moving = None;
            self.reply(id, &Err(format!("node {to} did not take the group")));
        }
    }

    /// Nobody alive holds the group: take it when it is our turn.
    fn drive_free(&mut self, now: Instant, id: GroupId) {
        let own = self.config.own;
        let patience = self.patience();
        let since = *self.groups[id as usize].free_since.get_or_insert(now);
        if !self.active || self.leaving || self.candidate(id) != Some(own) || !self.is_willing(own, id) {
            let asked = &mut self.groups[id as usize].asked;
            if *asked == Asked::Free {
                // By the time that it is our turn somebody else may serve it.
                *asked = Asked::No;
            }
            return;
        }
        // A kernel that is armed, ours or another's, is faster than we are: let it, for a while.
        let somebody_armed = self.groups[id as usize].armed.is_some()
            || self
                .others()
                .any(|node| self.view(node).alive && self.claim(node, id).flags & Claim::ARMED != 0);
        let in_flight = self.groups[id as usize].moving.is_some() || somebody_armed;
        if in_flight && now < since.saturating_add(patience) {
            return;
        }
        // What a node holds of which not everything was heard will be known in a moment.
        if self.others().any(|node| self.view(node).alive && !self.view(node).complete) {
            return;
        }
        if !self.all_heard() && !self.is_free(now, id) {
            return;
        }
        let epoch = self.next_epoch(id);
        let group = &mut self.groups[id as usize];
        group.gate.held = epoch;
        group.gate.seen = group.gate.seen.max(epoch);
        group.gate.open = true;
        group.free_since = None;
        group.phase = Phase::Starting;
        group.moving = None;
        self.arm(id, None);
        self.act(Action::Grant { group: id, epoch });
        self.note(Note::Granted { group: id, epoch });
        self.act(Action::Start(id));
        self.act(Action::Say);
    }

    /// Whether every node answered, so that nobody can hold the group unheard.
    fn all_heard(&self) -> bool {
        self.others().all(|node| {
            let view = self.view(node);
            view.alive && view.complete
        })
    }

    /// Whether ARP says that nobody serves the group; asks if it was not asked.
    fn is_free(&mut self, now: Instant, id: GroupId) -> bool {
        let group = &mut self.groups[id as usize];
        match group.asked {
            Asked::Free => return true,
            Asked::Waiting => return false,
            Asked::Occupied(again) if now < again => return false,
            Asked::No | Asked::Occupied(_) => group.asked = Asked::Waiting,
        }
        self.act(Action::Ask(id));
        false
    }

    // ---- orders ----

    fn arm(&mut self, id: GroupId, armed: Option<Armed>) {
        let group = &mut self.groups[id as usize];
        if group.armed != armed {
            group.armed = armed;
            self.act(Action::Arm { group: id, armed });
            self.act(Action::Say);
        }
    }

    /// Puts our plans for the group into the frames; true if they changed.
    fn order_plan(&mut self, id: GroupId) -> bool {
        let group = &self.groups[id as usize];
        let wants = self.would_want(group);
        let heir = match (&group.moving, group.wanted_until) {
            (Some(m), _) => m.to + 1,
            (None, Some(_)) if !group.gate.open => self.config.own + 1,
            (None, _) => 0,
        };
        let plan = Claim { flags: if wants { Claim::WILLING } else { 0 }, heir, ..Claim::default() };
        if plan == group.plan {
            return false;
        }
        self.groups[id as usize].plan = plan;
        self.act(Action::Plan { group: id, plan });
        true
    }

    /// Answers the commands that waited for this group.
    fn answer(&mut self, now: Instant, id: GroupId) {
        let group = &mut self.groups[id as usize];
        if group.wanted_until.is_some_and(|until| now >= until) {
            group.wanted_until = None;
            return self.reply(id, &Err(format!("group {id} was not given to this node")));
        }
        if group.waiting.is_empty() || group.moving.is_some() {
            return;
        }
        match group.wanted_until {
            Some(_) => {}
            // Taken: up. Given: the heir claims it.
            None if group.gate.open && group.phase != Phase::Started && group.failure.is_none() => {}
            None => {
                let result = match &group.failure {
                    Some(what) => Err(what.clone()),
                    None => Ok(String::from("done")),
                };
                self.reply(id, &result);
            }
        }
    }

    /// Answers every command that waits for this group; one that failed waits for no other group.
    fn reply(&mut self, id: GroupId, result: &Result<String, String>) {
        for command in core::mem::take(&mut self.groups[id as usize].waiting) {
            let elsewhere = self.groups.iter().any(|group| group.waiting.contains(&command));
            if result.is_err() {
                for group in &mut self.groups {
                    group.waiting.retain(|waiting| *waiting != command);
                }
            }
            if result.is_err() || !elsewhere {
                self.act(Action::Reply { id: command, result: result.clone() });
            }
        }
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
                self.reply(id, &Err(String::from("this node was stopped meanwhile")));
            }
            for id in core::mem::take(&mut self.stops) {
                self.act(Action::Reply { id, result: Ok(String::from("stopped")) });
            }
            self.act(Action::Exit);
        }
    }
}
