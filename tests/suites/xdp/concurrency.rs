//! Fences and takeovers at the same moment on several processors. A lost fence is the worst bug that this system can
//! have, so what counts is the invariant, after every single race, over many of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;

use reflex::gate::Armed;
use reflex::layout::{GateFacts, GateOrders};
use reflex::{ClaimState, Facts, Frame, GROUPS_MAX, Status, gate};
use xbeat::sys::clock;

use crate::fixture::{HOUR, Node, TX, need_root, run};
use crate::packets::FRAME_AT;
use crate::peer::Peer;

const PAGES: u8 = 128;
/// The epoch that every gate is armed with.
const ARMED: u32 = 5;

/// A node with all groups armed against node 1, and nodes 1 and 2 admitted.
fn armed() -> (Node, Peer, Peer) {
    let mut node = Node::with(|orders| orders.groups_len.set(GROUPS_MAX as u64));
    let (mut holder, mut rival) = (Peer::new(1), Peer::new(2));
    node.admit(&mut holder);
    node.admit(&mut rival);
    for group in 0..GROUPS_MAX {
        node.arm(group, 1, ARMED);
    }
    (node, holder, rival)
}

/// One packet per page that says the same of all its groups.
fn on_every_page(peer: &mut Peer, state: ClaimState, epoch: u32) -> Vec<Vec<u8>> {
    (0..8).for_each(|i| peer.claim(i, state, epoch));
    (0..PAGES)
        .map(|page| {
            peer.page = page;
            peer.probe()
        })
        .collect()
}

fn is_shut(orders: &GateOrders, facts: &GateFacts) -> bool {
    gate::held(orders, facts) <= gate::shut(orders, facts)
}

/// The fence of each gate, and its takeover: they only ever grow.
fn marks(facts: &Facts) -> Vec<(u64, u64)> {
    facts.gates.iter().map(|gate| (gate.fenced.get(), gate.taken.get())).collect()
}

/// Runs both rows of packets, pair by pair at the same moment, on two threads that each call `seen` with what came back,
/// while a third watches that no fence and no takeover is ever undone.
fn race(
    node: &mut Node,
    rows: [&[Vec<u8>]; 2],
    before: impl Fn(usize) + Sync,
    seen: impl Fn(usize, &[u8]) + Sync,
) {
    let facts = node.facts.clone();
    let program = node.program();
    let (start, done) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|scope| {
        let runners: Vec<_> = (0..2)
            .map(|who| {
                let (start, before, seen) = (&start, &before, &seen);
                scope.spawn(move || {
                    for (i, packet) in rows[who].iter().enumerate() {
                        if start.wait().is_leader() {
                            before(i);
                        }
                        start.wait();
                        let (action, bytes) = run(program, packet);
                        assert_eq!(action, TX, "every probe is answered");
                        seen(i, &bytes);
                    }
                })
            })
            .collect();
        let observer = scope.spawn(|| {
            let mut last = marks(&facts);
            while !done.load(Ordering::Relaxed) {
                let now = marks(&facts);
                let undone = last.iter().zip(&now).position(|(a, b)| b.0 < a.0 || b.1 < a.1);
                assert_eq!(undone, None, "a fence or a takeover was undone");
                last = now;
            }
        });
        let ends: Vec<_> = runners.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        observer.join().unwrap();
        ends.into_iter().for_each(|end| end.unwrap());
    });
}

/// Node 1 resigns while node 2 says that it holds the group with a higher epoch: whichever comes first, node 2's word
/// wins. 1024 gates race at a time, eight per pair of packets, several times over with ever higher epochs.
#[test]
fn a_takeover_never_outlives_a_higher_epoch() {
    need_root!("a_takeover_never_outlives_a_higher_epoch");
    let (mut node, mut holder, mut rival) = armed();
    let mut opened_first = 0;
    for round in 0..8u32 {
        let epoch = ARMED + 10 * round;
        for group in 0..GROUPS_MAX {
            node.arm(group, 1, epoch);
        }
        node.events();
        let resigns = on_every_page(&mut holder, ClaimState::Resigned, epoch - 1);
        let claims = on_every_page(&mut rival, ClaimState::Open, epoch + 1);
        race(&mut node, [&resigns, &claims], |_| (), |_, _| ());
        for group in 0..GROUPS_MAX {
            let (orders, facts) = (&node.orders.gates[group], &node.facts.gates[group]);
            assert!(
                is_shut(orders, facts),
                "round {round}: group {group} is served in spite of a higher epoch"
            );
            opened_first += usize::from(facts.taken.get() == u64::from(epoch));
        }
    }
    // Both orders happened, or nothing was raced. On one processor they may not.
    if thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1) {
        assert!(opened_first > 0, "no takeover ever came first");
    }
}

