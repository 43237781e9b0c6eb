//! Sends the probes: on an absolute timer, from a thread of its own that outranks everything, because a node that does
//! not ask may not declare anybody dead.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use reflex::node::{self, Desk, Probe};
use reflex::{CLAIMS_PER_FRAME, Event, Facts, Orders};
use tokio::sync::mpsc;

use super::{Link, Target};
use crate::sys::{Table, clock, schedule};

/// Priority of real-time threads where SCHED_DEADLINE cannot be had, and of the decision loop. Above the kernel's
/// threaded interrupts (50) nothing of ours needs to be.
pub const FIFO_PRIORITY: u32 = 49;

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
        Self { orders, facts, links, events, desk: Desk::default(), page: 0, failed: 0 }
    }

    /// Number of pages that the groups fill.
    fn pages(&self) -> u8 {
        let pages = (self.orders.groups_len.get() as usize).div_ceil(CLAIMS_PER_FRAME);
        u8::try_from(pages.max(1)).unwrap_or(u8::MAX)
    }

    /// One probe to everybody on every link, about the next page in turn.
    pub fn round(&mut self) {
        self.page = (self.page + 1) % self.pages();
        self.say(self.page);
    }

    /// One probe to everybody on every link, about this page.
    pub fn say(&mut self, page: u8) {
        for link in self.links.clone() {
            let targets = link.targets.lock().map(|targets| targets.clone()).unwrap_or_default();
            for target in targets {
                self.ask(&link, target, page);
            }
        }
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
        let address = u64::from(u32::from_ne_bytes(target.address.octets()));
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
        if let Err(error) = link.socket.send(&self.desk.frame.bytes, target.address) {
            self.failed += 1;
            if self.failed.is_power_of_two() {
                let (name, failed) = (&link.name, self.failed);
                tracing::warn!(link = name, failed, "cannot send to {}: {error}", target.address);
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

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// 0: not known yet, then [`Scheduling`] plus one.
    scheduling: AtomicU64,
    /// Worst lateness, ns.
    late_max: AtomicU64,
}

impl Prober {
    /// Starts sending every `keepalive`. `realtime` false leaves the thread to ordinary scheduling.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(sender: Sender, keepalive: Duration, realtime: bool) -> std::io::Result<Self> {
        let targets: usize = sender.links.iter().map(|link| targets(link)).sum();
        let sender = Arc::new(Mutex::new(sender));
        let shared = Arc::new(Shared::default());
        let (their_sender, their_shared) = (Arc::clone(&sender), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("xbeat-prober".into()).spawn(move || {
            let scheduling = if realtime { enter_realtime(keepalive, targets) } else { Scheduling::Normal };
            their_shared.scheduling.store(scheduling as u64 + 1, Ordering::Relaxed);
            run(&their_sender, &their_shared, keepalive);
        })?;
        Ok(Self { sender, shared, thread: Some(thread) })
    }

    /// The sender, for what cannot wait for the next keepalive.
    pub fn sender(&self) -> MutexGuard<'_, Sender> {
        // A panic while it was held left at worst a half-built frame, which is built anew.
        self.sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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

/// SCHED_DEADLINE outranks SCHED_FIFO and the kernel's fair server, which lets ordinary hogs run for 50 ms of every
/// second before any SCHED_FIFO thread.
fn enter_realtime(keepalive: Duration, targets: usize) -> Scheduling {
    // A slow keepalive does not mean that the thread may be slow: it gets the parameters of a 10 ms one.
    let period = keepalive.min(Duration::from_millis(10));
    let cost = PROBE_COST.saturating_mul(u32::try_from(targets).unwrap_or(u32::MAX));
    let runtime = cost.max(period / 5).min(period * 2 / 5);
    match schedule::deadline(runtime, period / 2, period) {
        Ok(()) => Scheduling::Deadline,
        Err(error) => {
            tracing::info!("SCHED_DEADLINE refused for the prober ({error}); trying SCHED_FIFO");
            match schedule::fifo(FIFO_PRIORITY) {
                Ok(()) => Scheduling::Fifo,
                Err(error) => {
                    tracing::warn!("SCHED_FIFO refused for the prober ({error}): probes are late under load");
                    Scheduling::Normal
                }
            }
        }
    }
}

/// Longest sleep, so that a stop is noticed with slow keepalives too.
const NAP_MAX: u64 = 200_000_000;

fn run(sender: &Mutex<Sender>, shared: &Shared, keepalive: Duration) {
    let keepalive = u64::try_from(keepalive.as_nanos()).unwrap_or(u64::MAX).max(1);
    let mut due = clock::now();
    while !shared.stop.load(Ordering::Relaxed) {
        let now = clock::now();
        if now < due {
            clock::sleep_until(due.min(now + NAP_MAX));
            continue;
        }
        shared.late_max.fetch_max(now - due, Ordering::Relaxed);
        sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).round();
        // What was missed is not made up for: a burst would prove nothing.
        due += keepalive * ((now - due) / keepalive + 1);
    }
}
