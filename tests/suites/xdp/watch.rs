//! The watch: the kernel's own timer, with no agent to help it. Only conditions are waited for; the limits are far
//! beyond what any machine needs.

use std::net::Ipv4Addr;
use std::time::Duration;

use reflex::{Event, EventKind, Reason, Verdict};
use tests::wait::{eventually_some, pause};
use xbeat::sys::clock;

use crate::fixture::{DROP, HOUR, MS, Node, TX, need_root};
use crate::packets::who_has;
use crate::peer::Peer;

const LIMIT: Duration = Duration::from_secs(20);
const VIP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const GROUP: usize = 4;
const DEADTIME: u64 = 20 * MS;

/// A node that watches, a VIP armed against node 1, and node 1 alive.
fn watching() -> (Node, Peer) {
    let mut node = Node::with(|orders| orders.deadtime.set(DEADTIME));
    node.vip(VIP, GROUP as u32);
    node.arm(GROUP, 1, 8);
    let mut peer = Peer::new(1);
    node.admit(&mut peer);
    node.events();
    node.kernel.start_watch().unwrap();
    (node, peer)
}

/// Waits for an event of `kind`; all events until then, and the one, last.
#[track_caller]
fn await_event(node: &mut Node, kind: EventKind) -> Event {
    eventually_some(LIMIT, &format!("{kind:?}"), || node.events().into_iter().find(|e| e.kind == kind as u32))
        .unwrap()
}

/// Three probes go out and stay unanswered.
fn ask_in_vain(node: &Node, peer: u8, link: u8) {
    for _ in 0..3 {
        node.ask(peer, link);
    }
}

/// Silence, with probes unanswered: the timer declares the node dead and opens what is armed against it, by itself. What
/// it tells and what it wrote are the same, and it was not a moment too early.
#[test]
fn a_silent_node_is_found_dead_and_its_group_taken_by_the_timer() {
    need_root!("a_silent_node_is_found_dead_and_its_group_taken_by_the_timer");
    let (mut node, _peer) = watching();
    let heard_at = node.facts.nodes[1].heard_at.get();
    ask_in_vain(&node, 1, 0);
    let mut events = Vec::new();
    eventually_some(LIMIT, "the verdict and the takeover", || {
        events.extend(node.events());
        (events.len() >= 2).then_some(())
    })
    .unwrap();
    let [dead, opened] = events[..] else { panic!("more than was to be told: {events:?}") };
    assert_eq!((dead.kind, dead.node), (EventKind::NodeDead as u32, 1));
    assert_eq!((opened.kind, opened.node), (EventKind::GateOpened as u32, 1));
    assert_eq!((opened.group as usize, opened.epoch), (GROUP, 8));
    let told = node.opened();
    let (last, before) = told.split_last().expect("the thread that puts addresses up is told");
    assert_eq!(*last, opened);
    // Warned of before, unless the timer came too late for that.
    assert!(before.iter().all(|e| (e.kind, e.node) == (EventKind::NodeDoubted as u32, 1)), "{before:?}");
    let gate = &node.facts.gates[GROUP];
    assert_eq!((node.facts.nodes[1].dead_at.get(), gate.taken.get()), (dead.at, 8));
    assert_eq!((dead.at, opened.at), (opened.at, gate.taken_at.get()), "one moment for all of it");
    assert!(dead.at >= heard_at + DEADTIME, "not before deadtime");
    let ran = node.run(&who_has(VIP));
    assert_eq!((ran.action, ran.verdict), (TX, Verdict::ArpAnswered));
    assert!(node.facts.gates[GROUP].first_arp_at.get() >= opened.at);
}

/// A watcher that asked nothing declares nobody dead, however long the silence: twenty deadtimes here. As soon as its
/// probes stay unanswered, it does.
#[test]
fn who_asks_nothing_declares_nobody_dead() {
    need_root!("who_asks_nothing_declares_nobody_dead");
    let (mut node, _peer) = watching();
    pause(Duration::from_nanos(20 * DEADTIME)).unwrap();
    assert_eq!(node.facts.nodes[1].dead_at.get(), 0);
    assert_eq!(node.event_kinds(), []);
    // Two of the three that it takes.
    node.ask(1, 0);
    node.ask(1, 0);
    pause(Duration::from_nanos(10 * DEADTIME)).unwrap();
    assert_eq!(node.facts.nodes[1].dead_at.get(), 0);
    node.ask(1, 0);
    await_event(&mut node, EventKind::NodeDead);
}

