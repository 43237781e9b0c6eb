//! The gate: does this kernel serve a group's VIPs now?
//!
//! Four numbers per gate, each monotone with one writing side: `granted` and `resigned` (agent), `taken` and
//! `fenced` (reflex). The gate is open while
//!
//! ```text
//! max(granted, taken) > max(fenced, resigned)   and   now < lease          (R1)
//! ```
//!
//! Nobody stores "open": it follows from numbers that only grow, so a fence and a takeover at the same
//! moment on two CPUs cannot undo each other, and what is fenced stays fenced (R2).

use crate::frame::{Claim, ClaimState};
use crate::layout::{Facts, GateFacts, GateOrders, Orders, at};
use crate::verdict::{Event, EventKind, Reason, Sink};
use crate::{NODES_MAX, groups};

/// An armed takeover: if `holder` dies, resigns or is fenced, open with `epoch`. Packed into one word, so
/// that it is read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Armed {
    /// Epoch to open with.
    pub epoch: u32,
    /// Node that is to be succeeded.
    pub holder: u8,
    /// The epoch that the holder has, as the difference to `epoch`; at least 1.
    pub behind: u8,
}

impl Armed {
    /// As one word of [`GateOrders::armed`].
    #[must_use]
    pub const fn pack(self) -> u64 {
        (self.epoch as u64) << 32 | (self.behind as u64) << 16 | (self.holder as u64) << 8 | 1
    }

    /// From one word of [`GateOrders::armed`]; 0 means not armed.
    #[inline(always)]
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "takes the word apart")]
    pub const fn unpack(word: u64) -> Option<Self> {
        if word & 1 == 0 {
            return None;
        }
        Some(Self { epoch: (word >> 32) as u32, holder: (word >> 8) as u8, behind: (word >> 16) as u8 })
    }

    /// The epoch that the holder has.
    #[inline(always)]
    #[must_use]
    pub const fn holder_epoch(self) -> u32 {
        self.epoch.wrapping_sub(self.behind as u32)
    }
}

/// The highest epoch that this node ever held the group with.
#[inline(always)]
pub fn held(orders: &GateOrders, facts: &GateFacts) -> u64 {
    let (granted, taken) = (orders.granted.get(), facts.taken.get());
    if granted > taken { granted } else { taken }
}

/// The highest epoch that this node may no longer use.
#[inline(always)]
pub fn shut(orders: &GateOrders, facts: &GateFacts) -> u64 {
    let (fenced, resigned) = (facts.fenced.get(), orders.resigned.get());
    if fenced > resigned { fenced } else { resigned }
}

/// Whether the agent renewed its lease in time and has not exited: the kernel may act in its name.
#[inline(always)]
pub fn lease_valid(orders: &Orders, facts: &Facts, now: u64) -> bool {
    let lease = orders.lease_until.get();
    now < lease && facts.exited.get() != lease
}

/// Whether what is open may stay open: the lease is valid, or there is nobody to yield to. A sole survivor goes on
/// serving without its agent until the first frame from another node.
#[inline(always)]
pub fn may_serve(orders: &Orders, facts: &Facts, now: u64) -> bool {
    lease_valid(orders, facts, now) || is_alone(orders, facts)
}

/// Whether every other node is dead, or was never heard.
#[inline(always)]
pub fn is_alone(orders: &Orders, facts: &Facts) -> bool {
    let (len, own) = (orders.nodes_len.get(), orders.own.get());
    let mut alone = true;
    for i in 0..NODES_MAX as u64 {
        if i >= len {
            break;
        }
        let node = at!(facts.nodes, i);
        alone &= i == own || node.session.get() == 0 || node.dead_at.get() != 0;
    }
    alone
}

/// R1: whether group `group` is served here. Finding the lease expired fences it on the spot.
#[inline(always)]
pub fn is_open(orders: &Orders, facts: &Facts, group: u32, now: u64) -> bool {
    let (gate_orders, gate_facts) = (at!(orders.gates, group), at!(facts.gates, group));
    let held = held(gate_orders, gate_facts);
    if held <= shut(gate_orders, gate_facts) {
        return false;
    }
    if may_serve(orders, facts, now) {
        return true;
    }
    // As `fence` does, but with nobody to tell: the reason first, then the fence, then the agent's attention.
    gate_facts.reason.set(lease_end(orders, facts) as u64);
    if gate_facts.fenced.raise(held) {
        facts.version.add(1);
    }
    false
}

