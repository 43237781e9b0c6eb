use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::world::{Node, ask, pair};
use crate::frame::{Frame, Kind};
use crate::testing::MS;
use crate::verdict::Verdict;

#[test]
fn every_frame_that_was_believed_is_refused_the_second_time() {
    let (mut a, mut b, mut frames) = pair();
    for i in 2..30 {
        let link = (i % 3) as u8;
        frames.extend(ask(&mut a, &mut b, link, i * MS).2);
        frames.extend(ask(&mut b, &mut a, link, i * MS + 1).2);
        for frame in &frames {
            let to = if frame.destination() == 0 { &mut a } else { &mut b };
            to.refuses(frame, i * MS + 2, Verdict::Replayed);
        }
    }
}

/// What was sent before the admission was never believed; it is no good afterwards either.
#[test]
fn probes_of_the_time_before_the_admission_are_refused_after_it() {
    let (mut a, mut b) = (Node::new(0, 0xa1), Node::new(1, 0xb1));
    let early: Vec<Frame> = (1..9).map(|i| b.probe(0, (i % 2) as u8, i * MS)).collect();
    for (i, frame) in (1..).zip(&early) {
        assert_eq!(a.receive(frame, i * MS).0, Verdict::ProbeUnproven);
    }
    ask(&mut a, &mut b, 0, 10 * MS);
    for frame in &early {
        a.refuses(frame, 20 * MS, Verdict::Replayed);
    }
}

#[test]
fn a_recorded_life_of_the_other_side_is_worthless_after_its_restart() {
    let (mut a, mut b, mut recorded) = pair();
    for i in 2..6 {
        recorded.extend(ask(&mut a, &mut b, 0, i * MS).2);
        recorded.extend(ask(&mut b, &mut a, 0, i * MS + 1).2);
    }
    let mut b = Node::new(1, 0xb2);
    ask(&mut a, &mut b, 0, 10 * MS);
    let facts = a.tables.facts_but_counters();
    for frame in recorded.iter().filter(|f| f.destination() == 0) {
        let (verdict, _) = a.receive(frame, 11 * MS);
        let expected =
            if frame.kind() == Some(Kind::Pong) { Verdict::Replayed } else { Verdict::ProbeUnproven };
        assert_eq!(verdict, expected);
    }
    assert!(a.tables.facts_but_counters() == facts);
}

#[test]
fn a_recorded_life_of_our_own_is_worthless_after_our_restart() {
    let (mut a, mut b, mut recorded) = pair();
    for i in 2..6 {
        recorded.extend(ask(&mut a, &mut b, 1, i * MS).2);
        recorded.extend(ask(&mut b, &mut a, 1, i * MS + 1).2);
    }
    let to_a: Vec<Frame> = recorded.into_iter().filter(|f| f.destination() == 0).collect();
    let mut a = Node::new(0, 0xa2);
    for frame in &to_a {
        let facts = a.tables.facts_but_counters();
        let (verdict, _) = a.receive(frame, 10 * MS);
        let expected = if frame.kind() == Some(Kind::Pong) { Verdict::Stale } else { Verdict::ProbeUnproven };
        assert_eq!(verdict, expected);
        assert!(a.tables.facts_but_counters() == facts);
    }
    // b lives on, is admitted on link 0, and falls silent: its old probes must not keep it alive.
    ask(&mut a, &mut b, 0, 11 * MS);
    for frame in to_a.iter().filter(|f| f.kind() == Some(Kind::Probe)) {
        a.refuses(frame, 12 * MS, Verdict::Replayed);
    }
}

/// A pong of the old life that a slow link still holds must not bring it back, and with it the takeover of
/// what the new life holds.
#[test]
fn a_late_pong_of_the_old_life_is_refused() {
    let (mut a, mut b, _) = pair();
    let late = b.receive(&a.probe(1, 1, 2 * MS), 2 * MS).1.unwrap();
    let later = b.receive(&a.probe(1, 0, 3 * MS), 3 * MS).1.unwrap();
    // Two more of our challenges are on their way when the new life answers one.
    let (ahead, _) = (a.probe(1, 0, 4 * MS), a.probe(1, 1, 4 * MS));
    let mut b = Node::new(1, 0xb2);
    let pong = b.receive(&ahead, 4 * MS).1.unwrap();
    assert_eq!(a.receive(&pong, 4 * MS).0, Verdict::PongTaken);
    b.tables.orders.gates[0].granted.set(5);
    ask(&mut a, &mut b, 0, 5 * MS);
    a.tables.arm(0, 1, 6);

    for frame in [late, later] {
        a.refuses(&frame, 6 * MS, Verdict::Replayed);
    }
    assert_eq!(a.facts_of(1).session.get(), 0xb2);
    assert!(!a.tables.is_open(0, 6 * MS));
}

