//! The moment in which addresses change hands in a planned move.
//!
//! ```text
//!   hold       the kernel keeps what comes for the addresses; they are ours still, and what was asked before is answered
//!   drain      the services answer what they have taken
//!   resign     the gates are shut, and a frame says so                                               (R3)
//!   wait       until the heir's kernel has opened, for a moment at most
//!   send on    what was kept, to the heir; what comes from now on, the kernel passes on by itself
//! ```
//!
//! The loop stands still meanwhile, for two waits of less than a millisecond together, and what it takes to tell of all groups
//! that go: nothing may come between these steps, and there is no timer so short. Everything the kernel does by itself goes on.

use std::thread;
use std::time::Duration;

use cluster::{Action, GroupId};
use reflex::layout::LinkFacts;
use reflex::strangers::mac_of;
use reflex::{Claim, ClaimState};

use super::turn::Driver;
use crate::sys::clock;

/// How long services have to answer what they have taken.
const DRAIN: Duration = Duration::from_micros(300);

/// How long the heir's kernel has to say that it has opened: several times what its answer takes on a network.
const OPENING: Duration = Duration::from_micros(500);

/// Between two looks whether it has.
const LOOK: Duration = Duration::from_micros(20);

/// Packets are not held back for longer than this, whatever becomes of this agent, ns.
const HELD_MAX: u64 = 5_000_000;

/// A group that this node gives up.
pub(super) struct Resigned {
    group: GroupId,
    epoch: u32,
    /// Who is to have it, if anybody is.
    heir: Option<u8>,
}

impl Resigned {
    /// Whether an action that was asked for after this is said to the others by the tables, and so must not be before it.
    pub(super) fn comes_before(&self, action: &Action) -> bool {
        match action {
            Action::Status(_) => true,
            Action::Grant { group, .. } | Action::Arm { group, .. } | Action::Plan { group, .. } => {
                *group == self.group
            }
            _ => false,
        }
    }
}

impl Driver<'_> {
    /// A group that is to be given up, with its heir as it stands.
    pub(super) fn resigned(&self, group: GroupId, epoch: u32) -> Resigned {
        let plan = Claim::unpack(self.orders.gates[group as usize].plan.get());
        Resigned { group, epoch, heir: plan.heir.checked_sub(1) }
    }

    /// Shuts the gates of these groups, and says so.
    pub(super) fn change_hands(&mut self, resigned: &[Resigned]) {
        let heirs: Vec<_> = resigned.iter().filter_map(|group| self.pass_on(group)).collect();
        if let (Some(held), false) = (&mut self.held_back, heirs.is_empty()) {
            held.prepare();
            self.hold(&heirs, clock::now() + HELD_MAX);
            thread::sleep(DRAIN);
        }
        for resigned in resigned {
            self.orders.gates[resigned.group as usize].resigned.set(u64::from(resigned.epoch));
            self.touch(resigned.group);
        }
        self.say();
        self.await_opening(&heirs);
        self.send_on(&heirs);
    }

    /// Packets that still come here for a group go on to its heir, if it has one and is heard on the group's own network:
    /// then that heir.
    fn pass_on(&self, &Resigned { group, heir, .. }: &Resigned) -> Option<(GroupId, u8)> {
        let heir = heir?;
        let links = &self.facts.nodes.get(usize::from(heir))?.links;
        let passes = self.vips.pass_on(group, |ifindex| {
            let on_it = |link: &&LinkFacts| link.ifindex.get() == u64::from(ifindex) && link.mac.get() != 0;
            links.iter().find(on_it).map(|link| mac_of(link.mac.get()))
        });
        passes.then_some((group, heir))
    }

    fn hold(&self, heirs: &[(GroupId, u8)], until: u64) {
        heirs.iter().for_each(|&(group, _)| self.orders.gates[group as usize].held_until.set(until));
    }

    /// Waits until the kernels of all heirs say that they have opened.
    fn await_opening(&self, heirs: &[(GroupId, u8)]) {
        let is_open = |&(group, heir): &(GroupId, u8)| {
            let claim = Claim::unpack(self.facts.claims[usize::from(heir)][group as usize].get());
            claim.state == ClaimState::Open as u8
        };
        let until = clock::now() + OPENING.as_nanos() as u64;
        while !heirs.iter().all(is_open) && clock::now() < until {
            thread::sleep(LOOK);
        }
    }

    fn send_on(&mut self, heirs: &[(GroupId, u8)]) {
        let Some(held) = &mut self.held_back else { return };
        let mut sent = held.send_on();
        heirs.iter().for_each(|&(group, _)| self.orders.gates[group as usize].held_until.set(0));
        // What came in between.
        sent += held.send_on();
        if sent != 0 {
            tracing::debug!("{sent} packets were held back while addresses changed hands");
        }
    }
}
