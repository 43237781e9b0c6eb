//! What the chaos found.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use xbeat_tests::client::Record;
use xbeat_tests::outage::Request;
use xbeat_tests::stage::Seen;

use super::fault::{Fault, Load, Moves};

/// Longer outages are worth a look, in microseconds: all but detection (`deadtime` is 3 ms) takes less than one millisecond
/// on a machine that does not stand still. Nobody serves the clients of a deaf owner: it is alive and they do not reach it.
const SLOW_US: u64 = 10_000;

/// A fault that was played.
#[derive(Debug, Clone)]
pub(super) struct Round {
    /// Which.
    pub(super) fault: Fault,
    /// With what else on the processors.
    pub(super) load: Load,
    /// From when (nanoseconds of the clock of client and witness).
    pub(super) from: u64,
    /// To when, repair and rest included.
    pub(super) to: u64,
    /// How often the group may move.
    pub(super) moves: Moves,
    /// What the agents logged meanwhile.
    pub(super) logs: String,
}

/// All rounds of one kind of fault.
#[derive(Debug, Default)]
struct Kind {
    /// Outages in microseconds.
    outages: Vec<u64>,
    lost: usize,
    /// Of them, sent after a cut port was healed.
    lost_healed: usize,
    /// Moves beyond what the fault explains.
    flaps: usize,
    /// Moves that were to be and were not.
    missing: usize,
}

/// The whole run.
#[derive(Debug)]
pub(super) struct Report {
    kinds: BTreeMap<(Fault, Load), Kind>,
    rounds: usize,
    asked: usize,
    two_owners: usize,
    answered_twice: usize,
    requests: usize,
    /// What is remarkable about single rounds, with their logs.
    remarks: Vec<(String, String)>,
}

impl Report {
    /// Sums up.
    pub(super) fn new(rounds: &[Round], seen: &Seen) -> Self {
        let mut kinds: BTreeMap<_, Kind> = BTreeMap::new();
        let (two_owners, mut remarks) = (seen.two_owners(), Vec::new());
        for (round, number) in rounds.iter().zip(1..) {
            let kind = kinds.entry((round.fault, round.load)).or_default();
            let outage = seen.record.outage(round.from, round.to);
            let moves = moves(&seen.record, round.from, round.to);
            kind.outages.push(outage.micros());
            kind.lost += outage.lost;
            let heal = seen.heals.iter().find(|at| (round.from..round.to).contains(at));
            let healed = heal.map_or(0, |&at| seen.record.outage(at, round.to).lost);
            kind.lost_healed += healed;
            kind.flaps += moves.saturating_sub(*round.moves.end());
            kind.missing += round.moves.start().saturating_sub(moves);
            let within = |asked: &u64| (round.from..round.to).contains(asked);
            let mut remark = |what: String| {
                let name = round.fault.name();
                remarks.push((format!("round {number}, {name}: {what}"), round.logs.clone()));
            };
            if !round.moves.contains(&moves) {
                remark(format!("the group moved {moves} times"));
            }
            if outage.micros() > SLOW_US && round.fault != Fault::Deaf {
                remark(format!("{} ms without service", ms(outage.micros())));
            }
            if healed > 0 && round.fault != Fault::Deaf {
                let lost = |request: &&Request| {
                    request.answer.is_none() && heal.is_some_and(|&at| request.sent >= at)
                };
                let first = seen.record.requests.iter().find(lost).map_or(0, |request| request.sent);
                let after = ms(first.saturating_sub(heal.copied().unwrap_or(first)) / 1000);
                remark(format!("{healed} requests lost after the heal, the first {after} ms after it"));
            }
            if let Some(asked) = two_owners.iter().map(|round| round.asked).find(within) {
                let at = ms((asked - round.from) / 1000);
                remark(format!("two nodes answered {at} ms after it began"));
            }
        }
        Self {
            kinds,
            rounds: rounds.len(),
            asked: seen.sightings.rounds.len(),
            two_owners: two_owners.len(),
            answered_twice: seen.record.answered_twice,
            requests: seen.record.requests.len(),
            remarks,
        }
    }

    /// Questions of the witness that two nodes answered outside of partitions, and requests that were answered twice.
    pub(super) const fn two_owners(&self) -> usize {
        self.two_owners + self.answered_twice
    }

    /// Rounds in which something moved without need, did not move, took long, or two nodes answered, each with what the
    /// agents logged.
    pub(super) fn remarks(&self) -> &[(String, String)] {
        &self.remarks
    }

