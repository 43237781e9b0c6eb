//! What will become of the groups of a running agent when this version takes its place.

use std::path::Path;

use reflex::{Facts, Orders};

use super::adopt::Ours;
use crate::config::Config;
use crate::datapath::pins::Pins;
use crate::datapath::xdp::Found;
use crate::sys::clock;

/// What a restart would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// This version goes on with the gates that are open: nobody notices.
    GoesOn,
    /// Nothing is served here that could be lost.
    Idle,
    /// The tables are of another layout, so everything would be closed.
    OtherLayout,
    /// No tables are pinned, so everything would be closed.
    NotPinned,
    /// The files name other nodes or groups than the running agent has: the restart would be more than an upgrade.
    OtherFiles,
}

/// Looks at what the agent in `run_dir` has pinned. Changes nothing.
#[must_use]
pub fn prospect(config: &Config, run_dir: &Path) -> Prospect {
    match Pins::find(run_dir).map(|pins| Found::at(&pins)) {
        Ok(Found::Tables(orders, facts)) => judge(Ours::of(config), &orders, &facts, clock::now()),
        Ok(Found::OtherLayout) => Prospect::OtherLayout,
        Ok(Found::Nothing) | Err(_) => Prospect::NotPinned,
    }
}

fn judge(ours: Ours, orders: &Orders, facts: &Facts, now: u64) -> Prospect {
    if !ours.are(orders) {
        Prospect::OtherFiles
    } else if ours.open(orders, facts, now).is_empty() {
        Prospect::Idle
    } else {
        Prospect::GoesOn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_goes_on_with_open_gates_of_the_same_cluster_alone() {
        const NOW: u64 = 5;
        let ours = Ours { own: 0, digest: 9 << 20, groups: 2 };
        let (orders, facts) = (Box::new(Orders::new()), Box::new(Facts::new()));
        orders.config.set(u64::from(ours.digest));
        orders.nodes_len.set(2);
        orders.groups_len.set(2);
        orders.lease_until.set(NOW + 1);
        facts.nodes[1].session.set(0xb1);
        assert_eq!(judge(ours, &orders, &facts, NOW), Prospect::Idle);
        orders.gates[1].granted.set(5);
        assert_eq!(judge(ours, &orders, &facts, NOW), Prospect::GoesOn);
        // Times may differ.
        assert_eq!(judge(Ours { digest: ours.digest | 7, ..ours }, &orders, &facts, NOW), Prospect::GoesOn);
        for other in [Ours { own: 1, ..ours }, Ours { digest: 8 << 20, ..ours }] {
            assert_eq!(judge(other, &orders, &facts, NOW), Prospect::OtherFiles);
        }
        assert_eq!(orders.lease_until.get(), NOW + 1, "whoever looks changes nothing");
    }
}
