use super::*;

const MS: u64 = 1_000_000;
const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

pub(in crate::voices) fn node(name: &str, addresses: &[IpAddr]) -> Node {
    let host = |&address: &IpAddr| Host {
        address,
        sent: 0,
        answered: 0,
        answered_at: None,
        rtt: None,
        pending: VecDeque::new(),
    };
    let hosts = addresses.iter().map(host).collect();
    Node { name: name.into(), is_group: addresses.len() > 1, hosts, state: State::Init, since: 0 }
}

pub(in crate::voices) fn pings(nodes: Vec<Node>) -> Pings {
    let times = Times { interval: Duration::from_millis(100), deadping: Duration::from_millis(300) };
    Pings { times, nodes, is_mute: false, ignored: 0, ident: 0x1234, number: 0, counted_from: 0, asked_at: 0 }
}

/// Asks at every interval up to there.
fn ask_until(pings: &mut Pings, until: u64) {
    let interval = nanos(pings.times.interval);
    while pings.asked_at + interval <= until {
        pings.ask(pings.asked_at + interval, random());
    }
}

fn random() -> impl FnMut() -> [u8; PAYLOAD_LEN] {
    let mut count = 0;
    move || {
        count += 1;
        [count; PAYLOAD_LEN]
    }
}

/// The packet that a raw socket shows of the reply to `request`.
fn reply(request: &[u8; REQUEST_LEN]) -> Vec<u8> {
    let mut packet = vec![0x45; 20];
    packet.extend(request);
    packet[20] = 0;
    // The type went from 8 to 0, so the sum's complement grows by 0x0800.
    let sum = u16::from_be_bytes([packet[22], packet[23]]);
    let (sum, carry) = sum.overflowing_add(0x0800);
    packet[22..24].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
    packet
}

#[test]
fn a_host_that_answers_is_there_until_deadping() {
    let mut pings = pings(vec![node("gw", &[GATEWAY])]);
    assert_eq!((pings.answering(), pings.due()), (None, Some(300 * MS)));
    let requests = pings.ask(0, random());
    pings.receive(&reply(&requests[0].1), GATEWAY, 2 * MS);
    assert_eq!(pings.look(2 * MS), [(0, State::Ping)]);
    assert_eq!((pings.answering(), pings.nodes[0].hosts[0].rtt), (Some(1), Some(2 * MS)));
    assert_eq!(pings.due(), Some(302 * MS));
    ask_until(&mut pings, 302 * MS);
    assert_eq!(pings.look(302 * MS - 1), []);
    assert_eq!(pings.look(302 * MS), [(0, State::Dead)]);
    assert_eq!((pings.answering(), pings.due()), (Some(0), None));
}

#[test]
fn a_host_that_never_answers_is_dead_after_deadping() {
    let mut pings = pings(vec![node("gw", &[GATEWAY])]);
    ask_until(&mut pings, 299 * MS);
    assert_eq!(pings.look(299 * MS), []);
    assert_eq!(pings.look(300 * MS), [(0, State::Dead)]);
}

/// Of two nodes, one that answered last at 10 s and one that was dead then.
fn one_alive_and_one_dead() -> Pings {
    let mut pings = pings(vec![node("gw", &[GATEWAY]), node("other", &[OTHER])]);
    ask_until(&mut pings, 9_000 * MS);
    pings.look(9_000 * MS);
    ask_until(&mut pings, 9_999 * MS);
    let requests = pings.ask(10_000 * MS, random());
    pings.receive(&reply(&requests[0].1), GATEWAY, 10_000 * MS);
    assert_eq!(pings.look(10_000 * MS), [(0, State::Ping)]);
    pings
}

pub(in crate::voices) fn times(interval: u64, deadping: u64) -> Times {
    Times { interval: Duration::from_millis(interval), deadping: Duration::from_millis(deadping) }
}

#[test]
fn shorter_times_kill_nobody_who_was_not_asked_by_them() {
    let mut pings = one_alive_and_one_dead();
    pings.set_times(times(1000, 3000), 10_001 * MS);
    pings.set_times(times(100, 300), 12_000 * MS);
    ask_until(&mut pings, 12_299 * MS);
    assert_eq!((pings.look(12_299 * MS), pings.due()), (vec![], Some(12_300 * MS)));
    assert_eq!(pings.look(12_300 * MS), [(0, State::Dead)]);
}

