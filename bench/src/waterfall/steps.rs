//! The steps of one failover, from the stamps of two agents and a client.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use xbeat::record::Stamp;
use xbeat_tests::outage::Request;

use super::Kind;
use crate::compare::case::Condition;

/// A moment of a failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Moment {
    /// The new owner's kernel last heard the old one.
    Heard,
    /// The old owner has taken the address off.
    Removed,
    /// The old owner has said so.
    Said,
    /// The new owner's kernel declared the old one dead.
    Verdict,
    /// The new owner's kernel opened the gate.
    Opened,
    /// The new owner's agent has read the kernel's word.
    Woken,
    /// The address is on the new owner's interface.
    Added,
    /// It is announced.
    Announced,
    /// The first request that the new owner answered was sent.
    Asked,
    /// Its answer came.
    Answered,
}

/// What a client waits for once the gate is open: where the outage ends, as it is counted, and when it hears so.
pub(crate) const WAITED_FOR: [(Moment, &str); 2] = [
    (Moment::Asked, "from the open gate until the first answered request"),
    (Moment::Answered, "from the open gate until its answer"),
];

impl Moment {
    pub(crate) const ALL: [Self; 10] = [
        Self::Heard,
        Self::Removed,
        Self::Said,
        Self::Verdict,
        Self::Opened,
        Self::Woken,
        Self::Added,
        Self::Announced,
        Self::Asked,
        Self::Answered,
    ];

    /// For a person.
    pub(crate) const fn says(self) -> &'static str {
        match self {
            Self::Heard => "last frame of the old owner (kernel)",
            Self::Removed => "address off the old owner's interface (agent)",
            Self::Said => "the old owner has said so (agent)",
            Self::Verdict => "verdict: the old owner is dead (kernel)",
            Self::Opened => "gate open: ARP is answered (kernel)",
            Self::Woken => "the new owner's agent knows (agent)",
            Self::Added => "address on the new owner's interface (agent)",
            Self::Announced => "announced by gratuitous ARP (agent)",
            Self::Asked => "first request that is answered was sent (client)",
            Self::Answered => "its answer is there (client)",
        }
    }
}

/// One failover as it was played.
pub(super) struct Played {
    pub(super) kind: Kind,
    pub(super) condition: Condition,
    /// The node that got the address.
    pub(super) heir: usize,
    /// Deadtime of the agents.
    pub(super) deadtime_ns: u64,
    /// From before the fault until the last step was taken.
    pub(super) time: Range<u64>,
}

/// One failover. Times in microseconds since the last request that the old owner answered was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    #[serde(default)]
    pub(crate) agent: String,
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) condition: Condition,
    /// In the order of time.
    pub(crate) moments: Vec<(Moment, f64)>,
    /// From there to when the first request that the new owner answered was sent.
    pub(crate) outage_us: f64,
    /// From the deadline, which is deadtime after the last frame of the old owner, to the kernel's verdict, both by the kernel's
    /// own stamps. `None` where nobody fell silent.
    #[serde(default)]
    pub(crate) verdict_after_deadline_us: Option<f64>,
    pub(crate) lost: usize,
    /// The longest time between two requests meanwhile: the outage is not known more exactly.
    pub(crate) client_pause_us: f64,
    /// The requests around it.
    pub(crate) requests: Vec<Asked>,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// When it was sent, as above.
    pub(crate) at_us: f64,
    /// Who answered: 0 the old owner, 1 the new one.
    pub(crate) by: Option<usize>,
}

/// How many requests before and after the outage are kept.
const AROUND: usize = 12;

/// How far from it at most, ns.
const NEAR: u64 = 1_000_000;

/// Stamps in the order of time.
type Stamps = [(u64, Stamp)];

