//! What client and witness saw of a pair. Pure arithmetic over their records, the same for every system.

use std::ops::Range;
use std::time::Duration;

use crate::client::Record;
use crate::outage::{Outage, Request};
use crate::witness::{Round, Sightings};

/// Two rounds that two nodes answered belong to one window if they are no further apart: the owners of a virtual hardware
/// address take turns in the switch's table, by their adverts.
const SAME_WINDOW: u64 = 50 * crate::clock::MS;

/// The records of a whole run.
#[derive(Debug, Default)]
pub struct Seen {
    /// Every request of the client.
    pub record: Record,
    /// Every round of the witness.
    pub sightings: Sightings,
    /// Whether the nodes share a hardware address, so that two answers to one question are two nodes even if both name the
    /// same.
    pub shared_mac: bool,
    /// How often the witness asked.
    pub period: Duration,
}

/// Another node began to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// When the first request that it answered was sent, in nanoseconds of [`crate::clock::now`].
    pub at: u64,
    /// Its index.
    pub to: usize,
    /// The time since the last request before that was answered, in nanoseconds.
    pub after: u64,
}

/// Requests in a row that nobody answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// When the last answered request before it was sent, in nanoseconds of [`crate::clock::now`].
    pub at: u64,
    /// From there to the next answered one, or to the end, in nanoseconds.
    pub length: u64,
    /// How many.
    pub lost: usize,
}

impl Seen {
    /// The outage in the time from `from` to before `to` (nanoseconds of [`crate::clock::now`]).
    pub fn outage(&self, from: u64, to: u64) -> Outage {
        self.record.outage(from, to)
    }

    /// Every change of the answering node in that time.
    pub fn changes(&self, from: u64, to: u64) -> Vec<Change> {
        let (before, within) = self.requests(from, to);
        let last = before.iter().rev().find(|request| request.answer.is_some());
        let answered = last.into_iter().chain(within.iter().filter(|request| request.answer.is_some()));
        let answered: Vec<(u64, usize)> =
            answered.filter_map(|request| Some((request.sent, request.answer?.by))).collect();
        let changed = answered.windows(2).filter(|pair| pair[0].1 != pair[1].1);
        changed.map(|pair| Change { at: pair[1].0, to: pair[1].1, after: pair[1].0 - pair[0].0 }).collect()
    }

    /// Every gap in that time.
    pub fn gaps(&self, from: u64, to: u64) -> Vec<Gap> {
        let (before, within) = self.requests(from, to);
        let mut last = before.iter().rev().find(|request| request.answer.is_some()).map(|last| last.sent);
        let (mut gaps, mut lost) = (Vec::new(), 0);
        for request in within {
            if request.answer.is_none() {
                lost += 1;
                continue;
            }
            if let Some(at) = last.filter(|_| lost > 0) {
                gaps.push(Gap { at, length: request.sent - at, lost });
            }
            (last, lost) = (Some(request.sent), 0);
        }
        if let (Some(at), Some(end)) = (last.filter(|_| lost > 0), within.last()) {
            gaps.push(Gap { at, length: end.sent - at, lost });
        }
        gaps
    }

    /// The longest time between two requests that the client sent one after the other: how long it stood still itself.
    pub fn client_pause(&self, from: u64, to: u64) -> u64 {
        let (_, within) = self.requests(from, to);
        within.windows(2).map(|pair| pair[1].sent - pair[0].sent).max().unwrap_or(0)
    }

    /// How many questions the witness asked in that time.
    pub fn asked(&self, from: u64, to: u64) -> usize {
        self.rounds(from, to).count()
    }

    /// How many of them two nodes answered.
    pub fn doubled(&self, from: u64, to: u64) -> usize {
        self.rounds(from, to).filter(|round| self.is_double(round)).count()
    }

    /// The windows in which two nodes answered.
    pub fn windows(&self, from: u64, to: u64) -> Vec<Range<u64>> {
        let period = u64::try_from(self.period.as_nanos()).unwrap_or(0);
        let mut windows: Vec<Range<u64>> = Vec::new();
        for round in self.rounds(from, to).filter(|round| self.is_double(round)) {
            let end = round.asked + period;
            match windows.last_mut() {
                Some(window) if round.asked <= window.end + SAME_WINDOW => window.end = end,
                _ => windows.push(round.asked..end),
            }
        }
        windows
    }

