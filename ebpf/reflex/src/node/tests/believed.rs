use super::world::{ask, pair};
use crate::frame::{Claim, ClaimState, Status};
use crate::node::Said;
use crate::testing::MS;
use crate::verdict::{EventKind, Verdict};

#[test]
fn a_probe_that_was_overtaken_on_its_link_is_refused() {
    let (mut a, mut b, _) = pair();
    let older = b.probe(0, 0, 2 * MS);
    let newer = b.probe(0, 0, 3 * MS);
    assert_eq!(a.receive(&newer, 3 * MS).0, Verdict::ProbeAnswered);
    a.refuses(&older, 3 * MS, Verdict::Replayed);
}

#[test]
fn a_pong_that_was_overtaken_on_its_link_is_refused() {
    let (mut a, mut b, _) = pair();
    let (first, second) = (a.probe(1, 0, 2 * MS), a.probe(1, 0, 3 * MS));
    let older = b.receive(&first, 3 * MS).1.unwrap();
    let newer = b.receive(&second, 3 * MS + 1).1.unwrap();
    assert_eq!(a.receive(&newer, 4 * MS).0, Verdict::PongTaken);
    a.refuses(&older, 4 * MS, Verdict::Replayed);
}

#[test]
fn a_slow_links_words_prove_life_and_say_nothing() {
    let (mut a, mut b, _) = pair();
    b.tables.orders.status.set(0);
    b.tables.orders.gates[0].granted.set(4);
    let slow = b.probe(0, 1, 2 * MS);
    b.tables.orders.status.set(Status::LEAVING.into());
    b.tables.orders.gates[0].resigned.set(4);
    let fast = b.probe(0, 0, 3 * MS);

    a.receive(&fast, 3 * MS);
    let (said, claim) = (a.facts_of(1).said.get(), a.tables.facts.claims[1][0].get());
    let events = a.tables.events.len();
    assert_eq!(a.receive(&slow, 9 * MS).0, Verdict::ProbeAnswered);
    assert_eq!(a.facts_of(1).said.get(), said);
    assert_eq!(a.tables.facts.claims[1][0].get(), claim);
    assert_eq!(Claim::unpack(claim).state(), ClaimState::Resigned);
    assert_eq!(a.tables.events.len(), events);
    assert_eq!(a.facts_of(1).heard_at.get(), 9 * MS, "it lives");
    assert_eq!(a.facts_of(1).links[1].heard_at.get(), 9 * MS);
}

/// Each page is ordered by itself: being overtaken by another page makes no claim older.
#[test]
fn a_page_that_another_one_overtook_is_believed() {
    let (mut a, mut b, _) = pair();
    for tables in [&a.tables, &b.tables] {
        tables.orders.groups_len.set(16);
    }
    b.tables.orders.status.set(0);
    b.tables.orders.gates[8].granted.set(4);
    let slow = b.probe_page(0, 1, 1, 2 * MS);
    b.tables.orders.status.set(Status::LEAVING.into());
    let fast = b.probe_page(0, 0, 0, 3 * MS);
    a.receive(&fast, 3 * MS);
    let said = a.facts_of(1).said.get();
    a.receive(&slow, 9 * MS);
    let claim = Claim::unpack(a.tables.facts.claims[1][8].get());
    assert_eq!((claim.epoch, claim.state()), (4, ClaimState::Open));
    assert_eq!(a.facts_of(1).pages[0].get(), 0b11);
    assert_eq!(a.facts_of(1).said.get(), said, "what it said of itself is older all the same");
}

/// The old word about all gates must not count for what was granted since.
#[test]
fn an_overtaken_frame_without_lease_opens_nothing_of_other_pages() {
    let (mut a, mut b, _) = pair();
    for tables in [&a.tables, &b.tables] {
        tables.orders.groups_len.set(16);
    }
    b.tables.orders.lease_until.set(2 * MS);
    let slow = b.probe_page(0, 1, 1, 2 * MS);
    b.tables.orders.lease_until.set(u64::MAX);
    b.tables.orders.gates[0].granted.set(4);
    let fast = b.probe_page(0, 0, 0, 3 * MS);
    a.receive(&fast, 3 * MS);
    a.tables.arm(0, 1, 5);
    a.receive(&slow, 9 * MS);
    assert!(!a.tables.is_open(0, 9 * MS));
}