impl Run {
    /// The failover that was `played`: stamps of the old owner and the new one, requests of the client. `None` where a stamp is
    /// missing.
    pub(super) fn of(played: &Played, (old, new): (&Stamps, &Stamps), requests: &[Request]) -> Option<Self> {
        let &Played { kind, condition, heir, deadtime_ns, ref time } = played;
        let first = requests.iter().position(|request| {
            time.contains(&request.sent) && request.answer.is_some_and(|answer| answer.by == heir)
        })?;
        let before = requests[..first].iter().rposition(|request| request.answer.is_some())?;
        let (begin, asked) = (requests[before].sent, requests[first].sent);
        let within = |at: &u64| time.contains(at);
        let opened = new.iter().find_map(|(at, stamp)| match stamp {
            Stamp::Opened { stamped, .. } if within(at) => Some((*stamped, *at)),
            _ => None,
        })?;
        let verdict = new.iter().find_map(|(at, stamp)| match stamp {
            Stamp::Verdict { stamped, heard, .. } if within(at) => Some((*stamped, *heard)),
            _ => None,
        });
        let after = |stamps: &Stamps, wanted: fn(&Stamp) -> bool, from: u64| {
            stamps.iter().find(|(at, stamp)| *at >= from && within(at) && wanted(stamp)).map(|(at, _)| *at)
        };
        // Agents before that thread knew it when their loop did.
        let woken = after(new, |stamp| matches!(stamp, Stamp::Woken { .. }), opened.0).unwrap_or(opened.1);
        // The kernel has the frame while it is still being sent.
        let nearest = |stamps: &Stamps, wanted: fn(&Stamp) -> bool, to: u64| {
            let all = stamps.iter().filter(|(at, stamp)| within(at) && wanted(stamp));
            all.map(|(at, _)| *at).min_by_key(|at| at.abs_diff(to))
        };
        let mut moments = vec![(Moment::Opened, opened.0), (Moment::Woken, woken)];
        let mut verdict_after_deadline_us = None;
        let added = match kind {
            Kind::Silent => {
                let (stamped, heard) = verdict?;
                moments.extend([(Moment::Heard, heard), (Moment::Verdict, stamped)]);
                verdict_after_deadline_us = Some(us_between(heard + deadtime_ns, stamped));
                opened.0
            }
            Kind::HandOver => {
                let removed = after(old, |stamp| matches!(stamp, Stamp::Removed { .. }), time.start)?;
                let said = nearest(old, |stamp| *stamp == Stamp::Said, opened.0)?;
                moments.extend([(Moment::Removed, removed), (Moment::Said, said)]);
                // Behind a shut gate, mostly.
                time.start
            }
        };
        moments.push((Moment::Added, after(new, |stamp| matches!(stamp, Stamp::Added { .. }), added)?));
        moments.push((
            Moment::Announced,
            after(new, |stamp| matches!(stamp, Stamp::Announced { .. }), opened.0)?,
        ));
        moments.extend([(Moment::Asked, asked), (Moment::Answered, requests[first].answer?.at)]);
        moments.sort_by_key(|&(_, at)| at);
        let us = |at: u64| us_between(begin, at);
        let shown = &requests[before.saturating_sub(AROUND)..(first + AROUND).min(requests.len())];
        // After a stall of the machine the next one may be far away.
        let near = begin.saturating_sub(NEAR)..asked + NEAR;
        let shown = shown.iter().filter(|request| near.contains(&request.sent));
        let asked_at = |request: &Request| Asked {
            at_us: us(request.sent),
            by: request.answer.map(|answer| usize::from(answer.by == heir)),
        };
        let pause = requests[before..=first].windows(2).map(|pair| pair[1].sent - pair[0].sent).max();
        Some(Self {
            agent: String::new(),
            kind,
            condition,
            moments: moments.into_iter().map(|(moment, at)| (moment, us(at))).collect(),
            outage_us: us(asked),
            verdict_after_deadline_us,
            lost: first - before - 1,
            client_pause_us: pause.unwrap_or(0) as f64 / 1e3,
            requests: shown.map(asked_at).collect(),
        })
    }

    /// When `moment` was, us; `None` where it does not belong to this kind.
    pub(crate) fn at(&self, moment: Moment) -> Option<f64> {
        self.moments.iter().find(|(known, _)| *known == moment).map(|(_, at)| *at)
    }

    /// From the gate's opening to `moment`, us.
    pub(crate) fn since_opened(&self, moment: Moment) -> Option<f64> {
        Some(self.at(moment)? - self.at(Moment::Opened)?)
    }
}

/// The time between two stamps, us; negative if `to` was before `from`.
fn us_between(from: u64, to: u64) -> f64 {
    (to as f64 - from as f64) / 1e3
}

#[cfg(test)]
mod tests {
    use xbeat_tests::outage::Answer;

    use super::*;

