//! What happens to a machine: scripts that run, agents that start and end, power.

use std::mem;

use cluster::{GroupId, Held, Input, Operation, Phase};

use super::super::agent::{self, Agent, Health};
use super::super::kernel::{Kernel, Start};
use super::super::times::{DEADTIME, LEASE, READYING, RESTART_LEASE};
use super::{Alarm, Kept, Node, Power, Runs, Script};

impl Node {
    // ---- scripts ----

    pub(super) fn call(&mut self, now: u64, group: GroupId, operation: Operation) {
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
        if !allowed {
            self.broken =
                Some(format!("node {}: {operation:?} of group {group} while {:?}", self.id, script.runs));
        }
        *script = Script { runs, run: script.run + 1 };
        let run = script.run;
        self.set(now + takes, Alarm::Script { group, run });
    }

    pub(super) fn end_script(&mut self, now: u64, group: GroupId) {
        let plan = self.plans[group as usize];
        let script = &mut self.scripts[group as usize];
        let (runs, operation, fails) = match script.runs {
            Runs::Starting if plan.start_fails => (Runs::Down, Operation::Start, true),
            Runs::Starting => (Runs::Up, Operation::Start, false),
            Runs::Stopping => (Runs::Down, Operation::Stop, plan.stop_fails),
            Runs::Clearing if plan.stop_fails => (Runs::Down, Operation::Ready, true),
            Runs::Releasing => (Runs::Down, Operation::Stop, false),
            Runs::Readying | Runs::Clearing => (Runs::Ready, Operation::Ready, false),
            Runs::Down | Runs::Up | Runs::Ready => return,
        };
        script.runs = runs;
        let outcome = if fails { Err(format!("{operation:?} of {group} failed")) } else { Ok(()) };
        self.on_input(now, Input::Done { group, operation, outcome });
    }

    // ---- what happens to it ----

    /// An agent starts, goes on with what is open or begins anew.
    pub(in super::super) fn start_agent(&mut self, now: u64, session: u64) {
        self.lives += 1;
        let life = self.lives;
        let open: Vec<GroupId> = self.groups().filter(|&group| self.is_open(now, group)).collect();
        let mut agent = Agent::new(&self.config, now, life, self.gates_first, self.trace.clone());
        let kept = self.kept.take().unwrap_or_default();
        match self.kernel.as_mut().filter(|_| !open.is_empty()) {
            Some(kernel) => {
                self.trace.node(self.id, || format!("the agent starts and goes on with {open:?}"));
                let ours = kernel.orders.session.get() == kept.session;
                kernel.renew(now, now + LEASE);
                let is_started = |group: &GroupId| ours && kept.started.contains(group);
                for (group, script) in (0..).zip(self.scripts.iter_mut()) {
                    let up = open.contains(&group) && is_started(&group);
                    *script = Script { runs: if up { Runs::Up } else { Runs::Down }, run: script.run + 1 };
                }
                let held = open.iter().map(|group| {
                    let phase = if is_started(group) { Phase::Started } else { Phase::Stopped };
                    let stays = kept.stays.get(*group as usize).copied().flatten().filter(|_| ours);
                    Held { group: *group, gate: agent::gate_view(kernel, *group, now), phase, stays }
                });
                agent.cluster.resume(now, held.collect());
            }
            None => {
                self.trace.node(self.id, || "the agent starts anew".to_owned());
                self.begin(now, session, life);
            }
        }
        if self.unplugged[0] {
            agent.inbox.extend(self.groups().map(|group| Input::Reach { group, up: false }));
        }
        self.agent = Some(agent);
        self.turn(now);
        self.set(now, Alarm::Tick { life });
        self.set(now + LEASE / 4, Alarm::Turn { life });
    }

    /// New tables; what an earlier life left up is taken down.
    fn begin(&mut self, now: u64, session: u64, life: u32) {
        let (nodes, groups) = (self.config.nodes, self.config.groups.len());
        let start = Start { own: self.id, nodes, groups, session, life };
        let kernel = Kernel::new(&start, self.mutation);
        kernel.orders.lease_until.set(now + LEASE);
        self.kernel = Some(kernel);
        for script in &mut self.scripts {
            *script = Script { runs: Runs::Down, run: script.run + 1 };
        }
        for peer in self.others() {
            self.set(now + DEADTIME / 2, Alarm::Look { peer, life });
        }
    }

    /// `kill -9`: the kernel gasps, the scripts end half-way, what is up stays up.
    pub(in super::super) fn kill_agent(&mut self, now: u64) {
        if self.agent.take().is_none() {
            return;
        }
        if let Some(kernel) = &mut self.kernel {
            kernel.on_exit(now);
        }
        self.take_events();
        for script in &mut self.scripts {
            script.run += 1;
            if script.runs != Runs::Down {
                script.runs = Runs::Up;
            }
        }
    }

    /// A planned restart: the agent leaves a note and a last lease, and ends.
    pub(in super::super) fn keep_and_end(&mut self, now: u64) {
        let (Some(agent), Some(kernel)) = (&self.agent, &mut self.kernel) else { return };
        let report = agent.cluster.report();
        let stays = report.iter().map(|group| group.stays).collect();
        let started = report.iter().filter(|group| group.phase == Phase::Started).map(|group| group.group);
        let session = kernel.orders.session.get();
        self.kept = Some(Kept { session, started: started.collect(), stays });
        // The loop has turned just before.
        kernel.renew(now, now + LEASE);
        let lease = now + LEASE.max(RESTART_LEASE);
        kernel.orders.keep.set(lease);
        kernel.orders.lease_until.set(lease);
        self.kill_agent(now);
    }

    /// Pulls the plug, at true time `now`.
    pub(in super::super) fn crash(&mut self, now: u64) {
        self.clock.resume(now);
        (self.power, self.kernel, self.agent, self.kept) = (Power::Off, None, None, None);
        self.alarms.clear();
        self.backlog.clear();
        for script in &mut self.scripts {
            *script = Script { runs: Runs::Down, run: script.run + 1 };
        }
    }

    /// Its cable of a link goes out or in. Addresses live on link 0; the driver hears of it.
    pub(in super::super) fn plug(&mut self, now: u64, link: usize, is_in: bool) {
        let changed = mem::replace(&mut self.unplugged[link], !is_in) == is_in;
        if !changed || link != 0 {
            return;
        }
        for group in self.groups() {
            self.on_input(now, Input::Reach { group, up: is_in });
        }
    }

    pub(in super::super) fn thaw(&mut self, now: u64) {
        let Some(agent) = &mut self.agent else { return };
        agent.health = Health::Well;
        let (missed, life) = (mem::take(&mut agent.missed_tick), agent.life);
        if missed {
            self.set(now, Alarm::Tick { life });
        }
        self.turn(now);
    }
}
