//! The driver's turn: what the kernel found becomes inputs, what the election asks for becomes orders, frames and
//! scripts.

use std::format;
use std::mem;
use std::vec::Vec;

use reflex::node::Said;
use reflex::{Claim, Reason, Status, gate};

use super::{ASKING, Alarm, Node, READYING, REFUSED, Runs, Script};
use crate::{Action, GateView, GroupId, Input, Instant, NodeId, NodeView, Note, Operation, Why};

impl Node {
    /// Tells the election everything that is new and does what it asks for, until there is nothing more.
    pub(super) fn turn(&mut self, now: Instant) {
        if self.frozen || self.exited {
            return;
        }
        for input in mem::take(&mut self.inbox) {
            self.feed(now, input);
        }
        // What is news is looked up again after each input: an order changes the tables.
        while let Some(input) = self.news(now) {
            self.feed(now, input);
        }
        if self.cluster.poll_timeout().is_some_and(|at| at <= now) {
            self.feed(now, Input::Timeout);
        }
        if mem::take(&mut self.say) {
            for page in 0..self.pages() {
                self.probe(now, page);
            }
        }
        if self.wake_at != self.cluster.poll_timeout() {
            self.wake_at = self.cluster.poll_timeout();
            self.alarms.extend(self.wake_at.map(|at| (at, Alarm::Wake)));
        }
    }

    fn feed(&mut self, now: Instant, input: Input) {
        let what = format!("{input:?}");
        self.cluster.handle(now, input);
        self.drain(now);
        let mut again = self.cluster.clone();
        again.handle(now, Input::Timeout);
        let more = again.poll_action();
        assert_eq!(more, None, "node {}: not settled after {what}: {:?}", self.id, self.cluster);
        if let Some(at) = self.cluster.poll_timeout() {
            assert!(at > now, "node {}: busy loop after {what}: {:?}", self.id, self.cluster);
        }
    }

    pub(super) fn drain(&mut self, now: Instant) {
        while let Some(action) = self.cluster.poll_action() {
            self.carry_out(now, action);
        }
    }

    fn news(&mut self, now: Instant) -> Option<Input> {
        self.node_news(now).or_else(|| self.gate_news(now))
    }

    fn node_news(&mut self, now: Instant) -> Option<Input> {
        for node in self.others() {
            let i = usize::from(node);
            let view = self.view(now, node);
            let mut claims = Vec::new();
            for group in 0..self.groups() {
                let claim = Claim::unpack(self.facts.claims[i][group as usize].get());
                if mem::replace(&mut self.told.claims[i][group as usize], claim) != claim {
                    claims.push((group, claim));
                }
            }
            if mem::replace(&mut self.told.nodes[i], view) != view || !claims.is_empty() {
                return Some(Input::Node { node, view, claims });
            }
        }
        None
    }

    fn gate_news(&mut self, now: Instant) -> Option<Input> {
        for group in 0..self.groups() {
            let gate = self.gate(now, group);
            if self.told.gates[group as usize] != gate {
                self.told.gates[group as usize] = gate;
                return Some(Input::Gate { group, gate });
            }
        }
        None
    }

    fn view(&self, now: Instant, node: NodeId) -> NodeView {
        let facts = &self.facts.nodes[usize::from(node)];
        let said = Said::unpack(facts.said.get());
        let session = facts.session.get();
        let refused_at = facts.refused_at.get();
        NodeView {
            session,
            alive: session != 0 && facts.dead_at.get() == 0,
            active: said.status & Status::ACTIVE != 0,
            leaving: said.status & Status::LEAVING != 0,
            starved: said.status & Status::LEASE == 0,
            hears_us: said.hears >> self.id & 1 != 0,
            config_matches: said.config == self.digest,
            complete: (0..self.pages()).all(|page| facts.pages[0].get() >> page & 1 != 0),
            refused: refused_at != 0 && now.saturating_sub(refused_at) < REFUSED,
        }
    }

    fn gate(&self, now: Instant, group: GroupId) -> GateView {
        let (orders, facts) = (&self.orders.gates[group as usize], &self.facts.gates[group as usize]);
        let (held, shut) = (gate::held(orders, facts), gate::shut(orders, facts));
        let fenced = held != 0 && facts.fenced.get() >= held && orders.resigned.get() < held;
        GateView {
            held: held as u32,
            seen: shut.max(facts.rival.get()) as u32,
            open: gate::is_open(&self.orders, &self.facts, group, now),
            fenced: if fenced { Reason::from_number(facts.reason.get()) } else { None },
        }
    }

    fn carry_out(&mut self, now: Instant, action: Action) {
        match action {
            // Nobody here has an ARP cache.
            Action::Announce(_) => {}
            Action::Grant { group, epoch } => {
                self.orders.gates[group as usize].granted.raise(u64::from(epoch));
            }
            Action::Resign { group, epoch } => {
                let runs = self.scripts[group as usize].runs;
                // Whom nobody can reach hands over first.
                let deaf = |note: &Note| matches!(note, Note::Moving { why: Why::Deaf, .. });
                let early = !matches!(runs, Runs::Down | Runs::Ready)
                    && !self.notes.last().is_some_and(|(_, note)| deaf(note));
                assert!(!early, "node {} resigns group {group} too early: {runs:?}", self.id);
                self.orders.gates[group as usize].resigned.raise(u64::from(epoch));
            }
            Action::Arm { group, armed } => {
                let word = armed.map_or(0, gate::Armed::pack);
                self.orders.gates[group as usize].armed.set(word);
            }
            Action::Plan { group, plan } => self.orders.gates[group as usize].plan.set(plan.pack()),
            Action::Status(status) => self.orders.status.set(u64::from(status)),
            Action::Say => self.say = true,
            Action::Start(group) => self.call(now, group, Operation::Start),
            Action::Stop(group) => self.call(now, group, Operation::Stop),
            Action::Ready(group) => self.call(now, group, Operation::Ready),
            Action::Ask(group) => self.alarms.push((now + ASKING, Alarm::Asked(group))),
            Action::Reply { id, result } => {
                let before = self.replies.insert(id, result);
                assert_eq!(before, None, "node {}: command {id} is answered twice", self.id);
            }
            Action::Note(note) => self.notes.push((now, note)),
            Action::Exit => self.exited = true,
        }
    }

    fn call(&mut self, now: Instant, group: GroupId, operation: Operation) {
        let plan = self.plans[group as usize];
        let script = &mut self.scripts[group as usize];
        let may_start = script.runs == Runs::Down || script.runs.is_alone();
        let (allowed, runs, takes) = match operation {
            // An operation that is asked for while the addresses come up alone waits for that, which takes no time here.
            Operation::Start => (may_start, Runs::Starting, plan.start),
            Operation::Stop if matches!(script.runs, Runs::Readying | Runs::Ready) => {
                (true, Runs::Releasing, READYING)
            }
            Operation::Stop => {
                let stops = matches!(script.runs, Runs::Stopping | Runs::Releasing);
                (!stops, Runs::Stopping, plan.stop)
            }
            Operation::Ready if script.runs == Runs::Down => (true, Runs::Readying, READYING),
            Operation::Ready => (!script.runs.is_alone(), Runs::Clearing, plan.stop),
        };
        assert!(allowed, "node {}: {operation:?} of group {group} while {:?}", self.id, script.runs);
        *script = Script { runs, run: script.run + 1 };
        self.alarms.push((now + takes, Alarm::Script { group, run: script.run }));
        self.calls.push((now, group, operation));
    }
}