/// Any mixture of probes, losses, delays, replays and restarts between two nodes with two links.
#[derive(Clone, Debug)]
enum Step {
    Probe {
        from: usize,
        link: u8,
    },
    /// Delivers one of the frames that are under way.
    Deliver(prop::sample::Index),
    Lose(prop::sample::Index),
    /// Delivers one that was delivered before.
    Replay(prop::sample::Index),
    Restart {
        node: usize,
        clock: bool,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    use prop::sample::Index;
    prop_oneof![
        8 => (0..2usize, 0..2u8).prop_map(|(from, link)| Step::Probe { from, link }),
        12 => any::<Index>().prop_map(Step::Deliver),
        1 => any::<Index>().prop_map(Step::Lose),
        6 => any::<Index>().prop_map(Step::Replay),
        1 => (0..2usize, any::<bool>()).prop_map(|(node, clock)| Step::Restart { node, clock }),
    ]
}

struct Wire {
    nodes: [Node; 2],
    /// Lives of both so far.
    lives: [u64; 2],
    /// When each machine was started: its clock counts from there.
    started: [u64; 2],
    now: u64,
    under_way: Vec<Frame>,
    delivered: Vec<Frame>,
    /// Those of them that were believed, by any life of the receiver.
    believed: Vec<Frame>,
    admitted: [u64; 2],
}

impl Wire {
    fn new() -> Self {
        Self {
            nodes: [Node::new(0, 1), Node::new(1, 1)],
            lives: [1, 1],
            started: [0, 0],
            now: 1,
            under_way: vec![],
            delivered: vec![],
            believed: vec![],
            admitted: [0, 0],
        }
    }

    fn act(&mut self, step: &Step) -> Result<(), TestCaseError> {
        self.now += 10;
        match step {
            Step::Probe { from, link } => {
                let now = self.now - self.started[*from];
                let probe = self.nodes[*from].probe(1 - *from as u8, *link, now);
                self.under_way.push(probe);
            }
            Step::Deliver(which) if !self.under_way.is_empty() => {
                let frame = self.under_way.swap_remove(which.index(self.under_way.len()));
                self.deliver(&frame)?;
            }
            Step::Lose(which) if !self.under_way.is_empty() => {
                self.under_way.swap_remove(which.index(self.under_way.len()));
            }
            Step::Replay(which) if !self.delivered.is_empty() => {
                let frame = self.delivered[which.index(self.delivered.len())];
                self.deliver(&frame)?;
            }
            Step::Restart { node, clock } => {
                self.lives[*node] += 1;
                self.nodes[*node] = Node::new(*node as u64, self.lives[*node]);
                self.admitted[*node] = 0;
                if *clock {
                    self.started[*node] = self.now;
                }
            }
            Step::Deliver(_) | Step::Lose(_) | Step::Replay(_) => {}
        }
        Ok(())
    }

    fn deliver(&mut self, frame: &Frame) -> Result<(), TestCaseError> {
        let to = usize::from(frame.destination());
        let now = self.now - self.started[to];
        let before = self.nodes[to].tables.facts_but_counters();
        let (verdict, pong) = self.nodes[to].receive(frame, now);
        let believed = matches!(verdict, Verdict::ProbeAnswered | Verdict::PongTaken);
        if believed {
            prop_assert!(!self.believed.contains(frame), "believed twice: {:?}", verdict);
            self.believed.push(*frame);
        } else {
            prop_assert!(self.nodes[to].tables.facts_but_counters() == before, "{:?} changed facts", verdict);
        }
        let life = self.nodes[to].facts_of(frame.source()).session.get();
        prop_assert!(life >= self.admitted[to], "an old life came back");
        self.admitted[to] = life;
        self.delivered.push(*frame);
        self.under_way.extend(pong);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn nothing_is_believed_twice_and_no_old_life_returns(steps in prop::collection::vec(any_step(), 1..150)) {
        let mut wire = Wire::new();
        for step in &steps {
            wire.act(step)?;
        }
        // However it went: with nothing lost, two exchanges later both believe each other.
        wire.under_way.clear();
        for node in &mut wire.nodes {
            node.tables.events.clear();
        }
        for (from, link) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            wire.act(&Step::Probe { from, link })?;
            while let Some(frame) = wire.under_way.pop() {
                wire.deliver(&frame)?;
                wire.now += 10;
            }
        }
        prop_assert_eq!(wire.nodes[0].facts_of(1).session.get(), wire.lives[1]);
        prop_assert_eq!(wire.nodes[1].facts_of(0).session.get(), wire.lives[0]);
    }
}
