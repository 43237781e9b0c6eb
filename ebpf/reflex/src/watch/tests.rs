use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::frame::Frame;
use crate::node::tests::world::{Node, ask};
use crate::testing::{MS, Tables};

const GRACE: u64 = MS / 4;

/// One link of the watched node, as the tables have it.
#[derive(Clone, Copy, Default)]
struct Link {
    asked: u64,
    asked_at: u64,
    heard_at: u64,
    asked_when_heard: u64,
}

/// Node 0 that watches node 1 with these links; admitted, heard when the last link heard it.
fn watching(links: &[Link]) -> Tables {
    let tables = Tables::new(0);
    tables.orders.lease_until.set(u64::MAX);
    let facts = &tables.facts.nodes[1];
    facts.session.set(0xb1);
    facts.heard_at.set(links.iter().map(|link| link.heard_at).max().unwrap_or(0));
    for (i, link) in links.iter().enumerate() {
        tables.orders.nodes[1].links[i].asked.set(link.asked);
        tables.orders.nodes[1].links[i].asked_at.set(link.asked_at);
        facts.links[i].heard_at.set(link.heard_at);
        facts.links[i].asked_when_heard.set(link.asked_when_heard);
    }
    tables
}

fn look_at(tables: &mut Tables, now: u64) -> u64 {
    let events = &mut tables.events;
    look(&tables.orders, &tables.facts, 1, now, &mut |e| events.push(e))
}

fn is_dead(tables: &Tables) -> bool {
    tables.facts.nodes[1].dead_at.get() != 0
}

/// Heard at 10 ms; three probes since, the last at 13 ms.
const SILENT: Link = Link { asked: 13, asked_at: 13 * MS, heard_at: 10 * MS, asked_when_heard: 10 };

#[test]
fn verdicts() {
    let unused = Link::default();
    let due = 13 * MS + GRACE;
    for (name, links, now, dead) in [
        ("silent, asked three times", vec![SILENT], due, true),
        ("deadtime is not over", vec![SILENT], 13 * MS - 1, false),
        ("the last probe is too young to count", vec![SILENT], due - 1, false),
        ("too young, but three others count", vec![Link { asked: 14, ..SILENT }], due - 1, true),
        ("asked twice", vec![Link { asked: 12, ..SILENT }], due, false),
        ("asked twice, for an hour", vec![Link { asked: 12, ..SILENT }], 3_600_000 * MS, false),
        ("asked nothing since, for an hour", vec![Link { asked: 10, ..SILENT }], 3_600_000 * MS, false),
        ("no link in use", vec![unused], 3_600_000 * MS, false),
        ("both links silent", vec![SILENT, SILENT], due, true),
        ("a link between them is not in use", vec![SILENT, unused, SILENT], due, true),
        ("one link heard later", vec![SILENT, Link { heard_at: 11 * MS, ..SILENT }], due, false),
        ("one link asked too little", vec![SILENT, Link { asked: 11, ..SILENT }], due, false),
        (
            "one link never heard, but asked",
            vec![SILENT, Link { heard_at: 0, asked_when_heard: 0, ..SILENT }],
            due,
            true,
        ),
    ] {
        let mut tables = watching(&links);
        let next = look_at(&mut tables, now);
        assert_eq!(is_dead(&tables), dead, "{name}");
        assert_eq!(tables.count(EventKind::NodeDead), usize::from(dead), "{name}");
        assert!((LOOK_MIN_NS..=3 * MS).contains(&next), "{name}: looks again in {next} ns");
    }
}

#[test]
fn the_next_look_comes_when_it_can_matter() {
    type Change = fn(&Tables);
    let cases: [(&str, Change, u64, u64); 6] = [
        ("when it falls due", |_| {}, 11 * MS, 2 * MS),
        ("soon, when it nearly is", |_| {}, 13 * MS - 5, LOOK_MIN_NS),
        ("twice in a grace, when only an answer is out", |_| {}, 13 * MS, GRACE / 2),
        ("half of deadtime, when it is unknown", |t| t.facts.nodes[1].session.set(0), 13 * MS, 3 * MS / 2),
        ("half of deadtime, when it is dead", |t| t.facts.nodes[1].dead_at.set(1), 20 * MS, 3 * MS / 2),
        (
            "no busy loop, when times are 0",
            |t| (t.orders.deadtime.set(0), t.orders.grace.set(0)).0,
            MS,
            9 * MS,
        ),
    ];
    for (name, change, now, next) in cases {
        let mut tables = watching(&[SILENT]);
        change(&tables);
        assert_eq!(look_at(&mut tables, now), next, "{name}");
    }
    let mut tables = watching(&[SILENT]);
    assert_eq!(look_at(&mut tables, 14 * MS), 3 * MS / 2, "just declared dead");
}

