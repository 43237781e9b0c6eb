//! Sends the probes: on an absolute timer, from a thread of its own that outranks everything, because a node that does
//! not ask may not declare anybody dead.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use reflex::letter::{self, Letter, Piece};
use reflex::node::{self, Desk, Probe};
use reflex::{CLAIMS_PER_FRAME, Event, Facts, Orders, watch};
use tokio::sync::mpsc;

use super::rhythm::{Doubt, Rhythm};
use super::udp::Socket;
use super::{Link, Target, packed};
use crate::sys::alarm::Alarm;
use crate::sys::{Table, clock, schedule};

/// How the prober is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// SCHED_DEADLINE.
    Deadline,
    /// SCHED_FIFO.
    Fifo,
    /// As everybody.
    Normal,
}

/// Builds and sends probes. Shared by the prober's thread and the decision loop, so that sequence numbers stay in order.
pub struct Sender {
    orders: Arc<Table<Orders>>,
    facts: Arc<Table<Facts>>,
    links: Vec<Arc<Link>>,
    events: mpsc::Sender<Event>,
    desk: Desk,
    page: u8,
    failed: u64,
    /// Interfaces without a carrier: what is sent by them is lost without an error.
    down: BTreeSet<u32>,
    /// Up to when troubles of the links were looked at.
    looked_at: u64,
}

impl Sender {
    /// A sender over `links`.
    #[must_use]
    pub fn new(
        orders: Arc<Table<Orders>>,
        facts: Arc<Table<Facts>>,
        links: Vec<Arc<Link>>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            orders,
            facts,
            links,
            events,
            desk: Desk::default(),
            page: 0,
            failed: 0,
            down: BTreeSet::new(),
            looked_at: 0,
        }
    }

    /// An interface got or lost its carrier. Without one the kernel takes what is sent and drops it; that asks nobody.
    pub fn set_carrier(&mut self, ifindex: u32, up: bool) {
        if up {
            self.down.remove(&ifindex);
        } else {
            self.down.insert(ifindex);
        }
    }

    /// Number of pages that the groups fill.
    fn pages(&self) -> u8 {
        let pages = (self.orders.groups_len.get() as usize).div_ceil(CLAIMS_PER_FRAME);
        u8::try_from(pages.max(1)).unwrap_or(u8::MAX)
    }

    /// One probe to everybody on every link but the cables, which ask at their own pace, about the next page in turn.
    pub fn round(&mut self) {
        self.page = (self.page + 1) % self.pages();
        self.probe_all(self.page);
    }

    /// One probe to everybody on every link, about this page: now, or as soon as the line is free.
    pub fn say(&mut self, page: u8) {
        self.links.iter().filter_map(|link| link.line()).for_each(|line| line.say(page));
        self.probe_all(page);
    }

    fn probe_all(&mut self, page: u8) {
        for link in self.links.clone() {
            if link.line().is_some() {
                continue;
            }
            let targets = link.targets.lock().map(|targets| targets.clone()).unwrap_or_default();
            for target in targets {
                self.ask(&link, target, page);
            }
        }
    }

    /// A piece of a message to a node, on every link that may lead to it: now, or as soon as the line is free. What cannot be
    /// sent is not told of: probes go the same ways.
    pub fn letter(&mut self, to: u8, number: u64, piece: Piece<'_>) {
        let now = clock::now();
        for link in self.links.clone() {
            let letter = Letter { to, link: link.id, number, piece, now };
            if let Some(line) = link.line() {
                if line.may_lead_to(to) {
                    letter::make_letter(&self.orders, &self.facts, &mut self.desk, &letter);
                    line.post(self.desk.frame);
                }
                continue;
            }
            let targets = link.targets.lock().map(|targets| targets.clone()).unwrap_or_default();
            // Where it is not known yet who answers, who is not meant drops it.
            for target in targets.iter().filter(|target| target.node.is_none_or(|node| node == to)) {
                letter::make_letter(&self.orders, &self.facts, &mut self.desk, &letter);
                let answers = self.answers(to, link.id, now);
                let _ = link.transport.send(&self.desk.frame.bytes, target.address, answers);
            }
        }
    }

    /// Whether a link is in trouble since the last call: then everybody is to be asked sooner.
    fn is_in_doubt(&mut self, now: u64) -> bool {
        let before = std::mem::replace(&mut self.looked_at, now);
        self.links.iter().any(|link| link.troubles(now).iter().any(|trouble| trouble.since > before))
    }

    fn ask(&mut self, link: &Link, target: Target, page: u8) {
        match target.node.or_else(|| self.learn(link, target)) {
            Some(node) => self.probe(link, target, node, page),
            // Not known yet who answers there: ask for each; who is not meant drops it.
            None => {
                for node in self.unplaced(link) {
                    self.probe(link, target, node, page);
                }
            }
        }
    }

    /// The node whose pong came from that address, if one has come.
    fn learn(&self, link: &Link, target: Target) -> Option<u8> {
        let address = packed(target.address?);
        let node = self.others().find(|&node| {
            self.facts.nodes[usize::from(node)].links[usize::from(link.id)].address.get() == address
        })?;
        if let Ok(mut targets) = link.targets.lock() {
            for known in targets.iter_mut().filter(|known| known.address == target.address) {
                known.node = Some(node);
            }
        }
        Some(node)
    }

    fn unplaced(&self, link: &Link) -> Vec<u8> {
        let placed: Vec<u8> = link
            .targets
            .lock()
            .map(|targets| targets.iter().filter_map(|target| target.node).collect())
            .unwrap_or_default();
        self.others().filter(|node| !placed.contains(node)).collect()
    }

    fn others(&self) -> impl Iterator<Item = u8> + use<> {
        let (len, own) = (self.orders.nodes_len.get() as u8, self.orders.own.get() as u8);
        (0..len).filter(move |&node| node != own)
    }

    /// Whether what was sent to a node by a link was answered, lately.
    fn answers(&self, node: u8, link: u8, now: u64) -> bool {
        let pong_at = self.facts.nodes[usize::from(node)].links[usize::from(link)].pong_at.get();
        pong_at != 0 && now.saturating_sub(pong_at) < self.orders.deadtime_of(link)
    }

    fn probe(&mut self, link: &Link, target: Target, node: u8, page: u8) {
        let sent = &self.orders.nodes[usize::from(node)].links[usize::from(link.id)];
        let now = clock::now();
        let seq = sent.sent.get() + 1;
        let probe = Probe { to: node, link: link.id, seq, page, now };
        let events = self.events.clone();
        // A full queue loses a wake-up, not what it is about: the loop looks at the tables.
        let mut sink = |event: Event| {
            let _ = events.try_send(event);
        };
        node::make_probe(&self.orders, &self.facts, &mut self.desk, &probe, &mut sink);
        // Before it is sent: its pong may be faster than we are.
        sent.sent_at.set(now);
        sent.sent.set(seq);
        let answers = self.answers(node, link.id, now);
        let result = link.transport.send(&self.desk.frame.bytes, target.address, answers);
        let is_down = link.ifindex.is_some_and(|index| self.down.contains(&index));
        node::was_sent(&self.orders, &self.facts, &probe, result.is_ok() && !is_down);
        if link.udp().is_some_and(Socket::take_report) {
            link.note_refusals(now);
        }
        if let Err(error) = result {
            link.note(Some(node), error.raw_os_error().unwrap_or(libc::EADDRNOTAVAIL), now);
            self.failed += 1;
            if self.failed.is_power_of_two() {
                let (name, failed) = (&link.name, self.failed);
                let to = target.address.map_or_else(|| "everybody".to_owned(), |address| address.to_string());
                tracing::warn!(link = name, failed, "cannot send to {to}: {error}");
            }
        }
    }
}

