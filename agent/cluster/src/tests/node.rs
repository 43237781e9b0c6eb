//! One node: a real [`Cluster`] over real reflex tables, and the driver's part ([`driver`]), played as plainly as it can
//! be. A node knows no network: it leaves frames in `outbox` and the times it wants to be called at in `alarms`.

mod driver;

use std::boxed::Box;
use std::collections::BTreeMap;
use std::format;
use std::mem;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use reflex::layout::{Facts, Key, Orders};
use reflex::node::{Desk, Probe};
use reflex::{CLAIMS_PER_FRAME, Claim, Event, Frame, gate, mac, watch};

use super::tables;
use crate::{
    Cluster, Config, Done, GateView, GroupId, Input, Instant, NodeId, NodeView, Note, Operation, Refusal,
};

pub(super) const MS: u64 = 1_000_000;
pub(super) const KEEPALIVE: u64 = 100 * MS;
pub(super) const DEADTIME: u64 = 500 * MS;
pub(super) const INITDEAD: u64 = 3_000 * MS;
pub(super) const GRACE: u64 = KEEPALIVE / 2;
pub(super) const LEASE: u64 = 500 * MS;
/// How long ARP is listened for.
pub(super) const ASKING: u64 = 300 * MS;
/// Until the addresses of an heir are up.
pub(super) const READYING: u64 = MS / 3;
/// `refused` lasts longer than the reflex takes to report a refusal again.
const REFUSED: u64 = 1_000 * MS + DEADTIME;

/// What a node asks to be called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Keepalive: renew the lease, send probes.
    Tick,
    /// The kernel's timer for one node.
    Look(NodeId),
    /// The election's own timeout.
    Wake,
    /// A script ends, unless another one was called since.
    Script { group: GroupId, run: u64 },
    /// The time to answer ARP is over.
    Asked(GroupId),
}

/// How a node's scripts behave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) start: u64,
    pub(super) stop: u64,
    pub(super) start_fails: bool,
    pub(super) stop_fails: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self { start: 20 * MS, stop: 20 * MS, start_fails: false, stop_fails: false }
    }
}

/// Where a group's resources are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    Down,
    Starting,
    Up,
    Stopping,
    /// From below on the way to [`Self::Ready`].
    Readying,
    /// From above on the way there.
    Clearing,
    /// Only the addresses are up.
    Ready,
    /// These are let go again, which no script can spoil.
    Releasing,
}

impl Runs {
    /// The addresses are up, or come up, alone.
    pub(super) fn is_alone(self) -> bool {
        matches!(self, Self::Readying | Self::Clearing | Self::Ready)
    }
}

#[derive(Clone, Copy, Debug)]
struct Script {
    runs: Runs,
    run: u64,
}

/// What the election was last told.
#[derive(Clone, Debug)]
struct Told {
    nodes: Vec<NodeView>,
    claims: Vec<Vec<Claim>>,
    gates: Vec<GateView>,
}

pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) config: Config,
    /// Differs on a node with another key.
    pub(super) secret: &'static str,
    /// Differs on a node with other configuration files.
    pub(super) digest: u32,
    pub(super) plans: Vec<Plan>,
    pub(super) up: bool,
    /// The agent is not scheduled; the kernel works on.
    pub(super) frozen: bool,
    /// Counts boots: alarms of an earlier life ring for nobody.
    pub(super) life: u32,
    pub(super) cluster: Cluster,
    orders: Box<Orders>,
    facts: Box<Facts>,
    told: Told,
    scripts: Vec<Script>,
    inbox: Vec<Input>,
    wake_at: Option<Instant>,
    say: bool,
    page: u8,
    stamped: Instant,
    pub(super) outbox: Vec<(NodeId, Frame)>,
    pub(super) alarms: Vec<(Instant, Alarm)>,
    pub(super) notes: Vec<(Instant, Note)>,
    /// Scripts called in this life.
    pub(super) calls: Vec<(Instant, GroupId, Operation)>,
    pub(super) replies: BTreeMap<u64, Result<Done, Refusal>>,
    pub(super) exited: bool,
}

