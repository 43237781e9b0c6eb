//! Orders, when they change, and answers, when they are due.

use reflex::Claim;
use reflex::gate::Armed;

use super::Cluster;
use crate::action::{Action, Done, Refusal};
use crate::group::Phase;
use crate::{GroupId, Instant};

impl Cluster {
    pub(super) fn arm(&mut self, id: GroupId, armed: Option<Armed>) {
        let group = &mut self.groups[id as usize];
        if group.armed != armed || group.inherited {
            (group.armed, group.inherited) = (armed, false);
            self.act(Action::Arm { group: id, armed });
            self.act(Action::Say);
        }
    }

    /// Puts our plans for the group into the frames; true if they changed.
    pub(super) fn order_plan(&mut self, id: GroupId) -> bool {
        let group = &self.groups[id as usize];
        let wants = self.would_want(group);
        let heir = match (&group.moving, group.wanted_until) {
            (Some(m), _) => m.to + 1,
            (None, Some(_)) if !group.gate.open => self.config.own + 1,
            (None, _) => 0,
        };
        let mut flags = if wants { Claim::WILLING } else { 0 };
        if self.is_named(id) && (group.phase == Phase::Ready || !self.hands_over(id)) {
            flags |= Claim::READY;
        }
        let plan = Claim { flags, heir, sight: group.sight, ..Claim::default() };
        if plan == group.plan {
            return false;
        }
        self.groups[id as usize].plan = plan;
        self.act(Action::Plan { group: id, plan });
        true
    }

    /// Answers the commands that waited for this group.
    pub(super) fn answer(&mut self, now: Instant, id: GroupId) {
        let group = &mut self.groups[id as usize];
        if group.wanted_until.is_some_and(|until| now >= until) {
            group.wanted_until = None;
            return self.reply(id, &Err(Refusal::NotGiven { group: id }));
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
                    Some(what) => Err(Refusal::Failed { group: id, what: what.clone() }),
                    None => Ok(Done::Done),
                };
                self.reply(id, &result);
            }
        }
    }

    /// Answers every command that waits for this group; one that failed waits for no other group.
    pub(super) fn reply(&mut self, id: GroupId, result: &Result<Done, Refusal>) {
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
}
