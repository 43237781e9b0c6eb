use super::*;

fn ground() -> Ground {
    Ground { index: 2, name: "eth0".into(), links: vec![0], groups: vec![0] }
}

/// Node 0 of two, with links 0 and 1, both heard and answered at `now`.
fn tables(now: u64) -> (Box<Orders>, Box<Facts>) {
    let (orders, facts) = (Box::new(Orders::new()), Box::new(Facts::new()));
    orders.nodes_len.set(2);
    orders.deadtime.set(10 * MS);
    orders.grace.set(MS);
    orders.unanswered_min.set(3);
    facts.nodes[1].session.set(7);
    for link in 0..2 {
        heard(&orders, &facts, link, now);
    }
    (orders, facts)
}

fn heard(orders: &Orders, facts: &Facts, link: usize, now: u64) {
    let (sent, found) = (&orders.nodes[1].links[link], &facts.nodes[1].links[link]);
    sent.sent.add(1);
    sent.asked.add(1);
    sent.asked_at.set(now);
    found.answered.set(sent.sent.get());
    found.asked_when_heard.set(sent.asked.get());
    found.heard_at.set(now);
    found.pong_at.set(now);
}

fn unanswered(orders: &Orders, link: usize, times: u64, now: u64) {
    let sent = &orders.nodes[1].links[link];
    sent.sent.add(times);
    sent.asked.add(times);
    sent.asked_at.set(now);
}

#[test]
fn a_node_that_is_silent_here_and_heard_elsewhere_is_missed() {
    let (orders, facts) = tables(100 * MS);
    unanswered(&orders, 0, 5, 108 * MS);
    heard(&orders, &facts, 1, 109 * MS);
    assert_eq!(ground().missed(&orders, &facts, 109 * MS), 0, "not before deadtime");
    assert_eq!(ground().missed(&orders, &facts, 110 * MS), 1 << 1);
    assert_eq!(ground().missed(&orders, &facts, 119 * MS), 0, "silent everywhere: the watch's business");
    orders.links[1].deadtime.set(100 * MS);
    assert_eq!(ground().missed(&orders, &facts, 119 * MS), 1 << 1, "the cable counts");
    facts.nodes[1].dead_at.set(119 * MS);
    assert_eq!(ground().missed(&orders, &facts, 119 * MS), 0, "dead");
}

#[test]
fn silence_counts_only_while_we_ask() {
    let (orders, facts) = tables(100 * MS);
    heard(&orders, &facts, 1, 114 * MS);
    unanswered(&orders, 0, 2, 104 * MS);
    assert_eq!(ground().missed(&orders, &facts, 115 * MS), 0);
}

#[test]
fn a_node_that_does_not_hear_us_here_is_missed_too() {
    let (orders, facts) = tables(100 * MS);
    unanswered(&orders, 0, 5, 108 * MS);
    // Its own probes still come in, and nothing of ours is answered.
    let link = &facts.nodes[1].links[0];
    link.heard_at.set(111 * MS);
    link.asked_when_heard.set(orders.nodes[1].links[0].asked.get());
    heard(&orders, &facts, 1, 111 * MS);
    assert_eq!(ground().missed(&orders, &facts, 112 * MS), 1 << 1);
}

#[test]
fn a_network_without_a_link_is_not_looked_at() {
    let (orders, facts) = tables(100 * MS);
    unanswered(&orders, 0, 5, 108 * MS);
    heard(&orders, &facts, 1, 111 * MS);
    let other = Ground { links: Vec::new(), ..ground() };
    assert_eq!(other.missed(&orders, &facts, 112 * MS), 0);
}

#[test]
fn another_nodes_doubt_is_heard_and_ours_is_not_echoed() {
    let (_, facts) = tables(100 * MS);
    let says = |sight: reflex::Sight| {
        facts.claims[1][0].set(reflex::Claim { sight, ..reflex::Claim::default() }.pack());
        ground().is_doubted_by_node(&facts)
    };
    let looking = reflex::Sight::default().reaches(Reach::Answered, true);
    assert!(!says(looking), "it only looks because of us");
    assert!(says(looking.doubting(true)));
    facts.nodes[1].dead_at.set(1);
    assert!(!says(looking.doubting(true)));
}

