//! The reflex without kernel programs: a thread of the agent receives, answers and watches.
//!
//! One thread does all three, so that it never declares a node dead whose answer waits in a socket. What is lost
//! against the kernel: a starved or stopped agent answers nobody, watches nobody and fences nothing.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use reflex::frame::FRAME_LEN;
use reflex::node::{self, Desk};
use reflex::verdict::VERDICTS;
use reflex::{Facts, Orders, Verdict, watch};

use crate::links::udp::{Destination, Received, Socket};
use crate::links::{self, Findings, Link};
use crate::sys::{Table, clock, schedule};

/// How long the thread waits at most before it looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(100);
/// Frames taken from one socket before the others get their turn.
const BATCH_MAX: usize = 64;

/// Who watches for silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The kernel's timers do.
    Kernel,
    /// This thread does.
    Here,
}

/// The thread that stands in for the kernel.
pub struct Plain {
    links: Arc<Links>,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

type Counters = [AtomicU64; VERDICTS];
type Links = Mutex<Vec<Arc<Link>>>;

impl Plain {
    /// Starts the thread: it takes what arrives at the sockets of `links`. Those of an interface with a kernel program
    /// must not be among them: an answer from here would pass for one of the program's.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        orders: Arc<Table<Orders>>,
        facts: Arc<Table<Facts>>,
        links: Vec<Arc<Link>>,
        watch: Watch,
        findings: Findings,
    ) -> std::io::Result<Self> {
        let counters: Arc<Counters> = Arc::new(std::array::from_fn(|_| AtomicU64::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let links = Arc::new(Mutex::new(links));
        let (their_links, their_counters, their_stop) =
            (Arc::clone(&links), Arc::clone(&counters), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("xbeat-reflex".into()).spawn(move || {
            // Refused means late under load; the agent has said so for its loop already.
            let _ = schedule::fifo();
            let (links, counters, desk) = (their_links, their_counters, Desk::default());
            let mut reflex = Reflex { orders, facts, links, watch, findings, counters, desk };
            while !their_stop.load(Ordering::Relaxed) {
                reflex.turn();
            }
        })?;
        Ok(Self { links, counters, stop, thread: Some(thread) })
    }

    /// Takes the frames of this link from now on, too: its interface has lost its program.
    pub fn add(&self, link: Arc<Link>) {
        lock(&self.links).push(link);
    }

    /// Frames by verdict.
    #[must_use]
    pub fn counters(&self) -> [u64; VERDICTS] {
        std::array::from_fn(|i| self.counters[i].load(Ordering::Relaxed))
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The list, also after a thread panicked with it: it is only ever pushed to.
fn lock(links: &Links) -> MutexGuard<'_, Vec<Arc<Link>>> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Reflex {
    orders: Arc<Table<Orders>>,
    facts: Arc<Table<Facts>>,
    links: Arc<Links>,
    watch: Watch,
    findings: Findings,
    counters: Arc<Counters>,
    desk: Desk,
}

impl Reflex {
    /// Takes every frame that is there, then looks for silence, then sleeps until a frame or the next look.
    fn turn(&mut self) {
        let links = lock(&self.links).clone();
        for link in &links {
            for _ in 0..BATCH_MAX {
                if !self.take(link) {
                    break;
                }
            }
        }
        let wait = match self.watch {
            Watch::Here => Duration::from_nanos(self.look()).min(PATIENCE),
            Watch::Kernel => PATIENCE,
        };
        let with_socket: Vec<_> = links.iter().filter_map(|link| Some((link, link.udp()?))).collect();
        let mut sockets: Vec<PollFd<'_>> = with_socket.iter().map(|(_, socket)| readable(socket)).collect();
        // Interrupted or not: the next turn looks at everything.
        let _ = ppoll(&mut sockets, Some(TimeSpec::from_duration(wait)), None);
        for ((link, _), socket) in with_socket.iter().zip(&sockets) {
            // Until somebody has read what the network said, there is no waiting for this socket, and a thread in real time
            // that does not wait keeps everybody from a processor.
            if socket.revents().is_some_and(|ready| ready.contains(PollFlags::POLLERR)) {
                link.note_refusals(clock::now());
            }
        }
    }

    /// Looks at every node; the time until the next look, ns.
    fn look(&self) -> u64 {
        let now = clock::now();
        let mut sink = &self.findings;
        (0..self.orders.nodes_len.get() as u8)
            .map(|node| watch::look(&self.orders, &self.facts, node, now, &mut sink))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Takes one frame from the link; false if there was none.
    fn take(&mut self, link: &Link) -> bool {
        // One byte more than a frame, so that a longer datagram is seen to be longer.
        let mut buffer = [0u8; FRAME_LEN + 1];
        let Some(socket) = link.udp() else { return false };
        let received = match socket.receive(&mut buffer) {
            Ok(Some(received)) => received,
            Ok(None) => return false,
            Err(error) => {
                // An ICMP error or an interface that went away; neither is for ever.
                tracing::debug!(link = link.name, "cannot receive: {error}");
                return false;
            }
        };
        let verdict = match received {
            Received { to: Destination::Other, .. } => return true,
            Received { len: FRAME_LEN, .. } => {
                self.desk.frame.bytes.copy_from_slice(&buffer[..FRAME_LEN]);
                self.verdict(link, socket, &received)
            }
            _ => Verdict::BadLength,
        };
        self.counters[verdict as usize].fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Gives the frame on the desk to the reflex, and answers it.
    fn verdict(&mut self, link: &Link, socket: &Socket, received: &Received) -> Verdict {
        self.desk.now = clock::now();
        self.desk.ifindex = link.ifindex.map_or(0, u64::from);
        self.desk.address = links::packed(received.from.ip());
        self.desk.group = if received.to == Destination::Group { u64::from(link.id) + 1 } else { 0 };
        self.desk.is_ipv6 = u64::from(socket.is_ipv6());
        // Of several sockets on the interface any may get what came to an address of ours.
        self.desk.find_link(&self.orders);
        let verdict = node::on_frame(&self.orders, &self.facts, &mut self.desk, &mut &self.findings);
        if verdict.answers() {
            // Lost like any frame; who asked asks again.
            let _ = socket.answer(&self.desk.frame.bytes, received.from);
        }
        verdict
    }
}

fn readable(socket: &Socket) -> PollFd<'_> {
    PollFd::new(socket.as_fd(), PollFlags::POLLIN)
}
