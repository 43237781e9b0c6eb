use proptest::prelude::*;

use super::*;

const PERIOD: u64 = 200;
const WAIT: u64 = 10_000;

/// One request every 200 ns: a digit is who answered, `-` a lost request, a space a slot in which the sender slept,
/// `x` answered by 0 and 1, `=` answered by 0 twice.
fn play(picture: &str, doubling: Doubling) -> (Tracker, Vec<Finding>) {
    let mut tracker = Tracker::new(doubling, WAIT);
    for (slot, what) in picture.chars().enumerate().filter(|(_, what)| *what != ' ') {
        let (number, sent) = (tracker.asked(), slot as u64 * PERIOD);
        tracker.sent(sent);
        let by: Vec<usize> = match what {
            '-' => Vec::new(),
            'x' => vec![0, 1],
            '=' => vec![0, 0],
            digit => vec![digit.to_digit(10).unwrap() as usize],
        };
        for who in by {
            tracker.answered(Some(number), sent + 50, who);
        }
    }
    let mut found = Vec::new();
    tracker.finish(&mut found);
    (tracker, found)
}

fn holes(picture: &str) -> Vec<Hole> {
    let (_, found) = play(picture, Doubling::AnySecond);
    found
        .into_iter()
        .filter_map(|finding| if let Finding::Outage(hole) = finding { Some(hole) } else { None })
        .collect()
}

fn windows(picture: &str, doubling: Doubling) -> Vec<Window> {
    let (_, found) = play(picture, doubling);
    found
        .into_iter()
        .filter_map(|finding| if let Finding::Doubled(window) = finding { Some(window) } else { None })
        .collect()
}

#[test]
fn a_silent_owner_costs_the_time_between_its_last_and_the_others_first_answer() {
    let expected = Hole { start: 400, end: 1400, lost: 4, before: 0, after: 1, sender_pause: 200 };
    assert_eq!(holes("000----111"), [expected]);
    assert_eq!(expected.length(), 5 * PERIOD);
}

#[test]
fn a_hand_over_without_loss_costs_one_period() {
    assert_eq!(
        holes("000111"),
        [Hole { start: 400, end: 600, lost: 0, before: 0, after: 1, sender_pause: 200 }]
    );
}

#[test]
fn undisturbed_service_and_a_pause_of_the_sender_are_no_outage() {
    for picture in ["0000", "", "00      00"] {
        assert_eq!(holes(picture), [], "{picture}");
    }
    assert_eq!(play("00      00", Doubling::AnySecond).0.counts().sender_pause, 7 * PERIOD);
}

#[test]
fn a_pause_of_the_sender_inside_an_outage_is_told() {
    let found = holes("00-     -11");
    assert_eq!((found[0].length(), found[0].lost, found[0].sender_pause), (8 * PERIOD, 2, 6 * PERIOD));
}

#[test]
fn each_outage_is_told_by_itself() {
    let found: Vec<_> = holes("00--11---11-1").iter().map(|hole| (hole.length(), hole.lost)).collect();
    assert_eq!(found, [(3 * PERIOD, 2), (4 * PERIOD, 3), (2 * PERIOD, 1)]);
}

#[test]
fn an_outage_without_end_is_not_over() {
    let (tracker, found) = play("000---", Doubling::AnySecond);
    assert_eq!(found, []);
    assert_eq!(tracker.unfinished(), Some((400, 1000, 3, 200)));
    assert_eq!(play("000", Doubling::AnySecond).0.unfinished(), None);
}

#[test]
fn what_came_before_any_answer_is_loss_but_no_outage() {
    let (tracker, found) = play("---00", Doubling::AnySecond);
    assert_eq!((found.len(), tracker.counts().lost, tracker.unfinished()), (0, 3, None));
    assert_eq!(play("---", Doubling::AnySecond).0.unfinished(), None);
}

#[test]
fn two_answerers_are_a_window_and_no_series_of_hand_overs() {
    for doubling in [Doubling::AnySecond, Doubling::SomebodyElse] {
        let expected = Window { start: 400, end: 1200, requests: 4, who: vec![0, 1] };
        assert_eq!(windows("00xx-xx11", doubling), [expected], "a lost one does not end it");
    }
    let found: Vec<_> = holes("00xxxx11").iter().map(|hole| (hole.start, hole.lost)).collect();
    assert_eq!(found, [(1000, 0)], "0 answered until the end of the window");
}

#[test]
fn a_window_that_lasts_to_the_end_is_told() {
    assert_eq!(windows("00xx", Doubling::SomebodyElse).len(), 1);
}

#[test]
fn a_second_answer_of_the_same_is_two_answerers_unless_it_is_arp() {
    assert_eq!(windows("0==0", Doubling::AnySecond).len(), 1);
    let (tracker, found) = play("0==0", Doubling::SomebodyElse);
    assert_eq!((found.len(), tracker.counts().repeated, tracker.counts().doubled), (0, 2, 0));
}

