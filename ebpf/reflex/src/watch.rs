//! The watch: when is a node dead?
//!
//! Silence alone is no evidence: the watcher may have been asleep. A node is dead when, on every link in use,
//! nothing authentic was heard for deadtime **and** the probes that were sent after the last thing heard
//! stayed unanswered: three of them, or as many as fit into deadtime if that is fewer. A watcher that asked
//! nothing declares nobody dead, nor does one that wakes and asks everything at once: what is sent within the time
//! that an answer takes counts as one.

use crate::LINKS_MAX;
use crate::gate;
use crate::layout::{Facts, LinkFacts, LinkOrders, NodeOrders, Orders, at};
use crate::verdict::{Event, EventKind, Sink};

/// Unanswered probes that make a verdict, where deadtime allows as many.
pub const UNANSWERED: u64 = 3;

/// Shortest time to the next look, ns: bounds the cost of a watch whose answer is due.
const LOOK_MIN_NS: u64 = 20_000;

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
    let due = node_facts.heard_at.get().wrapping_add(deadtime);
    if now < due {
        return at_least_min(due - now);
    }
    if !is_silent(orders, at!(orders.nodes, node), &node_facts.links, now) {
        return at_least_min(orders.grace.get() / 2);
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

#[inline(always)]
fn at_least_min(ns: u64) -> u64 {
    if ns < LOOK_MIN_NS { LOOK_MIN_NS } else { ns }
}

/// Whether the node is silent on every link in use, and was asked on each.
#[inline(always)]
fn is_silent(orders: &Orders, node: &NodeOrders, links: &[LinkFacts; LINKS_MAX], now: u64) -> bool {
    if now < node.heard_elsewhere_until.get() {
        return false;
    }
    let mut asked = false;
    for (sent, heard) in node.links.iter().zip(links) {
        if sent.asked.get() == 0 {
            continue;
        }
        if !is_link_silent(orders, sent, heard, now) {
            return false;
        }
        asked = true;
    }
    asked
}

#[inline(always)]
fn is_link_silent(orders: &Orders, link: &LinkOrders, facts: &LinkFacts, now: u64) -> bool {
    if now.saturating_sub(facts.heard_at.get()) < orders.deadtime.get() {
        return false;
    }
    // The last one counts only when there was time to answer it.
    let mut asked = link.asked.get();
    if now.saturating_sub(link.asked_at.get()) < orders.grace.get() {
        asked = asked.saturating_sub(1);
    }
    asked.saturating_sub(facts.asked_when_heard.get()) >= orders.unanswered_min.get()
}

#[cfg(test)]
mod tests;
