//! A stream of packets and what became of it.

use serde::{Deserialize, Serialize};
use xbeat_tests::outage::Request;

use super::emodel::Rating;
use crate::figures;

/// From mouth to ear, beside the network: 20 ms until a packet is full, 40 ms in the receiver's buffer.
const DELAY_MS: f64 = 60.0;

/// What comes later than the receiver's buffer holds has been missed, ns (there and back, as it is measured).
const LATE: u64 = 2 * 40 * 1_000_000;

/// Where a stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// To the virtual address.
    To,
    /// Through it, as the router, to a host behind the pair.
    Through,
}

/// How much there is of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rate {
    /// A call: 50 packets a second.
    Call,
    /// 1,000 packets a second: twenty calls, or one that shows shorter gaps.
    Thousand,
}

impl Rate {
    /// Between two packets, us.
    pub(super) const fn period_us(self) -> u64 {
        match self {
            Self::Call => 20_000,
            Self::Thousand => 1000,
        }
    }
}

/// What a stream went through in some seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) sent: usize,
    /// Not answered, or too late.
    pub(crate) lost: usize,
    /// Between two packets that were not lost, one period at least.
    pub(crate) longest_gap_us: u64,
    /// There and back, median.
    pub(crate) rtt_us: u64,
    /// How a call sounds.
    pub(crate) rating: Rating,
}

impl Window {
    /// Of what was sent from `from` to before `to`.
    pub(super) fn of(requests: &[Request], from: u64, to: u64) -> Self {
        let within = &requests[requests.partition_point(|request| request.sent < from)
            ..requests.partition_point(|request| request.sent < to)];
        let rtt = |request: &Request| {
            let rtt = request.answer?.at.saturating_sub(request.sent);
            (rtt < LATE).then_some(rtt)
        };
        let lost: Vec<bool> = within.iter().map(|request| rtt(request).is_none()).collect();
        let heard: Vec<u64> =
            within.iter().filter(|request| rtt(request).is_some()).map(|request| request.sent).collect();
        // What is silent up to an end of the window is silent that long at least.
        let ends = within.first().into_iter().map(|first| first.sent).chain(heard);
        let times: Vec<u64> = ends.chain(within.last().map(|last| last.sent)).collect();
        let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        let rtt_ns = figures::median(within.iter().filter_map(rtt)).unwrap_or(0);
        Self {
            sent: within.len(),
            lost: lost.iter().filter(|&&lost| lost).count(),
            longest_gap_us: gap / 1000,
            rtt_us: rtt_ns / 1000,
            rating: Rating::of(&lost, DELAY_MS + rtt_ns as f64 / 2e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use xbeat_tests::outage::Answer;

    use super::*;

    /// One request each millisecond: `.` was answered after 100 us, `-` was not, `l` was answered after 81 ms.
    fn requests(picture: &str) -> Vec<Request> {
        let request = |(slot, fate): (usize, char)| {
            let sent = slot as u64 * 1_000_000;
            let after = match fate {
                '.' => Some(100_000),
                'l' => Some(81_000_000),
                _ => None,
            };
            Request { sent, answer: after.map(|after| Answer { at: sent + after, by: 0 }) }
        };
        picture.chars().enumerate().map(request).collect()
    }

    #[test]
    fn what_is_late_is_lost() {
        let window = Window::of(&requests("..--l..."), 0, u64::MAX);
        assert_eq!((window.sent, window.lost, window.longest_gap_us, window.rtt_us), (8, 3, 4000, 100));
    }

    #[test]
    fn silence_counts_up_to_the_ends_of_the_window() {
        let requests = requests("..----.-");
        assert_eq!(Window::of(&requests, 2_000_000, u64::MAX).longest_gap_us, 4000);
        assert_eq!(Window::of(&requests, 0, 5_000_000).longest_gap_us, 3000);
        assert_eq!(Window::of(&requests, 9_000_000, u64::MAX).sent, 0);
    }
}
