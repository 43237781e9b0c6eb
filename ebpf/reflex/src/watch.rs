//! The watch: when is a node dead?
//!
//! Silence alone is no evidence: the watcher may have been asleep. A node is dead when, on every link in use,
//! nothing authentic was heard for that link's deadtime **and** the probes that were sent after the last thing heard
//! stayed unanswered: three of them, or as many as fit into deadtime if that is fewer. A watcher that asked
//! nothing declares nobody dead, nor does one that wakes and asks everything at once: what is sent within the time
//! that an answer takes counts as one.
//!
//! One of them at least must have gone out after the node was heard last on any link. A kernel whose agent is gone asks nobody any more,
//! and what went unanswered by one link long ago says nothing of a node that was heard by another one since.
//!
//! A link is in use while probes can be sent by it. One by which as many as make a verdict could not be sent in a row
//! bears no witness: it does not keep a node alive that is silent on the others, and proves nothing by itself. A watcher
//! that can send by no link asks nobody, and declares nobody dead; the agent is told by [`is_cut_off`].

use crate::gate;
use crate::layout::{Facts, LinkFacts, LinkOrders, NodeFacts, NodeOrders, Orders, at};
use crate::verdict::{Event, EventKind, Sink};
use crate::{LINKS_MAX, NODES_MAX};

/// Unanswered probes that make a verdict, where deadtime allows as many.
pub const UNANSWERED: u64 = 3;

/// Shortest time to the next look, ns: bounds the cost of a watch whose answer is due.
const LOOK_MIN_NS: u64 = 20_000;

/// So long before a node's deadline the agent is told that it may have to act, ns; a quarter of deadtime at most.
const FOREWARNED_NS: u64 = 200_000;

/// Number of unanswered probes that these times ask for.
#[must_use]
pub const fn unanswered_min(keepalive_ns: u64, deadtime_ns: u64) -> u64 {
    if keepalive_ns == 0 {
        return UNANSWERED;
    }
    match deadtime_ns / keepalive_ns {
        0 => 1,
        fit if fit < UNANSWERED => fit,
        _ => UNANSWERED,
    }
}

/// Looks at node `node`; declares it dead and opens what is armed against it when it is. Returns the time
/// until the next look, ns.
#[inline(always)]
pub fn look<S: Sink>(orders: &Orders, facts: &Facts, node: u8, now: u64, sink: &mut S) -> u64 {
    let next = look_at_node(orders, facts, node, now, sink);
    // The end of the lease is noticed on time, also when nobody sends anything.
    if gate::check_lease(orders, facts, now, sink) {
        let left = orders.lease_until.get().saturating_sub(now);
        if left != 0 && left < next {
            return at_least_min(left);
        }
    }
    next
}

#[inline(always)]
fn look_at_node<S: Sink>(orders: &Orders, facts: &Facts, node: u8, now: u64, sink: &mut S) -> u64 {
    let deadtime = orders.deadtime.get();
    let node_facts = at!(facts.nodes, node);
    if node_facts.session.get() == 0 || node_facts.dead_at.get() != 0 {
        // Half of deadtime: if it comes back and falls silent at once, its deadline is not missed.
        return at_least_min(deadtime / 2);
    }
    let due = node_facts.heard_until.get();
    if now < due {
        return until_due(orders, node, due - now, now, sink);
    }
    let until_silent = until_silent(orders, at!(orders.nodes, node), node_facts, now);
    if until_silent != 0 {
        return at_least_min(until_silent);
    }
    node_facts.dead_at.set(now);
    facts.version.add(1);
    sink.emit(Event {
        at: now,
        epoch: 0,
        kind: EventKind::NodeDead as u32,
        node: u32::from(node),
        group: 0,
        detail: 0,
    });
    gate::take_over_all(orders, facts, node, now, sink);
    at_least_min(deadtime / 2)
}

/// The time until the next look at a node that is not due for so long, ns: shortly before it is due, then when it is.
#[inline(always)]
fn until_due<S: Sink>(orders: &Orders, node: u8, left: u64, now: u64, sink: &mut S) -> u64 {
    let quarter = orders.deadtime.get() / 4;
    let early = if quarter < FOREWARNED_NS { quarter } else { FOREWARNED_NS };
    if left > early {
        return at_least_min(left - early);
    }
    sink.forewarn(node, now);
    at_least_min(left)
}

