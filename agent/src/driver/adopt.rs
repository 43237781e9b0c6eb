//! Going on with the tables of an earlier agent: after a planned restart, or on a sole survivor whose agent has died.

use cluster::GroupId;
use reflex::{Facts, Orders, gate};

use crate::config::{Config, same_cluster};

/// What tables must agree with to be ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ours {
    pub(super) own: u64,
    pub(super) digest: u32,
    pub(super) groups: GroupId,
}

impl Ours {
    pub(super) fn of(config: &Config) -> Self {
        Self { own: config.own as u64, digest: config.digest, groups: config.groups.len() as GroupId }
    }

    /// The groups whose gates are open.
    pub(super) fn open(self, orders: &Orders, facts: &Facts, now: u64) -> Vec<GroupId> {
        (0..self.groups).filter(|&group| gate::is_open(orders, facts, group, now)).collect()
    }

    /// Whether the tables are of the same node, with the same nodes and groups.
    pub(super) fn are(self, orders: &Orders) -> bool {
        orders.own.get() == self.own && same_cluster(orders.config.get() as u32, self.digest)
    }

    /// Whether the tables are ours, and with an open gate. After a crash they are not, unless
    /// nobody was there to take over.
    fn is_worth_it(self, orders: &Orders, facts: &Facts, now: u64) -> bool {
        self.are(orders) && !self.open(orders, facts, now).is_empty()
    }

    /// Goes on with the tables, if that is worth it: their lease is renewed for `lease` ns, or left as it is if it lasts
    /// longer. False if there is nothing to go on with, also when the lease ended while we looked: then everything in them
    /// is fenced (R2).
    pub(super) fn goes_on(self, orders: &Orders, facts: &Facts, lease: u64, clock: impl Fn() -> u64) -> bool {
        if !self.is_worth_it(orders, facts, clock()) {
            return false;
        }
        // Time has passed since then, and the kernel goes on: it may have been the last moment.
        let now = clock();
        let until = orders.lease_until.get().max(now.saturating_add(lease));
        gate::renew_lease(orders, facts, now, until, &mut |_| {});
        self.is_worth_it(orders, facts, now)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const OURS: Ours = Ours { own: 0, digest: 9 << 20, groups: 2 };
    const LEASE: u64 = 1_000;
    /// When the lease that was left behind ends.
    const END: u64 = 100;

    /// Node 0 that holds group 1 with epoch 5 and is armed to take group 0 from node 1, which it hears.
    fn left_behind() -> (Box<Orders>, Box<Facts>) {
        let (orders, facts) = (Box::new(Orders::new()), Box::new(Facts::new()));
        orders.config.set(u64::from(OURS.digest));
        orders.nodes_len.set(2);
        orders.groups_len.set(2);
        orders.lease_until.set(END);
        orders.gates[1].granted.set(5);
        let armed = gate::Armed { epoch: 8, holder: 1, behind: 1 };
        orders.gates[0].armed.set(armed.pack());
        facts.nodes[1].session.set(0xb1);
        (orders, facts)
    }

    #[test]
    fn a_lease_that_is_valid_is_renewed_and_never_cut() {
        for (lease, until) in [(LEASE, 99 + LEASE), (0, END)] {
            let (orders, facts) = left_behind();
            assert!(OURS.goes_on(&orders, &facts, lease, || 99));
            assert_eq!(orders.lease_until.get(), until);
            assert_eq!(OURS.open(&orders, &facts, 99), [1]);
        }
    }

    #[test]
    fn a_lease_that_is_over_is_not_revived() {
        let (orders, facts) = left_behind();
        assert!(!OURS.goes_on(&orders, &facts, LEASE, || END));
        assert_eq!(orders.lease_until.get(), END);
        assert_eq!(facts.gates[1].fenced.get(), 5);
    }

    #[test]
    fn a_lease_that_ends_between_the_look_and_the_renewal_fences_for_good() {
        let (orders, facts) = left_behind();
        let now = Cell::new(END - 1);
        assert!(!OURS.goes_on(&orders, &facts, LEASE, || now.replace(END)));
        assert_eq!(facts.gates[1].fenced.get(), 5);
        assert_eq!(facts.gates[0].fenced.get(), 8, "what was armed, too: nobody is there to serve it");
        assert!(OURS.open(&orders, &facts, END).is_empty());
    }

    #[test]
    fn a_sole_survivors_tables_are_gone_on_with_although_its_lease_is_over() {
        let (orders, facts) = left_behind();
        facts.nodes[1].dead_at.set(50);
        facts.exited.set(END);
        assert!(OURS.goes_on(&orders, &facts, LEASE, || END + 7));
        assert!(gate::lease_valid(&orders, &facts, END + 7));
        // The other one was heard at the last moment.
        let (orders, facts) = left_behind();
        facts.nodes[1].dead_at.set(50);
        facts.exited.set(END);
        let looks = Cell::new(0);
        let clock = || {
            if looks.replace(looks.get() + 1) == 1 {
                facts.nodes[1].dead_at.set(0);
            }
            END + 7
        };
        assert!(!OURS.goes_on(&orders, &facts, LEASE, clock));
        assert_eq!(facts.gates[1].fenced.get(), 5);
    }

    #[test]
    fn tables_of_another_node_or_configuration_are_left_alone() {
        for ours in [Ours { own: 1, ..OURS }, Ours { digest: 8 << 20, ..OURS }] {
            let (orders, facts) = left_behind();
            assert!(!ours.goes_on(&orders, &facts, LEASE, || 1));
            assert_eq!(orders.lease_until.get(), END);
        }
    }
}