#[test]
fn a_node_heard_over_serial_is_not_dead() {
    let mut tables = watching(&[SILENT]);
    tables.orders.nodes[1].heard_elsewhere_until.set(50 * MS);
    look_at(&mut tables, 50 * MS - 1);
    assert!(!is_dead(&tables));
    look_at(&mut tables, 50 * MS);
    assert!(is_dead(&tables));
}

#[test]
fn a_node_that_was_never_admitted_is_not_dead() {
    let mut tables = watching(&[SILENT]);
    tables.facts.nodes[1].session.set(0);
    look_at(&mut tables, 100 * MS);
    assert!(!is_dead(&tables));
}

#[test]
fn death_opens_what_is_armed_against_the_dead_one() {
    let mut tables = watching(&[SILENT]);
    tables.arm(0, 1, 6);
    tables.arm(1, 2, 6);
    look_at(&mut tables, 14 * MS);
    assert!(tables.is_open(0, 14 * MS));
    assert!(!tables.is_open(1, 14 * MS), "armed against another");
    assert_eq!(tables.facts.nodes[1].dead_at.get(), 14 * MS);
    look_at(&mut tables, 15 * MS);
    assert_eq!(tables.count(EventKind::NodeDead), 1, "told once");
}

#[test]
fn a_watcher_without_lease_takes_nothing_over() {
    for company in [true, false] {
        let mut tables = watching(&[SILENT]);
        tables.facts.nodes[2].session.set(u64::from(company));
        tables.arm(0, 1, 6);
        tables.orders.gates[2].granted.set(1);
        tables.orders.lease_until.set(12 * MS);
        look_at(&mut tables, 14 * MS);
        assert!(is_dead(&tables));
        assert!(!tables.is_open(0, 14 * MS));
        // Every look fences what it holds, unless nobody is left who could hold it instead.
        assert_eq!(tables.facts.gates[2].fenced.get(), u64::from(company));
        assert_eq!(tables.is_open(2, 14 * MS), !company);
    }
}

#[test]
fn the_end_of_the_lease_is_looked_at_on_time() {
    for (name, lease, now, next) in [
        ("the lease ends before the node falls due", 11 * MS + 700_000, 11 * MS, 700_000),
        ("the lease ends after it", 14 * MS, 11 * MS, 2 * MS),
        ("the lease ends at once", 11 * MS + 5, 11 * MS, LOOK_MIN_NS),
        ("the lease is over", 11 * MS, 11 * MS, 2 * MS),
    ] {
        let mut tables = watching(&[SILENT]);
        tables.orders.lease_until.set(lease);
        assert_eq!(look_at(&mut tables, now), next, "{name}");
    }
    // Also while the node is unknown or dead and there is little else to look for.
    for change in [|t: &Tables| t.facts.nodes[1].session.set(0), |t: &Tables| t.facts.nodes[1].dead_at.set(1)]
    {
        let mut tables = watching(&[SILENT]);
        change(&tables);
        tables.orders.lease_until.set(12 * MS);
        assert_eq!(look_at(&mut tables, 11 * MS + MS / 2), MS / 2);
    }
}

#[test]
fn three_probes_or_as_many_as_fit() {
    for (keepalive, deadtime, min) in [
        (MS, 3 * MS, 3),
        (MS, 10 * MS, 3),
        (MS, 3 * MS - 1, 2),
        (MS, 2 * MS, 2),
        (MS, MS, 1),
        (2 * MS, MS, 1),
        (0, MS, 3),
        (MS, u64::MAX, 3),
    ] {
        assert_eq!(unanswered_min(keepalive, deadtime), min, "{keepalive} in {deadtime}");
    }
}

/// Two nodes, `links` links with a latency each, keepalive 1 ms, deadtime 3 ms, and a watch at node 0.
struct Run {
    a: Node,
    b: Node,
    latency: Vec<u64>,
    /// Frames under way: when they arrive, and where.
    under_way: Vec<(u64, Frame)>,
    look_at: u64,
    /// Whether node 1's agent runs at all; its kernel answers either way.
    b_probes: bool,
    /// When node 0 last heard node 1.
    heard: u64,
}

impl Run {
    fn new(latency: &[u64]) -> Self {
        let (mut a, mut b) = (Node::new(0, 0xa1), Node::new(1, 0xb1));
        for link in 0..latency.len() as u8 {
            ask(&mut a, &mut b, link, 1);
        }
        Self { a, b, latency: latency.to_vec(), under_way: vec![], look_at: 0, b_probes: true, heard: 1 }
    }

