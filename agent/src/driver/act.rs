//! From actions to the world: orders into the table, operations to the runners, answers to whom they belong.

use std::time::Instant;

use cluster::{Action, GroupId, Input, Operation};
use reflex::{CLAIMS_PER_FRAME, Event};

use super::notes::{self, Names};
use super::turn::Driver;
use crate::control::Reply;
use crate::datapath::ask;
use crate::record::Line;
use crate::sys::clock;

impl Driver<'_> {
    /// Carries out everything that the election asks for.
    pub(super) fn carry_out(&mut self) {
        let mut say = false;
        while let Some(action) = self.cluster.poll_action() {
            say |= action == Action::Say;
            self.act(action);
        }
        if say {
            self.say();
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Grant { group, epoch } => {
                self.orders.gates[group as usize].granted.set(u64::from(epoch));
                self.touch(group);
            }
            Action::Resign { group, epoch } => {
                self.orders.gates[group as usize].resigned.set(u64::from(epoch));
                self.touch(group);
            }
            Action::Arm { group, armed } => {
                let word = armed.map_or(0, reflex::gate::Armed::pack);
                self.orders.gates[group as usize].armed.set(word);
                self.touch(group);
            }
            Action::Plan { group, plan } => {
                self.orders.gates[group as usize].plan.set(plan.pack());
                self.touch(group);
            }
            Action::Status(bits) => {
                self.orders.status.set(u64::from(bits));
                (0..self.config.groups.len() as GroupId).for_each(|group| self.touch(group));
            }
            // Sent once for all, when the queue is empty.
            Action::Say => {}
            Action::Start(group) => {
                self.left.started(self.config.groups[group as usize].key());
                self.runners[group as usize].ask(Operation::Start);
            }
            Action::Stop(group) => self.runners[group as usize].ask(Operation::Stop),
            Action::Announce(group) => self.vips.announce_group(group, Instant::now()),
            Action::Ask(group) => self.ask(group),
            Action::Reply { id, result } => self.reply(id, result),
            Action::Note(note) => notes::log(&Names(&self.config), &note),
            Action::Exit => self.exit = true,
        }
    }

    /// The page of that group is to be told to the others.
    fn touch(&mut self, group: GroupId) {
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
    }

    /// Asks ARP for the group's addresses, beside the loop.
    fn ask(&self, group: GroupId) {
        let mut places = Vec::new();
        self.vips.each(|entry| {
            if entry.group == group {
                places.push((entry.placed.interface.clone(), entry.placed.address));
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

    fn reply(&mut self, id: u64, result: Result<String, String>) {
        let Some(reply) = self.replies.remove(&id) else { return };
        // The client may have gone away.
        let _ = reply.send(match result {
            Ok(message) => Reply::done(message),
            Err(reason) => Reply::refused(reason),
        });
    }

    /// Tells the election one thing.
    pub(super) fn tell(&mut self, input: Input) {
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
