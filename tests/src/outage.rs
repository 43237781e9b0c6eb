//! What a client's record says about an outage. Pure arithmetic, no clock, no sockets.
//!
//! A *hole* lies between two answered requests that follow one another in the order of sending, when requests
//! in between were lost or when another node answers after it. Its length is the second's send time minus the
//! first's. The outage of a fault is the longest hole in the time the fault was played in.
//!
//! So a hand-over without any loss still counts, with the distance of the two requests around it, and a pause
//! of the sender itself (a stalled machine) without loss or hand-over does not.

/// One request, as the client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// When it was sent, in nanoseconds of [`crate::clock::now`].
    pub sent: u64,
    /// The first answer, if one came.
    pub answer: Option<Answer>,
}

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// When it came, in nanoseconds of [`crate::clock::now`].
    pub at: u64,
    /// The index of the node that answered.
    pub by: usize,
}

/// What a fault cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// The longest hole, in nanoseconds; 0 if there was none.
    pub length: u64,
    /// Requests without an answer.
    pub lost: usize,
    /// The longest pause of the sender inside that hole, in nanoseconds. The length cannot be known more
    /// exactly than this; much more than the sending period means that the machine stood still.
    pub sender_pause: u64,
    /// Whether the last request of the time was answered.
    pub over: bool,
}

impl Outage {
    /// The outage in the time from `from` to before `to` (nanoseconds). `requests` are in the order of sending;
    /// the last answered one before `from` is where the first hole may begin.
    pub fn between(requests: &[Request], from: u64, to: u64) -> Self {
        let start = requests.partition_point(|request| request.sent < from);
        let end = requests.partition_point(|request| request.sent < to);
        let anchor = requests[..start].iter().rposition(|request| request.answer.is_some()).unwrap_or(start);
        let hole = longest_hole(&requests[anchor..end]);
        Self {
            length: hole.map_or(0, |hole| hole[hole.len() - 1].sent - hole[0].sent),
            lost: requests[start..end].iter().filter(|request| request.answer.is_none()).count(),
            sender_pause: hole.map_or(0, longest_pause),
            over: requests[start..end].last().is_none_or(|request| request.answer.is_some()),
        }
    }

    /// The length in microseconds.
    pub fn micros(&self) -> u64 {
        self.length / 1000
    }
}

/// The slice from the answered request before the longest hole to the one after it.
fn longest_hole(requests: &[Request]) -> Option<&[Request]> {
    let mut longest: Option<&[Request]> = None;
    let mut previous: Option<(usize, Answer)> = None;
    for (here, request) in requests.iter().enumerate() {
        let Some(answer) = request.answer else { continue };
        if let Some((before, earlier)) = previous
            && (here > before + 1 || earlier.by != answer.by)
        {
            let hole = &requests[before..=here];
            if longest.is_none_or(|longest| span(longest) < span(hole)) {
                longest = Some(hole);
            }
        }
        previous = Some((here, answer));
    }
    longest
}

fn span(requests: &[Request]) -> u64 {
    match requests {
        [first, .., last] => last.sent - first.sent,
        _ => 0,
    }
}

fn longest_pause(requests: &[Request]) -> u64 {
    requests.windows(2).map(span).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One request every 200 ns: a digit is the node that answered, `-` a lost request, a space a slot in which
    /// the sender slept.
    fn requests(picture: &str) -> Vec<Request> {
        let slot = |(slot, answerer): (usize, char)| {
            let sent = slot as u64 * 200;
            let by = answerer.to_digit(10).map(|by| by as usize);
            Request { sent, answer: by.map(|by| Answer { at: sent + 50, by }) }
        };
        picture.chars().enumerate().filter(|(_, c)| *c != ' ').map(slot).collect()
    }

    fn whole(picture: &str) -> Outage {
        Outage::between(&requests(picture), 0, u64::MAX)
    }

    #[test]
    fn a_silent_owner_costs_the_time_between_its_last_and_the_others_first_answer() {
        let outage = whole("000----111");
        assert_eq!(outage, Outage { length: 5 * 200, lost: 4, sender_pause: 200, over: true });
    }

    #[test]
    fn a_hand_over_without_loss_costs_one_period() {
        let outage = whole("000111");
        assert_eq!(outage, Outage { length: 200, lost: 0, sender_pause: 200, over: true });
    }

    #[test]
    fn undisturbed_service_is_no_outage() {
        assert_eq!(whole("0000"), Outage { length: 0, lost: 0, sender_pause: 0, over: true });
        assert_eq!(whole(""), Outage { length: 0, lost: 0, sender_pause: 0, over: true });
    }

    #[test]
    fn a_pause_of_the_sender_is_no_outage() {
        assert_eq!(whole("00      00").length, 0);
    }

    #[test]
    fn a_pause_of_the_sender_inside_a_hole_is_told() {
        let outage = whole("00-     -11");
        assert_eq!(outage, Outage { length: 8 * 200, lost: 2, sender_pause: 6 * 200, over: true });
    }

    #[test]
    fn of_several_holes_the_longest_counts_and_all_losses() {
        let outage = whole("00--11---11-1");
        assert_eq!((outage.length, outage.lost), (4 * 200, 6));
    }

    #[test]
    fn a_loss_with_the_same_node_before_and_after_counts() {
        assert_eq!(whole("00---00").length, 4 * 200);
    }

    #[test]
    fn an_outage_without_end_is_not_over() {
        let outage = whole("000---");
        assert_eq!((outage.over, outage.lost), (false, 3));
    }

    #[test]
    fn only_the_given_time_counts_but_the_hole_begins_at_the_last_answer_before_it() {
        // Slots 0 to 11; the fault is played in slots 5 to 8.
        let requests = requests("0-000--11---");
        let outage = Outage::between(&requests, 5 * 200, 9 * 200);
        assert_eq!(outage, Outage { length: 3 * 200, lost: 2, sender_pause: 200, over: true });
    }

    #[test]
    fn what_came_before_any_answer_is_loss_but_no_hole() {
        let outage = whole("---00");
        assert_eq!((outage.length, outage.lost, outage.over), (0, 3, true));
    }
}