#[test]
fn longer_times_raise_nobody_who_does_not_answer() {
    let mut pings = one_alive_and_one_dead();
    ask_until(&mut pings, 10_300 * MS);
    assert_eq!(pings.look(10_300 * MS), [(0, State::Dead)]);
    pings.set_times(times(1000, 60_000), 10_400 * MS);
    assert_eq!((pings.look(10_500 * MS), pings.due()), (vec![], None));
    let requests = pings.ask(10_600 * MS, random());
    pings.receive(&reply(&requests[1].1), OTHER, 10_600 * MS);
    assert_eq!(pings.look(10_600 * MS), [(1, State::Ping)]);
    assert_eq!(pings.due(), Some(70_600 * MS));
}

#[test]
fn a_machine_that_stood_still_asks_before_it_finds_anybody_dead() {
    let mut pings = one_alive_and_one_dead();
    assert_eq!(pings.look(60_000 * MS), [], "nobody was asked meanwhile");
    pings.ask(60_000 * MS, random());
    ask_until(&mut pings, 60_299 * MS);
    assert_eq!(pings.look(60_299 * MS), []);
    assert_eq!(pings.look(60_300 * MS), [(0, State::Dead)]);
}

#[test]
fn the_same_times_again_give_nobody_more_time() {
    let mut pings = one_alive_and_one_dead();
    pings.set_times(pings.times, 10_200 * MS);
    ask_until(&mut pings, 10_300 * MS);
    assert_eq!(pings.look(10_300 * MS), [(0, State::Dead)]);
}

#[test]
fn one_host_of_a_group_is_enough() {
    let mut pings = pings(vec![node("routers", &[GATEWAY, OTHER]), node("gw", &[GATEWAY])]);
    let requests = pings.ask(0, random());
    pings.receive(&reply(&requests[1].1), OTHER, MS);
    assert_eq!(pings.look(MS), [(0, State::Ping)]);
    assert_eq!(pings.answering(), None, "of the other nothing is known yet");
    ask_until(&mut pings, 300 * MS);
    pings.look(300 * MS);
    assert_eq!(pings.answering(), Some(1));
}

#[test]
fn what_is_no_answer_to_a_request_is_counted_and_ignored() {
    let mut pings = pings(vec![node("gw", &[GATEWAY])]);
    let requests = pings.ask(0, random());
    let good = reply(&requests[0].1);
    let mut wrong = good.clone();
    // Another payload with the same checksum: two words changed places.
    wrong[28] ^= 1;
    wrong[30] ^= 1;
    wrong[28..32].copy_from_slice(&[0, 2, 2, 0]);
    pings.receive(&wrong, GATEWAY, MS);
    assert_eq!(pings.ignored, 1);
    pings.receive(&good, OTHER, MS);
    assert_eq!(pings.ignored, 2, "from a host that was not asked");
    assert_eq!(pings.look(MS), []);
    pings.receive(&good, GATEWAY, MS);
    pings.receive(&good, GATEWAY, MS);
    assert_eq!(pings.ignored, 3, "a second time");
    assert_eq!(pings.look(MS), [(0, State::Ping)]);
    let mut foreign = good;
    foreign[24] ^= 1;
    pings.receive(&foreign, GATEWAY, MS);
    pings.receive(&foreign, OTHER, MS);
    assert_eq!(pings.ignored, 4, "another program's, of a host of ours");
}

#[test]
fn an_answer_that_is_too_late_is_none() {
    let mut pings = pings(vec![node("gw", &[GATEWAY])]);
    let first = pings.ask(0, random());
    for round in 1..=PENDING_MAX as u64 {
        pings.ask(round * 100 * MS, random());
    }
    pings.receive(&reply(&first[0].1), GATEWAY, 900 * MS);
    assert_eq!((pings.ignored, pings.nodes[0].hosts[0].answered), (1, 0));
}