    /// One request each microsecond: a digit is the node that answered half a microsecond later, `-` nobody.
    fn requests(picture: &str) -> Vec<Request> {
        let request = |(slot, answerer): (usize, char)| {
            let sent = slot as u64 * 1000;
            let by = answerer.to_digit(10).map(|by| by as usize);
            Request { sent, answer: by.map(|by| Answer { at: sent + 500, by }) }
        };
        picture.chars().enumerate().map(request).collect()
    }

    /// To node `heir`, with a deadtime of 2.5 us.
    fn played(kind: Kind, heir: usize, time: Range<u64>) -> Played {
        Played { kind, condition: Condition::Busy, heir, deadtime_ns: 2500, time }
    }

    /// What the second node stamps when it was silent from `heard` on and declared dead at `stamped`.
    fn silence(heard: u64, stamped: u64) -> [(u64, Stamp); 5] {
        [
            (stamped + 100, Stamp::Verdict { node: 0, stamped, heard }),
            (stamped + 200, Stamp::Woken { group: 0 }),
            (stamped + 300, Stamp::Opened { group: 0, stamped: stamped + 10 }),
            (stamped + 400, Stamp::Added { group: 0 }),
            (stamped + 500, Stamp::Announced { group: 0 }),
        ]
    }

    #[test]
    fn the_steps_of_a_silence_are_counted_from_the_last_answered_request() {
        let new = [
            (1, Stamp::Added { group: 0 }),
            (4100, Stamp::Verdict { node: 0, stamped: 4000, heard: 1200 }),
            (4200, Stamp::Woken { group: 0 }),
            (4900, Stamp::Opened { group: 0, stamped: 4010 }),
            (5000, Stamp::Added { group: 0 }),
            (5100, Stamp::Announced { group: 0 }),
        ];
        let played = played(Kind::Silent, 1, 1000..9000);
        let run = Run::of(&played, (&[], &new), &requests("00----11")).unwrap();
        assert_eq!((run.kind, run.condition), (Kind::Silent, Condition::Busy));
        assert_eq!((run.outage_us, run.lost, run.client_pause_us), (5.0, 4, 1.0));
        let expected = [
            (Moment::Heard, 0.2),
            (Moment::Verdict, 3.0),
            (Moment::Opened, 3.01),
            (Moment::Woken, 3.2),
            (Moment::Added, 4.0),
            (Moment::Announced, 4.1),
            (Moment::Asked, 5.0),
            (Moment::Answered, 5.5),
        ];
        assert_eq!(run.moments, expected);
        let shown: Vec<_> = run.requests.iter().map(|request| request.by).collect();
        assert_eq!(shown, [Some(0), Some(0), None, None, None, None, Some(1), Some(1)]);
        assert_eq!(run.since_opened(Moment::Answered), Some(5.5 - 3.01));
    }

    #[test]
    fn a_verdict_is_late_by_the_time_since_deadtime_after_the_last_frame() {
        let late = |heard, stamped| {
            let played = played(Kind::Silent, 1, 1000..9000);
            let run = Run::of(&played, (&[], &silence(heard, stamped)), &requests("00----11")).unwrap();
            run.verdict_after_deadline_us
        };
        assert_eq!(late(1200, 4000), Some(0.3), "2.8 us after the frame");
        assert_eq!(late(400, 4000), Some(1.1), "the last answer is no frame");
        assert_eq!(late(1500, 4000), Some(0.0));
        assert_eq!(late(1700, 4000), Some(-0.2), "what is too early is not hidden");
    }

    #[test]
    fn a_hand_over_has_no_deadline() {
        let old = [(2000, Stamp::Removed { group: 0 }), (2100, Stamp::Said)];
        let new = [
            (2300, Stamp::Opened { group: 0, stamped: 2200 }),
            (2400, Stamp::Added { group: 0 }),
            (2500, Stamp::Announced { group: 0 }),
        ];
        let played = played(Kind::HandOver, 1, 1000..9000);
        let run = Run::of(&played, (&old, &new), &requests("00-11")).unwrap();
        assert_eq!(run.verdict_after_deadline_us, None);
    }

    #[test]
    fn a_run_without_its_stamps_is_none() {
        let requests = requests("00----11");
        let run = |kind, heir, time| Run::of(&played(kind, heir, time), (&[], &[]), &requests);
        assert_eq!(run(Kind::Silent, 1, 0..9000), None);
        assert_eq!(run(Kind::HandOver, 0, 5000..9000), None, "nobody took over");
    }
}
