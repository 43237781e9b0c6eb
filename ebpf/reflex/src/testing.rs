//! What the tests of this crate share: one node's two tables on the heap, and the events that came of them.

use std::boxed::Box;
use std::vec::Vec;

use crate::frame::{Claim, ClaimState};
use crate::gate::{self, Armed};
use crate::layout::{Facts, GateFacts, GateOrders, LinkFacts, NodeFacts, Orders};
use crate::verdict::{Event, EventKind, Reason};
use crate::word::Word;

/// One millisecond, ns.
pub(crate) const MS: u64 = 1_000_000;

/// One node's state, with its events.
pub(crate) struct Tables {
    pub(crate) orders: Box<Orders>,
    pub(crate) facts: Box<Facts>,
    pub(crate) events: Vec<Event>,
}

impl Tables {
    /// Node `own` of three, eight groups, deadtime 3 ms; no lease, no key, no session.
    pub(crate) fn new(own: u64) -> Self {
        let (orders, facts) = (Box::new(Orders::new()), Box::new(Facts::new()));
        orders.own.set(own);
        orders.nodes_len.set(3);
        orders.groups_len.set(8);
        orders.keepalive.set(MS);
        orders.deadtime.set(3 * MS);
        orders.warntime.set(u64::MAX);
        orders.unanswered_min.set(3);
        orders.grace.set(MS / 4);
        Self { orders, facts, events: Vec::new() }
    }

    pub(crate) fn gate(&self, group: usize) -> (&GateOrders, &GateFacts) {
        (&self.orders.gates[group], &self.facts.gates[group])
    }

    pub(crate) fn is_open(&self, group: u32, now: u64) -> bool {
        gate::is_open(&self.orders, &self.facts, group, now)
    }

    pub(crate) fn claim(&self, group: u32) -> Claim {
        gate::claim(&self.orders, &self.facts, group)
    }

    pub(crate) fn arm(&self, group: usize, holder: u8, epoch: u32) {
        self.orders.gates[group].armed.set(Armed { epoch, holder, behind: 1 }.pack());
    }

    pub(crate) fn check_lease(&mut self, now: u64) -> bool {
        let events = &mut self.events;
        gate::check_lease(&self.orders, &self.facts, now, &mut |e| events.push(e))
    }

    /// The agent's thread exits.
    pub(crate) fn exit(&mut self, now: u64) {
        let events = &mut self.events;
        gate::on_exit(&self.orders, &self.facts, now, &mut |e| events.push(e));
    }

    pub(crate) fn may_serve(&self, now: u64) -> bool {
        gate::may_serve(&self.orders, &self.facts, now)
    }

    pub(crate) fn fence(&mut self, group: u32, upto: u64, now: u64) {
        let events = &mut self.events;
        gate::fence(&self.orders, &self.facts, group, upto, Reason::Operator, now, &mut |e| events.push(e));
    }

    pub(crate) fn fence_all(&mut self, now: u64) {
        let events = &mut self.events;
        gate::fence_all(&self.orders, &self.facts, Reason::Exit, now, &mut |e| events.push(e));
    }

    pub(crate) fn take_over(&mut self, group: u32, holder: u8, now: u64) {
        let events = &mut self.events;
        gate::take_over(&self.orders, &self.facts, group, holder, now, &mut |e| events.push(e));
    }

    pub(crate) fn hear(&mut self, source: u8, group: u32, state: ClaimState, epoch: u32, now: u64) {
        self.hear_claim(source, group, Claim { epoch, state: state as u8, ..Claim::default() }, now);
    }

    pub(crate) fn hear_claim(&mut self, source: u8, group: u32, claim: Claim, now: u64) {
        let events = &mut self.events;
        gate::on_claim(&self.orders, &self.facts, source, group, claim, now, &mut |e| events.push(e));
    }

    /// How many events of that kind there were.
    pub(crate) fn count(&self, kind: EventKind) -> usize {
        self.events.iter().filter(|e| e.kind == kind as u32).count()
    }

    /// Every word of the facts about nodes and the first 32 groups, those aside that count what was not
    /// believed.
    pub(crate) fn facts_but_counters(&self) -> Vec<u64> {
        let f = &self.facts;
        let mut words = std::vec![f.version.get(), f.exited.get(), f.thread.get()];
        f.nodes.iter().for_each(|node| push_node(&mut words, node));
        for g in &f.gates[..32] {
            push(&mut words, &[&g.taken, &g.fenced, &g.rival, &g.reason, &g.taken_at, &g.first_arp_at]);
        }
        words.extend(f.claims.iter().flat_map(|claims| &claims[..32]).map(Word::get));
        words
    }
}

fn push(words: &mut Vec<u64>, more: &[&Word]) {
    words.extend(more.iter().map(|word| word.get()));
}

/// Not: `refused`, `refused_at`.
fn push_node(words: &mut Vec<u64>, n: &NodeFacts) {
    push(words, &[&n.session, &n.since, &n.heard_at, &n.dead_at, &n.said_at, &n.said]);
    push(words, &[&n.letter_seen, &n.letter_taken]);
    words.extend(n.pages.iter().chain(&n.page_at[..4]).map(Word::get));
    n.links.iter().for_each(|link| push_link(words, link));
}

/// Not: `unconfirmed`.
fn push_link(words: &mut Vec<u64>, l: &LinkFacts) {
    push(words, &[&l.seen, &l.answered, &l.heard_at, &l.pong_at, &l.asked_when_heard, &l.ifindex, &l.rtt]);
    push(words, &[&l.received]);
    words.extend(l.gaps.iter().map(Word::get));
}
