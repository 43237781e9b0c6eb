//! One node's kernel: the reflex over its two tables, as the programs run it. It knows no agent; what it was told last is
//! in the orders.

use reflex::gate;
use reflex::layout::{Facts, Key, Orders};
use reflex::node::{Desk, Probe};
use reflex::{Event, Frame, Sink, mac, watch};

use super::times::{DEADTIME, GRACE, KEEPALIVE};

/// A rule that is taken out of the kernel, to see that it is missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutation {
    /// None.
    #[default]
    None,
    /// What a node's stack sends in the name of a virtual address leaves whether or not the gate is open.
    NoEgressGate,
    /// A fence is forgotten as soon as it was said: what lease or a higher epoch closed opens again (R2).
    NoStickiness,
    /// Silence alone makes a node dead, whether or not anybody asked it (2.2 of the design).
    NoUnansweredRule,
    /// What could not be sent counts as asked.
    UnsentAsks,
}

pub(super) struct Kernel {
    pub(super) orders: Box<Orders>,
    pub(super) facts: Box<Facts>,
    mutation: Mutation,
    desk: Desk,
    /// What happened since the agent or the eye last looked.
    pub(super) events: Vec<Event>,
    /// Which life of the tables this is: timers of an earlier one ring for nobody.
    pub(super) life: u32,
}

/// What a life of the tables begins with.
pub(super) struct Start {
    pub(super) own: u8,
    pub(super) nodes: usize,
    pub(super) groups: usize,
    pub(super) session: u64,
    pub(super) life: u32,
}

/// Digest of everybody's configuration.
pub(super) const DIGEST: u32 = 7;

impl Kernel {
    /// New tables: everything is closed (R7).
    pub(super) fn new(start: &Start, mutation: Mutation) -> Self {
        let orders = Box::new(Orders::new());
        orders.session.set(start.session);
        orders.own.set(u64::from(start.own));
        orders.nodes_len.set(start.nodes as u64);
        orders.groups_len.set(start.groups as u64);
        orders.config.set(u64::from(DIGEST));
        orders.keepalive.set(KEEPALIVE);
        orders.deadtime.set(DEADTIME);
        orders.warntime.set(DEADTIME);
        let unanswered = match mutation {
            Mutation::NoUnansweredRule => 0,
            Mutation::None | Mutation::NoEgressGate | Mutation::NoStickiness | Mutation::UnsentAsks => {
                watch::unanswered_min(KEEPALIVE, DEADTIME)
            }
        };
        orders.unanswered_min.set(unanswered);
        orders.grace.set(GRACE);
        orders.key_current.set(1);
        // Shorter than a block, so there is one.
        orders.set_key(1, &Key::new(mac::SHA1, b"ultramonkey").unwrap_or_default());
        let facts = Box::new(Facts::new());
        Self { orders, facts, mutation, desk: Desk::default(), events: Vec::new(), life: start.life }
    }

    /// Runs one program.
    fn act<R>(&mut self, program: impl FnOnce(&Orders, &Facts, &mut Desk, &mut dyn FnMut(Event)) -> R) -> R {
        let groups = self.orders.groups_len.get() as usize;
        let fenced: Vec<u64> = match self.mutation {
            Mutation::NoStickiness => self.facts.gates[..groups].iter().map(|g| g.fenced.get()).collect(),
            Mutation::None | Mutation::NoEgressGate | Mutation::NoUnansweredRule | Mutation::UnsentAsks => {
                Vec::new()
            }
        };
        let events = &mut self.events;
        let done = program(&self.orders, &self.facts, &mut self.desk, &mut |event| events.push(event));
        for (gate, fenced) in self.facts.gates.iter().zip(fenced) {
            gate.fenced.set(fenced);
        }
        done
    }

    /// A frame comes in; the answer that goes out.
    pub(super) fn on_frame(&mut self, now: u64, frame: Frame) -> Option<Frame> {
        self.act(|orders, facts, desk, sink| {
            (desk.frame, desk.now) = (frame, now);
            let verdict = reflex::node::on_frame(orders, facts, desk, &mut Out(sink));
            verdict.answers().then_some(desk.frame)
        })
    }

    /// The timer of one node; the time until the next look.
    pub(super) fn look(&mut self, now: u64, node: u8) -> u64 {
        self.act(|orders, facts, _, sink| watch::look(orders, facts, node, now, &mut Out(sink)))
    }

    /// The agent's thread exits.
    pub(super) fn on_exit(&mut self, now: u64) {
        self.act(|orders, facts, _, sink| gate::on_exit(orders, facts, now, &mut Out(sink)));
    }

    /// The agent's decision loop renews the lease.
    pub(super) fn renew(&mut self, now: u64, until: u64) {
        self.act(|orders, facts, _, sink| gate::renew_lease(orders, facts, now, until, &mut Out(sink)));
    }

    /// The agent's prober makes the next probe on a link and sends it, if it can be sent.
    pub(super) fn probe(&mut self, now: u64, (to, link): (u8, u8), page: u8, went: bool) -> Frame {
        let went = went || self.mutation == Mutation::UnsentAsks;
        self.act(|orders, facts, desk, sink| {
            let sent = &orders.nodes[usize::from(to)].links[usize::from(link)];
            let seq = sent.sent.get() + 1;
            let probe = Probe { to, link, seq, page, now };
            reflex::node::make_probe(orders, facts, desk, &probe, &mut Out(sink));
            sent.sent_at.set(now);
            sent.sent.set(seq);
            reflex::node::was_sent(orders, facts, &probe, went);
            desk.frame
        })
    }

    /// R1, as every packet asks it; looks only, where [`gate::is_open`] may fence.
    pub(super) fn is_open(&self, now: u64, group: u32) -> bool {
        let (orders, facts) = (&self.orders.gates[group as usize], &self.facts.gates[group as usize]);
        gate::held(orders, facts) > gate::shut(orders, facts)
            && gate::may_serve(&self.orders, &self.facts, now)
    }

    /// Whether a packet with the group's address as its source leaves, were one sent.
    pub(super) fn lets_out(&self, now: u64, group: u32) -> bool {
        self.mutation == Mutation::NoEgressGate || self.is_open(now, group)
    }
}

/// A sink behind a pointer.
struct Out<'a>(&'a mut dyn FnMut(Event));

impl Sink for Out<'_> {
    fn emit(&mut self, event: Event) {
        (self.0)(event);
    }

    /// Agents here write none.
    fn letter(&mut self, _letter: &Frame) -> bool {
        false
    }
}