    /// Lets the time pass up to `end` in steps of 10 us. `a_probes(now)` and `b_lives(now)` say who is awake
    /// for the tick; returns when node 1 was declared dead.
    fn until(
        &mut self,
        end: u64,
        a_probes: impl Fn(u64) -> bool,
        b_lives: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        const STEP: u64 = MS / 100;
        for now in (STEP..end).step_by(STEP as usize) {
            for link in 0..self.latency.len() {
                let arrives = now + self.latency[link];
                if now % MS == 0 && a_probes(now) {
                    self.under_way.push((arrives, self.a.probe(1, link as u8, now)));
                }
                if self.b_probes && now % MS == MS / 2 && b_lives(now) {
                    self.under_way.push((arrives, self.b.probe(0, link as u8, now)));
                }
            }
            let (arrived, under_way) = self.under_way.drain(..).partition(|&(at, _)| at <= now);
            self.under_way = under_way;
            for (_, frame) in arrived {
                self.arrive(&frame, now, b_lives(now));
            }
            if now >= self.look_at {
                self.look_at = now + look_at(&mut self.a.tables, now);
                if is_dead(&self.a.tables) {
                    return Some(now);
                }
            }
        }
        None
    }

    fn arrive(&mut self, frame: &Frame, now: u64, b_lives: bool) {
        if frame.destination() == 1 {
            if b_lives && let (_, Some(pong)) = self.b.receive(frame, now) {
                self.under_way.push((now + self.latency[usize::from(frame.link())], pong));
            }
            return;
        }
        self.a.receive(frame, now);
        self.heard = self.a.facts_of(1).heard_at.get();
    }
}

#[test]
fn a_dead_node_is_noticed_between_deadtime_and_a_keepalive_and_a_grace_more() {
    for links in [1, 2] {
        let mut run = Run::new(&vec![MS / 50; links]);
        let died = 20 * MS + MS / 4;
        let dead = run.until(60 * MS, |_| true, |now| now < died).expect("it is noticed");
        let silence = dead - run.heard;
        assert!(silence >= 3 * MS, "{silence}");
        assert!(silence <= 3 * MS + MS + GRACE, "{silence}");
    }
}

/// The watcher slept, and so did the other agent; the watcher wakes and has a lot to say.
#[test]
fn a_burst_asks_once() {
    for probes in [1, 3, 40] {
        let mut run = Run::new(&[MS / 50]);
        run.b_probes = false;
        for i in 0..probes {
            run.a.probe(1, 0, 50 * MS + i);
        }
        look_at(&mut run.a.tables, 50 * MS + probes);
        assert!(!is_dead(&run.a.tables), "no answer can be there yet");
        look_at(&mut run.a.tables, 52 * MS);
        assert!(!is_dead(&run.a.tables), "asked once");
        run.a.probe(1, 0, 52 * MS);
        run.a.probe(1, 0, 53 * MS);
        look_at(&mut run.a.tables, 53 * MS + GRACE);
        assert!(is_dead(&run.a.tables), "asked three times");
    }
}

#[test]
fn a_starved_watcher_declares_nobody_dead() {
    let mut run = Run::new(&[MS / 50]);
    let asleep = 10 * MS + 1..150 * MS;
    // Node 1 is silent as long as the watcher sleeps, which is 46 times deadtime.
    let awake = |now: u64| !asleep.contains(&now);
    assert_eq!(run.until(200 * MS, awake, awake), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Whatever ticks either side misses: no verdict within deadtime after the last thing heard, and none
    /// with fewer than three probes asked since.
    #[test]
    fn no_verdict_within_deadtime_nor_without_asking(
        latency in prop::collection::vec(0..MS, 1..3),
        a_sleeps in prop::collection::vec(any::<bool>(), 60),
        b_sleeps in prop::collection::vec(any::<bool>(), 60),
    ) {
        let mut run = Run::new(&latency);
        let awake = |sleeps: &[bool], now: u64| !sleeps[(now / MS) as usize];
        let dead = run.until(60 * MS, |now| awake(&a_sleeps, now), |now| awake(&b_sleeps, now));
        if let Some(dead) = dead {
            prop_assert!(dead - run.heard >= 3 * MS);
            let asked = (run.heard / MS + 1..=dead / MS).filter(|&ms| !a_sleeps[ms as usize]).count();
            prop_assert!(asked >= 3, "{} probes since {}", asked, run.heard);
        }
    }

    /// A node that answers within the grace lives, though no agent runs beside its kernel.
    #[test]
    fn a_node_that_answers_is_never_dead(
        latency in 0..MS / 10,
        a_sleeps in prop::collection::vec(any::<bool>(), 60),
    ) {
        let mut run = Run::new(&[latency]);
        run.b_probes = false;
        let dead = run.until(60 * MS, |now| !a_sleeps[(now / MS) as usize], |_| true);
        prop_assert_eq!(dead, None);
    }
}