/// Whether packets for group `group` are held back, because its addresses are changing hands.
#[inline(always)]
#[must_use]
pub fn is_held(orders: &Orders, group: u32, now: u64) -> bool {
    now < at!(orders.gates, group).held_until.get()
}

/// What this node says of group `group` in its frames. To be asked only after [`check_lease`].
#[inline(always)]
pub fn claim(orders: &Orders, facts: &Facts, group: u32) -> Claim {
    let (gate_orders, gate_facts) = (at!(orders.gates, group), at!(facts.gates, group));
    let held = held(gate_orders, gate_facts);
    let plan = Claim::unpack(gate_orders.plan.get());
    let mut claim = Claim {
        epoch: held as u32,
        state: ClaimState::None as u8,
        flags: plan.flags & (Claim::WILLING | Claim::READY),
        heir: plan.heir,
        reason: 0,
        sight: plan.sight,
    };
    if held != 0 {
        claim.state = if gate_orders.resigned.get() >= held {
            ClaimState::Resigned as u8
        } else if gate_facts.fenced.get() >= held {
            claim.reason = gate_facts.reason.get() as u8;
            ClaimState::Fenced as u8
        } else {
            ClaimState::Open as u8
        };
    }
    if let Some(armed) = Armed::unpack(gate_orders.armed.get())
        && u64::from(armed.epoch) > gate_facts.rival.get()
        && u64::from(armed.epoch) > shut(gate_orders, gate_facts)
    {
        claim.flags |= Claim::ARMED;
    }
    claim
}

/// Fences every gate if the lease is over and there is somebody to yield to, before anybody is told (R3); true if
/// what is open may stay open.
///
/// An armed epoch is fenced with the others: a takeover on another CPU that looked at the lease a moment
/// earlier must not outlive it.
#[inline(always)]
pub fn check_lease<S: Sink>(orders: &Orders, facts: &Facts, now: u64, sink: &mut S) -> bool {
    may_serve(orders, facts, now) || check_lease_strictly(orders, facts, now, sink)
}

/// As [`check_lease`], with somebody there whom the tables do not know of yet: being alone is no excuse.
#[inline(always)]
pub fn check_lease_strictly<S: Sink>(orders: &Orders, facts: &Facts, now: u64, sink: &mut S) -> bool {
    if lease_valid(orders, facts, now) {
        return true;
    }
    // Each time, also when this lease was found over before: the frame that is about to be written says that
    // everything is fenced, so what was granted or armed meanwhile must be, too.
    fence_all(orders, facts, lease_end(orders, facts), now, sink);
    false
}

/// Why the lease is over.
#[inline(always)]
fn lease_end(orders: &Orders, facts: &Facts) -> Reason {
    if facts.exited.get() == orders.lease_until.get() { Reason::Exit } else { Reason::Lease }
}

/// The dying gasp: the thread that renews the lease has exited. Ends the lease at once, unless the agent has said that
/// it comes back, and fences unless nobody is there to take over.
#[inline(always)]
pub fn on_exit<S: Sink>(orders: &Orders, facts: &Facts, now: u64, sink: &mut S) {
    let lease = orders.lease_until.get();
    if orders.keep.get() == lease {
        return;
    }
    facts.exited.set(lease);
    check_lease(orders, facts, now, sink);
}

/// Renews the lease until `until`, which must be reckoned from `now`. False if it had expired: then all gates
/// are fenced first, even if nobody had looked since, so that a late renewal opens nothing (R2).
pub fn renew_lease<S: Sink>(orders: &Orders, facts: &Facts, now: u64, until: u64, sink: &mut S) -> bool {
    let valid = check_lease(orders, facts, now, sink);
    orders.lease_until.set(until);
    valid
}

/// Fences every gate that is open or armed.
#[inline(never)]
pub fn fence_all<S: Sink>(orders: &Orders, facts: &Facts, reason: Reason, now: u64, sink: &mut S) {
    groups::for_each(orders.groups_len.get(), |group| {
        let gate_orders = at!(orders.gates, group);
        let mut upto = held(gate_orders, at!(facts.gates, group));
        if let Some(armed) = Armed::unpack(gate_orders.armed.get())
            && u64::from(armed.epoch) > upto
        {
            upto = u64::from(armed.epoch);
        }
        fence(orders, facts, group, upto, reason, now, sink);
    });
}

