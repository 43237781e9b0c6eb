//! One step towards what ought to be, for one group: see the picture in the crate's documentation.

use reflex::gate::Armed;
use reflex::{Claim, ClaimState};

use super::Cluster;
use crate::action::{Action, Note, Refusal};
use crate::group::{Asked, Move, Phase, Stage, Why};
use crate::{GroupId, Instant, NodeId};

impl Cluster {
    /// Our gate is open.
    pub(super) fn drive_held(&mut self, now: Instant, id: GroupId) {
        self.arm(id, None);
        let group = &mut self.groups[id as usize];
        group.free_since = None;
        group.asked = Asked::No;
        // Whoever asked for it did not mean it to go home at once.
        group.failback_due &= group.wanted_until.take().is_none();
        if group.moving.as_ref().is_some_and(|m| m.stage == Stage::Resigned) {
            // Open again, with a new epoch: that move is over.
            group.moving = None;
        }
        if group.unreachable && self.yield_at_once(now, id) {
            return;
        }
        if let Some((to, why @ Why::Deaf)) = self.outseen(now, id)
            && self.is_ready(to, id)
        {
            return self.yield_to(now, id, to, why);
        }
        self.give_up_hope(id);
        self.drive_served(now, id);
        // The heir may be another one now, and ready.
        let group = &self.groups[id as usize];
        if group.gate.open && group.unreachable {
            self.yield_at_once(now, id);
        }
    }

    /// The group is served here: it stays, or moves in order.
    fn drive_served(&mut self, now: Instant, id: GroupId) {
        if self.groups[id as usize].failure.is_some() || self.leaving {
            return self.drive_yield(now, id);
        }
        self.drive_move(now, id);
        let group = &mut self.groups[id as usize];
        if !group.gate.open || group.moving.is_some() {
            return;
        }
        match group.phase {
            Phase::Stopped | Phase::Readying | Phase::Ready => {
                self.start(id);
                self.act(Action::Say);
            }
            Phase::Started => {
                if let Some((to, why)) = self.should_move(now, id) {
                    self.begin_move(now, id, to, why);
                    self.drive_move(now, id);
                }
            }
            Phase::Starting | Phase::Stopping | Phase::Releasing => {}
        }
    }

    /// A resource died and does not come back here: once somebody else can take the group, this node does not want it any
    /// more. Until then it stays: what else is in it may still be of use.
    fn give_up_hope(&mut self, id: GroupId) {
        let group = &self.groups[id as usize];
        if group.ailing.is_none() || group.phase != Phase::Started || self.heir(id, self.config.own).is_none()
        {
            return;
        }
        let group = &mut self.groups[id as usize];
        group.failure = group.ailing.take();
        if let Some(what) = group.failure.clone() {
            self.note(Note::Failed { group: id, what });
        }
    }

    /// Nobody can be served here any more: the heir first, if one is ready, our own resources after. False if none is:
    /// then nothing is gained by giving the group up.
    pub(super) fn yield_at_once(&mut self, now: Instant, id: GroupId) -> bool {
        let named = self.groups[id as usize].heir_named();
        let Some(to) = named.or_else(|| self.heir(id, self.config.own)) else { return false };
        if !self.is_ready(to, id) {
            return false;
        }
        self.yield_to(now, id, to, Why::Unreachable);
        true
    }

    /// Gives the group up now, to an heir that is ready; our resources follow the gate.
    fn yield_to(&mut self, now: Instant, id: GroupId, to: NodeId, why: Why) {
        self.begin_move(now, id, to, why);
        self.resign(now, id, Some(to));
    }

    pub(super) fn should_move(&mut self, now: Instant, id: GroupId) -> Option<(NodeId, Why)> {
        if let Some(to) = self.asks_for(id) {
            return Some((to, Why::Takeover));
        }
        if let Some(better) = self.outseen(now, id) {
            return Some(better);
        }
        let group = &self.groups[id as usize];
        if group.home == self.config.own {
            self.groups[id as usize].failback_due = false;
            return None;
        }
        if self.home_sees_less(now, id) {
            return None;
        }
        let group = &self.groups[id as usize];
        let (home, due) = (group.home, group.failback_due && now >= group.failback_after);
        (due && self.config.auto_failback && self.is_willing(home, id)).then_some((home, Why::Failback))
    }