#[test]
fn a_late_frame_is_told_with_its_gap() {
    let (mut a, mut b, _) = pair();
    a.tables.orders.warntime.set(2 * MS);
    let (early, late) = (b.probe(0, 0, 2 * MS), b.probe(0, 0, 9 * MS));
    a.receive(&early, 2 * MS);
    a.tables.events.clear();
    a.receive(&late, 9 * MS);
    let told: std::vec::Vec<_> = a
        .tables
        .events
        .iter()
        .filter(|e| e.kind == EventKind::NodeLate as u32)
        .map(|e| (e.node, e.epoch))
        .collect();
    assert_eq!(told, [(1, 7 * MS)]);
}

/// The driver reads the clock once per turn: its probes to one node, over all links and pages, bear one time.
#[test]
fn words_of_the_same_moment_are_all_heard() {
    let (mut a, mut b, _) = pair();
    for tables in [&a.tables, &b.tables] {
        tables.orders.groups_len.set(24);
    }
    for group in [1, 9, 17] {
        b.tables.orders.gates[group].granted.set(group as u64);
    }
    for page in 0..3 {
        a.receive(&b.probe_page(0, 0, page, 2 * MS), 2 * MS);
    }
    for group in [1usize, 9, 17] {
        let claim = Claim::unpack(a.tables.facts.claims[1][group].get());
        assert_eq!((claim.epoch as usize, claim.state()), (group, ClaimState::Open));
    }
    b.tables.orders.gates[1].resigned.set(1);
    a.receive(&b.probe(0, 0, 2 * MS), 2 * MS);
    assert_eq!(Claim::unpack(a.tables.facts.claims[1][1].get()).state(), ClaimState::Resigned);
}

#[test]
fn news_is_told_once_and_confirmed_pongs_are_no_news() {
    let (mut a, mut b, _) = pair();
    ask(&mut a, &mut b, 0, 2 * MS);
    let (said, version) = (a.tables.count(EventKind::NodeSaid), a.tables.facts.version.get());
    // b's probes lose PONG_HEARD and gain it again.
    a.receive(&b.probe(0, 0, 3 * MS), 3 * MS);
    let mut without = b.probe(0, 0, 3 * MS + 1);
    without.set_status(without.status() & !Status::PONG_HEARD);
    crate::mac::sign(&super::world::key(), &mut without, &mut Default::default());
    a.receive(&without, 3 * MS + 1);
    assert_eq!(a.tables.count(EventKind::NodeSaid), said);
    assert_eq!(a.tables.facts.version.get(), version, "a quiet cluster wakes nobody");

    b.tables.orders.status.set((Status::ACTIVE | Status::LEAVING).into());
    for now in [3 * MS + 2, 3 * MS + 3] {
        a.receive(&b.probe(0, 0, now), now);
    }
    assert_eq!(a.tables.count(EventKind::NodeSaid), said + 1);
    assert_eq!(Said::unpack(a.facts_of(1).said.get()).status & Status::LEAVING, Status::LEAVING);
}

#[test]
fn a_dead_node_that_speaks_is_alive() {
    let (mut a, mut b, _) = pair();
    a.tables.facts.nodes[1].dead_at.set(9 * MS);
    a.receive(&b.probe(0, 0, 10 * MS), 10 * MS);
    assert_eq!(a.facts_of(1).dead_at.get(), 0);
    assert_eq!(a.tables.count(EventKind::NodeAlive), 1);
}

#[test]
fn stamps_count_what_was_asked_when_it_was_heard() {
    let (mut a, mut b, _) = pair();
    for i in 2..7 {
        a.probe(1, 0, i * MS);
    }
    a.receive(&b.probe(0, 0, 7 * MS), 7 * MS);
    let link = &a.facts_of(1).links[0];
    assert_eq!((link.asked_when_heard.get(), link.heard_at.get()), (6, 7 * MS));
    assert_eq!(link.received.get(), 3, "a pong and a probe of the admission, and this one");
    // The gaps: from 1 ms to 1 ms and 1 ns, and to 7 ms.
    assert_eq!((link.gaps[0].get(), link.gaps[13].get()), (1, 1));
}
