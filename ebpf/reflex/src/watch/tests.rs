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
    failed: u64,
}

/// Node 0 that watches node 1 with these links; admitted, heard when the last link heard it.
fn watching(links: &[Link]) -> Tables {
    let tables = Tables::new(0);
    tables.orders.lease_until.set(u64::MAX);
    let facts = &tables.facts.nodes[1];
    facts.session.set(0xb1);
    facts.heard_at.set(links.iter().map(|link| link.heard_at).max().unwrap_or(0));
    facts.heard_until.set(facts.heard_at.get() + tables.orders.deadtime.get());
    for (i, link) in links.iter().enumerate() {
        tables.orders.nodes[1].links[i].asked.set(link.asked);
        tables.orders.nodes[1].links[i].asked_at.set(link.asked_at);
        tables.orders.nodes[1].links[i].failed.set(link.failed);
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
const SILENT: Link =
    Link { asked: 13, asked_at: 13 * MS, heard_at: 10 * MS, asked_when_heard: 10, failed: 0 };
/// Heard at 10 ms; nothing could be sent since.
const CUT_OFF: Link = Link { asked: 10, failed: 3, ..SILENT };

#[test]
fn a_verdict_lacks_a_question_only_when_the_next_one_comes_too_late() {
    // Heard at 10 ms, asked at 11 and 12 ms: a third question at 13 ms would count at 13.25 ms, and deadtime is over at 13.
    let two = Link { asked: 12, asked_at: 12 * MS, ..SILENT };
    for (name, link, next, lacks) in [
        ("too late by the grace", two, 13 * MS, true),
        ("just in time", two, 13 * MS - GRACE, false),
        ("one unanswered, as in peace", Link { asked: 11, ..two }, 13 * MS, false),
        ("enough", SILENT, 14 * MS, false),
        ("not in use", Link::default(), 13 * MS, false),
    ] {
        let tables = watching(&[link]);
        assert_eq!(lacks_a_question(&tables.orders, &tables.facts, next), lacks, "{name}");
        tables.orders.links[0].deadtime.set(3 * MS);
        assert!(!lacks_a_question(&tables.orders, &tables.facts, next), "{name}: a cable");
    }
    let tables = watching(&[two]);
    tables.facts.nodes[1].dead_at.set(1);
    assert!(!lacks_a_question(&tables.orders, &tables.facts, 13 * MS), "dead already");
}

#[test]
fn questions_from_before_it_was_last_heard_find_nobody_dead() {
    // The agent is gone. By one link it could not send in the end, and by that the other node was heard since; what it asked by the
    // other one, which is cut, nobody has answered.
    let heard = Link { heard_at: 20 * MS, failed: 3, ..CUT_OFF };
    let mut tables = watching(&[heard, SILENT]);
    look_at(&mut tables, 30 * MS);
    assert!(!is_dead(&tables));
    // Somebody asks again.
    let mut tables = watching(&[heard, Link { asked: 14, asked_at: 21 * MS, ..SILENT }]);
    look_at(&mut tables, 30 * MS);
    assert!(is_dead(&tables));
}

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
        ("nothing could be sent", vec![CUT_OFF], 3_600_000 * MS, false),
        ("nothing could be sent by either", vec![CUT_OFF, CUT_OFF], 3_600_000 * MS, false),
        ("one is silent, nothing can be sent by the other", vec![SILENT, CUT_OFF], due, true),
        ("the same the other way round", vec![CUT_OFF, SILENT], due, true),
        (
            "it is heard where nothing can be sent",
            vec![SILENT, Link { heard_at: 12 * MS, ..CUT_OFF }],
            due,
            false,
        ),
        (
            "two that could not be sent prove no dead link",
            vec![SILENT, Link { failed: 2, ..CUT_OFF }],
            due,
            false,
        ),
        ("nothing could be sent, also after three that went", vec![Link { failed: 3, ..SILENT }], due, false),
    ] {
        let mut tables = watching(&links);
        let next = look_at(&mut tables, now);
        assert_eq!(is_dead(&tables), dead, "{name}");
        assert_eq!(tables.count(EventKind::NodeDead), usize::from(dead), "{name}");
        let cut_off = !dead && name.starts_with("nothing could be sent");
        assert_eq!(is_cut_off(&tables.orders, &tables.facts, 1, now), cut_off, "{name}");
        assert!((LOOK_MIN_NS..=3 * MS).contains(&next), "{name}: looks again in {next} ns");
    }
}