impl Node {
    /// A node that is switched off.
    pub(super) fn new(config: Config) -> Self {
        let groups = config.groups.len();
        Self {
            id: config.own,
            secret: "ultramonkey",
            digest: 7,
            plans: vec![Plan::default(); groups],
            up: false,
            frozen: false,
            life: 0,
            cluster: Cluster::new(config.clone(), 0),
            orders: tables::orders(),
            facts: tables::facts(),
            told: Told { nodes: Vec::new(), claims: Vec::new(), gates: Vec::new() },
            scripts: Vec::new(),
            inbox: Vec::new(),
            wake_at: None,
            say: false,
            page: 0,
            stamped: 0,
            outbox: Vec::new(),
            alarms: Vec::new(),
            notes: Vec::new(),
            calls: Vec::new(),
            replies: BTreeMap::new(),
            exited: false,
            config,
        }
    }

    /// A new life, with empty tables.
    pub(super) fn boot(&mut self, now: Instant, session: u64) {
        let (nodes, groups) = (self.config.nodes, self.config.groups.len());
        let fresh = Self {
            secret: self.secret,
            digest: self.digest,
            plans: mem::take(&mut self.plans),
            up: true,
            life: self.life + 1,
            cluster: Cluster::new(self.config.clone(), now),
            told: Told {
                nodes: vec![NodeView::default(); nodes],
                claims: vec![vec![Claim::default(); groups]; nodes],
                gates: vec![GateView::default(); groups],
            },
            scripts: vec![Script { runs: Runs::Down, run: 0 }; groups],
            stamped: self.stamped,
            ..Self::new(self.config.clone())
        };
        *self = fresh;
        self.write_orders(now, session);
        for peer in self.others() {
            self.alarms.push((now + DEADTIME / 2, Alarm::Look(peer)));
        }
        self.drain(now);
        self.tick(now);
    }

    fn write_orders(&mut self, now: Instant, session: u64) {
        let orders = &mut self.orders;
        orders.session.set(session);
        orders.own.set(u64::from(self.id));
        orders.nodes_len.set(self.config.nodes as u64);
        orders.groups_len.set(self.config.groups.len() as u64);
        orders.config.set(u64::from(self.digest));
        orders.keepalive.set(KEEPALIVE);
        orders.deadtime.set(DEADTIME);
        orders.warntime.set(DEADTIME);
        orders.unanswered_min.set(watch::unanswered_min(KEEPALIVE, DEADTIME));
        orders.grace.set(GRACE);
        orders.lease_until.set(now + LEASE);
        orders.key_current.set(1);
        orders.set_key(1, &Key::new(mac::SHA1, self.secret.as_bytes()).expect("a short secret"));
    }

    pub(super) fn others(&self) -> Vec<NodeId> {
        (0..self.config.nodes as NodeId).filter(|&node| node != self.id).collect()
    }

    pub(super) fn groups(&self) -> GroupId {
        self.config.groups.len() as GroupId
    }

    // ---- what happens to it ----

    /// The kernel takes a frame; the agent wakes when it is scheduled.
    pub(super) fn on_frame(&mut self, now: Instant, frame: Frame) {
        let mut desk = Desk { frame, now: self.stamp(now), ..Desk::default() };
        let verdict = reflex::node::on_frame(&self.orders, &self.facts, &mut desk, &mut ignore);
        if verdict.answers() {
            self.outbox.push((desk.frame.destination(), desk.frame));
        }
        self.turn(now);
    }

    pub(super) fn on_alarm(&mut self, now: Instant, alarm: Alarm) {
        match alarm {
            Alarm::Tick => self.tick(now),
            Alarm::Look(peer) => {
                let next = watch::look(&self.orders, &self.facts, peer, now, &mut ignore);
                self.alarms.push((now + next, alarm));
                self.turn(now);
            }
            Alarm::Wake => self.turn(now),
            Alarm::Script { group, run } => {
                if self.scripts[group as usize].run == run {
                    self.end_script(now, group);
                }
            }
            Alarm::Asked(_) => unreachable!("the network answers ARP"),
        }
    }

