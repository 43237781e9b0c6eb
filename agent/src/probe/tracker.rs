//! What the answers say about the address. Pure arithmetic: no clock, no sockets.
//!
//! An *outage* (a hole) lies between two answered requests that follow one another in the order of sending, when requests
//! in between were lost or when somebody else answers after it. Its length is the second's send time minus the first's.
//! So a hand-over without any loss counts, too, with the distance of the two requests around it, and a pause of the
//! sender itself, without loss or hand-over, does not.
//!
//! A request is judged when its time to be answered is over, in the order of sending; so memory is bounded by
//! rate times wait, however long a run takes. All times are nanoseconds of one clock.

use std::collections::VecDeque;

/// In ns: an ARP answer is at most this late.
const LATELY: u64 = 50_000_000;
/// Requests among which an earlier answer of the same host is looked for.
const LOOK_BACK: usize = 256;

/// Who answered: an index that the caller gives out.
pub(super) type Who = usize;

/// What counts as two that answered one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubling {
    /// Any second answer. Right where each answer names its request and a host answers once.
    AnySecond,
    /// An answer by somebody else. Right for ARP, where the same host is asked by our kernel as well.
    SomebodyElse,
}

/// An outage that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    /// When the last request before it was sent that was answered.
    pub start: u64,
    /// When the first request was sent that was answered again.
    pub end: u64,
    pub lost: u64,
    pub before: Who,
    pub after: Who,
    /// The longest distance of two requests inside: the length cannot be known more exactly.
    pub sender_pause: u64,
}

impl Hole {
    pub(super) fn length(&self) -> u64 {
        self.end - self.start
    }
}

/// Requests in a row, lost ones left aside, that two answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// When the first of them was sent.
    pub start: u64,
    /// When the last of them was sent.
    pub end: u64,
    pub requests: u64,
    pub who: Vec<Who>,
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Booking {
    /// The first one to its request; after this time.
    First { rtt: u64 },
    /// One more to its request.
    Again,
    /// Its request was counted as lost already.
    Late,
    /// No such request was sent.
    NeverAsked,
}

/// What was learnt while requests were judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    Outage(Hole),
    Doubled(Window),
}

/// Counts of judged requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub answered: u64,
    pub lost: u64,
    /// Requests that two answered.
    pub doubled: u64,
    /// Further answers of one who had answered that request (ARP).
    pub repeated: u64,
    pub late: u64,
    /// The longest distance of two requests that followed one another.
    pub sender_pause: u64,
}

#[derive(Debug)]
struct Pending {
    sent: u64,
    /// In the order of coming, each once; empty while unanswered.
    who: Vec<Who>,
    answers: u64,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    sent: u64,
    who: Who,
}

/// Books requests and answers.
#[derive(Debug)]
pub(super) struct Tracker {
    doubling: Doubling,
    wait: u64,
    /// The number of the first pending request.
    base: u64,
    pending: VecDeque<Pending>,
    last: Option<Last>,
    previous_sent: Option<u64>,
    /// Since `last`.
    lost_since: u64,
    pause_since: u64,
    window: Option<Window>,
    counts: Counts,
    /// Send time of the newest request that was answered, judged or not.
    newest_answered: Option<u64>,
}

impl Tracker {
    /// `wait`: after how long a request counts as lost.
    pub(super) fn new(doubling: Doubling, wait: u64) -> Self {
        Self {
            doubling,
            wait,
            base: 0,
            pending: VecDeque::new(),
            last: None,
            previous_sent: None,
            lost_since: 0,
            pause_since: 0,
            window: None,
            counts: Counts::default(),
            newest_answered: None,
        }
    }

    /// The next request was sent; they are numbered from 0.
    pub(super) fn sent(&mut self, at: u64) {
        self.pending.push_back(Pending { sent: at, who: Vec::new(), answers: 0 });
    }

    /// An answer came. Without a number (ARP) it answers the newest request before it that this one has not answered,
    /// among the latest; if there is none, the newest.
    pub(super) fn answered(&mut self, number: Option<u64>, at: u64, who: Who) -> Booking {
        let index = match number {
            Some(number) if number < self.base => {
                self.counts.late += 1;
                return Booking::Late;
            }
            Some(number) => usize::try_from(number - self.base).ok(),
            None => self.asked_lately(at, who),
        };
        let Some(pending) = index.and_then(|index| self.pending.get_mut(index)) else {
            return Booking::NeverAsked;
        };
        if number.is_some() && at.saturating_sub(pending.sent) > self.wait {
            // Not judged yet only because nothing asked for it.
            self.counts.late += 1;
            return Booking::Late;
        }
        pending.answers += 1;
        if !pending.who.contains(&who) {
            pending.who.push(who);
        }
        self.newest_answered = self.newest_answered.max(Some(pending.sent));
        if pending.answers == 1 {
            Booking::First { rtt: at.saturating_sub(pending.sent) }
        } else {
            Booking::Again
        }
    }

