//! Any order of events at one node, and what must hold after each.

use std::vec;

use proptest::prelude::*;

use super::*;

/// Everything that can happen to a gate. Epochs and groups are few, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Grant(u64),
    Resign(u64),
    Arm {
        holder: u8,
        epoch: u32,
        behind: u8,
    },
    Disarm,
    Renew(u64),
    Pass(u64),
    CheckLease,
    Packet,
    FenceAll,
    Exit,
    Keep,
    /// Node 2 is there, or dead.
    Company(bool),
    TakeOver(u8),
    TakeOverAll(u8),
    Hear {
        source: u8,
        state: ClaimState,
        epoch: u32,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    use ClaimState::{Fenced, None, Open, Resigned};
    let epoch = 1..12u64;
    let other = prop_oneof![Just(0u8), Just(2u8)];
    let state = prop_oneof![1 => Just(None), 3 => Just(Open), 2 => Just(Resigned), 2 => Just(Fenced)];
    prop_oneof![
        epoch.clone().prop_map(Step::Grant),
        epoch.prop_map(Step::Resign),
        (other.clone(), 1..12u32, 0..3u8).prop_map(|(holder, epoch, behind)| Step::Arm {
            holder,
            epoch,
            behind
        }),
        Just(Step::Disarm),
        (1..20u64).prop_map(Step::Renew),
        (1..12u64).prop_map(Step::Pass),
        Just(Step::CheckLease),
        Just(Step::Packet),
        Just(Step::FenceAll),
        Just(Step::Exit),
        Just(Step::Keep),
        any::<bool>().prop_map(Step::Company),
        other.clone().prop_map(Step::TakeOver),
        other.clone().prop_map(Step::TakeOverAll),
        (other, state, 1..12u32).prop_map(|(source, state, epoch)| Step::Hear { source, state, epoch }),
    ]
}

/// A run over group 0 of node 1, and what it remembers to judge by.
struct Run {
    tables: Tables,
    now: u64,
    /// `granted`, `resigned`, `taken`, `fenced`, `rival`.
    numbers: [u64; 5],
    /// Highest epoch that was ever said or seen to be closed for good.
    closed: u64,
}

impl Run {
    fn new() -> Self {
        let tables = leased();
        Self { tables, now: 1, numbers: [0; 5], closed: 0 }
    }

    fn act(&mut self, step: &Step) {
        let now = self.now;
        let orders = &self.tables.orders;
        let gate = &orders.gates[0];
        match *step {
            // The agent keeps its half of the bargain: its numbers grow.
            Step::Grant(epoch) => drop(gate.granted.raise(epoch)),
            Step::Resign(epoch) => drop(gate.resigned.raise(epoch)),
            Step::Arm { holder, epoch, behind } => gate.armed.set(Armed { epoch, holder, behind }.pack()),
            Step::Disarm => gate.armed.set(0),
            Step::Renew(by) => orders.lease_until.set(now + by),
            Step::Pass(by) => self.now += by,
            Step::CheckLease => drop(self.tables.check_lease(now)),
            Step::Packet => drop(self.tables.is_open(0, now)),
            Step::FenceAll => self.tables.fence_all(now),
            Step::Exit => self.tables.exit(now),
            Step::Keep => orders.keep.set(orders.lease_until.get()),
            Step::Company(there) => self.tables.facts.nodes[2].dead_at.set(u64::from(!there)),
            Step::TakeOver(holder) => self.tables.take_over(0, holder, now),
            Step::TakeOverAll(holder) => take_over_all(orders, &self.tables.facts, holder, now, &mut |_| {}),
            Step::Hear { source, state, epoch } => self.tables.hear(source, 0, state, epoch, now),
        }
    }

    fn judge(&mut self, before: &Before, step: &Step) -> Result<(), TestCaseError> {
        let (orders, facts) = self.tables.gate(0);
        let numbers =
            [&orders.granted, &orders.resigned, &facts.taken, &facts.fenced, &facts.rival].map(|w| w.get());
        for (old, new) in self.numbers.iter().zip(numbers) {
            prop_assert!(new >= *old, "a number fell");
        }
        let taken = numbers[2];
        if taken > self.numbers[2] {
            prop_assert!(before.lease, "R4: taken without a lease");
            prop_assert!(taken > self.closed && taken > before.rival, "R4: taken with an epoch that is over");
            prop_assert_eq!(before.armed.map(|a| u64::from(a.epoch)), Some(taken), "R4: not armed for it");
        }
        self.numbers = numbers;
        if numbers[0].max(taken) <= numbers[1].max(numbers[3]) {
            self.closed = self.closed.max(numbers[0].max(taken));
        }

        // Asking fences on the spot, so it is asked of a copy of the decision first.
        let held = held(orders, facts);
        let open = held > shut(orders, facts) && self.tables.may_serve(self.now);
        prop_assert!(!open || held > self.closed, "R2: {} was closed for good", held);
        if let Step::Hear { source, state: ClaimState::Open, epoch } = *step {
            let theirs = u64::from(epoch);
            let keeps = held > theirs || (held == theirs && source > 1);
            prop_assert!(!open || keeps, "R5: open with {} beside {} of node {}", held, theirs, source);
            prop_assert!(!keeps || open == before.open, "R5: fenced by less");
        }
        Ok(())
    }

    /// What a frame sent now would say, and whether that is true for good.
    fn speak(&mut self) -> Result<(), TestCaseError> {
        let lease = self.tables.check_lease(self.now);
        prop_assert_eq!(lease, self.tables.may_serve(self.now));
        let said = self.tables.claim(0);
        let (orders, facts) = self.tables.gate(0);
        let epoch = u64::from(said.epoch);
        prop_assert_eq!(epoch, held(orders, facts));
        match said.state() {
            ClaimState::None => prop_assert_eq!(epoch, 0),
            ClaimState::Open => prop_assert!(lease && self.tables.is_open(0, self.now)),
            ClaimState::Resigned => prop_assert!(orders.resigned.get() >= epoch),
            ClaimState::Fenced => prop_assert!(facts.fenced.get() >= epoch, "R3: said before it was stored"),
        }
        if !lease {
            // A frame without LEASE says that all is fenced: also what was armed.
            let armed = Armed::unpack(orders.armed.get()).map_or(0, |a| u64::from(a.epoch));
            prop_assert!(facts.fenced.get() >= armed);
            self.closed = self.closed.max(epoch).max(armed);
        }
        prop_assert_eq!(self.tables.is_open(0, self.now), said.state() == ClaimState::Open);
        Ok(())
    }
}

/// What was so before a step.
struct Before {
    open: bool,
    lease: bool,
    rival: u64,
    armed: Option<Armed>,
}

impl Before {
    fn new(run: &Run) -> Self {
        let (orders, facts) = run.tables.gate(0);
        let lease = lease_valid(&run.tables.orders, &run.tables.facts, run.now);
        Self {
            open: run.tables.may_serve(run.now) && held(orders, facts) > shut(orders, facts),
            lease,
            rival: facts.rival.get(),
            armed: Armed::unpack(orders.armed.get()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn any_order_of_events_keeps_the_rules(
        steps in prop::collection::vec((any_step(), any::<bool>()), 1..60)
    ) {
        let mut run = Run::new();
        for (step, speaks) in &steps {
            let before = Before::new(&run);
            run.act(step);
            run.judge(&before, step)?;
            if *speaks {
                run.speak()?;
            }
        }
    }
}