    /// The driver hears of something by other ways than the tables.
    pub(super) fn on_input(&mut self, now: Instant, input: Input) {
        self.inbox.push(input);
        self.turn(now);
    }

    pub(super) fn thaw(&mut self, now: Instant) {
        self.frozen = false;
        self.renew(now);
        self.turn(now);
    }

    fn tick(&mut self, now: Instant) {
        self.alarms.push((now + KEEPALIVE, Alarm::Tick));
        if self.frozen {
            return;
        }
        self.renew(now);
        self.page = (self.page + 1) % self.pages();
        self.probe(now, self.page);
        self.turn(now);
    }

    fn renew(&mut self, now: Instant) {
        // An expired lease fences before it is renewed.
        gate::check_lease(&self.orders, &self.facts, now, &mut ignore);
        self.orders.lease_until.set(now + LEASE);
    }

    fn pages(&self) -> u8 {
        self.config.groups.len().div_ceil(CLAIMS_PER_FRAME).max(1) as u8
    }

    fn probe(&mut self, now: Instant, page: u8) {
        for to in self.others() {
            let now = self.stamp(now);
            let link = &self.orders.nodes[usize::from(to)].links[0];
            let seq = link.sent.get() + 1;
            link.sent.set(seq);
            link.sent_at.set(now);
            let mut desk = Desk::default();
            let probe = Probe { to, link: 0, seq, page, now };
            reflex::node::make_probe(&self.orders, &self.facts, &mut desk, &probe, &mut ignore);
            reflex::node::was_sent(&self.orders, &self.facts, &probe, true);
            self.outbox.push((to, desk.frame));
        }
    }

    /// No two frames are made at the same nanosecond.
    fn stamp(&mut self, now: Instant) -> Instant {
        self.stamped = now.max(self.stamped + 1);
        self.stamped
    }

    fn end_script(&mut self, now: Instant, group: GroupId) {
        let plan = self.plans[group as usize];
        let script = &mut self.scripts[group as usize];
        let (runs, operation, fails) = match script.runs {
            Runs::Starting if plan.start_fails => (Runs::Down, Operation::Start, true),
            Runs::Starting => (Runs::Up, Operation::Start, false),
            Runs::Stopping => (Runs::Down, Operation::Stop, plan.stop_fails),
            Runs::Clearing if plan.stop_fails => (Runs::Down, Operation::Ready, true),
            Runs::Releasing => (Runs::Down, Operation::Stop, false),
            Runs::Readying | Runs::Clearing => (Runs::Ready, Operation::Ready, false),
            Runs::Down | Runs::Up | Runs::Ready => unreachable!("no script runs for group {group}"),
        };
        script.runs = runs;
        let outcome = if fails { Err(format!("{operation:?} of {group} failed")) } else { Ok(()) };
        self.on_input(now, Input::Done { group, operation, outcome });
    }

    // ---- what the tests look at ----

    /// Whether its kernel serves the group; looks only, where [`gate::is_open`] may fence.
    pub(super) fn serves(&self, now: Instant, group: GroupId) -> bool {
        let (orders, facts) = (&self.orders.gates[group as usize], &self.facts.gates[group as usize]);
        self.up
            && gate::held(orders, facts) > gate::shut(orders, facts)
            && gate::may_serve(&self.orders, &self.facts, now)
    }

    pub(super) fn runs(&self, group: GroupId) -> Runs {
        if self.up { self.scripts[group as usize].runs } else { Runs::Down }
    }

    pub(super) fn count(&self, group: GroupId, operation: Operation) -> usize {
        self.calls.iter().filter(|call| (call.1, call.2) == (group, operation)).count()
    }

    pub(super) fn noted(&self, wanted: impl Fn(&Note) -> bool) -> usize {
        self.notes.iter().filter(|(_, note)| wanted(note)).count()
    }

    pub(super) fn failure(&self, group: GroupId) -> Option<String> {
        self.cluster.report()[group as usize].failure.as_ref().map(ToString::to_string)
    }
}

fn ignore(_event: Event) {}