    /// The pending request that an answer without a number belongs to. An answer that takes longer than a period looks
    /// like one to the next request, and the next answer then like a second one to that: it fills the place left empty.
    /// Only where the same host answered before that place: whoever has just begun to answer was silent before.
    fn asked_lately(&self, at: u64, who: Who) -> Option<usize> {
        let newest = self.pending.partition_point(|pending| pending.sent <= at).checked_sub(1)?;
        let lately = (0..=newest)
            .rev()
            .take_while(|&index| index == newest || self.pending[index].sent.saturating_add(LATELY) >= at);
        let empty = lately.into_iter().find(|&index| !self.pending[index].who.contains(&who));
        let Some(empty) = empty.filter(|&empty| empty < newest) else { return Some(newest) };
        let before = self.pending.range(..empty).rev().take(LOOK_BACK);
        let answered_before = before.into_iter().any(|pending| pending.who.contains(&who));
        Some(if answered_before { empty } else { newest })
    }

    /// Judges all requests whose time is over.
    pub(super) fn settle(&mut self, now: u64, found: &mut Vec<Finding>) {
        while self.pending.front().is_some_and(|front| front.sent.saturating_add(self.wait) < now) {
            self.judge_first(found);
        }
    }

    /// Judges all requests; nothing more will come.
    pub(super) fn finish(&mut self, found: &mut Vec<Finding>) {
        while !self.pending.is_empty() {
            self.judge_first(found);
        }
        found.extend(self.window.take().map(Finding::Doubled));
    }

    /// Whether every request so far was answered.
    pub(super) fn all_answered(&self) -> bool {
        self.pending.iter().all(|pending| pending.answers > 0)
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Requests sent, judged or not.
    pub(super) fn asked(&self) -> u64 {
        self.base + self.pending.len() as u64
    }

    /// Send times of the newest answered request and of the newest one.
    pub(super) fn newest(&self) -> (Option<u64>, Option<u64>) {
        (self.newest_answered, self.pending.back().map(|pending| pending.sent).or(self.previous_sent))
    }

    /// After [`Tracker::finish`]: the outage that did not end: when it began, the last request, losses, longest pause.
    pub(super) fn unfinished(&self) -> Option<(u64, u64, u64, u64)> {
        let last = self.last.filter(|_| self.lost_since > 0)?;
        Some((last.sent, self.previous_sent?, self.lost_since, self.pause_since))
    }

    fn judge_first(&mut self, found: &mut Vec<Finding>) {
        let Some(request) = self.pending.pop_front() else { return };
        self.base += 1;
        if let Some(previous) = self.previous_sent.replace(request.sent) {
            let pause = request.sent.saturating_sub(previous);
            self.counts.sender_pause = self.counts.sender_pause.max(pause);
            self.pause_since = self.pause_since.max(pause);
        }
        let Some(&first) = request.who.first() else {
            self.counts.lost += 1;
            self.lost_since += 1;
            return;
        };
        self.counts.answered += 1;
        // Where two answer, who answered before goes on answering.
        let who = self.last.map(|last| last.who).filter(|who| request.who.contains(who)).unwrap_or(first);
        if let Some(last) = self.last
            && (self.lost_since > 0 || last.who != who)
        {
            found.push(Finding::Outage(Hole {
                start: last.sent,
                end: request.sent,
                lost: self.lost_since,
                before: last.who,
                after: who,
                sender_pause: self.pause_since,
            }));
        }
        self.last = Some(Last { sent: request.sent, who });
        (self.lost_since, self.pause_since) = (0, 0);
        self.judge_double(&request, found);
    }

    fn judge_double(&mut self, request: &Pending, found: &mut Vec<Finding>) {
        let others = request.answers - 1;
        let doubled = match self.doubling {
            Doubling::AnySecond => others > 0,
            Doubling::SomebodyElse => request.who.len() > 1,
        };
        if !doubled {
            self.counts.repeated += others;
            found.extend(self.window.take().map(Finding::Doubled));
            return;
        }
        self.counts.doubled += 1;
        let window = self.window.get_or_insert_with(|| Window {
            start: request.sent,
            end: request.sent,
            requests: 0,
            who: Vec::new(),
        });
        window.end = request.sent;
        window.requests += 1;
        for who in &request.who {
            if !window.who.contains(who) {
                window.who.push(*who);
            }
        }
    }
}

#[cfg(test)]
mod tests;
