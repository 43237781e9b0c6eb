//! What each input changes, before anything is decided.

use alloc::string::String;
use alloc::vec::Vec;

use reflex::{Claim, ClaimState, Status};

use super::Cluster;
use crate::action::{Action, Done, Note, Refusal};
use crate::group::{Asked, Phase, Why};
use crate::input::{Command, GateView, NodeView, Operation, Set};
use crate::{GroupId, Instant, NodeId};

impl Cluster {
    pub(super) fn on_node(&mut self, node: NodeId, view: NodeView) {
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

    /// A node that was there before this agent was has not come back: what it lost or gave away in its present life stays
    /// away, and so does what the agent before left here. Else what it never held since it came back is still due.
    pub(super) fn on_found(&mut self, node: NodeId) {
        for id in 0..self.groups.len() as GroupId {
            let held = self.claim(node, id).state() != ClaimState::None;
            let session = self.view(node).session;
            let group = &mut self.groups[id as usize];
            group.failback_due &= group.home != node || !held && group.stays != Some(session);
        }
    }

    pub(super) fn on_claim(&mut self, node: NodeId, group: GroupId, claim: Claim) {
        if let Some(claims) = self.claims.get_mut(usize::from(node))
            && let Some(slot) = claims.get_mut(group as usize)
        {
            let before = core::mem::replace(slot, claim);
            let yielded = before.state() == ClaimState::Open && claim.state() != ClaimState::Open;
            // It served the group beside us, and its neighbours may remember that.
            if yielded && self.groups[group as usize].gate.open {
                self.act(Action::Announce(group));
            }
        }
    }

    pub(super) fn on_gate(&mut self, id: GroupId, gate: GateView) {
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

    pub(super) fn on_done(&mut self, id: GroupId, operation: Operation, outcome: Result<(), String>) {
        let Some(group) = self.groups.get_mut(id as usize) else { return };
        group.ailing = None;
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
            // Overtaken by a start or a stop: the answer to that counts.
            (Operation::Ready, _) if !group.readying => {}
            (Operation::Ready, Ok(())) => group.phase = Phase::Ready,
            (Operation::Stop, Ok(())) => {
                group.phase = Phase::Stopped;
                self.note(Note::Stopped(id));
            }
            (Operation::Stop | Operation::Ready, Err(what)) => {
                group.phase = Phase::Stopped;
                group.failure = Some(what.clone());
                self.note(Note::Failed { group: id, what });
            }
        }
    }

    pub(super) fn on_monitored(&mut self, id: GroupId, outcome: Result<(), String>) {
        if id as usize >= self.groups.len() {
            return;
        }
        let heir = self.heir(id, self.config.own);
        let group = &mut self.groups[id as usize];
        // Said before the stop that is under way.
        if group.phase != Phase::Started {
            return;
        }
        let before = core::mem::replace(&mut group.ailing, outcome.err());
        if before.is_none() != group.ailing.is_none() && heir.is_none() {
            let what = group.ailing.clone();
            self.note(Note::Ailing { group: id, what });
        }
    }

    pub(super) fn on_asked(&mut self, now: Instant, id: GroupId, answered: bool) {
        let again = now.saturating_add(self.patience());
        let Some(group) = self.groups.get_mut(id as usize) else { return };
        if group.asked != Asked::Waiting {
            // Since it was asked the holder was heard.
            return;
        }
        group.asked = if answered { Asked::Occupied(again) } else { Asked::Free };
        if answered {
            self.note(Note::Occupied(id));
        }
    }

    pub(super) fn on_command(&mut self, now: Instant, id: u64, command: Command) {
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

    pub(super) fn selected(&self, set: &Set) -> Vec<GroupId> {
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

    pub(super) fn on_standby(&mut self, now: Instant, id: u64, set: &Set) {
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
            let result = Ok(Done::NothingToGive);
            return self.act(Action::Reply { id, result });
        }
        for (group, to) in heirs {
            if self.groups[group as usize].moving.is_none() {
                self.begin_move(now, group, to, Why::Standby);
            }
            self.groups[group as usize].waiting.push(id);
        }
    }

    pub(super) fn why_nobody(&self, group: GroupId) -> Refusal {
        match self.others().find(|&node| self.view(node).alive) {
            Some(node) => Refusal::Unwilling { group, node },
            None => Refusal::Nobody { group },
        }
    }

    pub(super) fn on_takeover(&mut self, now: Instant, id: u64, set: &Set) {
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
            let result = Ok(Done::NothingToTake);
            self.act(Action::Reply { id, result });
        }
    }
}