    /// The group cannot stay: hand it to somebody, or give it up.
    pub(super) fn drive_yield(&mut self, now: Instant, id: GroupId) {
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
    pub(super) fn give_up(&mut self, now: Instant, id: GroupId) {
        match self.groups[id as usize].phase {
            Phase::Started | Phase::Starting | Phase::Readying | Phase::Ready => self.stop(id),
            Phase::Stopping | Phase::Releasing => {}
            Phase::Stopped => self.resign(now, id, None),
        }
    }

    pub(super) fn begin_move(&mut self, now: Instant, id: GroupId, to: NodeId, why: Why) {
        let until = now.saturating_add(self.patience());
        let group = &mut self.groups[id as usize];
        group.failback_due = false;
        group.moving = Some(Move { to, why, stage: Stage::Preparing, until });
        self.note(Note::Moving { group: id, to, why });
    }

    pub(super) fn drive_move(&mut self, now: Instant, id: GroupId) {
        let Some(Move { to, why, stage, until }) = self.groups[id as usize].moving.clone() else { return };
        match stage {
            Stage::Preparing if self.is_ready(to, id) && self.is_prepared(to, id) => {
                self.groups[id as usize].moving = Some(Move { to, why, stage: Stage::Stopping, until });
                match self.groups[id as usize].phase {
                    Phase::Started | Phase::Starting if self.hands_over(id) => self.ready(id),
                    Phase::Started | Phase::Starting => self.stop(id),
                    Phase::Stopping | Phase::Readying | Phase::Releasing => {}
                    Phase::Stopped | Phase::Ready => self.resign(now, id, Some(to)),
                }
            }
            Stage::Preparing if now >= until || !self.is_willing(to, id) => {
                self.groups[id as usize].heirless = now >= until;
                self.abort_move(now, id);
            }
            Stage::Stopping if matches!(self.groups[id as usize].phase, Phase::Stopped | Phase::Ready) => {
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
    pub(super) fn abort_move(&mut self, now: Instant, id: GroupId) {
        let again = now.saturating_add(self.patience());
        let group = &mut self.groups[id as usize];
        let Some(Move { to, why, .. }) = group.moving.take() else { return };
        if why == Why::Failback {
            (group.failback_due, group.failback_after) = (true, again);
        }
        if let Some((_, _, since)) = &mut group.outseen {
            *since = again;
        }
        self.note(Note::MoveAborted { group: id, to });
        self.reply(id, &Err(Refusal::NotReady { group: id, node: to }));
    }

    /// Whether `to` and nobody else will open when we resign: a third node that is still armed against us would
    /// open on the same frame.
    pub(super) fn is_ready(&self, to: NodeId, id: GroupId) -> bool {
        let armed = |node| self.view(node).alive && self.claim(node, id).flags & Claim::ARMED != 0;
        self.is_willing(to, id) && self.others().all(|node| armed(node) == (node == to))
    }

    /// Whether the heir can serve the moment its gate opens.
    fn is_prepared(&self, to: NodeId, id: GroupId) -> bool {
        self.claim(to, id).flags & Claim::READY != 0
    }

    /// The addresses that the group begins with stay up, or come up, and nothing else: the gate decides.
    fn ready(&mut self, id: GroupId) {
        let group = &mut self.groups[id as usize];
        // What goes down is not to be had here before it is down.
        group.phase = if group.phase == Phase::Stopped { Phase::Readying } else { Phase::Stopping };
        group.readying = true;
        self.act(Action::Ready(id));
    }

    fn start(&mut self, id: GroupId) {
        let group = &mut self.groups[id as usize];
        (group.phase, group.readying) = (Phase::Starting, false);
        self.act(Action::Start(id));
    }

    pub(super) fn stop(&mut self, id: GroupId) {
        let group = &mut self.groups[id as usize];
        let only_addresses = matches!(group.phase, Phase::Readying | Phase::Ready);
        group.phase = if only_addresses { Phase::Releasing } else { Phase::Stopping };
        group.readying = false;
        self.act(Action::Stop(id));
    }

    /// Closes our gate for good with this epoch. The driver reports the closed gate back.
    pub(super) fn resign(&mut self, now: Instant, id: GroupId, to: Option<NodeId>) {
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
    pub(super) fn drive_other(&mut self, now: Instant, id: GroupId) {
        match self.groups[id as usize].phase {
            // Fenced: the resources follow the gate, and only then may we be elected again.
            Phase::Started | Phase::Starting => self.stop(id),
            Phase::Stopped if self.is_named(id) && self.hands_over(id) => self.ready(id),
            // Resigned, or not named any more.
            Phase::Readying | Phase::Ready if !self.is_named(id) => self.stop(id),
            Phase::Stopping | Phase::Stopped | Phase::Readying | Phase::Ready | Phase::Releasing => {}
        }
        self.end_move(now, id);
        self.groups[id as usize].heirless = false;
        self.groups[id as usize].outseen = None;
        self.groups[id as usize].home_sees_less = None;
        let own = self.config.own;
        match self.holder(id) {
            Some(holder) => {
                if !holder.dead {
                    let group = &mut self.groups[id as usize];
                    group.free_since = None;
                    group.asked = Asked::No;
                    group.was_unreachable = false;
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
    pub(super) fn end_move(&mut self, now: Instant, id: GroupId) {
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
            self.reply(id, &Err(Refusal::NotTaken { group: id, node: to }));
        }
    }

    /// Nobody alive holds the group: take it when it is our turn.
    pub(super) fn drive_free(&mut self, now: Instant, id: GroupId) {
        let own = self.config.own;
        let patience = self.patience();
        let since = *self.groups[id as usize].free_since.get_or_insert(now);
        if self.resumed.is_some_and(|until| now < until) {
            return;
        }
        if !self.active || self.leaving || self.candidate(id) != Some(own) || !self.is_willing(own, id) {
            let asked = &mut self.groups[id as usize].asked;
            if *asked == Asked::Free {
                // By the time that it is our turn somebody else may serve it.
                *asked = Asked::No;
            }
            return;
        }
        if self.groups[id as usize].phase == Phase::Releasing {
            // In a moment.
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
        let is_sure = self.all_heard() && !self.groups[id as usize].was_unreachable;
        if !is_sure && !self.is_free(now, id) {
            return;
        }
        let epoch = self.next_epoch(id);
        let group = &mut self.groups[id as usize];
        group.gate.held = epoch;
        group.gate.seen = group.gate.seen.max(epoch);
        group.gate.open = true;
        group.free_since = None;
        group.was_unreachable = false;
        group.moving = None;
        self.arm(id, None);
        self.act(Action::Grant { group: id, epoch });
        self.note(Note::Granted { group: id, epoch });
        self.start(id);
        self.act(Action::Say);
    }

    /// Whether every node answered, so that nobody can hold the group unheard.
    pub(super) fn all_heard(&self) -> bool {
        self.others().all(|node| {
            let view = self.view(node);
            view.alive && view.complete
        })
    }

    /// Whether ARP says that nobody serves the group; asks if it was not asked.
    pub(super) fn is_free(&mut self, now: Instant, id: GroupId) -> bool {
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
}
