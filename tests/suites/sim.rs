//! Whole clusters in virtual time: a fixed set of seeds, one that nobody has seen before, and the proof that the simulator
//! sees what it looks for. `cargo xtask sim --seeds 10000` plays more, in a release build.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;

use tests::sim::{self, Detail, Mutation, Options};

/// A few seconds of a debug build on one processor.
const FIXED: Range<u64> = 0..if cfg!(debug_assertions) { 24 } else { 400 };
/// Seeds among which a missing rule must be noticed: several times as many as it took.
const NOTICED: Range<u64> = 0..24;

/// Lines of a trace that a failing test shows: how it came to it.
const SHOWN: usize = 200;

#[track_caller]
fn assert_clean(seed: u64) {
    let outcome = sim::play(seed, &Options::default());
    if outcome.violation.is_some() {
        let again = sim::play(seed, &Options { detail: Detail::Decisions, ..Options::default() });
        let last = &again.trace[again.trace.len().saturating_sub(SHOWN)..];
        panic!("{}\n{}\n{outcome}\nagain: cargo xtask sim --seed {seed}", last.join("\n"), outcome.end);
    }
    assert!(outcome.changes > 0, "seed {seed}: no gate ever opened");
}

#[test]
fn no_schedule_of_faults_leaves_two_owners_or_none() {
    FIXED.for_each(assert_clean);
}

#[test]
fn nor_does_one_that_nobody_has_seen_before() {
    // The standard library's own randomness, which is fresh in every process.
    let seed = RandomState::new().hash_one(0u8);
    println!("seed {seed}");
    assert_clean(seed);
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    let options = Options { detail: Detail::Frames, ..Options::default() };
    for seed in [3, 7] {
        let (one, other) = (sim::play(seed, &options), sim::play(seed, &options));
        assert!(one.trace.len() > 1_000);
        assert_eq!(one.trace, other.trace);
        // Watching changes nothing.
        let silent = sim::play(seed, &Options::default());
        assert_eq!((one.steps, one.changes, one.end), (silent.steps, silent.changes, silent.end));
    }
}

/// How the simulator says that a group has two owners: in the middle of the faults, and in a drill after them.
const TWO_OWNERS: [&str; 2] = ["both serve", "was on two nodes"];

/// Without the rule the simulator finds something wrong with one of these seeds, and with the rule with none.
#[track_caller]
fn assert_missed(mutation: Mutation, signs: &[&str]) {
    let options = Options { mutation, ..Options::default() };
    let mut seeds = NOTICED;
    let found = seeds.find_map(|seed| sim::play(seed, &options).violation.map(|wrong| (seed, wrong)));
    let (seed, wrong) = found.unwrap_or_else(|| panic!("{mutation:?} is not missed"));
    assert!(signs.iter().any(|sign| wrong.contains(sign)), "seed {seed}: {wrong}");
    assert_clean(seed);
}

#[test]
fn without_the_egress_gate_two_nodes_answer() {
    assert_missed(Mutation::NoEgressGate, &TWO_OWNERS);
}

#[test]
fn without_stickiness_two_nodes_answer() {
    assert_missed(Mutation::NoStickiness, &TWO_OWNERS);
}

#[test]
fn without_the_rule_of_unanswered_probes_the_living_are_held_dead() {
    assert_missed(Mutation::NoUnansweredRule, &["which answers it", "which it could not ask"]);
}

#[test]
fn without_the_rule_of_sent_probes_who_asked_nobody_holds_others_dead() {
    assert_missed(Mutation::UnsentAsks, &["which it could not ask"]);
}