#[test]
fn the_next_look_comes_when_it_can_matter() {
    type Change = fn(&Tables);
    let cases: [(&str, Change, u64, u64); 7] = [
        ("shortly before it falls due", |_| {}, 11 * MS, 2 * MS - FOREWARNED_NS),
        ("when it falls due", |_| {}, 13 * MS - 60_000, 60_000),
        ("soon, when it nearly is", |_| {}, 13 * MS - 5, LOOK_MIN_NS),
        ("twice in a grace, when only an answer is out", |_| {}, 13 * MS, GRACE / 2),
        ("half of deadtime, when it is unknown", |t| t.facts.nodes[1].session.set(0), 13 * MS, 3 * MS / 2),
        ("half of deadtime, when it is dead", |t| t.facts.nodes[1].dead_at.set(1), 20 * MS, 3 * MS / 2),
        (
            "no busy loop, when times are 0",
            |t| {
                t.orders.deadtime.set(0);
                t.orders.grace.set(0);
                t.facts.nodes[1].heard_until.set(10 * MS);
            },
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
fn who_will_be_dead_in_a_moment_is_told_of_and_nobody_else() {
    struct Warned(Vec<(u8, u64)>);
    impl Sink for Warned {
        fn emit(&mut self, event: Event) {
            panic!("{event:?}");
        }
        fn letter(&mut self, _letter: &Frame) -> bool {
            false
        }
        fn forewarn(&mut self, node: u8, now: u64) {
            self.0.push((node, now));
        }
    }
    let tables = watching(&[SILENT]);
    let (due, mut warned) = (13 * MS, Warned(Vec::new()));
    for now in [11 * MS, due - FOREWARNED_NS - 1, due - FOREWARNED_NS, due] {
        look(&tables.orders, &tables.facts, 1, now, &mut warned);
    }
    assert_eq!(warned.0, [(1, due - FOREWARNED_NS)]);
}

/// Link 1 is a line with a clock of its own: a probe every 20 ms, deadtime 60 ms, an answer takes up to 10 ms.
fn with_a_line(tables: Tables) -> Tables {
    give_line(&tables);
    tables
}

fn give_line(tables: &Tables) {
    let times = &tables.orders.links[1];
    times.deadtime.set(60 * MS);
    times.unanswered_min.set(3);
    times.grace.set(10 * MS);
}

/// Heard over the line at 10 ms; asked there at 30, 50 and 70.
const LINE: Link = Link { asked: 4, asked_at: 70 * MS, heard_at: 10 * MS, asked_when_heard: 1, failed: 0 };

#[test]
fn each_link_is_silent_by_its_own_clock() {
    let lost = Link { asked: 2_000, asked_at: 80 * MS, ..SILENT };
    for (name, links, heard_until, now, dead) in [
        ("both silent, each for its time", [lost, LINE], 70 * MS, 80 * MS, true),
        ("the line's deadtime is not over", [lost, LINE], 70 * MS, 70 * MS - 1, false),
        ("the answer to its last probe may be on its way", [lost, LINE], 70 * MS, 80 * MS - 1, false),
        ("the line was asked too little", [lost, Link { asked: 3, ..LINE }], 70 * MS, 500 * MS, false),
        ("the line was never opened", [lost, Link { failed: 9, ..Link::default() }], 13 * MS, 80 * MS, true),
        (
            "the line broke, and its deadtime is over",
            [lost, Link { asked: 2, failed: 3, ..LINE }],
            70 * MS,
            71 * MS,
            true,
        ),
        (
            "the line broke, and it is not",
            [lost, Link { asked: 2, failed: 3, ..LINE }],
            60 * MS,
            69 * MS,
            false,
        ),
        (
            "two probes only found the line broken",
            [lost, Link { asked: 2, failed: 2, ..LINE }],
            70 * MS,
            500 * MS,
            false,
        ),
        ("the line alone is heard", [lost, Link { heard_at: 40 * MS, ..LINE }], 100 * MS, 99 * MS, false),
    ] {
        let mut tables = with_a_line(watching(&links));
        tables.facts.nodes[1].heard_until.set(heard_until);
        tables.arm(0, 1, 6);
        look_at(&mut tables, now);
        assert_eq!(is_dead(&tables), dead, "{name}");
        assert_eq!(tables.is_open(0, now), dead, "{name}");
    }
}

#[test]
fn the_next_look_waits_for_the_slow_line() {
    let mut tables = with_a_line(watching(&[SILENT, Link { heard_at: 12 * MS, ..LINE }]));
    tables.facts.nodes[1].heard_until.set(72 * MS);
    assert_eq!(look_at(&mut tables, 20 * MS), 52 * MS - FOREWARNED_NS, "until its deadtime is nearly over");
    assert_eq!(look_at(&mut tables, 75 * MS), 5 * MS, "twice in its grace");
}

/// By real frames: what comes over the line holds the verdict for the line's deadtime, and the sender is heard so long.
#[test]
fn a_node_heard_over_a_slow_line_lives_for_the_deadtime_of_that_line() {
    let mut run = Run::new(&[MS / 50, MS]);
    give_line(&run.a.tables);
    give_line(&run.b.tables);
    ask(&mut run.a, &mut run.b, 1, MS);
    let heard = run.a.facts_of(1).heard_until.get();
    assert_eq!(heard, run.a.facts_of(1).links[1].heard_at.get() + 60 * MS);
    for (now, hears) in [(heard - 1, 0b10), (heard, 0)] {
        assert_eq!(crate::node::hears(&run.a.tables.orders, &run.a.tables.facts, now), hears);
    }
    // Asked a thousand times on the network in vain: the line says that it lives, until it was silent and asked itself.
    for ms in 2..59 {
        run.a.probe(1, 0, ms * MS);
        look_at(&mut run.a.tables, ms * MS);
        assert!(!is_dead(&run.a.tables));
    }
    for ms in [60, 80, 100] {
        assert!(!is_dead(&run.a.tables));
        run.a.probe(1, 0, ms * MS);
        run.a.probe(1, 1, ms * MS);
        look_at(&mut run.a.tables, ms * MS + 10 * MS);
    }
    assert!(is_dead(&run.a.tables));
}

#[test]
fn a_link_with_a_shorter_time_of_its_own_does_not_wait_for_the_others() {
    let mut tables = watching(&[Link { heard_at: 11 * MS, ..SILENT }]);
    tables.orders.links[0].deadtime.set(MS);
    tables.facts.nodes[1].heard_until.set(12 * MS);
    look_at(&mut tables, 13 * MS + GRACE);
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
        ("the lease ends after it", 14 * MS, 11 * MS, 2 * MS - FOREWARNED_NS),
        ("the lease ends at once", 11 * MS + 5, 11 * MS, LOOK_MIN_NS),
        ("the lease is over", 11 * MS, 11 * MS, 2 * MS - FOREWARNED_NS),
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

/// What is asked and sent by turns: `went` says which probes left, one per keepalive.
fn asked_after(went: &[bool]) -> (u64, u64) {
    let mut a = Node::new(0, 0xa1);
    for (i, went) in (0..).zip(went) {
        a.send(1, 0, (100 + i) * MS, *went);
    }
    let link = &a.tables.orders.nodes[1].links[0];
    (link.asked.get(), link.failed.get())
}

#[test]
fn what_could_not_be_sent_asks_nobody() {
    assert_eq!(asked_after(&[true; 4]), (4, 0));
    assert_eq!(asked_after(&[false; 4]), (0, 4));
    assert_eq!(asked_after(&[true, true, false, false]), (2, 2));
    assert_eq!(asked_after(&[false, false, true]), (1, 0), "the link works again");
    assert_eq!(asked_after(&[true, false, true, false, true]), (3, 0));
}

/// Its pong may come before the sender knows that it went.
#[test]
fn a_probe_on_its_way_out_counts_as_answered_by_its_pong_and_as_asked_when_it_went() {
    let (mut a, mut b) = (Node::new(0, 0xa1), Node::new(1, 0xb1));
    ask(&mut a, &mut b, 0, MS);
    for i in 0..3 {
        a.send(1, 0, (10 + i) * MS, true);
    }
    let probe = a.make(1, 0, 13 * MS);
    look_at(&mut a.tables, 13 * MS);
    assert!(is_dead(&a.tables), "three were asked before");
    let mut run = Run::new(&[MS / 50]);
    run.a.send(1, 0, 10 * MS, true);
    run.a.send(1, 0, 11 * MS, true);
    run.a.make(1, 0, 12 * MS);
    look_at(&mut run.a.tables, 60 * MS);
    assert!(!is_dead(&run.a.tables), "the third may never have left");
    let (_, pong) = b.receive(&probe, 13 * MS);
    a.receive(&pong.unwrap(), 13 * MS);
    let facts = &a.tables.facts.nodes[1].links[0];
    assert_eq!(facts.asked_when_heard.get(), a.tables.orders.nodes[1].links[0].asked.get());
}

/// The agent was killed between making a probe and knowing what came of it.
#[test]
fn a_probe_whose_sender_died_is_no_obstacle_to_the_next() {
    let mut a = Node::new(0, 0xa1);
    a.send(1, 0, MS, true);
    a.make(1, 0, 2 * MS);
    for i in 3..6 {
        a.send(1, 0, i * MS, true);
    }
    let link = &a.tables.orders.nodes[1].links[0];
    assert_eq!((link.asked.get(), link.asked_at.get()), (4, 5 * MS), "the one in between is not counted");
}

/// A node that lost its only cable: the other one lives, and serves.
#[test]
fn who_can_send_nothing_takes_nothing_over() {
    let (mut a, mut b) = (Node::new(0, 0xa1), Node::new(1, 0xb1));
    ask(&mut a, &mut b, 0, MS);
    a.tables.arm(0, 1, 6);
    for i in 2..500 {
        a.send(1, 0, i * MS, false);
        look_at(&mut a.tables, i * MS + MS / 2);
    }
    assert!(!is_dead(&a.tables) && !a.tables.is_open(0, 500 * MS));
    // The other link is cut on the way: that is silence, and probes go out.
    for i in 500..504 {
        a.send(1, 1, i * MS, true);
        a.send(1, 0, i * MS, false);
        look_at(&mut a.tables, i * MS + MS / 2);
    }
    assert!(is_dead(&a.tables) && a.tables.is_open(0, 504 * MS));
}

/// Found by the simulator: a cable is plugged in again long after three probes went by it in vain.
#[test]
fn what_went_unanswered_before_a_cut_proves_nothing_after_it() {
    let (mut a, mut b) = (Node::new(0, 0xa1), Node::new(1, 0xb1));
    ask(&mut a, &mut b, 0, MS);
    let third = MS / 3;
    (1..=3).for_each(|i| a.send(1, 0, MS + i * third, true));
    (4..=20).for_each(|i| a.send(1, 0, MS + i * third, false));
    look_at(&mut a.tables, 50 * MS);
    assert!(!is_dead(&a.tables), "it cannot be asked");
    for (sent, dead) in [(100, false), (101, false), (102, true)] {
        a.send(1, 0, sent * MS, true);
        look_at(&mut a.tables, sent * MS + MS / 2);
        assert_eq!(is_dead(&a.tables), dead, "{sent} ms");
    }
}
