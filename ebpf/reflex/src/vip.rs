//! What both kinds of neighbour discovery ask of a VIP: may it be answered for here, and who else says that it is his?

use crate::gate;
use crate::layout::{Facts, Orders, Vip, at};
use crate::verdict::{Event, EventKind, Sink};

/// What becomes of a question for a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Its gate is shut, or it stands behind a resource that has not started: silence.
    Closed,
    /// It is served here, and the stack answers: `XDP_TX` is not known to work, or the question came by another interface.
    ToStack,
    /// It is answered at once.
    Here,
}

/// Somebody asks for `vip`.
#[inline(always)]
pub(crate) fn asked(orders: &Orders, facts: &Facts, vip: &Vip, ifindex: u32, now: u64) -> Asked {
    if vip.ready == 0 || !gate::is_open(orders, facts, vip.group, now) {
        return Asked::Closed;
    }
    if vip.bounce == 0 || vip.ifindex != ifindex {
        return Asked::ToStack;
    }
    Asked::Here
}

/// It is being answered.
#[inline(always)]
pub(crate) fn answered(facts: &Facts, vip: &Vip, now: u64) {
    let gate_facts = at!(facts.gates, vip.group);
    if gate_facts.first_arp_at.get() == 0 {
        gate_facts.first_arp_at.set(now);
    }
}

/// Somebody with another MAC address says that `vip` is his. That is a conflict only while we serve it.
#[inline(always)]
pub(crate) fn is_conflict<S: Sink>(
    orders: &Orders,
    facts: &Facts,
    vip: &Vip,
    now: u64,
    sink: &mut S,
) -> bool {
    if !gate::is_open(orders, facts, vip.group, now) {
        return false;
    }
    sink.emit(Event {
        at: now,
        epoch: 0,
        kind: EventKind::Conflict as u32,
        node: 0,
        group: vip.group,
        detail: 0,
    });
    true
}