/// While one link is heard nobody is dead; nor before the deadtime of the slowest is over, by its own clock.
#[test]
fn one_link_or_the_serial_line_is_enough_to_live() {
    need_root!("one_link_or_the_serial_line_is_enough_to_live");
    let (mut node, mut peer) = watching();
    ask_in_vain(&node, 1, 0);
    peer.link = 5;
    node.ask(1, 5);
    let end = clock::now() + 20 * DEADTIME;
    while clock::now() < end {
        // The link is asked and answers: with its probes answered it cannot be silent, however late this thread is.
        let seq = node.orders.nodes[1].links[5].sent.get();
        node.run(&peer.pong(seq));
        node.ask(1, 5);
        pause(Duration::from_millis(1)).unwrap();
    }
    assert_eq!(node.facts.nodes[1].dead_at.get(), 0, "the other link answers");

    // Link 5 is a slow line from now on: what is heard there counts for longer, the other link may be silent.
    const SLOW: u64 = 10 * DEADTIME;
    node.orders.links[5].deadtime.set(SLOW);
    let seq = node.ask(1, 5);
    node.run(&peer.pong(seq));
    let heard_at = node.facts.nodes[1].heard_at.get();
    ask_in_vain(&node, 1, 0);
    ask_in_vain(&node, 1, 5);
    let dead = await_event(&mut node, EventKind::NodeDead);
    assert!(dead.at >= heard_at + SLOW, "the slow line vouches for it");
}

/// A dead node that is heard again is alive, and is watched again.
#[test]
fn a_dead_node_comes_back_and_is_watched_again() {
    need_root!("a_dead_node_comes_back_and_is_watched_again");
    let (mut node, mut peer) = watching();
    for _ in 0..2 {
        ask_in_vain(&node, 1, 0);
        await_event(&mut node, EventKind::NodeDead);
        assert_eq!(node.run(&peer.probe()).verdict, Verdict::ProbeAnswered);
        assert_eq!(node.facts.nodes[1].dead_at.get(), 0);
        await_event(&mut node, EventKind::NodeAlive);
    }
}

/// The watch is started once for all nodes: starting it again, as a second agent would, changes nothing.
#[test]
fn the_watch_can_be_started_again() {
    need_root!("the_watch_can_be_started_again");
    let (mut node, _peer) = watching();
    for _ in 0..3 {
        node.kernel.start_watch().unwrap();
    }
    ask_in_vain(&node, 1, 0);
    await_event(&mut node, EventKind::NodeDead);
    assert!(!node.event_kinds().contains(&EventKind::NodeDead), "told once");
}

/// The agent stops renewing the lease, and no packet comes: the timer alone fences what is open, and a late renewal
/// opens nothing.
#[test]
fn the_timer_alone_fences_after_the_lease() {
    need_root!("the_timer_alone_fences_after_the_lease");
    let (mut node, _peer) = watching();
    node.grant(GROUP, 9);
    let ran = node.run(&who_has(VIP));
    assert_eq!(ran.action, TX, "serving");
    let lease = clock::now() + 30 * MS;
    node.orders.lease_until.set(lease);
    let fenced = await_event(&mut node, EventKind::GateFenced);
    assert_eq!((fenced.group as usize, fenced.epoch, fenced.detail), (GROUP, 9, Reason::Lease as u32));
    assert!(fenced.at >= lease, "not a moment early");
    assert_eq!(node.facts.gates[GROUP].fenced.get(), 9);
    node.orders.lease_until.set(clock::now() + HOUR);
    let ran = node.run(&who_has(VIP));
    assert_eq!((ran.action, ran.verdict), (DROP, Verdict::ArpClosed));
}

/// With our own lease over, the death of the holder opens nothing: the verdict stands, the gate stays shut.
#[test]
fn without_a_lease_a_death_opens_nothing() {
    need_root!("without_a_lease_a_death_opens_nothing");
    let (mut node, _peer) = watching();
    node.orders.lease_until.set(clock::now());
    ask_in_vain(&node, 1, 0);
    await_event(&mut node, EventKind::NodeDead);
    assert_eq!(node.facts.gates[GROUP].taken.get(), 0);
    node.orders.lease_until.set(clock::now() + HOUR);
    assert_eq!(node.run(&who_has(VIP)).action, DROP);
}
