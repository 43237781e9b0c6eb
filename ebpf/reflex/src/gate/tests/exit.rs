//! The dying gasp, the planned restart, and the survivor who has nobody to yield to.

use super::*;

/// [`leased`], with group 0 open.
fn serving() -> Tables {
    let tables = leased();
    tables.gate(0).0.granted.set(5);
    tables
}

/// [`serving`], but node 2 is dead.
fn alone() -> Tables {
    let tables = serving();
    tables.facts.nodes[2].dead_at.set(1);
    tables
}

fn check_strictly(tables: &mut Tables, now: u64) -> bool {
    let events = &mut tables.events;
    check_lease_strictly(&tables.orders, &tables.facts, now, &mut |e| events.push(e))
}

#[test]
fn the_gasp_fences_at_once_and_says_why() {
    let mut tables = serving();
    tables.exit(MS);
    assert_eq!(tables.gate(0).1.fenced.get(), 5, "stored before anybody looks");
    assert!(!tables.is_open(0, MS));
    assert!(!lease_valid(&tables.orders, &tables.facts, MS));
    let claim = tables.claim(0);
    assert_eq!((claim.state(), claim.reason), (ClaimState::Fenced, Reason::Exit as u8));
    assert_eq!(tables.count(EventKind::GateFenced), 1);
}

#[test]
fn the_gasp_fences_what_is_armed() {
    let mut tables = serving();
    tables.arm(1, 2, 7);
    tables.exit(MS);
    tables.orders.lease_until.set(20 * MS);
    tables.take_over(1, 2, MS);
    assert!(!tables.is_open(1, MS));
}

#[test]
fn a_planned_restart_outlives_the_exit_but_not_its_lease() {
    let mut tables = serving();
    tables.orders.keep.set(10 * MS);
    tables.exit(MS);
    assert!(tables.is_open(0, 10 * MS - 1));
    assert!(lease_valid(&tables.orders, &tables.facts, 10 * MS - 1));
    assert!(!tables.is_open(0, 10 * MS));
    assert_eq!(tables.claim(0).reason, Reason::Lease as u8);
}

#[test]
fn keep_names_one_lease_and_no_other() {
    for keep in [0, 10 * MS - 1, 10 * MS + 1, u64::MAX] {
        let mut tables = serving();
        tables.orders.keep.set(keep);
        tables.exit(MS);
        assert!(!tables.is_open(0, MS), "keep {keep}");
    }
}

#[test]
fn a_new_agents_lease_is_valid_and_opens_nothing_that_the_exit_closed() {
    let mut tables = serving();
    tables.exit(MS);
    tables.orders.lease_until.set(20 * MS);
    assert!(lease_valid(&tables.orders, &tables.facts, 2 * MS));
    assert!(!tables.is_open(0, 2 * MS));
    tables.gate(0).0.granted.set(6);
    assert!(tables.is_open(0, 2 * MS));
}

#[test]
fn without_a_lease_an_exit_changes_nothing() {
    let mut tables = Tables::new(1);
    tables.exit(MS);
    assert!(!lease_valid(&tables.orders, &tables.facts, 0));
    assert_eq!(tables.events, []);
}

#[test]
fn who_is_alone() {
    let tables = Tables::new(1);
    assert!(is_alone(&tables.orders, &tables.facts), "nobody was ever heard");
    tables.facts.nodes[0].session.set(0xa1);
    assert!(!is_alone(&tables.orders, &tables.facts));
    tables.facts.nodes[0].dead_at.set(1);
    assert!(is_alone(&tables.orders, &tables.facts), "the only one that was heard is dead");
    tables.facts.nodes[2].session.set(0xc1);
    assert!(!is_alone(&tables.orders, &tables.facts), "one lives");
    tables.facts.nodes[2].dead_at.set(1);
    tables.facts.nodes[1].session.set(0xb1);
    tables.facts.nodes[3].session.set(0xd1);
    assert!(is_alone(&tables.orders, &tables.facts), "oneself and who is no node do not count");
}

#[test]
fn a_sole_survivor_serves_through_the_end_of_its_lease_and_of_its_agent() {
    let mut tables = alone();
    assert!(tables.is_open(0, 11 * MS));
    assert!(tables.check_lease(11 * MS));
    tables.exit(12 * MS);
    assert!(tables.is_open(0, 1_000 * MS));
    assert_eq!(tables.claim(0).state(), ClaimState::Open);
    assert_eq!(tables.count(EventKind::GateFenced), 0);
}

#[test]
fn a_survivor_without_lease_is_fenced_by_company() {
    for exits in [false, true] {
        let mut tables = alone();
        if exits {
            tables.exit(MS);
        }
        assert!(tables.is_open(0, 11 * MS));
        tables.facts.nodes[2].dead_at.set(0);
        assert!(!tables.is_open(0, 11 * MS));
        let reason = if exits { Reason::Exit } else { Reason::Lease };
        assert_eq!(tables.claim(0).reason, reason as u8);
        tables.facts.nodes[2].dead_at.set(12 * MS);
        assert!(!tables.is_open(0, 12 * MS), "and alone again it stays fenced (R2)");
    }
}

#[test]
fn somebody_unknown_is_company_enough() {
    let mut tables = alone();
    assert!(check_strictly(&mut tables, 10 * MS - 1), "the lease is valid");
    assert!(tables.is_open(0, 10 * MS - 1));
    assert!(!check_strictly(&mut tables, 10 * MS));
    assert!(!tables.is_open(0, 10 * MS));
    assert_eq!(tables.count(EventKind::GateFenced), 1);
}

#[test]
fn a_survivor_without_lease_takes_nothing_over() {
    for exits in [false, true] {
        let mut tables = alone();
        tables.arm(1, 2, 7);
        if exits {
            tables.exit(MS);
        }
        let now = if exits { 2 * MS } else { 10 * MS };
        tables.take_over(1, 2, now);
        take_over_all(&tables.orders, &tables.facts, 2, now, &mut |_| {});
        tables.hear(2, 1, ClaimState::Resigned, 6, now);
        assert!(!tables.is_open(1, now));
        assert_eq!(tables.gate(1).1.taken.get(), 0);
    }
}

#[test]
fn a_survivors_late_renewal_keeps_what_it_served() {
    let tables = alone();
    assert!(renew_lease(&tables.orders, &tables.facts, 50 * MS, 60 * MS, &mut |_| {}));
    assert!(tables.is_open(0, 50 * MS));
    assert!(lease_valid(&tables.orders, &tables.facts, 50 * MS));
}