#[test]
fn silence_is_said_after_three_rounds_and_an_answer_at_once() {
    let mut doubt = Doubt::new(1000 * MS);
    let mut now = 1000 * MS;
    for round in 0..3 {
        assert_eq!(doubt.next_round(), now);
        assert_eq!(doubt.found(now), Reach::Unknown, "round {round}");
        doubt.ask(true, now);
        now += 10 * MS;
    }
    assert_eq!(doubt.found(now - 1), Reach::Unknown);
    assert_eq!((doubt.found(now), doubt.asked), (Reach::Deaf, true));
    doubt.hear(999 * MS);
    assert_eq!(doubt.found(now), Reach::Deaf, "heard before the doubt");
    doubt.hear(now);
    assert_eq!(doubt.found(now), Reach::Hears);
    doubt.answer(now);
    assert_eq!(doubt.found(now), Reach::Answered);

    let mut doubt = Doubt::new(1000 * MS);
    doubt.ask(false, 1000 * MS);
    doubt.answer(1001 * MS);
    assert_eq!((doubt.found(1001 * MS), doubt.asked), (Reach::Answered, false));
}

#[test]
fn who_found_silence_says_more_only_when_it_lasts() {
    let settle = 50 * MS;
    let mut doubt = Doubt::new(1000 * MS);
    for round in 0..3 {
        doubt.ask(true, (1000 + 10 * round) * MS);
    }
    assert_eq!(doubt.conclude(settle, 1029 * MS), None);
    assert_eq!(doubt.conclude(settle, 1030 * MS), Some(Reach::Deaf));
    doubt.answer(1031 * MS);
    assert_eq!(doubt.conclude(settle, 1031 * MS), None, "it was cut off a moment ago");
    assert_eq!(doubt.conclude(settle, 1080 * MS), None);
    assert_eq!(doubt.conclude(settle, 1081 * MS), Some(Reach::Answered));
    // Less is said at once.
    for round in 0..3 {
        doubt.ask(true, (1100 + round) * MS);
    }
    assert_eq!(doubt.conclude(settle, 1103 * MS), Some(Reach::Deaf));
    // An answer that did not go on is none.
    doubt.answer(1104 * MS);
    assert_eq!(doubt.conclude(settle, 1104 * MS), None);
    for round in 0..3 {
        doubt.ask(true, (1110 + round) * MS);
    }
    assert_eq!(doubt.conclude(settle, 1140 * MS), None);
    doubt.answer(1141 * MS);
    assert_eq!(doubt.conclude(settle, 1160 * MS), None, "counted from its own beginning");
    // A first answer is said at once.
    let mut doubt = Doubt::new(1000 * MS);
    doubt.ask(true, 1000 * MS);
    doubt.answer(1001 * MS);
    assert_eq!(doubt.conclude(settle, 1001 * MS), Some(Reach::Answered));
}

#[test]
fn an_answer_counts_for_three_rounds() {
    let mut doubt = Doubt::new(1000 * MS);
    doubt.ask(true, 1000 * MS);
    doubt.answer(1001 * MS);
    let mut rounds = 0;
    while doubt.found(doubt.next_round()) == Reach::Answered {
        doubt.ask(true, doubt.next_round());
        rounds += 1;
    }
    assert_eq!(rounds, 3);
}

#[test]
fn questions_grow_rare_in_a_doubt_that_lasts() {
    let mut doubt = Doubt::new(1000 * MS);
    let mut at = Vec::new();
    for _ in 0..30 {
        at.push(doubt.next_round());
        doubt.ask(true, doubt.next_round());
    }
    let gaps: Vec<u64> = at.windows(2).map(|pair| (pair[1] - pair[0]) / MS).collect();
    assert_eq!(gaps[..4], [10, 10, 100, 100]);
    assert_eq!(gaps.last(), Some(&1000));
    assert!(gaps.is_sorted());
}

#[test]
fn a_doubt_is_over_when_nobody_was_missed_for_a_while() {
    let mut doubt = Doubt::new(1000 * MS);
    doubt.need(2, 1050 * MS);
    assert!(!doubt.is_over(1149 * MS));
    assert!(doubt.is_over(1150 * MS));
}

#[test]
fn a_node_that_answers_here_counts_when_it_answered_since_the_doubt() {
    let (orders, facts) = tables(100 * MS);
    let mut doubt = Doubt::new(105 * MS);
    doubt.answer(ground().answered_by_node(&facts));
    assert_eq!(doubt.found(105 * MS), Reach::Unknown, "before it fell silent");
    heard(&orders, &facts, 1, 107 * MS);
    doubt.answer(ground().answered_by_node(&facts));
    assert_eq!(doubt.found(107 * MS), Reach::Unknown, "by another path");
    heard(&orders, &facts, 0, 107 * MS);
    doubt.answer(ground().answered_by_node(&facts));
    assert_eq!(doubt.found(107 * MS), Reach::Answered);
}
