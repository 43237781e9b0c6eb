//! What each input changes, before anything is decided.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use reflex::{Claim, ClaimState, Status};

use super::Cluster;
use crate::action::{Action, Note};
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
    /// away. What it never held since it came back is still due.
    pub(super) fn on_found(&mut self, node: NodeId) {
        for id in 0..self.groups.len() as GroupId {
            let held = self.claim(node, id).state() != ClaimState::None;
            let group = &mut self.groups[id as usize];
            group.failback_due &= group.home != node || !held;
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

    pub(super) fn why_nobody(&self, group: GroupId) -> String {
        match self.others().find(|&node| self.view(node).alive) {
            Some(node) => format!("node {node} is up, but cannot take group {group} now"),
            None => "no other node is up".to_string(),
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
            let result = Ok(String::from("nothing to take: this node serves these groups already"));
            self.act(Action::Reply { id, result });
        }
    }
}