#[test]
fn answers_that_come_too_late_or_were_never_asked_for_change_nothing() {
    let mut tracker = Tracker::new(Doubling::AnySecond, WAIT);
    (0..3).for_each(|number| tracker.sent(number * PERIOD));
    assert_eq!(tracker.answered(Some(7), 700, 0), Booking::NeverAsked);
    assert_eq!(tracker.answered(Some(u64::MAX), 700, 0), Booking::NeverAsked);
    assert_eq!(tracker.answered(Some(1), PERIOD + WAIT + 1, 0), Booking::Late);
    let mut found = Vec::new();
    tracker.settle(PERIOD + WAIT + 1, &mut found);
    assert_eq!(tracker.answered(Some(0), PERIOD + WAIT + 2, 0), Booking::Late);
    assert_eq!((tracker.counts().late, tracker.counts().lost, tracker.asked()), (2, 2, 3));
}

#[test]
fn an_arp_answer_belongs_to_the_newest_request_before_it() {
    let mut tracker = Tracker::new(Doubling::SomebodyElse, WAIT);
    assert_eq!(tracker.answered(None, 5, 0), Booking::NeverAsked);
    (0..3).for_each(|number| tracker.sent(number * PERIOD));
    assert_eq!(tracker.answered(None, PERIOD + 50, 0), Booking::First { rtt: 50 });
    assert_eq!(tracker.answered(None, 2 * PERIOD + 60, 1), Booking::First { rtt: 60 });
    assert_eq!(tracker.answered(None, 2 * PERIOD + 70, 0), Booking::Again);
}

#[test]
fn arp_answers_that_take_longer_than_a_period_are_no_losses() {
    let mut tracker = Tracker::new(Doubling::SomebodyElse, WAIT);
    (0..5).for_each(|number| tracker.sent(number * PERIOD));
    // To 0 in time; to 1 after 2 was sent; to 2 right behind it; 3 and 4 are lost.
    for (at, rtt) in [(50, 50), (2 * PERIOD + 10, 10), (2 * PERIOD + 20, PERIOD + 20)] {
        assert_eq!(tracker.answered(None, at, 0), Booking::First { rtt });
    }
    let mut found = Vec::new();
    tracker.finish(&mut found);
    assert_eq!((tracker.counts().answered, tracker.counts().lost, found.len()), (3, 2, 0));
}

#[test]
fn who_has_just_begun_to_answer_by_arp_did_not_answer_before_even_if_it_answers_twice() {
    let mut tracker = Tracker::new(Doubling::SomebodyElse, WAIT);
    (0..4).for_each(|number| tracker.sent(number * PERIOD));
    tracker.answered(None, 50, 0);
    for at in [3 * PERIOD + 10, 3 * PERIOD + 20, 3 * PERIOD + 30] {
        tracker.answered(None, at, 1);
    }
    let mut found = Vec::new();
    tracker.finish(&mut found);
    let hole = Hole { start: 0, end: 600, lost: 2, before: 0, after: 1, sender_pause: 200 };
    assert_eq!(found, [Finding::Outage(hole)]);
    assert_eq!(tracker.counts().repeated, 2);
}

/// The definition, written down once more and slowly.
fn slow_holes(requests: &[(u64, Option<usize>)]) -> Vec<(u64, u64, u64)> {
    let answered: Vec<usize> = (0..requests.len()).filter(|&index| requests[index].1.is_some()).collect();
    let pairs = answered
        .windows(2)
        .filter(|pair| pair[1] > pair[0] + 1 || requests[pair[0]].1 != requests[pair[1]].1);
    pairs.map(|pair| (requests[pair[0]].0, requests[pair[1]].0, (pair[1] - pair[0] - 1) as u64)).collect()
}

proptest! {
    #[test]
    fn judged_early_or_late_the_outages_are_those_of_the_definition(
        plan in prop::collection::vec((1u64..500, prop::option::of(0usize..3)), 0..60),
        looks in prop::collection::vec(any::<bool>(), 60),
    ) {
        let mut tracker = Tracker::new(Doubling::AnySecond, 100);
        let (mut now, mut found, mut requests) = (0, Vec::new(), Vec::new());
        for (number, ((gap, who), look)) in plan.into_iter().zip(looks).enumerate() {
            now += gap;
            tracker.sent(now);
            requests.push((now, who));
            if let Some(who) = who {
                let booked = tracker.answered(Some(number as u64), now + 99, who);
                prop_assert_eq!(booked, Booking::First { rtt: 99 });
            }
            if look {
                tracker.settle(now, &mut found);
            }
        }
        tracker.finish(&mut found);
        let holes: Vec<_> = found.iter().filter_map(|finding| match finding {
            Finding::Outage(hole) => Some((hole.start, hole.end, hole.lost)),
            Finding::Doubled(_) => None,
        }).collect();
        prop_assert_eq!(holes, slow_holes(&requests));
        let answered = requests.iter().filter(|(_, who)| who.is_some()).count() as u64;
        prop_assert_eq!((tracker.counts().answered, tracker.counts().lost), (answered, requests.len() as u64 - answered));
    }
}
