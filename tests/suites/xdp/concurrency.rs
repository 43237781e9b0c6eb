//! Fences and takeovers at the same moment on several processors. A lost fence is the worst bug that this system can
//! have, so what counts is the invariant, after every single race, over many of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use reflex::gate::Armed;
use reflex::layout::{GateFacts, GateOrders};
use reflex::{ClaimState, Facts, Frame, GROUPS_MAX, Status, gate};
use xbeat::sys::clock;

use crate::fixture::{HOUR, Node, TX, need_root, run};
use crate::packets::FRAME_AT;
use crate::peer::Peer;

const PAGES: u8 = 128;
/// Races of every gate.
const ROUNDS: u32 = 40;
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

/// Where two threads meet, to go on at the same moment: they spin, because waking a sleeper takes longer than what is
/// raced here.
#[derive(Default)]
struct Start {
    arrived: AtomicUsize,
}

impl Start {
    /// Returns when the other has called it as often as this thread, `meeting` times with this one.
    fn meet(&self, meeting: usize) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut spins = 0u32;
        while self.arrived.load(Ordering::Acquire) < 2 * meeting {
            std::hint::spin_loop();
            spins += 1;
            if spins.is_multiple_of(20_000) {
                // On one processor the other has to get it first.
                thread::yield_now();
            }
        }
    }
}

/// Runs both rows of packets, pair by pair at the same moment, on two threads that each call `seen` with what came back,
/// while a third watches that no fence and no takeover is ever undone. Complaints are collected, not panicked about in
/// between: the other thread would wait for ever.
fn race(
    node: &mut Node,
    rows: [&[Vec<u8>]; 2],
    before: impl Fn(usize) + Sync,
    seen: impl Fn(usize, &[u8]) -> Result<(), String> + Sync,
) {
    let facts = node.facts.clone();
    let program = node.program();
    let (start, done) = (Start::default(), AtomicBool::new(false));
    let complaints = Mutex::new(Vec::new());
    let complain = |what: String| complaints.lock().unwrap().push(what);
    let runner = |who: usize| {
        for (i, packet) in rows[who].iter().enumerate() {
            start.meet(2 * i + 1);
            if who == 0 {
                before(i);
            }
            start.meet(2 * i + 2);
            // One of the two starts a little later each time: the moments at which it matters are nanoseconds wide.
            (0..if who == 0 { i % 64 * 8 } else { 256 }).for_each(|_| std::hint::spin_loop());
            let (action, bytes) = run(program, packet);
            if action != TX {
                complain(format!("packet {i} was not answered: {action}"));
            } else if let Err(what) = seen(i, &bytes) {
                complain(what);
            }
        }
    };
    thread::scope(|scope| {
        let runners = [0, 1].map(|who| scope.spawn(move || runner(who)));
        let observer = scope.spawn(|| {
            let mut last = marks(&facts);
            while !done.load(Ordering::Relaxed) {
                let now = marks(&facts);
                if let Some(group) = last.iter().zip(&now).position(|(a, b)| b.0 < a.0 || b.1 < a.1) {
                    complain(format!("group {group}: a fence or a takeover was undone"));
                }
                last = now;
                // The processors are for the two that race.
                thread::sleep(Duration::from_micros(200));
            }
        });
        for runner in runners {
            runner.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        observer.join().unwrap();
    });
    let complaints = complaints.into_inner().unwrap();
    assert!(complaints.is_empty(), "{} complaints, the first: {}", complaints.len(), complaints[0]);
}

/// Node 1 resigns while node 2 says that it holds the group with a higher epoch: whichever comes first, node 2's word
/// wins. 1024 gates race at a time, eight per pair of packets, several times over with ever higher epochs.
#[test]
fn a_takeover_never_outlives_a_higher_epoch() {
    need_root!("a_takeover_never_outlives_a_higher_epoch");
    let (mut node, mut holder, mut rival) = armed();
    let mut opened_first = 0;
    for round in 0..ROUNDS {
        let epoch = ARMED + 10 * round;
        for group in 0..GROUPS_MAX {
            node.arm(group, 1, epoch);
        }
        node.events();
        let resigns = on_every_page(&mut holder, ClaimState::Resigned, epoch - 1);
        let claims = on_every_page(&mut rival, ClaimState::Open, epoch + 1);
        race(&mut node, [&resigns, &claims], |_| (), |_, _| Ok(()));
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
                return Ok(());
            }
            gave_up.lock().unwrap().push(page);
            // What the agent does too late. The gates must not care.
            orders.lease_until.set(clock::now() + HOUR);
            for group in page * 8..page * 8 + 8 {
                let (o, f) = (&orders.gates[group], &facts.gates[group]);
                if f.fenced.get() < u64::from(epoch(page)) {
                    return Err(format!("group {group}: the pong said fenced, and it is not"));
                }
                if !is_shut(o, f) {
                    return Err(format!("group {group} is open after the pong that gave it up"));
                }
            }
            Ok(())
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
    let start = Start::default();
    let answers = || {
        let mut answered = Vec::new();
        for (i, packet) in probes.iter().enumerate() {
            start.meet(i + 1);
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