    /// The table and the verdict.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |cells: [&str; 10]| {
            let [fault, load, n, min, median, max, lost, healed, flaps, missing] = cells;
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{fault:<15} {load:<10} {n:>4} {min:>9} {median:>9} {max:>9} {lost:>8} {healed:>10} {flaps:>6} {missing:>8}"
            );
        };
        line([""; 10]);
        line(["fault", "load", "n", "min ms", "median", "max", "lost", "after heal", "flaps", "no move"]);
        for ((fault, load), kind) in &self.kinds {
            let [min, median, max] = spread(&kind.outages).map(ms);
            let (n, lost) = (kind.outages.len().to_string(), kind.lost.to_string());
            let healed = kind.lost_healed.to_string();
            let (flaps, missing) = (kind.flaps.to_string(), kind.missing.to_string());
            line([fault.name(), load.name(), &n, &min, &median, &max, &lost, &healed, &flaps, &missing]);
        }
        let flaps: usize = self.kinds.values().map(|kind| kind.flaps).sum();
        let _ = write!(
            text,
            "\n{} rounds, {} requests; the group moved {flaps} times without need\n\
             ARP was asked {} times; two nodes answered {} times outside of partitions\n\
             requests that two nodes answered: {}\n",
            self.rounds, self.requests, self.asked, self.two_owners, self.answered_twice
        );
        text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

/// How often the answering node changed in the time from `from` to before `to`, as the client saw it.
fn moves(record: &Record, from: u64, to: u64) -> usize {
    let start = record.requests.partition_point(|request| request.sent < from);
    let end = record.requests.partition_point(|request| request.sent < to);
    let before = record.requests[..start].iter().rev().find_map(|request| request.answer);
    let within = record.requests[start..end].iter().filter_map(|request| request.answer);
    let answerers: Vec<usize> = before.into_iter().chain(within).map(|answer| answer.by).collect();
    answerers.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

fn ms(micros: u64) -> String {
    format!("{:.2}", micros as f64 / 1000.0)
}

/// Minimum, median (of an even number the mean of the middle two, rounded down) and maximum.
fn spread(values: &[u64]) -> [u64; 3] {
    let mut values = values.to_vec();
    values.sort_unstable();
    let (Some(&min), Some(&max)) = (values.first(), values.last()) else { return [0; 3] };
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    [min, low.midpoint(high), max]
}

#[cfg(test)]
mod tests {
    use xbeat_tests::outage::Answer;
    use xbeat_tests::witness::{Round as Asked, Sightings};

    use super::*;

    /// One request each 200 us: `0` and `1` are the answering nodes, `-` is no answer.
    fn seen(answers: &str, twice: usize) -> Seen {
        let request = |(slot, answer): (usize, char)| {
            let sent = slot as u64 * 200_000;
            let by = answer.to_digit(10).map(|node| node as usize);
            Request { sent, answer: by.map(|by| Answer { at: sent, by }) }
        };
        let requests = answers.chars().enumerate().map(request).collect();
        let asked =
            |answers: &[[u8; 6]]| Asked { asked: 0, answers: answers.to_vec(), replies: answers.len() };
        let rounds = vec![asked(&[[1; 6], [2; 6]]); twice];
        let record = Record { requests, ..Record::default() };
        Seen { record, sightings: Sightings { rounds }, ..Seen::default() }
    }

    fn round(fault: Fault, slots: std::ops::Range<u64>, moves: Moves) -> Round {
        let (from, to) = (slots.start * 200_000, slots.end * 200_000);
        Round { fault, load: Load::Rest, from, to, moves, logs: "log".into() }
    }

    #[test]
    fn faults_are_summed_up_by_kind() {
        let rounds = [round(Fault::Kill, 1..8, 1..=1), round(Fault::Kill, 8..14, 1..=1)];
        let report = Report::new(&rounds, &seen("0000--1111-000", 0));
        let text = report.text();
        let row = text.lines().find(|line| line.starts_with("kill ")).unwrap();
        let words: Vec<_> = row.split_whitespace().collect();
        assert_eq!(words, ["kill", "rest", "2", "0.40", "0.50", "0.60", "3", "0", "0", "0"]);
        assert_eq!(report.two_owners(), 0);
    }

    #[test]
    fn moves_without_need_and_missing_ones_are_counted() {
        let rounds = [round(Fault::Nothing, 0..6, 0..=0), round(Fault::Kill, 6..9, 1..=1)];
        let report = Report::new(&rounds, &seen("001100000", 0));
        let kinds: Vec<_> = report.kinds.values().map(|kind| (kind.flaps, kind.missing)).collect();
        assert_eq!(kinds, [(2, 0), (0, 1)]);
        let remarks: Vec<_> = report.remarks().iter().map(|(remark, _)| remark.as_str()).collect();
        let expected =
            ["round 1, nothing: the group moved 2 times", "round 2, kill: the group moved 0 times"];
        assert_eq!(remarks, expected);
    }

    #[test]
    fn two_answers_are_two_owners() {
        assert_eq!(Report::new(&[], &seen("00", 3)).two_owners(), 3);
    }
}
