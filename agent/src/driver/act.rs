//! From actions to the world: orders into the table, operations to the runners, answers to whom they belong.

use std::net::IpAddr;
use std::time::Instant;

use cluster::{Action, Done, GroupId, Input, NodeId, Note, Refusal};
use reflex::{CLAIMS_PER_FRAME, Claim, Event, EventKind};

use super::handover::Resigned;
use super::notes::{self, Names};
use super::runner::Order;
use super::turn::Driver;
use crate::control::Reply;
use crate::datapath::ask;
use crate::datapath::vips::Deed;
use crate::record::{Line, Stamp};
use crate::sys::clock;

impl Driver<'_> {
    /// Carries out everything that the election asks for.
    pub(super) fn carry_out(&mut self) {
        let mut say = false;
        // All at once at the end: between a shut gate and the word of it nobody is served.
        let (mut resigned, mut afterwards) = (Vec::new(), Vec::new());
        while let Some(action) = self.cluster.poll_action() {
            say |= action == Action::Say;
            if let Action::Resign { group, epoch } = action {
                resigned.push(self.resigned(group, epoch));
            }
            if resigned.iter().any(|resigned: &Resigned| resigned.comes_before(&action)) {
                afterwards.push(action);
            } else {
                self.act(action);
            }
        }
        if !resigned.is_empty() {
            self.change_hands(&resigned);
        }
        say &= resigned.is_empty() || !afterwards.is_empty();
        afterwards.into_iter().for_each(|action| self.act(action));
        if say {
            self.say();
        }
    }

    fn act(&mut self, action: Action) {
        self.old_lines.on_action(&Names(&self.config), &action);
        match action {
            Action::Grant { group, epoch } => {
                self.orders.gates[group as usize].granted.set(u64::from(epoch));
                self.touch(group);
            }
            Action::Arm { group, armed } => {
                let word = armed.map_or(0, reflex::gate::Armed::pack);
                self.orders.gates[group as usize].armed.set(word);
                self.touch(group);
            }
            Action::Plan { group, plan } => {
                if plan.flags & Claim::READY != 0 {
                    // Named as the heir: two that pass on to each other would send a packet to and fro.
                    self.vips.keep(group);
                }
                self.orders.gates[group as usize].plan.set(plan.pack());
                self.touch(group);
            }
            Action::Status(bits) => {
                self.orders.status.set(u64::from(bits));
                (0..self.config.groups.len() as GroupId).for_each(|group| self.touch(group));
            }
            // Once for all, when the queue is empty.
            Action::Say | Action::Resign { .. } => {}
            Action::Start(group) => {
                let noted = self.left.started(self.config.groups[group as usize].key());
                self.runners[group as usize].ask(Order::Start(noted));
            }
            Action::Stop(group) => self.runners[group as usize].ask(Order::Stop),
            Action::Ready(group) => {
                let key = self.config.groups[group as usize].key();
                // Addresses, too, are for the next agent to remove.
                self.left.started(key);
                self.runners[group as usize].ask(Order::Ready);
            }
            Action::Announce(group) => self.vips.announce_group(group, Instant::now()),
            Action::Ask(group) => self.ask(group),
            Action::Reply { id, result } => self.reply(id, result),
            Action::Note(note) => {
                notes::log(&Names(&self.config), &note);
                if matches!(note, Note::Active { .. }) {
                    self.tell_of_the_unheard();
                }
            }
            Action::Exit => self.exit = true,
        }
    }

    /// The page of that group is to be told to the others.
    pub(super) fn touch(&mut self, group: GroupId) {
        // At most 128 pages (GROUPS_MAX).
        self.dirty.insert((group as usize / CLAIMS_PER_FRAME) as u8);
    }

    /// Sends what changed, now.
    pub(super) fn say(&mut self) {
        let mut pages = std::mem::take(&mut self.dirty);
        if pages.is_empty() {
            pages.insert(0);
        }
        let mut sender = self.prober.sender();
        pages.into_iter().for_each(|page| sender.say(page));
        drop(sender);
        self.stamp(Stamp::Said);
    }

    /// Adds a stamp of this moment to the recording.
    pub(super) fn stamp(&self, stamp: Stamp) {
        if let Some(recorder) = &self.recorder {
            recorder.add(Line::Stamp { at: clock::now(), stamp });
        }
    }

    /// The same for what the kernel did.
    pub(super) fn stamp_event(&self, event: &Event) {
        let stamped = event.at;
        match EventKind::from_number(event.kind) {
            Some(EventKind::NodeDead) => {
                let Some(node) = self.facts.nodes.get(event.node as usize) else { return };
                // It lies in the tables still: nothing was heard of it since.
                let heard = node.heard_at.get();
                self.stamp(Stamp::Verdict { node: event.node as NodeId, stamped, heard });
            }
            Some(EventKind::GateOpened) => self.stamp(Stamp::Opened { group: event.group, stamped }),
            _ => {}
        }
    }

    /// Adds what was done to addresses since the last turn.
    pub(super) fn stamp_deeds(&self) {
        let Some(recorder) = &self.recorder else { return };
        for (at, group, deed) in self.vips.take_deeds() {
            let stamp = match deed {
                Deed::Woken => Stamp::Woken { group },
                Deed::Added => Stamp::Added { group },
                Deed::Announced => Stamp::Announced { group },
                Deed::Removed => Stamp::Removed { group },
            };
            recorder.add(Line::Stamp { at, stamp });
        }
    }

    /// Asks the neighbours for the group's addresses, beside the loop.
    fn ask(&self, group: GroupId) {
        let mut places: Vec<(String, IpAddr)> = Vec::new();
        self.vips.each(|entry| {
            if entry.group == group {
                places.push((entry.placed.interface.clone(), entry.placed.address.into()));
            }
        });
        self.vips.each6(|entry| {
            if entry.group == group {
                places.push((entry.placed.interface.clone(), entry.placed.address.into()));
            }
        });
        let answers = self.asked.clone();
        tokio::task::spawn_local(async move {
            let mut answered = false;
            for (interface, address) in places {
                match ask::is_answered(&interface, address).await {
                    Ok(one) => answered |= one,
                    // An interface without a network has nobody on it who could answer.
                    Err(error) => tracing::warn!("cannot ask for {address} on {interface}: {error}"),
                }
            }
            let _ = answers.send((group, answered));
        });
    }

    fn reply(&mut self, id: u64, result: Result<Done, Refusal>) {
        let Some(reply) = self.replies.remove(&id) else { return };
        // The client may have gone away.
        let _ = reply.send(match result {
            Ok(done) => Reply::done(notes::done(done)),
            Err(refusal) => Reply::refused(notes::refusal(&Names(&self.config), &refusal)),
        });
    }

    /// Tells the election one thing.
    pub(super) fn tell(&mut self, input: Input) {
        self.old_lines.on_input(&Names(&self.config), &input);
        self.tell_hooks(&input);
        let now = clock::now();
        if let Some(recorder) = &self.recorder {
            recorder.add(Line::Input { at: now, input: input.clone() });
        }
        self.cluster.handle(now, input);
        self.carry_out();
    }

    pub(super) fn log_event(&self, event: &Event) {
        notes::log_event(&Names(&self.config), event, clock::now());
    }
}