/// The running prober.
pub struct Prober {
    sender: Arc<Mutex<Sender>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    stop: AtomicBool,
    /// 0: not known yet, then [`Scheduling`] plus one.
    scheduling: AtomicU64,
    /// Worst lateness, ns.
    late_max: AtomicU64,
    rhythm: Mutex<Rhythm>,
    /// Rung when the rhythm changed, or at the end.
    alarm: Alarm,
    /// There is a reason to ask sooner.
    in_doubt: AtomicBool,
}

impl Shared {
    fn rhythm(&self) -> MutexGuard<'_, Rhythm> {
        // Two numbers: nothing that a panic could leave half done.
        self.rhythm.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Prober {
    /// Starts sending every `keepalive`. `realtime` false leaves the thread to ordinary scheduling.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(sender: Sender, keepalive: Duration, realtime: bool) -> std::io::Result<Self> {
        let targets: usize = sender.links.iter().map(|link| targets(link)).sum();
        let sender = Arc::new(Mutex::new(sender));
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            scheduling: AtomicU64::new(0),
            late_max: AtomicU64::new(0),
            rhythm: Mutex::new(Rhythm { due: clock::now(), keepalive: nanos(keepalive) }),
            alarm: Alarm::default(),
            in_doubt: AtomicBool::new(false),
        });
        let (their_sender, their_shared) = (Arc::clone(&sender), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("xbeat-prober".into()).spawn(move || {
            run(&their_sender, &their_shared, realtime.then_some(targets));
        })?;
        Ok(Self { sender, shared, thread: Some(thread) })
    }

    /// Sends every `keepalive` from now on, without a gap longer than the smaller of this and the one before.
    pub fn set_keepalive(&self, keepalive: Duration) {
        self.shared.rhythm().change(nanos(keepalive), clock::now());
        self.shared.alarm.ring();
    }

    /// The sender, for what cannot wait for the next keepalive.
    pub fn sender(&self) -> MutexGuard<'_, Sender> {
        // A panic while it was held left at worst a half-built frame, which is built anew.
        self.sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Asks everybody on every link a few times more, soon: something happened that may mean that a node is gone. At most
    /// once per deadtime, and no more often than answers take, so that asking sooner proves nothing sooner: what it
    /// brings is that the questions are out when deadtime is over.
    pub fn hurry(&self) {
        self.shared.in_doubt.store(true, Ordering::Relaxed);
        self.shared.alarm.ring();
    }

    /// How the thread is scheduled.
    #[must_use]
    pub fn scheduling(&self) -> Scheduling {
        match self.shared.scheduling.load(Ordering::Relaxed) {
            1 => Scheduling::Deadline,
            2 => Scheduling::Fifo,
            _ => Scheduling::Normal,
        }
    }

    /// How late the worst probe was so far.
    #[must_use]
    pub fn late_max(&self) -> Duration {
        Duration::from_nanos(self.shared.late_max.load(Ordering::Relaxed))
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.alarm.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn targets(link: &Link) -> usize {
    link.targets.lock().map_or(0, |targets| targets.len())
}

/// What one probe may cost, generously, on a busy machine.
const PROBE_COST: Duration = Duration::from_micros(25);

/// Of each period, so much of the processor until that deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Budget {
    runtime: Duration,
    deadline: Duration,
    period: Duration,
}