#[inline(always)]
fn at_least_min(ns: u64) -> u64 {
    if ns < LOOK_MIN_NS { LOOK_MIN_NS } else { ns }
}

/// Whether nothing is known of node `node`: it was not heard for deadtime, and there is no link by which it can be asked.
/// It may be off, or our cable pulled: the kernel decides nothing then.
#[must_use]
pub fn is_cut_off(orders: &Orders, facts: &Facts, node: u8, now: u64) -> bool {
    let links = &at!(orders.nodes, node).links;
    let fails = |(link, sent): (u8, &LinkOrders)| sent.failed.get() >= orders.unanswered_min_of(link).max(1);
    now >= at!(facts.nodes, node).heard_until.get()
        && (0..).zip(links).any(fails)
        && (0..).zip(links).all(|(link, sent)| sent.asked.get() == 0 || fails((link, sent)))
}

/// 0 when the node is silent on every link, each by its own clock, and was asked on each by which it can be asked; else the
/// time until that is worth another look, ns: half of the grace of the link that stands against it.
#[inline(always)]
fn until_silent(orders: &Orders, node: &NodeOrders, facts: &NodeFacts, now: u64) -> u64 {
    let last_heard = facts.heard_at.get();
    let mut asked = false;
    for link in 0..LINKS_MAX as u8 {
        let (sent, heard) = (at!(node.links, link), at!(facts.links, link));
        if sent.asked.get() == 0 {
            continue;
        }
        let again = at_least_min(orders.grace_of(link) / 2);
        if now.saturating_sub(heard.heard_at.get()) < orders.deadtime_of(link) {
            return again;
        }
        let failed = sent.failed.get();
        if failed != 0 && failed >= orders.unanswered_min_of(link) {
            // Nothing leaves by it.
            continue;
        }
        if !is_unanswered(orders, link, sent, heard, now) {
            return again;
        }
        // Questions from before it was last heard, by whichever link, are none: nobody asks any more.
        asked |= sent.asked_at.get() > last_heard;
    }
    if asked { 0 } else { at_least_min(orders.grace.get() / 2) }
}

/// Whether nothing came over one link to one node for deadtime, although it was asked.
#[inline(always)]
#[must_use]
pub fn is_link_silent(orders: &Orders, link: u8, sent: &LinkOrders, facts: &LinkFacts, now: u64) -> bool {
    now.saturating_sub(facts.heard_at.get()) >= orders.deadtime_of(link)
        && is_unanswered(orders, link, sent, facts, now)
}

/// Whether what was asked over the link since it was last heard is enough to count as unanswered.
#[inline(always)]
fn is_unanswered(orders: &Orders, link: u8, sent: &LinkOrders, facts: &LinkFacts, now: u64) -> bool {
    // The last one counts only when there was time to answer it.
    let mut asked = sent.asked.get();
    if now.saturating_sub(sent.asked_at.get()) < orders.grace_of(link) {
        asked = asked.saturating_sub(1);
    }
    asked.saturating_sub(facts.asked_when_heard.get()) >= orders.unanswered_min_of(link)
}

/// Whether a node is silent that lacks one question more, and the next one, at `next`, would be out too late to count when
/// its deadtime is over. Nobody lacks one while everything is answered: two must be unanswered for that. Links with times of
/// their own, which are cables, ask by themselves.
#[must_use]
pub fn lacks_a_question(orders: &Orders, facts: &Facts, next: u64) -> bool {
    let lacks = |node: usize, link: u8| {
        let (sent, heard) =
            (&at!(at!(orders.nodes, node).links, link), &at!(at!(facts.nodes, node).links, link));
        let unanswered = sent.asked.get().saturating_sub(heard.asked_when_heard.get());
        at!(orders.links, link).deadtime.get() == 0
            && unanswered + 1 == UNANSWERED
            && unanswered + 1 == orders.unanswered_min_of(link)
            && next.saturating_add(orders.grace_of(link))
                > heard.heard_at.get().saturating_add(orders.deadtime_of(link))
    };
    let lives = |node: &usize| {
        let found = at!(facts.nodes, *node);
        found.session.get() != 0 && found.dead_at.get() == 0
    };
    (0..NODES_MAX).filter(lives).any(|node| (0..LINKS_MAX as u8).any(|link| lacks(node, link)))
}

#[cfg(test)]
mod tests;
