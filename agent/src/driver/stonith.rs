//! STONITH: a node that is silent, and may still run what this node is about to start, is reset first.
//!
//! Addresses do not wait for it: epochs, leases and fences keep them at one place, and the kernel takes them over at once. What
//! waits is what could do harm twice, such as a file system: the first resource of a group that is no address and not built in.
//!
//! A node is a suspect in a group as long as nobody knows that the group is down there (see [`Stonith::suspects`]): it is reset
//! by its device, tried again until that works, and every failure is told. Its word that the resources have stopped, its new
//! life, or an operator's `xbeat confirm NODE` does as well. Without a device nothing is waited for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cluster::GroupId;
use reflex::node::Said;
use reflex::{Claim, ClaimState, Facts, Orders, Status, gate};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::observe::is_heard;
use super::runner::RulesInForce;
use crate::sys::{Table, clock};

/// How long a node that is heard, and was fenced, gets to stop its resources itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at what is known.
const LOOK: Duration = Duration::from_millis(100);

/// Longest time between two tries. They begin with [`crate::resources::FENCE_PAUSE`].
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Watches over all groups. A cheap handle: every group's task has one.
#[derive(Clone)]
pub(super) struct Stonith {
    inner: Rc<Inner>,
}

struct Inner {
    own: usize,
    nodes: Vec<String>,
    keys: Vec<String>,
    orders: Arc<Table<Orders>>,
    facts: Arc<Table<Facts>>,
    rules: RulesInForce,
    /// The lives that are known to be over, by node; 0: it was never heard.
    over: RefCell<BTreeMap<u8, u64>>,
    /// Lives of which was said that nothing resets them.
    unprotected: RefCell<BTreeSet<(u8, u64)>>,
    /// Nodes that are being reset.
    cases: RefCell<BTreeMap<u8, Case>>,
    changed: Notify,
}

/// A node that is being reset.
#[derive(Debug, Default)]
struct Case {
    /// Groups that wait for it.
    groups: BTreeSet<GroupId>,
    tries: u32,
    /// Why the last one failed.
    why: String,
}

/// A node that may still run a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Suspect {
    node: u8,
    session: u64,
    /// It is heard, so it may stop the group itself.
    is_heard: bool,
}

/// A group that waits; however that ends, nobody tries on for its sake.
struct Waiting<'a> {
    stonith: &'a Stonith,
    group: GroupId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        for case in self.stonith.inner.cases.borrow_mut().values_mut() {
            case.groups.remove(&self.group);
        }
        self.stonith.inner.changed.notify_waiters();
    }
}

impl Stonith {
    pub(super) fn new(
        own: usize,
        nodes: Vec<String>,
        keys: Vec<String>,
        tables: (Arc<Table<Orders>>, Arc<Table<Facts>>),
        rules: RulesInForce,
    ) -> Self {
        let (orders, facts) = tables;
        let (over, unprotected, cases) = (RefCell::default(), RefCell::default(), RefCell::default());
        let changed = Notify::new();
        let inner = Inner { own, nodes, keys, orders, facts, rules, over, unprotected, cases, changed };
        Self { inner: Rc::new(inner) }
    }

    /// Returns when no other node can run the group any more, as far as there are devices to see to it; false when this node
    /// does not hold it any more.
    pub(super) async fn clear(&self, group: GroupId) -> bool {
        let _waiting = Waiting { stonith: self, group };
        let (began, mut said) = (Instant::now(), false);
        while self.is_held(group) {
            let suspects = self.suspects(group);
            let (with, without): (Vec<Suspect>, Vec<Suspect>) =
                suspects.into_iter().partition(|suspect| self.has_device(suspect.node));
            for suspect in without {
                if !self.inner.unprotected.borrow_mut().insert((suspect.node, suspect.session)) {
                    continue;
                }
                tracing::warn!("No STONITH device configured for {}.", self.name(suspect.node));
                tracing::warn!("Shared disks are not protected.");
            }
            if with.is_empty() {
                return true;
            }
            if !std::mem::replace(&mut said, true) {
                let names: Vec<&str> = with.iter().map(|suspect| self.name(suspect.node)).collect();
                tracing::info!("{} may still run on {}", self.key(group), names.join(", "));
            }
            for suspect in with.iter().filter(|suspect| !suspect.is_heard || began.elapsed() >= PATIENCE) {
                self.see_to(*suspect, group);
            }
            let _ = timeout(LOOK, self.inner.changed.notified()).await;
        }
        false
    }

    /// The nodes that may still run a group, as far as this node knows:
    ///
    /// - who was never heard, once this node has waited for it (R6);
    /// - the last holder, if it fell silent while it held the group;
    /// - the last holder, if its kernel fenced it, until its agent says that it would take the group again: then nothing of it
    ///   runs there.
    ///
    /// Not who gave the group up, or has begun a new life since.
    fn suspects(&self, group: GroupId) -> Vec<Suspect> {
        let (orders, facts, now) = (&self.inner.orders, &self.inner.facts, clock::now());
        let others = || (0..self.inner.nodes.len()).filter(|&node| node != self.inner.own);
        let claim = |node: usize| Claim::unpack(facts.claims[node][group as usize].get());
        let newest = others().map(|node| claim(node).epoch).max().unwrap_or(0);
        let suspect = |node: usize| {
            let session = facts.nodes[node].session.get();
            let is_heard = is_heard(orders, facts, node, now);
            let (claim, said) = (claim(node), Said::unpack(facts.nodes[node].said.get()));
            let says = |bit: u8| said.status & bit != 0;
            let may_run = match claim.state() {
                _ if session == 0 => true,
                _ if claim.epoch < newest => false,
                ClaimState::Open => !is_heard,
                // The word of an agent that does not work is old.
                ClaimState::Fenced if is_heard => claim.flags & Claim::WILLING == 0 || !says(Status::LEASE),
                // Who went down in order has stopped everything.
                ClaimState::Fenced => !says(Status::LEAVING),
                ClaimState::None | ClaimState::Resigned => false,
            };
            let node = node as u8;
            let is_over = self.inner.over.borrow().get(&node) == Some(&session);
            (may_run && !is_over).then_some(Suspect { node, session, is_heard })
        };
        others().filter_map(suspect).collect()
    }