    fn rounds(&self, from: u64, to: u64) -> impl Iterator<Item = &Round> {
        self.sightings.rounds.iter().filter(move |round| (from..to).contains(&round.asked))
    }

    fn is_double(&self, round: &Round) -> bool {
        round.answers.len() >= 2 || (self.shared_mac && round.replies >= 2)
    }

    /// The requests sent before `from`, and those from then to before `to`.
    fn requests(&self, from: u64, to: u64) -> (&[Request], &[Request]) {
        let requests = &self.record.requests;
        let start = requests.partition_point(|request| request.sent < from);
        let end = requests.partition_point(|request| request.sent < to).max(start);
        (&requests[..start], &requests[start..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MS;
    use crate::outage::Answer;

    /// One request each 200 ns: a digit is the node that answered, `-` a lost request, a space a slot in which the client
    /// slept.
    fn seen(picture: &str) -> Seen {
        let request = |(slot, answerer): (usize, char)| {
            let sent = slot as u64 * 200;
            let by = answerer.to_digit(10).map(|node| node as usize);
            Request { sent, answer: by.map(|by| Answer { at: sent + 50, by }) }
        };
        let requests = picture.chars().enumerate().filter(|(_, c)| *c != ' ').map(request).collect();
        Seen { record: Record { requests, ..Record::default() }, ..Seen::default() }
    }

    fn rounds(rounds: &[(u64, usize, usize)]) -> Seen {
        let round = |&(ms, nodes, replies): &(u64, usize, usize)| Round {
            asked: ms * MS,
            answers: (0..nodes).map(|node| [node as u8; 6]).collect(),
            replies,
        };
        let sightings = Sightings { rounds: rounds.iter().map(round).collect() };
        Seen { sightings, period: Duration::from_millis(1), ..Seen::default() }
    }

    #[test]
    fn changes_are_counted_from_the_last_answer_before_the_time() {
        let seen = seen("00--1110");
        let expected = [Change { at: 800, to: 1, after: 600 }, Change { at: 1400, to: 0, after: 200 }];
        assert_eq!(seen.changes(0, u64::MAX), expected);
        assert_eq!(seen.changes(400, 1400), expected[..1]);
        assert_eq!(seen.changes(900, 1400), []);
    }

    #[test]
    fn every_gap_counts_also_the_one_without_an_end() {
        let seen = seen("0-00--1--");
        let gap = |at, length, lost| Gap { at, length, lost };
        assert_eq!(seen.gaps(0, u64::MAX), [gap(0, 400, 1), gap(600, 600, 2), gap(1200, 400, 2)]);
        assert_eq!(seen.gaps(300, 1300), [gap(600, 600, 2)]);
    }

    #[test]
    fn a_pause_of_the_client_is_no_gap() {
        let seen = seen("00    00");
        assert_eq!((seen.gaps(0, u64::MAX).len(), seen.client_pause(0, u64::MAX)), (0, 1000));
    }

    #[test]
    fn doubled_rounds_that_are_near_are_one_window() {
        let seen = rounds(&[(1, 2, 2), (2, 1, 1), (3, 2, 2), (200, 2, 2), (300, 1, 2)]);
        assert_eq!(seen.windows(0, u64::MAX), [MS..4 * MS, 200 * MS..201 * MS]);
        assert_eq!((seen.doubled(0, u64::MAX), seen.asked(0, u64::MAX)), (3, 5));
        assert_eq!(seen.windows(0, 100 * MS).len(), 1);
    }

    #[test]
    fn two_replies_are_two_nodes_only_where_they_share_an_address() {
        let seen = rounds(&[(1, 1, 2), (2, 1, 1)]);
        assert_eq!(seen.doubled(0, u64::MAX), 0);
        assert_eq!(Seen { shared_mac: true, ..seen }.doubled(0, u64::MAX), 1);
    }
}