/// Fences group `group` up to and including epoch `upto` (R2: for good).
#[inline(always)]
pub fn fence<S: Sink>(
    orders: &Orders,
    facts: &Facts,
    group: u32,
    upto: u64,
    reason: Reason,
    now: u64,
    sink: &mut S,
) {
    let gate_facts = at!(facts.gates, group);
    let gate_orders = at!(orders.gates, group);
    let held = held(gate_orders, gate_facts);
    let was_open = held > shut(gate_orders, gate_facts);
    if was_open && upto >= held {
        gate_facts.reason.set(reason as u64);
    }
    if gate_facts.fenced.raise(upto) && was_open && upto >= held {
        facts.version.add(1);
        sink.emit(Event {
            at: now,
            epoch: held,
            kind: EventKind::GateFenced as u32,
            node: orders.own.get() as u32,
            group,
            detail: reason as u32,
        });
    }
}

/// R4: opens group `group` if it is armed against `holder`, the lease is valid, and nobody was heard of who
/// holds or held it with that epoch or a higher one.
#[inline(always)]
pub fn take_over<S: Sink>(orders: &Orders, facts: &Facts, group: u32, holder: u8, now: u64, sink: &mut S) {
    let (gate_orders, gate_facts) = (at!(orders.gates, group), at!(facts.gates, group));
    let Some(armed) = Armed::unpack(gate_orders.armed.get()) else { return };
    let epoch = u64::from(armed.epoch);
    if armed.holder != holder
        || epoch <= gate_facts.rival.get()
        || epoch <= shut(gate_orders, gate_facts)
        || !lease_valid(orders, facts, now)
    {
        return;
    }
    if gate_facts.taken.raise(epoch) {
        gate_facts.taken_at.set(now);
        gate_facts.first_arp_at.set(0);
        facts.version.add(1);
        sink.emit(Event {
            at: now,
            epoch,
            kind: EventKind::GateOpened as u32,
            node: u32::from(holder),
            group,
            detail: 0,
        });
    }
}

/// Opens every gate that is armed against `holder`: it is dead, or all its gates are fenced.
#[inline(never)]
pub fn take_over_all<S: Sink>(orders: &Orders, facts: &Facts, holder: u8, now: u64, sink: &mut S) {
    groups::for_each(orders.groups_len.get(), |group| take_over(orders, facts, group, holder, now, sink));
}

/// Acts on what `source` claims of group `group`: R5 if it holds the group with a higher epoch, R4 if it gave
/// up the epoch that our gate is armed against.
#[inline(always)]
pub fn on_claim<S: Sink>(
    orders: &Orders,
    facts: &Facts,
    source: u8,
    group: u32,
    claim: Claim,
    now: u64,
    sink: &mut S,
) {
    let epoch = u64::from(claim.epoch);
    // Also one that is over: whoever is armed for the time after it has a higher epoch.
    at!(facts.gates, group).rival.raise(epoch);
    match claim.state() {
        ClaimState::None => {}
        ClaimState::Open => {
            // Equal epochs: the lower node index keeps it.
            let lower = u64::from(source) < orders.own.get();
            let upto = if lower { epoch } else { epoch.saturating_sub(1) };
            // Also a gate that is closed: a takeover under way on another CPU must not come out on top.
            if upto >= held(at!(orders.gates, group), at!(facts.gates, group)) {
                fence(orders, facts, group, upto, Reason::HigherEpoch, now, sink);
            }
        }
        // Handed to somebody else: our plan is older than that.
        ClaimState::Resigned if claim.heir != 0 && u64::from(claim.heir) - 1 != orders.own.get() => {}
        ClaimState::Resigned | ClaimState::Fenced => {
            if let Some(armed) = Armed::unpack(at!(orders.gates, group).armed.get())
                && claim.epoch >= armed.holder_epoch()
            {
                take_over(orders, facts, group, source, now, sink);
            }
        }
    }
}

const _: () = assert!(NODES_MAX <= u8::MAX as usize);

#[cfg(test)]
mod tests;