    fn is_held(&self, group: GroupId) -> bool {
        // Whether the lease is over makes no difference: what that closed is fenced in a moment.
        let group = group as usize;
        let (orders, facts) = (&self.inner.orders.gates[group], &self.inner.facts.gates[group]);
        gate::held(orders, facts) > gate::shut(orders, facts)
    }

    fn has_device(&self, node: u8) -> bool {
        self.inner.rules.borrow().fencing.others.contains_key(&node)
    }

    /// Has a suspect reset, unless that is under way.
    fn see_to(&self, suspect: Suspect, group: GroupId) {
        let mut cases = self.inner.cases.borrow_mut();
        if let Some(case) = cases.get_mut(&suspect.node) {
            case.groups.insert(group);
            return;
        }
        let groups = [group].into();
        cases.insert(suspect.node, Case { groups, ..Case::default() });
        // A try that has begun is not cut short, whoever stops waiting: half a reset is a node that is off.
        tokio::task::spawn_local(self.clone().reset(suspect.node, suspect.session));
    }

    /// Tries until it works, or nobody waits for it any more.
    async fn reset(self, node: u8, session: u64) {
        let mut pause = self.inner.rules.borrow().fencing.pause;
        while self.is_waited_for(node, session) {
            let rules = Rc::clone(&self.inner.rules.borrow());
            // Reloaded away meanwhile.
            let Some(device) = rules.fencing.others.get(&node) else { break };
            match rules.scripts.reset(device, self.name(node)).await {
                Ok(()) => {
                    self.inner.over.borrow_mut().insert(node, session);
                    break;
                }
                Err(why) => self.failed(node, why),
            }
            // Cut short when something has changed, perhaps that nobody waits any more.
            let _ = timeout(pause, self.inner.changed.notified()).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        self.inner.cases.borrow_mut().remove(&node);
        self.inner.changed.notify_waiters();
    }

    fn failed(&self, node: u8, why: String) {
        let name = self.name(node);
        tracing::error!("STONITH of {name} failed.  Retrying...  (`xbeat confirm {name}` if it is off)");
        if let Some(case) = self.inner.cases.borrow_mut().get_mut(&node) {
            (case.tries, case.why) = (case.tries + 1, why);
        }
    }

    fn is_waited_for(&self, node: u8, session: u64) -> bool {
        let groups = self.inner.cases.borrow().get(&node).map(|case| case.groups.clone()).unwrap_or_default();
        let is_suspect = |group: &GroupId| {
            self.suspects(*group).iter().any(|suspect| suspect.node == node && suspect.session == session)
        };
        groups.iter().any(is_suspect)
    }

    /// An operator has looked: that node is off, or runs none of what others hold.
    ///
    /// # Errors
    /// What is wrong with that.
    pub(super) fn confirm(&self, name: &str) -> Result<String, String> {
        let known = self.inner.nodes.iter().position(|node| node.eq_ignore_ascii_case(name));
        let Some(node) = known.filter(|&node| node != self.inner.own) else {
            let others: Vec<&str> = (0..self.inner.nodes.len())
                .filter(|&node| node != self.inner.own)
                .map(|node| self.name(node as u8))
                .collect();
            return Err(format!("{name} is no other node; there are: {}", others.join(", ")));
        };
        let facts = &self.inner.facts;
        if is_heard(&self.inner.orders, facts, node, clock::now()) {
            return Err(format!("{name} is heard: a node that is off is not"));
        }
        self.inner.over.borrow_mut().insert(node as u8, facts.nodes[node].session.get());
        tracing::warn!("an operator says that nothing runs on {name}: it is not reset");
        self.inner.changed.notify_waiters();
        Ok(format!("{name} is taken for down until it is heard again"))
    }

    /// What does not work, in words for a person.
    pub(super) fn report(&self) -> Vec<String> {
        let cases = self.inner.cases.borrow();
        let failing = cases.iter().filter(|(_, case)| case.tries > 0 && !case.groups.is_empty());
        failing
            .map(|(&node, case)| {
                let (name, keys) = (self.name(node), case.groups.iter().map(|&group| self.key(group)));
                format!(
                    "{name} has to be reset before {} is safe here: {} tries failed, the last with {}; if it is off, \
                     `xbeat confirm {name}`",
                    keys.collect::<Vec<_>>().join(", "),
                    case.tries,
                    case.why
                )
            })
            .collect()
    }

    fn name(&self, node: u8) -> &str {
        self.inner.nodes.get(usize::from(node)).map_or("?", String::as_str)
    }

    fn key(&self, group: GroupId) -> &str {
        self.inner.keys.get(group as usize).map_or("?", String::as_str)
    }
}

#[cfg(test)]
mod tests;