impl Budget {
    fn new(keepalive: u64, targets: usize) -> Self {
        // A slow keepalive does not mean that the thread may be slow: it gets the parameters of a 10 ms one.
        let period = Duration::from_nanos(keepalive).min(Duration::from_millis(10));
        let cost = PROBE_COST.saturating_mul(u32::try_from(targets).unwrap_or(u32::MAX));
        Self { runtime: cost.max(period / 5).min(period * 2 / 5), deadline: period / 2, period }
    }

    /// SCHED_DEADLINE outranks SCHED_FIFO and the kernel's fair server, which lets ordinary hogs run for 50 ms of every
    /// second before any SCHED_FIFO thread.
    fn enter(self) -> Scheduling {
        match schedule::deadline(self.runtime, self.deadline, self.period) {
            Ok(()) => Scheduling::Deadline,
            Err(error) => {
                tracing::info!("SCHED_DEADLINE refused for the prober ({error}); trying SCHED_FIFO");
                match schedule::fifo() {
                    Ok(()) => Scheduling::Fifo,
                    Err(error) => {
                        tracing::warn!(
                            "SCHED_FIFO refused for the prober ({error}): probes are late under load"
                        );
                        Scheduling::Normal
                    }
                }
            }
        }
    }
}

/// Sends what is due until the end. `targets`: how many it sends to, if it may run in real time.
fn run(sender: &Mutex<Sender>, shared: &Shared, targets: Option<usize>) {
    let mut budget = None;
    let mut doubt = Doubt::default();
    loop {
        let count = shared.alarm.count();
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let Rhythm { due, keepalive } = *shared.rhythm();
        let wanted = targets.map(|targets| Budget::new(keepalive, targets));
        if budget != Some(wanted) {
            let scheduling = wanted.map_or(Scheduling::Normal, Budget::enter);
            shared.scheduling.store(scheduling as u64 + 1, Ordering::Relaxed);
            budget = Some(wanted);
        }
        let now = clock::now();
        let next = doubt.due.map_or(due, |extra| extra.min(due));
        let in_doubt = shared.in_doubt.swap(false, Ordering::Relaxed);
        if now < next && !in_doubt {
            shared.alarm.sleep_until(count, next);
            continue;
        }
        let mut sender = sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sender.round();
        let (deadtime, grace) = (sender.orders.deadtime.get(), sender.orders.grace.get());
        let in_doubt = sender.is_in_doubt(now) || in_doubt;
        let next = {
            let mut rhythm = shared.rhythm();
            rhythm.sent(now);
            rhythm.due
        };
        let lacks = watch::lacks_a_question(&sender.orders, &sender.facts, next);
        drop(sender);
        if now >= due {
            shared.late_max.fetch_max(now - due, Ordering::Relaxed);
        }
        doubt.asked(now, in_doubt, lacks, deadtime, grace);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1)
}
