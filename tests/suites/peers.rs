//! The systems that xbeat is compared with: each that is installed keeps the address, loses its owner, and goes on.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::time::Duration;

use tests::lan::{Network, VIP};
use tests::peers::keepalived::Keepalived;
use tests::peers::pair::Pair;
use tests::peers::{self, System};
use tests::require::root_or_skip;
use tests::wait::pause;
use tests::{clock, host};

/// Heartbeat on a busy machine takes its time.
const LIMIT: Duration = Duration::from_secs(120);

/// `system`, unless it is not installed: then that is said.
#[expect(clippy::print_stderr, reason = "libtest shows it with --nocapture")]
fn installed(system: &dyn System) -> bool {
    let Some(missing) = system.missing() else { return true };
    eprintln!("{} is left out: no {}; `{}`", system.name(), missing.program, missing.install);
    false
}

/// xbeat is always there, so something is always tested.
#[test]
fn every_installed_system_takes_over_from_a_silent_owner_and_gives_back() {
    if !root_or_skip("every_installed_system_takes_over_from_a_silent_owner_and_gives_back") {
        return;
    }
    for system in peers::all(&host::binary().unwrap()).iter().filter(|system| installed(system.as_ref())) {
        let mut pair = Pair::new(system.as_ref()).unwrap();
        let acts = |pair: &mut Pair<'_>| {
            pair.start_all(LIMIT)?;
            let from = clock::now();
            pair.power_off(0)?;
            pair.serves(1, LIMIT)?;
            pair.power_on(0)?;
            pair.settles_on(0, LIMIT).map(|()| from)
        };
        let from =
            acts(&mut pair).unwrap_or_else(|error| panic!("{}: {error:#}\n{}", system.name(), pair.logs()));
        let seen = pair.finish().unwrap();
        let to: Vec<_> = seen.changes(from, u64::MAX).iter().map(|change| change.to).collect();
        // Not "the first and the last one": on a busy machine some of them go to and fro.
        assert!([0, 1].iter().all(|node| to.contains(node)), "{}: {to:?}", system.name());
    }
}

/// Two owners, made by a real daemon: what counts them must see them. It advertises every second: at its 10 ms it has two
/// owners now and then without a fault, on a busy machine.
#[test]
fn a_killed_keepalived_leaves_two_owners_and_the_pair_sees_them() {
    let keepalived = Keepalived::one_second();
    if !root_or_skip("a_killed_keepalived_leaves_two_owners_and_the_pair_sees_them")
        || !installed(&keepalived)
    {
        return;
    }
    let mut pair = Pair::new(&keepalived).unwrap();
    pair.start_all(LIMIT).unwrap();
    assert_eq!(pair.doubled_at(), 0);
    pair.node(0).kill().unwrap();
    pair.serves(1, LIMIT).unwrap();
    let addresses = pair.lan.addresses(0, Network::Eth0).unwrap();
    assert!(addresses.iter().any(|(address, _)| *address == VIP), "a dead daemon takes no address away");
    pause(Duration::from_millis(300)).unwrap();
    assert!(pair.doubled_at() > 0);
    let seen = pair.finish().unwrap();
    assert!(!seen.windows(0, u64::MAX).is_empty());
}