/// Node 1 resigns while another processor finds our lease over and tells node 2 so: after that pong, nothing that the
/// lease covered is open, whatever the agent writes later (R2, R3).
#[test]
fn a_takeover_never_outlives_the_lease_that_a_pong_gave_up() {
    need_root!("a_takeover_never_outlives_the_lease_that_a_pong_gave_up");
    let (mut node, mut holder, mut rival) = armed();
    // Finding the lease over fences every group, so each pair of packets gets epochs of its own.
    let epoch = |page: usize| ARMED + 10 * page as u32;
    let resigns: Vec<Vec<u8>> = (0..PAGES)
        .map(|page| {
            holder.page = page;
            (0..8).for_each(|i| holder.claim(i, ClaimState::Resigned, epoch(usize::from(page)) - 1));
            holder.probe()
        })
        .collect();
    let asks = on_every_page(&mut rival, ClaimState::None, 0);
    let (orders, facts) = (node.orders.clone(), node.facts.clone());
    let gave_up = Mutex::new(Vec::new());
    race(
        &mut node,
        [&resigns, &asks],
        |page| {
            for gate in &orders.gates[page * 8..page * 8 + 8] {
                gate.armed.set(Armed { epoch: epoch(page), holder: 1, behind: 1 }.pack());
            }
            // The lease ends about when the packets are under work.
            orders.lease_until.set(clock::now() + (page as u64 % 16) * 1000);
        },
        |page, bytes| {
            let pong = Frame { bytes: bytes[FRAME_AT..].try_into().unwrap() };
            if pong.status() & Status::LEASE != 0 {
                return;
            }
            gave_up.lock().unwrap().push(page);
            // What the agent does too late. The gates must not care.
            orders.lease_until.set(clock::now() + HOUR);
            for group in page * 8..page * 8 + 8 {
                let (o, f) = (&orders.gates[group], &facts.gates[group]);
                assert!(f.fenced.get() >= u64::from(epoch(page)), "group {group}: the pong said fenced");
                assert!(is_shut(o, f), "group {group} is open after the pong that gave it up");
            }
        },
    );
    let gave_up = gave_up.into_inner().unwrap();
    assert!(!gave_up.is_empty(), "no lease was found over");
    for page in gave_up {
        for group in page * 8..page * 8 + 8 {
            let (o, f) = (&node.orders.gates[group], &node.facts.gates[group]);
            assert!(is_shut(o, f), "group {group} opened again");
        }
    }
}

/// The same probe on several processors at once is believed and answered once.
#[test]
fn a_probe_that_arrives_twice_at_once_counts_once() {
    need_root!("a_probe_that_arrives_twice_at_once_counts_once");
    let mut node = Node::new();
    let mut peer = Peer::new(1);
    node.admit(&mut peer);
    let probes: Vec<Vec<u8>> = (0..500).map(|_| peer.probe()).collect();
    let program = node.program();
    let start = Barrier::new(2);
    let answers = || {
        let mut answered = Vec::new();
        for packet in &probes {
            start.wait();
            answered.push(run(program, packet).0 == TX);
        }
        answered
    };
    let (one, two) = thread::scope(|scope| {
        let (one, two) = (scope.spawn(answers), scope.spawn(answers));
        (one.join().unwrap(), two.join().unwrap())
    });
    for (i, (one, two)) in one.iter().zip(&two).enumerate() {
        assert!(one ^ two, "probe {i} was answered by both or by none");
    }
    assert_eq!(node.facts.nodes[1].links[0].received.get(), 501, "heard 500 times, and once as a pong");
}
